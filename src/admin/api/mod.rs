//! The API: looks into a running gateway and steers it. JSON in and out.
//!
//! A call passes `auth`, is found its endpoint in `table`, is read within its bounds (`call`, `params`) and answered
//! by one function of `events`, `bulk`, `targets`, `sources`, `rejects` or `history`; `refused` is every answer that says no.
//!
//! Invariants: whatever a call costs is bounded: the bytes of its body, the rows of a page, its time, and how many are
//! served at one time. None waits for the store's writer but one that changes something. Every change is one line of
//! the audit log (`admin.<what>`), with the address of who asked.

mod audit;
mod auth;
mod bulk;
mod call;
mod events;
mod filter;
mod history;
mod names;
mod openapi;
mod pairs;
mod params;
mod rates;
mod refused;
mod rejects;
mod show;
mod sources;
mod table;
mod targets;

pub use call::Call;
pub use params::Params;
pub use rates::Rates;
pub use refused::Refused;
pub use sources::SourceFacts;

use crate::budget::{Budget, Charge};
use crate::config::Secret;
use crate::dedupe::Dedupe;
use crate::deliver::Deliver;
use crate::event::{SourceId, TargetId};
use crate::http::Answer;
use crate::http::server::Peer;
use crate::quiet::Quiet;
use crate::store::{Judge, Known, Rejects, Store};
use auth::Auth;
use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use parking_lot::RwLock;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::BoxError;

/// Calls that are served at one time; more wait. Enough for a few operators, little beside the senders.
const CALLS: usize = 8;
/// The longest that a call may take, its waiting included. A change that is with the store by then is done in any case.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of all calls' bodies together.
const BODIES_BYTES: u64 = 1 << 20;
/// Bytes of all answers that are being read, beside those of [`ANSWER_FREE_BYTES`] and what the calls at work make: some
/// ten events with bodies of 1 MiB, which JSON may write six times as long. A single larger one passes alone.
const ANSWERS_BYTES: u64 = 64 << 20;
/// Answers up to this many bytes are not counted: a change that is done must be told, and the connections of the admin
/// side hold no more than 4 MiB of them.
const ANSWER_FREE_BYTES: usize = 64 << 10;

/// An answer in the making.
type Handling = Pin<Box<dyn Future<Output = Result<Answer, Refused>> + Send>>;

/// The API of one gateway.
#[derive(Debug)]
pub struct Api {
    auth: RwLock<Arc<Auth>>,
    calls: Semaphore,
    bodies: Budget,
    answers: Budget,
    /// Of calls without the right token.
    strangers: Quiet,
    rooms: RwLock<Option<Rooms>>,
}

/// The bytes of an answer, counted until the last of them is written or the connection is gone.
struct Held {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The rooms that the API looks into. Clones are the same.
#[derive(Clone, Debug)]
pub struct Rooms(Arc<Inside>);

/// See [`Rooms`].
#[derive(Debug)]
pub struct Inside {
    /// What is durable.
    pub store: Store,
    /// What is on its way.
    pub deliver: Arc<Deliver>,
    /// Which keys are known.
    pub dedupe: Arc<Dedupe>,
    /// Who sends, as configured.
    pub sources: Vec<SourceFacts>,
    /// Every source that the store knows, configured or not.
    pub known_sources: Vec<Known<SourceId>>,
    /// Every target that the store knows, configured or not.
    pub known_targets: Vec<Known<TargetId>>,
    /// How often.
    pub rates: Rates,
    /// What was refused and is kept.
    pub rejects: Rejects,
    /// Who judges it again.
    pub judge: Arc<dyn Judge>,
    /// Held by the one who changes a target: what the store keeps and what deliveries do may not cross.
    pub changing: Arc<tokio::sync::Mutex<()>>,
}

impl Rooms {
    /// The rooms, shared.
    pub fn new(inside: Inside) -> Self {
        Self(Arc::new(inside))
    }
}

impl std::ops::Deref for Rooms {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.0
    }
}

impl Api {
    /// An API that is guarded by `token`, or by `listen` being on loopback. Nothing is served before [`Self::open`].
    pub fn new(token: Option<&Secret>, listen: SocketAddr) -> Self {
        Self {
            auth: RwLock::new(Arc::new(Auth::new(token, listen))),
            calls: Semaphore::new(CALLS),
            bodies: Budget::new(BODIES_BYTES),
            answers: Budget::new(ANSWERS_BYTES),
            strangers: Quiet::default(),
            rooms: RwLock::default(),
        }
    }

    /// Serves what is in these rooms from now on; calls that run end with those that they began with.
    pub fn open(&self, rooms: Rooms) {
        *self.rooms.write() = Some(rooms);
    }

    /// Guards it by `token`, or by `listen` being on loopback, from now on.
    pub fn guard(&self, token: Option<&Secret>, listen: SocketAddr) {
        *self.auth.write() = Arc::new(Auth::new(token, listen));
    }

    /// Whether a request may go on. A wrong token is logged.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Refused> {
        let auth = Arc::clone(&self.auth.read());
        auth.check(head)
            .inspect_err(|refused| unknown(&self.strangers, head, refused))
    }
}

/// Answers one request below `/api`.
pub(super) async fn answer<B>(api: &Api, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let (head, body) = request.into_parts();
    let answered = tokio::time::timeout(CALL_TIMEOUT, serve(api, &head, body)).await;
    let late = || {
        Err(Refused::unavailable(format!(
            "not answered within {CALL_TIMEOUT:?}; what was asked may still be done"
        )))
    };
    answered
        .unwrap_or_else(|_| late())
        .unwrap_or_else(Refused::answer)
}

async fn serve<B>(api: &Api, head: &Parts, body: B) -> Result<Answer, Refused>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    api.check(head)?;
    let (endpoint, segments) = table::find(&head.method, head.uri.path())?;
    let call = Call::read(head, body, segments, &api.bodies).await?;
    let rooms = api.rooms.read().clone();
    let rooms = rooms.ok_or_else(|| Refused::unavailable("the gateway is starting"))?;
    let _permit = api
        .calls
        .acquire()
        .await
        .map_err(|_| Refused::unavailable("the gateway is stopping"))?;
    let answer = (endpoint.handle)(rooms, call).await?;
    held(answer, &api.answers).await
}

/// Somebody guesses the token, or a script has an old one: either should be seen.
fn unknown(strangers: &Quiet, head: &Parts, refused: &Refused) {
    if refused.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    if let Some(suppressed) = strangers.pass() {
        let peer = head.extensions.get::<Peer>().map(Peer::to_string);
        let peer = peer.as_deref().unwrap_or("unknown");
        tracing::warn!(
            peer,
            suppressed,
            "a call of the admin API has no token, or a wrong one"
        );
    }
}

/// Counts the bytes of an answer for as long as they are there.
async fn held(answer: Answer, budget: &Budget) -> Result<Answer, Refused> {
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    let bytes = body.to_bytes();
    if bytes.len() <= ANSWER_FREE_BYTES {
        return Ok(Answer::from_parts(head, Full::new(bytes)));
    }
    let Some(charge) = budget.take(bytes.len() as u64) else {
        return Err(Refused::unavailable(
            "busy: as many bytes of answers are being read as may be; ask again",
        ));
    };
    let held = Held {
        bytes,
        _charge: charge,
    };
    Ok(Answer::from_parts(head, Full::new(Bytes::from_owner(held))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its bytes are counted until they are dropped, as they are when they were written.
    #[tokio::test]
    async fn answers_that_are_being_read_are_bounded_but_small_ones_pass() {
        let answer = |bytes: usize| Answer::new(Full::new(Bytes::from(vec![b'x'; bytes])));
        let budget = Budget::new(3 * ANSWER_FREE_BYTES as u64);
        let large = 2 * ANSWER_FREE_BYTES;
        let first = held(answer(large), &budget).await.expect("room");
        assert_eq!(budget.used(), large as u64);
        let refused = held(answer(large), &budget).await.expect_err("no room");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let small = held(answer(ANSWER_FREE_BYTES), &budget).await;
        small.expect("what was done is told");
        let Ok(body) = first.into_body().collect().await;
        let read = body.to_bytes();
        assert_eq!((read.len(), budget.used()), (large, large as u64));
        drop(read);
        assert_eq!(budget.used(), 0);
        held(answer(10 * large), &budget).await.expect("alone");
    }
}

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

use crate::budget::Budget;
use crate::config::Secret;
use crate::dedupe::Dedupe;
use crate::deliver::Deliver;
use crate::event::{SourceId, TargetId};
use crate::http::Answer;
use crate::store::{Judge, Known, Rejects, Store};
use auth::Auth;
use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::BoxError;

/// Calls that are served at one time; more wait. Enough for a few operators, little beside the senders.
const CALLS: usize = 8;
/// The longest that a call may take, its waiting included. A change that is with the store by then is done in any case.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of all calls' bodies together.
const BODIES_BYTES: u64 = 1 << 20;

/// An answer in the making.
type Handling = Pin<Box<dyn Future<Output = Result<Answer, Refused>> + Send>>;

/// The API of one gateway.
#[derive(Debug)]
pub struct Api {
    auth: Auth,
    calls: Semaphore,
    bodies: Budget,
    rooms: OnceLock<Rooms>,
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
            auth: Auth::new(token, listen),
            calls: Semaphore::new(CALLS),
            bodies: Budget::new(BODIES_BYTES),
            rooms: OnceLock::new(),
        }
    }

    /// Serves what is in these rooms from now on. The first ones count.
    pub fn open(&self, rooms: Rooms) {
        let again = self.rooms.set(rooms);
        debug_assert!(again.is_ok(), "a gateway opens once");
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
    api.auth.check(head)?;
    let (endpoint, segments) = table::find(&head.method, head.uri.path())?;
    let call = Call::read(head, body, segments, &api.bodies).await?;
    let rooms = api
        .rooms
        .get()
        .ok_or_else(|| Refused::unavailable("the gateway is starting"))?;
    let _permit = api
        .calls
        .acquire()
        .await
        .map_err(|_| Refused::unavailable("the gateway is stopping"))?;
    (endpoint.handle)(rooms.clone(), call).await
}

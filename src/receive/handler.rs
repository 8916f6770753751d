//! One request, step by step: route, prove, read, verify, dedupe, store, answer.

use super::caller::Caller;
use super::keys::{Keys, keys};
use super::pass::pass;
use super::rejection::{Cause, Rejection};
use super::source::{Proof, Source};
use super::success::Success;
use super::told::Watched;
use super::{Receive, capture, forward, handshake};
use crate::config::Ack;
use crate::dedupe::{Claim, Ended, Kind, RequestKey, Reservation};
use crate::event::{EventId, FirstAttempts};
use crate::extract::{Members, Parts, event_time_ms};
use crate::http::Answer;
use crate::http::body::{self, BodyLimits};
use crate::network::Client;
use crate::store::{Admission, Destination, NotStored};
use crate::trace::Receiving;
use crate::verify::{self, MayAnswer, Refused, Verified};
use crate::{budget::Charge, clock};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body::Body;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Bytes that a request counts for beside its body: its head and the bookkeeping around it.
pub(super) const REQUEST_OVERHEAD_BYTES: u64 = 2 * 1024;

/// Answers one request.
pub(super) async fn handle<B>(receive: &Receive, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(source) = receive.sources.get(request.uri().path()) else {
        let answer = early(&request, &Rejection::NotFound);
        receive.elsewhere.answered(answer.status().as_u16());
        return answer;
    };
    let proof = source.proof();
    let caller = Caller::find(
        &receive.trusted_proxies,
        request.extensions(),
        request.headers(),
    );
    let client = caller.client;
    let may_be = admitted(receive, source, client).and_then(|()| admissible(proof, &request));
    let watched = Watched::begin(receive, client, &request);
    let span = watched.as_ref().map(|watched| watched.span);
    let (told, answer) = match may_be {
        Err(rejection) => {
            source.rejected(&rejection, client);
            capture::head(receive, source, client, &request, &rejection);
            let answer = early(&request, &rejection);
            let told = watched.map(|watched| watched.refused(&rejection));
            (told, source.allowing(answer))
        }
        Ok(kind) => match take(receive, source, proof, caller, request, kind, span).await {
            Ok(success) => {
                let told = watched.map(|watched| watched.taken(&success));
                (told, source.success(success))
            }
            Err(rejection) => {
                if matches!(rejection.cause(), Cause::Rejected(_)) {
                    receive.failures.failed(source.id, client);
                }
                source.rejected(&rejection, client);
                let told = watched.map(|watched| watched.refused(&rejection));
                (told, source.allowing(rejection.answer()))
            }
        },
    };
    source.metrics.answered(answer.status().as_u16());
    if let Some(told) = told {
        told.answered(receive, source, answer.status());
    }
    answer
}

/// What a request may be, before its body is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MayBe {
    Event,
    /// A vendor's question whether the URL is its own, or an event.
    Handshake(MayAnswer),
}

/// Whether anything of this client is looked at.
fn admitted(receive: &Receive, source: &Source, client: Client) -> Result<(), Rejection> {
    if !source.allows(client) {
        return Err(Rejection::NotAllowed);
    }
    let wait = receive.failures.wait(source.id, client);
    wait.map_or(Ok(()), |wait| Err(Rejection::Client(wait)))
}

/// What can be said before the body is read.
fn admissible<B>(proof: &Proof, request: &Request<B>) -> Result<MayBe, Rejection> {
    let (method, query, headers) = (request.method(), request.uri().query(), request.headers());
    let may_answer = proof.handshakes.may_answer(method, query, headers);
    if method != Method::POST && may_answer.is_none() {
        let asked = verify::Request {
            method,
            query,
            headers,
            body: b"",
        };
        return Err(handshake::unanswered(proof, asked, None));
    }
    if may_answer != Some(MayAnswer::Anybody) {
        // What only a proven sender is answered needs its proof like an event.
        proof.verifier.precheck(method, query, headers)?;
    }
    Ok(may_answer.map_or(MayBe::Event, MayBe::Handshake))
}

/// An answer that leaves before the body was read: with a body to come, the connection ends with it. (hyper would
/// keep it where the whole body happens to have come along with the head; a sender cannot know that.)
fn early<B: Body>(request: &Request<B>, rejection: &Rejection) -> Answer {
    let mut answer = rejection.answer();
    if !request.body().is_end_stream() {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

/// A request that is here as a whole.
struct Sent {
    caller: Caller,
    head: http::request::Parts,
    body: Bytes,
    charge: Charge,
    last_byte: Instant,
    /// By the steady clock, which everything that is kept goes by.
    received_ms: u64,
    /// The same moment by the machine's.
    wall_ms: u64,
    deadline: Instant,
    span: Option<Receiving>,
}

/// A request whose sender is proven, on its way to becoming an event.
pub(super) struct Incoming {
    pub(super) verified: Verified,
    pub(super) charge: Charge,
    /// When it becomes an event, Unix milliseconds.
    pub(super) received_ms: u64,
    /// When its sender sent it to us: what it says about its own time is compared with this.
    pub(super) wall_ms: u64,
    pub(super) query: Option<String>,
    pub(super) caller: Caller,
    pub(super) deadline: Instant,
    /// Whether somebody waits for what the app says to it.
    pub(super) waits: bool,
    /// Its receipt, which its attempts belong to.
    pub(super) span: Option<Receiving>,
}

impl Incoming {
    pub(super) fn parts<'a>(&'a self, members: Option<&'a Members<'a>>) -> Parts<'a> {
        Parts {
            members,
            headers: self.verified.headers(),
            query: self.query.as_deref(),
            body: self.verified.body(),
        }
    }
}

async fn take<B>(
    receive: &Receive,
    source: &Source,
    proof: &Proof,
    caller: Caller,
    request: Request<B>,
    kind: MayBe,
    span: Option<Receiving>,
) -> Result<Success, Rejection>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let deadline = Instant::now() + source.config.ack_deadline;
    let (head, body) = request.into_parts();
    let limits = BodyLimits {
        bytes: source.config.body_limit_bytes,
        timeout: receive.body_timeout,
    };
    let (body, charge) = body::read(body, limits, &source.budget, REQUEST_OVERHEAD_BYTES).await?;
    // What the sender and its vendor say about time is meant by everybody's clock.
    let (received_ms, wall_ms) = clock::both_ms();
    let sent = Sent {
        caller,
        last_byte: Instant::now(),
        received_ms,
        wall_ms,
        head,
        body,
        charge,
        deadline,
        span,
    };
    let (head, body, wall_ms) = (&sent.head, &sent.body, sent.wall_ms);
    let whole = capture::Whole::of(receive, source, caller.client, head, body, wall_ms);
    let result = judge(receive, source, proof, sent, kind).await;
    if let (Err(rejection), Some(whole)) = (&result, whole) {
        whole.keep(receive, source, rejection);
    }
    result
}

/// Whether it is a handshake, or the sender is proven.
async fn judge(
    receive: &Receive,
    source: &Source,
    proof: &Proof,
    sent: Sent,
    kind: MayBe,
) -> Result<Success, Rejection> {
    let Sent {
        caller,
        head,
        body,
        charge,
        last_byte,
        received_ms,
        wall_ms,
        deadline,
        span,
    } = sent;
    let query = head.uri.query().map(str::to_owned);
    if kind == MayBe::Handshake(MayAnswer::Anybody) {
        let request = verify::Request {
            method: &head.method,
            query: query.as_deref(),
            headers: &head.headers,
            body: &body,
        };
        let unproven = Some(&body);
        let answer = handshake::answer(receive, source, proof, request, unproven, wall_ms);
        if let Some(answer) = answer.await? {
            return Ok(Success::Handshake(answer));
        }
    }
    let asks_proven = kind == MayBe::Handshake(MayAnswer::Proven);
    let kept = asks_proven.then(|| head.headers.clone());
    let verified =
        proof
            .verifier
            .verify(&head.method, query.as_deref(), head.headers, body, wall_ms)?;
    // Only now is the body looked into, and it is the authenticated one.
    if let Some(headers) = &kept {
        let request = verify::Request {
            method: &head.method,
            query: query.as_deref(),
            headers,
            body: verified.body(),
        };
        let answer = handshake::answer(receive, source, proof, request, None, wall_ms);
        if let Some(answer) = answer.await? {
            return Ok(Success::Handshake(answer));
        }
    }
    if let Some(secret) = verified.secret() {
        source.metrics.secret_matched(secret);
    }
    let incoming = Incoming {
        verified,
        charge,
        received_ms,
        wall_ms,
        query,
        caller,
        deadline,
        waits: source.config.ack == Ack::Delivered,
        span,
    };
    let result = proceed(receive, source, incoming).await;
    source.metrics.ack_duration.record(last_byte.elapsed());
    result
}

/// From here on the sender is proven.
pub(super) async fn proceed(
    receive: &Receive,
    source: &Source,
    incoming: Incoming,
) -> Result<Success, Rejection> {
    check_age(source, &incoming)?;
    let Some((event_type, targets, keys)) = look_into(receive, source, &incoming) else {
        source.metrics.events.increment("ignored");
        return Ok(Success::Ignored);
    };
    // Before the claim, so that nothing of what is refused is remembered. What came before, or is on its way, is no other
    // event: it takes no place, or whoever plays captured requests again would take those of new ones.
    if source.config.rate.is_some() {
        let now_ms = incoming.received_ms;
        let knows = |key: &RequestKey| receive.dedupe.knows(source.id, *key, now_ms);
        if !keys.claimed.iter().any(knows) {
            source.take_place()?;
        }
    }
    let body_check = crc32fast::hash(incoming.verified.body());
    let reservation = loop {
        match receive
            .dedupe
            .claim(source.id, &keys.claimed, body_check, incoming.received_ms)
        {
            Claim::Ours(reservation) => break reservation,
            Claim::Duplicate { id, conflict } => return Ok(duplicate(source, id, conflict)),
            Claim::AnsweredBefore => {
                source.metrics.events.increment("duplicate");
                return Ok(Success::AnsweredBefore);
            }
            // A duplicate is never answered before its original is durable; it takes its place if that fails.
            Claim::InFlight(waiter) => {
                let same_id = waiter.kind() == Kind::Event;
                match timeout_at(incoming.deadline, waiter.ended()).await {
                    Ok(Ended::Durable {
                        id,
                        body_check: original,
                    }) => {
                        let conflict = same_id && body_check != original;
                        return Ok(duplicate(source, id, conflict));
                    }
                    Ok(Ended::Answered(answered)) => {
                        source.metrics.events.increment("duplicate");
                        return Ok(Success::FromApp(answered));
                    }
                    Ok(Ended::Failed) => {}
                    Err(_) => return Err(Rejection::Late),
                }
            }
        }
    };
    match source.config.ack {
        Ack::Passthrough => {
            pass(
                receive,
                source,
                incoming,
                event_type,
                keys.event,
                targets[0].target,
                reservation,
            )
            .await
        }
        Ack::Stored | Ack::Delivered => {
            admit(
                receive,
                source,
                incoming,
                event_type,
                keys,
                targets,
                reservation,
            )
            .await
        }
    }
}

/// What the request says: the event's type, where it is wanted, and its keys; or that it is wanted nowhere.
fn look_into(
    receive: &Receive,
    source: &Source,
    incoming: &Incoming,
) -> Option<(Option<Arc<str>>, Vec<Destination>, Keys)> {
    let members = Members::default();
    let parts = incoming.parts(Some(&members));
    let event_type = source.config.event_type.text(parts);
    let targets = source.wanted(event_type.as_deref(), parts);
    if targets.is_empty() {
        return None;
    }
    let keys = keys(
        &receive.dedupe,
        source,
        event_type.as_deref(),
        parts,
        incoming.verified.signed(),
        incoming.received_ms,
        receive.store.keeps_history(),
    );
    Some((event_type.map(Into::into), targets, keys))
}

/// `max_age`: an event that does not say when it happened cannot be proven to be young.
pub(super) fn check_age(source: &Source, incoming: &Incoming) -> Result<(), Refused> {
    let Some(max_age) = source.config.max_age else {
        return Ok(());
    };
    let time_ms = source
        .config
        .event_time
        .text(incoming.parts(None))
        .and_then(|time| event_time_ms(&time));
    let young = time_ms
        .is_some_and(|time_ms| incoming.wall_ms.saturating_sub(time_ms) <= clock::millis(max_age));
    if young { Ok(()) } else { Err(Refused::Stale) }
}

fn duplicate(source: &Source, id: EventId, conflict: bool) -> Success {
    source.metrics.events.increment("duplicate");
    if conflict {
        source.conflicted(id);
    }
    Success::Duplicate(id)
}

/// `stored` and `delivered`: the event goes to the writer, and is its own from then on.
async fn admit(
    receive: &Receive,
    source: &Source,
    incoming: Incoming,
    event_type: Option<Arc<str>>,
    keys: Keys,
    targets: Vec<Destination>,
    reservation: Reservation,
) -> Result<Success, Rejection> {
    let Incoming {
        mut verified,
        charge,
        received_ms,
        caller,
        deadline,
        waits,
        span,
        ..
    } = incoming;
    forward::prepare(verified.headers_mut(), caller);
    if let Some(span) = span {
        span.mark(verified.headers_mut());
    }
    let (first_attempts, first_ended) = waits.then(|| FirstAttempts::new(targets.len())).unzip();
    let committed = receive.store.admit(Admission {
        source: source.id,
        source_name: Arc::clone(&source.config.name),
        event_type,
        key: keys.event,
        key_name: Arc::clone(&source.key_name),
        vendor_id: keys.vendor_id,
        received_ms,
        verified,
        targets,
        reservation,
        charge,
        first_attempts,
        metrics: Arc::clone(&source.metrics),
    })?;
    let id = match timeout_at(deadline, committed).await {
        Ok(Ok(stored)) => stored?,
        // The writer is gone with the event unanswered: nobody knows whether it is stored.
        Ok(Err(_)) => return Err(NotStored::Unavailable.into()),
        Err(_) => return Err(Rejection::Late),
    };
    let Some(first_ended) = first_ended else {
        return Ok(Success::Accepted(id));
    };
    let delivered = tokio::select! {
        biased;
        ended = timeout_at(deadline, first_ended) => matches!(ended, Ok(Ok(true))),
        () = receive.over() => false,
    };
    // As where events are sent on: those that are answered now are answered together.
    tokio::task::yield_now().await;
    Ok(Success::Delivered(id, delivered))
}

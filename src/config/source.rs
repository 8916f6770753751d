//! A source: who sends, how that is proven, what makes two requests one event, and where events go.

use super::{Patterns, Secret, Verify, handshake::Handshake};
use crate::extract::{Field, KeyExpr};
use crate::network::Networks;
use crate::rate::Rate;
use http::{HeaderName, HeaderValue, StatusCode};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// One sender.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name: `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: Arc<str>,
    /// The name it had before; keys are hashed under it.
    pub replaces: Option<Arc<str>>,
    /// The preset it started from.
    pub provider: Option<String>,
    /// Exact path of its requests.
    pub path: String,
    /// How a request proves who sent it.
    pub verify: Verify,
    /// What it may be proven with; empty only with [`Verify::None`].
    pub secrets: Vec<Secret>,
    /// The URL that the sender was given, without a query.
    pub public_url: Option<Arc<str>>,
    /// Texts for templates, by name. They may be as confidential as a secret.
    pub params: Vec<(Arc<str>, Secret)>,
    /// The file of its secret, where a handshake brings one.
    pub learn_to: Option<PathBuf>,
    /// What is answered to a vendor that asks whether the URL is its own.
    pub handshakes: Vec<Handshake>,
    /// What names an event; empty means the body.
    pub event_id: KeyExpr,
    /// What says its type.
    pub event_type: KeyExpr,
    /// What says when it happened.
    pub event_time: KeyExpr,
    /// Oldest `event_time` that is taken; `None` is no limit.
    pub max_age: Option<Duration>,
    /// What is remembered.
    pub dedupe: Dedupe,
    /// Whether the scheme is known from the vendor's own documents or code; `None` is not said.
    pub status: Option<Status>,
    /// How long the sender goes on sending an event that was not taken; `None` is unknown.
    pub sender_retries: Option<Duration>,
    /// How often something comes, at the least; `None` is not said.
    pub expect_every: Option<Duration>,
    /// What `send` sends.
    pub sample: Option<Sample>,
    /// How long the sender waits for an answer.
    pub sender_timeout: Duration,
    /// When 2xx leaves.
    pub ack: Ack,
    /// When an answer leaves in any case.
    pub ack_deadline: Duration,
    /// What a success looks like.
    pub respond: Respond,
    /// Where events go, in the order of the file.
    pub routes: Vec<Route>,
    /// Bytes of a body.
    pub body_limit_bytes: u64,
    /// Events that are accepted; `None` is no limit.
    pub rate: Option<Rate>,
    /// Who may send; `None` is everybody.
    pub allow_from: Option<Networks>,
    /// How many of its refused requests are kept; `None` is none.
    pub rejects: Option<Rejects>,
}

/// Bounds of the ring of a source's refused requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejects {
    /// How many.
    pub keep: usize,
    /// Bytes of heads and bodies.
    pub max_size_bytes: u64,
}

impl Source {
    /// The name that keys are hashed under: it survives a renaming.
    pub fn key_name(&self) -> &str {
        self.replaces.as_deref().unwrap_or(&self.name)
    }

    /// How long a `dedupe.replay` key is remembered: until its timestamp can no longer pass (as long as it may lie
    /// in the past, and in the future before that), or like any other key where nothing limits its age.
    pub fn replay_window(&self) -> Duration {
        self.verify.lifetime().unwrap_or(self.dedupe.window)
    }
}

/// Where the facts of a scheme come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The vendor's own documents or code.
    Verified,
    /// Somebody else's.
    Unverified,
}

/// A request as the vendor sends it, but for its signature. Its texts may hold `<uuid>`, `<number>`, `<unix>`,
/// `<unix_ms>` and `<rfc3339>`, fresh in each event.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Beside those that are signed.
    pub headers: Vec<(HeaderName, String)>,
    /// Of the body.
    pub content_type: HeaderValue,
    /// Of the URL, without `?`; empty for none.
    pub query: String,
    /// The body.
    pub body: String,
}

/// What is remembered of an event.
#[derive(Clone, Debug)]
pub struct Dedupe {
    /// How long its key is remembered.
    pub window: Duration,
    /// Events that are never duplicates.
    pub skip: Vec<SkipRule>,
    /// A second key, for vendors whose event id is not signed: these together. Empty for none.
    pub replay: Vec<Replay>,
}

/// What a captured request cannot change when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The verified signature, decoded: however it is written, it is the same. Only with schemes that sign.
    /// The header that carries the signature is read as this, too.
    Signature,
    /// Another part of the request.
    Field(Field),
}

/// Which events are never duplicates.
#[derive(Clone, Debug)]
pub enum SkipRule {
    /// Events of these types; the type is signed (it comes from the body, or everything that decides it is covered).
    Event(Patterns),
    /// Events of these types whose type is not covered by the signature: bounded like a header.
    UnsignedEvent(Patterns),
    /// Requests with this header. A header is not signed, so the exemption is bounded.
    Header(HeaderName, HeaderValue),
}

/// When 2xx leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// When the event is durable.
    Stored,
    /// When it is durable and every first attempt has ended.
    Delivered,
    /// When the app answers; nothing is stored.
    Passthrough,
}

/// What replaces the answer of every success.
#[derive(Clone, Debug)]
pub struct Respond {
    /// 200 to 299.
    pub status: StatusCode,
    /// Replaces the JSON that says what happened.
    pub body: Option<bytes::Bytes>,
    /// Of `body`.
    pub content_type: HeaderValue,
}

/// Where events go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Name of a target of the same configuration.
    pub target: Arc<str>,
    /// Which events; everything where the user wrote nothing.
    pub events: Patterns,
}

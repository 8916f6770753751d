//! A source: who sends, how that is proven, what makes two requests one event, and where events go.

use super::{
    Patterns, Secret,
    template::{Piece, Template},
};
use crate::extract::{Field, KeyExpr};
use http::{HeaderName, HeaderValue, StatusCode};
use std::{sync::Arc, time::Duration};

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
}

impl Source {
    /// The name that keys are hashed under: it survives a renaming.
    pub fn key_name(&self) -> &str {
        self.replaces.as_deref().unwrap_or(&self.name)
    }

    /// How long a `dedupe.replay` key is remembered: until its timestamp can no longer pass (twice the
    /// tolerance, since it may lie in the future by as much), or like any other key where nothing limits its age.
    pub fn replay_window(&self) -> Duration {
        match &self.verify {
            Verify::Hmac(Hmac {
                timestamp: Some(timestamp),
                ..
            }) => timestamp.tolerance * 2,
            _ => self.dedupe.window,
        }
    }
}

/// How a request proves who sent it.
#[derive(Clone, Debug)]
pub enum Verify {
    /// A keyed hash over the request (RFC 2104).
    Hmac(Hmac),
    /// A header that equals a secret. `bearer` is this with `Authorization` and a scheme (RFC 6750).
    Token(Token),
    /// Nothing is proven; written out by the user.
    None,
}

impl Verify {
    /// Whether what stands in this field is proven to come from the sender. With a token the sender is
    /// authenticated as a whole; with an HMAC only what is signed is; with `none` nothing is.
    pub fn covers(&self, field: &Field) -> bool {
        match self {
            Self::Token(_) => true,
            Self::None => false,
            Self::Hmac(hmac) => hmac.covers(field),
        }
    }
}

impl Hmac {
    fn covers(&self, field: &Field) -> bool {
        match field {
            Field::Json(_) | Field::Body => self.signed.covers(&Piece::Body),
            Field::Query(_) => false,
            Field::Header(name) => {
                let as_timestamp = self.signed.covers(&Piece::Timestamp)
                    && self
                        .timestamp
                        .as_ref()
                        .is_some_and(|timestamp| timestamp.header == *name);
                as_timestamp || self.signed.covers(&Piece::Header(name.clone()))
            }
        }
    }
}

/// An HMAC scheme.
#[derive(Clone, Debug)]
pub struct Hmac {
    /// Where the signature is.
    pub header: HeaderName,
    /// What stands before it, such as `sha256=`.
    pub prefix: String,
    /// The hash.
    pub algorithm: Algorithm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What is signed.
    pub signed: Template,
    /// The signed timestamp, if the scheme has one.
    pub timestamp: Option<Timestamp>,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, 20 bytes. Old, yet safe as an HMAC.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

/// How bytes are written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Base 16, either case (RFC 4648 8).
    Hex,
    /// Base 64 with padding (RFC 4648 4).
    Base64,
    /// URL-safe base 64, with or without padding (RFC 4648 5).
    Base64Url,
}

/// A signed timestamp. Only a timestamp that the signature covers is ever looked at.
#[derive(Clone, Debug)]
pub struct Timestamp {
    /// Where it is.
    pub header: HeaderName,
    /// How it is written.
    pub format: TimeFormat,
    /// How far it may lie in the past or in the future.
    pub tolerance: Duration,
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Unix seconds.
    Unix,
    /// Unix milliseconds.
    UnixMs,
    /// RFC 3339.
    Rfc3339,
}

/// A header whose value must equal a secret.
#[derive(Clone, Debug)]
pub struct Token {
    /// Where the secret is.
    pub header: HeaderName,
    /// What stands before it; of a scheme with the space that follows it, as in `Bearer `.
    pub prefix: String,
    /// Whether the prefix is an authentication scheme, compared without case (RFC 9110 11.1).
    pub scheme: bool,
}

/// What is remembered of an event.
#[derive(Clone, Debug)]
pub struct Dedupe {
    /// How long its key is remembered.
    pub window: Duration,
    /// Events that are never duplicates.
    pub skip: Vec<SkipRule>,
    /// A second key, for vendors whose event id is not signed.
    pub replay: Option<Replay>,
}

/// What a captured request cannot change when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The verified signature, decoded: however it is written, it is the same. Only with [`Verify::Hmac`].
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

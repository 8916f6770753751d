//! The memory of keys: which events are in flight (not yet durable) and which were durable within the window.
//!
//! Invariants: a duplicate is never answered before its original is durable; a key is remembered only together
//! with its payload; every state change of one key happens under that key's lock; memory per remembered key is
//! at most 80 bytes.

use crate::event::{DedupeKey, EventId, Seq, SourceId, StoreTag};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The event's own key: it comes once.
    Event = 0,
    /// `dedupe.replay`: this very request comes once.
    Replay = 1,
    /// The body of a request without the unsigned mark of `dedupe.skip`: with the mark it does not come again.
    Body = 2,
}

/// A key as it is remembered: 16 bytes of HMAC-SHA256 under the store's secret over kind and [`DedupeKey`].
pub type Hash = [u8; 16];

/// One key of a request, with what it is compared by.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey {
    /// What it stands for.
    pub kind: Kind,
    /// The canonical key. (The source's key name is part of it.)
    pub key: DedupeKey,
}

/// A key of a durable event, as the store keeps it and gives it back at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Whose key.
    pub source: SourceId,
    /// What it stands for.
    pub kind: Kind,
    /// The keyed hash.
    pub hash: Hash,
    /// The event.
    pub seq: Seq,
    /// Its time of receipt, Unix milliseconds.
    pub received_ms: u64,
    /// CRC-32 of its body, to notice the same id with another body.
    pub body_check: u32,
}

/// The windows of one source.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Of [`Kind::Event`] and [`Kind::Body`].
    pub event: Duration,
    /// Of [`Kind::Replay`].
    pub replay: Duration,
}

/// What the app answered in `passthrough`: what its in-flight duplicates get too.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The app's, or 502/504.
    pub status: StatusCode,
    /// The app's.
    pub content_type: Option<HeaderValue>,
    /// The app's, bounded.
    pub body: Bytes,
}

/// How an in-flight event ended, for those who waited on it.
#[derive(Clone, Debug)]
pub enum Ended {
    /// It is durable: its duplicate may be answered.
    Durable(EventId),
    /// `passthrough`: the app answered.
    Answered(Answered),
    /// It failed: the one who waited may take its place.
    Failed,
}

/// What a request's keys say.
#[derive(Debug)]
pub enum Claim {
    /// Nobody has them: the event is ours to admit.
    Ours(Reservation),
    /// A durable event has one of them.
    Duplicate {
        /// The original.
        id: EventId,
        /// Same id, other body.
        conflict: bool,
    },
    /// `passthrough`: answered before; there is no id.
    AnsweredBefore,
    /// An event in flight has one of them: wait and claim again if it failed.
    InFlight(Waiter),
}

/// The memory. One for a gateway, shared.
#[derive(Debug)]
pub struct Dedupe {}

impl Dedupe {
    /// An empty memory. `secret` keys the hashes; `limit` bounds the keys over all sources.
    pub fn new(
        _secret: &[u8; 32],
        _store_tag: StoreTag,
        _limit: usize,
        _sources: &[(SourceId, Windows)],
    ) -> Arc<Self> {
        todo!()
    }

    /// Puts back a key of a durable event, in order of `seq`. False if it is too old (or its source is unknown):
    /// then it is not remembered, and the store may forget it.
    pub fn restore(&self, _key: Remembered, _now_ms: u64) -> bool {
        todo!()
    }

    /// Claims all `keys` for one event, or none of them.
    pub fn claim(
        self: &Arc<Self>,
        _source: SourceId,
        _keys: &[RequestKey],
        _body_check: u32,
        _now_ms: u64,
    ) -> Claim {
        todo!()
    }

    /// Whether this key is remembered or in flight, without claiming it (the bound on `dedupe.skip`).
    pub fn knows(&self, _source: SourceId, _key: RequestKey, _now_ms: u64) -> bool {
        todo!()
    }

    /// Forgets what is past its window, at most `most` keys, and returns what the store should forget too:
    /// these, and keys evicted since the last call. Called again at once while it returns `most`.
    pub fn expire(&self, _now_ms: u64, _most: usize) -> Vec<(Seq, Kind)> {
        todo!()
    }

    /// Keys remembered for a source now.
    pub fn len(&self, _source: SourceId) -> usize {
        todo!()
    }

    /// Keys evicted so far because of the limit.
    pub fn evictions(&self) -> u64 {
        todo!()
    }

    /// The window that a source has in effect: the configured one, or the age of its oldest key once keys
    /// had to be evicted before their time.
    pub fn effective_window(&self, _source: SourceId, _now_ms: u64) -> Duration {
        todo!()
    }
}

/// Keys in flight. Dropped without a word, the event has failed: the keys are free and who waits is told.
#[derive(Debug)]
pub struct Reservation {}

impl Reservation {
    /// What the store has to keep with the event: kind and hash of each key.
    pub fn keys(&self) -> &[(Kind, Hash)] {
        todo!()
    }

    /// CRC-32 of the body that the keys were claimed with.
    pub fn body_check(&self) -> u32 {
        todo!()
    }

    /// The event is durable with its keys: they are remembered from now on, and who waits is told.
    pub fn durable(self, _seq: Seq, _received_ms: u64, _id: EventId) {
        todo!()
    }

    /// `passthrough`: the app has answered. With `remember` the keys stay for their window (in memory alone);
    /// without, they are free again. Who waits gets the answer either way.
    pub fn answered(self, _answer: Answered, _remember: bool, _now_ms: u64) {
        todo!()
    }
}

/// Waits for the end of an event in flight.
#[derive(Debug)]
pub struct Waiter {}

impl Waiter {
    /// Resolves when the original is durable, answered or failed. Safe to drop at any time.
    pub async fn ended(self) -> Ended {
        todo!()
    }
}

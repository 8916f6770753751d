//! The memory of keys: which events are in flight (not yet durable) and which were durable within the window.
//!
//! Invariants: a duplicate is never answered before its original is durable; a key is remembered only together
//! with its payload; every state change of one key happens under that key's lock; memory per remembered key is
//! at most 80 bytes.
//!
//! A key's lock is its shard of the map. Under it, and never the other way round, the locks of a source's rings
//! and of the table of events in flight are taken; these two are never held together. Nobody waits under a lock.

mod in_flight;
mod memory;
mod place;
mod reservation;
mod ring;
mod source;

pub use in_flight::Waiter;
pub use memory::Dedupe;
pub use reservation::Reservation;

use crate::event::{DedupeKey, EventId, Seq, SourceId};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
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

impl Kind {
    /// All of them, in the order in which a request's keys are claimed. Since a request waits only while it holds
    /// nothing, and gives up a key only for one of a later kind, some request always gets through.
    pub const ALL: [Self; 3] = [Self::Event, Self::Replay, Self::Body];
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

/// What becomes of a key that the store gives back at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is remembered.
    Remembered,
    /// It is past its window: the store may forget it.
    Past,
    /// The memory was not made for its source, which may come back: the store had better keep it for a while.
    Stranger,
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
    Durable {
        /// The original.
        id: EventId,
        /// CRC-32 of its body.
        body_check: u32,
    },
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

#[cfg(test)]
mod tests;

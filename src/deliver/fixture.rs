//! Events and rows for the tests of this room.

use crate::event::{DedupeKey, Event, EventId, FirstAttempts, Seq, StoreTag};
use crate::store::Delivery;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

/// An event with this number, received at time 0.
pub(super) fn event(seq: u64) -> Arc<Event> {
    Arc::new(build(seq, None))
}

/// An event whose first attempts somebody waits for.
pub(super) fn watched(seq: u64, waiting: FirstAttempts) -> Arc<Event> {
    Arc::new(build(seq, Some(waiting)))
}

fn build(seq: u64, first_attempts: Option<FirstAttempts>) -> Event {
    Event {
        seq: Seq(seq),
        id: EventId::new(0, StoreTag(1), Seq(seq)),
        received_ms: 0,
        source: "erp".into(),
        event_type: None,
        key: DedupeKey([0; 32]),
        headers: HeaderMap::new(),
        secret_header: None,
        body: Bytes::from_static(b"{}"),
        first_attempts,
    }
}

/// A row without an attempt.
pub(super) fn row(seq: u64) -> Delivery {
    Delivery {
        event: Some(event(seq)),
        seq: Seq(seq),
        attempts: 0,
        due_ms: None,
        replay: 0,
        since_ms: None,
        lane: None,
    }
}

/// A row that waits for its retry.
pub(super) fn retry_row(seq: u64, attempts: u32, due_ms: u64) -> Delivery {
    Delivery {
        attempts,
        due_ms: Some(due_ms),
        ..row(seq)
    }
}

//! One delivery in memory, from the moment it is queued until its attempt has ended.

use crate::budget::{Budget, Charge};
use crate::event::{Event, Lane, Seq};
use crate::store::Delivery;
use std::sync::Arc;

/// A delivery that is queued or being attempted.
#[derive(Debug)]
pub(super) struct Job {
    /// The event; `None` if its row is damaged.
    pub(super) event: Option<Arc<Event>>,
    /// Of the event.
    pub(super) seq: Seq,
    /// Attempts made before this one.
    pub(super) attempts: u32,
    /// When it was due, Unix milliseconds; `None` for a first attempt.
    pub(super) due_ms: Option<u64>,
    /// Which replay it is; 0: none.
    pub(super) replay: u32,
    /// When that was asked for, Unix milliseconds.
    pub(super) since_ms: Option<u64>,
    /// The line it waits in.
    pub(super) lane: Option<Lane>,
    /// Its weight in the backlog, bytes.
    pub(super) weight: u64,
    /// Whether a half open breaker let it through.
    pub(super) probe: bool,
    /// Its bytes in memory, given back when dropped.
    #[expect(dead_code, reason = "held to be dropped")]
    charge: Option<Charge>,
}

impl Job {
    /// An event that was just admitted, if the budget has room for it.
    pub(super) fn admitted(
        event: &Arc<Event>,
        weight: u64,
        lane: Option<Lane>,
        memory: &Budget,
    ) -> Option<Self> {
        Some(Self {
            event: Some(Arc::clone(event)),
            seq: event.seq,
            attempts: 0,
            due_ms: None,
            replay: 0,
            since_ms: None,
            lane,
            weight,
            probe: false,
            charge: Some(memory.take(weight)?),
        })
    }

    /// A delivery read from the store, if the budget has room for it. The first of an empty queue (`first`) is
    /// taken even so, uncharged: otherwise targets that fill the memory could stop another one for good.
    pub(super) fn read(delivery: Delivery, memory: &Budget, first: bool) -> Option<Self> {
        let weight = delivery.event.as_ref().map_or(0, |event| event.weight());
        let charge = memory.take(weight);
        if charge.is_none() && !first {
            return None;
        }
        Some(Self {
            event: delivery.event,
            seq: delivery.seq,
            attempts: delivery.attempts,
            due_ms: delivery.due_ms,
            replay: delivery.replay,
            since_ms: delivery.since_ms,
            lane: delivery.lane,
            weight,
            probe: false,
            charge,
        })
    }

    /// Tells whoever waits for the event's first attempts how this target's one ended. Only an event that came
    /// straight from its admission has somebody waiting, so telling about a retry tells nobody.
    pub(super) fn tell(&self, delivered: bool) {
        if let Some(event) = &self.event {
            tell(event, delivered);
        }
    }
}

/// Tells whoever waits for the first attempts of `event` how one target's ended. At most once for each target.
pub(super) fn tell(event: &Event, delivered: bool) {
    if let Some(waiting) = &event.first_attempts {
        waiting.ended(delivered);
    }
}

//! A target that the configuration no longer names: nothing is attempted, but what waits, dies and is forgotten
//! there is counted and logged as everywhere.

use super::{TargetStatus, log, target::gauge};
use crate::clock;
use crate::event::TargetId;
use crate::metrics::TargetMetrics;
use crate::store::{Abandoned, Backlog, DeadReason, NotStored, Outcome, Settlement, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What it left.
#[derive(Debug)]
pub struct Removed {
    /// Its number in the store.
    pub id: TargetId,
    /// Its name.
    pub name: Arc<str>,
    /// What waits for it.
    pub backlog: Backlog,
    /// Its handles.
    pub metrics: TargetMetrics,
}

/// The same, from the start on.
#[derive(Debug)]
pub(super) struct Estate {
    id: TargetId,
    name: Arc<str>,
    metrics: TargetMetrics,
    pending: AtomicU64,
    pending_bytes: AtomicU64,
}

impl Estate {
    pub(super) fn new(removed: Removed) -> Self {
        let Removed {
            id,
            name,
            backlog,
            metrics,
        } = removed;
        metrics.pending.set(gauge(backlog.deliveries));
        metrics.dead.set(gauge(backlog.dead));
        Self {
            id,
            name,
            metrics,
            pending: AtomicU64::new(backlog.deliveries),
            pending_bytes: AtomicU64::new(backlog.bytes),
        }
    }

    /// A delivery is given up.
    pub(super) fn abandoned(&self, delivery: &Abandoned) {
        let Outcome::Dead { reason, attempts } = delivery.settlement.outcome else {
            return;
        };
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.pending_bytes
            .fetch_sub(delivery.settlement.bytes, Ordering::Relaxed);
        self.metrics.pending.decrement(1.0);
        self.metrics.dead.increment(1.0);
        self.metrics.dead_total.increment(log::word(reason));
        log::abandoned(delivery, &self.name, attempts, DeadReason::Removed);
    }

    /// A delivery is given up by an operator, or since its payload is damaged.
    pub(super) fn discarded(&self, settlement: &Settlement) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.pending_bytes
            .fetch_sub(settlement.bytes, Ordering::Relaxed);
        self.metrics.pending.decrement(1.0);
        self.metrics.dead.increment(1.0);
        if let Outcome::Dead { reason, .. } = settlement.outcome {
            self.metrics.dead_total.increment(log::word(reason));
        }
    }

    /// Dead letters are kept no longer.
    pub(super) fn forgotten(&self, count: u64) {
        self.metrics.dead.decrement(gauge(count));
    }

    /// What an operator sees: nothing is attempted here, and nothing can be.
    pub(super) fn status(&self) -> TargetStatus {
        TargetStatus {
            id: self.id,
            name: Arc::clone(&self.name),
            url: String::new(),
            configured: false,
            state: "paused",
            paused: false,
            pending: self.pending.load(Ordering::Relaxed),
            pending_bytes: self.pending_bytes.load(Ordering::Relaxed),
            in_flight: 0,
            consecutive_failures: 0,
        }
    }

    /// Tells how long the oldest waits.
    pub(super) async fn show_oldest(&self, store: &Store) -> Result<(), NotStored> {
        let received_ms = if self.pending.load(Ordering::Relaxed) > 0 {
            store.oldest(self.id).await?
        } else {
            None
        };
        let age = received_ms.map_or(0.0, |ms| clock::age_seconds(ms, clock::unix_ms()));
        self.metrics.oldest_pending.set(age);
        Ok(())
    }
}

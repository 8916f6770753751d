//! What follows at a target from what the store's writer announces: the scheduler learns it, gauges move, and whoever has
//! to act or waits to be told is woken.
//!
//! Invariant: each delivery counts as waiting once from its announcement until it is delivered or dead.

use super::{Target, gauge};
use crate::clock;
use crate::deliver::scheduler::Scheduler;
use crate::deliver::{job, log};
use crate::event::{Event, Lane};
use crate::store::{Abandoned, DeadReason, Outcome, Settlement};
use std::sync::Arc;
use tokio::time::Instant;

impl Target {
    /// The writer announces an event.
    pub(in crate::deliver) fn admitted(self: &Arc<Self>, event: &Arc<Event>, lane: Option<Lane>) {
        self.metrics.pending.increment(1.0);
        let weight = event.weight();
        let (queued, summon, reader) = {
            let mut scheduler = self.scheduler.lock();
            if !scheduler.is_pending() {
                // It must not look as if nothing waited until the next upkeep.
                let age = clock::age_seconds(event.received_ms, clock::unix_ms());
                self.metrics.oldest_pending.set(age);
            }
            let queued = scheduler.admitted(event, weight, lane);
            let summon = if queued {
                scheduler.summon(Instant::now)
            } else {
                None
            };
            (queued, summon, scheduler.wants_reader())
        };
        if let Some(summon) = summon {
            self.call(summon);
        }
        if reader {
            self.reader.notify_one();
        }
        if !queued {
            job::tell(event, false);
        }
    }

    /// Settlements of this target are durable.
    pub(in crate::deliver) fn settled(self: &Arc<Self>, settlements: &[Settlement]) {
        let reader = {
            let mut scheduler = self.scheduler.lock();
            for settlement in settlements {
                scheduler.settled(settlement);
            }
            if !scheduler.is_pending() {
                self.metrics.oldest_pending.set(0.0);
            }
            scheduler.wants_reader()
        };
        for settlement in settlements {
            match settlement.outcome {
                Outcome::Delivered => self.metrics.pending.decrement(1.0),
                Outcome::Retry { .. } => {}
                Outcome::Dead { reason, .. } => {
                    self.metrics.pending.decrement(1.0);
                    self.died(reason);
                }
            }
        }
        if reader {
            self.reader.notify_one();
        }
        self.summon_all();
    }

    /// A settlement changed nothing, since its delivery was discarded meanwhile.
    pub(in crate::deliver) fn in_vain(self: &Arc<Self>, settlement: &Settlement) {
        self.change(|scheduler| scheduler.in_vain(settlement.lane, settlement.seq));
    }

    /// An operator's replay waits.
    pub(in crate::deliver) fn replayed(self: &Arc<Self>, bytes: u64, due_ms: u64) {
        self.metrics.pending.increment(1.0);
        self.change(|scheduler| scheduler.replayed(bytes, due_ms));
    }

    /// An operator has given a delivery up.
    pub(in crate::deliver) fn discarded(self: &Arc<Self>, settlement: &Settlement) {
        self.metrics.pending.decrement(1.0);
        let reason = match settlement.outcome {
            Outcome::Dead { reason, .. } => reason,
            Outcome::Delivered | Outcome::Retry { .. } => DeadReason::Discarded,
        };
        self.died(reason);
        let gone = self.change(|scheduler| scheduler.discarded(settlement));
        if let Some(job) = gone {
            job.tell(false);
        }
    }

    /// A delivery to a target that is not configured has waited for too long.
    pub(in crate::deliver) fn abandoned(self: &Arc<Self>, delivery: &Abandoned) {
        self.discarded(&delivery.settlement);
        if let Outcome::Dead { attempts, .. } = delivery.settlement.outcome {
            log::abandoned(delivery, &self.name, attempts, DeadReason::Removed);
        }
    }

    /// Retries are due earlier than they were.
    pub(in crate::deliver) fn hastened(self: &Arc<Self>, due_ms: u64) {
        self.change(|scheduler| scheduler.hastened(due_ms));
    }

    /// Something changed that nobody at work has done.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut Scheduler) -> T) -> T {
        let (changed, reader) = {
            let mut scheduler = self.scheduler.lock();
            let changed = change(&mut scheduler);
            if !scheduler.is_pending() {
                self.metrics.oldest_pending.set(0.0);
            }
            (changed, scheduler.wants_reader())
        };
        if reader {
            self.reader.notify_one();
        }
        self.summon_all();
        changed
    }

    /// A delivery was a dead letter from the start.
    pub(in crate::deliver) fn refused(&self, event: &Event) {
        self.died(DeadReason::Backlog);
        log::dead(event, &self.name, 0, DeadReason::Backlog, None);
        job::tell(event, false);
    }

    /// Dead letters are kept no longer.
    pub(in crate::deliver) fn forgotten(&self, count: u64) {
        self.metrics.dead.decrement(gauge(count));
    }

    fn died(&self, reason: DeadReason) {
        self.metrics.dead.increment(1.0);
        self.metrics.dead_total.increment(log::word(reason));
    }
}

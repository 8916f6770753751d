//! What the store's writer announces to a target: events, settlements, and what operators did to what waits.
//!
//! Invariant: what is announced is durable already, and counted here once; whatever the reader has to look at because of it
//! has it rung for.

use super::{Duty, Scheduler};
use crate::deliver::job::Job;
use crate::event::{Event, Lane, Seq};
use crate::store::{Outcome, Settlement};
use std::sync::Arc;

impl Scheduler {
    /// The writer announces an event. True if it was queued; otherwise its first attempt has to wait.
    pub(in crate::deliver) fn admitted(
        &mut self,
        event: &Arc<Event>,
        weight: u64,
        lane: Option<Lane>,
    ) -> bool {
        let is_free = self.lanes.may_queue(lane, self.fresh.is_live());
        self.pending.deliveries += 1;
        self.pending.bytes += weight;
        let was_live = self.fresh.is_live();
        let may_queue =
            self.duty != Duty::Over && !self.is_held() && self.breaker.is_closed() && is_free;
        let queued = self
            .fresh
            .admitted(event, weight, lane, may_queue, &self.memory);
        if queued {
            self.lanes.occupy(lane, event.seq);
        } else if event.seq <= self.fresh.cursor() {
            self.reader_wanted |= self.lanes.passed(lane);
        }
        self.reader_wanted |= was_live && !self.fresh.is_live();
        queued
    }

    /// A settlement of this target is durable.
    pub(in crate::deliver) fn settled(&mut self, settlement: &Settlement) {
        self.out.remove(&settlement.seq);
        self.due.settled(settlement.seq);
        match settlement.outcome {
            Outcome::Retry { due_ms, .. } => self.reader_wanted |= self.due.expect(due_ms),
            Outcome::Delivered | Outcome::Dead { .. } => {
                self.one_less(settlement.bytes);
            }
        }
        let for_good = !matches!(settlement.outcome, Outcome::Retry { .. });
        if !for_good {
            self.lanes.left_in_store();
        } else if self.pending.deliveries == 0 {
            self.lanes.nothing_waits();
        }
        self.leave_lane(settlement.lane, settlement.seq, for_good);
    }

    /// What waits is less by one delivery. A damaged one does not know its bytes: they are right again with the last.
    fn one_less(&mut self, bytes: u64) {
        self.pending.deliveries = self.pending.deliveries.saturating_sub(1);
        self.pending.bytes = match self.pending.deliveries {
            0 => 0,
            _ => self.pending.bytes.saturating_sub(bytes),
        };
    }

    /// A delivery has left its lane, `for_good` or until its retry.
    fn leave_lane(&mut self, lane: Option<Lane>, seq: Seq, for_good: bool) {
        let freed = self.lanes.settled(lane, seq, for_good);
        if freed && self.is_all_here() {
            // Nothing waits in the store that could be next.
            self.lanes.forget_freed();
        } else {
            self.reader_wanted |= freed || self.lanes.is_overflowed();
        }
    }

    /// Whether everything that waits and was announced is queued or out.
    fn is_all_here(&self) -> bool {
        self.fresh.is_live() && !self.lanes.has_more()
    }

    /// A settlement changed nothing: an operator had discarded the delivery while it was attempted. A replay of it
    /// may wait since, and was passed over as long as it was out.
    pub(in crate::deliver) fn in_vain(&mut self, lane: Option<Lane>, seq: Seq) {
        self.out.remove(&seq);
        self.leave_lane(lane, seq, true);
        self.reader_wanted |= self.due.expect(0);
    }

    /// An operator's replay waits in the store.
    pub(in crate::deliver) fn replayed(&mut self, bytes: u64, due_ms: u64) {
        self.pending.deliveries += 1;
        self.pending.bytes += bytes;
        self.lanes.left_in_store();
        self.reader_wanted |= self.due.expect(due_ms);
    }

    /// An operator has given a delivery up. If it is queued it is not attempted any more, and whoever waits for it has
    /// to be told; if it is out, its settlement is still to come.
    pub(in crate::deliver) fn discarded(&mut self, settlement: &Settlement) -> Option<Job> {
        self.one_less(settlement.bytes);
        self.due.settled(settlement.seq);
        let fresh = self.fresh.discard(settlement.seq);
        let queued = fresh
            .or_else(|| self.due.discard(settlement.seq))
            .or_else(|| self.lanes.discard(settlement.seq));
        // It may have been the last of its queue, which the reader waits for.
        self.reader_wanted |= queued.is_some();
        if !self.out.contains(&settlement.seq) {
            self.leave_lane(settlement.lane, settlement.seq, true);
        }
        queued
    }

    /// Retries that wait in the store are due earlier than they were.
    pub(in crate::deliver) fn hastened(&mut self, due_ms: u64) {
        self.reader_wanted |= self.due.expect(due_ms);
    }
}

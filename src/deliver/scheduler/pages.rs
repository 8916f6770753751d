//! Which page a target has read next, and what becomes of it once it was read, or could not be.
//!
//! Invariants: nothing is read that there is no room for; each page that is begun ends by one of the functions here.

use super::{Duty, Scheduler};
use crate::deliver::breaker::Change;
use crate::deliver::due::DuePage;
use crate::deliver::fresh::FreshPage;
use crate::event::{Lane, Seq};
use crate::store::Delivery;
use std::time::Duration;
use tokio::time::Instant;

/// Rows of a page: at the disk's worst they outlast the read of the next one.
const PAGE_ROWS: usize = 64;

/// Bytes of a page, by the mean weight of what waits: pages of large events are shorter.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// The longest wait for a retry before the clock is read again: so late may a retry be when a clock that could not be
/// right at the start is set. (Stored by a clock that was wrong, it waits for the longest delay at the most: see [`crate::deliver::due`].)
const CLOCK_CHECK: Duration = Duration::from_secs(2);

/// What a reader does next.
#[derive(Debug)]
pub(in crate::deliver) enum Plan {
    /// Read deliveries without an attempt.
    ReadFresh(FreshPage),
    /// The same, without those that wait behind another one of their lane.
    ReadInOrder(FreshPage),
    /// Read the first deliveries of these lanes.
    ReadHeads(Vec<Lane>),
    /// Read deliveries whose retry is due.
    ReadDue(DuePage),
    /// Wait until something changes, at most for this time.
    Wait(Option<Duration>),
    /// Nothing will be read any more.
    Stop,
}

impl Scheduler {
    /// What to read next, and whether the breaker became half open.
    pub(in crate::deliver) fn plan(&mut self, now_ms: u64, now: Instant) -> (Plan, Option<Change>) {
        self.reader_wanted = false;
        if self.duty == Duty::Over {
            return (Plan::Stop, None);
        }
        if self.is_held() {
            return (Plan::Wait(None), None);
        }
        let change = self.breaker.tick(now);
        (self.next_read(now_ms, now), change)
    }

    fn next_read(&mut self, now_ms: u64, now: Instant) -> Plan {
        if let Some(until) = self.breaker.open_until() {
            return Plan::Wait(Some(until.saturating_duration_since(now)));
        }
        // Nobody else rings when the next attempt may begin.
        let token_in = self.rate.wait(now);
        if self.room() == 0 {
            return Plan::Wait(token_in);
        }
        if self.lanes.is_overflowed() {
            if self.queued() > 0 || !self.out.is_empty() {
                // Each settlement rings, until nothing is left that could be read twice.
                return Plan::Wait(token_in);
            }
            self.lanes.begin_anew();
            self.fresh.restart();
        }
        let lanes = self.lanes.wanted();
        if !lanes.is_empty() {
            self.lanes.begin_read();
            return Plan::ReadHeads(lanes);
        }
        let due_in_ms = self.due.wait_ms(now_ms);
        let due = due_in_ms == Some(0);
        // A probe is taken from both in turn; otherwise each has a queue of its own to fill.
        let fresh = self.fresh.wants_page() && !(due && self.due_turn);
        if fresh {
            let page = self.fresh.page(self.page_rows());
            self.lanes.begin_read();
            return if self.lanes.is_ordered() {
                Plan::ReadInOrder(page)
            } else {
                Plan::ReadFresh(page)
            };
        }
        if due {
            self.lanes.begin_read();
            let out = self.out.iter().copied().collect();
            let page = self.due.page(now_ms, self.page_rows(), out);
            return Plan::ReadDue(page);
        }
        let due_in = due_in_ms.map(|ms| Duration::from_millis(ms).min(CLOCK_CHECK));
        Plan::Wait(due_in.into_iter().chain(token_in).min())
    }

    /// The page was read. `looked_to`: how far was looked for it, if not at all there is.
    pub(in crate::deliver) fn fill_fresh(
        &mut self,
        page: FreshPage,
        rows: Vec<Delivery>,
        looked_to: Option<Seq>,
    ) {
        let room = self.room();
        self.fresh
            .fill(page, (rows, looked_to), &mut self.lanes, room, &self.memory);
        self.lanes.end_read();
    }

    /// The page was read.
    pub(in crate::deliver) fn fill_due(&mut self, rows: Vec<Delivery>, next_ms: Option<u64>) {
        let room = self.room();
        self.due.fill(
            (rows, next_ms),
            &self.out,
            &mut self.lanes,
            room,
            &self.memory,
        );
        self.lanes.end_read();
    }

    /// The first deliveries of lanes were read; these lanes were `left` out.
    pub(in crate::deliver) fn fill_heads(&mut self, heads: Vec<Delivery>, left: &[Lane]) {
        self.lanes.unread(left);
        let room = self.room();
        let cursor = self.fresh.cursor();
        let due_ms = self.lanes.fill(heads, cursor, room, &self.memory);
        self.lanes.end_read();
        if let Some(due_ms) = due_ms {
            self.reader_wanted |= self.due.expect(due_ms);
        }
    }

    /// The page could not be read.
    pub(in crate::deliver) fn unread_due(&mut self, page: &DuePage) {
        self.due.unread(page);
        self.lanes.end_read();
    }

    /// The page could not be read.
    pub(in crate::deliver) fn unread_fresh(&mut self) {
        self.lanes.end_read();
    }

    /// These lanes could not be read.
    pub(in crate::deliver) fn unread_heads(&mut self, lanes: &[Lane]) {
        self.lanes.unread(lanes);
        self.lanes.end_read();
    }

    /// The reader has lost a page, and nobody knows of which time: whatever is due is read anew.
    pub(in crate::deliver) fn forget_page(&mut self) {
        self.due.expect(0);
        self.lanes.lose_read();
    }

    /// How many more rows a page may bring; half open it is one probe.
    fn room(&self) -> usize {
        if self.duty == Duty::Over || self.is_held() {
            0
        } else if self.breaker.is_closed() {
            usize::MAX
        } else {
            self.breaker
                .free(self.running)
                .saturating_sub(self.queued())
        }
    }

    fn page_rows(&self) -> usize {
        if !self.breaker.is_closed() {
            return 1;
        }
        let mean = self.pending.bytes / self.pending.deliveries.max(1);
        let rows = PAGE_BYTES / mean.max(1);
        usize::try_from(rows).map_or(PAGE_ROWS, |rows| rows.clamp(1, PAGE_ROWS))
    }
}

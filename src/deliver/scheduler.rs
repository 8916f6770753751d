//! What one target does next: a plain state machine, told of everything that happens, asked for the next delivery and
//! for the next page to read. It waits for nothing and knows no task; the caller does what it says.
//!
//! Invariants: fresh and due are served in turn while both have something; a delivery that was taken is not
//! taken again before it is durably settled; at most `concurrency` and one batch are taken and not settled; nothing is
//! taken before the start, while the breaker is open, or once the stop drains.

use super::breaker::{Breaker, Change, Reach};
use super::crew::{Crew, Summon};
use super::due::{Due, DuePage};
use super::fresh::{Fresh, FreshPage};
use super::job::Job;
use crate::backoff::Backoff;
use crate::budget::Budget;
use crate::clock;
use crate::event::{Event, Seq};
use crate::store::{Backlog, Delivery, Outcome, Settlement};
use std::collections::{HashSet, VecDeque};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// Settlements that may wait for their commit, over the attempts that run: what a crash may repeat at most.
const UNSETTLED_MAX: usize = 256;

/// Rows of a page: at the disk's worst they outlast the read of the next one.
const PAGE_ROWS: usize = 64;

/// Bytes of a page, by the mean weight of what waits: pages of large events are shorter.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// The longest wait for a retry before the wall clock is read again: so late may a retry be if the clock is
/// set forward. (Set back, it makes retries wait for `retry.max` at the most: see [`super::due`].)
const CLOCK_CHECK: Duration = Duration::from_secs(2);

/// Whether deliveries are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    Before,
    On,
    Over,
}

/// What a reader does next.
#[derive(Debug)]
pub(super) enum Plan {
    /// Read deliveries without an attempt.
    ReadFresh(FreshPage),
    /// Read deliveries whose retry is due.
    ReadDue(DuePage),
    /// Wait until something changes, at most for this time.
    Wait(Option<Duration>),
    /// Nothing will be read any more.
    Stop,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Attempt this.
    Attempt(Job),
    /// Wait for the bell.
    Wait,
    /// Leave.
    Leave,
}

/// What waits for the target, queued or not.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    deliveries: u64,
    bytes: u64,
}

/// The state of one target.
#[derive(Debug)]
pub(super) struct Scheduler {
    fresh: Fresh,
    due: Due,
    due_turn: bool,
    /// Taken and not durably settled.
    out: HashSet<Seq>,
    out_most: usize,
    breaker: Breaker,
    crew: Crew,
    duty: Duty,
    pending: Pending,
    memory: Budget,
    /// Something changed that the reader waits for.
    reader_wanted: bool,
}

impl Scheduler {
    /// A target that `backlog` waits for already. `memory` is shared by all of them.
    pub(super) fn new(
        concurrency: usize,
        retry: Backoff,
        backlog: &Backlog,
        memory: Budget,
    ) -> Self {
        let last = backlog.last.filter(|_| backlog.deliveries > 0);
        Self {
            fresh: Fresh::new(last),
            due: Due::new(backlog.next_due_ms, clock::millis(retry.max)),
            due_turn: false,
            out: HashSet::new(),
            out_most: concurrency.saturating_add(UNSETTLED_MAX),
            breaker: Breaker::new(retry),
            crew: Crew::new(concurrency),
            duty: Duty::Before,
            pending: Pending {
                deliveries: backlog.deliveries,
                bytes: backlog.bytes,
            },
            memory,
            reader_wanted: false,
        }
    }

    /// Deliveries are taken from now on.
    pub(super) fn start(&mut self) {
        if self.duty == Duty::Before {
            self.duty = Duty::On;
        }
    }

    /// Nothing is taken any more. Lets go of the queues; whoever waits for one of these jobs has to be told.
    pub(super) fn stop(&mut self) -> VecDeque<Job> {
        self.duty = Duty::Over;
        self.reader_wanted = true;
        self.let_go()
    }

    /// The writer announces an event. True if it was queued; otherwise its first attempt has to wait.
    pub(super) fn admitted(&mut self, event: &Arc<Event>, weight: u64) -> bool {
        self.pending.deliveries += 1;
        self.pending.bytes += weight;
        let was_live = self.fresh.is_live();
        let may_queue = self.duty != Duty::Over && self.breaker.is_closed();
        let queued = self.fresh.admitted(event, weight, may_queue, &self.memory);
        self.reader_wanted |= was_live && !self.fresh.is_live();
        queued
    }

    /// A settlement of this target is durable.
    pub(super) fn settled(&mut self, settlement: &Settlement) {
        self.out.remove(&settlement.seq);
        self.due.settled(settlement.seq);
        match settlement.outcome {
            Outcome::Retry { due_ms, .. } => self.reader_wanted |= self.due.expect(due_ms),
            Outcome::Delivered | Outcome::Dead { .. } => {
                self.pending.deliveries = self.pending.deliveries.saturating_sub(1);
                self.pending.bytes = self.pending.bytes.saturating_sub(settlement.bytes);
            }
        }
    }

    /// One more worker, if there is something for it to take. Call again until there is none.
    pub(super) fn summon(&mut self) -> Option<Summon> {
        if !self.may_take() {
            return None;
        }
        let room = self.out_most - self.out.len();
        let ready = self.queued().min(room);
        self.crew.summon(if self.breaker.is_closed() {
            ready
        } else {
            ready.min(1)
        })
    }

    /// A worker looks. `summoned`: its bell rang or it was just hired. If it is told to wait, its bell will ring.
    pub(super) fn step(
        &mut self,
        bell: &Arc<Notify>,
        summoned: bool,
        idle_since: Instant,
        now: Instant,
    ) -> Step {
        if summoned {
            self.crew.arrived();
        }
        if let Some(job) = self.take() {
            return Step::Attempt(job);
        }
        if self.duty == Duty::Over {
            self.crew.leave();
            return Step::Leave;
        }
        if self.crew.park(bell, idle_since, now) {
            Step::Wait
        } else {
            Step::Leave
        }
    }

    /// An attempt has ended. If that opened the breaker, the queues are let go of: whoever waits for one of these
    /// jobs has to be told.
    pub(super) fn ended(
        &mut self,
        reach: Reach,
        probe: bool,
        now: Instant,
    ) -> Option<(Change, VecDeque<Job>)> {
        let change = self.breaker.ended(reach, probe, now)?;
        self.reader_wanted = true;
        let gone = match change {
            Change::Opened => self.let_go(),
            Change::HalfOpened | Change::Closed => VecDeque::new(),
        };
        Some((change, gone))
    }

    /// A taken job held nothing to attempt.
    pub(super) fn unused(&mut self, probe: bool) {
        if probe {
            self.breaker.probe_unused();
            self.reader_wanted = true;
        }
    }

    /// A worker is gone in the middle of its attempt. `probe`: nothing has said how that ended.
    pub(super) fn fell(&mut self, probe: bool) {
        self.crew.leave();
        self.unused(probe);
    }

    /// What to read next, and whether the breaker became half open.
    pub(super) fn plan(&mut self, now_ms: u64, now: Instant) -> (Plan, Option<Change>) {
        self.reader_wanted = false;
        let change = self.breaker.tick(now);
        (self.next_read(now_ms, now), change)
    }

    fn next_read(&mut self, now_ms: u64, now: Instant) -> Plan {
        if self.duty == Duty::Over {
            return Plan::Stop;
        }
        if let Some(until) = self.breaker.open_until() {
            return Plan::Wait(Some(until.saturating_duration_since(now)));
        }
        if self.room() == 0 {
            return Plan::Wait(None);
        }
        let due_in_ms = self.due.wait_ms(now_ms);
        let due = due_in_ms == Some(0);
        // A probe is taken from both in turn; otherwise each has a queue of its own to fill.
        let fresh = self.fresh.wants_page() && !(due && self.due_turn);
        if fresh {
            return Plan::ReadFresh(self.fresh.page(self.page_rows()));
        }
        if due {
            let page = self.due.page(now_ms, self.page_rows(), self.out.clone());
            return Plan::ReadDue(page);
        }
        Plan::Wait(due_in_ms.map(|ms| Duration::from_millis(ms).min(CLOCK_CHECK)))
    }

    /// The page was read.
    pub(super) fn fill_fresh(&mut self, page: FreshPage, rows: Vec<Delivery>) {
        let room = self.room();
        self.fresh.fill(page, rows, room, &self.memory);
    }

    /// The page was read.
    pub(super) fn fill_due(&mut self, rows: Vec<Delivery>, next_ms: Option<u64>) {
        let room = self.room();
        self.due.fill(rows, next_ms, &self.out, room, &self.memory);
    }

    /// The page could not be read.
    pub(super) fn unread_due(&mut self, page: &DuePage) {
        self.due.unread(page);
    }

    /// The reader has lost a page, and nobody knows of which time: whatever is due is read anew.
    pub(super) fn forget_page(&mut self) {
        self.due.expect(0);
    }

    /// Whether something changed that the reader waits for. Asked once for each change.
    pub(super) fn wants_reader(&mut self) -> bool {
        std::mem::take(&mut self.reader_wanted)
    }

    /// Whether anything waits, queued or not.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.deliveries > 0
    }

    /// The breaker's state, as `target_state` names it.
    pub(super) fn state(&self) -> &'static str {
        self.breaker.word()
    }

    /// Parked workers that should leave.
    pub(super) fn stale(&mut self, now: Instant) -> Vec<Arc<Notify>> {
        self.crew.stale(now)
    }

    /// All parked workers.
    pub(super) fn parked(&mut self) -> Vec<Arc<Notify>> {
        self.crew.all()
    }

    fn queued(&self) -> usize {
        self.fresh.len() + self.due.len()
    }

    fn may_take(&self) -> bool {
        self.duty == Duty::On && self.out.len() < self.out_most && self.breaker.allows()
    }

    /// How many more rows a page may bring; half open it is one probe.
    fn room(&self) -> usize {
        if self.duty == Duty::Over || !self.breaker.allows() {
            0
        } else if self.breaker.is_closed() {
            usize::MAX
        } else {
            1usize.saturating_sub(self.queued())
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

    fn take(&mut self) -> Option<Job> {
        if !self.may_take() {
            return None;
        }
        let mut job = if self.due_turn {
            self.due.take().or_else(|| self.fresh.take())
        } else {
            self.fresh.take().or_else(|| self.due.take())
        }?;
        self.due_turn = job.due_ms.is_none();
        self.out.insert(job.seq);
        job.probe = self.breaker.begin();
        let last_due = job.due_ms.is_some() && self.due.len() == 0;
        self.reader_wanted |= last_due || self.fresh.wants_page();
        Some(job)
    }

    fn let_go(&mut self) -> VecDeque<Job> {
        self.due.let_go();
        self.fresh.let_go()
    }
}

//! What one target does next: a plain state machine, told of everything that happens, asked for the next delivery and
//! for the next page to read. It waits for nothing and knows no task; the caller does what it says.
//!
//! Invariants: fresh and due are served in turn while both have something; a delivery that was taken is not
//! taken again before it is durably settled; at most `concurrency` and one batch are taken and not settled; nothing is
//! taken before the start, while the target is paused or its breaker open, beyond its rate, or once the stop drains.

mod announced;
mod pages;

use super::breaker::{Breaker, Change, Ended};
use super::crew::{Crew, Summon};
use super::due::Due;
use super::fresh::Fresh;
use super::job::Job;
use super::lanes::Lanes;
use crate::budget::Budget;
use crate::clock;
use crate::config::target;
use crate::event::Seqs;
use crate::rate::{Bucket, Rate};
use crate::store::Backlog;
pub(super) use pages::Plan;
use std::collections::VecDeque;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// Settlements that may wait for their commit, over the attempts that run: what a crash may repeat at most.
const UNSETTLED_MAX: usize = 256;

/// Whether deliveries are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    Before,
    On,
    Over,
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
pub(super) struct Pending {
    pub(super) deliveries: u64,
    pub(super) bytes: u64,
}

/// What bounds a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    /// Attempts at one time.
    pub(super) concurrency: usize,
    /// Attempts that begin.
    pub(super) rate: Option<Rate>,
    /// When it counts as down.
    pub(super) breaker: Option<target::Breaker>,
    /// The longest delay of a retry.
    pub(super) delay_max: Duration,
    /// Whether the events of a lane are delivered one after the other.
    pub(super) ordered: bool,
}

impl Limits {
    /// Of a target that the configuration does not name.
    const NOBODY: Self = Self {
        concurrency: 0,
        rate: None,
        breaker: None,
        delay_max: Duration::ZERO,
        ordered: false,
    };
}

/// The state of one target.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing, and none excludes another"
)]
#[derive(Debug)]
pub(super) struct Scheduler {
    fresh: Fresh,
    due: Due,
    lanes: Lanes,
    due_turn: bool,
    /// Taken and not durably settled.
    out: Seqs,
    out_most: usize,
    /// Attempts that run.
    running: usize,
    breaker: Breaker,
    rate: Bucket,
    paused: bool,
    /// The configuration does not name it: nothing is taken, as if it were paused.
    retired: bool,
    crew: Crew,
    duty: Duty,
    limits: Limits,
    pending: Pending,
    memory: Budget,
    /// Something changed that the reader waits for.
    reader_wanted: bool,
}

impl Scheduler {
    /// A target that `backlog` waits for already. `memory` is shared by all of them. Without `limits` the configuration
    /// does not name it.
    pub(super) fn new(limits: Option<Limits>, backlog: &Backlog, memory: Budget) -> Self {
        let retired = limits.is_none();
        let limits = limits.unwrap_or(Limits::NOBODY);
        let concurrency = limits.concurrency;
        let last = backlog.last.filter(|_| backlog.deliveries > 0);
        Self {
            fresh: Fresh::new(last),
            due: Due::new(backlog.next_due_ms, clock::millis(limits.delay_max)),
            lanes: Lanes::new(limits.ordered, backlog.deliveries > 0),
            due_turn: false,
            out: Seqs::default(),
            out_most: concurrency.saturating_add(UNSETTLED_MAX),
            running: 0,
            breaker: Breaker::new(limits.breaker, concurrency),
            rate: Bucket::new(limits.rate),
            paused: backlog.paused,
            retired,
            limits,
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

    /// Nothing is taken until [`Self::resume`]; what runs may finish. Lets go of the queues; whoever waits for one of
    /// these jobs has to be told. `None` if it was paused before.
    pub(super) fn pause(&mut self) -> Option<VecDeque<Job>> {
        if std::mem::replace(&mut self.paused, true) {
            return None;
        }
        self.reader_wanted = true;
        Some(self.let_go())
    }

    /// Ends a pause. True if there was one.
    pub(super) fn resume(&mut self) -> bool {
        self.reader_wanted |= self.paused;
        std::mem::take(&mut self.paused)
    }

    /// Another configuration, or one again. What runs goes on, and nothing is taken twice. `moved`: the app may be another
    /// one, of which nothing is known. Whoever waits for a job that is let go of has to be told, and workers to be rung for.
    pub(super) fn reform(
        &mut self,
        limits: Limits,
        moved: bool,
    ) -> (VecDeque<Job>, Vec<Arc<Notify>>) {
        let before = std::mem::replace(&mut self.limits, limits);
        let concurrency = limits.concurrency;
        self.out_most = concurrency.saturating_add(UNSETTLED_MAX);
        if moved || self.retired || limits.breaker != before.breaker {
            self.breaker = Breaker::new(limits.breaker, concurrency);
        } else {
            self.breaker.resize(concurrency);
        }
        if limits.rate != before.rate {
            self.rate = Bucket::new(limits.rate);
        }
        self.due.set_longest(clock::millis(limits.delay_max));
        let mut gone = VecDeque::new();
        if limits.ordered != before.ordered {
            gone = self.let_go();
            self.lanes.set_ordered(limits.ordered);
            // Retries may have been passed by for their order.
            self.due.expect(0);
        }
        self.retired = false;
        self.reader_wanted = true;
        (gone, self.crew.resize(concurrency))
    }

    /// The configuration does not name it any more: nothing is taken until [`Self::reform`]; what runs may finish. Lets go of
    /// the queues; whoever waits for one of these jobs has to be told. `None` if that was so before.
    pub(super) fn retire(&mut self) -> Option<VecDeque<Job>> {
        if std::mem::replace(&mut self.retired, true) {
            return None;
        }
        self.reader_wanted = true;
        Some(self.let_go())
    }

    /// Whether the configuration does not name it.
    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether nothing is taken, whatever the app does.
    fn is_held(&self) -> bool {
        self.paused || self.retired
    }

    /// An app that is down is asked now.
    pub(super) fn ask_now(&mut self, now: Instant) {
        self.breaker.ask_now(now);
        self.reader_wanted = true;
    }

    /// One more worker, if there is something for it to take. Call again until there is none.
    pub(super) fn summon(&mut self, now: impl FnOnce() -> Instant) -> Option<Summon> {
        let queued = self.queued();
        let ready = if queued == 0 {
            0
        } else {
            queued.min(self.free(now))
        };
        self.crew.summon(ready)
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
        if self.crew.is_over() {
            self.crew.leave();
            return Step::Leave;
        }
        if let Some(job) = self.take(now) {
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

    /// An attempt that was taken here has ended. If that opened the breaker, the queues are let go of: whoever waits for one of these
    /// jobs has to be told.
    pub(super) fn ended(&mut self, ended: Ended, now: Instant) -> Option<(Change, VecDeque<Job>)> {
        self.running = self.running.saturating_sub(1);
        self.heard(ended, now)
    }

    /// The same of an attempt that was not taken here (`passthrough`).
    pub(super) fn heard(&mut self, ended: Ended, now: Instant) -> Option<(Change, VecDeque<Job>)> {
        let change = self.breaker.ended(ended, now)?;
        self.reader_wanted = true;
        let gone = match change {
            Change::Opened => self.let_go(),
            Change::HeldOn | Change::HalfOpened | Change::Closed => VecDeque::new(),
        };
        Some((change, gone))
    }

    /// Whether an attempt that ends may let others begin beside the one that takes its place.
    pub(super) fn is_ramping(&self) -> bool {
        self.breaker.is_ramping()
    }

    /// A taken job held nothing to attempt.
    pub(super) fn unused(&mut self, probe: bool) {
        self.running = self.running.saturating_sub(1);
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

    /// Whether something changed that the reader waits for. Asked once for each change.
    pub(super) fn wants_reader(&mut self) -> bool {
        std::mem::take(&mut self.reader_wanted)
    }

    /// What waits, queued or not.
    pub(super) fn pending(&self) -> Pending {
        self.pending
    }

    /// Whether anything waits, queued or not.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.deliveries > 0
    }

    /// Its state, as `target_state` names it.
    pub(super) fn state(&self) -> &'static str {
        if self.is_held() {
            "paused"
        } else {
            self.breaker.word()
        }
    }

    /// Whether it is paused.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.breaker.failures()
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
        self.fresh.len() + self.due.len() + self.lanes.len()
    }

    /// How many deliveries may be taken now. What time it is only a rate asks.
    fn free(&self, now: impl FnOnce() -> Instant) -> usize {
        if self.duty != Duty::On || self.is_held() {
            return 0;
        }
        let unsettled = self.out_most.saturating_sub(self.out.len());
        let running = self.breaker.free(self.running);
        let free = unsettled.min(running);
        match self.limits.rate {
            Some(_) => free.min(self.rate.tokens(now())),
            None => free,
        }
    }

    fn take(&mut self, now: Instant) -> Option<Job> {
        if self.free(|| now) == 0 {
            return None;
        }
        let mut job = if self.due_turn {
            self.due.take().or_else(|| self.take_fresh())
        } else {
            self.take_fresh().or_else(|| self.due.take())
        }?;
        self.due_turn = job.due_ms.is_none();
        self.out.insert(job.seq);
        self.running += 1;
        job.probe = self.breaker.begin();
        self.rate.take(now);
        self.reader_wanted |= self.rate.tokens(now) == 0;
        let last_due = job.due_ms.is_some() && self.due.len() == 0;
        let last_head = self.lanes.len() == 0 && self.lanes.has_freed();
        self.reader_wanted |= last_due || last_head || self.fresh.wants_page();
        Some(job)
    }

    /// The earliest without an attempt.
    fn take_fresh(&mut self) -> Option<Job> {
        match (self.lanes.first(), self.fresh.first()) {
            (Some(next), fresh) if fresh.is_none_or(|fresh| next < fresh) => self.lanes.take(),
            _ => self.fresh.take(),
        }
    }

    fn let_go(&mut self) -> VecDeque<Job> {
        self.due.let_go(&mut self.lanes);
        self.lanes.let_go();
        let gone = self.fresh.let_go();
        for job in &gone {
            self.lanes.vacate(job);
        }
        gone
    }
}

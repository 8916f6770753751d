//! The world around one scheduler: what every part of it has done so far, and what has to hold after each step.
//!
//! Invariants, asserted as they could break: there are no more workers than the configurations allowed, a bell rings only
//! for one who waits, a pause ends what is taken, and after a while in which the app takes everything nothing is left.

mod reader;
mod workers;
mod writer;

use self::{reader::Reading, writer::Announcement};
use super::ops::{End, Op};
use super::{CONCURRENCY, LIMITS, lane};
use crate::budget::Budget;
use crate::deliver::crew::Summon;
use crate::deliver::fixture::event;
use crate::deliver::job::{self, Job};
use crate::deliver::scheduler::{Limits, Scheduler};
use crate::event::{Event, Seq};
use crate::store::{Backlog, Settlement};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) enum Worker {
    Summoned,
    Looking,
    Busy(Job),
    Parked,
    Gone,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what has happened so far, each on its own"
)]
pub(super) struct World {
    pub(super) scheduler: Scheduler,
    started: Instant,
    pub(super) passed_ms: u64,
    pub(super) wall_ms: u64,
    seq: u64,
    admitting: Vec<Arc<Event>>,
    pub(super) settling: Vec<Settlement>,
    announcements: VecDeque<Announcement>,
    /// What is committed and not settled: attempts and due time.
    pub(super) rows: BTreeMap<u64, (u32, Option<u64>)>,
    /// Taken, and the settlement not announced.
    pub(super) out: HashSet<Seq>,
    last_fresh: u64,
    pub(super) workers: Vec<(Arc<Notify>, Worker)>,
    reading: Option<Reading>,
    /// The most that a page has room for, by its bytes.
    page_rows: usize,
    /// When the reader plans by itself (time passed), if it waits.
    reader_at_ms: Option<u64>,
    reader_rung: bool,
    watchers: Vec<(Arc<Event>, oneshot::Receiver<bool>)>,
    limits: Limits,
    paused: bool,
    retired: bool,
    /// What was passed over for its order is read again.
    reordered: bool,
    /// The most attempts at a time so far.
    concurrency_most: usize,
    /// Due times were changed behind what is taken.
    hastened: bool,
    /// Something was discarded at some time: what is queued then may be taken in vain.
    discards: bool,
    /// Answers since the breaker was closed the last time, and what was taken since.
    since_closed: Option<(usize, HashSet<Seq>)>,
    /// When something was taken, milliseconds.
    pub(super) taken_ms: Vec<u64>,
}

impl World {
    /// `backlog` events wait already, every third of them for a retry; memory holds `memory` events.
    pub(super) fn new(backlog: u64, memory: u64) -> Self {
        Self::with_pages(backlog, memory, usize::MAX)
    }

    /// The same with events so large that `page_rows` of them fill a page.
    pub(super) fn with_pages(backlog: u64, memory: u64, page_rows: usize) -> Self {
        Self::limited(backlog, memory, page_rows, LIMITS)
    }

    /// The same at a target with other limits.
    pub(super) fn limited(backlog: u64, memory: u64, page_rows: usize, limits: Limits) -> Self {
        let is_head =
            |seq: u64| lane(seq).is_none() || (1..seq).all(|other| lane(other) != lane(seq));
        let rows: BTreeMap<u64, (u32, Option<u64>)> = (1..=backlog)
            .map(|seq| {
                let is_tried = seq % 3 == 0 && (!limits.ordered || is_head(seq));
                let row = if is_tried {
                    (1, Some(10 * seq))
                } else {
                    (0, None)
                };
                (seq, row)
            })
            .collect();
        let weight = event(1).weight();
        let found = Backlog {
            deliveries: backlog,
            bytes: backlog * weight,
            last: rows.keys().next_back().map(|seq| Seq(*seq)),
            next_due_ms: rows.values().filter_map(|(_, due_ms)| *due_ms).min(),
            ..Backlog::default()
        };
        let memory = Budget::new(memory * weight);
        let mut scheduler = Scheduler::new(Some(limits), &found, memory);
        scheduler.start();
        Self {
            scheduler,
            started: Instant::now(),
            passed_ms: 0,
            wall_ms: 1_000_000,
            seq: backlog,
            admitting: Vec::new(),
            settling: Vec::new(),
            announcements: VecDeque::new(),
            rows,
            out: HashSet::new(),
            last_fresh: 0,
            workers: Vec::new(),
            reading: None,
            page_rows,
            reader_at_ms: None,
            reader_rung: true,
            watchers: Vec::new(),
            limits,
            paused: false,
            retired: false,
            reordered: false,
            concurrency_most: limits.concurrency,
            hastened: false,
            discards: false,
            since_closed: None,
            taken_ms: Vec::new(),
        }
    }

    /// Whether another delivery of its lane waits before this one.
    fn is_blocked(&self, seq: u64) -> bool {
        let mut before = self.rows.range(..seq);
        lane(seq).is_some() && before.any(|(other, _)| lane(*other) == lane(seq))
    }

    pub(super) fn now(&self) -> Instant {
        self.started + Duration::from_millis(self.passed_ms)
    }

    /// Does `op` if it is possible now, and everything that the shell does with it.
    pub(super) fn run(&mut self, op: &Op) -> bool {
        let done = match *op {
            Op::Admit => self.admit(),
            Op::Commit => self.commit(),
            Op::Announce => self.announce(),
            Op::Plan => self.plan(),
            Op::Arrive => self.arrive(),
            Op::Unreadable => self.unreadable(),
            Op::Forget => {
                self.reading = None;
                self.scheduler.forget_page();
                self.reader_rung = true;
                true
            }
            Op::Look(nth) => self.look(nth),
            Op::Discard(nth) => self.discard(nth),
            Op::End(nth, end) => self.end(nth, end),
            Op::Pass(ms) => {
                self.passed_ms += ms;
                self.wall_ms += ms;
                true
            }
            Op::Jump(ms) => {
                self.wall_ms = self.wall_ms.saturating_add_signed(ms);
                true
            }
            Op::Pause => self.pause(),
            Op::Resume => {
                self.paused = false;
                self.scheduler.resume()
            }
            Op::Hasten => self.hasten(),
            Op::Retire => self.retire(),
            Op::Reform {
                concurrency,
                moved,
                unordered,
            } => self.reform(concurrency, moved, unordered),
        };
        self.reader_rung |= self.scheduler.wants_reader();
        let now = self.now();
        while let Some(summon) = self.scheduler.summon(|| now) {
            match summon {
                Summon::Hire => self
                    .workers
                    .push((Arc::new(Notify::new()), Worker::Summoned)),
                Summon::Ring(bell) => self.ring(&bell),
            }
        }
        let alive = |worker: &Worker| !matches!(worker, Worker::Gone);
        assert!(
            self.workers
                .iter()
                .filter(|(_, worker)| alive(worker))
                .count()
                <= self.concurrency_most
        );
        done
    }

    fn ring(&mut self, bell: &Arc<Notify>) {
        let mut workers = self.workers.iter_mut();
        let (_, worker) = workers
            .find(|(own, _)| Arc::ptr_eq(own, bell))
            .expect("a bell of ours");
        assert!(
            matches!(worker, Worker::Parked),
            "only who waits is rung for"
        );
        *worker = Worker::Summoned;
    }

    fn pause(&mut self) -> bool {
        let gone = self.scheduler.pause();
        assert_eq!(gone.is_none(), self.paused);
        self.paused = true;
        let Some(gone) = gone else {
            return false;
        };
        tell_all(&gone);
        true
    }

    fn retire(&mut self) -> bool {
        let gone = self.scheduler.retire();
        assert_eq!(gone.is_none(), self.retired);
        self.retired = true;
        tell_all(&gone.unwrap_or_default());
        true
    }

    fn reform(&mut self, concurrency: usize, moved: bool, unordered: bool) -> bool {
        self.reordered |= unordered && self.limits.ordered;
        self.limits.ordered &= !unordered;
        self.limits.concurrency = concurrency;
        self.concurrency_most = self.concurrency_most.max(concurrency);
        self.since_closed = None;
        self.retired = false;
        let (gone, rung) = self.scheduler.reform(self.limits, moved);
        for bell in rung {
            self.ring(&bell);
        }
        tell_all(&gone);
        true
    }

    /// The store makes every retry due, durably, and then it is said.
    fn hasten(&mut self) -> bool {
        self.hastened = true;
        for (_, due_ms) in self.rows.values_mut() {
            *due_ms = due_ms.map(|due_ms| due_ms.min(self.wall_ms));
        }
        let now = self.now();
        if self.rows.values().any(|(_, due_ms)| due_ms.is_some()) {
            self.scheduler.hastened(self.wall_ms);
        }
        self.scheduler.ask_now(now);
        true
    }

    /// The app takes everything from now on: nothing may be left after a while.
    pub(super) fn settle_down(&mut self) {
        self.run(&Op::Resume);
        if self.retired {
            self.reform(CONCURRENCY, false, false);
        }
        let steps = [
            Op::Commit,
            Op::Announce,
            Op::Plan,
            Op::Arrive,
            Op::Look(0),
            Op::End(0, End::Delivered),
        ];
        for _ in 0..20_000 {
            let mut busy = false;
            for step in &steps {
                busy |= self.run(step);
            }
            if busy {
                continue;
            }
            if self.rows.is_empty() {
                break;
            }
            self.run(&Op::Pass(1_000));
        }
        assert!(self.rows.is_empty(), "left waiting: {:?}", self.rows);
        assert!(!self.scheduler.is_pending());
        assert!(self.out.is_empty());
        let alive = |(_, worker): &&(_, Worker)| !matches!(worker, Worker::Gone);
        let alive = self.workers.iter().filter(alive).count();
        assert!(alive <= self.limits.concurrency, "{alive} have stayed");
    }

    pub(super) fn assert_told_once(&mut self) {
        for (event, told) in &mut self.watchers {
            assert!(told.try_recv().is_err(), "told twice: {:?}", event.seq);
            job::tell(event, true);
            assert!(told.try_recv().is_ok(), "never told: {:?}", event.seq);
        }
    }
}

pub(super) fn tell_all(gone: &VecDeque<Job>) {
    for job in gone {
        job.tell(false);
    }
}

//! The scheduler against a model of the store, its writer, the workers and the reader, in random interleavings:
//! commits are visible before they are announced, pages are read before they arrive, clocks jump, apps go away, and
//! operators pause and hasten, and configurations come and go.

mod outage;
mod steered;

use super::breaker::{Change, Ended, Reach};
use super::crew::Summon;
use super::due::DuePage;
use super::fixture::{self, event, watched};
use super::fresh::FreshPage;
use super::job::{self, Job};
use super::scheduler::{Limits, Plan, Scheduler, Step};
use crate::budget::Budget;
use crate::config::target;
use crate::event::{Event, FirstAttempts, Lane, Seq, TargetId};
use crate::store::{Backlog, DeadReason, Delivery, Outcome, Settlement};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

const CONCURRENCY: usize = 3;
const LIMITS: Limits = Limits {
    concurrency: CONCURRENCY,
    rate: None,
    breaker: Some(target::Breaker {
        failures: 5,
        rate_percent: 100,
        min_attempts: 1_000,
        window: Duration::from_secs(30),
        hold: Duration::from_secs(5),
    }),
    delay_max: Duration::from_mins(1),
    ordered: false,
};

/// A row without an attempt, in its lane.
fn row(seq: u64) -> Delivery {
    Delivery {
        lane: lane(seq),
        ..fixture::row(seq)
    }
}

/// A row that waits for its retry, in its lane.
fn retry_row(seq: u64, attempts: u32, due_ms: u64) -> Delivery {
    Delivery {
        attempts,
        due_ms: Some(due_ms),
        ..row(seq)
    }
}

/// Rows that a page in order looks at here.
const LOOKED_AT_MAX: usize = 5;

/// What an event waits in: a few lanes, and some events wait in none.
fn lane(seq: u64) -> Option<Lane> {
    let key = seq * 7 % 11 % 5;
    (key > 0).then_some(Lane(key))
}

#[derive(Clone, Debug)]
enum Op {
    /// A sender's event reaches the writer.
    Admit,
    /// The writer commits what it has.
    Commit,
    /// The writer announces one thing that it has committed.
    Announce,
    /// The reader plans, if something made it.
    Plan,
    /// The page that is being read arrives.
    Arrive,
    /// The page cannot be read.
    Unreadable,
    /// The reader panics, and begins anew.
    Forget,
    /// A worker that was summoned or is done looks for a job.
    Look(usize),
    /// A worker's attempt ends.
    End(usize, End),
    /// Time passes, milliseconds.
    Pass(u64),
    /// The wall clock is set, milliseconds.
    Jump(i64),
    /// An operator gives up the nth delivery that waits.
    Discard(usize),
    /// An operator pauses the target.
    Pause,
    /// And ends that.
    Resume,
    /// And has every retry made now.
    Hasten,
    /// The configuration does not name the target any more.
    Retire,
    /// It does (again), with so many attempts at a time.
    Reform {
        concurrency: usize,
        /// Elsewhere.
        moved: bool,
        /// Without order from now on. (Not the other way round: what was attempted without order has no lane in a store.)
        unordered: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Delivered,
    Refused(u64),
    Failing,
    Unclear,
    /// The worker panics.
    Fell,
}

#[derive(Debug)]
enum Announcement {
    Admitted(Arc<Event>),
    Settled(Settlement),
    /// It changed nothing: the delivery was discarded before.
    InVain(Settlement),
    Discarded(Settlement),
}

#[derive(Debug)]
enum Reading {
    Fresh(FreshPage, Vec<Delivery>, Option<Seq>),
    Heads(Vec<Lane>, Vec<Delivery>),
    Due(DuePage, Vec<Delivery>, Option<u64>),
}

#[derive(Debug)]
enum Worker {
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
struct World {
    scheduler: Scheduler,
    started: Instant,
    passed_ms: u64,
    wall_ms: u64,
    seq: u64,
    admitting: Vec<Arc<Event>>,
    settling: Vec<Settlement>,
    announcements: VecDeque<Announcement>,
    /// What is committed and not settled: attempts and due time.
    rows: BTreeMap<u64, (u32, Option<u64>)>,
    /// Taken, and the settlement not announced.
    out: HashSet<Seq>,
    last_fresh: u64,
    workers: Vec<(Arc<Notify>, Worker)>,
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
    taken_ms: Vec<u64>,
}

impl World {
    /// `backlog` events wait already, every third of them for a retry; memory holds `memory` events.
    fn new(backlog: u64, memory: u64) -> Self {
        Self::with_pages(backlog, memory, usize::MAX)
    }

    /// The same with events so large that `page_rows` of them fill a page.
    fn with_pages(backlog: u64, memory: u64, page_rows: usize) -> Self {
        Self::limited(backlog, memory, page_rows, LIMITS)
    }

    /// The same at a target with other limits.
    fn limited(backlog: u64, memory: u64, page_rows: usize, limits: Limits) -> Self {
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

    fn now(&self) -> Instant {
        self.started + Duration::from_millis(self.passed_ms)
    }

    /// Does `op` if it is possible now, and everything that the shell does with it.
    fn run(&mut self, op: &Op) -> bool {
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
        while let Some(summon) = self.scheduler.summon(self.now()) {
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

    fn admit(&mut self) -> bool {
        self.seq += 1;
        // Two targets, so that a second report of this one would show.
        let (waiting, told) = FirstAttempts::new(2);
        let event = watched(self.seq, waiting);
        self.watchers.push((Arc::clone(&event), told));
        self.admitting.push(event);
        true
    }

    fn commit(&mut self) -> bool {
        let idle = self.admitting.is_empty() && self.settling.is_empty();
        if idle || !self.announcements.is_empty() {
            return false;
        }
        for event in self.admitting.drain(..) {
            self.rows.insert(event.seq.0, (0, None));
            self.announcements.push_back(Announcement::Admitted(event));
        }
        for settlement in self.settling.drain(..) {
            match settlement.outcome {
                _ if !self.rows.contains_key(&settlement.seq.0) => {
                    self.announcements
                        .push_back(Announcement::InVain(settlement));
                    continue;
                }
                Outcome::Retry { attempts, due_ms } => {
                    let row = self.rows.get_mut(&settlement.seq.0).expect("it waits");
                    assert!(row.1 == settlement.was_due_ms || self.hastened);
                    *row = (attempts, Some(due_ms));
                }
                Outcome::Delivered | Outcome::Dead { .. } => {
                    self.rows.remove(&settlement.seq.0).expect("it waits");
                }
            }
            self.announcements
                .push_back(Announcement::Settled(settlement));
        }
        true
    }

    /// The writer gives up what waits, commits, and announces.
    fn discard(&mut self, nth: usize) -> bool {
        let nth = nth % self.rows.len().max(1);
        let Some(seq) = self.rows.keys().copied().nth(nth) else {
            return false;
        };
        let seq = Seq(seq);
        // Neither announced nor settled, it is beyond an operator's reach for the moment.
        let on_its_way = self
            .announcements
            .iter()
            .any(|announcement| match announcement {
                Announcement::Admitted(event) => event.seq == seq,
                Announcement::Settled(settlement)
                | Announcement::InVain(settlement)
                | Announcement::Discarded(settlement) => settlement.seq == seq,
            });
        if on_its_way {
            return false;
        }
        self.rows.remove(&seq.0);
        self.discards = true;
        self.announcements
            .push_back(Announcement::Discarded(Settlement {
                target: TargetId(1),
                seq,
                was_due_ms: None,
                bytes: event(seq.0).weight(),
                outcome: Outcome::Dead {
                    reason: DeadReason::Discarded,
                    attempts: 0,
                },
                replay: 0,
                lane: lane(seq.0),
                attempt: None,
            }));
        true
    }

    fn announce(&mut self) -> bool {
        match self.announcements.pop_front() {
            Some(Announcement::Admitted(event)) => {
                let lane = lane(event.seq.0);
                if !self.scheduler.admitted(&event, event.weight(), lane) {
                    job::tell(&event, false);
                }
            }
            Some(Announcement::Settled(settlement)) => {
                self.out.remove(&settlement.seq);
                self.scheduler.settled(&settlement);
            }
            Some(Announcement::InVain(settlement)) => {
                self.out.remove(&settlement.seq);
                self.scheduler.in_vain(settlement.lane, settlement.seq);
            }
            Some(Announcement::Discarded(settlement)) => {
                if let Some(job) = self.scheduler.discarded(&settlement) {
                    job.tell(false);
                }
            }
            None => return false,
        }
        true
    }

    fn plan(&mut self) -> bool {
        let over = self
            .reader_at_ms
            .is_some_and(|at_ms| at_ms <= self.passed_ms);
        if self.reading.is_some() || !(self.reader_rung || over) {
            return false;
        }
        self.reader_rung = false;
        self.reader_at_ms = None;
        let (plan, _) = self.scheduler.plan(self.wall_ms, self.now());
        match plan {
            Plan::ReadFresh(page) => {
                let rows = self.rows.range(page.after.0 + 1..);
                let rows = rows.filter(|(_, (_, due_ms))| due_ms.is_none());
                let rows = rows.take(page.most).map(|(seq, _)| row(*seq)).collect();
                self.reading = Some(Reading::Fresh(page, rows, None));
            }
            Plan::ReadInOrder(page) => {
                let mut rows = Vec::new();
                let mut looked_to = None;
                let fresh = self.rows.range(page.after.0 + 1..);
                let mut fresh = fresh.filter(|(_, (_, due_ms))| due_ms.is_none());
                for (seq, _) in fresh.by_ref().take(LOOKED_AT_MAX) {
                    looked_to = Some(Seq(*seq));
                    if !self.is_blocked(*seq) {
                        rows.push(row(*seq));
                    }
                    if rows.len() >= page.most {
                        break;
                    }
                }
                let all = rows.len() < page.most && fresh.next().is_none();
                self.reading = Some(Reading::Fresh(page, rows, looked_to.filter(|_| !all)));
            }
            Plan::ReadHeads(lanes) => {
                let first = |lane_of: &Lane| {
                    let mut rows = self.rows.iter();
                    rows.find(|(seq, _)| lane(**seq) == Some(*lane_of))
                };
                let heads = lanes.iter().filter_map(first);
                let heads = heads.map(|(seq, (attempts, due_ms))| Delivery {
                    attempts: *attempts,
                    due_ms: *due_ms,
                    ..row(*seq)
                });
                let heads = heads.collect();
                self.reading = Some(Reading::Heads(lanes, heads));
            }
            Plan::ReadDue(page) => {
                let mut due: Vec<_> = self
                    .rows
                    .iter()
                    .filter_map(|(seq, (attempts, due_ms))| Some(((*due_ms)?, *seq, *attempts)))
                    .collect();
                due.sort_unstable();
                due.retain(|(_, seq, _)| !page.out.contains(&Seq(*seq)));
                let visible = due
                    .iter()
                    .take_while(|(due_ms, ..)| *due_ms <= page.now_ms)
                    .take(page.most.min(self.page_rows));
                let rows: Vec<_> = visible
                    .map(|(due_ms, seq, attempts)| retry_row(*seq, *attempts, *due_ms))
                    .collect();
                let next_ms = due.get(rows.len()).map(|(due_ms, ..)| *due_ms);
                self.reading = Some(Reading::Due(page, rows, next_ms));
            }
            Plan::Wait(most) => {
                self.reader_at_ms = most.map(|most| {
                    self.passed_ms + u64::try_from(most.as_millis()).expect("short") + 1
                });
            }
            Plan::Stop => panic!("it was not stopped"),
        }
        true
    }

    fn arrive(&mut self) -> bool {
        match self.reading.take() {
            Some(Reading::Fresh(page, rows, looked_to)) => {
                self.scheduler.fill_fresh(page, rows, looked_to);
            }
            Some(Reading::Heads(_, heads)) => self.scheduler.fill_heads(heads, &[]),
            Some(Reading::Due(_, rows, next_ms)) => self.scheduler.fill_due(rows, next_ms),
            None => return false,
        }
        self.reader_rung = true;
        true
    }

    fn unreadable(&mut self) -> bool {
        match self.reading.take() {
            Some(Reading::Fresh(..)) => self.scheduler.unread_fresh(),
            Some(Reading::Heads(lanes, _)) => self.scheduler.unread_heads(&lanes),
            Some(Reading::Due(page, ..)) => self.scheduler.unread_due(&page),
            None => return false,
        }
        self.reader_rung = true;
        true
    }

    /// The nth worker of those that `wanted` matches.
    fn pick(&self, nth: usize, wanted: impl Fn(&Worker) -> bool) -> Option<usize> {
        let workers = self.workers.iter().enumerate();
        let found: Vec<usize> = workers
            .filter(|(_, (_, worker))| wanted(worker))
            .map(|(index, _)| index)
            .collect();
        found.get(nth % found.len().max(1)).copied()
    }

    fn look(&mut self, nth: usize) -> bool {
        let may = |worker: &Worker| matches!(worker, Worker::Summoned | Worker::Looking);
        let Some(index) = self.pick(nth, may) else {
            return false;
        };
        let now = self.now();
        let (bell, worker) = &mut self.workers[index];
        let summoned = matches!(worker, Worker::Summoned);
        *worker = match self.scheduler.step(bell, summoned, now, now) {
            Step::Attempt(job) => {
                assert!(self.out.insert(job.seq), "taken twice: {:?}", job.seq);
                let is_waiting = self.rows.contains_key(&job.seq.0);
                assert!(is_waiting || self.discards, "it is not settled");
                assert!(!self.paused && !self.retired, "taken in a pause");
                if job.due_ms.is_none() && !self.limits.ordered && !self.reordered {
                    assert!(self.last_fresh < job.seq.0, "first attempts keep the order");
                    self.last_fresh = job.seq.0;
                }
                let seq = job.seq;
                *worker = Worker::Busy(job);
                self.took(seq);
                if self.limits.ordered && lane(seq.0).is_some() {
                    assert!(!self.is_blocked(seq.0), "another one is before {seq:?}");
                    let of_lane = self.out.iter().filter(|other| lane(other.0) == lane(seq.0));
                    assert_eq!(of_lane.count(), 1, "one after the other");
                }
                return true;
            }
            Step::Wait => Worker::Parked,
            Step::Leave => Worker::Gone,
        };
        true
    }

    fn end(&mut self, nth: usize, end: End) -> bool {
        let Some(index) = self.pick(nth, |worker| matches!(worker, Worker::Busy(_))) else {
            return false;
        };
        let worker = &mut self.workers[index].1;
        let Worker::Busy(job) = std::mem::replace(worker, Worker::Looking) else {
            unreachable!("picked for it");
        };
        let retry_ms = match end {
            End::Delivered => None,
            End::Refused(ms) => Some(ms),
            End::Failing | End::Unclear | End::Fell => Some(500),
        };
        let outcome = retry_ms.map_or(Outcome::Delivered, |ms| Outcome::Retry {
            attempts: job.attempts + 1,
            due_ms: self.wall_ms + ms,
        });
        self.settling.push(Settlement {
            target: TargetId(1),
            seq: job.seq,
            was_due_ms: job.due_ms,
            bytes: job.weight,
            outcome,
            replay: job.replay,
            lane: job.lane,
            attempt: None,
        });
        job.tell(retry_ms.is_none());
        let reach = match end {
            End::Delivered | End::Refused(_) => Some(Reach::Answered),
            End::Failing => Some(Reach::Failing),
            End::Unclear => Some(Reach::Unclear),
            End::Fell => None,
        };
        if let Some((answers, since)) = &mut self.since_closed {
            *answers += usize::from(reach == Some(Reach::Answered));
            since.remove(&job.seq);
        }
        let Some(reach) = reach else {
            self.workers[index].1 = Worker::Gone;
            self.scheduler.fell(job.probe);
            return true;
        };
        let ended = Ended {
            reach,
            probe: job.probe,
            first: job.due_ms.is_none(),
        };
        if let Some((change, gone)) = self.scheduler.ended(ended, self.now()) {
            tell_all(&gone);
            self.since_closed = (change == Change::Closed).then(Default::default);
        }
        true
    }

    /// What was taken keeps the rate and the ramp.
    fn took(&mut self, seq: Seq) {
        self.taken_ms.push(self.passed_ms);
        if let Some(rate) = self.limits.rate {
            // One second's worth at once, and what came since: in any second at most twice as much.
            let from = self
                .taken_ms
                .partition_point(|ms| ms + 1_000 < self.passed_ms);
            let taken = self.taken_ms.len() - from;
            assert_eq!(rate.per, Duration::from_secs(1));
            let most = usize::try_from(2 * rate.count).expect("small");
            assert!(taken <= most, "{taken} within a second");
        }
        if let Some((answers, since)) = &mut self.since_closed {
            since.insert(seq);
            assert!(since.len() <= 1 + *answers, "no ramp: {} run", since.len());
        }
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
    fn settle_down(&mut self) {
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

    fn assert_told_once(&mut self) {
        for (event, told) in &mut self.watchers {
            assert!(told.try_recv().is_err(), "told twice: {:?}", event.seq);
            job::tell(event, true);
            assert!(told.try_recv().is_ok(), "never told: {:?}", event.seq);
        }
    }
}

fn tell_all(gone: &VecDeque<Job>) {
    for job in gone {
        job.tell(false);
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    let any_end = prop_oneof![
        4 => Just(End::Delivered),
        2 => (0u64..5_000).prop_map(End::Refused),
        4 => Just(End::Failing),
        1 => Just(End::Unclear),
        1 => Just(End::Fell),
    ];
    prop_oneof![
        6 => Just(Op::Admit),
        6 => Just(Op::Commit),
        10 => Just(Op::Announce),
        8 => Just(Op::Plan),
        6 => Just(Op::Arrive),
        1 => Just(Op::Unreadable),
        1 => Just(Op::Forget),
        12 => (0usize..8).prop_map(Op::Look),
        10 => (0usize..8, any_end).prop_map(|(nth, end)| Op::End(nth, end)),
        4 => (0u64..3_000).prop_map(Op::Pass),
        1 => (-500_000i64..500_000).prop_map(Op::Jump),
        1 => (0usize..300).prop_map(Op::Discard),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => Just(Op::Hasten),
        1 => Just(Op::Retire),
        2 => (1usize..6, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(|(concurrency, moved, unordered)| {
            Op::Reform { concurrency, moved, unordered }
        }),
    ]
}

proptest! {
    /// Everything is delivered, nothing is taken twice while it is unsettled, first attempts keep their order and
    /// each is reported once, no wake is lost; pauses, the rate and the ramp are kept, and with `order_by` each lane's
    /// order: nothing is attempted while another one of its lane waits before it.
    #[test]
    fn every_event_is_delivered_whatever_happens(
        backlog in 0u64..200,
        memory in prop_oneof![Just(0u64), Just(3), Just(10_000)],
        page_rows in prop_oneof![Just(1usize), Just(2), Just(usize::MAX)],
        rate in proptest::option::of(3u32..20),
        ordered in any::<bool>(),
        ops in proptest::collection::vec(any_op(), 0..600),
    ) {
        let per = Duration::from_secs(1);
        let rate = rate.map(|count| crate::rate::Rate { count, per });
        let mut world = World::limited(backlog, memory, page_rows, Limits { rate, ordered, ..LIMITS });
        for op in &ops {
            world.run(op);
        }
        world.settle_down();
        world.assert_told_once();
    }
}

/// A world in which `events` were announced.
fn announced(events: u64) -> World {
    let mut world = World::new(0, 10_000);
    for _ in 0..events {
        world.run(&Op::Admit);
    }
    world.run(&Op::Commit);
    while world.run(&Op::Announce) {}
    world
}

/// Takes until nothing may be taken; ends every attempt so.
fn work(world: &mut World, end: End) -> usize {
    let mut ended = 0;
    while world.run(&Op::Look(0)) || world.run(&Op::End(0, end)) {
        ended = world.settling.len();
    }
    ended
}

#[test]
fn unsettled_deliveries_are_bounded() {
    let mut world = announced(1_000);
    let bound = CONCURRENCY + 256;
    assert_eq!(work(&mut world, End::Delivered), bound);
    world.run(&Op::Commit);
    for _ in 0..10 {
        world.run(&Op::Announce);
    }
    assert_eq!(
        work(&mut world, End::Delivered),
        10,
        "as many as were settled"
    );
}

#[test]
fn an_app_that_is_not_there_gets_one_probe_at_a_time() {
    let mut world = announced(1_000);
    work(&mut world, End::Failing);
    let burnt = world.settling.len();
    assert!(burnt < 5 + CONCURRENCY, "{burnt} attempts");
    assert_eq!(world.scheduler.state(), "open");
    for probe in 0..20 {
        while world.run(&Op::Commit) || world.run(&Op::Announce) {}
        world.run(&Op::Pass(6_001));
        while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
        assert_eq!(work(&mut world, End::Failing), 1, "probe {probe}");
        assert_eq!(world.scheduler.state(), "open");
    }
    let retried = world
        .rows
        .values()
        .filter(|(attempts, _)| *attempts > 1)
        .count();
    let first = world
        .rows
        .values()
        .filter(|(attempts, _)| *attempts > 0)
        .count();
    assert!(
        retried > 1 && first > burnt,
        "probes take from both in turn"
    );
    world.settle_down();
    assert_eq!(world.scheduler.state(), "closed");
    world.assert_told_once();
}

#[test]
fn the_next_event_of_a_half_open_target_is_its_probe() {
    let mut world = World::new(0, 10_000);
    for _ in 0..5 {
        // As `passthrough` reports it: nothing of the store's is involved.
        let now = world.now();
        let ended = Ended {
            reach: Reach::Failing,
            probe: false,
            first: true,
        };
        world.scheduler.heard(ended, now);
    }
    world.run(&Op::Pass(6_001));
    while world.run(&Op::Plan) {}
    assert_eq!(world.scheduler.state(), "half_open");
    for _ in 0..3 {
        world.run(&Op::Admit);
    }
    world.run(&Op::Commit);
    while world.run(&Op::Announce) {}
    while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
    assert_eq!(work(&mut world, End::Unclear), 1);
    world.settle_down();
    world.assert_told_once();
}

#[test]
fn fresh_and_due_are_served_in_turn() {
    let mut world = World::new(120, 10_000);
    world.run(&Op::Plan);
    world.run(&Op::Arrive);
    world.run(&Op::Plan);
    world.run(&Op::Arrive);
    world.run(&Op::Plan);
    world.run(&Op::Arrive);
    let mut retries = Vec::new();
    while world.out.len() < 20 {
        world.run(&Op::Look(0));
        let busy = world.workers.iter().find_map(|(_, worker)| match worker {
            Worker::Busy(job) => Some(job.due_ms.is_some()),
            _ => None,
        });
        retries.extend(busy);
        world.run(&Op::End(0, End::Delivered));
    }
    let turns: Vec<bool> = (0..retries.len()).map(|nth| nth % 2 == 1).collect();
    assert_eq!(retries, turns);
}

/// Large retries whose attempts run, or wait for their commit, neither hide the others nor are read again.
#[test]
fn retries_that_are_out_cost_the_others_no_page() {
    let mut world = World::with_pages(180, 10_000, 1);
    let mut reads = 0;
    let mut idle = false;
    while !idle {
        idle = true;
        while world.run(&Op::Plan) {
            idle = false;
            if world.run(&Op::Arrive) {
                reads += 1;
            }
            assert!(reads < 200, "it reads without end");
        }
        while world.run(&Op::Look(0)) || world.run(&Op::End(0, End::Delivered)) {
            idle = false;
        }
    }
    assert_eq!(world.out.len(), 180, "all were attempted before any commit");
    assert!(reads < 60 + 10, "{reads} pages for 60 retries");
}

/// The reader waits for the queue to be empty: whatever empties it has to ring.
#[test]
fn discarding_the_last_queued_retry_holds_up_no_other() {
    let mut world = World::with_pages(12, 10_000, 1);
    while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
    for _ in 0..CONCURRENCY {
        world.run(&Op::Look(0));
        while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
    }
    let queued = world
        .rows
        .iter()
        .position(|(seq, (_, due_ms))| due_ms.is_some() && !world.out.contains(&Seq(*seq)));
    world.run(&Op::Discard(queued.expect("one is queued, and more wait")));
    while world.run(&Op::Announce) {}
    world.settle_down();
}

#[test]
fn a_stop_lets_go_of_what_is_queued() {
    let mut world = announced(10);
    world.run(&Op::Look(0));
    let gone = world.scheduler.stop();
    assert_eq!(gone.len(), 9);
    tell_all(&gone);
    let now = world.now();
    assert!(matches!(world.scheduler.plan(0, now).0, Plan::Stop));
    assert!(world.scheduler.summon(now).is_none());
    world.run(&Op::End(0, End::Delivered));
    while world.run(&Op::Look(0)) {}
    assert!(
        world
            .workers
            .iter()
            .all(|(_, worker)| matches!(worker, Worker::Gone)),
        "workers leave"
    );
    assert!(
        !world.scheduler.admitted(&event(99), 1, None),
        "nothing is queued any more"
    );
    world.assert_told_once();
}

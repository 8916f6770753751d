//! The workers of the model: they look for a job, and their attempts end in one way or another.
//!
//! Invariants, asserted when a job is taken: it waits and is not out, nothing is taken in a pause, first attempts keep
//! their order and lanes theirs, and there are never more than the rate and the ramp allow.

use super::{Worker, World, tell_all};
use crate::deliver::breaker::{Change, Ended, Reach};
use crate::deliver::model::{lane, ops::End};
use crate::deliver::scheduler::Step;
use crate::event::{Seq, TargetId};
use crate::store::{Outcome, Settlement};
use std::time::Duration;

impl World {
    /// The nth worker of those that `wanted` matches.
    fn pick(&self, nth: usize, wanted: impl Fn(&Worker) -> bool) -> Option<usize> {
        let workers = self.workers.iter().enumerate();
        let found: Vec<usize> = workers
            .filter(|(_, (_, worker))| wanted(worker))
            .map(|(index, _)| index)
            .collect();
        found.get(nth % found.len().max(1)).copied()
    }

    pub(super) fn look(&mut self, nth: usize) -> bool {
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

    pub(super) fn end(&mut self, nth: usize, end: End) -> bool {
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
}

//! A worker takes one delivery after the other: attempt, settle, next. No task and no channel per event.

use super::attempt::Posted;
use super::breaker::Ended;
use super::gear::Gear;
use super::headers::Attempt;
use super::job::Job;
use super::log;
use super::scheduler::Step;
use super::shift::Running;
use super::target::Target;
use crate::clock;
use crate::event::Event;
use crate::http::client::ANSWER_BYTES;
use crate::shutdown::Phase;
use crate::store::{AttemptRecord, DeadReason, Outcome, Settlement};
use std::sync::Arc;
use tokio::{sync::Notify, time::Instant};

/// Works until there was nothing to do for a while, or the stop drains. Cut off, it leaves its delivery unsettled
/// and uncounted, to be attempted at the next start.
pub(super) async fn work(target: Arc<Target>, running: Running) {
    let bell = Arc::new(Notify::new());
    let mut now = Instant::now();
    let mut idle_since = now;
    let mut summoned = true;
    loop {
        match target.step(&bell, summoned, idle_since, now) {
            Step::Attempt(job) => {
                now = attempt(&target, job, &running, now).await;
                idle_since = now;
                summoned = false;
            }
            Step::Wait => {
                bell.notified().await;
                now = Instant::now();
                summoned = true;
            }
            Step::Leave => return,
        }
    }
}

/// Makes one attempt from `now` on. Returns when it ended.
async fn attempt(target: &Arc<Target>, job: Job, running: &Running, now: Instant) -> Instant {
    let mut watch = Watch {
        target,
        job: &job,
        running,
        is_settled: false,
    };
    let Some(event) = &job.event else {
        bury_damaged(target, &job, running);
        watch.is_settled = true;
        return Instant::now();
    };
    let gear = target.gear();
    let gear = gear.expect("nothing is taken for a target that was never configured");
    let attempt = job.attempts.saturating_add(1);
    let number = Attempt {
        number: attempt,
        replay: job.replay,
    };
    let posting = post(&gear, event, number, now);
    let mut posted = if job.probe {
        // An app that is not there is not waited for.
        let mut stop = running.stop.clone();
        tokio::select! {
            biased;
            posted = posting => posted,
            () = stop.reached(Phase::Draining) => return Instant::now(),
        }
    } else {
        posting.await
    };
    let ending = posted.ending;
    target.count(event, &posted);
    gear.tell(event, number, &mut posted);
    let outcome = if ending.delivered {
        log::delivered(event, &target.name, attempt, &ending);
        Outcome::Delivered
    } else {
        target.log_failure(event, attempt, &posted);
        gear.patience.after_failure(
            attempt,
            job.since_ms.unwrap_or(event.received_ms),
            clock::unix_ms(),
            ending.retry_after,
            job.probe,
        )
    };
    if let Outcome::Dead { reason, attempts } = outcome {
        log::dead(event, &target.name, attempts, reason, Some(&ending));
    }
    let record = posted.record(attempt);
    settle(target, &job, outcome, Some(Box::new(record)), running);
    watch.is_settled = true;
    job.tell(ending.delivered);
    let ended = Ended {
        reach: ending.reach,
        probe: job.probe,
        first: job.due_ms.is_none(),
    };
    target.ended(ended, posted.at);
    posted.at
}

/// Watches over an attempt. If it panics the worker's place becomes free, and the delivery is tried again later like
/// after any failure: neither may be lost until the next start.
struct Watch<'a> {
    target: &'a Arc<Target>,
    job: &'a Job,
    running: &'a Running,
    is_settled: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // An attempt that was cut off by the stop ends here, too: it is not counted.
        if !std::thread::panicking() {
            return;
        }
        let Self { target, job, .. } = *self;
        tracing::error!(
            target = &*target.name,
            seq = job.seq.0,
            "an attempt has panicked; it counts as failed"
        );
        if !self.is_settled {
            let now_ms = clock::unix_ms();
            let received_ms = job.event.as_ref().map(|event| event.received_ms);
            let received_ms = job.since_ms.or(received_ms).unwrap_or(now_ms);
            let attempt = job.attempts.saturating_add(1);
            if let Some(gear) = target.gear() {
                let patience = &gear.patience;
                let outcome = patience.after_failure(attempt, received_ms, now_ms, None, job.probe);
                settle(target, job, outcome, None, self.running);
            }
            job.tell(false);
        }
        target.fell(job.probe && !self.is_settled);
    }
}

async fn post(gear: &Gear, event: &Event, attempt: Attempt, now: Instant) -> Posted {
    let (_slot, begun) = gear.slot(now).await;
    let times = (begun, begun + gear.timeout);
    gear.post(event, attempt, times, ANSWER_BYTES).await
}

/// A payload that fails its checksum is never forwarded.
fn bury_damaged(target: &Target, job: &Job, running: &Running) {
    tracing::error!(
        target = &*target.name,
        seq = job.seq.0,
        attempt = job.attempts,
        reason = log::word(DeadReason::Corrupt),
        "event.dead: its stored payload is damaged"
    );
    let outcome = Outcome::Dead {
        reason: DeadReason::Corrupt,
        attempts: job.attempts,
    };
    settle(target, job, outcome, None, running);
    target.unused(job.probe);
}

fn settle(
    target: &Target,
    job: &Job,
    outcome: Outcome,
    attempt: Option<Box<AttemptRecord>>,
    running: &Running,
) {
    running.store.settle(Settlement {
        target: target.id,
        seq: job.seq,
        was_due_ms: job.due_ms,
        bytes: job.weight,
        outcome,
        replay: job.replay,
        lane: job.lane,
        attempt,
    });
}

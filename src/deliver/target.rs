//! One target: its state under one lock, and what follows from a change of it. The lock is never held while
//! anybody is woken, told or waited for.

use super::breaker::{Change, Ended};
use super::crew::Summon;
use super::headers::Outfit;
use super::job::{self, Job};
use super::log::{self, Failures};
use super::retry::Patience;
use super::scheduler::{Limits, Plan, Scheduler, Step};
use super::shift::Shift;
use super::sign::Signer;
use super::{PresentSecrets, Setup, TargetStatus, worker};
use crate::budget::Budget;
use crate::clock;
use crate::event::{Event, Lane, TargetId};
use crate::http::client::{Client, Limits as ConnectionLimits};
use crate::metrics::TargetMetrics;
use crate::store::{DeadReason, Outcome, Settlement};
use crate::trace::Tracer;
use http::{Uri, uri::Scheme};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// One target at work.
#[derive(Debug)]
pub(super) struct Target {
    /// Its number in the store.
    pub(super) id: TargetId,
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its connections.
    pub(super) client: Client,
    /// What its events wear.
    pub(super) outfit: Outfit,
    /// Of one attempt.
    pub(super) timeout: Duration,
    /// When it is tried again.
    pub(super) patience: Patience,
    /// Attempts at one time: those of the workers and those of `passthrough` together.
    pub(super) slots: Semaphore,
    /// All slots.
    concurrency: usize,
    /// Where they go, for an operator's eyes.
    url: String,
    /// Where they go, for traces.
    pub(super) host: String,
    /// The same.
    pub(super) port: u16,
    /// What is told of its attempts.
    pub(super) tracer: Tracer,
    /// Its handles.
    pub(super) metrics: TargetMetrics,
    /// What was logged of its failures.
    pub(super) failures: Failures,
    /// Rung when the reader has to plan anew.
    pub(super) reader: Notify,
    scheduler: Mutex<Scheduler>,
    shift: Arc<Shift>,
}

impl Target {
    /// Prepares a target, and sets its gauges to what waits for it.
    pub(super) fn new(
        setup: Setup,
        secrets: PresentSecrets,
        memory: Budget,
        shift: Arc<Shift>,
    ) -> Arc<Self> {
        let Setup {
            id,
            config,
            backlog,
            metrics,
            fed_by,
            tracer,
        } = setup;
        let limits = Limits {
            concurrency: config.concurrency,
            rate: config.rate,
            breaker: config.breaker,
            delay_max: config.retry.longest(),
            ordered: !config.order_by.0.is_empty(),
        };
        let scheduler = Scheduler::new(limits, &backlog, memory);
        metrics.pending.set(gauge(backlog.deliveries));
        metrics.dead.set(gauge(backlog.dead));
        metrics.state(scheduler.state());
        let limits = ConnectionLimits {
            connect_timeout: config.connect_timeout,
            connection_max_age: config.connection_max_age,
        };
        Arc::new(Self {
            id,
            client: Client::new(&config.url, limits),
            outfit: Outfit::new(secrets, Signer::new(&config.sign), config.format, fed_by),
            timeout: config.timeout,
            patience: Patience {
                schedule: config.retry,
                give_up_after: config.give_up_after,
                max_attempts: config.max_attempts,
            },
            slots: Semaphore::new(config.concurrency),
            concurrency: config.concurrency,
            url: shown(&config.url),
            host: config.url.host().unwrap_or_default().to_owned(),
            port: port(&config.url),
            tracer,
            name: config.name,
            metrics,
            failures: Failures::default(),
            reader: Notify::new(),
            scheduler: Mutex::new(scheduler),
            shift,
        })
    }

    /// Deliveries are attempted from now on.
    pub(super) fn start(self: &Arc<Self>) {
        let paused = {
            let mut scheduler = self.scheduler.lock();
            scheduler.start();
            scheduler.is_paused()
        };
        if paused {
            tracing::warn!(
                target = &*self.name,
                "target is paused: its events wait until it is resumed"
            );
        }
        self.summon_all();
    }

    /// Nothing is taken any more: what is queued waits in the store, for the next start.
    pub(super) fn stop(&self) {
        let (gone, parked) = {
            let mut scheduler = self.scheduler.lock();
            (scheduler.stop(), scheduler.parked())
        };
        self.reader.notify_one();
        ring_all(&parked);
        tell_all(&gone);
    }

    /// The writer announces an event.
    pub(super) fn admitted(self: &Arc<Self>, event: &Arc<Event>, lane: Option<Lane>) {
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
                scheduler.summon(Instant::now())
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
    pub(super) fn settled(self: &Arc<Self>, settlements: &[Settlement]) {
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
    pub(super) fn in_vain(self: &Arc<Self>, settlement: &Settlement) {
        self.change(|scheduler| scheduler.in_vain(settlement.lane, settlement.seq));
    }

    /// An operator's replay waits.
    pub(super) fn replayed(self: &Arc<Self>, bytes: u64, due_ms: u64) {
        self.metrics.pending.increment(1.0);
        self.change(|scheduler| scheduler.replayed(bytes, due_ms));
    }

    /// An operator has given a delivery up.
    pub(super) fn discarded(self: &Arc<Self>, settlement: &Settlement) {
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

    /// Retries are due earlier than they were.
    pub(super) fn hastened(self: &Arc<Self>, due_ms: u64) {
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
    pub(super) fn refused(&self, event: &Event) {
        self.died(DeadReason::Backlog);
        log::dead(event, &self.name, 0, DeadReason::Backlog, None);
        job::tell(event, false);
    }

    /// Dead letters are kept no longer.
    pub(super) fn forgotten(&self, count: u64) {
        self.metrics.dead.decrement(gauge(count));
    }

    /// A worker looks at `now`.
    pub(super) fn step(
        &self,
        bell: &Arc<Notify>,
        summoned: bool,
        idle_since: Instant,
        now: Instant,
    ) -> Step {
        let (step, reader) = {
            let mut scheduler = self.scheduler.lock();
            let step = scheduler.step(bell, summoned, idle_since, now);
            (step, scheduler.wants_reader())
        };
        if reader {
            self.reader.notify_one();
        }
        step
    }

    /// An attempt of a worker has ended at `now`.
    pub(super) fn ended(self: &Arc<Self>, ended: Ended, now: Instant) {
        self.learn(|scheduler| scheduler.ended(ended, now));
    }

    /// Another attempt has.
    pub(super) fn heard(self: &Arc<Self>, ended: Ended, now: Instant) {
        self.learn(|scheduler| scheduler.heard(ended, now));
    }

    fn learn(
        self: &Arc<Self>,
        learn: impl FnOnce(&mut Scheduler) -> Option<(Change, VecDeque<Job>)>,
    ) {
        let (changed, ramping) = {
            let mut scheduler = self.scheduler.lock();
            let changed = learn(&mut scheduler);
            // Under the lock, so that the gauges of two changes cannot overtake each other.
            if let Some((change, _)) = &changed {
                self.show(*change, &scheduler);
            }
            (changed, scheduler.is_ramping())
        };
        if changed.is_some() {
            self.reader.notify_one();
        }
        if changed.is_some() || ramping {
            self.summon_all();
        }
        if let Some((_, gone)) = changed {
            tell_all(&gone);
        }
    }

    /// Nothing is taken until [`Self::resume`].
    pub(super) fn pause(&self) {
        let gone = {
            let mut scheduler = self.scheduler.lock();
            let Some(gone) = scheduler.pause() else {
                return;
            };
            self.metrics.state(scheduler.state());
            gone
        };
        tracing::info!(target = &*self.name, "target is paused: its events wait");
        self.reader.notify_one();
        tell_all(&gone);
    }

    /// Ends a pause.
    pub(super) fn resume(self: &Arc<Self>) {
        {
            let mut scheduler = self.scheduler.lock();
            if !scheduler.resume() {
                return;
            }
            self.metrics.state(scheduler.state());
        }
        tracing::info!(target = &*self.name, "target is resumed");
        self.reader.notify_one();
    }

    /// Asks an app that is down now.
    pub(super) fn ask_now(&self) {
        self.scheduler.lock().ask_now(Instant::now());
        self.reader.notify_one();
    }

    /// What an operator sees.
    pub(super) fn status(&self) -> TargetStatus {
        let scheduler = self.scheduler.lock();
        let pending = scheduler.pending();
        TargetStatus {
            id: self.id,
            name: Arc::clone(&self.name),
            url: self.url.clone(),
            configured: true,
            state: scheduler.state(),
            paused: scheduler.is_paused(),
            pending: pending.deliveries,
            pending_bytes: pending.bytes,
            in_flight: self
                .concurrency
                .saturating_sub(self.slots.available_permits()) as u64,
            consecutive_failures: scheduler.failures(),
        }
    }

    /// A taken job held nothing to attempt.
    pub(super) fn unused(&self, probe: bool) {
        self.scheduler.lock().unused(probe);
        self.reader.notify_one();
    }

    /// A worker is gone in the middle of its attempt.
    pub(super) fn fell(self: &Arc<Self>, probe: bool) {
        self.scheduler.lock().fell(probe);
        self.reader.notify_one();
        self.summon_all();
    }

    /// What the reader does next.
    pub(super) fn plan(self: &Arc<Self>) -> Plan {
        let plan = {
            let mut scheduler = self.scheduler.lock();
            let (plan, change) = scheduler.plan(clock::unix_ms(), Instant::now());
            if let Some(change) = change {
                self.show(change, &scheduler);
            }
            plan
        };
        // It may have been woken because there are tokens again.
        self.summon_all();
        plan
    }

    /// A page was read: `fill` puts it into the queue.
    pub(super) fn fill(self: &Arc<Self>, fill: impl FnOnce(&mut Scheduler)) {
        fill(&mut self.scheduler.lock());
        self.summon_all();
    }

    /// Whether anything waits for it.
    pub(super) fn is_pending(&self) -> bool {
        self.scheduler.lock().is_pending()
    }

    /// Tells how long the oldest waits, which was received at `received_ms`. One whose row is not found is on its way
    /// in or out: what is shown stays.
    pub(super) fn show_oldest(&self, received_ms: Option<u64>) {
        // Under the lock, so that nothing settles in between.
        let scheduler = self.scheduler.lock();
        if !scheduler.is_pending() {
            self.metrics.oldest_pending.set(0.0);
        } else if let Some(received_ms) = received_ms {
            self.metrics
                .oldest_pending
                .set(clock::age_seconds(received_ms, clock::unix_ms()));
        }
    }

    /// Lets workers go that had nothing to do for a while.
    pub(super) fn dismiss_stale(&self) {
        let stale = self.scheduler.lock().stale(Instant::now());
        ring_all(&stale);
    }

    fn summon_all(self: &Arc<Self>) {
        loop {
            let summon = self.scheduler.lock().summon(Instant::now());
            match summon {
                Some(summon) => self.call(summon),
                None => return,
            }
        }
    }

    fn call(self: &Arc<Self>, summon: Summon) {
        match summon {
            Summon::Ring(bell) => bell.notify_one(),
            Summon::Hire => self
                .shift
                .spawn(|running| worker::work(Arc::clone(self), running)),
        }
    }

    fn died(&self, reason: DeadReason) {
        self.metrics.dead.increment(1.0);
        self.metrics.dead_total.increment(log::word(reason));
    }

    fn show(&self, change: Change, scheduler: &Scheduler) {
        self.metrics.state(scheduler.state());
        let target = &*self.name;
        match change {
            Change::Opened => tracing::warn!(
                target,
                failures = scheduler.failures(),
                "app seems to be down; its events wait"
            ),
            Change::HeldOn => tracing::debug!(target, "app is still down"),
            Change::HalfOpened => tracing::debug!(target, "asking whether the app is up"),
            Change::Closed => tracing::info!(target, "app is up again"),
        }
    }
}

/// As given, or the scheme's own.
fn port(url: &Uri) -> u16 {
    let default = if url.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    url.port_u16().unwrap_or(default)
}

/// Without its query, which may carry a token. (A configured URL has no user.)
fn shown(url: &Uri) -> String {
    let mut parts = url.clone().into_parts();
    let path = url.path().parse().ok();
    parts.path_and_query = path;
    Uri::from_parts(parts).map_or_else(|_| String::new(), |url| url.to_string())
}

fn tell_all(gone: &VecDeque<Job>) {
    for job in gone {
        job.tell(false);
    }
}

fn ring_all(bells: &[Arc<Notify>]) {
    for bell in bells {
        bell.notify_one();
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floats; 2^53 deliveries do not fit on a disk"
)]
pub(super) fn gauge(count: u64) -> f64 {
    count as f64
}

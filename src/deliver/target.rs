//! One target: its state under one lock, and what follows from a change of it. The lock is never held while
//! anybody is woken, told or waited for.

mod announced;

use super::breaker::{Change, Ended};
use super::crew::Summon;
use super::gear::{self, Gear};
use super::job::Job;
use super::log::Failures;
use super::scheduler::{Plan, Scheduler, Step};
use super::shift::Shift;
use super::{Means, Removed, Setup, TargetStatus, worker};
use crate::budget::Budget;
use crate::clock;
use crate::config;
use crate::event::TargetId;
use crate::metrics::TargetMetrics;
use crate::store::Backlog;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One target at work.
#[derive(Debug)]
pub(super) struct Target {
    /// Its number in the store.
    pub(super) id: TargetId,
    /// Its name.
    pub(super) name: Arc<str>,
    /// What attempts are made with at present; none if no configuration has named it since the start.
    gear: RwLock<Option<Arc<Gear>>>,
    means: Means,
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
    pub(super) fn new(setup: Setup, means: Means, memory: Budget, shift: Arc<Shift>) -> Arc<Self> {
        let Setup {
            id,
            config,
            backlog,
            metrics,
            fed_by,
        } = setup;
        let scheduler = Scheduler::new(Some(gear::limits(&config)), &backlog, memory);
        metrics.state(scheduler.state());
        let name = Arc::clone(&config.name);
        let gear = Arc::new(Gear::new(config, fed_by, means.clone(), None));
        let common = (id, name, backlog, metrics);
        Self::with(common, scheduler, Some(gear), means, shift)
    }

    /// A target that the configuration does not name: nothing is attempted, but what waits, dies and is forgotten there is
    /// counted and logged as everywhere.
    pub(super) fn removed(
        removed: Removed,
        means: Means,
        memory: Budget,
        shift: Arc<Shift>,
    ) -> Arc<Self> {
        let Removed {
            id,
            name,
            backlog,
            metrics,
        } = removed;
        let scheduler = Scheduler::new(None, &backlog, memory);
        let common = (id, name, backlog, metrics);
        Self::with(common, scheduler, None, means, shift)
    }

    fn with(
        (id, name, backlog, metrics): (TargetId, Arc<str>, Backlog, TargetMetrics),
        scheduler: Scheduler,
        gear: Option<Arc<Gear>>,
        means: Means,
        shift: Arc<Shift>,
    ) -> Arc<Self> {
        metrics.pending.set(gauge(backlog.deliveries));
        metrics.dead.set(gauge(backlog.dead));
        Arc::new(Self {
            id,
            name,
            gear: RwLock::new(gear),
            means,
            metrics,
            failures: Failures::default(),
            reader: Notify::new(),
            scheduler: Mutex::new(scheduler),
            shift,
        })
    }

    /// What attempts are made with at present.
    pub(super) fn gear(&self) -> Option<Arc<Gear>> {
        self.gear.read().clone()
    }

    /// The configuration says this of it from now on. One that is equipped so already is not touched; one that was removed
    /// goes on with what waits for it. Attempts that run end as they began, and each is settled like any other.
    pub(super) fn equip(self: &Arc<Self>, config: config::Target, fed_by: Vec<Arc<str>>) {
        let before = self.gear();
        let is_retired = self.scheduler.lock().is_retired();
        let same = before
            .as_ref()
            .is_some_and(|gear| gear.is_for(&config, &fed_by));
        if same && !is_retired {
            return;
        }
        let moved = before.as_ref().is_none_or(|gear| gear.is_moved_by(&config));
        let limits = gear::limits(&config);
        let means = self.means.clone();
        let gear = Gear::new(config, fed_by, means, before.as_deref());
        // Before anything is taken for it.
        *self.gear.write() = Some(Arc::new(gear));
        let (gone, surplus) = {
            let mut scheduler = self.scheduler.lock();
            let changed = scheduler.reform(limits, moved);
            self.metrics.state(scheduler.state());
            changed
        };
        self.reader.notify_one();
        ring_all(&surplus);
        tell_all(&gone);
        self.summon_all();
    }

    /// The configuration does not name it any more. What waits stays where it is; attempts that run may finish.
    pub(super) fn retire(&self) {
        let gone = {
            let mut scheduler = self.scheduler.lock();
            let Some(gone) = scheduler.retire() else {
                return;
            };
            self.metrics.no_state();
            gone
        };
        self.reader.notify_one();
        tell_all(&gone);
    }

    /// Whether the configuration names it.
    pub(super) fn is_configured(&self) -> bool {
        !self.scheduler.lock().is_retired()
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

    /// A worker looks at `now`.
    pub(super) fn step(
        self: &Arc<Self>,
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
        if matches!(step, Step::Leave) {
            // It may have been rung for something that another one has to take.
            self.summon_all();
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
            self.show_state(&scheduler);
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
            self.show_state(&scheduler);
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
        let configured = !scheduler.is_retired();
        let gear = self.gear();
        let gear = gear.as_ref();
        let url = gear.filter(|_| configured).map(|gear| gear.url.clone());
        TargetStatus {
            id: self.id,
            name: Arc::clone(&self.name),
            url: url.unwrap_or_default(),
            configured,
            state: scheduler.state(),
            paused: configured && scheduler.is_paused(),
            pending: pending.deliveries,
            pending_bytes: pending.bytes,
            in_flight: gear.map_or(0, |gear| gear.in_flight() as u64),
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
            let summon = self.scheduler.lock().summon(Instant::now);
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

    /// One that is not configured has no state.
    fn show_state(&self, scheduler: &Scheduler) {
        if !scheduler.is_retired() {
            self.metrics.state(scheduler.state());
        }
    }

    fn show(&self, change: Change, scheduler: &Scheduler) {
        self.show_state(scheduler);
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

//! Towards the app: every waiting delivery is attempted until the app has taken it or it is given up.
//!
//! A target is either *live* (fed from memory as events commit) or *behind* (fed from the store), never both.
//! Memory holds the next few of the fresh and of the due, served in turn, so that neither a thousand poisoned
//! events nor one slow one hold a target up. Attempts that are sent but not settled in the store are at most
//! `concurrency` and one batch.

mod attempt;
mod breaker;
mod by_hand;
mod classify;
mod cloudevents;
mod crew;
mod due;
#[cfg(test)]
mod fixture;
mod fresh;
mod gear;
mod headers;
mod job;
mod lanes;
mod log;
#[cfg(test)]
mod model;
mod reader;
mod retry;
mod scheduler;
mod shift;
mod sign;
mod target;
#[cfg(test)]
mod tests;
mod window;
mod worker;

use crate::budget::Budget;
use crate::config;
use crate::event::{Event, TargetId};
use crate::metrics::TargetMetrics;
use crate::shutdown::Listener as Stop;
use crate::store::{Abandoned, Backlog, Destination, Feed, Settlement, Store};
use crate::trace::Tracer;
pub use by_hand::{Handed, NotPosted};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use parking_lot::RwLock;
use shift::Shift;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use target::Target;
use tokio::sync::Semaphore;

/// Secrets that arrive in a header, by source name: put back when an event is delivered.
pub type SecretHeaders = HashMap<Arc<str>, Vec<SecretValue>>;

/// The same as they are at present.
type PresentSecrets = Arc<RwLock<SecretHeaders>>;

/// What the attempts of all targets share.
#[derive(Clone, Debug)]
struct Means {
    secrets: PresentSecrets,
    /// What is told of them.
    tracer: Tracer,
}

/// A header that carries a secret itself.
#[derive(Debug)]
pub struct SecretValue {
    /// The header.
    pub header: http::HeaderName,
    /// The secret's configured name.
    pub secret: Arc<str>,
    /// The header's value; marked as sensitive.
    pub value: http::HeaderValue,
}

/// All targets.
#[derive(Debug)]
pub struct Deliver {
    /// Also those that the configuration does not name any more, and that something waits or has waited for.
    targets: RwLock<BTreeMap<TargetId, Arc<Target>>>,
    shift: Arc<Shift>,
    means: Means,
    /// Bytes of events that wait here for their attempt.
    memory: Budget,
    /// Attempts by hand at one time.
    hands: Semaphore,
}

/// What an operator sees of a target.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    /// Its number in the store.
    pub id: TargetId,
    /// Its name.
    pub name: Arc<str>,
    /// Where its events go, without the query; empty if the configuration no longer names it.
    pub url: String,
    /// Whether the configuration names it; otherwise what waits is kept until it is too old.
    pub configured: bool,
    /// A word of [`crate::metrics::STATES`]; one that is not configured is `paused`.
    pub state: &'static str,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Deliveries that wait, those that are being attempted included.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// Attempts that run, those of `passthrough` included.
    pub in_flight: u64,
    /// Attempts that failed since one did not (an answer below 500 other than 429 is none).
    pub consecutive_failures: u32,
}

/// One target to deliver to.
#[derive(Debug)]
pub struct Setup {
    /// Its number in the store.
    pub id: TargetId,
    /// Its settings.
    pub config: config::Target,
    /// What waits for it already.
    pub backlog: Backlog,
    /// Its handles.
    pub metrics: TargetMetrics,
    /// Names of the sources whose events are routed to it.
    pub fed_by: Vec<Arc<str>>,
}

/// A target that the configuration does not name, and what it has left.
#[derive(Debug)]
pub struct Removed {
    /// Its number in the store.
    pub id: TargetId,
    /// Its name.
    pub name: Arc<str>,
    /// What waits for it.
    pub backlog: Backlog,
    /// Its handles.
    pub metrics: TargetMetrics,
}

impl Deliver {
    /// Prepares the targets; nothing is attempted before [`Self::start`]. `memory_bytes` bounds the events held
    /// in memory for all of them.
    pub fn new(
        targets: Vec<Setup>,
        removed: Vec<Removed>,
        secrets: SecretHeaders,
        memory_bytes: u64,
        tracer: Tracer,
    ) -> Arc<Self> {
        let secrets = Arc::new(RwLock::new(secrets));
        let means = Means { secrets, tracer };
        let memory = Budget::new(memory_bytes);
        let shift = Arc::new(Shift::default());
        let common = || (means.clone(), memory.clone(), Arc::clone(&shift));
        let configured = targets.into_iter().map(|setup| {
            let (means, memory, shift) = common();
            Target::new(setup, means, memory, shift)
        });
        let removed = removed.into_iter().map(|removed| {
            let (means, memory, shift) = common();
            Target::removed(removed, means, memory, shift)
        });
        let all = configured.chain(removed);
        let targets = all.map(|target| (target.id, target)).collect();
        Arc::new(Self {
            targets: RwLock::new(targets),
            shift,
            means,
            memory,
            hands: Semaphore::new(by_hand::HANDS_MAX),
        })
    }

    /// Puts these secrets back from now on.
    pub fn renew(&self, secrets: SecretHeaders) {
        *self.means.secrets.write() = secrets;
    }

    /// Starts the attempts, on the current runtime, until the stop is at `Draining`; then running attempts may finish.
    ///
    /// # Panics
    /// Outside a runtime, and when called again.
    pub fn start(self: &Arc<Self>, store: Store, stop: Stop) {
        self.shift.begin(store, stop);
        for target in self.all() {
            self.begin(&target);
        }
        let deliver = Arc::clone(self);
        self.shift.spawn(|running| reader::stop(deliver, running));
        let deliver = Arc::clone(self);
        self.shift
            .spawn(|running| reader::look_after(deliver, running));
    }

    fn begin(&self, target: &Arc<Target>) {
        target.start();
        self.shift
            .spawn(|running| reader::serve(Arc::clone(target), running));
    }

    /// Whether this target is known here, configured or not.
    pub fn has(&self, target: TargetId) -> bool {
        self.target(target).is_some()
    }

    /// Takes a target in that was not known, once the start is made. Nothing waits for it yet.
    pub fn add(&self, setup: Setup) {
        let id = setup.id;
        let means = self.means.clone();
        let shift = Arc::clone(&self.shift);
        let target = Target::new(setup, means, self.memory.clone(), shift);
        self.targets.write().insert(id, Arc::clone(&target));
        self.begin(&target);
        // Whoever tells all of them to stop has told this one, or has told so before it was there.
        if self.shift.is_draining() {
            target.stop();
        }
    }

    /// What the configuration says from now on of a target that is known here.
    pub fn equip(&self, target: TargetId, config: config::Target, fed_by: Vec<Arc<str>>) {
        if let Some(target) = self.target(target) {
            target.equip(config, fed_by);
        }
    }

    /// Targets that are configured and not among these are so no more: what waits for them stays where it is.
    pub fn retire_others(&self, configured: &HashSet<TargetId>) {
        let others = self.all().into_iter();
        for target in others.filter(|target| !configured.contains(&target.id)) {
            target.retire();
        }
    }

    /// Bounds the events held in memory by another number of bytes.
    pub fn set_memory(&self, memory_bytes: u64) {
        self.memory.resize(memory_bytes);
    }

    fn target(&self, target: TargetId) -> Option<Arc<Target>> {
        self.targets.read().get(&target).cloned()
    }

    /// All targets that are known here.
    fn all(&self) -> Vec<Arc<Target>> {
        self.targets.read().values().cloned().collect()
    }

    /// Waits for running attempts until the stop is `Over`, then cuts them off (they are not counted).
    pub async fn drained(&self) {
        self.shift.ended().await;
    }

    /// What an operator sees of every target, configured or not, by name.
    pub fn status(&self) -> Vec<TargetStatus> {
        let mut all: Vec<_> = self.all().iter().map(|target| target.status()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Nothing begins at `target` until [`Self::resume`]; attempts that run may finish. In memory: the caller makes it
    /// durable. A target that is not configured takes nothing anyway.
    pub fn pause(&self, target: TargetId) {
        if let Some(target) = self.target(target).filter(|known| known.is_configured()) {
            target.pause();
        }
    }

    /// Ends a pause of `target`.
    pub fn resume(&self, target: TargetId) {
        if let Some(target) = self.target(target).filter(|known| known.is_configured()) {
            target.resume();
        }
    }

    /// Asks now whether the app of `target` is up. Retries that wait come earlier by the store's word:
    /// [`crate::store::Command::Hasten`].
    pub fn retry_now(&self, target: TargetId) {
        if let Some(target) = self.target(target) {
            target.ask_now();
        }
    }

    /// `passthrough`: one attempt, its answer as it comes. A target that is not among those prepared gives none.
    pub async fn pass(&self, target: TargetId, event: &Event) -> Result<PassReply, PassError> {
        let target = self.target(target).ok_or(PassError::Bad)?;
        target.pass(event).await
    }

    /// One attempt at a URL that is given by hand (`http` or `https`), with the usual time limits. Nothing is stored,
    /// counted or retried, and no target's breaker or slots have to do with it. It is made when what is returned is
    /// awaited, and nobody waits for a turn.
    pub fn post_to<'a>(
        &'a self,
        url: &'a Uri,
        event: &'a Event,
        replay: u32,
    ) -> Result<impl Future<Output = Handed> + Send + 'a, NotPosted> {
        by_hand::check(url)?;
        let turn = self.hands.try_acquire().map_err(|_| NotPosted::Busy)?;
        Ok(async move {
            let handed = by_hand::post(url, event, replay).await;
            drop(turn);
            handed
        })
    }
}

/// The app's answer in `passthrough`.
#[derive(Debug)]
pub struct PassReply {
    /// Its status.
    pub status: http::StatusCode,
    /// Its Content-Type, among others.
    pub headers: HeaderMap,
    /// At most 1 MiB.
    pub body: Bytes,
}

/// Why the app gave no answer in `passthrough`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// 502.
    #[error("app gave no valid answer")]
    Bad,
    /// 504.
    #[error("app did not answer in time")]
    Timeout,
}

impl Feed for Deliver {
    fn admitted(&self, destination: Destination, event: &Arc<Event>) {
        match self.target(destination.target) {
            Some(target) => target.admitted(event, destination.lane),
            None => job::tell(event, false),
        }
    }

    fn settled(&self, settlements: &[Settlement]) {
        for run in settlements.chunk_by(|one, next| one.target == next.target) {
            if let Some(target) = self.target(run[0].target) {
                target.settled(run);
            }
        }
    }

    fn in_vain(&self, settlements: &[Settlement]) {
        for settlement in settlements {
            if let Some(target) = self.target(settlement.target) {
                target.in_vain(settlement);
            }
        }
    }

    fn replayed(&self, target: TargetId, bytes: u64, due_ms: u64) {
        if let Some(target) = self.target(target) {
            target.replayed(bytes, due_ms);
        }
    }

    fn discarded(&self, settlements: &[Settlement]) {
        for settlement in settlements {
            if let Some(target) = self.target(settlement.target) {
                target.discarded(settlement);
            }
        }
    }

    fn hastened(&self, target: TargetId, due_ms: u64) {
        if let Some(target) = self.target(target) {
            target.hastened(due_ms);
        }
    }

    fn refused(&self, target: TargetId, event: &Arc<Event>) {
        match self.target(target) {
            Some(target) => target.refused(event),
            None => job::tell(event, false),
        }
    }

    fn abandoned(&self, deliveries: &[Abandoned]) {
        for delivery in deliveries {
            if let Some(target) = self.target(delivery.settlement.target) {
                target.abandoned(delivery);
            }
        }
    }

    fn forgotten(&self, target: TargetId, count: u64) {
        if let Some(target) = self.target(target) {
            target.forgotten(count);
        }
    }
}

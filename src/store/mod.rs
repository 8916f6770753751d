//! What is durable. One narrow door: admit, take what is due, settle, forget. Nothing outside this room knows SQL.
//!
//! The writer is one thread with group commit; an event and its keys are acknowledged after one committed,
//! fsynced transaction, never before. Reads for deliveries run on a thread of their own.
//!
//! From the door inwards: `inbox` holds what waits for the `writer`, which commits it in a `batch` of rows
//! (`row`, `settle`, `retention`) within its bounds (`backlog`, `space`); `checkpoint` and `upkeep` keep the log short and
//! `read` serves deliveries. `directory`, `recovery`, `schema`, `names` and `inventory` open what is there.
//! `health` says whether any of it may still be trusted. `rejects` keeps refused requests, apart from all this.

mod adopt;
mod attempts;
mod backlog;
pub mod backup;
mod batch;
mod browse;
pub mod check;
mod checkpoint;
mod detail;
mod directory;
mod frames;
mod health;
mod history;
mod inbox;
pub mod info;
mod inventory;
mod lasting;
mod looking;
mod many;
mod mend;
mod names;
mod opened;
mod outbox;
mod page;
mod probe;
mod read;
mod recovery;
mod redo;
mod rejects;
mod replays;
mod retention;
mod row;
mod rows;
pub mod salvage;
mod schema;
mod scrub;
mod settle;
mod space;
mod steer;
mod steering;
mod upkeep;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use crate::budget::Charge;
use crate::dedupe::{Kind, Reservation};
use crate::event::{Event, EventId, FirstAttempts, Lane, Seq, SourceId, StoreTag, TargetId};
use crate::metrics::{Metrics, SourceMetrics};
use crate::verify::Verified;
pub use adopt::{Adopted, AdoptedSource, AdoptedTarget, Adoption};
pub use browse::{
    AttemptRow, DeliveryState, Detail, Handed, HistoryPage, HistoryQuery, HistoryRow, Page, Query,
    State, Summary,
};
pub use opened::{OpenError, OpenSettings, Opened};
pub use rejects::{
    Judge, Judging, Reject, RejectPage, RejectQuery, RejectSettings, RejectSource, RejectSummary,
    Rejects, Verdict,
};
pub use steer::{COMMANDS_MAX, Command, DISCARDED_ALREADY, Steered};

use bytes::Bytes;
use checkpoint::Checkpoints;
use directory::Directory;
use health::Health;
use inbox::{Abandon, Inbox};
use parking_lot::Mutex;
use read::Request;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::{thread::JoinHandle, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// An event to be admitted. Once handed over it belongs to the writer: nobody's timeout or disconnect undoes it.
#[derive(Debug)]
pub struct Admission {
    /// Who sent it.
    pub source: SourceId,
    /// The source's name.
    pub source_name: Arc<str>,
    /// Its type.
    pub event_type: Option<Arc<str>>,
    /// The app's idempotency key; `None` for an exempted event, whose key is made from its id
    /// (`DedupeKey::of_exempt` under `key_name`).
    pub key: Option<crate::event::DedupeKey>,
    /// The name that keys are hashed under.
    pub key_name: Arc<str>,
    /// The vendor's own id, as text; none for an event that is known by its body alone. For `store.history`.
    pub vendor_id: Option<Arc<str>>,
    /// Time of receipt, Unix milliseconds.
    pub received_ms: u64,
    /// The proof, with headers (as they are to be forwarded) and body.
    pub verified: Verified,
    /// Where it goes; not empty.
    pub targets: Vec<Destination>,
    /// Its keys in flight; empty of keys for an exempted event.
    pub reservation: Reservation,
    /// Its bytes in flight, given back after the commit.
    pub charge: Charge,
    /// Who waits for its first attempts.
    pub first_attempts: Option<FirstAttempts>,
    /// Where it counts as accepted, once it is durable and whether or not its sender still waits.
    pub metrics: Arc<SourceMetrics>,
}

/// One target of an event that is being admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where.
    pub target: TargetId,
    /// The line it waits in there; `None` where order does not matter.
    pub lane: Option<Lane>,
}

impl From<TargetId> for Destination {
    /// Where order does not matter.
    fn from(target: TargetId) -> Self {
        Self { target, lane: None }
    }
}

/// Why an event is not (known to be) stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// `max_size` or `min_free`.
    #[error("store is full")]
    Full,
    /// A target has reached its `max_backlog`, with `when_full: refuse`.
    #[error("as much waits for a target as may")]
    Backlog,
    /// More admissions wait than may.
    #[error("too many events wait for their commit")]
    Overloaded,
    /// The store failed, is locked by another program, or is closing.
    #[error("store is unavailable")]
    Unavailable,
}

/// One delivery that waits: an event at a target.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event; `None` when its row is damaged (it has to be settled as [`DeadReason::Corrupt`]).
    pub event: Option<Arc<Event>>,
    /// Of the event.
    pub seq: Seq,
    /// Attempts made so far.
    pub attempts: u32,
    /// When its retry was due (Unix milliseconds); `None` if no attempt was made yet and it is no replay.
    pub due_ms: Option<u64>,
    /// Which replay of the event this is, 1, 2 ...; 0 for the delivery that its admission asked for.
    pub replay: u32,
    /// When the replay was asked for, Unix milliseconds: `give_up_after` counts from then.
    pub since_ms: Option<u64>,
    /// The line it waits in.
    pub lane: Option<Lane>,
}

/// Why a delivery is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// Failed at `give_up_after`.
    Expired,
    /// Its row fails its checksum.
    Corrupt,
    /// `max_backlog` with `when_full: dead_letter`.
    Backlog,
    /// Its target is no longer configured.
    Removed,
    /// Failed `max_attempts` times.
    Attempts,
    /// By an operator.
    Discarded,
}

impl DeadReason {
    /// All of them, as metrics name them.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Expired, "expired"),
        (Self::Corrupt, "corrupt"),
        (Self::Backlog, "backlog"),
        (Self::Removed, "removed"),
        (Self::Attempts, "attempts"),
        (Self::Discarded, "discarded"),
    ];
}

/// How an attempt ended, to be made durable.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The app has it.
    Delivered,
    /// Try again at this time.
    Retry {
        /// Attempts made so far.
        attempts: u32,
        /// Unix milliseconds.
        due_ms: u64,
    },
    /// Given up.
    Dead {
        /// Why.
        reason: DeadReason,
        /// Attempts made so far.
        attempts: u32,
    },
}

/// One settled delivery.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Where.
    pub target: TargetId,
    /// What.
    pub seq: Seq,
    /// `due_ms` of the [`Delivery`] that this settles.
    pub was_due_ms: Option<u64>,
    /// Its weight in the backlog.
    pub bytes: u64,
    /// How.
    pub outcome: Outcome,
    /// `replay` of the [`Delivery`]: the row of another one is left alone.
    pub replay: u32,
    /// Its `lane`.
    pub lane: Option<Lane>,
    /// What the attempt was, to be looked at later; `None` where none was made.
    pub attempt: Option<Box<AttemptRecord>>,
}

/// What one attempt was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// 1, 2 ... within its delivery.
    pub attempt: u32,
    /// When it began, Unix milliseconds.
    pub at_ms: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// The app's answer, if there was one.
    pub status: Option<u16>,
    /// Why there is none, or why it did not count.
    pub error: Option<String>,
    /// The beginning of the answer: at most [`ANSWER_KEPT_BYTES`].
    pub answer: Bytes,
}

/// Bytes of an app's answer that are kept for inspection.
pub const ANSWER_KEPT_BYTES: usize = 1024;

/// What waits for one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries that wait.
    pub deliveries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The latest that waits.
    pub last: Option<Seq>,
    /// The earliest retry that is due, Unix milliseconds.
    pub next_due_ms: Option<u64>,
    /// Dead letters that are kept.
    pub dead: u64,
    /// Their bytes.
    pub dead_bytes: u64,
    /// Whether an operator has paused the target.
    pub paused: bool,
    /// The target's `give_up_after` as it was last configured; `None` before its first start.
    pub give_up_after: Option<Duration>,
}

/// A source or target that the store knows by name.
#[derive(Clone, Debug)]
pub struct Known<Id> {
    /// Its number.
    pub id: Id,
    /// Its name.
    pub name: Arc<str>,
    /// Whether the configuration names it.
    pub configured: bool,
}

/// Hears of what became durable. Called after the commit, in order, by one thread at a time: keep it short.
pub trait Feed: Send + Sync + 'static {
    /// An event is durable and waits at its destination. Called once for each target of an event, in order of `seq`.
    fn admitted(&self, destination: Destination, event: &Arc<Event>);
    /// Settlements are durable.
    fn settled(&self, settlements: &[Settlement]);
    /// Settlements changed nothing: an operator had discarded these deliveries meanwhile. If one was replayed
    /// since, it is due.
    fn in_vain(&self, settlements: &[Settlement]);
    /// An operator's replay waits for `target` like a retry that is due at `due_ms`, and weighs `bytes`.
    fn replayed(&self, target: TargetId, bytes: u64, due_ms: u64);
    /// An operator has made dead letters of deliveries that waited. One that is being attempted is settled by its
    /// attempt all the same: [`Self::in_vain`].
    fn discarded(&self, settlements: &[Settlement]);
    /// Retries of `target` that were due later are due at `due_ms`.
    fn hastened(&self, target: TargetId, due_ms: u64);
    /// A delivery was a dead letter from the start (`when_full: dead_letter`).
    fn refused(&self, target: TargetId, event: &Arc<Event>);
    /// Deliveries of targets that are no longer configured are dead letters, durably.
    fn abandoned(&self, deliveries: &[Abandoned]);
    /// `count` dead letters of `target` are kept no longer.
    fn forgotten(&self, target: TargetId, count: u64);
}

/// A delivery that was given up because its target is no longer configured.
#[derive(Clone, Debug)]
pub struct Abandoned {
    /// What became of it.
    pub settlement: Settlement,
    /// The event's id and the name of its source, unless its row is missing.
    pub event: Option<(EventId, Arc<str>)>,
}

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Threads>);

/// The threads behind the door. They end when the last door is dropped, too.
#[derive(Debug)]
struct Threads {
    inbox: Arc<Inbox>,
    health: Arc<Health>,
    checkpoints: Arc<Checkpoints>,
    reads: mpsc::Sender<Request>,
    handles: Mutex<Vec<JoinHandle<()>>>,
    /// Each thread holds a receiver as long as it lives.
    alive: watch::Sender<()>,
    tag: StoreTag,
    keeps_history: AtomicBool,
    /// Gone once the threads are.
    directory: Weak<Directory>,
    /// Numbers that rows know a source by beside its own.
    heirs: HashMap<SourceId, SourceId>,
    stop_scrub: Arc<scrub::Stop>,
    /// What operators ask.
    asked: mpsc::Sender<browse::Request>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.inbox.close();
        self.checkpoints.stop();
        self.stop_scrub.stop();
    }
}

/// The largest event, in bytes of [`Event::weight`]: half of what SQLite puts into one row
/// (`SQLITE_MAX_LENGTH`, 10^9 by default).
const EVENT_BYTES_MAX: u64 = 500_000_000;

impl Store {
    /// Hands an event to the writer. The receiver gets its id after the commit and its fsync; an error of the
    /// receiver itself means [`NotStored::Unavailable`]. Dropping the receiver changes nothing.
    pub fn admit(
        &self,
        admission: Admission,
    ) -> Result<oneshot::Receiver<Result<EventId, NotStored>>, NotStored> {
        if self.is_poisoned() {
            return Err(NotStored::Unavailable);
        }
        if admission.verified.body().len() as u64 > EVENT_BYTES_MAX {
            return Err(NotStored::Full);
        }
        self.0.inbox.admit(admission)
    }

    /// Hands settlements to the writer. They are never refused: the caller bounds how many are unsettled.
    /// A few milliseconds may pass before they are written; [`Feed::settled`] tells.
    pub fn settle(&self, settlement: Settlement) {
        self.0.inbox.settle(settlement);
    }

    /// Forgets keys that `dedupe` has forgotten.
    pub fn forget(&self, keys: Vec<(Seq, Kind)>) {
        self.0.inbox.forget(keys);
    }

    /// Deliveries of `target` without an attempt, after `after`, in order, at most `most`. Large events end a
    /// page early (at 16 MiB); it is empty only if there are none.
    pub async fn fresh(
        &self,
        target: TargetId,
        after: Seq,
        most: usize,
    ) -> Result<Vec<Delivery>, NotStored> {
        self.read(|answer| Request::Fresh {
            target,
            after,
            most,
            answer,
        })
        .await
    }

    /// As [`Self::fresh`], without those that wait behind another delivery of their lane. The second value is how far
    /// was looked, unless there are no more.
    pub async fn fresh_in_order(
        &self,
        target: TargetId,
        after: Seq,
        most: usize,
    ) -> Result<(Vec<Delivery>, Option<Seq>), NotStored> {
        self.read(|answer| Request::InOrder {
            target,
            after,
            most,
            answer,
        })
        .await
    }

    /// The first delivery of each of these lanes of `target`, attempted or not; a lane without one is left out. Large
    /// events end it early: the second value says how many lanes were looked at.
    pub async fn heads(
        &self,
        target: TargetId,
        lanes: Vec<Lane>,
    ) -> Result<(Vec<Delivery>, usize), NotStored> {
        self.read(|answer| Request::Heads {
            target,
            lanes,
            answer,
        })
        .await
    }

    /// Deliveries of `target` whose retry is due at `now_ms`, earliest first, at most `most`, and the time of
    /// the next one after these; those in `skip` are passed over, and cost a page nothing. Large events end a page early (at 16 MiB): then that time is due already.
    pub async fn due(
        &self,
        target: TargetId,
        now_ms: u64,
        most: usize,
        skip: HashSet<Seq>,
    ) -> Result<(Vec<Delivery>, Option<u64>), NotStored> {
        self.read(|answer| Request::Due {
            target,
            now_ms,
            most,
            skip,
            answer,
        })
        .await
    }

    /// When the oldest delivery that waits for `target` was received, Unix milliseconds.
    pub async fn oldest(&self, target: TargetId) -> Result<Option<u64>, NotStored> {
        self.read(|answer| Request::Oldest { target, answer }).await
    }

    async fn read<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, NotStored>>) -> Request,
    ) -> Result<T, NotStored> {
        let (answer, answered) = oneshot::channel();
        let unavailable = |_| NotStored::Unavailable;
        self.0
            .reads
            .send(request(answer))
            .await
            .map_err(|_| NotStored::Unavailable)?;
        answered.await.map_err(unavailable)?
    }

    /// Deliveries of a target that is no longer configured, received before `before_ms`, become dead letters.
    pub fn abandon(&self, target: TargetId, before_ms: u64) {
        self.0.inbox.abandon(Abandon { target, before_ms });
    }

    /// Starts what keeps refused requests anew, once the one before is closed. `None` if the store is closed.
    pub fn rejects(&self, settings: RejectSettings, metrics: &Arc<Metrics>) -> Option<Rejects> {
        let directory = self.0.directory.upgrade()?;
        Some(Rejects::start(directory, settings, metrics))
    }

    /// This store's part of every event id.
    pub fn tag(&self) -> StoreTag {
        self.0.tag
    }

    /// Whether `store.history` is on: only then is [`Admission::vendor_id`] of use.
    pub fn keeps_history(&self) -> bool {
        self.0.keeps_history.load(Ordering::Relaxed)
    }

    /// Resolves when the store is poisoned: nothing is committed any more, and the process has to stop (exit 74).
    pub async fn poisoned(&self) {
        self.0.health.poisoned().await;
    }

    /// Whether it is poisoned now.
    pub fn is_poisoned(&self) -> bool {
        self.0.health.is_poisoned()
    }

    /// Commits what was handed over, checkpoints, and stops the threads; waits at most `timeout`.
    pub async fn close(&self, timeout: Duration) {
        let threads = &*self.0;
        threads.inbox.close();
        threads.checkpoints.stop();
        threads.stop_scrub.stop();
        let ended = async {
            // A reader that is gone needs no telling.
            let _ = threads.reads.send(Request::Stop).await;
            let _ = threads.asked.send(browse::Request::Stop).await;
            threads.alive.closed().await;
        };
        if tokio::time::timeout(timeout, ended).await.is_err() {
            tracing::warn!("store is still busy: it is left to end by itself");
            return;
        }
        for handle in threads.handles.lock().drain(..) {
            // A thread that panicked has poisoned the store, which says more.
            let _ = handle.join();
        }
    }
}

//! What is durable. One narrow door: admit, take what is due, settle, forget. Nothing outside this room knows SQL.
//!
//! The writer is one thread with group commit; an event and its keys are acknowledged after one committed,
//! fsynced transaction, never before. Reads for deliveries run on a thread of their own.

use crate::budget::Charge;
use crate::config;
use crate::dedupe::{Kind, Remembered, Reservation};
use crate::event::{Event, EventId, FirstAttempts, Seq, SourceId, StoreTag, TargetId};
use crate::metrics::StoreMetrics;
use crate::verify::Verified;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

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
    /// Time of receipt, Unix milliseconds.
    pub received_ms: u64,
    /// The proof, with headers (as they are to be forwarded) and body.
    pub verified: Verified,
    /// Where it goes; not empty.
    pub targets: Vec<TargetId>,
    /// Its keys in flight; empty of keys for an exempted event.
    pub reservation: Reservation,
    /// Its bytes in flight, given back after the commit.
    pub charge: Charge,
    /// Who waits for its first attempts.
    pub first_attempts: Option<FirstAttempts>,
}

/// Why an event is not (known to be) stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// `max_size`, `min_free`, or a `max_backlog` with `when_full: refuse`.
    #[error("store is full")]
    Full,
    /// More admissions wait than may.
    #[error("too many events wait for their commit")]
    Overloaded,
    /// The store failed, is locked by another program, or is closing.
    #[error("store is unavailable")]
    Unavailable,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("{path}: {doing}")]
    Io {
        /// Of what.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("{path}: {doing}")]
    Sqlite {
        /// Of what.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: rusqlite::Error,
    },
    /// Another gateway has it.
    #[error("{path}: in use by another hookgate")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// Not a place for a store.
    #[error("{path}: network filesystem ({kind}); use a local disk")]
    Network {
        /// The directory.
        path: String,
        /// Such as `nfs`.
        kind: &'static str,
    },
    /// Another program's file, or a later release's.
    #[error("{path}: {why}")]
    Format {
        /// The file.
        path: String,
        /// In words.
        why: String,
    },
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
    /// When its retry was due (Unix milliseconds); `None` if no attempt was made yet.
    pub due_ms: Option<u64>,
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
}

impl DeadReason {
    /// All of them, as metrics name them.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Expired, "expired"),
        (Self::Corrupt, "corrupt"),
        (Self::Backlog, "backlog"),
        (Self::Removed, "removed"),
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
}

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

/// Hears of what became durable. Called on the writer's thread after the commit, in order: keep it short.
pub trait Feed: Send + Sync + 'static {
    /// An event is durable and waits for `target`. Called once for each target of an event, in order of `seq`.
    fn admitted(&self, target: TargetId, event: &Arc<Event>);
    /// Settlements are durable.
    fn settled(&self, settlements: &[Settlement]);
    /// A delivery was a dead letter from the start (`when_full: dead_letter`).
    fn refused(&self, target: TargetId, event: &Arc<Event>);
}

/// A store that is open and checked, and does not write yet.
#[derive(Debug)]
pub struct Opened {}

/// What a store is opened with.
#[derive(Debug)]
pub struct OpenSettings<'a> {
    /// Place and bounds.
    pub store: &'a config::Store,
    /// The configured sources: name, and the name they replace.
    pub sources: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// The configured targets.
    pub targets: &'a [config::Target],
}

impl Opened {
    /// Opens or makes the store: directory, lock, recovery, checkpoint. Everything found is durable when this returns.
    pub fn open(_settings: OpenSettings<'_>) -> Result<Self, OpenError> {
        todo!()
    }

    /// Keys the hashes of `dedupe`.
    pub fn secret(&self) -> &[u8; 32] {
        todo!()
    }

    /// This store's part of every event id.
    pub fn tag(&self) -> StoreTag {
        todo!()
    }

    /// Every source that has left something here, and every configured one.
    pub fn sources(&self) -> &[Known<SourceId>] {
        todo!()
    }

    /// Every target that something waits for, and every configured one, with what waits.
    pub fn targets(&self) -> &[(Known<TargetId>, Backlog)] {
        todo!()
    }

    /// When each source's last event was received, Unix milliseconds.
    pub fn last_received(&self) -> Result<Vec<(SourceId, u64)>, OpenError> {
        todo!()
    }

    /// Every key that is kept, in order of `seq`.
    pub fn for_each_key(&self, _each: impl FnMut(Remembered)) -> Result<(), OpenError> {
        todo!()
    }

    /// Starts the threads. `feed` hears of everything from now on.
    pub fn start(self, _feed: Arc<dyn Feed>, _metrics: StoreMetrics) -> Store {
        todo!()
    }
}

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Hands an event to the writer. The receiver gets its id after the commit and its fsync.
    /// Dropping the receiver changes nothing.
    pub fn admit(
        &self,
        _admission: Admission,
    ) -> Result<oneshot::Receiver<Result<EventId, NotStored>>, NotStored> {
        todo!()
    }

    /// Hands settlements to the writer. They are never refused: the caller bounds how many are unsettled.
    pub fn settle(&self, _settlement: Settlement) {
        todo!()
    }

    /// Forgets keys that `dedupe` has forgotten.
    pub fn forget(&self, _keys: Vec<(Seq, Kind)>) {
        todo!()
    }

    /// Deliveries of `target` without an attempt, after `after`, in order, at most `most`.
    pub async fn fresh(
        &self,
        _target: TargetId,
        _after: Seq,
        _most: usize,
    ) -> Result<Vec<Delivery>, NotStored> {
        todo!()
    }

    /// Deliveries of `target` whose retry is due at `now_ms`, earliest first, at most `most`, and the time of
    /// the next one after these.
    pub async fn due(
        &self,
        _target: TargetId,
        _now_ms: u64,
        _most: usize,
    ) -> Result<(Vec<Delivery>, Option<u64>), NotStored> {
        todo!()
    }

    /// When the oldest delivery that waits for `target` was received, Unix milliseconds.
    pub async fn oldest(&self, _target: TargetId) -> Result<Option<u64>, NotStored> {
        todo!()
    }

    /// Deliveries of a target that is no longer configured, received before `before_ms`, become dead letters.
    pub fn abandon(&self, _target: TargetId, _before_ms: u64) {
        todo!()
    }

    /// Resolves when the store is poisoned: nothing is committed any more, and the process has to stop (exit 74).
    pub async fn poisoned(&self) {
        todo!()
    }

    /// Whether it is poisoned now.
    pub fn is_poisoned(&self) -> bool {
        todo!()
    }

    /// Commits what was handed over, checkpoints, and stops the threads; waits at most `timeout`.
    pub async fn close(&self, _timeout: Duration) {
        todo!()
    }
}

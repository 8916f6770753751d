//! From a directory to a running store.
//!
//! Invariant: nothing is written before [`Opened::start`] but the names of the configuration, and no thread
//! runs; whatever can fail fails in [`Opened::open`].

use super::backlog::{Backlogs, Bound};
use super::batch::Books;
use super::checkpoint::{self, Bounds, Checkpoints};
use super::directory::Directory;
use super::health::Health;
use super::inbox::Inbox;
use super::inventory::{self, Inventory};
use super::names::SourceNames;
use super::outbox::Outbox;
use super::retention::Retention;
use super::row::Decoder;
use super::scrub::{self, Scrub};
use super::space::Space;
use super::upkeep::Upkeep;
use super::writer::{self, Writer};
use super::{
    Backlog, Feed, Known, RejectSettings, Rejects, Store, Threads, browse, read, recovery, schema,
};
use crate::config;
use crate::dedupe::Remembered;
use crate::event::{SourceId, StoreTag, TargetId};
use crate::metrics::{Metrics, StoreMetrics};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::sync::atomic::AtomicBool;
use std::{path::Path, sync::Arc, thread::JoinHandle};
use tokio::sync::{mpsc, watch};

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
    /// What is there is not what was written.
    #[error(
        "{path}: damaged: {what}; `hookgate store check` says what is lost, \
         and `hookgate store salvage --to DIR` saves the rest"
    )]
    Damaged {
        /// The file.
        path: String,
        /// In words.
        what: String,
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

impl OpenError {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io {
            path,
            doing,
            source,
        }
    }

    pub(super) fn sqlite(path: &Path, doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.display().to_string();
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => Self::Damaged {
                path,
                what: "not a database, or its first page is damaged".into(),
            },
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => Self::Damaged {
                path,
                what: format!("cannot {doing}: {source}"),
            },
            _ => Self::Sqlite {
                path,
                doing,
                source,
            },
        }
    }

    pub(super) fn format(path: &Path, why: String) -> Self {
        Self::Format {
            path: path.display().to_string(),
            why,
        }
    }
}

/// A store that is open and checked, and does not write yet.
#[derive(Debug)]
pub struct Opened {
    directory: Arc<Directory>,
    /// Writes, and reads what is there before the start.
    pub(super) connection: Connection,
    reading: Connection,
    browsing: Connection,
    checkpointing: Connection,
    scrubbing: Connection,
    settings: config::Store,
    identity: schema::Identity,
    inventory: Inventory,
    backlogs: Backlogs,
}

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
    pub fn open(settings: OpenSettings<'_>) -> Result<Self, OpenError> {
        let OpenSettings {
            store,
            sources,
            targets,
        } = settings;
        let directory = Arc::new(Directory::claim(&store.path)?);
        let (mut connection, identity) = recovery::open(&directory, store.start_check)?;
        let path = directory.database();
        let inventory = Inventory::take(&mut connection, &path, sources, targets)?;
        let mut backlogs = Backlogs::default();
        for (known, backlog) in &inventory.targets {
            let bound = Bound::among(targets, &known.name);
            backlogs.insert(known.id, backlog, bound);
        }
        Ok(Self {
            reading: recovery::open_beside(&directory)?,
            browsing: recovery::open_beside(&directory)?,
            checkpointing: recovery::open_beside(&directory)?,
            scrubbing: recovery::open_beside(&directory)?,
            settings: store.clone(),
            directory,
            connection,
            identity,
            inventory,
            backlogs,
        })
    }

    /// Keys the hashes of `dedupe`.
    pub fn secret(&self) -> &[u8; 32] {
        &self.identity.secret
    }

    /// This store's part of every event id.
    pub fn tag(&self) -> StoreTag {
        self.identity.tag
    }

    /// Every source that has left something here, and every configured one.
    pub fn sources(&self) -> &[Known<SourceId>] {
        &self.inventory.sources
    }

    /// Every target that something waits for, and every configured one, with what waits.
    pub fn targets(&self) -> &[(Known<TargetId>, Backlog)] {
        &self.inventory.targets
    }

    /// When each source's last event was received, Unix milliseconds; about a second late.
    pub fn last_received(&self) -> Result<Vec<(SourceId, u64)>, OpenError> {
        Ok(self.inventory.last_received_ms.clone())
    }

    /// Every key that is kept, in order of `seq`.
    pub fn for_each_key(&self, each: impl FnMut(Remembered)) -> Result<(), OpenError> {
        let path = self.directory.database();
        inventory::for_each_key(&self.connection, &self.inventory.heirs, &path, each)
    }

    /// Starts what keeps refused requests, in the same directory. It opens its file by itself: whatever is wrong with
    /// it is logged, and concerns no event.
    pub fn rejects(&self, settings: RejectSettings, metrics: &Arc<Metrics>) -> Rejects {
        Rejects::start(Arc::clone(&self.directory), settings, metrics)
    }

    /// Starts the threads, and on the current runtime the task that tells `feed` of everything from now on.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn start(self, feed: Arc<dyn Feed>, metrics: StoreMetrics) -> Store {
        let health = Arc::new(Health::new());
        let checkpoints = Arc::new(Checkpoints::default());
        let inbox = Arc::new(Inbox::default());
        let (reads, mut requests) = mpsc::channel(read::REQUESTS_MAX);
        let (asked, mut questions) = mpsc::channel(browse::REQUESTS_MAX);
        let (alive, _) = watch::channel(());

        let sources = SourceNames::new(self.inventory.names_of_sources());
        let (names_of_sources, store_metrics) = (sources.clone(), metrics.clone());
        let decoder = Decoder {
            tag: self.identity.tag,
            sources: sources.clone(),
        };
        let lookup = decoder.clone();
        let log = self.directory.log();
        let place = self.directory.path().to_owned();
        let directory = Arc::downgrade(&self.directory);
        let outbox = Arc::new(Outbox::new(feed, Arc::clone(&health)));
        let telling = Arc::clone(&outbox);
        // Ends with the writer.
        tokio::spawn(async move { telling.serve().await });
        let mut writer = Writer {
            inbox: Arc::clone(&inbox),
            health: Arc::clone(&health),
            outbox,
            upkeep: Upkeep::new(
                Arc::clone(&checkpoints),
                Bounds::of(self.settings.max_size_bytes, self.settings.min_free_bytes),
            ),
            books: Books {
                tag: self.identity.tag,
                sources,
                next_seq: self.inventory.next_seq,
                backlogs: self.backlogs,
                space: Space::new(&self.settings, place, log, metrics.clone()),
                retention: Retention::new(&self.settings),
                last_received_ms: self.inventory.last_received_ms.iter().copied().collect(),
                attempts_most: self.settings.attempts,
                keeps_history: !self.settings.history.is_zero(),
            },
            metrics,
        };

        let crew = Crew {
            directory: self.directory,
            health: Arc::clone(&health),
            alive: alive.clone(),
        };
        let connection = self.connection;
        let write = crew.spawn("store-writer", move |_| {
            writer::serve(&connection, &mut writer);
        });
        let connection = self.reading;
        let read = crew.spawn("store-reader", move |health| {
            read::serve(&connection, &decoder, &mut requests, health);
        });
        let connection = self.browsing;
        let browse = crew.spawn("store-browse", move |health| {
            browse::serve(&connection, &lookup, &mut questions, health);
        });
        let stop_scrub = Arc::new(scrub::Stop::default());
        let scrub = Scrub {
            every: self.settings.scrub,
            stop: Arc::clone(&stop_scrub),
            inbox: Arc::clone(&inbox),
            metrics: store_metrics,
            tag: self.identity.tag,
            sources: names_of_sources,
        };
        let connection = self.scrubbing;
        let scrub = (!scrub.every.is_zero())
            .then(|| {
                crew.spawn("store-scrub", move |health| {
                    scrub::serve(&connection, &scrub, health);
                })
            })
            .flatten();
        let connection = self.checkpointing;
        let checkpointer = Arc::clone(&checkpoints);
        let checkpoint = crew.spawn("store-checkpoint", move |health| {
            checkpoint::serve(&connection, &checkpointer, health);
        });
        Store(Arc::new(Threads {
            inbox,
            health,
            checkpoints,
            reads,
            handles: Mutex::new(
                [write, read, browse, checkpoint, scrub]
                    .into_iter()
                    .flatten()
                    .collect(),
            ),
            alive,
            stop_scrub,
            tag: self.identity.tag,
            keeps_history: AtomicBool::new(!self.settings.history.is_zero()),
            asked,
            directory,
            heirs: self.inventory.heirs,
        }))
    }
}

/// What every thread of a store holds while it runs.
struct Crew {
    /// Locked until the last of them has ended.
    directory: Arc<Directory>,
    health: Arc<Health>,
    alive: watch::Sender<()>,
}

impl Crew {
    fn spawn(
        &self,
        name: &'static str,
        run: impl FnOnce(&Health) + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        let directory = Arc::clone(&self.directory);
        let health = Arc::clone(&self.health);
        let alive = self.alive.subscribe();
        let spawned = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                run(&health);
                drop(directory);
                drop(alive);
            });
        match spawned {
            Ok(handle) => Some(handle),
            Err(e) => {
                self.health.poison("start a thread", &e);
                None
            }
        }
    }
}

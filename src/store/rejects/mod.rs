//! The last refused requests of the sources that keep them: a file of their own beside the store's, written by a
//! thread of its own, so that a flood of them delays no event that verifies.
//!
//! Nothing here was promised to anybody: what finds no room is not kept, and counted. Invariants: whoever hands one
//! over never waits; memory, disk, and what is written in a second are bounded, whatever comes in.
//!
//! `clients` says who has had its share, `inbox` holds what waits for the thread (`serve`), `ring` is the file.

mod clients;
mod file;
mod inbox;
mod release;
mod ring;
mod serve;

#[cfg(test)]
mod tests;

pub use release::{Judge, Judging, Verdict};
pub use ring::{RejectPage, RejectQuery, RejectSummary};

use super::{NotStored, directory::Directory};
use crate::config;
use crate::metrics::{Metrics, RejectMetrics};
use crate::network::Client;
use bytes::Bytes;
use clients::Clients;
use http::{HeaderMap, Method};
use inbox::{Ask, Inbox};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// What a page cannot be without in a file: with its first page of content, a row takes less than twice its bytes.
const ROW_SLACK_BYTES: u64 = file::PAGE_BYTES;
/// The row's other columns, and its line in the index.
const ROW_OVERHEAD_BYTES: u64 = 128;

/// A refused request as it came.
#[derive(Clone, Debug)]
pub struct Reject {
    /// Name of the source that refused it.
    pub source: Arc<str>,
    /// Why, as metrics call it.
    pub reason: Arc<str>,
    /// Wall time of receipt, Unix milliseconds.
    pub received_ms: u64,
    /// Who was connected.
    pub client: Client,
    /// Its method.
    pub method: Method,
    /// Its path, and its query if there is one.
    pub target: String,
    /// All of its headers.
    pub headers: HeaderMap,
    /// Its body; `None` if it was refused before the body was read.
    pub body: Option<Bytes>,
}

impl Reject {
    /// Bytes that it counts for: more than it can take of the file.
    fn weight(&self) -> u64 {
        let text = |text: &str| text.len() as u64;
        let headers = self.headers.iter();
        let headers: u64 = headers
            .map(|(name, value)| text(name.as_str()) + value.len() as u64 + 3)
            .sum();
        let body = self.body.as_ref().map_or(0, |body| body.len() as u64);
        let sent = headers + body + text(&self.target) + text(self.method.as_str());
        sent + sent.min(ROW_SLACK_BYTES) + ROW_OVERHEAD_BYTES
    }
}

/// What the ring is opened with.
#[derive(Debug, PartialEq, Eq)]
pub struct RejectSettings {
    /// Each configured source.
    pub sources: Vec<RejectSource>,
    /// Kept in a second of one client's.
    pub per_client: u32,
}

impl RejectSettings {
    /// Whether no source keeps what it refuses.
    pub fn keeps_none(&self) -> bool {
        self.sources.iter().all(|source| source.rejects.is_none())
    }
}

/// A configured source, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectSource {
    /// Its name.
    pub name: Arc<str>,
    /// The name that it replaces.
    pub replaces: Option<Arc<str>>,
    /// How much of it is kept; `None` is nothing.
    pub rejects: Option<config::Rejects>,
}

/// One source that keeps what it refuses.
#[derive(Debug)]
struct Keeper {
    max_bytes: u64,
    metrics: RejectMetrics,
}

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rejects(Arc<Door>);

#[derive(Debug)]
struct Door {
    keepers: HashMap<Arc<str>, Keeper>,
    /// Whether there is anything to ask for.
    on: bool,
    clients: Mutex<Clients>,
    since: Instant,
    inbox: Arc<Inbox>,
    /// Whose release it is.
    turn: tokio::sync::Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The thread holds a receiver as long as it lives.
    alive: watch::Sender<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Rejects {
    /// Starts the thread, which opens the file, if any source keeps what it refuses or has left something; nobody waits for it.
    pub(super) fn start(
        directory: Arc<Directory>,
        settings: RejectSettings,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let keepers: HashMap<Arc<str>, Keeper> = settings
            .sources
            .iter()
            .filter_map(|source| {
                let keeper = Keeper {
                    max_bytes: source.rejects?.max_size_bytes,
                    metrics: metrics.rejects(&source.name),
                };
                Some((Arc::clone(&source.name), keeper))
            })
            .collect();
        let on = !keepers.is_empty() || directory.rejects().exists();
        let inbox = Arc::new(Inbox::default());
        let (alive, receiver) = watch::channel(());
        let door = Door {
            clients: Mutex::new(Clients::new(settings.per_client)),
            since: Instant::now(),
            inbox: Arc::clone(&inbox),
            turn: tokio::sync::Mutex::default(),
            thread: Mutex::default(),
            alive,
            keepers,
            on,
        };
        if !on {
            inbox.end();
            return Self(Arc::new(door));
        }
        let kept: HashMap<Arc<str>, RejectMetrics> = door
            .keepers
            .iter()
            .map(|(name, keeper)| (Arc::clone(name), keeper.metrics.clone()))
            .collect();
        let serving = serve::Serving {
            directory,
            sources: settings.sources,
            metrics: Arc::clone(metrics),
            kept,
            inbox: Arc::clone(&inbox),
        };
        let spawned = std::thread::Builder::new()
            .name("store-rejects".into())
            .spawn(move || {
                serving.run();
                drop(receiver);
            });
        match spawned {
            Ok(handle) => *door.thread.lock() = Some(handle),
            Err(error) => {
                inbox.end();
                tracing::error!(%error, "cannot start the thread that keeps refused requests: none are kept");
            }
        }
        Self(Arc::new(door))
    }

    /// Whether a request of this client that this source refuses may be kept: the source keeps them, the client has
    /// not had its share, and there is room. One that may not be is counted.
    pub fn wants(&self, source: &str, client: Client) -> bool {
        let Some(keeper) = self.0.keepers.get(source) else {
            return false;
        };
        let second = self.0.since.elapsed().as_secs();
        if !self.0.clients.lock().may_keep(client, second) {
            keeper.metrics.dropped.increment("client");
            return false;
        }
        if !self.0.inbox.has_room() {
            keeper.metrics.dropped.increment("busy");
            return false;
        }
        true
    }

    /// Whether this source keeps what it refuses.
    pub fn keeps(&self, source: &str) -> bool {
        self.0.keepers.contains_key(source)
    }

    /// Hands over a request that [`Self::wants`] has let pass. It is not kept if it is larger than the ring, or if
    /// too many wait already.
    pub fn keep(&self, reject: Reject) {
        let Some(keeper) = self.0.keepers.get(&reject.source) else {
            return;
        };
        if reject.weight() > keeper.max_bytes {
            keeper.metrics.dropped.increment("too_large");
        } else if !self.0.inbox.keep(reject) {
            keeper.metrics.dropped.increment("busy");
        }
    }

    /// A page of those that are kept, the latest first.
    pub async fn list(&self, query: RejectQuery) -> Result<RejectPage, NotStored> {
        if !self.0.on {
            return Ok(RejectPage::default());
        }
        self.ask(|answer| Ask::List { query, answer }).await
    }

    /// One of them, whole.
    pub async fn get(&self, id: u64) -> Result<Option<Reject>, NotStored> {
        if !self.0.on {
            return Ok(None);
        }
        self.ask(|answer| Ask::Get { id, answer }).await
    }

    /// Takes these out of the ring; those that are gone already do no harm.
    pub async fn remove(&self, ids: Vec<u64>) -> Result<(), NotStored> {
        self.ask(|answer| Ask::Remove { ids, answer }).await
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, NotStored>>) -> Ask,
    ) -> Result<T, NotStored> {
        let (answer, answered) = oneshot::channel();
        self.0.inbox.ask(ask(answer))?;
        // The thread is gone, and the file with it.
        answered.await.map_err(|_| NotStored::Unavailable)?
    }

    /// Writes what waits and stops the thread; waits at most `timeout`.
    pub async fn close(&self, timeout: Duration) {
        self.0.inbox.close();
        if tokio::time::timeout(timeout, self.0.alive.closed())
            .await
            .is_err()
        {
            tracing::warn!(
                "the thread that keeps refused requests is still busy: it is left to end by itself"
            );
            return;
        }
        if let Some(handle) = self.0.thread.lock().take() {
            // A panic has been said by the thread itself.
            let _ = handle.join();
        }
    }
}

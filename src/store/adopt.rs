//! Another configuration for a store that runs: its names get their numbers, and its bounds count from then on.
//!
//! Invariants: a name has its number, durably, before the first event uses it; it is done in one transaction, so that it
//! is done or nothing is. What cannot change while a store is open (its place, whether it is scrubbed) is not looked at.

use super::backlog::Bound;
use super::batch::{Batch, Books};
use super::browse;
use super::inventory::{self, for_each_key};
use super::names::Named;
use super::{Known, NotStored, OpenError, Store, recovery, retention::Retention};
use crate::config;
use crate::dedupe::Remembered;
use crate::event::{SourceId, TargetId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a store is to keep from now on.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The configured sources: name, and the name they replace.
    pub sources: Vec<(Arc<str>, Option<Arc<str>>)>,
    /// The configured targets.
    pub targets: Vec<config::Target>,
    /// Bounds.
    pub store: config::Store,
}

/// Every name that the store knows, once an [`Adoption`] is durable.
#[derive(Debug)]
pub struct Adopted {
    /// Sources, configured or not.
    pub sources: Vec<AdoptedSource>,
    /// Targets, configured or not.
    pub targets: Vec<AdoptedTarget>,
}

/// A source as the store knows it.
#[derive(Debug)]
pub struct AdoptedSource {
    /// Its name and number.
    pub known: Known<SourceId>,
    /// When its last event was received, Unix milliseconds; about a second late.
    pub last_received_ms: Option<u64>,
}

/// A target as the store knows it.
#[derive(Debug)]
pub struct AdoptedTarget {
    /// Its name and number.
    pub known: Known<TargetId>,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Its `give_up_after` as it was last configured.
    pub give_up_after: Option<Duration>,
}

/// An adoption that waits for the writer.
#[derive(Debug)]
pub(super) struct Adopting {
    pub(super) adoption: Adoption,
    pub(super) reply: oneshot::Sender<Result<Adopted, NotStored>>,
}

impl Adopting {
    /// It is not carried out.
    pub(super) fn refuse(self, why: NotStored) {
        // Whoever has gone away needs no answer.
        let _ = self.reply.send(Err(why));
    }

    /// It is committed: tells who asked.
    pub(super) fn done(self, adopted: Adopted) {
        // As above.
        let _ = self.reply.send(Ok(adopted));
    }
}

impl Batch<'_, '_> {
    /// Gives every configured name its number. The books learn of it with the commit: [`Books::adopt`].
    pub(super) fn adopt(&mut self, adoption: &Adoption) -> rusqlite::Result<Adopted> {
        self.wrote = true;
        let (sources, targets) = inventory::number_names(
            self.rows.connection,
            adoption.sources.clone(),
            &adoption.targets,
        )?;
        let source = |named: Named| AdoptedSource {
            last_received_ms: named.last_received_ms,
            known: named.known.with_id(SourceId),
        };
        let target = |named: Named| AdoptedTarget {
            paused: named.paused,
            give_up_after: named.give_up_after_ms.map(Duration::from_millis),
            known: named.known.with_id(TargetId),
        };
        Ok(Adopted {
            sources: sources.into_iter().map(source).collect(),
            targets: targets.into_iter().map(target).collect(),
        })
    }
}

impl Books {
    /// An adoption is durable.
    pub(super) fn adopt(&mut self, adoption: &Adoption, adopted: &Adopted) {
        for source in &adopted.sources {
            let name = Arc::clone(&source.known.name);
            self.sources.insert(source.known.id, name);
        }
        for target in &adopted.targets {
            let bound = Bound::among(&adoption.targets, &target.known.name);
            self.backlogs.rebound(target.known.id, bound);
        }
        let settings = &adoption.store;
        self.space.resize(settings);
        self.retention = Retention::new(settings);
        self.attempts_most = settings.attempts;
        self.keeps_history = !settings.history.is_zero();
    }
}

impl Store {
    /// Takes another configuration: when this returns, its names have their numbers, durably, and its bounds count. After
    /// an error nothing has changed, or (where the store is closing) nothing that a start would not do again.
    pub async fn adopt(&self, adoption: Adoption) -> Result<Adopted, NotStored> {
        let keeps_history = !adoption.store.history.is_zero();
        let (reply, answered) = oneshot::channel();
        self.0.inbox.adopt(Adopting { adoption, reply })?;
        let adopted = answered.await.unwrap_or(Err(NotStored::Unavailable))?;
        self.0.keeps_history.store(keeps_history, Ordering::Relaxed);
        // Who looks has read the names when it began.
        self.0
            .asked
            .send(browse::Request::NewNames)
            .await
            .map_err(|_| NotStored::Unavailable)?;
        Ok(adopted)
    }

    /// The keys that are kept for these sources, in order of `seq`: for one that comes back. Reads all keys there are, on a
    /// connection of its own: call it where threads may block.
    pub fn keys_of(&self, sources: &[SourceId]) -> Result<Vec<Remembered>, OpenError> {
        let Some(directory) = self.0.directory.upgrade() else {
            // It is closed: nobody claims anything any more.
            return Ok(Vec::new());
        };
        let connection = recovery::open_beside(&directory)?;
        let mut keys = Vec::new();
        let path = directory.database();
        for_each_key(&connection, &self.0.heirs, &path, |key| {
            if sources.contains(&key.source) {
                keys.push(key);
            }
        })?;
        Ok(keys)
    }
}

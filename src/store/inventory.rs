//! What a store holds when it is opened.
//!
//! Invariant: it is taken before the writer starts, so it is whole.

use super::names::{self, Configured, NameOf, Named};
use super::{Backlog, Known, OpenError, schema};
use crate::clock;
use crate::config;
use crate::dedupe::{Kind, Remembered};
use crate::event::{Seq, SourceId, TargetId};
use rusqlite::{Connection, TransactionBehavior};
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

/// Names, and what waits for them.
#[derive(Debug)]
pub(super) struct Inventory {
    pub(super) next_seq: u64,
    pub(super) sources: Vec<Known<SourceId>>,
    /// Numbers that rows know a source by beside its own: of sources that it has taken over.
    pub(super) heirs: HashMap<SourceId, SourceId>,
    /// When each source's last event was received, Unix milliseconds.
    pub(super) last_received_ms: Vec<(SourceId, u64)>,
    /// Targets that are configured or that something waits for.
    pub(super) targets: Vec<(Known<TargetId>, Backlog)>,
}

impl Inventory {
    pub(super) fn take(
        connection: &mut Connection,
        path: &Path,
        sources: Vec<Configured>,
        targets: &[config::Target],
    ) -> Result<Self, OpenError> {
        let (sources, targets) = settle_names(connection, sources, targets)
            .map_err(OpenError::sqlite(path, "settle names"))?;
        let mut backlogs =
            backlogs(connection).map_err(OpenError::sqlite(path, "sum what waits"))?;
        let heirs = names::heirs(connection, NameOf::Source)
            .map_err(OpenError::sqlite(path, "settle names"))?
            .into_iter()
            .map(|(old, heir)| (SourceId(old), SourceId(heir)))
            .collect();
        let last_received_ms = sources
            .iter()
            .filter_map(|source| Some((SourceId(source.known.id), source.last_received_ms?)))
            .collect();
        let sources = sources
            .into_iter()
            .map(|source| source.known.with_id(SourceId))
            .collect();
        let targets = targets
            .into_iter()
            .map(|target| {
                let known = target.known.with_id(TargetId);
                let mut backlog = backlogs.remove(&known.id).unwrap_or_default();
                backlog.paused = target.paused;
                backlog.give_up_after = target.give_up_after_ms.map(Duration::from_millis);
                (known, backlog)
            })
            .filter(|(known, backlog)| {
                known.configured || backlog.deliveries > 0 || backlog.dead > 0
            })
            .collect();
        Ok(Self {
            next_seq: schema::next_seq(connection, path)?,
            sources,
            heirs,
            last_received_ms,
            targets,
        })
    }
}

impl Inventory {
    /// The name of each number that a source is or was known by.
    pub(super) fn names_of_sources(&self) -> HashMap<SourceId, Arc<str>> {
        let mut names: HashMap<_, _> = self
            .sources
            .iter()
            .map(|source| (source.id, Arc::clone(&source.name)))
            .collect();
        for (old, heir) in &self.heirs {
            if let Some(name) = names.get(heir).cloned() {
                names.insert(*old, name);
            }
        }
        names
    }
}

impl Known<u32> {
    pub(super) fn with_id<Id>(self, id: impl Fn(u32) -> Id) -> Known<Id> {
        Known {
            id: id(self.id),
            name: self.name,
            configured: self.configured,
        }
    }
}

fn settle_names(
    connection: &mut Connection,
    sources: Vec<Configured>,
    targets: &[config::Target],
) -> rusqlite::Result<(Vec<Named>, Vec<Named>)> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let both = number_names(&transaction, sources, targets)?;
    transaction.commit()?;
    Ok(both)
}

/// Gives every configured name its number, within the transaction at hand. Returns all names: sources, and targets.
pub(super) fn number_names(
    transaction: &Connection,
    sources: Vec<Configured>,
    targets: &[config::Target],
) -> rusqlite::Result<(Vec<Named>, Vec<Named>)> {
    let names = targets
        .iter()
        .map(|target| (Arc::clone(&target.name), target.replaces.clone()))
        .collect();
    let both = (
        names::settle_names(transaction, NameOf::Source, sources)?,
        names::settle_names(transaction, NameOf::Target, names)?,
    );
    for target in targets {
        let give_up_after_ms = clock::millis(target.give_up_after);
        names::keep_give_up_after(transaction, &target.name, give_up_after_ms)?;
    }
    schema::witness_names(transaction)?;
    Ok(both)
}

fn backlogs(connection: &Connection) -> rusqlite::Result<HashMap<TargetId, Backlog>> {
    let mut backlogs: HashMap<TargetId, Backlog> = HashMap::new();
    let mut sums = connection
        .prepare("SELECT target, count(*), sum(bytes), max(seq) FROM deliveries GROUP BY target")?;
    let mut rows = sums.query([])?;
    while let Some(row) = rows.next()? {
        let backlog = backlogs.entry(TargetId(row.get(0)?)).or_default();
        backlog.deliveries = row.get::<_, i64>(1)?.cast_unsigned();
        backlog.bytes = row.get::<_, i64>(2)?.cast_unsigned();
        backlog.last = Some(Seq(row.get::<_, i64>(3)?.cast_unsigned()));
    }
    let mut next = connection.prepare("SELECT min(due_ms) FROM due WHERE target = ?1")?;
    for (target, backlog) in &mut backlogs {
        let due_ms: Option<i64> = next.query_row([target.0], |row| row.get(0))?;
        backlog.next_due_ms = due_ms.map(i64::cast_unsigned);
    }
    let mut dead =
        connection.prepare("SELECT target, count(*), sum(bytes) FROM dead GROUP BY target")?;
    let mut rows = dead.query([])?;
    while let Some(row) = rows.next()? {
        let backlog = backlogs.entry(TargetId(row.get(0)?)).or_default();
        backlog.dead = row.get::<_, i64>(1)?.cast_unsigned();
        backlog.dead_bytes = row.get::<_, i64>(2)?.cast_unsigned();
    }
    Ok(backlogs)
}

/// Every key that is kept, in order of `seq`.
pub(super) fn for_each_key(
    connection: &Connection,
    heirs: &HashMap<SourceId, SourceId>,
    path: &Path,
    mut each: impl FnMut(Remembered),
) -> Result<(), OpenError> {
    let mut read = || -> rusqlite::Result<()> {
        let mut keys = connection
            .prepare("SELECT id, source, received_ms, hash, body_check FROM keys ORDER BY id")?;
        let mut rows = keys.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)?.cast_unsigned();
            // A number of no kind is damage: a key less means at worst a duplicate more.
            let Some(kind) = kind_of(id) else {
                tracing::warn!(id, "key of an unknown kind is left out");
                continue;
            };
            let source = SourceId(row.get(1)?);
            each(Remembered {
                source: heirs.get(&source).copied().unwrap_or(source),
                kind,
                hash: row.get(3)?,
                seq: Seq(id >> 2),
                received_ms: row.get::<_, i64>(2)?.cast_unsigned(),
                body_check: row.get(4)?,
            });
        }
        Ok(())
    };
    read().map_err(OpenError::sqlite(path, "read the keys"))
}

/// The kind in the low two bits of a key's number.
fn kind_of(id: u64) -> Option<Kind> {
    [Kind::Event, Kind::Replay, Kind::Body]
        .into_iter()
        .find(|kind| *kind as u64 == id & 0b11)
}

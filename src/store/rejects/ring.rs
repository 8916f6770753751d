//! The rings in the file: for each source the last so many, within its bytes.
//!
//! Invariants: a ring is within its bounds after every transaction; the file never has more pages than all rings
//! together may have. What a row says is taken as it stands: nothing in it was verified.

use super::{Reject, RejectSource, file};
use crate::clock;
use crate::config;
use crate::store::{directory::Directory, row};
use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params, types::Type};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Of sources that are no longer configured, all together: the default of one ring.
const GONE: config::Rejects = config::Rejects {
    keep: 1_000,
    max_size_bytes: 10 << 20,
};
/// How long requests of a source that is gone are kept: nobody goes back to a configuration by more than a month.
const GONE_KEPT: Duration = Duration::from_hours(30 * 24);
/// Pages beside those of the rows: the schema, inner nodes, the index, and what a transaction needs at its end.
const SPARE_PAGES: u64 = 128;
/// Rows that one page of a list looks at.
const SCANNED_MAX: usize = 5_000;
/// When the file is full before its rings are, this part of the oldest goes.
const MAKE_ROOM: u64 = 8;

/// What an operator asks for.
#[derive(Clone, Debug, Default)]
pub struct RejectQuery {
    /// Of this source.
    pub source: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// Received at this time or later, Unix milliseconds.
    pub from_ms: Option<u64>,
    /// Received before this time, Unix milliseconds.
    pub to_ms: Option<u64>,
    /// Beyond this one, in the order of the list: the cursor of the page before.
    pub cursor: Option<u64>,
    /// The oldest first, as they would have become events.
    pub oldest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// What was found, the latest first unless it was asked otherwise.
#[derive(Debug, Default)]
pub struct RejectPage {
    /// At most as many as asked for.
    pub rejects: Vec<RejectSummary>,
    /// Where to go on; `None` at the end. A page may be short, or empty, before it.
    pub cursor: Option<u64>,
}

/// A refused request without its headers and its body.
#[derive(Clone, Debug)]
pub struct RejectSummary {
    /// Its number; never used twice.
    pub id: u64,
    /// Name of the source that refused it.
    pub source: Arc<str>,
    /// Whether this source still keeps what it refuses.
    pub configured: bool,
    /// Why, as metrics call it.
    pub reason: String,
    /// Wall time of receipt, Unix milliseconds.
    pub received_ms: u64,
    /// Who was connected.
    pub client: String,
    /// Its method.
    pub method: String,
    /// Its path, and its query if there is one.
    pub target: String,
    /// Bytes of its body; `None` if it was refused before the body was read.
    pub body_bytes: Option<u64>,
}

/// What one source has in the file.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    count: u64,
    bytes: u64,
}

/// The rings of all sources.
#[derive(Debug)]
pub(super) struct Ring {
    connection: Connection,
    bounds: HashMap<Arc<str>, config::Rejects>,
    held: HashMap<Arc<str>, Held>,
    headers: Vec<u8>,
}

impl Ring {
    /// Takes over what the file has from the last run, under the bounds of this one.
    pub(super) fn take_over(
        connection: Connection,
        sources: &[RejectSource],
    ) -> rusqlite::Result<Self> {
        let bounds: HashMap<_, _> = sources
            .iter()
            .filter_map(|source| Some((Arc::clone(&source.name), source.rejects?)))
            .collect();
        let mut ring = Self {
            connection,
            bounds,
            held: HashMap::new(),
            headers: Vec::new(),
        };
        ring.settle(sources)?;
        ring.shrink()?;
        Ok(ring)
    }

    /// Requests that are kept of a source.
    pub(super) fn count(&self, source: &str) -> u64 {
        self.held.get(source).map_or(0, |held| held.count)
    }

    /// The sources that have some.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Arc<str>> {
        self.held.keys()
    }

    /// What became of the sources of the last run: one with a new name keeps its requests, one that keeps none any
    /// more loses them, and one that is gone has its own left for a while.
    fn settle(&mut self, sources: &[RejectSource]) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let is_configured = |source: &str| sources.iter().any(|known| *known.name == *source);
        for source in sources {
            if let Some(old) = source.replaces.as_deref().filter(|old| !is_configured(old)) {
                transaction.execute(
                    "UPDATE rejects SET source = ?1 WHERE source = ?2",
                    [&*source.name, old],
                )?;
            }
        }
        let found: Vec<String> = transaction
            .prepare("SELECT DISTINCT source FROM rejects")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let old_ms = clock::unix_ms().saturating_sub(clock::millis(GONE_KEPT));
        for source in found
            .iter()
            .filter(|source| !self.bounds.contains_key(&***source))
        {
            let too_old = if is_configured(source) {
                i64::MAX
            } else {
                old_ms.cast_signed()
            };
            transaction.execute(
                "DELETE FROM rejects WHERE source = ?1 AND received_ms < ?2",
                params![source, too_old],
            )?;
        }
        transaction.commit()?;
        self.recount()?;
        let kept: Vec<(Arc<str>, config::Rejects)> = self
            .bounds
            .iter()
            .map(|(name, bound)| (Arc::clone(name), *bound))
            .collect();
        let transaction = self.connection.unchecked_transaction()?;
        for (source, bound) in kept {
            trim(&transaction, &mut self.held, &source, bound, 0, 0)?;
        }
        let gone: Vec<Arc<str>> = self
            .held
            .keys()
            .filter(|source| !self.bounds.contains_key(*source))
            .cloned()
            .collect();
        let share = gone.len().max(1);
        for source in gone {
            let bound = config::Rejects {
                keep: GONE.keep / share,
                max_size_bytes: GONE.max_size_bytes / share as u64,
            };
            trim(&transaction, &mut self.held, &source, bound, 0, 0)?;
        }
        transaction.commit()
    }

    /// Gives free pages back, and sets the end of the file.
    fn shrink(&self) -> rusqlite::Result<()> {
        let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
        let mut steps = vacuum.query([])?;
        // Each step gives back one page.
        while steps.next()?.is_some() {}
        drop(steps);
        self.connection
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
        let rings: u64 = self.bounds.values().map(|bound| bound.max_size_bytes).sum();
        let gone = self
            .held
            .iter()
            .filter(|(source, _)| !self.bounds.contains_key(*source));
        let gone: u64 = gone.map(|(_, held)| held.bytes).sum();
        let pages = rings.saturating_add(gone) / file::PAGE_BYTES;
        // One page in 800 says where the others belong.
        let pages = pages
            .saturating_add(pages / 800)
            .saturating_add(SPARE_PAGES);
        let pages = u32::try_from(pages).unwrap_or(u32::MAX - 2);
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    }

    /// Writes these, and lets the oldest of their sources go.
    pub(super) fn keep(&mut self, rejects: &[Reject]) -> rusqlite::Result<()> {
        let mut result = self.try_keep(rejects);
        if let Err(error) = &result {
            let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            self.recount()?;
            if is_full {
                self.make_room()?;
                result = self.try_keep(rejects);
                if result.is_err() {
                    self.recount()?;
                }
            }
        }
        result
    }

    fn try_keep(&mut self, rejects: &[Reject]) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO rejects (source, reason, received_ms, client, bytes, method, target, headers, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for reject in rejects {
            let Some(bound) = self.bounds.get(&reject.source) else {
                continue;
            };
            let bytes = reject.weight();
            // First, so that its pages are used again.
            trim(
                &transaction,
                &mut self.held,
                &reject.source,
                *bound,
                1,
                bytes,
            )?;
            row::encode_headers(&reject.headers, &mut self.headers);
            insert.execute(params![
                reject.source,
                reject.reason,
                reject.received_ms.cast_signed(),
                reject.client.to_string(),
                bytes.cast_signed(),
                reject.method.as_str(),
                reject.target,
                self.headers,
                reject.body.as_deref(),
            ])?;
            let held = self.held.entry(Arc::clone(&reject.source)).or_default();
            held.count += 1;
            held.bytes += bytes;
        }
        drop(insert);
        transaction.commit()
    }

    fn make_room(&mut self) -> rusqlite::Result<()> {
        let all: u64 = self.held.values().map(|held| held.count).sum();
        self.connection.execute(
            "DELETE FROM rejects WHERE id IN (SELECT id FROM rejects ORDER BY id LIMIT ?1)",
            [(all / MAKE_ROOM + 1).cast_signed()],
        )?;
        self.recount()
    }

    /// Sums up what is there: after something failed, nobody knows.
    fn recount(&mut self) -> rusqlite::Result<()> {
        let mut sums = self
            .connection
            .prepare_cached("SELECT source, count(*), sum(bytes) FROM rejects GROUP BY source")?;
        let held = sums.query_map([], |row| {
            let held = Held {
                count: row.get::<_, i64>(1)?.cast_unsigned(),
                bytes: row.get::<_, i64>(2)?.cast_unsigned(),
            };
            Ok((row.get(0)?, held))
        })?;
        self.held = held.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    /// A page of what is kept.
    pub(super) fn list(&self, query: &RejectQuery) -> rusqlite::Result<RejectPage> {
        let (start, than, order) = if query.oldest_first {
            (0, '>', "ASC")
        } else {
            (i64::MAX, '<', "DESC")
        };
        let beyond = query.cursor.map_or(start, u64::cast_signed);
        let sql = |by_source| {
            format!(
                "SELECT id, source, reason, received_ms, client, method, target, length(body) \
                 FROM rejects WHERE id {than} ?1 {by_source} ORDER BY id {order} LIMIT {SCANNED_MAX}"
            )
        };
        let mut found = match &query.source {
            Some(_) => self.connection.prepare_cached(&sql("AND source = ?2"))?,
            None => self.connection.prepare_cached(&sql(""))?,
        };
        let mut rows = match &query.source {
            Some(source) => found.query(params![beyond, source])?,
            None => found.query([beyond])?,
        };
        let mut page = RejectPage::default();
        let mut scanned = 0;
        while let Some(row) = rows.next()? {
            scanned += 1;
            let summary = self.summary(row)?;
            let id = summary.id;
            if query.wants(&summary) {
                page.rejects.push(summary);
            }
            if page.rejects.len() >= query.limit || scanned >= SCANNED_MAX {
                page.cursor = Some(id);
                break;
            }
        }
        Ok(page)
    }

    fn summary(&self, row: &Row<'_>) -> rusqlite::Result<RejectSummary> {
        let source: Arc<str> = row.get(1)?;
        Ok(RejectSummary {
            id: row.get::<_, i64>(0)?.cast_unsigned(),
            configured: self.bounds.contains_key(&source),
            source,
            reason: row.get(2)?,
            received_ms: row.get::<_, i64>(3)?.cast_unsigned(),
            client: row.get(4)?,
            method: row.get(5)?,
            target: row.get(6)?,
            body_bytes: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
        })
    }

    /// One of them, whole.
    pub(super) fn get(&self, id: u64) -> rusqlite::Result<Option<Reject>> {
        let mut found = self.connection.prepare_cached(
            "SELECT source, reason, received_ms, client, method, target, headers, body FROM rejects WHERE id = ?1",
        )?;
        found
            .query_row([id.cast_signed()], |row| {
                let headers: Vec<u8> = row.get(6)?;
                Ok(Reject {
                    source: row.get(0)?,
                    reason: row.get(1)?,
                    received_ms: row.get::<_, i64>(2)?.cast_unsigned(),
                    client: parsed(row, 3)?,
                    method: parsed(row, 4)?,
                    target: row.get(5)?,
                    headers: row::decode_headers(&headers).ok_or_else(|| {
                        rusqlite::Error::InvalidColumnType(6, "headers".into(), Type::Blob)
                    })?,
                    body: row.get::<_, Option<Vec<u8>>>(7)?.map(Bytes::from),
                })
            })
            .optional()
    }

    /// Takes these out.
    pub(super) fn remove(&mut self, ids: &[u64]) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut delete = transaction
            .prepare_cached("DELETE FROM rejects WHERE id = ?1 RETURNING source, bytes")?;
        let mut gone: Vec<(Arc<str>, u64)> = Vec::with_capacity(ids.len());
        for id in ids {
            let removed = delete
                .query_row([id.cast_signed()], |row| {
                    Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
                })
                .optional()?;
            gone.extend(removed);
        }
        drop(delete);
        transaction.commit()?;
        for (source, bytes) in gone {
            give_back(&mut self.held, &source, bytes);
        }
        Ok(())
    }

    /// Closes the file; one in which nothing is kept, and nothing is to be, goes.
    pub(super) fn close(self, directory: &Directory) {
        let is_done = self.bounds.is_empty() && self.held.values().all(|held| held.count == 0);
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "cannot close rejects.db");
            return;
        }
        if is_done && let Err(error) = file::remove(directory) {
            tracing::warn!(%error, "cannot remove rejects.db, in which nothing is kept");
        }
    }
}

impl RejectQuery {
    fn wants(&self, summary: &RejectSummary) -> bool {
        self.reason
            .as_ref()
            .is_none_or(|reason| *reason == summary.reason)
            && self.from_ms.is_none_or(|from| summary.received_ms >= from)
            && self.to_ms.is_none_or(|to| summary.received_ms < to)
    }
}

/// Lets the oldest of a source go until `more` requests of `more_bytes` find room.
fn trim(
    connection: &Connection,
    held: &mut HashMap<Arc<str>, Held>,
    source: &Arc<str>,
    bound: config::Rejects,
    more: u64,
    more_bytes: u64,
) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM rejects WHERE id = (SELECT min(id) FROM rejects WHERE source = ?1) RETURNING bytes",
    )?;
    while let Some(has) = held.get(source)
        && (has.count + more > bound.keep as u64 || has.bytes + more_bytes > bound.max_size_bytes)
        && has.count > 0
    {
        let bytes: Option<i64> = delete.query_row([source], |row| row.get(0)).optional()?;
        let Some(bytes) = bytes else { break };
        give_back(held, source, bytes.cast_unsigned());
    }
    Ok(())
}

fn give_back(held: &mut HashMap<Arc<str>, Held>, source: &Arc<str>, bytes: u64) {
    if let Some(held) = held.get_mut(source) {
        held.count = held.count.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(bytes);
    }
}

/// A column that is the text of something.
fn parsed<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let wrong = |_| rusqlite::Error::InvalidColumnType(column, text.clone(), Type::Text);
    text.parse().map_err(wrong)
}

//! What a store says of itself: sizes, and what waits. Read beside a gateway that may run on it.
//!
//! Invariant: no transaction outlasts a slice of the count; the numbers of a running store are of moments a little apart.

use super::{OpenError, probe, rows::Names, schema};
use rusqlite::Connection;
use serde::Serialize;
use std::path::Path;

/// Events that are counted in one transaction.
const SLICE: i64 = 20_000;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Info {
    /// The directory.
    pub path: String,
    /// What the file was written as.
    pub format: i64,
    /// The oldest release that reads it, by its own format.
    pub min_reader: i64,
    /// The release that says all this.
    pub hookgate: &'static str,
    /// And its SQLite.
    pub sqlite: &'static str,
    /// Bytes of the database.
    pub file_bytes: u64,
    /// Bytes in it that are free, and used again before it grows.
    pub free_bytes: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Payloads.
    pub events: u64,
    /// Remembered keys.
    pub keys: u64,
    /// Number of the last event that was ever admitted; 0 before the first.
    pub last_seq: u64,
    /// When the oldest payload was received, Unix milliseconds.
    pub oldest_ms: Option<u64>,
    /// When the newest one was.
    pub newest_ms: Option<u64>,
    /// Every target that is or was configured, by name.
    pub targets: Vec<TargetInfo>,
    /// Every source that is or was configured, by name.
    pub sources: Vec<SourceInfo>,
}

/// One target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TargetInfo {
    /// Its name.
    pub name: String,
    /// Deliveries that wait.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// When the oldest of them was received, Unix milliseconds.
    pub oldest_pending_ms: Option<u64>,
    /// When the next retry is due, Unix milliseconds.
    pub next_retry_ms: Option<u64>,
    /// Dead letters.
    pub dead: u64,
    /// Their bytes.
    pub dead_bytes: u64,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceInfo {
    /// Its name.
    pub name: String,
    /// When its last event was received, Unix milliseconds; about a second late.
    pub last_received_ms: Option<u64>,
}

/// Reads it.
pub fn info(directory: &Path) -> Result<Info, OpenError> {
    let path = probe::database(directory);
    let (connection, _) = probe::open_ours(directory)?;
    let last_seq = schema::next_seq(&connection, &path)?.saturating_sub(1);
    let (format, min_reader) = (
        schema::meta(&connection, &path, "format")?,
        schema::meta(&connection, &path, "min_reader")?,
    );
    let mut info = Info {
        path: directory.display().to_string(),
        format,
        min_reader,
        hookgate: env!("CARGO_PKG_VERSION"),
        sqlite: rusqlite::version(),
        file_bytes: 0,
        free_bytes: 0,
        // There is none before the first commit.
        log_bytes: std::fs::metadata(probe::log(directory)).map_or(0, |log| log.len()),
        page_bytes: 0,
        events: 0,
        keys: 0,
        last_seq,
        oldest_ms: None,
        newest_ms: None,
        targets: Vec::new(),
        sources: Vec::new(),
    };
    info.fill(&connection)
        .map_err(OpenError::sqlite(&path, "count what is there"))?;
    Ok(info)
}

impl Info {
    fn fill(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let number = |sql: &str| connection.query_row(sql, [], |row| unsigned(row, 0));
        let some = |sql: &str| connection.query_row(sql, [], |row| some_unsigned(row, 0));
        self.page_bytes = number("PRAGMA page_size")?;
        self.file_bytes = number("PRAGMA page_count")? * self.page_bytes;
        self.free_bytes = number("PRAGMA freelist_count")? * self.page_bytes;
        self.keys = number("SELECT count(*) FROM keys")?;
        self.oldest_ms = some("SELECT (SELECT received_ms FROM events ORDER BY seq LIMIT 1)")?;
        self.newest_ms = some("SELECT (SELECT received_ms FROM events ORDER BY seq DESC LIMIT 1)")?;
        self.events = count_events(connection)?;
        let names = Names::read(connection)?;
        self.targets = targets(connection, &names)?;
        let mut sources = connection
            .prepare("SELECT name, last_received_ms FROM names WHERE kind = 0 AND name IS NOT NULL ORDER BY name")?;
        self.sources = sources
            .query_map([], |row| {
                Ok(SourceInfo {
                    name: row.get(0)?,
                    last_received_ms: some_unsigned(row, 1)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(())
    }
}

/// The table of payloads has no index to count by: it is read leaf by leaf, in slices.
fn count_events(connection: &Connection) -> rusqlite::Result<u64> {
    let mut slice = connection.prepare(
        "SELECT count(*), max(seq) FROM (SELECT seq FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2)",
    )?;
    let (mut events, mut after) = (0, i64::MIN);
    loop {
        let (found, last) = slice.query_row([after, SLICE], |row| {
            Ok((unsigned(row, 0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        events += found;
        match last {
            Some(last) => after = last,
            None => return Ok(events),
        }
    }
}

fn targets(connection: &Connection, names: &Names) -> rusqlite::Result<Vec<TargetInfo>> {
    let mut targets: std::collections::BTreeMap<String, TargetInfo> = names
        .own_targets()
        .map(|name| {
            let name = name.to_string();
            let target = TargetInfo {
                name: name.clone(),
                ..TargetInfo::default()
            };
            (name, target)
        })
        .collect();
    let mut of = |number: u32, fill: &mut dyn FnMut(&mut TargetInfo)| {
        let name = names.target(crate::event::TargetId(number)).to_string();
        let target = targets.entry(name.clone()).or_default();
        target.name = name;
        fill(target);
    };
    let mut received = connection.prepare("SELECT received_ms FROM events WHERE seq = ?1")?;
    let mut next = connection.prepare("SELECT min(due_ms) FROM due WHERE target = ?1")?;
    let mut waiting = connection
        .prepare("SELECT target, count(*), sum(bytes), min(seq) FROM deliveries GROUP BY target")?;
    let mut rows = waiting.query([])?;
    while let Some(row) = rows.next()? {
        let number: u32 = row.get(0)?;
        let (pending, bytes) = (unsigned(row, 1)?, unsigned(row, 2)?);
        let oldest_ms = match received.query([row.get::<_, i64>(3)?])?.next()? {
            Some(row) => Some(unsigned(row, 0)?),
            None => None,
        };
        let next_ms = next.query_row([number], |row| some_unsigned(row, 0))?;
        of(number, &mut |target| {
            target.pending += pending;
            target.pending_bytes += bytes;
            target.oldest_pending_ms = oldest_ms;
            target.next_retry_ms = next_ms;
        });
    }
    let mut dead =
        connection.prepare("SELECT target, count(*), sum(bytes) FROM dead GROUP BY target")?;
    let mut rows = dead.query([])?;
    while let Some(row) = rows.next()? {
        let (dead, bytes) = (unsigned(row, 1)?, unsigned(row, 2)?);
        of(row.get(0)?, &mut |target| {
            target.dead += dead;
            target.dead_bytes += bytes;
        });
    }
    Ok(targets.into_values().collect())
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0).cast_unsigned())
}

fn some_unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

//! Looks a store through, beside a gateway that may run on it: its log, its structure, every payload's checksum, and
//! whether the tables fit each other.
//!
//! Invariant: nothing is written, and no transaction is held for longer than a slice of payloads takes, except for the
//! structure and the small tables, which end when the log has grown by as much as it may.

mod report;
mod standing;
mod tables;

use super::frames::{self, Verdict};
use super::row::{self, Proven};
use super::walk::walk_slice;
use super::{OpenError, probe, schema};
use crate::event::Seq;
pub use report::{Damage, Report};
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use tables::check_tables;

/// Payloads that are read in one transaction, and their bytes.
const SLICE_ROWS: usize = 256;
const SLICE_BYTES: u64 = 4 * 1024 * 1024;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// SQLite's own check of the pages.
    Structure,
    /// Payloads, by number of the event.
    Payloads {
        /// Up to here.
        seq: u64,
        /// The last one.
        last: u64,
    },
    /// Whether the tables fit each other.
    Tables,
}

/// Checks the store in `directory`. `log_growth_bytes` is how much its log may grow meanwhile because of it.
pub fn check(
    directory: &Path,
    log_growth_bytes: u64,
    mut progress: impl FnMut(Progress),
) -> Result<Report, OpenError> {
    let mut report = Report::default();
    let path = probe::database(directory);
    // Before SQLite sees it: a recovery ends at a damaged frame and says nothing.
    check_log(directory, &mut report)?;
    let (mut connection, identity) = probe::open_ours(directory)?;
    progress(Progress::Structure);
    let growth = Growth::new(directory, log_growth_bytes);
    let structure = probe::structure(&mut connection, growth.stop())
        .map_err(OpenError::sqlite(&path, "check the structure"))?;
    report.structure(structure, log_growth_bytes);
    let mut corrupt = BTreeSet::new();
    check_payloads(&connection, &mut report, &mut corrupt, &mut progress)
        .map_err(OpenError::sqlite(&path, "read the payloads"))?;
    progress(Progress::Tables);
    let growth = Growth::new(directory, log_growth_bytes);
    let fits = connection
        .progress_handler(10_000, Some(growth.stop()))
        .and_then(|()| check_tables(&connection, identity.tag, &mut report, &corrupt));
    match fits {
        Err(e) if probe::is_interrupt(&e) => report.notes.push(format!(
            "the tables were not compared: the log had grown by {log_growth_bytes} bytes meanwhile; \
             check again when less is received"
        )),
        fits => fits.map_err(OpenError::sqlite(&path, "compare the tables"))?,
    }
    Ok(report)
}

/// Checks a database that nobody uses, such as a backup.
pub(super) fn check_still(path: &Path) -> Result<Report, OpenError> {
    let mut report = Report::default();
    let mut connection = probe::open_still(path)?;
    let identity = schema::read(&connection, path)?;
    let structure = probe::structure(&mut connection, || false)
        .map_err(OpenError::sqlite(path, "check the structure"))?;
    report.structure(structure, 0);
    let mut corrupt = BTreeSet::new();
    check_payloads(&connection, &mut report, &mut corrupt, &mut |_| {})
        .map_err(OpenError::sqlite(path, "read the payloads"))?;
    check_tables(&connection, identity.tag, &mut report, &corrupt)
        .map_err(OpenError::sqlite(path, "compare the tables"))?;
    Ok(report)
}

/// How far the log may grow while a transaction of ours keeps it from starting over.
#[derive(Debug)]
pub(super) struct Growth {
    log: PathBuf,
    most_bytes: u64,
}

impl Growth {
    pub(super) fn new(directory: &Path, by_bytes: u64) -> Self {
        let log = probe::log(directory);
        let now = log_bytes(&log);
        Self {
            log,
            most_bytes: now.saturating_add(by_bytes),
        }
    }

    pub(super) fn is_too_much(&self) -> bool {
        log_bytes(&self.log) > self.most_bytes
    }

    fn stop(self) -> impl FnMut() -> bool + Send + 'static {
        move || self.is_too_much()
    }
}

fn log_bytes(log: &Path) -> u64 {
    // There is none before the first commit.
    std::fs::metadata(log).map_or(0, |log| log.len())
}

fn check_log(directory: &Path, report: &mut Report) -> Result<(), OpenError> {
    let log = probe::log(directory);
    match frames::look(&log, schema::PAGE_BYTES.into())? {
        Verdict::Whole => {}
        Verdict::Torn { frame } => report.notes.push(format!(
            "the log ends in a commit that is not whole (frame {frame}): a gateway is writing it, or a crash cut it \
             short before anything of it was acknowledged"
        )),
        Verdict::Damaged { frame } => report.add(Damage {
            what: format!("log: frame {frame} is damaged, and commits lie behind it"),
            event: None,
            seq: None,
            source: None,
            waits_for: Vec::new(),
            advice: "a gateway that runs is not harmed by it until it stops; it will not start on this log: \
                     run `hookgate store salvage --to DIR` then, which reads what lies behind",
        }),
    }
    Ok(())
}

fn check_payloads(
    connection: &Connection,
    report: &mut Report,
    corrupt: &mut BTreeSet<Seq>,
    progress: &mut impl FnMut(Progress),
) -> rusqlite::Result<()> {
    let last: i64 =
        match connection.query_row("SELECT ifnull(max(seq), 0) FROM events", [], |row| {
            row.get(0)
        }) {
            Err(e) if probe::is_damage(&e) => 0,
            last => last?,
        };
    let mut start = Some(i64::MIN);
    while let Some(from) = start {
        let (mut rows, mut bytes) = (0, 0);
        let slice = walk_slice(connection, row::WALK, &[], from, |found| {
            if rows >= SLICE_ROWS || bytes >= SLICE_BYTES {
                return Ok(false);
            }
            rows += 1;
            let seq = Seq(found.get::<_, i64>(0)?.cast_unsigned());
            if let Some(Proven { bytes: more, .. }) = row::prove(found) {
                report.events += 1;
                report.bytes += more;
                bytes += more;
            } else {
                corrupt.insert(seq);
            }
            Ok(true)
        })?;
        for gap in slice.gaps {
            report.unread("events", "", gap);
        }
        start = slice.next;
        progress(Progress::Payloads {
            seq: start.unwrap_or(last).cast_unsigned(),
            last: last.cast_unsigned(),
        });
    }
    Ok(())
}

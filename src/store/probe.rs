//! A store seen from beside: opened for reading alone, its structure checked within a time.
//!
//! Invariant: nothing here writes to a database, and no file of a database is opened by hand: closing a second
//! descriptor of it would drop the locks of every other one in the process (POSIX).

use super::{OpenError, recovery::BUSY_TIMEOUT, schema};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, ffi};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The database of a store.
pub(super) fn database(directory: &Path) -> PathBuf {
    directory.join("hookgate.db")
}

/// Its log.
pub(super) fn log(directory: &Path) -> PathBuf {
    directory.join("hookgate.db-wal")
}

/// Pages that a reader beside the gateway keeps.
const CACHE_KIB: i64 = 8 * 1024;

/// Opens the store in `directory` for reading, beside a gateway that may run on it. What it says of itself is
/// not looked at yet.
pub(super) fn open(directory: &Path) -> Result<Connection, OpenError> {
    let path = database(directory);
    if let Err(e) = std::fs::metadata(&path) {
        return Err(OpenError::io(&path, "no store here")(e));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)
        .and_then(|connection| configure(connection, BUSY_TIMEOUT))
        .map_err(OpenError::sqlite(&path, "open the database"))?;
    Ok(connection)
}

/// Characters that a path may have in a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// Opens a database that nobody uses and nobody will: no lock is taken, no file is made beside it, no log is read.
pub(super) fn open_still(path: &Path) -> Result<Connection, OpenError> {
    let text = path.as_os_str().as_encoded_bytes();
    let encoded = percent_encode(text, PATH);
    let uri = format!("file:{encoded}?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags)
        .and_then(|connection| configure(connection, Duration::ZERO))
        .map_err(OpenError::sqlite(path, "open the database"))
}

fn configure(connection: Connection, patience: Duration) -> rusqlite::Result<Connection> {
    connection.busy_timeout(patience)?;
    // The last one to close a database would write what is in the log into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

/// The store in `directory`, if it is ours and of a format that this release reads.
pub(super) fn open_ours(directory: &Path) -> Result<(Connection, schema::Identity), OpenError> {
    let path = database(directory);
    let connection = open(directory)?;
    let identity = schema::read(&connection, &path)?;
    Ok((connection, identity))
}

/// Whether an error says that the file is damaged, and not that it can't be reached.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(e, _) => {
            matches!(
                e.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
            ) || e.extended_code == ffi::SQLITE_IOERR_SHORT_READ
                // A schema that does not fit the statements of this release.
                || e.code == ErrorCode::Unknown
        }
        // A value of a type that was never written.
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// What a look at the structure found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Structure {
    /// Every page is where it belongs.
    Sound,
    /// Nothing wrong so far, but there was no time for the whole file. These tables were looked at as a whole.
    Partly(Vec<String>),
    /// What is wrong, in SQLite's words.
    Damaged(Vec<String>),
}

/// SQLite's steps between two looks at the clock: pages in a check of the structure, instructions elsewhere.
const STEPS: std::ffi::c_int = 500;

/// Complaints that are kept.
const COMPLAINTS_MAX: usize = 100;

/// Checks the structure until `stop` says that it has to end: every table but the payloads for itself, the small
/// ones first, then the whole file.
pub(super) fn structure(
    connection: &mut Connection,
    stop: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<Structure> {
    connection.progress_handler(STEPS, Some(stop))?;
    let found = tables_then_file(connection);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    found
}

/// [`structure`], for at most `time`.
pub(super) fn structure_within(
    connection: &mut Connection,
    time: Duration,
) -> rusqlite::Result<Structure> {
    let until = Instant::now() + time;
    structure(connection, move || Instant::now() >= until)
}

fn tables_then_file(connection: &Connection) -> rusqlite::Result<Structure> {
    let mut sound = Vec::new();
    for table in SMALL_FIRST {
        match complaints(connection, Some(table)) {
            Ok(found) if found.is_empty() => sound.push(table.to_owned()),
            Ok(found) => return Ok(Structure::Damaged(found)),
            Err(e) if is_interrupt(&e) => return Ok(Structure::Partly(sound)),
            Err(e) if is_damage(&e) => return Ok(Structure::Damaged(vec![e.to_string()])),
            Err(e) => return Err(e),
        }
    }
    match complaints(connection, None) {
        Ok(found) if found.is_empty() => Ok(Structure::Sound),
        Ok(found) => Ok(Structure::Damaged(found)),
        Err(e) if is_interrupt(&e) => Ok(Structure::Partly(sound)),
        Err(e) if is_damage(&e) => Ok(Structure::Damaged(vec![e.to_string()])),
        Err(e) => Err(e),
    }
}

/// Tables that are in every store, beside that of the payloads, which is the bulk.
const SMALL_FIRST: [&str; 7] = [
    "meta",
    "names",
    "dead",
    "due",
    "deliveries",
    "settled",
    "keys",
];

/// What SQLite's own check says of a table, or of the whole file.
fn complaints(connection: &Connection, table: Option<&str>) -> rusqlite::Result<Vec<String>> {
    let sql = match table {
        Some(table) => format!("PRAGMA quick_check('{table}')"),
        None => format!("PRAGMA quick_check({COMPLAINTS_MAX})"),
    };
    let mut found: Vec<String> = connection
        .prepare(&sql)?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    found.retain(|line| line != "ok");
    // One answer may be many lines.
    Ok(found
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.starts_with("***"))
        .map(str::to_owned)
        .collect())
}

pub(super) fn is_interrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

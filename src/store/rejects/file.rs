//! The file of refused requests. A damaged one is begun anew: nothing in it was promised.
//!
//! Invariant: it is readable by its owner alone, and held by this process alone, so that no other program's reading can
//! make its log grow.

use crate::store::{OpenError, directory::Directory};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::{io, path::Path, time::Duration};

/// Bytes of a page: what one request leaves unused of its last one counts for little beside its body.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Pages of the log after which it starts over: 2 MiB.
const LOG_PAGES: u32 = 512;
/// What the log is cut to when it starts over after it held a large request.
const LOG_KEPT_BYTES: i64 = 4 << 20;
/// Pages that stay in memory.
const CACHE_KIB: i64 = 512;
/// `PRAGMA application_id`: `hkgr` in ASCII.
const APPLICATION_ID: i32 = 0x686b_6772;
/// `PRAGMA user_version`: what this release writes. A later release that reads this one's file keeps it.
const FORMAT: i32 = 1;

/// - `reason` as metrics call it; `received_ms` is wall time; `client` an address.
/// - `headers` is `name: value` lines; `body` is null where it was not read.
/// - `bytes` is what the row counts for.
const TABLES: &str = "
CREATE TABLE rejects (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, reason TEXT NOT NULL,
  received_ms INTEGER NOT NULL, client TEXT NOT NULL, bytes INTEGER NOT NULL, method TEXT NOT NULL,
  target TEXT NOT NULL, headers BLOB NOT NULL, body BLOB);
CREATE INDEX by_source ON rejects (source);
";

/// Why there is no file to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] OpenError),
    /// It cannot be taken away to begin anew.
    #[error("cannot remove a damaged file: {0}")]
    Remove(#[from] io::Error),
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Another program's, or a later release's: it is not touched.
    #[error("{0}")]
    Strange(String),
}

/// Opens the file, or makes it. A damaged one is made anew.
pub(super) fn open(directory: &Directory) -> Result<Connection, Broken> {
    match try_open(directory) {
        Err(Broken::Sqlite(error)) if is_damage(&error) => {
            tracing::warn!(%error, "rejects.db is damaged: it begins anew, without the refused requests that were kept");
            remove(directory)?;
            try_open(directory)
        }
        result => result,
    }
}

/// Whether the error says that the file is not what it should be.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Takes the file away, its log with it.
pub(super) fn remove(directory: &Directory) -> io::Result<()> {
    let path = directory.rejects();
    for beside in ["-wal", "-shm", "-journal", ""] {
        let mut name = path.clone().into_os_string();
        name.push(beside);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn try_open(directory: &Directory) -> Result<Connection, Broken> {
    let path = directory.rejects();
    directory.make_file(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)?;
    let is_new = is_new(&connection, &path)?;
    configure(&connection)?;
    if is_new {
        connection.execute_batch(&format!(
            "BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; {TABLES} COMMIT;"
        ))?;
    } else {
        check(&connection)?;
    }
    Ok(connection)
}

/// Whether nothing is in the file yet. What is not ours is found out by reading alone.
fn is_new(connection: &Connection, path: &Path) -> Result<bool, Broken> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let id = number("PRAGMA application_id")?;
    let format = number("PRAGMA user_version")?;
    let path = path.display();
    match (tables, id, format) {
        (0, 0, _) => Ok(true),
        (_, APPLICATION_ID, FORMAT) => Ok(false),
        (_, APPLICATION_ID, _) => Err(Broken::Strange(format!(
            "{path}: written by another release (format {format}, this one's is {FORMAT})"
        ))),
        _ => Err(Broken::Strange(format!(
            "{path}: another program's database (application_id {id:#010x})"
        ))),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(1))?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Both take effect only in a file that has no page yet. Free pages are used again while it runs, and given back
    // at start.
    connection.pragma_update(None, "page_size", PAGE_BYTES.cast_signed())?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let _: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // A crash of the machine may lose the last ones, not the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
    // What was released does not stay behind in pages that are written anyway.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)
}

/// Its structure is looked at once, here, on a thread that nobody waits for.
fn check(connection: &Connection) -> Result<(), Broken> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(corrupt, Some(said)).into())
}

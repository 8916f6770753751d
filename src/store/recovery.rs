//! Opens the database so that everything found in it is durable before anything is acknowledged.
//!
//! Invariant: a connection is in WAL mode with `synchronous=FULL`, or there is none.

use super::frames::{self, Verdict};
use super::probe::{self, Structure};
use super::{OpenError, checkpoint, directory::Directory, schema};
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use std::{path::Path, time::Duration};

/// The first release of SQLite without a known way to lose a commit in WAL mode (the WAL-reset bug).
const SQLITE_MIN: i32 = 3_051_003;

/// How long an operator's shell may hold a lock before we refuse.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that the writer keeps in memory: the right edges of all tables and the rows that settle next.
const WRITER_CACHE_KIB: i64 = 4 * 1024;

/// Pages that a reader keeps: they are good until the next commit anyway.
const READER_CACHE_KIB: i64 = 2 * 1024;

/// What the log is cut to when it starts over after it grew beyond its bound.
const LOG_KEPT_BYTES: i64 = 64 * 1024 * 1024;

/// `PRAGMA synchronous` as it reads back: every commit is synced.
const SYNCHRONOUS_FULL: i64 = 2;

/// Opens the file for writing, recovers what a crash left in the log, and makes it durable.
/// The structure is looked at for `check` at most.
pub(super) fn open(
    directory: &Directory,
    check: Duration,
) -> Result<(Connection, schema::Identity), OpenError> {
    let path = directory.database();
    let version = rusqlite::version_number();
    if version < SQLITE_MIN {
        let why = format!("SQLite is {version}, at least {SQLITE_MIN} is needed");
        return Err(OpenError::format(&path, why));
    }
    // Before SQLite reads it: its recovery ends at a damaged frame, and says nothing.
    check_log(directory)?;
    let mut connection = connect(&path, WRITER_CACHE_KIB)?;
    let owner = schema::owner(&connection, &path)?;
    if owner == schema::Owner::Hookgate {
        check_structure(&mut connection, &path, check)?;
    }
    schema::set_page_size(&connection).map_err(OpenError::sqlite(&path, "set page_size"))?;
    write_ahead(&connection, &path)?;
    // Frames that were read back from the page cache after a crash may never have been synced: they count only
    // once the checkpoint has synced the log and the database.
    checkpoint_all(&connection, &path)?;
    let identity = schema::prepare(&mut connection, &path, owner)?;
    checkpoint_all(&connection, &path)?;
    // Now both files are there, whoever made them and however far that start came.
    directory.sync()?;
    Ok((connection, identity))
}

/// A second connection, for reading or for checkpoints.
pub(super) fn open_beside(directory: &Directory) -> Result<Connection, OpenError> {
    let path = directory.database();
    let connection = connect(&path, READER_CACHE_KIB)?;
    write_ahead(&connection, &path)?;
    Ok(connection)
}

fn check_log(directory: &Directory) -> Result<(), OpenError> {
    let log = directory.log();
    match frames::look(&log, schema::PAGE_BYTES.into())? {
        Verdict::Whole => Ok(()),
        Verdict::Torn { frame } => {
            tracing::warn!(
                frame,
                "log ends in a commit that is not whole: it was cut short before it was acknowledged"
            );
            Ok(())
        }
        Verdict::Damaged { frame } => Err(OpenError::Damaged {
            path: log.display().to_string(),
            what: format!("frame {frame} is not what was written, and commits lie behind it"),
        }),
    }
}

fn check_structure(
    connection: &mut Connection,
    path: &Path,
    check: Duration,
) -> Result<(), OpenError> {
    if check.is_zero() {
        return Ok(());
    }
    let structure = probe::structure_within(connection, check)
        .map_err(OpenError::sqlite(path, "check the structure"))?;
    match structure {
        Structure::Sound => Ok(()),
        Structure::Partly(tables) => {
            tracing::info!(
                start_check = ?check,
                tables = tables.join(" "),
                "structure was checked in part, for store.start_check: `hookgate store check` looks at all of it"
            );
            Ok(())
        }
        Structure::Damaged(complaints) => Err(OpenError::Damaged {
            path: path.display().to_string(),
            what: match &complaints[..] {
                [] => "its structure is damaged".to_owned(),
                [only] => only.clone(),
                [first, more @ ..] => format!("{first} (and {} more)", more.len()),
            },
        }),
    }
}

fn connect(path: &Path, cache_kib: i64) -> Result<Connection, OpenError> {
    // No `CREATE`: the file is there, with its mode, and one that has vanished must not come back empty.
    // No mutex: each connection stays on one thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let configure = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Closing a poisoned handle must not write; a healthy one is checkpointed by us.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        Ok(connection)
    };
    configure().map_err(OpenError::sqlite(path, "open the database"))
}

fn write_ahead(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let set = || -> rusqlite::Result<(String, i64)> {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
        let synchronous = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        Ok((mode, synchronous))
    };
    let (mode, synchronous) = set().map_err(OpenError::sqlite(path, "set journal_mode"))?;
    if mode == "wal" && synchronous == SYNCHRONOUS_FULL {
        return Ok(());
    }
    let why = format!("journal_mode is {mode}, not wal, or synchronous is {synchronous}, not full");
    Err(OpenError::format(path, why))
}

fn checkpoint_all(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let log = checkpoint::run(connection, checkpoint::Mode::Truncate)
        .map_err(OpenError::sqlite(path, "checkpoint the log"))?;
    if log.is_whole() {
        return Ok(());
    }
    Err(OpenError::format(
        path,
        "the log could not be checkpointed: another program uses the database".into(),
    ))
}

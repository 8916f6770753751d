//! The tables and the numbers that say who wrote the file.
//!
//! Invariant: no index on random keys, and payload rows are appended and deleted, never updated.

use super::OpenError;
use crate::event::StoreTag;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;

/// `PRAGMA application_id`: `hkgt` in ASCII, so that `file` and SQLite tell our database from another program's.
const APPLICATION_ID: i64 = 0x686b_6774;

/// The same, as it stands in the file.
pub(super) const APPLICATION_ID_BYTES: [u8; 4] = *b"hkgt";

/// What this release writes.
const FORMAT: i64 = 2;

/// The oldest release that reads what this one writes, by its own [`FORMAT`].
const MIN_READER: i64 = 1;

/// Bytes of a page. With some 1.3 KB a row (body and headers) a page of 8 KiB holds six of them instead of three,
/// and wastes less at its end; larger ones write more to the log for each small row that changes.
pub(super) const PAGE_BYTES: u16 = 8192;

/// Random bits of [`StoreTag`].
const TAG_BITS: u32 = 34;

/// Every table, in words for an operator's shell:
///
/// - `meta`: numbers and secrets of the store; `identity_check` and `names_check` are checksums of what would be
///   believed otherwise whatever it said.
/// - `names`: sources (kind 0) and targets (kind 1); one that another has taken over has no name, but an `heir`;
///   `give_up_after_ms` is a target's as it was last configured; `paused` is 1 for a target that takes nothing.
/// - `events`: payloads; `headers` is `name: value` lines; `crc` covers every other column.
/// - `keys`: what `dedupe` remembers; `id` is `seq << 2 | kind`.
/// - `deliveries`: one row for each event and target that waits; `due_ms` is null before the first attempt;
///   `fan` is the number of targets of the event, 0 once it was replayed; `lane` is the line that it waits in;
///   `replay` says which replay it is (0: none), and `since_ms` since when.
/// - `due`: the order of retries.
/// - `dead`: dead letters; `bytes` as in `deliveries`.
/// - `settled`: events that wait nowhere: class 0 delivered, in order of settling; class 1 with dead letters, in
///   order of the last one's `dead_ms`.
/// - `attempts`: what the attempts were whose results are in.
/// - `replays`: events that were replayed, `count` times, to `targets` beside those of `events`. `class` and
///   `settled_ms` name the one row of `settled` that counts; null while the event waits.
/// - `history`: what came, without payloads; `handed`: how its deliveries ended.
const TABLES: [(&str, &str); 12] = [
    ("meta", "(name TEXT PRIMARY KEY, value) WITHOUT ROWID"),
    (
        "names",
        "(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name TEXT, last_received_ms INTEGER, \
         give_up_after_ms INTEGER, heir INTEGER, paused INTEGER, UNIQUE (kind, name))",
    ),
    (
        "events",
        "(seq INTEGER PRIMARY KEY, source INTEGER NOT NULL, received_ms INTEGER NOT NULL, type TEXT, \
         key BLOB NOT NULL, targets BLOB NOT NULL, crc INTEGER NOT NULL, secret_header TEXT, secret_name TEXT, \
         headers BLOB NOT NULL, body BLOB NOT NULL)",
    ),
    (
        "keys",
        "(id INTEGER PRIMARY KEY, source INTEGER NOT NULL, received_ms INTEGER NOT NULL, hash BLOB NOT NULL, \
         body_check INTEGER NOT NULL)",
    ),
    (
        "deliveries",
        "(target INTEGER NOT NULL, seq INTEGER NOT NULL, attempts INTEGER NOT NULL, due_ms INTEGER, \
         bytes INTEGER NOT NULL, fan INTEGER NOT NULL, lane INTEGER, replay INTEGER NOT NULL DEFAULT 0, \
         since_ms INTEGER, PRIMARY KEY (target, seq)) WITHOUT ROWID",
    ),
    (
        "due",
        "(target INTEGER NOT NULL, due_ms INTEGER NOT NULL, seq INTEGER NOT NULL, \
         PRIMARY KEY (target, due_ms, seq)) WITHOUT ROWID",
    ),
    (
        "dead",
        "(target INTEGER NOT NULL, seq INTEGER NOT NULL, reason TEXT NOT NULL, attempts INTEGER NOT NULL, \
         dead_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (target, seq)) WITHOUT ROWID",
    ),
    (
        "settled",
        "(class INTEGER NOT NULL, settled_ms INTEGER NOT NULL, seq INTEGER NOT NULL, \
         PRIMARY KEY (class, settled_ms, seq)) WITHOUT ROWID",
    ),
    (
        "attempts",
        "(seq INTEGER NOT NULL, target INTEGER NOT NULL, replay INTEGER NOT NULL, attempt INTEGER NOT NULL, \
         at_ms INTEGER NOT NULL, took_ms INTEGER NOT NULL, status INTEGER, error TEXT, answer BLOB, \
         PRIMARY KEY (seq, target, replay, attempt)) WITHOUT ROWID",
    ),
    (
        "replays",
        "(seq INTEGER PRIMARY KEY, count INTEGER NOT NULL, replayed_ms INTEGER NOT NULL, targets BLOB NOT NULL, \
         class INTEGER, settled_ms INTEGER)",
    ),
    (
        "history",
        "(seq INTEGER PRIMARY KEY, source INTEGER NOT NULL, received_ms INTEGER NOT NULL, type TEXT, \
         vendor_id TEXT, key BLOB NOT NULL)",
    ),
    (
        "handed",
        "(seq INTEGER NOT NULL, target INTEGER NOT NULL, replay INTEGER NOT NULL, at_ms INTEGER NOT NULL, \
         outcome TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL, \
         PRIMARY KEY (seq, target, replay)) WITHOUT ROWID",
    ),
];

/// Tables of format 1: the first of [`TABLES`].
const TABLES_OF_1: usize = 8;

/// Columns that tables of format 1 lack.
const ADDED_SINCE_1: [(&str, &str); 4] = [
    ("names", "paused INTEGER"),
    ("deliveries", "lane INTEGER"),
    ("deliveries", "replay INTEGER NOT NULL DEFAULT 0"),
    ("deliveries", "since_ms INTEGER"),
];

/// The one index beside the primary keys, and it is empty where no order is asked for: the line of each key.
const LANES: &str = "CREATE INDEX lanes ON deliveries (target, lane, seq) WHERE lane IS NOT NULL";

/// Whoever changes a name makes its witness void, an earlier release and an operator's shell too.
const NAMES_CHANGED: [&str; 3] = [
    "CREATE TRIGGER names_added AFTER INSERT ON names \
     BEGIN UPDATE meta SET value = NULL WHERE name = 'names_check'; END",
    "CREATE TRIGGER names_changed AFTER UPDATE OF id, kind, name, heir ON names \
     BEGIN UPDATE meta SET value = NULL WHERE name = 'names_check'; END",
    "CREATE TRIGGER names_removed AFTER DELETE ON names \
     BEGIN UPDATE meta SET value = NULL WHERE name = 'names_check'; END",
];

/// What a store is told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Keys the hashes of `dedupe`.
    pub(super) secret: [u8; 32],
    /// Its part of every event id.
    pub(super) tag: StoreTag,
}

/// Whose database this is, found by reading alone: another program's is not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's: it is empty.
    Nobody,
    /// Ours.
    Hookgate,
}

/// Says whose the database is, or that it is another program's.
pub(super) fn owner(connection: &Connection, path: &Path) -> Result<Owner, OpenError> {
    let read = || -> rusqlite::Result<(i64, usize)> {
        let id = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        Ok((id, names_of_tables(connection)?.len()))
    };
    match read().map_err(OpenError::sqlite(path, "read the schema"))? {
        (0, 0) => Ok(Owner::Nobody),
        (APPLICATION_ID, _) => Ok(Owner::Hookgate),
        (id, _) => {
            let why = format!("another program's database (application_id {id:#010x})");
            Err(OpenError::format(path, why))
        }
    }
}

/// Makes the tables in an empty database, or checks that they are of a format that this release reads.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    owner: Owner,
) -> Result<Identity, OpenError> {
    match owner {
        Owner::Nobody => make(connection, path)?,
        Owner::Hookgate => renew(connection, path)?,
    }
    check_shape(connection, path)?;
    let identity = identity(connection, path)?;
    let are_right = names_are_right(connection);
    if are_right.map_err(OpenError::sqlite(path, "read table names"))? {
        return Ok(identity);
    }
    Err(OpenError::Damaged {
        path: path.display().to_string(),
        what: NAMES_ARE_WRONG.to_owned(),
    })
}

/// The identity of a store that is there, of a format that this release reads. Nothing is written.
pub(super) fn read(connection: &Connection, path: &Path) -> Result<Identity, OpenError> {
    match owner(connection, path)? {
        Owner::Nobody => Err(OpenError::format(path, "no store: it is empty".into())),
        Owner::Hookgate => {
            check(connection, path, &TABLES[..TABLES_OF_1])?;
            if meta::<i64>(connection, path, "format")? >= FORMAT {
                check(connection, path, &TABLES)?;
                check_shape(connection, path)?;
            }
            identity(connection, path)
        }
    }
}

/// Whether the tables that every release has can be found, and have no column that none has: a name that was damaged.
pub(super) fn has_first_tables(connection: &Connection) -> bool {
    let look = || -> rusqlite::Result<bool> {
        let model = Connection::open_in_memory()?;
        for (name, columns) in &TABLES[..TABLES_OF_1] {
            model.execute_batch(&format!("CREATE TABLE {name} {columns}"))?;
            let (found, ours) = (columns_of(connection, name)?, columns_of(&model, name)?);
            if found.is_empty() || !found.iter().all(|column| ours.contains(column)) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    look().unwrap_or(false)
}

/// The columns of a table; none where there is no such table.
pub(super) fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM pragma_table_info(?1)")?
        .query_map([table], |row| row.get(0))?
        .collect()
}

/// `PRAGMA page_size` takes effect only in a database that has no page yet.
pub(super) fn set_page_size(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES)
}

fn names_of_tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Makes what is no table.
fn make_beside(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(LANES)?;
    for trigger in NAMES_CHANGED {
        connection.execute_batch(trigger)?;
    }
    Ok(())
}

fn make(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let mut secret = [0; 32];
    let mut tag = [0; 8];
    getrandom::fill(&mut secret)
        .and_then(|()| getrandom::fill(&mut tag))
        .map_err(|e| OpenError::io(path, "draw a secret")(std::io::Error::other(e)))?;
    let tag = i64::from_le_bytes(tag) & ((1 << TAG_BITS) - 1);
    let make = |connection: &mut Connection| {
        let transaction = connection.transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        for (name, columns) in TABLES {
            transaction.execute_batch(&format!("CREATE TABLE {name} {columns}"))?;
        }
        make_beside(&transaction)?;
        let mut set = transaction.prepare("INSERT INTO meta (name, value) VALUES (?1, ?2)")?;
        set.execute(params!["format", FORMAT])?;
        set.execute(params!["min_reader", MIN_READER])?;
        set.execute(params!["next_seq", 1])?;
        set.execute(params!["tag", tag])?;
        set.execute(params!["secret", secret])?;
        drop(set);
        witness(&transaction)?;
        transaction.commit()
    };
    make(connection).map_err(OpenError::sqlite(path, "make the tables"))
}

/// Checks that this release reads what is there, and brings an earlier format up to this one.
fn renew(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    check(connection, path, &TABLES[..TABLES_OF_1])?;
    if meta::<i64>(connection, path, "format")? == 1 {
        let renew = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (table, column) in ADDED_SINCE_1 {
                transaction.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column}"))?;
            }
            for (name, columns) in &TABLES[TABLES_OF_1..] {
                transaction.execute_batch(&format!("CREATE TABLE {name} {columns}"))?;
            }
            make_beside(&transaction)?;
            transaction.execute("UPDATE meta SET value = ?1 WHERE name = 'format'", [FORMAT])?;
            witness(&transaction)?;
            transaction.commit()
        };
        renew(connection).map_err(OpenError::sqlite(path, "bring the tables up to date"))?;
        tracing::info!(
            format = FORMAT,
            "store of an earlier release is brought up to date"
        );
    }
    check(connection, path, &TABLES)
}

fn check(connection: &Connection, path: &Path, wanted: &[(&str, &str)]) -> Result<(), OpenError> {
    let tables = names_of_tables(connection).map_err(OpenError::sqlite(path, "read the schema"))?;
    let missing = wanted
        .iter()
        .find(|(name, _)| !tables.iter().any(|t| t == name));
    if let Some((name, _)) = missing {
        return Err(OpenError::format(
            path,
            format!("damaged: table {name} is missing"),
        ));
    }
    let format: i64 = meta(connection, path, "format")?;
    let min_reader: i64 = meta(connection, path, "min_reader")?;
    if min_reader > FORMAT {
        let why = format!(
            "written by a later release (format {format}, readable from {min_reader} on; this one is {FORMAT})"
        );
        return Err(OpenError::format(path, why));
    }
    Ok(())
}

/// Columns and indices are as this release makes them: a type that has changed would change what is stored later.
/// Those of a later release may be others.
fn check_shape(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if meta::<i64>(connection, path, "format")? > FORMAT {
        return Ok(());
    }
    let compare = || -> rusqlite::Result<Option<String>> {
        let model = Connection::open_in_memory()?;
        for (name, columns) in TABLES {
            model.execute_batch(&format!("CREATE TABLE {name} {columns}"))?;
        }
        make_beside(&model)?;
        let (made, found) = (shape(&model)?, shape(connection)?);
        let strange = made.iter().find(|part| !found.contains(part));
        Ok(strange.map(|(name, _)| name.clone()))
    };
    match compare().map_err(OpenError::sqlite(path, "read the schema"))? {
        None => Ok(()),
        Some(name) => Err(OpenError::Damaged {
            path: path.display().to_string(),
            what: format!("{name} is not as it was made"),
        }),
    }
}

/// What there is, by name: columns of tables, which may have been added later and then stand elsewhere in its text; the
/// text of everything else.
fn shape(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let columns = "SELECT s.name, group_concat(concat_ws(' ', c.name, c.type, c.\"notnull\", c.dflt_value, c.pk)) \
                   FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type = 'table' GROUP BY s.name";
    let texts = "SELECT name, sql FROM sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL";
    let mut shape = Vec::new();
    for sql in [columns, texts] {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for part in rows {
            shape.push(part?);
        }
    }
    Ok(shape)
}

/// What [`OpenError::Damaged`] says if [`names_are_right`] says no.
pub(super) const NAMES_ARE_WRONG: &str = "a name in table names is not what was written";

/// CRC-32 over the names and who is whose heir.
fn names_check(connection: &Connection) -> rusqlite::Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    let mut names = connection.prepare("SELECT id, kind, name, heir FROM names ORDER BY id")?;
    let mut rows = names.query([])?;
    while let Some(row) = rows.next()? {
        let name: Option<String> = row.get(2)?;
        let numbers: [Option<i64>; 3] = [row.get(0)?, row.get(1)?, row.get(3)?];
        for number in numbers {
            crc.update(&number.unwrap_or(-1).to_le_bytes());
        }
        let length = name.as_ref().map_or(u64::MAX, |name| name.len() as u64);
        crc.update(&length.to_le_bytes());
        crc.update(name.unwrap_or_default().as_bytes());
    }
    Ok(crc.finalize())
}

/// Whether the names are those that were last witnessed. Nobody knows where they were changed since by another
/// program, and in a store of format 1.
pub(super) fn names_are_right(connection: &Connection) -> rusqlite::Result<bool> {
    let kept: Option<Option<u32>> = connection
        .query_row(
            "SELECT value FROM meta WHERE name = 'names_check'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    match kept.flatten() {
        Some(kept) => Ok(kept == names_check(connection)?),
        None => Ok(true),
    }
}

/// Notes what the names are, for [`names_are_right`].
pub(super) fn witness_names(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('names_check', ?1) \
         ON CONFLICT (name) DO UPDATE SET value = ?1 WHERE value IS NOT ?1",
        [names_check(connection)?],
    )?;
    Ok(())
}

/// CRC-32 over the numbers in `meta` that nothing else tells.
fn identity_check(connection: &Connection) -> rusqlite::Result<u32> {
    let number = |name: &str| -> rusqlite::Result<i64> {
        let sql = "SELECT value FROM meta WHERE name = ?1";
        connection.query_row(sql, [name], |row| row.get(0))
    };
    let secret: Vec<u8> =
        connection.query_row("SELECT value FROM meta WHERE name = 'secret'", [], |row| {
            row.get(0)
        })?;
    let mut crc = crc32fast::Hasher::new();
    for name in ["format", "min_reader", "tag"] {
        crc.update(&number(name)?.to_le_bytes());
    }
    crc.update(&secret);
    Ok(crc.finalize())
}

/// Notes what `meta` and `names` say.
pub(super) fn witness(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('identity_check', ?1)",
        [identity_check(connection)?],
    )?;
    witness_names(connection)
}

/// What the store is told apart by, if it is what was written.
pub(super) fn identity(connection: &Connection, path: &Path) -> Result<Identity, OpenError> {
    let tag: i64 = meta(connection, path, "tag")?;
    if meta::<i64>(connection, path, "format")? != 1 {
        let kept: u32 = meta(connection, path, "identity_check")?;
        let right = identity_check(connection);
        if kept != right.map_err(OpenError::sqlite(path, "read table meta"))? {
            return Err(OpenError::Damaged {
                path: path.display().to_string(),
                what: "tag, secret or format in table meta is not what was written".to_owned(),
            });
        }
    }
    Ok(Identity {
        secret: meta(connection, path, "secret")?,
        tag: StoreTag(tag.cast_unsigned()),
    })
}

pub(super) fn meta<T: rusqlite::types::FromSql>(
    connection: &Connection,
    path: &Path,
    name: &str,
) -> Result<T, OpenError> {
    connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()
        .map_err(OpenError::sqlite(path, "read table meta"))?
        .ok_or_else(|| OpenError::format(path, format!("damaged: {name} is missing in table meta")))
}

/// The lowest sequence number that was never used. Rows keep what lies below in use; whoever deletes rows
/// writes `next_seq` in the same transaction.
pub(super) fn next_seq(connection: &Connection, path: &Path) -> Result<u64, OpenError> {
    let kept: i64 = meta(connection, path, "next_seq")?;
    let highest = |sql: &str| -> Result<i64, OpenError> {
        connection
            .query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
            .map(|highest| highest.unwrap_or(0))
            .map_err(OpenError::sqlite(path, "find the last event"))
    };
    let event = highest("SELECT max(seq) FROM events")?;
    let key = highest("SELECT max(id) >> 2 FROM keys")?;
    Ok(kept.max(event + 1).max(key + 1).cast_unsigned())
}

//! Reads a table in its order, going on behind what can't be read.
//!
//! Invariant: a row is given once, in order; what lies between two rows that were given and may be missing is said.

use super::probe::is_damage;
use rusqlite::{Connection, Row, Statement};

/// Rows that can't be read: keys from here to there. The last one is `i64::MAX` if nothing more can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Gap {
    /// What people read of it; `of` says whose rows of `table` they are, if it is not all.
    pub(super) fn in_words(self, table: &str, of: &str) -> String {
        let to = match self.to {
            i64::MAX => "the end".to_owned(),
            to => to.to_string(),
        };
        let of = if of.is_empty() {
            String::new()
        } else {
            format!(" of {of}")
        };
        let from = self.from;
        format!("rows of table {table}{of} can't be read: keys {from} to {to}")
    }
}

/// Everything.
const ALL: Gap = Gap {
    from: 0,
    to: i64::MAX,
};

/// Runs `sql`, whose first column is its key, ascending and unique, and whose last parameter is the key to begin at;
/// `prefix` are the parameters before it. An error of `each` that says damage is a gap of its row.
pub(super) fn walk(
    connection: &Connection,
    sql: &str,
    prefix: &[i64],
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<Vec<Gap>> {
    let slice = walk_slice(connection, sql, prefix, i64::MIN, |row| {
        each(row)?;
        Ok(true)
    })?;
    Ok(slice.gaps)
}

/// A part of a walk.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) gaps: Vec<Gap>,
    /// Where to go on; `None` at the end.
    pub(super) next: Option<i64>,
}

/// [`walk`] from `start` on, until `each` does not take a row (false).
pub(super) fn walk_slice(
    connection: &Connection,
    sql: &str,
    prefix: &[i64],
    start: i64,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Slice> {
    let mut slice = Slice::default();
    let mut statement = match connection.prepare(sql) {
        Ok(statement) => statement,
        Err(e) if is_damage(&e) => {
            slice.gaps.push(ALL);
            return Ok(slice);
        }
        Err(e) => return Err(e),
    };
    let mut start = start;
    loop {
        let from = match stream(&mut statement, prefix, start, &mut slice.gaps, &mut each)? {
            Ended::Whole => break,
            Ended::NotTaken(key) => {
                slice.next = Some(key);
                break;
            }
            Ended::Broken { from } => from,
        };
        let Some(next) = behind(&mut statement, prefix, from)? else {
            slice.gaps.push(Gap { from, to: i64::MAX });
            break;
        };
        slice.gaps.push(Gap { from, to: next - 1 });
        start = next;
    }
    Ok(slice)
}

/// How a stream of rows ended.
enum Ended {
    /// There are no more.
    Whole,
    /// This one was not taken.
    NotTaken(i64),
    /// What comes from this key on can't be read.
    Broken { from: i64 },
}

fn stream(
    statement: &mut Statement<'_>,
    prefix: &[i64],
    start: i64,
    gaps: &mut Vec<Gap>,
    each: &mut impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Ended> {
    let mut from = start.max(0);
    let parameters = rusqlite::params_from_iter(prefix.iter().copied().chain([start]));
    let mut rows = match statement.query(parameters) {
        Ok(rows) => rows,
        Err(e) if is_damage(&e) => return Ok(Ended::Broken { from }),
        Err(e) => return Err(e),
    };
    let mut last = None;
    loop {
        let found = rows
            .next()
            .and_then(|row| row.map(|row| Ok((row.get::<_, i64>(0)?, row))).transpose());
        let (key, row) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Ended::Whole),
            Err(e) if is_damage(&e) => return Ok(Ended::Broken { from }),
            Err(e) => return Err(e),
        };
        // Out of order: what the pages say of each other can't be trusted here.
        if last.is_some_and(|last| key <= last) || key < start {
            gaps.push(Gap { from: key, to: key });
            continue;
        }
        match each(row) {
            Ok(true) => {}
            Ok(false) => return Ok(Ended::NotTaken(key)),
            Err(e) if is_damage(&e) => gaps.push(Gap { from: key, to: key }),
            Err(e) => return Err(e),
        }
        last = Some(key);
        from = key.saturating_add(1);
    }
}

/// The first key from `from` on that can be read; `None` if nothing can.
fn behind(
    statement: &mut Statement<'_>,
    prefix: &[i64],
    from: i64,
) -> rusqlite::Result<Option<i64>> {
    let mut broken = from;
    let mut step = 1_i64;
    let mut whole = loop {
        let Some(start) = from.checked_add(step) else {
            return Ok(None);
        };
        if is_whole(statement, prefix, start)? {
            break start;
        }
        broken = start;
        step = match step.checked_mul(2) {
            Some(step) => step,
            None => return Ok(None),
        };
    };
    while whole - broken > 1 {
        let middle = broken + (whole - broken) / 2;
        if is_whole(statement, prefix, middle)? {
            whole = middle;
        } else {
            broken = middle;
        }
    }
    Ok(Some(whole))
}

/// Whether the first row from `start` on can be read, or there is none.
fn is_whole(statement: &mut Statement<'_>, prefix: &[i64], start: i64) -> rusqlite::Result<bool> {
    let parameters = rusqlite::params_from_iter(prefix.iter().copied().chain([start]));
    match statement
        .query(parameters)
        .and_then(|mut rows| rows.next()?.map(|row| row.get::<_, i64>(0)).transpose())
    {
        Ok(_) => Ok(true),
        Err(e) if is_damage(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        io::{Seek, SeekFrom, Write},
    };

    const PAGE: u64 = 4096;

    /// A table of `rows` rows of some 400 bytes, in a file of its own.
    fn database(rows: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let connection = Connection::open(&path).expect("opened");
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {PAGE}; CREATE TABLE t (k INTEGER PRIMARY KEY, v); \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
                 INSERT INTO t SELECT i, randomblob(400) FROM n;"
            ))
            .expect("made");
        (directory, path)
    }

    fn walked(path: &std::path::Path) -> (Vec<i64>, Vec<Gap>) {
        let connection = Connection::open(path).expect("opened");
        let mut keys = Vec::new();
        let gaps = walk(
            &connection,
            "SELECT k, v FROM t WHERE k >= ?1 ORDER BY k",
            &[],
            |row| {
                keys.push(row.get(0)?);
                Ok(())
            },
        );
        (keys, gaps.expect("walked"))
    }

    #[test]
    fn goes_on_behind_a_page_that_cannot_be_read() {
        let (_directory, path) = database(1_000);
        assert_eq!(walked(&path), ((1..=1_000).collect(), vec![]));
        let pages = fs::metadata(&path).expect("there").len() / PAGE;
        let mut holes = 0;
        for page in (4..pages).step_by(9) {
            let mut file = fs::File::options().write(true).open(&path).expect("opened");
            file.seek(SeekFrom::Start(page * PAGE)).expect("there");
            file.write_all(&[0xff; PAGE as usize]).expect("written");
            holes += 1;
        }
        let (keys, gaps) = walked(&path);
        assert_eq!(gaps.len(), holes, "{gaps:?}");
        assert!(keys.len() > 800, "{}", keys.len());
        let lost: i64 = gaps
            .iter()
            .map(|gap| gap.to.min(1_000) - gap.from + 1)
            .sum();
        assert_eq!(keys.len() as i64 + lost, 1_000);
        assert!(keys.is_sorted());
    }

    #[test]
    fn a_table_that_cannot_be_read_at_all_is_one_gap() {
        let (_directory, path) = database(10);
        let mut file = fs::File::options().write(true).open(&path).expect("opened");
        file.seek(SeekFrom::Start(PAGE)).expect("there");
        file.write_all(&[0xff; PAGE as usize]).expect("written");
        assert_eq!(walked(&path), (vec![], vec![ALL]));
    }
}

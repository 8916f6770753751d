//! Copies tables row by row as far as they can be read, and says in words what can't be.
//!
//! Invariant: a payload is copied only if its checksum is right, and of other rows those that a table of ours may hold.

use super::{Progress, Salvage, Whole};
use crate::event::{Seq, SourceId};
use crate::store::rows::Rows;
use crate::store::walk::walk;
use crate::store::{probe, row, schema};
use rusqlite::{Transaction, types::Value};
use std::collections::HashMap;

impl<P: FnMut(Progress)> Salvage<'_, P> {
    pub(super) fn copy_events(
        &mut self,
        new: &Transaction<'_>,
        rows: &Rows,
    ) -> rusqlite::Result<()> {
        let mut insert = new.prepare(
            "INSERT OR IGNORE INTO events \
             (seq, source, received_ms, type, key, targets, crc, secret_header, secret_name, headers, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let mut written = Ok(0);
        self.gaps = walk(self.old, row::WALK, &[], |found| {
            let seq = Seq(found.get::<_, i64>(0)?.cast_unsigned());
            let Some(proven) = row::prove(found) else {
                self.corrupt.insert(seq);
                return Ok(());
            };
            let values = (0..11)
                .map(|column| found.get(column))
                .collect::<rusqlite::Result<Vec<Value>>>()?;
            if written.is_ok() {
                written = insert.execute(rusqlite::params_from_iter(values));
            }
            self.saved.events += 1;
            if self.saved.events.is_multiple_of(1_000) {
                (self.progress)(Progress::Payloads { seq: seq.0 });
            }
            let targets = proven.targets;
            let targets = targets.iter().map(|target| rows.names.present(*target));
            self.whole.insert(
                seq,
                Whole {
                    targets: targets.collect(),
                    bytes: proven.bytes,
                },
            );
            Ok(())
        })?;
        written.map(|_| ())
    }

    /// Copies the keys, and returns who sent, and when, what is lost.
    pub(super) fn copy_keys(
        &mut self,
        new: &Transaction<'_>,
        identity: Option<&schema::Identity>,
    ) -> rusqlite::Result<HashMap<Seq, (SourceId, u64)>> {
        if identity.is_some() {
            let (keys, unread) = self.copy_by_seq(new, "keys", "id", |id| id & 0b11 != 0b11)?;
            self.saved.keys = keys;
            if !unread.is_empty() {
                self.saved.notes.extend(unread);
                self.saved.notes.push(
                    "events whose keys are lost are new events if they are sent again".into(),
                );
            }
        }
        let mut received = HashMap::new();
        let sql = "SELECT id, source, received_ms FROM keys WHERE id >= ?1 ORDER BY id";
        walk(self.old, sql, &[], |row| {
            let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned() >> 2);
            if !self.whole.contains_key(&seq) {
                let of = (SourceId(row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned());
                received.entry(seq).or_insert(of);
            }
            Ok(())
        })?;
        Ok(received)
    }

    /// Copies rows of a table that is found by `key`, which need not be unique, where `wanted` says so. Returns how many,
    /// and in words which could not be read.
    pub(super) fn copy_by_seq(
        &self,
        new: &Transaction<'_>,
        table: &'static str,
        key: &str,
        wanted: impl Fn(i64) -> bool,
    ) -> rusqlite::Result<(u64, Vec<String>)> {
        let keys = format!("SELECT DISTINCT {key} FROM {table} WHERE {key} >= ?1 ORDER BY {key}");
        let filter = format!("{key} = ?1");
        self.copy_rows(new, table, &keys, &filter, &[], wanted)
    }

    fn copy_rows(
        &self,
        new: &Transaction<'_>,
        table: &'static str,
        keys: &str,
        filter: &str,
        prefix: &[i64],
        wanted: impl Fn(i64) -> bool,
    ) -> rusqlite::Result<(u64, Vec<String>)> {
        let own = schema::columns_of(new, table)?;
        let columns: Vec<String> = schema::columns_of(self.old, table)?
            .into_iter()
            .filter(|column| own.contains(column))
            .collect();
        let list = columns.join(", ");
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("SELECT {list} FROM {table} WHERE {filter}");
        let mut select = match self.old.prepare(&sql) {
            Ok(select) => select,
            Err(e) if probe::is_damage(&e) => {
                return Ok((0, vec![format!("table {table} can't be read: {e}")]));
            }
            Err(e) => return Err(e),
        };
        let mut insert = new.prepare(&format!(
            "INSERT OR IGNORE INTO {table} ({list}) VALUES ({places})"
        ))?;
        let mut copied = 0;
        let mut written = Ok(0);
        let gaps = walk(self.old, keys, prefix, |row| {
            let key: i64 = row.get(0)?;
            if !wanted(key) || written.is_err() {
                return Ok(());
            }
            let mut rows = select.query(rusqlite::params_from_iter(
                prefix.iter().copied().chain([key]),
            ))?;
            while let Some(row) = rows.next()? {
                let values = (0..columns.len())
                    .map(|column| row.get(column))
                    .collect::<rusqlite::Result<Vec<Value>>>()?;
                match insert.execute(rusqlite::params_from_iter(values)) {
                    Ok(rows) => copied += rows as u64,
                    // A value that no row of ours has, where one has to be: damage.
                    Err(e)
                        if e.sqlite_error_code()
                            == Some(rusqlite::ErrorCode::ConstraintViolation) => {}
                    Err(e) => written = Err(e),
                }
            }
            Ok(())
        })?;
        written?;
        let unread = gaps.into_iter().map(|gap| gap.in_words(table, ""));
        Ok((copied, unread.collect()))
    }
}

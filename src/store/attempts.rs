//! What the attempts of a delivery were, for whoever asks later. Written with the settlements that they led to.
//!
//! Invariant: nothing depends on these rows: they are bounded for each delivery, go with their payload, and before
//! any payload where space is needed.

use super::lasting;
use super::many::{InsertMany, Wording};
use super::{AttemptRecord, Settlement};
use rusqlite::types::ToSql;
use rusqlite::{Connection, Statement, params};

/// Rows that are dropped at one time to make room.
const ROOM_ROWS: i64 = 1024;

/// Bytes of an error's text.
const ERROR_BYTES_MAX: usize = 256;

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    add: InsertMany<'c, 9>,
    put: Statement<'c>,
    trim: Statement<'c>,
    drop_oldest: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            add: InsertMany::prepare(
                connection,
                Wording {
                    insert: "INSERT OR FAIL INTO attempts \
                             (seq, target, replay, attempt, at_ms, took_ms, status, error, answer)",
                    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    then: "ON CONFLICT DO NOTHING",
                    most: 16,
                },
            )?,
            put: lasting::prepare(
                connection,
                "INSERT OR REPLACE INTO attempts \
                 (seq, target, replay, attempt, at_ms, took_ms, status, error, answer) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            // Without a row at the offset there is nothing to compare with, and nothing goes.
            trim: lasting::prepare(
                connection,
                "DELETE FROM attempts WHERE seq = ?1 AND target = ?2 AND (replay, attempt) <= \
                 (SELECT replay, attempt FROM attempts WHERE seq = ?1 AND target = ?2 \
                 ORDER BY replay DESC, attempt DESC LIMIT 1 OFFSET ?3)",
            )?,
            drop_oldest: lasting::prepare(
                connection,
                "DELETE FROM attempts WHERE seq <= \
                 ifnull((SELECT seq FROM attempts ORDER BY seq LIMIT 1 OFFSET ?1), 9223372036854775807)",
            )?,
        })
    }

    /// Keeps the attempt that `settlement` settles, and no more than `most` of its delivery.
    pub(super) fn keep(
        &mut self,
        settlement: &Settlement,
        record: &AttemptRecord,
        most: u32,
    ) -> rusqlite::Result<()> {
        let (seq, target) = (settlement.seq.0.cast_signed(), settlement.target.0);
        with_row(settlement, record, |row| self.put.execute(row))?;
        // The attempts of one delivery count up from 1; a replay has those of the ones before it beside its own.
        if record.attempt > most || settlement.replay > 0 {
            self.trim.execute(params![seq, target, most])?;
        }
        Ok(())
    }

    /// Keeps the attempts that settlements settle: one of each delivery, its first, so that none of them is here yet.
    pub(super) fn add(
        &mut self,
        records: &[(&Settlement, &AttemptRecord)],
    ) -> rusqlite::Result<()> {
        self.add.insert(records, |(settlement, record), row| {
            with_row(settlement, record, |values| row(*values))
        })
    }

    /// Drops those of the oldest events. False if there are none.
    pub(super) fn make_room(&mut self) -> rusqlite::Result<bool> {
        Ok(self.drop_oldest.execute([ROOM_ROWS - 1])? > 0)
    }
}

/// The row of an attempt.
fn with_row<T>(
    settlement: &Settlement,
    record: &AttemptRecord,
    each: impl FnOnce(&[&dyn ToSql; 9]) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let error = record
        .error
        .as_deref()
        .map(|error| &error[..error.floor_char_boundary(ERROR_BYTES_MAX)]);
    each(&[
        &settlement.seq.0.cast_signed(),
        &settlement.target.0,
        &settlement.replay,
        &record.attempt,
        &record.at_ms.cast_signed(),
        &record.took_ms.cast_signed(),
        &record.status,
        &error,
        &(!record.answer.is_empty()).then_some(&*record.answer),
    ])
}

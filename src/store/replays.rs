//! What is known of events that were replayed.
//!
//! Invariants: an event has a row here as long as it is stored, from its first replay on; of its rows in `settled` only
//! the one that is named here counts, and none while it waits. (The row that a first replay makes void cannot be
//! found without an index: it is left to expire.)

use super::lasting;
use super::row;
use super::settle::Class;
use crate::event::{Seq, TargetId};
use rusqlite::{Connection, OptionalExtension, Statement, params};

/// A row.
#[derive(Debug)]
pub(super) struct Replayed {
    /// How often.
    pub(super) count: u32,
    /// Targets beside those that the event was admitted for.
    pub(super) targets: Vec<TargetId>,
    /// The row of `settled` that counts.
    pub(super) settled: Option<(Class, u64)>,
}

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    find: Statement<'c>,
    put: Statement<'c>,
    settle: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            find: lasting::prepare(
                connection,
                "SELECT count, targets, class, settled_ms FROM replays WHERE seq = ?1",
            )?,
            put: lasting::prepare(
                connection,
                "INSERT OR REPLACE INTO replays (seq, count, replayed_ms, targets) VALUES (?1, ?2, ?3, ?4)",
            )?,
            settle: lasting::prepare(
                connection,
                "UPDATE replays SET class = ?2, settled_ms = ?3 WHERE seq = ?1",
            )?,
        })
    }

    pub(super) fn find(&mut self, seq: Seq) -> rusqlite::Result<Option<Replayed>> {
        self.find
            .query_row([seq.0.cast_signed()], |found| {
                let class: Option<u8> = found.get(2)?;
                let settled_ms = found.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
                Ok(Replayed {
                    count: found.get(0)?,
                    targets: row::decode_targets(&found.get::<_, Vec<u8>>(1)?).collect(),
                    settled: class.and_then(Class::of).zip(settled_ms),
                })
            })
            .optional()
    }

    /// The event waits again, for the `count`th time.
    pub(super) fn put(
        &mut self,
        seq: Seq,
        count: u32,
        now_ms: u64,
        targets: &[TargetId],
    ) -> rusqlite::Result<()> {
        let mut column = Vec::new();
        row::encode_targets(targets.iter().copied(), &mut column);
        self.put.execute(params![
            seq.0.cast_signed(),
            count,
            now_ms.cast_signed(),
            column
        ])?;
        Ok(())
    }

    /// It waits nowhere any more.
    pub(super) fn settle(
        &mut self,
        seq: Seq,
        class: Class,
        settled_ms: u64,
    ) -> rusqlite::Result<()> {
        self.settle.execute(params![
            seq.0.cast_signed(),
            class as u8,
            settled_ms.cast_signed()
        ])?;
        Ok(())
    }
}

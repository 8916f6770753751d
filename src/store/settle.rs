//! Deliveries as rows: what waits, what is due, what is dead, and when an event is through everywhere.
//!
//! Invariants: a delivery row exists exactly as long as its event waits for its target; settling a row that is
//! gone changes nothing; an event enters `settled` once, with its last delivery.

use super::backlog::Backlogs;
use super::inbox::Abandon;
use super::{DeadReason, Outcome, Settlement, row};
use crate::event::{Seq, TargetId};
use rusqlite::{Connection, OptionalExtension, Statement, params};

/// What became of an event that waits nowhere any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Every target has it.
    Delivered = 0,
    /// At least one has given it up.
    WithDeadLetter = 1,
}

/// A row of `deliveries`.
struct Found {
    due_ms: Option<i64>,
    bytes: u64,
    /// Targets of the event.
    fan: i64,
}

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    add: Statement<'c>,
    find: Statement<'c>,
    postpone: Statement<'c>,
    remove: Statement<'c>,
    add_due: Statement<'c>,
    remove_due: Statement<'c>,
    add_dead: Statement<'c>,
    has_dead: Statement<'c>,
    add_settled: Statement<'c>,
    targets: Statement<'c>,
    oldest: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        Ok(Self {
            add: prepare(
                "INSERT INTO deliveries (target, seq, attempts, due_ms, bytes, fan) VALUES (?1, ?2, 0, NULL, ?3, ?4)",
            )?,
            find: prepare(
                "SELECT due_ms, bytes, fan FROM deliveries WHERE target = ?1 AND seq = ?2",
            )?,
            postpone: prepare(
                "UPDATE deliveries SET attempts = ?3, due_ms = ?4 WHERE target = ?1 AND seq = ?2",
            )?,
            remove: prepare("DELETE FROM deliveries WHERE target = ?1 AND seq = ?2")?,
            add_due: prepare("INSERT INTO due (target, due_ms, seq) VALUES (?1, ?2, ?3)")?,
            remove_due: prepare("DELETE FROM due WHERE target = ?1 AND due_ms = ?2 AND seq = ?3")?,
            add_dead: prepare(
                "INSERT OR REPLACE INTO dead (seq, target, reason, attempts, dead_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            has_dead: prepare("SELECT 1 FROM dead WHERE seq = ?1")?,
            add_settled: prepare(
                "INSERT OR IGNORE INTO settled (class, settled_ms, seq) VALUES (?1, ?2, ?3)",
            )?,
            targets: prepare("SELECT targets FROM events WHERE seq = ?1")?,
            oldest: prepare(
                "SELECT d.seq, d.attempts, d.bytes, e.received_ms FROM deliveries d \
                 LEFT JOIN events e ON e.seq = d.seq WHERE d.target = ?1 ORDER BY d.seq LIMIT ?2",
            )?,
        })
    }

    /// An event waits for `target`, one of its `fan` targets.
    pub(super) fn add(
        &mut self,
        target: TargetId,
        seq: Seq,
        bytes: u64,
        fan: usize,
    ) -> rusqlite::Result<()> {
        let fan = i64::try_from(fan).unwrap_or(i64::MAX);
        self.add.execute(params![
            target.0,
            seq.0.cast_signed(),
            bytes.cast_signed(),
            fan
        ])?;
        Ok(())
    }

    /// A delivery is given up.
    pub(super) fn bury(
        &mut self,
        target: TargetId,
        seq: Seq,
        reason: DeadReason,
        attempts: u32,
        now_ms: u64,
    ) -> rusqlite::Result<()> {
        self.add_dead.execute(params![
            seq.0.cast_signed(),
            target.0,
            reason.word(),
            attempts,
            now_ms.cast_signed(),
        ])?;
        Ok(())
    }

    /// The event waits nowhere.
    pub(super) fn finish(&mut self, seq: Seq, class: Class, now_ms: u64) -> rusqlite::Result<()> {
        self.add_settled.execute(params![
            class as u8,
            now_ms.cast_signed(),
            seq.0.cast_signed()
        ])?;
        Ok(())
    }

    /// Writes how an attempt ended. What the row says counts, not what the settlement remembers of it.
    pub(super) fn settle(
        &mut self,
        settlement: &Settlement,
        now_ms: u64,
        backlogs: &mut Backlogs,
    ) -> rusqlite::Result<()> {
        let Settlement { target, seq, .. } = *settlement;
        let key = params![target.0, seq.0.cast_signed()];
        let found = self
            .find
            .query_row(key, |row| {
                Ok(Found {
                    due_ms: row.get(0)?,
                    bytes: row.get::<_, i64>(1)?.cast_unsigned(),
                    fan: row.get(2)?,
                })
            })
            .optional()?;
        let Some(found) = found else {
            return Ok(());
        };
        if let Some(due_ms) = found.due_ms {
            self.remove_due
                .execute(params![target.0, due_ms, seq.0.cast_signed()])?;
        }
        match settlement.outcome {
            Outcome::Retry { attempts, due_ms } => {
                return self.postpone(target, seq, attempts, due_ms);
            }
            Outcome::Delivered => {}
            Outcome::Dead { reason, attempts } => {
                self.bury(target, seq, reason, attempts, now_ms)?;
            }
        }
        self.remove.execute(key)?;
        backlogs.remove(target, found.bytes);
        let dead_here = matches!(settlement.outcome, Outcome::Dead { .. });
        match (found.fan, dead_here) {
            (1, false) => self.finish(seq, Class::Delivered, now_ms),
            (1, true) => self.finish(seq, Class::WithDeadLetter, now_ms),
            _ => self.finish_if_last(seq, now_ms),
        }
    }

    fn postpone(
        &mut self,
        target: TargetId,
        seq: Seq,
        attempts: u32,
        due_ms: u64,
    ) -> rusqlite::Result<()> {
        let due_ms = due_ms.min(i64::MAX as u64).cast_signed();
        let seq = seq.0.cast_signed();
        self.postpone
            .execute(params![target.0, seq, attempts, due_ms])?;
        self.add_due.execute(params![target.0, due_ms, seq])?;
        Ok(())
    }

    /// One of several deliveries is settled: looks for the others.
    fn finish_if_last(&mut self, seq: Seq, now_ms: u64) -> rusqlite::Result<()> {
        let targets: Option<Vec<u8>> = self
            .targets
            .query_row([seq.0.cast_signed()], |row| row.get(0))
            .optional()?;
        // An event without its row has nothing to expire but what it left in other tables.
        for target in row::decode_targets(&targets.unwrap_or_default()) {
            if self.find.exists(params![target.0, seq.0.cast_signed()])? {
                return Ok(());
            }
        }
        let class = if self.has_dead.exists([seq.0.cast_signed()])? {
            Class::WithDeadLetter
        } else {
            Class::Delivered
        };
        self.finish(seq, class, now_ms)
    }

    /// The oldest deliveries, at most `most`, that were received early enough to be given up; fewer than `most`
    /// if there are no more. Events are numbered in about the order in which they were received.
    pub(super) fn abandoned(
        &mut self,
        abandon: Abandon,
        most: usize,
    ) -> rusqlite::Result<Vec<Settlement>> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = self.oldest.query(params![abandon.target.0, limit])?;
        let mut settlements = Vec::new();
        while let Some(row) = rows.next()? {
            let received_ms: Option<i64> = row.get(3)?;
            // A delivery whose event is missing is of no use to anybody.
            if received_ms.is_some_and(|ms| ms.cast_unsigned() >= abandon.before_ms) {
                break;
            }
            settlements.push(Settlement {
                target: abandon.target,
                seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
                was_due_ms: None,
                bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                outcome: Outcome::Dead {
                    reason: DeadReason::Removed,
                    attempts: row.get(1)?,
                },
            });
        }
        Ok(settlements)
    }
}

impl DeadReason {
    /// As metrics and rows name it.
    fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Corrupt => "corrupt",
            Self::Backlog => "backlog",
            Self::Removed => "removed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_metrics_use_the_same_words() {
        for (reason, word) in DeadReason::ALL {
            assert_eq!(reason.word(), word);
        }
    }
}

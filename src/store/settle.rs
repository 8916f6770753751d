//! Deliveries as rows: what waits, what is due, what is dead, and when an event is through everywhere.
//!
//! Invariants: a delivery row exists exactly as long as its event waits for its target; settling a row that is
//! gone changes nothing; an event enters `settled` once, with its last delivery.

use super::backlog::Backlogs;
use super::inbox::Abandon;
use super::names::{self, NameOf};
use super::{DeadReason, Destination, Outcome, Settlement, row};
use crate::event::{EventId, Seq, SourceId, StoreTag, TargetId};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use std::collections::HashMap;

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
    remove_common: Statement<'c>,
    add_due: Statement<'c>,
    remove_due: Statement<'c>,
    add_dead: Statement<'c>,
    dead_at: Statement<'c>,
    oldest_dead: Statement<'c>,
    remove_dead: Statement<'c>,
    add_settled: Statement<'c>,
    remove_settled: Statement<'c>,
    remove_event: Statement<'c>,
    targets: Statement<'c>,
    oldest: Statement<'c>,
    /// Targets that another has taken over: events still name them.
    heirs: HashMap<TargetId, TargetId>,
}

/// A delivery that is being given up because its target is no longer configured.
#[derive(Debug)]
pub(super) struct Abandoned {
    pub(super) settlement: Settlement,
    /// Of the event, unless its row is missing.
    pub(super) event: Option<(EventId, SourceId)>,
}

/// Where the deliveries of one event stand.
#[derive(Default)]
struct Standing {
    waits: bool,
    /// When the last of its dead letters died, Unix milliseconds.
    dead_ms: Option<u64>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        Ok(Self {
            add: prepare(
                "INSERT INTO deliveries (target, seq, attempts, due_ms, bytes, fan, lane) \
                 VALUES (?1, ?2, 0, NULL, ?3, ?4, ?5)",
            )?,
            find: prepare(
                "SELECT due_ms, bytes, fan FROM deliveries WHERE target = ?1 AND seq = ?2",
            )?,
            postpone: prepare(
                "UPDATE deliveries SET attempts = ?3, due_ms = ?4 WHERE target = ?1 AND seq = ?2",
            )?,
            remove: prepare("DELETE FROM deliveries WHERE target = ?1 AND seq = ?2")?,
            remove_common: prepare(
                "DELETE FROM deliveries WHERE target = ?1 AND seq = ?2 AND bytes = ?3 \
                 AND due_ms IS NULL AND fan = 1",
            )?,
            add_due: prepare("INSERT INTO due (target, due_ms, seq) VALUES (?1, ?2, ?3)")?,
            remove_due: prepare("DELETE FROM due WHERE target = ?1 AND due_ms = ?2 AND seq = ?3")?,
            add_dead: prepare(
                "INSERT OR REPLACE INTO dead (seq, target, reason, attempts, dead_ms, bytes) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            dead_at: prepare("SELECT dead_ms FROM dead WHERE target = ?1 AND seq = ?2")?,
            oldest_dead: prepare(
                "SELECT seq, bytes, dead_ms FROM dead WHERE target = ?1 ORDER BY seq LIMIT ?2",
            )?,
            remove_dead: prepare("DELETE FROM dead WHERE target = ?1 AND seq = ?2")?,
            remove_settled: prepare(
                "DELETE FROM settled WHERE class = ?1 AND settled_ms = ?2 AND seq = ?3",
            )?,
            remove_event: prepare("DELETE FROM events WHERE seq = ?1")?,
            add_settled: prepare(
                "INSERT OR IGNORE INTO settled (class, settled_ms, seq) VALUES (?1, ?2, ?3)",
            )?,
            targets: prepare("SELECT targets FROM events WHERE seq = ?1")?,
            oldest: prepare(
                "SELECT d.seq, d.attempts, d.bytes, e.received_ms, e.source, d.replay FROM deliveries d \
                 LEFT JOIN events e ON e.seq = d.seq WHERE d.target = ?1 ORDER BY d.seq LIMIT ?2",
            )?,
            heirs: names::heirs(connection, NameOf::Target)?
                .into_iter()
                .map(|(old, heir)| (TargetId(old), TargetId(heir)))
                .collect(),
        })
    }

    /// An event waits for one of its `fan` targets.
    pub(super) fn add(
        &mut self,
        destination: Destination,
        seq: Seq,
        bytes: u64,
        fan: usize,
    ) -> rusqlite::Result<()> {
        let fan = i64::try_from(fan).unwrap_or(i64::MAX);
        self.add.execute(params![
            destination.target.0,
            seq.0.cast_signed(),
            bytes.cast_signed(),
            fan,
            destination.lane.map(|lane| lane.0.cast_signed()),
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
        bytes: u64,
    ) -> rusqlite::Result<()> {
        self.add_dead.execute(params![
            seq.0.cast_signed(),
            target.0,
            reason.word(),
            attempts,
            now_ms.cast_signed(),
            bytes.cast_signed(),
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
        if self.settle_common(settlement, now_ms, backlogs)? {
            return Ok(());
        }
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
                self.bury(target, seq, reason, attempts, now_ms, found.bytes)?;
                backlogs.bury(target, found.bytes);
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

    /// The common case in half the steps: the only target of an event takes it at the first attempt. The row is
    /// deleted only if it says all of that, and the same number of bytes; false if not.
    fn settle_common(
        &mut self,
        settlement: &Settlement,
        now_ms: u64,
        backlogs: &mut Backlogs,
    ) -> rusqlite::Result<bool> {
        if !matches!(settlement.outcome, Outcome::Delivered) {
            return Ok(false);
        }
        let Settlement {
            target, seq, bytes, ..
        } = *settlement;
        let row = params![target.0, seq.0.cast_signed(), bytes.cast_signed()];
        if self.remove_common.execute(row)? == 0 {
            return Ok(false);
        }
        backlogs.remove(target, bytes);
        self.finish(seq, Class::Delivered, now_ms)?;
        Ok(true)
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
        match self.standing(seq)? {
            Standing { waits: true, .. } => Ok(()),
            Standing {
                dead_ms: Some(dead_ms),
                ..
            } => self.finish(seq, Class::WithDeadLetter, dead_ms),
            Standing { dead_ms: None, .. } => self.finish(seq, Class::Delivered, now_ms),
        }
    }

    fn standing(&mut self, seq: Seq) -> rusqlite::Result<Standing> {
        let targets: Option<Vec<u8>> = self
            .targets
            .query_row([seq.0.cast_signed()], |row| row.get(0))
            .optional()?;
        let mut standing = Standing::default();
        // An event without its row has nothing to expire but what it left in other tables.
        for target in row::decode_targets(&targets.unwrap_or_default()) {
            let target = self.heirs.get(&target).copied().unwrap_or(target);
            let key = params![target.0, seq.0.cast_signed()];
            standing.waits |= self.find.exists(key)?;
            let dead_ms = self
                .dead_at
                .query_row(key, |row| row.get::<_, i64>(0))
                .optional()?;
            standing.dead_ms = standing.dead_ms.max(dead_ms.map(i64::cast_unsigned));
        }
        Ok(standing)
    }

    /// Drops the oldest dead letters of `target`, at most `most`, until `excess_bytes` are gone, and the payloads
    /// that nobody else wants with them. Returns the bytes of each.
    pub(super) fn drop_dead(
        &mut self,
        target: TargetId,
        excess_bytes: u64,
        most: usize,
    ) -> rusqlite::Result<Vec<u64>> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let oldest: Vec<(u64, u64, u64)> = self
            .oldest_dead
            .query_map(params![target.0, limit], |row| {
                let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                Ok((number(0)?, number(1)?, number(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut dropped = Vec::new();
        let mut gone_bytes = 0;
        for (seq, bytes, dead_ms) in oldest {
            if gone_bytes >= excess_bytes {
                break;
            }
            self.drop_one_dead(target, Seq(seq), dead_ms)?;
            gone_bytes += bytes;
            dropped.push(bytes);
        }
        Ok(dropped)
    }

    fn drop_one_dead(&mut self, target: TargetId, seq: Seq, dead_ms: u64) -> rusqlite::Result<()> {
        let row = seq.0.cast_signed();
        self.remove_dead.execute(params![target.0, row])?;
        let rest = self.standing(seq)?;
        if rest.waits {
            return Ok(());
        }
        // The event is kept by its last dead letter.
        if rest.dead_ms < Some(dead_ms) {
            self.remove_settled.execute(params![
                Class::WithDeadLetter as u8,
                dead_ms.cast_signed(),
                row
            ])?;
            match rest.dead_ms {
                Some(rest_ms) => self.finish(seq, Class::WithDeadLetter, rest_ms)?,
                None => {
                    self.remove_event.execute([row])?;
                }
            }
        }
        Ok(())
    }

    /// The oldest deliveries, at most `most`, that were received early enough to be given up; fewer than `most`
    /// if there are no more. Events are numbered in about the order in which they were received.
    pub(super) fn abandoned(
        &mut self,
        abandon: Abandon,
        tag: StoreTag,
        most: usize,
    ) -> rusqlite::Result<Vec<Abandoned>> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = self.oldest.query(params![abandon.target.0, limit])?;
        let mut abandoned = Vec::new();
        while let Some(row) = rows.next()? {
            let received_ms = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
            // A delivery whose event is missing is of no use to anybody.
            if received_ms.is_some_and(|ms| ms >= abandon.before_ms) {
                break;
            }
            let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
            let source: Option<u32> = row.get(4)?;
            let event = received_ms
                .zip(source)
                .map(|(ms, source)| (EventId::new(ms, tag, seq), SourceId(source)));
            let settlement = Settlement {
                target: abandon.target,
                seq,
                was_due_ms: None,
                bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                outcome: Outcome::Dead {
                    reason: DeadReason::Removed,
                    attempts: row.get(1)?,
                },
                replay: row.get(5)?,
                lane: None,
                attempt: None,
            };
            abandoned.push(Abandoned { settlement, event });
        }
        Ok(abandoned)
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
            Self::Attempts => "attempts",
            Self::Discarded => "discarded",
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

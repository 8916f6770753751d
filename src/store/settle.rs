//! Deliveries as rows: what waits, what is due, what is dead, and when an event is through everywhere.
//!
//! Invariants: a delivery row exists exactly as long as its event waits for its target; settling a row that is
//! gone changes nothing; an event enters `settled` once, with its last delivery.

use super::backlog::Backlogs;
use super::inbox::Abandon;
use super::lasting;
use super::many::{InsertMany, Wording};
use super::names::{self, NameOf};
use super::replays::{self, Replayed};
use super::{DeadReason, Destination, Outcome, Settlement, row};
use crate::event::{EventId, Lane, Seq, SourceId, StoreTag, TargetId};
use rusqlite::types::ToSql;
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

impl Class {
    /// Of its number.
    pub(super) fn of(number: u8) -> Option<Self> {
        [Self::Delivered, Self::WithDeadLetter]
            .into_iter()
            .find(|class| *class as u8 == number)
    }
}

/// A row of `deliveries`.
pub(super) struct Found {
    pub(super) due_ms: Option<i64>,
    pub(super) bytes: u64,
    /// Targets of the event; 0: it was replayed.
    fan: i64,
    pub(super) replay: u32,
    pub(super) attempts: u32,
    pub(super) lane: Option<Lane>,
}

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    add: InsertMany<'c, 5>,
    run: Statement<'c>,
    remove_run: Statement<'c>,
    pub(super) find: Statement<'c>,
    postpone: Statement<'c>,
    remove: Statement<'c>,
    remove_common: Statement<'c>,
    pub(super) add_due: Statement<'c>,
    pub(super) remove_due: Statement<'c>,
    add_dead: Statement<'c>,
    dead_at: Statement<'c>,
    oldest_dead: Statement<'c>,
    pub(super) remove_dead: Statement<'c>,
    add_settled: InsertMany<'c, 1>,
    pub(super) remove_settled: Statement<'c>,
    remove_event: Statement<'c>,
    targets: Statement<'c>,
    oldest: Statement<'c>,
    of_event: Statement<'c>,
    pub(super) replay: Statement<'c>,
    pub(super) fan_out: Statement<'c>,
    pub(super) dead_bytes: Statement<'c>,
    remove_attempts: Statement<'c>,
    remove_replays: Statement<'c>,
    pub(super) waiting_after: Statement<'c>,
    pub(super) replays: replays::Statements<'c>,
    /// Targets that another has taken over: events still name them.
    heirs: HashMap<TargetId, TargetId>,
}

/// A delivery that is about to wait for one of the `fan` targets of its event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) destination: Destination,
    pub(super) seq: Seq,
    pub(super) bytes: u64,
    pub(super) fan: usize,
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
pub(super) struct Standing {
    waits: bool,
    /// When the last of its dead letters died, Unix milliseconds.
    pub(super) dead_ms: Option<u64>,
    replayed: Option<Replayed>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql| lasting::prepare(connection, sql);
        Ok(Self {
            add: InsertMany::prepare(
                connection,
                Wording {
                    insert: "INSERT OR FAIL INTO deliveries (target, seq, attempts, bytes, fan, lane)",
                    row: "(?, ?, 0, ?, ?, ?)",
                    then: "",
                    most: 32,
                },
            )?,
            run: prepare(
                "SELECT count(*), ifnull(sum(bytes), 0) FROM deliveries \
                 WHERE target = ?1 AND seq BETWEEN ?2 AND ?3 AND due_ms IS NULL AND fan = 1",
            )?,
            remove_run: prepare(
                "DELETE FROM deliveries \
                 WHERE target = ?1 AND seq BETWEEN ?2 AND ?3 AND due_ms IS NULL AND fan = 1",
            )?,
            find: prepare(
                "SELECT due_ms, bytes, fan, replay, attempts, lane FROM deliveries WHERE target = ?1 AND seq = ?2",
            )?,
            replay: prepare(
                "INSERT INTO deliveries (target, seq, attempts, due_ms, bytes, fan, replay, since_ms) \
                 VALUES (?1, ?2, 0, ?3, ?4, 0, ?5, ?3)",
            )?,
            fan_out: prepare("UPDATE deliveries SET fan = 0 WHERE target = ?1 AND seq = ?2")?,
            dead_bytes: prepare(
                "SELECT dead_ms, bytes, reason FROM dead WHERE target = ?1 AND seq = ?2",
            )?,
            remove_attempts: prepare("DELETE FROM attempts WHERE seq = ?1")?,
            remove_replays: prepare("DELETE FROM replays WHERE seq = ?1")?,
            waiting_after: prepare(
                "SELECT seq, due_ms, attempts FROM deliveries WHERE target = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?,
            replays: replays::Statements::prepare(connection)?,
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
            add_settled: InsertMany::prepare(
                connection,
                Wording {
                    insert: "INSERT OR IGNORE INTO settled (class, settled_ms, seq)",
                    row: "(?1, ?2, ?)",
                    then: "",
                    most: 32,
                },
            )?,
            targets: prepare("SELECT targets FROM events WHERE seq = ?1")?,
            oldest: prepare(
                "SELECT d.seq, d.attempts, d.bytes, e.received_ms, e.source, d.replay, d.lane FROM deliveries d \
                 LEFT JOIN events e ON e.seq = d.seq WHERE d.target = ?1 ORDER BY d.seq LIMIT ?2",
            )?,
            // Each target's is found by the primary key.
            of_event: prepare(
                "SELECT d.target, d.attempts, d.bytes, d.due_ms, d.replay, d.lane FROM names n \
                 CROSS JOIN deliveries d ON d.target = n.id AND d.seq = ?1 WHERE n.kind = 1",
            )?,
            heirs: names::heirs(connection, NameOf::Target)?
                .into_iter()
                .map(|(old, heir)| (TargetId(old), TargetId(heir)))
                .collect(),
        })
    }

    /// Events wait for their targets.
    pub(super) fn add(&mut self, waiting: &[Waiting]) -> rusqlite::Result<()> {
        self.add.insert(waiting, |waiting, row| {
            row([
                &waiting.destination.target.0,
                &waiting.seq.0.cast_signed(),
                &waiting.bytes.cast_signed(),
                &i64::try_from(waiting.fan).unwrap_or(i64::MAX),
                &waiting.destination.lane.map(|lane| lane.0.cast_signed()),
            ])
        })
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
        self.finish_all(&[seq], class, now_ms)
    }

    /// The same of several.
    fn finish_all(&mut self, seqs: &[Seq], class: Class, now_ms: u64) -> rusqlite::Result<()> {
        let shared: [&dyn ToSql; 2] = [&(class as u8), &now_ms.cast_signed()];
        self.add_settled
            .insert_sharing(&shared, seqs, |seq, row| row([&seq.0.cast_signed()]))
    }

    /// The common case in a few steps: the only target of an event takes it at the first attempt. Events of consecutive
    /// numbers go together. Rows are deleted only if all of them say that, and as many bytes. Returns which are settled.
    pub(super) fn settle_common(
        &mut self,
        settlements: &[Settlement],
        now_ms: u64,
        backlogs: &mut Backlogs,
    ) -> rusqlite::Result<Vec<usize>> {
        let is_common = |of_one: &Settlement| {
            matches!(of_one.outcome, Outcome::Delivered) && of_one.was_due_ms.is_none()
        };
        let all = settlements.iter().enumerate();
        let mut common: Vec<_> = all.filter(|(_, of_one)| is_common(of_one)).collect();
        common.sort_unstable_by_key(|(_, of_one)| (of_one.target, of_one.seq));
        let mut settled = Vec::with_capacity(common.len());
        let mut seqs = Vec::with_capacity(common.len());
        for run in common.chunk_by(|(_, one), (_, next)| {
            (one.target, one.seq.0 + 1) == (next.target, next.seq.0)
        }) {
            if !self.remove_if_common(run)? {
                continue;
            }
            for (index, of_one) in run {
                backlogs.remove(of_one.target, of_one.bytes);
                settled.push(*index);
                seqs.push(of_one.seq);
            }
        }
        self.finish_all(&seqs, Class::Delivered, now_ms)?;
        Ok(settled)
    }

    /// Deletes the rows of a run of consecutive numbers at one target. False if one of them is not as it should be.
    fn remove_if_common(&mut self, run: &[(usize, &Settlement)]) -> rusqlite::Result<bool> {
        let [(_, first), ..] = run else {
            return Ok(false);
        };
        let (target, seq) = (first.target.0, first.seq.0.cast_signed());
        if run.len() == 1 {
            let row = params![target, seq, first.bytes.cast_signed()];
            return Ok(self.remove_common.execute(row)? == 1);
        }
        let last = seq + i64::try_from(run.len()).unwrap_or(i64::MAX) - 1;
        let key = [i64::from(target), seq, last];
        let bytes: u64 = run.iter().map(|(_, of_one)| of_one.bytes).sum();
        let found = self.run.query_row(key, |row| {
            let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
            Ok((number(0)?, number(1)?))
        })?;
        if found != (run.len() as u64, bytes) {
            return Ok(false);
        }
        self.remove_run.execute(key)?;
        Ok(true)
    }

    /// Writes how an attempt ended. What the row says counts, not what the settlement remembers of it. False if it
    /// changes nothing: the row is gone, or is that of another replay.
    pub(super) fn settle(
        &mut self,
        settlement: &Settlement,
        now_ms: u64,
        backlogs: &mut Backlogs,
    ) -> rusqlite::Result<bool> {
        let Settlement { target, seq, .. } = *settlement;
        let found = self.find(target, seq)?;
        let Some(found) = found.filter(|found| found.replay == settlement.replay) else {
            return Ok(false);
        };
        self.settle_found(target, seq, &found, settlement.outcome, now_ms, backlogs)?;
        Ok(true)
    }

    pub(super) fn find(&mut self, target: TargetId, seq: Seq) -> rusqlite::Result<Option<Found>> {
        let key = params![target.0, seq.0.cast_signed()];
        self.find
            .query_row(key, |row| {
                Ok(Found {
                    due_ms: row.get(0)?,
                    bytes: row.get::<_, i64>(1)?.cast_unsigned(),
                    fan: row.get(2)?,
                    replay: row.get(3)?,
                    attempts: row.get(4)?,
                    lane: lane(row, 5)?,
                })
            })
            .optional()
    }

    pub(super) fn settle_found(
        &mut self,
        target: TargetId,
        seq: Seq,
        found: &Found,
        outcome: Outcome,
        now_ms: u64,
        backlogs: &mut Backlogs,
    ) -> rusqlite::Result<()> {
        let key = params![target.0, seq.0.cast_signed()];
        if let Some(due_ms) = found.due_ms {
            self.remove_due
                .execute(params![target.0, due_ms, seq.0.cast_signed()])?;
        }
        match outcome {
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
        let dead_here = matches!(outcome, Outcome::Dead { .. });
        match (found.fan, dead_here) {
            (1, false) => self.finish(seq, Class::Delivered, now_ms),
            (1, true) => self.finish(seq, Class::WithDeadLetter, now_ms),
            _ => self.finish_if_last(seq, found.fan == 0, now_ms),
        }
    }

    /// Where the event was admitted for, under the numbers that count now.
    pub(super) fn admitted_for(&mut self, seq: Seq) -> rusqlite::Result<Vec<TargetId>> {
        let column: Option<Vec<u8>> = self
            .targets
            .query_row([seq.0.cast_signed()], |row| row.get(0))
            .optional()?;
        let mut targets = Vec::new();
        // An event without its row has nothing to expire but what it left in other tables.
        for target in row::decode_targets(&column.unwrap_or_default()) {
            let target = self.heirs.get(&target).copied().unwrap_or(target);
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(targets)
    }

    /// The same, and where it was replayed to.
    pub(super) fn all_targets(&mut self, seq: Seq) -> rusqlite::Result<Vec<TargetId>> {
        let replayed = self.replays.find(seq)?;
        self.with_replayed(seq, replayed.as_ref())
    }

    fn with_replayed(
        &mut self,
        seq: Seq,
        replayed: Option<&Replayed>,
    ) -> rusqlite::Result<Vec<TargetId>> {
        let mut targets = self.admitted_for(seq)?;
        for target in replayed.iter().flat_map(|replayed| &replayed.targets) {
            let target = self.heirs.get(target).copied().unwrap_or(*target);
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(targets)
    }

    pub(super) fn postpone(
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

    /// One of several deliveries is settled: looks for the others. A replayed event is kept as long as one that has
    /// just been settled.
    fn finish_if_last(&mut self, seq: Seq, replayed: bool, now_ms: u64) -> rusqlite::Result<()> {
        let standing = self.standing(seq, replayed)?;
        if standing.waits {
            return Ok(());
        }
        let (class, settled_ms) = match standing.dead_ms {
            Some(dead_ms) if replayed => (Class::WithDeadLetter, dead_ms.max(now_ms)),
            Some(dead_ms) => (Class::WithDeadLetter, dead_ms),
            None => (Class::Delivered, now_ms),
        };
        self.finish(seq, class, settled_ms)?;
        if replayed {
            self.replays.settle(seq, class, settled_ms)?;
        }
        Ok(())
    }

    /// `replayed`: whether the event may have been.
    pub(super) fn standing(&mut self, seq: Seq, replayed: bool) -> rusqlite::Result<Standing> {
        let replayed = if replayed {
            self.replays.find(seq)?
        } else {
            None
        };
        let targets = self.with_replayed(seq, replayed.as_ref())?;
        let mut standing = Standing {
            replayed,
            ..Standing::default()
        };
        for target in targets {
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

    pub(super) fn drop_one_dead(
        &mut self,
        target: TargetId,
        seq: Seq,
        dead_ms: u64,
    ) -> rusqlite::Result<()> {
        let row = seq.0.cast_signed();
        self.remove_dead.execute(params![target.0, row])?;
        let rest = self.standing(seq, true)?;
        if rest.waits {
            return Ok(());
        }
        if let Some(replayed) = rest.replayed {
            if rest.dead_ms.is_none() {
                if let Some((class, settled_ms)) = replayed.settled {
                    self.remove_settled.execute(params![
                        class as u8,
                        settled_ms.cast_signed(),
                        row
                    ])?;
                }
                self.remove_payload(seq)?;
            }
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
                None => self.remove_payload(seq)?,
            }
        }
        Ok(())
    }

    /// Everything that waits for the event, given up because its payload is damaged.
    pub(super) fn of_event(&mut self, seq: Seq) -> rusqlite::Result<Vec<Settlement>> {
        let found = self.of_event.query_map([seq.0.cast_signed()], |row| {
            Ok(Settlement {
                target: TargetId(row.get(0)?),
                seq,
                was_due_ms: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
                bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                outcome: Outcome::Dead {
                    reason: DeadReason::Corrupt,
                    attempts: row.get(1)?,
                },
                replay: row.get(4)?,
                lane: row
                    .get::<_, Option<i64>>(5)?
                    .map(|lane| Lane(lane.cast_unsigned())),
                attempt: None,
            })
        })?;
        found.collect()
    }

    fn remove_payload(&mut self, seq: Seq) -> rusqlite::Result<()> {
        let row = seq.0.cast_signed();
        self.remove_event.execute([row])?;
        self.remove_attempts.execute([row])?;
        self.remove_replays.execute([row])?;
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
                lane: lane(row, 6)?,
                attempt: None,
            };
            abandoned.push(Abandoned { settlement, event });
        }
        Ok(abandoned)
    }
}

/// The line that a delivery waits in.
pub(super) fn lane(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Lane>> {
    let lane: Option<i64> = row.get(column)?;
    Ok(lane.map(|lane| Lane(lane.cast_unsigned())))
}

impl DeadReason {
    /// As metrics and rows name it.
    pub(super) fn word(self) -> &'static str {
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

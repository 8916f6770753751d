//! Where each saved event stands: it waits, is dead or is settled.
//!
//! Invariants: whatever may still wait waits, at least once; what waited for an event that is lost is dead there (corrupt).

use super::{Progress, Salvage};
use crate::event::{Seq, TargetId};
use crate::store::rows::{Dead, Rows, Waiting};
use crate::store::{DeadReason, mend};
use rusqlite::{Transaction, params};
use std::collections::BTreeSet;

impl<P: FnMut(Progress)> Salvage<'_, P> {
    /// What waits, what is dead, what is settled: each event stands somewhere afterwards, and none twice.
    pub(super) fn copy_standing(
        &mut self,
        new: &Transaction<'_>,
        rows: &Rows,
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        let waits: BTreeSet<(TargetId, Seq)> = rows
            .waiting
            .iter()
            .filter(|row| self.went_to(rows, row.seq, row.target) == Some(true))
            .map(|row| (row.target, row.seq))
            .collect();
        let dead: BTreeSet<(TargetId, Seq)> = rows
            .dead
            .iter()
            .filter(|row| self.went_to(rows, row.seq, row.target) != Some(false))
            .map(|row| (row.target, row.seq))
            .collect();
        write_rows(new, rows, &waits, &dead)?;
        let mut dropped = mend::drop_mistyped(new)?;
        self.weigh(new, rows)?;
        self.bury_lost(new, rows, now_ms)?;
        mend::replays(new, rows, now_ms)?;
        let mut settle = new.prepare(
            "INSERT OR IGNORE INTO settled (class, settled_ms, seq) VALUES (?1, ?2, ?3)",
        )?;
        for settled in &rows.settled {
            if self.whole.contains_key(&settled.seq) && matches!(settled.class, 0 | 1) {
                settle.execute(params![
                    settled.class,
                    settled.settled_ms,
                    settled.seq.0.cast_signed()
                ])?;
            }
        }
        self.deliver_again(new, rows, &waits)?;
        mend::ends(new, now_ms)?;
        dropped += mend::what_is_told(new, rows, |seq, target| {
            self.went_to(rows, seq, target) != Some(false)
        })?;
        if dropped > 0 {
            self.saved.notes.push(format!(
                "{dropped} rows of what is told of the past, or of duplicates, made no sense and were left out"
            ));
        }
        let count = |sql: &str| new.query_row(sql, [], |row| row.get::<_, i64>(0));
        self.saved.keys = count("SELECT count(*) FROM keys")?.cast_unsigned();
        self.saved.pending = count("SELECT count(*) FROM deliveries")?.cast_unsigned();
        self.saved.dead = count("SELECT count(*) FROM dead")?.cast_unsigned();
        Ok(())
    }

    /// Whether an event went to a target: by its own row, or by a replay. `None` if the event is not saved.
    fn went_to(&self, rows: &Rows, seq: Seq, target: TargetId) -> Option<bool> {
        let whole = self.whole.get(&seq)?;
        let target = rows.names.present(target);
        let replayed = rows.replayed.binary_search_by_key(&seq, |row| row.seq);
        let replayed_to = replayed.map_or(&[][..], |at| &rows.replayed[at].targets);
        // Where its replays can't be read.
        let may_have = replayed.is_err()
            && !rows.is_whole("replays")
            && rows.names.targets.contains_key(&target);
        let mut replayed_to = replayed_to.iter().map(|target| rows.names.present(*target));
        Some(may_have || whole.targets.contains(&target) || replayed_to.any(|to| to == target))
    }

    /// A delivery weighs what its event weighs.
    fn weigh(&self, new: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
        let mut weigh =
            new.prepare("UPDATE deliveries SET bytes = ?3 WHERE target = ?1 AND seq = ?2")?;
        for row in &rows.waiting {
            if let Some(whole) = self.whole.get(&row.seq)
                && whole.bytes.cast_signed() != row.bytes
            {
                let seq = row.seq.0.cast_signed();
                weigh.execute(params![row.target.0, seq, whole.bytes.cast_signed()])?;
            }
        }
        Ok(())
    }

    /// What waits for an event that is lost is dead there.
    fn bury_lost(&self, new: &Transaction<'_>, rows: &Rows, now_ms: i64) -> rusqlite::Result<()> {
        let corrupt = DeadReason::Corrupt.word();
        let mut bury = new.prepare(
            "INSERT OR IGNORE INTO dead (target, seq, reason, attempts, dead_ms, bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for waiting in &rows.waiting {
            if !self.whole.contains_key(&waiting.seq) {
                bury.execute(params![
                    waiting.target.0,
                    waiting.seq.0.cast_signed(),
                    corrupt,
                    waiting.attempts,
                    now_ms,
                    waiting.bytes.max(0)
                ])?;
            }
        }
        new.execute(
            "UPDATE dead SET reason = ?1 WHERE seq NOT IN (SELECT seq FROM events)",
            [corrupt],
        )?;
        Ok(())
    }

    /// Events whose delivery may be among what is lost wait once more: at least once is the promise.
    fn deliver_again(
        &mut self,
        new: &Transaction<'_>,
        rows: &Rows,
        waits: &BTreeSet<(TargetId, Seq)>,
    ) -> rusqlite::Result<()> {
        let mut wait = new.prepare(
            "INSERT OR IGNORE INTO deliveries (target, seq, attempts, due_ms, bytes, fan) \
             VALUES (?1, ?2, 0, NULL, ?3, ?4)",
        )?;
        let dead: BTreeSet<(Seq, TargetId)> =
            rows.dead.iter().map(|row| (row.seq, row.target)).collect();
        let settled: BTreeSet<Seq> = rows.settled.iter().map(|row| row.seq).collect();
        let doubtful = rows.doubtful(|seq, target| {
            let is_right = match self.went_to(rows, seq, target) {
                Some(went_to) => went_to && !settled.contains(&seq),
                None => self.corrupt.contains(&seq) || !self.gaps.is_empty(),
            };
            !is_right
        });
        for (seq, event) in &self.whole {
            let number = seq.0.cast_signed();
            let may_wait = |target: &TargetId| {
                let place = (*target, *seq);
                rows.is_unread("deliveries", *target, *seq)
                    || doubtful
                        .iter()
                        .any(|(after, before)| *after < place && place < *before)
            };
            let has_end = settled.contains(seq);
            let stands = has_end || event.targets.iter().any(|t| waits.contains(&(*t, *seq)));
            let open: Vec<TargetId> = event
                .targets
                .iter()
                .copied()
                .filter(|target| {
                    !dead.contains(&(*seq, *target)) && !waits.contains(&(*target, *seq))
                })
                // Where nothing at all is said, its delivery row may have become that of another event.
                .filter(|target| {
                    (!has_end && may_wait(target)) || (!stands && rows.is_whole("settled"))
                })
                .collect();
            for target in &open {
                let fan = i64::try_from(event.targets.len()).unwrap_or(i64::MAX);
                wait.execute(params![target.0, number, event.bytes.cast_signed(), fan])?;
            }
            if !open.is_empty() {
                self.saved.again.push(seq.0);
            }
        }
        new.execute(
            "UPDATE deliveries SET fan = 0 WHERE seq IN (SELECT seq FROM replays)",
            [],
        )?;
        Ok(())
    }
}

/// Writes those deliveries and dead letters that are wanted.
fn write_rows(
    new: &Transaction<'_>,
    rows: &Rows,
    waits: &BTreeSet<(TargetId, Seq)>,
    dead: &BTreeSet<(TargetId, Seq)>,
) -> rusqlite::Result<()> {
    let mut wait = new.prepare(
        "INSERT OR IGNORE INTO deliveries \
         (target, seq, attempts, due_ms, bytes, fan, lane, replay, since_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let wanted = |row: &&Waiting| waits.contains(&(row.target, row.seq));
    for row in rows.waiting.iter().filter(wanted) {
        wait.execute(params![
            row.target.0,
            row.seq.0.cast_signed(),
            row.attempts,
            row.due_ms,
            row.bytes,
            row.fan,
            row.lane,
            row.replay,
            row.since_ms
        ])?;
    }
    let mut die = new.prepare(
        "INSERT OR IGNORE INTO dead (target, seq, reason, attempts, dead_ms, bytes) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let wanted = |row: &&Dead| dead.contains(&(row.target, row.seq));
    for row in rows.dead.iter().filter(wanted) {
        die.execute(params![
            row.target.0,
            row.seq.0.cast_signed(),
            row.reason,
            row.attempts,
            row.dead_ms,
            row.bytes
        ])?;
    }
    Ok(())
}

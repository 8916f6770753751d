//! Deliveries that an operator changes, as rows: replayed, discarded, hastened.
//!
//! Invariants: those of `settle`. Once an event was replayed its deliveries look for each other (`fan` is 0), so that it
//! is settled with the last of them, whichever that is.

use super::backlog::Backlogs;
use super::settle::{Class, Statements};
use super::{DeadReason, Outcome, Settlement};
use crate::event::{Seq, TargetId};
use rusqlite::{OptionalExtension, params};

/// What became of a delivery that was discarded.
#[derive(Debug)]
pub(super) enum Discarded {
    /// It waited, and is a dead letter.
    Buried(Settlement),
    /// It was a dead letter, and is forgotten.
    Forgotten,
    /// It is a dead letter because it was discarded before, and stays.
    Already,
}

/// A dead letter.
struct Dead {
    since_ms: u64,
    bytes: u64,
    /// Given up by an operator.
    is_discarded: bool,
}

impl Statements<'_> {
    /// Whether the event waits for `target`.
    pub(super) fn waits(&mut self, target: TargetId, seq: Seq) -> rusqlite::Result<bool> {
        self.find.exists(params![target.0, seq.0.cast_signed()])
    }

    /// The event waits for `target`, once more or for the first time. Returns the bytes of the dead letter that this
    /// was there. The one who asks sees to [`Self::reopen`].
    pub(super) fn replay(
        &mut self,
        target: TargetId,
        seq: Seq,
        bytes: u64,
        replay: u32,
        now_ms: u64,
    ) -> rusqlite::Result<Option<u64>> {
        let (row, due_ms) = (seq.0.cast_signed(), now_ms.cast_signed());
        self.replay
            .execute(params![target.0, row, due_ms, bytes.cast_signed(), replay])?;
        self.add_due.execute(params![target.0, due_ms, row])?;
        let dead = self.dead(target, seq)?;
        if dead.is_some() {
            self.remove_dead.execute(params![target.0, row])?;
        }
        Ok(dead.map(|dead| dead.bytes))
    }

    /// An event is being replayed for the `count`th time, also to targets that it was not admitted for: from now on its
    /// deliveries have to look for each other.
    pub(super) fn reopen(
        &mut self,
        seq: Seq,
        count: u32,
        to: &[TargetId],
        now_ms: u64,
    ) -> rusqlite::Result<()> {
        let row = seq.0.cast_signed();
        let admitted_for = self.admitted_for(seq)?;
        let replayed = self.replays.find(seq)?;
        let last_dead_ms = self.standing(seq, true)?.dead_ms;
        let mut beside = replayed
            .as_ref()
            .map_or_else(Vec::new, |r| r.targets.clone());
        for target in to {
            if !admitted_for.contains(target) && !beside.contains(target) {
                beside.push(*target);
            }
        }
        for target in admitted_for.iter().chain(&beside) {
            self.fan_out.execute(params![target.0, row])?;
        }
        let settled = match replayed {
            Some(replayed) => replayed.settled,
            None => last_dead_ms.map(|dead_ms| (Class::WithDeadLetter, dead_ms)),
        };
        if let Some((class, settled_ms)) = settled {
            self.remove_settled
                .execute(params![class as u8, settled_ms.cast_signed(), row])?;
        }
        self.replays.put(seq, count, now_ms, &beside)
    }

    /// What waits becomes a dead letter, a dead letter is forgotten; one that was discarded before only with `forget`.
    /// `None` if it is neither.
    pub(super) fn discard(
        &mut self,
        target: TargetId,
        seq: Seq,
        forget: bool,
        now_ms: u64,
        backlogs: &mut Backlogs,
    ) -> rusqlite::Result<Option<Discarded>> {
        if let Some(found) = self.find(target, seq)? {
            let outcome = Outcome::Dead {
                reason: DeadReason::Discarded,
                attempts: found.attempts,
            };
            self.settle_found(target, seq, &found, outcome, now_ms, backlogs)?;
            return Ok(Some(Discarded::Buried(Settlement {
                target,
                seq,
                was_due_ms: found.due_ms.map(i64::cast_unsigned),
                bytes: found.bytes,
                outcome,
                replay: found.replay,
                lane: found.lane,
                attempt: None,
            })));
        }
        let Some(dead) = self.dead(target, seq)? else {
            return Ok(None);
        };
        if dead.is_discarded && !forget {
            return Ok(Some(Discarded::Already));
        }
        self.drop_one_dead(target, seq, dead.since_ms)?;
        backlogs.exhume(target, dead.bytes);
        Ok(Some(Discarded::Forgotten))
    }

    fn dead(&mut self, target: TargetId, seq: Seq) -> rusqlite::Result<Option<Dead>> {
        self.dead_bytes
            .query_row(params![target.0, seq.0.cast_signed()], |row| {
                let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                Ok(Dead {
                    since_ms: number(0)?,
                    bytes: number(1)?,
                    is_discarded: row.get_ref(2)?.as_str()? == DeadReason::Discarded.word(),
                })
            })
            .optional()
    }

    /// Retries of `target` after `after` that are due later than `due_ms` are due then: those among the next `look`
    /// deliveries, and at most `most`. Returns how many, and where to go on; `None`: there are no more.
    pub(super) fn hasten(
        &mut self,
        target: TargetId,
        after: Seq,
        due_ms: u64,
        look: usize,
        most: usize,
    ) -> rusqlite::Result<(usize, Option<Seq>)> {
        let limit = i64::try_from(look).unwrap_or(i64::MAX);
        let rows: Vec<(i64, Option<i64>, u32)> = self
            .waiting_after
            .query_map(params![target.0, after.0.cast_signed(), limit], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut hastened = 0;
        for (seq, was_due_ms, attempts) in &rows {
            if hastened == most {
                return Ok((hastened, Some(Seq(seq.cast_unsigned() - 1))));
            }
            if let Some(was_due_ms) = was_due_ms.filter(|ms| ms.cast_unsigned() > due_ms) {
                self.remove_due
                    .execute(params![target.0, was_due_ms, seq])?;
                self.postpone(target, Seq(seq.cast_unsigned()), *attempts, due_ms)?;
                hastened += 1;
            }
        }
        let last = rows.last().filter(|_| rows.len() == look);
        Ok((hastened, last.map(|(seq, ..)| Seq(seq.cast_unsigned()))))
    }
}

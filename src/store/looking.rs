//! What all looks of an operator share: names, where an event stands, and how far a look goes.
//!
//! Invariant: nothing here reads a body.

use super::browse::{DeliveryState, ROWS_MAX, State, TIME_MAX};
use super::row::decode_targets;
use super::{DeadReason, names};
use crate::event::{Seq, SourceId, TargetId};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use std::{collections::HashMap, sync::Arc, time::Instant};

/// How far events may be out of the order of their receipt, milliseconds: they are numbered as they are committed, and
/// the clock may have been set. A search by time looks as much further.
const DISORDER_MS: u64 = 3_600_000;

/// How far a look may go on.
pub(super) struct Stint {
    stop_at: Instant,
    /// Rows that were looked at.
    pub(super) scanned: usize,
}

impl Stint {
    pub(super) fn begin() -> Self {
        Self {
            stop_at: Instant::now() + TIME_MAX,
            scanned: 0,
        }
    }

    /// A row was looked at. Whether that is enough for one call.
    pub(super) fn looked(&mut self) -> bool {
        self.scanned += 1;
        self.scanned >= ROWS_MAX || Instant::now() >= self.stop_at
    }
}

/// A time of receipt that is asked for, Unix milliseconds: from the first, before the second.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) from_ms: Option<u64>,
    pub(super) to_ms: Option<u64>,
}

impl Span {
    pub(super) fn contains(self, received_ms: u64) -> bool {
        self.from_ms.is_none_or(|from_ms| received_ms >= from_ms)
            && self.to_ms.is_none_or(|to_ms| received_ms < to_ms)
    }

    /// Whether an event is so old that none before it is asked for.
    pub(super) fn is_over(self, received_ms: u64) -> bool {
        self.from_ms
            .is_some_and(|from_ms| received_ms.saturating_add(DISORDER_MS) < from_ms)
    }

    /// A number below which all events lie that are asked for, found by halves: `at` says number and time of the last event
    /// up to a number.
    pub(super) fn begins_before(
        self,
        cursor: Option<Seq>,
        mut at: impl FnMut(u64) -> rusqlite::Result<Option<(u64, u64)>>,
    ) -> rusqlite::Result<Seq> {
        let end = 1 << Seq::BITS;
        let mut high = cursor.map_or(end, |cursor| cursor.0.min(end));
        let Some(to_ms) = self.to_ms else {
            return Ok(Seq(high));
        };
        let mut low = 1;
        while low < high {
            let middle = low.midpoint(high);
            match at(middle)? {
                Some((seq, ms)) if ms >= to_ms.saturating_add(DISORDER_MS) => high = seq,
                _ => low = middle + 1,
            }
        }
        Ok(Seq(high))
    }
}

/// Names that rows know by numbers. They are read again when they change.
pub(super) struct Names {
    targets: HashMap<TargetId, Arc<str>>,
    /// Numbers that another has taken over.
    heirs: HashMap<u32, u32>,
}

impl Names {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let targets = connection
            .prepare("SELECT id, name FROM names WHERE kind = 1 AND name IS NOT NULL")?
            .query_map([], |row| Ok((TargetId(row.get(0)?), row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut heirs = names::heirs(connection, names::NameOf::Target)?;
        heirs.extend(names::heirs(connection, names::NameOf::Source)?);
        Ok(Self { targets, heirs })
    }

    /// The numbers of all targets.
    pub(super) fn targets(&self) -> impl Iterator<Item = TargetId> {
        self.targets.keys().copied()
    }

    /// The number that counts now.
    pub(super) fn target(&self, target: TargetId) -> TargetId {
        TargetId(self.heirs.get(&target.0).copied().unwrap_or(target.0))
    }

    /// The same of a source.
    pub(super) fn source(&self, source: SourceId) -> SourceId {
        SourceId(self.heirs.get(&source.0).copied().unwrap_or(source.0))
    }

    /// A target's name.
    pub(super) fn of_target(&self, target: TargetId) -> Arc<str> {
        match self.targets.get(&self.target(target)) {
            Some(name) => Arc::clone(name),
            // Damage: no row may name a target that never was.
            None => format!("target {}", target.0).into(),
        }
    }
}

/// Finds where an event stands.
pub(super) struct Standing<'c> {
    waiting: Statement<'c>,
    dead: Statement<'c>,
    attempts: Statement<'c>,
    replays: Statement<'c>,
}

impl<'c> Standing<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            waiting: connection.prepare(
                "SELECT attempts, due_ms FROM deliveries WHERE target = ?1 AND seq = ?2",
            )?,
            dead: connection.prepare(
                "SELECT attempts, reason, dead_ms FROM dead WHERE target = ?1 AND seq = ?2",
            )?,
            attempts: connection.prepare(
                "SELECT attempt FROM attempts WHERE target = ?1 AND seq = ?2 \
                 ORDER BY replay DESC, attempt DESC LIMIT 1",
            )?,
            replays: connection.prepare("SELECT count, targets FROM replays WHERE seq = ?1")?,
        })
    }

    /// How often the event was replayed, and all its targets: those that it was admitted for, and those of replays.
    pub(super) fn targets(
        &mut self,
        names: &Names,
        seq: Seq,
        column: &[u8],
    ) -> rusqlite::Result<(u32, Vec<TargetId>)> {
        let replayed: Option<(u32, Vec<u8>)> = self
            .replays
            .query_row([seq.0.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (count, beside) = replayed.unwrap_or_default();
        let mut targets = Vec::new();
        for target in decode_targets(column).chain(decode_targets(&beside)) {
            let target = names.target(target);
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok((count, targets))
    }

    /// Where it stands at `target`.
    pub(super) fn at(
        &mut self,
        names: &Names,
        seq: Seq,
        target: TargetId,
    ) -> rusqlite::Result<DeliveryState> {
        let key = params![target.0, seq.0.cast_signed()];
        let mut found = DeliveryState {
            target,
            target_name: names.of_target(target),
            state: State::Delivered,
            attempts: 0,
            due_ms: None,
            reason: None,
            dead_ms: None,
        };
        let unsigned = |ms: Option<i64>| ms.map(i64::cast_unsigned);
        let waiting: Option<(u32, Option<i64>)> = self
            .waiting
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((attempts, due_ms)) = waiting {
            found.state = State::Pending;
            found.attempts = attempts;
            found.due_ms = unsigned(due_ms);
            return Ok(found);
        }
        let dead: Option<(u32, String, Option<i64>)> = self
            .dead
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((attempts, reason, dead_ms)) = dead {
            found.state = State::Dead;
            found.attempts = attempts;
            found.reason = Some(word(&reason));
            found.dead_ms = unsigned(dead_ms);
            return Ok(found);
        }
        let attempts: Option<u32> = self.attempts.query_row(key, |row| row.get(0)).optional()?;
        found.attempts = attempts.unwrap_or(0);
        Ok(found)
    }
}

/// How a delivery ended, of the word in its row.
pub(super) fn word(found: &str) -> &'static str {
    let reasons = DeadReason::ALL.map(|(_, word)| word);
    let mut words = reasons.into_iter().chain(["delivered"]);
    // Another word is a later release's.
    words.find(|word| *word == found).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events 10, 20 ... 1000, received an hour apart.
    fn at(up_to: u64) -> Option<(u64, u64)> {
        let seq = (up_to / 10 * 10).min(1_000);
        (seq > 0).then_some((seq, seq / 10 * DISORDER_MS))
    }

    #[test]
    fn the_beginning_is_found_by_halves() {
        let cases = [
            // A time in the future, or none: all of them.
            (None, None, 1 << Seq::BITS),
            (None, Some(500), 500),
            (Some(1_000), None, 1 << Seq::BITS),
            // Before hour 50, and an hour more for disorder: 510 is the first that is too late.
            (Some(50), None, 510),
            (Some(50), Some(300), 300),
            (Some(0), None, 10),
        ];
        for (to_hours, cursor, expected) in cases {
            let span = Span {
                from_ms: None,
                to_ms: to_hours.map(|hours: u64| hours * DISORDER_MS),
            };
            let mut steps = 0;
            let begins = span.begins_before(cursor.map(Seq), |up_to| {
                steps += 1;
                Ok(at(up_to))
            });
            assert_eq!(begins.expect("found"), Seq(expected), "{to_hours:?}");
            assert!(steps <= 41, "{steps} steps");
        }
    }

    #[test]
    fn a_span_is_over_only_where_nothing_older_can_be_meant() {
        let span = Span {
            from_ms: Some(10 * DISORDER_MS),
            to_ms: Some(20 * DISORDER_MS),
        };
        assert!(span.contains(10 * DISORDER_MS) && !span.contains(20 * DISORDER_MS));
        assert!(!span.is_over(9 * DISORDER_MS));
        assert!(span.is_over(9 * DISORDER_MS - 1));
    }

    #[test]
    fn words_are_those_of_the_metrics() {
        assert_eq!(word("expired"), "expired");
        assert_eq!(word("delivered"), "delivered");
        assert_eq!(word("?"), "unknown");
    }
}

//! Deletes payloads whose time is over, in slices that do not show in the writer's tail.
//!
//! Invariant: an event is deleted only after every delivery of it is settled; its keys are never touched.

use super::settle::Class;
use crate::clock;
use crate::config;
use crate::event::TargetId;
use rusqlite::{Connection, Statement, params};
use std::time::{Duration, Instant};

/// The longest that one slice may take: payloads of many pages are slow to delete.
const SLICE_TIME: Duration = Duration::from_millis(2);

/// Events that one statement deletes: the time is looked at between two of them.
const RUN_MAX: usize = 8;

/// Between two looks while nothing has to be deleted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Expires what is settled.
#[derive(Debug)]
pub(super) struct Retention {
    delivered_ms: u64,
    dead_ms: u64,
    /// The shorter of the two.
    shortest: Duration,
    look_at: Instant,
}

/// What a slice has deleted.
#[derive(Debug, Default)]
pub(super) struct Expired {
    /// Payloads.
    pub(super) events: usize,
    /// Dead letters among them: whose, and their bytes.
    pub(super) dead: Vec<(TargetId, u64)>,
}

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    oldest: Statement<'c>,
    delete_events: Statement<'c>,
    delete_dead: Statement<'c>,
    delete_settled: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            oldest: connection.prepare(
                "SELECT settled_ms, seq FROM settled WHERE class = ?1 AND settled_ms <= ?2 \
                 ORDER BY settled_ms, seq LIMIT ?3",
            )?,
            delete_events: connection.prepare("DELETE FROM events WHERE seq BETWEEN ?1 AND ?2")?,
            // Each target's are found by the primary key.
            delete_dead: connection.prepare(
                "DELETE FROM dead WHERE target IN (SELECT id FROM names WHERE kind = 1) \
                 AND seq BETWEEN ?1 AND ?2 RETURNING target, bytes",
            )?,
            delete_settled: connection.prepare(
                "DELETE FROM settled WHERE class = ?1 AND (settled_ms, seq) <= (?2, ?3)",
            )?,
        })
    }

    /// Deletes the oldest events of `class` that were settled by `until_ms`: at most `most`, and after `stop_at`
    /// no more than one run.
    fn expire(
        &mut self,
        class: Class,
        until_ms: u64,
        most: usize,
        stop_at: Instant,
    ) -> rusqlite::Result<Expired> {
        let until_ms = until_ms.min(i64::MAX as u64).cast_signed();
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let slice: Vec<(i64, i64)> = self
            .oldest
            .query_map(params![class as u8, until_ms, limit], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut expired = Expired::default();
        // Events settle in about the order of their numbers: most of them go in a few runs.
        let runs = slice.chunk_by(|(_, seq), (_, next)| *next == seq + 1);
        for run in runs.flat_map(|run| run.chunks(RUN_MAX)) {
            let (Some((_, first)), Some((_, last))) = (run.first(), run.last()) else {
                break;
            };
            self.delete_events.execute([first, last])?;
            if class == Class::WithDeadLetter {
                let mut dead = self.delete_dead.query([first, last])?;
                while let Some(row) = dead.next()? {
                    let bytes = row.get::<_, i64>(1)?.cast_unsigned();
                    expired.dead.push((TargetId(row.get(0)?), bytes));
                }
            }
            expired.events += run.len();
            if Instant::now() >= stop_at {
                break;
            }
        }
        if let Some((settled_ms, seq)) = slice[..expired.events].last() {
            self.delete_settled
                .execute(params![class as u8, settled_ms, seq])?;
        }
        Ok(expired)
    }
}

impl Retention {
    pub(super) fn new(settings: &config::Store) -> Self {
        Self {
            delivered_ms: clock::millis(settings.retention),
            dead_ms: clock::millis(settings.dead_retention),
            shortest: settings.retention.min(settings.dead_retention),
            look_at: Instant::now(),
        }
    }

    /// When there may be something to delete.
    pub(super) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Something was settled: the next look may have to come sooner.
    pub(super) fn settled(&mut self) {
        if let Some(soonest) = Instant::now().checked_add(self.shortest) {
            self.look_at = self.look_at.min(soonest);
        }
    }

    /// Deletes a slice of what has expired, if it is time to look.
    pub(super) fn expire(
        &mut self,
        statements: &mut Statements<'_>,
        now_ms: u64,
        most: usize,
    ) -> rusqlite::Result<Expired> {
        let mut expired = Expired::default();
        if Instant::now() < self.look_at {
            return Ok(expired);
        }
        let stop_at = Instant::now() + SLICE_TIME;
        for (class, kept_ms) in [
            (Class::Delivered, self.delivered_ms),
            (Class::WithDeadLetter, self.dead_ms),
        ] {
            let Some(until_ms) = now_ms.checked_sub(kept_ms) else {
                continue;
            };
            let gone = statements.expire(class, until_ms, most, stop_at)?;
            expired.events += gone.events;
            expired.dead.extend(gone.dead);
        }
        if expired.events == 0 {
            self.look_at = Instant::now() + LOOK_EVERY;
        }
        Ok(expired)
    }

    /// Deletes a slice of the oldest delivered payloads before their time. Returns how many events went.
    pub(super) fn make_room(
        statements: &mut Statements<'_>,
        most: usize,
    ) -> rusqlite::Result<usize> {
        let stop_at = Instant::now() + SLICE_TIME;
        let expired = statements.expire(Class::Delivered, u64::MAX, most, stop_at)?;
        Ok(expired.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven events for each of three times; the numbers in between are missing.
    fn database() -> Connection {
        let connection = Connection::open_in_memory().expect("opened");
        connection
            .execute_batch(
                "CREATE TABLE events (seq INTEGER PRIMARY KEY); \
                 CREATE TABLE names (id INTEGER PRIMARY KEY, kind); INSERT INTO names VALUES (1, 1), (2, 1); \
                 CREATE TABLE dead (target, seq, bytes, PRIMARY KEY (target, seq)) WITHOUT ROWID; \
                 CREATE TABLE settled (class, settled_ms, seq, PRIMARY KEY (class, settled_ms, seq)) WITHOUT ROWID; \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) \
                 INSERT INTO events SELECT i FROM n; \
                 INSERT INTO settled SELECT 0, 100 * (seq % 3), seq FROM events WHERE seq < 22; \
                 INSERT INTO settled SELECT 1, 100, seq FROM events WHERE seq BETWEEN 30 AND 39; \
                 INSERT INTO dead SELECT t, seq, 10 FROM settled, (SELECT 1 AS t UNION SELECT 2) WHERE class = 1;",
            )
            .expect("made");
        connection
    }

    /// What `expire` deletes, and rows left in events, settled and dead.
    fn check(class: Class, until_ms: u64, most: usize, deleted: usize, left: [i64; 3]) {
        let connection = database();
        let mut statements = Statements::prepare(&connection).expect("prepared");
        let never = Instant::now() + Duration::from_hours(1);
        let found = statements.expire(class, until_ms, most, never);
        let found = found.expect("deleted");
        assert!(found.dead.iter().all(|(_, bytes)| *bytes == 10));
        assert_eq!(20 - left[2], i64::try_from(found.dead.len()).expect("few"));
        assert_eq!(
            found.events, deleted,
            "{class:?} until {until_ms}, at most {most}"
        );
        let rows: [i64; 3] = ["events", "settled", "dead"].map(|table| {
            let sql = format!("SELECT count(*) FROM {table}");
            connection
                .query_row(&sql, [], |row| row.get(0))
                .expect("counted")
        });
        assert_eq!(rows, left, "{class:?} until {until_ms}, at most {most}");
    }

    #[test]
    fn the_oldest_go_first_and_nothing_else_goes() {
        check(Class::Delivered, 99, 100, 7, [33, 24, 20]);
        check(Class::Delivered, 100, 100, 14, [26, 17, 20]);
        check(Class::Delivered, u64::MAX, 100, 21, [19, 10, 20]);
        check(Class::Delivered, u64::MAX, 8, 8, [32, 23, 20]);
        check(Class::WithDeadLetter, 99, 100, 0, [40, 31, 20]);
        check(Class::WithDeadLetter, 100, 100, 10, [30, 21, 0]);
        check(Class::WithDeadLetter, 100, 9, 9, [31, 22, 2]);
    }

    #[test]
    fn a_slice_that_takes_long_ends_early_and_leaves_whole_events() {
        let connection = database();
        let mut statements = Statements::prepare(&connection).expect("prepared");
        let late = Instant::now();
        let found = statements.expire(Class::WithDeadLetter, 100, 100, late);
        assert_eq!(found.expect("deleted").events, RUN_MAX);
        let left = "SELECT count(*) FROM settled JOIN events USING (seq) WHERE class = 1";
        let left: u8 = connection
            .query_row(left, [], |row| row.get(0))
            .expect("counted");
        assert_eq!(usize::from(left), 10 - RUN_MAX);
    }
}

//! Deletes payloads whose time is over, in slices that do not show in the writer's tail.
//!
//! Invariant: an event is deleted only after every delivery of it is settled, those of its replays too; its keys are
//! never touched.

use super::lasting;
use super::settle::Class;
use crate::clock;
use crate::config;
use crate::event::TargetId;
use rusqlite::{Connection, OptionalExtension, Statement, params};
use std::time::{Duration, Instant};

/// The longest that one slice may take: payloads of many pages are slow to delete.
const SLICE_TIME: Duration = Duration::from_millis(2);

/// Events that one statement deletes: the time is looked at between two of them.
const RUN_MAX: usize = 8;

/// How far ahead of the clock no event can have come.
const ABSURD_AFTER: Duration = Duration::from_hours(24);

/// Between two looks while nothing has to be deleted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Expires what is settled.
#[derive(Debug)]
pub(super) struct Retention {
    delivered_ms: u64,
    dead_ms: u64,
    history_ms: u64,
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
    /// Rows of the history.
    pub(super) history: usize,
}

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    oldest: Statement<'c>,
    delete_events: Statement<'c>,
    delete_dead: Statement<'c>,
    delete_settled: Statement<'c>,
    delete_attempts: Statement<'c>,
    delete_replays: Statement<'c>,
    /// Whether any of these was replayed.
    were_replayed: Statement<'c>,
    replayed: Statement<'c>,
    oldest_history: Statement<'c>,
    delete_history: Statement<'c>,
    delete_handed: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            oldest: lasting::prepare(
                connection,
                "SELECT settled_ms, seq FROM settled WHERE class = ?1 AND settled_ms <= ?2 \
                 ORDER BY settled_ms, seq LIMIT ?3",
            )?,
            delete_events: lasting::prepare(
                connection,
                "DELETE FROM events WHERE seq BETWEEN ?1 AND ?2",
            )?,
            // Each target's are found by the primary key.
            delete_dead: lasting::prepare(
                connection,
                "DELETE FROM dead WHERE target IN (SELECT id FROM names WHERE kind = 1) \
                 AND seq BETWEEN ?1 AND ?2 RETURNING target, bytes",
            )?,
            delete_settled: lasting::prepare(
                connection,
                "DELETE FROM settled WHERE class = ?1 AND (settled_ms, seq) <= (?2, ?3)",
            )?,
            delete_attempts: lasting::prepare(
                connection,
                "DELETE FROM attempts WHERE seq BETWEEN ?1 AND ?2",
            )?,
            delete_replays: lasting::prepare(connection, "DELETE FROM replays WHERE seq = ?1")?,
            were_replayed: lasting::prepare(
                connection,
                "SELECT 1 FROM replays WHERE seq BETWEEN ?1 AND ?2",
            )?,
            replayed: lasting::prepare(
                connection,
                "SELECT class IS ?2 AND settled_ms IS ?3 FROM replays WHERE seq = ?1",
            )?,
            oldest_history: lasting::prepare(
                connection,
                "SELECT seq, received_ms FROM history ORDER BY seq LIMIT ?1",
            )?,
            delete_history: lasting::prepare(connection, "DELETE FROM history WHERE seq <= ?1")?,
            delete_handed: lasting::prepare(connection, "DELETE FROM handed WHERE seq <= ?1")?,
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
            if self.were_replayed.exists([first, last])? {
                for (settled_ms, seq) in run {
                    self.delete_replayed(class, *settled_ms, *seq, &mut expired)?;
                }
            } else {
                self.delete(class, *first, *last, &mut expired)?;
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

    fn delete(
        &mut self,
        class: Class,
        first: i64,
        last: i64,
        expired: &mut Expired,
    ) -> rusqlite::Result<()> {
        self.delete_events.execute([first, last])?;
        self.delete_attempts.execute([first, last])?;
        if class == Class::WithDeadLetter {
            let mut dead = self.delete_dead.query([first, last])?;
            while let Some(row) = dead.next()? {
                let bytes = row.get::<_, i64>(1)?.cast_unsigned();
                expired.dead.push((TargetId(row.get(0)?), bytes));
            }
        }
        Ok(())
    }

    /// Deletes one event that may have been replayed: unless this settling of it has been overtaken by a replay.
    fn delete_replayed(
        &mut self,
        class: Class,
        settled_ms: i64,
        seq: i64,
        expired: &mut Expired,
    ) -> rusqlite::Result<()> {
        let counts: Option<bool> = self
            .replayed
            .query_row(params![seq, class as u8, settled_ms], |row| row.get(0))
            .optional()?;
        if counts == Some(false) {
            return Ok(());
        }
        self.delete(class, seq, seq, expired)?;
        self.delete_replays.execute([seq])?;
        Ok(())
    }

    /// Deletes the oldest rows of the history that came by `until_ms`, at most `most`. One that came after `absurd_ms` is
    /// from a time when the clock was wrong, and holds up none behind it.
    fn expire_history(
        &mut self,
        until_ms: u64,
        absurd_ms: u64,
        most: usize,
    ) -> rusqlite::Result<usize> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let mut expired = 0;
        let mut last = None;
        let mut rows = self.oldest_history.query([limit])?;
        while let Some(row) = rows.next()? {
            let received_ms = row.get::<_, i64>(1)?.cast_unsigned();
            if received_ms > until_ms && received_ms <= absurd_ms {
                break;
            }
            last = Some(row.get::<_, i64>(0)?);
            expired += 1;
        }
        drop(rows);
        if let Some(last) = last {
            self.delete_history.execute([last])?;
            self.delete_handed.execute([last])?;
        }
        Ok(expired)
    }
}

impl Retention {
    pub(super) fn new(settings: &config::Store) -> Self {
        Self {
            delivered_ms: clock::millis(settings.retention),
            dead_ms: clock::millis(settings.dead_retention),
            history_ms: clock::millis(settings.history),
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
        expired.history = match now_ms.checked_sub(self.history_ms) {
            Some(until_ms) => {
                let absurd_ms = now_ms.saturating_add(clock::millis(ABSURD_AFTER));
                statements.expire_history(until_ms, absurd_ms, most)?
            }
            None => 0,
        };
        if expired.events + expired.history == 0 {
            self.look_at = Instant::now() + LOOK_EVERY;
        }
        Ok(expired)
    }

    /// Deletes a slice of the oldest delivered payloads before their time and, once there is none, of the history: what
    /// is kept for auditors refuses no event. Returns how many went.
    pub(super) fn make_room(
        statements: &mut Statements<'_>,
        most: usize,
    ) -> rusqlite::Result<usize> {
        let stop_at = Instant::now() + SLICE_TIME;
        let expired = statements.expire(Class::Delivered, u64::MAX, most, stop_at)?;
        if expired.events > 0 {
            return Ok(expired.events);
        }
        statements.expire_history(u64::MAX, u64::MAX, most)
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
                 CREATE TABLE attempts (seq); CREATE TABLE handed (seq); \
                 CREATE TABLE history (seq INTEGER PRIMARY KEY, received_ms); \
                 CREATE TABLE replays (seq INTEGER PRIMARY KEY, class, settled_ms); \
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
    fn a_replayed_event_goes_with_the_settling_that_counts() {
        let connection = database();
        connection
            .execute_batch(
                // 3 waits again, 6 was settled again later, 9 goes now; 31 waits, and its dead letter is of another.
                "INSERT INTO replays VALUES (3, NULL, NULL), (6, 0, 500), (9, 0, 0), (31, NULL, NULL); \
                 INSERT INTO settled VALUES (0, 500, 6); \
                 INSERT INTO attempts SELECT seq FROM events;",
            )
            .expect("made");
        let numbers = |sql: &str| -> Vec<i64> {
            let mut statement = connection.prepare(sql).expect(sql);
            let rows = statement.query_map([], |row| row.get(0)).expect(sql);
            rows.collect::<rusqlite::Result<_>>().expect(sql)
        };
        let mut statements = Statements::prepare(&connection).expect("prepared");
        let never = Instant::now() + Duration::from_hours(1);
        for class in [Class::Delivered, Class::WithDeadLetter] {
            statements.expire(class, 100, 100, never).expect("expired");
        }
        let every_third = "SELECT seq FROM events WHERE seq < 22 AND seq % 3 = 0";
        assert_eq!(numbers(every_third), [3, 6]);
        let late = "SELECT seq FROM events WHERE seq BETWEEN 30 AND 39";
        assert_eq!(numbers(late), [31]);
        assert_eq!(numbers("SELECT DISTINCT seq FROM dead"), [31]);
        assert_eq!(numbers("SELECT seq FROM replays"), [3, 6, 31]);
        let orphans = "SELECT seq FROM attempts WHERE seq NOT IN (SELECT seq FROM events)";
        assert!(numbers(orphans).is_empty(), "they go with their event");
        let left = "SELECT DISTINCT seq FROM settled WHERE settled_ms <= 100";
        assert!(numbers(left).is_empty());
        statements
            .expire(Class::Delivered, 500, 100, never)
            .expect("expired");
        assert_eq!(numbers(every_third), [3]);
    }

    #[test]
    fn history_expires_oldest_first_in_slices() {
        let connection = database();
        connection
            .execute_batch(
                "INSERT INTO history SELECT seq, 10 * seq FROM events; \
                 INSERT INTO handed SELECT seq FROM events; INSERT INTO handed VALUES (0);",
            )
            .expect("made");
        let mut statements = Statements::prepare(&connection).expect("prepared");
        let cases = [
            (9, u64::MAX, 100, 0, 40, 41),
            (50, u64::MAX, 3, 3, 37, 37),
            (50, u64::MAX, 100, 2, 35, 35),
            (50, u64::MAX, 100, 0, 35, 35),
            // 6 and 7 came at 60 and 70; those from 80 on are from a clock that was wrong.
            (50, 79, 100, 0, 35, 35),
            (70, 79, 4, 4, 31, 31),
            (u64::MAX, u64::MAX, 1, 1, 30, 30),
        ];
        for (until_ms, absurd_ms, most, expected, history, handed) in cases {
            let expired = statements.expire_history(until_ms, absurd_ms, most);
            assert_eq!(expired.expect("expired"), expected, "{until_ms} and {most}");
            let left = |table: &str| -> i64 {
                let sql = format!("SELECT count(*) FROM {table}");
                connection
                    .query_row(&sql, [], |row| row.get(0))
                    .expect("counted")
            };
            assert_eq!((left("history"), left("handed")), (history, handed));
        }
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

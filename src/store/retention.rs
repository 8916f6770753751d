//! Deletes payloads whose time is over, in slices that do not show in the writer's tail.
//!
//! Invariant: an event is deleted only after every delivery of it is settled; its keys are never touched.

use super::settle::Class;
use crate::clock;
use crate::config;
use rusqlite::{Connection, Statement, params};
use std::time::{Duration, Instant};

/// The longest that one slice may take: payloads of many pages are slow to delete.
const SLICE_TIME: Duration = Duration::from_millis(2);

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

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    oldest: Statement<'c>,
    delete_event: Statement<'c>,
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
            delete_event: connection.prepare("DELETE FROM events WHERE seq = ?1")?,
            delete_dead: connection.prepare("DELETE FROM dead WHERE seq = ?1")?,
            delete_settled: connection
                .prepare("DELETE FROM settled WHERE class = ?1 AND settled_ms = ?2 AND seq = ?3")?,
        })
    }

    /// Deletes the oldest events of `class` that were settled by `until_ms`, at most `most` and for no longer
    /// than a slice may take. Returns how many.
    fn expire(&mut self, class: Class, until_ms: u64, most: usize) -> rusqlite::Result<usize> {
        let started = Instant::now();
        let until_ms = until_ms.min(i64::MAX as u64).cast_signed();
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let slice: Vec<(i64, i64)> = self
            .oldest
            .query_map(params![class as u8, until_ms, limit], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut deleted = 0;
        for (settled_ms, seq) in slice {
            self.delete_event.execute([seq])?;
            if class == Class::WithDeadLetter {
                self.delete_dead.execute([seq])?;
            }
            self.delete_settled
                .execute(params![class as u8, settled_ms, seq])?;
            deleted += 1;
            if started.elapsed() > SLICE_TIME {
                break;
            }
        }
        Ok(deleted)
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

    /// Deletes a slice of what has expired, if it is time to look. Returns how many events went.
    pub(super) fn expire(
        &mut self,
        statements: &mut Statements<'_>,
        now_ms: u64,
        most: usize,
    ) -> rusqlite::Result<usize> {
        if Instant::now() < self.look_at {
            return Ok(0);
        }
        let mut deleted = 0;
        for (class, kept_ms) in [
            (Class::Delivered, self.delivered_ms),
            (Class::WithDeadLetter, self.dead_ms),
        ] {
            let Some(until_ms) = now_ms.checked_sub(kept_ms) else {
                continue;
            };
            deleted += statements.expire(class, until_ms, most)?;
        }
        if deleted == 0 {
            self.look_at = Instant::now() + LOOK_EVERY;
        }
        Ok(deleted)
    }

    /// Deletes a slice of the oldest delivered payloads before their time. Returns how many events went.
    pub(super) fn make_room(
        statements: &mut Statements<'_>,
        most: usize,
    ) -> rusqlite::Result<usize> {
        statements.expire(Class::Delivered, u64::MAX, most)
    }
}

//! Moves committed pages from the log into the database, beside the writer.
//!
//! Invariant: the log is bounded: a passive checkpoint runs whenever a few MiB wait, and where a writer that
//! never pauses keeps those from finishing, the writer finishes one itself between two batches.

use super::health::{Health, PoisonOnPanic, Trouble};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::time::Duration;

/// After a checkpoint that met a lock or a full disk.
const RETRY: Duration = Duration::from_millis(100);

/// Log at which a passive checkpoint is asked for: some thousand events, 10 ms of writing.
const PASSIVE_BYTES: u64 = 4 * 1024 * 1024;

/// The least log that is worth one, however little is to stay free.
const PASSIVE_BYTES_MIN: u64 = 256 * 1024;

/// Log at which the writer pauses.
const PAUSE_BYTES: u64 = 64 * 1024 * 1024;

/// The least log that the writer pauses for, however small the store may get.
const PAUSE_BYTES_MIN: u64 = 1024 * 1024;

/// Bounds of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Beyond it a passive checkpoint is asked for.
    pub(super) passive_bytes: u64,
    /// Beyond it the writer pauses.
    pub(super) pause_bytes: u64,
}

impl Bounds {
    /// The log counts for `max_size`: a small store has a small one. Where a disk is full the log grows into `min_free`, and
    /// the database has to find room there too: a log that took all of it could never be moved, and nothing be settled. So it
    /// starts over at half of that; where nothing is to stay free there is nothing to keep.
    pub(super) fn of(max_size_bytes: u64, min_free_bytes: u64) -> Self {
        let most = match min_free_bytes {
            0 => PAUSE_BYTES,
            free => (free / 2).clamp(PAUSE_BYTES_MIN, PAUSE_BYTES),
        };
        let pause_bytes = (max_size_bytes / 8).clamp(PAUSE_BYTES_MIN, most);
        let reserve_bytes = (min_free_bytes / 4).max(PASSIVE_BYTES_MIN);
        Self {
            passive_bytes: PASSIVE_BYTES.min(pause_bytes / 4).min(reserve_bytes),
            pause_bytes,
        }
    }
}

/// How much a checkpoint does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// Nothing: only looks.
    Look,
    /// What it can without waiting for anybody.
    Passive,
    /// All, and the file of the log is empty afterwards.
    Truncate,
}

/// What a checkpoint says of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// Somebody was in the way.
    pub(super) busy: bool,
    /// Pages in the log.
    pub(super) pages: u64,
    /// Of these, those that are in the database too.
    pub(super) moved: u64,
}

impl Log {
    /// Whether nothing in the log is missing in the database.
    pub(super) fn is_whole(self) -> bool {
        !self.busy && self.pages == self.moved
    }

    /// Pages that are only in the log.
    pub(super) fn waiting(self) -> u64 {
        self.pages.saturating_sub(self.moved)
    }
}

/// Runs a checkpoint on this connection, which must have no transaction open.
pub(super) fn run(connection: &Connection, mode: Mode) -> rusqlite::Result<Log> {
    let sql = match mode {
        Mode::Look => "PRAGMA wal_checkpoint(NOOP)",
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    connection.prepare_cached(sql)?.query_row([], |row| {
        // -1 stands for a database without a log.
        let pages = |column| row.get(column).map(|n: i64| n.max(0).cast_unsigned());
        Ok(Log {
            busy: row.get(0)?,
            pages: pages(1)?,
            moved: pages(2)?,
        })
    })
}

#[derive(Debug, Default)]
struct Asked {
    checkpoint: bool,
    stop: bool,
}

/// Asks the thread that checkpoints.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    asked: Mutex<Asked>,
    wake: Condvar,
    /// Held by the one who checkpoints.
    running: Mutex<()>,
}

impl Checkpoints {
    /// Asks for a passive checkpoint soon.
    pub(super) fn ask(&self) {
        self.asked.lock().checkpoint = true;
        self.wake.notify_one();
    }

    /// Lets the thread end.
    pub(super) fn stop(&self) {
        self.asked.lock().stop = true;
        self.wake.notify_one();
    }

    /// Checkpoints here and now, after the one that is running.
    pub(super) fn run_here(&self, connection: &Connection, mode: Mode) -> rusqlite::Result<Log> {
        let _running = self.running.lock();
        run(connection, mode)
    }

    /// Waits until asked; false to stop.
    fn wait(&self) -> bool {
        let mut asked = self.asked.lock();
        while !asked.checkpoint && !asked.stop {
            self.wake.wait(&mut asked);
        }
        !asked.stop
    }

    /// What was asked for is done, also where it was asked for again meanwhile: little has come since, and the
    /// writer asks anew once it is worth it.
    fn done(&self) {
        self.asked.lock().checkpoint = false;
    }

    /// Waits a little, or until it has to stop.
    fn pause(&self) {
        let mut asked = self.asked.lock();
        if !asked.stop {
            self.wake.wait_for(&mut asked, RETRY);
        }
    }
}

/// The thread.
pub(super) fn serve(connection: &Connection, checkpoints: &Checkpoints, health: &Health) {
    let _guard = PoisonOnPanic(health);
    while checkpoints.wait() && !health.is_poisoned() {
        match checkpoints.run_here(connection, Mode::Passive) {
            Ok(log) if !log.busy => checkpoints.done(),
            Ok(_) => checkpoints.pause(),
            Err(e) if Trouble::of(&e) == Trouble::Fatal => health.poison("checkpoint the log", &e),
            Err(error) => {
                tracing::debug!(%error, "checkpoint put off");
                checkpoints.pause();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_small_store_is_small() {
        const MIB: u64 = 1024 * 1024;
        let cases = [
            (10 * 1024 * MIB, 256 * MIB, (4 * MIB, 64 * MIB)),
            (80 * MIB, 256 * MIB, (5 * MIB / 2, 10 * MIB)),
            (MIB, 256 * MIB, (MIB / 4, MIB)),
            // Most of what stays free is left for the database.
            (10 * 1024 * MIB, 4 * MIB, (MIB / 2, 2 * MIB)),
            (10 * 1024 * MIB, MIB / 1024, (MIB / 4, MIB)),
            (10 * 1024 * MIB, 0, (MIB / 4, 64 * MIB)),
        ];
        for (max_size, min_free, expected) in cases {
            let bounds = Bounds::of(max_size, min_free);
            assert_eq!(
                (bounds.passive_bytes, bounds.pause_bytes),
                expected,
                "{max_size} {min_free}"
            );
        }
    }
}

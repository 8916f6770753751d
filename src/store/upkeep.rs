//! Keeps the log short from the writer's side, between two batches.
//!
//! Invariant: the log starts over before it grows far beyond its bound, unless another program reads in it for
//! long; then it counts for `max_size` like everything else.

use super::checkpoint::{self, Bounds, Checkpoints, Log, Mode};
use super::recovery::BUSY_TIMEOUT;
use super::space::Space;
use rusqlite::Connection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Without a commit for as long, the log is emptied.
const IDLE: Duration = Duration::from_secs(1);

/// Between two looks at the log while commits are made: it grows by less than a MiB in between.
const LOOK_EVERY: Duration = Duration::from_millis(4);

/// Between two tries to empty the log.
const EMPTY_EVERY: Duration = Duration::from_millis(100);

/// How long the last checkpoint waits for readers: ours have ended by then, and nothing is lost without it.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// Between two warnings of the same kind.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Bytes of a page's header in the log (the format is at <https://sqlite.org/fileformat2.html#walformat>).
const FRAME_HEADER_BYTES: u64 = 24;

/// Warnings of one kind, at a bearable rate.
#[derive(Debug)]
pub(super) struct Warnings {
    every: Duration,
    last: Option<Instant>,
}

impl Default for Warnings {
    fn default() -> Self {
        Self::every(WARN_EVERY)
    }
}

impl Warnings {
    /// At most one in this time.
    pub(super) fn every(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// Whether to warn now.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.last.is_none_or(|at| at.elapsed() >= self.every);
        if is_due {
            self.last = Some(Instant::now());
        }
        is_due
    }
}

/// When and how the log was last seen to.
#[derive(Debug)]
pub(super) struct Upkeep {
    checkpoints: Arc<Checkpoints>,
    bounds: Bounds,
    committed_at: Instant,
    emptied_at: Instant,
    looked_at: Instant,
    warnings: Warnings,
}

impl Upkeep {
    pub(super) fn new(checkpoints: Arc<Checkpoints>, bounds: Bounds) -> Self {
        Self {
            checkpoints,
            bounds,
            committed_at: Instant::now(),
            emptied_at: Instant::now(),
            looked_at: Instant::now(),
            warnings: Warnings::default(),
        }
    }

    /// Other bounds.
    pub(super) fn resize(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Something was written.
    pub(super) fn committed(&mut self) {
        self.committed_at = Instant::now();
    }

    /// Looks after the log. It is emptied where that costs nobody time, or where its room is wanted.
    pub(super) fn look(
        &mut self,
        connection: &Connection,
        space: &mut Space,
        room_is_wanted: bool,
    ) -> rusqlite::Result<()> {
        let now = Instant::now();
        if !room_is_wanted && now.duration_since(self.looked_at) < LOOK_EVERY {
            return Ok(());
        }
        self.looked_at = now;
        space.refresh(connection)?;
        let is_idle = self.committed_at.elapsed() >= IDLE;
        if (is_idle || room_is_wanted) && space.log_bytes() > 0 {
            self.empty(connection, space)?;
        }
        let log = checkpoint::run(connection, Mode::Look)?;
        let frame_bytes = space.page_bytes() + FRAME_HEADER_BYTES;
        if log.waiting() * frame_bytes > self.bounds.passive_bytes {
            self.checkpoints.ask();
        }
        if log.pages * frame_bytes > self.bounds.pause_bytes && !log.is_whole() {
            // Nothing is written meanwhile, so this one ends, and the next commit starts the log over.
            let log = self.checkpoints.run_here(connection, Mode::Passive)?;
            if !log.is_whole() && self.warnings.is_due() {
                tracing::warn!(
                    log_bytes = space.log_bytes(),
                    "write-ahead log cannot start over yet: a page of many waiting events, or another program, reads the database"
                );
            }
        }
        Ok(())
    }

    /// Cuts the log's file to nothing, if nobody reads in it now: waiting for a reader is not worth it.
    fn empty(&mut self, connection: &Connection, space: &mut Space) -> rusqlite::Result<()> {
        if self.emptied_at.elapsed() < EMPTY_EVERY {
            return Ok(());
        }
        self.emptied_at = Instant::now();
        self.truncate(connection, Duration::ZERO)?;
        space.measure(connection)
    }

    /// The last checkpoint.
    pub(super) fn close(&self, connection: &Connection) -> rusqlite::Result<Log> {
        self.truncate(connection, CLOSE_PATIENCE)
    }

    fn truncate(&self, connection: &Connection, patience: Duration) -> rusqlite::Result<Log> {
        connection.busy_timeout(patience)?;
        let truncated = self.checkpoints.run_here(connection, Mode::Truncate);
        connection.busy_timeout(BUSY_TIMEOUT)?;
        truncated
    }
}

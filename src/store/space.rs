//! How much the store may still grow: `max_size` and `min_free`.
//!
//! Invariant: what is admitted between two measurements is counted, so that a bound is passed by no more than
//! one batch. Settling is never asked for room: `min_free` is there for it.

use crate::config;
use crate::metrics::StoreMetrics;
use rusqlite::Connection;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Between two measurements while little is admitted.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// An event's bytes on disk for each of its own: half-empty pages, and keys and rows that its weight leaves out.
const GROWTH: u64 = 2;

/// What was measured, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Measured {
    /// One page.
    page: u64,
    /// Used pages.
    used: u64,
    /// Free pages inside the file.
    free: u64,
    /// The log's file.
    log: u64,
    /// What the filesystem has for us.
    available: u64,
}

/// The space left.
#[derive(Debug)]
pub(super) struct Space {
    max_size_bytes: u64,
    min_free_bytes: u64,
    directory: PathBuf,
    log: PathBuf,
    metrics: StoreMetrics,
    measured: Measured,
    measured_at: Option<Instant>,
    /// Admitted since the measurement.
    admitted_bytes: u64,
}

impl Space {
    pub(super) fn new(
        settings: &config::Store,
        directory: PathBuf,
        log: PathBuf,
        metrics: StoreMetrics,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics.limit_bytes.set(settings.max_size_bytes as f64);
        Self {
            max_size_bytes: settings.max_size_bytes,
            min_free_bytes: settings.min_free_bytes,
            directory,
            log,
            metrics,
            measured: Measured::default(),
            measured_at: None,
            admitted_bytes: 0,
        }
    }

    /// Other bounds.
    pub(super) fn resize(&mut self, settings: &config::Store) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        self.metrics.limit_bytes.set(settings.max_size_bytes as f64);
        self.max_size_bytes = settings.max_size_bytes;
        self.min_free_bytes = settings.min_free_bytes;
    }

    /// Whether events of `bytes` fit.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        let Measured {
            used,
            free,
            log,
            available,
            ..
        } = self.measured;
        let more = self
            .admitted_bytes
            .saturating_add(bytes)
            .saturating_mul(GROWTH);
        let live = used.saturating_add(log).saturating_add(more);
        let free = available
            .saturating_add(free)
            .saturating_sub(log)
            .saturating_sub(more);
        live <= self.max_size_bytes && free >= self.min_free_bytes
    }

    /// What to make free beyond the need, so that a full store does not make room event by event.
    pub(super) fn margin_bytes(&self) -> u64 {
        const MARGIN_BYTES: u64 = 1024 * 1024;
        MARGIN_BYTES.min(self.max_size_bytes / 64)
    }

    /// Counts an event that is being admitted.
    pub(super) fn admit(&mut self, bytes: u64) {
        self.admitted_bytes = self.admitted_bytes.saturating_add(bytes);
    }

    /// Bytes of the log's file.
    pub(super) fn log_bytes(&self) -> u64 {
        self.measured.log
    }

    /// Bytes of a page.
    pub(super) fn page_bytes(&self) -> u64 {
        self.measured.page
    }

    /// Measures again if the last time is long ago or much was admitted since.
    pub(super) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let looked_lately = self.measured_at.is_some_and(|at| at.elapsed() < LOOK_EVERY);
        if looked_lately && self.admitted_bytes < self.margin_bytes() {
            return Ok(());
        }
        self.measure(connection)
    }

    /// Measures now. Inside a transaction its own changes count.
    pub(super) fn measure(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let number = |sql: &str| -> rusqlite::Result<u64> {
            let number: i64 = connection
                .prepare_cached(sql)?
                .query_row([], |row| row.get(0))?;
            Ok(number.max(0).cast_unsigned())
        };
        let page = number("PRAGMA page_size")?;
        let free_pages = number("PRAGMA freelist_count")?;
        let pages = number("PRAGMA page_count")?;
        self.measured.page = page;
        self.measured.used = pages.saturating_sub(free_pages) * page;
        self.measured.free = free_pages * page;
        // There is no log yet before the first commit.
        self.measured.log = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        self.measured_at = Some(Instant::now());
        self.admitted_bytes = 0;
        self.ask_filesystem();
        self.show();
        Ok(())
    }

    fn ask_filesystem(&mut self) {
        // Each time: what was admitted since the last look is forgotten, so that an older answer would promise it twice.
        match rustix::fs::statvfs(&self.directory) {
            Ok(status) => {
                self.measured.available = status.f_bavail.saturating_mul(status.f_frsize);
            }
            // The last answer still stands; the next commit says whether the disk is gone.
            Err(error) => tracing::warn!(%error, "cannot ask for the free space"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges")]
    fn show(&self) {
        let Measured {
            used,
            log,
            available,
            ..
        } = self.measured;
        self.metrics.used_bytes.set((used + log) as f64);
        self.metrics.wal_bytes.set(log as f64);
        self.metrics.filesystem_avail_bytes.set(available as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(measured: [u64; 4], admitted: u64, more: u64, fits: bool) {
        let settings = config::Store {
            path: "/nowhere".into(),
            max_size_bytes: 1_000,
            min_free_bytes: 100,
            retention: Duration::ZERO,
            dead_retention: Duration::ZERO,
            attempts: 0,
            scrub: Duration::ZERO,
            start_check: Duration::ZERO,
            history: Duration::ZERO,
        };
        let metrics = crate::metrics::Metrics::new().store();
        let mut space = Space::new(&settings, "/nowhere".into(), "/nowhere".into(), metrics);
        let [used, free, log, available] = measured;
        space.measured = Measured {
            page: 1,
            used,
            free,
            log,
            available,
        };
        space.admit(admitted);
        assert_eq!(
            space.fits(more),
            fits,
            "{measured:?} and {admitted} and {more}"
        );
    }

    #[test]
    fn both_bounds_hold() {
        check([500, 0, 100, 10_000], 0, 200, true);
        check([500, 0, 100, 10_000], 0, 201, false);
        check([500, 0, 100, 10_000], 150, 51, false);
        check([500, 9_999, 100, 10_000], 0, 201, false);
        check([0, 0, 0, 120], 0, 10, true);
        check([0, 0, 0, 120], 0, 11, false);
        check([0, 50, 0, 70], 0, 10, true);
        check([0, 50, 1, 70], 0, 10, false);
        check([0, 0, 900, 100], 0, 0, false);
        check([0, 0, 0, 0], 0, u64::MAX, false);
    }
}

//! The thread that keeps refused requests: it writes at its own pace, and answers operators in between.
//!
//! Invariant: what is written in a second is bounded, so that the disk is left to events.

use super::file;
use super::inbox::{Ask, Inbox, WAITING_BYTES, WAITING_MAX, Work};
use super::ring::Ring;
use super::{NotStored, Reject, RejectSource};
use crate::budget::Charge;
use crate::metrics::{Metrics, RejectMetrics};
use crate::quiet::Quiet;
use crate::store::directory::Directory;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two batches at least: with full batches, 640 requests a second.
const PACE: Duration = Duration::from_millis(100);
/// Bytes that are written in a second at most, on the average: a fraction of what any disk does beside the events.
const BYTES_PER_SECOND: u64 = 4 << 20;

// A full batch pauses for longer than the pace by its bytes alone; a small one does not.
const _: () = assert!(WAITING_BYTES * 10 > BYTES_PER_SECOND && WAITING_MAX > 0);

/// What the thread works with.
pub(super) struct Serving {
    pub(super) directory: Arc<Directory>,
    pub(super) sources: Vec<RejectSource>,
    pub(super) metrics: Arc<Metrics>,
    /// Of the sources that keep something.
    pub(super) kept: HashMap<Arc<str>, RejectMetrics>,
    pub(super) inbox: Arc<Inbox>,
}

/// Nothing is taken in for a thread that is gone.
struct EndTogether<'a>(&'a Inbox);

impl Drop for EndTogether<'_> {
    fn drop(&mut self) {
        self.0.end();
        if std::thread::panicking() {
            tracing::error!(
                "the thread that keeps refused requests panicked: none are kept until the next start"
            );
        }
    }
}

impl Serving {
    /// Runs until the inbox is closed. It holds the directory until then.
    pub(super) fn run(mut self) {
        let inbox = Arc::clone(&self.inbox);
        let _end = EndTogether(&inbox);
        let mut ring = match file::open(&self.directory).and_then(|connection| {
            Ring::take_over(connection, &self.sources).map_err(file::Broken::Sqlite)
        }) {
            Ok(ring) => ring,
            Err(error) => {
                tracing::error!(%error, "cannot open rejects.db: no refused requests are kept");
                return;
            }
        };
        self.show(&ring);
        let failures = Quiet::default();
        let mut not_before = Instant::now();
        loop {
            match inbox.take(not_before) {
                Work::Keep(batch) => {
                    let began = Instant::now();
                    let bytes: u64 = batch.iter().map(|(_, charge)| charge.bytes()).sum();
                    self.write(&mut ring, batch, &failures);
                    let by_bytes = Duration::from_secs_f64(seconds(bytes));
                    not_before = began + PACE.max(by_bytes);
                }
                Work::Answer(ask) => {
                    answer(&mut ring, ask, &failures);
                    self.show(&ring);
                }
                Work::End => break,
            }
        }
        ring.close(&self.directory);
    }

    fn write(&mut self, ring: &mut Ring, batch: Vec<(Reject, Charge)>, failures: &Quiet) {
        let (rejects, charges): (Vec<Reject>, Vec<Charge>) = batch.into_iter().unzip();
        if let Err(error) = ring.keep(&rejects) {
            for reject in &rejects {
                if let Some(metrics) = self.kept.get(&reject.source) {
                    metrics.dropped.increment("error");
                }
            }
            say(failures, "write", &error);
        }
        drop(charges);
        self.show(ring);
    }

    /// Sets the gauges; that of a source that is gone is made when it turns out to have left something.
    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    fn show(&mut self, ring: &Ring) {
        for source in ring.sources() {
            if !self.kept.contains_key(source) {
                let metrics = self.metrics.rejects(source);
                self.kept.insert(Arc::clone(source), metrics);
            }
        }
        for (source, metrics) in &self.kept {
            metrics.kept.set(ring.count(source) as f64);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of one batch are exact")]
fn seconds(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_SECOND as f64
}

/// Answers a question; whoever asked may be gone.
fn answer(ring: &mut Ring, ask: Ask, failures: &Quiet) {
    let failed = |doing: &'static str| {
        move |error: rusqlite::Error| {
            say(failures, doing, &error);
            NotStored::Unavailable
        }
    };
    match ask {
        Ask::List { query, answer } => {
            let _ = answer.send(ring.list(&query).map_err(failed("list")));
        }
        Ask::Get { id, answer } => {
            let _ = answer.send(ring.get(id).map_err(failed("read")));
        }
        Ask::Remove { ids, answer } => {
            let _ = answer.send(ring.remove(&ids).map_err(failed("remove")));
        }
    }
}

fn say(failures: &Quiet, doing: &'static str, error: &rusqlite::Error) {
    if let Some(suppressed) = failures.pass() {
        tracing::warn!(doing, suppressed, %error, "rejects.db failed; events are not concerned");
    }
}

//! Reads every payload once in a while, so that damage is found while there is still somebody to ask for the event.
//!
//! Invariants: a slice is short, and the slices are spread over the whole time; an event that is damaged and still waits
//! becomes a dead letter, as it does when it is read for a delivery. Nothing is read twice in one round.

use super::health::{Health, PoisonOnPanic, Trouble};
use super::inbox::Inbox;
use super::names::SourceNames;
use super::row;
use crate::event::{EventId, Seq, SourceId, StoreTag};
use crate::metrics::StoreMetrics;
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, Statement};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// About the time between two slices of a store that is full of events.
const TICK: Duration = Duration::from_secs(1);

/// Numbers, and bytes of payloads, that a slice reads at most.
const SLICE_SEQS: u64 = 256;
const SLICE_BYTES: u64 = 1024 * 1024;

/// The longest that an empty store is left alone.
const IDLE_MAX: Duration = Duration::from_mins(10);

/// Lets the thread end.
#[derive(Debug, Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    pub(super) fn stop(&self) {
        *self.stopped.lock() = true;
        self.wake.notify_all();
    }

    /// Waits; false to stop.
    fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut stopped = self.stopped.lock();
        while !*stopped {
            if self.wake.wait_until(&mut stopped, until).timed_out() {
                return !*stopped;
            }
        }
        false
    }
}

/// What the thread works with.
pub(super) struct Scrub {
    /// In this time every payload is read once.
    pub(super) every: Duration,
    pub(super) stop: Arc<Stop>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) metrics: StoreMetrics,
    pub(super) tag: StoreTag,
    /// Names of the sources.
    pub(super) sources: SourceNames,
}

/// The thread.
pub(super) fn serve(connection: &Connection, scrub: &Scrub, health: &Health) {
    let _guard = PoisonOnPanic(health);
    let mut rounds = match Rounds::prepare(connection, scrub) {
        Ok(rounds) => rounds,
        Err(e) => return health.poison("prepare to read payloads", &e),
    };
    let mut pause = TICK.min(scrub.every);
    while scrub.stop.wait(pause) && !health.is_poisoned() {
        pause = match rounds.slice() {
            Ok(pause) => pause,
            Err(e) if Trouble::of(&e) == Trouble::Fatal => {
                health.poison("read payloads", &e);
                break;
            }
            Err(error) => {
                tracing::debug!(%error, "reading payloads is put off");
                TICK
            }
        };
    }
}

/// Numbers that are still to be read in this round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    next: u64,
    last: u64,
    /// Numbers of the whole round, for its pace.
    span: u64,
}

struct Rounds<'c> {
    connection: &'c Connection,
    scrub: &'c Scrub,
    bounds: Statement<'c>,
    read: Statement<'c>,
    waits: Statement<'c>,
    round: Option<Round>,
    /// The first round begins anywhere: a gateway that is started again and again still gets round.
    is_first: bool,
}

impl<'c> Rounds<'c> {
    fn prepare(connection: &'c Connection, scrub: &'c Scrub) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            scrub,
            bounds: connection
                .prepare("SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)")?,
            read: connection.prepare(row::WALK)?,
            waits: connection.prepare(
                "SELECT 1 FROM names n CROSS JOIN deliveries d ON d.target = n.id AND d.seq = ?1",
            )?,
            round: None,
            is_first: true,
        })
    }

    /// Reads a slice, and returns when the next one is to be read.
    fn slice(&mut self) -> rusqlite::Result<Duration> {
        let Some(round) = self.round()? else {
            return Ok((self.scrub.every / 8).clamp(TICK.min(self.scrub.every), IDLE_MAX));
        };
        let until = round.next + slice_seqs(round.span, self.scrub.every);
        let moment = self.connection.unchecked_transaction()?;
        let damaged = self.read(round.next, until)?;
        moment.finish()?;
        let Slice { next, damaged } = damaged;
        for found in damaged {
            self.tell(&found)?;
        }
        let read = next - round.next;
        self.round = (next <= round.last).then_some(Round { next, ..round });
        Ok(pause(read, round.span, self.scrub.every))
    }

    /// The round that is going on, or a new one; `None` if there is nothing to read.
    fn round(&mut self) -> rusqlite::Result<Option<Round>> {
        if self.round.is_none() {
            let bounds: (Option<i64>, Option<i64>) = self
                .bounds
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (Some(first), Some(last)) = bounds else {
                return Ok(None);
            };
            let (first, last) = (first.cast_unsigned(), last.cast_unsigned());
            let span = last - first + 1;
            let begin = if std::mem::take(&mut self.is_first) {
                fastrand::u64(first..=last)
            } else {
                first
            };
            self.round = Some(Round {
                next: begin,
                last,
                span,
            });
        }
        Ok(self.round)
    }

    /// Reads payloads from `from` on, before `until` and up to a slice's bytes.
    fn read(&mut self, from: u64, until: u64) -> rusqlite::Result<Slice> {
        let mut bytes = 0;
        let mut damaged = Vec::new();
        let mut rows = self.read.query([from.cast_signed()])?;
        while let Some(found) = rows.next()? {
            let seq: i64 = found.get(0)?;
            let seq = seq.cast_unsigned();
            if seq >= until {
                break;
            }
            if bytes >= SLICE_BYTES {
                return Ok(Slice { next: seq, damaged });
            }
            match row::prove(found) {
                Some(proven) => bytes += proven.bytes,
                None => damaged.push(Found {
                    seq: Seq(seq),
                    received_ms: found.get(2).ok(),
                    source: found.get::<_, u32>(1).ok(),
                }),
            }
        }
        Ok(Slice {
            next: until,
            damaged,
        })
    }

    fn tell(&mut self, found: &Found) -> rusqlite::Result<()> {
        let waits = self.waits.exists([found.seq.0.cast_signed()])?;
        let id = found
            .received_ms
            .map(|ms| EventId::new(ms.cast_unsigned(), self.scrub.tag, found.seq).to_string());
        let source = found
            .source
            .and_then(|source| self.scrub.sources.get(SourceId(source)));
        tracing::error!(
            event_id = id,
            source = source.as_deref(),
            seq = found.seq.0,
            waits,
            "stored payload is damaged: it is not what was written"
        );
        self.scrub.metrics.corrupt.increment(1);
        if waits {
            self.scrub.inbox.bury_corrupt(found.seq);
        }
        Ok(())
    }
}

struct Slice {
    /// Where to go on.
    next: u64,
    damaged: Vec<Found>,
}

/// A payload that is damaged; what its row says of it may be wrong too.
struct Found {
    seq: Seq,
    received_ms: Option<i64>,
    source: Option<u32>,
}

/// Numbers of a slice, of a round of `span`.
fn slice_seqs(span: u64, every: Duration) -> u64 {
    let slices = (every.as_millis() / TICK.as_millis()).max(1);
    let seqs = u128::from(span).div_ceil(slices);
    u64::try_from(seqs).unwrap_or(u64::MAX).clamp(1, SLICE_SEQS)
}

/// How long `read` numbers of a round of `span` are to take.
fn pause(read: u64, span: u64, every: Duration) -> Duration {
    let share = u128::from(read) * every.as_nanos() / u128::from(span.max(1));
    Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX)).min(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_its_time_and_no_slice_is_large() {
        let day = Duration::from_hours(24);
        let cases = [
            (1, day, 1, day),
            (10, day, 1, day / 10),
            (86_400, day, 1, Duration::from_secs(1)),
            (1_000_000, day, 12, Duration::from_micros(1_036_800)),
            (100_000_000, day, 256, Duration::from_micros(221_184)),
            (10, Duration::from_secs(1), 10, Duration::from_secs(1)),
            (10, Duration::from_millis(10), 10, Duration::from_millis(10)),
        ];
        for (span, every, seqs, wait) in cases {
            let slice = slice_seqs(span, every);
            assert_eq!(slice, seqs, "{span} in {every:?}");
            assert_eq!(pause(slice, span, every), wait, "{span} in {every:?}");
        }
        assert_eq!(pause(u64::MAX, 0, day), day);
    }
}

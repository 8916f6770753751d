//! What is remembered for one source: a ring for each kind of key, and how far back memory reaches.

use super::place::Position;
use super::ring::{Record, Ring};
use super::{Hash, Kind, Windows};
use crate::clock;
use crate::event::SourceId;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The rings of one source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) id: SourceId,
    /// Of [`Kind::Event`] and [`Kind::Body`], and of [`Kind::Replay`], milliseconds.
    event_ms: AtomicU64,
    replay_ms: AtomicU64,
    rings: Mutex<[Ring; Kind::ALL.len()]>,
    /// Records in all rings, to be read without their lock.
    records: AtomicUsize,
    /// Latest time of receipt among the keys that were forgotten before their time, Unix milliseconds.
    evicted_ms: AtomicU64,
}

impl Source {
    pub(super) fn new(id: SourceId, windows: Windows) -> Self {
        Self {
            id,
            event_ms: AtomicU64::new(clock::millis(windows.event)),
            replay_ms: AtomicU64::new(clock::millis(windows.replay)),
            rings: Mutex::default(),
            records: AtomicUsize::new(0),
            evicted_ms: AtomicU64::new(0),
        }
    }

    /// Remembers for as long from now on. What is forgotten already stays so.
    pub(super) fn set_windows(&self, windows: Windows) {
        let (event_ms, replay_ms) = (clock::millis(windows.event), clock::millis(windows.replay));
        self.event_ms.store(event_ms, Ordering::Relaxed);
        self.replay_ms.store(replay_ms, Ordering::Relaxed);
    }

    /// Records that are kept, those that are past their window and not swept yet among them.
    pub(super) fn len(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// Whether a key of `kind`, received at `received_ms`, is past its window. A clock that went backwards makes
    /// keys younger, never older.
    pub(super) fn is_past(&self, kind: Kind, received_ms: u64, now_ms: u64) -> bool {
        received_ms.saturating_add(self.window_ms(kind)) <= now_ms
    }

    fn window_ms(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Event | Kind::Body => self.event_ms.load(Ordering::Relaxed),
            Kind::Replay => self.replay_ms.load(Ordering::Relaxed),
        }
    }

    pub(super) fn push(&self, kind: Kind, record: Record) -> Position {
        let mut rings = self.rings.lock();
        self.records.fetch_add(1, Ordering::Relaxed);
        rings[kind as usize].push(record)
    }

    /// The record of `hash` at `position`, unless it is gone or past its window.
    pub(super) fn get(
        &self,
        kind: Kind,
        position: Position,
        hash: &Hash,
        now_ms: u64,
    ) -> Option<Record> {
        let rings = self.rings.lock();
        let record = rings[kind as usize].get(position)?;
        (record.hash == *hash && !self.is_past(kind, record.received_ms(), now_ms))
            .then_some(*record)
    }

    /// Takes out the oldest records of a kind that are past their window, at most `most`.
    pub(super) fn pop_past(&self, kind: Kind, now_ms: u64, most: usize) -> Vec<(Position, Record)> {
        let mut rings = self.rings.lock();
        let ring = &mut rings[kind as usize];
        let mut past = Vec::new();
        while past.len() < most
            && ring
                .front()
                .is_some_and(|record| self.is_past(kind, record.received_ms(), now_ms))
        {
            past.extend(ring.pop());
        }
        self.records.fetch_sub(past.len(), Ordering::Relaxed);
        past
    }

    /// Takes out the oldest records of all kinds, at most `most`.
    pub(super) fn pop_oldest(&self, most: usize) -> Vec<(Kind, Position, Record)> {
        let mut rings = self.rings.lock();
        let mut oldest = Vec::with_capacity(most);
        while oldest.len() < most {
            let first_ms = |kind: &Kind| {
                let front = rings[*kind as usize].front();
                front.map_or(u64::MAX, Record::received_ms)
            };
            let Some(kind) = Kind::ALL.into_iter().min_by_key(first_ms) else {
                break;
            };
            let Some((position, record)) = rings[kind as usize].pop() else {
                break;
            };
            oldest.push((kind, position, record));
        }
        self.records.fetch_sub(oldest.len(), Ordering::Relaxed);
        oldest
    }

    /// A key received at `received_ms` was forgotten before its time.
    pub(super) fn was_evicted(&self, received_ms: u64) {
        self.evicted_ms.fetch_max(received_ms, Ordering::Relaxed);
    }

    /// How far back every key is remembered.
    pub(super) fn effective_window(&self, now_ms: u64) -> Duration {
        let event_ms = self.window_ms(Kind::Event);
        Duration::from_millis(match self.evicted_ms.load(Ordering::Relaxed) {
            0 => event_ms,
            evicted_ms => now_ms.saturating_sub(evicted_ms).min(event_ms),
        })
    }

    /// Bytes of heap.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.rings.lock().iter().map(Ring::heap_bytes).sum()
    }
}

//! The keys of one event in flight. However it ends, by word or by being dropped, its keys leave the state of being
//! in flight and all who wait on it are told.

use super::memory::Dedupe;
use super::place::Slot;
use super::{Answered, Ended, Hash, Kind};
use crate::event::{EventId, Seq, SourceId};
use std::sync::Arc;

/// Keys in flight. Dropped without a word, the event has failed: the keys are free and who waits is told.
#[derive(Debug)]
pub struct Reservation {
    dedupe: Arc<Dedupe>,
    source: SourceId,
    body_check: u32,
    /// Opened with the first key.
    slot: Option<Slot>,
    /// The first `length` count: at most one of each kind.
    keys: [(Kind, Hash); Kind::ALL.len()],
    length: usize,
}

impl Reservation {
    /// A reservation of nothing yet.
    pub(super) fn new(dedupe: &Arc<Dedupe>, source: SourceId, body_check: u32) -> Self {
        Self {
            dedupe: Arc::clone(dedupe),
            source,
            body_check,
            slot: None,
            keys: [(Kind::Event, [0; 16]); Kind::ALL.len()],
            length: 0,
        }
    }

    /// Adds a key, and says in which slot it is in flight from now on. The caller holds the key's lock.
    pub(super) fn add(&mut self, kind: Kind, hash: Hash) -> Slot {
        self.keys[self.length] = (kind, hash);
        self.length += 1;
        *self.slot.get_or_insert_with(|| self.dedupe.open_slot())
    }

    /// What the store has to keep with the event: kind and hash of each key.
    pub fn keys(&self) -> &[(Kind, Hash)] {
        &self.keys[..self.length]
    }

    /// CRC-32 of the body that the keys were claimed with.
    pub fn body_check(&self) -> u32 {
        self.body_check
    }

    /// The event is durable with its keys: they are remembered from now on, and who waits is told.
    pub fn durable(mut self, seq: Seq, received_ms: u64, id: EventId) {
        self.remember(Some(seq), received_ms);
        let body_check = self.body_check;
        self.end(&Ended::Durable { id, body_check });
        self.dedupe.hold_limit(received_ms);
    }

    /// `passthrough`: the app has answered. With `remember` the keys stay for their window (in memory alone);
    /// without, they are free again. Who waits gets the answer either way.
    pub fn answered(mut self, answer: Answered, remember: bool, now_ms: u64) {
        if remember {
            self.remember(None, now_ms);
        } else {
            self.free();
        }
        self.end(&Ended::Answered(answer));
        self.dedupe.hold_limit(now_ms);
    }

    fn remember(&mut self, seq: Option<Seq>, received_ms: u64) {
        for (kind, hash) in self.keys() {
            self.dedupe
                .remember(self.source, *kind, *hash, received_ms, seq, self.body_check);
        }
    }

    fn free(&mut self) {
        if let Some(slot) = self.slot {
            for (_, hash) in self.keys() {
                self.dedupe.free(hash, slot);
            }
        }
    }

    /// Tells those who wait, once. Every key has left the slot by now.
    fn end(&mut self, ended: &Ended) {
        if let Some(slot) = self.slot.take() {
            self.dedupe.close_slot(slot, ended);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // An event that has ended has no slot any more: nothing is left to do.
        self.free();
        self.end(&Ended::Failed);
    }
}

//! What is remembered, first in, first out. All records of a ring have the same window, so that this is the order
//! in which they expire.
//!
//! Memory grows and shrinks a chunk at a time: nothing is ever copied to twice its size, and what is forgotten
//! is given back.

use super::Hash;
use super::place::Position;
use crate::event::Seq;
use std::collections::VecDeque;

/// Records in a chunk: 8 KiB, little enough to allocate between two events.
const CHUNK_RECORDS: usize = 256;

/// What is remembered of one key: 31 bytes, so without alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) hash: Hash,
    /// Unix milliseconds; 48 bits last until the year 10889.
    received_ms: [u8; 6],
    /// 0, which no event has, stands for an event that was answered and never stored.
    seq: [u8; 5],
    body_check: [u8; 4],
}

impl Record {
    /// `seq` is the durable event's, or nothing for one that was answered without being stored.
    pub(super) fn new(hash: Hash, received_ms: u64, seq: Option<Seq>, body_check: u32) -> Self {
        const MS_MAX: u64 = (1 << 48) - 1;
        let [_, _, received_ms @ ..] = received_ms.min(MS_MAX).to_be_bytes();
        let [_, _, _, seq @ ..] = seq.map_or(0, |seq| seq.0).to_be_bytes();
        Self {
            hash,
            received_ms,
            seq,
            body_check: body_check.to_be_bytes(),
        }
    }

    pub(super) fn received_ms(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes[2..].copy_from_slice(&self.received_ms);
        u64::from_be_bytes(bytes)
    }

    pub(super) fn seq(&self) -> Option<Seq> {
        let mut bytes = [0; 8];
        bytes[3..].copy_from_slice(&self.seq);
        let seq = u64::from_be_bytes(bytes);
        (seq != 0).then_some(Seq(seq))
    }

    pub(super) fn body_check(&self) -> u32 {
        u32::from_be_bytes(self.body_check)
    }
}

/// A queue of records with places that stay valid while they are in it.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Each is full but the last, and starts at a multiple of [`CHUNK_RECORDS`].
    chunks: VecDeque<Vec<Record>>,
    /// Place of the oldest record.
    head: usize,
    /// Place of the next record.
    tail: usize,
}

impl Ring {
    pub(super) fn push(&mut self, record: Record) -> Position {
        if self.tail.is_multiple_of(CHUNK_RECORDS) {
            // A source with few keys need not hold a whole chunk.
            let records = if self.chunks.is_empty() {
                0
            } else {
                CHUNK_RECORDS
            };
            self.chunks.push_back(Vec::with_capacity(records));
        }
        let chunk = self.chunks.back_mut();
        chunk
            .expect("a place inside a chunk has its chunk")
            .push(record);
        let position = position(self.tail);
        self.tail += 1;
        position
    }

    /// The record at `position`, unless it is gone.
    pub(super) fn get(&self, position: Position) -> Option<&Record> {
        let Position(from_head) = Position(position.0.wrapping_sub(self::position(self.head).0));
        let place = self.head + (from_head & Position::MASK) as usize;
        let chunk = place / CHUNK_RECORDS - self.head / CHUNK_RECORDS;
        (place < self.tail).then(|| &self.chunks[chunk][place % CHUNK_RECORDS])
    }

    pub(super) fn front(&self) -> Option<&Record> {
        self.get(position(self.head))
    }

    pub(super) fn pop(&mut self) -> Option<(Position, Record)> {
        let position = position(self.head);
        let record = *self.get(position)?;
        self.head += 1;
        if self.head.is_multiple_of(CHUNK_RECORDS) {
            self.chunks.pop_front();
        }
        Some((position, record))
    }

    /// Bytes of heap.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let records: usize = self.chunks.iter().map(Vec::capacity).sum();
        records * size_of::<Record>() + self.chunks.capacity() * size_of::<Vec<Record>>()
    }
}

/// The bits of a place that the map has room for.
fn position(place: usize) -> Position {
    #[expect(clippy::cast_possible_truncation, reason = "the mask leaves 31 bits")]
    Position((place & Position::MASK as usize) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(number: u64) -> Record {
        Record::new(
            [number as u8; 16],
            number,
            Some(Seq(number + 1)),
            number as u32,
        )
    }

    #[test]
    fn records_are_small_and_lose_nothing() {
        assert_eq!(size_of::<Record>(), 31);
        let record = Record::new(
            [7; 16],
            1_769_855_400_123,
            Some(Seq((1 << 40) - 1)),
            u32::MAX,
        );
        assert_eq!(record.received_ms(), 1_769_855_400_123);
        assert_eq!(record.seq(), Some(Seq((1 << 40) - 1)));
        assert_eq!(record.body_check(), u32::MAX);
        let answered = Record::new([7; 16], u64::MAX, None, 0);
        assert_eq!(answered.seq(), None);
        assert_eq!(answered.received_ms(), (1 << 48) - 1, "beyond all time");
    }

    #[test]
    fn memory_follows_the_number_of_records() {
        let mut ring = Ring::default();
        for number in 0..10_000 {
            ring.push(record(number));
        }
        let full = ring.heap_bytes();
        assert!(full < 10_000 * 31 + 256 * 31 + 64 * 24, "{full}");
        while ring.pop().is_some() {}
        assert!(
            ring.heap_bytes() <= 256 * 31 + 64 * 24,
            "chunks are given back"
        );
    }

    #[test]
    fn places_wrap_around() {
        let start = Position::MASK as usize - 300;
        let mut ring = Ring {
            head: start,
            tail: start,
            chunks: VecDeque::from([vec![record(0); start % CHUNK_RECORDS]]),
        };
        let places: Vec<Position> = (0..600).map(|number| ring.push(record(number))).collect();
        assert_eq!(places[301], Position(0));
        for number in 0..600 {
            assert_eq!(ring.get(places[number as usize]), Some(&record(number)));
        }
        for number in 0..600 {
            assert_eq!(ring.pop(), Some((places[number as usize], record(number))));
            assert_eq!(ring.get(places[number as usize]), None);
        }
    }

    proptest! {
        #[test]
        fn a_ring_is_a_queue(pushes in prop::collection::vec(prop::option::weighted(0.6, Just(())), 0..2_000)) {
            let mut ring = Ring::default();
            let mut queue = VecDeque::new();
            for (number, push) in (0..).zip(pushes) {
                if push.is_some() {
                    queue.push_back((ring.push(record(number)), record(number)));
                } else {
                    let gone = queue.pop_front();
                    prop_assert_eq!(ring.pop(), gone);
                    if let Some((position, _)) = gone {
                        prop_assert_eq!(ring.get(position), None);
                    }
                }
                prop_assert_eq!(ring.front(), queue.front().map(|(_, record)| record));
            }
            for (position, record) in &queue {
                prop_assert_eq!(ring.get(*position), Some(record));
            }
        }
    }
}

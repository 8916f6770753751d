//! Where the map says that a key is, in four bytes: with its event in flight, or in a ring of its source.

use std::hash::{BuildHasherDefault, Hasher};

/// A number in the table of events in flight. Below 2^31: there are never as many requests at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u32);

/// A place in a ring: how many records were pushed before, modulo 2^31. A ring holds fewer, so that it is never
/// ambiguous among those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position(pub(super) u32);

impl Position {
    /// The bits that a position has.
    pub(super) const MASK: u32 = u32::MAX >> 1;
}

/// Either, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// A [`Place`], taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InFlight(Slot),
    Remembered(Position),
}

impl Place {
    const IN_FLIGHT: u32 = 1 << 31;

    pub(super) fn state(self) -> State {
        if self.0 & Self::IN_FLIGHT == 0 {
            State::Remembered(Position(self.0))
        } else {
            State::InFlight(Slot(self.0 & !Self::IN_FLIGHT))
        }
    }
}

impl From<Slot> for Place {
    fn from(slot: Slot) -> Self {
        Self(slot.0 | Self::IN_FLIGHT)
    }
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self(position.0 & Position::MASK)
    }
}

/// Takes a key's first bytes as its hash: they are the output of a keyed hash already.
#[derive(Debug, Default)]
pub(super) struct PassThrough(u64);

/// Makes [`PassThrough`].
pub(super) type BuildPassThrough = BuildHasherDefault<PassThrough>;

impl Hasher for PassThrough {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// An array announces its length before its bytes; every key has the same.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn places_are_what_they_were_made_from() {
        for number in [0, 1, 0x7fff_fffe, 0x7fff_ffff] {
            assert_eq!(
                Place::from(Slot(number)).state(),
                State::InFlight(Slot(number))
            );
            let position = Position(number);
            assert_eq!(Place::from(position).state(), State::Remembered(position));
        }
    }

    #[test]
    fn a_key_is_its_own_hash() {
        let key: super::super::Hash = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        let hash = BuildPassThrough::default().hash_one(key);
        assert_eq!(hash.to_le_bytes(), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

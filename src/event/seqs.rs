//! Sets of events by their numbers.

use super::Seq;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// A set of events. The store counts them, so nobody can choose numbers that collide: one multiplication is hash enough.
pub type Seqs = HashSet<Seq, BuildHasherDefault<Multiplied>>;

/// Hashes a number by multiplying it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Multiplied(u64);

impl Hasher for Multiplied {
    /// Not the way of a number, which comes whole.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        /// 2^64 over the golden ratio, made odd (Knuth, volume 3, 6.4).
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0 ^ number).wrapping_mul(FACTOR);
    }

    /// A table chooses a place by the lowest bits. Those of a product depend on the lowest of the number alone, the highest
    /// on all of it.
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    /// Whatever part of the events one target gets. The table tells sixteen in one place apart at a time.
    #[test]
    fn numbers_are_spread() {
        let hasher = BuildHasherDefault::<Multiplied>::default();
        for step in [1, 2, 3, 7, 16, 100, 1_000, 1_024, 65_536] {
            // By their places, and by the tags that tell those in one place apart.
            for (shift, count) in [(0, 1_024), (57, 128)] {
                let hashes = (0..1_024).map(|n| hasher.hash_one(Seq(1_000_000 + n * step)));
                let found: HashSet<u64> = hashes.map(|hash| (hash >> shift) % count).collect();
                assert!(found.len() as u64 > count / 5, "{step}: {}", found.len());
            }
        }
    }
}

//! A bound on bytes held at one time, taken and given back by value.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A number of bytes that all holders together may have. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: AtomicU64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Shared {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
        }))
    }

    /// Has another limit from now on. What is held beyond it stays with its holders.
    pub fn resize(&self, limit: u64) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes held now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or nothing when that would pass the limit. A charge of more than the whole limit is
    /// granted while nothing else is held, so that a limit below one body's size does not refuse it for ever.
    pub fn take(&self, bytes: u64) -> Option<Charge> {
        let mut charge = Charge {
            budget: self.clone(),
            bytes: 0,
        };
        charge.grow(bytes).then_some(charge)
    }
}

/// Bytes taken from a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Charge {
    /// Bytes held by this charge.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `more` bytes, or nothing: false when the budget has no room for them.
    #[must_use]
    pub fn grow(&mut self, more: u64) -> bool {
        let shared = &self.budget.0;
        let own = self.bytes;
        let limit = shared.limit.load(Ordering::Relaxed);
        let taken = shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used == own || used.saturating_add(more) <= limit)
                    .then(|| used.saturating_add(more))
            });
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_bounded_and_given_back() {
        let budget = Budget::new(100);
        let mut first = budget.take(60).expect("room");
        assert!(budget.take(41).is_none());
        assert!(first.grow(40));
        assert!(budget.take(1).is_none());
        drop(first);
        assert_eq!(budget.used(), 0);
        let alone = budget
            .take(1_000)
            .expect("alone, more than the limit passes");
        assert!(budget.take(1).is_none());
        drop(alone);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn another_limit_counts_for_what_is_taken_from_then_on() {
        let budget = Budget::new(100);
        let held = budget.take(90).expect("room");
        budget.resize(50);
        assert!(budget.take(1).is_none());
        budget.resize(120);
        let more = budget.take(30).expect("room");
        drop((held, more));
        assert_eq!(budget.used(), 0);
    }
}

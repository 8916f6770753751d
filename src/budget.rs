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
    /// What is taken here is taken there too.
    whole: Option<Budget>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Shared {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            whole: None,
        }))
    }

    /// A share of this budget: what is taken of it counts here as well, and it never gives more than `limit` bytes.
    #[must_use]
    pub fn share(&self, limit: u64) -> Self {
        Self(Arc::new(Shared {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            whole: Some(self.clone()),
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
        let taken = self.budget.0.take(self.bytes, more);
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Shared {
    /// Takes `more` for a holder that has `own`, here and of the whole, or nothing.
    fn take(&self, own: u64, more: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used == own || used.saturating_add(more) <= limit)
                    .then(|| used.saturating_add(more))
            });
        let Some(whole) = &self.whole else {
            return taken.is_ok();
        };
        if taken.is_ok() && !whole.0.take(own, more) {
            self.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        taken.is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.0.give_back(bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.give_back(self.bytes);
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
    fn a_share_leaves_the_rest_to_others() {
        let whole = Budget::new(100);
        let (one, other) = (whole.share(50), whole.share(50));
        let mut held = one.take(50).expect("its share");
        assert!(one.take(1).is_none(), "no more than its share");
        let rest = other.take(50).expect("what the first could not take");
        assert_eq!((one.used(), other.used(), whole.used()), (50, 50, 100));
        drop(rest);
        let beside = whole.take(45).expect("room");
        assert!(!held.grow(6) && other.take(6).is_none());
        assert_eq!(one.used(), 50);
        assert_eq!(other.used(), 0, "what the whole refused is given back");
        drop((held, beside));
        assert_eq!((one.used(), whole.used()), (0, 0));
        assert!(one.take(60).is_some(), "a larger body passes alone");
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

//! How much waits for each target, and whether one more event may.
//!
//! Invariant: what is counted is what is committed; a batch's changes count within the batch, and are undone
//! with it.

use crate::config::WhenFull;
use crate::event::TargetId;
use std::collections::HashMap;

/// The bound of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) bytes: u64,
    pub(super) when_full: WhenFull,
}

#[derive(Debug)]
struct Waiting {
    bound: Option<Bound>,
    committed_bytes: u64,
    /// What the batch adds (negative: takes away).
    change_bytes: i64,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        self.committed_bytes
            .saturating_add_signed(self.change_bytes)
    }
}

/// The backlogs of all targets.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    targets: HashMap<TargetId, Waiting>,
    /// Targets that the batch has changed; some of them twice.
    changed: Vec<TargetId>,
}

impl Backlogs {
    /// A target with what waits for it already. One that is no longer configured has no bound.
    pub(super) fn insert(&mut self, target: TargetId, bytes: u64, bound: Option<Bound>) {
        let waiting = Waiting {
            bound,
            committed_bytes: bytes,
            change_bytes: 0,
        };
        self.targets.insert(target, waiting);
    }

    /// What is to happen to an event of `bytes` for which `target` has no room; `None` when it has.
    /// A target that nothing waits for takes any event, so that one larger than its bound is not refused for ever.
    pub(super) fn overflow(&self, target: TargetId, bytes: u64) -> Option<WhenFull> {
        let waiting = self.targets.get(&target)?;
        let bound = waiting.bound?;
        let held = waiting.bytes();
        (held > 0 && held.saturating_add(bytes) > bound.bytes).then_some(bound.when_full)
    }

    /// An event waits.
    pub(super) fn add(&mut self, target: TargetId, bytes: u64) {
        self.change(target, i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// An event waits no longer.
    pub(super) fn remove(&mut self, target: TargetId, bytes: u64) {
        self.change(target, -i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn change(&mut self, target: TargetId, bytes: i64) {
        if let Some(waiting) = self.targets.get_mut(&target) {
            waiting.change_bytes = waiting.change_bytes.saturating_add(bytes);
            self.changed.push(target);
        }
    }

    /// The batch is durable.
    pub(super) fn commit(&mut self) {
        self.end(|waiting| waiting.committed_bytes = waiting.bytes());
    }

    /// The batch never was.
    pub(super) fn roll_back(&mut self) {
        self.end(|_| {});
    }

    fn end(&mut self, mut each: impl FnMut(&mut Waiting)) {
        for target in self.changed.drain(..) {
            if let Some(waiting) = self.targets.get_mut(&target) {
                each(waiting);
                waiting.change_bytes = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: TargetId = TargetId(4);

    fn backlogs(bytes: u64, bound: Option<Bound>) -> Backlogs {
        let mut backlogs = Backlogs::default();
        backlogs.insert(TARGET, bytes, bound);
        backlogs
    }

    fn bound(bytes: u64) -> Option<Bound> {
        Some(Bound {
            bytes,
            when_full: WhenFull::Refuse,
        })
    }

    #[test]
    fn the_bound_is_reached_and_left() {
        let cases = [
            (0, bound(100), 1_000, None),
            (40, bound(100), 60, None),
            (40, bound(100), 61, Some(WhenFull::Refuse)),
            (u64::MAX, bound(100), u64::MAX, Some(WhenFull::Refuse)),
            (u64::MAX, None, u64::MAX, None),
        ];
        for (held, bound, more, expected) in cases {
            let overflow = backlogs(held, bound).overflow(TARGET, more);
            assert_eq!(overflow, expected, "{held} and {more} of {bound:?}");
        }
    }

    #[test]
    fn a_batch_counts_within_itself_and_is_undone_as_a_whole() {
        let mut backlogs = backlogs(0, bound(100));
        backlogs.add(TARGET, 60);
        assert!(backlogs.overflow(TARGET, 60).is_some());
        backlogs.roll_back();
        backlogs.add(TARGET, 50);
        backlogs.commit();
        backlogs.remove(TARGET, 50);
        assert!(backlogs.overflow(TARGET, 100).is_none());
        backlogs.roll_back();
        assert!(backlogs.overflow(TARGET, 51).is_some(), "50 still wait");
        backlogs.remove(TARGET, 50);
        backlogs.add(TARGET, 10);
        backlogs.commit();
        assert!(backlogs.overflow(TARGET, 90).is_none());
        assert!(backlogs.overflow(TARGET, 91).is_some());
    }
}

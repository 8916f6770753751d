//! How much waits for each target, and whether one more event may.
//!
//! Invariant: what is counted is what is committed; a batch's changes count within the batch, and are undone
//! with it.

use super::{Backlog, upkeep::Warnings};
use crate::config::{self, WhenFull};
use crate::event::TargetId;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Between two warnings that a target has no room, and that it drops dead letters.
const FULL_EVERY: Duration = Duration::from_secs(1);
const DROPPED_EVERY: Duration = Duration::from_mins(1);

/// The bound of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The target's.
    pub(super) name: Arc<str>,
    /// Of what waits, and of its dead letters.
    pub(super) bytes: u64,
    pub(super) when_full: WhenFull,
}

impl Bound {
    /// That of the target of this name; none if it is not configured.
    pub(super) fn among(targets: &[config::Target], name: &str) -> Option<Self> {
        let target = targets.iter().find(|target| *target.name == *name)?;
        Some(Self {
            name: Arc::clone(&target.name),
            bytes: target.max_backlog_bytes,
            when_full: target.when_full,
        })
    }
}

#[derive(Debug, Default)]
struct Counted {
    committed_bytes: u64,
    /// What the batch adds (negative: takes away).
    change_bytes: i64,
}

impl Counted {
    fn of(committed_bytes: u64) -> Self {
        Self {
            committed_bytes,
            change_bytes: 0,
        }
    }

    fn bytes(&self) -> u64 {
        self.committed_bytes
            .saturating_add_signed(self.change_bytes)
    }

    fn add(&mut self, bytes: u64) {
        self.change(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn remove(&mut self, bytes: u64) {
        self.change(-i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn change(&mut self, bytes: i64) {
        self.change_bytes = self.change_bytes.saturating_add(bytes);
    }

    fn commit(&mut self) {
        self.committed_bytes = self.bytes();
        self.change_bytes = 0;
    }

    fn roll_back(&mut self) {
        self.change_bytes = 0;
    }
}

#[derive(Debug)]
struct Waiting {
    bound: Option<Bound>,
    waits: Counted,
    dead: Counted,
    full_warnings: Warnings,
    dropped_warnings: Warnings,
    /// Dead letters dropped since the last warning.
    dropped: u64,
}

/// The backlogs of all targets.
#[derive(Debug, Default)]
pub(super) struct Backlogs {
    /// Few, and looked at several times for each event: cheaper to search than to hash.
    targets: BTreeMap<TargetId, Waiting>,
    /// Targets that the batch has changed; some of them twice.
    changed: Vec<TargetId>,
}

impl Backlogs {
    /// A target with what waits for it already. One that is no longer configured has no bound.
    pub(super) fn insert(&mut self, target: TargetId, found: &Backlog, bound: Option<Bound>) {
        let waiting = Waiting {
            bound,
            waits: Counted::of(found.bytes),
            dead: Counted::of(found.dead_bytes),
            full_warnings: Warnings::every(FULL_EVERY),
            dropped_warnings: Warnings::every(DROPPED_EVERY),
            dropped: 0,
        };
        self.targets.insert(target, waiting);
    }

    /// Another bound for a target, or none any more. One that is not known yet has nothing that waits.
    pub(super) fn rebound(&mut self, target: TargetId, bound: Option<Bound>) {
        if let Some(waiting) = self.targets.get_mut(&target) {
            waiting.bound = bound;
        } else if bound.is_some() {
            self.insert(target, &Backlog::default(), bound);
        }
    }

    /// What is to happen to an event of `bytes` for which `target` has no room; `None` when it has.
    /// A target that nothing waits for takes any event, so that one larger than its bound is not refused for ever.
    pub(super) fn overflow(&self, target: TargetId, bytes: u64) -> Option<WhenFull> {
        let waiting = self.targets.get(&target)?;
        let bound = waiting.bound.as_ref()?;
        let held = waiting.waits.bytes();
        (held > 0 && held.saturating_add(bytes) > bound.bytes).then_some(bound.when_full)
    }

    /// Whether anything is known of the target, and whether it is configured.
    pub(super) fn is_configured(&self, target: TargetId) -> Option<bool> {
        Some(self.targets.get(&target)?.bound.is_some())
    }

    /// An event waits.
    pub(super) fn add(&mut self, target: TargetId, bytes: u64) {
        self.change(target, |waiting| waiting.waits.add(bytes));
    }

    /// An event waits no longer.
    pub(super) fn remove(&mut self, target: TargetId, bytes: u64) {
        self.change(target, |waiting| waiting.waits.remove(bytes));
    }

    /// A dead letter is kept.
    pub(super) fn bury(&mut self, target: TargetId, bytes: u64) {
        self.change(target, |waiting| waiting.dead.add(bytes));
    }

    /// A dead letter is kept no longer.
    pub(super) fn exhume(&mut self, target: TargetId, bytes: u64) {
        self.change(target, |waiting| waiting.dead.remove(bytes));
    }

    /// Targets with more bytes of dead letters than their bound, and how many more.
    pub(super) fn overgrown(&self) -> Vec<(TargetId, u64)> {
        let excess = |waiting: &Waiting| {
            let bound = waiting.bound.as_ref()?;
            let excess = waiting.dead.bytes().saturating_sub(bound.bytes);
            (excess > 0).then_some(excess)
        };
        self.targets
            .iter()
            .filter_map(|(target, waiting)| Some((*target, excess(waiting)?)))
            .collect()
    }

    /// An event was refused since `target` has no room for it.
    pub(super) fn refused(&mut self, target: TargetId) {
        if let Some(waiting) = self.targets.get_mut(&target)
            && let Some(bound) = &waiting.bound
            && waiting.full_warnings.is_due()
        {
            tracing::warn!(
                target = &*bound.name,
                max_backlog_bytes = bound.bytes,
                "events are refused: as much waits for this target as may"
            );
        }
    }

    /// Dead letters of `target` were dropped, durably.
    pub(super) fn dropped(&mut self, target: TargetId, count: u64) {
        let Some(waiting) = self.targets.get_mut(&target) else {
            return;
        };
        waiting.dropped += count;
        if let Some(bound) = &waiting.bound
            && waiting.dropped_warnings.is_due()
        {
            tracing::warn!(
                target = &*bound.name,
                count = std::mem::take(&mut waiting.dropped),
                max_backlog_bytes = bound.bytes,
                "oldest dead letters are dropped: more are not kept for one target"
            );
        }
    }

    fn change(&mut self, target: TargetId, change: impl FnOnce(&mut Waiting)) {
        if let Some(waiting) = self.targets.get_mut(&target) {
            change(waiting);
            if self.changed.last() != Some(&target) {
                self.changed.push(target);
            }
        }
    }

    /// The batch is durable.
    pub(super) fn commit(&mut self) {
        self.end(Counted::commit);
    }

    /// The batch never was.
    pub(super) fn roll_back(&mut self) {
        self.end(Counted::roll_back);
    }

    fn end(&mut self, each: impl Fn(&mut Counted)) {
        for target in self.changed.drain(..) {
            if let Some(waiting) = self.targets.get_mut(&target) {
                each(&mut waiting.waits);
                each(&mut waiting.dead);
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
        let found = Backlog {
            bytes,
            ..Backlog::default()
        };
        backlogs.insert(TARGET, &found, bound);
        backlogs
    }

    fn bound(bytes: u64) -> Bound {
        Bound {
            name: "app".into(),
            bytes,
            when_full: WhenFull::Refuse,
        }
    }

    #[test]
    fn the_bound_is_reached_and_left() {
        let cases = [
            (0, Some(bound(100)), 1_000, None),
            (40, Some(bound(100)), 60, None),
            (40, Some(bound(100)), 61, Some(WhenFull::Refuse)),
            (u64::MAX, Some(bound(100)), u64::MAX, Some(WhenFull::Refuse)),
            (u64::MAX, None, u64::MAX, None),
        ];
        for (held, bound, more, expected) in cases {
            let overflow = backlogs(held, bound.clone()).overflow(TARGET, more);
            assert_eq!(overflow, expected, "{held} and {more} of {bound:?}");
        }
    }

    #[test]
    fn a_batch_counts_within_itself_and_is_undone_as_a_whole() {
        let mut backlogs = backlogs(0, Some(bound(100)));
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

    #[test]
    fn dead_letters_have_the_same_bound_for_themselves() {
        let mut backlogs = backlogs(100, Some(bound(100)));
        backlogs.bury(TARGET, 60);
        backlogs.commit();
        assert!(backlogs.overgrown().is_empty());
        backlogs.bury(TARGET, 60);
        assert_eq!(backlogs.overgrown(), [(TARGET, 20)]);
        backlogs.exhume(TARGET, 60);
        assert!(backlogs.overgrown().is_empty());
        backlogs.roll_back();
        assert!(backlogs.overgrown().is_empty());
        let mut unbound = Backlogs::default();
        unbound.insert(TARGET, &Backlog::default(), None);
        unbound.bury(TARGET, u64::MAX);
        assert!(unbound.overgrown().is_empty());
    }
}

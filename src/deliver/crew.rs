//! The workers of one target: hired when there is something to do, at most `concurrency`, parked when there is not,
//! dismissed after a while, so that a thousand quiet targets cost nothing.
//!
//! Invariants: a worker is busy, waking (summoned, and not yet looking) or parked; it parks under the lock under
//! which it found nothing, and whoever brings something summons under the same lock, so no wake is lost. No more
//! workers wake than there are deliveries to take. The last that parked is summoned first: its caches are warm,
//! and those below it go stale and leave.

use std::{sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

/// How long a worker stays without work: longer than the gap between a busy source's events, short enough that
/// a burst's workers are soon gone.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How to get a worker to look.
#[derive(Debug)]
pub(super) enum Summon {
    /// Ring for a parked one.
    Ring(Arc<Notify>),
    /// Spawn one.
    Hire,
}

/// The workers of one target.
#[derive(Debug)]
pub(super) struct Crew {
    most: usize,
    hired: usize,
    waking: usize,
    parked: Vec<Parked>,
}

#[derive(Debug)]
struct Parked {
    bell: Arc<Notify>,
    idle_since: Instant,
}

impl Crew {
    /// Nobody, and at most `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            hired: 0,
            waking: 0,
            parked: Vec::new(),
        }
    }

    /// From now on at most `most`. Those that are parked beyond it are to be rung for; the others leave when they look.
    pub(super) fn resize(&mut self, most: usize) -> Vec<Arc<Notify>> {
        self.most = most;
        let surplus = self.hired.saturating_sub(most).min(self.parked.len());
        let bells: Vec<_> = self.parked.drain(..surplus).collect();
        self.waking += bells.len();
        bells.into_iter().map(|parked| parked.bell).collect()
    }

    /// Whether more are hired than may be.
    pub(super) fn is_over(&self) -> bool {
        self.hired > self.most
    }

    /// One more worker for `ready` deliveries, unless enough are on their way or all are busy.
    pub(super) fn summon(&mut self, ready: usize) -> Option<Summon> {
        if self.waking >= ready {
            return None;
        }
        let summon = if let Some(parked) = self.parked.pop() {
            Summon::Ring(parked.bell)
        } else if self.hired < self.most {
            self.hired += 1;
            Summon::Hire
        } else {
            return None;
        };
        self.waking += 1;
        Some(summon)
    }

    /// A summoned worker looks.
    pub(super) fn arrived(&mut self) {
        self.waking -= 1;
    }

    /// A worker found nothing: it waits for its bell (true), or leaves if it was idle for too long.
    pub(super) fn park(&mut self, bell: &Arc<Notify>, idle_since: Instant, now: Instant) -> bool {
        if now.duration_since(idle_since) >= IDLE_MAX {
            self.leave();
            return false;
        }
        self.parked.push(Parked {
            bell: Arc::clone(bell),
            idle_since,
        });
        true
    }

    /// A worker leaves.
    pub(super) fn leave(&mut self) {
        self.hired -= 1;
    }

    /// Those that are idle for too long, to be rung for: they find nothing and leave.
    pub(super) fn stale(&mut self, now: Instant) -> Vec<Arc<Notify>> {
        self.ring_if(|parked| now.duration_since(parked.idle_since) >= IDLE_MAX)
    }

    /// All that are parked, to be rung for.
    pub(super) fn all(&mut self) -> Vec<Arc<Notify>> {
        self.ring_if(|_| true)
    }

    fn ring_if(&mut self, wanted: impl Fn(&Parked) -> bool) -> Vec<Arc<Notify>> {
        let rung = self.parked.extract_if(.., |parked| wanted(parked));
        let bells: Vec<_> = rung.map(|parked| parked.bell).collect();
        self.waking += bells.len();
        bells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bell() -> Arc<Notify> {
        Arc::new(Notify::new())
    }

    #[test]
    fn no_more_wake_than_can_take() {
        let mut crew = Crew::new(2);
        assert!(crew.summon(0).is_none());
        assert!(matches!(crew.summon(1), Some(Summon::Hire)));
        assert!(crew.summon(1).is_none(), "one is on its way");
        assert!(matches!(crew.summon(2), Some(Summon::Hire)));
        assert!(crew.summon(3).is_none(), "all are hired");
        crew.arrived();
        crew.arrived();
        assert!(crew.summon(3).is_none(), "all are busy");
    }

    #[test]
    fn the_last_parked_is_rung_first() {
        let now = Instant::now();
        let mut crew = Crew::new(2);
        let bells = [bell(), bell()];
        for _ in &bells {
            crew.summon(2);
        }
        for bell in &bells {
            crew.arrived();
            assert!(crew.park(bell, now, now));
        }
        let Some(Summon::Ring(first)) = crew.summon(1) else {
            panic!("one is parked");
        };
        assert!(Arc::ptr_eq(&first, &bells[1]));
    }

    #[test]
    fn fewer_may_be_hired_than_are() {
        let now = Instant::now();
        let mut crew = Crew::new(3);
        let bells = [bell(), bell(), bell()];
        for _ in &bells {
            crew.summon(3);
        }
        crew.arrived();
        crew.arrived();
        crew.park(&bells[0], now, now);
        crew.park(&bells[1], now, now);
        crew.arrived();
        let rung = crew.resize(1);
        assert!(Arc::ptr_eq(&rung[0], &bells[0]) && Arc::ptr_eq(&rung[1], &bells[1]));
        for _ in rung {
            crew.arrived();
            assert!(crew.is_over());
            crew.leave();
        }
        assert!(!crew.is_over() && crew.summon(5).is_none(), "one is busy");
        assert!(crew.resize(2).is_empty());
        assert!(matches!(crew.summon(5), Some(Summon::Hire)));
    }

    #[test]
    fn the_stale_leave() {
        let start = Instant::now();
        let later = start + IDLE_MAX;
        let mut crew = Crew::new(2);
        let bells = [bell(), bell()];
        for _ in &bells {
            crew.summon(2);
        }
        for (bell, since) in bells.iter().zip([start, start + IDLE_MAX / 2]) {
            crew.arrived();
            crew.park(bell, since, since);
        }
        let stale = crew.stale(later);
        assert_eq!(stale.len(), 1);
        assert!(Arc::ptr_eq(&stale[0], &bells[0]));
        crew.arrived();
        assert!(!crew.park(&bells[0], start, later), "it leaves");
        assert_eq!(crew.all().len(), 1);
        assert!(
            matches!(crew.summon(9), Some(Summon::Hire)),
            "its place is free"
        );
    }
}

//! What waits for the writer.
//!
//! Invariants: admissions are bounded, those that the writer has taken and not begun among them to one commit's
//! worth, and refused beyond that; settlements and what is to be forgotten are
//! never refused, since their callers bound them. There is one way to wake the writer.

use super::adopt::Adopting;
use super::steering::Steering;
use super::{Admission, NotStored, Settlement};
use crate::dedupe::Kind;
use crate::event::{EventId, Seq, TargetId};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Admissions that may wait: 40 ms of them at 100,000 a second; their bytes are bounded by `in_flight_bytes`.
const ADMISSIONS_MAX: usize = 4096;

/// What the writer takes at most, so that whatever waits is counted here: admissions and settlements of one commit.
pub(super) const TAKEN_ADMISSIONS: usize = 256;
pub(super) const TAKEN_SETTLEMENTS: usize = 1024;

/// Calls of operators that may wait here, and as many again that the writer has taken.
const STEERS_MAX: usize = 16;

/// Settlements that are worth their place in a commit: each of them touches pages that many share. Half of what a
/// target may have unsettled (`deliver` bounds it), so that it never waits for this.
const SETTLEMENTS_WAKE: usize = 128;

/// How long fewer settlements wait for company, since nobody waits for them. At most this much more is
/// delivered again after a crash.
const SETTLEMENTS_LINGER: Duration = Duration::from_millis(5);

/// Tells a request what became of its event.
pub(super) type Reply = oneshot::Sender<Result<EventId, NotStored>>;

/// Deliveries of `target` that were received before `before_ms` are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abandon {
    pub(super) target: TargetId,
    pub(super) before_ms: u64,
}

/// Work for the writer.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) admissions: VecDeque<(Admission, Reply)>,
    pub(super) settlements: Vec<Settlement>,
    pub(super) forgets: Vec<(Seq, Kind)>,
    pub(super) abandons: Vec<Abandon>,
    /// Events whose payload was found damaged.
    pub(super) corrupt: Vec<Seq>,
    pub(super) steers: VecDeque<Steering>,
    /// Another configuration.
    pub(super) adopting: Option<Adopting>,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.admissions.is_empty()
            && self.settlements.is_empty()
            && self.forgets.is_empty()
            && self.abandons.is_empty()
            && self.corrupt.is_empty()
            && self.steers.is_empty()
            && self.adopting.is_none()
    }

    /// How many more settlements it takes.
    fn room_to_settle(&self) -> usize {
        TAKEN_SETTLEMENTS.saturating_sub(self.settlements.len())
    }

    /// Takes over what fills a commit from `other`; settlements if `may_settle`.
    fn fill(&mut self, other: &mut Self, may_settle: bool) {
        let room = TAKEN_ADMISSIONS.saturating_sub(self.admissions.len());
        let admissions = room.min(other.admissions.len());
        self.admissions.extend(other.admissions.drain(..admissions));
        if may_settle {
            let settlements = self.room_to_settle().min(other.settlements.len());
            self.settlements
                .extend(other.settlements.drain(..settlements));
        }
        self.forgets.append(&mut other.forgets);
        self.abandons.append(&mut other.abandons);
        self.corrupt.append(&mut other.corrupt);
        let steers = STEERS_MAX.saturating_sub(self.steers.len());
        let steers = steers.min(other.steers.len());
        self.steers.extend(other.steers.drain(..steers));
        if self.adopting.is_none() {
            self.adopting = other.adopting.take();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    work: Work,
    /// When the settlements that wait have to go: with the first of them their time begins.
    settle_at: Option<Instant>,
    closed: bool,
}

impl State {
    /// Whether the settlements that wait go with the next commit.
    fn is_settling(&self, now: Instant) -> bool {
        self.closed
            || self.work.settlements.len() >= SETTLEMENTS_WAKE
            || self.settle_at.is_some_and(|at| now >= at)
    }
}

/// The writer's queue.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

impl Inbox {
    pub(super) fn admit(
        &self,
        admission: Admission,
    ) -> Result<oneshot::Receiver<Result<EventId, NotStored>>, NotStored> {
        let (reply, answer) = oneshot::channel();
        let first = {
            let mut state = self.state.lock();
            if state.closed {
                return Err(NotStored::Unavailable);
            }
            let waiting = &mut state.work.admissions;
            if waiting.len() >= ADMISSIONS_MAX {
                return Err(NotStored::Overloaded);
            }
            waiting.push_back((admission, reply));
            waiting.len() == 1
        };
        // Later ones find the writer awake, or on its way.
        if first {
            self.wake.notify_one();
        }
        Ok(answer)
    }

    pub(super) fn settle(&self, settlement: Settlement) {
        // Another delivery waits for the place of this one.
        let is_urgent = settlement.lane.is_some();
        let wake = {
            let mut state = self.state.lock();
            if state.closed {
                // Delivered at least once: it is delivered again at the next start.
                tracing::debug!(seq = settlement.seq.0, "settled after the store was closed");
                return;
            }
            state.work.settlements.push(settlement);
            let waiting = state.work.settlements.len();
            if is_urgent {
                state.settle_at = Some(Instant::now());
            } else if state.settle_at.is_none() {
                state.settle_at = Some(Instant::now() + SETTLEMENTS_LINGER);
            }
            waiting == 1 || waiting == SETTLEMENTS_WAKE || is_urgent
        };
        if wake {
            self.wake.notify_one();
        }
    }

    /// Nobody waits for these: they go with the next commit, or with the writer's next round.
    pub(super) fn forget(&self, keys: Vec<(Seq, Kind)>) {
        let mut state = self.state.lock();
        if !state.closed {
            state.work.forgets.extend(keys);
        }
    }

    /// As [`Self::forget`]. Asked again for the same target, the later time counts.
    pub(super) fn abandon(&self, abandon: Abandon) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        let waiting = &mut state.work.abandons;
        match waiting.iter_mut().find(|a| a.target == abandon.target) {
            Some(same) => same.before_ms = same.before_ms.max(abandon.before_ms),
            None => waiting.push(abandon),
        }
    }

    /// As [`Self::forget`]. The event's payload is damaged: what waits for it is given up.
    pub(super) fn bury_corrupt(&self, seq: Seq) {
        let mut state = self.state.lock();
        if !state.closed {
            state.work.corrupt.push(seq);
        }
    }

    /// Takes what an operator asks.
    pub(super) fn steer(&self, steering: Steering) -> Result<(), NotStored> {
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(NotStored::Unavailable);
            }
            if state.work.steers.len() >= STEERS_MAX {
                return Err(NotStored::Overloaded);
            }
            state.work.steers.push_back(steering);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Takes another configuration, if none waits.
    pub(super) fn adopt(&self, adopting: Adopting) -> Result<(), NotStored> {
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(NotStored::Unavailable);
            }
            if state.work.adopting.is_some() {
                return Err(NotStored::Overloaded);
            }
            state.work.adopting = Some(adopting);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Nothing more is taken; what waits is still handed to the writer.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_one();
    }

    /// Fills `work` up to one commit, after waiting for something worth that, at the longest until `deadline`.
    /// False when closed: then what is left comes with the next calls.
    pub(super) fn take(&self, work: &mut Work, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        // Settlements that `work` has no room for are no reason to go on.
        let may_settle = work.room_to_settle() > 0;
        let now = loop {
            let now = Instant::now();
            let settle_at = state.settle_at.filter(|_| may_settle);
            if !state.work.admissions.is_empty()
                || !state.work.steers.is_empty()
                || state.work.adopting.is_some()
                || (may_settle && state.is_settling(now))
                || now >= deadline
            {
                break now;
            }
            let until = settle_at.map_or(deadline, |at| at.min(deadline));
            self.wake.wait_until(&mut state, until);
        };
        let settling = state.is_settling(now);
        work.fill(&mut state.work, settling);
        if settling {
            // Those that are left over were to go as well.
            state.settle_at = (!state.work.settlements.is_empty()).then_some(now);
        }
        !state.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Outcome;
    use std::sync::Arc;

    fn settlement(seq: u64) -> Settlement {
        Settlement {
            target: TargetId(1),
            seq: Seq(seq),
            was_due_ms: None,
            bytes: 0,
            outcome: Outcome::Delivered,
            replay: 0,
            lane: None,
            attempt: None,
        }
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[test]
    fn a_lone_settlement_waits_only_a_little() {
        let inbox = Arc::new(Inbox::default());
        let writer = std::thread::spawn({
            let inbox = Arc::clone(&inbox);
            move || {
                let mut work = Work::default();
                let open = inbox.take(&mut work, far());
                (open, work.settlements.len())
            }
        });
        inbox.settle(settlement(1));
        assert_eq!(writer.join().expect("ended"), (true, 1));
    }

    #[test]
    fn settlements_wait_for_many_of_their_kind_unless_another_delivery_waits() {
        let inbox = Inbox::default();
        let before = Instant::now();
        inbox.settle(settlement(0));
        let at = inbox.state.lock().settle_at.expect("set by the first");
        assert!(at >= before + SETTLEMENTS_LINGER);
        for seq in 1..SETTLEMENTS_WAKE as u64 {
            let state = inbox.state.lock();
            assert_eq!(state.settle_at, Some(at), "the first one's time counts");
            assert!(!state.is_settling(before), "{seq} are too few");
            assert!(state.is_settling(at), "{seq} have waited enough");
            drop(state);
            inbox.settle(settlement(seq));
        }
        assert!(inbox.state.lock().is_settling(before), "they are enough");

        let inbox = Inbox::default();
        inbox.settle(settlement(0));
        inbox.settle(Settlement {
            lane: Some(crate::event::Lane(1)),
            ..settlement(1)
        });
        assert!(
            inbox.state.lock().is_settling(Instant::now()),
            "a lane waits"
        );

        // What is taken meanwhile leaves them alone.
        let mut waiting = Work::default();
        waiting.settlements.push(settlement(0));
        waiting.corrupt.push(Seq(7));
        let mut work = Work::default();
        work.fill(&mut waiting, false);
        assert_eq!((work.corrupt.len(), work.settlements.len()), (1, 0));
        work.fill(&mut waiting, true);
        assert_eq!((waiting.settlements.len(), work.settlements.len()), (0, 1));
    }

    #[test]
    fn what_nobody_waits_for_goes_at_the_deadline() {
        let inbox = Inbox::default();
        inbox.forget(vec![(Seq(1), Kind::Event)]);
        let abandon = |before_ms| Abandon {
            target: TargetId(1),
            before_ms,
        };
        inbox.abandon(abandon(5));
        inbox.abandon(abandon(7));
        inbox.abandon(abandon(6));
        let mut work = Work::default();
        assert!(inbox.take(&mut work, Instant::now()));
        assert_eq!(work.forgets, [(Seq(1), Kind::Event)]);
        assert_eq!(work.abandons, [abandon(7)], "the later time counts");
    }

    #[test]
    fn after_closing_what_waits_is_handed_over_and_nothing_more_is_taken() {
        let inbox = Inbox::default();
        inbox.settle(settlement(1));
        inbox.close();
        inbox.settle(settlement(2));
        inbox.forget(vec![(Seq(1), Kind::Event)]);
        let mut work = Work::default();
        assert!(!inbox.take(&mut work, far()));
        assert_eq!(work.settlements.len(), 1);
        assert!(work.forgets.is_empty());
    }

    #[test]
    fn no_more_is_taken_than_fills_a_commit() {
        let inbox = Inbox::default();
        for seq in 0..2_500 {
            inbox.settle(settlement(seq));
        }
        let mut work = Work::default();
        assert!(inbox.take(&mut work, far()));
        assert_eq!(work.settlements.len(), TAKEN_SETTLEMENTS);
        // A writer that cannot write takes nothing more, and is not woken for it.
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(inbox.take(&mut work, soon));
        assert!(Instant::now() >= soon, "it has waited");
        assert_eq!(work.settlements.len(), TAKEN_SETTLEMENTS);
        work.settlements.clear();
        inbox.close();
        let mut left = Vec::new();
        while !inbox.take(&mut work, far()) && !work.is_empty() {
            left.append(&mut work.settlements);
        }
        assert_eq!(left.len(), 2_500 - TAKEN_SETTLEMENTS);
        assert!(left.iter().map(|s| s.seq.0).eq(1_024..2_500), "in order");
    }
}

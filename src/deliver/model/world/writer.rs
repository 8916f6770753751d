//! The writer of the model: it commits what was admitted and settled, and announces one thing after the other.
//!
//! Invariants: what is announced was committed before, and all of it is announced before the next commit; a retry is
//! settled as it was taken, unless its time was changed meanwhile.

use super::World;
use crate::deliver::fixture::{event, watched};
use crate::deliver::job;
use crate::deliver::model::lane;
use crate::event::{Event, FirstAttempts, Seq, TargetId};
use crate::store::{DeadReason, Outcome, Settlement};
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum Announcement {
    Admitted(Arc<Event>),
    Settled(Settlement),
    /// It changed nothing: the delivery was discarded before.
    InVain(Settlement),
    Discarded(Settlement),
}

impl World {
    pub(super) fn admit(&mut self) -> bool {
        self.seq += 1;
        // Two targets, so that a second report of this one would show.
        let (waiting, told) = FirstAttempts::new(2);
        let event = watched(self.seq, waiting);
        self.watchers.push((Arc::clone(&event), told));
        self.admitting.push(event);
        true
    }

    pub(super) fn commit(&mut self) -> bool {
        let idle = self.admitting.is_empty() && self.settling.is_empty();
        if idle || !self.announcements.is_empty() {
            return false;
        }
        for event in self.admitting.drain(..) {
            self.rows.insert(event.seq.0, (0, None));
            self.announcements.push_back(Announcement::Admitted(event));
        }
        for settlement in self.settling.drain(..) {
            match settlement.outcome {
                _ if !self.rows.contains_key(&settlement.seq.0) => {
                    self.announcements
                        .push_back(Announcement::InVain(settlement));
                    continue;
                }
                Outcome::Retry { attempts, due_ms } => {
                    let row = self.rows.get_mut(&settlement.seq.0).expect("it waits");
                    assert!(row.1 == settlement.was_due_ms || self.hastened);
                    *row = (attempts, Some(due_ms));
                }
                Outcome::Delivered | Outcome::Dead { .. } => {
                    self.rows.remove(&settlement.seq.0).expect("it waits");
                }
            }
            self.announcements
                .push_back(Announcement::Settled(settlement));
        }
        true
    }

    /// The writer gives up what waits, commits, and announces.
    pub(super) fn discard(&mut self, nth: usize) -> bool {
        let nth = nth % self.rows.len().max(1);
        let Some(seq) = self.rows.keys().copied().nth(nth) else {
            return false;
        };
        let seq = Seq(seq);
        // Neither announced nor settled, it is beyond an operator's reach for the moment.
        let on_its_way = self
            .announcements
            .iter()
            .any(|announcement| match announcement {
                Announcement::Admitted(event) => event.seq == seq,
                Announcement::Settled(settlement)
                | Announcement::InVain(settlement)
                | Announcement::Discarded(settlement) => settlement.seq == seq,
            });
        if on_its_way {
            return false;
        }
        self.rows.remove(&seq.0);
        self.discards = true;
        self.announcements
            .push_back(Announcement::Discarded(Settlement {
                target: TargetId(1),
                seq,
                was_due_ms: None,
                bytes: event(seq.0).weight(),
                outcome: Outcome::Dead {
                    reason: DeadReason::Discarded,
                    attempts: 0,
                },
                replay: 0,
                lane: lane(seq.0),
                attempt: None,
            }));
        true
    }

    pub(super) fn announce(&mut self) -> bool {
        match self.announcements.pop_front() {
            Some(Announcement::Admitted(event)) => {
                let lane = lane(event.seq.0);
                if !self.scheduler.admitted(&event, event.weight(), lane) {
                    job::tell(&event, false);
                }
            }
            Some(Announcement::Settled(settlement)) => {
                self.out.remove(&settlement.seq);
                self.scheduler.settled(&settlement);
            }
            Some(Announcement::InVain(settlement)) => {
                self.out.remove(&settlement.seq);
                self.scheduler.in_vain(settlement.lane, settlement.seq);
            }
            Some(Announcement::Discarded(settlement)) => {
                if let Some(job) = self.scheduler.discarded(&settlement) {
                    job.tell(false);
                }
            }
            None => return false,
        }
        true
    }
}

//! What waits for the thread that keeps refused requests.
//!
//! Invariant: both queues are bounded, in number and the requests in bytes too; nobody waits to put something in.

use super::ring::{RejectPage, RejectQuery};
use super::{NotStored, Reject};
use crate::budget::{Budget, Charge};
use parking_lot::{Condvar, Mutex};
use std::{collections::VecDeque, time::Instant};
use tokio::sync::oneshot;

/// Requests that may wait, and are written together.
pub(super) const WAITING_MAX: usize = 64;
/// Their bytes; one larger request may wait alone.
pub(super) const WAITING_BYTES: u64 = 2 << 20;
/// Questions of operators that may wait.
const ASKED_MAX: usize = 64;

/// A question of an operator.
#[derive(Debug)]
pub(super) enum Ask {
    List {
        query: RejectQuery,
        answer: oneshot::Sender<Result<RejectPage, NotStored>>,
    },
    Get {
        id: u64,
        answer: oneshot::Sender<Result<Option<Reject>, NotStored>>,
    },
    Remove {
        ids: Vec<u64>,
        answer: oneshot::Sender<Result<(), NotStored>>,
    },
}

/// What the thread does next.
#[derive(Debug)]
pub(super) enum Work {
    /// Write these.
    Keep(Vec<(Reject, Charge)>),
    /// Answer this.
    Answer(Ask),
    /// Nothing comes any more.
    End,
}

#[derive(Debug)]
struct State {
    waiting: Vec<(Reject, Charge)>,
    asked: VecDeque<Ask>,
    closed: bool,
}

/// The thread's queue.
#[derive(Debug)]
pub(super) struct Inbox {
    budget: Budget,
    state: Mutex<State>,
    wake: Condvar,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            budget: Budget::new(WAITING_BYTES),
            state: Mutex::new(State {
                waiting: Vec::with_capacity(WAITING_MAX),
                asked: VecDeque::new(),
                closed: false,
            }),
            wake: Condvar::new(),
        }
    }
}

impl Inbox {
    /// Whether another request may wait, as far as can be told before it is known.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state.lock();
        !state.closed && state.waiting.len() < WAITING_MAX && self.budget.used() < WAITING_BYTES
    }

    /// Puts a request in; false if there is no room.
    pub(super) fn keep(&self, reject: Reject) -> bool {
        let first = {
            let mut state = self.state.lock();
            if state.closed || state.waiting.len() >= WAITING_MAX {
                return false;
            }
            let Some(charge) = self.budget.take(reject.weight()) else {
                return false;
            };
            state.waiting.push((reject, charge));
            state.waiting.len() == 1
        };
        // Later ones find the thread awake, or on its way.
        if first {
            self.wake.notify_one();
        }
        true
    }

    /// Puts a question in.
    pub(super) fn ask(&self, ask: Ask) -> Result<(), NotStored> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(NotStored::Unavailable);
        }
        if state.asked.len() >= ASKED_MAX {
            return Err(NotStored::Overloaded);
        }
        state.asked.push_back(ask);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes nothing more in; what is there is still done.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_one();
    }

    /// Nobody does anything any more: whoever waits for an answer gets none.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.waiting = Vec::new();
        state.asked = VecDeque::new();
    }

    /// Waits for work. Operators go first, and requests wait until `not_before`, unless this is the end.
    pub(super) fn take(&self, not_before: Instant) -> Work {
        let mut state = self.state.lock();
        loop {
            if let Some(ask) = state.asked.pop_front() {
                return Work::Answer(ask);
            }
            if state.waiting.is_empty() {
                if state.closed {
                    return Work::End;
                }
                self.wake.wait(&mut state);
            } else if state.closed || Instant::now() >= not_before {
                let empty = Vec::with_capacity(WAITING_MAX);
                return Work::Keep(std::mem::replace(&mut state.waiting, empty));
            } else {
                // Whether the time has come is asked again.
                let _ = self.wake.wait_until(&mut state, not_before);
            }
        }
    }
}

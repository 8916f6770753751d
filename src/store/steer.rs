//! What an operator does to events: replay, copy, discard, pause, hasten.
//!
//! Invariant: a command is answered after the commit that it is in.

use super::steering::Steering;
use super::{NotStored, Store};
use crate::event::{EventId, Seq, TargetId};
use tokio::sync::oneshot;

/// Commands that one call may bring.
pub const COMMANDS_MAX: usize = 500;

/// Why a dead letter stays where it is discarded twice.
pub const DISCARDED_ALREADY: &str =
    "it is discarded already (a replay delivers it, forget deletes it for good)";

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Deliver an event again, under its own id and key.
    Replay {
        /// Which.
        seq: Seq,
        /// Where; empty: everywhere it was admitted for, as far as that is still configured.
        targets: Vec<TargetId>,
    },
    /// Deliver the same event as another one, under a new id and key.
    Copy {
        /// Which.
        seq: Seq,
        /// As in `Replay`.
        targets: Vec<TargetId>,
    },
    /// What waits becomes a dead letter; a dead letter is forgotten, but not one that was discarded before.
    Discard {
        /// Which.
        seq: Seq,
        /// Where; `None`: everywhere.
        target: Option<TargetId>,
        /// Also a dead letter that was discarded before: the same command twice is no reason to delete it.
        forget: bool,
    },
    /// Whether a target takes nothing, also after a restart. The one who asks tells those who deliver as well.
    Pause {
        /// Which.
        target: TargetId,
        /// Or goes on.
        paused: bool,
    },
    /// Every retry of a target is due now. Done in slices, so that the answer may take seconds where millions wait.
    Hasten {
        /// Which.
        target: TargetId,
    },
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steered {
    /// Done, for so many deliveries.
    Done {
        /// How many; for `Pause` none.
        deliveries: usize,
    },
    /// Discarded: one of these at least.
    Discarded {
        /// What waited, and is a dead letter now.
        buried: usize,
        /// What was a dead letter, and is gone for good.
        forgotten: usize,
    },
    /// The copy's id.
    Copied {
        /// New.
        id: EventId,
    },
    /// Nothing was done, and why.
    Nothing(&'static str),
    /// No such event, or no such target.
    NotFound,
}

impl Store {
    /// Does what an operator asks, at most [`COMMANDS_MAX`] commands (more are [`NotStored::Overloaded`]), and answers
    /// each in its place once it is committed. They go in several commits, so that nobody's event waits for
    /// them; after an error some may be done.
    pub async fn steer(&self, commands: Vec<Command>) -> Result<Vec<Steered>, NotStored> {
        if commands.len() > COMMANDS_MAX {
            return Err(NotStored::Overloaded);
        }
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answered) = oneshot::channel();
        self.0.inbox.steer(Steering::new(commands, reply))?;
        answered.await.unwrap_or(Err(NotStored::Unavailable))
    }
}

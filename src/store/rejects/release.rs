//! A refused request gets another chance: what verified it is asked again, and what passes leaves the ring.
//!
//! Invariants: one at a time; a request leaves the ring only after what became of it is durable, so that a crash in
//! between makes a duplicate of it at worst.

use super::{NotStored, Reject, Rejects};
use crate::event::EventId;
use std::pin::Pin;

/// What becomes of a refused request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes and is an event of this id; of none if it was only asked what would become of it.
    Accepted(Option<EventId>),
    /// It passes and was accepted before, as this event; of none in `passthrough`.
    Duplicate(Option<EventId>),
    /// It passes, and no route wants it.
    Ignored,
    /// It passes, and the app has answered this status (`passthrough`); none if it was not asked.
    Passed(Option<u16>),
    /// It is not taken, and stays in the ring.
    Refused {
        /// In one word.
        reason: &'static str,
        /// In some.
        why: String,
    },
}

impl Verdict {
    /// The same in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Duplicate(_) => "duplicate",
            Self::Ignored => "ignored",
            Self::Passed(_) => "passed",
            Self::Refused { .. } => "refused",
        }
    }

    /// Whether nothing is left to be done about it.
    fn is_done(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// A verdict in the making.
pub type Judging<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Who judges refused requests: what receives requests does. With `dry_run` nothing is done but to tell.
pub trait Judge: Send + Sync + std::fmt::Debug + 'static {
    /// Verifies it as of its time of receipt, with what is configured now, and admits what passes.
    fn judge(&self, reject: Reject, dry_run: bool) -> Judging<'_>;
}

impl Rejects {
    /// Verifies one again; none if it is not there any more.
    pub async fn release(
        &self,
        id: u64,
        judge: &dyn Judge,
        dry_run: bool,
    ) -> Result<Option<Verdict>, NotStored> {
        let _turn = self.0.turn.lock().await;
        let Some(reject) = self.get(id).await? else {
            return Ok(None);
        };
        let verdict = judge.judge(reject, dry_run).await;
        if verdict.is_done() && !dry_run {
            self.remove(vec![id]).await?;
        }
        Ok(Some(verdict))
    }
}

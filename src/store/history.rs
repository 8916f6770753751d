//! What came and where it went, without payloads: kept for `store.history`, for whoever audits.
//!
//! Invariant: a row is in the same commit as what it tells.

use super::lasting;
use super::{Outcome, Settlement};
use crate::event::{Event, Seq, SourceId, TargetId};
use rusqlite::{Connection, Statement, params};

/// The statements that write.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    came: Statement<'c>,
    went: Statement<'c>,
}

/// The end of one delivery.
pub(super) struct Ended<'a> {
    pub(super) seq: Seq,
    pub(super) target: TargetId,
    pub(super) replay: u32,
    /// `delivered`, or the word of a [`super::DeadReason`].
    pub(super) outcome: &'a str,
    pub(super) status: Option<u16>,
    pub(super) attempts: u32,
}

impl<'a> Ended<'a> {
    /// What a settlement ends; `None` for a retry.
    pub(super) fn of(settlement: &'a Settlement) -> Option<Self> {
        let record = settlement.attempt.as_deref();
        let (outcome, attempts) = match settlement.outcome {
            Outcome::Retry { .. } => return None,
            Outcome::Delivered => ("delivered", record.map_or(0, |record| record.attempt)),
            Outcome::Dead { reason, attempts } => (reason.word(), attempts),
        };
        Some(Self {
            seq: settlement.seq,
            target: settlement.target,
            replay: settlement.replay,
            outcome,
            status: record.and_then(|record| record.status),
            attempts,
        })
    }
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            came: lasting::prepare(
                connection,
                "INSERT OR REPLACE INTO history (seq, source, received_ms, type, vendor_id, key) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            went: lasting::prepare(
                connection,
                "INSERT OR REPLACE INTO handed (seq, target, replay, at_ms, outcome, status, attempts) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
        })
    }

    /// An event is admitted.
    pub(super) fn came(
        &mut self,
        event: &Event,
        source: SourceId,
        vendor_id: Option<&str>,
    ) -> rusqlite::Result<()> {
        self.came.execute(params![
            event.seq.0.cast_signed(),
            source.0,
            event.received_ms.cast_signed(),
            event.event_type.as_deref(),
            vendor_id,
            event.key.0,
        ])?;
        Ok(())
    }

    /// A delivery of it ends.
    pub(super) fn went(&mut self, ended: &Ended<'_>, at_ms: u64) -> rusqlite::Result<()> {
        self.went.execute(params![
            ended.seq.0.cast_signed(),
            ended.target.0,
            ended.replay,
            at_ms.cast_signed(),
            ended.outcome,
            ended.status,
            ended.attempts,
        ])?;
        Ok(())
    }
}

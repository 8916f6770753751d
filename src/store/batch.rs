//! One transaction: what is settled, forgotten, expired and admitted together.
//!
//! Invariant: an event, its deliveries and its keys are written in one transaction, or none of them is.

use super::backlog::Backlogs;
use super::inbox::{Abandon, Reply};
use super::lasting;
use super::many::{InsertMany, Wording};
use super::names::SourceNames;
use super::retention::{self, Retention};
use super::row::{self, Encoder};
use super::settle::{self, Abandoned, Class};
use super::space::Space;
use super::steering::{self, Change, Copied};
use super::{Admission, DeadReason, Destination, NotStored, Settlement};
use super::{attempts, history};
use crate::budget::Charge;
use crate::config::WhenFull;
use crate::dedupe::{Kind, Reservation};
use crate::event::{DedupeKey, Event, EventId, Seq, SourceId, StoreTag, TargetId};
use crate::metrics::SourceMetrics;
use rusqlite::{Connection, Statement, params};
use std::{collections::BTreeMap, sync::Arc};

/// Slices of delivered payloads that one batch may drop to make room, and events in each.
const ROOM_SLICES: usize = 16;
const ROOM_SLICE: usize = 64;

/// Dead letters that one batch may drop to keep a target's bound, beside one for each that it may have added.
const DROP_SLICE: usize = 64;

/// `names.last_received_ms` is written when it is this old: it feeds a gauge, nothing else.
const LAST_RECEIVED_EVERY_MS: u64 = 1_000;

/// An event in a transaction that is not yet committed. Dropped, its keys are free again.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) event: Arc<Event>,
    pub(super) reservation: Reservation,
    pub(super) reply: Reply,
    pub(super) waits_for: Vec<Destination>,
    /// Targets without room for it (`when_full: dead_letter`).
    pub(super) refused_by: Vec<TargetId>,
    pub(super) metrics: Arc<SourceMetrics>,
    /// Given back when this is dropped.
    pub(super) _charge: Charge,
    source: SourceId,
    vendor_id: Option<Arc<str>>,
}

/// What the transactions need to know, from one to the next.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) tag: StoreTag,
    /// Names of the sources, for who is told what became of an event.
    pub(super) sources: SourceNames,
    /// The lowest number that no event has.
    pub(super) next_seq: u64,
    pub(super) backlogs: Backlogs,
    pub(super) space: Space,
    pub(super) retention: Retention,
    /// What `names` says of each source.
    pub(super) last_received_ms: BTreeMap<SourceId, u64>,
    /// Attempts that are kept of each delivery.
    pub(super) attempts_most: u32,
    /// Whether there is a history.
    pub(super) keeps_history: bool,
}

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    pub(super) connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    pub(super) add_event: Statement<'c>,
    add_keys: InsertMany<'c, 5>,
    remove_key: Statement<'c>,
    keep_next_seq: Statement<'c>,
    keep_last_received: Statement<'c>,
    pub(super) deliveries: settle::Statements<'c>,
    expiry: retention::Statements<'c>,
    attempts: attempts::Statements<'c>,
    pub(super) history: history::Statements<'c>,
    pub(super) steer: steering::Statements<'c>,
    pub(super) encoder: Encoder,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let prepare = |sql| lasting::prepare(connection, sql);
        Ok(Self {
            connection,
            // Takes the write lock at once: a transaction that begins by reading could fail later.
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            add_event: prepare(row::INSERT)?,
            add_keys: InsertMany::prepare(
                connection,
                Wording {
                    insert: "INSERT INTO keys (id, source, received_ms, hash, body_check)",
                    row: "(?, ?, ?, ?, ?)",
                    then: "",
                    most: 16,
                },
            )?,
            remove_key: prepare("DELETE FROM keys WHERE id = ?1")?,
            keep_next_seq: prepare("UPDATE meta SET value = ?1 WHERE name = 'next_seq'")?,
            keep_last_received: prepare("UPDATE names SET last_received_ms = ?2 WHERE id = ?1")?,
            deliveries: settle::Statements::prepare(connection)?,
            expiry: retention::Statements::prepare(connection)?,
            attempts: attempts::Statements::prepare(connection)?,
            history: history::Statements::prepare(connection)?,
            steer: steering::Statements::prepare(connection)?,
            encoder: Encoder::default(),
        })
    }
}

/// A transaction that is open. What fails in it must be rolled back.
pub(super) struct Batch<'b, 'c> {
    pub(super) rows: &'b mut Statements<'c>,
    pub(super) books: &'b mut Books,
    pub(super) now_ms: u64,
    /// The next event's number; the books learn of it with the commit.
    pub(super) next_seq: u64,
    admitted: Vec<Admitted>,
    /// Where they wait: rows that are still to be written.
    waiting: Vec<settle::Waiting>,
    pub(super) admitted_bytes: u64,
    pub(super) deleted: bool,
    pub(super) wrote: bool,
    cramped: bool,
    /// Attempts that are kept of each delivery.
    attempts_most: u32,
    /// Dead letters that are kept no longer.
    pub(super) forgotten: Vec<TargetId>,
    /// What operators have changed, in order.
    pub(super) changes: Vec<Change>,
    /// Copies of events, in order.
    pub(super) copied: Vec<Copied>,
    /// Those of them that had to make room.
    dropped: Vec<TargetId>,
    /// Dead letters that it may drop.
    pub(super) drop_most: usize,
}

/// What a commit has made durable.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) admitted: Vec<Admitted>,
    /// Copies of events; they come before the admitted ones.
    pub(super) copied: Vec<Copied>,
    /// What operators have changed, in order.
    pub(super) changes: Vec<Change>,
    /// Whether there was anything to write.
    pub(super) wrote: bool,
    /// Whether events were refused because there is no room.
    pub(super) cramped: bool,
    /// Dead letters that are kept no longer, by target.
    pub(super) forgotten: Vec<TargetId>,
    /// Whether more of them have to go.
    pub(super) overgrown: bool,
}

impl<'b, 'c> Batch<'b, 'c> {
    pub(super) fn begin(
        rows: &'b mut Statements<'c>,
        books: &'b mut Books,
        now_ms: u64,
    ) -> rusqlite::Result<Self> {
        rows.begin.execute([])?;
        Ok(Self {
            next_seq: books.next_seq,
            attempts_most: books.attempts_most,
            rows,
            books,
            now_ms,
            admitted: Vec::new(),
            waiting: Vec::new(),
            admitted_bytes: 0,
            deleted: false,
            wrote: false,
            cramped: false,
            forgotten: Vec::new(),
            changes: Vec::new(),
            copied: Vec::new(),
            dropped: Vec::new(),
            drop_most: DROP_SLICE,
        })
    }

    /// Events and bytes that are admitted so far.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.admitted.len(), self.admitted_bytes)
    }

    /// There is no room: nothing is kept of attempts.
    pub(super) fn be_frugal(&mut self) {
        self.attempts_most = 0;
    }

    /// Returns which of them changed nothing.
    pub(super) fn settle(&mut self, settlements: &[Settlement]) -> rusqlite::Result<Vec<usize>> {
        let mut in_vain = Vec::new();
        if settlements.is_empty() {
            return Ok(in_vain);
        }
        self.wrote = true;
        self.books.retention.settled();
        self.drop_most += settlements.len();
        let backlogs = &mut self.books.backlogs;
        let deliveries = &mut self.rows.deliveries;
        let mut settled = deliveries.settle_common(settlements, self.now_ms, backlogs)?;
        settled.sort_unstable();
        let common: Vec<&Settlement> = settled.iter().map(|index| &settlements[*index]).collect();
        self.keep_all(&common)?;
        for (index, settlement) in settlements.iter().enumerate() {
            if settled.binary_search(&index).is_ok() {
                continue;
            }
            let backlogs = &mut self.books.backlogs;
            let deliveries = &mut self.rows.deliveries;
            if deliveries.settle(settlement, self.now_ms, backlogs)? {
                self.keep(settlement)?;
            } else {
                in_vain.push(index);
            }
        }
        Ok(in_vain)
    }

    /// Keeps what is of interest later. Where that has no room it is left out: settling itself never waits for room.
    pub(super) fn keep(&mut self, settlement: &Settlement) -> rusqlite::Result<()> {
        let most = self.attempts_most;
        if let Some(record) = &settlement.attempt
            && most > 0
            && self.books.space.fits(0)
        {
            self.rows.attempts.keep(settlement, record, most)?;
            if !record.answer.is_empty() {
                self.books.space.admit(record.answer.len() as u64);
            }
        }
        if self.books.keeps_history
            && let Some(ended) = history::Ended::of(settlement)
        {
            self.rows.history.went(&ended, self.now_ms)?;
        }
        Ok(())
    }

    /// The same of many first attempts.
    fn keep_all(&mut self, settlements: &[&Settlement]) -> rusqlite::Result<()> {
        if self.attempts_most > 0 && self.books.space.fits(0) {
            let records: Vec<_> = settlements
                .iter()
                .filter_map(|settlement| Some((*settlement, settlement.attempt.as_deref()?)))
                .collect();
            self.rows.attempts.add(&records)?;
            let answers = records.iter().map(|(_, record)| record.answer.len() as u64);
            self.books.space.admit(answers.sum());
        }
        if self.books.keeps_history {
            for ended in settlements
                .iter()
                .filter_map(|of_run| history::Ended::of(of_run))
            {
                self.rows.history.went(&ended, self.now_ms)?;
            }
        }
        Ok(())
    }

    /// Whether the configuration names this target.
    pub(super) fn is_configured(&self, target: TargetId) -> bool {
        self.books.backlogs.is_configured(target) == Some(true)
    }

    /// Gives up at most `most` deliveries of a removed target, and returns them.
    pub(super) fn abandon(
        &mut self,
        abandon: Abandon,
        most: usize,
    ) -> rusqlite::Result<Vec<Abandoned>> {
        let tag = self.books.tag;
        let abandoned = self.rows.deliveries.abandoned(abandon, tag, most)?;
        for delivery in &abandoned {
            self.settle(std::slice::from_ref(&delivery.settlement))?;
        }
        Ok(abandoned)
    }

    /// Gives up whatever waits for an event whose payload is damaged, and returns it.
    pub(super) fn bury_corrupt(&mut self, seq: Seq) -> rusqlite::Result<Vec<Settlement>> {
        let waiting = self.rows.deliveries.of_event(seq)?;
        self.settle(&waiting)?;
        Ok(waiting)
    }

    /// Drops the oldest dead letters of targets that have more than their bound: more than this batch can add.
    pub(super) fn bound_dead(&mut self) -> rusqlite::Result<()> {
        for (target, excess_bytes) in self.books.backlogs.overgrown() {
            let rows = &mut self.rows.deliveries;
            for bytes in rows.drop_dead(target, excess_bytes, self.drop_most)? {
                self.books.backlogs.exhume(target, bytes);
                self.forgotten.push(target);
                self.dropped.push(target);
                self.deleted = true;
            }
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, keys: &[(Seq, Kind)]) -> rusqlite::Result<()> {
        for (seq, kind) in keys {
            self.rows.remove_key.execute([key_id(*seq, *kind)])?;
        }
        self.deleted |= !keys.is_empty();
        Ok(())
    }

    /// Deletes payloads that have expired, at most `most` of each class.
    pub(super) fn expire(&mut self, most: usize) -> rusqlite::Result<usize> {
        let expired = self
            .books
            .retention
            .expire(&mut self.rows.expiry, self.now_ms, most)?;
        self.deleted |= expired.events > 0;
        for (target, bytes) in expired.dead {
            self.books.backlogs.exhume(target, bytes);
            self.forgotten.push(target);
        }
        self.wrote |= expired.history > 0;
        Ok(expired.events + expired.history)
    }

    /// Drops a slice of what is not needed, before its time: attempts, and then the oldest delivered payloads. False if
    /// there are none.
    pub(super) fn make_room(&mut self) -> rusqlite::Result<bool> {
        if self.rows.attempts.make_room()? {
            self.wrote = true;
            return Ok(true);
        }
        let deleted = Retention::make_room(&mut self.rows.expiry, ROOM_SLICE)?;
        self.deleted |= deleted > 0;
        Ok(deleted > 0)
    }

    /// Writes an event, or answers at once that there is no room for it.
    pub(super) fn admit(&mut self, admission: Admission, reply: Reply) -> rusqlite::Result<()> {
        let bytes = crate::event::weight(admission.verified.headers(), admission.verified.body());
        // A number beyond its bits would repeat event ids; it takes centuries to get there.
        if self.next_seq >> Seq::BITS != 0 || !self.has_room(bytes)? {
            return refuse(reply, NotStored::Full);
        }
        let (waits_for, refused_by) = match self.placed(&admission.targets, bytes) {
            Ok(placed) => placed,
            Err(target) => {
                self.books.backlogs.refused(target);
                return refuse(reply, NotStored::Backlog);
            }
        };
        self.books.space.admit(bytes);
        self.admitted_bytes += bytes;
        let admitted = Admitted::new(
            admission,
            Seq(self.next_seq),
            self.books.tag,
            reply,
            waits_for,
            refused_by,
        );
        self.next_seq += 1;
        self.wrote = true;
        self.admitted.push(admitted);
        self.write_last(bytes)
    }

    /// Which targets the event waits for, and which have no room for it; or the one of these that refuses it.
    fn placed(
        &self,
        destinations: &[Destination],
        bytes: u64,
    ) -> Result<(Vec<Destination>, Vec<TargetId>), TargetId> {
        let mut waits_for = Vec::with_capacity(destinations.len());
        let mut refused_by = Vec::new();
        for destination in destinations {
            let target = destination.target;
            match self.books.backlogs.overflow(target, bytes) {
                None => waits_for.push(*destination),
                Some(WhenFull::DeadLetter) => refused_by.push(target),
                Some(WhenFull::Refuse) => return Err(target),
            }
        }
        Ok((waits_for, refused_by))
    }

    /// Writes the rows of the event that was admitted last.
    fn write_last(&mut self, bytes: u64) -> rusqlite::Result<()> {
        let Some(admitted) = self.admitted.last() else {
            return Ok(());
        };
        let (event, source) = (&*admitted.event, admitted.source);
        let rows = &mut *self.rows;
        let fan = admitted.waits_for.len() + admitted.refused_by.len();
        let waits_for = admitted.waits_for.iter().map(|d| d.target);
        let targets = waits_for.chain(admitted.refused_by.iter().copied());
        rows.encoder
            .insert(&mut rows.add_event, event, source, targets)?;
        if self.books.keeps_history {
            let vendor_id = admitted.vendor_id.as_deref();
            rows.history.came(event, source, vendor_id)?;
        }
        for destination in &admitted.waits_for {
            self.waiting.push(settle::Waiting {
                destination: *destination,
                seq: event.seq,
                bytes,
                fan,
            });
            self.books.backlogs.add(destination.target, bytes);
        }
        for target in &admitted.refused_by {
            rows.deliveries.bury(
                *target,
                event.seq,
                DeadReason::Backlog,
                0,
                self.now_ms,
                bytes,
            )?;
            self.books.backlogs.bury(*target, bytes);
            self.drop_most += 1;
            if self.books.keeps_history {
                let ended = history::Ended {
                    seq: event.seq,
                    target: *target,
                    replay: 0,
                    outcome: DeadReason::Backlog.word(),
                    status: None,
                    attempts: 0,
                };
                rows.history.went(&ended, self.now_ms)?;
            }
        }
        if admitted.waits_for.is_empty() {
            rows.deliveries
                .finish(event.seq, Class::WithDeadLetter, self.now_ms)?;
        }
        let last = self.books.last_received_ms.entry(source).or_default();
        if event.received_ms >= last.saturating_add(LAST_RECEIVED_EVERY_MS) {
            *last = event.received_ms;
            rows.keep_last_received
                .execute(params![source.0, event.received_ms.cast_signed()])?;
        }
        Ok(())
    }

    /// Writes the small rows of all events that were admitted.
    fn write_rest(&mut self) -> rusqlite::Result<()> {
        let keys: Vec<_> = self
            .admitted
            .iter()
            .flat_map(|admitted| {
                admitted
                    .reservation
                    .keys()
                    .iter()
                    .map(move |key| (admitted, key))
            })
            .collect();
        self.rows
            .add_keys
            .insert(&keys, |(admitted, (kind, hash)), row| {
                row([
                    &key_id(admitted.event.seq, *kind),
                    &admitted.source.0,
                    &admitted.event.received_ms.cast_signed(),
                    hash,
                    &admitted.reservation.body_check(),
                ])
            })?;
        self.rows.deliveries.add(&self.waiting)
    }

    /// Whether an event of `bytes` fits, if need be after the oldest delivered payloads are dropped.
    pub(super) fn has_room(&mut self, bytes: u64) -> rusqlite::Result<bool> {
        if self.books.space.fits(bytes) || self.cramped {
            return Ok(!self.cramped);
        }
        self.books.space.measure(self.rows.connection)?;
        let wanted = bytes.saturating_add(self.books.space.margin_bytes());
        for _ in 0..ROOM_SLICES {
            if self.books.space.fits(wanted) || !self.make_room()? {
                break;
            }
            self.books.space.measure(self.rows.connection)?;
        }
        self.cramped = !self.books.space.fits(bytes);
        Ok(!self.cramped)
    }

    /// Makes all of it durable.
    pub(super) fn commit(mut self) -> Result<Committed, Failed> {
        let mut write = || -> rusqlite::Result<()> {
            self.write_rest()?;
            self.keep_next_seq()?;
            self.rows.commit.execute([])?;
            Ok(())
        };
        let committed = write();
        if let Err(error) = committed {
            return Err(self.failed(error));
        }
        self.books.next_seq = self.next_seq;
        self.books.backlogs.commit();
        for dropped in self.dropped.chunk_by(|one, next| one == next) {
            self.books
                .backlogs
                .dropped(dropped[0], dropped.len() as u64);
        }
        Ok(Committed {
            // Without a row to drop there is nothing to go on with.
            overgrown: !self.dropped.is_empty() && !self.books.backlogs.overgrown().is_empty(),
            forgotten: self.forgotten,
            copied: self.copied,
            changes: self.changes,
            admitted: self.admitted,
            wrote: self.wrote || self.deleted,
            cramped: self.cramped,
        })
    }

    /// Rows show which numbers were used; once they are deleted, this does.
    fn keep_next_seq(&mut self) -> rusqlite::Result<()> {
        if self.deleted {
            self.rows
                .keep_next_seq
                .execute([self.next_seq.cast_signed()])?;
        }
        Ok(())
    }

    /// Undoes all of it.
    pub(super) fn failed(self, error: rusqlite::Error) -> Failed {
        self.books.backlogs.roll_back();
        // Some errors roll back by themselves.
        let rolled_back = if self.rows.connection.is_autocommit() {
            Ok(())
        } else {
            self.rows.connection.execute_batch("ROLLBACK")
        };
        Failed {
            error: rolled_back.err().unwrap_or(error),
            admitted: self.admitted,
        }
    }
}

/// A transaction that was rolled back.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: rusqlite::Error,
    /// What would have been admitted.
    pub(super) admitted: Vec<Admitted>,
}

impl Admitted {
    fn new(
        admission: Admission,
        seq: Seq,
        tag: StoreTag,
        reply: Reply,
        waits_for: Vec<Destination>,
        refused_by: Vec<TargetId>,
    ) -> Self {
        let id = EventId::new(admission.received_ms, tag, seq);
        let (headers, body, secret_header) = admission.verified.into_parts();
        let key = admission
            .key
            .unwrap_or_else(|| DedupeKey::of_exempt(&admission.key_name, id));
        let event = Event {
            seq,
            id,
            received_ms: admission.received_ms,
            source: admission.source_name,
            event_type: admission.event_type,
            key,
            headers,
            secret_header,
            body,
            first_attempts: admission.first_attempts,
        };
        Self {
            event: Arc::new(event),
            reservation: admission.reservation,
            reply,
            waits_for,
            refused_by,
            metrics: admission.metrics,
            _charge: admission.charge,
            source: admission.source,
            vendor_id: admission.vendor_id,
        }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a refusal ends an admission as well as a success does"
)]
fn refuse(reply: Reply, why: NotStored) -> rusqlite::Result<()> {
    // Whoever has gone away needs no answer.
    let _ = reply.send(Err(why));
    Ok(())
}

fn key_id(seq: Seq, kind: Kind) -> i64 {
    (seq.0 << 2 | kind as u64).cast_signed()
}

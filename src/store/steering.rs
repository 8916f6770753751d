//! What an operator asks, carried out in the writer's batches a slice at a time.
//!
//! Invariants: an answer says what is committed; a batch does no more than one slice, so that nobody's event waits for an
//! operator; what a slice changes is told to the feed in order.

use super::batch::Batch;
use super::lasting;
use super::redo::Discarded;
use super::row::{self, Decoder};
use super::settle;
use super::steer::DISCARDED_ALREADY;
use super::{Command, Destination, Feed, NotStored, Settlement, Steered};
use crate::event::{DedupeKey, Event, EventId, OVERHEAD_BYTES, Seq, SourceId, TargetId};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use std::time::{Duration, Instant};
use std::{sync::Arc, vec};
use tokio::sync::oneshot;

/// Commands of one slice, and the longest that it may take beside one command more.
const SLICE_COMMANDS: usize = 64;
const SLICE_TIME: Duration = Duration::from_millis(2);

/// Bytes of copies in one slice; one copy more may be in it.
const SLICE_BYTES: u64 = 1024 * 1024;

/// Deliveries that a slice looks at for retries, and those that it hastens.
const HASTEN_LOOK: usize = 1024;
const HASTEN_MOST: usize = 256;

/// Bytes that the rows of a replay take.
const REPLAY_BYTES: u64 = 256;

type Reply = oneshot::Sender<Result<Vec<Steered>, NotStored>>;

/// One call of an operator, as far as it is carried out.
#[derive(Debug)]
pub(super) struct Steering {
    /// Those that are left.
    commands: vec::IntoIter<Command>,
    answers: Vec<Steered>,
    /// How far the first command that is left has come, if that is to hasten.
    hastening: Option<Hastening>,
    reply: Reply,
}

/// How far the retries of a target are hastened.
#[derive(Clone, Copy, Debug)]
struct Hastening {
    after: Seq,
    due_ms: u64,
    deliveries: usize,
}

/// What one batch has done for a call.
#[derive(Debug, Default)]
pub(super) struct Progress {
    answers: Vec<Steered>,
    hastening: Option<Hastening>,
}

impl Steering {
    pub(super) fn new(commands: Vec<Command>, reply: Reply) -> Self {
        Self {
            commands: commands.into_iter(),
            answers: Vec::new(),
            hastening: None,
            reply,
        }
    }

    /// The progress is committed. Answers if that was all; otherwise gives back what is left.
    pub(super) fn advance(mut self, progress: Progress) -> Option<Self> {
        for answer in progress.answers {
            self.commands.next();
            self.answers.push(answer);
        }
        self.hastening = progress.hastening;
        if self.commands.as_slice().is_empty() {
            // Whoever has gone away needs no answer.
            let _ = self.reply.send(Ok(self.answers));
            return None;
        }
        Some(self)
    }

    /// It is not carried out, or not to its end.
    pub(super) fn refuse(self, why: NotStored) {
        // Whoever has gone away needs no answer.
        let _ = self.reply.send(Err(why));
    }
}

/// Something that the feed has to hear of.
#[derive(Debug)]
pub(super) enum Change {
    Replayed {
        target: TargetId,
        bytes: u64,
        due_ms: u64,
    },
    Discarded(Settlement),
    Hastened {
        target: TargetId,
        due_ms: u64,
    },
}

impl Change {
    pub(super) fn tell(&self, feed: &dyn Feed) {
        match self {
            Self::Replayed {
                target,
                bytes,
                due_ms,
            } => feed.replayed(*target, *bytes, *due_ms),
            Self::Discarded(settlement) => feed.discarded(std::slice::from_ref(settlement)),
            Self::Hastened { target, due_ms } => feed.hastened(*target, *due_ms),
        }
    }
}

/// A copy of an event in a transaction that is not yet committed.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) event: Arc<Event>,
    pub(super) targets: Vec<TargetId>,
}

/// The statements.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    weight: Statement<'c>,
    source: Statement<'c>,
    event: Statement<'c>,
    pause: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            weight: lasting::prepare(
                connection,
                "SELECT headers, length(body) FROM events WHERE seq = ?1",
            )?,
            source: lasting::prepare(connection, "SELECT source FROM events WHERE seq = ?1")?,
            event: lasting::prepare(connection, row::SELECT)?,
            pause: lasting::prepare(
                connection,
                "UPDATE names SET paused = ?2 WHERE id = ?1 AND kind = 1",
            )?,
        })
    }

    /// What the event counts for; `None` if it is not stored. Its body is not read: whether it is whole shows when it is
    /// delivered.
    fn weight(&mut self, seq: Seq) -> rusqlite::Result<Option<u64>> {
        self.weight
            .query_row([seq.0.cast_signed()], |row| {
                let headers = row.get_ref(0)?.as_bytes().unwrap_or_default();
                // Each line is one byte shorter than what the header counts for; nothing follows the last.
                let lines = headers.split(|byte| *byte == b'\n').count() - 1;
                let body = row.get::<_, Option<i64>>(1)?.unwrap_or_default();
                Ok((OVERHEAD_BYTES + headers.len() + lines) as u64 + body.cast_unsigned())
            })
            .optional()
    }
}

/// Whether a command is carried out.
enum Step {
    Done(Steered),
    More(Hastening),
}

impl Batch<'_, '_> {
    /// Carries out the next slice of a call.
    pub(super) fn steer(&mut self, steering: &Steering) -> rusqlite::Result<Progress> {
        let stop_at = Instant::now() + SLICE_TIME;
        let bytes_most = self.admitted_bytes + SLICE_BYTES;
        let mut hastening = steering.hastening;
        let mut progress = Progress::default();
        for command in steering.commands.as_slice().iter().take(SLICE_COMMANDS) {
            match self.carry_out(command, hastening.take())? {
                Step::Done(answer) => progress.answers.push(answer),
                Step::More(hastening) => {
                    progress.hastening = Some(hastening);
                    break;
                }
            }
            if Instant::now() >= stop_at || self.admitted_bytes >= bytes_most {
                break;
            }
        }
        Ok(progress)
    }

    fn carry_out(
        &mut self,
        command: &Command,
        hastening: Option<Hastening>,
    ) -> rusqlite::Result<Step> {
        let answer = match command {
            Command::Replay { seq, targets } => self.replay(*seq, targets)?,
            Command::Copy { seq, targets } => self.copy(*seq, targets)?,
            Command::Discard {
                seq,
                target,
                forget,
            } => self.discard(*seq, *target, *forget)?,
            Command::Pause { target, paused } => self.pause(*target, *paused)?,
            Command::Hasten { target } => return self.hasten(*target, hastening),
        };
        Ok(Step::Done(answer))
    }

    /// Where an operator wants an event to go: where it was admitted for, as far as that is still there, unless he says.
    fn wanted(&mut self, seq: Seq, targets: &[TargetId]) -> rusqlite::Result<Vec<TargetId>> {
        if targets.is_empty() {
            return self.rows.deliveries.admitted_for(seq);
        }
        let mut wanted: Vec<TargetId> = Vec::with_capacity(targets.len());
        for target in targets {
            if !wanted.contains(target) {
                wanted.push(*target);
            }
        }
        Ok(wanted)
    }

    /// Why an event of `bytes` cannot wait for `target`.
    fn obstacle(&self, target: TargetId, bytes: u64) -> Option<&'static str> {
        let backlogs = &self.books.backlogs;
        if backlogs.is_configured(target) != Some(true) {
            return Some("target is not configured");
        }
        backlogs
            .overflow(target, bytes)
            .map(|_| "as much waits for the target as may")
    }

    fn replay(&mut self, seq: Seq, targets: &[TargetId]) -> rusqlite::Result<Steered> {
        // Before the event is looked for: making room may drop it.
        if !self.has_room(REPLAY_BYTES)? {
            return Ok(Steered::Nothing("store is full"));
        }
        let Some(bytes) = self.rows.steer.weight(seq)? else {
            return Ok(Steered::NotFound);
        };
        let mut why = "it was admitted for no target";
        let mut to = Vec::new();
        for target in self.wanted(seq, targets)? {
            if self.rows.deliveries.waits(target, seq)? {
                why = "it waits there already";
            } else if let Some(obstacle) = self.obstacle(target, bytes) {
                why = obstacle;
            } else {
                to.push(target);
            }
        }
        if to.is_empty() {
            return Ok(Steered::Nothing(why));
        }
        let before = self.rows.deliveries.replays.find(seq)?;
        let count = before.map_or(0, |before| before.count).saturating_add(1);
        let rows = &mut self.rows.deliveries;
        rows.reopen(seq, count, &to, self.now_ms)?;
        for target in &to {
            let dead = rows.replay(*target, seq, bytes, count, self.now_ms)?;
            self.books.backlogs.add(*target, bytes);
            if let Some(dead_bytes) = dead {
                self.books.backlogs.exhume(*target, dead_bytes);
                self.forgotten.push(*target);
            }
            self.changes.push(Change::Replayed {
                target: *target,
                bytes,
                due_ms: self.now_ms,
            });
        }
        self.books.space.admit(REPLAY_BYTES * to.len() as u64);
        self.wrote = true;
        Ok(Steered::Done {
            deliveries: to.len(),
        })
    }

    fn copy(&mut self, seq: Seq, targets: &[TargetId]) -> rusqlite::Result<Steered> {
        let decoder = Decoder {
            tag: self.books.tag,
            sources: self.books.sources.clone(),
        };
        let rows = &mut self.rows.steer;
        let source: Option<u32> = rows
            .source
            .query_row([seq.0.cast_signed()], |row| row.get(0))
            .optional()?;
        let Some(source) = source.map(SourceId) else {
            return Ok(Steered::NotFound);
        };
        let Some(original) = decoder.read(&mut rows.event, seq)? else {
            return Ok(Steered::Nothing("its stored payload is damaged"));
        };
        let bytes = original.weight();
        let explicit = !targets.is_empty();
        let mut to = Vec::new();
        for target in self.wanted(seq, targets)? {
            match self.obstacle(target, bytes) {
                None => to.push(target),
                // A copy goes everywhere it should or nowhere, like any event that is admitted.
                Some(why)
                    if explicit || self.books.backlogs.is_configured(target) == Some(true) =>
                {
                    return Ok(Steered::Nothing(why));
                }
                Some(_) => {}
            }
        }
        if to.is_empty() {
            return Ok(Steered::Nothing("none of its targets is configured"));
        }
        if self.next_seq >> Seq::BITS != 0 || !self.has_room(bytes)? {
            return Ok(Steered::Nothing("store is full"));
        }
        let event = self.write_copy(original, source, &to, bytes)?;
        let id = event.id;
        self.copied.push(Copied { event, targets: to });
        Ok(Steered::Copied { id })
    }

    fn write_copy(
        &mut self,
        original: Event,
        source: SourceId,
        to: &[TargetId],
        bytes: u64,
    ) -> rusqlite::Result<Arc<Event>> {
        let seq = Seq(self.next_seq);
        let id = EventId::new(self.now_ms, self.books.tag, seq);
        let event = Arc::new(Event {
            seq,
            id,
            received_ms: self.now_ms,
            key: DedupeKey::of_exempt(&original.source, id),
            ..original
        });
        self.next_seq += 1;
        self.wrote = true;
        self.books.space.admit(bytes);
        self.admitted_bytes += bytes;
        let rows = &mut *self.rows;
        let targets = to.iter().copied();
        rows.encoder
            .insert(&mut rows.add_event, &event, source, targets)?;
        if self.books.keeps_history {
            rows.history.came(&event, source, None)?;
        }
        for target in to {
            rows.deliveries.add(&[settle::Waiting {
                destination: Destination::from(*target),
                seq,
                bytes,
                fan: to.len(),
            }])?;
            self.books.backlogs.add(*target, bytes);
        }
        Ok(event)
    }

    fn discard(
        &mut self,
        seq: Seq,
        target: Option<TargetId>,
        forget: bool,
    ) -> rusqlite::Result<Steered> {
        let targets = match target {
            Some(target) => vec![target],
            None => self.rows.deliveries.all_targets(seq)?,
        };
        let (mut buried, mut forgotten, mut already) = (0, 0, 0);
        for target in targets {
            let backlogs = &mut self.books.backlogs;
            let rows = &mut self.rows.deliveries;
            match rows.discard(target, seq, forget, self.now_ms, backlogs)? {
                None => {}
                Some(Discarded::Already) => already += 1,
                Some(Discarded::Buried(settlement)) => {
                    buried += 1;
                    self.drop_most += 1;
                    self.keep(&settlement)?;
                    self.changes.push(Change::Discarded(settlement));
                }
                Some(Discarded::Forgotten) => {
                    forgotten += 1;
                    self.deleted = true;
                    self.forgotten.push(target);
                }
            }
        }
        if buried + forgotten > 0 {
            self.wrote = true;
            self.books.retention.settled();
            return Ok(Steered::Discarded { buried, forgotten });
        }
        if already > 0 {
            return Ok(Steered::Nothing(DISCARDED_ALREADY));
        }
        let is_stored = self.rows.steer.weight(seq)?.is_some();
        Ok(if is_stored {
            Steered::Nothing("it neither waits nor is a dead letter")
        } else {
            Steered::NotFound
        })
    }

    fn pause(&mut self, target: TargetId, paused: bool) -> rusqlite::Result<Steered> {
        let row = params![target.0, paused];
        if self.rows.steer.pause.execute(row)? == 0 {
            return Ok(Steered::NotFound);
        }
        self.wrote = true;
        Ok(Steered::Done { deliveries: 0 })
    }

    /// Goes once over what waits for a target, so that a retry that fails meanwhile is not hastened for ever.
    fn hasten(&mut self, target: TargetId, begun: Option<Hastening>) -> rusqlite::Result<Step> {
        if self.books.backlogs.is_configured(target).is_none() {
            return Ok(Step::Done(Steered::NotFound));
        }
        let Hastening {
            after,
            due_ms,
            deliveries,
        } = begun.unwrap_or(Hastening {
            after: Seq(0),
            due_ms: self.now_ms,
            deliveries: 0,
        });
        let (hastened, last) =
            self.rows
                .deliveries
                .hasten(target, after, due_ms, HASTEN_LOOK, HASTEN_MOST)?;
        if hastened > 0 {
            self.wrote = true;
            self.changes.push(Change::Hastened { target, due_ms });
        }
        let deliveries = deliveries + hastened;
        Ok(match last {
            Some(after) => Step::More(Hastening {
                after,
                due_ms,
                deliveries,
            }),
            None => Step::Done(Steered::Done { deliveries }),
        })
    }
}

//! The writer: one thread that commits in groups.
//!
//! Invariants: nobody is told of anything that is not committed; after an error that nobody can judge nothing
//! is committed any more; settlements that could not be written are kept until they can be.

use super::batch::{Admitted, Batch, Books, Committed, Failed, Statements};
use super::health::{Health, PoisonOnPanic, Trouble};
use super::inbox::{self, Inbox, Work};
use super::settle;
use super::steering::Progress;
use super::upkeep::{Upkeep, Warnings};
use super::{Abandoned, Destination, Feed, NotStored, Settlement};
use crate::clock;
use crate::event::{Event, TargetId};
use crate::metrics::StoreMetrics;
use rusqlite::Connection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Events in one commit: enough to share its sync, few enough for its tail.
const ADMISSIONS_MAX: usize = inbox::TAKEN_ADMISSIONS;

/// Bytes of events in one commit; one event more may be in it.
const ADMISSIONS_BYTES: u64 = 8 * 1024 * 1024;

/// Settlements in one commit, and as many keys to forget.
const SETTLEMENTS_MAX: usize = inbox::TAKEN_SETTLEMENTS;

/// Deliveries of a removed target that are given up in one commit.
const ABANDON_SLICE: usize = 64;

/// Expired events that a commit deletes anyway, and for each that it admits: more go than come.
const EXPIRE_SLICE: usize = 32;
const EXPIRE_PER_ADMISSION: usize = 2;

/// The same when nothing else is to be done.
const EXPIRE_IDLE_SLICE: usize = 256;

/// Between the beginnings of two commits while events come faster than one by one. A commit costs some 100 KB of log
/// and a sync, however few events are in it: measured with 64 senders, this saves 5 % of an event's processor time
/// and makes nobody wait longer. A lone event never waits.
const COMMIT_INTERVAL: Duration = Duration::from_micros(600);

/// Between two looks when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Between two tries while the disk is full or the database is locked.
const RETRY: Duration = Duration::from_millis(100);

/// What the writer works with.
pub(super) struct Writer {
    pub(super) inbox: Arc<Inbox>,
    pub(super) health: Arc<Health>,
    pub(super) feed: Arc<dyn Feed>,
    pub(super) metrics: StoreMetrics,
    pub(super) books: Books,
    pub(super) upkeep: Upkeep,
}

/// Why and until when nothing is admitted.
#[derive(Clone, Copy)]
struct Held {
    why: NotStored,
    until: Instant,
}

/// The thread.
pub(super) fn serve(connection: &Connection, writer: &mut Writer) {
    let health = Arc::clone(&writer.health);
    let inbox = Arc::clone(&writer.inbox);
    let _poison = PoisonOnPanic(&health);
    // Also when this thread panics: whoever waits must not wait for ever.
    let _close = CloseInbox(&inbox);
    match Statements::prepare(connection) {
        Ok(rows) => Round::new(writer, connection, rows).run(),
        Err(e) => health.poison("prepare to write", &e),
    }
}

/// Takes nothing more, and lets go of what waits: its requests hear that the store is unavailable.
struct CloseInbox<'a>(&'a Inbox);

impl Drop for CloseInbox<'_> {
    fn drop(&mut self) {
        self.0.close();
        let mut left = Work::default();
        while {
            self.0.take(&mut left, Instant::now());
            !left.is_empty()
        } {
            refuse_all(&mut left, NotStored::Unavailable);
            left = Work::default();
        }
    }
}

fn refuse_all(work: &mut Work, why: NotStored) {
    for (_, reply) in work.admissions.drain(..) {
        // Whoever has gone away needs no answer.
        let _ = reply.send(Err(why));
    }
    for steering in work.steers.drain(..) {
        steering.refuse(why);
    }
}

/// What the writer knows from round to round.
struct Round<'w, 'c> {
    writer: &'w mut Writer,
    connection: &'c Connection,
    rows: Statements<'c>,
    work: Work,
    held: Option<Held>,
    /// Expired events or dead letters without room are left over.
    expiring: bool,
    cramped: bool,
    /// The last commit admitted more than one event.
    crowded: bool,
    /// When the last round began.
    begun: Instant,
    full_warnings: Warnings,
}

impl<'w, 'c> Round<'w, 'c> {
    fn new(writer: &'w mut Writer, connection: &'c Connection, rows: Statements<'c>) -> Self {
        Self {
            writer,
            connection,
            rows,
            work: Work::default(),
            held: None,
            expiring: false,
            cramped: false,
            crowded: false,
            begun: Instant::now(),
            full_warnings: Warnings::default(),
        }
    }

    fn run(&mut self) {
        loop {
            self.pace();
            let deadline = self.deadline();
            let open = self.writer.inbox.take(&mut self.work, deadline);
            self.begun = Instant::now();
            if self.writer.health.is_poisoned() {
                return refuse_all(&mut self.work, NotStored::Unavailable);
            }
            let done = !open && (self.work.is_empty() || self.held.is_some());
            if done {
                return self.finish();
            }
            self.round();
            self.look_after_log();
        }
    }

    /// Lets events gather while more than one came with the last commit.
    fn pace(&self) {
        if self.crowded {
            let next = self.begun + COMMIT_INTERVAL;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// When to go on although nothing came.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        match self.held {
            Some(held) => held.until,
            None if self.expiring || !self.work.is_empty() => now,
            None => (now + TICK).min(self.writer.books.retention.look_at()),
        }
    }

    fn round(&mut self) {
        let now = Instant::now();
        if let Some(held) = self.held {
            refuse_all(&mut self.work, held.why);
            if now < held.until {
                return;
            }
        }
        if self.work.is_empty()
            && self.held.is_none()
            && !self.expiring
            && now < self.writer.books.retention.look_at()
        {
            return;
        }
        match self.commit() {
            Ok(committed) => self.tell(committed, now),
            Err(failed) => self.give_up(failed),
        }
    }

    /// Writes as much of the work as one transaction takes. What is settled comes first, so that admissions
    /// find the room that it makes.
    fn commit(&mut self) -> Result<(Committed, Done), Failed> {
        let work = &mut self.work;
        let held = self.held.is_some();
        let idle = work.is_empty();
        let mut done = Done {
            settled: work.settlements.len().min(SETTLEMENTS_MAX),
            forgotten: work.forgets.len().min(SETTLEMENTS_MAX),
            ..Done::default()
        };
        let now_ms = clock::unix_ms();
        let mut batch = match Batch::begin(&mut self.rows, &mut self.writer.books, now_ms) {
            Ok(batch) => batch,
            Err(error) => {
                return Err(Failed {
                    error,
                    admitted: Vec::new(),
                });
            }
        };
        let mut write = || -> rusqlite::Result<()> {
            if held {
                batch.be_frugal();
            }
            done.in_vain = batch.settle(&work.settlements[..done.settled])?;
            batch.forget(&work.forgets[..done.forgotten])?;
            if let Some(abandon) = work.abandons.first() {
                done.given_up = batch.abandon(*abandon, ABANDON_SLICE)?;
                done.abandoned = done.given_up.len() < ABANDON_SLICE;
            }
            for seq in &work.corrupt {
                done.buried.extend(batch.bury_corrupt(*seq)?);
            }
            if held {
                batch.make_room()?;
            }
            if let Some(steering) = work.steers.front() {
                done.steered = Some(batch.steer(steering)?);
            }
            while let (events, bytes) = batch.size()
                && events < ADMISSIONS_MAX
                && bytes < ADMISSIONS_BYTES
                && let Some((admission, reply)) = work.admissions.pop_front()
            {
                batch.admit(admission, reply)?;
            }
            let (events, _) = batch.size();
            let most = if idle {
                EXPIRE_IDLE_SLICE
            } else {
                EXPIRE_SLICE + EXPIRE_PER_ADMISSION * events
            };
            batch.bound_dead()?;
            done.expired = batch.expire(most)?;
            Ok(())
        };
        match write() {
            Ok(()) => batch.commit().map(|committed| (committed, done)),
            Err(error) => Err(batch.failed(error)),
        }
    }

    /// The commit is through: everyone hears of it, the requests first.
    fn tell(&mut self, (committed, mut done): (Committed, Done), begun: Instant) {
        let Committed {
            admitted,
            wrote,
            copied,
            changes,
            cramped,
            mut forgotten,
            overgrown,
        } = committed;
        if self.held.take().is_some() {
            tracing::info!("store writes again");
        }
        if wrote {
            self.writer.metrics.commit_duration.record(begun.elapsed());
            self.writer.upkeep.committed();
        }
        self.crowded = admitted.len() > 1;
        if !admitted.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
            let events = admitted.len() as f64;
            self.writer.metrics.commit_events.record(events);
        }
        if cramped && self.full_warnings.is_due() {
            tracing::warn!(
                "store is full: events are refused until deliveries settle or payloads expire"
            );
        }
        self.cramped = cramped;
        self.expiring = done.expired > 0 || overgrown;
        let feed = &self.writer.feed;
        for copy in &copied {
            copy.event.log_accepted();
            for target in &copy.targets {
                feed.admitted(Destination::from(*target), &copy.event);
            }
        }
        let durable: Vec<Durable> = admitted.into_iter().map(Durable::answer).collect();
        for event in &durable {
            event.event.log_accepted();
            event.feed(&**feed);
        }
        if done.settled > 0 {
            if !done.in_vain.is_empty() {
                let in_vain = done.take_in_vain(&mut self.work.settlements);
                feed.in_vain(&in_vain);
            }
            feed.settled(&self.work.settlements[..done.settled]);
            self.work.settlements.drain(..done.settled);
        }
        self.work.forgets.drain(..done.forgotten);
        self.work.corrupt.clear();
        if !done.buried.is_empty() {
            feed.discarded(&done.buried);
        }
        if !done.given_up.is_empty() {
            let sources = &self.writer.books.sources;
            let named = |delivery: settle::Abandoned| Abandoned {
                event: delivery
                    .event
                    .and_then(|(id, source)| Some((id, sources.get(&source).cloned()?))),
                settlement: delivery.settlement,
            };
            let given_up: Vec<_> = done.given_up.into_iter().map(named).collect();
            feed.abandoned(&given_up);
        }
        forgotten.sort_unstable();
        for of_one in forgotten.chunk_by(|one, next| one == next) {
            feed.forgotten(of_one[0], of_one.len() as u64);
        }
        for change in &changes {
            change.tell(&**feed);
        }
        if let (Some(progress), Some(steering)) = (done.steered, self.work.steers.pop_front())
            && let Some(unfinished) = steering.advance(progress)
        {
            // The others have their turn.
            self.work.steers.push_back(unfinished);
        }
        if done.abandoned {
            self.work.abandons.remove(0);
        }
    }

    /// The batch is rolled back. Its admissions hear so, the rest of it is tried again.
    fn give_up(&mut self, failed: Failed) {
        let Failed { error, admitted } = failed;
        let trouble = Trouble::of(&error);
        let why = match trouble {
            Trouble::Full => NotStored::Full,
            Trouble::Busy | Trouble::Fatal => NotStored::Unavailable,
        };
        for Admitted { reply, .. } in admitted {
            // Whoever has gone away needs no answer.
            let _ = reply.send(Err(why));
        }
        refuse_all(&mut self.work, why);
        if trouble == Trouble::Fatal {
            return self.writer.health.poison("commit", &error);
        }
        if self.held.is_none() {
            tracing::warn!(%error, "store cannot write: events are refused until it can");
        }
        self.held = Some(Held {
            why,
            until: Instant::now() + RETRY,
        });
    }

    fn look_after_log(&mut self) {
        if self.writer.health.is_poisoned() {
            return;
        }
        let Writer { upkeep, books, .. } = &mut *self.writer;
        let room_is_wanted = self.cramped || self.held.is_some();
        let looked = upkeep.look(self.connection, &mut books.space, room_is_wanted);
        if let Err(error) = looked
            && Trouble::of(&error) == Trouble::Fatal
        {
            self.writer.health.poison("checkpoint the log", &error);
        }
    }

    /// The end: nothing more comes, and what came is written, or cannot be.
    fn finish(&mut self) {
        if !self.work.is_empty() {
            let settlements = self.work.settlements.len();
            tracing::warn!(
                settlements,
                "store could not write when it was closed: these are delivered again"
            );
        }
        refuse_all(&mut self.work, NotStored::Unavailable);
        match self.writer.upkeep.close(self.connection) {
            Ok(log) if log.is_whole() => {}
            Ok(_) => tracing::warn!(
                "log was in use when the store was closed: it is read at the next start"
            ),
            Err(e) if Trouble::of(&e) == Trouble::Fatal => {
                self.writer.health.poison("checkpoint the log", &e);
            }
            Err(error) => {
                tracing::warn!(%error, "log was not checkpointed when the store was closed");
            }
        }
    }
}

/// How much of the work a batch has done.
#[derive(Debug, Default)]
struct Done {
    settled: usize,
    forgotten: usize,
    /// Deliveries of a removed target.
    given_up: Vec<settle::Abandoned>,
    /// Deliveries of events whose payload is damaged.
    buried: Vec<Settlement>,
    /// None of that target are left.
    abandoned: bool,
    expired: usize,
    /// Which of the settlements changed nothing.
    in_vain: Vec<usize>,
    steered: Option<Progress>,
}

impl Done {
    /// Takes those that changed nothing out of the settlements that were written.
    fn take_in_vain(&mut self, settlements: &mut Vec<Settlement>) -> Vec<Settlement> {
        self.settled -= self.in_vain.len();
        // From the last to the first, so that the numbers stay right.
        let in_vain = self.in_vain.drain(..).rev();
        in_vain.map(|index| settlements.remove(index)).collect()
    }
}

/// An event that is durable, and whose request knows it.
struct Durable {
    event: Arc<Event>,
    waits_for: Vec<Destination>,
    refused_by: Vec<TargetId>,
}

impl Durable {
    /// Its keys are remembered before the request is answered: nobody may see the answer and find them unknown.
    fn answer(admitted: Admitted) -> Self {
        let Admitted {
            event,
            reservation,
            reply,
            waits_for,
            refused_by,
            metrics,
            ..
        } = admitted;
        reservation.durable(event.seq, event.received_ms, event.id);
        // Here and not by the request, which may have been answered at its deadline or be gone.
        metrics.accepted(event.received_ms);
        // Whoever has gone away needs no answer.
        let _ = reply.send(Ok(event.id));
        Self {
            event,
            waits_for,
            refused_by,
        }
    }

    fn feed(&self, feed: &dyn Feed) {
        for destination in &self.waits_for {
            feed.admitted(*destination, &self.event);
        }
        for target in &self.refused_by {
            feed.refused(*target, &self.event);
        }
    }
}

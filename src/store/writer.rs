//! The writer: one thread that commits in groups.
//!
//! Invariants: nobody is told of anything that is not committed; after an error that nobody can judge nothing
//! is committed any more; settlements that could not be written are kept until they can be.

use super::adopt::Adopted;
use super::batch::{Admitted, Batch, Books, Committed, Failed, Statements};
use super::checkpoint::Bounds;
use super::health::{Health, PoisonOnPanic, Trouble};
use super::inbox::{self, Inbox, Work};
use super::outbox::{News, Outbox};
use super::settle;
use super::steering::Progress;
use super::upkeep::{Upkeep, Warnings};
use super::{Abandoned, NotStored, Settlement};
use crate::clock;
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

/// Between two commits that delete what has expired, while others have to be made: deleting touches pages that
/// nothing else does, and many share them.
const EXPIRE_EVERY: Duration = Duration::from_millis(5);

/// Expired events that such a commit deletes anyway, and for each that was admitted since the last: more go than
/// come.
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
    pub(super) outbox: Arc<Outbox>,
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
    let outbox = Arc::clone(&writer.outbox);
    let _poison = PoisonOnPanic(&health);
    let _end = CloseOutbox(&outbox);
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

/// Tells what is left before the thread is gone. When it panics the runtime's task does that: it is committed, and whoever
/// is told may panic too, which would end the process without a word.
struct CloseOutbox<'a>(&'a Outbox);

impl Drop for CloseOutbox<'_> {
    fn drop(&mut self) {
        self.0.close();
        if !std::thread::panicking() {
            self.0.tell();
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
    if let Some(adopting) = work.adopting.take() {
        adopting.refuse(why);
    }
}

/// What the writer knows from round to round.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of the last commit, and none excludes another"
)]
struct Round<'w, 'c> {
    writer: &'w mut Writer,
    connection: &'c Connection,
    rows: Statements<'c>,
    work: Work,
    held: Option<Held>,
    /// There may be more that has expired.
    expiring: bool,
    /// When expired events were deleted last, and how many were admitted since.
    expired_at: Instant,
    admitted_since: usize,
    /// Dead letters without room are left over.
    overgrown: bool,
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
            expired_at: Instant::now(),
            admitted_since: 0,
            overgrown: false,
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
            None if self.overgrown || !self.work.is_empty() => now,
            None if self.expiring => self.expired_at + EXPIRE_EVERY,
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
            && !self.overgrown
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
        let expire_due = self.expired_at.elapsed() >= EXPIRE_EVERY;
        let admitted_since = self.admitted_since;
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
            if let Some(adopting) = &work.adopting {
                done.adopted = Some(batch.adopt(&adopting.adoption)?);
            }
            if let Some(abandon) = work.abandons.first() {
                // One that is configured again by now keeps what waits for it.
                if !batch.is_configured(abandon.target) {
                    done.given_up = batch.abandon(*abandon, ABANDON_SLICE)?;
                }
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
            batch.bound_dead()?;
            if idle || expire_due {
                let (events, _) = batch.size();
                let admitted = admitted_since + events;
                let most = EXPIRE_SLICE + EXPIRE_PER_ADMISSION * admitted;
                let least = if idle { EXPIRE_IDLE_SLICE } else { 0 };
                done.expired = Some(batch.expire(most.max(least))?);
            }
            Ok(())
        };
        match write() {
            Ok(()) => batch.commit().map(|committed| (committed, done)),
            Err(error) => Err(batch.failed(error)),
        }
    }

    /// The commit is through: everyone hears of it.
    fn tell(&mut self, (committed, mut done): (Committed, Done), begun: Instant) {
        let Committed {
            admitted,
            wrote,
            copied,
            changes,
            cramped,
            forgotten,
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
        self.admitted_since += admitted.len();
        if let Some(expired) = done.expired {
            self.expiring = expired > 0;
            self.expired_at = begun;
            self.admitted_since = 0;
        }
        self.overgrown = overgrown;
        let in_vain = done.take_in_vain(&mut self.work.settlements);
        let settled = self.work.settlements.drain(..done.settled).collect();
        self.work.forgets.drain(..done.forgotten);
        self.work.corrupt.clear();
        let sources = &self.writer.books.sources;
        let named = |delivery: settle::Abandoned| Abandoned {
            event: delivery
                .event
                .and_then(|(id, source)| Some((id, sources.get(source)?))),
            settlement: delivery.settlement,
        };
        self.writer.outbox.post(News {
            copied,
            admitted,
            in_vain,
            settled,
            buried: done.buried,
            given_up: done.given_up.into_iter().map(named).collect(),
            forgotten,
            changes,
        });
        if let (Some(progress), Some(steering)) = (done.steered, self.work.steers.pop_front()) {
            // Who asked for a change finds it made.
            self.writer.outbox.tell();
            if let Some(unfinished) = steering.advance(progress) {
                // The others have their turn.
                self.work.steers.push_back(unfinished);
            }
        }
        if done.abandoned {
            self.work.abandons.remove(0);
        }
        if let (Some(adopted), Some(adopting)) = (done.adopted, self.work.adopting.take()) {
            let Writer { books, upkeep, .. } = &mut *self.writer;
            books.adopt(&adopting.adoption, &adopted);
            let store = &adopting.adoption.store;
            upkeep.resize(Bounds::of(store.max_size_bytes, store.min_free_bytes));
            adopting.done(adopted);
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
    /// Events and rows of the history that have expired, if it was time to look.
    expired: Option<usize>,
    /// Which of the settlements changed nothing.
    in_vain: Vec<usize>,
    steered: Option<Progress>,
    adopted: Option<Adopted>,
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

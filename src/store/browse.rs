//! What an operator sees: events, one event with its attempts, and the history. Read on a thread and a connection of
//! their own.
//!
//! Invariant: a call reads for at most [`TIME_MAX`], and a page looks at no more than [`ROWS_MAX`] rows; then it ends with
//! a cursor, whether it is full or not.

use super::detail::Details;
use super::health::{Health, PoisonOnPanic};
use super::looking::Names;
use super::page::Pages;
use super::row::Decoder;
use super::{NotStored, Store};
use crate::event::{DedupeKey, Event, EventId, Seq, SourceId, TargetId};
use bytes::Bytes;
use rusqlite::Connection;
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// The longest that one call reads: a reader keeps the log from starting over.
pub(super) const TIME_MAX: Duration = Duration::from_millis(100);

/// Rows that one page looks at.
pub(super) const ROWS_MAX: usize = 10_000;

/// Rows of a page.
pub(super) const LIMIT_MAX: usize = 200;

/// Requests that may wait. Beyond it, who asks waits.
pub(super) const REQUESTS_MAX: usize = 16;

/// Where an event stands at a target, or everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits.
    Pending,
    /// The app has it.
    Delivered,
    /// Given up.
    Dead,
}

/// Which events. What is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of this source.
    pub source: Option<SourceId>,
    /// For this target.
    pub target: Option<TargetId>,
    /// A pattern as in a route's `events`: `*` is any run of characters.
    pub event_type: Option<String>,
    /// At the target; without one: pending or dead anywhere, delivered everywhere.
    pub state: Option<State>,
    /// Received at this time or later, Unix milliseconds.
    pub from_ms: Option<u64>,
    /// Received before this time, Unix milliseconds.
    pub to_ms: Option<u64>,
    /// Only these.
    pub seqs: Option<Vec<Seq>>,
    /// Only those before this one: the last page's [`Page::cursor`].
    pub cursor: Option<Seq>,
    /// At most as many, and at most 200.
    pub limit: usize,
}

/// Events, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// They.
    pub events: Vec<Summary>,
    /// Where to go on, also after an empty page; `None`: there are no more.
    pub cursor: Option<Seq>,
    /// Rows that were looked at.
    pub scanned: usize,
}

/// An event without headers and body.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its number.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Its source's name.
    pub source: Arc<str>,
    /// Unix milliseconds.
    pub received_ms: u64,
    /// Its type.
    pub event_type: Option<Arc<str>>,
    /// The app's idempotency key.
    pub key: DedupeKey,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// How often it was replayed.
    pub replays: u32,
    /// Where it stands, by target.
    pub deliveries: Vec<DeliveryState>,
}

/// An event at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryState {
    /// Which.
    pub target: TargetId,
    /// Its name.
    pub target_name: Arc<str>,
    /// Where it stands.
    pub state: State,
    /// Attempts made; 0 where it is delivered, unless they are kept.
    pub attempts: u32,
    /// When it is tried again, Unix milliseconds.
    pub due_ms: Option<u64>,
    /// Why it is dead, as metrics name it.
    pub reason: Option<&'static str>,
    /// Since when, Unix milliseconds.
    pub dead_ms: Option<u64>,
}

/// One event, whole.
#[derive(Clone, Debug)]
pub struct Detail {
    /// As it was admitted; of a damaged one, what can be read.
    pub event: Arc<Event>,
    /// Where it stands.
    pub summary: Summary,
    /// The attempts that are kept, in order.
    pub attempts: Vec<AttemptRow>,
    /// Its stored row fails its checksum.
    pub damaged: bool,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// The target's name.
    pub target: Arc<str>,
    /// 1, 2 ... within its delivery.
    pub attempt: u32,
    /// Of which replay; 0: of none.
    pub replay: u32,
    /// When it began, Unix milliseconds.
    pub at_ms: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// The app's answer, if there was one.
    pub status: Option<u16>,
    /// Why there is none.
    pub error: Option<String>,
    /// The answer's first bytes, at most [`super::ANSWER_KEPT_BYTES`].
    pub answer: Bytes,
}

/// Which part of the history. What is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Only this event.
    pub seq: Option<Seq>,
    /// The vendor's own id, exactly.
    pub vendor_id: Option<String>,
    /// Of this source.
    pub source: Option<SourceId>,
    /// Received at this time or later, Unix milliseconds.
    pub from_ms: Option<u64>,
    /// Received before this time, Unix milliseconds.
    pub to_ms: Option<u64>,
    /// Only those before this one: the last page's [`HistoryPage::cursor`].
    pub cursor: Option<Seq>,
    /// At most as many, and at most 200.
    pub limit: usize,
}

/// A part of the history, newest first.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// It.
    pub events: Vec<HistoryRow>,
    /// Where to go on, also after an empty page; `None`: there is no more.
    pub cursor: Option<Seq>,
    /// Rows that were looked at.
    pub scanned: usize,
}

/// What is kept of an event longer than its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its number.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Its source's name.
    pub source: Arc<str>,
    /// Its type.
    pub event_type: Option<Arc<str>>,
    /// The vendor's own id.
    pub vendor_id: Option<Arc<str>>,
    /// The app's idempotency key.
    pub key: DedupeKey,
    /// Unix milliseconds.
    pub received_ms: u64,
    /// What became of it, in order.
    pub handed: Vec<Handed>,
}

/// The end of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The target's name.
    pub target: Arc<str>,
    /// Of which replay; 0: of none.
    pub replay: u32,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// `delivered`, or why it is a dead letter, as metrics name it.
    pub outcome: &'static str,
    /// The app's last answer, if there was one.
    pub status: Option<u16>,
    /// Attempts made.
    pub attempts: u32,
}

type Answer<T> = oneshot::Sender<Result<T, NotStored>>;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Request {
    Page(Query, Answer<Page>),
    Detail(Seq, Answer<Option<Detail>>),
    History(HistoryQuery, Answer<HistoryPage>),
    /// Names were added or renamed.
    NewNames,
    /// Nothing more comes.
    Stop,
}

/// The thread. What goes wrong here harms nobody's event: it is said, and the asker gets nothing.
pub(super) fn serve(
    connection: &Connection,
    decoder: &Decoder,
    requests: &mut mpsc::Receiver<Request>,
    health: &Health,
) {
    let _guard = PoisonOnPanic(health);
    let mut browser = match Browser::prepare(connection) {
        Ok(browser) => browser,
        Err(e) => return health.poison("prepare to look", &e),
    };
    while let Some(request) = requests.blocking_recv() {
        // Whoever asked may have gone away: then nobody wants the answer.
        match request {
            Request::Page(query, answer) => {
                let page = browser.look(|b| b.pages.read(&query, &b.names, decoder));
                let _ = answer.send(page);
            }
            Request::Detail(seq, answer) => {
                let detail = browser.look(|b| b.details.read(seq, &mut b.pages, &b.names, decoder));
                let _ = answer.send(detail);
            }
            Request::History(query, answer) => {
                let page = browser.look(|b| b.details.history(&query, &b.names, decoder));
                let _ = answer.send(page);
            }
            Request::NewNames => browser.reread_names(),
            Request::Stop => break,
        }
    }
}

struct Browser<'c> {
    connection: &'c Connection,
    names: Names,
    pages: Pages<'c>,
    details: Details<'c>,
}

impl<'c> Browser<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self {
            connection,
            names: Names::read(connection)?,
            pages: Pages::prepare(connection)?,
            details: Details::prepare(connection)?,
        })
    }

    /// Reads the names anew. Where that fails, which is said, those that were known are used.
    fn reread_names(&mut self) {
        let names = self.look(|browser| Names::read(browser.connection));
        if let Ok(names) = names {
            self.names = names;
        }
    }

    /// Looks in one transaction, so that all that is seen is of the same moment.
    fn look<T>(
        &mut self,
        look: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, NotStored> {
        let connection = self.connection;
        let seen = connection.unchecked_transaction().and_then(|transaction| {
            let seen = look(self)?;
            transaction.finish()?;
            Ok(seen)
        });
        seen.map_err(|error| {
            tracing::warn!(%error, "cannot look into the store");
            NotStored::Unavailable
        })
    }
}

impl Store {
    /// A page of events, newest first, without their bodies.
    pub async fn browse(&self, query: Query) -> Result<Page, NotStored> {
        self.ask(|answer| Request::Page(query, answer)).await
    }

    /// One event with its attempts; `None` if it is not (or no longer) stored.
    pub async fn detail(&self, seq: Seq) -> Result<Option<Detail>, NotStored> {
        self.ask(|answer| Request::Detail(seq, answer)).await
    }

    /// A page of what is kept by `store.history`, newest first.
    pub async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, NotStored> {
        self.ask(|answer| Request::History(query, answer)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, NotStored> {
        let (answer, answered) = oneshot::channel();
        let unavailable = |_| NotStored::Unavailable;
        self.0
            .asked
            .send(request(answer))
            .await
            .map_err(|_| NotStored::Unavailable)?;
        answered.await.map_err(unavailable)?
    }
}

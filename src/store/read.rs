//! Reads what waits, on a thread and a connection of its own.
//!
//! Invariant: reads are short, or they would keep the log from starting over; a page of events is bounded in
//! number and in bytes.

use super::health::{Health, PoisonOnPanic, Trouble};
use super::row::{self, Decoder};
use super::settle;
use super::{Delivery, NotStored};
use crate::event::{Lane, Seq, TargetId};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the reader. Beyond it, who asks waits.
pub(super) const REQUESTS_MAX: usize = 64;

/// Bytes of events after which a page ends early; one event more may be in it.
const PAGE_BYTES: u64 = 16 * 1024 * 1024;

type Answer<T> = oneshot::Sender<Result<T, NotStored>>;

/// Deliveries that are due, and when the next one after these is.
pub(super) type Due = (Vec<Delivery>, Option<u64>);

/// Rows without an attempt that one page in order looks at: those that are blocked are no part of it.
const LOOKED_AT_MAX: usize = 4096;

/// Deliveries that nothing of their lane is before, and, unless there are no more, how far was looked for them.
pub(super) type InOrder = (Vec<Delivery>, Option<Seq>);

/// The first deliveries of lanes, and how many of these were looked at.
pub(super) type Heads = (Vec<Delivery>, usize);

/// What the reader is asked.
#[derive(Debug)]
pub(super) enum Request {
    Fresh {
        target: TargetId,
        after: Seq,
        most: usize,
        answer: Answer<Vec<Delivery>>,
    },
    InOrder {
        target: TargetId,
        after: Seq,
        most: usize,
        answer: Answer<InOrder>,
    },
    Heads {
        target: TargetId,
        lanes: Vec<Lane>,
        answer: Answer<Heads>,
    },
    Due {
        target: TargetId,
        now_ms: u64,
        most: usize,
        skip: HashSet<Seq>,
        answer: Answer<Due>,
    },
    Oldest {
        target: TargetId,
        answer: Answer<Option<u64>>,
    },
    /// Nothing more comes.
    Stop,
}

/// The thread.
pub(super) fn serve(
    connection: &Connection,
    decoder: &Decoder,
    requests: &mut mpsc::Receiver<Request>,
    health: &Health,
) {
    let _guard = PoisonOnPanic(health);
    let mut reader = match Reader::prepare(connection, decoder) {
        Ok(reader) => reader,
        Err(e) => return health.poison("prepare to read", &e),
    };
    while let Some(request) = requests.blocking_recv() {
        // Whoever asked may have gone away: then nobody wants the answer.
        match request {
            Request::Fresh {
                target,
                after,
                most,
                answer,
            } => {
                let _ = answer.send(reader.read(health, |r| r.fresh(target, after, most)));
            }
            Request::InOrder {
                target,
                after,
                most,
                answer,
            } => {
                let _ = answer.send(reader.read(health, |r| r.in_order(target, after, most)));
            }
            Request::Heads {
                target,
                lanes,
                answer,
            } => {
                let _ = answer.send(reader.read(health, |r| r.heads(target, &lanes)));
            }
            Request::Due {
                target,
                now_ms,
                most,
                skip,
                answer,
            } => {
                let _ = answer.send(reader.read(health, |r| r.due(target, now_ms, most, &skip)));
            }
            Request::Oldest { target, answer } => {
                let _ = answer.send(reader.read(health, |r| r.oldest(target)));
            }
            Request::Stop => break,
        }
    }
}

/// A delivery row that was found, without its event.
#[derive(Clone, Copy)]
struct Found {
    seq: Seq,
    attempts: u32,
    due_ms: Option<u64>,
    replay: u32,
    since_ms: Option<u64>,
    lane: Option<Lane>,
}

struct Reader<'c> {
    connection: &'c Connection,
    decoder: &'c Decoder,
    fresh: Statement<'c>,
    is_blocked: Statement<'c>,
    head: Statement<'c>,
    due: Statement<'c>,
    oldest: Statement<'c>,
    event: Statement<'c>,
}

impl<'c> Reader<'c> {
    fn prepare(connection: &'c Connection, decoder: &'c Decoder) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self {
            connection,
            decoder,
            fresh: connection.prepare(
                "SELECT seq, attempts, due_ms, replay, since_ms, lane FROM deliveries \
                 WHERE target = ?1 AND seq > ?2 AND due_ms IS NULL ORDER BY seq LIMIT ?3",
            )?,
            is_blocked: connection.prepare(
                "SELECT 1 FROM deliveries INDEXED BY lanes WHERE target = ?1 AND lane = ?2 AND seq < ?3",
            )?,
            head: connection.prepare(
                "SELECT seq, attempts, due_ms, replay, since_ms, lane FROM deliveries INDEXED BY lanes \
                 WHERE target = ?1 AND lane = ?2 ORDER BY seq LIMIT 1",
            )?,
            due: connection.prepare(
                "SELECT q.seq, d.attempts, q.due_ms, d.replay, d.since_ms, d.lane FROM due q \
                 CROSS JOIN deliveries d ON d.target = q.target AND d.seq = q.seq \
                 WHERE q.target = ?1 ORDER BY q.due_ms, q.seq",
            )?,
            oldest: connection.prepare(
                "SELECT e.received_ms FROM deliveries d CROSS JOIN events e ON e.seq = d.seq \
                 WHERE d.target = ?1 ORDER BY d.seq LIMIT 1",
            )?,
            event: connection.prepare(row::SELECT)?,
        })
    }

    /// Reads in one transaction, so that a delivery and its event are of the same moment.
    fn read<T>(
        &mut self,
        health: &Health,
        read: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, NotStored> {
        let connection = self.connection;
        let answer = connection.unchecked_transaction().and_then(|transaction| {
            let answer = read(self)?;
            transaction.finish()?;
            Ok(answer)
        });
        answer.map_err(|error| {
            if Trouble::of(&error) == Trouble::Fatal {
                health.poison("read what waits", &error);
            } else {
                tracing::warn!(%error, "cannot read what waits");
            }
            NotStored::Unavailable
        })
    }

    fn fresh(
        &mut self,
        target: TargetId,
        after: Seq,
        most: usize,
    ) -> rusqlite::Result<Vec<Delivery>> {
        let key = params![target.0, after.0.cast_signed(), limit(most)];
        let found: Vec<Found> = self
            .fresh
            .query_map(key, Found::of)?
            .collect::<rusqlite::Result<_>>()?;
        self.page(found)
    }

    fn in_order(&mut self, target: TargetId, after: Seq, most: usize) -> rusqlite::Result<InOrder> {
        let key = params![target.0, after.0.cast_signed(), limit(LOOKED_AT_MAX)];
        let found: Vec<Found> = self
            .fresh
            .query_map(key, Found::of)?
            .collect::<rusqlite::Result<_>>()?;
        let looked_at = found.len();
        let mut free = Vec::new();
        let mut last = None;
        for found in found {
            if free.len() >= most {
                break;
            }
            last = Some(found.seq);
            let blocked = match found.lane {
                None => false,
                Some(lane) => self.is_blocked.exists(params![
                    target.0,
                    lane.0.cast_signed(),
                    found.seq.0.cast_signed()
                ])?,
            };
            if !blocked {
                free.push(found);
            }
        }
        let all = free.len() < most && looked_at < LOOKED_AT_MAX;
        let wanted = free.len();
        let page = self.page(free)?;
        let looked_to = match page.last() {
            // It ended early.
            Some(row) if page.len() < wanted => Some(row.seq),
            _ => last.filter(|_| !all),
        };
        Ok((page, looked_to))
    }

    fn heads(&mut self, target: TargetId, lanes: &[Lane]) -> rusqlite::Result<Heads> {
        let mut bytes = 0;
        let mut heads = Vec::new();
        let mut looked_at = 0;
        for lane in lanes {
            if bytes >= PAGE_BYTES {
                break;
            }
            looked_at += 1;
            let key = params![target.0, lane.0.cast_signed()];
            let head = self.head.query_row(key, Found::of).optional()?;
            let page = self.page(head)?;
            let weight = |row: &Delivery| row.event.as_ref().map_or(0, |event| event.weight());
            bytes += page.iter().map(weight).sum::<u64>();
            heads.extend(page);
        }
        Ok((heads, looked_at))
    }

    fn due(
        &mut self,
        target: TargetId,
        now_ms: u64,
        most: usize,
        skip: &HashSet<Seq>,
    ) -> rusqlite::Result<Due> {
        let found: Vec<Found> = self
            .due
            .query_map([target.0], Found::of)?
            .filter(|found| !matches!(found, Ok(found) if skip.contains(&found.seq)))
            // One more, for its time.
            .take(most.saturating_add(1))
            .collect::<rusqlite::Result<_>>()?;
        let times: Vec<Option<u64>> = found.iter().map(|f| f.due_ms).collect();
        let is_due = |f: &Found| f.due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        let page = self.page(found.into_iter().take_while(is_due).take(most))?;
        let next = times.get(page.len()).copied().flatten();
        Ok((page, next))
    }

    fn oldest(&mut self, target: TargetId) -> rusqlite::Result<Option<u64>> {
        let mut rows = self.oldest.query([target.0])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some(row.get::<_, i64>(0)?.cast_unsigned()))
    }

    /// Reads the events, and stops where the page is full.
    fn page(&mut self, found: impl IntoIterator<Item = Found>) -> rusqlite::Result<Vec<Delivery>> {
        let mut bytes = 0;
        let mut page = Vec::new();
        for found in found {
            if bytes >= PAGE_BYTES {
                break;
            }
            let event = self.decoder.read(&mut self.event, found.seq)?.map(Arc::new);
            bytes += event.as_ref().map_or(0, |event| event.weight());
            page.push(Delivery {
                event,
                seq: found.seq,
                attempts: found.attempts,
                due_ms: found.due_ms,
                replay: found.replay,
                since_ms: found.since_ms,
                lane: found.lane,
            });
        }
        Ok(page)
    }
}

impl Found {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
            attempts: row.get(1)?,
            due_ms: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            replay: row.get(3)?,
            since_ms: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
            lane: settle::lane(row, 5)?,
        })
    }
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

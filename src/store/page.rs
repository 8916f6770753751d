//! A page of events, newest first.
//!
//! Invariant: where little waits or is dead, that is walked along and not all events.

use super::browse::{DeliveryState, LIMIT_MAX, Page, Query, State, Summary};
use super::looking::{Names, Span, Standing, Stint};
use super::row::Decoder;
use crate::config::Patterns;
use crate::event::{DedupeKey, EventId, Seq, SourceId, TargetId};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use std::sync::Arc;

/// The columns of an event without its payload.
const HEAD: &str = "SELECT seq, source, received_ms, type, key, targets, length(body) FROM events";

/// An event's row without its payload. What is damaged in it is left empty: that shows when it is read whole.
struct Head {
    seq: Seq,
    source: SourceId,
    received_ms: u64,
    event_type: Option<String>,
    key: DedupeKey,
    targets: Vec<u8>,
    body_bytes: u64,
}

impl Head {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let number = |index| row.get::<_, i64>(index).unwrap_or_default().cast_unsigned();
        let bytes = |index| row.get::<_, Vec<u8>>(index).unwrap_or_default();
        Ok(Self {
            seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
            source: SourceId(row.get(1).unwrap_or_default()),
            received_ms: number(2),
            event_type: row.get(3).unwrap_or_default(),
            key: DedupeKey(bytes(4).try_into().unwrap_or_default()),
            targets: bytes(5),
            body_bytes: number(6),
        })
    }
}

/// Which numbers are looked at, from the highest down.
enum Walk {
    /// All events.
    Events,
    /// These.
    Exact(Vec<Seq>),
    /// What waits, or is dead, for these targets: the highest number of each that was not looked at.
    Rows(State, Vec<(TargetId, Option<Seq>)>),
}

/// Reads pages.
pub(super) struct Pages<'c> {
    before: Statement<'c>,
    at: Statement<'c>,
    up_to: Statement<'c>,
    waiting: Statement<'c>,
    dead: Statement<'c>,
    standing: Standing<'c>,
}

impl<'c> Pages<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        let last = |table| {
            let sql = format!(
                "SELECT seq FROM {table} WHERE target = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 1"
            );
            connection.prepare(&sql)
        };
        Ok(Self {
            before: connection
                .prepare(&format!("{HEAD} WHERE seq < ?1 ORDER BY seq DESC LIMIT 1"))?,
            at: connection.prepare(&format!("{HEAD} WHERE seq = ?1"))?,
            up_to: connection.prepare(
                "SELECT seq, received_ms FROM events WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1",
            )?,
            waiting: last("deliveries")?,
            dead: last("dead")?,
            standing: Standing::prepare(connection)?,
        })
    }

    /// The page that `query` asks for.
    pub(super) fn read(
        &mut self,
        query: &Query,
        names: &Names,
        decoder: &Decoder,
    ) -> rusqlite::Result<Page> {
        let mut stint = Stint::begin();
        let span = Span {
            from_ms: query.from_ms,
            to_ms: query.to_ms,
        };
        let types = query
            .event_type
            .as_deref()
            .map(|pattern| Patterns::new([pattern]));
        let limit = query.limit.clamp(1, LIMIT_MAX);
        let mut walk = walk(query, names);
        let mut before = span.begins_before(query.cursor, |seq| self.time_up_to(seq))?;
        let mut events = Vec::new();
        let mut cursor = None;
        while let Some(seq) = self.next(&mut walk, before)? {
            before = seq;
            let enough = stint.looked();
            if let Some(head) = self.head(seq)? {
                if span.is_over(head.received_ms) && !matches!(walk, Walk::Exact(_)) {
                    break;
                }
                let source = query
                    .source
                    .is_none_or(|asked| names.source(head.source) == names.source(asked));
                let types = types.as_ref();
                let event_type = types.is_none_or(|types| types.want(head.event_type.as_deref()));
                if source && event_type && span.contains(head.received_ms) {
                    let summary = self.summary(head, names, decoder)?;
                    if wants(query, names, &summary.deliveries) {
                        events.push(summary);
                    }
                }
            }
            if enough || events.len() == limit {
                cursor = Some(before);
                break;
            }
        }
        // A page that ends with the last event there is needs none after it.
        if let Some(seq) = cursor
            && self.next(&mut walk, seq)?.is_none()
        {
            cursor = None;
        }
        Ok(Page {
            events,
            cursor,
            scanned: stint.scanned,
        })
    }

    /// One event's summary, and its targets' numbers as they stand in its row.
    pub(super) fn one(
        &mut self,
        seq: Seq,
        names: &Names,
        decoder: &Decoder,
    ) -> rusqlite::Result<Option<Summary>> {
        match self.head(seq)? {
            Some(head) => self.summary(head, names, decoder).map(Some),
            None => Ok(None),
        }
    }

    fn head(&mut self, seq: Seq) -> rusqlite::Result<Option<Head>> {
        self.at
            .query_row([seq.0.cast_signed()], Head::of)
            .optional()
    }

    fn time_up_to(&mut self, seq: u64) -> rusqlite::Result<Option<(u64, u64)>> {
        self.up_to
            .query_row([seq.cast_signed()], |row| {
                let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                Ok((number(0)?, number(1)?))
            })
            .optional()
    }

    /// The highest number below `before` that is to be looked at.
    fn next(&mut self, walk: &mut Walk, before: Seq) -> rusqlite::Result<Option<Seq>> {
        match walk {
            Walk::Events => {
                let head = self
                    .before
                    .query_row([before.0.cast_signed()], |row| row.get::<_, i64>(0));
                Ok(head.optional()?.map(|seq| Seq(seq.cast_unsigned())))
            }
            Walk::Exact(seqs) => Ok(seqs.iter().copied().find(|seq| *seq < before)),
            Walk::Rows(state, tops) => {
                let last = match state {
                    State::Dead => &mut self.dead,
                    State::Pending | State::Delivered => &mut self.waiting,
                };
                for (target, top) in tops.iter_mut() {
                    if top.is_some_and(|top| top >= before) {
                        let key = params![target.0, before.0.cast_signed()];
                        let found: Option<i64> =
                            last.query_row(key, |row| row.get(0)).optional()?;
                        *top = found.map(|seq| Seq(seq.cast_unsigned()));
                    }
                }
                Ok(tops.iter().filter_map(|(_, top)| *top).max())
            }
        }
    }

    fn summary(
        &mut self,
        head: Head,
        names: &Names,
        decoder: &Decoder,
    ) -> rusqlite::Result<Summary> {
        let seq = head.seq;
        let (replays, targets) = self.standing.targets(names, seq, &head.targets)?;
        let mut deliveries = Vec::with_capacity(targets.len());
        for target in targets {
            deliveries.push(self.standing.at(names, seq, target)?);
        }
        let source = decoder.sources.get(head.source);
        Ok(Summary {
            seq,
            id: EventId::new(head.received_ms, decoder.tag, seq),
            source: source.unwrap_or_default(),
            received_ms: head.received_ms,
            event_type: head.event_type.map(Arc::from),
            key: head.key,
            body_bytes: head.body_bytes,
            replays,
            deliveries,
        })
    }
}

fn walk(query: &Query, names: &Names) -> Walk {
    /// Above every number.
    const TOP: Option<Seq> = Some(Seq(u64::MAX));
    if let Some(seqs) = &query.seqs {
        let mut seqs = seqs.clone();
        seqs.sort_unstable_by(|one, other| other.cmp(one));
        seqs.dedup();
        return Walk::Exact(seqs);
    }
    match query.state {
        Some(state @ (State::Pending | State::Dead)) => {
            let tops = match query.target {
                Some(target) => vec![(names.target(target), TOP)],
                None => names.targets().map(|target| (target, TOP)).collect(),
            };
            Walk::Rows(state, tops)
        }
        Some(State::Delivered) | None => Walk::Events,
    }
}

/// Whether an event stands where it is asked for.
fn wants(query: &Query, names: &Names, deliveries: &[DeliveryState]) -> bool {
    let asked = query.target.map(|target| names.target(target));
    let mut at = deliveries
        .iter()
        .filter(|delivery| asked.is_none_or(|target| delivery.target == target))
        .peekable();
    if at.peek().is_none() {
        return asked.is_none() && query.state.is_none();
    }
    match query.state {
        None => true,
        Some(State::Delivered) => at.all(|delivery| delivery.state == State::Delivered),
        Some(state) => at.any(|delivery| delivery.state == state),
    }
}

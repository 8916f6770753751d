//! One event, whole, with its attempts; and a page of the history.

use super::browse::{AttemptRow, Detail, Handed, HistoryPage, HistoryQuery, HistoryRow, LIMIT_MAX};
use super::looking::{Names, Span, Stint, word};
use super::page::Pages;
use super::row::{self, Decoder};
use crate::event::{DedupeKey, EventId, Seq, SourceId, TargetId};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Statement};
use std::sync::Arc;

/// Attempts, and ends of deliveries, that are shown of one event.
const ROWS_OF_ONE: i64 = 2_000;

/// Reads single events, and the history.
pub(super) struct Details<'c> {
    event: Statement<'c>,
    attempts: Statement<'c>,
    history_before: Statement<'c>,
    history_up_to: Statement<'c>,
    handed: Statement<'c>,
}

impl<'c> Details<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            event: connection.prepare(row::SELECT)?,
            attempts: connection.prepare(
                "SELECT target, replay, attempt, at_ms, took_ms, status, error, answer FROM attempts \
                 WHERE seq = ?1 LIMIT ?2",
            )?,
            history_before: connection.prepare(
                "SELECT seq, source, received_ms, type, vendor_id, key FROM history \
                 WHERE seq < ?1 ORDER BY seq DESC LIMIT 1",
            )?,
            history_up_to: connection.prepare(
                "SELECT seq, received_ms FROM history WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1",
            )?,
            handed: connection.prepare(
                "SELECT target, replay, at_ms, outcome, status, attempts FROM handed \
                 WHERE seq = ?1 ORDER BY at_ms, replay, target LIMIT ?2",
            )?,
        })
    }

    /// One event; `None` if it is not stored.
    pub(super) fn read(
        &mut self,
        seq: Seq,
        pages: &mut Pages<'_>,
        names: &Names,
        decoder: &Decoder,
    ) -> rusqlite::Result<Option<Detail>> {
        let Some(summary) = pages.one(seq, names, decoder)? else {
            return Ok(None);
        };
        let Some((event, damaged)) = decoder.read_anyway(&mut self.event, seq)? else {
            return Ok(None);
        };
        let key = [seq.0.cast_signed(), ROWS_OF_ONE];
        let mut attempts: Vec<AttemptRow> = self
            .attempts
            .query_map(key, |row| {
                let ms = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                Ok(AttemptRow {
                    target: names.of_target(TargetId(row.get(0)?)),
                    replay: row.get(1)?,
                    attempt: row.get(2)?,
                    at_ms: ms(3)?,
                    took_ms: ms(4)?,
                    status: row.get(5)?,
                    error: row.get(6)?,
                    answer: Bytes::from(row.get::<_, Option<Vec<u8>>>(7)?.unwrap_or_default()),
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        attempts.sort_by_key(|attempt| (attempt.at_ms, attempt.replay, attempt.attempt));
        Ok(Some(Detail {
            event: Arc::new(event),
            summary,
            attempts,
            damaged,
        }))
    }

    /// The part of the history that `query` asks for.
    pub(super) fn history(
        &mut self,
        query: &HistoryQuery,
        names: &Names,
        decoder: &Decoder,
    ) -> rusqlite::Result<HistoryPage> {
        let mut stint = Stint::begin();
        let span = Span {
            from_ms: query.from_ms,
            to_ms: query.to_ms,
        };
        let limit = query.limit.clamp(1, LIMIT_MAX);
        let mut events: Vec<HistoryRow> = Vec::new();
        let mut cursor = None;
        let mut before = match query.seq {
            Some(Seq(seq)) => Seq(seq.saturating_add(1).min(1 << Seq::BITS)),
            None => span.begins_before(query.cursor, |seq| self.time_up_to(seq))?,
        };
        while let Some((source, row)) = self.before(before, decoder)? {
            if query.seq.is_some_and(|seq| seq != row.seq) || span.is_over(row.received_ms) {
                break;
            }
            before = row.seq;
            let enough = stint.looked();
            let of_source = query
                .source
                .is_none_or(|asked| names.source(source) == names.source(asked));
            let vendor_id = query.vendor_id.as_deref();
            let of_vendor = vendor_id.is_none_or(|id| row.vendor_id.as_deref() == Some(id));
            if of_source && of_vendor && span.contains(row.received_ms) {
                let handed = self.handed(row.seq, names)?;
                events.push(HistoryRow { handed, ..row });
            }
            if enough || events.len() == limit {
                cursor = Some(before);
                break;
            }
        }
        if let Some(seq) = cursor
            && self.before(seq, decoder)?.is_none()
        {
            cursor = None;
        }
        Ok(HistoryPage {
            events,
            cursor: cursor.filter(|_| query.seq.is_none()),
            scanned: stint.scanned,
        })
    }

    fn before(
        &mut self,
        before: Seq,
        decoder: &Decoder,
    ) -> rusqlite::Result<Option<(SourceId, HistoryRow)>> {
        self.history_before
            .query_row([before.0.cast_signed()], |row| {
                let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
                let source = SourceId(row.get(1)?);
                let received_ms = row.get::<_, i64>(2)?.cast_unsigned();
                let name = decoder.sources.get(source);
                let history = HistoryRow {
                    seq,
                    id: EventId::new(received_ms, decoder.tag, seq),
                    source: name.unwrap_or_default(),
                    event_type: row.get(3)?,
                    vendor_id: row.get(4)?,
                    key: DedupeKey(row.get(5)?),
                    received_ms,
                    handed: Vec::new(),
                };
                Ok((source, history))
            })
            .optional()
    }

    fn time_up_to(&mut self, seq: u64) -> rusqlite::Result<Option<(u64, u64)>> {
        self.history_up_to
            .query_row([seq.cast_signed()], |row| {
                let number = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
                Ok((number(0)?, number(1)?))
            })
            .optional()
    }

    fn handed(&mut self, seq: Seq, names: &Names) -> rusqlite::Result<Vec<Handed>> {
        let key = [seq.0.cast_signed(), ROWS_OF_ONE];
        self.handed
            .query_map(key, |row| {
                Ok(Handed {
                    target: names.of_target(TargetId(row.get(0)?)),
                    replay: row.get(1)?,
                    at_ms: row.get::<_, i64>(2)?.cast_unsigned(),
                    outcome: word(&row.get::<_, String>(3)?),
                    status: row.get(4)?,
                    attempts: row.get(5)?,
                })
            })?
            .collect()
    }
}

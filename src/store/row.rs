//! An event as a row: written, read back, and proven to be the same.
//!
//! Invariant: an event that comes out of here is byte for byte what went in; anything else is no event.

use super::names::SourceNames;
use crate::event::{DedupeKey, Event, EventId, SecretHeader, Seq, SourceId, StoreTag, TargetId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Statement, params};

/// Appends a payload row.
pub(super) const INSERT: &str = "INSERT INTO events \
    (seq, source, received_ms, type, key, targets, crc, secret_header, secret_name, headers, body) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Reads a payload row.
pub(super) const SELECT: &str = "SELECT \
    source, received_ms, type, key, targets, crc, secret_header, secret_name, headers, body \
    FROM events WHERE seq = ?1";

/// Reads payload rows in their order, from a number on: the columns of [`SELECT`] behind the number.
pub(super) const WALK: &str = "SELECT seq, \
    source, received_ms, type, key, targets, crc, secret_header, secret_name, headers, body \
    FROM events WHERE seq >= ?1 ORDER BY seq";

/// What is told of a row that was found whole.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) targets: Vec<TargetId>,
    /// As [`crate::event::weight`] counts.
    pub(super) bytes: u64,
}

/// Whether a row of [`WALK`] is what was written; `None` if not.
pub(super) fn prove(found: &rusqlite::Row<'_>) -> Option<Proven> {
    let seq = Seq(number(found.get_ref(0).ok()?.as_i64().ok()?).ok()?);
    let row = Row::of_columns(found, 1, seq).ok()??;
    let headers = decode_headers(row.headers)?;
    <[u8; 32]>::try_from(row.key).ok()?;
    let body = Bytes::copy_from_slice(row.body);
    Some(Proven {
        targets: decode_targets(row.targets).collect(),
        bytes: crate::event::weight(&headers, &body),
    })
}

/// Buffers for what is encoded, kept from row to row.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    headers: Vec<u8>,
    targets: Vec<u8>,
}

impl Encoder {
    /// Writes the row of `event`, with [`INSERT`].
    pub(super) fn insert(
        &mut self,
        insert: &mut Statement<'_>,
        event: &Event,
        source: SourceId,
        targets: impl IntoIterator<Item = TargetId>,
    ) -> rusqlite::Result<()> {
        encode_headers(&event.headers, &mut self.headers);
        self.targets.clear();
        encode_targets(targets, &mut self.targets);
        let secret = event.secret_header.as_ref();
        let row = Row {
            seq: event.seq,
            source,
            received_ms: event.received_ms,
            event_type: event.event_type.as_deref(),
            key: &event.key.0,
            targets: &self.targets,
            secret_header: secret.map(|secret| secret.header.as_str()),
            secret_name: secret.map(|secret| &*secret.secret),
            headers: &self.headers,
            body: &event.body,
        };
        insert.execute(params![
            row.seq.0.cast_signed(),
            row.source.0,
            row.received_ms.cast_signed(),
            row.event_type,
            row.key,
            row.targets,
            row.check(),
            row.secret_header,
            row.secret_name,
            row.headers,
            row.body,
        ])?;
        Ok(())
    }
}

/// What is needed to make events of rows.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    pub(super) tag: StoreTag,
    /// Names of the sources.
    pub(super) sources: SourceNames,
}

impl Decoder {
    /// Reads the event `seq`, with [`SELECT`]. `None` if it is missing or damaged.
    pub(super) fn read(
        &self,
        select: &mut Statement<'_>,
        seq: Seq,
    ) -> rusqlite::Result<Option<Event>> {
        let mut rows = select.query([seq.0.cast_signed()])?;
        let Some(found) = rows.next()? else {
            return Ok(None);
        };
        // A column of another type than ours is damage too, not an error of the store.
        Ok(Row::of(found, seq).ok().and_then(|row| self.decode(&row?)))
    }

    /// Reads the event `seq`, with [`SELECT`], also if it is damaged: then as much of it as can be read, and true.
    /// `None` if it is missing.
    pub(super) fn read_anyway(
        &self,
        select: &mut Statement<'_>,
        seq: Seq,
    ) -> rusqlite::Result<Option<(Event, bool)>> {
        if let Some(event) = self.read(select, seq)? {
            return Ok(Some((event, false)));
        }
        let mut rows = select.query([seq.0.cast_signed()])?;
        let Some(found) = rows.next()? else {
            return Ok(None);
        };
        let bytes = |index| match found.get_ref(index) {
            Ok(ValueRef::Blob(bytes) | ValueRef::Text(bytes)) => bytes,
            _ => b"".as_slice(),
        };
        let received_ms: i64 = found.get(1).unwrap_or_default();
        let received_ms = received_ms.cast_unsigned();
        let source = found.get(0).ok().map(SourceId);
        let source = source.and_then(|source| self.sources.get(source));
        let event = Event {
            seq,
            id: EventId::new(received_ms, self.tag, seq),
            received_ms,
            source: source.unwrap_or_default(),
            event_type: found.get(2).unwrap_or_default(),
            key: DedupeKey(bytes(3).try_into().unwrap_or_default()),
            headers: decode_headers(bytes(8)).unwrap_or_default(),
            secret_header: None,
            body: Bytes::copy_from_slice(bytes(9)),
            first_attempts: None,
        };
        Ok(Some((event, true)))
    }

    fn decode(&self, row: &Row<'_>) -> Option<Event> {
        let secret_header = match (row.secret_header, row.secret_name) {
            (Some(header), Some(secret)) => Some(SecretHeader {
                header: HeaderName::from_bytes(header.as_bytes()).ok()?,
                secret: secret.into(),
            }),
            _ => None,
        };
        Some(Event {
            seq: row.seq,
            id: EventId::new(row.received_ms, self.tag, row.seq),
            received_ms: row.received_ms,
            source: self.sources.get(row.source)?,
            event_type: row.event_type.map(Into::into),
            key: DedupeKey(row.key.try_into().ok()?),
            headers: decode_headers(row.headers)?,
            secret_header,
            body: Bytes::copy_from_slice(row.body),
            first_attempts: None,
        })
    }
}

/// Appends targets as they stand in a column.
pub(super) fn encode_targets(targets: impl IntoIterator<Item = TargetId>, out: &mut Vec<u8>) {
    for target in targets {
        out.extend_from_slice(&target.0.to_be_bytes());
    }
}

/// The targets in a row's column. A last piece that is too short is damage, and left out.
pub(super) fn decode_targets(column: &[u8]) -> impl Iterator<Item = TargetId> {
    let (targets, _) = column.as_chunks();
    targets
        .iter()
        .map(|number| TargetId(u32::from_be_bytes(*number)))
}

/// Where columns are put together for their checksum: it goes over one long piece faster than over many short ones. As
/// long as most events' headers and everything before them.
const SMALL_BYTES: usize = 1024;

/// The columns of one row.
struct Row<'a> {
    seq: Seq,
    source: SourceId,
    received_ms: u64,
    event_type: Option<&'a str>,
    key: &'a [u8],
    targets: &'a [u8],
    secret_header: Option<&'a str>,
    secret_name: Option<&'a str>,
    headers: &'a [u8],
    body: &'a [u8],
}

impl<'a> Row<'a> {
    /// The columns that were found, if their checksum is right.
    fn of(found: &'a rusqlite::Row<'_>, seq: Seq) -> Result<Option<Self>, FromSqlError> {
        Self::of_columns(found, 0, seq)
    }

    /// The same, where the columns begin at `first`.
    fn of_columns(
        found: &'a rusqlite::Row<'_>,
        first: usize,
        seq: Seq,
    ) -> Result<Option<Self>, FromSqlError> {
        let column = |index| {
            let column = found.get_ref(first + index);
            column.map_err(|_| FromSqlError::InvalidType)
        };
        let row = Self {
            seq,
            source: SourceId(number(column(0)?.as_i64()?)?),
            received_ms: number(column(1)?.as_i64()?)?,
            event_type: column(2)?.as_str_or_null()?,
            key: column(3)?.as_blob()?,
            targets: column(4)?.as_blob()?,
            secret_header: column(6)?.as_str_or_null()?,
            secret_name: column(7)?.as_str_or_null()?,
            headers: column(8)?.as_blob()?,
            body: column(9)?.as_blob()?,
        };
        let kept: u32 = number(column(5)?.as_i64()?)?;
        Ok((kept == row.check()).then_some(row))
    }

    /// CRC-32 over every column. Lengths are part of it, so that bytes cannot move from one column to the next.
    fn check(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        let text = |text: Option<&'a str>| (text.map_or(u64::MAX, |t| t.len() as u64), text);
        let (type_length, event_type) = text(self.event_type);
        let (header_length, secret_header) = text(self.secret_header);
        let (name_length, secret_name) = text(self.secret_name);
        let numbers = [
            self.seq.0,
            u64::from(self.source.0),
            self.received_ms,
            type_length,
            self.targets.len() as u64,
            header_length,
            name_length,
            self.headers.len() as u64,
        ];
        let mut small = [0; SMALL_BYTES];
        let mut used = 0;
        for number in numbers {
            small[used..used + 8].copy_from_slice(&number.to_le_bytes());
            used += 8;
        }
        let pieces = [
            event_type.unwrap_or_default().as_bytes(),
            self.key,
            self.targets,
            secret_header.unwrap_or_default().as_bytes(),
            secret_name.unwrap_or_default().as_bytes(),
            self.headers,
        ];
        for piece in pieces {
            if let Some(place) = small.get_mut(used..used + piece.len()) {
                place.copy_from_slice(piece);
                used += piece.len();
            } else {
                crc.update(&small[..used]);
                crc.update(piece);
                used = 0;
            }
        }
        crc.update(&small[..used]);
        crc.update(self.body);
        crc.finalize()
    }
}

fn number<T: TryFrom<i64>>(value: i64) -> Result<T, FromSqlError> {
    T::try_from(value).map_err(|_| FromSqlError::OutOfRange(value))
}

/// One line a header, `name: value`, so that an operator can read them. No value has a line feed in it.
pub(super) fn encode_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    out.clear();
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
}

/// What [`encode_headers`] wrote.
pub(super) fn decode_headers(text: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n")?;
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon..].strip_prefix(b": ")?).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;
    use std::collections::HashMap;

    const TAG: StoreTag = StoreTag(77);

    fn database() -> Connection {
        let connection = Connection::open_in_memory().expect("opened");
        connection
            .execute_batch(
                "CREATE TABLE events (seq INTEGER PRIMARY KEY, source, received_ms, type, key, targets, crc, \
                 secret_header, secret_name, headers, body)",
            )
            .expect("made");
        connection
    }

    fn decoder() -> Decoder {
        Decoder {
            tag: TAG,
            sources: SourceNames::new(HashMap::from([(SourceId(3), "erp".into())])),
        }
    }

    fn event(event_type: Option<&str>, headers: HeaderMap, body: &[u8], secret: bool) -> Event {
        Event {
            seq: Seq(9),
            id: EventId::new(1_700_000_000_000, TAG, Seq(9)),
            received_ms: 1_700_000_000_000,
            source: "erp".into(),
            event_type: event_type.map(Into::into),
            key: DedupeKey([5; 32]),
            headers,
            secret_header: secret.then(|| SecretHeader {
                header: HeaderName::from_static("x-token"),
                secret: "new".into(),
            }),
            body: Bytes::copy_from_slice(body),
            first_attempts: None,
        }
    }

    fn write(connection: &Connection, event: &Event) {
        let mut insert = connection.prepare(INSERT).expect("prepared");
        Encoder::default()
            .insert(
                &mut insert,
                event,
                SourceId(3),
                [TargetId(1), TargetId(600)],
            )
            .expect("inserted");
    }

    fn read(connection: &Connection) -> Option<Event> {
        let mut select = connection.prepare(SELECT).expect("prepared");
        decoder().read(&mut select, Seq(9)).expect("read")
    }

    fn header_value() -> impl Strategy<Value = HeaderValue> {
        proptest::collection::vec(
            any::<u8>().prop_filter("not in a value", |b| (*b >= 32 && *b != 127) || *b == b'\t'),
            0..40,
        )
        .prop_map(|bytes| HeaderValue::from_bytes(&bytes).expect("a value"))
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out(
            event_type in proptest::option::of(".{0,20}"),
            values in proptest::collection::vec((0..4_usize, header_value()), 0..8),
            body in proptest::collection::vec(any::<u8>(), 0..200),
            secret in any::<bool>(),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(["x-a", "content-type", "x-b", "accept"][name], value);
            }
            let went_in = event(event_type.as_deref(), headers, &body, secret);
            let connection = database();
            write(&connection, &went_in);
            let came_out = read(&connection).expect("whole");
            prop_assert_eq!(format!("{went_in:?}"), format!("{came_out:?}"));
        }
    }

    #[test]
    fn any_change_of_a_row_is_noticed() {
        let changes = [
            "source = 4",
            "source = 'erp'",
            "source = -1",
            "received_ms = received_ms + 1",
            "type = NULL",
            "type = 'order.createe'",
            "type = x'ff'",
            "key = zeroblob(32)",
            "key = x''",
            "targets = x'00000001'",
            "crc = crc + 1",
            "crc = NULL",
            "secret_header = 'x-tokem'",
            "secret_header = NULL",
            "secret_name = 'old'",
            "headers = x''",
            "headers = CAST(replace(CAST(headers AS TEXT), 'json', 'jsom') AS BLOB)",
            "body = NULL",
            "body = x'7b7c'",
            "body = CAST(headers AS BLOB), headers = body",
            "seq = 10",
        ];
        for change in changes {
            let mut headers = HeaderMap::new();
            headers.append("content-type", HeaderValue::from_static("application/json"));
            let connection = database();
            write(
                &connection,
                &event(Some("order.created"), headers, b"{}", true),
            );
            assert!(read(&connection).is_some(), "whole before the change");
            connection
                .execute(&format!("UPDATE events SET {change}"), [])
                .expect("changed");
            assert!(read(&connection).is_none(), "{change}");
        }
    }

    #[test]
    fn targets_are_read_back() {
        let connection = database();
        write(&connection, &event(None, HeaderMap::new(), b"", false));
        let column: Vec<u8> = connection
            .query_row("SELECT targets FROM events", [], |row| row.get(0))
            .expect("read");
        let targets: Vec<TargetId> = decode_targets(&column).collect();
        assert_eq!(targets, [TargetId(1), TargetId(600)]);
    }
}

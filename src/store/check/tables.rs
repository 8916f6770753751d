//! Whether the tables fit each other: all of them are read as they are at one moment, and laid side by side.
//!
//! Invariant: the events' heads and the small tables are held in memory, never a payload; an event that is damaged is named
//! as its keys say, since its own row may say anything.

use super::report::{Damage, ONLY_TOLD, Report, SALVAGE};
use crate::event::{EventId, Seq, SourceId, StoreTag, TargetId};
use crate::store::rows::{Rows, Waiting, has_table};
use crate::store::walk::walk;
use crate::store::{DeadReason, probe, row, schema};
use rusqlite::Connection;
use std::collections::{BTreeSet, HashMap};

/// A row of `events` without its payload.
pub(super) struct Known {
    pub(super) seq: Seq,
    pub(super) source: SourceId,
    received_ms: u64,
    pub(super) targets: Vec<TargetId>,
}

/// Reads the small tables and the heads of all events as they are at one moment, and compares them.
pub(super) fn check_tables(
    connection: &Connection,
    tag: StoreTag,
    report: &mut Report,
    corrupt: &BTreeSet<Seq>,
) -> rusqlite::Result<()> {
    let moment = connection.unchecked_transaction()?;
    let rows = Rows::read(connection)?;
    for unread in &rows.unread {
        report.unread(unread.table, &unread.of, unread.gap);
    }
    match schema::names_are_right(connection) {
        Ok(true) => {}
        Ok(false) => report.add_other(schema::NAMES_ARE_WRONG.to_owned(), SALVAGE),
        // Told of above.
        Err(e) if probe::is_damage(&e) => {}
        Err(e) => return Err(e),
    }
    if has_table(connection, "history")? {
        check_lanes(connection, report)?;
        check_history(connection, report)?;
    }
    let mut events = Vec::new();
    let sql = "SELECT seq, source, received_ms, targets FROM events WHERE seq >= ?1 ORDER BY seq";
    // Gaps were told of when the payloads were read.
    walk(connection, sql, &[], |found| {
        let seq = Seq(found.get::<_, i64>(0)?.cast_unsigned());
        let numbers = (found.get(1), found.get::<_, i64>(2));
        let targets = found.get_ref(3)?.as_blob().unwrap_or_default();
        events.push(Known {
            seq,
            // Of a row whose checksum is wrong anyway.
            source: SourceId(numbers.0.unwrap_or(u32::MAX)),
            received_ms: numbers.1.unwrap_or(0).cast_unsigned(),
            targets: row::decode_targets(targets).collect(),
        });
        Ok(())
    })?;
    let mut tables = Tables {
        tag,
        rows: &rows,
        corrupt,
        received: HashMap::new(),
        report,
    };
    tables.keys(connection, &events)?;
    tables.compare(&events);
    moment.finish()
}

/// Every delivery that waits in a lane is in the order of its lane, and nothing else is.
fn check_lanes(connection: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM ( \
               SELECT * FROM (SELECT target, lane, seq FROM deliveries NOT INDEXED WHERE lane IS NOT NULL \
               EXCEPT SELECT target, lane, seq FROM deliveries INDEXED BY lanes WHERE lane IS NOT NULL) \
               UNION ALL \
               SELECT * FROM (SELECT target, lane, seq FROM deliveries INDEXED BY lanes WHERE lane IS NOT NULL \
               EXCEPT SELECT target, lane, seq FROM deliveries NOT INDEXED WHERE lane IS NOT NULL))";
    let strange = match connection.query_row(sql, [], |row| row.get::<_, i64>(0)) {
        Ok(0) => return Ok(()),
        Ok(number) => {
            format!("{number} rows differ between deliveries and the order of their lanes")
        }
        Err(e) if probe::is_damage(&e) => format!("the order of lanes can't be read: {e}"),
        Err(e) => return Err(e),
    };
    report.add_other(strange, SALVAGE);
    Ok(())
}

/// The history says the same of an event as the event, as long as that is stored; and deliveries end in known ways.
fn check_history(connection: &Connection, report: &mut Report) -> rusqlite::Result<()> {
    let mut strange = Vec::new();
    let sql = "SELECT h.seq, (h.source, h.received_ms) IS (e.source, e.received_ms) \
               AND h.type IS e.type AND h.key IS e.key \
               FROM history h LEFT JOIN events e ON e.seq = h.seq WHERE h.seq >= ?1 ORDER BY h.seq";
    let stored = "SELECT 1 FROM events WHERE seq = ?1";
    let mut stored = connection.prepare(stored)?;
    let gaps = walk(connection, sql, &[], |found| {
        let seq: i64 = found.get(0)?;
        if !found.get::<_, bool>(1)? && stored.exists([seq])? {
            strange.push((seq, "the history says something else of the event"));
        }
        Ok(())
    })?;
    for gap in gaps {
        report.unread("history", "", gap);
    }
    let known: Vec<&str> = DeadReason::ALL.iter().map(|(_, word)| *word).collect();
    let sql = "SELECT DISTINCT seq FROM handed WHERE seq >= ?1 ORDER BY seq";
    let mut outcomes = connection.prepare("SELECT outcome FROM handed WHERE seq = ?1")?;
    // Gaps are told of with the other rows that can't be read.
    walk(connection, sql, &[], |found| {
        let seq: i64 = found.get(0)?;
        let mut rows = outcomes.query([seq])?;
        while let Some(row) = rows.next()? {
            let outcome: String = row.get(0)?;
            if outcome != "delivered" && !known.contains(&&*outcome) {
                strange.push((seq, "a delivery ended in an unknown way"));
            }
        }
        Ok(())
    })?;
    for (seq, what) in strange {
        report.add(Damage {
            what: what.to_owned(),
            event: None,
            seq: Some(seq.cast_unsigned()),
            source: None,
            waits_for: Vec::new(),
            advice: ONLY_TOLD,
        });
    }
    Ok(())
}

/// The tables side by side.
pub(super) struct Tables<'r> {
    tag: StoreTag,
    pub(super) rows: &'r Rows,
    pub(super) corrupt: &'r BTreeSet<Seq>,
    /// Who sent, and when, what is not among the events or is damaged: its keys tell.
    received: HashMap<Seq, (SourceId, u64)>,
    report: &'r mut Report,
}

impl Tables<'_> {
    fn keys(&mut self, connection: &Connection, events: &[Known]) -> rusqlite::Result<()> {
        let mut strange = Vec::new();
        let mut event = events.iter().peekable();
        let sql = "SELECT id, source, received_ms FROM keys WHERE id >= ?1 ORDER BY id";
        let gaps = walk(connection, sql, &[], |found| {
            let id = found.get::<_, i64>(0)?.cast_unsigned();
            let seq = Seq(id >> 2);
            let source = SourceId(found.get(1)?);
            let received_ms = found.get::<_, i64>(2)?.cast_unsigned();
            self.report.keys += 1;
            while event.next_if(|event| event.seq < seq).is_some() {}
            let of = event.peek().filter(|event| event.seq == seq);
            match of {
                Some(event) if !self.corrupt.contains(&seq) => {
                    if (event.source, event.received_ms) != (source, received_ms) {
                        strange.push((seq, "a key says another source or time than its event"));
                    }
                }
                _ => {
                    self.received.entry(seq).or_insert((source, received_ms));
                }
            }
            if id & 0b11 == 0b11 {
                strange.push((seq, "a key is of an unknown kind"));
            }
            if !self.rows.names.sources.contains_key(&source) {
                strange.push((seq, "a key is of a source that has no name"));
            }
            Ok(())
        })?;
        for gap in gaps {
            self.report.unread("keys", "", gap);
        }
        for (seq, what) in strange {
            let found = events.binary_search_by_key(&seq, |event| event.seq);
            let event = found.ok().map(|at| &events[at]);
            self.add(
                seq,
                event,
                what.to_owned(),
                &[],
                "a duplicate may pass once",
            );
        }
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        seq: Seq,
        event: Option<&Known>,
        what: String,
        waiting: &[Waiting],
        advice: &'static str,
    ) {
        let names = &self.rows.names;
        // The row of a damaged event may say anything; its keys are a second witness.
        let told = self.received.get(&seq).copied();
        let (source, received_ms) = match (told, event) {
            (Some((source, ms)), _) => (Some(source), Some(ms)),
            (None, Some(event)) => (Some(event.source), Some(event.received_ms)),
            (None, None) => (None, None),
        };
        self.report.add(Damage {
            what,
            event: received_ms.map(|ms| EventId::new(ms, self.tag, seq).to_string()),
            seq: Some(seq.0),
            source: source
                .and_then(|source| names.sources.get(&source))
                .map(ToString::to_string),
            waits_for: waiting
                .iter()
                .map(|row| names.target(row.target).to_string())
                .collect(),
            advice,
        });
    }
}

//! Makes the tables that were salvaged fit each other: whatever one of them says that no other bears out is put right, or
//! left out.
//!
//! Invariants: no delivery and no dead letter of a whole event is dropped here; `check` finds nothing afterwards.

use super::DeadReason;
use super::row;
use super::rows::{Rows, Told};
use crate::event::{Seq, TargetId};
use rusqlite::{Transaction, params};
use std::collections::BTreeSet;

/// Tables whose rows are copied as they are.
const COPIED: [&str; 8] = [
    "names",
    "keys",
    "deliveries",
    "dead",
    "replays",
    "attempts",
    "history",
    "handed",
];

/// What numbers by these names are at most.
const MOST: [(&str, u64); 9] = [
    ("target", u32::MAX as u64),
    ("source", u32::MAX as u64),
    ("replay", u32::MAX as u64),
    ("attempt", u32::MAX as u64),
    ("attempts", u32::MAX as u64),
    ("count", u32::MAX as u64),
    ("heir", u32::MAX as u64),
    ("status", u16::MAX as u64),
    ("bytes", i64::MAX as u64),
];

/// Drops rows with values that are never written, and returns how many.
pub(super) fn drop_mistyped(new: &Transaction<'_>) -> rusqlite::Result<usize> {
    // What a delivery can do without.
    new.execute_batch(
        "UPDATE deliveries SET lane = NULL WHERE typeof(lane) NOT IN ('integer', 'null'); \
         UPDATE deliveries SET since_ms = NULL WHERE typeof(since_ms) NOT IN ('integer', 'null') OR since_ms < 0; \
         UPDATE dead SET attempts = 0 WHERE typeof(attempts) <> 'integer' OR attempts NOT BETWEEN 0 AND 4294967295; \
         UPDATE dead SET bytes = 0 WHERE typeof(bytes) <> 'integer' OR bytes < 0; \
         UPDATE names SET last_received_ms = NULL WHERE typeof(last_received_ms) NOT IN ('integer', 'null'); \
         UPDATE names SET give_up_after_ms = NULL WHERE typeof(give_up_after_ms) NOT IN ('integer', 'null'); \
         UPDATE names SET paused = NULL WHERE paused NOT IN (0, 1);",
    )?;
    let mut dropped = 0;
    for table in COPIED {
        let columns: Vec<(String, String)> = new
            .prepare("SELECT name, lower(type) FROM pragma_table_info(?1)")?
            .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (column, kind) in columns {
            let mistyped =
                format!("DELETE FROM {table} WHERE typeof({column}) NOT IN ('{kind}', 'null')");
            dropped += new.execute(&mistyped, [])?;
            if let Some((_, most)) = MOST.iter().find(|(name, _)| *name == column) {
                let beyond = format!("DELETE FROM {table} WHERE {column} NOT BETWEEN 0 AND {most}");
                dropped += new.execute(&beyond, [])?;
            }
        }
    }
    dropped += new.execute("DELETE FROM keys WHERE length(hash) = 0", [])?;
    Ok(dropped)
}

/// What is told of replays fits the deliveries, and every dead letter has a reason.
pub(super) fn replays(new: &Transaction<'_>, rows: &Rows, now_ms: i64) -> rusqlite::Result<()> {
    // A delivery that looks for others was replayed; where nothing else says so, it went where it waits.
    let mut insert = new.prepare(
        "INSERT OR IGNORE INTO replays (seq, count, replayed_ms, targets) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let copied = "SELECT 1 FROM deliveries WHERE target = ?1 AND seq = ?2";
    let mut copied = new.prepare(copied)?;
    for row in rows.waiting.iter().filter(|row| row.fan == 0) {
        let seq = row.seq.0.cast_signed();
        if copied.exists(params![row.target.0, seq])? {
            let mut targets = Vec::new();
            row::encode_targets([row.target], &mut targets);
            insert.execute(params![seq, row.replay.max(1), now_ms, targets])?;
        }
    }
    new.execute_batch(
        "UPDATE deliveries SET fan = 0 WHERE fan <> 0 AND seq IN (SELECT seq FROM replays); \
         UPDATE deliveries SET replay = 0, since_ms = NULL \
         WHERE replay <> 0 AND seq NOT IN (SELECT seq FROM replays); \
         UPDATE deliveries SET replay = (SELECT count FROM replays r WHERE r.seq = deliveries.seq) \
         WHERE replay > (SELECT count FROM replays r WHERE r.seq = deliveries.seq); \
         UPDATE deliveries SET fan = (SELECT length(targets) / 4 FROM events e WHERE e.seq = deliveries.seq) \
         WHERE fan <> 0 AND fan <> (SELECT length(targets) / 4 FROM events e WHERE e.seq = deliveries.seq);",
    )?;
    let reasons: BTreeSet<&str> = rows.dead.iter().map(|row| &*row.reason).collect();
    for reason in reasons {
        new.execute(
            "UPDATE dead SET reason = ?2 WHERE reason = ?1",
            [reason, likely_reason(reason)],
        )?;
    }
    Ok(())
}

/// The reason that `word` was, if little of it has changed.
fn likely_reason(word: &str) -> &'static str {
    let differs = |known: &str| {
        let pairs = known.bytes().zip(word.bytes());
        let changed = pairs.filter(|(known, found)| known != found).count();
        changed + known.len().abs_diff(word.len())
    };
    let nearest = DeadReason::ALL
        .iter()
        .map(|(_, known)| (differs(known), *known))
        .min();
    match nearest {
        Some((0..=1, known)) => known,
        _ => DeadReason::Corrupt.word(),
    }
}

/// Keys and the history say what their events say; what is told of attempts and ends is of deliveries that there were.
/// Returns how many rows were left out. `went_to` says whether an event that is stored went to a target.
pub(super) fn what_is_told(
    new: &Transaction<'_>,
    rows: &Rows,
    went_to: impl Fn(Seq, TargetId) -> bool,
) -> rusqlite::Result<usize> {
    new.execute_batch(
        "UPDATE keys SET (source, received_ms) = (SELECT source, received_ms FROM events e WHERE e.seq = keys.id >> 2) \
         WHERE id >> 2 IN (SELECT seq FROM events); \
         UPDATE history SET (source, received_ms, type, key) = \
         (SELECT source, received_ms, type, key FROM events e WHERE e.seq = history.seq) \
         WHERE seq IN (SELECT seq FROM events);",
    )?;
    let mut dropped = 0;
    for table in ["attempts", "handed"] {
        let beyond = format!(
            "DELETE FROM {table} WHERE seq IN (SELECT seq FROM events) \
             AND replay > ifnull((SELECT count FROM replays r WHERE r.seq = {table}.seq), 0)"
        );
        dropped += new.execute(&beyond, [])?;
        let mut drop = new.prepare(&format!(
            "DELETE FROM {table} WHERE seq = ?1 AND target = ?2"
        ))?;
        let mut last = None;
        for Told { seq, target, .. } in &rows.told {
            if last.replace((seq, target)) != Some((seq, target)) && !went_to(*seq, *target) {
                dropped += drop.execute(params![seq.0.cast_signed(), target.0])?;
            }
        }
    }
    let known = DeadReason::ALL
        .map(|(_, word)| format!("'{word}'"))
        .join(", ");
    let unknown = format!("DELETE FROM handed WHERE outcome NOT IN ('delivered', {known})");
    dropped += new.execute(&unknown, [])?;
    Ok(dropped)
}

/// Each event waits, or is settled once, in the way that its dead letters say.
pub(super) fn ends(new: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<()> {
    new.execute_batch(
        "DELETE FROM settled WHERE seq IN (SELECT seq FROM deliveries); \
         UPDATE OR REPLACE settled SET class = (seq IN (SELECT seq FROM dead)) \
         WHERE class <> (seq IN (SELECT seq FROM dead)); \
         DELETE FROM settled WHERE (class, settled_ms, seq) NOT IN \
         (SELECT class, max(settled_ms), seq FROM settled GROUP BY seq);",
    )?;
    // Dead letters that nothing waits beside, and that have no end yet.
    new.execute(
        "INSERT OR IGNORE INTO settled (class, settled_ms, seq) \
         SELECT 1, max(dead_ms), seq FROM dead WHERE seq NOT IN (SELECT seq FROM settled) \
         AND seq NOT IN (SELECT seq FROM deliveries) GROUP BY seq",
        [],
    )?;
    new.execute(
        "INSERT OR IGNORE INTO settled (class, settled_ms, seq) \
         SELECT 0, ?1, seq FROM events WHERE seq NOT IN (SELECT seq FROM settled) \
         AND seq NOT IN (SELECT seq FROM deliveries)",
        [now_ms],
    )?;
    new.execute_batch(
        "CREATE TEMP TABLE counts (seq INTEGER PRIMARY KEY, class, settled_ms); \
         INSERT INTO counts SELECT seq, class, settled_ms FROM settled WHERE seq IN (SELECT seq FROM replays); \
         UPDATE replays SET (class, settled_ms) = (SELECT class, settled_ms FROM counts c WHERE c.seq = replays.seq); \
         DROP TABLE counts; \
         INSERT OR IGNORE INTO due (target, due_ms, seq) \
         SELECT target, due_ms, seq FROM deliveries WHERE due_ms IS NOT NULL;",
    )
}

/// Rows may speak of a source or target whose name is lost: it gets one that a configuration may take over.
pub(super) fn name_the_nameless(new: &Transaction<'_>) -> rusqlite::Result<()> {
    for (kind, word, numbers) in [
        (
            0,
            "source",
            "SELECT source FROM events UNION SELECT source FROM keys",
        ),
        (
            1,
            "target",
            "SELECT target FROM deliveries UNION SELECT target FROM dead",
        ),
    ] {
        new.execute(
            &format!(
                "INSERT OR REPLACE INTO names (id, kind, name) \
                 SELECT n, ?1, ifnull((SELECT name FROM names WHERE id = n), 'salvaged-{word}-' || n) \
                 FROM (SELECT DISTINCT {word} AS n FROM ({numbers})) \
                 WHERE NOT EXISTS (SELECT 1 FROM names own LEFT JOIN names heir ON heir.id = own.heir \
                 WHERE own.id = n AND own.kind = ?1 AND ifnull(own.name, heir.name) IS NOT NULL)"
            ),
            [kind],
        )?;
    }
    Ok(())
}

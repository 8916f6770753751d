//! Looks a store through, beside a gateway that may run on it: its log, its structure, every payload's checksum, and
//! whether the tables fit each other.
//!
//! Invariant: nothing is written, and no transaction is held for longer than a slice of payloads takes, except for the
//! structure and the small tables, which end when the log has grown by as much as it may.

use super::frames::{self, Verdict};
use super::probe::{self, Structure};
use super::row::{self, Proven};
use super::rows::{Dead, Due, Replayed, Rows, Settled, Told, Waiting, has_table, of_seq};
use super::walk::{Gap, walk, walk_slice};
use super::{DeadReason, OpenError, schema};
use crate::event::{EventId, Seq, SourceId, StoreTag, TargetId};
use rusqlite::Connection;
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

/// Payloads that are read in one transaction, and their bytes.
const SLICE_ROWS: usize = 256;
const SLICE_BYTES: u64 = 4 * 1024 * 1024;

/// Damages that are listed; the others are counted.
const LISTED_MAX: usize = 1_000;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// SQLite's own check of the pages.
    Structure,
    /// Payloads, by number of the event.
    Payloads {
        /// Up to here.
        seq: u64,
        /// The last one.
        last: u64,
    },
    /// Whether the tables fit each other.
    Tables,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What.
    pub what: String,
    /// The event's id, where it is about one and can be told.
    pub event: Option<String>,
    /// The event's number.
    pub seq: Option<u64>,
    /// Name of its source.
    pub source: Option<String>,
    /// Names of the targets that wait for it.
    pub waits_for: Vec<String>,
    /// What it leads to, and what to do.
    pub advice: &'static str,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Payloads that were read and proven.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keys of duplicates that were looked at.
    pub keys: u64,
    /// Everything that is wrong; empty if nothing is.
    pub damages: Vec<Damage>,
    /// Damages that are not listed.
    pub more: u64,
    /// What could not be looked at, and why; nothing of it is damage.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.damages.is_empty()
    }

    /// Rows that can't be read at all.
    fn unread(&mut self, table: &str, of: &str, gap: Gap) {
        let to = match gap.to {
            i64::MAX => "the end".to_owned(),
            to => to.to_string(),
        };
        let of = if of.is_empty() {
            String::new()
        } else {
            format!(" of {of}")
        };
        let from = gap.from;
        self.add_other(
            format!("rows of table {table}{of} can't be read: keys {from} to {to}"),
            SALVAGE,
        );
    }

    /// Damage that is of no event.
    fn add_other(&mut self, what: String, advice: &'static str) {
        self.add(Damage {
            what,
            event: None,
            seq: None,
            source: None,
            waits_for: Vec::new(),
            advice,
        });
    }

    fn add(&mut self, damage: Damage) {
        if self.damages.len() < LISTED_MAX {
            self.damages.push(damage);
        } else {
            self.more += 1;
        }
    }
}

const SALVAGE: &str = "stop the gateway and run `hookgate store salvage --to DIR`";
const LATER: &str = "it is never forwarded: when its turn comes it becomes a dead letter (corrupt). \
                     Have it sent again by its source";
const ONLY_TOLD: &str = "no delivery depends on it; what is shown of the past is wrong";
const GONE: &str = "nothing waits for it any more; it can't be replayed";
const UNDELIVERED: &str = "it would never be delivered: stop the gateway and run `hookgate store salvage --to DIR`, \
                           which lets it be delivered again";

/// Checks the store in `directory`. `log_growth_bytes` is how much its log may grow meanwhile because of it.
pub fn check(
    directory: &Path,
    log_growth_bytes: u64,
    mut progress: impl FnMut(Progress),
) -> Result<Report, OpenError> {
    let mut report = Report::default();
    let path = probe::database(directory);
    // Before SQLite sees it: a recovery ends at a damaged frame and says nothing.
    check_log(directory, &mut report)?;
    let (mut connection, identity) = probe::open_ours(directory)?;
    progress(Progress::Structure);
    let growth = Growth::new(directory, log_growth_bytes);
    let structure = probe::structure(&mut connection, growth.stop())
        .map_err(OpenError::sqlite(&path, "check the structure"))?;
    report.structure(structure, log_growth_bytes);
    let mut corrupt = BTreeSet::new();
    check_payloads(&connection, &mut report, &mut corrupt, &mut progress)
        .map_err(OpenError::sqlite(&path, "read the payloads"))?;
    progress(Progress::Tables);
    let growth = Growth::new(directory, log_growth_bytes);
    let fits = connection
        .progress_handler(10_000, Some(growth.stop()))
        .and_then(|()| check_tables(&connection, identity.tag, &mut report, &corrupt));
    match fits {
        Err(e) if probe::is_interrupt(&e) => report.notes.push(format!(
            "the tables were not compared: the log had grown by {log_growth_bytes} bytes meanwhile; \
             check again when less is received"
        )),
        fits => fits.map_err(OpenError::sqlite(&path, "compare the tables"))?,
    }
    Ok(report)
}

/// Checks a database that nobody uses, such as a backup.
pub(super) fn check_still(path: &Path) -> Result<Report, OpenError> {
    let mut report = Report::default();
    let mut connection = probe::open_still(path)?;
    let identity = schema::read(&connection, path)?;
    let structure = probe::structure(&mut connection, || false)
        .map_err(OpenError::sqlite(path, "check the structure"))?;
    report.structure(structure, 0);
    let mut corrupt = BTreeSet::new();
    check_payloads(&connection, &mut report, &mut corrupt, &mut |_| {})
        .map_err(OpenError::sqlite(path, "read the payloads"))?;
    check_tables(&connection, identity.tag, &mut report, &corrupt)
        .map_err(OpenError::sqlite(path, "compare the tables"))?;
    Ok(report)
}

impl Report {
    fn structure(&mut self, structure: Structure, log_growth_bytes: u64) {
        match structure {
            Structure::Sound => {}
            Structure::Partly(tables) => self.notes.push(format!(
                "the structure was checked in part ({}): the log had grown by {log_growth_bytes} bytes meanwhile; \
                 check again when less is received",
                tables.join(", ")
            )),
            Structure::Damaged(complaints) => {
                for complaint in complaints {
                    self.add_other(format!("structure: {complaint}"), SALVAGE);
                }
            }
        }
    }
}

/// How far the log may grow while a transaction of ours keeps it from starting over.
#[derive(Debug)]
pub(super) struct Growth {
    log: PathBuf,
    most_bytes: u64,
}

impl Growth {
    pub(super) fn new(directory: &Path, by_bytes: u64) -> Self {
        let log = probe::log(directory);
        let now = log_bytes(&log);
        Self {
            log,
            most_bytes: now.saturating_add(by_bytes),
        }
    }

    pub(super) fn is_too_much(&self) -> bool {
        log_bytes(&self.log) > self.most_bytes
    }

    fn stop(self) -> impl FnMut() -> bool + Send + 'static {
        move || self.is_too_much()
    }
}

fn log_bytes(log: &Path) -> u64 {
    // There is none before the first commit.
    std::fs::metadata(log).map_or(0, |log| log.len())
}

fn check_log(directory: &Path, report: &mut Report) -> Result<(), OpenError> {
    let log = probe::log(directory);
    match frames::look(&log, schema::PAGE_BYTES.into())? {
        Verdict::Whole => {}
        Verdict::Torn { frame } => report.notes.push(format!(
            "the log ends in a commit that is not whole (frame {frame}): a gateway is writing it, or a crash cut it \
             short before anything of it was acknowledged"
        )),
        Verdict::Damaged { frame } => report.add(Damage {
            what: format!("log: frame {frame} is damaged, and commits lie behind it"),
            event: None,
            seq: None,
            source: None,
            waits_for: Vec::new(),
            advice: "a gateway that runs is not harmed by it until it stops; it will not start on this log: \
                     run `hookgate store salvage --to DIR` then, which reads what lies behind",
        }),
    }
    Ok(())
}

fn check_payloads(
    connection: &Connection,
    report: &mut Report,
    corrupt: &mut BTreeSet<Seq>,
    progress: &mut impl FnMut(Progress),
) -> rusqlite::Result<()> {
    let last: i64 =
        match connection.query_row("SELECT ifnull(max(seq), 0) FROM events", [], |row| {
            row.get(0)
        }) {
            Err(e) if probe::is_damage(&e) => 0,
            last => last?,
        };
    let mut start = Some(i64::MIN);
    while let Some(from) = start {
        let (mut rows, mut bytes) = (0, 0);
        let slice = walk_slice(connection, row::WALK, &[], from, |found| {
            if rows >= SLICE_ROWS || bytes >= SLICE_BYTES {
                return Ok(false);
            }
            rows += 1;
            let seq = Seq(found.get::<_, i64>(0)?.cast_unsigned());
            if let Some(Proven { bytes: more, .. }) = row::prove(found) {
                report.events += 1;
                report.bytes += more;
                bytes += more;
            } else {
                corrupt.insert(seq);
            }
            Ok(true)
        })?;
        for gap in slice.gaps {
            report.unread("events", "", gap);
        }
        start = slice.next;
        progress(Progress::Payloads {
            seq: start.unwrap_or(last).cast_unsigned(),
            last: last.cast_unsigned(),
        });
    }
    Ok(())
}

/// A row of `events` without its payload.
struct Known {
    seq: Seq,
    source: SourceId,
    received_ms: u64,
    targets: Vec<TargetId>,
}

/// Reads the small tables and the heads of all events as they are at one moment, and compares them.
fn check_tables(
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
struct Tables<'r> {
    tag: StoreTag,
    rows: &'r Rows,
    corrupt: &'r BTreeSet<Seq>,
    /// Who sent, and when, what is not among the events or is damaged: its keys tell.
    received: HashMap<Seq, (SourceId, u64)>,
    report: &'r mut Report,
}

/// Everything that is said of one event.
struct Standing<'r> {
    seq: Seq,
    event: Option<&'r Known>,
    waiting: &'r [Waiting],
    due: &'r [Due],
    dead: &'r [Dead],
    settled: &'r [Settled],
    replayed: Option<&'r Replayed>,
    told: &'r [Told],
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

    fn compare(&mut self, events: &[Known]) {
        let rows = self.rows;
        let mut seqs: Vec<Seq> = events.iter().map(|event| event.seq).collect();
        seqs.extend(rows.waiting.iter().map(|row| row.seq));
        seqs.extend(rows.due.iter().map(|row| row.seq));
        seqs.extend(rows.dead.iter().map(|row| row.seq));
        seqs.extend(rows.settled.iter().map(|row| row.seq));
        seqs.sort_unstable();
        seqs.dedup();
        let (mut waiting, mut due, mut dead, mut settled) = (0, 0, 0, 0);
        let (mut replayed, mut told) = (0, 0);
        let mut events = events.iter().peekable();
        for seq in seqs {
            let standing = Standing {
                seq,
                event: events.next_if(|event| event.seq == seq),
                waiting: of_seq(&rows.waiting, &mut waiting, seq, |row| row.seq),
                due: of_seq(&rows.due, &mut due, seq, |row| row.seq),
                dead: of_seq(&rows.dead, &mut dead, seq, |row| row.seq),
                settled: of_seq(&rows.settled, &mut settled, seq, |row| row.seq),
                replayed: of_seq(&rows.replayed, &mut replayed, seq, |row| row.seq)
                    .iter()
                    .find(|row| row.seq == seq),
                told: of_seq(&rows.told, &mut told, seq, |row| row.seq),
            };
            self.judge(&standing);
        }
    }

    fn judge(&mut self, standing: &Standing<'_>) {
        self.judge_payload(standing);
        self.judge_order(standing);
        if let Some(event) = standing.event {
            self.judge_state(standing, event);
            if !self.corrupt.contains(&standing.seq) {
                self.judge_targets(standing, event);
            }
        }
    }

    /// What became of an event is said, and once. A replay leaves what was said before: then its own row says what counts.
    fn judge_state(&mut self, standing: &Standing<'_>, event: &Known) {
        let Standing {
            seq,
            waiting,
            dead,
            settled,
            replayed,
            ..
        } = *standing;
        let rows = self.rows;
        let all_read = rows.is_whole("deliveries") && rows.is_whole("settled");
        let counts = |row: &&Settled| {
            replayed.is_none_or(|replayed| {
                (replayed.class, replayed.settled_ms) == (Some(row.class), Some(row.settled_ms))
            })
        };
        let counting = settled.iter().filter(counts).count();
        let mut say = |what: &str, advice| {
            self.add(seq, Some(event), what.to_owned(), waiting, advice);
        };
        match (waiting, dead, counting) {
            ([], [], 0) if all_read => say(
                "nothing says what became of the event: its delivery is missing",
                UNDELIVERED,
            ),
            ([], [_, ..], 0) if all_read => {
                say(
                    "a dead letter has no end",
                    "it is kept for ever; nothing is lost",
                );
            }
            ([_, ..], _, 1..) => say("the event waits, but counts as settled", UNDELIVERED),
            ([], _, 2..) => say("the event is settled twice", "nothing is lost"),
            ([_, ..], _, _) if replayed.is_some_and(|replayed| replayed.class.is_some()) => {
                say("the event waits, but its replay counts as settled", SALVAGE);
            }
            _ => {}
        }
        let is_dead = !dead.is_empty();
        let class = |row: &&Settled| matches!((row.class, is_dead), (0, false) | (1, true));
        if waiting.is_empty()
            && rows.is_whole("dead")
            && !settled.iter().filter(counts).all(|row| class(&row))
        {
            say(
                "the event does not end as its dead letters say",
                "it is kept for another time than it should be",
            );
        }
        if settled.iter().any(|row| !matches!(row.class, 0 | 1)) {
            say(
                "the event is settled in an unknown way",
                "it is kept for ever; nothing is lost",
            );
        }
    }

    /// Deliveries and dead letters are at the event's own targets, or where it was replayed to, and there are as many
    /// as they say.
    fn judge_targets(&mut self, standing: &Standing<'_>, event: &Known) {
        let Standing {
            waiting,
            dead,
            replayed,
            ..
        } = *standing;
        let names = &self.rows.names;
        let replayed_to = replayed.map_or(&[][..], |replayed| &replayed.targets);
        let own: BTreeSet<TargetId> = event
            .targets
            .iter()
            .chain(replayed_to)
            .map(|target| names.present(*target))
            .collect();
        let strange: Vec<TargetId> = waiting
            .iter()
            .map(|row| row.target)
            .chain(dead.iter().map(|row| row.target))
            .filter(|target| !own.contains(target))
            .collect();
        for target in strange {
            let name = self.rows.names.target(target);
            let what = format!("it waits or died at target {name}, which it never went to");
            self.add(event.seq, Some(event), what, waiting, UNDELIVERED);
        }
        // Of an earlier number of the event there is none: its rows go with it.
        let told = standing.told.iter().filter(|told| told.seq == event.seq);
        let count = replayed.map_or(0, |replayed| replayed.count);
        if told
            .clone()
            .any(|told| !own.contains(&names.present(told.target)))
        {
            let what = "an attempt or an end is told of a target that it never went to".to_owned();
            self.add(event.seq, Some(event), what, waiting, ONLY_TOLD);
        }
        let mut replays = waiting.iter().map(|row| row.replay);
        if replays.any(|replay| replay > count)
            || told.map(|told| told.replay).any(|replay| replay > count)
        {
            let what = "a replay is told of that was not asked for".to_owned();
            self.add(event.seq, Some(event), what, waiting, SALVAGE);
        }
        let fan = i64::try_from(event.targets.len()).unwrap_or(i64::MAX);
        let is_right = |row: &Waiting| match replayed {
            Some(_) => row.fan == 0,
            None => row.fan == fan && row.replay == 0,
        };
        if !waiting.iter().all(is_right) {
            let what = "a delivery counts other targets than its event has".to_owned();
            self.add(event.seq, Some(event), what, waiting, SALVAGE);
        }
    }

    /// The payload is there and whole, or nothing needs it.
    fn judge_payload(&mut self, standing: &Standing<'_>) {
        let Standing {
            seq,
            event,
            waiting,
            dead,
            settled,
            ..
        } = *standing;
        let advice = if waiting.is_empty() { GONE } else { LATER };
        if self.corrupt.contains(&seq) {
            self.add(
                seq,
                event,
                "the payload is not what was written (checksum)".to_owned(),
                waiting,
                advice,
            );
        } else if let Some(event) = event {
            if !self.rows.names.sources.contains_key(&event.source) {
                self.add(
                    seq,
                    Some(event),
                    "the event's source has no name".to_owned(),
                    waiting,
                    advice,
                );
            }
        } else {
            // A delivery that was given up since its payload is missing is what is left of that.
            let told = dead
                .iter()
                .any(|row| row.reason == DeadReason::Corrupt.word());
            let needed = !waiting.is_empty() || !dead.is_empty() || !settled.is_empty();
            if needed && !told {
                self.add(
                    seq,
                    None,
                    "the payload is missing".to_owned(),
                    waiting,
                    advice,
                );
            }
        }
    }

    /// Retries stand in the order of retries, and nothing else does; targets have names, reasons are known.
    fn judge_order(&mut self, standing: &Standing<'_>) {
        let Standing {
            seq,
            event,
            waiting,
            due,
            dead,
            ..
        } = *standing;
        for row in waiting {
            let mine: Vec<i64> = due
                .iter()
                .filter(|due| due.target == row.target)
                .map(|due| due.due_ms)
                .collect();
            if mine != row.due_ms.into_iter().collect::<Vec<_>>() && self.rows.is_whole("due") {
                let what = format!(
                    "its retry at {} is not in the order of retries, or at another time",
                    self.rows.names.target(row.target)
                );
                self.add(seq, event, what, waiting, UNDELIVERED);
            }
        }
        if due
            .iter()
            .any(|due| waiting.iter().all(|row| row.target != due.target))
            && self.rows.is_whole("deliveries")
        {
            self.add(
                seq,
                event,
                "a retry has no delivery".to_owned(),
                waiting,
                UNDELIVERED,
            );
        }
        let mut targets = waiting
            .iter()
            .map(|row| row.target)
            .chain(dead.iter().map(|row| row.target));
        if targets.any(|target| !self.rows.names.targets.contains_key(&target)) {
            self.add(
                seq,
                event,
                "it waits or died at a target that has no name".to_owned(),
                waiting,
                UNDELIVERED,
            );
        }
        if dead
            .iter()
            .any(|row| DeadReason::ALL.iter().all(|(_, word)| *word != row.reason))
        {
            self.add(
                seq,
                event,
                "it died of an unknown reason".to_owned(),
                waiting,
                "nothing is lost",
            );
        }
    }

    fn add(
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

//! Copies everything that is good in a store into a new one, however damaged it is.
//!
//! Invariants: the original is only read, and only a copy of it is ever opened as a database; an event that may still
//! wait for a target waits for it again; what waited and could not be saved is a dead letter (corrupt), never gone
//! without a trace. The new store has the old one's identity, so that event ids and dedupe keys go on.

use super::directory::{self, Directory};
use super::frames::{self, Applied};
use super::rows::{Dead, Rows, Unread, Waiting, has_table};
use super::walk::{Gap, walk};
use super::{DeadReason, OpenError, checkpoint, mend, probe, recovery, row, schema};
use crate::clock;
use crate::event::{EventId, Seq, SourceId, StoreTag, TargetId};
use rusqlite::{Connection, Transaction, params, types::Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{File, OpenOptions, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

/// Losses that are listed; the others are counted.
const LISTED_MAX: usize = 10_000;

/// Numbers that are left out where nobody knows which were used last.
const SEQS_LEFT_OUT: u64 = 1_000_000;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The file is copied, and its log laid over the copy.
    Copying,
    /// Payloads, by number of the event.
    Payloads {
        /// Up to here.
        seq: u64,
    },
    /// Everything else.
    Tables,
}

/// An event that could not be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its number.
    pub seq: u64,
    /// Its id, where it can be told.
    pub event: Option<String>,
    /// Name of its source.
    pub source: Option<String>,
    /// Names of the targets that waited for it: there it is a dead letter (corrupt) now.
    pub waited_for: Vec<String>,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What became of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Payloads that were saved.
    pub events: u64,
    /// Remembered keys.
    pub keys: u64,
    /// Deliveries that wait.
    pub pending: u64,
    /// Of these, such as wait again since nobody knows whether they were made: event numbers.
    pub again: Vec<u64>,
    /// Dead letters.
    pub dead: u64,
    /// Events that could not be saved.
    pub lost: Vec<Lost>,
    /// Lost events that are not listed.
    pub more: u64,
    /// Whether secret and tag could be read: without them event ids change, and no duplicate is known.
    pub identity: bool,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// Saves what is in `directory` into the new directory `to`. No gateway may run on it.
pub fn salvage(
    directory: &Path,
    to: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<Salvaged, OpenError> {
    let path = probe::database(directory);
    if let Err(e) = std::fs::metadata(&path) {
        return Err(OpenError::io(&path, "no store here")(e));
    }
    let _lock = directory::lock(directory)?;
    refuse_to_overwrite(to)?;
    let parent = directory::parent(to);
    directory::make_directory(parent)?;
    let work = tempfile::Builder::new()
        .prefix(".hookgate-salvage-")
        .tempdir_in(parent)
        .map_err(OpenError::io(parent, "make a directory"))?;
    progress(Progress::Copying);
    let mut saved = Salvaged::default();
    let copy = work.path().join("damaged.db");
    let applied = copy_by_hand(directory, &copy).map_err(OpenError::io(&path, "copy"))?;
    if applied.damaged > 0 {
        saved.notes.push(format!(
            "the log had {} damaged frames of {}; what they say is used as far as it can be proven",
            applied.damaged, applied.frames
        ));
    }
    let old = open_copy(&copy, work.path(), &mut saved)?;
    let made = work.path().join("store");
    let claimed = Directory::claim(&made)?;
    let (mut new, _) = recovery::open(&claimed, Duration::ZERO)?;
    let database = claimed.database();
    let identity = schema::identity(&old, &copy).ok();
    saved.identity = identity.is_some();
    let mut salvage = Salvage {
        old: &old,
        tag: match &identity {
            Some(identity) => identity.tag,
            None => schema::read(&new, &database)?.tag,
        },
        saved,
        whole: BTreeMap::new(),
        corrupt: BTreeSet::new(),
        gaps: Vec::new(),
        progress: &mut progress,
    };
    salvage
        .copy(&mut new, identity.as_ref())
        .map_err(OpenError::sqlite(&database, "write what is saved"))?;
    let saved = salvage.saved;
    checkpoint::run(&new, checkpoint::Mode::Truncate)
        .map_err(OpenError::sqlite(&database, "checkpoint the log"))?;
    new.close()
        .map_err(|(_, e)| OpenError::sqlite(&database, "close")(e))?;
    drop(claimed);
    std::fs::rename(&made, to).map_err(OpenError::io(to, "name the new store"))?;
    directory::sync_directory(parent)?;
    Ok(saved)
}

fn refuse_to_overwrite(to: &Path) -> Result<(), OpenError> {
    let is_free = match std::fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    if is_free {
        return Ok(());
    }
    let why = "exists and is no empty directory; nothing is overwritten";
    Err(OpenError::format(to, why.into()))
}

/// Copies the database, lays the log over the copy, and mends its header. The gateway is stopped, and this process
/// has no connection to it: opening the file by hand harms nobody.
fn copy_by_hand(directory: &Path, to: &Path) -> io::Result<Applied> {
    std::fs::copy(probe::database(directory), to)?;
    std::fs::set_permissions(to, Permissions::from_mode(0o600))?;
    let mut copy = OpenOptions::new().read(true).write(true).open(to)?;
    let page_bytes = page_bytes(&mut copy)?;
    let applied = frames::apply(&probe::log(directory), &mut copy, page_bytes)?;
    mend_header(&mut copy, page_bytes)?;
    Ok(applied)
}

/// As the header says, if that can be; else as every store of ours is made.
fn page_bytes(copy: &mut File) -> io::Result<usize> {
    let ours = u64::from(schema::PAGE_BYTES);
    let mut said = [0; 2];
    copy.seek(SeekFrom::Start(16))?;
    match copy.read_exact(&mut said) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(e) => return Err(e),
    }
    let said = match u64::from(u16::from_be_bytes(said)) {
        1 => 65_536,
        bytes => bytes,
    };
    let length = copy.metadata()?.len();
    let can_be = said.is_power_of_two() && said >= 512 && length.is_multiple_of(said);
    let bytes = if can_be { said } else { ours };
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// The fields of a database's header are the same in every store, or can be counted
/// (<https://sqlite.org/fileformat2.html#the_database_header>). Free pages are of no use to a reader.
fn mend_header(copy: &mut File, page_bytes: usize) -> io::Result<()> {
    let pages = copy.metadata()?.len() / page_bytes as u64;
    let mut header = [0; 100];
    header[..16].copy_from_slice(b"SQLite format 3\0");
    // 1 stands for 65,536.
    let size = u16::try_from(page_bytes).unwrap_or(1);
    header[16..18].copy_from_slice(&size.to_be_bytes());
    // Not WAL: the log is in the file now. No bytes are reserved; the fractions are fixed.
    header[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
    // The size counts while both change counters are equal.
    header[24..28].copy_from_slice(&1_u32.to_be_bytes());
    header[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
    header[40..44].copy_from_slice(&1_u32.to_be_bytes());
    header[44..48].copy_from_slice(&4_u32.to_be_bytes());
    header[56..60].copy_from_slice(&1_u32.to_be_bytes());
    header[68..72].copy_from_slice(&schema::APPLICATION_ID_BYTES);
    header[92..96].copy_from_slice(&1_u32.to_be_bytes());
    header[96..].copy_from_slice(&rusqlite::version_number().to_be_bytes());
    copy.seek(SeekFrom::Start(0))?;
    copy.write_all(&header)
}

/// Opens the copy. Where its first page does not say which tables are where, that of a new store does: the first tables
/// of all releases are made in the same order.
fn open_copy(copy: &Path, work: &Path, saved: &mut Salvaged) -> Result<Connection, OpenError> {
    // A list of tables that makes no sense is an error already when it is opened.
    if let Ok(opened) = probe::open_still(copy)
        && schema::has_first_tables(&opened)
    {
        return Ok(opened);
    }
    let model = work.join("model.db");
    let mut made = Connection::open(&model).map_err(OpenError::sqlite(&model, "make a model"))?;
    schema::set_page_size(&made).map_err(OpenError::sqlite(&model, "set page_size"))?;
    schema::prepare(&mut made, &model, schema::Owner::Nobody)?;
    made.close()
        .map_err(|(_, e)| OpenError::sqlite(&model, "make a model")(e))?;
    let mend = || -> io::Result<()> {
        let page_bytes = usize::from(schema::PAGE_BYTES);
        let mut page = vec![0; page_bytes];
        File::open(&model)?.read_exact(&mut page)?;
        let mut copy = OpenOptions::new().read(true).write(true).open(copy)?;
        copy.seek(SeekFrom::Start(0))?;
        copy.write_all(&page)?;
        mend_header(&mut copy, page_bytes)
    };
    mend().map_err(OpenError::io(copy, "mend the first page"))?;
    saved.notes.push(
        "the list of tables was damaged: they were looked for where a new store has them".into(),
    );
    probe::open_still(copy)
}

/// What is known while it goes on.
struct Salvage<'s, P> {
    old: &'s Connection,
    tag: StoreTag,
    saved: Salvaged,
    /// Events that were saved.
    whole: BTreeMap<Seq, Whole>,
    /// Events that are there, and not what was written.
    corrupt: BTreeSet<Seq>,
    /// Payloads that can't be read.
    gaps: Vec<Gap>,
    progress: &'s mut P,
}

struct Whole {
    targets: Vec<TargetId>,
    bytes: u64,
}

impl<P: FnMut(Progress)> Salvage<'_, P> {
    fn copy(
        &mut self,
        new: &mut Connection,
        identity: Option<&schema::Identity>,
    ) -> rusqlite::Result<()> {
        let new = new.transaction()?;
        let rows = Rows::read(self.old)?;
        // Where they can't be read that is among what can't be read.
        if matches!(schema::names_are_right(self.old), Ok(false)) {
            self.saved.notes.push(format!(
                "{}: see which, and put it right with `replaces` before the gateway runs",
                schema::NAMES_ARE_WRONG
            ));
        }
        let (_, unread) = self.copy_by_seq(&new, "names", "id", |_| true)?;
        self.saved.notes.extend(unread);
        self.copy_events(&new, &rows)?;
        (self.progress)(Progress::Tables);
        let now_ms = clock::unix_ms().cast_signed();
        for table in ["replays", "attempts", "history", "handed"] {
            if has_table(self.old, table)? {
                let of_stored = matches!(table, "replays" | "attempts");
                let (_, unread) = self.copy_by_seq(&new, table, "seq", |seq| {
                    !of_stored
                        || u64::try_from(seq).is_ok_and(|seq| self.whole.contains_key(&Seq(seq)))
                })?;
                self.saved.notes.extend(unread);
            }
        }
        let received = self.copy_keys(&new, identity)?;
        self.copy_standing(&new, &rows, now_ms)?;
        self.lose(&rows, &received);
        mend::name_the_nameless(&new)?;
        self.copy_identity(&new, &rows, identity)?;
        for unread in &rows.unread {
            self.saved.notes.push(in_words(unread));
        }
        for gap in &self.gaps {
            self.saved.notes.push(in_words(&Unread {
                table: "events",
                of: String::new(),
                gap: *gap,
            }));
        }
        new.commit()
    }

    fn copy_events(&mut self, new: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
        let mut insert = new.prepare(
            "INSERT OR IGNORE INTO events \
             (seq, source, received_ms, type, key, targets, crc, secret_header, secret_name, headers, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let mut written = Ok(0);
        self.gaps = walk(self.old, row::WALK, &[], |found| {
            let seq = Seq(found.get::<_, i64>(0)?.cast_unsigned());
            let Some(proven) = row::prove(found) else {
                self.corrupt.insert(seq);
                return Ok(());
            };
            let values = (0..11)
                .map(|column| found.get(column))
                .collect::<rusqlite::Result<Vec<Value>>>()?;
            if written.is_ok() {
                written = insert.execute(rusqlite::params_from_iter(values));
            }
            self.saved.events += 1;
            if self.saved.events.is_multiple_of(1_000) {
                (self.progress)(Progress::Payloads { seq: seq.0 });
            }
            let targets = proven.targets;
            let targets = targets.iter().map(|target| rows.names.present(*target));
            self.whole.insert(
                seq,
                Whole {
                    targets: targets.collect(),
                    bytes: proven.bytes,
                },
            );
            Ok(())
        })?;
        written.map(|_| ())
    }

    /// What waits, what is dead, what is settled: each event stands somewhere afterwards, and none twice.
    fn copy_standing(
        &mut self,
        new: &Transaction<'_>,
        rows: &Rows,
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        let waits: BTreeSet<(TargetId, Seq)> = rows
            .waiting
            .iter()
            .filter(|row| self.went_to(rows, row.seq, row.target) == Some(true))
            .map(|row| (row.target, row.seq))
            .collect();
        let dead: BTreeSet<(TargetId, Seq)> = rows
            .dead
            .iter()
            .filter(|row| self.went_to(rows, row.seq, row.target) != Some(false))
            .map(|row| (row.target, row.seq))
            .collect();
        write_rows(new, rows, &waits, &dead)?;
        let mut dropped = mend::drop_mistyped(new)?;
        self.weigh(new, rows)?;
        self.bury_lost(new, rows, now_ms)?;
        mend::replays(new, rows, now_ms)?;
        let mut settle = new.prepare(
            "INSERT OR IGNORE INTO settled (class, settled_ms, seq) VALUES (?1, ?2, ?3)",
        )?;
        for settled in &rows.settled {
            if self.whole.contains_key(&settled.seq) && matches!(settled.class, 0 | 1) {
                settle.execute(params![
                    settled.class,
                    settled.settled_ms,
                    settled.seq.0.cast_signed()
                ])?;
            }
        }
        self.deliver_again(new, rows, &waits)?;
        mend::ends(new, now_ms)?;
        dropped += mend::what_is_told(new, rows, |seq, target| {
            self.went_to(rows, seq, target) != Some(false)
        })?;
        if dropped > 0 {
            self.saved.notes.push(format!(
                "{dropped} rows of what is told of the past, or of duplicates, made no sense and were left out"
            ));
        }
        let count = |sql: &str| new.query_row(sql, [], |row| row.get::<_, i64>(0));
        self.saved.keys = count("SELECT count(*) FROM keys")?.cast_unsigned();
        self.saved.pending = count("SELECT count(*) FROM deliveries")?.cast_unsigned();
        self.saved.dead = count("SELECT count(*) FROM dead")?.cast_unsigned();
        Ok(())
    }

    /// Whether an event went to a target: by its own row, or by a replay. `None` if the event is not saved.
    fn went_to(&self, rows: &Rows, seq: Seq, target: TargetId) -> Option<bool> {
        let whole = self.whole.get(&seq)?;
        let target = rows.names.present(target);
        let replayed = rows.replayed.binary_search_by_key(&seq, |row| row.seq);
        let replayed_to = replayed.map_or(&[][..], |at| &rows.replayed[at].targets);
        // Where its replays can't be read.
        let may_have = replayed.is_err()
            && !rows.is_whole("replays")
            && rows.names.targets.contains_key(&target);
        let mut replayed_to = replayed_to.iter().map(|target| rows.names.present(*target));
        Some(may_have || whole.targets.contains(&target) || replayed_to.any(|to| to == target))
    }

    /// A delivery weighs what its event weighs.
    fn weigh(&self, new: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
        let mut weigh =
            new.prepare("UPDATE deliveries SET bytes = ?3 WHERE target = ?1 AND seq = ?2")?;
        for row in &rows.waiting {
            if let Some(whole) = self.whole.get(&row.seq)
                && whole.bytes.cast_signed() != row.bytes
            {
                let seq = row.seq.0.cast_signed();
                weigh.execute(params![row.target.0, seq, whole.bytes.cast_signed()])?;
            }
        }
        Ok(())
    }

    /// What waits for an event that is lost is dead there.
    fn bury_lost(&self, new: &Transaction<'_>, rows: &Rows, now_ms: i64) -> rusqlite::Result<()> {
        let corrupt = DeadReason::Corrupt.word();
        let mut bury = new.prepare(
            "INSERT OR IGNORE INTO dead (target, seq, reason, attempts, dead_ms, bytes) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for waiting in &rows.waiting {
            if !self.whole.contains_key(&waiting.seq) {
                bury.execute(params![
                    waiting.target.0,
                    waiting.seq.0.cast_signed(),
                    corrupt,
                    waiting.attempts,
                    now_ms,
                    waiting.bytes.max(0)
                ])?;
            }
        }
        new.execute(
            "UPDATE dead SET reason = ?1 WHERE seq NOT IN (SELECT seq FROM events)",
            [corrupt],
        )?;
        Ok(())
    }

    /// Events whose delivery may be among what is lost wait once more: at least once is the promise.
    fn deliver_again(
        &mut self,
        new: &Transaction<'_>,
        rows: &Rows,
        waits: &BTreeSet<(TargetId, Seq)>,
    ) -> rusqlite::Result<()> {
        let mut wait = new.prepare(
            "INSERT OR IGNORE INTO deliveries (target, seq, attempts, due_ms, bytes, fan) \
             VALUES (?1, ?2, 0, NULL, ?3, ?4)",
        )?;
        let dead: BTreeSet<(Seq, TargetId)> =
            rows.dead.iter().map(|row| (row.seq, row.target)).collect();
        let settled: BTreeSet<Seq> = rows.settled.iter().map(|row| row.seq).collect();
        let doubtful = rows.doubtful(|seq, target| {
            let is_right = match self.went_to(rows, seq, target) {
                Some(went_to) => went_to && !settled.contains(&seq),
                None => self.corrupt.contains(&seq) || !self.gaps.is_empty(),
            };
            !is_right
        });
        for (seq, event) in &self.whole {
            let number = seq.0.cast_signed();
            let may_wait = |target: &TargetId| {
                let place = (*target, *seq);
                rows.is_unread("deliveries", *target, *seq)
                    || doubtful
                        .iter()
                        .any(|(after, before)| *after < place && place < *before)
            };
            let has_end = settled.contains(seq);
            let stands = has_end || event.targets.iter().any(|t| waits.contains(&(*t, *seq)));
            let open: Vec<TargetId> = event
                .targets
                .iter()
                .copied()
                .filter(|target| {
                    !dead.contains(&(*seq, *target)) && !waits.contains(&(*target, *seq))
                })
                // Where nothing at all is said, its delivery row may have become that of another event.
                .filter(|target| {
                    (!has_end && may_wait(target)) || (!stands && rows.is_whole("settled"))
                })
                .collect();
            for target in &open {
                let fan = i64::try_from(event.targets.len()).unwrap_or(i64::MAX);
                wait.execute(params![target.0, number, event.bytes.cast_signed(), fan])?;
            }
            if !open.is_empty() {
                self.saved.again.push(seq.0);
            }
        }
        new.execute(
            "UPDATE deliveries SET fan = 0 WHERE seq IN (SELECT seq FROM replays)",
            [],
        )?;
        Ok(())
    }

    /// Copies the keys, and returns who sent, and when, what is lost.
    fn copy_keys(
        &mut self,
        new: &Transaction<'_>,
        identity: Option<&schema::Identity>,
    ) -> rusqlite::Result<HashMap<Seq, (SourceId, u64)>> {
        if identity.is_some() {
            let (keys, unread) = self.copy_by_seq(new, "keys", "id", |id| id & 0b11 != 0b11)?;
            self.saved.keys = keys;
            if !unread.is_empty() {
                self.saved.notes.extend(unread);
                self.saved.notes.push(
                    "events whose keys are lost are new events if they are sent again".into(),
                );
            }
        }
        let mut received = HashMap::new();
        let sql = "SELECT id, source, received_ms FROM keys WHERE id >= ?1 ORDER BY id";
        walk(self.old, sql, &[], |row| {
            let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned() >> 2);
            if !self.whole.contains_key(&seq) {
                let of = (SourceId(row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned());
                received.entry(seq).or_insert(of);
            }
            Ok(())
        })?;
        Ok(received)
    }

    /// Lists what could not be saved: what is damaged, and what other tables speak of.
    fn lose(&mut self, rows: &Rows, received: &HashMap<Seq, (SourceId, u64)>) {
        let mut lost: BTreeMap<Seq, &'static str> = self
            .corrupt
            .iter()
            .map(|seq| (*seq, "its payload is not what was written (checksum)"))
            .collect();
        let told = rows
            .dead
            .iter()
            .filter(|row| row.reason != DeadReason::Corrupt.word())
            .map(|row| row.seq)
            .chain(rows.waiting.iter().map(|row| row.seq));
        for seq in told.chain(self.read_over(rows)) {
            if !self.whole.contains_key(&seq) {
                lost.entry(seq).or_insert("its payload can't be read");
            }
        }
        for (seq, what) in lost {
            if self.saved.lost.len() >= LISTED_MAX {
                self.saved.more += 1;
                continue;
            }
            let of = received.get(&seq);
            let first = rows.waiting.partition_point(|row| row.seq < seq);
            let waited = rows.waiting[first..]
                .iter()
                .take_while(|row| row.seq == seq);
            self.saved.lost.push(Lost {
                seq: seq.0,
                event: of.map(|(_, ms)| EventId::new(*ms, self.tag, seq).to_string()),
                source: of
                    .and_then(|(source, _)| rows.names.sources.get(source))
                    .map(ToString::to_string),
                waited_for: waited
                    .map(|row| rows.names.target(row.target).to_string())
                    .collect(),
                what,
            });
        }
    }

    /// Settled events among the payloads that can't be read.
    fn read_over(&self, rows: &Rows) -> Vec<Seq> {
        let in_gap = |seq: Seq| {
            let seq = seq.0.cast_signed();
            self.gaps
                .iter()
                .any(|gap| (gap.from..=gap.to).contains(&seq))
        };
        rows.settled
            .iter()
            .map(|row| row.seq)
            .filter(|seq| in_gap(*seq))
            .collect()
    }

    fn copy_identity(
        &mut self,
        new: &Transaction<'_>,
        rows: &Rows,
        identity: Option<&schema::Identity>,
    ) -> rusqlite::Result<()> {
        let set = |name: &str, value: &dyn rusqlite::ToSql| {
            new.execute(
                "UPDATE meta SET value = ?2 WHERE name = ?1",
                params![name, value],
            )
        };
        if let Some(identity) = identity {
            set("tag", &identity.tag.0.cast_signed())?;
            set("secret", &identity.secret)?;
        }
        let kept = self
            .old
            .query_row(
                "SELECT value FROM meta WHERE name = 'next_seq'",
                [],
                |row| row.get::<_, i64>(0),
            )
            .ok();
        let keys: i64 = new.query_row("SELECT ifnull(max(id), 0) >> 2 FROM keys", [], |row| {
            row.get(0)
        })?;
        let seen = [
            self.whole.keys().next_back().copied(),
            self.corrupt.last().copied(),
            rows.waiting.last().map(|row| row.seq),
            rows.settled.last().map(|row| row.seq),
            rows.dead.last().map(|row| row.seq),
            Some(Seq(keys.cast_unsigned())),
        ];
        let last = seen.into_iter().flatten().max().map_or(0, |seq| seq.0);
        let all_is_known = kept.is_some() && self.gaps.is_empty() && rows.unread.is_empty();
        let left_out = if all_is_known { 1 } else { SEQS_LEFT_OUT };
        // A number beyond its bits is damage.
        let next = (last + left_out).min((1 << Seq::BITS) - 1).cast_signed();
        let kept = kept.filter(|kept| *kept >> Seq::BITS == 0).unwrap_or(0);
        set("next_seq", &next.max(kept))?;
        schema::witness(new)
    }

    /// Copies rows of a table that is found by `key`, which need not be unique, where `wanted` says so. Returns how many,
    /// and in words which could not be read.
    fn copy_by_seq(
        &self,
        new: &Transaction<'_>,
        table: &'static str,
        key: &str,
        wanted: impl Fn(i64) -> bool,
    ) -> rusqlite::Result<(u64, Vec<String>)> {
        let keys = format!("SELECT DISTINCT {key} FROM {table} WHERE {key} >= ?1 ORDER BY {key}");
        let filter = format!("{key} = ?1");
        self.copy_rows(new, table, &keys, &filter, &[], wanted)
    }

    fn copy_rows(
        &self,
        new: &Transaction<'_>,
        table: &'static str,
        keys: &str,
        filter: &str,
        prefix: &[i64],
        wanted: impl Fn(i64) -> bool,
    ) -> rusqlite::Result<(u64, Vec<String>)> {
        let own = schema::columns_of(new, table)?;
        let columns: Vec<String> = schema::columns_of(self.old, table)?
            .into_iter()
            .filter(|column| own.contains(column))
            .collect();
        let list = columns.join(", ");
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("SELECT {list} FROM {table} WHERE {filter}");
        let mut select = match self.old.prepare(&sql) {
            Ok(select) => select,
            Err(e) if probe::is_damage(&e) => {
                return Ok((0, vec![format!("table {table} can't be read: {e}")]));
            }
            Err(e) => return Err(e),
        };
        let mut insert = new.prepare(&format!(
            "INSERT OR IGNORE INTO {table} ({list}) VALUES ({places})"
        ))?;
        let mut copied = 0;
        let mut written = Ok(0);
        let gaps = walk(self.old, keys, prefix, |row| {
            let key: i64 = row.get(0)?;
            if !wanted(key) || written.is_err() {
                return Ok(());
            }
            let mut rows = select.query(rusqlite::params_from_iter(
                prefix.iter().copied().chain([key]),
            ))?;
            while let Some(row) = rows.next()? {
                let values = (0..columns.len())
                    .map(|column| row.get(column))
                    .collect::<rusqlite::Result<Vec<Value>>>()?;
                match insert.execute(rusqlite::params_from_iter(values)) {
                    Ok(rows) => copied += rows as u64,
                    // A value that no row of ours has, where one has to be: damage.
                    Err(e)
                        if e.sqlite_error_code()
                            == Some(rusqlite::ErrorCode::ConstraintViolation) => {}
                    Err(e) => written = Err(e),
                }
            }
            Ok(())
        })?;
        written?;
        let of = String::new;
        let unread = gaps.into_iter().map(|gap| {
            in_words(&Unread {
                table,
                of: of(),
                gap,
            })
        });
        Ok((copied, unread.collect()))
    }
}

/// Writes those deliveries and dead letters that are wanted.
fn write_rows(
    new: &Transaction<'_>,
    rows: &Rows,
    waits: &BTreeSet<(TargetId, Seq)>,
    dead: &BTreeSet<(TargetId, Seq)>,
) -> rusqlite::Result<()> {
    let mut wait = new.prepare(
        "INSERT OR IGNORE INTO deliveries \
         (target, seq, attempts, due_ms, bytes, fan, lane, replay, since_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let wanted = |row: &&Waiting| waits.contains(&(row.target, row.seq));
    for row in rows.waiting.iter().filter(wanted) {
        wait.execute(params![
            row.target.0,
            row.seq.0.cast_signed(),
            row.attempts,
            row.due_ms,
            row.bytes,
            row.fan,
            row.lane,
            row.replay,
            row.since_ms
        ])?;
    }
    let mut die = new.prepare(
        "INSERT OR IGNORE INTO dead (target, seq, reason, attempts, dead_ms, bytes) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let wanted = |row: &&Dead| dead.contains(&(row.target, row.seq));
    for row in rows.dead.iter().filter(wanted) {
        die.execute(params![
            row.target.0,
            row.seq.0.cast_signed(),
            row.reason,
            row.attempts,
            row.dead_ms,
            row.bytes
        ])?;
    }
    Ok(())
}

fn in_words(unread: &Unread) -> String {
    let Unread { table, of, gap } = unread;
    let to = match gap.to {
        i64::MAX => "the end".to_owned(),
        to => to.to_string(),
    };
    let of = if of.is_empty() {
        String::new()
    } else {
        format!(" of {of}")
    };
    format!(
        "rows of table {table}{of} can't be read: keys {} to {to}",
        gap.from
    )
}

//! Copies everything that is good in a store into a new one, however damaged it is.
//!
//! Invariants: the original is only read, and only a copy of it is ever opened as a database; an event that may still
//! wait for a target waits for it again; what waited and could not be saved is a dead letter (corrupt), never gone
//! without a trace. The new store has the old one's identity, so that event ids and dedupe keys go on.

mod file;
mod lost;
mod standing;
mod tables;

use super::directory::{self, Directory};
use super::rows::{Rows, Unread, has_table};
use super::walk::Gap;
use super::{OpenError, checkpoint, mend, probe, recovery, schema};
use crate::clock;
use crate::event::{Seq, StoreTag, TargetId};
use file::{copy_by_hand, open_copy};
pub use lost::Lost;
use rusqlite::{Connection, Transaction, params};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    time::Duration,
};

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
            let Unread { table, of, gap } = unread;
            self.saved.notes.push(gap.in_words(table, of));
        }
        for gap in &self.gaps {
            self.saved.notes.push(gap.in_words("events", ""));
        }
        new.commit()
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
}

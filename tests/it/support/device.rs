//! A device that forgets what was not synced: rebuilt from a trace of what the gateway has asked of it.
//!
//! A crash leaves what a completed sync covers, and of everything written after that any part: each write whole, not
//! at all, or torn between sectors; a new file with or without its name in the directory.

use super::strace::{Call, Moment, moments, string};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The part of a write that a device makes at once.
const SECTOR: usize = 512;

/// What a gateway has done to the directory of its store, or told a sender.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A file's name appears.
    Create(String),
    /// It goes.
    Remove(String),
    Write {
        file: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: usize,
    },
    /// The first `covers` of all writes and truncations of the file are durable.
    Sync {
        file: String,
        covers: usize,
    },
    /// The directory is made.
    MakeDirectory,
    /// Its name is durable.
    SyncParent,
    /// The names in it are.
    SyncDirectory,
    /// Senders have been answered 2xx with these ids.
    Answer(Vec<String>),
}

/// Reads what happened in `directory` from a trace; `steps` are those of earlier runs on it.
pub(crate) fn steps(trace: &str, directory: &Path, mut steps: Vec<Step>) -> Vec<Step> {
    let directory = directory.to_str().expect("UTF-8").to_owned();
    let mut changes: HashMap<String, usize> = HashMap::new();
    for step in &steps {
        if let Step::Write { file, .. } | Step::Truncate { file, .. } = step {
            *changes.entry(file.clone()).or_default() += 1;
        }
    }
    // What a sync that has begun will cover.
    let mut covering: HashMap<u32, usize> = HashMap::new();
    for moment in moments(trace) {
        match moment {
            Moment::Entry(thread, name, arguments) => {
                if matches!(name.as_str(), "fdatasync" | "fsync")
                    && let Some(file) = file_of(&arguments, &directory)
                {
                    covering.insert(thread, changes.get(&file).copied().unwrap_or(0));
                }
                // An answer is out as soon as it is written.
                if matches!(name.as_str(), "write" | "writev" | "sendto" | "sendmsg") {
                    steps.extend(answers(&arguments));
                }
            }
            Moment::Exit(call) => {
                if let Some(step) = step(&call, &directory, &covering) {
                    if let Step::Write { file, .. } | Step::Truncate { file, .. } = &step {
                        *changes.entry(file.clone()).or_default() += 1;
                    }
                    steps.push(step);
                }
            }
        }
    }
    steps
}

fn step(call: &Call, directory: &str, covering: &HashMap<u32, usize>) -> Option<Step> {
    if call.injected || call.result.is_some_and(|result| result < 0) {
        return None;
    }
    // A change whose process was killed in it may have been made; a sync may not.
    let is_sync = matches!(call.name.as_str(), "fdatasync" | "fsync");
    if is_sync && call.result.is_none() {
        return None;
    }
    let arguments = &call.arguments;
    match call.name.as_str() {
        "pwrite64" => {
            let file = file_of(arguments, directory)?;
            let (mut bytes, rest) = string(arguments)?;
            if let Some(written) = call.result {
                bytes.truncate(usize::try_from(written).expect("not negative"));
            }
            let at = rest.rsplit(", ").next()?.parse().expect("an offset");
            Some(Step::Write { file, at, bytes })
        }
        "ftruncate" => Some(Step::Truncate {
            file: file_of(arguments, directory)?,
            length: arguments.rsplit(", ").next()?.parse().expect("a length"),
        }),
        "fdatasync" | "fsync" => {
            if let Some(file) = file_of(arguments, directory) {
                let covers = covering.get(&call.thread).copied().unwrap_or(0);
                return Some(Step::Sync { file, covers });
            }
            let synced = fd_path(arguments)?;
            if synced == directory {
                return Some(Step::SyncDirectory);
            }
            let parent = directory.rsplit_once('/')?.0;
            (synced == parent).then_some(Step::SyncParent)
        }
        "openat" if arguments.contains("O_CREAT") => {
            let (path, _) = string(arguments)?;
            let path = String::from_utf8(path).expect("UTF-8");
            Some(Step::Create(kept(path.rsplit('/').next()?)?))
        }
        "mkdir" => {
            let (path, _) = string(arguments)?;
            let path = String::from_utf8(path).expect("UTF-8");
            let name = directory.rsplit('/').next()?;
            path.ends_with(name).then_some(Step::MakeDirectory)
        }
        "unlink" | "unlinkat" => {
            let (path, _) = string(arguments)?;
            let path = String::from_utf8(path).expect("UTF-8");
            Some(Step::Remove(kept(path.rsplit('/').next()?)?))
        }
        "pwritev" | "fallocate" | "rename" => {
            assert!(
                !arguments.contains(directory),
                "the device does not know this call: {call:?}"
            );
            None
        }
        _ => None,
    }
}

/// `5</path>, ...`: the path.
fn fd_path(arguments: &str) -> Option<&str> {
    let (_, rest) = arguments.split_once('<')?;
    Some(rest.split_once('>')?.0)
}

fn file_of(arguments: &str, directory: &str) -> Option<String> {
    let path = fd_path(arguments)?;
    kept(path.strip_prefix(directory)?.strip_prefix('/')?)
}

/// The files that matter: the index of the log is made anew after a crash. The journal is there while the file is made.
fn kept(name: &str) -> Option<String> {
    let files = ["hookgate.db", "hookgate.db-wal", "hookgate.db-journal"];
    files.contains(&name).then(|| name.to_owned())
}

/// The ids in answers with 200. A log line that names them is none.
fn answers(arguments: &str) -> Option<Step> {
    if !arguments.contains("HTTP/1.1 200 OK\\r\\n") {
        return None;
    }
    let ids: Vec<String> = arguments
        .split("\\\"id\\\":\\\"")
        .skip(1)
        .filter_map(|rest| Some(rest.get(..36)?.to_owned()))
        .collect();
    (!ids.is_empty()).then_some(Step::Answer(ids))
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, written) => put(bytes, *at, written),
            Self::Truncate(length) => bytes.resize(*length, 0),
        }
    }

    /// Any part of it.
    fn apply_torn(&self, bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
        match self {
            Self::Write(at, written) => {
                // Sectors are those of the device, not of the write.
                let mut from = 0;
                while from < written.len() {
                    let to = (from + SECTOR - (at + from) % SECTOR).min(written.len());
                    if random.bool() {
                        put(bytes, at + from, &written[from..to]);
                    }
                    from = to;
                }
            }
            Self::Truncate(_) => {
                if random.bool() {
                    self.apply(bytes);
                }
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    let end = at + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(written);
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// Its name is durable, too.
    named: bool,
    exists: bool,
    /// How many changes the durable bytes have had.
    covered: usize,
    /// The later ones.
    pending: Vec<Change>,
}

/// How a crash leaves what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaves {
    /// None of it.
    Nothing,
    /// The oldest of it, some number of changes.
    Prefix,
    /// Any part.
    Any,
}

/// The device at one moment.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// The directory's own name is durable.
    named: bool,
    files: BTreeMap<String, File>,
    /// Every id that a sender was told so far.
    pub(crate) answered: Vec<String>,
}

impl Device {
    /// Goes on by a step.
    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Create(file) => {
                let file = self.files.entry(file.clone()).or_default();
                file.exists = true;
            }
            Step::Remove(name) => {
                // As if it were durable at once: the log is only removed once it is in the database.
                self.files.remove(name);
            }
            Step::Write { file, at, bytes } => {
                self.change(file, Change::Write(*at, bytes.clone()));
            }
            Step::Truncate { file, length } => self.change(file, Change::Truncate(*length)),
            Step::Sync { file, covers } => {
                let file = self.files.entry(file.clone()).or_default();
                let count = covers.saturating_sub(file.covered).min(file.pending.len());
                for change in file.pending.drain(..count) {
                    change.apply(&mut file.durable);
                }
                file.covered += count;
            }
            Step::MakeDirectory => {}
            Step::SyncParent => self.named = true,
            Step::SyncDirectory => {
                for file in self.files.values_mut() {
                    file.named |= file.exists;
                }
            }
            Step::Answer(ids) => self.answered.extend(ids.iter().cloned()),
        }
    }

    fn change(&mut self, file: &str, change: Change) {
        let file = self.files.entry(file.to_owned()).or_default();
        file.exists = true;
        file.pending.push(change);
    }

    /// Writes what a crash now leaves into `directory`.
    pub(crate) fn crash(&self, directory: &Path, leaves: Leaves, random: &mut fastrand::Rng) {
        if !self.named && matches!(leaves, Leaves::Nothing) {
            return;
        }
        std::fs::create_dir_all(directory).expect("made");
        for (name, file) in &self.files {
            let is_there = file.named
                || match leaves {
                    Leaves::Nothing => false,
                    Leaves::Prefix | Leaves::Any => random.bool(),
                };
            if !is_there {
                continue;
            }
            let mut bytes = file.durable.clone();
            match leaves {
                Leaves::Nothing => {}
                Leaves::Prefix => {
                    let some = random.usize(..=file.pending.len());
                    for change in &file.pending[..some] {
                        change.apply(&mut bytes);
                    }
                }
                Leaves::Any => {
                    for change in &file.pending {
                        match random.u8(..3) {
                            0 => {}
                            1 => change.apply(&mut bytes),
                            _ => change.apply_torn(&mut bytes, random),
                        }
                    }
                }
            }
            std::fs::write(directory.join(name), bytes).expect("written");
        }
    }
}

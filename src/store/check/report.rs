//! What a check has found, and what a person is told to do about it.
//!
//! Invariant: everything that is wrong is listed or counted; what could not be looked at is noted and counts as no damage.

use crate::store::{probe::Structure, walk::Gap};

/// Damages that are listed; the others are counted.
const LISTED_MAX: usize = 1_000;

pub(super) const SALVAGE: &str = "stop the gateway and run `hookgate store salvage --to DIR`";
pub(super) const LATER: &str = "it is never forwarded: when its turn comes it becomes a dead letter (corrupt). \
                     Have it sent again by its source";
pub(super) const ONLY_TOLD: &str = "no delivery depends on it; what is shown of the past is wrong";
pub(super) const GONE: &str = "nothing waits for it any more; it can't be replayed";
pub(super) const UNDELIVERED: &str = "it would never be delivered: stop the gateway and run `hookgate store salvage --to DIR`, \
                           which lets it be delivered again";

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
    pub(super) fn unread(&mut self, table: &str, of: &str, gap: Gap) {
        self.add_other(gap.in_words(table, of), SALVAGE);
    }

    /// Damage that is of no event.
    pub(super) fn add_other(&mut self, what: String, advice: &'static str) {
        self.add(Damage {
            what,
            event: None,
            seq: None,
            source: None,
            waits_for: Vec::new(),
            advice,
        });
    }

    pub(super) fn add(&mut self, damage: Damage) {
        if self.damages.len() < LISTED_MAX {
            self.damages.push(damage);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn structure(&mut self, structure: Structure, log_growth_bytes: u64) {
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

//! What could not be saved, event by event, as far as it can be told.
//!
//! Invariant: what is damaged, and what waited, died or ended where it can't be read, is listed or counted; what died as
//! corrupt was told of then.

use super::{Progress, Salvage};
use crate::event::{EventId, Seq, SourceId};
use crate::store::DeadReason;
use crate::store::rows::Rows;
use std::collections::{BTreeMap, HashMap};

/// Losses that are listed; the others are counted.
const LISTED_MAX: usize = 10_000;

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

impl<P: FnMut(Progress)> Salvage<'_, P> {
    /// Lists what could not be saved: what is damaged, and what other tables speak of.
    pub(super) fn lose(&mut self, rows: &Rows, received: &HashMap<Seq, (SourceId, u64)>) {
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
}

//! Judges everything that the tables say of one event: whether its payload is there, where it stands, and where it went.
//!
//! Invariant: a delivery, a retry or an end that is missing counts as wrong only if all of its table could be read.

use super::report::{GONE, LATER, ONLY_TOLD, SALVAGE, UNDELIVERED};
use super::tables::{Known, Tables};
use crate::event::{Seq, TargetId};
use crate::store::DeadReason;
use crate::store::rows::{Dead, Due, Replayed, Settled, Told, Waiting, of_seq};
use std::collections::BTreeSet;

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
    pub(super) fn compare(&mut self, events: &[Known]) {
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
}

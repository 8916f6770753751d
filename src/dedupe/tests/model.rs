//! The memory against a plain model of it: one map, one queue for each ring, no locks and nothing packed.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// A key, as the model names it.
type Name = (SourceId, Kind, u64);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    InFlight(usize),
    /// By the number of its push.
    Remembered(usize),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    push: usize,
    number: u64,
    received_ms: u64,
    seq: Option<u64>,
    body_check: u32,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Ours(Vec<Name>),
    Duplicate(EventId, bool),
    AnsweredBefore,
    InFlight(usize),
}

#[derive(Debug, Default)]
struct Model {
    limit: usize,
    pushes: usize,
    keys: BTreeMap<Name, Known>,
    rings: BTreeMap<(SourceId, Kind), VecDeque<Entry>>,
    evicted: Vec<(Seq, Kind)>,
    evictions: u64,
}

fn is_past(kind: Kind, received_ms: u64, now_ms: u64) -> bool {
    let window = if kind == Kind::Replay {
        WINDOWS.replay
    } else {
        WINDOWS.event
    };
    u128::from(received_ms) + window.as_millis() <= u128::from(now_ms)
}

impl Model {
    /// The record of a key that is remembered and not past its window.
    fn record(&self, name: Name, now_ms: u64) -> Option<Entry> {
        let Known::Remembered(push) = *self.keys.get(&name)? else {
            return None;
        };
        let mut ring = self.rings[&(name.0, name.1)].iter();
        let entry = *ring.find(|entry| entry.push == push)?;
        (!is_past(name.1, entry.received_ms, now_ms)).then_some(entry)
    }

    fn knows(&self, name: Name, now_ms: u64) -> bool {
        matches!(self.keys.get(&name), Some(Known::InFlight(_)))
            || self.record(name, now_ms).is_some()
    }

    fn claim(&mut self, names: &[Name], body_check: u32, now_ms: u64, owner: usize) -> Verdict {
        let mut ours = Vec::new();
        for name in names {
            let verdict = match (self.keys.get(name), self.record(*name, now_ms)) {
                (Some(Known::InFlight(_)), _) | (_, Some(_)) if name.1 == Kind::Body => continue,
                (Some(Known::InFlight(owner)), _) => Verdict::InFlight(*owner),
                (_, Some(entry)) => entry.seq.map_or(Verdict::AnsweredBefore, |seq| {
                    let conflict = name.1 == Kind::Event && entry.body_check != body_check;
                    Verdict::Duplicate(id(entry.received_ms, seq), conflict)
                }),
                (_, None) => {
                    self.keys.insert(*name, Known::InFlight(owner));
                    ours.push(*name);
                    continue;
                }
            };
            // None of them is claimed. Those that were past their window are forgotten by that.
            self.free(&ours);
            return verdict;
        }
        Verdict::Ours(ours)
    }

    fn remember(&mut self, names: &[Name], seq: Option<u64>, body_check: u32, received_ms: u64) {
        for name in names {
            self.pushes += 1;
            let entry = Entry {
                push: self.pushes,
                number: name.2,
                received_ms,
                seq,
                body_check,
            };
            self.rings
                .entry((name.0, name.1))
                .or_default()
                .push_back(entry);
            self.keys.insert(*name, Known::Remembered(self.pushes));
        }
    }

    fn free(&mut self, names: &[Name]) {
        for name in names {
            self.keys.remove(name);
        }
    }

    fn len(&self, source: SourceId) -> usize {
        let rings = self.rings.iter().filter(|((of, _), _)| *of == source);
        rings.map(|(_, ring)| ring.len()).sum()
    }

    /// Takes out the oldest of a ring. True if its key still meant it.
    fn pop(&mut self, source: SourceId, kind: Kind) -> (Entry, bool) {
        let ring = self.rings.get_mut(&(source, kind)).expect("a ring");
        let entry = ring.pop_front().expect("an entry");
        let name = (source, kind, entry.number);
        let meant = self.keys.get(&name) == Some(&Known::Remembered(entry.push));
        if meant {
            self.keys.remove(&name);
        }
        (entry, meant)
    }

    fn hold_limit(&mut self, now_ms: u64) {
        while self.len(A) + self.len(B) > self.limit {
            let source = if self.len(A) > self.len(B) { A } else { B };
            let front = |kind: &Kind| {
                let front = self.rings.get(&(source, *kind)).and_then(VecDeque::front);
                front.map_or(u64::MAX, |entry| entry.received_ms)
            };
            let kind = Kind::ALL
                .into_iter()
                .min_by_key(front)
                .expect("three kinds");
            let (entry, meant) = self.pop(source, kind);
            self.evictions += u64::from(meant && !is_past(kind, entry.received_ms, now_ms));
            self.evicted.extend(entry.seq.map(|seq| (Seq(seq), kind)));
        }
    }

    fn expire(&mut self, now_ms: u64) -> Vec<(Seq, Kind)> {
        let mut forgotten = std::mem::take(&mut self.evicted);
        for source in [A, B] {
            for kind in Kind::ALL {
                let past = |model: &Self| {
                    let front = model.rings.get(&(source, kind)).and_then(VecDeque::front);
                    front.is_some_and(|entry| is_past(kind, entry.received_ms, now_ms))
                };
                while past(self) {
                    let (entry, _) = self.pop(source, kind);
                    forgotten.extend(entry.seq.map(|seq| (Seq(seq), kind)));
                }
            }
        }
        forgotten
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Durable,
    Answered { remember: bool },
    Failed,
}

#[derive(Clone, Debug)]
enum Step {
    Claim {
        source: SourceId,
        event: u64,
        replay: Option<u64>,
        body: Option<u64>,
        body_check: u32,
    },
    End(prop::sample::Index, End),
    Clock(i64),
    Expire,
}

/// So many numbers of keys that all of them meet.
const NUMBERS: u64 = 4;

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..NUMBERS;
    let end = prop_oneof![
        4 => Just(End::Durable),
        1 => any::<bool>().prop_map(|remember| End::Answered { remember }),
        1 => Just(End::Failed),
    ];
    let claim = (
        prop::sample::select(vec![A, B]),
        number(),
        prop::option::of(number()),
        prop::option::of(number()),
        0..2u32,
    );
    prop_oneof![
        6 => claim.prop_map(|(source, event, replay, body, body_check)| Step::Claim {
            source, event, replay, body, body_check,
        }),
        5 => (any::<prop::sample::Index>(), end).prop_map(|(which, end)| Step::End(which, end)),
        3 => (-100..400i64).prop_map(Step::Clock),
        1 => Just(Step::Expire),
    ]
}

/// An event in flight, in both worlds.
struct Flight {
    owner: usize,
    reservation: Reservation,
    names: Vec<Name>,
    body_check: u32,
    claimed_ms: u64,
    waiters: Vec<Waiter>,
}

struct Run {
    memory: Arc<Dedupe>,
    model: Model,
    flights: Vec<Flight>,
    now_ms: u64,
    owners: usize,
    seq: u64,
}

impl Run {
    fn claim(&mut self, source: SourceId, names: &[Name], body_check: u32) {
        let keys: Vec<RequestKey> = names
            .iter()
            .map(|name| key(name.0, name.1, name.2))
            .collect();
        self.owners += 1;
        let owner = self.owners;
        let expected = self.model.claim(names, body_check, self.now_ms, owner);
        match self.memory.claim(source, &keys, body_check, self.now_ms) {
            Claim::Ours(reservation) => {
                let Verdict::Ours(names) = expected else {
                    panic!("ours, expected {expected:?}");
                };
                let kinds = reservation.keys().iter().map(|(kind, _)| *kind);
                assert!(kinds.eq(names.iter().map(|name| name.1)), "{names:?}");
                self.flights.push(Flight {
                    owner,
                    reservation,
                    names,
                    body_check,
                    claimed_ms: self.now_ms,
                    waiters: Vec::new(),
                });
            }
            Claim::Duplicate { id, conflict } => {
                assert_eq!(Verdict::Duplicate(id, conflict), expected);
            }
            Claim::AnsweredBefore => assert_eq!(Verdict::AnsweredBefore, expected),
            Claim::InFlight(waiter) => {
                let original = self
                    .flights
                    .iter_mut()
                    .find(|flight| expected == Verdict::InFlight(flight.owner));
                original
                    .expect("in flight in the model too")
                    .waiters
                    .push(waiter);
            }
        }
    }

    fn end(&mut self, which: prop::sample::Index, end: End) {
        if self.flights.is_empty() {
            return;
        }
        let flight = self.flights.remove(which.index(self.flights.len()));
        let (names, check, claimed_ms) = (&flight.names, flight.body_check, flight.claimed_ms);
        match end {
            End::Durable => {
                self.seq += 1;
                make_durable(flight.reservation, self.seq, claimed_ms);
                self.model
                    .remember(names, Some(self.seq), check, claimed_ms);
                self.model.hold_limit(claimed_ms);
            }
            End::Answered { remember } => {
                flight.reservation.answered(answer(), remember, self.now_ms);
                if remember {
                    self.model.remember(names, None, check, self.now_ms);
                } else {
                    self.model.free(names);
                }
                self.model.hold_limit(self.now_ms);
            }
            End::Failed => {
                drop(flight.reservation);
                self.model.free(names);
            }
        }
        for waiter in flight.waiters {
            match (end, told(waiter)) {
                (End::Durable, Some(Ended::Durable { id: found, .. })) => {
                    assert_eq!(found, id(claimed_ms, self.seq));
                }
                (End::Answered { .. }, Some(Ended::Answered(_)))
                | (End::Failed, Some(Ended::Failed)) => {}
                (_, other) => panic!("{end:?} told as {other:?}"),
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Claim {
                source,
                event,
                replay,
                body,
                body_check,
            } => {
                let names = [
                    (Kind::Event, Some(event)),
                    (Kind::Replay, replay),
                    (Kind::Body, body),
                ];
                let names: Vec<Name> = names
                    .into_iter()
                    .filter_map(|(kind, number)| Some((source, kind, number?)))
                    .collect();
                self.claim(source, &names, body_check);
            }
            Step::End(which, end) => self.end(which, end),
            Step::Clock(change) => self.now_ms = self.now_ms.saturating_add_signed(change),
            Step::Expire => self.expire(),
        }
        self.check();
    }

    fn expire(&mut self) {
        let mut found = self.memory.expire(self.now_ms, usize::MAX);
        let mut expected = self.model.expire(self.now_ms);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    fn check(&self) {
        for source in [A, B] {
            assert_eq!(self.memory.len(source), self.model.len(source));
            for kind in Kind::ALL {
                for number in 0..NUMBERS {
                    let found = self
                        .memory
                        .knows(source, key(source, kind, number), self.now_ms);
                    let expected = self.model.knows((source, kind, number), self.now_ms);
                    assert_eq!(found, expected, "{source:?} {kind:?} {number}");
                }
            }
        }
        assert_eq!(self.memory.evictions(), self.model.evictions);
        assert_eq!(
            self.memory.keys_in_map(),
            self.model.keys.len(),
            "nothing leaks"
        );
    }
}

proptest! {
    #[test]
    fn the_memory_does_what_the_model_does(
        limit in prop_oneof![3..8usize, Just(1_000)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut run = Run {
            memory: memory(limit),
            model: Model { limit, ..Model::default() },
            flights: Vec::new(),
            now_ms: START_MS,
            owners: 0,
            seq: 0,
        };
        for step in steps {
            run.step(&step);
        }
        run.now_ms = u64::MAX;
        run.flights.clear();
        run.memory.expire(u64::MAX, usize::MAX);
        prop_assert_eq!(run.memory.keys_in_map(), 0);
    }
}

//! Anything that senders, apps and operators may do, against a plain map of what has to be there.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const TARGETS: [&str; 3] = ["a", "b", "c"];

/// One thing that happens. Events and targets are chosen by numbers that are cut to what there is.
#[derive(Clone, Debug)]
enum Step {
    Admit {
        targets: Vec<usize>,
    },
    Settle {
        event: usize,
        target: usize,
        end: End,
        stale: bool,
    },
    Replay {
        event: usize,
        targets: Vec<usize>,
    },
    Copy {
        event: usize,
    },
    Discard {
        event: usize,
        target: Option<usize>,
    },
    /// Everything that is settled gets old, and the gateway is started anew.
    Expire,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Delivered,
    Retry,
    Dead,
}

/// Where an event stands at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Waits(u32),
    Delivered,
    Dead,
}

#[derive(Clone, Debug, Default)]
struct Known {
    admitted_for: Vec<usize>,
    at: BTreeMap<usize, Stands>,
    replays: u32,
}

impl Known {
    fn new(targets: &[usize]) -> Self {
        Self {
            admitted_for: targets.to_vec(),
            at: targets.iter().map(|t| (*t, Stands::Waits(0))).collect(),
            replays: 0,
        }
    }

    fn waits(&self) -> bool {
        self.at.values().any(|s| matches!(s, Stands::Waits(_)))
    }

    fn is_dead(&self) -> bool {
        self.at.values().any(|s| *s == Stands::Dead)
    }
}

fn targets() -> impl Strategy<Value = Vec<usize>> {
    proptest::sample::subsequence(vec![0, 1, 2], 1..=3)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![Just(End::Delivered), Just(End::Retry), Just(End::Dead)];
    let step = prop_oneof![
        3 => targets().prop_map(|targets| Step::Admit { targets }),
        6 => (0..9_usize, 0..3_usize, end, proptest::bool::weighted(0.1))
            .prop_map(|(event, target, end, stale)| Step::Settle { event, target, end, stale }),
        4 => (0..9_usize, prop_oneof![Just(Vec::new()), targets()])
            .prop_map(|(event, targets)| Step::Replay { event, targets }),
        1 => (0..9_usize).prop_map(|event| Step::Copy { event }),
        2 => (0..9_usize, proptest::option::of(0..3_usize))
            .prop_map(|(event, target)| Step::Discard { event, target }),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 1..40)
}

struct World {
    place: Place,
    running: Option<Running>,
    events: BTreeMap<u64, Known>,
    next_seq: u64,
}

impl World {
    fn new() -> Self {
        let place = Place::new(&TARGETS);
        let running = Some(place.start());
        Self {
            place,
            running,
            events: BTreeMap::new(),
            next_seq: 1,
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    fn target(&self, index: usize) -> TargetId {
        self.running().target(TARGETS[index])
    }

    /// The event of a number: mostly one that is stored.
    fn chosen(&self, event: usize) -> u64 {
        let stored: Vec<u64> = self.events.keys().copied().collect();
        stored
            .get(event % (stored.len() + 1))
            .copied()
            .unwrap_or(1_000)
    }

    async fn steer(&self, command: Command) -> Steered {
        self.running()
            .store
            .steer(vec![command])
            .await
            .expect("steered")[0]
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Admit { targets } => {
                let mut request = self.running().request(self.next_seq, b"{}");
                request.targets = targets.iter().map(|t| self.target(*t)).collect();
                self.running().try_admit(request).await.expect("stored");
                self.events.insert(self.next_seq, Known::new(&targets));
                self.next_seq += 1;
            }
            Step::Settle {
                event,
                target,
                end,
                stale,
            } => self.settle(event, target, end, stale),
            Step::Replay { event, targets } => self.replay(event, &targets).await,
            Step::Copy { event } => {
                let seq = self.chosen(event);
                let targets = Vec::new();
                let answer = self
                    .steer(Command::Copy {
                        seq: Seq(seq),
                        targets,
                    })
                    .await;
                match self.events.get(&seq) {
                    None => assert_eq!(answer, Steered::NotFound),
                    Some(known) => {
                        assert!(matches!(answer, Steered::Copied { .. }), "{answer:?}");
                        let copy = Known::new(&known.admitted_for);
                        self.events.insert(self.next_seq, copy);
                        self.next_seq += 1;
                    }
                }
            }
            Step::Discard { event, target } => self.discard(event, target).await,
            Step::Expire => {
                self.stop().await;
                age(&self.place, 3);
                self.running = Some(self.place.start());
                wait_for_expiry(&self.place);
                self.events.retain(|_, known| known.waits());
            }
        }
    }

    fn settle(&mut self, event: usize, target: usize, end: End, stale: bool) {
        let seq = self.chosen(event);
        let stands = self
            .events
            .get(&seq)
            .and_then(|known| known.at.get(&target))
            .copied();
        let replay = match stands {
            Some(Stands::Waits(replay)) => replay + u32::from(stale),
            _ => 0,
        };
        let outcome = match end {
            End::Delivered => Outcome::Delivered,
            End::Retry => RETRY_AT_5,
            End::Dead => EXPIRED,
        };
        let running = self.running();
        let heard = |heard: &HeardState| (heard.settled.len(), heard.in_vain.len());
        let before = heard(&running.heard.state.lock());
        running.store.settle(Settlement {
            target: self.target(target),
            seq: Seq(seq),
            was_due_ms: None,
            bytes: 0,
            outcome,
            replay,
            lane: None,
            attempt: Some(Box::new(AttemptRecord {
                attempt: 1,
                at_ms: 1,
                took_ms: 1,
                status: Some(500),
                error: None,
                answer: Bytes::new(),
            })),
        });
        let after = running
            .heard
            .wait(|state| Some(heard(state)).filter(|after| *after != before));
        let counts = stands == Some(Stands::Waits(replay));
        assert_eq!(after.0 > before.0, counts, "{seq} at {target}: {stands:?}");
        if counts && let Some(known) = self.events.get_mut(&seq) {
            let stands = match end {
                End::Delivered => Stands::Delivered,
                End::Retry => Stands::Waits(replay),
                End::Dead => Stands::Dead,
            };
            known.at.insert(target, stands);
        }
    }

    async fn replay(&mut self, event: usize, targets: &[usize]) {
        let seq = self.chosen(event);
        let ids = targets.iter().map(|t| self.target(*t)).collect();
        let answer = self
            .steer(Command::Replay {
                seq: Seq(seq),
                targets: ids,
            })
            .await;
        let Some(known) = self.events.get_mut(&seq) else {
            return assert_eq!(answer, Steered::NotFound);
        };
        let asked = if targets.is_empty() {
            &known.admitted_for
        } else {
            targets
        };
        let free: Vec<usize> = asked
            .iter()
            .copied()
            .filter(|t| !matches!(known.at.get(t), Some(Stands::Waits(_))))
            .collect();
        if free.is_empty() {
            return assert_eq!(answer, Steered::Nothing("it waits there already"));
        }
        assert_eq!(
            answer,
            Steered::Done {
                deliveries: free.len()
            }
        );
        known.replays += 1;
        for target in free {
            known.at.insert(target, Stands::Waits(known.replays));
        }
    }

    async fn discard(&mut self, event: usize, target: Option<usize>) {
        let seq = self.chosen(event);
        let id = target.map(|t| self.target(t));
        let answer = self
            .steer(Command::Discard {
                seq: Seq(seq),
                target: id,
                forget: true,
            })
            .await;
        let Some(known) = self.events.get_mut(&seq) else {
            return assert_eq!(answer, Steered::NotFound);
        };
        let asked: Vec<usize> = match target {
            Some(target) => vec![target],
            None => known.at.keys().copied().collect(),
        };
        let (mut buried, mut forgotten) = (0, 0);
        for target in asked {
            match known.at.get(&target) {
                Some(Stands::Waits(_)) => {
                    known.at.insert(target, Stands::Dead);
                    buried += 1;
                }
                Some(Stands::Dead) => {
                    known.at.insert(target, Stands::Delivered);
                    forgotten += 1;
                }
                Some(Stands::Delivered) | None => {}
            }
        }
        if buried + forgotten == 0 {
            let why = Steered::Nothing("it neither waits nor is a dead letter");
            return assert_eq!(answer, why);
        }
        assert_eq!(answer, Steered::Discarded { buried, forgotten });
        if forgotten > 0 && !known.waits() && !known.is_dead() {
            self.events.remove(&seq);
        }
    }

    async fn stop(&mut self) {
        self.running.take().expect("it runs").close().await;
        self.check();
    }

    /// What is on the disk is what has to be there.
    fn check(&self) {
        let shell = self.place.shell();
        let triples = |sql: &str| -> BTreeSet<(u64, usize, u32)> {
            let mut statement = shell.prepare(sql).expect(sql);
            let rows = statement.query_map([], |row| {
                let name: String = row.get(1)?;
                let target = TARGETS.iter().position(|t| *t == name).expect("ours");
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), target, row.get(2)?))
            });
            rows.expect(sql)
                .collect::<rusqlite::Result<_>>()
                .expect(sql)
        };
        let expected = |wanted: fn(Stands) -> Option<u32>| -> BTreeSet<(u64, usize, u32)> {
            let all = self.events.iter();
            all.flat_map(|(seq, known)| known.at.iter().map(move |(t, s)| (*seq, *t, *s)))
                .filter_map(|(seq, t, s)| Some((seq, t, wanted(s)?)))
                .collect()
        };
        let waiting = expected(|stands| match stands {
            Stands::Waits(replay) => Some(replay),
            _ => None,
        });
        let dead = expected(|stands| (stands == Stands::Dead).then_some(0));
        let with_names = "JOIN names ON names.id = target";
        assert_eq!(
            triples(&format!(
                "SELECT seq, name, replay FROM deliveries {with_names}"
            )),
            waiting
        );
        assert_eq!(
            triples(&format!("SELECT seq, name, 0 FROM dead {with_names}")),
            dead
        );
        let mut statement = shell.prepare("SELECT seq FROM events").expect("prepared");
        let rows = statement
            .query_map([], |row| row.get::<_, i64>(0))
            .expect("read");
        let stored: BTreeSet<u64> = rows.map(|seq| seq.expect("read").cast_unsigned()).collect();
        assert_eq!(stored, self.events.keys().copied().collect(), "payloads");
        for (what, sql) in [
            (
                "retries in no order",
                "SELECT count(*) FROM deliveries LEFT JOIN due USING (target, due_ms, seq) WHERE due_ms IS NOT NULL AND due.seq IS NULL",
            ),
            (
                "orders of nothing",
                "SELECT count(*) FROM due LEFT JOIN deliveries d USING (target, due_ms, seq) WHERE d.fan IS NULL",
            ),
            (
                "attempts of nothing",
                "SELECT count(*) FROM attempts WHERE seq NOT IN (SELECT seq FROM events)",
            ),
            (
                "replays of nothing",
                "SELECT count(*) FROM replays WHERE seq NOT IN (SELECT seq FROM events)",
            ),
            (
                "events that would stay for ever",
                "SELECT count(*) FROM events WHERE seq NOT IN (SELECT seq FROM deliveries) AND seq NOT IN (SELECT seq FROM settled)",
            ),
            (
                "replayed events whose settling is not there",
                "SELECT count(*) FROM replays r WHERE class IS NOT NULL AND NOT EXISTS (SELECT 1 FROM settled s WHERE s.class = r.class AND s.settled_ms = r.settled_ms AND s.seq = r.seq)",
            ),
            (
                "replayed events that wait and are settled",
                "SELECT count(*) FROM replays WHERE class IS NOT NULL AND seq IN (SELECT seq FROM deliveries)",
            ),
        ] {
            assert_eq!(count(&shell, sql), 0, "{what}");
        }
        drop(statement);
        drop(shell);
        let opened = self.place.open();
        for (index, name) in TARGETS.iter().enumerate() {
            let (_, backlog) = opened
                .targets()
                .iter()
                .find(|(k, _)| &*k.name == *name)
                .expect("known");
            let of = |set: &BTreeSet<(u64, usize, u32)>| {
                set.iter().filter(|(_, t, _)| *t == index).count() as u64
            };
            assert_eq!(
                (backlog.deliveries, backlog.dead),
                (of(&waiting), of(&dead)),
                "{name}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Nothing that waits is without its payload, nothing is counted that is not there, and no delivery waits twice.
    #[test]
    fn the_store_is_what_a_plain_map_would_be(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.step(step).await;
            }
            world.stop().await;
        });
    }
}

//! kill -9 at random moments, again and again: what was acknowledged reaches the app, and nothing that was never
//! sent; what comes again lies within promise 8. Long forms: `tests/torture/run`.

use crate::support::{Gate, gate::Home, oracle::Oracle, torture};
use std::process::Stdio;
use std::time::Duration;

/// Room for everything that a run sends.
const ROOMY: &str = "{ path: ./data, min_free: 1MiB }";

/// One that checkpoints all the time: its log may have 1 MiB, and payloads go as soon as they are delivered.
const SMALL: &str = "{ path: ./data, max_size: 8MiB, min_free: 1MiB, retention: 0s }";

struct Scenario {
    name: &'static str,
    kills: u64,
    store: &'static str,
    body_bytes: usize,
    senders: usize,
    pipelined: usize,
    /// Events that wait before the first kill.
    pending: u64,
    /// Whether operators replay meanwhile, until the kill cuts them off as well.
    replaying: bool,
}

impl Scenario {
    fn new(name: &'static str, kills: u64) -> Self {
        Self {
            name,
            kills: torture::length(kills),
            store: ROOMY,
            body_bytes: 300,
            senders: 8,
            pipelined: 1,
            pending: 0,
            replaying: false,
        }
    }

    #[track_caller]
    fn run(self) {
        let seed = torture::seed();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut oracle = Oracle::new(self.body_bytes, self.store);
        let home = oracle.home();
        let load = oracle.load(self.senders, self.pipelined);
        let operators = self.replaying.then(|| oracle.operators(&mut random));
        let replay_at = |gate: Option<&Gate>| {
            if let Some(operators) = &operators {
                operators.aim(gate.map(|gate| gate.admin));
            }
        };
        if self.pending > 0 {
            oracle.app.go_down();
            let gate = home.start();
            load.aim(Some(gate.public));
            oracle.wait("events wait", || oracle.acknowledged() >= self.pending);
            load.aim(None);
            gate.kill();
            oracle.app.come_back();
        }
        let mut starts_cut = 0;
        for kill in 0..self.kills {
            oracle.new_epoch(&home);
            // One start in four is cut off before it is through, and another one follows.
            if random.u8(..4) == 0 {
                cut_off_a_start(&home, &mut random);
                starts_cut += 1;
                oracle.new_epoch(&home);
            }
            let gate = home.start();
            load.aim(Some(gate.public));
            replay_at(Some(&gate));
            if random.bool() {
                // The moment is chosen by the work that was done ...
                let goal = oracle.acknowledged() + random.u64(1..=100) * self.pipelined as u64;
                let what = format!("events are acknowledged before kill {kill}");
                oracle.wait(&what, || oracle.acknowledged() >= goal);
            } else {
                // ... or by the clock, wherever that falls.
                std::thread::sleep(Duration::from_micros(random.u64(..200_000)));
            }
            gate.kill();
            load.aim(None);
            replay_at(None);
        }
        load.finish();
        if let Some(operators) = operators {
            operators.finish();
        }
        assert!(oracle.acknowledged() > 0);
        oracle.new_epoch(&home);
        let gate = home.start();
        let verdict = oracle.judge(&gate, false);
        let mut text = format!(
            "{} kills under load, {starts_cut} more during a start; {verdict}",
            self.kills
        );
        if self.replaying {
            text = format!("{text}; {}", oracle.judge_replays(&gate));
        }
        assert!(gate.stop().0.success());
        torture::summary(self.name, seed, &text);
    }
}

/// Kills a gateway while it starts, at whatever it is doing then.
fn cut_off_a_start(home: &Home, random: &mut fastrand::Rng) {
    let mut starting = home
        .command(&["run", "-c", "hookgate.yaml"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    std::thread::sleep(Duration::from_micros(random.u64(..60_000)));
    starting.kill().expect("a child of ours");
    starting.wait().expect("a child of ours");
}

#[test]
fn killed_under_load() {
    Scenario::new("killed_under_load", 15).run();
}

#[test]
fn killed_at_a_high_rate() {
    Scenario {
        senders: 16,
        pipelined: 16,
        ..Scenario::new("killed_at_a_high_rate", 8)
    }
    .run();
}

#[test]
fn killed_while_checkpointing() {
    Scenario {
        store: SMALL,
        body_bytes: 6_000,
        ..Scenario::new("killed_while_checkpointing", 10)
    }
    .run();
}

#[test]
fn killed_while_many_wait() {
    Scenario {
        pending: if torture::is_long() { 100_000 } else { 3_000 },
        senders: 8,
        pipelined: 16,
        ..Scenario::new("killed_while_many_wait", 6)
    }
    .run();
}

#[test]
fn killed_while_replaying() {
    Scenario {
        replaying: true,
        senders: 4,
        ..Scenario::new("killed_while_replaying", 10)
    }
    .run();
}

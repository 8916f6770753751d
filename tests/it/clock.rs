//! The machine's clock is set by an hour, or was never set: time goes on evenly for everything that waits. The clock is
//! that of libfaketime, which changes what the process is told and leaves the monotonic clock alone.

use crate::support::{
    App, Behaviour, Gate, Request, gate::Home, sender::now_seconds, tools, wait_until,
};
use std::path::PathBuf;
use std::process::Command;

/// What the gateway takes for the time: an offset such as `+3600`, or a time such as `@1970-01-01 00:00:01`.
struct Clock {
    library: String,
    file: PathBuf,
}

impl Clock {
    /// None without libfaketime.
    fn new(file: PathBuf) -> Option<Self> {
        if !tools::has("faketime", &["-f", "+0", "true"]) {
            return None;
        }
        // Where the library is, the program knows.
        let output = Command::new("faketime")
            .args(["-m", "-f", "+0", "env"])
            .output();
        let output = output.expect("it ran before");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let library = text
            .lines()
            .find_map(|line| line.strip_prefix("LD_PRELOAD="));
        let library = library.expect("it preloads a library").to_owned();
        Some(Self { library, file })
    }

    fn set(&self, time: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{time}\n")).expect("a writable directory");
        std::fs::rename(&next, &self.file).expect("in one directory");
    }

    /// A gateway under this clock.
    fn rule(&self, home: Home) -> Home {
        home.env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file.to_string_lossy())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }
}

fn pending(gate: &Gate, target: &str) -> f64 {
    gate.metric(&format!(
        "hookgate_pending_deliveries{{target=\"{target}\"}}"
    ))
}

fn dead(gate: &Gate) -> f64 {
    ["quick", "patient"]
        .map(|target| gate.metric(&format!("hookgate_dead_letters{{target=\"{target}\"}}")))
        .iter()
        .sum()
}

fn send(gate: &Gate, path: &str, n: usize) {
    let reply = gate.send(&Request::new(path, format!(r#"{{"n":{n}}}"#)));
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// What the gateway takes for the time, seconds: that of its last event.
fn gateway_seconds(gate: &Gate) -> f64 {
    gate.metric(r#"hookgate_last_event_timestamp_seconds{source="quick"}"#)
}

/// Two targets: retries of the one are always due, those of the other for half an hour not.
fn home(quick: &App, patient: &App) -> Home {
    Home::new(&format!(
        "sources:\n  quick: {{ verify: none, forward: quick }}\n  patient: {{ verify: none, forward: patient }}\n\
         targets:\n  \
         quick: {{ url: {}, breaker: off, retry: {{ first: 20ms, max: 50ms, give_up_after: 30m }} }}\n  \
         patient: {{ url: {}, breaker: off, retry: {{ delays: [30m], give_up_after: 45m }} }}\n",
        quick.url(),
        patient.url()
    ))
}

#[test]
fn a_clock_that_jumps_an_hour_neither_storms_nor_stalls_nor_gives_up() {
    const PATIENT: usize = 20;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(clock) = Clock::new(dir.path().join("clock")) else {
        return;
    };
    let (quick, patient) = (App::start(), App::start());
    quick.behave(Behaviour::Status(500));
    patient.behave(Behaviour::Status(500));
    clock.set("+0");
    let home = clock.rule(home(&quick, &patient));
    let gate = home.start();
    for n in 0..PATIENT {
        send(&gate, "/hooks/patient", n);
    }
    patient.wait_for(PATIENT);
    for (n, jump_s) in [(0, 3_600_i32), (1, -3_600), (2, 0)] {
        clock.set(&format!("{jump_s:+}"));
        send(&gate, "/hooks/quick", n);
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds since 1970 are far from 2^53"
        )]
        let expected = now_seconds() as f64 + f64::from(jump_s);
        wait_until("the gateway's clock has jumped", || {
            (gateway_seconds(&gate) - expected).abs() < 300.0
        });
        // More than the few seconds after which any clock is read again.
        for _ in 0..10 {
            quick.wait_for(quick.count() + 10);
        }
        assert_eq!(patient.count(), PATIENT, "no storm after {jump_s} s");
        assert_eq!(dead(&gate), 0.0, "none is given up after {jump_s} s");
    }
    assert_eq!(pending(&gate, "quick"), 3.0);
    quick.behave(Behaviour::Status(200));
    wait_until("everything is delivered", || pending(&gate, "quick") == 0.0);
}

#[test]
fn a_clock_that_was_not_set_at_the_start_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Some(clock) = Clock::new(dir.path().join("clock")) else {
        return;
    };
    let (quick, patient) = (App::start(), App::start());
    quick.behave(Behaviour::Status(500));
    patient.behave(Behaviour::Status(500));
    clock.set("+0");
    let home = clock.rule(home(&quick, &patient));
    let gate = home.start();
    send(&gate, "/hooks/quick", 0);
    send(&gate, "/hooks/patient", 0);
    quick.wait_for(3);
    patient.wait_for(1);
    assert!(gate.stop().0.success());
    clock.set("@1970-01-01 00:00:10");
    let gate = home.start();
    wait_until("it is said", || gate.log().contains("a time before 2026"));
    send(&gate, "/hooks/quick", 1);
    for _ in 0..2 {
        quick.wait_for(quick.count() + 10);
    }
    // The key of the first one is not forgotten.
    let again = gate.send(&Request::new("/hooks/quick", r#"{"n":0}"#));
    assert!(again.is_duplicate(), "{again:?}");
    clock.set("+0");
    wait_until("it is set", || {
        gate.log().contains("times are right from now on")
    });
    for _ in 0..2 {
        quick.wait_for(quick.count() + 10);
    }
    assert_eq!(dead(&gate), 0.0);
    assert_eq!(patient.count(), 1);
    quick.behave(Behaviour::Status(200));
    wait_until("everything is delivered", || pending(&gate, "quick") == 0.0);
}

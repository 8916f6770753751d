//! Answers of the app that are broken, slow or too long: none loses an event, and none is taken for another.

use crate::support::{App, Behaviour, Gate, Request, gate::Home, sender::Connection, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

fn home(app: &App, target: &str) -> Home {
    Home::new(&format!(
        "sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: \"{}\", retry: {{ first: 20ms, max: 100ms }}, {target} }}\n",
        app.url()
    ))
}

fn event(n: usize) -> Request {
    Request::new("/hooks/open", format!("event {n}"))
}

fn attempts(gate: &Gate, outcome: &str, reason: &str) -> f64 {
    gate.metric(&format!(
        r#"hookgate_attempts_total{{target="app",outcome="{outcome}",reason="{reason}"}}"#
    ))
}

fn settled(gate: &Gate) -> bool {
    gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
}

/// `HOOKGATE_TEST_SEED` chooses other answers.
#[test]
fn an_app_that_closes_at_random_gets_every_event() {
    const EVENTS: usize = 100;
    let seed = std::env::var("HOOKGATE_TEST_SEED")
        .map_or(20_261_126, |text| text.parse().expect("a seed"));
    eprintln!("HOOKGATE_TEST_SEED={seed}");
    let app = App::start();
    let home = home(&app, "concurrency: 8, timeout: 10s");
    let gate = home.start();
    let rng = Mutex::new(fastrand::Rng::with_seed(seed));
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
    app.choose(move |_| {
        let mut rng = rng.lock().expect("no test thread panicked with it");
        match rng.u8(0..8) {
            0 => Behaviour::Close,
            1 => Behaviour::Status(503),
            // Cut anywhere, also before its first byte and right after its last.
            2..=4 => Behaviour::RawThenClose(whole[..rng.usize(0..=whole.len())].to_vec()),
            _ => Behaviour::Raw(whole.to_vec()),
        }
    });
    let mut connection = Connection::open(gate.public);
    for n in 0..EVENTS {
        assert_eq!(connection.send(&event(n)).status, 200);
    }
    wait_until("all are delivered", || settled(&gate));
    assert_eq!(attempts(&gate, "delivered", "2xx"), 100.0);
    let mut seen: BTreeMap<Vec<u8>, BTreeSet<u32>> = BTreeMap::new();
    for got in app.got() {
        let attempt = got.header("hookgate-attempt").parse().expect("a number");
        seen.entry(got.body).or_default().insert(attempt);
    }
    let expected: BTreeSet<Vec<u8>> = (0..EVENTS).map(|n| event(n).body).collect();
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (body, attempts) in seen {
        // A kept connection that was dead is replaced within the attempt, so a number may come twice, but none is left
        // out.
        let count = u32::try_from(attempts.len()).expect("few");
        assert_eq!(
            attempts,
            (1..=count).collect(),
            "{}",
            String::from_utf8_lossy(&body)
        );
    }
    assert_eq!(gate.metric(r#"hookgate_dead_letters{target="app"}"#), 0.0);
}

#[test]
fn a_slow_answer_is_waited_for_until_the_timeout() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let app = App::start();
    app.behave(Behaviour::Slowly(answer.to_vec(), Duration::from_millis(2)));
    let patient = home(&app, "timeout: 20s");
    let gate = patient.start();
    assert_eq!(gate.send(&event(1)).status, 200);
    wait_until("it is taken", || attempts(&gate, "delivered", "2xx") == 1.0);
    assert_eq!(attempts(&gate, "failed", "timeout"), 0.0);

    // Each byte comes in time, the answer never: it is the whole that has a limit.
    let app = App::start();
    app.behave(Behaviour::Slowly(
        [answer.as_slice(), &[b' '; 1000]].concat(),
        Duration::from_millis(50),
    ));
    let hasty = home(&app, "timeout: 300ms");
    let gate = hasty.start();
    assert_eq!(gate.send(&event(1)).status, 200);
    wait_until("it is given up", || {
        attempts(&gate, "failed", "timeout") >= 2.0
    });
    app.behave(Behaviour::Status(200));
    wait_until("it is taken", || settled(&gate));
}

#[test]
fn an_answer_over_the_cap_counts_by_its_status_and_ends_its_connection() {
    let app = App::start();
    let long = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 10000000\r\n\r\n");
        Behaviour::Raw([head.as_bytes(), &vec![b'x'; 10_000_000]].concat())
    };
    let home = home(&app, "concurrency: 1");
    let gate = home.start();
    app.behave(long("500 Oops"));
    assert_eq!(gate.send(&event(1)).status, 200);
    wait_until("it fails by its status", || {
        attempts(&gate, "failed", "5xx") >= 2.0
    });
    app.behave(long("200 OK"));
    wait_until("it is taken", || settled(&gate));
    let got = app.got();
    assert_eq!(app.connections(), got.len(), "no connection is used again");
    assert_eq!(attempts(&gate, "failed", "closed"), 0.0);
}

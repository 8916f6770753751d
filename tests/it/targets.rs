//! Targets in trouble: each keeps its trouble to itself, is asked whether it is over, and has its limits. By counts, not by
//! times.

use crate::support::{App, Behaviour, Gate, Request, gate::Home, sender::Connection, wait_until};
use std::collections::HashMap;
use std::time::Instant;

const QUICK: &str = "retry: { first: 20ms, max: 100ms }";

fn event(n: usize) -> Request {
    Request::new("/hooks/open", format!(r#"{{"n":{n}}}"#))
}

fn home(app: &App, target: &str) -> Home {
    Home::new(&format!(
        "sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {}, {target} }}\n",
        app.url()
    ))
}

fn send_all(gate: &Gate, count: usize) {
    let mut connection = Connection::open(gate.public);
    for n in 0..count {
        assert_eq!(connection.send(&event(n)).status, 200, "event {n}");
    }
}

fn series(gate: &Gate, name: &str, target: &str) -> f64 {
    gate.metric(&format!("hookgate_{name}{{target=\"{target}\"}}"))
}

fn is(gate: &Gate, target: &str, state: &str) -> bool {
    let series = format!("hookgate_target_state{{target=\"{target}\",state=\"{state}\"}}");
    gate.metric(&series) == 1.0
}

/// Attempts of each event so far, by what its body says.
fn attempts(app: &App) -> HashMap<Vec<u8>, usize> {
    let mut attempts = HashMap::new();
    for got in app.got() {
        *attempts.entry(got.body).or_default() += 1;
    }
    attempts
}

fn said(gate: &Gate, text: &str) -> usize {
    gate.log()
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

#[test]
fn a_target_in_trouble_moves_no_other() {
    const EVENTS: usize = 200;
    let [good, slow, limited, closing] = [(); 4].map(|()| App::start());
    slow.behave(Behaviour::Hold(200));
    limited.behave(Behaviour::Raw(
        b"HTTP/1.1 429 Slow down\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    closing.choose(|_| {
        if fastrand::bool() {
            Behaviour::Close
        } else {
            Behaviour::Status(200)
        }
    });
    let home = Home::new(&format!(
        "sources:\n  open: {{ verify: none, forward: [good, slow, limited, closing] }}\ntargets:\n  \
         good: {{ url: {}, {QUICK} }}\n  slow: {{ url: {}, concurrency: 4, timeout: 10m }}\n  \
         limited: {{ url: {}, concurrency: 4 }}\n  closing: {{ url: {}, {QUICK} }}\n",
        good.url(),
        slow.url(),
        limited.url(),
        closing.url()
    ));
    let gate = home.start();
    send_all(&gate, EVENTS);
    for (name, app) in [("good", &good), ("closing", &closing)] {
        wait_until(&format!("{name} has everything"), || {
            series(&gate, "pending_deliveries", name) == 0.0
        });
        assert_eq!(attempts(app).len(), EVENTS, "{name}");
    }
    assert_eq!(good.count(), EVENTS, "each of them once");
    assert!(
        is(&gate, "closing", "closed"),
        "an app that closes is not down"
    );
    // Nobody has answered, so no place became free.
    assert_eq!(slow.wait_for(4).len(), 4);
    assert_eq!(series(&gate, "pending_deliveries", "slow"), 200.0);
    // Each event that was told to wait does so.
    wait_until("it is known to ask for less", || {
        !is(&gate, "limited", "closed")
    });
    assert_eq!(series(&gate, "pending_deliveries", "limited"), 200.0);
    assert!(attempts(&limited).values().all(|count| *count == 1));
    assert!(limited.count() < EVENTS, "{} attempts", limited.count());
    slow.behave(Behaviour::Status(200));
    wait_until("slow has everything", || {
        series(&gate, "pending_deliveries", "slow") == 0.0
    });
}

#[test]
fn an_app_that_fails_at_everything_is_asked_now_and_then_until_it_is_up() {
    const EVENTS: usize = 300;
    let app = App::start();
    app.behave(Behaviour::Status(503));
    let home = home(
        &app,
        &format!("concurrency: 8, breaker: {{ hold: 500ms }}, {QUICK}"),
    );
    let gate = home.start();
    let since = Instant::now();
    send_all(&gate, EVENTS);
    wait_until("it counts as down", || !is(&gate, "app", "closed"));
    let opened_after = app.count();
    // Ten failures, those that ran beside the last of them, and since then a probe after the first hold and after each of
    // those that follow, which are 400 ms at least.
    let probes = 2 + since.elapsed().as_millis() / 400;
    assert!(
        opened_after as u128 <= 10 + 8 + probes,
        "{opened_after} attempts, {probes} of them probes at most"
    );
    app.wait_for(opened_after + 10);
    assert_eq!(series(&gate, "pending_deliveries", "app"), 300.0);
    gate.said("app seems to be down");
    assert_eq!(
        said(&gate, "app seems to be down"),
        1,
        "once for all probes"
    );
    let burnt = attempts(&app).len();
    assert!(burnt < EVENTS / 2, "{burnt} events have lost an attempt");
    app.behave(Behaviour::Status(200));
    wait_until("everything is delivered", || {
        series(&gate, "pending_deliveries", "app") == 0.0
    });
    assert!(is(&gate, "app", "closed"));
    gate.said("app is up again");
    assert_eq!(said(&gate, "app is up again"), 1);
    assert_eq!(series(&gate, "dead_letters", "app"), 0.0);
}

#[test]
fn an_app_that_refuses_what_it_gets_is_not_down() {
    let app = App::start();
    app.choose(|got| Behaviour::Status(if got.body == event(77).body { 200 } else { 422 }));
    let home = home(&app, QUICK);
    let gate = home.start();
    send_all(&gate, 50);
    app.wait_for(200);
    assert!(is(&gate, "app", "closed"));
    assert_eq!(gate.send(&event(77)).status, 200);
    wait_until("it gets through", || {
        series(&gate, "pending_deliveries", "app") == 50.0
    });
    assert_eq!(said(&gate, "app seems to be down"), 0);
}

/// A quarter of the events always fail, and their retries are most of all attempts.
#[test]
fn poisoned_events_do_not_hold_up_the_others() {
    let app = App::start();
    let poisoned = |body: &[u8]| (0..30).any(|n| body == event(4 * n).body);
    app.choose(move |got| Behaviour::Status(if poisoned(&got.body) { 500 } else { 200 }));
    let home = home(&app, &format!("breaker: {{ hold: 500ms }}, {QUICK}"));
    let gate = home.start();
    send_all(&gate, 120);
    wait_until("the others are delivered", || {
        series(&gate, "pending_deliveries", "app") == 30.0
    });
    // They come one by one, while the poisoned ones are always due.
    for n in 200..210 {
        assert_eq!(gate.send(&event(n)).status, 200);
        wait_until("the next is delivered", || {
            app.got().iter().any(|got| got.body == event(n).body)
        });
    }
    let before = app.count();
    app.wait_for(before + 10);
    assert_eq!(series(&gate, "dead_letters", "app"), 0.0);
}

#[test]
fn a_list_of_delays_ends_in_a_dead_letter() {
    let app = App::start();
    app.behave(Behaviour::Status(500));
    let home = home(&app, "retry: [20ms, 50ms, 30ms]");
    let gate = home.start();
    let id = gate.send(&event(1)).id();
    wait_until("it is given up", || {
        gate.metric(r#"hookgate_dead_letters_total{target="app",reason="attempts"}"#) == 1.0
    });
    let got = app.got();
    let numbers: Vec<&str> = got
        .iter()
        .map(|got| got.header("hookgate-attempt"))
        .collect();
    assert_eq!(numbers, ["1", "2", "3", "4"]);
    assert_eq!(series(&gate, "pending_deliveries", "app"), 0.0);
    wait_until("the audit line", || {
        let is_it = |line: &str| {
            line.contains("event.dead") && line.contains(&id) && line.contains("\"attempts\"")
        };
        gate.log().lines().any(is_it)
    });
}

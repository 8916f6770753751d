//! Fullness: refused for now, never lost, and resumed without anybody's help.

use crate::support::{App, Gate, Reply, Request, gate::Home, sender::Connection, wait_until};

const QUICK: &str = "retry: { first: 20ms, max: 100ms }";

/// An event of about 20 kB, so that few of them fill a small store.
fn large(path: &str, n: usize) -> Request {
    Request::new(
        path,
        format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(20_000)),
    )
}

/// Sends until the first refusal, and returns how many were taken and the refusal.
fn fill(gate: &Gate, path: &str) -> (usize, Reply) {
    let mut connection = Connection::open(gate.public);
    for n in 0..2_000 {
        let reply = connection.send(&large(path, n));
        if reply.status != 200 {
            return (n, reply);
        }
    }
    panic!("2,000 events of 20 kB did not fill the store");
}

fn assert_refused(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (503, r#"{"error":"store full"}"#)
    );
    let seconds: u64 = reply
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&seconds));
}

#[test]
fn max_size_refuses_and_admission_resumes_when_the_app_is_back() {
    let mut app = App::start();
    let home = Home::new(&format!(
        "store: {{ path: ./data, max_size: 8MiB, min_free: 1MiB, retention: 24h }}\n\
         sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {}, max_backlog: 100%, {QUICK} }}\n",
        app.url()
    ));
    let gate = home.start();
    app.go_down();
    let (taken, refusal) = fill(&gate, "/hooks/open");
    assert_refused(&refusal);
    assert!(taken > 100, "{taken} events of 20 kB in 8 MiB");
    assert!(gate.metric(r#"hookgate_unavailable_total{source="open",reason="full"}"#) >= 1.0);
    assert_eq!(gate.admin_get("/readyz").status, 200, "full is not unready");
    // What was refused was not remembered: it is no duplicate later.
    app.come_back();
    wait_until("everything is delivered", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    wait_until("admission resumes by itself", || {
        let reply = gate.send(&large("/hooks/open", taken));
        assert!(!reply.is_duplicate() || reply.status == 200);
        reply.status == 200
    });
    wait_until("all are there", || app.count() > taken);
    // Delivered payloads made room; their keys are still known.
    assert!(gate.send(&large("/hooks/open", 0)).is_duplicate());
}

#[test]
fn a_backlog_fills_its_own_share_only() {
    let mut dead = App::start();
    let alive = App::start();
    let home = Home::new(&format!(
        "store: {{ path: ./data, max_size: 64MiB, min_free: 1MiB }}\n\
         sources:\n  dead: {{ verify: none, forward: dead }}\n  alive: {{ verify: none, forward: alive }}\n  both: {{ verify: none, forward: [dead, alive] }}\n  \
         tolerant: {{ verify: none, forward: [tolerant, alive] }}\n\
         targets:\n  dead: {{ url: {}, max_backlog: 2MiB, {QUICK} }}\n  tolerant: {{ url: {}, max_backlog: 1MiB, when_full: dead_letter, {QUICK} }}\n  alive: {{ url: {} }}\n",
        dead.url(),
        dead.url(),
        alive.url()
    ));
    let gate = home.start();
    dead.go_down();
    let (taken, refusal) = fill(&gate, "/hooks/dead");
    assert_refused(&refusal);
    assert!(
        (80..=110).contains(&taken),
        "{taken} events of 20 kB in 2 MiB"
    );
    assert_eq!(
        gate.send(&large("/hooks/both", 1)).status,
        503,
        "an event that also goes there is refused as a whole"
    );
    assert_eq!(
        gate.send(&large("/hooks/alive", 1)).status,
        200,
        "the others do not notice"
    );
    alive.wait_for(1);
    let mut connection = Connection::open(gate.public);
    for n in 0..100 {
        assert_eq!(
            connection.send(&large("/hooks/tolerant", n)).status,
            200,
            "dead_letter takes everything"
        );
    }
    alive.wait_for(101);
    let dead_letters =
        gate.metric(r#"hookgate_dead_letters_total{target="tolerant",reason="backlog"}"#);
    let waiting = gate.metric(r#"hookgate_pending_deliveries{target="tolerant"}"#);
    assert_eq!(dead_letters + waiting, 100.0);
    assert!(dead_letters > 40.0, "{dead_letters}");
    dead.come_back();
    wait_until("the dead one catches up", || {
        gate.metric(r#"hookgate_pending_deliveries{target="dead"}"#) == 0.0
    });
    wait_until("and is fed again", || {
        gate.send(&large("/hooks/dead", 5_000)).status == 200
    });
}

#[test]
fn bytes_in_flight_are_bounded() {
    let app = App::start();
    let home = Home::new(&format!(
        "limits: {{ in_flight_bytes: 256KiB, body: 200KiB }}\nsources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    // Two declared bodies that never come fill most of the budget.
    let head = "POST /hooks/open HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 120000\r\n\r\n";
    let halves: Vec<Connection> = (0..2)
        .map(|_| {
            let mut half = Connection::open(gate.public);
            half.write(head.as_bytes());
            // Asked for once there is room for what was declared.
            half.wait_for_continue();
            half
        })
        .collect();
    let reply = gate.send(&Request::new("/hooks/open", "x".repeat(50_000)));
    assert_eq!(
        (
            reply.status,
            reply.body.as_str(),
            reply.header("retry-after")
        ),
        (503, r#"{"error":"overloaded"}"#, Some("2"))
    );
    drop(halves);
    wait_until("their room is given back", || {
        gate.send(&Request::new("/hooks/open", "x".repeat(50_001)))
            .status
            == 200
    });
}

//! Each event once: at the same moment, after a failure, after a restart, within its bounds.

use crate::support::{
    App, Behaviour, Gate, Reply, Request, eventually, gate::Home, hmac_sha256_hex,
    sender::Connection, wait_until,
};
use std::collections::HashSet;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const SECRET: &str = "dedupe-secret";

fn configuration(app: &App, more: &str) -> String {
    format!(
        "sources:\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {SECRET}\n    \
         event: {{ id: [json:/id], type: json:/event }}\n    forward: app\n{more}\ntargets:\n  app: {{ url: {}, concurrency: 4, \
         retry: {{ first: 50ms, max: 200ms }} }}\n",
        app.url()
    )
}

fn signed(body: &str) -> Request {
    Request::new("/hooks/shop", body)
        .header("X-Signature", &hmac_sha256_hex(SECRET, &[body.as_bytes()]))
}

fn order(id: &str, note: &str) -> Request {
    signed(&format!(
        r#"{{"event":"order.created","id":"{id}","note":"{note}"}}"#
    ))
}

#[test]
fn the_same_event_on_fifty_connections_is_stored_once() {
    let app = App::start();
    let home = Home::new(&configuration(&app, ""));
    let gate = home.start();
    for round in 0..10 {
        let barrier = Arc::new(Barrier::new(50));
        let request = order(&format!("evt_{round}"), "x");
        let senders: Vec<_> = (0..50)
            .map(|_| {
                let (barrier, request, to) = (Arc::clone(&barrier), request.clone(), gate.public);
                std::thread::spawn(move || {
                    let mut connection = Connection::open(to);
                    barrier.wait();
                    connection.send(&request)
                })
            })
            .collect();
        let replies: Vec<Reply> = senders
            .into_iter()
            .map(|sender| sender.join().expect("answered"))
            .collect();
        let ids: HashSet<String> = replies.iter().map(Reply::id).collect();
        assert_eq!(ids.len(), 1, "one event, one id");
        assert_eq!(
            replies.iter().filter(|reply| !reply.is_duplicate()).count(),
            1,
            "one of them was the original"
        );
    }
    let got = app.wait_for(10);
    assert_eq!(got.len(), 10);
    assert_eq!(
        gate.metric(r#"hookgate_events_total{source="shop",result="accepted"}"#),
        10.0
    );
    assert_eq!(
        gate.metric(r#"hookgate_events_total{source="shop",result="duplicate"}"#),
        490.0
    );
}

#[test]
fn other_bodies_of_one_id_are_conflicts_while_the_first_is_in_flight_too() {
    let app = App::start();
    let home = Home::new(&configuration(&app, ""));
    let gate = home.start();
    for round in 1..=5 {
        let barrier = Barrier::new(50);
        std::thread::scope(|scope| {
            for n in 0..50 {
                let (barrier, gate) = (&barrier, &gate);
                scope.spawn(move || {
                    let mut connection = Connection::open(gate.public);
                    barrier.wait();
                    let request = order(&format!("evt_{round}"), &n.to_string());
                    assert_eq!(connection.send(&request).status, 200);
                });
            }
        });
        assert_eq!(
            gate.metric(r#"hookgate_dedupe_conflicts_total{source="shop"}"#),
            49.0 * f64::from(round)
        );
    }
    app.wait_for(5);
}

#[test]
fn an_authoritative_id_with_another_body_is_a_duplicate_and_a_conflict() {
    let app = App::start();
    let home = Home::new(&configuration(&app, ""));
    let gate = home.start();
    let id = gate.send(&order("evt_1", "first")).id();
    let other = gate.send(&order("evt_1", "second"));
    assert!(other.is_duplicate());
    assert_eq!(other.id(), id);
    assert_eq!(
        gate.metric(r#"hookgate_dedupe_conflicts_total{source="shop"}"#),
        1.0
    );
    wait_until("the conflict is logged", || {
        gate.log().contains("event.conflict")
    });
    assert!(gate.send(&order("evt_1", "first")).is_duplicate());
    assert_eq!(
        gate.metric(r#"hookgate_dedupe_conflicts_total{source="shop"}"#),
        1.0,
        "the same body is none"
    );
    app.wait_for(1);
}

#[test]
fn keys_fall_back_and_join() {
    let app = App::start();
    let more = "  joined:\n    verify: none\n    event: { id: [header:X-Event-Id, [json:/event, json:/data/id], query:id] }\n    forward: app\n";
    let home = Home::new(&configuration(&app, more));
    let gate = home.start();
    let fresh = |request: &Request| !gate.send(request).is_duplicate();
    let joined = |query: &str, body: &str| Request::new(&format!("/hooks/joined{query}"), body);
    // A header decides before the body.
    assert!(fresh(&joined("", r#"{"n":1}"#).header("X-Event-Id", "a")));
    assert!(!fresh(&joined("", r#"{"n":2}"#).header("X-Event-Id", "a")));
    // Two parts joined; a number counts as its source text, so 1 and 1.0 differ.
    assert!(fresh(&joined("", r#"{"event":"paid","data":{"id":1}}"#)));
    assert!(!fresh(&joined("", r#"{"data":{"id":1},"event":"paid"}"#)));
    assert!(fresh(&joined("", r#"{"event":"paid","data":{"id":1.0}}"#)));
    assert!(fresh(&joined("", r#"{"event":"shipped","data":{"id":1}}"#)));
    // A join that lacks a part is absent: the query decides; "" and null are absent too.
    assert!(fresh(&joined(
        "?id=q%201",
        r#"{"event":"paid","data":{"id":null}}"#
    )));
    assert!(!fresh(&joined(
        "?id=q+1",
        r#"{"event":"","data":{"id":2}}"#
    )));
    // Nothing is present: the body decides.
    assert!(fresh(&joined("", "not JSON")));
    assert!(!fresh(&joined("", "not JSON")));
    app.wait_for(6);
}

#[test]
fn a_key_is_forgotten_after_its_window_and_not_before() {
    let app = App::start();
    let text = configuration(&app, "").replace(
        "    forward: app\n",
        "    dedupe: { window: 2s }\n    forward: app\n",
    );
    let home = Home::new(&text);
    let gate = home.start();
    let start = Instant::now();
    let first = gate.send(&order("evt_1", "x")).id();
    wait_until("the key is forgotten", || {
        let reply = gate.send(&order("evt_1", "x"));
        let forgotten = reply.id() != first;
        assert!(
            !forgotten || start.elapsed().as_secs_f64() >= 2.0,
            "forgotten before its window ended"
        );
        forgotten
    });
    app.wait_for(2);
}

#[test]
fn eviction_takes_the_oldest_of_the_largest_source() {
    let app = App::start();
    let more = "  small:\n    verify: none\n    event: { id: [json:/id] }\n    forward: app\nlimits: { dedupe_keys: 100 }\n";
    let home = Home::new(&configuration(&app, more));
    let gate = home.start();
    let small = Request::new("/hooks/small", r#"{"id":"kept"}"#);
    assert!(!gate.send(&small).is_duplicate());
    let mut connection = Connection::open(gate.public);
    for n in 0..300 {
        assert!(
            !connection
                .send(&order(&format!("evt_{n}"), "x"))
                .is_duplicate()
        );
    }
    assert!(
        gate.send(&small).is_duplicate(),
        "the small source loses nothing to the large one"
    );
    assert!(
        gate.send(&order("evt_299", "x")).is_duplicate(),
        "the newest is remembered"
    );
    assert!(
        !gate.send(&order("evt_0", "x")).is_duplicate(),
        "the oldest is not"
    );
    wait_until("evictions are counted", || {
        gate.metric("hookgate_dedupe_evictions_total") >= 200.0
    });
    assert!(gate.metric(r#"hookgate_dedupe_keys{source="shop"}"#) <= 100.0);
    assert!(
        gate.metric(r#"hookgate_dedupe_window_seconds{source="shop"}"#) < 3600.0,
        "the window in effect shrank"
    );
}

#[test]
fn a_sender_that_leaves_after_its_body_changes_nothing() {
    let app = App::start();
    let home = Home::new(&configuration(&app, ""));
    let gate = home.start();
    for n in 0..1_000 {
        let mut connection = Connection::open(gate.public);
        connection.write(&order(&format!("evt_{n}"), "x").bytes());
        // Half of them reset the connection, half close it in order.
        if n % 2 == 0 {
            connection
                .stream()
                .shutdown(std::net::Shutdown::Both)
                .expect("open until now");
        }
        drop(connection);
    }
    // The retry of each is answered rightly: a duplicate if the event is there, accepted if it is not.
    let mut connection = Connection::open(gate.public);
    for n in 0..1_000 {
        assert_eq!(
            connection.send(&order(&format!("evt_{n}"), "x")).status,
            200
        );
    }
    let ids: HashSet<String> = app
        .wait_for(1_000)
        .iter()
        .map(|got| String::from_utf8_lossy(&got.body).into_owned())
        .collect();
    assert_eq!(ids.len(), 1_000, "each is there once");
    wait_until("nothing is left to deliver", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    assert_eq!(app.count(), 1_000, "and none twice");
}

#[test]
fn passthrough_shares_an_answer_and_forgets_failures() {
    let app = App::start();
    let text = configuration(&app, "").replace(
        "    forward: app\n",
        "    ack: passthrough\n    forward: app\n",
    );
    let home = Home::new(&text);
    let gate = home.start();
    let answer = |status: &str, body: &str| {
        Behaviour::Raw(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/x\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into(),
        )
    };
    app.behave(answer("422 No", "bad order"));
    let reply = gate.send(&order("evt_1", "x"));
    assert_eq!(
        (
            reply.status,
            reply.body.as_str(),
            reply.header("content-type")
        ),
        (422, "bad order", Some("text/x"))
    );
    // The key was forgotten: the retry reaches the app.
    app.behave(answer("201 Made", "thanks"));
    let reply = gate.send(&order("evt_1", "x"));
    assert_eq!((reply.status, reply.body.as_str()), (201, "thanks"));
    // From now on it is known; there is no id to tell.
    let reply = gate.send(&order("evt_1", "x"));
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, r#"{"received":true,"duplicate":true}"#)
    );
    assert_eq!(app.count(), 2);

    // In flight: both get the app's one answer, whatever it is, and the app gets the event once. A second request
    // that comes too late finds the failure forgotten and is sent anew: then the next round tries again.
    let shared = (2..20).any(|round| {
        let before = app.count();
        app.behave(Behaviour::Hold(418));
        let (request, to) = (order(&format!("evt_{round}"), "x"), gate.public);
        let first = {
            let request = request.clone();
            std::thread::spawn(move || request.send(to))
        };
        app.wait_for(before + 1);
        let mut second = [Connection::open(to)];
        second[0].write(&request.bytes());
        wait_until("the second is read", || are_read(&gate, &second));
        app.behave(Behaviour::Status(200));
        assert_eq!(first.join().expect("answered").status, 418);
        let second = second[0].reply().status;
        let sent = app.count() - before;
        assert!(
            matches!((second, sent), (418, 1) | (200, 2)),
            "{second} after {sent} requests"
        );
        sent == 1
    });
    assert!(shared, "no answer was ever shared");
}

/// Whether everything that was written on these connections has been read by the gateway: nothing is left in the
/// kernel's queues of their sockets (`/proc/net/tcp`, column `rx_queue` of the gateway's end). One look for all of them: on a
/// machine with many sockets it takes its time.
fn are_read(gate: &Gate, connections: &[Connection]) -> bool {
    let local = format!(":{:04X}", gate.public.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let read: HashSet<&str> = table
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_read = words.len() > 4 && words[4].ends_with(":00000000");
            let (_, remote) = words.get(2)?.split_once(':')?;
            (is_read && words[1].ends_with(&local)).then_some(remote)
        })
        .collect();
    connections.iter().all(|connection| {
        let port = connection.stream().local_addr().expect("an address").port();
        read.contains(&*format!("{port:04X}"))
    })
}

#[test]
fn an_event_that_commits_after_its_answer_is_accepted_all_the_same() {
    let app = App::start();
    let text = configuration(&app, "").replace(
        "    forward: app\n",
        "    sender_timeout: 1s\n    ack_deadline: 300ms\n    forward: app\n",
    );
    let home = Home::new(&text);
    let gate = home.start();
    let other = rusqlite::Connection::open(home.database()).expect("the store's file");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the write lock");
    let late = gate.send(&order("evt_1", "x"));
    assert_eq!((late.status, late.header("retry-after")), (503, Some("2")));
    let accepted = r#"hookgate_events_total{source="shop",result="accepted"}"#;
    assert_eq!(gate.metric(accepted), 0.0, "not durable yet");
    other
        .execute_batch("ROLLBACK")
        .expect("the lock is given back");
    app.wait_for(1);
    assert_eq!(gate.metric(accepted), 1.0);
    assert_eq!(
        gate.metric(r#"hookgate_unavailable_total{source="shop",reason="late"}"#),
        1.0
    );
    assert!(gate.metric(r#"hookgate_last_event_timestamp_seconds{source="shop"}"#) > 1.7e9);
    let retry = gate.send(&order("evt_1", "x"));
    assert!(retry.is_duplicate(), "{retry:?}");
    assert_eq!(gate.metric(accepted), 1.0);
    wait_until("the audit log has it once", || {
        gate.log().matches("event.accepted").count() == 1
    });
    assert!(gate.log().contains(&retry.id()));
}

#[test]
fn a_commit_that_fails_gives_no_2xx_to_the_original_nor_to_its_duplicates() {
    let app = App::start();
    let home = Home::new(&configuration(&app, ""));
    let gate = home.start();
    let other = rusqlite::Connection::open(home.database()).expect("the store's file");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the write lock");
    // The writer waits five seconds for the lock, then gives the commit up; a duplicate that takes the original's
    // place is refused at once while the store is held.
    let senders: Vec<_> = (0..10)
        .map(|_| {
            let to = gate.public;
            std::thread::spawn(move || order("evt_1", "x").send(to))
        })
        .collect();
    for sender in senders {
        let reply = sender.join().expect("answered");
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(reply.header("retry-after").is_some());
    }
    other
        .execute_batch("ROLLBACK")
        .expect("the lock is given back");
    assert_eq!(app.count(), 0, "nothing was stored");
    wait_until("it is taken as new once the store writes again", || {
        let reply = gate.send(&order("evt_1", "x"));
        assert!(reply.status == 503 || !reply.is_duplicate(), "{reply:?}");
        reply.status == 200
    });
    app.wait_for(1);
    assert!(gate.send(&order("evt_1", "x")).is_duplicate());
}

#[test]
fn a_hundred_duplicates_wait_for_the_commit_of_their_original() {
    const SENDERS: usize = 100;
    /// For so long the writer surely waits for the lock; it does for five seconds.
    const WAITS: Duration = Duration::from_secs(4);
    let app = App::start();
    let home = Home::new(&configuration(&app, ""));
    let gate = home.start();
    let other = rusqlite::Connection::open(home.database()).expect("the store's file");
    let mut rounds = 0..;
    // Once more where the machine was so busy that the writer may have given its commit up meanwhile.
    let replies = eventually("all are read while the commit waits", || {
        let request = order(&format!("evt_{}", rounds.next()?), "x").bytes();
        let held = Instant::now();
        other
            .execute_batch("BEGIN IMMEDIATE")
            .expect("the write lock");
        let mut senders: Vec<Connection> = (0..SENDERS)
            .map(|_| {
                let mut connection = Connection::open(gate.public);
                connection.write(&request);
                connection
            })
            .collect();
        wait_until("their requests are read", || are_read(&gate, &senders));
        // The original's commit waits for the lock, and nobody is answered.
        let early: Vec<_> = senders
            .iter()
            .filter_map(|sender| {
                sender.stream().set_nonblocking(true).expect("a socket");
                let early = sender.stream().peek(&mut [0]);
                sender.stream().set_nonblocking(false).expect("a socket");
                early.ok()
            })
            .collect();
        other
            .execute_batch("ROLLBACK")
            .expect("the lock is given back");
        if held.elapsed() >= WAITS {
            return None;
        }
        assert!(early.is_empty(), "answered before the commit: {early:?}");
        let replies = senders.iter_mut().map(|sender| {
            let reply = sender.read_reply().expect("readable");
            reply.expect("an answer")
        });
        Some(replies.collect::<Vec<Reply>>())
    });
    let ids: HashSet<String> = replies.iter().map(Reply::id).collect();
    assert_eq!(ids.len(), 1, "one event, one id");
    let originals = replies.iter().filter(|reply| !reply.is_duplicate()).count();
    assert_eq!(originals, 1);
    app.wait_for(1);
}

#[test]
fn a_window_goes_on_over_a_crash() {
    let app = App::start();
    let text = configuration(&app, "").replace(
        "    forward: app\n",
        "    dedupe: { window: 3s }\n    forward: app\n",
    );
    let home = Home::new(&text);
    let gate = home.start();
    let sent = Instant::now();
    let first = gate.send(&order("evt_1", "x")).id();
    gate.kill();
    let gate = home.start();
    let reply = gate.send(&order("evt_1", "x"));
    let in_time = sent.elapsed().as_secs_f64() < 3.0;
    assert!(!in_time || reply.id() == first, "known after the crash");
    wait_until("the key is forgotten after its window", || {
        gate.send(&order("evt_1", "x")).id() != first
    });
    assert!(sent.elapsed().as_secs_f64() >= 3.0, "and not before");
}

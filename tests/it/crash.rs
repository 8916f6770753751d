//! kill -9 under load, again and again: what was acknowledged reaches the app, and nothing that was never sent.

use crate::support::{App, Request, gate::Home, hmac_sha256_hex, sender::Connection, wait_until};
use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SECRET: &str = "crash-secret";
const KILLS: usize = 20;
const SENDERS: usize = 8;
/// Events that have to be acknowledged between two kills, so that each falls into running work.
const EVENTS_BETWEEN: u64 = 40;
const CONCURRENCY: usize = 4;

fn order(n: u64) -> Request {
    let body = format!(r#"{{"event":"order.created","id":{n}}}"#);
    Request::new("/hooks/shop", body.clone())
        .header("X-Signature", &hmac_sha256_hex(SECRET, &[body.as_bytes()]))
}

/// What the senders share.
#[derive(Default)]
struct Sent {
    next: AtomicU64,
    acknowledged: Mutex<HashSet<u64>>,
    done: AtomicBool,
    gate: Mutex<Option<SocketAddr>>,
}

/// Sends events until told to stop; an event without an answer is left behind (its fate is open).
fn send(sent: &Sent) {
    while !sent.done.load(Ordering::SeqCst) {
        let Some(to) = *sent.gate.lock().expect("not poisoned") else {
            std::thread::yield_now();
            continue;
        };
        let Ok(stream) = TcpStream::connect(to) else {
            continue;
        };
        let mut connection = Connection::over(stream);
        while !sent.done.load(Ordering::SeqCst) {
            let n = sent.next.fetch_add(1, Ordering::SeqCst);
            match connection.try_send(&order(n)) {
                Ok(reply) if reply.status == 200 => {
                    sent.acknowledged.lock().expect("not poisoned").insert(n);
                }
                Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                Err(_) => break,
            }
        }
    }
}

#[test]
fn every_acknowledged_event_survives_twenty_kills() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {SECRET}\n    event: {{ id: json:/id }}\n    \
         forward: app\ntargets:\n  app: {{ url: {}, concurrency: {CONCURRENCY}, retry: {{ first: 20ms, max: 200ms }} }}\n",
        app.url()
    ));
    let sent = Arc::new(Sent::default());
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let sent = Arc::clone(&sent);
            std::thread::spawn(move || send(&sent))
        })
        .collect();
    let acknowledged = || sent.acknowledged.lock().expect("not poisoned").len() as u64;
    for kill in 0..KILLS {
        let gate = home.start();
        *sent.gate.lock().expect("not poisoned") = Some(gate.public);
        // Not a round number of events, so that the kill falls somewhere else each time.
        let goal = acknowledged() + EVENTS_BETWEEN + fastrand::u64(..EVENTS_BETWEEN);
        wait_until(
            &format!("events are acknowledged before kill {kill}"),
            || acknowledged() >= goal,
        );
        *sent.gate.lock().expect("not poisoned") = None;
        gate.kill();
    }
    sent.done.store(true, Ordering::SeqCst);
    for sender in senders {
        sender
            .join()
            .expect("a sender got nothing but 200, 503 or a closed connection");
    }

    let gate = home.start();
    let acknowledged = sent.acknowledged.lock().expect("not poisoned").clone();
    assert!(acknowledged.len() as u64 >= KILLS as u64 * EVENTS_BETWEEN);
    wait_until("nothing is left to deliver", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    assert_eq!(
        gate.metric(r#"hookgate_dead_letters{target="app"}"#),
        0.0,
        "delivered, not given up"
    );

    let mut times: HashMap<u64, usize> = HashMap::new();
    for got in app.got() {
        let body: serde_json::Value =
            serde_json::from_slice(&got.body).expect("what was sent is JSON");
        let n = body["id"].as_u64().expect("an id");
        assert_eq!(got.body, order(n).body, "byte for byte");
        *times.entry(n).or_default() += 1;
    }
    let lost: Vec<&u64> = acknowledged
        .iter()
        .filter(|n| !times.contains_key(n))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let sent_most = sent.next.load(Ordering::SeqCst);
    assert!(times.keys().all(|n| *n < sent_most), "nothing was invented");
    // Promise 8: after a crash at most `concurrency` events and one unsettled batch of 256 are sent again.
    let again: usize = times.values().map(|times| times - 1).sum();
    assert!(
        again <= KILLS * (CONCURRENCY + 256),
        "{again} deliveries were repeated"
    );
    eprintln!(
        "{} acknowledged, {} delivered, {again} repeated in {KILLS} kills",
        acknowledged.len(),
        times.len()
    );
}

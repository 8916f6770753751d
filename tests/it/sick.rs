//! One target is sick: acknowledgements and the other target's deliveries go on, and nothing is lost once it is well.
//! Long form: how much the others notice in a minute of it, `tests/torture/run sick`.

use crate::support::{
    App, Behaviour, Gate, Request, gate::Home, sender::Connection, torture, wait_until,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Events to both targets while one is sick.
const EVENTS: usize = 60;

fn home(sick: &str, well: &App) -> Home {
    let home = Home::new("");
    configure(&home, sick, "300ms", well);
    home
}

fn configure(home: &Home, sick: &str, timeout: &str, well: &App) {
    let retry = "retry: { first: 20ms, max: 200ms }";
    home.configure(&format!(
        "sources:\n  both: {{ verify: none, forward: [sick, well] }}\ntargets:\n  \
         sick: {{ url: \"{sick}\", timeout: {timeout}, concurrency: 4, {retry} }}\n  well: {{ url: {}, {retry} }}\n",
        well.url()
    ));
}

fn pending(gate: &Gate, target: &str) -> f64 {
    gate.metric(&format!(
        "hookgate_pending_deliveries{{target=\"{target}\"}}"
    ))
}

/// One that was never sent before.
fn event() -> Request {
    let salt = fastrand::u128(..);
    Request::new("/hooks/both", format!("{{\"salt\":\"{salt}\"}}"))
}

/// Sends to both while one is sick: all is acknowledged, the other gets everything, and the sick one was tried and
/// failed for the `reason`.
#[track_caller]
fn goes_on(gate: &Gate, well: &App, reason: &str) {
    let mut connection = Connection::open(gate.public);
    let before = well.count();
    for _ in 0..EVENTS {
        assert_eq!(connection.send(&event()).status, 200, "{reason}");
    }
    well.wait_for(before + EVENTS);
    let series = format!(
        "hookgate_attempts_total{{target=\"sick\",outcome=\"failed\",reason=\"{reason}\"}}"
    );
    wait_until(&format!("attempts fail: {reason}"), || {
        gate.metric(&series) >= 1.0
    });
    assert!(pending(gate, "sick") > 0.0, "{reason}: it waits");
}

/// The URL of a server that answers a TLS greeting with plain HTTP, until the tests end.
fn no_tls() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Ok(1..) = (&stream).read(&mut [0; 512]) {
                // The gateway may be gone already.
                let _ = (&stream).write_all(b"HTTP/1.1 400 Plain\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    format!("https://{address}/")
}

/// It is well again: everything arrives.
#[track_caller]
fn recovers(gate: &Gate, case: &str) {
    wait_until(&format!("{case}: everything arrives"), || {
        pending(gate, "sick") + pending(gate, "well") == 0.0
    });
    assert_eq!(gate.metric(r#"hookgate_dead_letters{target="sick"}"#), 0.0);
}

#[test]
fn an_app_that_misbehaves_holds_up_nobody_else() {
    let later = b"HTTP/1.1 429 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n".to_vec();
    let cases = [
        ("timeout", Behaviour::Hang),
        ("4xx", Behaviour::Raw(later)),
        ("5xx", Behaviour::Status(503)),
        ("closed", Behaviour::Close),
    ];
    for (reason, behaviour) in cases {
        let (sick, well) = (App::start(), App::start());
        let home = home(&sick.url(), &well);
        sick.behave(behaviour);
        let gate = home.start();
        goes_on(&gate, &well, reason);
        sick.behave(Behaviour::Status(200));
        recovers(&gate, reason);
    }
}

#[test]
fn an_app_that_closes_at_random_gets_everything() {
    let seed = torture::seed();
    let (sick, well) = (App::start(), App::start());
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    sick.choose(
        move |_| match random.lock().expect("not poisoned").u8(..4) {
            0 => Behaviour::Close,
            1 => Behaviour::RawThenClose(b"HTTP/1.1 200 O".to_vec()),
            2 => Behaviour::RawThenClose(
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec(),
            ),
            _ => Behaviour::Status(200),
        },
    );
    let home = home(&sick.url(), &well);
    let gate = home.start();
    let mut connection = Connection::open(gate.public);
    for _ in 0..EVENTS {
        assert_eq!(connection.send(&event()).status, 200);
    }
    well.wait_for(EVENTS);
    recovers(&gate, &format!("seed {seed}"));
    let bodies: std::collections::HashSet<_> = sick.got().into_iter().map(|got| got.body).collect();
    assert_eq!(bodies.len(), EVENTS);
}

#[test]
fn an_app_that_is_down_slow_or_not_to_be_found_holds_up_nobody_else() {
    // Down.
    let (mut sick, well) = (App::start(), App::start());
    let home = home(&sick.url(), &well);
    sick.go_down();
    let gate = home.start();
    goes_on(&gate, &well, "connect");
    sick.come_back();
    recovers(&gate, "connect");
    assert!(gate.stop().0.success());

    // Not speaking TLS; then without a name in the DNS. Both need another URL to get well.
    let plain = sick.url();
    for (reason, url, timeout) in [
        ("tls", no_tls(), "300ms"),
        // The system's resolver takes the time that it takes.
        ("dns", "http://hookgate-test.invalid/".to_owned(), "20s"),
    ] {
        configure(&home, &url, timeout, &well);
        let gate = home.start();
        goes_on(&gate, &well, reason);
        assert!(gate.stop().0.success());
        configure(&home, &plain, "300ms", &well);
        recovers(&home.start(), reason);
    }
}

/// What others notice of a sick target: answers to senders, and deliveries to the target that is well.
#[derive(Clone, Copy, Debug)]
struct Notice {
    answer_p99_us: u64,
    delivery_p99_us: u64,
}

/// Sends some hundred events a second for a while.
fn measure(gate: &Gate, arrived: &Mutex<Vec<u64>>, start: Instant, time: Duration) -> Notice {
    const SENDERS: u32 = 4;
    /// Between two events of one sender.
    const PAUSE: Duration = Duration::from_millis(10);
    arrived.lock().expect("not poisoned").clear();
    let answers = Mutex::new(Vec::new());
    let until = Instant::now() + time;
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let mut connection = Connection::open(gate.public);
                while Instant::now() < until {
                    let sent = start.elapsed();
                    let body = format!(
                        "{{\"sent\":{},\"salt\":{}}}",
                        sent.as_micros(),
                        fastrand::u64(..)
                    );
                    let reply = connection.send(&Request::new("/hooks/both", body));
                    assert_eq!(reply.status, 200);
                    let took = start.elapsed().saturating_sub(sent);
                    answers.lock().expect("not poisoned").push(micros(took));
                    std::thread::sleep(PAUSE);
                }
            });
        }
    });
    let answers = answers.into_inner().expect("not poisoned");
    wait_until("the well target has all of them", || {
        arrived.lock().expect("not poisoned").len() >= answers.len()
    });
    Notice {
        answer_p99_us: p99(answers),
        delivery_p99_us: p99(arrived.lock().expect("not poisoned").clone()),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("less than ages")
}

fn p99(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[test]
fn how_much_the_others_notice_of_a_sick_target() {
    let time = Duration::from_secs(torture::length(1));
    let start = Instant::now();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let well = App::observed({
        let arrived = Arc::clone(&arrived);
        move |got| {
            let sent: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
            let took = micros(start.elapsed()) - sent["sent"].as_u64().expect("a time");
            arrived.lock().expect("not poisoned").push(took);
        }
    });
    let mut sick = App::observed(|_| {});
    let home = home(&sick.url(), &well);
    let gate = home.start();
    measure(&gate, &arrived, start, Duration::from_secs(1));
    for fault in ["down", "hanging", "refusing"] {
        let before = measure(&gate, &arrived, start, time);
        match fault {
            "down" => sick.go_down(),
            "hanging" => sick.behave(Behaviour::Hang),
            _ => sick.behave(Behaviour::Status(503)),
        }
        let during = measure(&gate, &arrived, start, time);
        if fault == "down" {
            sick.come_back();
        }
        sick.behave(Behaviour::Status(200));
        recovers(&gate, fault);
        let after = measure(&gate, &arrived, start, time);
        let text = format!(
            "{} s each; p99 of answers {} before, {} during, {} after; of the other target's deliveries {}, {}, {} (µs)",
            time.as_secs(),
            before.answer_p99_us,
            during.answer_p99_us,
            after.answer_p99_us,
            before.delivery_p99_us,
            during.delivery_p99_us,
            after.delivery_p99_us
        );
        torture::summary(&format!("sick ({fault})"), 0, &text);
    }
}

//! The PROXY protocol before HTTP: who is listed is believed, and everybody else gets nothing.

use crate::support::{App, Gate, Request, eventually, gate::Home, sender::Connection, wait_until};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const V1: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.2 50000 443\r\n";
/// From `2001:db8::9`, with a further fact behind the addresses.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x28\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xc3\x50\x01\xbb\x04\0\x01\0";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn home(app: &App, peers: &str, more: &str) -> Home {
    Home::new(&format!(
        "listen:\n  - {{ address: '127.0.0.1:0', proxy_protocol: [{peers}] }}\n  - {{ address: unix:a.sock, proxy_protocol: unix }}\n\
         {more}sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
}

fn event(n: usize) -> Request {
    Request::new("/hooks/open", format!("{{\"n\":{n}}}"))
}

/// How many connections were refused for this.
fn refused(gate: &Gate, reason: &str) -> f64 {
    let text = gate.admin_get("/metrics").body;
    text.lines()
        .filter(|line| line.contains(&format!("reason=\"{reason}\"")))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// How many statuses have been answered, by which nothing was sent to a source.
fn answered(gate: &Gate) -> usize {
    let text = gate.admin_get("/metrics").body;
    text.lines()
        .filter(|line| line.starts_with("hookgate_http_requests_total{"))
        .filter(|line| line.contains("source=\"\""))
        .count()
}

#[test]
fn the_client_is_who_the_header_says() {
    let app = App::start();
    let home = home(&app, "127.0.0.0/8", "");
    let gate = home.start();
    for (n, header, client) in [
        (1, V1, "203.0.113.9"),
        (2, V2, "2001:db8::9"),
        (3, V2_LOCAL, "127.0.0.1"),
        (4, b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ] {
        // In one write with the request, in pieces, and with a second request behind.
        let mut whole = Connection::open(gate.public);
        whole.write(&[header, &event(10 * n).bytes()].concat());
        let reply = whole.reply();
        assert_eq!(reply.status, 200);
        assert_eq!(whole.send(&event(10 * n + 1)).status, 200);
        let mut pieces = Connection::open(gate.public);
        for byte in header {
            pieces.write(&[*byte]);
        }
        assert_eq!(pieces.send(&event(10 * n + 2)).status, 200);
        let got = app.wait_for(3 * n);
        for got in &got[3 * (n - 1)..] {
            assert_eq!(got.header("x-forwarded-for"), client, "{n}");
        }
    }
    let mut over_unix = UnixStream::connect(home.path().join("a.sock")).expect("a connection");
    over_unix
        .write_all(&[V1, &event(1).bytes()].concat())
        .expect("written");
    let got = app.wait_for(13);
    assert_eq!(got[12].header("x-forwarded-for"), "203.0.113.9");
    assert_eq!(refused(&gate, "malformed"), 0.0);
}

/// Whether the connection is closed without a word. Unread bytes make it a reset.
fn is_closed(stream: &mut impl Read) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok_and(|read| read == 0) || rest.is_empty()
}

#[test]
fn what_is_no_header_is_refused_and_counted() {
    let app = App::start();
    let home = home(&app, "127.0.0.1", "");
    let gate = home.start();
    let request = event(1).bytes();
    let cases: [&[u8]; 6] = [
        &request,
        b"PROXY TCP4 203.0.113.9 198.51.100.2 50000 443\n",
        b"PROXY TCP4 203.0.113.9 198.51.100.2 50000 99999\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\x01\x02\x03\x04",
        b"PROXY TCP4 203.0.113.9",
    ];
    for case in cases {
        let mut connection = Connection::open(gate.public);
        connection.write(&[case, &request].concat());
        assert!(
            is_closed(&mut connection.stream()),
            "{}",
            case.escape_ascii()
        );
    }
    // One that only connects, as a check of health does, is no offence; half a header is.
    drop(Connection::open(gate.public));
    let half = Connection::open(gate.public);
    half.stream().write_all(&V1[..20]).expect("written");
    half.stream()
        .shutdown(std::net::Shutdown::Write)
        .expect("connected");
    assert!(is_closed(&mut half.stream()));
    assert_eq!(refused(&gate, "malformed"), 7.0);
    assert_eq!(answered(&gate), 0, "closed without an answer");
    assert_eq!(app.count(), 0);
    gate.said("refused a connection to a listener");
    let log = gate.log();
    let lines = log.matches("refused a connection to a listener").count();
    assert!((1..=4).contains(&lines), "not one line for each: {log}");
}

#[test]
fn peers_that_are_not_listed_get_nothing() {
    let app = App::start();
    let home = home(&app, "10.0.0.0/8, '::1', unix", "");
    let gate = home.start();
    for begin in [V1, V2, V2_LOCAL, b""] {
        let mut connection = Connection::open(gate.public);
        // It may be closed before everything is written.
        let _ = connection.try_write(&[begin, &event(1).bytes()].concat());
        assert!(is_closed(&mut connection.stream()));
    }
    wait_until("they are counted", || refused(&gate, "malformed") == 4.0);
    gate.said("the peer is not listed");
    assert_eq!(app.count(), 0);
}

#[test]
fn header_and_head_have_one_time_together() {
    let app = App::start();
    let home = home(&app, "127.0.0.1", "limits: { header_timeout: 3s }\n");
    let gate = home.start();
    let limit = Duration::from_secs(3);
    let (silent, half) = gate.while_stopped(|| {
        let half = Connection::open(gate.public);
        half.stream().write_all(&V1[..20]).expect("written");
        (Connection::open(gate.public), half)
    });
    assert!(is_closed(&mut half.stream()));
    assert!(is_closed(&mut silent.stream()));
    // Silence is not counted.
    wait_until("the half is counted", || refused(&gate, "timeout") == 1.0);
    assert_eq!(answered(&gate), 0, "closed without an answer");
    // A header that takes half of the time, and a head that would be in time if it had a time of its own. Again where the
    // machine was so busy that this cannot be told.
    eventually("the head is late before its own time is over", || {
        let begun = Instant::now();
        let mut late = Connection::open(gate.public);
        late.write(&V1[..20]);
        std::thread::sleep(limit / 2);
        let written = Instant::now();
        late.try_write(&[&V1[20..], b"POST /hooks/open HTTP/1.1\r\n"].concat())
            .ok()?;
        let reply = late.read_reply().ok()??;
        assert_eq!(reply.status, 408);
        assert!(begun.elapsed() >= limit);
        (written.elapsed() < limit).then_some(())
    });
    // Others are served all the same.
    let mut good = Connection::open(gate.public);
    good.write(V1);
    assert_eq!(good.send(&event(1)).status, 200);
}

#[test]
fn a_stop_does_not_wait_for_headers() {
    let app = App::start();
    // Longer than an end is waited for here.
    let times = "limits: { header_timeout: 10m }\nshutdown: { timeout: 10m }\n";
    let home = home(&app, "127.0.0.1", times);
    let gate = home.start();
    let half = Connection::open(gate.public);
    half.stream().write_all(&V1[..20]).expect("written");
    let mut whole = Connection::open(gate.public);
    whole.write(V1);
    assert_eq!(whole.send(&event(1)).status, 200);
    let (status, log) = gate.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(is_closed(&mut half.stream()));
}

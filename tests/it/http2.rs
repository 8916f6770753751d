//! HTTP/2: every answer is that of HTTP/1, and a connection ends as one does.

use crate::support::{
    App, Behaviour, Gate, Reply, Request,
    gate::{Home, find_series},
    h2::{self, Client, Wire},
    sender::Connection,
    tools, wait_until,
};
use std::process::Command;
use std::time::{Duration, Instant};

/// A home whose one listener speaks both over plain TCP, with `more` at the top of the file.
pub(crate) fn home(app: &App, more: &str) -> Home {
    Home::new(&format!(
        "listen: [{{ address: 127.0.0.1:0, http2: true }}]\n{more}\
         sources:\n  \
           open: {{ verify: none, forward: app }}\n  \
           pass: {{ verify: none, ack: passthrough, forward: app }}\n  \
           signed: {{ verify: {{ hmac: {{ header: X-S }} }}, secret: s, forward: app }}\n\
         targets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
}

fn uri(gate: &Gate, path: &str) -> String {
    format!("http://{}{path}", gate.public)
}

/// A POST of an event.
fn post<'a>(gate: &Gate, path: &str, body: &'a str) -> http::Request<&'a str> {
    let request = http::Request::post(uri(gate, path));
    request.body(body).expect("a request")
}

/// What both have to say alike.
fn essence(reply: &Reply) -> (u16, Vec<(String, Vec<String>)>, String) {
    let mut headers: Vec<_> = reply.headers.clone().into_iter().collect();
    headers.retain(|(name, _)| name != "connection" && name != "date");
    headers.sort();
    (reply.status, headers, reply.body.clone())
}

#[test]
fn every_answer_is_that_of_http_1() {
    let app = App::start();
    let home = home(&app, "limits: { body: 1KiB, headers: 20 }\n");
    let gate = home.start();
    let mut client = Client::plain(gate.public);
    let long = "x".repeat(1025);
    let first = client.send(post(&gate, "/hooks/open", "{\"id\":1}"));
    assert_eq!(first.status, 200);
    let passed = client.send(post(&gate, "/hooks/pass", "{}"));
    assert_eq!((passed.status, passed.body.as_str()), (200, ""));
    for (path, body, status) in [
        ("/hooks/open", "{\"id\":1}", 200),
        ("/hooks/open?a=b", "{\"id\":1}", 200),
        ("/hooks/signed", "{}", 401),
        ("/hooks/none", "{}", 404),
        ("/hooks/open", long.as_str(), 413),
        ("/hooks/pass", "{}", 200),
    ] {
        let second = client.send(post(&gate, path, body));
        assert_eq!(second.status, status, "{path}");
        assert_eq!(second.header("connection"), None, "{path}");
        let one = gate.send(&Request::new(path, body));
        assert_eq!(essence(&second), essence(&one), "{path}");
    }
    let get = http::Request::get(uri(&gate, "/hooks/open")).body("");
    let get = client.send(get.expect("a request"));
    assert_eq!(get.status, 405);
    // Too many lines.
    let mut many = post(&gate, "/hooks/open", "{}");
    for n in 0..21 {
        let name = http::HeaderName::try_from(format!("x-{n}")).expect("a name");
        many.headers_mut()
            .insert(name, "1".parse().expect("a value"));
    }
    let second = client.send(many);
    let lines = (0..21).fold(Request::new("/hooks/open", "{}"), |request, n| {
        request.header(&format!("x-{n}"), "1")
    });
    let one = gate.send(&lines);
    assert_eq!((second.status, one.status), (431, 431));
    assert_eq!(second.body, one.body);
    // A head that is too large, and the connection goes on.
    let mut large = post(&gate, "/hooks/open", "{}");
    let value = "x".repeat(40 * 1024).parse().expect("a value");
    large.headers_mut().insert("x-large", value);
    assert_eq!(client.send(large).status, 431);
    assert_eq!(
        client.send(post(&gate, "/hooks/open", "{\"id\":2}")).status,
        200
    );
    app.wait_for(3);
}

/// h2 answers them by itself; what it has not answered is not counted, whatever becomes of requests beside them.
#[test]
fn heads_that_are_too_large_are_counted_once_each() {
    const STREAMS: u32 = 20;
    let app = App::start();
    app.behave(Behaviour::Hold(200));
    let home = home(&app, "limits: { header_bytes: 1KiB, headers: 20 }\n");
    let gate = home.start();
    let counted = || {
        [
            r#"hookgate_requests_rejected_total{source="",reason="too_large"}"#,
            r#"hookgate_http_requests_total{source="",code="431"}"#,
        ]
        .map(|series| find_series(&gate.admin_get("/metrics").body, series).unwrap_or(0.0))
    };
    let all = h2::END_HEADERS | h2::END_STREAM;
    let long = "x".repeat(100);
    let mut large = h2::post("/hooks/open");
    large.extend(h2::fields(&[("x-large", long.as_str()); 19]));
    // One more line than may be, which is answered by us.
    let mut many = h2::post("/hooks/open");
    many.extend(h2::fields(&[("x", ""); 21]));
    let mut wire = Wire::open(gate.public);
    let reset = |stream| h2::frame(h2::RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let cancelled = |stream, path: &str| {
        let head = h2::frame(h2::HEADERS, all, stream, &h2::post(path));
        [head, reset(stream)].concat()
    };
    wire.write(&h2::frame(h2::HEADERS, all, 1, &h2::post("/hooks/open")));
    assert_eq!(wire.find(h2::HEADERS, 1).status(), Some(200));
    assert_eq!(counted(), [0.0, 0.0]);
    for (stream, block, count) in [(3, &large, 1.0), (5, &large, 2.0), (7, &many, 3.0)] {
        wire.write(&h2::frame(h2::HEADERS, all, stream, block));
        let head = wire.find(h2::HEADERS, stream);
        assert_eq!(head.status(), None, "neither a success nor a 400");
        wait_until("it is counted", || counted() == [count, count]);
    }
    // Taken back before they have an answer, which the app holds.
    let mut stream = 9;
    for _ in 0..STREAMS {
        wire.write(&cancelled(stream, "/hooks/pass"));
        stream += 2;
    }
    wire.write(&h2::frame(h2::HEADERS, all, stream, &large));
    wire.find(h2::HEADERS, stream);
    wait_until("it is counted", || counted() == [4.0, 4.0]);
    stream += 2;
    // The same where the answer is just being given: one that has no head may hide one, and never adds one.
    let mut heads = 0;
    for _ in 0..STREAMS {
        wire.write(&cancelled(stream, "/hooks/none"));
        wire.write(&h2::frame(h2::HEADERS, all, stream + 2, &large));
        wire.find(h2::HEADERS, stream + 2);
        heads += 1;
        stream += 4;
    }
    wire.write(&h2::frame(
        h2::HEADERS,
        all,
        stream,
        &h2::post("/hooks/none"),
    ));
    assert_eq!(wire.find(h2::HEADERS, stream).status(), Some(404));
    drop(wire);
    wait_until("its connection is over", || {
        gate.metric("hookgate_connections") == 0.0
    });
    let [reason, code] = counted();
    assert!(reason <= 4.0 + f64::from(heads), "{reason} of {heads}");
    assert_eq!(reason, code);
    // Nobody is counted for another connection, and the last of one is counted as well.
    let mut last = Wire::open(gate.public);
    last.write(&h2::frame(h2::HEADERS, all, 1, &large));
    last.find(h2::HEADERS, 1);
    drop(last);
    wait_until("it is counted", || counted() == [reason + 1.0, code + 1.0]);
}

#[test]
fn host_and_authority_name_the_same() {
    let app = App::start();
    let home = home(&app, "");
    let gate = home.start();
    for (host, status) in [
        (None, 200),
        (Some(gate.public.to_string()), 200),
        (Some("other.test".to_owned()), 400),
    ] {
        let mut client = Client::plain(gate.public);
        let mut request = post(&gate, "/hooks/open", "{\"h\":1}");
        if let Some(host) = &host {
            let value = host.parse().expect("a value");
            request.headers_mut().insert("host", value);
        }
        assert_eq!(client.send(request).status, status, "{host:?}");
    }
    // Neither, and what is no request at all: the stream is refused or answered, the connection or the stream ends.
    let base = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/hooks/open"),
    ];
    let with = |more: &[(&'static str, &'static str)]| -> Vec<(&'static str, &'static str)> {
        base.iter().chain(more).copied().collect()
    };
    for fields in [
        with(&[]),
        with(&[("host", "a"), ("host", "b")]),
        with(&[(":authority", "a b")]),
        with(&[(":authority", "a"), ("connection", "close")]),
        with(&[(":authority", "a"), ("transfer-encoding", "chunked")]),
        with(&[(":authority", "a"), ("te", "gzip")]),
        with(&[(":authority", "a"), ("X-Upper", "1")]),
        with(&[(":authority", "a"), (":path", "/other")]),
        with(&[(":authority", "a"), (":unknown", "1")]),
        with(&[("a", "b"), (":authority", "a")]),
        with(&[(":authority", "a"), ("content-length", "3")]),
        vec![
            (":method", "POST"),
            (":path", "/hooks/open"),
            (":authority", "a"),
        ],
        vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
        ],
        vec![(":method", "CONNECT"), (":authority", "a:80")],
    ] {
        let mut wire = Wire::open(gate.public);
        let flags = h2::END_HEADERS | h2::END_STREAM;
        wire.write(&h2::frame(h2::HEADERS, flags, 1, &h2::fields(&fields)));
        let refused = loop {
            let Some(frame) = wire.read() else {
                break "closed".to_owned();
            };
            match frame.kind {
                h2::HEADERS if frame.stream == 1 => {
                    assert_eq!(frame.status(), Some(400), "{fields:?}");
                    break "answered".to_owned();
                }
                h2::RST_STREAM | h2::GOAWAY => {
                    assert_eq!(frame.code(), h2::PROTOCOL_ERROR, "{fields:?}");
                    break "reset".to_owned();
                }
                _ => {}
            }
        };
        assert_ne!(refused, "closed", "without a word: {fields:?}");
    }
    let accepted = r#"hookgate_events_total{source="open",result="accepted"}"#;
    assert_eq!(
        gate.metric(accepted),
        1.0,
        "one event came twice, and nothing else"
    );
    app.wait_for(1);
}

#[test]
fn a_body_that_never_comes_is_408_and_the_others_go_on() {
    let app = App::start();
    let home = home(
        &app,
        "limits: { body_timeout: 500ms, in_flight_bytes: 8MiB, in_flight_per_source: 100% }\n",
    );
    let gate = home.start();
    let mut client = Client::plain(gate.public);
    let began = Instant::now();
    let silent = http::Request::post(uri(&gate, "/hooks/open")).body(());
    let late = client.send_without_body(silent.expect("a request"));
    assert_eq!(late.status, 408);
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert_eq!(client.send(post(&gate, "/hooks/open", "{}")).status, 200);
    // Announced bodies are charged before they come.
    let mut wire = Wire::open(gate.public);
    let mut block = h2::post("/hooks/open");
    block.extend(h2::fields(&[("content-length", "1048576")]));
    // All at once: the first is not over before the last has come.
    let heads = (0..8).flat_map(|n| h2::frame(h2::HEADERS, h2::END_HEADERS, n * 2 + 1, &block));
    wire.write(&heads.collect::<Vec<u8>>());
    let answered: Vec<u32> = (0..8)
        .map(|_| {
            loop {
                let frame = wire.read().expect("the connection stands");
                if frame.kind == h2::HEADERS {
                    break frame.stream;
                }
            }
        })
        .collect();
    assert_eq!(answered.len(), 8, "503 for one, 408 for the others");
    let over = gate.metric(r#"hookgate_unavailable_total{source="open",reason="overloaded"}"#);
    assert_eq!(over, 1.0, "seven and their overhead fit");
}

#[test]
fn both_are_spoken_on_one_plain_port_only_where_it_is_asked_for() {
    let app = App::start();
    let home = home(&app, "");
    let gate = home.start();
    assert_eq!(
        gate.send(&Request::new("/hooks/open", "{\"n\":1}")).status,
        200
    );
    // The preface may come in any pieces, and what begins like it is none yet.
    let mut wire = Wire::silent(gate.public);
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        wire.write(&[*byte]);
    }
    wire.write(&h2::frame(h2::SETTINGS, 0, 0, &[]));
    let flags = h2::END_HEADERS | h2::END_STREAM;
    wire.write(&h2::frame(h2::HEADERS, flags, 1, &h2::post("/hooks/open")));
    assert_eq!(wire.find(h2::HEADERS, 1).status(), Some(200));
    let mut other = Connection::open(gate.public);
    other.write(b"P");
    other.write(b"RI /hooks/open HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = other.reply();
    assert_eq!(reply.status, 405);

    let plain = Home::new("sources:\n  open: { verify: none, forward: http://127.0.0.1:9/ }\n");
    let plain = plain.start();
    let mut preface = Connection::open(plain.public);
    preface.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let reply = preface.reply();
    assert_eq!(reply.status, 400);
}

#[test]
fn what_is_no_request_in_time_is_ended() {
    let app = App::start();
    let home = home(&app, "limits: { header_timeout: 400ms }\n");
    let gate = home.start();
    for (bytes, statuses) in [(&b""[..], &[][..]), (b"PRI", &[408])] {
        let mut slow = gate.while_stopped(|| {
            let mut slow = Connection::open(gate.public);
            slow.write(bytes);
            slow
        });
        let replies = slow.read_to_close().expect("closed in order");
        let got: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        assert_eq!(got, statuses, "{bytes:?}");
    }
    // A preface alone is no request either.
    let mut wire = gate.while_stopped(|| Wire::open(gate.public));
    assert_eq!(wire.goaway(), Some(h2::NO_ERROR));
}

#[test]
fn an_idle_connection_and_one_that_does_not_read_are_ended() {
    let app = App::start();
    let home = home(&app, "limits: { idle_timeout: 600ms }\n");
    let gate = home.start();
    let mut idle = Wire::open(gate.public);
    let flags = h2::END_HEADERS | h2::END_STREAM;
    let since = Instant::now();
    idle.write(&h2::frame(h2::HEADERS, flags, 1, &h2::post("/hooks/open")));
    idle.find(h2::DATA, 1);
    let goaway = idle.find(h2::GOAWAY, 0);
    assert_eq!(goaway.code(), h2::NO_ERROR);
    assert_eq!(goaway.content[..4], [0, 0, 0, 1], "request 1 was looked at");
    assert!(since.elapsed() >= Duration::from_millis(600));
    // No room for a body: the head comes, the rest waits until the end.
    let mut stuck = Wire::silent(gate.public);
    stuck.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    stuck.write(&h2::frame(h2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    let since = Instant::now();
    stuck.write(&h2::frame(h2::HEADERS, flags, 1, &h2::post("/hooks/open")));
    assert_eq!(stuck.find(h2::HEADERS, 1).status(), Some(200));
    assert_eq!(stuck.goaway(), Some(h2::NO_ERROR));
    assert!(since.elapsed() >= Duration::from_millis(600));
    wait_until("no connection is left", || {
        gate.metric("hookgate_connections") == 0.0
    });
}

#[test]
fn a_peer_that_answers_no_ping_is_gone() {
    let app = App::start();
    let limits = "limits: { http2: { ping_interval: 300ms, ping_timeout: 300ms } }\n";
    let home = home(&app, limits);
    let gate = home.start();
    let mut wire = gate.while_stopped(|| {
        let mut wire = Wire::open(gate.public);
        let flags = h2::END_HEADERS | h2::END_STREAM;
        wire.write(&h2::frame(h2::HEADERS, flags, 1, &h2::post("/hooks/open")));
        wire
    });
    wire.find(h2::PING, 0);
    assert_eq!(wire.goaway(), Some(h2::NO_ERROR));
}

#[test]
fn a_stop_says_goodbye_and_finishes_what_runs() {
    let app = App::start();
    app.behave(Behaviour::Hold(200));
    // Longer than an end is waited for here.
    let home = home(&app, "shutdown: { delay: 0s, timeout: 10m }\n");
    let gate = home.start();
    let flags = h2::END_HEADERS | h2::END_STREAM;
    let mut idle = Wire::open(gate.public);
    idle.write(&h2::frame(h2::HEADERS, flags, 1, &h2::post("/hooks/none")));
    assert_eq!(idle.find(h2::HEADERS, 1).status(), Some(404));
    let mut busy = Wire::open(gate.public);
    busy.write(&h2::frame(h2::HEADERS, flags, 1, &h2::post("/hooks/pass")));
    wait_until("it has begun", || app.connections() >= 1);
    gate.signal("TERM");
    assert_eq!(idle.find(h2::GOAWAY, 0).code(), h2::NO_ERROR);
    app.behave(Behaviour::Status(200));
    let mut said_goodbye = false;
    let mut answered = false;
    while let Some(frame) = busy.read() {
        match frame.kind {
            h2::GOAWAY => said_goodbye = true,
            h2::HEADERS => {
                assert_eq!(frame.status(), Some(200));
                answered = true;
            }
            // A client acknowledges, as RFC 9113 6.7 has it.
            h2::PING if frame.flags & h2::ACK == 0 => {
                // The connection may be over by then.
                drop(busy.try_write(&h2::frame(h2::PING, h2::ACK, 0, &frame.content)));
            }
            _ => {}
        }
    }
    assert!(said_goodbye && answered);
    assert_eq!(idle.goaway(), Some(h2::NO_ERROR));
    drop(idle);
    let (status, log) = gate.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("still open"), "{log}");
}

#[test]
fn h2load_runs_clean() {
    if !tools::has("h2load", &["--version"]) {
        return;
    }
    let app = App::start();
    let home = home(&app, "");
    let gate = home.start();
    let body = home.path().join("body.json");
    std::fs::write(&body, "{\"load\":true}").expect("written");
    let ran = Command::new("h2load")
        .args(["-n", "5000", "-c", "20", "-m", "50", "-d"])
        .arg(&body)
        .arg(uri(&gate, "/hooks/open"))
        .output()
        .expect("h2load runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
    for line in [
        "5000 succeeded, 0 failed, 0 errored, 0 timeout",
        "status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

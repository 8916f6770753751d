//! Slow senders: every phase of a connection has its deadline, and the others do not wait.

use crate::support::{App, Request, gate::Home, sender::Connection};
use std::time::{Duration, Instant};

fn home(app: &App, limits: &str) -> Home {
    Home::new(&format!(
        "limits: {{ {limits} }}\nsources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
}

#[test]
fn every_phase_has_its_deadline() {
    let app = App::start();
    let home = home(
        &app,
        "header_timeout: 400ms, body_timeout: 500ms, idle_timeout: 600ms",
    );
    let gate = home.start();
    let whole = String::from_utf8(Request::new("/hooks/open", "{}").bytes()).expect("text");
    let half_body = "POST /hooks/open HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{\"a\"";
    let half_chunk =
        "POST /hooks/open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\"";
    let cases: [(&str, String, &[u16], u64); 6] = [
        ("nothing sent", String::new(), &[], 400),
        (
            "half a head",
            "POST /hooks/open HTT".to_owned(),
            &[408],
            400,
        ),
        ("half a body", half_body.to_owned(), &[408], 500),
        ("half a chunk", half_chunk.to_owned(), &[408], 500),
        ("idle after a request", whole.clone(), &[200], 600),
        (
            "half a head behind a request",
            format!("{whole}POST /hoo"),
            &[200, 408],
            400,
        ),
    ];
    // Each has sent what it sends before its time begins.
    let (open, since) = gate.while_stopped(|| {
        let open = cases.each_ref().map(|(_, bytes, ..)| {
            let mut connection = Connection::open(gate.public);
            connection.write(bytes.as_bytes());
            connection
        });
        (open, Instant::now())
    });
    std::thread::scope(|scope| {
        for (mut connection, (name, _, statuses, least_ms)) in open.into_iter().zip(&cases) {
            scope.spawn(move || {
                let replies = connection.read_to_close().expect("closed in order");
                let took = since.elapsed();
                let got: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
                assert_eq!(&got, statuses, "{name}");
                assert!(
                    took >= Duration::from_millis(*least_ms),
                    "{name}: closed after {took:?}"
                );
                assert!(
                    took < Duration::from_secs(10),
                    "{name}: closed after {took:?}"
                );
            });
        }
    });
    assert_eq!(
        gate.metric(r#"hookgate_requests_rejected_total{source="open",reason="timeout"}"#),
        2.0,
        "two bodies"
    );
}

#[test]
fn slow_senders_do_not_hold_up_the_others() {
    let app = App::start();
    let home = home(&app, "");
    let gate = home.start();
    let slow: Vec<Connection> = (0..200)
        .map(|_| {
            let mut connection = Connection::open(gate.public);
            connection
                .write(b"POST /hooks/open HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{");
            connection
        })
        .collect();
    let mut connection = Connection::open(gate.public);
    for n in 0..100 {
        assert_eq!(
            connection
                .send(&Request::new("/hooks/open", format!("{{\"n\":{n}}}")))
                .status,
            200
        );
    }
    app.wait_for(100);
    drop(slow);
}

#[test]
fn connections_beyond_the_cap_wait_and_are_served_later() {
    let app = App::start();
    let home = home(&app, "connections: 4, header_timeout: 1s");
    let gate = home.start();
    let silent: Vec<Connection> = (0..4).map(|_| Connection::open(gate.public)).collect();
    // It is taken once the silent ones are closed by their deadline.
    assert_eq!(gate.send(&Request::new("/hooks/open", "{}")).status, 200);
    drop(silent);
    app.wait_for(1);
}

#[test]
fn the_answer_to_an_unread_body_is_not_lost() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  signed: {{ verify: {{ hmac: {{ header: X-Signature }} }}, secret: s3cret, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    for _ in 0..50 {
        // 401 leaves before the body is read; the sender writes all of it first and reads the answer after.
        let reply = gate.send(&Request::new("/hooks/signed", vec![b'x'; 40_000]));
        assert_eq!(reply.status, 401);
    }
    // Far over the limit: refused by its length; the answer still arrives although most is never read.
    let mut connection = gate.while_stopped(|| {
        let mut connection = Connection::open(gate.public);
        connection.write(b"POST /hooks/signed HTTP/1.1\r\nHost: a\r\nX-Signature: 00\r\nContent-Length: 10000000\r\n\r\n");
        connection.write(&vec![b'x'; 60_000]);
        connection
    });
    assert_eq!(
        connection.read_to_close().expect("closed in order")[0].status,
        413
    );
}

//! `passthrough`: one target, nothing stored, the app's own answer, and 502 or 504 where it gave none.

use crate::support::{App, Behaviour, Gate, Hole, Request, gate::Home, wait_until};

fn home(url: &str, target: &str) -> Home {
    Home::new(&format!(
        "sources:\n  open: {{ verify: none, ack: passthrough, event: {{ id: json:/id }}, forward: app }}\ntargets:\n  app: {{ url: \"{url}\", {target} }}\n"
    ))
}

fn event(id: &str) -> Request {
    Request::new(
        "/hooks/open",
        format!(r#"{{"id":"{id}","text":"nobody stores this"}}"#),
    )
}

fn answer(status: &str, body: &[u8]) -> Behaviour {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/x\r\nX-Own: no\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Behaviour::Raw([head.as_bytes(), body].concat())
}

fn failed(gate: &Gate, reason: &str) -> f64 {
    gate.metric(&format!(
        r#"hookgate_attempts_total{{target="app",outcome="failed",reason="{reason}"}}"#
    ))
}

#[test]
fn the_answer_is_the_apps_own_whatever_it_is() {
    let app = App::start();
    let home = home(&app.url(), "timeout: 20s");
    let gate = home.start();
    for (n, (status, body)) in [
        ("200 OK", "thanks"),
        ("202 Accepted", ""),
        ("302 Found", "elsewhere"),
        ("400 No", "bad order"),
        ("404 No", ""),
        ("409 No", "again"),
        ("429 No", "later"),
        ("500 No", "oops"),
        ("503 No", "down"),
    ]
    .into_iter()
    .enumerate()
    {
        app.behave(answer(status, body.as_bytes()));
        let reply = gate.send(&event(&format!("own {n}")));
        assert_eq!(
            (reply.status.to_string().as_str(), reply.body.as_str()),
            (&status[..3], body)
        );
        assert_eq!(reply.header("content-type"), Some("text/x"));
        assert_eq!(
            reply.header("x-own"),
            None,
            "only its Content-Type is passed"
        );
        assert_eq!(
            app.count(),
            n + 1,
            "one attempt, and nobody follows or retries"
        );
    }
    for got in app.got() {
        assert_eq!(got.header("hookgate-attempt"), "1");
    }
}

#[test]
fn an_answer_is_passed_up_to_a_mebibyte() {
    let app = App::start();
    let home = home(&app.url(), "timeout: 20s");
    let gate = home.start();
    let most = vec![b'x'; 1 << 20];
    app.behave(answer("200 OK", &most));
    let reply = gate.send(&event("most"));
    assert_eq!((reply.status, reply.body.len()), (200, most.len()));

    // It has been answered with 200, but nobody can pass that on: the sender asks again.
    for more in [
        answer("200 OK", &vec![b'x'; (1 << 20) + 1]),
        Behaviour::Endless,
    ] {
        app.behave(more);
        let reply = gate.send(&event("more"));
        assert_eq!(reply.status, 502, "{reply:?}");
    }
    assert_eq!(failed(&gate, "closed"), 2.0);
    app.behave(Behaviour::Status(200));
    assert_eq!(gate.send(&event("more")).status, 200);
    assert_eq!(app.count(), 4, "no failure was remembered");
}

#[test]
fn no_answer_is_502_and_none_in_time_is_504() {
    let raw = |text: &str| Behaviour::RawThenClose(text.as_bytes().to_vec());
    for (name, behaviour, status, reason) in [
        ("closes", Behaviour::Close, 502, "closed"),
        (
            "half a head",
            raw("HTTP/1.1 200 OK\r\nConte"),
            502,
            "closed",
        ),
        (
            "half a body",
            raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
            502,
            "closed",
        ),
        ("no HTTP", raw("hello\r\n\r\n"), 502, "closed"),
        (
            "another protocol",
            raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
            502,
            "1xx",
        ),
        ("hangs", Behaviour::Hang, 504, "timeout"),
    ] {
        let app = App::start();
        // What is answered is not to be late on a busy machine.
        let timeout = if status == 504 { "1s" } else { "20s" };
        let home = home(&app.url(), &format!("timeout: {timeout}"));
        let gate = home.start();
        app.behave(behaviour);
        let reply = gate.send(&event(name));
        let error = if status == 502 {
            r#"{"error":"app gave no valid answer"}"#
        } else {
            r#"{"error":"app did not answer in time"}"#
        };
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (status, error),
            "{name}"
        );
        assert_eq!(failed(&gate, reason), 1.0, "{name}");
        assert_eq!(app.count(), 1, "{name}: nobody retries");
        // The key is forgotten: the sender's retry is an attempt of its own.
        app.behave(Behaviour::Status(204));
        wait_until("it is an attempt of its own", || {
            let retry = gate.send(&event(name)).status;
            assert!(retry == 204 || retry == status, "{name}: {retry}");
            retry == 204
        });
        assert!(app.count() == 2 || status == 504, "{name}");
    }
}

#[test]
fn nobody_to_connect_to_is_502_and_nobody_in_time_is_504() {
    let mut app = App::start();
    app.go_down();
    let home_of_nobody = home(&app.url(), "timeout: 20s");
    let gate = home_of_nobody.start();
    // More often than opens any breaker: each is an attempt even so.
    for n in 1..=20 {
        let reply = gate.send(&event("refused"));
        assert_eq!(reply.status, 502, "{reply:?}");
        assert_eq!(failed(&gate, "connect"), f64::from(n));
    }
    app.come_back();
    assert_eq!(gate.send(&event("refused")).status, 200);

    let hole = Hole::dig("127.0.0.1:0");
    let home = home(
        &format!("http://{}/", hole.address()),
        "timeout: 20m, connect_timeout: 100ms",
    );
    let gate = home.start();
    let reply = gate.send(&event("lost"));
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (504, r#"{"error":"app did not answer in time"}"#)
    );
    assert_eq!(failed(&gate, "connect"), 1.0);
}

#[test]
fn nothing_is_stored() {
    let app = App::start();
    let home = home(&app.url(), "timeout: 20s");
    let gate = home.start();
    assert_eq!(gate.send(&event("1")).status, 200);
    let again = gate.send(&event("1"));
    assert!(again.is_duplicate(), "{again:?}");
    app.behave(Behaviour::Status(500));
    assert_eq!(gate.send(&event("2")).status, 500);
    for series in ["pending_deliveries", "dead_letters"] {
        let series = format!("hookgate_{series}{{target=\"app\"}}");
        assert_eq!(gate.metric(&series), 0.0, "{series}");
    }
    assert!(gate.stop().0.success());
    let data = std::fs::read_dir(home.path().join("data")).expect("the store's directory");
    for file in data {
        let path = file.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("readable");
        let found = bytes
            .windows(20)
            .any(|window| window == b"nobody stores this\"}");
        assert!(!found, "{}", path.display());
    }
    // What was answered is known as long as the process lives, and no longer.
    app.behave(Behaviour::Status(200));
    let gate = home.start();
    assert_eq!(gate.send(&event("1")).status, 200);
    wait_until("it is sent again", || app.count() == 3);
}

//! Stopping: by signal, with traffic, with a dead app, twice.

use crate::support::{App, Behaviour, Request, gate::Home, sender::Connection, wait_until};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn config(app: &App, more: &str) -> String {
    format!(
        "{more}sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {}, concurrency: 2, retry: {{ first: 20ms, max: 100ms }} }}\n",
        app.url()
    )
}

fn event(n: usize) -> Request {
    Request::new("/hooks/open", format!("{{\"n\":{n}}}"))
}

#[test]
fn term_and_int_stop_with_0_and_keep_what_waits() {
    for signal in ["TERM", "INT"] {
        let app = App::start();
        let home = Home::new(&config(&app, ""));
        let gate = home.start();
        assert_eq!(gate.send(&event(1)).status, 200);
        app.wait_for(1);
        gate.signal(signal);
        let (status, log) = gate.ended();
        assert_eq!(status.code(), Some(0), "{signal}: {log}");
    }
}

#[test]
fn during_the_delay_events_are_taken_unready_and_with_close() {
    let app = App::start();
    let home = Home::new(&config(&app, "shutdown: { delay: 10m }\n"));
    let gate = home.start();
    wait_until("ready", || gate.admin_get("/readyz").status == 200);
    let mut kept = Connection::open(gate.public);
    assert_eq!(
        kept.send(&event(1)).header("connection"),
        None,
        "kept alive while running"
    );
    gate.signal("TERM");
    wait_until("unready", || gate.admin_get("/readyz").status == 503);
    let reply = kept.send(&event(2));
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close")),
        "accepted as usual"
    );
    assert!(kept.read_reply().expect("closed in order").is_none());
    let reply = gate.send(&event(3));
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close")),
        "new connections too"
    );
    app.wait_for(3);
}

#[test]
fn after_the_delay_the_listener_is_closed() {
    let app = App::start();
    app.behave(Behaviour::Hold(200));
    let home = Home::new(&config(&app, "shutdown: { delay: 200ms, timeout: 10m }\n"));
    let gate = home.start();
    assert_eq!(gate.send(&event(1)).status, 200);
    app.wait_for(1);
    let since = Instant::now();
    gate.signal("TERM");
    wait_until("nobody listens any more", || {
        std::net::TcpStream::connect(gate.public).is_err()
    });
    assert!(since.elapsed() >= Duration::from_millis(200));
    // It waits for an attempt still.
    app.behave(Behaviour::Status(200));
    let (status, log) = gate.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn running_attempts_finish_and_a_cut_one_is_not_counted() {
    let app = App::start();
    app.behave(Behaviour::Hang);
    let home = Home::new(&config(&app, "shutdown: { timeout: 500ms }\n"));
    let gate = home.start();
    assert_eq!(gate.send(&event(1)).status, 200);
    app.wait_for(1);
    let (status, log) = gate.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    app.behave(Behaviour::Status(200));
    let gate = home.start();
    let got = app.wait_for(2);
    assert_eq!(
        got[1].header("hookgate-attempt"),
        "1",
        "the attempt that was cut off did not count"
    );
    wait_until("delivered", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
}

#[test]
fn a_dead_app_is_not_waited_for() {
    let mut app = App::start();
    // Longer than an end is waited for here.
    let home = Home::new(&config(&app, "shutdown: { timeout: 10m }\n"));
    let gate = home.start();
    app.go_down();
    for n in 0..20 {
        assert_eq!(gate.send(&event(n)).status, 200);
    }
    let (status, log) = gate.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    app.come_back();
    let _gate = home.start();
    app.wait_for(20);
}

#[test]
fn a_second_signal_exits_at_once_and_loses_nothing() {
    let app = App::start();
    app.behave(Behaviour::Hang);
    let home = Home::new(&config(&app, "shutdown: { delay: 10m, timeout: 10m }\n"));
    let gate = home.start();
    assert_eq!(gate.send(&event(1)).status, 200);
    app.wait_for(1);
    gate.signal("TERM");
    wait_until("it is stopping", || gate.admin_get("/readyz").status == 503);
    gate.signal("TERM");
    let (status, _) = gate.ended();
    assert_ne!(
        status.code(),
        Some(0),
        "it did not finish what it was asked to"
    );
    app.behave(Behaviour::Status(200));
    let _gate = home.start();
    app.wait_for(2);
}

#[test]
fn senders_that_wait_for_the_app_are_answered_when_the_time_is_over() {
    for (ack, status, body) in [
        ("delivered", 200, r#""delivered":false"#),
        ("passthrough", 503, "temporarily unavailable"),
    ] {
        let app = App::start();
        app.behave(Behaviour::Hang);
        let home = Home::new(&format!(
            "shutdown: {{ timeout: 500ms }}\nsources:\n  open: {{ verify: none, ack: {ack}, sender_timeout: 10m, forward: app }}\n\
             targets:\n  app: {{ url: {}, timeout: 10m }}\n",
            app.url()
        ));
        let gate = home.start();
        let mut connection = Connection::open(gate.public);
        connection.write(&event(1).bytes());
        app.wait_for(1);
        let (exit, log) = gate.stop();
        assert_eq!(exit.code(), Some(0), "{log}");
        let replies = connection.read_to_close().expect("closed in order");
        assert_eq!(replies.len(), 1, "{ack}");
        assert_eq!(replies[0].status, status, "{ack}: {:?}", replies[0]);
        assert!(replies[0].body.contains(body), "{ack}: {:?}", replies[0]);
        assert_eq!(replies[0].header("retry-after").is_some(), status == 503);
    }
}

#[test]
fn a_hangup_ends_nothing() {
    let app = App::start();
    let home = Home::new(&config(&app, ""));
    let gate = home.start();
    gate.signal("HUP");
    wait_until("it says so", || {
        gate.log().contains("configuration was read anew")
    });
    assert_eq!(gate.send(&event(1)).status, 200);
    app.wait_for(1);
    let (status, log) = gate.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_hangup_ends_the_demo_in_order() {
    let home = Home::new("");
    let mut demo = home
        .command(&["demo"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let mut shown = BufReader::new(demo.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.trim_start().starts_with("config ") {
        line.clear();
        assert_ne!(
            shown.read_line(&mut line).expect("text"),
            0,
            "the demo shows its file"
        );
    }
    let file = line.split_whitespace().last().expect("a path").to_owned();
    let hangup = Command::new("kill")
        .args(["-HUP", &demo.id().to_string()])
        .status();
    assert!(hangup.expect("kill runs").success());
    shown.read_to_string(&mut line).expect("text to the end");
    assert_eq!(demo.wait().expect("a child of ours").code(), Some(0));
    assert!(!std::path::Path::new(&file).exists(), "{file} is gone");
}

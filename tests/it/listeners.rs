//! Several listeners, and Unix sockets among them.

use crate::support::{App, Request, free_address, gate::Home, sender::Connection};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

fn config(app: &App, listen: &str) -> String {
    format!(
        "listen: {listen}\nsources:\n  open: {{ verify: none, forward: app }}\n  shut: {{ verify: bearer, secret: s, rejects: {{}}, forward: app }}\n\
         targets:\n  app: {{ url: {} }}\n",
        app.url()
    )
}

fn event(source: &str, n: usize) -> Request {
    Request::new(&format!("/hooks/{source}"), format!("{{\"n\":{n}}}"))
}

/// The first line that the gateway answers over a Unix socket.
#[track_caller]
fn status_over(socket: &Path, request: Request) -> String {
    let mut stream = UnixStream::connect(socket).expect("the gateway takes connections");
    stream
        .write_all(&request.header("Connection", "close").bytes())
        .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.lines().next().unwrap_or_default().to_owned()
}

fn mode(path: &Path) -> u32 {
    let file = std::fs::symlink_metadata(path).expect("there");
    file.permissions().mode() & 0o777
}

#[test]
fn all_listeners_take_events_at_once() {
    let app = App::start();
    let home = Home::new(&config(
        &app,
        "['127.0.0.1:0', unix:a.sock, { address: unix:b.sock, mode: '0600' }, '[::1]:0']",
    ));
    let gate = home.start();
    let places = gate.places();
    assert_eq!(places[1..3], ["unix:a.sock", "unix:b.sock"]);
    let (a, b) = (home.path().join("a.sock"), home.path().join("b.sock"));
    assert_eq!((mode(&a), mode(&b)), (0o660, 0o600));
    let mut kept = Connection::open(gate.public);
    assert_eq!(kept.send(&event("open", 1)).status, 200);
    assert_eq!(status_over(&a, event("open", 2)), "HTTP/1.1 200 OK");
    assert_eq!(status_over(&b, event("open", 3)), "HTTP/1.1 200 OK");
    let ipv6 = places[3].parse().expect("an address");
    assert_eq!(event("open", 4).send(ipv6).status, 200);
    assert_eq!(kept.send(&event("open", 5)).status, 200);
    for got in app.wait_for(5) {
        let n: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
        match n["n"].as_u64().expect("a number") {
            2 | 3 => assert!(!got.has("x-forwarded-for"), "{got:?}"),
            4 => assert_eq!(got.header("x-forwarded-for"), "::1"),
            _ => assert_eq!(got.header("x-forwarded-for"), "127.0.0.1"),
        }
    }
    // Whoever comes by a Unix socket is one client, and called so.
    assert_eq!(
        status_over(&a, event("shut", 6)),
        "HTTP/1.1 401 Unauthorized"
    );
    let rejects = crate::support::eventually("the refused request is kept", || {
        let page = gate.admin_get("/api/v1/rejects").json();
        let rejects = page["rejects"].as_array().expect("a list").clone();
        (!rejects.is_empty()).then_some(rejects)
    });
    assert_eq!(rejects[0]["client"], "unix");
    // All of them are closed at the end, and the files are gone.
    let (status, log) = gate.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!a.exists() && !b.exists());
    assert!(std::net::TcpStream::connect(ipv6).is_err());
}

#[test]
fn one_cap_holds_for_all_listeners() {
    let app = App::start();
    let listen = "[127.0.0.1:0, unix:a.sock]\nlimits: { connections: 2 }";
    let home = Home::new(&config(&app, listen));
    let gate = home.start();
    let socket = home.path().join("a.sock");
    let mut first = Connection::open(gate.public);
    assert_eq!(first.send(&event("open", 1)).status, 200);
    let mut second = UnixStream::connect(&socket).expect("a connection");
    second
        .write_all(&event("open", 2).bytes())
        .expect("written");
    let mut answer = [0; 12];
    second.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(gate.metric("hookgate_connections"), 2.0);
    // The third waits until one of them is gone.
    let mut third = UnixStream::connect(&socket).expect("the kernel takes it");
    third.write_all(&event("open", 3).bytes()).expect("written");
    assert_eq!(first.send(&event("open", 4)).status, 200);
    app.wait_for(3);
    assert_eq!(gate.metric("hookgate_connections"), 2.0);
    drop(first);
    third.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    app.wait_for(4);
}

/// What a start says that does not succeed.
#[track_caller]
fn refused(home: &Home, code: i32) -> String {
    match home.try_start() {
        Ok(_) => panic!("the gateway has started"),
        Err((status, log)) => {
            assert_eq!(status.code(), Some(code), "{log}");
            log
        }
    }
}

#[test]
fn a_sockets_file_is_replaced_if_its_process_is_gone() {
    let app = App::start();
    let home = Home::new(&config(&app, "[127.0.0.1:0, unix:a.sock]"));
    let socket = home.path().join("a.sock");
    let gate = home.start();
    gate.kill();
    assert!(socket.exists(), "nobody has removed it");
    let gate = home.start();
    assert_eq!(status_over(&socket, event("open", 1)), "HTTP/1.1 200 OK");
    // Another one's file is not ours to remove.
    std::fs::remove_file(&socket).expect("there");
    let _others = UnixListener::bind(&socket).expect("free");
    let (status, log) = gate.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(socket.exists());
    let log = refused(&home, 1);
    assert!(log.contains("unix:a.sock"), "{log}");
    assert!(log.contains("another process listens there"), "{log}");
    assert!(socket.exists());
}

#[test]
fn what_cannot_be_listened_on_is_told() {
    let app = App::start();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    for (place, told) in [
        ("unix:none/a.sock".to_owned(), "there is no directory none"),
        ("unix:file".to_owned(), "taken by what is no socket"),
        (format!("127.0.0.1:{port}"), "in use"),
        ("systemd".to_owned(), "has handed over no socket"),
        ("systemd:hooks".to_owned(), "has handed over no socket"),
    ] {
        let home = Home::new(&config(&app, &format!("[unix:first.sock, '{place}']")));
        std::fs::write(home.path().join("file"), "kept").expect("writable");
        let log = refused(&home, 1);
        assert!(
            log.contains(&format!("cannot listen on {place}")) && log.contains(told),
            "{place}: {log}"
        );
        // Nothing is left of those before it.
        assert!(!home.path().join("first.sock").exists(), "{place}");
        let file = std::fs::read_to_string(home.path().join("file"));
        assert_eq!(file.expect("still there"), "kept");
    }
}

#[test]
fn listeners_that_collide_are_told_at_once() {
    let app = App::start();
    let home = Home::new(&config(
        &app,
        "[127.0.0.1:9444, unix:a.sock, 'unix:./a.sock']\nadmin: { listen: 127.0.0.1:9444 }",
    ));
    let log = refused(&home, 78);
    assert!(log.contains("listen[2]"), "{log}");
    assert!(
        log.contains("unix:a.sock collides with unix:a.sock"),
        "{log}"
    );
    assert!(
        log.contains("admin.listen: 127.0.0.1:9444 is taken by the public side"),
        "{log}"
    );
    let (code, text) = home.check();
    assert_eq!(code, Some(78), "{text}");
}

#[test]
fn send_finds_the_address_among_others() {
    let app = App::start();
    let address = free_address();
    let home = Home::new(&config(
        &app,
        &format!(
            "[unix:a.sock, {{ address: '127.0.0.1:0', proxy_protocol: 127.0.0.1 }}, '{address}']"
        ),
    ));
    let _gate = home.start();
    let (code, text) = home.said(&["send", "open", "-c", "hookgate.yaml"]);
    assert_eq!(code, Some(0), "{text}");
    app.wait_for(1);
    home.configure(&config(&app, "unix:a.sock"));
    let (code, text) = home.said(&["send", "open", "-c", "hookgate.yaml"]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("--to http://ADDRESS"), "{text}");
}

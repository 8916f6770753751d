//! Sockets that a service manager hands over: it keeps them while the gateway is started again, and nobody is refused.

use crate::support::{App, Request, gate::Home, oracle::Oracle, sender::Connection};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Threads that send, each with a connection for every event: fewer than may wait in the kernel's queue.
const SENDERS: usize = 4;
const RESTARTS: u64 = 3;
/// Acknowledged between two restarts, at the least.
const EVENTS: u64 = 200;

/// What the senders met with.
#[derive(Default)]
struct Met {
    refused: AtomicU64,
    unanswered: AtomicU64,
    busy: AtomicU64,
}

/// Sends the next event until it is acknowledged, as vendors do.
fn deliver(oracle: &Oracle, to: SocketAddr, met: &Met) {
    let (n, request) = oracle.next();
    loop {
        let Ok(stream) = TcpStream::connect(to) else {
            met.refused.fetch_add(1, Ordering::SeqCst);
            return;
        };
        match Connection::over(stream).try_send(&request) {
            Ok(reply) if reply.status == 200 => return oracle.acknowledge(n),
            Ok(reply) => {
                assert_eq!(reply.status, 503, "{reply:?}");
                met.busy.fetch_add(1, Ordering::SeqCst);
            }
            // Accepted by a gateway that was about to stop: sent again, as it would be after a reset.
            Err(_) => {
                met.unanswered.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

#[test]
fn a_restart_under_load_refuses_no_connection() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = socket.local_addr().expect("an address");
    let oracle = Oracle::new(
        500,
        "{ path: ./data, min_free: 1MiB }\nlisten: systemd:hooks",
    );
    let home = oracle.home().handing(OwnedFd::from(socket), "hooks");
    let (done, met) = (AtomicBool::new(false), Met::default());
    let mut gate = home.start();
    assert_eq!(gate.public, to, "the socket that was handed over");
    let gate = std::thread::scope(|scope| {
        // However the rest ends, the senders do.
        let _done = Done(&done);
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    deliver(&oracle, to, &met);
                }
            });
        }
        for restart in 1..=RESTARTS {
            oracle.wait("events are acknowledged", || {
                oracle.acknowledged() >= restart * EVENTS
            });
            let (status, log) = gate.stop();
            assert_eq!(status.code(), Some(0), "{log}");
            // Nobody listens now but the kernel.
            gate = home.start();
        }
        let before = oracle.acknowledged();
        oracle.wait("events are acknowledged", || {
            oracle.acknowledged() >= before + EVENTS
        });
        gate
    });
    let verdict = oracle.judge(&gate, false);
    println!(
        "{verdict}; {} unanswered",
        met.unanswered.load(Ordering::SeqCst)
    );
    assert_eq!(met.refused.load(Ordering::SeqCst), 0, "connections refused");
    assert_eq!(
        verdict.delivered, verdict.acknowledged,
        "every event was sent until it was acknowledged"
    );
}

/// Tells the senders to end.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn config(app: &App, listen: &str) -> String {
    format!(
        "listen: {listen}\nsources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    )
}

#[test]
fn a_unix_socket_is_handed_over_beside_an_address_of_its_own() {
    let app = App::start();
    let home = Home::new(&config(&app, "[127.0.0.1:0, systemd]"));
    let path = home.path().join("handed.sock");
    let socket = UnixListener::bind(&path).expect("free");
    let home = home.handing(OwnedFd::from(socket), "any");
    for n in 1..=2 {
        let gate = home.start();
        assert_eq!(gate.places()[1], format!("unix:{}", path.display()));
        let request = Request::new("/hooks/open", format!("{{\"n\":{n}}}"));
        let mut stream = UnixStream::connect(&path).expect("a connection");
        stream
            .write_all(&request.header("Connection", "close").bytes())
            .expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        app.wait_for(n);
        let (status, log) = gate.stop();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(path.exists(), "it is the service manager's to remove");
    }
}

#[test]
fn what_was_handed_over_is_told_from_what_was_not() {
    let app = App::start();
    let refused = |home: &Home| match home.try_start() {
        Ok(_) => panic!("the gateway has started"),
        Err((status, log)) => {
            assert_eq!(status.code(), Some(1), "{log}");
            log
        }
    };
    let tcp = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = Home::new(&config(&app, "systemd:other")).handing(tcp().into(), "hooks");
    let log = refused(&home);
    assert!(log.contains("no such socket; there is: hooks"), "{log}");
    // What is unused is said, since somebody connects to it and is never answered.
    home.configure(&config(&app, "127.0.0.1:0"));
    let gate = home.start();
    assert!(
        gate.log().contains("on which nothing listens"),
        "{}",
        gate.log()
    );
    drop(gate);
    // Accept=yes hands over a connection.
    let listener = tcp();
    let connected = TcpStream::connect(listener.local_addr().expect("an address"));
    let home = Home::new(&config(&app, "systemd:hooks"));
    let home = home.handing(connected.expect("a connection").into(), "hooks");
    let log = refused(&home);
    assert!(log.contains("is no listening stream socket"), "{log}");
}

//! Slow and hostile clients, many at a time: memory stays below a bound that is computed here, good traffic goes on without
//! a failure meanwhile, and every connection ends by its deadline. (`slow` has the deadline of each phase, `malformed` and
//! `smuggling` have single requests.)
//!
//! Latencies of the good traffic are shown and not asserted: what else the machine does is in them.

use crate::support::{
    App, Gate, PATIENCE, Request, eventually, gate::Home, process::resident_kib,
    sender::Connection, tools, torture, wait_until,
};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const KIB: u64 = 1024;
/// What a connection may hold: two buffers of a head (`limits.header_bytes`: one filled, one that it grows into), an answer,
/// the task, and the slack of an allocator.
const HEADER_KIB: u64 = 32;
const CONNECTION_KIB: u64 = 2 * HEADER_KIB + 16;
/// What the good traffic, the store's cache and its log in memory may add meanwhile.
const WORK_KIB: u64 = 48 * KIB;
/// Bodies in flight.
const IN_FLIGHT_KIB: u64 = 8 * KIB;

/// Of whoever sends nothing.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that wait in the kernel while the gateway stands still: its queue has room for 128.
const AT_ONCE: usize = 100;

/// Good events go to `open`; `flooded` is for bodies that fill all that one source may hold at a time.
fn home(app: &App, connections: usize) -> Home {
    Home::new(&format!(
        "limits: {{ header_timeout: {TIMEOUT:?}, body_timeout: {TIMEOUT:?}, idle_timeout: {TIMEOUT:?}, \
         connections: {connections}, in_flight_bytes: 8MiB, failures_per_client: off }}\n\
         sources:\n  open: {{ verify: none, forward: app }}\n  flooded: {{ verify: none, forward: app }}\n\
         targets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
}

/// The answer to a request on a connection of its own; on another one if this thread got no processor for so long that the
/// gateway may have seen nothing come in time.
fn answered(gate: &Gate, request: &Request) -> u16 {
    eventually("a request is sent within the gateway's time", || {
        let begun = Instant::now();
        let mut connection = Connection::open(gate.public);
        let written = connection.try_write(&request.bytes());
        if begun.elapsed() >= TIMEOUT {
            return None;
        }
        written.expect("the connection stands");
        Some(connection.reply().status)
    })
}

/// Runs `attack` while good events are sent one after the other; each must be taken, and delivered. Returns what the attack
/// does, after every hostile connection has ended and memory was never above what it was before and `hostile_kib`.
#[track_caller]
fn withstand<T>(
    name: &str,
    gate: &Gate,
    app: &App,
    hostile_kib: u64,
    attack: impl FnOnce() -> T,
) -> T {
    let before_kib = resident_kib(gate.pid());
    let bound_kib = before_kib + hostile_kib + WORK_KIB;
    let over = AtomicBool::new(false);
    let (attacked, (mut took, most_kib)) = std::thread::scope(|scope| {
        let good = scope.spawn(|| {
            let (mut took, mut most_kib) = (Vec::new(), 0);
            while !over.load(Ordering::SeqCst) || took.is_empty() {
                let request = Request::new("/hooks/open", format!("{{\"{name}\":{}}}", took.len()));
                let begun = Instant::now();
                assert_eq!(answered(gate, &request), 200, "{name}");
                took.push(begun.elapsed());
                most_kib = most_kib.max(resident_kib(gate.pid()));
                std::thread::sleep(Duration::from_millis(1));
            }
            (took, most_kib)
        });
        // The good traffic ends with the attack, also if that panics.
        let ended = Ended(&over);
        let attacked = attack();
        drop(ended);
        (attacked, good.join().expect("good traffic is served"))
    });
    let count = took.len();
    app.wait_for(count);
    wait_until(&format!("{name}: every connection has ended"), || {
        gate.metric("hookgate_connections") == 0.0
    });
    assert!(
        most_kib <= bound_kib,
        "{name}: {most_kib} KiB, from {before_kib}; the bound is {bound_kib}"
    );
    took.sort_unstable();
    torture::summary(
        name,
        0,
        &format!(
            "{count} good events meanwhile, p50 {:?}, p99 {:?}, longest {:?}; memory from {before_kib} to {most_kib} KiB, bound \
             {bound_kib}",
            took[count / 2],
            took[count * 99 / 100],
            took[count - 1]
        ),
    );
    attacked
}

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// As many connections as asked for, each with these bytes written, which the kernel has room for: who has sent nothing in
/// time gets no answer, so they are all there when the gateway sees the connection.
fn connections(gate: &Gate, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let open = || {
        let mut stream = TcpStream::connect(gate.public).expect("the gateway takes connections");
        for timeout in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            timeout(&stream, Some(PATIENCE)).expect("a TCP socket");
        }
        stream.write_all(bytes).expect("the connection stands");
        stream
    };
    let mut opened = Vec::new();
    while opened.len() < count {
        let more = AT_ONCE.min(count - opened.len());
        gate.while_stopped(|| opened.extend((0..more).map(|_| open())));
        // Who comes after them is answered, so the queue is empty.
        assert_eq!(answered(gate, &Request::new("/nowhere", "")), 404);
    }
    opened
}

/// What comes until the end; a reset is one.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// Each hostile client is a file here, and one in the gateway.
fn raise_open_files(files: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit, everybody may");
    let enough = limit.maximum.is_none_or(|most| most > files as u64 + 500);
    assert!(enough, "{files} connections need as many open files");
}

#[test]
fn idle_connections_cost_little_and_end() {
    let count = usize::try_from(torture::length(1_000)).expect("a number of connections");
    raise_open_files(count);
    let app = App::start();
    let home = home(&app, count + 100);
    let gate = home.start();
    let whole = Request::new("/hooks/open", "{\"before\":1}").bytes();
    for (name, bytes, answered) in [
        ("zero bytes", &b""[..], ""),
        ("idle after a request", &whole[..], "200"),
    ] {
        // Next to nothing was sent, so next to nothing may be held.
        let hostile_kib = count as u64 * 8;
        let answers = withstand(name, &gate, &app, hostile_kib, || {
            let idle = connections(&gate, count, bytes);
            idle.into_iter().map(rest).collect::<Vec<_>>()
        });
        for answer in answers {
            assert_eq!(status(&answer), answered, "{name}: {answer}");
        }
    }
}

#[test]
fn heads_that_never_end_are_cut_off() {
    const COUNT: usize = 300;
    const FIRST: usize = 40 * 1024;
    let app = App::start();
    let home = home(&app, COUNT + 100);
    let gate = home.start();
    let start = "POST /hooks/open HTTP/1.1\r\nHost: a\r\n";
    // As large as a head may be without being refused, in a few lines; in many short lines; and beyond either limit.
    let large = format!("{start}X-Large: {}", "a".repeat(31 * 1024));
    let many: String = start.to_owned()
        + &(0..95)
            .map(|n| format!("X-{n}: {n}\r\n"))
            .collect::<String>();
    let too_large = format!("{start}X-Large: {}", "a".repeat(200 * 1024));
    let too_many: String = start.to_owned()
        + &(0..20_000)
            .map(|n| format!("X-{n}: {n}\r\n"))
            .collect::<String>();
    for (name, head, expected) in [
        ("large heads", &large, "408"),
        ("heads of many lines", &many, "408"),
        ("heads that are too large", &too_large, "431"),
        ("heads of too many lines", &too_many, "431"),
    ] {
        let hostile_kib = COUNT as u64 * CONNECTION_KIB;
        // As much of it as is too large already.
        let (first, later) = head.split_at(head.len().min(FIRST));
        let answers = withstand(name, &gate, &app, hostile_kib, || {
            let opened = connections(&gate, COUNT, first.as_bytes());
            std::thread::scope(|scope| {
                let send = |mut stream: TcpStream| {
                    scope.spawn(move || {
                        // Refused on the way, the rest may not be taken any more.
                        let _ = stream.write_all(later.as_bytes());
                        rest(stream)
                    })
                };
                let sending: Vec<_> = opened.into_iter().map(send).collect();
                sending
                    .into_iter()
                    .map(|sent| sent.join().expect("read to its end"))
                    .collect::<Vec<_>>()
            })
        });
        let wrong: Vec<&String> = answers
            .iter()
            // What was refused while much more of it was on its way may be reset.
            .filter(|answer| {
                status(answer) != expected && !(expected == "431" && answer.is_empty())
            })
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
}

#[test]
fn bodies_of_100_mb_are_refused_before_they_are_held() {
    const COUNT: usize = 20;
    const BODY: usize = 100_000_000;
    let app = App::start();
    let home = home(&app, 100);
    let gate = home.start();
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
    let declared = format!("Content-Length: {BODY}");
    for (name, line, block) in [
        (
            "100 MB with a length",
            declared.as_str(),
            &chunk[7..chunk.len() - 2],
        ),
        (
            "100 MB without a length",
            "Transfer-Encoding: chunked",
            &chunk[..],
        ),
    ] {
        let hostile_kib = COUNT as u64 * CONNECTION_KIB + IN_FLIGHT_KIB;
        let head = format!("POST /hooks/flooded HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        let ends = withstand(name, &gate, &app, hostile_kib, || {
            let flood = || {
                let mut stream = TcpStream::connect(gate.public).expect("taken");
                let mut sent = head.len();
                stream.write_all(head.as_bytes()).expect("taken");
                while sent < BODY && stream.write_all(block).is_ok() {
                    sent += block.len();
                }
                (sent, rest(stream))
            };
            std::thread::scope(|scope| {
                let floods: Vec<_> = (0..COUNT).map(|_| scope.spawn(flood)).collect();
                floods
                    .into_iter()
                    .map(|flood| flood.join().expect("read to its end"))
                    .collect::<Vec<_>>()
            })
        });
        for (sent, answer) in ends {
            assert!(sent < BODY, "{name}: all of it was taken");
            // Who goes on sending much more after the answer may lose it to a reset.
            assert!(
                ["413", "503", ""].contains(&status(&answer)),
                "{name}: {answer}"
            );
        }
    }
    let refused = r#"hookgate_requests_rejected_total{source="flooded",reason="too_large"}"#;
    assert!(gate.metric(refused) > 0.0, "by their size");
}

#[test]
fn garbage_behind_a_request_ends_the_connection() {
    const COUNT: usize = 100;
    let app = App::start();
    let home = home(&app, COUNT + 100);
    let gate = home.start();
    let whole = Request::new("/hooks/open", "{\"before\":\"garbage\"}").bytes();
    let garbage: Vec<u8> = (0x80..=0xff_u8).cycle().take(20_000).collect();
    let name = "pipelined garbage";
    let answers = withstand(name, &gate, &app, COUNT as u64 * CONNECTION_KIB, || {
        let open = connections(&gate, COUNT, &[&whole[..], &garbage].concat());
        open.into_iter().map(rest).collect::<Vec<_>>()
    });
    for answer in answers {
        let statuses: Vec<&str> = answer.split("HTTP/1.1 ").skip(1).map(|a| &a[..3]).collect();
        assert_eq!(statuses, ["200", "400"], "{answer}");
    }
}

/// Requests without end and nobody who reads: the answers are not gathered in memory.
#[test]
fn pipelines_whose_answers_nobody_reads_are_cut_off() {
    const COUNT: usize = 20;
    let app = App::start();
    let home = home(&app, COUNT + 100);
    let gate = home.start();
    let request = b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    let name = "pipelines that nobody reads";
    withstand(name, &gate, &app, COUNT as u64 * CONNECTION_KIB, || {
        std::thread::scope(|scope| {
            for _ in 0..COUNT {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(gate.public).expect("taken");
                    stream
                        .set_write_timeout(Some(PATIENCE))
                        .expect("a TCP socket");
                    // Goes on until the gateway has had enough. A timeout of ours is a failure.
                    let ended = loop {
                        if let Err(error) = stream.write_all(&request) {
                            break error.kind();
                        }
                    };
                    let cut_off = [
                        std::io::ErrorKind::ConnectionReset,
                        std::io::ErrorKind::BrokenPipe,
                    ];
                    assert!(cut_off.contains(&ended), "{ended:?}");
                    // It may be closed already.
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
    });
}

#[test]
fn slowhttptest_finds_the_service_available_and_no_connection_open() {
    const COUNT: usize = 300;
    // It ends its help with 1.
    if !tools::has("sh", &["-c", "command -v slowhttptest"]) {
        return;
    }
    let app = App::start();
    let home = home(&app, COUNT + 100);
    let gate = home.start();
    let url = format!("http://{}/hooks/open", gate.public);
    let connections = COUNT.to_string();
    // It ends with its last connection; the seconds given are where it would be cut off before.
    let (cut_s, patience_s) = (2 * PATIENCE.as_secs(), PATIENCE.as_secs().to_string());
    for (name, args, seconds, all_closed) in [
        ("slow headers (-H)", &["-H", "-t", "POST"][..], cut_s, true),
        ("slow bodies (-B)", &["-B", "-s", "4096"], cut_s, true),
        // It reads what was answered long after the gateway has closed, and so never sees that.
        (
            "slow reading (-X)",
            &["-X", "-k", "5", "-t", "POST"],
            8,
            false,
        ),
    ] {
        let said = withstand(name, &gate, &app, COUNT as u64 * CONNECTION_KIB, || {
            let output = Command::new("slowhttptest")
                .args(args)
                .args(["-c", &connections, "-r", &connections, "-u", &url])
                .args(["-i", "1", "-x", "24", "-v", "1"])
                .args(["-p", &patience_s, "-l", &seconds.to_string()])
                .current_dir(home.path())
                .output()
                .expect("just run");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        });
        assert!(said.contains("service available:"), "{name}: {said}");
        let unavailable = said
            .lines()
            .any(|line| line.contains("service available:") && line.contains("NO"));
        assert!(!unavailable, "{name}: {said}");
        assert_eq!(
            said.contains("No open connections left"),
            all_closed,
            "{name}: {said}"
        );
    }
}

//! Nothing is acknowledged before it is durable: shown by the system calls, not assumed.

use crate::support::{
    App, Request, gate::Home, hmac_sha256_hex, sender::Connection, tools, wait_until,
};

const SECRET: &str = "durable-secret";
/// Events that a traced gateway gets.
const EVENTS: usize = 20;

fn configuration(app: &App) -> String {
    format!(
        "sources:\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {SECRET}\n    forward: app\n\
         targets:\n  app: {{ url: {}, retry: {{ first: 50ms, max: 200ms }} }}\n",
        app.url()
    )
}

fn order(n: usize) -> Request {
    let body = format!(r#"{{"event":"order.created","marker":"body-{n:06}-marker"}}"#);
    Request::new("/hooks/shop", body.clone())
        .header("X-Signature", &hmac_sha256_hex(SECRET, &[body.as_bytes()]))
}

/// One line of `strace -f -y -ttt`: what was called, on which file.
#[derive(Debug)]
struct Call<'a> {
    name: &'a str,
    text: &'a str,
    done: bool,
}

/// Reads a trace in order of completion: a call that was interrupted by another thread's counts where it resumed.
fn calls(trace: &str) -> Vec<Call<'_>> {
    trace
        .lines()
        .filter_map(|line| {
            let rest = line.split_once(' ')?.1.trim_start();
            if let Some(resumed) = rest.strip_prefix("<... ") {
                let name = resumed.split(' ').next()?;
                return Some(Call {
                    name,
                    text: rest,
                    done: true,
                });
            }
            let name = rest.split('(').next()?;
            Some(Call {
                name,
                text: rest,
                done: !rest.ends_with("<unfinished ...>"),
            })
        })
        .collect()
}

/// For each 2xx, whether a sync of the log has completed after the last write of its event.
/// Returns how many were seen, and how many were not covered.
fn acknowledged_before_sync(trace: &str, events: usize) -> (usize, usize) {
    let calls = calls(trace);
    let mut uncovered = 0;
    let mut seen = 0;
    for n in 0..events {
        let marker = format!("body-{n:06}-marker");
        // The last write to the write-ahead log that carries the event's body.
        let written = calls.iter().rposition(|call| {
            call.name == "pwrite64"
                && call.text.contains("hookgate.db-wal")
                && call.text.contains(&marker)
        });
        let Some(written) = written else { continue };
        let answered = calls.iter().skip(written).position(|call| {
            matches!(call.name, "write" | "writev" | "sendto" | "sendmsg")
                && call.text.contains("HTTP/1.1 200")
        });
        let Some(answered) = answered.map(|offset| written + offset) else {
            continue;
        };
        seen += 1;
        let synced = calls[written..answered].iter().any(|call| {
            matches!(call.name, "fdatasync" | "fsync") && call.done && call.text.ends_with("= 0")
        });
        uncovered += usize::from(!synced);
    }
    (seen, uncovered)
}

/// Runs a gateway under strace, sends events one after the other, and returns what
/// [`acknowledged_before_sync`] finds.
fn traced(more: &[&str]) -> (usize, usize) {
    const CALLS: &str = "trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg";
    let app = App::start();
    let trace = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = trace.path().to_str().expect("UTF-8").to_owned();
    // Daemonized, it is the gateway itself that is our child, and ends with its gate.
    let strace = [
        "strace", "-D", "-f", "-y", "-s", "100000", "-e", CALLS, "-o", &path,
    ];
    let home = Home::new(&configuration(&app)).wrapped(&[&strace, more].concat());
    let gate = home.start();
    for n in 0..EVENTS {
        assert_eq!(gate.send(&order(n)).status, 200);
    }
    app.wait_for(EVENTS);
    drop(gate);
    wait_until("the trace is whole", || {
        let trace = std::fs::read(&path).expect("strace wrote it");
        String::from_utf8_lossy(&trace).contains("+++ killed by SIGKILL +++")
    });
    acknowledged_before_sync(
        &String::from_utf8_lossy(&std::fs::read(path).expect("strace wrote it")),
        EVENTS,
    )
}

#[test]
fn a_sync_completes_between_the_last_write_of_an_event_and_its_2xx() {
    if !tools::has("strace", &["-V"]) {
        return;
    }
    assert_eq!(
        traced(&[]),
        (EVENTS, 0),
        "every event was seen, and every one was synced"
    );
}

/// The negative control: where syncs do nothing (as with `synchronous=OFF`), the test above must notice.
#[test]
fn the_proof_of_durability_fails_without_syncs() {
    if !tools::has("strace", &["-V"]) {
        return;
    }
    let (seen, uncovered) = traced(&["-e", "inject=fdatasync,fsync:retval=0"]);
    assert_eq!((seen, uncovered), (EVENTS, EVENTS));
}

#[test]
fn a_failing_sync_gives_no_2xx_exit_74_and_a_clean_restart() {
    if !tools::has("strace", &["-V"]) {
        return;
    }
    let app = App::start();
    let home = Home::new(&configuration(&app));
    // The failure is injected in each thread from its 25th sync on: opening takes fewer, and some events get through.
    let inject = "inject=fdatasync,fsync:error=EIO:when=25+";
    let failing = home.wrapped(&[
        "strace",
        "-D",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync,fsync",
        "-e",
        inject,
    ]);
    let gate = failing.start();
    let mut acknowledged = Vec::new();
    for n in 0..200 {
        let mut connection = match std::net::TcpStream::connect(gate.public) {
            Ok(stream) => Connection::over(stream),
            Err(_) => break,
        };
        match connection.try_send(&order(n)) {
            Ok(reply) if reply.status == 200 => acknowledged.push(n),
            Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
            Err(_) => break,
        }
    }
    let (status, log) = gate.ended();
    assert_eq!(status.code(), Some(74), "{log}");
    assert!(
        !acknowledged.is_empty() && acknowledged.len() < 200,
        "the failure came under way: {}",
        acknowledged.len()
    );
    assert!(
        log.lines().any(|line| line.contains("ERROR")),
        "it says so:\n{log}"
    );

    let home = failing.wrapped(&[]);
    let gate = home.start();
    for n in &acknowledged {
        assert!(
            gate.send(&order(*n)).is_duplicate(),
            "{n} was acknowledged, so it is there"
        );
    }
    wait_until("every acknowledged event reaches the app", || {
        let got = app.got();
        acknowledged
            .iter()
            .all(|n| got.iter().any(|got| got.body == order(*n).body))
    });
    assert!(gate.stop().0.success());
}

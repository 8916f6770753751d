//! Secrets that a handshake brings, against the real binary: who is believed, what can't be one, and what a stranger
//! can't do with it.

use crate::support::{
    App, Reply, Request,
    gate::{Gate, Home},
    hmac_sha256_hex,
};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Barrier;

/// A gateway with a source of Notion (whose secret may be any text of a body) and one of Asana (a header), and an app.
fn home(app: &App, file: &str) -> Home {
    Home::new(&format!(
        "sources:\n  asana:\n    provider: asana\n    secret: {{ file: \"{file}\" }}\n    forward: app\n  \
         notion:\n    provider: notion\n    secret: {{ file: notion-secret }}\n    forward: app\n\
         targets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
}

fn hello(secret: &str) -> Request {
    Request::new("/hooks/asana", "{}").header("X-Hook-Secret", secret)
}

fn event(secret: &str, n: usize) -> Request {
    let request = Request::new("/hooks/asana", format!("{{\"events\":[{{\"n\":{n}}}]}}"));
    let mac = hmac_sha256_hex(secret, &[&request.body]);
    request.header("X-Hook-Signature", &mac)
}

fn token(gate: &Gate, text: &str) -> Reply {
    let body = serde_json::json!({ "verification_token": text }).to_string();
    gate.send(&Request::new("/hooks/notion", body))
}

/// Everything in the directory, by name.
fn files(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path()).expect("a directory");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Each brings another secret at the same moment. One is told yes; its secret is the one in the file, and proves an
/// event at once, without a wait in between.
#[test]
fn of_a_hundred_at_once_one_is_believed() {
    const MANY: usize = 100;

    let app = App::start();
    let home = home(&app, "asana-secret");
    let gate = home.start();
    let secrets: Vec<String> = (0..MANY)
        .map(|n| format!("{n:03}-{}", "x".repeat(n)))
        .collect();
    let start = Barrier::new(MANY);
    let believed: Vec<&String> = std::thread::scope(|scope| {
        let (start, gate) = (&start, &gate);
        let mut running = Vec::new();
        for secret in &secrets {
            running.push(scope.spawn(move || {
                start.wait();
                let reply = gate.send(&hello(secret));
                let taken = reply.status == 200;
                assert!(taken || reply.status == 401, "{reply:?}");
                assert_eq!(
                    reply.header("x-hook-secret"),
                    taken.then_some(secret.as_str())
                );
                if taken {
                    assert_eq!(gate.send(&event(secret, 1)).status, 200, "used at once");
                }
                taken.then_some(secret)
            }));
        }
        let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.filter_map(|ended| ended.expect("no panic")).collect()
    });
    assert_eq!(believed.len(), 1, "{believed:?}");
    let known = std::fs::read_to_string(home.path().join("asana-secret")).expect("written");
    assert_eq!(known, format!("{}\n", believed[0]));
    assert_eq!(
        files(&home),
        ["asana-secret", "data", "hookgate.yaml"],
        "nothing beside it"
    );
    app.wait_for(1);
}

/// What is no secret is not written: with such a file no gateway would start again.
#[test]
fn what_can_be_no_secret_is_not_learned() {
    let app = App::start();
    let home = home(&app, "asana-secret");
    let gate = home.start();
    for bad in [
        " ",
        "two words",
        "line\nbreak",
        "carriage\r",
        "nul\0",
        "\u{fc}ml",
        &"x".repeat(1025),
        &"x".repeat(100_000),
    ] {
        let reply = token(&gate, bad);
        assert_eq!(reply.status, 401, "{bad:.20?}: {reply:?}");
    }
    for bad in ["two words", "\u{fc}ml"] {
        let reply = gate.send(&hello(bad));
        assert_eq!(reply.status, 401, "{bad:?}: {reply:?}");
    }
    assert_eq!(files(&home), ["data", "hookgate.yaml"]);
    assert_eq!(token(&gate, &"x".repeat(1024)).status, 200);
    gate.stop();
    home.start();
}

/// Only what has been written is a yes, and nothing is written elsewhere.
#[test]
fn a_file_that_cannot_be_written_is_a_no_for_now() {
    let app = App::start();
    let home = home(&app, "secrets/asana");
    let directory = home.path().join("secrets");
    let (status, log) = home.try_start().err().expect("no directory, no start");
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("is no directory"), "{log}");

    std::fs::create_dir(&directory).expect("writable");
    let gate = home.start();
    // The directory goes while the gateway runs. (To take its rights would not stop root.)
    std::fs::remove_dir(&directory).expect("empty");
    let reply = gate.send(&hello("first"));
    assert_eq!(
        (reply.status, reply.header("x-hook-secret")),
        (503, None),
        "{reply:?}"
    );
    for _ in 0..50 {
        gate.send(&hello("first"));
    }
    let lines = gate.log().matches("cannot write the secret").count();
    assert!(lines < 20, "{lines} lines");

    std::fs::create_dir(&directory).expect("writable");
    let elsewhere = home.path().join("elsewhere");
    symlink(&elsewhere, directory.join("asana")).expect("a link");
    assert_eq!(gate.send(&hello("first")).status, 503);
    assert!(!elsewhere.exists(), "written through a link");

    std::fs::remove_file(directory.join("asana")).expect("a link");
    assert_eq!(gate.send(&hello("first")).status, 200);
    assert_eq!(gate.send(&event("first", 1)).status, 200);
    let mode = std::fs::metadata(directory.join("asana"))
        .expect("written")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A secret that is written and can't be used is no yes either: another file is broken, and all are used or none.
#[test]
fn a_secret_that_is_not_in_use_is_a_no_for_now() {
    let app = App::start();
    let home = home(&app, "asana-secret");
    let gate = home.start();
    std::fs::write(home.path().join("notion-secret"), "").expect("writable");
    let reply = gate.send(&hello("first"));
    assert_eq!(
        (reply.status, reply.header("x-hook-secret")),
        (503, None),
        "{reply:?}"
    );
    std::fs::remove_file(home.path().join("notion-secret")).expect("it is there");
    assert_eq!(
        gate.send(&hello("other")).status,
        401,
        "it is known already"
    );
    assert_eq!(gate.send(&hello("first")).status, 200, "asked again");
    assert_eq!(gate.send(&event("first", 1)).status, 200);
}

#[test]
fn check_says_that_the_secret_is_still_to_come() {
    let app = App::start();
    let home = home(&app, "asana-secret");
    let output = home
        .command(&["check", "-c", "hookgate.yaml"])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("is not there yet").count(), 2, "{said}");
    assert_eq!(files(&home), ["hookgate.yaml"], "check writes nothing");
}

//! Looking after the store's file with `hookgate store`, beside the gateway and while it is stopped; and what a
//! gateway makes of a damaged file.

use crate::support::{App, Behaviour, Request, gate::Home, hmac_sha256_hex, wait_until};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::process::Output;

const SECRET: &str = "keeping-secret";

fn configuration(app: &App, store: &str) -> String {
    format!(
        "store: {{ path: ./data, min_free: 1MiB{store} }}\n\
         sources:\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: \"${{KEEPING_SECRET}}\"\n    \
         event: {{ id: json:/id }}\n    forward: app\n\
         targets:\n  app: {{ url: {}, retry: {{ first: 50ms, max: 200ms }} }}\n",
        app.url()
    )
}

fn home(app: &App, store: &str) -> Home {
    Home::new(&configuration(app, store)).env("KEEPING_SECRET", SECRET)
}

fn order(n: usize) -> Request {
    let body = format!(r#"{{"event":"order.created","id":{n},"marker":"body-{n:06}-marker"}}"#);
    Request::new("/hooks/shop", body.clone())
        .header("X-Signature", &hmac_sha256_hex(SECRET, &[body.as_bytes()]))
}

/// Runs `hookgate store ...` without the secrets that a gateway needs.
fn store(home: &Home, args: &[&str]) -> Output {
    let args: Vec<&str> = ["store"].iter().chain(args).copied().collect();
    home.command(&args)
        .env_remove("KEEPING_SECRET")
        .output()
        .expect("the binary runs")
}

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Where a text stands in the database's file.
fn find(home: &Home, text: &str) -> u64 {
    let bytes = std::fs::read(home.database()).expect("the store's file");
    let at = bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes());
    at.expect("it is in the file") as u64
}

fn overwrite(home: &Home, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(home.database());
    file.expect("the store's file")
        .write_all_at(bytes, at)
        .expect("written");
}

fn ids(app: &App) -> HashSet<String> {
    app.got()
        .iter()
        .map(|got| got.header("hookgate-event-id").to_owned())
        .collect()
}

#[test]
fn info_check_and_backup_beside_a_gateway_need_no_secret_and_disturb_nobody() {
    let app = App::start();
    app.behave(Behaviour::Status(500));
    let home = home(&app, "");
    let gate = home.start();
    for n in 0..20 {
        assert_eq!(gate.send(&order(n)).status, 200);
    }
    let info = store(&home, &["info", "--json"]);
    said(&info, 0);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).expect("JSON");
    assert_eq!(info["format"], 2);
    assert_eq!(info["events"], 20);
    assert_eq!(info["targets"][0]["name"], "app");
    assert_eq!(info["targets"][0]["pending"], 20);
    assert_eq!(info["targets"][0]["dead"], 0);
    let text = said(&store(&home, &["info", "--path", "data"]), 0);
    assert!(text.contains("target   app: 20 pending"), "{text}");
    let text = said(&store(&home, &["check"]), 0);
    assert!(text.contains("proven   20 payloads"), "{text}");
    let text = said(&store(&home, &["backup", "copy.db"]), 0);
    assert!(text.contains("proven   20 payloads"), "{text}");
    let mode = std::fs::metadata(home.path().join("copy.db"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = said(&store(&home, &["backup", "copy.db"]), 74);
    assert!(text.contains("nothing is overwritten"), "{text}");
    let text = said(&store(&home, &["salvage", "--to", "new"]), 74);
    assert!(text.contains("in use by another hookgate"), "{text}");
    assert!(!home.path().join("new").exists());

    app.behave(Behaviour::Status(200));
    wait_until("everything is delivered", || ids(&app).len() == 20);
    assert_eq!(gate.send(&order(20)).status, 200);
    let (status, log) = gate.stop();
    assert!(status.success() && !log.contains("ERROR"), "{log}");
    let text = said(&store(&home, &["check"]), 0);
    assert!(text.contains("proven   21 payloads"), "{text}");
}

/// The documented truth: what was pending at the backup is delivered again, under the same id and key, and nothing else.
#[test]
fn a_restored_backup_delivers_again_what_was_pending_then_and_nothing_else() {
    let app = App::start();
    let home = home(&app, "");
    let gate = home.start();
    for n in 0..10 {
        assert_eq!(gate.send(&order(n)).status, 200);
    }
    app.wait_for(10);
    wait_until("they are settled", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    let delivered_before = ids(&app);
    app.behave(Behaviour::Status(500));
    for n in 10..25 {
        assert_eq!(gate.send(&order(n)).status, 200);
    }
    said(&store(&home, &["backup", "backup/"]), 0);
    app.behave(Behaviour::Status(200));
    wait_until("the rest is delivered", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    let of = |got: &crate::support::app::Got| {
        let header = |name| got.header(name).to_owned();
        (header("hookgate-event-id"), header("hookgate-dedupe-key"))
    };
    let known: HashSet<_> = app.got().iter().map(of).collect();
    assert_eq!(known.len(), 25);
    assert!(gate.stop().0.success());

    std::fs::remove_dir_all(home.path().join("data")).expect("removed");
    std::fs::rename(home.path().join("backup"), home.path().join("data")).expect("restored");
    let before = app.count();
    let gate = home.start();
    app.wait_for(before + 15);
    wait_until("nothing is pending", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    let again: HashSet<_> = app.got()[before..].iter().map(of).collect();
    assert_eq!((app.count() - before, again.len()), (15, 15), "each once");
    assert!(again.is_subset(&known), "under the ids and keys they had");
    assert!(again.iter().all(|(id, _)| !delivered_before.contains(id)));
    assert!(
        gate.send(&order(3)).is_duplicate(),
        "keys are in a backup too"
    );
    assert!(gate.stop().0.success());
}

#[test]
fn a_damaged_payload_is_told_salvaged_around_and_never_forwarded() {
    let app = App::start();
    app.behave(Behaviour::Status(500));
    let home = home(&app, "");
    let gate = home.start();
    let ids_sent: Vec<String> = (0..12).map(|n| gate.send(&order(n)).id()).collect();
    assert!(gate.stop().0.success());
    overwrite(&home, find(&home, "body-000007-marker"), b"Body");

    let text = said(&store(&home, &["check"]), 74);
    let id = &ids_sent[7];
    assert!(
        text.contains(&format!("event {id} (number 8) of shop")),
        "{text}"
    );
    assert!(text.contains("It waits for app"), "{text}");
    let text = said(&store(&home, &["salvage", "--to", "data.new"]), 0);
    assert!(
        text.contains(id) && text.contains("1 events lost"),
        "{text}"
    );
    assert!(
        text.contains("11 deliveries that wait, 1 dead letters"),
        "{text}"
    );
    said(&store(&home, &["check", "--path", "data.new"]), 0);

    app.behave(Behaviour::Status(200));
    std::fs::rename(home.path().join("data"), home.path().join("data.damaged")).expect("moved");
    std::fs::rename(home.path().join("data.new"), home.path().join("data")).expect("moved");
    let tried = app.count();
    let gate = home.start();
    wait_until("all others are delivered", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
    let taken: HashSet<String> = app.got()[tried..]
        .iter()
        .map(|got| got.header("hookgate-event-id").to_owned())
        .collect();
    let expected = ids_sent.iter().filter(|other| *other != id).cloned();
    assert_eq!(taken, expected.collect());
    assert_eq!(gate.metric(r#"hookgate_dead_letters{target="app"}"#), 1.0);
    assert!(gate.send(&order(2)).is_duplicate(), "keys go on");
    let next = gate.send(&order(50)).id();
    assert!(ids_sent.iter().all(|id| *id != next));
    assert!(gate.stop().0.success());
}

#[test]
fn a_structure_that_is_damaged_is_refused_with_74_and_the_way_out() {
    let app = App::start();
    app.behave(Behaviour::Status(500));
    // All of it is looked at, however busy the machine is.
    let home = home(&app, ", start_check: 1m");
    let gate = home.start();
    for n in 0..40 {
        assert_eq!(gate.send(&order(n)).status, 200);
    }
    assert!(gate.stop().0.success());
    // The page that a payload stands on loses its head.
    let page = find(&home, "body-000020-marker") / 8192;
    overwrite(&home, page * 8192, &[0xff; 16]);
    let Err((status, log)) = home.try_start() else {
        panic!("a damaged store was opened");
    };
    assert_eq!(status.code(), Some(74), "{log}");
    assert!(
        log.contains("hookgate store check") && log.contains("hookgate store salvage"),
        "{log}"
    );
    let text = said(&store(&home, &["check"]), 74);
    assert!(text.contains("structure: "), "{text}");
    let text = said(&store(&home, &["salvage", "--to", "saved"]), 0);
    assert!(text.contains("can't be read"), "{text}");
    said(&store(&home, &["check", "--path", "saved"]), 0);
}

#[test]
fn a_running_gateway_finds_a_damaged_payload_by_itself() {
    let app = App::start();
    app.behave(Behaviour::Hold(200));
    let home = home(&app, ", scrub: 100ms");
    let gate = home.start();
    assert_eq!(gate.metric("hookgate_store_corrupt_total"), 0.0);
    let id = gate.send(&order(1)).id();
    // Another process changes the row, since a byte of the file may be in the log as well.
    let other = rusqlite::Connection::open(home.database()).expect("the store's file");
    other
        .execute("UPDATE events SET body = CAST('{}' AS BLOB)", [])
        .expect("changed");
    drop(other);
    wait_until("it is found", || {
        gate.metric("hookgate_store_corrupt_total") >= 1.0
    });
    wait_until("it is given up", || {
        gate.metric(r#"hookgate_dead_letters_total{target="app",reason="corrupt"}"#) == 1.0
    });
    let line = gate.said("stored payload is damaged");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&line["level"], &line["event_id"]),
        (&"ERROR".into(), &id.into())
    );
    app.behave(Behaviour::Status(200));
    assert_eq!(gate.send(&order(2)).status, 200);
    wait_until("others are delivered", || ids(&app).len() == 2);
    assert!(gate.stop().0.success());
}

/// Bytes flip in files of a real gateway: it never panics, and never forwards what it was not sent.
#[test]
fn no_flipped_byte_makes_the_binary_panic_or_forward_something_else() {
    const FLIPS: usize = 25;
    let app = App::start();
    app.behave(Behaviour::Status(500));
    let home = home(&app, "");
    let gate = home.start();
    for n in 0..30 {
        assert_eq!(gate.send(&order(n)).status, 200);
    }
    assert!(gate.stop().0.success());
    app.behave(Behaviour::Status(200));
    let original = std::fs::read(home.database()).expect("the store's file");
    let sent: HashSet<Vec<u8>> = (0..30).map(|n| order(n).body).collect();
    let mut random = fastrand::Rng::with_seed(9);
    let (mut refused, mut told) = (0, 0);
    for _ in 0..FLIPS {
        let mut bytes = original.clone();
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
        std::fs::remove_dir_all(home.path().join("data")).expect("removed");
        std::fs::create_dir(home.path().join("data")).expect("made");
        std::fs::write(home.database(), &bytes).expect("written");
        let check = store(&home, &["check"]);
        let text = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(!text.contains("panicked"), "byte {at}: {text}");
        told += usize::from(check.status.code() == Some(74));
        let before = app.count();
        let log = match home.try_start() {
            Ok(gate) => {
                // A gateway that poisons its store ends by itself.
                wait_until("what can be delivered is", || {
                    app.count() >= before + 29 || gate.log().contains("ERROR")
                });
                let log = gate.log();
                drop(gate);
                log
            }
            Err((status, log)) => {
                assert_eq!(status.code(), Some(74), "byte {at}: {log}");
                refused += 1;
                log
            }
        };
        assert!(!log.contains("panicked"), "byte {at}: {log}");
        for got in &app.got()[before..] {
            assert!(sent.contains(&got.body), "byte {at}: {:?}", got.body);
        }
    }
    eprintln!("{FLIPS} flips: {told} told by the check, {refused} refused at start");
}

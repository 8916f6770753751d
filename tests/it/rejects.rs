//! Requests that were refused and are kept: looked at, and released once the secret is right.

use crate::support::{
    App, Behaviour, Reply, Request,
    gate::{Gate, Home},
    hmac_sha256_hex,
    sender::Connection,
    sender::now_seconds,
    wait_until,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;

const RIGHT: &str = "canary-7d1f-the-right-secret";
const WRONG: &str = "canary-90ab-the-wrong-secret";

/// A source that signs with a timestamp and keeps what it refuses; its secret is what stands in the file `secret`.
fn home(app: &App, more: &str, limits: &str) -> Home {
    let home = Home::new(&format!(
        "limits: {{ {limits} }}\nsources:\n  erp:\n    verify: {{ hmac: {{ header: X-Signature, signed: \"{{timestamp}}.{{body}}\", \
         timestamp: {{ header: X-Time, format: unix, tolerance: 5m }} }} }}\n    secret: {{ file: secret }}\n    \
         event: {{ id: json:/id, type: json:/type }}\n    {more}\n    forward: app\n\
         targets:\n  app: {{ url: {}, retry: {{ first: 20ms, max: 100ms }} }}\n",
        app.url()
    ));
    write_secret(&home, WRONG);
    home
}

fn write_secret(home: &Home, secret: &str) {
    std::fs::write(home.path().join("secret"), format!("{secret}\n")).expect("writable");
}

fn hang_up(gate: &Gate) {
    let says = "configuration was read anew";
    let before = gate.log().matches(says).count();
    gate.signal("HUP");
    wait_until(says, || gate.log().matches(says).count() > before);
}

fn body(n: usize) -> String {
    json!({ "id": format!("evt_{n}"), "type": "order.created" }).to_string()
}

fn signed(secret: &str, body: &str, at: u64) -> Request {
    let time = at.to_string();
    let mac = hmac_sha256_hex(secret, &[time.as_bytes(), b".", body.as_bytes()]);
    Request::new("/hooks/erp?x=1", body)
        .header("X-Time", &time)
        .header("X-Signature", &mac)
}

/// As the vendor sends it.
fn event(n: usize) -> Request {
    signed(RIGHT, &body(n), now_seconds())
}

#[track_caller]
fn get(gate: &Gate, path: &str) -> Value {
    let reply = asked(gate, &format!("GET {path} HTTP/1.1"), "");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn post(gate: &Gate, path: &str, body: &Value) -> Reply {
    asked(gate, &format!("POST {path} HTTP/1.1"), &body.to_string())
}

fn asked(gate: &Gate, line: &str, body: &str) -> Reply {
    let mut connection = Connection::open(gate.admin);
    let length = body.len();
    connection.write(
        format!(
            "{line}\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    );
    let reply = connection.read_reply();
    reply.expect("readable").expect("an answer")
}

#[track_caller]
fn release(gate: &Gate, filter: &Value) -> Value {
    let reply = post(gate, "/api/v1/rejects/release", filter);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// Waits until so many are in the ring, and lists them, the latest first.
#[track_caller]
fn kept(gate: &Gate, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    wait_until("they are kept", || {
        let page = get(gate, "/api/v1/rejects?limit=200");
        found.clone_from(page["rejects"].as_array().expect("a list"));
        found.len() == count
    });
    found
}

/// How often the app has got each event.
fn taken(app: &App, count: usize) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for got in app.wait_for(count) {
        let event: Value = serde_json::from_slice(&got.body).expect("JSON");
        *times.entry(event["id"].to_string()).or_default() += 1;
    }
    times
}

/// The story that the ring is for.
#[test]
fn a_wrong_secret_is_put_right_and_what_was_refused_is_delivered_once() {
    const EVENTS: usize = 8;

    let app = App::start();
    let home = home(&app, "rejects: { keep: 100 }", "rejects_per_client: 1000");
    let gate = home.start();
    for n in 0..EVENTS {
        let answer = gate.send(&event(n));
        assert_eq!(answer.status, 401);
        assert_eq!(answer.body, r#"{"error":"invalid signature"}"#);
        assert_eq!(answer.header("connection"), None);
    }
    let rejects = kept(&gate, EVENTS);
    for reject in &rejects {
        assert_eq!(reject["source"], "erp");
        assert_eq!(reject["reason"], "bad_signature");
        assert_eq!(reject["client"], "127.0.0.1");
        assert_eq!(reject["target"], "/hooks/erp?x=1");
        assert_eq!(reject["body_bytes"], body(0).len());
    }
    assert_eq!(gate.metric("hookgate_rejects_kept{source=\"erp\"}"), 8.0);

    // Nothing has changed yet.
    let page = release(&gate, &json!({}));
    assert_eq!(page["counts"], json!({ "refused": EVENTS }));
    assert_eq!(page["outcomes"][0]["reason"], "bad_signature");

    // A restart in between, with the secret still wrong; then it is put right while it runs.
    let (status, _) = gate.stop();
    assert!(status.success(), "{status}");
    let gate = home.start();
    kept(&gate, EVENTS);
    write_secret(&home, RIGHT);
    hang_up(&gate);
    // The vendor has sent one of them again meanwhile.
    assert_eq!(gate.send(&event(3)).status, 200);

    let dry = release(&gate, &json!({ "dry_run": true }));
    assert_eq!(
        dry["counts"],
        json!({ "accepted": EVENTS - 1, "duplicate": 1 })
    );
    kept(&gate, EVENTS);
    let page = release(
        &gate,
        &json!({ "source": "erp", "reason": "bad_signature", "limit": 3 }),
    );
    assert_eq!(page["counts"], json!({ "accepted": 3 }));
    assert_eq!(page["outcomes"][0]["id"], 1, "the oldest first");
    let cursor = page["cursor"].as_str().expect("there are more");
    let page = release(&gate, &json!({ "source": "erp", "cursor": cursor }));
    assert_eq!(
        page["counts"],
        json!({ "accepted": EVENTS - 4, "duplicate": 1 })
    );
    assert_eq!(page["cursor"], Value::Null);
    let page = release(&gate, &json!({}));
    assert_eq!(page["outcomes"], json!([]), "nothing is left");

    let times = taken(&app, EVENTS);
    assert_eq!(times.len(), EVENTS);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    let got = app.wait_for(EVENTS);
    assert!(
        got.iter()
            .all(|got| got.header("x-forwarded-for") == "127.0.0.1")
    );
    assert_eq!(gate.metric("hookgate_rejects_kept{source=\"erp\"}"), 0.0);
    gate.said("admin.release");
    let log = gate.log();
    assert!(!log.contains(RIGHT) && !log.contains(WRONG), "{log}");
}

#[test]
fn one_is_released_by_its_number_and_a_second_time_is_harmless() {
    let app = App::start();
    let home = home(&app, "rejects: {}", "rejects_per_client: 1000");
    let gate = home.start();
    for n in [0, 0, 1] {
        assert_eq!(gate.send(&event(n)).status, 401);
    }
    kept(&gate, 3);
    let one = |id: u32| post(&gate, &format!("/api/v1/rejects/{id}/release"), &json!({}));
    assert_eq!(one(1).json()["outcome"], "refused");
    write_secret(&home, RIGHT);
    hang_up(&gate);
    let first = one(1).json();
    assert_eq!(first["outcome"], "accepted");
    let again = one(2).json();
    assert_eq!(again["outcome"], "duplicate");
    assert_eq!(again["event_id"], first["event_id"]);
    assert_eq!(one(1).status, 404);
    assert_eq!(one(2).status, 404);
    // A second gateway cannot take the ring while this one has it; another start after a crash can.
    gate.kill();
    let gate = home.start();
    kept(&gate, 1);
    let left = release(&gate, &json!({}));
    assert_eq!(left["counts"], json!({ "accepted": 1 }));
    // The first may come once more after the kill.
    wait_until("both are delivered", || taken(&app, 2).len() == 2);
}

/// The ring is ours: that a request waited in it for longer than its timestamp may be old is not the sender's doing.
/// What was old when it came stays refused.
#[test]
fn the_timestamp_is_judged_as_of_the_time_of_receipt() {
    let app = App::start();
    let home = home(&app, "rejects: {}", "rejects_per_client: 1000");
    write_secret(&home, RIGHT);
    let gate = home.start();
    let old = signed(RIGHT, &body(0), now_seconds() - 3600);
    assert_eq!(gate.send(&old).status, 401);
    assert_eq!(kept(&gate, 1)[0]["reason"], "stale");
    let page = release(&gate, &json!({}));
    assert_eq!(page["counts"], json!({ "refused": 1 }));
    assert_eq!(page["outcomes"][0]["reason"], "stale");
    gate.stop();

    // An hour ago it would have been in time.
    let file = rusqlite::Connection::open(home.path().join("data/rejects.db")).expect("opens");
    file.execute("UPDATE rejects SET received_ms = received_ms - 3600000", [])
        .expect("updated");
    drop(file);
    let gate = home.start();
    let page = release(&gate, &json!({}));
    assert_eq!(page["counts"], json!({ "accepted": 1 }));
    taken(&app, 1);
}

/// Refused by its head: no body is read, and the answer is what it is without a ring.
#[test]
fn of_a_missing_signature_the_head_alone_is_kept() {
    let app = App::start();
    let home = home(&app, "rejects: {}", "rejects_per_client: 1000");
    let gate = home.start();
    let mut connection = Connection::open(gate.public);
    // The body never comes, and the answer does not wait for it.
    connection.write(b"POST /hooks/erp HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 50\r\nX-Canary: c4\r\n\r\n");
    let answer = connection.reply();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("connection"), Some("close"));
    let reject = kept(&gate, 1).remove(0);
    assert_eq!(reject["reason"], "missing_signature");
    assert_eq!(reject["body_bytes"], Value::Null);
    let id = &reject["id"];
    let whole = get(&gate, &format!("/api/v1/rejects/{id}"));
    assert_eq!(whole["body"], Value::Null);
    let headers = whole["headers"].as_array().expect("a list");
    let canary = headers.iter().find(|header| header["name"] == "x-canary");
    assert_eq!(canary.expect("kept")["value"], "c4");
    let page = release(&gate, &json!({}));
    assert_eq!(page["outcomes"][0]["reason"], "no_body");
    for (path, status) in [
        ("/99", 404),
        ("/x", 404),
        ("?reason=none", 400),
        ("?cursor=x", 400),
    ] {
        let line = format!("GET /api/v1/rejects{path} HTTP/1.1");
        assert_eq!(asked(&gate, &line, "").status, status, "{path}");
    }
}

#[test]
fn off_by_default_bounded_and_no_more_than_its_share_for_one_client() {
    let app = App::start();
    let silent = home(&app, "max_age: off", "rejects_per_client: 3");
    let gate = silent.start();
    assert_eq!(gate.send(&event(0)).status, 401);
    assert_eq!(get(&gate, "/api/v1/rejects")["rejects"], json!([]));
    assert!(!silent.path().join("data/rejects.db").exists());
    gate.stop();

    let home = home(&app, "rejects: { keep: 2 }", "rejects_per_client: 3");
    let gate = home.start();
    let dropped =
        || gate.metric("hookgate_rejects_dropped_total{source=\"erp\",reason=\"client\"}");
    let mut sent = 0.0;
    while dropped() < 10.0 {
        assert_eq!(gate.send(&event(0)).status, 401);
        sent += 1.0;
    }
    let refused =
        gate.metric("hookgate_requests_rejected_total{source=\"erp\",reason=\"bad_signature\"}");
    assert_eq!(refused, sent, "counted whether or not it is kept");
    kept(&gate, 2);
    let file = home.path().join("data/rejects.db");
    let mode = std::fs::metadata(file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn disk(home: &Home) -> u64 {
    let entries = std::fs::read_dir(home.path().join("data")).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("rejects.db")
        })
        // The log may just have been taken away.
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// 20,000 refused requests with bodies of 20 KB, beside events that verify: what they cost on the disk is fixed, and
/// every event is acknowledged and delivered.
#[test]
fn a_flood_costs_a_fixed_amount_of_disk_and_delays_nobody() {
    const FLOOD: usize = 20_000;
    const SENDERS: usize = 8;
    const EVENTS: usize = 200;
    /// `max_size`, the spare pages, and the log at its longest.
    const DISK_MAX: u64 = (2 << 20) + (1 << 20) + (5 << 20);

    let app = App::start();
    let home = home(
        &app,
        "rejects: { keep: 1000, max_size: 2MiB }",
        "rejects_per_client: 1000000, failures_per_client: off",
    );
    write_secret(&home, RIGHT);
    let gate = home.start();
    let forged = signed(WRONG, &"x".repeat(20_000), now_seconds());
    let most = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..SENDERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(gate.public);
                    for _ in 0..FLOOD / SENDERS {
                        assert_eq!(connection.send(&forged).status, 401);
                    }
                })
            })
            .collect();
        let events = scope.spawn(|| {
            for n in 0..EVENTS {
                assert_eq!(gate.send(&event(n)).status, 200, "{n}");
            }
        });
        let mut most = 0;
        while flood
            .iter()
            .chain([&events])
            .any(|sending| !sending.is_finished())
        {
            most = most.max(disk(&home));
            std::thread::yield_now();
        }
        most
    });
    assert!(most > 0 && most <= DISK_MAX, "{most} bytes on the disk");
    let times = taken(&app, EVENTS);
    assert_eq!(times.len(), EVENTS);
    let count = |name: &str| gate.metric(&format!("hookgate_{name}"));
    let busy = count("rejects_dropped_total{source=\"erp\",reason=\"busy\"}");
    let failed = count("rejects_dropped_total{source=\"erp\",reason=\"error\"}");
    assert!(busy > 0.0 && failed == 0.0, "{busy} {failed}");
    assert_eq!(
        count("requests_rejected_total{source=\"erp\",reason=\"bad_signature\"}"),
        20_000.0
    );
    println!("most on the disk: {most} bytes; not kept: {busy} of {FLOOD}");
    gate.stop();
    assert!(disk(&home) <= DISK_MAX);
}

/// A command of an operator, on the gateway that runs here.
fn rejects(home: &Home, gate: &Gate, args: &[&str]) -> (bool, String) {
    let admin = format!("http://{}", gate.admin);
    let args: Vec<&str> = ["rejects"]
        .iter()
        .chain(args)
        .chain(&["-c", "hookgate.yaml", "--admin", &admin])
        .copied()
        .collect();
    let output = home.command(&args).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), format!("{text}{said}"))
}

/// An operator with a terminal: what is there, why, and once the secret is right, out with it.
#[test]
fn the_commands_list_show_explain_and_release() {
    let app = App::start();
    let home = home(&app, "rejects: {}", "rejects_per_client: 1000");
    let gate = home.start();
    assert_eq!(gate.send(&event(0)).status, 401);
    assert_eq!(gate.send(&Request::new("/hooks/erp", "{}")).status, 401);
    kept(&gate, 2);

    let (ok, said) = rejects(&home, &gate, &["list"]);
    assert!(ok, "{said}");
    for part in [
        "bad_signature",
        "missing_signature",
        "127.0.0.1",
        "POST /hooks/erp?x=1",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let (ok, said) = rejects(&home, &gate, &["list", "--reason", "stale"]);
    assert!(
        ok && said.contains("no refused requests are kept"),
        "{said}"
    );
    let (ok, said) = rejects(&home, &gate, &["show", "1"]);
    assert!(
        ok && said.contains("x-signature: ") && said.contains(&body(0)),
        "{said}"
    );
    let (ok, said) = rejects(&home, &gate, &["show", "2"]);
    assert!(ok && said.contains("body not read"), "{said}");

    // By the configuration that is here, as of the time of receipt; and the same by hand.
    let (ok, said) = rejects(&home, &gate, &["explain", "1"]);
    assert!(!ok && said.starts_with("fails: "), "{said}");
    assert!(said.contains("secret"), "{said}");
    let (ok, said) = rejects(&home, &gate, &["explain", "2"]);
    assert!(!ok && said.starts_with("fails: "), "{said}");
    assert!(said.to_lowercase().contains("x-signature"), "{said}");
    write_secret(&home, RIGHT);
    let (ok, said) = rejects(&home, &gate, &["explain", "1"]);
    assert!(ok && said.starts_with("passes"), "{said}");
    let (ok, raw) = rejects(&home, &gate, &["show", "1", "--raw"]);
    assert!(
        ok && raw.starts_with("POST /hooks/erp?x=1 HTTP/1.1\r\n"),
        "{raw}"
    );
    let file = home.path().join("request.txt");
    std::fs::write(&file, &raw).expect("writable");
    let by_hand = home.command(&["explain", "request.txt", "-c", "hookgate.yaml"]);
    let output = { by_hand }.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.starts_with("passes"),
        "{text}"
    );

    let (ok, said) = rejects(&home, &gate, &["release", "1"]);
    assert!(
        !ok && said.contains("signature matches no secret"),
        "the gateway has the old one: {said}"
    );
    hang_up(&gate);
    let (ok, said) = rejects(&home, &gate, &["release"]);
    assert!(!ok && said.contains("which ones?"), "{said}");
    let (ok, said) = rejects(&home, &gate, &["release", "--source", "erp", "--dry-run"]);
    assert!(
        !ok && said.contains("would be: 1 accepted, 1 refused"),
        "{said}"
    );
    let (ok, said) = rejects(&home, &gate, &["release", "--source", "erp"]);
    assert!(!ok && said.contains("1 accepted, 1 refused"), "{said}");
    assert!(
        said.contains("1 stay: it was refused before its body was read"),
        "{said}"
    );
    let (ok, said) = rejects(&home, &gate, &["release", "--reason", "bad_signature"]);
    assert!(ok && said.contains("there are none"), "{said}");
    assert_eq!(taken(&app, 1).len(), 1);
}

/// The app's own answer decides: what it takes is done with, what it refuses stays.
#[test]
fn a_release_in_passthrough_ends_as_the_app_says() {
    let app = App::start();
    let home = home(
        &app,
        "ack: passthrough\n    rejects: {}",
        "rejects_per_client: 1000",
    );
    let gate = home.start();
    for n in 0..2 {
        assert_eq!(gate.send(&event(n)).status, 401);
    }
    kept(&gate, 2);
    write_secret(&home, RIGHT);
    hang_up(&gate);
    app.behave(Behaviour::Status(500));
    let page = release(&gate, &json!({}));
    assert_eq!(page["counts"], json!({ "refused": 2 }));
    assert_eq!(page["outcomes"][0]["reason"], "app");
    app.behave(Behaviour::Status(204));
    let page = release(&gate, &json!({}));
    assert_eq!(page["counts"], json!({ "passed": 2 }));
    assert_eq!(page["outcomes"][1]["status"], 204);
    kept(&gate, 0);
    let times = taken(&app, 4);
    assert!(times.values().all(|times| *times == 2), "{times:?}");
}

/// A source with another name keeps what it has; one that is gone is shown as such, and what no route wants leaves
/// the ring like anything else that is done with.
#[test]
fn after_a_change_of_the_configuration() {
    let app = App::start();
    let sources = |names: &[&str], more: &str| {
        let source = |name: &&str| {
            let replaces = if *name == "new" {
                "replaces: old, "
            } else {
                ""
            };
            format!(
                "  {name}: {{ {replaces}path: /{name}, verify: {{ token: {{ header: X-Token }} }}, secret: {RIGHT}{name}, \
                 event: {{ type: json:/type }}, rejects: {{}}, forward: [{{ to: app{more} }}] }}\n"
            )
        };
        let sources: String = names.iter().map(source).collect();
        let url = app.url();
        format!("sources:\n{sources}targets:\n  app: {{ url: {url} }}\n")
    };
    let home = Home::new(&sources(&["old", "gone", "stays"], ""));
    let gate = home.start();
    for (source, kind) in [("old", "a"), ("gone", "a"), ("stays", "a"), ("stays", "b")] {
        // The right token of the configuration to come.
        let token = if source == "old" { "new" } else { "other" };
        let body = json!({ "type": kind }).to_string();
        let request = Request::new(&format!("/{source}"), body);
        let request = request.header("X-Token", &format!("{RIGHT}{token}"));
        assert_eq!(gate.send(&request).status, 401);
    }
    kept(&gate, 4);
    gate.stop();

    let text = sources(&["new", "stays"], ", events: [a]");
    home.configure(&text.replace(&format!("{RIGHT}stays"), &format!("{RIGHT}other")));
    let gate = home.start();
    let rejects = kept(&gate, 4);
    let shown = |source: &str| {
        let of_it = rejects.iter().filter(|reject| reject["source"] == source);
        of_it
            .map(|reject| reject["configured"] == true)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("new"), [true]);
    assert_eq!(shown("gone"), [false]);
    assert_eq!(shown("stays"), [true, true]);
    let page = release(&gate, &json!({}));
    assert_eq!(
        page["counts"],
        json!({ "accepted": 2, "ignored": 1, "refused": 1 })
    );
    let outcomes = page["outcomes"].as_array().expect("a list");
    let refused = outcomes
        .iter()
        .find(|outcome| outcome["outcome"] == "refused");
    assert_eq!(refused.expect("one")["reason"], "source_gone");
    kept(&gate, 1);
    let got = app.wait_for(2);
    assert!(
        got.iter().all(|got| got.has("x-token")),
        "put back from the configuration"
    );
    // A token that was refused is what its sender sent; a right one is nowhere once it is released.
    let page = std::fs::read(home.database()).expect("there");
    let secret = format!("{RIGHT}new").into_bytes();
    assert!(!page.windows(secret.len()).any(|part| part == secret));
}

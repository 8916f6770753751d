//! The commands: what they print, and what they say when something is wrong.

use super::{config, send, wait_for_state, with_admin_port};
use crate::support::{App, Behaviour, Gate, gate::Home, wait_until};
use serde_json::Value;
use std::process::Output;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command against this gateway.
#[track_caller]
fn run(home: &Home, gate: &Gate, args: &[&str]) -> Ran {
    let admin = format!("http://{}", gate.admin);
    let args = [args, &["--admin", &admin]].concat();
    ran(&home.command(&args).output().expect("the binary runs"))
}

#[track_caller]
fn ok(home: &Home, gate: &Gate, args: &[&str]) -> String {
    let ran = run(home, gate, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.out, ran.err);
    ran.out
}

#[test]
fn an_operator_s_day() {
    let app = App::start();
    app.behave(Behaviour::Status(422));
    let home = Home::new(&config(&app));
    let gate = home.start();
    let sent: Vec<String> = (0..25)
        .map(|n| send(&gate, "erp", n, "order.created"))
        .collect();
    wait_until("all are dead", || {
        gate.metric("hookgate_dead_letters{target=\"app\"}") == 25.0
    });

    let listed = ok(
        &home,
        &gate,
        &["events", "list", "--state", "dead", "--since", "1h"],
    );
    assert_eq!(listed.lines().count(), 21, "{listed}");
    assert!(listed.starts_with("RECEIVED "), "{listed}");
    assert!(listed.contains("app: dead (expired)"), "{listed}");
    let lines = ok(
        &home,
        &gate,
        &["events", "list", "--limit", "1000", "--json"],
    );
    let ids: Vec<String> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    assert_eq!(ids, sent.iter().rev().cloned().collect::<Vec<_>>());

    let shown = ok(&home, &gate, &["events", "show", &sent[0]]);
    for part in [
        "source    erp",
        "order.created",
        "\nattempts\n",
        "\nheaders\n",
        "evt_0",
        " 422 ",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }

    app.behave(Behaviour::Status(200));
    let one = ok(&home, &gate, &["events", "replay", &sent[0]]);
    assert_eq!(one, format!("{} waits again, for 1 target\n", sent[0]));
    wait_for_state(&gate, &sent[0], "app", "delivered");
    let counted = ok(
        &home,
        &gate,
        &["events", "replay", "--state", "dead", "--dry-run"],
    );
    assert_eq!(counted, "would be replayed: 24 events, 24 deliveries\n");
    let before = app.count();
    let discarded = ok(&home, &gate, &["events", "discard", "--vendor-id", "evt_1"]);
    assert_eq!(
        discarded,
        "discarded: 1 events, 1 deliveries\ndead letters that a replay delivers: 0; forgotten for good: 1\n"
    );
    let replayed = ok(
        &home,
        &gate,
        &["events", "replay", "--state", "dead", "--rate", "100/s"],
    );
    assert_eq!(replayed, "replayed: 23 events, 23 deliveries\n");
    let audit = gate.said("admin.discard");
    assert!(audit.contains("evt_1"), "{audit}");
    app.wait_for(before + 23);

    let paused = ok(&home, &gate, &["targets", "pause", "app"]);
    assert!(paused.starts_with("app is paused"), "{paused}");
    let targets = ok(&home, &gate, &["targets", "list"]);
    assert!(
        targets
            .lines()
            .any(|line| line.starts_with("app ") && line.contains("paused")),
        "{targets}"
    );
    let retried = ok(&home, &gate, &["targets", "retry", "app"]);
    assert!(retried.starts_with("app is paused"), "{retried}");
    ok(&home, &gate, &["targets", "resume", "app"]);
    ok(&home, &gate, &["targets", "retry", "app"]);
    let sources = ok(&home, &gate, &["sources", "list"]);
    let erp = sources
        .lines()
        .find(|line| line.starts_with("erp "))
        .expect("listed");
    assert!(erp.contains(" 25 "), "{sources}");
    ok(&home, &gate, &["history"]);

    let to_a_url = ok(
        &home,
        &gate,
        &["events", "replay", &sent[0], "--to", &app.url()],
    );
    assert!(to_a_url.contains(" delivered: 200, "), "{to_a_url}");
    app.behave(Behaviour::Status(418));
    let refused = run(
        &home,
        &gate,
        &["events", "replay", &sent[0], "--to", &app.url()],
    );
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.out.contains(" not delivered: 418, "),
        "{}",
        refused.out
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let cases: [(&[&str], i32, &str); 12] = [
        (&["targets", "pause", "ap"], 1, "did you mean app?"),
        (
            &["events", "list", "--source", "epr"],
            1,
            "did you mean erp?",
        ),
        (&["events", "show", "nonsense"], 1, "no event \"nonsense\""),
        (
            &["events", "list", "--since", "yesterday"],
            64,
            "'yesterday' for '--since <TIME>': accepted: RFC 3339",
        ),
        (&["history", "--until", "1769855400"], 64, "--until"),
        (&["rejects", "list", "--since", "2"], 64, "--since"),
        (
            &["rejects", "list", "--source", "epr"],
            1,
            "did you mean erp?",
        ),
        (
            &["rejects", "release", "--source", "epr"],
            1,
            "no source \"epr\"",
        ),
        (&["events", "replay"], 64, "--all"),
        (
            &["events", "discard", "x", "--state", "dead"],
            64,
            "one of them",
        ),
        (&["events", "list", "--cursor", "nonsense"], 1, "cursor"),
        (
            &["events", "replay", "--all", "--to", "othr"],
            1,
            "did you mean other?",
        ),
    ];
    for (args, code, says) in cases {
        let ran = run(&home, &gate, args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
    let admin = format!("http://{}", gate.admin);
    drop(gate);
    let gone = home
        .command(&["targets", "list", "--admin", &admin])
        .output()
        .expect("it runs");
    let gone = ran(&gone);
    assert_eq!(gone.code, Some(1));
    assert!(gone.err.contains("is the gateway running?"), "{}", gone.err);
}

/// The file says where the gateway is and which token it has; what its sources need is not set here.
#[test]
fn the_configuration_is_enough_without_the_sources_secrets() {
    let app = App::start();
    let text = config(&app).replace("secret: a-secret-token", "secret: \"${SOURCE_SECRET}\"");
    let home = with_admin_port(&text, "\"${ADMIN_TOKEN}\"")
        .env("SOURCE_SECRET", "a-secret-token")
        .env("ADMIN_TOKEN", "open-sesame");
    let gate = home.start();
    send(&gate, "erp", 1, "a");
    let command = |token: Option<&str>, args: &[&str]| {
        let mut command =
            home.command(&[&["events", "list", "-c", "hookgate.yaml"], args].concat());
        command
            .env_remove("SOURCE_SECRET")
            .env_remove("ADMIN_TOKEN");
        if let Some(token) = token {
            command.env("HOOKGATE_ADMIN_TOKEN", token);
        }
        ran(&command.output().expect("the binary runs"))
    };
    for (token, args) in [
        (Some("open-sesame"), &[][..]),
        (None, &["--token", "open-sesame"]),
    ] {
        let listed = command(token, args);
        assert_eq!(listed.code, Some(0), "{}", listed.err);
        assert!(listed.out.contains("app: "), "{}", listed.out);
    }
    let missing = command(None, &[]);
    assert!(missing.err.contains("not set here"), "{}", missing.err);
    let wrong = command(Some("sesame"), &[]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("another token"), "{}", wrong.err);
    let admin = format!("http://{}", gate.admin);
    let mut none = home.command(&["events", "list", "--admin", &admin]);
    let none = ran(&none
        .env_remove("ADMIN_TOKEN")
        .output()
        .expect("the binary runs"));
    assert!(none.err.contains("asks for its token"), "{}", none.err);
}

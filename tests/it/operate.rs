//! What an operator meets: the command line, exit codes, metrics, locks, and a process that says why it ends.

#![expect(
    clippy::float_cmp,
    reason = "metrics are counts and states, exact in a double"
)]

use crate::support::{App, Gate, Request, gate::Home, hmac_sha256_hex, tools, wait_until};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

const SECRET: &str = "operator-secret";

fn config(app: &App) -> String {
    format!(
        "sources:\n  chatmefy: {{ provider: chatmefy, secret: {SECRET}, forward: app }}\n  vowchat: {{ provider: vowchat, secret: {SECRET}, forward: app }}\n\
         targets:\n  app: {{ url: {} }}\n",
        app.url()
    )
}

#[track_caller]
fn run(home: &Home, args: &[&str]) -> Output {
    home.command(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn check_and_run_report_the_same_problems_and_exit_78() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let output = run(&home, &["check", "-c", "hookgate.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("/hooks/chatmefy"),
        "{}",
        stdout(&output)
    );
    assert!(
        stdout(&output).starts_with("config   hookgate.yaml, valid\n"),
        "{}",
        stdout(&output)
    );
    assert!(!stdout(&output).contains(SECRET) && !stderr(&output).contains(SECRET));

    home.configure("sources:\n  a: { provider: chatmefi, secret: \"\", forward: nowhere }\nlimits: { body: 0, bodi: 1 }\n");
    let checked = run(&home, &["check", "-c", "hookgate.yaml"]);
    let ran = run(&home, &["run", "-c", "hookgate.yaml"]);
    assert_eq!(
        (checked.status.code(), ran.status.code()),
        (Some(78), Some(78))
    );
    for output in [&checked, &ran] {
        let text = stderr(output);
        for key in [
            "sources.a.provider",
            "sources.a.secret",
            "sources.a.forward",
            "limits.body",
            "limits.bodi",
        ] {
            let line = text
                .lines()
                .find(|line| line.contains(&format!(" {key}:")))
                .unwrap_or_else(|| panic!("{key} in\n{text}"));
            let place: Vec<&str> = line.splitn(4, ':').collect();
            assert!(place[0].ends_with("hookgate.yaml"), "{line}");
            assert!(
                place[1].parse::<u32>().is_ok() && place[2].parse::<u32>().is_ok(),
                "line and column in {line}"
            );
        }
    }
    assert!(
        !home.path().join("data").exists(),
        "a configuration that is refused touches nothing"
    );
}

/// What the README and the map of the house point to is there.
#[test]
fn documents_name_files_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect("readable");
        let quoted = text.split('`').skip(1).step_by(2);
        let named: Vec<&str> = quoted
            .filter(|word| {
                let folder = ["src/", "tests/", "config/", ".ci/"];
                folder.iter().any(|folder| word.starts_with(folder))
            })
            .collect();
        assert!(!named.is_empty(), "{document} names no file");
        for name in named {
            let inside = [root.join(name), root.join("src").join(name)];
            let there = inside.iter().any(|path| path.exists());
            assert!(there, "{document} names {name}, which is not there");
        }
    }
}

#[test]
fn usage_errors_exit_64_and_missing_files_78() {
    let home = Home::new("");
    for args in [
        &["fly"][..],
        &["run", "--nonsense"],
        &["send"],
        &["run", "--provider", "chatmefy"],
    ] {
        let output = run(&home, args);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(
        run(&home, &["check", "-c", "absent.yaml"]).status.code(),
        Some(78)
    );
    for args in [&["--help"][..], &["--version"], &["run", "--help"]] {
        assert_eq!(run(&home, args).status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn a_store_in_use_and_a_store_of_another_program_exit_74() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    wait_until("ready", || gate.admin_get("/readyz").status == 200);
    let (status, log) = home.try_start().err().expect("the store is taken");
    assert_eq!(status.code(), Some(74), "{log}");
    assert!(log.contains("in use"), "{log}");
    // The one that runs is not disturbed.
    assert_eq!(gate.admin_get("/readyz").status, 200);
    assert!(gate.stop().0.success());

    let mode = |path: std::path::PathBuf| {
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!(mode(home.path().join("data")), 0o700);
    assert_eq!(mode(home.database()), 0o600);

    for file in ["hookgate.db-wal", "hookgate.db-shm"] {
        // A clean stop may have removed them already.
        let _ = std::fs::remove_file(home.path().join("data").join(file));
    }
    std::fs::write(
        home.database(),
        "this is no database, and far too long to be an empty one\n".repeat(200),
    )
    .expect("writable");
    let (status, log) = home.try_start().err().expect("not a store");
    assert_eq!(status.code(), Some(74), "{log}");
    assert!(log.contains("hookgate.db"), "{log}");
}

#[test]
fn one_source_runs_without_a_file() {
    let app = App::start();
    let home = Home::new("").env("HOOKGATE_SECRET", SECRET);
    std::fs::remove_file(home.file()).expect("there");
    let url = app.url();
    let args = [
        "run",
        "--provider",
        "chatmefy",
        "--forward-to",
        &url,
        "--listen",
        "127.0.0.1:0",
    ];
    let mut child = home
        .command(&args)
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    // The admin side has its fixed default here, which another test's gateway may hold: then it says so and ends.
    let status = crate::support::eventually("it is ready or says why not", || {
        let ready = Command::new(crate::support::gate::HOOKGATE)
            .arg("healthcheck")
            .output()
            .expect("runs")
            .status
            .success();
        if ready {
            Some(None)
        } else {
            child.try_wait().expect("a child of ours").map(Some)
        }
    });
    assert_eq!(status, None, "it did not start");
    child.kill().expect("alive");
    child.wait().expect("a child of ours");
}

/// `send` plays every vendor against a running gateway.
#[test]
fn send_plays_the_vendor() {
    let app = App::start();
    // The five seconds of this vendor may be too few on a busy machine.
    let patient = "provider: vowchat, sender_timeout: 5m,";
    let home = Home::new(&config(&app).replace("provider: vowchat,", patient));
    let gate = home.start();
    let to = |source: &str| format!("http://{}/hooks/{source}", gate.public);
    for source in ["chatmefy", "vowchat"] {
        let output = run(
            &home,
            &["send", source, "-c", "hookgate.yaml", "--to", &to(source)],
        );
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}{}",
            stdout(&output),
            stderr(&output)
        );
        assert!(
            stdout(&output).contains("200") && stdout(&output).contains(r#""received":true"#),
            "{}",
            stdout(&output)
        );
    }
    let repeated = run(
        &home,
        &[
            "send",
            "chatmefy",
            "-c",
            "hookgate.yaml",
            "--to",
            &to("chatmefy"),
            "--repeat",
        ],
    );
    assert!(
        stdout(&repeated).contains(r#""duplicate":true"#),
        "{}",
        stdout(&repeated)
    );
    let tampered = run(
        &home,
        &[
            "send",
            "chatmefy",
            "-c",
            "hookgate.yaml",
            "--to",
            &to("chatmefy"),
            "--tamper",
        ],
    );
    assert!(stdout(&tampered).contains("401"), "{}", stdout(&tampered));
    let unknown = run(&home, &["send", "chatmefi", "-c", "hookgate.yaml"]);
    assert_ne!(unknown.status.code(), Some(0));
    assert!(
        stderr(&unknown).contains("chatmefy"),
        "it names what there is: {}",
        stderr(&unknown)
    );

    let before = gate.metric(r#"hookgate_events_total{source="vowchat",result="accepted"}"#);
    let load = run(
        &home,
        &[
            "send",
            "vowchat",
            "-c",
            "hookgate.yaml",
            "--to",
            &to("vowchat"),
            "--count",
            "500",
            "--connections",
            "8",
        ],
    );
    assert_eq!(
        load.status.code(),
        Some(0),
        "{}{}",
        stdout(&load),
        stderr(&load)
    );
    let text = stdout(&load);
    assert!(text.contains("p50") && text.contains("p99"), "{text}");
    assert_eq!(
        gate.metric(r#"hookgate_events_total{source="vowchat",result="accepted"}"#),
        before + 500.0,
        "each is an event of its own"
    );
    wait_until("all are delivered", || app.count() == 503);
}

/// No command sends its user into a file that is not there.
#[test]
fn without_a_configuration_the_next_step_is_named() {
    if std::path::Path::new("/etc/hookgate/hookgate.yaml").exists() {
        eprintln!("skipped: this machine has a configuration of its own");
        return;
    }
    let home = Home::new("");
    std::fs::remove_file(home.file()).expect("there");
    for (args, next) in [
        (&["run"][..], "hookgate run --provider NAME"),
        (&["check"], "hookgate demo"),
        (&["send", "chatmefy"], "hookgate send NAME --to"),
    ] {
        let output = run(&home, args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{args:?}: {text}");
        let first = "error: no configuration found: there is no hookgate.yaml and no /etc/hookgate/hookgate.yaml";
        assert_eq!(text.lines().next(), Some(first), "{args:?}");
        assert!(text.contains(next), "{args:?}: {text}");
        assert!(!text.contains("problem"), "{args:?}: {text}");
    }
}

/// Options that stand for keys are checked as options, and told as such.
#[test]
fn options_of_one_source_are_refused_by_their_own_names() {
    let home = Home::new("").env("HOOKGATE_SECRET", SECRET);
    let one = ["run", "--provider", "chatmefy", "--forward-to"];
    let with = |more: &[&str]| {
        let args = [&one[..], more].concat();
        let output = run(&home, &args);
        (output.status.code(), stderr(&output))
    };
    for (more, option) in [
        (&["notaurl"][..], "--forward-to"),
        (&["http://127.0.0.1:1/", "--listen", "8080"], "--listen"),
        (&["http://127.0.0.1:1/", "--header", "X Y"], "--header"),
    ] {
        let (code, text) = with(more);
        assert_eq!(code, Some(64), "{text}");
        assert!(
            text.contains(option) && text.contains("accepted: "),
            "{text}"
        );
        assert!(!text.contains("command line"), "{text}");
    }
    let (code, text) = with(&["http://127.0.0.1:1/", "--secret-file", "absent"]);
    assert_eq!(code, Some(78), "{text}");
    assert!(text.starts_with("--secret-file: "), "{text}");
}

#[test]
fn healthcheck_does_not_ask_a_port_that_nobody_knows() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let output = run(&home, &["healthcheck", "-c", "hookgate.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("port 0"), "{}", stderr(&output));
}

/// What `send` was asked for and cannot do is said, not passed over.
#[test]
fn send_passes_over_nothing_that_it_was_asked_for() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  chatmefy: {{ provider: chatmefy, secrets: [{SECRET}, \"${{OLD}}\"], forward: app }}\n  \
         vowchat: {{ provider: vowchat, secret: \"${{VOWCHAT}}\", forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
    .env("OLD", "old-secret")
    .env("VOWCHAT", "vowchat-secret");
    let gate = home.start();
    let to = format!("http://{}", gate.public);
    std::fs::write(home.path().join("lead.json"), r#"{"event":"lead.lost"}"#).expect("writable");
    let send = |source: &str, more: &[&str]| {
        let args = ["send", source, "-c", "hookgate.yaml", "--to", &to];
        let args = [&args[..], more].concat();
        // The machine that sends has none of the other secrets.
        let output = home
            .command(&args)
            .env_remove("OLD")
            .env_remove("VOWCHAT")
            .output()
            .expect("the binary runs");
        (output.status.code(), stdout(&output), stderr(&output))
    };

    let (code, out, err) = send("chatmefy", &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, _, err) = send("vowchat", &[]);
    assert_eq!(code, Some(78), "{err}");
    assert!(
        err.contains("sources.vowchat.secret: ") && err.contains("1 problem\n"),
        "{err}"
    );

    let (code, _, err) = send("chatmefy", &["--header", "X-Foo"]);
    assert_eq!(code, Some(64), "{err}");
    assert!(
        err.contains("--header") && err.contains("hookgate.yaml"),
        "{err}"
    );

    let (code, _, err) = send("chatmefy", &["--data", "lead.json", "--event", "foo"]);
    assert_eq!(code, Some(64), "{err}");
    assert!(
        err.contains("json:/event") && err.contains("lead.lost"),
        "{err}"
    );

    let load = ["--data", "lead.json", "--count", "3"];
    let (code, out, err) = send("chatmefy", &load);
    assert_eq!(code, Some(0), "{out}{err}");
    for (number, word) in [("1", "accepted"), ("2", "duplicate")] {
        let line = ["200", number, word];
        let told = |text: &str| text.split_whitespace().eq(line);
        assert!(out.lines().any(told), "{line:?} in\n{out}");
    }
}

#[test]
fn providers_lists_and_prints_the_presets() {
    let home = Home::new("");
    let list = run(&home, &["providers"]);
    for name in [
        "chatsvia",
        "vowchat",
        "chatplugify",
        "live-chat",
        "chatmefy",
    ] {
        assert!(stdout(&list).contains(name));
        let one = run(&home, &["providers", name]);
        assert_eq!(one.status.code(), Some(0));
        assert!(stdout(&one).contains("verify:"), "{}", stdout(&one));
    }
    assert_ne!(run(&home, &["providers", "nobody"]).status.code(), Some(0));
}

#[test]
fn demo_keeps_every_promise() {
    let home = Home::new("");
    let output = run(&home, &["demo", "--exit"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for word in [
        "accepted",
        "duplicate",
        "refused",
        "delivered",
        "lost",
        "curl",
        "hookgate send",
    ] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

fn busy(home: &Home, app: &App) -> Gate {
    let gate = home.start();
    let body = r#"{"event":"lead.created"}"#;
    let signature = format!("sha256={}", hmac_sha256_hex(SECRET, &[body.as_bytes()]));
    let request = Request::new("/hooks/chatmefy", body).header("X-Chatmefy-Signature", &signature);
    assert_eq!(gate.send(&request).status, 200);
    assert_eq!(gate.send(&request).status, 200);
    assert_eq!(
        gate.send(&Request::new("/hooks/chatmefy", body)).status,
        401
    );
    assert_eq!(gate.send(&Request::new("/nowhere", body)).status, 404);
    app.wait_for(1);
    gate
}

#[expect(
    clippy::too_many_lines,
    reason = "most of it is the table of every series"
)]
#[test]
fn metrics_are_whole_from_the_start_and_a_prometheus_parser_reads_them() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let text = gate.admin_get("/metrics").body;
    // Every series that the configuration makes known exists from the start, at 0.
    let series = |name: &str, labels: &[(&str, &[&str])]| {
        let mut found = vec![String::new()];
        for (label, values) in labels {
            found = found
                .iter()
                .flat_map(|head| {
                    values
                        .iter()
                        .map(move |value| format!("{head},{label}=\"{value}\""))
                })
                .collect();
        }
        found
            .into_iter()
            .map(|labels| format!("hookgate_{name}{{{}}}", labels.trim_start_matches(',')))
            .collect::<Vec<_>>()
    };
    let sources: &[&str] = &["chatmefy", "vowchat"];
    let mut expected = [
        series(
            "events_total",
            &[
                ("source", sources),
                (
                    "result",
                    &[
                        "accepted",
                        "duplicate",
                        "ignored",
                        "rejected",
                        "unavailable",
                    ],
                ),
            ],
        ),
        series(
            "requests_rejected_total",
            &[
                ("source", sources),
                (
                    "reason",
                    &[
                        "missing_signature",
                        "bad_signature",
                        "stale",
                        "too_large",
                        "timeout",
                        "malformed",
                    ],
                ),
            ],
        ),
        series(
            "unavailable_total",
            &[
                ("source", sources),
                ("reason", &["full", "store", "overloaded", "late"]),
            ],
        ),
        series(
            "http_requests_total",
            &[("source", sources), ("code", &["200"])],
        ),
        series(
            "secret_matches_total",
            &[("source", sources), ("secret", &["1"])],
        ),
        series("dedupe_conflicts_total", &[("source", sources)]),
        series("dedupe_keys", &[("source", sources)]),
        series(
            "attempts_total",
            &[
                ("target", &["app"]),
                ("outcome", &["delivered"]),
                ("reason", &["2xx"]),
            ],
        ),
        series(
            "attempts_total",
            &[
                ("target", &["app"]),
                ("outcome", &["failed"]),
                (
                    "reason",
                    &["5xx", "timeout", "connect", "tls", "dns", "closed"],
                ),
            ],
        ),
        series("pending_deliveries", &[("target", &["app"])]),
        series("oldest_pending_seconds", &[("target", &["app"])]),
        series("dead_letters", &[("target", &["app"])]),
        series(
            "dead_letters_total",
            &[("target", &["app"]), ("reason", &["expired"])],
        ),
        series(
            "target_state",
            &[
                ("target", &["app"]),
                ("state", &["half_open", "open", "paused"]),
            ],
        ),
    ]
    .concat();
    expected.push("hookgate_dedupe_evictions_total".to_owned());
    for series in &expected {
        let value = crate::support::gate::find_series(&text, series)
            .unwrap_or_else(|| panic!("no {series} in\n{text}"));
        assert_eq!(value, 0.0, "{series}");
    }
    assert_eq!(
        gate.metric(r#"hookgate_target_state{target="app",state="closed"}"#),
        1.0
    );
    for name in [
        "store_limit_bytes",
        "store_filesystem_avail_bytes",
        "config_last_reload_successful",
        "process_resident_memory_bytes",
    ] {
        let name = if name.starts_with("process") {
            name.to_owned()
        } else {
            format!("hookgate_{name}")
        };
        wait_until(&format!("{name} is set"), || gate.metric(&name) > 0.0);
    }
    drop(gate);

    let gate = busy(&home, &app);
    for (series, value) in [
        (
            r#"hookgate_events_total{source="chatmefy",result="accepted"}"#,
            1.0,
        ),
        (
            r#"hookgate_events_total{source="chatmefy",result="duplicate"}"#,
            1.0,
        ),
        (
            r#"hookgate_requests_rejected_total{source="chatmefy",reason="missing_signature"}"#,
            1.0,
        ),
        (
            r#"hookgate_http_requests_total{source="chatmefy",code="200"}"#,
            2.0,
        ),
        (
            r#"hookgate_http_requests_total{source="chatmefy",code="401"}"#,
            1.0,
        ),
        (r#"hookgate_http_requests_total{source="",code="404"}"#, 1.0),
        (
            r#"hookgate_secret_matches_total{source="chatmefy",secret="1"}"#,
            2.0,
        ),
    ] {
        assert_eq!(gate.metric(series), value, "{series}");
    }
    let last = gate.metric(r#"hookgate_last_event_timestamp_seconds{source="chatmefy"}"#);
    assert!(last > 1.7e9);
    wait_until("the attempt is settled", || {
        gate.metric(r#"hookgate_attempts_total{target="app",outcome="delivered",reason="2xx"}"#)
            == 1.0
    });
    for bound in [
        "0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "10", "30",
    ] {
        gate.metric(&format!(
            r#"hookgate_ack_duration_seconds_bucket{{source="chatmefy",le="{bound}"}}"#
        ));
    }
    let text = gate.admin_get("/metrics").body;
    drop(gate);
    let gate = home.start();
    assert_eq!(
        gate.metric(r#"hookgate_last_event_timestamp_seconds{source="chatmefy"}"#),
        last,
        "restored at start"
    );

    if !tools::has("python3", &["-c", "import prometheus_client"]) {
        return;
    }
    let program = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as parse\n\
                   families = {f.name: f for f in parse(sys.stdin.read())}\n\
                   assert all(f.documentation and f.type != 'unknown' for n, f in families.items() if n.startswith('hookgate_')), families\n\
                   print(len([n for n in families if n.startswith('hookgate_')]))\n";
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    python
        .stdin
        .take()
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("python reads");
    let output = python.wait_with_output().expect("python3");
    assert!(output.status.success(), "the parser refuses it:\n{text}");
    let families: usize = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("a number");
    assert!(families >= 25, "{families} families");
}

/// So that one alert rule, which compares it with the time since the last event, finds any source gone quiet.
#[test]
fn a_source_that_expects_events_says_how_often_and_others_have_no_such_series() {
    let app = App::start();
    let config = config(&app).replacen("forward: app", "forward: app, expect_every: 2h", 1);
    let home = Home::new(&config);
    let gate = busy(&home, &app);
    let text = gate.admin_get("/metrics").body;
    let series: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("hookgate_source_expected_interval_seconds"))
        .collect();
    assert_eq!(
        series,
        [r#"hookgate_source_expected_interval_seconds{source="chatmefy"} 7200"#]
    );
    // What it is compared with has the same labels.
    assert!(gate.metric(r#"hookgate_last_event_timestamp_seconds{source="chatmefy"}"#) > 1.7e9);
}

#[test]
fn logs_are_json_with_the_fields_of_the_contract() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = busy(&home, &app);
    wait_until("the audit lines", || {
        ["event.accepted", "event.delivered"]
            .iter()
            .all(|line| gate.log().contains(line))
    });
    let log = gate.log();
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        assert!(
            line["target"].as_str().is_none_or(|target| target == "app"),
            "only our own target: {line}"
        );
    }
    let delivered = log
        .lines()
        .find(|line| line.contains("event.delivered"))
        .expect("just seen");
    let delivered: serde_json::Value = serde_json::from_str(delivered).expect("JSON");
    assert_eq!(delivered["target"], "app");
    assert_eq!(delivered["source"], "chatmefy");
    assert!(
        delivered["event_id"].is_string()
            && delivered["attempt"] == 1
            && delivered["status"] == 200,
        "{delivered}"
    );
}

//! Secrets: exchanged while the gateway runs, and never seen anywhere.

use crate::support::{
    App, Behaviour, Request, eventually,
    gate::{Gate, Home, RELOADED},
    sender::{Connection, hmac_sha256_hex},
    wait_until,
};
use std::path::Path;

const CANARY: &str = "canary-4f9d1c7e-never-to-be-seen";
const NEXT: &str = "canary-b83a2f60-never-to-be-seen";
const STRANGER: &str = "somebody-else-entirely";

fn signed(secret: &str, n: usize) -> Request {
    let request = Request::new("/hooks/signed", format!("{{\"n\":{n}}}"));
    let mac = hmac_sha256_hex(secret, &[&request.body]);
    request.header("X-Signature", &mac)
}

fn carrying(secret: &str, n: usize) -> Request {
    Request::new("/hooks/token", format!("{{\"n\":{n}}}")).header("X-Token", secret)
}

/// One source that is signed, one whose token is the secret, both with what stands in the file `secret`.
fn home(app: &App) -> Home {
    let home = Home::new(&format!(
        "sources:\n  signed:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {{ file: secret }}\n    forward: app\n  \
         token:\n    verify: {{ token: {{ header: X-Token }} }}\n    secret: {{ file: secret }}\n    forward: app\n\
         targets:\n  app: {{ url: {}, retry: {{ first: 20ms, max: 100ms }} }}\n",
        app.url()
    ));
    write_secret(&home, CANARY);
    home
}

fn write_secret(home: &Home, secret: &str) {
    std::fs::write(home.path().join("secret"), format!("{secret}\n"))
        .expect("a writable directory");
}

fn hang_up(gate: &Gate, says: &str) {
    let before = gate.log().matches(says).count();
    gate.signal("HUP");
    wait_until(says, || gate.log().matches(says).count() > before);
}

#[test]
fn a_hangup_exchanges_the_secrets_in_files() {
    let app = App::start();
    let home = home(&app);
    let gate = home.start();
    assert_eq!(gate.send(&signed(CANARY, 1)).status, 200);
    assert_eq!(gate.send(&signed(NEXT, 2)).status, 401);

    write_secret(&home, NEXT);
    assert_eq!(
        gate.send(&signed(NEXT, 2)).status,
        401,
        "not before it is told"
    );
    hang_up(&gate, "configuration was read anew");
    assert_eq!(
        gate.send(&signed(CANARY, 3)).status,
        401,
        "the former one is gone"
    );
    assert_eq!(gate.send(&signed(NEXT, 2)).status, 200);
    assert_eq!(gate.send(&carrying(NEXT, 4)).status, 200);
    assert_eq!(gate.metric(RELOADED), 1.0);

    let taken = app.wait_for(3);
    let mut tokens = taken.iter().filter(|got| got.has("x-token"));
    let token = tokens.next().expect("the app got it").header("x-token");
    assert_eq!(token, NEXT, "put back as it is now");
}

#[test]
fn a_bad_file_changes_nothing_and_says_so() {
    let app = App::start();
    let home = home(&app);
    let gate = home.start();
    for bad in ["", "\n"] {
        std::fs::write(home.path().join("secret"), bad).expect("a writable directory");
        hang_up(&gate, "nothing was changed");
        assert_eq!(gate.metric(RELOADED), 0.0);
        assert_eq!(gate.send(&signed(CANARY, 1)).status, 200);
    }
    std::fs::remove_file(home.path().join("secret")).expect("it is there");
    hang_up(&gate, "nothing was changed");
    assert_eq!(gate.send(&carrying(CANARY, 2)).status, 200);
    assert!(gate.log().contains("can't be read"), "{}", gate.log());

    write_secret(&home, NEXT);
    hang_up(&gate, "configuration was read anew");
    assert_eq!(gate.metric(RELOADED), 1.0);
    assert_eq!(gate.send(&signed(NEXT, 3)).status, 200);
}

/// However often it is told, no request meets half of a secret or none.
#[test]
fn a_storm_of_hangups_costs_no_request() {
    const REQUESTS: usize = 200;

    let app = App::start();
    let home = home(&app);
    let gate = home.start();
    std::thread::scope(|scope| {
        let sending: Vec<_> = (0..4)
            .map(|sender| {
                let gate = &gate;
                scope.spawn(move || {
                    for n in 0..REQUESTS {
                        let n = sender * REQUESTS + n;
                        assert_eq!(gate.send(&signed(CANARY, n)).status, 200, "{n}");
                        assert_eq!(gate.send(&carrying(CANARY, n)).status, 200, "{n}");
                    }
                })
            })
            .collect();
        while sending.iter().any(|sending| !sending.is_finished()) {
            gate.signal("HUP");
        }
    });
    gate.said("configuration was read anew");
    assert_eq!(gate.metric(RELOADED), 1.0);
    app.wait_for(8 * REQUESTS);
}

fn unix_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Asked again and again until one secret has followed the other: no answer may contradict the clock.
#[test]
fn a_secret_counts_in_its_time_and_no_longer() {
    let app = App::start();
    let config = |turn: i64| {
        let at = jiff::Timestamp::from_millisecond(turn).expect("in this age");
        format!(
            "sources:\n  signed:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secrets:\n      \
             - {{ name: old, value: {CANARY}, not_after: {at} }}\n      - {{ name: new, value: {NEXT}, not_before: {at} }}\n    \
             forward: app\ntargets:\n  app: {{ url: {} }}\n",
            app.url()
        )
    };
    let home = Home::new(&config(unix_ms() + 3_600_000));
    let gate = home.start();
    let mut accepted = [0.0, 0.0];
    let mut n = 0;
    let mut ask = |secret| {
        n += 1;
        let before = unix_ms();
        let status = gate.send(&signed(secret, n)).status;
        assert!([200, 401].contains(&status), "{status}");
        (before, status == 200, unix_ms())
    };
    let mut ask_both = |turn: i64| {
        let (before, old, after) = ask(CANARY);
        assert!(
            if old { before <= turn } else { after > turn },
            "{before} {old} {after} {turn}"
        );
        let (before, new, after) = ask(NEXT);
        assert!(
            if new { after >= turn } else { before < turn },
            "{before} {new} {after} {turn}"
        );
        accepted[0] += f64::from(u8::from(old));
        accepted[1] += f64::from(u8::from(new));
        (old, new)
    };
    // With another turn where the machine was so busy that the first question came after it.
    let turn = eventually("it is asked before the turn", || {
        let turn = unix_ms() + 3000;
        home.configure(&config(turn));
        gate.reloaded();
        let (old, _) = ask_both(turn);
        old.then_some(turn)
    });
    wait_until("the new secret has taken over", || {
        ask_both(turn) == (false, true)
    });
    assert!(accepted[0] > 0.0, "begun before the turn");
    for (name, accepted) in ["old", "new"].iter().zip(accepted) {
        let series =
            format!("hookgate_secret_matches_total{{source=\"signed\",secret=\"{name}\"}}");
        assert_eq!(gate.metric(&series), accepted, "{series}");
    }
}

/// As many as there may be: each proves, each is counted under its name or else its place, and never under its id.
#[test]
fn sixteen_secrets_each_prove_and_are_counted() {
    let app = App::start();
    let secrets = |most: usize| -> String {
        let secret = |n: usize| match n {
            1 => "\"secret-number-1\"".to_owned(),
            2 => "{ file: crlf }".to_owned(),
            n => format!("{{ name: n{n}, id: id{n}, value: secret-number-{n} }}"),
        };
        (1..=most)
            .map(|n| format!("      - {}\n", secret(n)))
            .collect()
    };
    let text = |most| {
        format!(
            "sources:\n  signed:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secrets:\n{}    forward: app\n\
             targets:\n  app: {{ url: {} }}\n",
            secrets(most),
            app.url()
        )
    };
    let home = Home::new(&text(17));
    std::fs::write(home.path().join("crlf"), "secret-number-2\r\n").expect("writable");
    let (status, log) = home.try_start().err().expect("one too many");
    assert_eq!(status.code(), Some(78), "{log}");

    home.configure(&text(16));
    let gate = home.start();
    for n in 1..=16 {
        let request = signed(&format!("secret-number-{n}"), n);
        assert_eq!(gate.send(&request).status, 200, "{n}");
        let name = if n < 3 {
            n.to_string()
        } else {
            format!("n{n}")
        };
        let series =
            format!("hookgate_secret_matches_total{{source=\"signed\",secret=\"{name}\"}}");
        assert_eq!(gate.metric(&series), 1.0, "{series}");
    }
    let metrics = gate.admin_get("/metrics").body;
    assert!(!metrics.contains("id3"), "{metrics}");
}

/// A param is a text in a template, but some of them are as good as a secret. (A public key is none, and is not looked
/// for.)
#[test]
fn a_verify_token_is_seen_nowhere() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  meta:\n    provider: meta\n    secret: any\n    params: {{ verify_token: \"${{TOKEN}}\" }}\n    \
         forward: app\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
    .env("TOKEN", CANARY)
    .env("RUST_LOG", "debug");
    let gate = home.start();
    for (token, status) in [(CANARY.to_owned(), 200), (format!("{CANARY}x"), 401)] {
        let mut connection = Connection::open(gate.public);
        let query = format!("hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}");
        connection.write(format!("GET /hooks/meta?{query} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let reply = connection.reply();
        assert_eq!(reply.status, status, "{reply:?}");
        clean("an answer", format!("{reply:?}").as_bytes());
    }
    clean("/metrics", gate.admin_get("/metrics").body.as_bytes());
    let output = home
        .command(&["check", "-c", "hookgate.yaml"])
        .output()
        .expect("the binary runs");
    clean("check", &output.stdout);
    clean("check", &output.stderr);
    let (_, log) = gate.stop();
    clean("the log", log.as_bytes());
    clean("the data directory", &contents(&home.path().join("data")));
}

/// Everything that an operator, a log shipper, a backup or a crash reporter gets to see.
#[test]
fn a_secret_is_seen_nowhere() {
    let app = App::start();
    app.behave(Behaviour::Status(500));
    let home = home(&app);
    let gate = home.start();
    for (n, request) in [
        signed(CANARY, 1),
        carrying(CANARY, 2),
        signed(STRANGER, 3),
        carrying(STRANGER, 4),
        carrying(&format!("{CANARY}x"), 5),
    ]
    .iter()
    .enumerate()
    {
        let reply = gate.send(request);
        assert_eq!(reply.status == 200, n < 2, "{n}: {reply:?}");
        clean("an answer", format!("{reply:?}").as_bytes());
    }
    write_secret(&home, NEXT);
    hang_up(&gate, "configuration was read anew");
    std::fs::write(home.path().join("secret"), "").expect("a writable directory");
    hang_up(&gate, "nothing was changed");
    wait_until("an attempt has failed", || app.count() > 0);

    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/sources",
        "/api/v1/targets",
        "/api/v1/history",
        "/api/v1/events?limit=200",
        "/api/v1/openapi.yaml",
        "/",
        "/debug",
    ] {
        clean(path, format!("{:?}", gate.admin_get(path)).as_bytes());
    }
    // The event whose header was the secret among them, with its attempts.
    let listed = gate.admin_get("/api/v1/events").json();
    let events = listed["events"].as_array().expect("a list");
    assert_eq!(events.len(), 2, "{listed}");
    for event in events {
        let path = format!("/api/v1/events/{}", event["id"].as_str().expect("an id"));
        let shown = gate.admin_get(&path);
        assert_eq!(shown.status, 200, "{shown:?}");
        clean(&path, format!("{shown:?}").as_bytes());
    }
    clean("the data directory", &contents(&home.path().join("data")));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gate.pid())).expect("Linux");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core = core.expect("a limit of core files");
    assert_eq!(
        core.split_whitespace().nth(4),
        Some("0"),
        "no core is written: {core}"
    );
    let cmdline = std::fs::read(format!("/proc/{}/cmdline", gate.pid())).expect("Linux");
    clean("the command line", &cmdline);

    write_secret(&home, CANARY);
    for args in [
        &["check", "-c", "hookgate.yaml"][..],
        &[
            "send",
            "signed",
            "-c",
            "hookgate.yaml",
            "--to",
            "http://127.0.0.1:1/",
        ],
        &["providers", "vowchat"],
    ] {
        let output = home.command(args).output().expect("the binary runs");
        clean(&format!("{args:?}"), &output.stdout);
        clean(&format!("{args:?}"), &output.stderr);
    }
    let (_, log) = gate.stop();
    clean("the log", log.as_bytes());
    clean(
        "the data directory, closed",
        &contents(&home.path().join("data")),
    );
}

fn clean(what: &str, seen: &[u8]) {
    for secret in [CANARY, NEXT] {
        // Cut, a secret is one still.
        let part = &secret.as_bytes()[7..15];
        assert!(
            !seen.windows(part.len()).any(|window| window == part),
            "{what} shows a secret: {}",
            String::from_utf8_lossy(seen)
        );
    }
}

/// All files in a directory, one behind the other.
fn contents(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            all.extend(std::fs::read(&path).expect("readable"));
        }
    }
    assert!(!all.is_empty(), "there is something to look at");
    all
}

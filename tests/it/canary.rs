//! A secret of every kind, planted, used rightly and wrongly, and looked for wherever anybody may look: with the log at
//! its most talkative, and in each way that the secret is written on the wire.

use crate::support::{App, Behaviour, Gate, Request, gate::Home, hmac_sha256_hex, wait_until};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use sha2::{Digest, Sha256};
use std::{fs, path::Path};

const CANARY: &str = "canary-77c2e9b04d-never-to-be-seen";

/// Like the secret in its beginning, and not it.
const WRONG: &str = "canary-77c2e9b04d-never-to-be-seeN";
const STRANGER: &str = "somebody-else-entirely";

/// Sources by name: how each verifies, and what stands in the file of its secret.
fn kinds() -> [(&'static str, &'static str, String); 7] {
    let text = CANARY.to_owned();
    [
        ("basic", "verify: basic", format!("user:{CANARY}")),
        ("bearer", "verify: bearer", text.clone()),
        (
            "query",
            "verify: { token: { field: \"query:key\" } }",
            text.clone(),
        ),
        (
            "hmac",
            "verify: { hmac: { header: X-Signature } }",
            text.clone(),
        ),
        (
            "hash",
            "verify: { hash: { header: X-Signature, signed: \"{secret}{body}\" } }",
            text.clone(),
        ),
        (
            "jwt",
            "verify: { jwt: { header: X-Token, claims: { sha256: \"{body|sha256|hex}\" } } }",
            text,
        ),
        (
            "base64",
            "verify: { hmac: { header: X-Signature, key: whsec } }",
            format!("whsec_{}", STANDARD.encode(CANARY)),
        ),
    ]
}

/// A request to the source `name` by somebody who believes that this is its secret.
fn request(name: &str, secret: &str) -> Request {
    let body = format!("{{\"to\":\"{name}\"}}");
    let path = match name {
        "query" => format!("/hooks/query?key={secret}"),
        _ => format!("/hooks/{name}"),
    };
    let sent = Request::new(&path, &*body);
    match name {
        "query" => sent,
        "basic" => {
            let pair = STANDARD.encode(format!("user:{secret}"));
            sent.header("Authorization", &format!("Basic {pair}"))
        }
        "bearer" => sent.header("Authorization", &format!("Bearer {secret}")),
        "hash" => {
            let hash = Sha256::digest(format!("{secret}{body}"));
            sent.header("X-Signature", &hex::encode(hash))
        }
        "jwt" => {
            let hash = hex::encode(Sha256::digest(&body));
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let signed = format!(
                "{}.{}",
                part("{\"alg\":\"HS256\"}"),
                part(&format!("{{\"sha256\":\"{hash}\"}}"))
            );
            let mac = hex::decode(hmac_sha256_hex(secret, &[signed.as_bytes()])).expect("hex");
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
            sent.header("X-Token", &token)
        }
        _ => {
            let mac = hmac_sha256_hex(secret, &[body.as_bytes()]);
            sent.header("X-Signature", &mac)
        }
    }
}

/// Each way in which the secret may be written, cut on both sides.
fn needles() -> Vec<(&'static str, Vec<u8>)> {
    let inner = |text: String| text.as_bytes()[8..text.len() - 6].to_vec();
    vec![
        ("the secret", inner(CANARY.to_owned())),
        ("its base64", inner(STANDARD.encode(CANARY))),
        (
            "its base64 behind the user",
            inner(STANDARD.encode(format!("user:{CANARY}"))),
        ),
        ("its hex", inner(hex::encode(CANARY))),
        (
            "its bytes as a list",
            inner(format!("{:?}", CANARY.as_bytes())),
        ),
        ("its hash", inner(hex::encode(Sha256::digest(CANARY)))),
    ]
}

fn clean(what: &str, seen: &[u8]) {
    for (form, needle) in needles() {
        assert!(
            !seen.windows(needle.len()).any(|part| part == needle),
            "{what} shows {form}: {}",
            String::from_utf8_lossy(seen)
        );
    }
}

fn home(app: &App) -> Home {
    let mut text = "sources:\n".to_owned();
    for (name, verify, _) in kinds() {
        text.push_str(&format!(
            "  {name}: {{ {verify}, secret: {{ file: secret-{name} }}, forward: app }}\n"
        ));
    }
    text.push_str(&format!(
        "targets:\n  app: {{ url: {}, retry: {{ first: 20ms, max: 100ms }} }}\n",
        app.url()
    ));
    let home = Home::new(&text).env("RUST_LOG", "trace");
    for (name, _, secret) in kinds() {
        let file = home.path().join(format!("secret-{name}"));
        fs::write(file, secret).expect("a writable directory");
    }
    home
}

#[test]
fn secrets_of_every_kind_are_seen_nowhere() {
    let app = App::start();
    app.behave(Behaviour::Status(500));
    let home = home(&app);
    let gate = home.start();
    for (name, _, _) in kinds() {
        for (secret, status) in [(CANARY, 200), (WRONG, 401)] {
            let reply = gate.send(&request(name, secret));
            assert_eq!(reply.status, status, "{name}: {reply:?}");
            clean("an answer", format!("{reply:?}").as_bytes());
        }
    }
    wait_until("every event was tried", || app.count() >= kinds().len());
    gate.signal("HUP");
    wait_until("the secrets were read anew", || {
        gate.log().contains("configuration was read anew")
    });
    look_into(&gate);
    clean("the data directory", &contents(&home.path().join("data")));

    for args in [
        &["check", "-c", "hookgate.yaml"][..],
        &[
            "send",
            "basic",
            "-c",
            "hookgate.yaml",
            "--to",
            "http://127.0.0.1:1/",
        ],
        &[
            "send",
            "query",
            "-c",
            "hookgate.yaml",
            "--to",
            "http://127.0.0.1:1/",
        ],
    ] {
        asked(&home, args);
    }
    for (name, _, _) in kinds() {
        for secret in [CANARY, STRANGER] {
            explained(&home, name, &request(name, secret));
        }
    }
    let (_, log) = gate.stop();
    clean("the log", log.as_bytes());
    clean(
        "the data directory, closed",
        &contents(&home.path().join("data")),
    );
}

/// What a running gateway shows.
fn look_into(gate: &Gate) {
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/sources",
        "/api/v1/events",
        "/api/v1/targets",
        "/",
        "/debug",
    ] {
        clean(path, format!("{:?}", gate.admin_get(path)).as_bytes());
    }
}

/// What `explain` says of a capture, rightly signed or not. It shows what the capture shows, but no secret.
fn explained(home: &Home, name: &str, request: &Request) {
    fs::write(home.path().join("capture"), request.bytes()).expect("a writable directory");
    asked(
        home,
        &[
            "explain",
            "capture",
            "-c",
            "hookgate.yaml",
            "--source",
            name,
        ],
    );
}

fn asked(home: &Home, args: &[&str]) {
    let output = home.command(args).output().expect("the binary runs");
    clean(&format!("{args:?}"), &output.stdout);
    clean(&format!("{args:?}"), &output.stderr);
}

/// All files in a directory, one behind the other.
fn contents(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            all.extend(fs::read(&path).expect("readable"));
        }
    }
    assert!(!all.is_empty(), "there is something to look at");
    all
}

//! What the app gets, read by the libraries that apps use: Standard Webhooks' own in two languages, and the Python SDK of
//! CloudEvents.

use super::library::{Language, Libraries};
use super::request::Request as Signed;
use super::{KIT, start};
use crate::support::app::Got;
use crate::support::{App, Behaviour, Request, gate::Home, tools, wait_until};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const OLD: &str = "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk";
const NEW: &str = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3";
const STRANGE: &str = "whsec_c3RyYW5nZXN0cmFuZ2VzdHJhbmdlc3Ry";

/// How long the libraries accept a signature.
const TOLERANCE_S: u64 = 300;

fn home(app: &App, target: &str) -> Home {
    Home::new(&format!(
        "sources:\n  shop: {{ verify: none, event: {{ type: json:/event }}, forward: app }}\ntargets:\n  app: {{ url: \"{}\", {target} }}\n",
        app.url()
    ))
}

fn timestamp(got: &Got) -> u64 {
    got.header("webhook-timestamp").parse().expect("seconds")
}

/// What the app would give to its library.
fn signed(got: &Got) -> Signed {
    let mut request = Signed::new(got.body.clone().into());
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        request.set(name, got.header(name));
    }
    request
}

#[test]
fn both_libraries_accept_each_attempt_with_either_secret() {
    let oracles = [
        (Language::Python, "standardwebhooks-py"),
        (Language::JavaScript, "standardwebhooks-js"),
    ];
    let mut libraries: Vec<(Libraries, &str)> = Vec::new();
    for (language, oracle) in oracles {
        let Some((started, _)) = start(language) else {
            return;
        };
        libraries.push((started, oracle));
    }
    let app = App::start();
    // The second attempt comes in another second than the first.
    app.choose(|got| {
        if got.header("hookgate-attempt") == "1" {
            Behaviour::Raw(
                b"HTTP/1.1 503 Later\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n".to_vec(),
            )
        } else {
            Behaviour::Status(200)
        }
    });
    let home = home(
        &app,
        &format!("sign: {{ secrets: [{NEW}, {OLD}] }}, retry: {{ first: 10ms, max: 5s }}"),
    );
    let gate = home.start();
    let bodies = [
        "{\"event\":\"order.created\",\"name\":\"\u{e9}\u{1f600}\"}\n",
        "",
    ];
    for body in bodies {
        gate.send(&Request::new("/hooks/shop", body).header("webhook-signature", "v1,theirs"))
            .id();
    }
    let got = app.wait_for(4);
    for body in bodies {
        let of_event: Vec<&Got> = got
            .iter()
            .filter(|got| got.body == body.as_bytes())
            .collect();
        let [first, second] = of_event[..] else {
            panic!("two attempts with {body:?}, got {of_event:?}");
        };
        assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
        assert!(timestamp(second) >= timestamp(first) + 2, "signed anew");
        assert_eq!(first.header("webhook-signature").split(' ').count(), 2);
        for (libraries, oracle) in &mut libraries {
            let mut verify = |secret: &str, request: &Signed, now: u64| {
                libraries
                    .verify(oracle, secret, request, now)
                    .expect("an answer")
            };
            for got in [first, second] {
                let (request, now) = (signed(got), timestamp(got));
                assert!(verify(NEW, &request, now), "{oracle}: {got:?}");
                assert!(verify(OLD, &request, now), "{oracle}: {got:?}");
                assert!(!verify(STRANGE, &request, now), "{oracle}: {got:?}");
                let mut changed = signed(got);
                changed.body = [&got.body[..], b" "].concat().into();
                assert!(!verify(NEW, &changed, now), "{oracle}: {got:?}");
            }
            // Why each attempt is signed anew: by the time of a late one, the first one's signature is too old.
            let late = timestamp(first) + TOLERANCE_S + 1;
            assert!(!verify(NEW, &signed(first), late), "{oracle}");
            assert!(verify(NEW, &signed(second), late), "{oracle}");
        }
    }
}

/// What the SDK makes of a request.
fn read(kit: &Path, got: &Got) -> Value {
    let headers: serde_json::Map<String, Value> = got
        .headers
        .iter()
        .map(|(name, values)| (name.clone(), values.join(", ").into()))
        .collect();
    let question = json!({ "headers": headers, "body_base64": STANDARD.encode(&got.body) });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/read_cloudevent.py");
    let mut child = Command::new(kit.join("venv/bin/python"))
        .arg(script)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin
        .write_all(question.to_string().as_bytes())
        .expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("a child of ours");
    assert!(output.status.success(), "it has said why");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_cloudevents_sdk_reads_what_the_app_gets() {
    let Some(kit) = tools::folder(KIT) else {
        return;
    };
    let app = App::start();
    let home = home(
        &app,
        &format!("format: cloudevents, sign: {{ secret: {NEW} }}"),
    );
    let gate = home.start();
    for (n, (content_type, body, event_type, data)) in [
        (
            Some("application/json; charset=utf-8"),
            "{\"event\": \"order.created\"}",
            "order.created",
            json!({ "event": "order.created" }),
        ),
        (
            Some("application/json"),
            "{\"event\": \"100% \\\"caf\u{e9}\\\" \u{1f600}\"}",
            "100% \"caf\u{e9}\" \u{1f600}",
            json!({ "event": "100% \"caf\u{e9}\" \u{1f600}" }),
        ),
        (
            Some("text/plain"),
            "just text",
            "hookgate.event",
            json!("just text"),
        ),
        (
            None,
            "{\"event\": \"untyped\"}",
            "untyped",
            json!({ "event": "untyped" }),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = Request::new("/hooks/shop", body)
            .header("ce-id", "theirs")
            .header("ce_source", "theirs")
            .header("CE-Subject", "theirs")
            .header("ce-specversion", "0.3");
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        let id = gate.send(&request).id();
        let got = &app.wait_for(n + 1)[n];
        assert_eq!(got.body, body.as_bytes(), "byte for byte");
        assert!(!got.has("ce_source"), "{got:?}");
        let event = read(&kit, got);
        assert_eq!(
            event["attributes"],
            json!({
                "id": id,
                "source": "/hookgate/shop",
                "specversion": "1.0",
                "type": event_type,
                "time": got.header("hookgate-received-at"),
                "datacontenttype": content_type,
            }),
            "{body}"
        );
        assert_eq!(event["data"], data, "{body}");
    }
    wait_until("all are settled", || {
        gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    });
}

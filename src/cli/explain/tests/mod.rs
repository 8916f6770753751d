//! What `explain` says, to the letter. Every request is made up and signed here, and no answer may hold a secret, or a
//! signature that its request does not have.

mod findings;
mod presets;
mod verdicts;

use super::capture::{Capture, raw};
use super::subject::{Subject, of_config};
use super::{At, report};
use crate::config::load::{Options, Process, load_text};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// The time of every request: 2026-01-31T10:30:00Z.
const NOW: u64 = 1_769_855_400;

/// In every secret, so that it can be looked for.
const SECRET: &str = "canary-7f3e9a51";
const OLD: &str = "canary-old-2b8c";
const OTHER: &str = "canary-other-41d0";

fn sha256(secret: &str, text: &str) -> Vec<u8> {
    keyed(secret.as_bytes(), text.as_bytes())
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn sha1(secret: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha512(secret: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A request to `/hooks/erp` with these header lines.
fn post(headers: &[(&str, &str)], body: &str) -> String {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("POST /hooks/erp HTTP/1.1\r\nHost: hooks.example.com\r\n{lines}\r\n{body}")
}

/// A configuration of one source `erp` with these lines, and another one beside it.
fn yaml(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "sources:\n  erp:\n    forward: http://127.0.0.1:3000/\n{lines}  shop:\n    verify: {{ hmac: {{ header: \
         X-Shop }} }}\n    secrets: [{{ name: shop-main, value: {OTHER} }}]\n    forward: http://127.0.0.1:3000/\n"
    )
}

fn subject(yaml: &str, named: Option<&str>, capture: &Capture) -> Subject {
    let process = Process {
        variable: &|_| None,
        open_files_max: None,
    };
    let (config, _) = load_text("t.yaml", yaml, Options::default(), &process)
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    of_config(config, named, capture).expect("a source")
}

/// What is said about a request, having looked for what must not be in it.
fn explained(yaml: &str, request: &str, at: At) -> String {
    let capture = raw(request.as_bytes()).expect("a request");
    let subject = subject(yaml, None, &capture);
    let text = report::report(&subject, &capture, at, NOW * 1_000).text;
    assert_gives_nothing_away(&text, request, &subject);
    text
}

fn assert_gives_nothing_away(text: &str, request: &str, subject: &Subject) {
    assert!(!text.contains("canary"), "a secret in:\n{text}");
    assert!(!text.contains(&STANDARD.encode("canary")[..7]), "{text}");
    let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
    let contents = [
        body.to_owned(),
        format!("{body}\n"),
        format!("{NOW}.{body}"),
        format!("{NOW}{body}"),
    ];
    let others = subject.others.iter().map(|(_, secret)| secret);
    for secret in subject.source.secrets.iter().chain(others) {
        for content in &contents {
            let tag = keyed(secret.expose(), content.as_bytes());
            for written in [hex::encode(&tag), STANDARD.encode(&tag)] {
                let given_away = text.contains(&written[..16]) && !request.contains(&written[..16]);
                assert!(!given_away, "a signature in:\n{text}");
            }
        }
    }
}

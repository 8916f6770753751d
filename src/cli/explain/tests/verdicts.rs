//! The first line, and what was looked at.

use super::super::At;
use super::*;

const TIMED: &str = "verify: { hmac: { header: X-Signature, signed: \"{timestamp}.{body}\", timestamp: { header: X-Time } } }\n\
                     secrets: [{ name: new, value: canary-7f3e9a51 }, { name: old, value: canary-old-2b8c }]";

fn timed(time: &str) -> String {
    let signature = hex::encode(sha256(OLD, &format!("{time}.{{}}")));
    post(&[("X-Signature", &signature), ("X-Time", time)], "{}")
}

#[test]
fn a_right_request_passes() {
    let text = explained(&yaml(TIMED), &timed(&NOW.to_string()), At::Now);
    insta::assert_snapshot!("passes", text);
}

#[test]
fn an_old_capture_is_right_but_stale() {
    let old = (NOW - 273_600).to_string();
    insta::assert_snapshot!("stale", explained(&yaml(TIMED), &timed(&old), At::Now));
    let text = explained(&yaml(TIMED), &timed(&old), At::Signed);
    assert!(text.starts_with("passes\n"), "{text}");
    let text = explained(
        &yaml(TIMED),
        &timed(&old),
        At::Unix((NOW - 273_500) * 1_000),
    );
    assert!(text.starts_with("passes\n"), "{text}");
}

#[test]
fn a_clock_may_be_ahead() {
    let future = (NOW + 600).to_string();
    insta::assert_snapshot!("future", explained(&yaml(TIMED), &timed(&future), At::Now));
}

#[test]
fn milliseconds_are_no_seconds() {
    let text = explained(&yaml(TIMED), &timed(&format!("{NOW}000")), At::Now);
    insta::assert_snapshot!("milliseconds", text);
    // Not even then: the format is wrong whatever the time.
    let text = explained(&yaml(TIMED), &timed(&format!("{NOW}000")), At::Signed);
    assert!(text.starts_with("fails: the signature is right"), "{text}");
    let lines = TIMED.replace("X-Time }", "X-Time, format: unix_ms }");
    insta::assert_snapshot!(
        "seconds",
        explained(&yaml(&lines), &timed(&NOW.to_string()), At::Now)
    );
}

#[test]
fn tokens_are_not_shown() {
    let lines = format!("verify: {{ token: {{ header: X-Token }} }}\nsecret: {SECRET}");
    let text = explained(&yaml(&lines), &post(&[("X-Token", SECRET)], "{}"), At::Now);
    insta::assert_snapshot!("token-passes", text);
    let request = post(&[("X-Token", &format!("Token {SECRET}"))], "{}");
    insta::assert_snapshot!("token-prefix", explained(&yaml(&lines), &request, At::Now));
    let request = post(&[("Authorization", &format!("Bearer {SECRET}"))], "{}");
    insta::assert_snapshot!(
        "token-elsewhere",
        explained(&yaml(&lines), &request, At::Now)
    );
}

#[test]
fn nothing_is_proven_by_none() {
    let text = explained(&yaml("verify: none"), &post(&[], "{}"), At::Now);
    insta::assert_snapshot!("none", text);
}

#[test]
fn a_source_is_found_by_path_name_or_being_alone() {
    let capture =
        |path: &str| raw(format!("POST {path} HTTP/1.1\n\n").as_bytes()).expect("a request");
    let lines = format!("verify: bearer\nsecret: {SECRET}");
    let two = yaml(&lines);
    assert_eq!(
        &*subject(&two, None, &capture("/hooks/shop?a")).source.name,
        "shop"
    );
    assert_eq!(
        &*subject(&two, Some("erp"), &capture("/hooks/shop"))
            .source
            .name,
        "erp"
    );
    let one = &two[..two.find("  shop:").expect("the second")];
    assert_eq!(
        &*subject(one, None, &capture("/elsewhere")).source.name,
        "erp"
    );
}

#[test]
fn a_handshake_that_needs_no_proof_passes() {
    let lines = format!(
        "verify: {{ hmac: {{ header: X-Signature }} }}\nsecret: {SECRET}\nhandshake:\n  - {{ when: {{ method: GET, \
         query:challenge: \"*\" }}, verified: false, respond: {{ body: \"{{query:challenge}}\" }} }}"
    );
    let request = "GET /hooks/erp?challenge=abc HTTP/1.1\r\n\r\n";
    insta::assert_snapshot!("handshake", explained(&yaml(&lines), request, At::Now));
}

#[test]
fn every_preset_is_tried() {
    let body = r#"{"event":"message_created"}"#;
    let signature = hex::encode(sha256(SECRET, &format!("{NOW}.{body}")));
    let request = post(
        &[
            ("X-Chatwoot-Signature", &format!("sha256={signature}")),
            ("X-Chatwoot-Timestamp", &NOW.to_string()),
        ],
        body,
    );
    let capture = raw(request.as_bytes()).expect("a request");
    let report = |value: &str, seconds: u64| {
        let secret = crate::config::Secret::new("1", value.as_bytes().to_vec());
        let report = super::super::every::report(&secret, None, &capture, At::Now, seconds * 1_000);
        assert!(!report.text.contains("canary"), "{}", report.text);
        (report.passes, report.text)
    };
    let line = |text: &str, expected: &str| {
        assert!(
            text.lines().any(|line| line.trim_end() == expected),
            "{text}"
        );
    };
    let (passes, text) = report(SECRET, NOW);
    assert!(passes && text.starts_with("passes\n"), "{text}");
    line(&text, "vowchat                passes");
    let (passes, text) = report(SECRET, NOW + 3_600);
    assert!(
        !passes && text.starts_with("fails: the signature is right, its timestamp is not\n"),
        "{text}"
    );
    line(
        &text,
        "vowchat                the signature is right; its timestamp is 1h old",
    );
    let (passes, text) = report(&format!("{SECRET}\n"), NOW);
    assert!(
        !passes && text.starts_with("fails: no preset takes this request"),
        "{text}"
    );
    line(
        &text,
        "vowchat                near: secret \"1\" has a line end or spaces around it",
    );
    let (passes, text) = report(OTHER, NOW);
    assert!(!passes, "{text}");
    line(
        &text,
        "vowchat                looks here, and the signature matches in no form of the secret",
    );
}

/// What cannot be tried says so, and every other preset is tried.
#[test]
fn presets_are_loaded_with_nothing_but_a_secret_and_a_url() {
    let (vendors, others) = super::super::vendors::all("https://hooks.example.com/in");
    assert_eq!(vendors.len() + others.len(), crate::config::presets().len());
    // Its header is chosen at the vendor's.
    assert!(others.contains(&"chatplugify"), "{others:?}");
    assert!(others.len() <= 12, "{others:?}");
}

/// The bound holds for a large body, too, and is told.
#[test]
fn the_search_ends() {
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
    let lines = format!("verify: {{ hmac: {{ header: X-Signature }} }}\nsecret: {SECRET}");
    let request = post(&[("X-Signature", &"0".repeat(64))], &body);
    let text = explained(&yaml(&lines), &request, At::Now);
    assert!(
        text.contains("The body is large, so not all of them were tried"),
        "{text}"
    );
}

/// Everything that `proof` may be, down to a capture that passes and one that does not.
#[test]
fn json_web_tokens_and_public_keys() {
    let lines = format!(
        "verify: {{ jwt: {{ header: X-Jwt, claims: {{ sha256: \"{{body|sha256|hex}}\" }} }} }}\nsecret: {SECRET}"
    );
    let token = |body: &str| {
        use sha2::Digest as _;
        let part = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let claim = hex::encode(Sha256::digest(body));
        let head = part("{\"alg\":\"HS256\"}".to_owned());
        let claims = part(format!("{{\"sha256\":\"{claim}\",\"exp\":{}}}", NOW + 60));
        let tag = sha256(SECRET, &format!("{head}.{claims}"));
        let tag = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag);
        format!("{head}.{claims}.{tag}")
    };
    let request = |token: &str| post(&[("X-Jwt", token)], "{}");
    let text = explained(&yaml(&lines), &request(&token("{}")), At::Now);
    assert!(text.starts_with("passes\n"), "{text}");
    let text = explained(
        &yaml(&lines),
        &request(&format!("Bearer {}", token("{}"))),
        At::Now,
    );
    insta::assert_snapshot!("jwt-prefix", text);
    insta::assert_snapshot!(
        "jwt-body",
        explained(&yaml(&lines), &request(&token("{ }")), At::Now)
    );
    let late = explained(
        &yaml(&lines),
        &request(&token("{}")),
        At::Unix((NOW + 3_600) * 1_000),
    );
    insta::assert_snapshot!("jwt-late", late);
    let key = hex::encode([9; 32]);
    let lines =
        format!("verify: {{ ed25519: {{ header: X-Signature, key: hex }} }}\nsecret: \"{key}\"");
    let request = post(&[("X-Signature", &"00".repeat(64))], "{}");
    let text = explained(&yaml(&lines), &request, At::Now);
    assert!(
        text.starts_with("fails: the signature matches no secret of source erp\n"),
        "{text}"
    );
}

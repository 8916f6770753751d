//! What is found where a source is a preset: the cause is named in the vendor's own terms.

use super::super::At;
use super::*;

const BODY: &str = r#"{"id":"evt_1","amount":42}"#;

fn preset(name: &str) -> String {
    format!("provider: {name}\nsecret: {SECRET}")
}

fn check(name: &str, lines: &str, request: &str) -> String {
    let text = explained(&yaml(lines), request, At::Now);
    insta::assert_snapshot!(name, text);
    text
}

fn stripe(signed_body: &str, body: &str) -> String {
    let tag = hex::encode(sha256(SECRET, &format!("{NOW}.{signed_body}")));
    post(&[("Stripe-Signature", &format!("t={NOW},v1={tag}"))], body)
}

fn github(header: &str, value: &str) -> String {
    post(&[(header, value), ("X-GitHub-Event", "push")], BODY)
}

const TWILIO: &str =
    "provider: twilio\nsecret: canary-7f3e9a51\npublic_url: https://hooks.example.com/hooks/erp";

fn twilio(host: &str, content_type: &str) -> String {
    let signed = format!("https://{host}/hooks/erpBodyHelloFrom15005550010");
    let tag = STANDARD.encode(sha1(SECRET, &signed));
    let headers = [("Content-Type", content_type), ("X-Twilio-Signature", &tag)];
    post(&headers, "From=15005550010&Body=Hello")
}

/// Entries whose conditions do not hold raise nothing, and a whole SHA-1 is not a SHA-256 that was cut.
#[test]
fn a_form_that_says_it_is_something_else() {
    let form = "application/x-www-form-urlencoded";
    check("form-passes", TWILIO, &twilio("hooks.example.com", form));
    let request = twilio("hooks.example.com", "application/json");
    let text = check("form-as-json", TWILIO, &request);
    assert!(!text.contains("cut"), "{text}");
    let request = twilio("elsewhere.example.net", form);
    let text = check("form-for-another-host", TWILIO, &request);
    assert!(!text.contains("cut"), "{text}");
    let request = twilio("elsewhere.example.net", "application/json");
    let text = check("form-as-json-for-another-host", TWILIO, &request);
    assert!(!text.contains("cut"), "{text}");
}

#[test]
fn the_signed_time_is_missing() {
    let tag = hex::encode(sha256(SECRET, &format!("v0:{NOW}:{BODY}")));
    let request = post(&[("X-Slack-Signature", &format!("v0={tag}"))], BODY);
    check("time-missing", &preset("slack"), &request);
    let tag = hex::encode(sha256(SECRET, &format!("{NOW}.{BODY}")));
    let request = post(&[("Stripe-Signature", &format!("v1={tag}"))], BODY);
    check("time-missing-in-the-list", &preset("stripe"), &request);
}

/// The remedy is what `check` takes, and makes the request pass.
#[test]
fn a_remedy_keeps_the_text_around_the_body() {
    let sent = "{ \"a\": 1.0, \"b\": \"\\u00e9\" }";
    let request = stripe("{\"a\":1,\"b\":\"é\"}", sent);
    let text = check("preset-stringify", &preset("stripe"), &request);
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("fix: "));
    let lines = format!("{}\n{}", preset("stripe"), line.expect("a remedy"));
    let text = explained(&yaml(&lines), &request, At::Now);
    assert!(text.starts_with("passes\n"), "{text}");
    // With another separator, too.
    let tag = hex::encode(sha256(SECRET, &format!("{NOW}:{{\"a\":1,\"b\":\"é\"}}")));
    let request = post(&[("Stripe-Signature", &format!("t={NOW},v1={tag}"))], sent);
    check("preset-stringify-and-text", &preset("stripe"), &request);
}

#[test]
fn a_body_that_was_written_anew_on_its_way() {
    let signed = "{\"name\":\"caf\\u00e9 \\/ x\"}";
    let texts: Vec<String> = ["{\"name\":\"café / x\"}", "{\n  \"name\": \"café / x\"\n}"]
        .iter()
        .map(|sent| explained(&yaml(&preset("stripe")), &stripe(signed, sent), At::Now))
        .collect();
    for text in texts {
        assert!(
            text.contains("written as PHP does") && text.contains("pass the body on byte for byte"),
            "{text}"
        );
    }
}

#[test]
fn a_named_cause_is_the_last_word() {
    let request = stripe(BODY, BODY);
    let line = request.lines().find(|line| line.starts_with("Stripe-"));
    let line = line.expect("the signature's header");
    let twice = request.replace(line, &format!("{line}\r\n{line}"));
    check("preset-header-twice", &preset("stripe"), &twice);
    let other = line.replace("v1=", "v1=00");
    let twice = request.replace(line, &format!("{other}\r\n{line}"));
    check("preset-header-twice-different", &preset("stripe"), &twice);
    let cut = request.replace(line, &line[..line.len() - 4]);
    let text = check("preset-signature-cut", &preset("stripe"), &cut);
    assert!(!text.contains("Nothing that was tried"), "{text}");
}

#[test]
fn the_vendor_is_named() {
    let tag = hex::encode(sha256(SECRET, BODY));
    let request = github("X-Hub-Signature-256", &format!("sha256={tag}"));
    check("vendor-github", &preset("stripe"), &request);
    let tag = hex::encode(sha1(SECRET, BODY));
    let request = github("X-Hub-Signature", &format!("sha1={tag}"));
    check("vendor-github-sha1", &preset("github"), &request);
    let tag = STANDARD.encode(sha256(SECRET, BODY));
    let request = post(
        &[
            ("X-Shopify-Hmac-Sha256", &tag),
            ("X-Shopify-Topic", "orders/create"),
        ],
        BODY,
    );
    check("vendor-shopify", &preset("github"), &request);
}

#[test]
fn a_bearer_token_names_no_vendor() {
    let request = post(&[("Authorization", &format!("Bearer {SECRET}"))], BODY);
    check("vendor-bearer", &preset("stripe"), &request);
}

#[test]
fn a_request_of_another_source() {
    let source = |name: &str, provider: &str, secret: &str| {
        format!(
            "  {name}: {{ provider: {provider}, secret: {secret}, forward: \"http://127.0.0.1:3000/\" }}\n"
        )
    };
    let sources = source("erp", "slack", "canary-of-slack") + &source("pay", "stripe", SECRET);
    let yaml = format!("sources:\n{sources}");
    let text = explained(&yaml, &stripe(BODY, BODY), At::Now);
    insta::assert_snapshot!("another-source", text);
}

#[test]
fn a_secret_with_or_without_its_prefix() {
    let tag = hex::encode(sha256(SECRET, &format!("{NOW}.{BODY}")));
    let request = post(&[("Stripe-Signature", &format!("t={NOW},v1={tag}"))], BODY);
    let lines = format!("provider: stripe\nsecret: whsec_{SECRET}");
    check("secret-without-whsec", &lines, &request);
    let whole = format!("whsec_{SECRET}");
    let tag = hex::encode(sha256(&whole, &format!("{NOW}.{BODY}")));
    let request = post(&[("Stripe-Signature", &format!("t={NOW},v1={tag}"))], BODY);
    check("secret-with-whsec", &preset("stripe"), &request);
}

#[test]
fn a_body_that_another_language_wrote() {
    let sent = r#"{"id":1,"name":"caf\u00e9 \/ x","list":[1,2.50]}"#;
    let signed = r#"{"id":1,"name":"caf\u00e9 / x","list":[1,2.5]}"#;
    check("body-ascii", &preset("stripe"), &stripe(signed, sent));
    let signed = r#"{"id": 1, "list": [1, 2.5], "name": "caf\u00e9 / x"}"#;
    check("body-sorted", &preset("stripe"), &stripe(signed, sent));
}

#[test]
fn a_hash_puts_its_secret_elsewhere() {
    use sha2::Digest as _;
    let tag = hex::encode(Sha256::digest(format!("{BODY}{SECRET}")));
    let lines = format!(
        "verify: {{ hash: {{ header: X-Signature, signed: \"{{secret}}{{body}}\" }} }}\nsecret: {SECRET}"
    );
    check("hash-order", &lines, &post(&[("X-Signature", &tag)], BODY));
    // A hash without a secret proves nothing, and is no remedy.
    let tag = hex::encode(Sha256::digest(BODY));
    let request = post(&[("X-Signature", &tag)], BODY);
    let text = explained(&yaml(&lines), &request, At::Now);
    assert!(text.contains("Nothing that was tried"), "{text}");
}

#[test]
fn a_token_comes_in_quotes() {
    let lines = format!("verify: {{ token: {{ header: X-Token }} }}\nsecret: {SECRET}");
    let request = post(&[("X-Token", &format!("\"{SECRET}\""))], BODY);
    check("token-in-quotes", &lines, &request);
}

/// Of all that sign alike, the one whose own headers are there comes first.
#[test]
fn every_preset_in_the_order_of_likeliness() {
    let tag = hex::encode(sha256(SECRET, BODY));
    let request = github("X-Hub-Signature-256", &format!("sha256={tag}"));
    let capture = raw(request.as_bytes()).expect("a request");
    let secret = crate::config::Secret::new("1", SECRET.as_bytes().to_vec());
    let report = super::super::every::report(&secret, None, &capture, At::Now, NOW * 1_000);
    let names: Vec<&str> = report
        .text
        .lines()
        .filter_map(|line| line.strip_suffix(" passes").map(str::trim))
        .collect();
    assert_eq!(names.first(), Some(&"github"), "{}", report.text);
    assert!(names.len() > 1 && names[1..].is_sorted(), "{names:?}");
}

/// What the gateway itself answers to a handshake that comes a second time.
#[test]
fn a_handshake_brings_a_secret_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secret");
    let lines = format!(
        "provider: asana\nsecret: {{ file: {:?} }}",
        file.display().to_string()
    );
    let explained = |request: &str| {
        let text = explained(&yaml(&lines), request, At::Now);
        text.replace(&file.display().to_string(), "FILE")
    };
    let event = post(&[("X-Hook-Signature", &"0".repeat(64))], "{}");
    insta::assert_snapshot!("handshake-secret-awaited", explained(&event));
    let brings = |secret: &str| post(&[("X-Hook-Secret", secret)], "{}");
    assert!(
        explained(&brings("made-up-secret-1")).starts_with("passes: it is the vendor's handshake")
    );
    std::fs::write(&file, SECRET).expect("a file");
    insta::assert_snapshot!(
        "handshake-another-secret",
        explained(&brings("made-up-secret-2"))
    );
    let same = explained(&brings(SECRET));
    assert!(
        same.starts_with("passes: it is the vendor's handshake"),
        "{same}"
    );
}

/// Of the elements with the prefix, not of the one with the time.
#[test]
fn why_an_element_is_no_signature() {
    let tag = STANDARD.encode(sha256(SECRET, &format!("{NOW}.{BODY}")));
    let request = post(&[("Stripe-Signature", &format!("t={NOW},v1={tag}"))], BODY);
    let text = explained(&yaml(&preset("stripe")), &request, At::Now);
    let first = "fails: what the request has is no signature of this scheme: its 44 characters are not hex\n";
    assert!(text.starts_with(first), "{text}");
}

#[test]
fn a_handshake_with_another_verify_token() {
    let request = |token: &str| {
        format!(
            "GET /hooks/erp?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1 HTTP/1.1\r\n\r\n"
        )
    };
    let lines = format!(
        "{}\nparams: {{ verify_token: canary-of-meta }}",
        preset("meta")
    );
    check("handshake-nearly", &lines, &request("abc"));
    let text = explained(&yaml(&preset("meta")), &request("abc"), At::Now);
    assert!(
        text.contains("one that needs `params` is off until they are set"),
        "{text}"
    );
    // An event without its signature is no handshake.
    let text = explained(&yaml(&lines), &post(&[], "{}"), At::Now);
    assert!(
        text.starts_with("fails: the request has no header"),
        "{text}"
    );
}

#[test]
fn a_token_in_the_query_under_another_name() {
    let lines = format!("verify: {{ token: {{ field: \"query:key\" }} }}\nsecret: {SECRET}");
    let request = post(&[], "{}").replace("/hooks/erp", &format!("/hooks/erp?a=b&kei={SECRET}"));
    let capture = raw(request.as_bytes()).expect("a request");
    let subject = subject(&yaml(&lines), Some("erp"), &capture);
    let text = report::report(&subject, &capture, At::Now, NOW * 1_000).text;
    assert_gives_nothing_away(&text, &request, &subject);
    insta::assert_snapshot!("token-in-the-query", text);
}

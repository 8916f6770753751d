//! What is found, one made-up request for each.

use super::super::At;
use super::*;

/// The source that most of them go to.
const PLAIN: &str = "verify: { hmac: { header: X-Signature } }\nsecret: canary-7f3e9a51";

const BODY: &str = r#"{"id":"evt_1","amount":42}"#;

fn check(name: &str, lines: &str, request: &str) {
    insta::assert_snapshot!(name, explained(&yaml(lines), request, At::Now));
}

fn signed(signature: &str) -> String {
    post(&[("X-Signature", signature)], BODY)
}

#[test]
fn another_secret_matches() {
    check(
        "secret-of-another-source",
        PLAIN,
        &signed(&hex::encode(sha256(OTHER, BODY))),
    );
    let lines = "verify:\n  - { hmac: { header: X-Signature }, secrets: [new] }\n  - { hmac: { header: X-Two }, secrets: [old] }\n\
                 secrets: [{ name: new, value: canary-7f3e9a51 }, { name: old, value: canary-old-2b8c }]";
    check(
        "secret-of-another-entry",
        lines,
        &signed(&hex::encode(sha256(OLD, BODY))),
    );
}

#[test]
fn a_secret_was_copied_with_something_around_it() {
    let with =
        |secret: &str| format!("verify: {{ hmac: {{ header: X-Signature }} }}\nsecret: {secret}");
    let right = signed(&hex::encode(sha256(SECRET, BODY)));
    check("secret-line-end", &with("\"canary-7f3e9a51\\n\""), &right);
    check("secret-quotes", &with("\"'canary-7f3e9a51'\""), &right);
    check("secret-label", &with("ERP_SECRET=canary-7f3e9a51"), &right);
    let ended = signed(&hex::encode(sha256("canary-7f3e9a51\n", BODY)));
    check("secret-line-end-at-the-vendor", PLAIN, &ended);
}

#[test]
fn a_secret_is_made_a_key_in_another_way() {
    let key = b"canary-as-raw-bytes-of-a-key";
    let right = signed(&hex::encode(keyed(key, BODY.as_bytes())));
    let with = |secret: &str, form: &str| {
        format!("verify: {{ hmac: {{ header: X-Signature{form} }} }}\nsecret: {secret}")
    };
    let base64 = STANDARD.encode(key);
    check("key-whsec", &with(&format!("whsec_{base64}"), ""), &right);
    check(
        "key-hex",
        &with(&format!("\"{}\"", hex::encode(key)), ""),
        &right,
    );
    let text = format!("whsec_{base64}");
    let literal = signed(&hex::encode(keyed(text.as_bytes(), BODY.as_bytes())));
    check("key-text", &with(&text, ", key: whsec"), &literal);
}

#[test]
fn a_secret_is_outside_its_time() {
    let lines = "verify: { hmac: { header: X-Signature } }\nsecrets:\n  - { name: new, value: canary-7f3e9a51 }\n  - { \
                 name: old, value: canary-old-2b8c, not_after: 2026-01-01T00:00:00Z }";
    check(
        "secret-over",
        lines,
        &signed(&hex::encode(sha256(OLD, BODY))),
    );
}

#[test]
fn it_is_written_in_another_way() {
    let tag = sha256(SECRET, BODY);
    let hex = hex::encode(&tag);
    check("base64-for-hex", PLAIN, &signed(&STANDARD.encode(&tag)));
    let lines = PLAIN.replace("X-Signature", "X-Signature, encoding: base64");
    check("hex-for-base64", &lines, &signed(&hex));
    let url_safe = STANDARD
        .encode(&tag)
        .replace('+', "-")
        .replace('/', "_")
        .replace('=', "");
    check("base64url-for-base64", &lines, &signed(&url_safe));
    check("prefix-is-there", PLAIN, &signed(&format!("sha256={hex}")));
    let lines = PLAIN.replace("X-Signature", "X-Signature, prefix: \"sha256=\"");
    check("prefix-is-missing", &lines, &signed(&hex));
    check("in-a-list", PLAIN, &signed(&format!("t={NOW}, v1={hex}")));
    check("sha1", PLAIN, &signed(&hex::encode(sha1(SECRET, BODY))));
    check("sha512", PLAIN, &signed(&hex::encode(sha512(SECRET, BODY))));
}

#[test]
fn the_header_is_another_or_twice() {
    let hex = hex::encode(sha256(SECRET, BODY));
    check(
        "header-of-another-name",
        PLAIN,
        &post(&[("X-Sig", &hex)], BODY),
    );
    check("header-missing", PLAIN, &post(&[], BODY));
    let request = post(&[("X-Signature", &hex), ("x-signature", &hex)], BODY);
    check("header-twice", PLAIN, &request);
    let request = post(
        &[(
            "X-Chatwoot-Signature",
            &format!("sha256={}", "0".repeat(64)),
        )],
        BODY,
    );
    check("header-of-a-vendor", PLAIN, &request);
    check("header-with-the-secret", PLAIN, &signed(SECRET));
}

#[test]
fn it_was_cut_or_is_too_long() {
    let hex = hex::encode(sha256(SECRET, BODY));
    check("signature-cut", PLAIN, &signed(&hex[..62]));
    check("signature-long", PLAIN, &signed(&format!("{hex}00")));
}

#[test]
fn the_body_was_changed() {
    let cases = [
        (
            "body-stringify",
            "{ \"a\": 1.0, \"b\": \"\\u00e9\" }",
            "{\"a\":1,\"b\":\"é\"}",
        ),
        ("body-line-end-added", "{\"a\":1}\n", "{\"a\":1}"),
        ("body-line-end-removed", "{\"a\":1}", "{\"a\":1}\n"),
        ("body-crlf", "a\r\nb", "a\nb"),
        ("body-lf", "a\nb", "a\r\nb"),
        ("body-bom", "{\"a\":1}", "\u{feff}{\"a\":1}"),
        ("body-bom-added", "\u{feff}a", "a"),
        (
            "body-slash",
            "{\"a\":\"b/c\",\"n\":1.0}",
            "{\"a\":\"b\\/c\",\"n\":1.0}",
        ),
        (
            "body-unicode",
            "{\"a\":\"é\",\"n\":1.0}",
            "{\"a\":\"\\u00e9\",\"n\":1.0}",
        ),
        (
            "body-python",
            "{\"a\":1,\"b\":[1.0,2]}",
            "{\"a\": 1, \"b\": [1.0, 2]}",
        ),
        (
            "body-pretty",
            "{\"a\":[1.0]}",
            "{\n  \"a\": [\n    1.0\n  ]\n}",
        ),
        ("body-form", "a=b%20c&d=1", "a=b+c&d=1"),
    ];
    for (name, sent, was) in cases {
        let signature = hex::encode(sha256(SECRET, was));
        check(name, PLAIN, &post(&[("X-Signature", &signature)], sent));
    }
}

#[test]
fn two_things_at_once() {
    let signature = STANDARD.encode(sha256(SECRET, "{\"a\":1}\n"));
    check(
        "two-things",
        PLAIN,
        &post(&[("X-Signature", &signature)], "{\"a\":1}"),
    );
    let lines = PLAIN.replace("canary-7f3e9a51", "\"canary-7f3e9a51\\n\"");
    let signature = STANDARD.encode(sha256(SECRET, BODY));
    check("two-things-with-the-secret", &lines, &signed(&signature));
}

#[test]
fn another_text_is_signed() {
    let lines = "verify: { hmac: { header: X-Signature, signed: \"{timestamp}.{body}\", timestamp: { header: X-Time } } }\n\
                 secret: canary-7f3e9a51";
    let now = NOW.to_string();
    let with = |signed: &str| {
        let signature = hex::encode(sha256(SECRET, signed));
        post(
            &[
                ("X-Signature", &signature),
                ("X-Time", &now),
                ("X-Sent-At", "1769855399"),
            ],
            BODY,
        )
    };
    check("text-separator", lines, &with(&format!("{NOW}:{BODY}")));
    check("text-order", lines, &with(&format!("{BODY}{NOW}")));
    check("text-without-time", lines, &with(BODY));
    check(
        "text-time-elsewhere",
        lines,
        &with(&format!("1769855399.{BODY}")),
    );
    check(
        "text-in-milliseconds",
        lines,
        &with(&format!("{NOW}000.{BODY}")),
    );
    check("text-with-a-time", PLAIN, &with(&format!("{NOW}.{BODY}")));
}

#[test]
fn it_is_signed_as_a_vendor_signs() {
    let signature = hex::encode(sha256(SECRET, &format!("{NOW}.{BODY}")));
    let request = post(
        &[
            ("X-Chatwoot-Signature", &format!("sha256={signature}")),
            ("X-Chatwoot-Timestamp", &NOW.to_string()),
        ],
        BODY,
    );
    // Two headers and a text between them are more than two deviations.
    let lines = "verify: { hmac: { header: X-Erp, encoding: base64, key: hex, signed: \"v1:{header:X-Id}:{body}\" } }\n\
                 secret: \"00ff\"";
    let vowchat = request.replace(
        &signature,
        &hex::encode(keyed(b"00ff", format!("{NOW}.{BODY}").as_bytes())),
    );
    check("vendor", lines, &vowchat);
}

#[test]
fn the_public_url_is_another() {
    let lines = "verify: { hmac: { header: X-Signature, signed: \"{url}{body}\" } }\nsecret: canary-7f3e9a51\n\
                 public_url: http://hooks.example.com/hooks/erp";
    for (name, url) in [
        ("url-https", "https://hooks.example.com/hooks/erp"),
        ("url-slash", "http://hooks.example.com/hooks/erp/"),
        ("url-port", "https://hooks.example.com:8443/hooks/erp"),
    ] {
        let signature = hex::encode(sha256(SECRET, &format!("{url}{BODY}")));
        check(name, lines, &signed(&signature));
    }
    let elsewhere = lines.replace("hooks.example.com/hooks/erp", "internal:8080/in");
    let signature = hex::encode(sha256(
        SECRET,
        &format!("https://hooks.example.com/hooks/erp{BODY}"),
    ));
    check("url-of-the-request", &elsewhere, &signed(&signature));
}

#[test]
fn the_method_or_a_condition_is_another() {
    let lines = "verify: { hmac: { header: X-Signature, signed: \"{method}{body}\" } }\nsecret: canary-7f3e9a51";
    let signature = hex::encode(sha256(SECRET, &format!("PUT{BODY}")));
    check("method", lines, &signed(&signature));
    let lines = "verify: { hmac: { header: X-Signature }, when: { header:X-Version: v2, method: POST } }\nsecret: canary-7f3e9a51";
    let signature = hex::encode(sha256(SECRET, BODY));
    let request = post(&[("X-Signature", &signature), ("X-Version", "v1")], BODY);
    check("when", lines, &request);
}

#[test]
fn the_capture_is_not_what_was_sent() {
    let hex = hex::encode(sha256(SECRET, BODY));
    let request = |length: usize, body: &str| {
        post(
            &[
                ("X-Signature", &hex),
                ("Content-Length", &length.to_string()),
            ],
            body,
        )
    };
    check("capture-cut", PLAIN, &request(BODY.len(), &BODY[..20]));
    check(
        "capture-longer",
        PLAIN,
        &request(BODY.len(), &format!("{BODY}\n")),
    );
    check("body-empty", PLAIN, &signed(&hex).replace(BODY, ""));
    let zipped = post(
        &[("X-Signature", &hex), ("Content-Encoding", "gzip")],
        "packed",
    );
    check("body-gzip", PLAIN, &zipped);
}

#[test]
fn nothing_helps() {
    check("nothing", PLAIN, &signed(&"0".repeat(64)));
    let request =
        "PUT /elsewhere HTTP/1.1\r\nX-Signature: \x1b[2J\r\n\r\n".replace('\x1b', "\u{e9}");
    let text = {
        let capture = raw(request.as_bytes()).expect("a request");
        let subject = subject(&yaml(PLAIN), Some("erp"), &capture);
        report::report(&subject, &capture, At::Now, NOW * 1_000).text
    };
    insta::assert_snapshot!("nothing-fits", text);
}

/// A secret may be a part of the URL that is signed.
#[test]
fn a_secret_in_a_url_is_not_shown() {
    let lines = "verify: { hmac: { header: X-Signature, signed: \"{url}{body}\" } }\nsecret: canary-7f3e9a51\n\
                 public_url: https://hooks.example.com/hooks/erp";
    let url = format!("https://hooks.example.com/hooks/{SECRET}");
    let signature = hex::encode(sha256(SECRET, &format!("{url}{BODY}")));
    let request = signed(&signature).replace("/hooks/erp", &format!("/hooks/{SECRET}"));
    let capture = raw(request.as_bytes()).expect("a request");
    let subject = subject(&yaml(lines), Some("erp"), &capture);
    let text = report::report(&subject, &capture, At::Now, NOW * 1_000).text;
    assert_gives_nothing_away(&text, &request, &subject);
    insta::assert_snapshot!("url-with-the-secret", text);
}

/// The forms of a secret, in every place that is shown.
#[test]
fn a_secret_is_shown_nowhere() {
    let base64 = STANDARD.encode(SECRET);
    for value in [
        SECRET.to_owned(),
        format!("Bearer {SECRET}"),
        format!("Basic {base64}"),
        format!("t={SECRET},v1={base64}"),
    ] {
        for header in ["X-Signature", "X-Sig", "X-Time", "Authorization"] {
            let request = post(
                &[("X-Signature", "00"), (header, &value)],
                &format!("{{\"s\":\"{SECRET}\"}}"),
            );
            explained(&yaml(PLAIN), &request, At::Now);
        }
        let path = format!("POST /hooks/{SECRET}?s={SECRET} HTTP/1.1\r\nX-Signature: 00\r\n\r\n");
        let capture = raw(path.as_bytes()).expect("a request");
        let subject = subject(&yaml(PLAIN), Some("erp"), &capture);
        let text = report::report(&subject, &capture, At::Now, 0).text;
        assert!(!text.contains("canary"), "{text}");
    }
}

//! Handshakes: who is answered, with what, and what nobody gets signed by asking.

use super::*;
use crate::config::handshake::{Handshake as Rule, HandshakeAnswer, HandshakeBody, HandshakeValue};
use http::StatusCode;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

fn text(template: &str) -> HandshakeBody {
    HandshakeBody::Text(template.parse().expect("a template"))
}

fn rule(conditions: &[When], body: HandshakeBody) -> Rule {
    Rule {
        when: conditions.to_vec(),
        verified: false,
        learn: None,
        answer: HandshakeAnswer {
            status: StatusCode::OK,
            content_type: Some(HeaderValue::from_static(PLAIN_TEXT)),
            headers: Vec::new(),
            body,
        },
    }
}

/// Whether somebody asks, for rules on the query's `c`.
fn asked() -> Vec<When> {
    vec![when("query:c", Some("*"))]
}

fn prepared(rules: &[Rule], keys: &[Secret]) -> Handshakes {
    Handshakes::new(rules, &by(plain()), keys, &around())
}

/// What one asks and gets: the body, if anything.
fn ask(rules: &[Rule], request: &Outgoing) -> Option<String> {
    let handshakes = prepared(rules, &secrets(&["key"]));
    let found = handshakes.rule(request.as_request())?;
    let answer = handshakes.answer(found, request.as_request(), NOW_MS)?;
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    Some(String::from_utf8(answer.body.to_vec()).expect("text"))
}

#[test]
fn the_first_rule_that_holds_answers() {
    let rules = [
        rule(
            &[
                when("method", Some("GET")),
                when("query:hub.mode", Some("subscribe")),
                when("query:hub.verify_token", Some("{param:app}")),
            ],
            text("{query:hub.challenge}"),
        ),
        rule(
            &[when("json:/type", Some("url_verification"))],
            text("{json:/challenge}"),
        ),
        rule(&[when("header:x-hook", Some("*"))], text("")),
        rule(&[when("query:none", Some("{param:unset}"))], text("never")),
    ];
    let get = |query: &str| Outgoing {
        method: Method::GET,
        ..post("").query(query)
    };
    let cases = [
        (
            get("hub.mode=subscribe&hub.verify_token=app-1&hub.challenge=1158201444"),
            Some("1158201444"),
        ),
        (
            get("hub.mode=subscribe&hub.verify_token=app-2&hub.challenge=1"),
            None,
        ),
        (get("hub.mode=subscribe&hub.verify_token=app-1"), None),
        (
            get("hub.mode=subscribe&hub.verify_token=app-1&hub.challenge=1&hub.challenge=2"),
            None,
        ),
        (
            get("hub.mode=subscribe&hub.verify_token=app-1&hub.verify_token=app-1&hub.challenge=1"),
            None,
        ),
        (get("hub.mode=subscribe&hub.challenge=1"), None),
        (
            post("").query("hub.mode=subscribe&hub.verify_token=app-1&hub.challenge=1"),
            None,
        ),
        (
            post(r#"{"type":"url_verification","challenge":"3eZbrw"}"#),
            Some("3eZbrw"),
        ),
        (post(r#"{"type":"event"}"#), None),
        (post("").with("x-hook", "a"), Some("")),
        (post("").query("none="), None),
    ];
    for (request, expected) in cases {
        assert_eq!(ask(&rules, &request).as_deref(), expected, "{request:?}");
    }
    let handshakes = prepared(&rules, &secrets(&["key"]));
    assert_eq!(handshakes.methods(), [Method::GET]);
    let headers = HeaderMap::new();
    let open = Some(MayAnswer::Anybody);
    let may = handshakes.may_answer(&Method::POST, None, &headers);
    assert_eq!(may, open, "the body may say so");
    let only_get = prepared(&rules[..1], &secrets(&["key"]));
    let query = Some("hub.mode=subscribe&hub.verify_token=app-1");
    for (method, query, may) in [
        (Method::POST, None, None),
        (Method::GET, None, None),
        (Method::GET, query, open),
        (Method::PUT, query, None),
    ] {
        let found = only_get.may_answer(&method, query, &headers);
        assert_eq!(found, may, "{method} {query:?}");
    }
}

/// A body is read for a rule that asks for a proof only where the proof may be there.
#[test]
fn what_no_rule_answers_is_told_by_its_places() {
    let rules = [
        rule(
            &[
                when("method", Some("GET")),
                when("query:mode", Some("subscribe")),
                when("query:token", Some("{param:app}")),
                when("query:gone", None),
            ],
            text("ok"),
        ),
        rule(
            &[
                when("method", Some("PUT")),
                when("json:/a", Some("b")),
                when("header:x", Some("*")),
            ],
            text("ok"),
        ),
        rule(&[when("query:c", Some("*"))], text("ok")),
    ];
    let handshakes = prepared(&rules, &secrets(&["key"]));
    let differing = |method: Method, query: &str, body: Option<&str>| {
        let headers = HeaderMap::new();
        let request = Request {
            method: &method,
            query: Some(query),
            headers: &headers,
            body: b"",
        };
        handshakes.differing(request, body.map(str::as_bytes))
    };
    let cases = [
        (
            Method::GET,
            "mode=subscribe&token=no",
            None,
            Some("query:token"),
        ),
        (Method::GET, "mode=subscribe", None, Some("query:token")),
        (
            Method::GET,
            "mode=no&token=no&gone=1",
            None,
            Some("query:mode, query:token, query:gone"),
        ),
        (Method::PUT, "", None, Some("header:x")),
        (Method::PUT, "", Some("{}"), Some("json:/a, header:x")),
        (Method::PUT, "", Some(r#"{"a":"b"}"#), Some("header:x")),
        (Method::DELETE, "", None, None),
        (Method::POST, "", None, None),
    ];
    for (method, query, body, expected) in cases {
        let found = differing(method.clone(), query, body);
        assert_eq!(found.as_deref(), expected, "{method} {query} {body:?}");
    }
}

#[test]
fn one_rule_for_anybody_is_enough_to_read_on() {
    let asks = |verified| Rule {
        verified,
        ..rule(&[when("json:/type", Some("ping"))], text("pong"))
    };
    for (rules, may) in [
        (vec![asks(true)], Some(MayAnswer::Proven)),
        (vec![asks(true), asks(false)], Some(MayAnswer::Anybody)),
        (vec![], None),
    ] {
        let handshakes = prepared(&rules, &secrets(&["key"]));
        let found = handshakes.may_answer(&Method::POST, None, &HeaderMap::new());
        assert_eq!(found, may, "{rules:?}");
        let elsewhere = handshakes.may_answer(&Method::GET, None, &HeaderMap::new());
        assert_eq!(elsewhere, None, "a rule without a method is for POST");
    }
}

#[test]
fn answers_are_small_and_quoted() {
    let echo = [rule(&asked(), text("{query:c}"))];
    let of = |bytes: usize| post("").query(&format!("c={}", "a".repeat(bytes)));
    assert_eq!(ask(&echo, &of(4096)).map(|text| text.len()), Some(4096));
    assert_eq!(ask(&echo, &of(4097)), None);
    let value = |template: &str| HandshakeValue::Text(template.parse().expect("a template"));
    let json = HandshakeBody::Json(vec![
        ("a\"b".to_owned(), value("{query:c}")),
        ("n".to_owned(), HandshakeValue::Fixed(200.into())),
    ]);
    let json = [rule(&asked(), json)];
    let injected = ask(&json, &post("").query("c=%22%7D%0A%00%C3%A9%3C"));
    assert_eq!(
        injected.as_deref(),
        Some(r#"{"a\"b":"\"}\n\u0000é<","n":200}"#)
    );
    assert_eq!(ask(&json, &post("").query("c=%FF")), None, "no text");
}

/// A header is a line: what would end it is refused, and what is in headers counts like what is in the body.
#[test]
fn nothing_gets_into_the_head_of_an_answer() {
    let mut echo = rule(&asked(), text("ok"));
    let secret = HeaderName::from_static("x-hook-secret");
    echo.answer.headers = vec![(secret, "{query:c}".parse().expect("a template"))];
    let rules = [echo];
    let handshakes = prepared(&rules, &secrets(&["key"]));
    let answer = |query: &str| {
        let request = post("").query(query);
        let rule = handshakes.rule(request.as_request()).expect("asked");
        handshakes.answer(rule, request.as_request(), NOW_MS)
    };
    let plainly = answer("c=a%20b").expect("answered");
    assert_eq!(plainly.headers["x-hook-secret"], "a b");
    assert_eq!(plainly.headers[CONTENT_TYPE], PLAIN_TEXT);
    for query in [
        "c=a%0d%0aset-cookie:b",
        "c=a%0ab",
        "c=a%0d",
        "c=%00",
        "c=a%7f",
    ] {
        assert!(answer(query).is_none(), "{query}");
    }
    assert!(answer(&format!("c={}", "a".repeat(4094))).is_some());
    assert!(answer(&format!("c={}", "a".repeat(4095))).is_none());
}

/// The vector is that of a published example: HMAC-SHA256 of `plainToken`.
#[test]
fn challenges_are_signed_and_nothing_else_is() {
    let rules = [rule(&asked(), text("{query:c|hmac_sha256|hex}"))];
    let sign = |handshakes: &Handshakes, query: &str, now_ms: u64| {
        let request = post("").query(query);
        let rule = handshakes.rule(request.as_request()).expect("asked");
        let answer = handshakes.answer(rule, request.as_request(), now_ms)?;
        Some(String::from_utf8(answer.body.to_vec()).expect("text"))
    };
    let handshakes = prepared(&rules, &secrets(&["ZOOM_SECRET"]));
    let right = "5ba3aa87534bc30c6f2303c0d63022caad8cdae0a6e85e28ab8cfd3848f5a80b";
    assert_eq!(
        sign(&handshakes, "c=qgg8vlvZRS6UYooatFL8Aw", NOW_MS).as_deref(),
        Some(right)
    );
    let long = "a".repeat(256);
    let refused = [
        "c=%7B%7D",
        "c=a:b",
        "c=a%20b",
        "c=v0:1769855400:b",
        "c=a%26b",
        "c=a%0a",
        "c=%C3%A9",
        "c=a%2Cb",
        "c=%22",
        &format!("c={long}a"),
    ];
    for query in refused {
        assert_eq!(sign(&handshakes, query, NOW_MS), None, "{query}");
    }
    assert!(sign(&handshakes, &format!("c={long}"), NOW_MS).is_some());
    // A secret outside its time is not there: the next one signs, or none.
    let mut keys = secrets(&["old", "ZOOM_SECRET"]);
    keys[0].not_after_ms = NOW_MS - 1;
    keys[1].not_after_ms = NOW_MS;
    let handshakes = prepared(&rules, &keys);
    assert_eq!(
        sign(&handshakes, "c=qgg8vlvZRS6UYooatFL8Aw", NOW_MS).as_deref(),
        Some(right)
    );
    assert_eq!(
        sign(&handshakes, "c=qgg8vlvZRS6UYooatFL8Aw", NOW_MS + 1),
        None
    );
}

#[test]
fn who_gives_anybody_an_hmac_is_known() {
    let signs = |rules: &[Rule]| handshake::signs_for_anybody(rules);
    let signed = "{query:c|hmac_sha1|hex}";
    let template = || signed.parse().expect("a template");
    let json = HandshakeBody::Json(vec![("a".to_owned(), HandshakeValue::Text(template()))]);
    let mut in_header = rule(&asked(), text(""));
    in_header.answer.headers = vec![(HeaderName::from_static("x-a"), template())];
    let mut proven = rule(&asked(), text(signed));
    proven.verified = true;
    let digits = rule(&asked(), text("{query:c|hex_digits|hmac_sha1|hex}"));
    let late = rule(&asked(), text("{query:c|hmac_sha1|hex|hex_digits}"));
    let hashed = rule(&asked(), text("{query:c|sha256|hex}"));
    let echo = rule(&asked(), text("{query:c}"));
    let cases = [
        (
            vec![echo, rule(&asked(), text(signed))],
            Some(Challenges::Texts),
        ),
        (vec![rule(&asked(), json)], Some(Challenges::Texts)),
        (vec![in_header.clone()], Some(Challenges::Texts)),
        (vec![digits.clone()], Some(Challenges::HexDigits)),
        (vec![digits, in_header], Some(Challenges::Texts)),
        (vec![late], Some(Challenges::Texts)),
        (vec![proven, hashed], None),
        (vec![], None),
    ];
    for (rules, expected) in cases {
        assert_eq!(signs(&rules), expected, "{rules:?}");
    }
}

/// What a handshake signs for anybody is no event, even where the whole body is what an event signs.
#[test]
fn a_signed_challenge_proves_no_event() {
    let open = Surroundings {
        answers_challenges: Some(Challenges::Texts),
        ..around()
    };
    let signed = |body: &str| post(body).with("x-signature", tag("key", body));
    for (around, plain_text) in [(around(), s(1)), (open.clone(), BAD)] {
        let door = Door::within(&by(plain()), &secrets(&["key"]), &around);
        assert_eq!(
            door.judge(&signed(r#"{"event":"order"}"#)),
            s(1),
            "what cannot be a challenge is an event"
        );
        assert_eq!(door.judge(&signed("a=1&b=2")), s(1));
        assert_eq!(door.judge(&signed(&"a".repeat(257))), s(1));
        for body in ["1769855400", "true", "action=delete", "a"] {
            assert_eq!(door.judge(&signed(body)), plain_text, "{body}");
        }
    }
    // A token's signed text looks like a challenge as well.
    let config = Jwt {
        field: field("header:x-jwt"),
        prefix: String::new(),
        hash: Hash::Sha256,
        key: KeyForm::Text,
        claims: Vec::new(),
        tolerance: Duration::ZERO,
    };
    let verify = Verify::Schemes(vec![scheme(Proof::Jwt(config))]);
    let forged = "eyJhbGciOiJIUzI1NiJ9.e30";
    let signature = filters::encode(
        Encoding::Base64Url,
        &hex::decode(tag("key", forged)).expect("hex"),
    );
    let sent = post("b").with("x-jwt", format!("{forged}.{signature}"));
    for (around, expected) in [(around(), s(1)), (open, BAD)] {
        let door = Door::within(&verify, &secrets(&["key"]), &around);
        assert_eq!(door.judge(&sent), expected);
    }
}

//! When a scheme is tried, and what several of them are together.

use super::*;

const BODY: &str = "b";

fn under(conditions: &[When], signature: Signature) -> Config {
    Config {
        when: conditions.to_vec(),
        ..scheme(Proof::Signature(signature))
    }
}

fn signed() -> Outgoing {
    post(BODY).with("x-signature", tag("key", BODY))
}

#[test]
fn every_line_must_hold() {
    let hash = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
    let v = |value: &str| signed().with("x-v", value);
    let cases = [
        ("header:x-v", Some("v1"), v("v1"), true),
        ("header:x-v", Some("v1"), v("v2"), false),
        ("header:x-v", Some("v1"), v("V1"), false),
        ("header:x-v", Some("v1"), v("v11"), false),
        ("header:x-v", Some("v1"), v(""), false),
        ("header:x-v", Some("v1"), signed(), false),
        ("header:x-v", Some("v1"), v("v1").with("x-v", "v1"), false),
        ("header:x-v", Some("v1"), v("v1").with("x-v", "v2"), false),
        ("header:x-v", Some("{param:app}"), v("app-1"), true),
        ("header:x-v", Some("*"), v("any"), true),
        ("header:x-v", Some("*"), v(""), false),
        ("header:x-v", Some("*"), signed(), false),
        ("header:x-v", None, signed(), true),
        ("header:x-v", None, v(""), true),
        ("header:x-v", None, v("any"), false),
        ("header:x-v", None, v("any").with("x-v", "more"), false),
        ("header:x-v", None, v("").with("x-v", "more"), false),
        ("method", Some("POST"), signed(), true),
        ("method", Some("GET"), signed(), false),
        (
            "query:h",
            Some("{body|sha256|hex}"),
            signed().query(&format!("h={hash}")),
            true,
        ),
        (
            "query:h",
            Some("{body|sha256|hex}"),
            signed().query("h=3e23"),
            false,
        ),
        (
            "query:h",
            Some("{body|sha256|hex}"),
            signed().query(&format!("h={hash}&h={hash}")),
            false,
        ),
        ("query:h", None, signed().query("h=&h=1"), false),
        ("query:h", None, signed().query("h&x=1"), true),
        ("query:h", None, signed(), true),
        ("json:/a", None, signed(), true),
        ("form:a", None, signed(), true),
        (
            "header:x-v",
            Some("{header:x-signature}"),
            v(&tag("key", BODY)),
            true,
        ),
        ("header:x-v", Some("{header:x-none}"), v("a"), false),
        (
            "header:x-v",
            Some("{header:x-none|optional}"),
            signed(),
            false,
        ),
    ];
    for (subject, expected, request, holds) in cases {
        let line = when(subject, expected);
        let verify = Verify::Schemes(vec![under(std::slice::from_ref(&line), plain())]);
        let door = Door::new(&verify, &secrets(&["key"]));
        let verdict = if holds { s(1) } else { BAD };
        assert_eq!(door.judge(&request), verdict, "{line:?} {request:?}");
        let both = Verify::Schemes(vec![under(
            &[
                when("method", Some("POST")),
                line,
                when("header:x-no", None),
            ],
            plain(),
        )]);
        assert_eq!(
            Door::new(&both, &secrets(&["key"])).judge(&request),
            verdict
        );
    }
}

#[test]
fn conditions_look_into_the_body() {
    let cases = [
        ("json:/a", Some("1"), r#"{"a":1}"#, true),
        ("json:/a", Some("1"), r#"{"a":"1"}"#, true),
        ("json:/a", Some("1"), r#"{"a":2}"#, false),
        ("json:/a", None, r#"{"a":null}"#, true),
        ("json:/a", None, r#"{"a":false}"#, false),
        ("json:/a", None, r#"{"a":1,"a":null}"#, true),
        ("json:/a", None, "{", true),
        ("json:/a", Some("*"), r#"{"a":{}}"#, true),
    ];
    for (subject, expected, body, holds) in cases {
        let verify = Verify::Schemes(vec![under(&[when(subject, expected)], plain())]);
        let door = Door::new(&verify, &secrets(&["key"]));
        let sent = post(body).with("x-signature", tag("key", body));
        let verdict = if holds { s(1) } else { BAD };
        assert_eq!(door.judge(&sent), verdict, "{subject} {expected:?} {body}");
    }
    let fields = Verify::Schemes(vec![under(&[when("form:a", Some("1"))], plain())]);
    let door = Door::new(&fields, &secrets(&["key"]));
    for (body, expected) in [("a=1", s(1)), ("a=1&a=1", BAD), ("a=2", BAD), ("b=1", BAD)] {
        let sent = form(body).with("x-signature", tag("key", body));
        assert_eq!(door.judge(&sent), expected, "{body}");
    }
}

/// Nothing that the body decides is decided before it was read.
#[test]
fn what_the_body_decides_waits_for_it() {
    for (subject, expected) in [
        ("json:/a", Some("1")),
        ("form:a", Some("1")),
        ("query:h", Some("{body|sha256|hex}")),
        ("header:x-v", Some("{json:/a}")),
    ] {
        let verify = Verify::Schemes(vec![under(&[when(subject, expected)], plain())]);
        let verifier = Door::new(&verify, &secrets(&["key"])).verifier;
        let sent = signed();
        assert_eq!(
            verifier.precheck(&Method::POST, None, &sent.headers),
            Ok(()),
            "{subject}"
        );
    }
    let verify = Verify::Schemes(vec![under(&[when("header:x-v", Some("1"))], plain())]);
    let verifier = Door::new(&verify, &secrets(&["key"])).verifier;
    let before = verifier.precheck(&Method::POST, None, &signed().headers);
    assert_eq!(before, Err(Refused::Bad));
}

/// Twilio's two: a form is signed with its fields, any other body by its hash in the signed URL.
fn twilio() -> Door {
    let twilio = |signed: &str| Signature {
        algorithm: Algorithm::Hmac(Hash::Sha1),
        encoding: Encoding::Base64,
        ..signing(signed)
    };
    let verify = Verify::Schemes(vec![
        under(
            &[when("query:bodySHA256", None)],
            twilio("{url}{form|sorted}"),
        ),
        under(
            &[when("query:bodySHA256", Some("{body|sha256|hex}"))],
            twilio("{url}"),
        ),
    ]);
    Door::new(&verify, &secrets(&["key"]))
}

#[test]
fn a_body_signed_by_its_hash_is_no_form_and_the_other_way_round() {
    let door = twilio();
    let text = |text: String| {
        let mut mac = mac::Mac::new(Hash::Sha1, b"key");
        mac.update(text.as_bytes());
        filters::encode(Encoding::Base64, mac.finish().as_bytes())
    };
    let hash = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
    let json = post("b").query(&format!("bodySHA256={hash}"));
    let json = json.with("x-signature", text(format!("{URL}?bodySHA256={hash}")));
    let fields = form("a=1")
        .query("x=1")
        .with("x-signature", text(format!("{URL}?x=1a1")));
    let with_query = |query: &str| json.clone().query(query);
    table(
        &door,
        [
            ("JSON", json.clone(), s(1)),
            ("a form", fields.clone(), s(1)),
            ("another body", json.clone().body("c"), BAD),
            ("another field", fields.clone().body("a=2"), BAD),
            (
                "a form's signature for JSON",
                fields.clone().but("content-type", "application/json"),
                BAD,
            ),
            (
                "JSON's signature for a form",
                json.clone().with("content-type", FORM),
                s(1),
            ),
            (
                "JSON's signature for another form",
                json.clone().with("content-type", FORM).body("a=1"),
                BAD,
            ),
            ("without the hash", json.clone().query(""), BAD),
            ("an empty hash", with_query("bodySHA256="), BAD),
            (
                "the hash twice",
                with_query(&format!("bodySHA256={hash}&bodySHA256={hash}")),
                BAD,
            ),
            ("an unsigned URL", fields.clone().query("x=2"), BAD),
            (
                "no URL",
                form("a=1").with("x-signature", text(format!("{URL}a1"))),
                s(1),
            ),
        ],
    );
    // An unsigned hash, over which nobody signed: whoever adds one to a form has another URL.
    let added = fields.query(&format!("x=1&bodySHA256={hash}"));
    assert_eq!(door.judge(&added), BAD);
}

#[test]
fn one_of_a_list_is_enough_with_its_own_secrets() {
    let old = Signature {
        fields: vec![field("header:x-old")],
        ..plain()
    };
    let names = |name: &str| Some(vec![name.into()]);
    let verify = Verify::Schemes(vec![
        Config {
            secrets: names("s1"),
            ..scheme(Proof::Signature(plain()))
        },
        Config {
            secrets: names("s2"),
            ..scheme(Proof::Signature(old))
        },
        Config {
            secrets: names("s3"),
            ..scheme(token("header:x-token", "", TokenForm::Plain))
        },
    ]);
    let door = Door::new(&verify, &secrets(&["key", "two", "three"]));
    table(
        &door,
        [
            (
                "first",
                post("b").with("x-signature", tag("key", "b")),
                s(1),
            ),
            (
                "first, another's secret",
                post("b").with("x-signature", tag("two", "b")),
                BAD,
            ),
            ("second", post("b").with("x-old", tag("two", "b")), s(2)),
            (
                "second, another's secret",
                post("b").with("x-old", tag("key", "b")),
                BAD,
            ),
            ("third", post("b").with("x-token", "three"), s(3)),
            (
                "third, another's secret",
                post("b").with("x-token", "key"),
                BAD,
            ),
            (
                "wrong and right",
                post("b")
                    .with("x-signature", "00")
                    .with("x-old", tag("two", "b")),
                s(2),
            ),
            ("none", post("b"), MISSING),
            (
                "none right",
                post("b").with("x-signature", "00").with("x-token", "x"),
                BAD,
            ),
        ],
    );
    let both = signed().with("x-token", "three");
    let verified = door.verified(&both, NOW_MS).expect("the first passes");
    assert_eq!(verified.secret().map(|name| &**name), Some("s1"));
    assert!(
        !verified.headers().contains_key("x-token"),
        "no secret stays in the request"
    );
    let carried = verified.secret_header().expect("it is put back");
    assert_eq!(
        (carried.header.as_str(), &*carried.secret),
        ("x-token", "s3")
    );
    let twice = Verify::Schemes(vec![
        scheme(token("header:x-token", "", TokenForm::Plain)),
        scheme(token("header:x-other", "", TokenForm::Plain)),
    ]);
    let sent = post("b").with("x-token", "one").with("x-other", "two");
    let verified = Door::new(&twice, &secrets(&["one", "two"]))
        .verified(&sent, NOW_MS)
        .expect("both pass");
    assert!(verified.headers().is_empty(), "{:?}", verified.headers());
    let wrong = signed().with("x-token", "thre");
    let verified = door.verified(&wrong, NOW_MS).expect("the first passes");
    assert!(
        verified.headers().contains_key("x-token"),
        "what is no secret is no business of ours"
    );
}

/// Of several refusals the one that came furthest is told, and only a scheme that is to be tried calls anything stale.
#[test]
fn refusals_are_ranked() {
    let dated = Signature {
        fields: vec![field("header:x-dated")],
        timestamp: Some(time_in("header:x-time")),
        ..signing("{timestamp}.{body}")
    };
    let old = |request: Outgoing| {
        request
            .with("x-time", "1")
            .with("x-dated", tag("key", "1.b"))
    };
    for reversed in [false, true] {
        let mut schemes = vec![
            under(&[], plain()),
            under(&[when("header:x-v", None)], dated.clone()),
        ];
        if reversed {
            schemes.reverse();
        }
        let door = Door::new(&Verify::Schemes(schemes), &secrets(&["key"]));
        table(
            &door,
            [
                ("stale", old(post("b")), STALE),
                (
                    "stale and wrong",
                    old(post("b").with("x-signature", "00")),
                    STALE,
                ),
                ("stale and right", old(signed()), s(1)),
                (
                    "stale and not to be tried",
                    old(post("b")).with("x-v", "1"),
                    BAD,
                ),
                (
                    "wrong and missing",
                    post("b").with("x-signature", "00"),
                    BAD,
                ),
                ("missing", post("b"), MISSING),
            ],
        );
    }
}

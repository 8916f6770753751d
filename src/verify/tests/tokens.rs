//! Tokens: compared whole, taken out of the request, and sent as they are read.

use super::*;
use TokenForm::{Basic, Plain, Scheme};

fn door(at: &str, prefix: &str, form: TokenForm) -> Door {
    let verify = Verify::Schemes(vec![scheme(token(at, prefix, form))]);
    Door::new(&verify, &secrets(&["first", "second", "user:pässword"]))
}

#[test]
fn tokens_are_compared_whole() {
    let cases: [(&str, TokenForm, &[u8], Result<String, Refused>); 32] = [
        ("", Plain, b"second", s(2)),
        ("", Plain, b"Second", BAD),
        ("", Plain, b"secon", BAD),
        ("", Plain, b"second2", BAD),
        ("", Plain, b"firstsecond", BAD),
        ("", Plain, b"first,second", BAD),
        ("", Plain, b"", MISSING),
        ("", Plain, b"\xff", BAD),
        ("key ", Plain, b"key first", s(1)),
        ("key ", Plain, b"Key first", BAD),
        ("key ", Plain, b"first", BAD),
        ("key ", Plain, b"key  first", BAD),
        ("key ", Plain, b"key ", BAD),
        ("Bearer ", Scheme, b"Bearer first", s(1)),
        ("Bearer", Scheme, b"Bearer first", s(1)),
        ("Bearer ", Scheme, b"bEARER   first", s(1)),
        ("Bearer ", Scheme, b"Bearer\tfirst", BAD),
        ("Bearer ", Scheme, b"Bearerfirst", BAD),
        ("Bearer ", Scheme, b"Bearer", BAD),
        ("Bearer ", Scheme, b"Bearer  ", BAD),
        ("Bearer ", Scheme, b"Basic first", BAD),
        ("Bearer ", Scheme, b"first", BAD),
        ("Basic ", Basic, b"Basic dXNlcjpww6Rzc3dvcmQ=", s(3)),
        ("Basic ", Basic, b"basic  dXNlcjpww6Rzc3dvcmQ=", s(3)),
        ("Basic ", Basic, b"Basic Zmlyc3Q=", s(1)),
        ("Basic ", Basic, b"Basic dXNlcjpww6Rzc3dvcmQ", BAD),
        ("Basic ", Basic, b"Basic dXNlcjpww6Rzc3dvcmR=", BAD),
        ("Basic ", Basic, "Basic user:pässword".as_bytes(), BAD),
        ("Basic ", Basic, b"Basic dXNlcjo=", BAD),
        ("Basic ", Basic, b"Basic ", BAD),
        ("Basic ", Basic, b"Basic =", BAD),
        ("Basic ", Basic, b"Bearer dXNlcjpww6Rzc3dvcmQ=", BAD),
    ];
    for (prefix, form, value, expected) in cases {
        let door = door("header:x-token", prefix, form);
        let found = door.judge(&post("b").with("x-token", value));
        assert_eq!(
            found,
            expected,
            "{form:?} {}",
            String::from_utf8_lossy(value)
        );
    }
    let door = door("header:x-token", "", Plain);
    table(
        &door,
        [
            ("none", post("b"), MISSING),
            (
                "twice",
                post("b").with("x-token", "first").with("x-token", "first"),
                BAD,
            ),
            (
                "right and wrong",
                post("b").with("x-token", "first").with("x-token", "x"),
                BAD,
            ),
        ],
    );
}

#[test]
fn a_header_with_a_token_is_taken_out() {
    let door = door("header:x-token", "", Plain);
    let sent = post("b").with("x-token", "second").with("x-other", "kept");
    let verified = door.verified(&sent, NOW_MS).expect("right");
    assert_eq!(verified.headers(), &sent.without("x-token").headers);
    let carried = verified.secret_header().expect("carried");
    assert_eq!(
        (carried.header.as_str(), &*carried.secret),
        ("x-token", "s2")
    );
    assert!(verified.signed().is_empty(), "a token signs nothing");
}

/// The body stays what it was: its token is not a header that could be taken out.
#[test]
fn a_token_may_stand_in_the_body_or_the_query_once() {
    let json = door("json:/auth/key", "", Plain);
    table(
        &json,
        [
            ("right", post(r#"{"auth":{"key":"first"}}"#), s(1)),
            ("escaped", post(r#"{"auth":{"key":"\u0066irst"}}"#), s(1)),
            ("wrong", post(r#"{"auth":{"key":"firs"}}"#), BAD),
            ("a list", post(r#"{"auth":{"key":["first"]}}"#), BAD),
            ("an object", post(r#"{"auth":{"key":{"first":1}}}"#), BAD),
            ("true", post(r#"{"auth":{"key":true}}"#), BAD),
            ("null", post(r#"{"auth":{"key":null}}"#), MISSING),
            ("empty", post(r#"{"auth":{"key":""}}"#), MISSING),
            ("elsewhere", post(r#"{"key":"first"}"#), MISSING),
            (
                "twice, the last",
                post(r#"{"auth":{"key":"x","key":"first"}}"#),
                s(1),
            ),
            (
                "twice, the first",
                post(r#"{"auth":{"key":"first","key":"x"}}"#),
                BAD,
            ),
            ("no JSON", post(r#"{"auth":{"key":"first"}"#), MISSING),
            (
                "no UTF-8",
                post("").body(b"{\"auth\":{\"key\":\"first\"},\"\xff\":1}"),
                MISSING,
            ),
        ],
    );
    let verified = json.verified(&post(r#"{"auth":{"key":"first"}}"#), NOW_MS);
    assert!(verified.expect("right").secret_header().is_none());
    let query = door("query:token", "", Plain);
    table(
        &query,
        [
            ("right", post("").query("token=first"), s(1)),
            ("escaped", post("").query("t%6Fken=%66irst"), s(1)),
            ("twice", post("").query("token=first&token=first"), MISSING),
            ("none", post(""), MISSING),
        ],
    );
    let in_form = door("form:token", "", Plain);
    assert_eq!(in_form.judge(&form("a=1&token=second")), s(2));
    assert_eq!(in_form.judge(&post("token=second")), MISSING);
}

#[test]
fn tokens_are_sent_as_they_are_read() {
    for (at, prefix, form, request) in [
        ("header:x-token", "", Plain, post("b")),
        ("header:x-token", "key ", Plain, post("b")),
        ("header:authorization", "Bearer ", Scheme, post("b")),
        ("header:authorization", "Basic ", Basic, post("b")),
        ("json:/token", "", Plain, post(r#"{"token":"?"}"#)),
        ("query:token", "", Plain, post("b")),
        ("form:token", "", Plain, super::form("a=1")),
    ] {
        let door = door(at, prefix, form);
        let sent = door.signer.sign(2, &request, NOW_MS).expect("signed");
        assert_eq!(door.judge(&sent), s(3), "{at} {prefix}");
        for value in sent.headers.values().filter(|value| *value != FORM) {
            assert!(value.is_sensitive(), "{at} {prefix}");
        }
    }
}

//! Cases with answers that were measured on Node 20, and the laws. `tests/it/stringify.rs` asks a Node itself.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn text(body: &str) -> Result<String, NotJson> {
    let text = json_stringify(body.as_bytes())?.into_owned();
    Ok(String::from_utf8(text).expect("what is written is UTF-8"))
}

#[track_caller]
fn assert_all(cases: &[(&str, &str)]) {
    for (body, expected) in cases {
        assert_eq!(text(body).as_deref(), Ok(*expected), "{body}");
        let spaced = format!(" \t\r\n{body} \t\r\n");
        assert_eq!(text(&spaced).as_deref(), Ok(*expected), "{spaced}");
    }
}

#[test]
fn documents() {
    assert_all(&[
        (r#" { "a" : [ 1 , 2 ] } "#, r#"{"a":[1,2]}"#),
        ("{ }", "{}"),
        ("[ ]", "[]"),
        ("[[],{},[[]],{\"a\":{}}]", "[[],{},[[]],{\"a\":{}}]"),
        ("[ true , false , null ]", "[true,false,null]"),
        (r#""x""#, r#""x""#),
        ("12", "12"),
        ("null", "null"),
        (r#"{"toJSON":1}"#, r#"{"toJSON":1}"#),
        (
            r#"{"__proto__":{"x":1},"a":1}"#,
            r#"{"__proto__":{"x":1},"a":1}"#,
        ),
        (
            r#"{"__proto__":1,"a":1,"__proto__":[]}"#,
            r#"{"__proto__":[],"a":1}"#,
        ),
    ]);
}

#[test]
fn numbers() {
    assert_all(&[
        ("[1.0,1e2,1E+2,1.10,0.1e1]", "[1,100,100,1.1,1]"),
        ("100000000000000000000", "100000000000000000000"),
        ("1e20", "100000000000000000000"),
        ("[1e21,1e-6,1e-7]", "[1e+21,0.000001,1e-7]"),
        ("[0,-0,-0.0,0e9,-0e-9,1e-400,-1e-400]", "[0,0,0,0,0,0,0]"),
        ("[9007199254740993,199.00]", "[9007199254740992,199]"),
        ("999999999999999", "999999999999999"),
        ("-999999999999999", "-999999999999999"),
        ("12345678901234567890", "12345678901234567000"),
        ("123456789012345678901", "123456789012345680000"),
        ("4977069964384421269", "4977069964384421000"),
        ("[1e400,-1e400,1e308,1e309]", "[null,null,1e+308,null]"),
        ("[5e-324,2e-324,3e-324]", "[5e-324,0,5e-324]"),
        (
            "[1.7976931348623157e308,17976931348623158e292]",
            "[1.7976931348623157e+308,1.7976931348623157e+308]",
        ),
        ("1.7976931348623159e308", "null"),
        (
            "[0.1,0.30000000000000004,2.2250738585072014e-308]",
            "[0.1,0.30000000000000004,2.2250738585072014e-308]",
        ),
        ("[123e-20,1e0000002,1e+00]", "[1.23e-18,100,1]"),
    ]);
}

#[test]
fn strings() {
    assert_all(&[
        (
            r#""\u00e9 \u0041 \/ \u2028 \u2029 \u007f""#,
            "\"é A / \u{2028} \u{2029} \u{7f}\"",
        ),
        (
            "\"é \u{2028} \u{2029} \u{7f} \u{80} \u{feff} \u{ffff}\"",
            "\"é \u{2028} \u{2029} \u{7f} \u{80} \u{feff} \u{ffff}\"",
        ),
        (
            r#""\u0000 \u001F \u001f \b \f \n \r \t \" \\""#,
            r#""\u0000 \u001f \u001f \b \f \n \r \t \" \\""#,
        ),
        (
            r#""\u0008\u0009\u000a\u000B\u000c\u000D\u0022\u005c\u002F\u0020""#,
            r#""\b\t\n\u000b\f\r\"\\/ ""#,
        ),
        (r#""\ud83d\ude00 \uD83D\uDE00""#, r#""😀 😀""#),
        (r#""\ud800""#, r#""\ud800""#),
        (r#""\uD83D""#, r#""\ud83d""#),
        (r#""\uDE00\uD83D""#, r#""\ude00\ud83d""#),
        (r#""\ud83d\ud83d\ude00""#, r#""\ud83d😀""#),
        (r#""\ud83d\u0041""#, r#""\ud83dA""#),
        (r#""\ud83d\n""#, r#""\ud83d\n""#),
        (r#""\ud83dx\ude00""#, r#""\ud83dx\ude00""#),
        (r#""\udbff\udfff\ud800\udc00""#, "\"\u{10ffff}\u{10000}\""),
        (r#""<script>&'""#, r#""<script>&'""#),
    ]);
}

#[test]
fn the_order_of_members() {
    assert_all(&[
        (r#"{"2":"x","1":"y","a":0}"#, r#"{"1":"y","2":"x","a":0}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (r#"{"1":0,"2":0,"a":0}"#, r#"{"1":0,"2":0,"a":0}"#),
        (
            r#"{"10":0,"9":0,"-1":0,"01":0,"4294967294":0,"4294967295":0,"4294967296":0}"#,
            r#"{"9":0,"10":0,"4294967294":0,"-1":0,"01":0,"4294967295":0,"4294967296":0}"#,
        ),
        (r#"{"a":0,"\u0031":1}"#, r#"{"1":1,"a":0}"#),
        (
            r#"{"a":1,"b":2,"\u0061":3,"c":4,"b":5}"#,
            r#"{"a":3,"b":5,"c":4}"#,
        ),
        (r#"{"\ud800":1,"x":2,"\uD800":3}"#, r#"{"\ud800":3,"x":2}"#),
        (r#"{"😀":1,"x":2,"\ud83d\ude00":3}"#, r#"{"😀":3,"x":2}"#),
        (r#"{"":1,"\"":2,"":3,"\u0022":4}"#, r#"{"":3,"\"":4}"#),
        // An object that is rearranged inside others that are, and one that falls away with its member.
        (
            r#"{"b":{"y":[{"2":{"d":1,"d":2},"1":0}],"0":{"a":[]}},"7":{"7":0,"6":1},"b":{"1":1,"0":{"q":0,"3":3}}}"#,
            r#"{"7":{"6":1,"7":0},"b":{"0":{"3":3,"q":0},"1":1}}"#,
        ),
        (
            r#"{"y":[{"2":{"d":1,"d":2},"1":0},{"x":{}},{"z":0,"0":[{"b":0,"1":{}}]}],"0":{"a":[]}}"#,
            r#"{"0":{"a":[]},"y":[{"1":0,"2":{"d":2}},{"x":{}},{"0":[{"1":{},"b":0}],"z":0}]}"#,
        ),
    ]);
}

/// More names than are compared each with each: the same rules.
#[test]
fn the_order_of_many_members() {
    for count in [1, 15, 16, 17, 18, 100, 5_000] {
        let object = |members: &mut dyn Iterator<Item = (String, usize)>| {
            let members: Vec<_> = members
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            format!("{{{}}}", members.join(","))
        };
        let plain = object(&mut (0..count).map(|n| (format!("k{n}"), n)));
        assert_eq!(text(&plain).as_deref(), Ok(&*plain));
        let twice = object(&mut (0..2 * count).map(|n| (format!("k{}", n % count), n)));
        let last = object(&mut (0..count).map(|n| (format!("k{n}"), n + count)));
        assert_eq!(text(&twice), Ok(last));
        let falling = object(&mut (0..count).map(|n| ((count - 1 - n).to_string(), n)));
        let rising = object(&mut (0..count).map(|n| (n.to_string(), count - 1 - n)));
        assert_eq!(text(&falling), Ok(rising));
    }
}

#[test]
fn bytes_that_are_no_utf_8() {
    let cases: [(&[u8], &str); 9] = [
        (b"\"\xff\"", "\"\u{fffd}\""),
        (b"\"a\xc3\"", "\"a\u{fffd}\""),
        (b"\"\xe2\x82\x28\xe2\x82\xac\"", "\"\u{fffd}(€\""),
        (b"\"\xf0\x9f\x98\\n\"", "\"\u{fffd}\\n\""),
        (b"\"\xf0\x9f\x98\xf0\x9f\x98\x80\"", "\"\u{fffd}😀\""),
        (b"\"\xed\xa0\x80\"", "\"\u{fffd}\u{fffd}\u{fffd}\""),
        (b"\"\xc0\x80\"", "\"\u{fffd}\u{fffd}\""),
        (
            b"\"\xf5\x80\x80\x80\"",
            "\"\u{fffd}\u{fffd}\u{fffd}\u{fffd}\"",
        ),
        // Names that are different bytes and the same text.
        (
            b"{\"\xff\":1,\"a\":2,\"\xfe\":3,\"\\ufffd\":4}",
            "{\"\u{fffd}\":4,\"a\":2}",
        ),
    ];
    for (body, expected) in cases {
        let found = json_stringify(body);
        assert_eq!(found.as_deref(), Ok(expected.as_bytes()), "{body:x?}");
    }
}

#[test]
fn what_is_no_json_says_where() {
    let cases: [(&[u8], usize, &str); 44] = [
        (b"", 0, "the text ends early"),
        (b" \n", 2, "the text ends early"),
        (b"\xef\xbb\xbf{}", 0, "a byte order mark"),
        (b"[\xef\xbb\xbf]", 1, "a value is missing"),
        (b"\xff", 0, "a value is missing"),
        (b"\x0b1", 0, "a value is missing"),
        (b"\xc2\xa01", 0, "a value is missing"),
        (b"[1,]", 3, "a value is missing"),
        (b"[,1]", 1, "a value is missing"),
        (b"[1 2]", 3, "`,` or `]` is missing"),
        (b"[1}", 2, "`,` or `]` is missing"),
        (b"[1", 2, "the text ends early"),
        (b"[", 1, "the text ends early"),
        (b"]", 0, "a value is missing"),
        (b"{\"a\":1,}", 7, "a name in quotes is missing"),
        (b"{a:1}", 1, "a name in quotes is missing"),
        (b"{1:1}", 1, "a name in quotes is missing"),
        (b"{\"a\" 1}", 5, "`:` is missing"),
        (b"{\"a\":}", 5, "a value is missing"),
        (b"{\"a\":1]", 6, "`,` or `}` is missing"),
        (b"{\"a\":1", 6, "the text ends early"),
        (b"{}}", 2, "text after the end of the value"),
        (b"1 2", 2, "text after the end of the value"),
        (b"nul", 0, "a value is missing"),
        (b"True", 0, "a value is missing"),
        (b"truex", 4, "text after the end of the value"),
        (b"NaN", 0, "a value is missing"),
        (b"-", 1, "the text ends early"),
        (b"-x", 1, "a digit is missing"),
        (b"+1", 0, "a value is missing"),
        (b"[01]", 2, "a digit after a leading zero"),
        (b"-01", 2, "a digit after a leading zero"),
        (b"[1.]", 3, "a digit is missing"),
        (b"[.5]", 1, "a value is missing"),
        (b"[1e]", 3, "a digit is missing"),
        (b"[1e+]", 4, "a digit is missing"),
        (b"0x10", 1, "text after the end of the value"),
        (b"\"a", 2, "the text ends early"),
        (b"\"a\nb\"", 2, "a control character in a string"),
        (b"\"\\", 2, "the text ends early"),
        (b"\"\\x41\"", 2, "an unknown escape"),
        (b"\"\\U0041\"", 2, "an unknown escape"),
        (b"\"\\u00g1\"", 5, "`\\u` without four hex digits"),
        (b"\"\\ud83d\\u00\"", 11, "`\\u` without four hex digits"),
    ];
    for (body, offset, reason) in cases {
        let error = NotJson::Syntax { offset, reason };
        assert_eq!(json_stringify(body), Err(error), "{}", body.escape_ascii());
    }
    let shown = json_stringify(b"[01]")
        .expect_err("a leading zero")
        .to_string();
    assert_eq!(shown, "not JSON: a digit after a leading zero at byte 2");
}

#[test]
fn nesting_has_a_limit() {
    for (levels, open, close) in [(1, "[", "]"), (1, "{\"a\":", "}"), (2, "[{\"1\":", "}]")] {
        let nested = |times| format!("{}[]{}", open.repeat(times), close.repeat(times));
        let times = STRINGIFY_DEPTH_MAX / levels;
        let offset = open.len() * times;
        let fits = nested(times - 1);
        assert_eq!(text(&fits).as_deref(), Ok(&*fits));
        for endless in [nested(times), open.repeat(1_000_000)] {
            assert_eq!(text(&endless), Err(NotJson::TooDeep { offset }), "{open}");
        }
    }
}

#[test]
fn what_is_already_the_text_is_borrowed() {
    let body = br#"{"a":[1,"x"]}"#;
    assert!(matches!(json_stringify(body), Ok(Cow::Borrowed(_))));
    let body = br#"{"a":[1,"x"] }"#;
    assert!(matches!(json_stringify(body), Ok(Cow::Owned(_))));
}

/// The worst that a body can do to the size of the result.
#[test]
fn the_result_is_bounded() {
    for body in [
        "1e20".to_owned(),
        format!("[{}1e20]", "1e20,".repeat(10_000)),
    ] {
        let text = text(&body).expect("JSON");
        assert!(4 * text.len() > 17 * body.len(), "close to the bound");
        assert!(
            4 * text.len() <= 21 * body.len(),
            "{} of {}",
            text.len(),
            body.len()
        );
    }
}

/// A token of JSON or of what looks like it.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "null",
            "true",
            "1e20",
            "-0",
            "\"1\":",
            "\"a\":",
            "\"\\ud800\"",
            " ",
        ])
        .prop_map(str::to_owned),
        "-?[0-9]{1,4}(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?",
        "\"[a-c0-2é😀]{0,3}\"",
    ]
}

/// Documents that `serde_json` can read, from its own values.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1_000_000_i64..1_000_000).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("[a-c0-9é\"]{0,3}", inner, 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics_and_all_is_bounded(body in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(text) = json_stringify(&body) {
            prop_assert!(4 * text.len() <= 21 * body.len());
        }
    }

    #[test]
    fn the_result_is_its_own_result(tokens in prop::collection::vec(token(), 0..12)) {
        let body = format!("[{}]", tokens.concat());
        if let Ok(once) = text(&body) {
            prop_assert!(4 * once.len() <= 21 * body.len());
            prop_assert_eq!(text(&once), Ok(once));
        }
    }

    #[test]
    fn the_value_stays_the_same(value in document()) {
        for body in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
            let text = text(&body).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Value>(&text).expect("JSON"), &value);
            prop_assert_eq!(json_stringify(text.as_bytes()), Ok(Cow::Borrowed(text.as_bytes())));
        }
    }

    /// What one reads, the other reads, except for what `serde_json` refuses: lone surrogates and what is too large.
    #[test]
    fn errors_are_errors_elsewhere(tokens in prop::collection::vec(token(), 0..8)) {
        let body = format!("[{}]", tokens.concat());
        let theirs = serde_json::from_str::<Value>(&body);
        if theirs.is_ok() {
            prop_assert!(text(&body).is_ok(), "{}", body);
        } else if !body.contains("\\ud800") && !theirs.is_err_and(|error| error.to_string().contains("out of range")) {
            prop_assert!(text(&body).is_err(), "{}", body);
        }
    }
}

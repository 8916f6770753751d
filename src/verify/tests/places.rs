//! Where signatures stand: lists, several headers, fields, and how they say which key made them.

use super::*;
use crate::verify::elements::Elements;
use proptest::prelude::*;

const BODY: &str = r#"{"id":1}"#;

/// `t=TIME` and these elements, each over the time and the body.
fn stripe(elements: &str) -> Outgoing {
    post(BODY).with("x-signature", elements)
}

#[test]
fn a_list_is_read_element_by_element() {
    let right = tag("new", format!("1769855400.{BODY}"));
    let old = tag("old", format!("1769855400.{BODY}"));
    let wrong = "0".repeat(64);
    let door = Door::new(&by(list()), &secrets(&["new", "old"]));
    let upper = right.to_uppercase();
    table(
        &door,
        [
            ("one", stripe(&format!("t=1769855400,v1={right}")), s(1)),
            (
                "either case",
                stripe(&format!("t=1769855400,v1={upper}")),
                s(1),
            ),
            (
                "the old secret",
                stripe(&format!("t=1769855400,v1={old}")),
                s(2),
            ),
            (
                "both",
                stripe(&format!("t=1769855400,v1={old},v1={right}")),
                s(1),
            ),
            (
                "behind a wrong one",
                stripe(&format!("t=1769855400,v1={wrong},v1={old}")),
                s(2),
            ),
            (
                "before a wrong one",
                stripe(&format!("t=1769855400,v1={right},v1={wrong}")),
                s(1),
            ),
            (
                "spaces",
                stripe(&format!("t=1769855400 ,\t v1={right} ")),
                s(1),
            ),
            (
                "empty elements",
                stripe(&format!(",,t=1769855400,,v1={right},")),
                s(1),
            ),
            (
                "time behind",
                stripe(&format!("v1={right},t=1769855400")),
                s(1),
            ),
            (
                "unknown elements",
                stripe(&format!("a,t=1769855400,b=c,v1={right}")),
                s(1),
            ),
            (
                "half a wrong one",
                stripe(&format!("t=1769855400,v1=00,v1={right}")),
                s(1),
            ),
            (
                "no hex",
                stripe(&format!("t=1769855400,v1=zz{}", &right[2..])),
                BAD,
            ),
            (
                "cut",
                stripe(&format!("t=1769855400,v1={}", &right[2..])),
                BAD,
            ),
            ("long", stripe(&format!("t=1769855400,v1={right}00")), BAD),
            (
                "an older version",
                stripe(&format!("t=1769855400,v0={right}")),
                BAD,
            ),
            (
                "a longer version",
                stripe(&format!("t=1769855400,v1a={right}")),
                BAD,
            ),
            (
                "upper case version",
                stripe(&format!("t=1769855400,V1={right}")),
                BAD,
            ),
            ("no version", stripe(&format!("t=1769855400,{right}")), BAD),
            (
                "another separator",
                stripe(&format!("t=1769855400;v1={right}")),
                BAD,
            ),
            ("no time", stripe(&format!("v1={right}")), MISSING),
            (
                "another time",
                stripe(&format!("t=1769855401,v1={right}")),
                BAD,
            ),
            (
                "two times",
                stripe(&format!("t=1769855400,t=1769855400,v1={right}")),
                BAD,
            ),
            (
                "two other times",
                stripe(&format!("t=1,v1={right},t=1769855400")),
                BAD,
            ),
            ("no signature", stripe("t=1769855400"), BAD),
            ("separators alone", stripe(",,,"), MISSING),
            ("nothing", stripe(""), MISSING),
            ("no header", post(BODY), MISSING),
            (
                "the header twice",
                stripe("t=1769855400").with("x-signature", format!("v1={right}")),
                BAD,
            ),
            (
                "not UTF-8",
                post(BODY).with("x-signature", b"t=1769855400,v1=\xff\xfe"),
                BAD,
            ),
        ],
    );
}

#[test]
fn separators_and_spaces_are_the_schemes() {
    let right = tag("key", BODY);
    for (split, value, passes) in [
        (" ", format!("a {right}"), true),
        (" ", format!("  {right}   b"), true),
        (" ", format!("a,{right}"), false),
        (";", format!("a; {right}"), true),
        (", ", format!("a, {right}"), true),
        (", ", format!("a,{right}"), false),
        (",", format!("a,\t{right}\t,"), true),
    ] {
        let scheme = Signature {
            split: Some(split.to_owned()),
            ..plain()
        };
        let expected = if passes { s(1) } else { BAD };
        let found = judge(&scheme, &secrets(&["key"]), &stripe(&value));
        assert_eq!(found, expected, "{split:?} {value}");
    }
    // Without a separator the value is taken as it is.
    for value in [
        format!("{right},"),
        format!("{right} "),
        format!("{right}{right}"),
    ] {
        let found = judge(&plain(), &secrets(&["key"]), &stripe(&value));
        assert_eq!(found, BAD, "{value:?}");
    }
}

#[test]
fn more_elements_than_are_looked_at_are_refused() {
    let right = tag("key", BODY);
    let scheme = Signature {
        split: Some(" ".to_owned()),
        repeated: true,
        ..plain()
    };
    let door = Door::new(&by(scheme), &secrets(&["key"]));
    let filler = |count: usize| "v0 ".repeat(count);
    for (elements, expected) in [(15, s(1)), (16, BAD), (999, BAD)] {
        for value in [
            format!("{right} {}", filler(elements)),
            format!("{}{right}", filler(elements)),
        ] {
            assert_eq!(door.judge(&stripe(&value)), expected, "{elements}");
        }
        let mut lines = stripe(&right);
        for _ in 0..elements {
            lines = lines.with("x-signature", "v0");
        }
        assert_eq!(door.judge(&lines), expected, "{elements} lines");
    }
    let all = format!("{right} ").repeat(1000);
    COMPARED.set(0);
    assert_eq!(door.judge(&stripe(&all)), BAD);
    assert_eq!(COMPARED.get(), 0, "none of too many is compared");
}

#[test]
fn a_header_may_be_repeated_where_the_scheme_says_so() {
    let right = tag("key", BODY);
    let twice = stripe("00").with("x-signature", &right);
    for (repeated, expected) in [(true, s(1)), (false, BAD)] {
        let scheme = Signature {
            repeated,
            ..plain()
        };
        let door = Door::new(&by(scheme), &secrets(&["key"]));
        assert_eq!(door.judge(&twice), expected);
        assert_eq!(
            door.verifier
                .precheck(&Method::POST, None, &twice.headers)
                .is_ok(),
            repeated
        );
    }
}

#[test]
fn one_of_several_headers_is_enough() {
    let right = tag("key", BODY);
    let scheme = Signature {
        fields: vec![field("header:x-signature"), field("header:x-second")],
        ..plain()
    };
    let door = Door::new(&by(scheme), &secrets(&["key"]));
    table(
        &door,
        [
            ("first", stripe(&right), s(1)),
            ("second", post(BODY).with("x-second", &right), s(1)),
            (
                "wrong and right",
                stripe(&"0".repeat(64)).with("x-second", &right),
                s(1),
            ),
            ("empty and right", stripe("").with("x-second", &right), s(1)),
            ("both wrong", stripe("00").with("x-second", "00"), BAD),
            ("none", post(BODY), MISSING),
            (
                "second twice",
                post(BODY).with("x-second", &right).with("x-second", &right),
                BAD,
            ),
        ],
    );
}

/// Signatures in headers come first, then what they cover, then signatures elsewhere.
#[test]
fn of_several_faults_the_first_is_said() {
    let over_time = |places: &[&str]| {
        let scheme = Signature {
            fields: places.iter().map(|place| field(place)).collect(),
            timestamp: Some(time_in("header:x-time")),
            ..signing("{timestamp}.{body}")
        };
        Door::new(&by(scheme), &secrets(&["key"]))
    };
    let timeless = post(BODY);
    let timed_twice = post(BODY).with("x-time", "1").with("x-time", "1");
    let twice = |request: &Outgoing| {
        let request = request.clone();
        request.with("x-signature", "0").with("x-signature", "0")
    };
    table(
        &over_time(&["header:x-signature", "header:x-second"]),
        [
            ("none, no time", timeless.clone(), MISSING),
            ("none, two times", timed_twice.clone(), MISSING),
            ("two, no time", twice(&timeless), BAD),
            ("two, two times", twice(&timed_twice), BAD),
        ],
    );
    table(
        &over_time(&["query:sig", "header:x-signature"]),
        [
            ("none, no time", timeless.clone(), MISSING),
            ("none, two times", timed_twice.clone(), BAD),
            ("two, no time", twice(&timeless), BAD),
            ("malformed, no time", timeless.query("sig=0"), MISSING),
            ("malformed, two times", timed_twice.query("sig=0"), BAD),
        ],
    );
}

#[test]
fn a_signature_may_stand_in_any_field_once() {
    let right = tag("key", "9");
    let at = |place: &str| Signature {
        fields: vec![field(place)],
        ..signing("{header:x-id}")
    };
    let sent = |request: Outgoing| request.with("x-id", "9");
    let body = format!(r#"{{"s":{{"v":"{right}"}},"n":7}}"#);
    let cases = [
        ("json:/s/v", sent(post(&body)), s(1)),
        ("json:/s", sent(post(&body)), BAD),
        ("json:/n", sent(post(&body)), BAD),
        ("json:/x", sent(post(&body)), MISSING),
        ("json:/s/v", sent(post("{")), MISSING),
        (
            "query:sig",
            sent(post("")).query(&format!("a=1&sig={right}")),
            s(1),
        ),
        (
            "query:sig",
            sent(post("")).query(&format!("sig={right}&sig={right}")),
            MISSING,
        ),
        ("query:sig", sent(post("")).query("sig="), MISSING),
        ("query:sig", sent(post("")), MISSING),
        ("form:sig", sent(form(&format!("a=1&sig={right}"))), s(1)),
        (
            "form:sig",
            sent(form(&format!("sig={right}&sig=x"))),
            MISSING,
        ),
        ("form:sig", sent(post(&format!("sig={right}"))), MISSING),
    ];
    for (place, request, expected) in cases {
        let found = judge(&at(place), &secrets(&["key"]), &request);
        assert_eq!(found, expected, "{place} {request:?}");
    }
}

#[test]
fn a_key_id_names_the_secret() {
    let secrets = [
        with_id("a", "same"),
        with_id("b", "other"),
        Secret::new("plain", b"third".to_vec()),
    ];
    let by_field = Signature {
        key_id: Some(field("header:x-key-id")),
        ..plain()
    };
    let sent = |key: &str, id: &str| stripe(&tag(key, BODY)).with("x-key-id", id);
    let door = Door::new(&by(by_field), &secrets);
    table(
        &door,
        [
            ("its own", sent("same", "a"), Ok("a".into())),
            ("another's", sent("same", "b"), BAD),
            ("unknown", sent("same", "c"), BAD),
            ("without an id", sent("third", "c"), Ok("plain".into())),
            ("upper case", sent("same", "A"), BAD),
            ("none", stripe(&tag("same", BODY)), MISSING),
            ("twice", sent("same", "a").with("x-key-id", "a"), BAD),
            ("empty", sent("same", ""), MISSING),
        ],
    );
    let by_prefix = Signature {
        split: Some(",".to_owned()),
        prefix: Prefix::KeyId("k-".to_owned(), "=".to_owned()),
        ..plain()
    };
    let door = Door::new(&by(by_prefix), &secrets);
    let (same, other, third) = (tag("same", BODY), tag("other", BODY), tag("third", BODY));
    table(
        &door,
        [
            ("its own", stripe(&format!("k-a={same}")), Ok("a".into())),
            ("another's", stripe(&format!("k-b={same}")), BAD),
            (
                "the second",
                stripe(&format!("k-a={other},k-b={other}")),
                Ok("b".into()),
            ),
            (
                "without an id",
                stripe(&format!("k-={third}")),
                Ok("plain".into()),
            ),
            ("no end", stripe(&format!("k-a{same}")), BAD),
            ("no beginning", stripe(&format!("a={same}")), BAD),
            ("an end in the id", stripe(&format!("k-a=b={same}")), BAD),
        ],
    );
}

/// Nothing of the sort is configured; should it be, it finds nothing and does not panic.
#[test]
fn empty_separators_find_nothing() {
    let right = tag("key", BODY);
    let split = Signature {
        split: Some(String::new()),
        ..plain()
    };
    assert_eq!(judge(&split, &secrets(&["key"]), &stripe(&right)), s(1));
    let prefix = Signature {
        prefix: Prefix::KeyId("a".to_owned(), String::new()),
        ..plain()
    };
    assert_eq!(judge(&prefix, &secrets(&["key"]), &stripe(&right)), BAD);
}

proptest! {
    /// Any header, any separator: at most `most` elements, none empty, all of them a part of the value.
    #[test]
    fn lists_are_bounded(
        value in prop::collection::vec(prop_oneof![Just(b','), Just(b' '), Just(b'='), any::<u8>()], 0..200),
        split in "[, ;=]{0,2}",
        most in 0usize..8,
    ) {
        let config = Signature { split: Some(split), ..list() };
        let elements = Elements::new(&config, most);
        let values = [Cow::Borrowed(&value[..])];
        if let Ok(found) = elements.split(&values) {
            prop_assert!(found.len() <= most);
            prop_assert!(found.iter().all(|element| !element.is_empty()));
            prop_assert!(found.iter().map(|element| element.len()).sum::<usize>() <= value.len());
            prop_assert!(elements.claims(&found).len() <= found.len());
        }
    }
}

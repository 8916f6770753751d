//! Headers that the request itself lists as signed.

use super::*;
use crate::config::verify::HeaderPiece;

fn named(place: &str) -> Signature {
    Signature {
        named_headers: Some(NamedHeaders {
            place: time_in(place).place,
            split: " ".to_owned(),
            each: vec![
                HeaderPiece::Name,
                HeaderPiece::Literal(":".to_owned()),
                HeaderPiece::Value,
            ],
            join: "\n".to_owned(),
        }),
        timestamp: Some(time_in("header:x-time")),
        ..signing("{named_headers}|{named_headers_list}|{body}")
    }
}

#[test]
fn named_headers_are_all_there_and_hold_the_time() {
    let door = Door::new(&by(named("header:x-names")), &secrets(&["key"]));
    let text = "x-time:1769855400\nx-id:7|x-time x-id|b";
    let sent = |names: &str| {
        let right = tag("key", text);
        let sent = post("b").with("x-time", "1769855400").with("x-id", "7");
        sent.with("x-names", names).with("x-signature", right)
    };
    table(
        &door,
        [
            ("as listed", sent("x-time x-id"), s(1)),
            ("in any case", sent("X-Time X-ID"), s(1)),
            ("in another order", sent("x-id x-time"), BAD),
            ("one less", sent("x-time"), BAD),
            ("without the time", sent("x-id"), BAD),
            ("one more", sent("x-time x-id x-names"), BAD),
            ("one that is not there", sent("x-time x-none"), MISSING),
            ("one twice", sent("x-time x-time x-id"), BAD),
            ("no name", sent("x-time x(id"), BAD),
            ("empty", sent(""), MISSING),
            (
                "two lists",
                sent("x-time x-id").with("x-names", "x-time"),
                BAD,
            ),
            ("a header twice", sent("x-time x-id").with("x-id", "7"), BAD),
            ("another value", sent("x-time x-id").but("x-id", "8"), BAD),
            (
                "another time",
                sent("x-time x-id").but("x-time", "1769855401"),
                BAD,
            ),
            (
                "not UTF-8",
                sent("x-time").but("x-names", b"x-time \xff"),
                BAD,
            ),
        ],
    );
    assert_eq!(door.judge_at(&sent("x-time x-id"), NOW_MS + 300_001), STALE);
}

#[test]
fn named_headers_may_stand_in_the_list_of_the_signature() {
    let scheme = Signature {
        split: Some(",".to_owned()),
        prefix: Prefix::Text("v1=".to_owned()),
        ..named("h=")
    };
    let right = tag("key", "x-time:1769855400|x-time|b");
    let sent = |value: String| {
        post("b")
            .with("x-time", "1769855400")
            .with("x-signature", value)
    };
    let door = Door::new(&by(scheme), &secrets(&["key"]));
    table(
        &door,
        [
            ("once", sent(format!("h=x-time,v1={right}")), s(1)),
            ("twice", sent(format!("h=x-time,h=x-time,v1={right}")), BAD),
            ("not", sent(format!("v1={right}")), MISSING),
        ],
    );
}

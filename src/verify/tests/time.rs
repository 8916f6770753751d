//! Signed timestamps: in each place and format, fresh and stale, and once.

use super::*;
use TimeFormat::{Rfc3339, Unix, UnixMs};
use proptest::prelude::*;

const BODY: &str = r#"{"at":"1769855400","n":1769855400}"#;

fn dated(place: &str, format: TimeFormat) -> Signature {
    Signature {
        split: Some(",".to_owned()),
        timestamp: Some(Timestamp {
            format,
            ..time_in(place)
        }),
        ..signing("{timestamp}.{body}")
    }
}

#[test]
fn the_time_stands_where_the_scheme_says() {
    let key = secrets(&["key"]);
    let right = tag("key", format!("1769855400.{BODY}"));
    let sent = || post(BODY).with("x-signature", &right);
    let cases = [
        ("header:x-time", sent().with("x-time", "1769855400"), s(1)),
        ("header:x-time", sent(), MISSING),
        (
            "header:x-time",
            sent()
                .with("x-time", "1769855400")
                .with("x-time", "1769855400"),
            BAD,
        ),
        ("header:x-time", sent().with("x-time", ""), MISSING),
        ("header:x-time", sent().with("x-time", "1769855401"), BAD),
        ("header:x-time", sent().with("x-time", "01769855400"), BAD),
        ("json:/at", sent(), s(1)),
        ("json:/n", sent(), s(1)),
        ("json:/none", sent(), MISSING),
        ("query:t", sent().query("t=1769855400"), s(1)),
        (
            "query:t",
            sent().query("t=1769855400&t=1769855400"),
            MISSING,
        ),
        ("query:t", sent(), MISSING),
        (
            "first",
            post(BODY).with("x-signature", format!("1769855400,{right}")),
            s(1),
        ),
        (
            "first",
            post(BODY).with("x-signature", format!("{right},1769855400")),
            BAD,
        ),
        (
            "t=",
            post(BODY).with("x-signature", format!("t=1769855400,{right}")),
            s(1),
        ),
        (
            "t=",
            post(BODY).with("x-signature", format!("{right},t=1769855400")),
            s(1),
        ),
        (
            "t=",
            post(BODY).with("x-signature", format!("t=,{right}")),
            BAD,
        ),
        (
            "t=",
            post(BODY).with("x-signature", format!("T=1769855400,{right}")),
            MISSING,
        ),
    ];
    for (place, request, expected) in cases {
        let found = judge(&dated(place, Unix), &key, &request);
        assert_eq!(found, expected, "{place} {request:?}");
    }
    let body = "t=1769855400&a=1";
    let sent = form(body).with("x-signature", tag("key", format!("1769855400.{body}")));
    assert_eq!(judge(&dated("form:t", Unix), &key, &sent), s(1));
}

#[test]
fn age_counts_only_under_a_right_signature() {
    let cases = [
        (Unix, "1769855100", s(1)),
        (Unix, "1769855700", s(1)),
        (Unix, "1769855099", STALE),
        (Unix, "1769855701", STALE),
        (Unix, "0", STALE),
        (Unix, "1769855400000", STALE),
        (Unix, "1769855400.0", STALE),
        (Unix, "-1769855400", STALE),
        (Unix, "2026-01-31T10:30:00Z", STALE),
        (UnixMs, "1769855400000", s(1)),
        (UnixMs, "1769855100000", s(1)),
        (UnixMs, "1769855099999", STALE),
        (UnixMs, "1769855400", STALE),
        (Rfc3339, "2026-01-31T10:25:00Z", s(1)),
        (Rfc3339, "2026-01-31T12:30:00+02:00", s(1)),
        (Rfc3339, "2026-01-31T10:24:59.999Z", STALE),
        (Rfc3339, "2026-01-31T10:30:00", STALE),
        (Rfc3339, "1769855400", STALE),
    ];
    for (format, time, expected) in cases {
        let door = Door::new(&by(dated("header:x-time", format)), &secrets(&["key"]));
        let right = tag("key", format!("{time}.{BODY}"));
        let sent = post(BODY).with("x-time", time).with("x-signature", right);
        assert_eq!(door.judge(&sent), expected, "{format:?} {time}");
        assert_eq!(
            door.judge(&sent.body("x")),
            BAD,
            "{format:?} {time}, another body"
        );
    }
}

/// Of another kind than is configured: it was signed to mean something else, whatever the tolerance.
#[test]
fn milliseconds_are_never_seconds() {
    for (format, time) in [
        (Unix, "1769855400000"),
        (UnixMs, "1769855400"),
        (Unix, "soon"),
    ] {
        let mut scheme = dated("header:x-time", format);
        if let Some(timestamp) = &mut scheme.timestamp {
            (timestamp.past, timestamp.future) = (None, None);
        }
        let right = tag("key", format!("{time}.{BODY}"));
        let sent = post(BODY).with("x-time", time).with("x-signature", right);
        assert_eq!(
            judge(&scheme, &secrets(&["key"]), &sent),
            STALE,
            "{format:?} {time}"
        );
    }
}

#[test]
fn a_side_without_a_limit_has_none() {
    let minutes = Some(Duration::from_mins(5));
    let cases = [
        (minutes, None, "99999999999", s(1)),
        (minutes, None, "1", STALE),
        (None, minutes, "1", s(1)),
        (None, minutes, "99999999999", STALE),
        (None, None, "1", s(1)),
    ];
    for (past, future, time, expected) in cases {
        let mut scheme = dated("header:x-time", Unix);
        if let Some(timestamp) = &mut scheme.timestamp {
            (timestamp.past, timestamp.future) = (past, future);
        }
        let right = tag("key", format!("{time}.{BODY}"));
        let sent = post(BODY).with("x-time", time).with("x-signature", right);
        let found = judge(&scheme, &secrets(&["key"]), &sent);
        assert_eq!(found, expected, "{past:?} {future:?} {time}");
    }
}

proptest! {
    /// A timestamp of any text, rightly signed, never panics: it is fresh or it is not.
    #[test]
    fn arbitrary_signed_timestamps(
        time in prop_oneof!["[0-9]{1,25}", "[0-9TZ:.+-]{1,30}", "[!-~]{1,30}"],
    ) {
        let sent = post("b").with("x-time", &time).with("x-signature", tag("key", format!("{time}.b")));
        for format in [Unix, UnixMs, Rfc3339] {
            let found = judge(&dated("header:x-time", format), &secrets(&["key"]), &sent);
            prop_assert!(found == s(1) || found == STALE, "{:?}", found);
        }
    }
}

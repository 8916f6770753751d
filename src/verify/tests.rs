//! The room through its door: vendors' shapes, tampering, and the order of refusals.

use super::*;
use crate::config::source::{Algorithm, Encoding, Hmac, TimeFormat, Timestamp, Token};
use crate::config::template::{Piece, Template};
use http::HeaderValue;
use proptest::prelude::*;
use sha2::Digest;
use std::time::Duration;

const NOW_MS: u64 = 1_769_855_400_000;

fn secrets(values: &[&str]) -> Vec<Secret> {
    (1..)
        .zip(values)
        .map(|(place, value)| Secret::new(&format!("s{place}"), value.as_bytes().to_vec()))
        .collect()
}

/// HMAC-SHA256 in hex over the body, in `x-signature`.
fn plain() -> Hmac {
    Hmac {
        header: HeaderName::from_static("x-signature"),
        prefix: String::new(),
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Hex,
        signed: Template(vec![Piece::Body]),
        timestamp: None,
    }
}

/// The same with `sha256=`, over `{timestamp}.{body}`.
fn dated(format: TimeFormat) -> Hmac {
    Hmac {
        prefix: "sha256=".into(),
        signed: Template(vec![
            Piece::Timestamp,
            Piece::Literal(".".into()),
            Piece::Body,
        ]),
        timestamp: Some(Timestamp {
            header: HeaderName::from_static("x-timestamp"),
            format,
            tolerance: Duration::from_mins(5),
        }),
        ..plain()
    }
}

fn token(header: &'static str, prefix: &str, scheme: bool) -> Verify {
    Verify::Token(Token {
        header: HeaderName::from_static(header),
        prefix: prefix.into(),
        scheme,
    })
}

fn headers<'a>(lines: impl IntoIterator<Item = (&'static str, &'a [u8])>) -> HeaderMap {
    let line = |(name, value)| {
        let value = HeaderValue::from_bytes(value).expect("a header value");
        (HeaderName::from_static(name), value)
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.into_iter().map(line) {
        headers.append(name, value);
    }
    headers
}

/// The name of the secret that proves the request, or why it is refused.
fn verdict(verifier: &Verifier, headers: HeaderMap, body: &[u8]) -> Result<String, Refused> {
    let verified = verifier.verify(headers, Bytes::copy_from_slice(body), NOW_MS)?;
    assert_eq!(&verified.body()[..], body, "the body is what was received");
    Ok(verified
        .secret()
        .map_or(String::new(), std::string::ToString::to_string))
}

/// Signatures made elsewhere, in the shapes of the five vendors.
#[test]
fn the_five_vendors() {
    let header = |name| HeaderName::from_static(name);
    let cases: [(&str, Verify, &str, &[(&'static str, &str)], &str); 5] = [
        (
            "chatsvia",
            Verify::Hmac(Hmac {
                header: header("x-chatsvia-signature"),
                ..plain()
            }),
            "csv_secret",
            &[(
                "x-chatsvia-signature",
                "a92324fdfc4f30fb7032cf5d9be92125b17033879edb3980cd41fd6a1f84e1b3",
            )],
            r#"{"event":"order.created","timestamp":"2026-01-31T10:30:00Z","data":{"total":199.00}}"#,
        ),
        (
            "vowchat",
            Verify::Hmac(Hmac {
                header: header("x-chatwoot-signature"),
                timestamp: dated(TimeFormat::Unix)
                    .timestamp
                    .map(|timestamp| Timestamp {
                        header: header("x-chatwoot-timestamp"),
                        ..timestamp
                    }),
                ..dated(TimeFormat::Unix)
            }),
            "uJ8mP2xQ5rT7vW9yB3dF6hK1",
            &[
                (
                    "x-chatwoot-signature",
                    "sha256=1af982463b3865f73bc48492a34d8cc288e8e0e0c28bef4960511657f65206e1",
                ),
                ("x-chatwoot-timestamp", "1769855400"),
                (
                    "x-chatwoot-delivery",
                    "7b0d1c1e-55a7-4f1c-8a4e-0a3c1d8d3c55",
                ),
            ],
            r#"{"event":"message_created","id":"1"}"#,
        ),
        (
            "chatplugify",
            token("x-webhook-token", "", false),
            "cpf_secret",
            &[("x-webhook-token", "cpf_secret")],
            r#"{"event":"task.created","webhookId":"w1"}"#,
        ),
        (
            "live-chat",
            Verify::Hmac(Hmac {
                header: header("x-webhook-signature"),
                ..plain()
            }),
            "lc_secret",
            &[(
                "x-webhook-signature",
                "6d1eb720c03a8fcf7f27369c02799bd717c5d52bd017281a79d2916a96f3463d",
            )],
            r#"{"event":"conversation.started","timestamp":"2026-01-31T10:30:00+00:00","data":{"conversation_id":7}}"#,
        ),
        (
            "chatmefy",
            Verify::Hmac(Hmac {
                header: header("x-chatmefy-signature"),
                prefix: "sha256=".into(),
                ..plain()
            }),
            "cmf_secret",
            &[(
                "x-chatmefy-signature",
                "sha256=5df63cbf0c905635dc8fdb7881316dddd71a9ec4fac4cba0d9137a7fa72a4d5c",
            )],
            r#"{"event":"lead.created","data":{"score":85}}"#,
        ),
    ];
    for (vendor, verify, secret, lines, body) in cases {
        let verifier = Verifier::new(&verify, &secrets(&["another", secret]));
        let signed = headers(lines.iter().map(|(name, value)| (*name, value.as_bytes())));
        let found = verdict(&verifier, signed.clone(), body.as_bytes());
        assert_eq!(found, Ok("s2".into()), "{vendor}");
        let mut ours = HeaderMap::new();
        verifier.sign(1, &mut ours, body.as_bytes(), NOW_MS);
        for (name, value) in &ours {
            assert_eq!(
                signed.get(name),
                Some(value),
                "{vendor} signs as the vendor"
            );
        }
    }
}

#[test]
fn every_scheme_proves_what_it_signs() {
    for algorithm in [
        Algorithm::Sha1,
        Algorithm::Sha256,
        Algorithm::Sha384,
        Algorithm::Sha512,
    ] {
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            for format in [TimeFormat::Unix, TimeFormat::UnixMs, TimeFormat::Rfc3339] {
                let verify = Verify::Hmac(Hmac {
                    algorithm,
                    encoding,
                    ..dated(format)
                });
                let verifier = Verifier::new(&verify, &secrets(&["old", "new"]));
                let mut signed = HeaderMap::new();
                verifier.sign(1, &mut signed, b"body", NOW_MS);
                assert_eq!(verifier.precheck(&signed), Ok(()));
                assert_eq!(verdict(&verifier, signed, b"body"), Ok("s2".into()));
            }
        }
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    let body = br#"{"event":"order.created"}"#;
    for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
        let verify = Verify::Hmac(Hmac {
            encoding,
            ..dated(TimeFormat::Unix)
        });
        let verifier = Verifier::new(&verify, &secrets(&["secret"]));
        let mut signed = HeaderMap::new();
        verifier.sign(0, &mut signed, body, NOW_MS);
        for place in 0..body.len() {
            let mut changed = body.to_vec();
            changed[place] ^= 1;
            assert_eq!(
                verdict(&verifier, signed.clone(), &changed),
                Err(Refused::Bad)
            );
        }
        for header in ["x-signature", "x-timestamp"] {
            let value = signed[header].as_bytes();
            // Where the value ends in padding, base64url may go without.
            let end = value
                .iter()
                .rposition(|byte| *byte != b'=')
                .map_or(0, |last| last + 1);
            for place in 0..end {
                let mut changed = value.to_vec();
                changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
                let mut headers = signed.clone();
                headers.insert(header, HeaderValue::from_bytes(&changed).expect("a value"));
                let found = verdict(&verifier, headers, body);
                assert_eq!(found, Err(Refused::Bad), "{encoding:?} {header} {place}");
            }
        }
    }
}

#[test]
fn refusals_of_a_signature() {
    let verifier = Verifier::new(
        &Verify::Hmac(dated(TimeFormat::Unix)),
        &secrets(&["secret"]),
    );
    let mut signed = HeaderMap::new();
    verifier.sign(0, &mut signed, b"body", NOW_MS);
    let with = |change: &dyn Fn(&mut HeaderMap)| {
        let mut headers = signed.clone();
        change(&mut headers);
        (
            verifier.precheck(&headers),
            verdict(&verifier, headers, b"body").map(drop),
        )
    };
    let set = |value: &[u8]| {
        let value = HeaderValue::from_bytes(value).expect("a value");
        with(&move |headers| drop(headers.insert("x-signature", value.clone())))
    };
    let (missing, bad) = (Err(Refused::Missing), Err(Refused::Bad));
    assert_eq!(with(&|_| ()), (Ok(()), Ok(())));
    for name in ["x-signature", "x-timestamp"] {
        assert_eq!(
            with(&|headers| drop(headers.remove(name))),
            (missing, missing),
            "{name}"
        );
        let repeat = |headers: &mut HeaderMap| {
            let value = headers[name].clone();
            headers.append(name, value);
        };
        assert_eq!(with(&repeat), (bad, bad), "{name} twice");
    }
    let right = signed["x-signature"].as_bytes();
    let upper = right.to_ascii_uppercase();
    let hex_upper = [&right[..7], &upper[7..]].concat();
    assert_eq!(set(&hex_upper), (Ok(()), Ok(())), "either case");
    let malformed: [&[u8]; 8] = [
        b"",
        b"sha256=",
        &right[7..],
        &upper,
        &right[..right.len() - 1],
        &[right, b"0"].concat(),
        &[b"sha256=", &[0xff; 64][..]].concat(),
        &[b"sha256=", &[b'0'; 100_000][..]].concat(),
    ];
    for value in malformed {
        assert_eq!(
            set(value),
            (Ok(()), bad),
            "{}",
            String::from_utf8_lossy(value)
        );
    }
}

#[test]
fn age_counts_only_under_a_right_signature() {
    let cases = [
        (TimeFormat::Unix, NOW_MS - 300_000, Ok("s1".into())),
        (TimeFormat::Unix, NOW_MS + 300_000, Ok("s1".into())),
        (TimeFormat::Unix, NOW_MS - 301_000, Err(Refused::Stale)),
        (TimeFormat::Unix, NOW_MS + 301_000, Err(Refused::Stale)),
        (TimeFormat::UnixMs, NOW_MS - 300_001, Err(Refused::Stale)),
        (TimeFormat::Rfc3339, NOW_MS - 300_001, Err(Refused::Stale)),
        (TimeFormat::Unix, 0, Err(Refused::Stale)),
    ];
    for (format, signed_ms, expected) in cases {
        let verifier = Verifier::new(&Verify::Hmac(dated(format)), &secrets(&["secret"]));
        let mut signed = HeaderMap::new();
        verifier.sign(0, &mut signed, b"body", signed_ms);
        assert_eq!(
            verdict(&verifier, signed.clone(), b"body"),
            expected,
            "{format:?} {signed_ms}"
        );
        assert_eq!(verdict(&verifier, signed, b"other"), Err(Refused::Bad));
    }
    // Signed as it stands, but not in the configured format.
    let as_covered = Hmac {
        signed: Template(vec![Piece::Header(HeaderName::from_static("x-timestamp"))]),
        timestamp: None,
        ..dated(TimeFormat::Unix)
    };
    let sender = Verifier::new(&Verify::Hmac(as_covered.clone()), &secrets(&["secret"]));
    let timestamp = dated(TimeFormat::Unix).timestamp;
    let verify = Verify::Hmac(Hmac {
        timestamp,
        ..as_covered
    });
    let verifier = Verifier::new(&verify, &secrets(&["secret"]));
    for value in ["1769855400000", "2026-01-31T10:30:00Z", "1769855400.0", ""] {
        let mut signed = headers([("x-timestamp", value.as_bytes())]);
        sender.sign(0, &mut signed, b"", NOW_MS);
        assert_eq!(
            verdict(&verifier, signed, b""),
            Err(Refused::Stale),
            "{value:?}"
        );
    }
}

#[test]
fn headers_are_signed_as_sent() {
    let verify = Verify::Hmac(Hmac {
        signed: Template(vec![
            Piece::Literal("v0:".into()),
            Piece::Header(HeaderName::from_static("x-time")),
            Piece::Literal(":".into()),
            Piece::Header(HeaderName::from_static("x-id")),
            Piece::Literal(":".into()),
            Piece::Body,
        ]),
        ..plain()
    });
    let verifier = Verifier::new(&verify, &secrets(&["key"]));
    let signature = b"90f54841ffd3983b40801080650f7382ff908ff03158b025ef09b866f82d4862";
    let lines: [(_, &[u8]); 3] = [
        ("x-time", b"1769855400"),
        ("x-id", b"id-1"),
        ("x-signature", signature),
    ];
    assert_eq!(verdict(&verifier, headers(lines), b"body"), Ok("s1".into()));
    assert_eq!(
        verifier.precheck(&headers([lines[0], lines[2]])),
        Err(Refused::Missing)
    );
    let twice = headers([lines[0], lines[1], lines[1], lines[2]]);
    assert_eq!(verifier.precheck(&twice), Err(Refused::Bad));
}

#[test]
fn tokens_are_compared_whole_and_taken_out() {
    let cases: [(Verify, &[u8], Result<&str, Refused>); 18] = [
        (token("x-token", "", false), b"second", Ok("s2")),
        (token("x-token", "", false), b"Second", Err(Refused::Bad)),
        (token("x-token", "", false), b"secon", Err(Refused::Bad)),
        (token("x-token", "", false), b"second2", Err(Refused::Bad)),
        (token("x-token", "", false), b"", Err(Refused::Bad)),
        (token("x-token", "", false), b"\xff", Err(Refused::Bad)),
        (token("x-token", "key ", false), b"key first", Ok("s1")),
        (
            token("x-token", "key ", false),
            b"Key first",
            Err(Refused::Bad),
        ),
        (token("x-token", "key ", false), b"first", Err(Refused::Bad)),
        (
            token("x-token", "key ", false),
            b"key  first",
            Err(Refused::Bad),
        ),
        (token("x-token", "Bearer", true), b"Bearer first", Ok("s1")),
        (token("x-token", "Bearer ", true), b"Bearer first", Ok("s1")),
        (
            token("x-token", "Bearer", true),
            b"bEARER   first",
            Ok("s1"),
        ),
        (
            token("x-token", "Bearer", true),
            b"Bearerfirst",
            Err(Refused::Bad),
        ),
        (
            token("x-token", "Bearer", true),
            b"Bearer",
            Err(Refused::Bad),
        ),
        (
            token("x-token", "Bearer", true),
            b"Bearer  ",
            Err(Refused::Bad),
        ),
        (
            token("x-token", "Bearer", true),
            b"Basic first",
            Err(Refused::Bad),
        ),
        (
            token("x-token", "Bearer", true),
            b"first",
            Err(Refused::Bad),
        ),
    ];
    for (verify, value, expected) in cases {
        let verifier = Verifier::new(&verify, &secrets(&["first", "second"]));
        let sent = headers([("x-token", value), ("x-other", b"kept")]);
        assert_eq!(verifier.precheck(&sent), Ok(()));
        let shown = String::from_utf8_lossy(value);
        let found = verdict(&verifier, sent.clone(), b"body");
        assert_eq!(found, expected.map(String::from), "{verify:?} {shown}");
        if let Ok(name) = expected {
            let verified = verifier
                .verify(sent, Bytes::new(), NOW_MS)
                .expect("as above");
            assert_eq!(verified.headers(), &headers([("x-other", &b"kept"[..])]));
            let carried = verified.secret_header().expect("carried");
            assert_eq!(
                (carried.header.as_str(), &*carried.secret),
                ("x-token", name)
            );
        }
    }
    let verifier = Verifier::new(&token("x-token", "", false), &secrets(&["first"]));
    assert_eq!(verifier.precheck(&HeaderMap::new()), Err(Refused::Missing));
    assert_eq!(
        verdict(&verifier, HeaderMap::new(), b""),
        Err(Refused::Missing)
    );
    let twice = headers([("x-token", &b"first"[..]), ("x-token", b"first")]);
    assert_eq!(verdict(&verifier, twice, b""), Err(Refused::Bad));
}

#[test]
fn tokens_are_sent_as_they_are_read() {
    for (prefix, scheme, expected) in [
        ("", false, "second"),
        ("key ", false, "key second"),
        ("Bearer", true, "Bearer second"),
        ("Bearer ", true, "Bearer second"),
    ] {
        let verifier = Verifier::new(
            &token("x-token", prefix, scheme),
            &secrets(&["f", "second"]),
        );
        let mut sent = HeaderMap::new();
        verifier.sign(1, &mut sent, b"", NOW_MS);
        assert_eq!(sent["x-token"], expected);
        assert!(sent["x-token"].is_sensitive());
        assert_eq!(verdict(&verifier, sent, b""), Ok("s2".into()));
    }
}

#[test]
fn nothing_is_asked_of_none_and_nothing_matches_without_secrets() {
    let none = Verifier::new(&Verify::None, &[]);
    assert_eq!(none.precheck(&HeaderMap::new()), Ok(()));
    let verified = none
        .verify(HeaderMap::new(), Bytes::new(), NOW_MS)
        .expect("passes");
    assert_eq!((verified.secret(), verified.secret_header()), (None, None));

    let with = Verifier::new(&Verify::Hmac(plain()), &secrets(&["secret"]));
    let mut signed = HeaderMap::new();
    with.sign(0, &mut signed, b"body", NOW_MS);
    let without = Verifier::new(&Verify::Hmac(plain()), &[]);
    assert_eq!(verdict(&without, signed, b"body"), Err(Refused::Bad));
    let without = Verifier::new(&token("x-token", "", false), &[]);
    let sent = headers([("x-token", &b"secret"[..])]);
    assert_eq!(verdict(&without, sent, b"body"), Err(Refused::Bad));
}

#[test]
fn debug_shows_no_key() {
    for verify in [Verify::Hmac(plain()), token("x-token", "", false)] {
        let shown = format!("{:?}", Verifier::new(&verify, &secrets(&["hunter2"])));
        let digest = <[u8; 32]>::from(sha2::Sha256::digest(b"hunter2"));
        assert!(shown.contains("redacted"), "{shown}");
        for key in [
            "hunter2".into(),
            format!("{:?}", b"hunter2"),
            format!("{digest:?}"),
        ] {
            assert!(!shown.contains(&key), "{shown}");
        }
    }
}

proptest! {
    /// Whatever the headers say, the answer is a refusal.
    #[test]
    fn arbitrary_headers_are_refused(
        value in prop::collection::vec(prop_oneof![32u8..=126, 128u8..=255], 0..200),
        time in prop::collection::vec(prop_oneof![b'0'..=b'9', 32u8..=126, 128u8..=255], 0..40),
        prefixed in any::<bool>(),
        body in any::<Vec<u8>>(),
    ) {
        let value = if prefixed { [b"sha256=", &value[..]].concat() } else { value };
        let sent = headers([("x-signature", &value[..]), ("x-timestamp", &time)]);
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            for format in [TimeFormat::Unix, TimeFormat::UnixMs, TimeFormat::Rfc3339] {
                let verify = Verify::Hmac(Hmac { encoding, ..dated(format) });
                let verifier = Verifier::new(&verify, &secrets(&["a", "b"]));
                prop_assert_eq!(verdict(&verifier, sent.clone(), &body), Err(Refused::Bad));
            }
        }
        let verifier = Verifier::new(&token("x-signature", "Bearer", true), &secrets(&["a"]));
        prop_assert_eq!(verdict(&verifier, sent, &body), Err(Refused::Bad));
    }

    /// A timestamp of any bytes, rightly signed, never panics: it is fresh or it is not.
    #[test]
    fn arbitrary_signed_timestamps(
        time in prop_oneof!["[0-9]{0,25}", "[0-9TZ:.+-]{0,30}", "[ -~]{0,30}"],
    ) {
        for format in [TimeFormat::Unix, TimeFormat::UnixMs, TimeFormat::Rfc3339] {
            let sender = Hmac {
                signed: Template(vec![Piece::Header(HeaderName::from_static("x-timestamp"))]),
                timestamp: None,
                ..dated(format)
            };
            let receiver = Hmac { timestamp: dated(format).timestamp, ..sender.clone() };
            let mut signed = headers([("x-timestamp", time.as_bytes())]);
            Verifier::new(&Verify::Hmac(sender), &secrets(&["a"])).sign(0, &mut signed, b"", NOW_MS);
            let verifier = Verifier::new(&Verify::Hmac(receiver), &secrets(&["a"]));
            let found = verdict(&verifier, signed, b"");
            prop_assert!(found.is_ok() || found == Err(Refused::Stale), "{:?}", found);
        }
    }
}

/// A captured signature is the same in each of its spellings.
#[test]
fn a_signature_is_its_bytes_however_it_is_written() {
    let signed = |encoding, spell: &dyn Fn(&str) -> String| {
        let verify = Verify::Hmac(Hmac {
            encoding,
            ..plain()
        });
        let verifier = Verifier::new(&verify, &secrets(&["key"]));
        let mut headers = HeaderMap::new();
        verifier.sign(0, &mut headers, b"body", NOW_MS);
        let text = spell(headers["x-signature"].to_str().expect("ASCII"));
        let headers = self::headers([("x-signature", text.as_bytes())]);
        let proof = verifier.verify(headers, Bytes::from_static(b"body"), NOW_MS);
        let proof = proof.expect("right in any spelling");
        proof.signature().expect("an HMAC").to_vec()
    };
    let plainly = signed(Encoding::Hex, &str::to_owned);
    assert_eq!(plainly.len(), 32);
    assert_eq!(signed(Encoding::Hex, &str::to_ascii_uppercase), plainly);
    assert_eq!(signed(Encoding::Base64Url, &str::to_owned), plainly);
    let unpadded = |text: &str| text.trim_end_matches('=').to_owned();
    assert_eq!(signed(Encoding::Base64Url, &unpadded), plainly);
}

//! What each preset comes to, by the vendors' facts, and that every field of it can be overridden.

use super::{accepted, load, proof, shown, signature, token};
use crate::{
    config::{
        SkipRule, Source, presets,
        source::Replay,
        verify::{Algorithm, Encoding, Hash, Prefix, Proof, TimeFormat, TimePlace, TokenForm},
    },
    extract::KeyExpr,
};
use http::HeaderName;
use std::time::Duration;

/// A source of this provider with these further keys.
fn source(provider: &str, more: &str) -> Source {
    let text = format!(
        "sources: {{x: {{provider: {provider}, secret: s, forward: \"http://a/\"{}{more}}}}}",
        if more.is_empty() { "" } else { ", " }
    );
    let (config, _) = accepted(&text);
    config.sources.into_iter().next().expect("one source")
}

fn expression(alternatives: &[&str]) -> KeyExpr {
    let field = |text: &&str| vec![text.parse().expect("a field")];
    KeyExpr(alternatives.iter().map(field).collect())
}

/// One row of the vendors' table.
struct Facts {
    name: &'static str,
    more: &'static str,
    scheme: (&'static str, &'static str, &'static str),
    id: &'static [&'static str],
    event_type: &'static [&'static str],
    time: &'static [&'static str],
    timeout_seconds: u64,
}

const BODY: &str = "{body}";

const VENDORS: [Facts; 5] = [
    Facts {
        name: "chatsvia",
        more: "",
        scheme: ("x-chatsvia-signature", "", BODY),
        id: &[],
        event_type: &["json:/event"],
        time: &["json:/timestamp"],
        timeout_seconds: 30,
    },
    Facts {
        name: "vowchat",
        more: "",
        scheme: ("x-chatwoot-signature", "sha256=", "{timestamp}.{body}"),
        id: &["header:X-Chatwoot-Delivery", "body"],
        event_type: &["json:/event"],
        time: &["json:/changed_at", "json:/created_at"],
        timeout_seconds: 5,
    },
    Facts {
        name: "chatplugify",
        more: "verify: {token: {header: X-Mine}}",
        scheme: ("x-mine", "", ""),
        id: &[],
        event_type: &["json:/event"],
        time: &["json:/timestamp"],
        timeout_seconds: 10,
    },
    Facts {
        name: "live-chat",
        more: "",
        scheme: ("x-webhook-signature", "", BODY),
        id: &[],
        event_type: &["header:X-Webhook-Event", "json:/event"],
        time: &["json:/timestamp"],
        timeout_seconds: 10,
    },
    Facts {
        name: "chatmefy",
        more: "",
        scheme: ("x-chatmefy-signature", "sha256=", BODY),
        id: &[],
        event_type: &["json:/event"],
        time: &["json:/timestamp"],
        timeout_seconds: 30,
    },
];

#[test]
fn presets_stand_in_order_and_once() {
    let names: Vec<&str> = presets().iter().map(|(name, _)| *name).collect();
    assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
}

#[test]
fn presets_say_what_the_vendors_say() {
    for vendor in VENDORS {
        let name = vendor.name;
        let source = source(name, vendor.more);
        let (header, prefix, signed) = vendor.scheme;
        match proof(&source) {
            Proof::Signature(hmac) => {
                assert_eq!(hmac.signed.to_string(), signed, "{name}");
                assert_eq!(
                    (hmac.header().map(HeaderName::as_str), &hmac.prefix),
                    (Some(header), &Prefix::Text(prefix.to_owned())),
                    "{name}"
                );
                assert_eq!(
                    (hmac.algorithm, hmac.encoding),
                    (Algorithm::Hmac(Hash::Sha256), Encoding::Hex),
                    "{name}"
                );
            }
            Proof::Token(token) => {
                let at = format!("header:{header}");
                assert_eq!(
                    (token.field.to_string(), &*token.prefix, ""),
                    (at, prefix, signed),
                    "{name}"
                );
                assert_eq!(token.form, TokenForm::Plain, "{name}");
            }
            Proof::Jwt(_) => panic!("{name} sends no JWT"),
        }
        assert_eq!(source.event_id, expression(vendor.id), "{name}");
        assert_eq!(source.event_type, expression(vendor.event_type), "{name}");
        assert_eq!(source.event_time, expression(vendor.time), "{name}");
        assert_eq!(
            source.sender_timeout,
            Duration::from_secs(vendor.timeout_seconds),
            "{name}"
        );
        assert_eq!(source.ack_deadline, source.sender_timeout * 4 / 5, "{name}");
        assert_eq!(source.dedupe.window, Duration::from_hours(24), "{name}");
        assert_eq!(source.max_age, None, "{name}: test buttons send old dates");
    }
}

#[test]
fn vowchat_signs_its_time_and_never_repeats_a_signature() {
    let source = source("vowchat", "");
    let hmac = signature(&source);
    let timestamp = hmac.timestamp.as_ref().expect("a timestamp");
    let header = "header:X-Chatwoot-Timestamp".parse().expect("a field");
    assert_eq!(timestamp.place, TimePlace::Field(header));
    assert_eq!(timestamp.format, TimeFormat::Unix);
    let tolerance = Some(Duration::from_mins(5));
    assert_eq!((timestamp.past, timestamp.future), (tolerance, tolerance));
    assert_eq!(source.dedupe.replay, [Replay::Signature]);
    let [SkipRule::Event(typing)] = source.dedupe.skip.as_slice() else {
        panic!("not one signed rule: {:?}", source.dedupe.skip);
    };
    assert!(
        typing.want(Some("conversation_typing_on")) && typing.want(Some("conversation_typing_off"))
    );
    assert!(!typing.want(Some("conversation_updated")) && !typing.want(None));
}

#[test]
fn vowchat_catches_replays_under_another_signature_header_too() {
    let vow = source("vowchat", "verify: {hmac: {header: X-Old}}");
    let hmac = signature(&vow);
    assert_eq!(hmac.header().map(HeaderName::as_str), Some("x-old"));
    assert_eq!(vow.dedupe.replay, [Replay::Signature]);
}

#[test]
fn live_chats_test_button_is_exempted_by_its_header() {
    let source = source("live-chat", "");
    let [SkipRule::Header(name, value)] = source.dedupe.skip.as_slice() else {
        panic!("not one header rule: {:?}", source.dedupe.skip);
    };
    assert_eq!(
        (name.as_str(), value.as_bytes()),
        ("x-webhook-test", &b"true"[..])
    );
}

#[test]
fn presets_load_without_a_warning() {
    for vendor in VENDORS {
        let more = if vendor.more.is_empty() {
            String::new()
        } else {
            format!(", {}", vendor.more)
        };
        let (_, warnings) = accepted(&format!(
            "sources: {{x: {{provider: {}, secret: s, forward: \"http://a/\"{more}}}}}",
            vendor.name
        ));
        assert_eq!(warnings, [""; 0], "{}", vendor.name);
    }
}

#[test]
fn every_field_can_be_overridden() {
    let vow = source(
        "vowchat",
        "verify: {hmac: {header: X-Old, signed: '{body}', timestamp: null}}, \
         dedupe: {replay: null, skip: []}, event: {id: body}, sender_timeout: 9s",
    );
    let hmac = signature(&vow);
    assert_eq!(
        (hmac.header().map(HeaderName::as_str), &hmac.prefix),
        (Some("x-old"), &Prefix::Text("sha256=".to_owned()))
    );
    assert!(hmac.timestamp.is_none());
    assert_eq!(vow.dedupe.replay, []);
    assert!(vow.dedupe.skip.is_empty());
    assert_eq!(vow.dedupe.window, Duration::from_hours(24));
    assert_eq!(vow.event_id, expression(&["body"]));
    assert_eq!(vow.event_type, expression(&["json:/event"]));
    assert_eq!(vow.sender_timeout, Duration::from_secs(9));

    let bearer = source("chatmefy", "verify: bearer");
    assert_eq!(token(&bearer).form, TokenForm::Scheme);
    let plain = source("chatmefy", "verify: {token: {header: X-T}}");
    assert_eq!(token(&plain).prefix, "");
}

#[test]
fn a_problem_over_a_preset_points_into_the_users_file() {
    let text = "sources:\n  x:\n    provider: vowchat\n    secret: s\n    forward: http://a/\n    verify:\n      hmac:\n        signed: \"{body}\"\n";
    let problems = load(text).expect_err("a tolerance on a timestamp that nothing signs");
    assert_eq!(problems.len(), 1, "{}", shown(&problems));
    // `timestamp` stands in the preset: the nearest ancestor that stands in the file.
    assert_eq!(problems[0].place, Some((7, 7)), "{}", problems[0]);
    assert_eq!(problems[0].key, "sources.x.verify.hmac.timestamp");
}

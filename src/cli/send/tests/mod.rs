//! Every preset, there and back: its vendor is played with a made-up secret, and the verifier takes what it sends, and
//! nothing else.

mod learned;
mod secrets;

use super::handshake::Asked;
use super::vendor::{SIGNATURES_MAX, Script, Vendor, parts};
use crate::{
    cli::{Failure, preset::Preset},
    clock::wall_ms,
    config::{
        self, Source,
        load::{Options, Process, load_text},
        verify::{Proof, Scheme, TimePlace},
    },
    extract::{Field, event_time_ms, pairs},
    verify::{Outgoing, Surroundings, Verifier},
};
use http::Method;
use secrets::Pair;
use std::collections::HashMap;

/// A preset at work.
struct Played {
    name: &'static str,
    vendor: Vendor,
    verifier: Verifier,
}

impl Played {
    fn new(name: &'static str) -> Self {
        let preset = Preset::read(name).expect("a preset");
        let pair = Pair::for_scheme(first(&preset.source));
        let source = source(name, &preset, &pair);
        let script = Script {
            signing_key: pair.private.as_deref().map(str::as_bytes),
            ..Script::default()
        };
        let around = Surroundings::of(&source, SIGNATURES_MAX);
        match Vendor::new(&source, script) {
            Ok(vendor) => Self {
                name,
                vendor,
                verifier: Verifier::new(&source.verify, &source.secrets, &around),
            },
            Err(why) => panic!("{name}: {why:?}"),
        }
    }

    fn source(&self) -> &Source {
        self.vendor.source()
    }

    fn sent(&self) -> Outgoing {
        self.vendor.next().expect("signed before")
    }

    fn passes(&self, request: &Outgoing) -> bool {
        let Outgoing {
            method,
            query,
            headers,
            body,
        } = request.clone();
        self.verifier
            .verify(&method, query.as_deref(), headers, body, wall_ms())
            .is_ok()
    }

    fn refuses(&self, request: &Outgoing, what: &str) {
        assert!(!self.passes(request), "{}: {what}: {request:?}", self.name);
    }
}

fn first(source: &Source) -> &Scheme {
    source.verify.schemes().first().expect("presets verify")
}

fn source(name: &str, preset: &Preset, pair: &Pair) -> Source {
    let open = if preset.header_is_open() {
        "verify: { token: { header: X-Token } }, "
    } else {
        ""
    };
    let secret = serde_json::Value::from(pair.secret.as_str());
    let params: Vec<String> = preset
        .params()
        .iter()
        .map(|(param, _)| format!("{param}: made-up-{param}"))
        .collect();
    let params = params.join(", ");
    let text = format!(
        "sources: {{ {name}: {{ provider: {name}, secrets: [{{ id: key-1, value: {secret} }}], {open}\
         params: {{ {params} }}, public_url: \"https://hooks.example.com/hooks/{name}\", forward: \"http://127.0.0.1/\" }} }}"
    );
    loaded(&text)
}

fn loaded(text: &str) -> Source {
    let process = Process {
        variable: &|_| None,
        open_files_max: None,
    };
    let loaded = load_text("test", text, Options::default(), &process);
    let (config, _) = loaded.unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{text}: {}", lines.join("\n"))
    });
    config.sources.into_iter().next().expect("one source")
}

/// Every preset.
fn all() -> impl Iterator<Item = Played> {
    config::presets().iter().map(|(name, _)| Played::new(name))
}

#[test]
fn what_a_vendor_sends_passes_and_what_is_tampered_with_does_not() {
    for played in all() {
        let request = played.sent();
        assert!(played.passes(&request), "{}: {request:?}", played.name);
        let forged = played.vendor.forge(request).expect("presets verify");
        played.refuses(&forged, "forged");
    }
}

#[test]
fn ids_types_and_times_are_found_and_no_two_events_are_one() {
    let wrong: Vec<String> = all()
        .flat_map(|played| {
            let name = played.name;
            missed(&played)
                .into_iter()
                .map(move |what| format!("{name}: {what}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a source does not find in its vendor's sample.
fn missed(played: &Played) -> Vec<String> {
    let source = played.source();
    let (one, two) = (played.sent(), played.sent());
    let key = |request: &Outgoing| source.event_id.key(played.name, parts(request));
    let by_id = source
        .event_id
        .0
        .first()
        .is_some_and(|id| *id != [Field::Body]);
    let time = source.event_time.text(parts(&one));
    let has_time = time
        .as_deref()
        .is_some_and(|time| event_time_ms(time).is_some());
    let cases = [
        (by_id && key(&one).1, "no id"),
        (key(&one).0 == key(&two).0, "two events with one key"),
        (
            !source.event_type.0.is_empty() && played.vendor.event().is_none(),
            "no type",
        ),
        (!source.event_time.0.is_empty() && !has_time, "no time"),
    ];
    let wrong = cases.into_iter().filter(|(wrong, _)| *wrong);
    wrong
        .map(|(_, what)| format!("{what} in {one:?}"))
        .collect()
}

#[test]
fn keys_are_remembered_as_long_as_the_vendor_sends() {
    for played in all() {
        let source = played.source();
        let retries = source.sender_retries.unwrap_or_default();
        assert!(source.dedupe.window >= retries, "{}", played.name);
    }
}

#[test]
fn the_event_that_is_asked_for_is_sent_or_refused() {
    for played in all() {
        let source = played.source();
        let pair = Pair::for_scheme(first(source));
        // A pair of its own would not fit the source's secret: only shared secrets are tried here.
        if pair.private.is_some() || source.sample.is_none() || source.event_type.0.is_empty() {
            continue;
        }
        let script = Script {
            event: Some("other.event"),
            ..Script::default()
        };
        let vendor =
            Vendor::new(source, script).unwrap_or_else(|why| panic!("{}: {why:?}", played.name));
        assert_eq!(vendor.event(), Some("other.event"), "{}", played.name);
        let request = vendor.next().expect("signed before");
        assert!(played.passes(&request), "{}: {request:?}", played.name);
    }
}

/// What a gateway makes of a handshake is what [`Asked`] expects; here is looked at whether there is one, by hand.
#[test]
fn every_handshake_can_be_played() {
    for played in all().filter(|played| !played.source().handshakes.is_empty()) {
        let asked =
            Asked::new(&played.vendor).unwrap_or_else(|why| panic!("{}: {why:?}", played.name));
        if played.source().handshakes[0].verified {
            assert!(played.passes(&asked.request), "{}: {asked:?}", played.name);
        }
    }
}

#[test]
fn a_handshake_is_what_the_vendor_sends() {
    let asked = |name: &'static str| {
        let played = Played::new(name);
        Asked::new(&played.vendor)
            .expect("it has a handshake")
            .request
    };
    let meta = asked("meta");
    assert_eq!((meta.method, meta.body.len()), (Method::GET, 0));
    let query = meta.query.expect("there");
    let pairs: HashMap<_, _> = pairs(query.as_bytes()).collect();
    let value = |name: &str| pairs.get(name.as_bytes()).map(|value| &**value);
    assert_eq!(value("hub.mode"), Some(&b"subscribe"[..]));
    assert_eq!(
        value("hub.verify_token"),
        Some(&b"made-up-verify_token"[..])
    );
    assert!(value("hub.challenge").is_some_and(|challenge| challenge.len() > 20));

    let slack = asked("slack");
    let body: serde_json::Value = serde_json::from_slice(&slack.body).expect("JSON");
    assert_eq!(body["type"], "url_verification");
    assert!(body["challenge"].is_string() && slack.headers.contains_key("x-slack-signature"));
}

#[test]
fn a_handshake_that_is_off_or_missing_says_so() {
    let refused = |name: &'static str, params: &str| {
        let text = format!(
            "sources: {{ x: {{ provider: {name}, secret: s, params: {{ {params} }}, forward: \"http://a/\" }} }}"
        );
        let vendor = Vendor::new(&loaded(&text), Script::default()).expect("a vendor");
        match Asked::new(&vendor) {
            Err(Failure::Usage(message)) => message,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused("meta", "").contains("params: { verify_token: TEXT }"));
    assert!(refused("stripe", "").contains("has no handshake"));
}

/// Bytes that are changed at the end of a signature, where it is surely the signature.
const TAIL: usize = 12;

/// Where a body's bytes are changed: this many places, evenly.
const PLACES: usize = 23;

#[test]
fn a_changed_byte_is_refused() {
    for played in all() {
        let request = played.sent();
        let source = played.source();
        let scheme = first(source);
        let place = match &scheme.proof {
            Proof::Signature(signature) => &signature.fields[0],
            Proof::Jwt(jwt) => &jwt.field,
            Proof::Token(token) => &token.field,
        };
        change_signature(&played, &request, place);
        if !matches!(scheme.proof, Proof::Token(_)) && scheme.covers_body() {
            change_body(&played, &request);
        }
        if let Proof::Signature(signature) = &scheme.proof
            && let Some(time) = &signature.timestamp
        {
            change_time(&played, &request, &time.place, place);
        }
    }
}

fn value(request: &Outgoing, field: &Field) -> Vec<u8> {
    field
        .bytes(parts(request))
        .expect("it is there")
        .into_owned()
}

fn change_signature(played: &Played, request: &Outgoing, place: &Field) {
    let signature = value(request, place);
    let end = signature.len()
        - signature
            .iter()
            .rev()
            .take_while(|byte| **byte == b'=')
            .count();
    for at in end.saturating_sub(TAIL)..end {
        let mut other = signature.clone();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        let mut changed = request.clone();
        changed.put(place, &other).expect("it has its place");
        played.refuses(&changed, "another signature");
    }
}

fn change_body(played: &Played, request: &Outgoing) {
    let length = request.body.len();
    for at in (0..length).step_by((length / PLACES).max(1)) {
        let mut body = request.body.to_vec();
        body[at] ^= 1;
        let changed = Outgoing {
            body: body.into(),
            ..request.clone()
        };
        played.refuses(&changed, "another body");
    }
}

fn change_time(played: &Played, request: &Outgoing, time: &TimePlace, signature: &Field) {
    let (field, from) = match time {
        TimePlace::Field(field) => (field, 0),
        TimePlace::FirstElement => (signature, 0),
        TimePlace::Element(prefix) => {
            let list = String::from_utf8(value(request, signature)).expect("text");
            (
                signature,
                list.find(prefix.as_str()).expect("it has a time") + prefix.len(),
            )
        }
    };
    let mut text = value(request, field);
    let digit = text[from..]
        .iter()
        .position(u8::is_ascii_digit)
        .expect("a time has digits");
    // The last digit of the year 2026 or of the first ten of seconds: the age alone would not tell.
    let at = from + digit + 9.min(text.len() - from - digit - 1);
    text[at] = if text[at] == b'0' { b'1' } else { b'0' };
    let mut changed = request.clone();
    changed.put(field, &text).expect("it has its place");
    played.refuses(&changed, "another time");
}

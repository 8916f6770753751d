//! How a source verifies. What is refused here can't prove anything, however well it is computed.

use crate::config::{
    Verify, presets,
    reader::{Map, Node, did_you_mean},
    template::{Base, Piece, Template, Value},
    value::{self, DURATION},
    verify::{
        Algorithm, Encoding, Hash, KeyForm, Prefix, Proof, Scheme, Signature, TimeFormat,
        TimePlace, Timestamp, Token, TokenForm,
    },
};
use crate::extract::Field;
use http::header::AUTHORIZATION;
use std::time::Duration;

/// How far a signed timestamp may be off by default; what vendors suggest and Standard Webhooks uses.
const TOLERANCE: Duration = Duration::from_mins(5);

/// What a user may write.
const ACCEPTED: &str = "verify: { hmac: { header: X-Signature } }, verify: { token: { header: X-Token } }, \
                        verify: bearer, or verify: none";

/// Reads `verify`.
pub(super) fn read(node: &Node<'_>, provider: Option<&str>) -> Option<Verify> {
    if node.value().is_mapping() {
        return settings(node, provider);
    }
    let text = node.text(ACCEPTED, false)?;
    match text.value.as_str() {
        "bearer" => Some(by(Proof::Token(Token {
            field: Field::Header(AUTHORIZATION),
            prefix: BEARER.to_owned(),
            form: TokenForm::Scheme,
        }))),
        "none" => Some(Verify::None),
        "hmac" | "token" => {
            node.problem(format!(
                "{} needs its settings; accepted: {ACCEPTED}",
                text.shown
            ));
            None
        }
        other => {
            let ways = ["hmac", "token", "bearer", "none"];
            node.problem(format!(
                "{} is no way to verify; {}",
                text.shown,
                did_you_mean(other, &ways)
            ));
            None
        }
    }
}

/// The one scheme of a source.
fn by(proof: Proof) -> Verify {
    Verify::Schemes(vec![Scheme {
        when: Vec::new(),
        secrets: None,
        proof,
    }])
}

/// The scheme of a bearer token, with the space behind it (RFC 6750 2.1).
const BEARER: &str = "Bearer ";

/// `{ hmac: ... }` or `{ token: ... }`.
fn settings(node: &Node<'_>, provider: Option<&str>) -> Option<Verify> {
    let ways = node.named()?;
    let [(way, settings)] = ways.as_slice() else {
        let named: Vec<&str> = ways.iter().map(|(way, _)| way.as_str()).collect();
        node.problem_at_key(match named.as_slice() {
            [] => format!("no way to verify; accepted: {ACCEPTED}"),
            _ => format!("{} stand side by side; keep one", named.join(" and ")),
        });
        return None;
    };
    match way.as_str() {
        "hmac" => hmac(settings, provider).map(|hmac| by(Proof::Signature(hmac))),
        "token" => token(settings, provider).map(|token| by(Proof::Token(token))),
        "bearer" | "none" => {
            settings.problem_at_key(format!("{way} has no settings; write verify: {way}"));
            None
        }
        other => {
            settings.problem_at_key(format!(
                "unknown key; {}, or verify: bearer, or verify: none",
                did_you_mean(other, &["hmac", "token"])
            ));
            None
        }
    }
}

fn hmac(node: &Node<'_>, provider: Option<&str>) -> Option<Signature> {
    let map = node.map(&[
        "header",
        "prefix",
        "algorithm",
        "encoding",
        "signed",
        "timestamp",
    ])?;
    let algorithms = [
        ("sha1", Hash::Sha1),
        ("sha256", Hash::Sha256),
        ("sha384", Hash::Sha384),
        ("sha512", Hash::Sha512),
    ];
    let encodings = [
        ("hex", Encoding::Hex),
        ("base64", Encoding::Base64),
        ("base64url", Encoding::Base64Url),
    ];
    let header = map
        .need(
            "header",
            "hmac needs header: the name of the header with the signature",
        )
        .and_then(|node| node.read(&value::HEADER));
    let prefix = map.read_or("prefix", &value::PREFIX, String::new());
    let algorithm = map.choose_or("algorithm", &algorithms, Hash::Sha256);
    let encoding = map.choose_or("encoding", &encodings, Encoding::Hex);
    let signed = match map.get("signed") {
        Some(node) => node.read(&value::TEMPLATE),
        None => Some(Template(vec![Piece::Value(Value {
            base: Base::Body,
            filters: Vec::new(),
        })])),
    };
    let timestamp = map.get_some("timestamp").map(|node| timestamp(&node));
    let signed = signed?;
    check_cover(&map, &signed, timestamp.is_some(), provider);
    Some(Signature {
        algorithm: Algorithm::Hmac(algorithm),
        fields: vec![Field::Header(header?)],
        repeated: false,
        split: None,
        prefix: Prefix::Text(prefix),
        encoding,
        key: KeyForm::Text,
        key_id: None,
        named_headers: None,
        signed,
        timestamp: match timestamp {
            Some(read) => Some(read?),
            None => None,
        },
    })
}

fn timestamp(node: &Node<'_>) -> Option<Timestamp> {
    let formats = [
        ("unix", TimeFormat::Unix),
        ("unix_ms", TimeFormat::UnixMs),
        ("rfc3339", TimeFormat::Rfc3339),
    ];
    let map = node.map(&["header", "format", "tolerance"])?;
    let header = map
        .need(
            "header",
            "timestamp needs header: the name of the header with the time",
        )
        .and_then(|node| node.read(&value::HEADER));
    let format = map.choose_or("format", &formats, TimeFormat::Unix);
    let tolerance = map.read_or("tolerance", &DURATION, TOLERANCE);
    Some(Timestamp {
        place: TimePlace::Field(Field::Header(header?)),
        format,
        past: Some(tolerance),
        future: Some(tolerance),
    })
}

/// A signature that does not cover the body proves nothing about it, and one that does not cover the time
/// proves nothing about that.
fn check_cover(map: &Map<'_>, signed: &Template, has_timestamp: bool, provider: Option<&str>) {
    let at_signed = |message: &str| match map.get("signed") {
        Some(node) => node.problem(message),
        None => map.node().problem_at_key(message),
    };
    if !signed.covers(&Field::Body) {
        at_signed(
            "the signature does not cover {body}, so anyone could change it; put {body} into signed",
        );
    }
    let signs_time = signed.uses(&Base::Timestamp);
    if signs_time && !has_timestamp {
        at_signed(
            "{timestamp} is signed, but hmac has no timestamp: { header: NAME } to take it from",
        );
    }
    if !signs_time && has_timestamp {
        let without = match provider.filter(|provider| presets::signs_time(provider)) {
            Some(provider) => format!("write timestamp: null, since the preset {provider} has one"),
            None => "leave timestamp out".to_owned(),
        };
        let message = format!(
            "a tolerance on a timestamp that nothing signs is no protection; \
             put {{timestamp}} into signed as the sender signs it, or {without}"
        );
        match map.get("timestamp") {
            Some(node) => node.problem_at_key(message),
            None => map.node().problem_at_key(message),
        }
    }
}

fn token(node: &Node<'_>, provider: Option<&str>) -> Option<Token> {
    let map = node.map(&["header", "prefix"])?;
    let why = match provider {
        None => "token needs header: the name of the header with the token".to_owned(),
        Some(provider) => format!(
            "{provider} sends its token in a header that you name in its dashboard; name the same one here: \
             verify: {{ token: {{ header: X-Your-Header }} }}"
        ),
    };
    let header = map
        .need("header", &why)
        .and_then(|node| node.read(&value::HEADER));
    let prefix = map.read_or("prefix", &value::PREFIX, String::new());
    Some(Token {
        field: Field::Header(header?),
        prefix,
        form: TokenForm::Plain,
    })
}

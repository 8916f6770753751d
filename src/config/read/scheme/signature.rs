//! A signature over parts of the request: `hmac`, `hash`, `ed25519`, `ecdsa` and `rsa`, which share their settings.

use super::{
    Around, Place,
    key::{self, Keys},
    named, template, timestamp, without_timestamp,
};
use crate::config::{
    presets,
    reader::{Map, Node, every},
    template::{Base, Piece, Template, Value},
    value::{ELEMENT, HEADER, PLACE, SIGNATURE_PREFIX},
    verify::{Algorithm, Encoding, Hash, Prefix, Signature, TimePlace, Timestamp},
};
use crate::extract::Field;

/// What shares the settings of a signature.
pub(super) struct Family {
    /// As it is written.
    pub(super) word: &'static str,
    keys: Keys,
    algorithm: fn(Hash) -> Algorithm,
    settings: &'static [&'static str],
}

macro_rules! settings {
    ($($first:literal),*) => {
        &[
            "header", "field", "repeated", "split", "prefix", $($first,)* "encoding", "key", "key_id", "signed",
            "timestamp", "named_headers", "covers_body",
        ]
    };
}

/// Every kind of signature.
pub(super) const FAMILIES: [Family; 5] = [
    Family {
        word: "hmac",
        keys: Keys::Shared,
        algorithm: Algorithm::Hmac,
        settings: settings!("algorithm"),
    },
    Family {
        word: "hash",
        keys: Keys::Shared,
        algorithm: Algorithm::Hash,
        settings: settings!("algorithm"),
    },
    Family {
        word: "ed25519",
        keys: Keys::Ed25519,
        algorithm: |_| Algorithm::Ed25519,
        settings: settings!(),
    },
    Family {
        word: "ecdsa",
        keys: Keys::PublicKey,
        algorithm: |_| Algorithm::EcdsaP256,
        settings: settings!(),
    },
    Family {
        word: "rsa",
        keys: Keys::PublicKey,
        algorithm: Algorithm::Rsa,
        settings: settings!("algorithm"),
    },
];

const HASHES: [(&str, Hash); 4] = [
    ("sha1", Hash::Sha1),
    ("sha256", Hash::Sha256),
    ("sha384", Hash::Sha384),
    ("sha512", Hash::Sha512),
];

const ENCODINGS: [(&str, Encoding); 3] = [
    ("hex", Encoding::Hex),
    ("base64", Encoding::Base64),
    ("base64url", Encoding::Base64Url),
];

/// Reads the settings of a signature.
pub(super) fn read(family: &Family, node: &Node<'_>, around: &Around<'_>) -> Option<Signature> {
    let map = node.map(family.settings)?;
    let fields = fields(&map, family.word, around);
    let repeated = repeated(&map, fields.as_deref());
    let split = optional(&map, "split", |node| node.read(&ELEMENT));
    let is_split = map.get_some("split").is_some();
    let prefix = optional(&map, "prefix", |node| {
        let prefix = node.read(&SIGNATURE_PREFIX)?;
        let split = split.as_ref().ok().and_then(Option::as_deref);
        within(node, &prefix, split).then_some(prefix)
    });
    let hash = if family.settings.contains(&"algorithm") {
        map.choose_or("algorithm", &HASHES, Hash::Sha256)
    } else {
        Hash::Sha256
    };
    let encoding = map.choose_or("encoding", &ENCODINGS, Encoding::Hex);
    let key = key::read(&map, family.keys);
    let key_id = optional(&map, "key_id", |node| node.read(&PLACE));
    let timestamp = optional(&map, "timestamp", |node| timestamp::read(node, is_split));
    let named_headers = optional(&map, "named_headers", |node| named::read(node, is_split));
    let signed = signed(&map, family, around)?;
    let both = Both {
        timestamp: !matches!(timestamp, Ok(None)),
        named_headers: !matches!(named_headers, Ok(None)),
    };
    check_partners(&map, &signed, &both, around);
    let signature = Signature {
        algorithm: (family.algorithm)(hash),
        fields: fields?,
        repeated,
        split: split.ok()?,
        prefix: prefix.ok()?.unwrap_or(Prefix::Text(String::new())),
        encoding,
        key: key?,
        key_id: key_id.ok()?,
        signed,
        timestamp: timestamp.ok()?,
        named_headers: named_headers.ok()?,
    };
    check_time(&map, &signature, around);
    Some(signature)
}

/// What is given is wrong, and was said to be.
struct Wrong;

/// A setting that may be left out.
fn optional<T>(
    map: &Map<'_>,
    key: &str,
    read: impl FnOnce(&Node<'_>) -> Option<T>,
) -> Result<Option<T>, Wrong> {
    let node = map.get_some(key);
    node.map(|node| read(&node).ok_or(Wrong)).transpose()
}

/// The end of a message about a missing header.
pub(super) const FIELD_OR_HEADER: &str =
    "or field: json:/pointer, form:NAME or query:NAME where it is no header";

/// `header` or `field`, one place.
pub(super) fn place(map: &Map<'_>, why: &str) -> Option<Field> {
    match (map.get_some("header"), map.get_some("field")) {
        (Some(header), None) => header.read(&HEADER).map(Field::Header),
        (None, Some(field)) => field.read(&PLACE),
        (Some(_), Some(_)) => {
            map.node().problem_at_key(SIDE_BY_SIDE);
            None
        }
        (None, None) => {
            map.miss("header", why);
            None
        }
    }
}

const SIDE_BY_SIDE: &str = "header and field stand side by side; keep one, with header: null where the other comes from a preset";

/// Where the signature may be: a header, a list of headers, or another field.
fn fields(map: &Map<'_>, word: &str, around: &Around<'_>) -> Option<Vec<Field>> {
    let Some(list) = map
        .get_some("header")
        .filter(|node| node.value().is_sequence() && map.get_some("field").is_none())
    else {
        let why = format!(
            "{word} needs header: the name of the header with the signature, {FIELD_OR_HEADER}{}",
            replaced(around)
        );
        return place(map, &why).map(|field| vec![field]);
    };
    let headers = list.list(HEADER.accepts)?;
    if headers.is_empty() {
        list.problem("no header, so no signature could be found; name one");
        return None;
    }
    every(
        headers
            .iter()
            .map(|node| node.read(&HEADER).map(Field::Header)),
    )
}

/// Why a preset's settings do not stand here.
fn replaced(around: &Around<'_>) -> String {
    let several = around
        .provider
        .filter(|provider| presets::verifies_in_several_ways(provider));
    several.map_or_else(String::new, |provider| {
        format!(
            " (the preset {provider} verifies in several ways, and this verify takes the place of all of them; \
             `hookgate providers {provider}` shows them)"
        )
    })
}

/// `repeated`: only a header can be.
fn repeated(map: &Map<'_>, fields: Option<&[Field]>) -> bool {
    let repeated = map.choose_or("repeated", &[("true", true), ("false", false)], false);
    let is_header = |field: &Field| matches!(field, Field::Header(_));
    if repeated
        && fields.is_some_and(|fields| !fields.iter().any(is_header))
        && let Some(node) = map.get("repeated")
    {
        node.problem_at_key("only a header can be repeated; leave this out");
    }
    repeated
}

/// Whether an element can begin so. What splits a list stands in none of its elements.
fn within(node: &Node<'_>, prefix: &Prefix, split: Option<&str>) -> bool {
    let parts = match prefix {
        Prefix::Text(text) => [text, ""],
        Prefix::KeyId(before, after) => [before.as_str(), after.as_str()],
    };
    let sound = split.is_none_or(|split| !parts.iter().any(|part| part.contains(split)));
    if !sound {
        node.problem(
            "no element begins like this, since what splits the list stands in it; leave that out",
        );
    }
    sound
}

/// Whether there is a list to take an element from.
pub(super) fn elements(node: &Node<'_>, is_split: bool) -> bool {
    if !is_split {
        node.problem_at_key(
            "an element of what? The signature's value is no list; set split to what stands between its elements",
        );
    }
    is_split
}

fn signed(map: &Map<'_>, family: &Family, around: &Around<'_>) -> Option<Template> {
    let place = if family.word == "hash" {
        Place::Hashed
    } else {
        Place::Signed
    };
    match map.get_some("signed") {
        Some(node) => template(&node, place, around.texts),
        None if place == Place::Hashed => {
            map.node().problem_below(
                &["signed"],
                "hash needs signed: what is hashed, with the secret in its place, such as \"{secret}{body}\"",
            );
            None
        }
        None => Some(Template(vec![Piece::Value(Value {
            base: Base::Body,
            filters: Vec::new(),
        })])),
    }
}

/// Whether what `signed` may name is given, be it a wrong one.
struct Both {
    timestamp: bool,
    named_headers: bool,
}

/// A value in `signed` and the setting that it comes from belong together.
fn check_partners(map: &Map<'_>, signed: &Template, given: &Both, around: &Around<'_>) {
    let at_signed = |message: &str| match map.get("signed") {
        Some(node) => node.problem(message),
        None => map.node().problem_at_key(message),
    };
    if signed.uses(&Base::Timestamp) && !given.timestamp {
        at_signed(
            "{timestamp} is signed, but there is no timestamp: { header: NAME } to take it from",
        );
    }
    let lists = signed.uses(&Base::NamedHeadersList);
    match (signed.uses(&Base::NamedHeaders), given.named_headers) {
        (named, false) if named || lists => at_signed(
            "{named_headers} is signed, but there is no named_headers that says where their names are",
        ),
        (false, true) => {
            if let Some(node) = map.get("named_headers") {
                node.problem_at_key(format!(
                    "nothing signs these headers; put {{named_headers}} into signed as the sender signs it{}",
                    if around.provider.is_some() { ", or write named_headers: null" } else { "" }
                ));
            }
        }
        _ => {}
    }
    if !signed.values().any(|value| varies(&value.base)) {
        at_signed(
            "nothing of the request is signed, so one signature would pass for everything; put {body} into signed",
        );
    }
}

/// Whether a value comes from the request.
fn varies(base: &Base) -> bool {
    !matches!(
        base,
        Base::Secret | Base::Param(_) | Base::PublicUrl | Base::Path
    )
}

/// A signature that does not cover the time proves nothing about it.
fn check_time(map: &Map<'_>, signature: &Signature, around: &Around<'_>) {
    let Some(timestamp) = signature
        .timestamp
        .as_ref()
        .filter(|time| time.is_checked())
    else {
        return;
    };
    if is_signed(signature, timestamp) {
        return;
    }
    let message = format!(
        "a tolerance on a timestamp that nothing signs is no protection; \
         put {{timestamp}} into signed as the sender signs it, or {}",
        without_timestamp(around.provider)
    );
    match map.get("timestamp") {
        Some(node) => node.problem_at_key(message),
        None => map.node().problem_at_key(message),
    }
}

fn is_signed(signature: &Signature, timestamp: &Timestamp) -> bool {
    let covered = match &timestamp.place {
        // A request whose list of signed headers lacks this one is refused where it is verified.
        TimePlace::Field(Field::Header(_)) if signature.signed.uses(&Base::NamedHeaders) => true,
        TimePlace::Field(field) => signature.signed.covers(field),
        TimePlace::Element(_) | TimePlace::FirstElement => false,
    };
    covered || signature.signed.uses(&Base::Timestamp)
}

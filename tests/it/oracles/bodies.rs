//! Random bodies: empty, unicode, binary, forms, documents with a place for their signature, and one of 1 MiB.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fastrand::Rng;
use serde_json::{Map, Value, json};

/// What a vendor's requests are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bodies {
    /// Any bytes.
    Bytes,
    /// JSON that stays the same when it is parsed and written again.
    Json,
    /// The same, with the time in milliseconds at `webhookTimestamp`.
    TimedJson,
    /// JSON with spaces, escapes and numbers that change when it is parsed and written again.
    LooseJson,
    /// `application/x-www-form-urlencoded`; a name may come twice.
    Form,
    /// The same, each name once and never empty.
    FormOnce,
    /// A payment notification of Adyen, with an empty place for its signature.
    Adyen,
    /// A form of Braintree, with an empty place for its signature.
    Braintree,
}

/// What is in a body, as far as a library may care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Empty,
    Ascii,
    Unicode,
    /// Not UTF-8.
    Binary,
}

const MIB: usize = 1 << 20;

impl Bodies {
    /// The `number`th body. Number 0 is empty where that is one, number 1 is 1 MiB.
    pub(super) fn make(self, rng: &mut Rng, number: usize, now: u64) -> Bytes {
        let long = number == 1;
        match self {
            Self::Bytes => bytes(rng, number),
            Self::Json | Self::TimedJson => {
                let mut document = object(rng, 3);
                if self == Self::TimedJson {
                    document.insert("webhookTimestamp".into(), (now * 1000).into());
                }
                if long {
                    document.insert("long".into(), text(rng, MIB / 2).into());
                }
                Value::from(document).to_string().into()
            }
            Self::LooseJson => loose(&Value::from(object(rng, 3)), rng).into(),
            Self::Form | Self::FormOnce => form(rng, number, self == Self::FormOnce).into(),
            Self::Adyen => adyen(rng).to_string().into(),
            Self::Braintree => {
                let length = if long { MIB / 2 } else { rng.usize(1..300) };
                let payload = STANDARD.encode(binary(rng, length));
                format!("bt_signature=&bt_payload={}", escaped(&payload)).into()
            }
        }
    }

    /// What such a body is sent as.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Form | Self::FormOnce | Self::Braintree => "application/x-www-form-urlencoded",
            _ => "application/json",
        }
    }
}

impl Content {
    pub(super) fn of(body: &[u8]) -> Self {
        match str::from_utf8(body) {
            Ok("") => Self::Empty,
            Ok(text) if text.is_ascii() => Self::Ascii,
            Ok(_) => Self::Unicode,
            Err(_) => Self::Binary,
        }
    }
}

fn bytes(rng: &mut Rng, number: usize) -> Bytes {
    match (number, number % 4) {
        (0, _) => Bytes::new(),
        (1, _) => text(rng, MIB).into(),
        (2, _) => vec![0xFF, 0xFE, 0x00, 0x80].into(),
        (_, 0) => Value::from(object(rng, 3)).to_string().into(),
        (_, 1) => {
            let length = rng.usize(1..400);
            binary(rng, length).into()
        }
        (_, 2) => {
            let length = rng.usize(1..400);
            text(rng, length).into()
        }
        _ => loose(&Value::from(object(rng, 3)), rng).into(),
    }
}

fn binary(rng: &mut Rng, length: usize) -> Vec<u8> {
    (0..length).map(|_| rng.u8(..)).collect()
}

/// About `length` bytes of text, with what frameworks like to change: line ends, NUL, a BOM, separators, emoji.
fn text(rng: &mut Rng, length: usize) -> String {
    const TRAPS: [char; 16] = [
        '\r', '\n', '\t', '\0', '\u{feff}', '\u{2028}', '\u{7f}', 'é', 'ß', 'Ω', '漢', '😀', '"',
        '\\', '/', '&',
    ];
    let mut made = String::new();
    while made.len() < length {
        made.push(match rng.u8(..4) {
            0 => TRAPS[rng.usize(..TRAPS.len())],
            _ => rng.char(' '..='~'),
        });
    }
    made
}

fn name(rng: &mut Rng) -> String {
    let length = rng.usize(1..9);
    (0..length).map(|_| rng.lowercase()).collect()
}

/// An object whose numbers are safe integers and whose names do not look like indexes.
fn object(rng: &mut Rng, depth: usize) -> Map<String, Value> {
    let members = rng.usize(1..6);
    (0..members)
        .map(|_| (name(rng), value(rng, depth)))
        .collect()
}

fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.u8(..if depth == 0 { 4 } else { 6 }) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => rng.i64(-(1 << 53)..1 << 53).into(),
        3 => {
            let length = rng.usize(..40);
            text(rng, length).into()
        }
        4 => object(rng, depth - 1).into(),
        _ => {
            let elements = rng.usize(..4);
            (0..elements)
                .map(|_| value(rng, depth - 1))
                .collect::<Vec<_>>()
                .into()
        }
    }
}

/// The same document with spaces, and with escapes where none are needed.
fn loose(document: &Value, rng: &mut Rng) -> String {
    let written = serde_json::to_string_pretty(document).expect("any value is JSON");
    let mut made = String::new();
    for c in written.chars() {
        match c {
            // Capitals stand in strings only, and in no escape that serde_json writes.
            'A'..='Z' if rng.bool() => made.push_str(&format!("\\u{:04x}", u32::from(c))),
            '/' => made.push_str("\\/"),
            _ => made.push(c),
        }
    }
    made
}

fn form(rng: &mut Rng, number: usize, once: bool) -> String {
    let fields = match number {
        0 => usize::from(once),
        1 => 200,
        _ => rng.usize(1..12),
    };
    let mut names: Vec<String> = (0..fields).map(|_| name(rng)).collect();
    if once {
        names.sort();
        names.dedup();
        rng.shuffle(&mut names);
    } else if let [first, .., last] = names.as_mut_slice() {
        last.clone_from(first);
    }
    let field = |name: &String| {
        let length = if number == 1 {
            MIB / 800
        } else {
            rng.usize(..30)
        };
        format!("{}={}", escaped(name), escaped(&text(rng, length)))
    };
    names.iter().map(field).collect::<Vec<_>>().join("&")
}

/// Form encoding: a space is `+`.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte);
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn adyen(rng: &mut Rng) -> Value {
    let mut item = json!({
        "pspReference": format!("{:016}", rng.u64(..10_000_000_000_000_000)),
        "merchantAccountCode": text(rng, 12),
        "merchantReference": text(rng, 20),
        "amount": { "currency": "EUR", "value": rng.u32(..) },
        "eventCode": "AUTHORISATION",
        "success": rng.bool().to_string(),
        "reason": text(rng, 20),
        "additionalData": { "hmacSignature": "" },
    });
    if rng.bool() {
        item["originalReference"] = text(rng, 10).into();
    }
    json!({ "live": "false", "notificationItems": [{ "NotificationRequestItem": item }] })
}

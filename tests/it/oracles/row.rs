//! One library beside one preset: what is particular about it, and how most of them are said in a line.

use super::bodies::{Bodies, Content};
use super::library::Language::{self, Python};
use super::request::Place;

/// One library beside one preset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) language: Language,
    /// Name of the library in `tests/oracles`.
    pub(super) oracle: &'static str,
    pub(super) preset: &'static str,
    pub(super) secret: Secret,
    pub(super) bodies: Bodies,
    /// What the library cannot be given, and why.
    pub(super) foreign: &'static [(Content, &'static str)],
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) query: Query,
    pub(super) signature: Place,
    pub(super) timestamp: Option<Place>,
    /// Why a changed byte of the body need not be refused; both must say the same even so.
    pub(super) open_body: Option<&'static str>,
    /// Why hookgate's own sender is not asked.
    pub(super) unsent: Option<&'static str>,
    /// How many bodies, in hundredths of the usual number: slow cryptography gets fewer.
    pub(super) percent: usize,
}

/// What a vendor's secrets look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secret {
    Text,
    /// 64 characters.
    Text64,
    /// 32 bytes in hex.
    Hex,
    /// 32 bytes in base64.
    Base64,
    /// 24 to 64 bytes in base64 after `whsec_`.
    Whsec,
    /// The library makes a key pair.
    Pair,
    /// A private key whose public key names it.
    Named(&'static str),
}

/// What stands after `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query {
    None,
    /// Pairs, with escapes that nobody needs.
    Pairs,
    /// `bodySHA256` and the body's hash.
    BodySha256,
}

/// The library takes text, and text only is what a vendor's JSON is; hookgate verifies the bytes.
pub(super) const TEXT: (Content, &str) = (Content::Binary, "takes text");
pub(super) const EMPTY: (Content, &str) = (Content::Empty, "refuses to look at an empty body");

/// An HMAC of the body in a header.
pub(super) const fn row(
    language: Language,
    oracle: &'static str,
    preset: &'static str,
    header: &'static str,
) -> Row {
    Row {
        language,
        oracle,
        preset,
        secret: Secret::Text,
        bodies: Bodies::Bytes,
        foreign: &[TEXT],
        headers: &[],
        query: Query::None,
        signature: Place::Header(header),
        timestamp: None,
        open_body: None,
        unsent: None,
        percent: 100,
    }
}

/// The same with a timestamp.
pub(super) const fn timed(row: Row, timestamp: Place) -> Row {
    Row {
        timestamp: Some(timestamp),
        ..row
    }
}

/// `t=1700000000,v1=...` in one header.
pub(super) const fn listed(row: Row, time: &'static str, signature: &'static str) -> Row {
    let Place::Header(header) = row.signature else {
        panic!("a header holds the list");
    };
    Row {
        signature: Place::Element(header, signature),
        timestamp: Some(Place::Element(header, time)),
        ..row
    }
}

/// Any bytes will do for this library.
pub(super) const fn any_bytes(row: Row) -> Row {
    Row {
        foreign: &[],
        ..row
    }
}

pub(super) const fn bodies(row: Row, bodies: Bodies) -> Row {
    Row { bodies, ..row }
}

pub(super) const fn secret(row: Row, secret: Secret) -> Row {
    Row { secret, ..row }
}

/// Standard Webhooks, under whichever names.
pub(super) const fn standard(
    language: Language,
    oracle: &'static str,
    preset: &'static str,
    [id, timestamp, signature]: [&'static str; 3],
) -> Row {
    let headers: &'static [(&'static str, &'static str)] = match id.as_bytes()[0] {
        b's' => &[("svix-id", "msg_2b7f0cQeXb")],
        _ => &[("webhook-id", "msg_2b7f0cQeXb")],
    };
    let row = row(language, oracle, preset, signature);
    Row {
        headers,
        ..timed(secret(row, Secret::Whsec), Place::Header(timestamp))
    }
}

/// Box signs with two keys, each in a header of its own.
pub(super) const fn boxed(oracle: &'static str, header: &'static str) -> Row {
    Row {
        headers: &[
            ("box-signature-version", "1"),
            ("box-signature-algorithm", "HmacSHA256"),
        ],
        ..timed(
            row(Python, oracle, "box", header),
            Place::Header("box-delivery-timestamp"),
        )
    }
}

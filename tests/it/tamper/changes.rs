//! A request with one byte changed, in every place.

use super::meaning::{begins, elements, once};
use super::played::Played;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hookgate::{
    config::verify::{Encoding, Proof, TokenForm},
    verify::Outgoing,
};
use http::HeaderValue;
use std::ops::Range;

/// A changed request, and what was changed.
pub(super) type Change = (String, Outgoing);

/// Every byte of every header: each of its bits, left out, and twice. What no header can carry is left out.
pub(super) fn of_headers(request: &Outgoing) -> impl Iterator<Item = Change> + '_ {
    request.headers.iter().flat_map(move |(name, value)| {
        let texts = changed(value.as_bytes(), &[1, 2, 4, 8, 16, 32, 64, 128]);
        texts.filter_map(move |(what, text)| {
            let mut changed = request.clone();
            let value = HeaderValue::from_bytes(&text).ok()?;
            changed.headers.insert(name, value);
            Some((format!("{name}: {what}"), changed))
        })
    })
}

/// The same for the query.
pub(super) fn of_query(request: &Outgoing) -> impl Iterator<Item = Change> + '_ {
    let query = request.query.as_deref().unwrap_or_default().as_bytes();
    changed(query, &[1, 2, 4, 8, 16, 32, 64]).filter_map(move |(what, text)| {
        let mut changed = request.clone();
        changed.query = Some(String::from_utf8(text).ok()?);
        Some((format!("query: {what}"), changed))
    })
}

/// Every byte of the body: two of its bits, and left out.
pub(super) fn of_body(request: &Outgoing) -> impl Iterator<Item = Change> + '_ {
    changed(&request.body, &[1, 32])
        .filter(|(what, _)| !what.ends_with("twice"))
        .map(move |(what, text)| {
            let mut changed = request.clone();
            changed.body = text.into();
            (format!("body: {what}"), changed)
        })
}

fn changed(text: &[u8], bits: &'static [u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..text.len()).flat_map(move |at| {
        let flipped = bits.iter().map(move |bit| {
            let mut text = text.to_vec();
            text[at] ^= bit;
            (format!("byte {at} by {bit}"), text)
        });
        let mut gone = text.to_vec();
        gone.remove(at);
        let mut twice = text.to_vec();
        twice.insert(at, text[at]);
        flipped.chain([
            (format!("byte {at} gone"), gone),
            (format!("byte {at} twice"), twice),
        ])
    })
}

/// Every bit of the signature as it was before it was written as text; of a token, of what it decodes to.
pub(super) fn of_signature(played: &Played) -> Vec<Change> {
    let request = &played.request;
    let value = once(played.place(), request).expect("signed");
    let mut changes = Vec::new();
    for (part, encoding) in written(played, &value) {
        let decoded = decode(encoding, &value[part.clone()]);
        for bit in 0..decoded.len() * 8 {
            let mut other = decoded.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let text = encode(encoding, &other);
            let value = [&value[..part.start], text.as_bytes(), &value[part.end..]].concat();
            let mut changed = request.clone();
            changed
                .put(played.place(), &value)
                .expect("it has its place");
            changes.push((format!("signature: bit {bit} of {part:?}"), changed));
        }
    }
    changes
}

/// What is written in an encoding in the value where the signature is. Of a plain token, nothing.
pub(super) fn written(played: &Played, value: &[u8]) -> Vec<(Range<usize>, Encoding)> {
    match &played.scheme().proof {
        Proof::Signature(signature) => vec![(text(played, value), signature.encoding)],
        Proof::Jwt(jwt) => {
            let mut start = jwt.prefix.len();
            let parts = value[start..].split(|byte| *byte == b'.').map(|part| {
                let at = start..start + part.len();
                start = at.end + 1;
                (at, Encoding::Base64Url)
            });
            parts.collect()
        }
        Proof::Token(token) if token.form == TokenForm::Basic => {
            vec![(text(played, value), Encoding::Base64)]
        }
        Proof::Token(_) => Vec::new(),
    }
}

/// Where the text of the signature or token stands in its value: the last element, after its prefix.
pub(super) fn text(played: &Played, value: &[u8]) -> Range<usize> {
    let start = match &played.scheme().proof {
        Proof::Signature(signature) => {
            let last = elements(signature, value).pop().expect("signed");
            let begins = begins(signature, last).expect("signed with its prefix");
            value.len() - last.len() + begins
        }
        Proof::Jwt(_) => {
            let dot = value.iter().rposition(|byte| *byte == b'.');
            dot.expect("a token has three parts") + 1
        }
        Proof::Token(token) => token.prefix.len(),
    };
    start..value.len()
}

fn decode(encoding: Encoding, text: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Hex => hex::decode(text).expect("hex"),
        Encoding::Base64 => STANDARD.decode(text).expect("base64"),
        Encoding::Base64Url => URL_SAFE_NO_PAD.decode(text).expect("base64url"),
    }
}

pub(super) fn encode(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Hex => hex::encode(bytes),
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
    }
}

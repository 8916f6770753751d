//! What the filters of a template make of a value, and how bytes are written as text.

use super::content::Challenges;
use super::mac::Mac;
use crate::config::{
    template::Filter,
    verify::{Encoding, Hash},
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD, URL_SAFE_PAD_INDIFFERENT};
use percent_encoding::percent_decode;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::borrow::Cow;

/// What the filters make of a value.
pub(super) fn filtered<'a>(
    value: Option<Cow<'a, [u8]>>,
    filters: &[Filter],
    challenge_key: Option<&[u8]>,
) -> Option<Cow<'a, [u8]>> {
    let value = match value {
        None if filters.contains(&Filter::Optional) => Some(Cow::Borrowed(&[][..])),
        value => value,
    };
    filters
        .iter()
        .try_fold(value?, |value, filter| apply(filter, value, challenge_key))
}

fn apply<'a>(
    filter: &Filter,
    value: Cow<'a, [u8]>,
    challenge_key: Option<&[u8]>,
) -> Option<Cow<'a, [u8]>> {
    let made = match filter {
        Filter::Optional | Filter::Sorted | Filter::PhpSerialized(_) => return Some(value),
        Filter::HexDigits => {
            let digits = (1..=HEX_DIGITS_MAX).contains(&value.len())
                && value.iter().all(u8::is_ascii_hexdigit);
            return digits.then_some(value);
        }
        Filter::Sha1 => Sha1::digest(&value).to_vec(),
        Filter::Sha256 => Sha256::digest(&value).to_vec(),
        Filter::Sha512 => Sha512::digest(&value).to_vec(),
        Filter::Crc32 => crc32fast::hash(&value).to_string().into_bytes(),
        Filter::Hex => hex::encode(&value).into_bytes(),
        Filter::Base64 => STANDARD.encode(&value).into_bytes(),
        Filter::Base64Url => URL_SAFE_NO_PAD.encode(&value).into_bytes(),
        Filter::Upper => value.to_ascii_uppercase(),
        Filter::Lower => value.to_ascii_lowercase(),
        Filter::Unescape(characters) => unescaped(&value, characters.as_bytes()),
        Filter::HmacSha1 => keyed(Hash::Sha1, &value, challenge_key?)?,
        Filter::HmacSha256 => keyed(Hash::Sha256, &value, challenge_key?)?,
    };
    Some(Cow::Owned(made))
}

/// Characters of the longest text that `hex_digits` lets through.
const HEX_DIGITS_MAX: usize = 64;

/// Characters of the longest text that a handshake answers with an HMAC of.
const CHALLENGE_MAX: usize = 256;

/// The HMAC of a vendor's challenge. Anybody may send one, so what looks like most signed texts is refused here, and
/// what could still be one proves no event ([`is_challenge`]): this must not sign what an attacker asks for.
fn keyed(hash: Hash, challenge: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    is_challenge(Challenges::Texts, [challenge].into_iter()).then(|| {
        let mut mac = Mac::new(hash, key);
        mac.update(challenge);
        mac.finish().as_bytes().to_vec()
    })
}

/// Whether these pieces together are a text that [`keyed`] signs.
pub(super) fn is_challenge<'p>(
    challenges: Challenges,
    pieces: impl Iterator<Item = &'p [u8]>,
) -> bool {
    let plain = |byte: &u8| match challenges {
        Challenges::HexDigits => byte.is_ascii_hexdigit(),
        Challenges::Texts => byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte),
    };
    let longest = match challenges {
        Challenges::HexDigits => HEX_DIGITS_MAX,
        Challenges::Texts => CHALLENGE_MAX,
    };
    let mut length = 0;
    for piece in pieces {
        length += piece.len();
        if length > longest || !piece.iter().all(plain) {
            return false;
        }
    }
    length > 0
}

/// Undoes the percent escapes of these characters.
fn unescaped(text: &[u8], characters: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| {
                rest.get(..3)
                    .and_then(|escape| percent_decode(escape).next())
            })
            .flatten()
            .filter(|byte| characters.contains(byte));
        if let Some(byte) = escaped {
            plain.push(byte);
            rest = &rest[3..];
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    plain
}

/// Text of bytes.
pub(super) fn encode(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Hex => hex::encode(bytes),
        Encoding::Base64 => STANDARD.encode(bytes),
        Encoding::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
    }
}

/// Bytes of a text; None if it is not written exactly so.
pub(super) fn decode(encoding: Encoding, text: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => unhex(text),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64Url => URL_SAFE_PAD_INDIFFERENT.decode(text).ok(),
    }
}

/// Bytes of hex digits in either case. Not by the `hex` crate, which costs twice as much, for each event.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_chunks() else {
        return None;
    };
    let mut seen = 0;
    let byte = |[high, low]: &[u8; 2]| {
        let (high, low) = (
            HEX_VALUES[usize::from(*high)],
            HEX_VALUES[usize::from(*low)],
        );
        seen |= high | low;
        high << 4 | low
    };
    let bytes = pairs.iter().map(byte).collect();
    (seen < NO_DIGIT).then_some(bytes)
}

/// What [`HEX_VALUES`] says of what is no hex digit: a bit that no digit has.
const NO_DIGIT: u8 = 0x10;

/// The value of each byte as a hex digit.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        values[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

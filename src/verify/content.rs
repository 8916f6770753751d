//! Templates over a request: what a signature covers, what a condition compares with, what a handshake answers.
//! What is the same for every request is put in its place once, at load; the rest is a list of borrowed pieces.

use super::{Request, mac::Mac};
use crate::config::{
    Secret, Source,
    source::Replay,
    template::{Base, Filter, Piece, Template},
    verify::{Encoding, Hash},
};
use crate::extract::{Field, form_pairs, pairs};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD, URL_SAFE_PAD_INDIFFERENT};
use http::HeaderName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::{borrow::Cow, fmt, sync::Arc};
use zeroize::Zeroizing;

/// What templates take from the source, not from the request.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The URL that the sender was given, without a query.
    pub public_url: Option<Arc<str>>,
    /// Texts by name.
    pub params: Vec<(Arc<str>, Secret)>,
    /// Elements of a list of signatures that are looked at.
    pub signatures_max: usize,
    /// Whether what was signed is to be remembered ([`super::Verified::signed`]).
    pub remember: bool,
}

impl Surroundings {
    /// What a source says of itself.
    pub fn of(source: &Source, signatures_max: usize) -> Self {
        Self {
            public_url: source.public_url.clone(),
            params: source.params.clone(),
            signatures_max,
            remember: source.dedupe.replay.contains(&Replay::Signature),
        }
    }
}

/// A prepared template.
#[derive(Debug)]
pub(super) struct Content(Vec<Part>);

#[derive(Debug)]
enum Part {
    /// Text, or a value that is the same for every request.
    Literal(Literal),
    /// This and the request's query.
    Url(Arc<str>, Vec<Filter>),
    /// The hash of the method, this path and the query.
    AtlassianQsh(String, Vec<Filter>),
    Value(Base, Vec<Filter>),
}

/// Zeroed and never shown: it may be a parameter.
struct Literal(Zeroizing<Vec<u8>>);

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Literal")
    }
}

/// A piece of what a template makes of a request.
#[derive(Debug)]
pub(super) enum Rendered<'a> {
    Bytes(Cow<'a, [u8]>),
    /// The place of the secret.
    Secret,
}

/// What a template is rendered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) request: Request<'a>,
    /// The body as `JSON.stringify` writes it, where the scheme asks for it.
    pub(super) stringified: Option<&'a [u8]>,
    pub(super) timestamp: Option<&'a [u8]>,
    pub(super) named_headers: Option<&'a [u8]>,
    pub(super) named_headers_list: Option<&'a [u8]>,
    /// The key that handshakes answer with.
    pub(super) challenge_key: Option<&'a [u8]>,
}

impl<'a> Given<'a> {
    /// A request alone.
    pub(super) fn of(request: Request<'a>) -> Self {
        Self {
            request,
            stringified: None,
            timestamp: None,
            named_headers: None,
            named_headers_list: None,
            challenge_key: None,
        }
    }
}

impl Content {
    /// None if it names a parameter that is not set, or a URL that is not known.
    pub(super) fn new(template: &Template, around: &Surroundings) -> Option<Self> {
        template
            .0
            .iter()
            .map(|piece| part(piece, around))
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Whether a value comes from there.
    pub(super) fn uses(&self, base: &Base) -> bool {
        self.bases().any(|known| known == base)
    }

    /// Where its values come from.
    pub(super) fn bases(&self) -> impl Iterator<Item = &Base> {
        self.0.iter().filter_map(|part| match part {
            Part::Value(base, _) => Some(base),
            Part::Literal(_) | Part::Url(..) | Part::AtlassianQsh(..) => None,
        })
    }

    /// Headers without which it has no text.
    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|part| match part {
            Part::Value(Base::Field(Field::Header(name)), filters)
                if !filters.contains(&Filter::Optional) =>
            {
                Some(name)
            }
            _ => None,
        })
    }

    /// The pieces, in order. None if the request lacks something, or holds what cannot be taken.
    pub(super) fn render<'a>(&'a self, given: &Given<'a>) -> Option<Vec<Rendered<'a>>> {
        self.0.iter().map(|part| part.render(given)).collect()
    }

    /// The text, of a template without `{secret}`.
    pub(super) fn text(&self, given: &Given<'_>) -> Option<Vec<u8>> {
        self.render(given).map(|pieces| joined(&pieces))
    }
}

/// The pieces in one.
pub(super) fn joined(pieces: &[Rendered<'_>]) -> Vec<u8> {
    let mut whole = Vec::new();
    for piece in pieces {
        if let Rendered::Bytes(bytes) = piece {
            whole.extend_from_slice(bytes);
        }
    }
    whole
}

fn part(piece: &Piece, around: &Surroundings) -> Option<Part> {
    let value = match piece {
        Piece::Literal(text) => return Some(literal(text.as_bytes())),
        Piece::Value(value) => value,
    };
    let fixed = match &value.base {
        Base::PublicUrl => around.public_url.as_ref()?.as_bytes(),
        Base::Path => path(around.public_url.as_ref()?).as_bytes(),
        Base::Param(name) => {
            let (_, text) = around.params.iter().find(|(known, _)| known == name)?;
            text.expose()
        }
        Base::Url => {
            let url = Arc::clone(around.public_url.as_ref()?);
            return Some(Part::Url(url, value.filters.clone()));
        }
        Base::AtlassianQsh => {
            let path = path(around.public_url.as_ref()?).to_owned();
            return Some(Part::AtlassianQsh(path, value.filters.clone()));
        }
        base => return Some(Part::Value(base.clone(), value.filters.clone())),
    };
    filtered(Some(fixed.into()), &value.filters, None).map(|text| literal(&text))
}

fn literal(text: &[u8]) -> Part {
    Part::Literal(Literal(Zeroizing::new(text.to_vec())))
}

/// The path of a URL; `/` where it has none.
fn path(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, after)| after);
    after_scheme.find('/').map_or("/", |at| &after_scheme[at..])
}

impl Part {
    fn render<'a>(&'a self, given: &Given<'a>) -> Option<Rendered<'a>> {
        let (value, filters) = match self {
            Self::Literal(text) => return Some(Rendered::Bytes(Cow::Borrowed(&text.0))),
            Self::Value(Base::Secret, _) => return Some(Rendered::Secret),
            Self::Url(url, filters) => (Some(with_query(url, given.request.query)), filters),
            Self::AtlassianQsh(path, filters) => {
                (Some(atlassian_qsh(path, &given.request).into()), filters)
            }
            Self::Value(base, filters) => (value(base, filters, given), filters),
        };
        filtered(value, filters, given.challenge_key).map(Rendered::Bytes)
    }
}

fn with_query<'a>(url: &'a str, query: Option<&str>) -> Cow<'a, [u8]> {
    match query {
        None => Cow::Borrowed(url.as_bytes()),
        Some(query) => Cow::Owned([url, "?", query].concat().into_bytes()),
    }
}

fn value<'a>(base: &Base, filters: &[Filter], given: &Given<'a>) -> Option<Cow<'a, [u8]>> {
    let request = given.request;
    let sorted = filters.first() == Some(&Filter::Sorted);
    match base {
        Base::Body => Some(request.body.into()),
        Base::JsonStringify => given.stringified.map(Cow::Borrowed),
        Base::Timestamp => given.timestamp.map(Cow::Borrowed),
        Base::NamedHeaders => given.named_headers.map(Cow::Borrowed),
        Base::NamedHeadersList => given.named_headers_list.map(Cow::Borrowed),
        Base::Field(field) => request.once(field),
        Base::Method => Some(request.method.as_str().as_bytes().into()),
        Base::Query if sorted => Some(sorted_query(request.query.unwrap_or_default()).into()),
        Base::Query => Some(request.query.unwrap_or_default().as_bytes().into()),
        Base::Form => form(&request, filters.first()).map(Cow::Owned),
        Base::Url
        | Base::PublicUrl
        | Base::Path
        | Base::Param(_)
        | Base::Secret
        | Base::AtlassianQsh => None,
    }
}

fn form(request: &Request<'_>, filter: Option<&Filter>) -> Option<Vec<u8>> {
    let mut fields: Vec<_> = form_pairs(request.headers, request.body)?.collect();
    fields.sort_unstable();
    match filter? {
        Filter::Sorted => {
            fields.dedup();
            let texts = fields.iter().flat_map(|(name, value)| [&**name, &**value]);
            Some(texts.collect::<Vec<_>>().concat())
        }
        Filter::PhpSerialized(but) => {
            fields.retain(|(name, _)| **name != *but.as_bytes());
            php_serialized(&fields)
        }
        _ => None,
    }
}

/// An array of strings as PHP's `serialize` writes it. PHP keeps the last of fields with one name, so a form with two
/// is nothing that anybody could have signed alike.
fn php_serialized(fields: &[(Cow<'_, [u8]>, Cow<'_, [u8]>)]) -> Option<Vec<u8>> {
    if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    let mut text = format!("a:{}:{{", fields.len()).into_bytes();
    for string in fields.iter().flat_map(|(name, value)| [name, value]) {
        text.extend_from_slice(format!("s:{}:\"", string.len()).as_bytes());
        text.extend_from_slice(string);
        text.extend_from_slice(b"\";");
    }
    text.push(b'}');
    Some(text)
}

/// The pairs in the order of their names, those of one name as they came, form-encoded.
fn sorted_query(query: &str) -> Vec<u8> {
    let mut fields: Vec<_> = pairs(query.as_bytes()).collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut text = Vec::new();
    for (name, value) in &fields {
        if !text.is_empty() {
            text.push(b'&');
        }
        form_encode(name, &mut text);
        text.push(b'=');
        form_encode(value, &mut text);
    }
    text
}

/// The hex SHA-256 of the canonical request (Atlassian Connect, "Creating a query string hash"): method, path and the
/// query without `jwt`, its names in order, values of one name in order and joined by commas.
fn atlassian_qsh(path: &str, request: &Request<'_>) -> Vec<u8> {
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let encoded = |text: &[u8]| percent_encode(text, UNRESERVED).to_string();
    let mut fields: Vec<_> = pairs(request.query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| **name != *b"jwt")
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    fields.sort_unstable();
    let mut query = String::new();
    let mut last = None;
    for (name, value) in &fields {
        if last == Some(name) {
            query.push(',');
        } else {
            if last.is_some() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
        }
        query.push_str(value);
        last = Some(name);
    }
    let canonical = [request.method.as_str(), &path.replace('&', "%26"), &query].join("&");
    hex::encode(Sha256::digest(canonical)).into_bytes()
}

/// All but the unreserved characters (RFC 3986 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// As the URL standard writes forms (WHATWG URL 5.2).
fn form_encode(text: &[u8], to: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        match byte {
            b' ' => to.push(b'+'),
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => to.push(*byte),
            byte => to.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}

/// What the filters make of a value.
fn filtered<'a>(
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

/// The HMAC of a vendor's challenge. Anybody may send one, so whatever could pass for the signed text of an event is
/// refused: this must not sign what an attacker asks for.
fn keyed(hash: Hash, challenge: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let sound = (1..=CHALLENGE_MAX).contains(&challenge.len()) && challenge.iter().all(plain);
    sound.then(|| {
        let mut mac = Mac::new(hash, key);
        mac.update(challenge);
        mac.finish().as_bytes().to_vec()
    })
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
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64Url => URL_SAFE_PAD_INDIFFERENT.decode(text).ok(),
    }
}

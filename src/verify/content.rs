//! Templates over a request: what a signature covers, what a condition compares with, what a handshake answers.
//! What is the same for every request is put in its place once, at load; the rest is a list of borrowed pieces.

use super::Request;
use super::canonical::{atlassian_qsh, form, sorted_query};
use super::filters::filtered;
use super::handshake;
use crate::config::{
    Secret, Source,
    source::Replay,
    template::{Base, Filter, Piece, Template},
};
use crate::extract::Field;
use http::HeaderName;
use smallvec::SmallVec;
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
    /// Of which challenges a handshake gives anybody an HMAC.
    pub answers_challenges: Option<Challenges>,
}

impl Surroundings {
    /// What a source says of itself.
    pub fn of(source: &Source, signatures_max: usize) -> Self {
        Self {
            public_url: source.public_url.clone(),
            params: source.params.clone(),
            signatures_max,
            remember: source.dedupe.replay.contains(&Replay::Signature),
            answers_challenges: handshake::signs_for_anybody(&source.handshakes),
        }
    }
}

/// What a vendor may ask to be signed; the wider the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Challenges {
    /// A few hex digits.
    HexDigits,
    /// A text without spaces, quotes or braces.
    Texts,
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

impl Rendered<'_> {
    /// Nothing in the place of the secret.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Secret => &[],
        }
    }
}

/// The pieces of a text; `{header:id}.{timestamp}.{body}` has five.
pub(super) type Pieces<'a> = SmallVec<[Rendered<'a>; 5]>;

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
    pub(super) fn render<'a>(&'a self, given: &Given<'a>) -> Option<Pieces<'a>> {
        self.0.iter().map(|part| part.render(given)).collect()
    }

    /// The text, of a template without `{secret}`.
    pub(super) fn text(&self, given: &Given<'_>) -> Option<Vec<u8>> {
        self.render(given).map(|pieces| joined(&pieces))
    }
}

/// The pieces in one.
pub(super) fn joined(pieces: &[Rendered<'_>]) -> Vec<u8> {
    let bytes = pieces.iter().map(|piece| piece.bytes().len()).sum();
    let mut whole = Vec::with_capacity(bytes);
    for piece in pieces {
        whole.extend_from_slice(piece.bytes());
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
        // What stands there twice, or is no text, is not absent: an app, or a key, would take some of it.
        if let (None, Self::Value(Base::Field(field), _)) = (&value, self)
            && given.request.has(field)
        {
            return None;
        }
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

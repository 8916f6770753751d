//! Key expressions: which part of a request names an event, its type or its time (`header:X-Id`, `json:/id`,
//! `query:id`, `body`), how they are written, and what they yield.
//!
//! Absent, null and "" are all *absent*. Evaluation never fails and never panics: a body that is not JSON has
//! no JSON values.

use crate::event::DedupeKey;
use http::{HeaderMap, HeaderName};
use std::borrow::Cow;

/// One place in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `header:NAME`; of a repeated header the first value.
    Header(HeaderName),
    /// `json:/pointer` (RFC 6901) into the body.
    Json(Pointer),
    /// `query:name`, form-decoded; of a repeated name the first.
    Query(String),
    /// `body`: the SHA-256 of the body.
    Body,
}

/// A JSON pointer (RFC 6901), unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The names on the way, unescaped; none for the whole document.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

/// Alternatives: the first that is present counts. Each is a list of fields that are joined; a join that lacks
/// one of them is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyExpr(pub Vec<Vec<Field>>);

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The sender's headers.
    pub headers: &'a HeaderMap,
    /// The query of the request's URL, without `?`.
    pub query: Option<&'a str>,
    /// The authenticated body.
    pub body: &'a [u8],
}

/// Why a text is no field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("accepted: header:NAME, json:/pointer, query:name or body")]
pub struct BadField;

impl std::str::FromStr for Field {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let field = match text.split_once(':') {
            None if text == "body" => Field::Body,
            Some(("header", name)) => Field::Header(name.parse().map_err(|_| BadField)?),
            Some(("query", name)) if !name.is_empty() => Field::Query(name.to_owned()),
            Some(("json", "")) => Field::Json(Pointer(Vec::new())),
            Some(("json", pointer)) => {
                let steps = pointer.strip_prefix('/').ok_or(BadField)?.split('/');
                Field::Json(Pointer(
                    steps
                        .map(|step| step.replace("~1", "/").replace("~0", "~"))
                        .collect(),
                ))
            }
            _ => return Err(BadField),
        };
        Ok(field)
    }
}

impl Field {
    /// The field's value as key bytes: a JSON string or a header as decoded text, any other JSON value as its
    /// source text, `body` as 32 raw bytes. None if absent, null or "".
    pub fn bytes<'a>(&self, _parts: Parts<'a>) -> Option<Cow<'a, [u8]>> {
        todo!()
    }
}

impl KeyExpr {
    /// The key of the event in `parts`, under the name `source`. If no alternative is present, `body` decides.
    /// The second value says whether the key is that of the body alone.
    pub fn key(&self, _source: &str, _parts: Parts<'_>) -> (DedupeKey, bool) {
        todo!()
    }

    /// The first alternative that is present, as text with its parts joined by `/`; for event types and times,
    /// which have one part. Not UTF-8 counts as absent.
    pub fn text(&self, _parts: Parts<'_>) -> Option<String> {
        todo!()
    }
}

/// Reads an event's time: RFC 3339, `2024-01-15 10:30:00 UTC`, or Unix time in seconds, as Unix milliseconds.
pub fn event_time_ms(_text: &str) -> Option<u64> {
    todo!()
}

//! Key expressions: which part of a request names an event, its type or its time (`header:X-Id`, `json:/id`,
//! `query:id`, `form:id`, `body`), how they are written, and what they yield.
//!
//! Absent, null and "" are all *absent*. Evaluation never fails and never panics: a body that is not JSON has
//! no JSON values.

mod form;
mod json;
mod stringify;
mod time;

pub use form::{Pair, form_pairs, pairs};
pub use json::Members;
pub use stringify::{NotJson, STRINGIFY_DEPTH_MAX, json_stringify};
pub use time::event_time_ms;

use crate::event::{DedupeKey, Lane};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use std::{borrow::Cow, fmt, sync::Arc};

/// One place in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `header:NAME`; of a repeated header the first value.
    Header(HeaderName),
    /// `json:/pointer` (RFC 6901) into the body; of a repeated key the last value, as `JSON.parse` reads it.
    Json(Pointer),
    /// `query:name`, form-decoded; of a repeated name the first.
    Query(String),
    /// `form:name` in a body of type `application/x-www-form-urlencoded`; of a repeated name the first.
    Form(String),
    /// `body`: the SHA-256 of the body.
    Body,
}

/// A JSON pointer (RFC 6901), unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

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
    /// What is known of it as a JSON document; `None` for whoever asks only once.
    pub members: Option<&'a Members<'a>>,
}

/// Why a text is no field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("accepted: header:NAME, json:/pointer, query:name, form:name or body")]
pub struct BadField;

impl std::str::FromStr for Field {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        if text == "body" {
            return Ok(Self::Body);
        }
        match text.split_once(':').ok_or(BadField)? {
            ("header", name) => name.parse().map(Self::Header).map_err(|_| BadField),
            ("json", pointer) => Pointer::parse(pointer).map(Self::Json),
            ("query", name) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            ("form", name) if !name.is_empty() => Ok(Self::Form(name.to_owned())),
            _ => Err(BadField),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Body => f.write_str("body"),
            Self::Json(pointer) => {
                f.write_str("json:")?;
                pointer.names().iter().try_for_each(|name| {
                    write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))
                })
            }
        }
    }
}

impl Pointer {
    /// The names on the way, unescaped; at least one.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Where its value stands in a JSON document, quotes included.
    pub fn span(&self, body: &[u8]) -> Option<std::ops::Range<usize>> {
        json::span(body, &self.0)
    }

    /// The empty pointer is refused: the whole document is what `body` is for.
    fn parse(text: &str) -> Result<Self, BadField> {
        let names = text.strip_prefix('/').ok_or(BadField)?;
        names
            .split('/')
            .map(unescape)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Undoes `~0` and `~1` (RFC 6901 4); no other escape exists.
fn unescape(name: &str) -> Result<String, BadField> {
    let mut pieces = name.split('~');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escaped, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', &piece[1..]),
            Some(b'1') => ('/', &piece[1..]),
            _ => return Err(BadField),
        };
        plain.push(escaped);
        plain.push_str(rest);
    }
    Ok(plain)
}

impl Field {
    /// The field's value as key bytes: a JSON string or a header as decoded text, any other JSON value as its
    /// source text, `body` as 32 raw bytes. None if absent, null or "".
    pub fn bytes<'a>(&self, parts: Parts<'a>) -> Option<Cow<'a, [u8]>> {
        let value = match self {
            Self::Header(name) => Cow::Borrowed(parts.headers.get(name)?.as_bytes()),
            Self::Json(pointer) => json::value_at(parts.body, &pointer.0, parts.members)?,
            Self::Query(name) => form::value(parts.query?.as_bytes(), name)?,
            Self::Form(name) => form::value(form::body(parts.headers, parts.body)?, name)?,
            Self::Body => Cow::Owned(Sha256::digest(parts.body).to_vec()),
        };
        (!value.is_empty()).then_some(value)
    }
}

impl KeyExpr {
    /// The key of the event in `parts`, under the name `source`. If no alternative is present, `body` decides.
    /// The second value says whether the key is that of the body alone.
    pub fn key(&self, source: &str, parts: Parts<'_>) -> (DedupeKey, bool) {
        let found = self
            .0
            .iter()
            .find_map(|fields| Some((fields, joined(fields, parts)?)));
        match found {
            Some((fields, values)) => (
                DedupeKey::new(source, values.iter().map(|value| &**value)),
                *fields == [Field::Body],
            ),
            None => (
                DedupeKey::new(source, [Sha256::digest(parts.body).as_slice()]),
                true,
            ),
        }
    }

    /// What `order_by` keeps events in order by: a hash of the first alternative that is present. `None` if there is
    /// none.
    pub fn lane(&self, parts: Parts<'_>) -> Option<Lane> {
        let values = self.0.iter().find_map(|fields| joined(fields, parts))?;
        Some(Lane::new(values.iter().map(|value| &**value)))
    }

    /// The sender's own name of the event in `parts`, for people: the alternative that [`Self::key`] takes, as text with
    /// its parts joined by a space, at most 256 bytes of it. None where the body alone says which event it is.
    pub fn name(&self, parts: Parts<'_>) -> Option<Arc<str>> {
        let of_body = |field: &Field| *field == Field::Body;
        let (fields, values) = self
            .0
            .iter()
            .find_map(|fields| Some((fields, joined(fields, parts)?)))?;
        let named = fields
            .iter()
            .zip(&values)
            .filter(|(field, _)| !of_body(field));
        let mut words = named.map(|(_, value)| String::from_utf8_lossy(value));
        let mut name = words.next()?;
        for word in words {
            name.to_mut().extend([" ", &*word]);
        }
        Some(cut(&name, NAME_BYTES_MAX).into())
    }

    /// The first alternative that is present, as text with its parts joined by `/`; for event types and times,
    /// which have one part. Not UTF-8 counts as absent.
    pub fn text<'a>(&self, parts: Parts<'a>) -> Option<Cow<'a, str>> {
        let text = |fields: &Vec<Field>| match &fields[..] {
            [field] => utf8(field.bytes(parts)?),
            fields => utf8(joined(fields, parts)?.join(&b'/').into()),
        };
        self.0.iter().find_map(text)
    }
}

/// Bytes of [`KeyExpr::name`]; ids are shorter.
const NAME_BYTES_MAX: usize = 256;

/// The beginning of `text`, at most `bytes` of it.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn utf8(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The values of a join, which seldom has more than two fields.
type Values<'a> = SmallVec<[Cow<'a, [u8]>; 2]>;

/// The values of all `fields`, or nothing. A join of no fields is absent: it would give every event one key.
fn joined<'a>(fields: &[Field], parts: Parts<'a>) -> Option<Values<'a>> {
    if fields.is_empty() {
        return None;
    }
    fields.iter().map(|field| field.bytes(parts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn field(text: &str) -> Field {
        text.parse().expect("a field")
    }

    fn expr(alternatives: &[&[&str]]) -> KeyExpr {
        let join = |fields: &&[&str]| fields.iter().map(|text| field(text)).collect();
        KeyExpr(alternatives.iter().map(join).collect())
    }

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append("x-id", HeaderValue::from_static("first"));
        headers.append("x-id", HeaderValue::from_static("second"));
        headers.append("x-empty", HeaderValue::from_static(""));
        headers.append(
            "x-raw",
            HeaderValue::from_bytes(b"\xff").expect("obs-text is allowed"),
        );
        headers
    }

    fn parts<'a>(headers: &'a HeaderMap, query: Option<&'a str>, body: &'a str) -> Parts<'a> {
        Parts {
            headers,
            query,
            body: body.as_bytes(),
            members: None,
        }
    }

    #[test]
    fn fields_are_read_as_written() {
        let json = |names: &[&str]| {
            Field::Json(Pointer(
                names.iter().map(std::string::ToString::to_string).collect(),
            ))
        };
        let cases = [
            (
                "header:X-Event-Id",
                Field::Header(HeaderName::from_static("x-event-id")),
            ),
            ("json:/id", json(&["id"])),
            ("json:/data/0/id", json(&["data", "0", "id"])),
            ("json:/a~1b/m~0n/~01", json(&["a/b", "m~n", "~1"])),
            ("json:/", json(&[""])),
            ("json:/a:b c", json(&["a:b c"])),
            ("query:id", Field::Query("id".into())),
            ("query:a:b", Field::Query("a:b".into())),
            ("form:a b", Field::Form("a b".into())),
            ("body", Field::Body),
        ];
        for (text, expected) in cases {
            let written = expected.to_string();
            assert_eq!(
                text.to_ascii_lowercase(),
                written.to_ascii_lowercase(),
                "{text}"
            );
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "id",
            "body:",
            "header:",
            "header:a b",
            "header",
            "json:",
            "json:id",
            "json:/~2",
            "json:/~",
            "json:/a~/b",
            "query:",
            "form:",
            "Header:x",
            "xml:/id",
        ] {
            assert_eq!(text.parse::<Field>(), Err(BadField), "{text}");
        }
    }

    #[test]
    fn values_are_found_or_absent() {
        let body = r#"{"id":"evt_42","n":199.00,"none":null,"empty":"","o":{ "a" : [1, 2] }}"#;
        let query = "a=1&a=2&b+c=x%20y+z&empty=&flag&bad=%ff%zz&%69d=7";
        let cases: [(&str, Option<&[u8]>); 18] = [
            ("header:x-id", Some(b"first")),
            ("header:x-raw", Some(b"\xff")),
            ("header:x-empty", None),
            ("header:x-other", None),
            ("json:/id", Some(b"evt_42")),
            ("json:/n", Some(b"199.00")),
            ("json:/o", Some(br#"{ "a" : [1, 2] }"#)),
            ("json:/o/a/1", Some(b"2")),
            ("json:/none", None),
            ("json:/empty", None),
            ("json:/absent", None),
            ("query:a", Some(b"1")),
            ("query:b c", Some(b"x y z")),
            ("query:empty", None),
            ("query:flag", None),
            ("query:bad", Some(b"\xff%zz")),
            ("query:id", Some(b"7")),
            ("query:c", None),
        ];
        let headers = headers();
        for (text, expected) in cases {
            let found = field(text).bytes(parts(&headers, Some(query), body));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let without = field("query:a").bytes(parts(&headers, None, body));
        assert_eq!(without, None, "no query");
    }

    /// The vectors of the public contract, and the rules for what decides.
    #[test]
    fn keys_follow_the_contract() {
        const BODY_KEY: &str = "122edc8abdbbb0f395c5d2ecd02496a97fbfcdecca56acb75e4c96a0c9e58b8f";
        let headers = headers();
        let key = |source, expr: &KeyExpr, body| {
            let (key, is_body) = expr.key(source, parts(&headers, None, body));
            (key.to_string(), is_body)
        };
        let erp = "d4dbb79b8416065e7f6d96017fb22763b214181c858eda68f1dc6f09916f63b9";
        let by_id = expr(&[&["header:x-other"], &["json:/id"]]);
        assert_eq!(
            key("erp", &by_id, r#"{"id":"evt_42"}"#),
            (erp.into(), false)
        );
        let joined = "6f94530a39b5abf60692edc8898ef9791b25840397d31cb9e4dd02a3e5a5ed0b";
        let by_join = expr(&[&["json:/event", "json:/id"]]);
        let body = r#"{"event":"order.created","id":7}"#;
        assert_eq!(key("erp", &by_join, body), (joined.into(), false));
        let by_body = (BODY_KEY.to_owned(), true);
        for decides in [
            KeyExpr::default(),
            expr(&[&["body"]]),
            expr(&[&["json:/absent"]]),
            expr(&[&["json:/a", "json:/absent"]]),
            expr(&[&[]]),
        ] {
            assert_eq!(key("chatmefy", &decides, r#"{"a":1}"#), by_body);
        }
        let with_more = expr(&[&["body", "json:/a"]]);
        assert!(!key("chatmefy", &with_more, r#"{"a":1}"#).1);
    }

    #[test]
    fn texts_are_joined_and_utf_8() {
        let headers = headers();
        let text = |expr: KeyExpr| expr.text(parts(&headers, None, r#"{"event":"a.b","n":1}"#));
        assert_eq!(text(expr(&[&["json:/event"]])).as_deref(), Some("a.b"));
        assert_eq!(
            text(expr(&[&["json:/event", "json:/n"]])).as_deref(),
            Some("a.b/1")
        );
        assert_eq!(
            text(expr(&[&["header:x-raw"], &["json:/n"]])).as_deref(),
            Some("1")
        );
        assert_eq!(text(expr(&[&["json:/none"]])), None);
        assert_eq!(text(KeyExpr::default()), None);
    }

    #[test]
    fn names_are_words_of_what_is_present() {
        let headers = headers();
        let long = "ä".repeat(200);
        let body = format!(r#"{{"event":"a.b","n":1,"long":"{long}"}}"#);
        let name = |expr: KeyExpr| expr.name(parts(&headers, None, &body));
        let cases: [(&[&[&str]], Option<&str>); 8] = [
            (&[&["json:/event"]], Some("a.b")),
            (&[&["json:/event", "body", "json:/n"]], Some("a.b 1")),
            (&[&["json:/none"], &["header:x-id"]], Some("first")),
            (&[&["header:x-raw", "json:/n"]], Some("\u{fffd} 1")),
            (&[&["json:/long"]], Some(&long[..256])),
            (&[&["json:/none", "json:/n"]], None),
            // The body decides, and has no name.
            (&[&["body"], &["json:/n"]], None),
            (&[&[]], None),
        ];
        for (alternatives, expected) in cases {
            let found = name(expr(alternatives));
            assert_eq!(found.as_deref(), expected, "{alternatives:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,40}", query in ".{0,60}", body in any::<Vec<u8>>()) {
            let headers = HeaderMap::new();
            for prefix in ["", "json:/", "query:", "header:"] {
                if let Ok(field) = format!("{prefix}{text}").parse::<Field>() {
                    let parts = Parts { headers: &headers, query: Some(&query), body: &body, members: None };
                    prop_assert!(field.bytes(parts).is_none_or(|value| !value.is_empty()));
                }
            }
        }

        #[test]
        fn names_survive_escaping(names in prop::collection::vec("[a~/01]{0,4}", 1..4)) {
            let escaped = |name: &String| name.replace('~', "~0").replace('/', "~1");
            let text = names.iter().map(|name| format!("/{}", escaped(name))).collect::<String>();
            let pointer = Pointer::parse(&text).expect("valid");
            prop_assert_eq!(pointer.names(), &names[..]);
        }
    }
}

//! Texts with placeholders: what a signature covers, what a condition compares with, what a handshake answers.
//! A literal `{` can't be written, since no known scheme signs one; a `}` outside a placeholder is itself.

use crate::extract::Field;
use std::{fmt, sync::Arc};

/// A template, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Literal(String),
    /// `{base|filter|...}`.
    Value(Value),
}

/// A placeholder: a value and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Where it comes from.
    pub base: Base,
    /// What is made of it, in order.
    pub filters: Vec<Filter>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// `{body}`: the body's bytes.
    Body,
    /// `{json_stringify}`: the body as ECMAScript writes it anew.
    JsonStringify,
    /// `{timestamp}`: the signed timestamp as sent.
    Timestamp,
    /// `{header:NAME}`, `{query:NAME}`, `{json:/pointer}`, `{form:NAME}`.
    Field(Field),
    /// `{method}`.
    Method,
    /// `{url}`: `public_url` and the request's query.
    Url,
    /// `{public_url}` as configured.
    PublicUrl,
    /// `{path}` of `public_url`.
    Path,
    /// `{query}` as sent, without `?`.
    Query,
    /// `{form}`: all fields of a form body; only through a filter.
    Form,
    /// `{secret}`.
    Secret,
    /// `{param:NAME}` of the source.
    Param(Arc<str>),
    /// `{named_headers}`.
    NamedHeaders,
    /// `{named_headers_list}`: their names as the request lists them.
    NamedHeadersList,
    /// `{atlassian_qsh}`: the hash of method, path and query that Atlassian's tokens carry.
    AtlassianQsh,
}

/// What is made of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The SHA-1, raw.
    Sha1,
    /// The SHA-256, raw.
    Sha256,
    /// The SHA-512, raw.
    Sha512,
    /// The CRC-32 (as in zlib) as an unsigned decimal number.
    Crc32,
    /// Base 16 in lower case.
    Hex,
    /// Base 64 with padding.
    Base64,
    /// URL-safe base 64 without padding.
    Base64Url,
    /// ASCII letters in upper case.
    Upper,
    /// ASCII letters in lower case.
    Lower,
    /// The pairs of a form or query in order.
    Sorted,
    /// The fields of a form but this one as PHP's `serialize` writes an array of them, in order.
    PhpSerialized(String),
    /// Percent escapes of these ASCII characters undone.
    Unescape(String),
    /// An absent value is empty.
    Optional,
    /// HMAC-SHA1 under the source's first secret, raw.
    HmacSha1,
    /// HMAC-SHA256 under the source's first secret, raw.
    HmacSha256,
    /// Itself if it is 1 to 64 hex digits, else absent.
    HexDigits,
}

/// Why a text is no template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadTemplate {
    /// A name in braces that means nothing.
    #[error("unknown placeholder {{{0}}}")]
    Unknown(String),
    /// A filter that means nothing.
    #[error("unknown filter {0:?}")]
    UnknownFilter(String),
    /// A filter on a value that it makes nothing of, or a value that needs one.
    #[error("{0}")]
    Misplaced(&'static str),
    /// A brace without its partner.
    #[error("unclosed {{ in template")]
    Unclosed,
}

/// The filters without an argument, by name.
const FILTERS: [(&str, Filter); 14] = [
    ("sha1", Filter::Sha1),
    ("sha256", Filter::Sha256),
    ("sha512", Filter::Sha512),
    ("crc32", Filter::Crc32),
    ("hex", Filter::Hex),
    ("base64", Filter::Base64),
    ("base64url", Filter::Base64Url),
    ("upper", Filter::Upper),
    ("lower", Filter::Lower),
    ("sorted", Filter::Sorted),
    ("optional", Filter::Optional),
    ("hmac_sha1", Filter::HmacSha1),
    ("hmac_sha256", Filter::HmacSha256),
    ("hex_digits", Filter::HexDigits),
];

/// The values without an argument, by name.
const BASES: [(&str, Base); 13] = [
    ("body", Base::Body),
    ("json_stringify", Base::JsonStringify),
    ("timestamp", Base::Timestamp),
    ("method", Base::Method),
    ("url", Base::Url),
    ("public_url", Base::PublicUrl),
    ("path", Base::Path),
    ("query", Base::Query),
    ("form", Base::Form),
    ("secret", Base::Secret),
    ("named_headers", Base::NamedHeaders),
    ("named_headers_list", Base::NamedHeadersList),
    ("atlassian_qsh", Base::AtlassianQsh),
];

/// The values and the filters, as a user writes them, for messages.
pub(crate) fn words(of: Word) -> Vec<&'static str> {
    match of {
        Word::Placeholder => {
            let named = BASES.iter().map(|(name, _)| *name);
            let fields = [
                "header:NAME",
                "query:NAME",
                "json:/pointer",
                "form:NAME",
                "param:NAME",
            ];
            named.chain(fields).collect()
        }
        Word::Filter => {
            let named = FILTERS.iter().map(|(name, _)| *name);
            named
                .chain(["unescape:CHARS", "php_serialized:NAME"])
                .collect()
        }
    }
}

/// A kind of word in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// What a placeholder begins with.
    Placeholder,
    /// What stands behind a `|`.
    Filter,
}

impl std::str::FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            push_literal(&mut pieces, literal);
            let (placeholder, after) = after.split_once('}').ok_or(BadTemplate::Unclosed)?;
            pieces.push(Piece::Value(value(placeholder)?));
            rest = after;
        }
        push_literal(&mut pieces, rest);
        Ok(Self(pieces))
    }
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.to_owned()));
    }
}

fn value(placeholder: &str) -> Result<Value, BadTemplate> {
    let mut parts = placeholder.split('|');
    let base = base(parts.next().unwrap_or_default())
        .ok_or_else(|| BadTemplate::Unknown(placeholder.to_owned()))?;
    let filters: Vec<Filter> = parts.map(filter).collect::<Result<_, _>>()?;
    let of_pairs = |filter: &Filter| matches!(filter, Filter::Sorted | Filter::PhpSerialized(_));
    let first = filters.first().filter(|filter| of_pairs(filter));
    let fits = match first {
        None => true,
        Some(Filter::Sorted) => matches!(base, Base::Form | Base::Query),
        Some(_) => base == Base::Form,
    };
    if !fits || filters.iter().skip(1).any(of_pairs) {
        return Err(BadTemplate::Misplaced(
            "sorted is the first filter of {form} or {query}, php_serialized that of {form}",
        ));
    }
    if base == Base::Form && first.is_none() {
        return Err(BadTemplate::Misplaced(
            "{form} needs a filter; accepted: {form|sorted}",
        ));
    }
    Ok(Value { base, filters })
}

fn base(name: &str) -> Option<Base> {
    if let Some((_, base)) = BASES.iter().find(|(known, _)| *known == name) {
        return Some(base.clone());
    }
    match name.split_once(':')? {
        ("param", param) if !param.is_empty() => Some(Base::Param(param.into())),
        _ => name.parse().ok().map(Base::Field),
    }
}

fn filter(name: &str) -> Result<Filter, BadTemplate> {
    let known = FILTERS.iter().find(|(known, _)| *known == name);
    let with_argument = || match name.split_once(':')? {
        ("unescape", characters) if !characters.is_empty() && characters.is_ascii() => {
            Some(Filter::Unescape(characters.to_owned()))
        }
        ("php_serialized", field) => Some(Filter::PhpSerialized(field.to_owned())),
        _ => None,
    };
    known
        .map(|(_, filter)| filter.clone())
        .or_else(with_argument)
        .ok_or_else(|| BadTemplate::UnknownFilter(name.to_owned()))
}

impl Template {
    /// The values in it.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Value(value) => Some(value),
            Piece::Literal(_) => None,
        })
    }

    /// Whether a value of it comes from there, whatever is made of it.
    pub fn uses(&self, base: &Base) -> bool {
        self.values().any(|value| value.base == *base)
    }

    /// Whether whoever signs this text signs this field too: the field decides a part of the text, and no other
    /// value of the field makes the same one.
    pub fn covers(&self, field: &Field) -> bool {
        self.values().any(|value| value.covers(field))
    }
}

impl Value {
    /// Whether it holds every field of a form.
    pub fn covers_form(&self) -> bool {
        self.base == Base::Form && self.is_binding()
    }

    /// Whether two values come out different. Hex has one case, so another one loses nothing.
    fn is_binding(&self) -> bool {
        let recased = |index: usize| {
            matches!(self.filters[index], Filter::Upper | Filter::Lower)
                && self.filters[..index].last() == Some(&Filter::Hex)
        };
        let mut filters = self.filters.iter().enumerate();
        filters.all(|(index, filter)| filter.is_binding() || recased(index))
    }

    fn covers(&self, field: &Field) -> bool {
        self.is_binding()
            && match (&self.base, field) {
                (
                    Base::Body | Base::JsonStringify,
                    Field::Body | Field::Json(_) | Field::Form(_),
                )
                | (Base::Url | Base::Query, Field::Query(_))
                | (Base::Form, Field::Form(_)) => true,
                (Base::AtlassianQsh, Field::Query(name)) => name != "jwt",
                (Base::Field(signed), field) => signed == field,
                _ => false,
            }
    }
}

impl Filter {
    /// Whether two values that differ in what matters come out different. A checksum is no proof, and letters of
    /// both cases, once made equal, are the same.
    fn is_binding(&self) -> bool {
        !matches!(
            self,
            Self::Crc32 | Self::Upper | Self::Lower | Self::Unescape(_)
        )
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => f.write_str(text)?,
                Piece::Value(value) => write!(f, "{{{value}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            Base::Field(field) => write!(f, "{field}")?,
            Base::Param(name) => write!(f, "param:{name}")?,
            base => {
                let (name, _) = BASES
                    .iter()
                    .find(|(_, known)| known == base)
                    .expect("every value without an argument stands in the table");
                f.write_str(name)?;
            }
        }
        self.filters
            .iter()
            .try_for_each(|filter| write!(f, "|{filter}"))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unescape(characters) => return write!(f, "unescape:{characters}"),
            Self::PhpSerialized(field) => return write!(f, "php_serialized:{field}"),
            _ => {}
        }
        let (name, _) = FILTERS
            .iter()
            .find(|(_, known)| known == self)
            .expect("every filter without an argument stands in the table");
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[test]
    fn templates_are_read_in_order_and_written_back() {
        let text = "v0:{timestamp}:{header:webhook-id}.{body|sha256|hex}}{json:/a/0}{param:id}{url|unescape::/}";
        let template: Template = text.parse().expect("valid");
        let literal = |text: &str| Piece::Literal(text.to_owned());
        let value = |base, filters: &[Filter]| {
            let filters = filters.to_vec();
            Piece::Value(Value { base, filters })
        };
        let expected = [
            literal("v0:"),
            value(Base::Timestamp, &[]),
            literal(":"),
            value(
                Base::Field(Field::Header(HeaderName::from_static("webhook-id"))),
                &[],
            ),
            literal("."),
            value(Base::Body, &[Filter::Sha256, Filter::Hex]),
            literal("}"),
            value(Base::Field("json:/a/0".parse().expect("a field")), &[]),
            value(Base::Param("id".into()), &[]),
            value(Base::Url, &[Filter::Unescape(":/".into())]),
        ];
        assert_eq!(template.0, expected);
        assert_eq!(template.to_string(), text);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let unknown = |name: &str| BadTemplate::Unknown(name.to_owned());
        let filter = |name: &str| BadTemplate::UnknownFilter(name.to_owned());
        let cases = [
            ("{", BadTemplate::Unclosed),
            ("{body", BadTemplate::Unclosed),
            ("{}", unknown("")),
            ("{Body}", unknown("Body")),
            ("{header}", unknown("header")),
            ("{header:}", unknown("header:")),
            ("{header:a b}", unknown("header:a b")),
            ("{json:a}", unknown("json:a")),
            ("{param:}", unknown("param:")),
            ("{{body}}", unknown("{body")),
            ("{body|md5}", filter("md5")),
            ("{body|}", filter("")),
            ("{url|unescape:}", filter("unescape:")),
            (
                "{form}",
                BadTemplate::Misplaced("{form} needs a filter; accepted: {form|sorted}"),
            ),
            (
                "{body|sorted}",
                BadTemplate::Misplaced(
                    "sorted is the first filter of {form} or {query}, php_serialized that of {form}",
                ),
            ),
            (
                "{query|hex|sorted}",
                BadTemplate::Misplaced(
                    "sorted is the first filter of {form} or {query}, php_serialized that of {form}",
                ),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Template>(), Err(expected), "{text}");
        }
    }

    /// What is covered cannot be changed without the text changing.
    #[test]
    fn a_template_says_what_it_covers() {
        let cases = [
            ("{body}", "body", true),
            ("{body}", "json:/id", true),
            ("{body}", "form:id", true),
            ("{body}", "header:x-id", false),
            ("{body}", "query:id", false),
            ("{body|sha256}", "body", true),
            ("{body|sha1|hex}", "body", true),
            ("{body|crc32}", "body", false),
            ("{body|lower}", "body", false),
            ("{body|sha256|hex|upper}", "body", true),
            ("{body|sha256|base64|upper}", "body", false),
            ("{body|crc32|hex|upper}", "body", false),
            ("{json_stringify}", "body", true),
            ("{form|sorted}", "body", false),
            ("{form|sorted}", "form:id", true),
            ("{url}", "query:id", true),
            ("{query|sorted}", "query:id", true),
            ("{public_url}", "query:id", false),
            ("{json:/id}", "json:/id", true),
            ("{json:/id}", "json:/other", false),
            ("{json:/id}", "body", false),
            ("{header:X-Id}", "header:x-id", true),
            ("{method}{timestamp}", "body", false),
        ];
        for (template, field, expected) in cases {
            let field: Field = field.parse().expect("a field");
            let covers = template.parse::<Template>().expect("valid").covers(&field);
            assert_eq!(covers, expected, "{template} {field}");
        }
    }
}

//! The words of schemes and handshakes: places, prefixes, ids, instants.

use super::{Kind, keep, text_kind};
use crate::config::{
    template::{BadTemplate, Template},
    verify::{HeaderPiece, Prefix, Subject},
};
use crate::extract::Field;
use jiff::Timestamp;

/// A text with placeholders.
pub(crate) const TEMPLATE: Kind<Template> = text_kind(
    "text with values such as {body}, {timestamp}, {header:NAME}, {query:NAME}, {json:/pointer}, {form:NAME}, {url}, \
     {param:NAME}, each with filters as in {body|sha256|hex}",
    Some("{body}"),
    |text| {
        text.parse().map_err(|bad| match bad {
            // Not its name: it may come from the environment.
            BadTemplate::Unknown(_) => "has an unknown placeholder".to_owned(),
            BadTemplate::UnknownFilter(_) => "has an unknown filter".to_owned(),
            BadTemplate::Misplaced(why) => format!("can't be used: {why}"),
            BadTemplate::Unclosed => "has a { that is not closed".to_owned(),
        })
    },
);

const PLACE_ACCEPTS: &str = "header:NAME, json:/pointer, form:NAME or query:NAME";

/// A place in a request that holds one value.
pub(crate) const PLACE: Kind<Field> = text_kind(PLACE_ACCEPTS, Some("header:x-unset"), |text| {
    match text.parse() {
        Ok(Field::Body) => Err("is a hash, not a value".to_owned()),
        Ok(field) => Ok(field),
        Err(_) => Err("is no place of a request".to_owned()),
    }
});

/// What a condition looks at.
pub(crate) const SUBJECT: Kind<Subject> = text_kind(
    "method, header:NAME, json:/pointer, form:NAME or query:NAME",
    None,
    |text| match text {
        "method" => Ok(Subject::Method),
        _ => (PLACE.parse)(text).map(Subject::Field),
    },
);

/// What stands before a token.
pub(crate) const PREFIX: Kind<String> =
    text_kind("printable ASCII, such as sha256=", Some(""), |text| {
        let printable = |byte| matches!(byte, b' '..=b'~');
        let sound = text.bytes().all(printable) && !text.starts_with(' ');
        keep(text, sound, "can't stand at the start of a header")
    });

/// What stands before a signature.
pub(crate) const SIGNATURE_PREFIX: Kind<Prefix> = text_kind(
    "printable ASCII, such as sha256=, or with the id of the key and something after it, such as {key_id}|",
    Some(""),
    |text| {
        let text = (PREFIX.parse)(text)?;
        let Some((before, after)) = text.split_once(KEY_ID) else {
            return Ok(Prefix::Text(text));
        };
        if after.is_empty() {
            return Err("has nothing after {key_id}, so its end can't be found".to_owned());
        }
        if after.contains(KEY_ID) {
            return Err("has {key_id} more than once".to_owned());
        }
        Ok(Prefix::KeyId(before.to_owned(), after.to_owned()))
    },
);

const KEY_ID: &str = "{key_id}";

/// How one named header is written.
pub(crate) const EACH_HEADER: Kind<Vec<HeaderPiece>> = text_kind(
    "text with {name} and {value}",
    Some("{name}:{value}"),
    |text| {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            if !literal.is_empty() {
                pieces.push(HeaderPiece::Literal(literal.to_owned()));
            }
            let (name, after) = after.split_once('}').ok_or("has a { that is not closed")?;
            pieces.push(match name {
                "name" => HeaderPiece::Name,
                "value" => HeaderPiece::Value,
                _ => return Err("has an unknown placeholder".to_owned()),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(HeaderPiece::Literal(rest.to_owned()));
        }
        if !pieces.contains(&HeaderPiece::Value) {
            return Err("signs no value without {value}".to_owned());
        }
        Ok(pieces)
    },
);

/// What stands between the elements of a list, or what one of them begins with.
pub(crate) const ELEMENT: Kind<String> =
    text_kind("text of at least one character", Some(","), |text| {
        keep(text, !text.is_empty(), "is empty")
    });

/// What is put between two texts.
pub(crate) const JOIN: Kind<String> = text_kind("text", Some(""), |text| Ok(text.to_owned()));

/// What a request calls a secret.
pub(crate) const SECRET_ID: Kind<String> = text_kind(
    "1 to 255 printable ASCII characters",
    Some("unset"),
    |text| {
        let printable = |byte| matches!(byte, b' '..=b'~');
        let sound = (1..=255).contains(&text.len()) && text.bytes().all(printable);
        keep(text, sound, "is no id of a secret")
    },
);

/// A point in time, as Unix milliseconds.
pub(crate) const INSTANT: Kind<u64> = text_kind(
    "a time as in RFC 3339, such as 2026-11-01T00:00:00Z",
    None,
    |text| {
        let instant: Timestamp = text.parse().map_err(|_| "is no time".to_owned())?;
        u64::try_from(instant.as_millisecond()).map_err(|_| "is before 1970".to_owned())
    },
);

/// A text of a source.
pub(crate) const PARAM: Kind<String> = text_kind(
    "text of at least one character, or null for one that is not set",
    Some("unset"),
    |text| keep(text, !text.is_empty(), "is empty"),
);

/// The query of a sample. Its placeholders stand in angle brackets, which no query has.
pub(crate) const SAMPLE_QUERY: Kind<String> = text_kind(
    "the query as it is sent, without ?, such as type=order&id=<number>",
    Some(""),
    |text| {
        let printable = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        let sound = text.bytes().all(printable) && !text.starts_with('?');
        keep(text, sound, "is no query")
    },
);

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    fn field(text: &str) -> Field {
        text.parse().expect("a field")
    }

    #[test]
    fn places_and_prefixes() {
        check(
            &PLACE,
            &[("json:/a", field("json:/a")), ("form:a", field("form:a"))],
            &["", "body", "json:a", "cookie:a", "header:a b"],
        );
        check(
            &SUBJECT,
            &[
                ("method", Subject::Method),
                ("query:a", Subject::Field(field("query:a"))),
            ],
            &["", "Method", "body", "path"],
        );
        check(
            &PREFIX,
            &[("", String::new()), ("v0=", "v0=".to_owned())],
            &[" v", "a\n", "ä"],
        );
        let id = |before: &str, after: &str| Prefix::KeyId(before.to_owned(), after.to_owned());
        check(
            &SIGNATURE_PREFIX,
            &[
                ("", Prefix::Text(String::new())),
                ("{id}=", Prefix::Text("{id}=".to_owned())),
                ("{key_id}|", id("", "|")),
                ("a={key_id}/b/", id("a=", "/b/")),
            ],
            &[
                "{key_id}",
                "a={key_id}",
                "{key_id}|{key_id}|",
                " {key_id}|",
                "é{key_id}|",
            ],
        );
    }

    #[test]
    fn headers_and_ids() {
        use HeaderPiece::{Literal, Name, Value};
        let text = |text: &str| Literal(text.to_owned());
        check(
            &EACH_HEADER,
            &[
                ("{value}", vec![Value]),
                ("{name}:{value}\n", vec![Name, text(":"), Value, text("\n")]),
                ("a{value}{name}", vec![text("a"), Value, Name]),
            ],
            &["", "{name}", "a", "{value", "{value}{x}"],
        );
        check(
            &SECRET_ID,
            &[("a b", "a b".to_owned())],
            &["", "ä", "a\n", &"a".repeat(256)],
        );
        check(&PARAM, &[("a", "a".to_owned())], &[""]);
        check(
            &SAMPLE_QUERY,
            &[("", String::new()), ("a=<uuid>&b", "a=<uuid>&b".to_owned())],
            &["?a", "a b", "a#b", "ä"],
        );
    }

    #[test]
    fn instants() {
        check(
            &INSTANT,
            &[
                ("1970-01-01T00:00:00Z", 0),
                ("2026-11-01T00:00:00Z", 1_793_491_200_000),
                ("2026-11-01T01:00:00.5+01:00", 1_793_491_200_500),
            ],
            &[
                "",
                "2026-11-01",
                "2026-11-01T00:00:00",
                "1969-12-31T23:59:59Z",
                "1793491200",
            ],
        );
    }
}

//! The kinds of scalars: how each is written, what is accepted, and what it becomes. Each parser takes text,
//! whatever YAML made of it, so that `8` and `"${N}"` are typed by their field.

mod address;
mod quantity;
mod scheme;

pub(crate) use address::{
    HEADER, HEADER_VALUE, LISTEN, LISTENER, MODE, NETWORKS, PATH, PUBLIC_URL, URL, header_value,
};
pub(crate) use quantity::{
    ATTEMPTS, DURATION, DURATION_OR_OFF, DURATION_OR_ZERO, FACTOR, PERCENT, PORTION, RATE,
    RATE_OR_OFF, SHARE, SIZE, SIZE_OR_ZERO, Share, count_kind, duration_text, size_text,
};

pub(crate) use scheme::{
    EACH_HEADER, ELEMENT, INSTANT, JOIN, PARAM, PLACE, PREFIX, SAMPLE_QUERY, SECRET_ID,
    SIGNATURE_PREFIX, SUBJECT, TEMPLATE,
};

use super::source::Replay;
use crate::extract::Field;
use http::StatusCode;

/// One kind of scalar.
pub(crate) struct Kind<T> {
    /// What a user may write; the end of every message.
    pub(crate) accepts: &'static str,
    /// Whether a bare number is refused, because reading it as a number would change it.
    pub(crate) quoted: bool,
    /// What an unset variable counts as with `--allow-unset`; without it, as if the key were not there.
    pub(crate) stand_in: Option<&'static str>,
    /// The error continues a sentence that begins with the value: "is not a duration". It must not repeat any of
    /// the value, which may come from the environment.
    pub(crate) parse: fn(&str) -> Result<T, String>,
}

impl<T> Kind<T> {
    /// Reads a command-line option that means what a key means; the error follows the option's name and value.
    pub(crate) fn option(&self, text: &str) -> Result<T, String> {
        (self.parse)(text).map_err(|why| format!("it {why}; accepted: {}", self.accepts))
    }
}

const fn kind<T>(accepts: &'static str, parse: fn(&str) -> Result<T, String>) -> Kind<T> {
    Kind {
        accepts,
        quoted: false,
        stand_in: None,
        parse,
    }
}

const fn text_kind<T>(
    accepts: &'static str,
    stand_in: Option<&'static str>,
    parse: fn(&str) -> Result<T, String>,
) -> Kind<T> {
    Kind {
        accepts,
        quoted: true,
        stand_in,
        parse,
    }
}

/// The text, if it is sound.
fn keep(text: &str, sound: bool, why: &str) -> Result<String, String> {
    if sound {
        Ok(text.to_owned())
    } else {
        Err(why.to_owned())
    }
}

/// Any text, the empty one too.
pub(crate) const TEXT: Kind<String> = text_kind("text", None, |text| Ok(text.to_owned()));

/// Text with at least one character.
pub(crate) const NONEMPTY: Kind<String> =
    text_kind("text of at least one character", None, |text| match text {
        "" => Err("is empty".to_owned()),
        _ => Ok(text.to_owned()),
    });

/// The status of a success.
pub(crate) const SUCCESS: Kind<StatusCode> = kind("200 to 299", |text| {
    text.parse::<StatusCode>()
        .ok()
        .filter(StatusCode::is_success)
        .ok_or_else(|| "is no status of a success".to_owned())
});

/// A part of a request.
pub(crate) const FIELD: Kind<Field> = text_kind(
    "header:NAME, json:/pointer, form:name, query:name or body",
    Some("body"),
    |text| text.parse().map_err(|_| "is no key expression".to_owned()),
);

/// A second key.
pub(crate) const REPLAY: Kind<Replay> = text_kind(
    "signature, header:NAME, json:/pointer, form:name, query:name or body",
    Some("body"),
    |text| match text {
        "signature" => Ok(Replay::Signature),
        _ => (FIELD.parse)(text).map(Replay::Field),
    },
);

/// A pattern of event types.
pub(crate) const PATTERN: Kind<String> = text_kind(
    "an event type, * for any run of characters, ! in front to exclude",
    Some("*"),
    |text| match text.strip_prefix('!').unwrap_or(text) {
        "" => Err("is no pattern".to_owned()),
        _ => Ok(text.to_owned()),
    },
);

/// Name of a source or a target.
pub(crate) const NAME: Kind<String> = text_kind(NAME_ACCEPTS, Some("unset"), |text| {
    keep(text, is_name(text), "is no name")
});

/// What a name of a source or a target is made of.
pub(crate) const NAME_ACCEPTS: &str =
    "1 to 63 lower-case letters, digits and -, beginning with a letter or digit";

/// `[a-z0-9][a-z0-9-]{0,62}`.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}

/// Name of a secret; it becomes a label in metrics and is stored beside events.
pub(crate) const SECRET_NAME: Kind<String> = text_kind(
    "1 to 63 letters, digits, -, _ and .",
    Some("unset"),
    |text| keep(text, is_secret_name(text), "is no name for a secret"),
);

/// `[A-Za-z0-9_.-]{1,63}`.
pub(crate) fn is_secret_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use std::fmt::Debug;

    /// Texts that are read as these values, texts that are refused, and the stand-in.
    pub(super) fn check<T: Debug + PartialEq>(kind: &Kind<T>, good: &[(&str, T)], bad: &[&str]) {
        for (text, expected) in good {
            assert_eq!((kind.parse)(text).as_ref(), Ok(expected), "{text}");
        }
        for text in bad {
            assert!(
                (kind.parse)(text).is_err(),
                "{text}: {:?}",
                (kind.parse)(text)
            );
        }
        if let Some(stand_in) = kind.stand_in {
            assert!(
                (kind.parse)(stand_in).is_ok(),
                "{stand_in} must satisfy its own kind"
            );
        }
    }

    #[test]
    fn names_and_headers() {
        let long = "a".repeat(63);
        check(
            &NAME,
            &[
                ("a", "a".to_owned()),
                ("0-b", "0-b".to_owned()),
                (&long, long.clone()),
            ],
            &["", "-a", "A", "a_b", "a.b", "ä", &"a".repeat(64)],
        );
        check(
            &SECRET_NAME,
            &[("Old_1.b-c", "Old_1.b-c".to_owned())],
            &["", "a b", "ä"],
        );
        check(
            &HEADER,
            &[("X-A", HeaderName::from_static("x-a"))],
            &["", "X A", "X:", "ä"],
        );
        check(
            &HEADER_VALUE,
            &[("a b", HeaderValue::from_static("a b"))],
            &[" a", "a ", "a\nb"],
        );
        check(
            &PATTERN,
            &[("!a", "!a".to_owned()), ("*", "*".to_owned())],
            &["", "!"],
        );
        check(&NONEMPTY, &[("a", "a".to_owned())], &[""]);
    }

    #[test]
    fn successes() {
        check(
            &SUCCESS,
            &[("200", StatusCode::OK), ("204", StatusCode::NO_CONTENT)],
            &["199", "302", "500", "ok", ""],
        );
    }

    #[test]
    fn the_other_stand_ins_satisfy_their_kinds() {
        check(&TEMPLATE, &[], &["{x}", "{"]);
        check(&FIELD, &[("body", Field::Body)], &["x", "json:a"]);
    }
}

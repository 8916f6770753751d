//! Bodies as they may have been when they were signed: what proxies, frameworks and editors do to one on its way. Each
//! has the words for it, and what to do about it.

use super::capture::{Capture, Oddity};
use super::fix::Fix;
use super::json_bodies;
use crate::extract::{json_stringify, pairs};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Bytes of all bodies that are made; a larger body gets fewer of them.
const BYTES_MAX: usize = 32 << 20;

/// A body that may have been signed.
#[derive(Clone, Debug)]
pub(super) struct Altered {
    /// Continues "the signature is right for the body".
    pub(super) words: &'static str,
    /// What to do.
    pub(super) fix: Fix,
    /// It.
    pub(super) body: Bytes,
}

const PASS_ON: &str = "pass the body on byte for byte: something before hookgate (a proxy, a framework, the tool that \
                       captured it) parses it and writes it anew";
const EDITED: &str = "look at how the request was captured: editors and shells change line ends and the end of a \
                      file; if it arrived so, a proxy changes it";
/// Every body that is another than the one captured, most likely first.
pub(super) fn altered(capture: &Capture) -> Vec<Altered> {
    let body = &capture.body[..];
    let mut made = Made {
        altered: Vec::new(),
        original: capture.body.clone(),
        bytes: 0,
    };
    let edited = || Fix::action(EDITED);
    for oddity in &capture.oddities {
        if let Oddity::Longer { whole, .. } = oddity {
            let words = "with the bytes behind Content-Length";
            made.add(words, &edited, || Some(whole.to_vec()));
            let words = "with the bytes behind Content-Length, and lines that end in LF, not CRLF";
            made.add(words, &edited, || replaced(whole, b"\r\n", b"\n"));
        }
    }
    line_ends(&mut made, body);
    made.add(
        "as JSON.stringify writes it",
        &|| {
            Fix::stringified(
                "if it arrived at hookgate as it was captured, sign over {json_stringify} in place of {body}; \
                 otherwise pass it on byte for byte",
            )
        },
        || json_stringify(body).ok().map(std::borrow::Cow::into_owned),
    );
    let pass_on = || Fix::action(PASS_ON);
    json_bodies::write_anew(body, |words, make| made.add(words, &pass_on, make));
    form(&mut made, body);
    made.add(
        "if it is taken as empty",
        &|| Fix::action("the sender signs without the body; put what it signs into `signed`"),
        || Some(Vec::new()),
    );
    made.altered
}

struct Made {
    altered: Vec<Altered>,
    original: Bytes,
    bytes: usize,
}

impl Made {
    fn add(
        &mut self,
        words: &'static str,
        fix: &dyn Fn() -> Fix,
        make: impl FnOnce() -> Option<Vec<u8>>,
    ) {
        if self.bytes + self.original.len() > BYTES_MAX {
            return;
        }
        let Some(body) = make() else { return };
        let known = self.altered.iter().any(|known| *known.body == body);
        if *self.original != body && !known {
            self.bytes += body.len();
            self.altered.push(Altered {
                words,
                fix: fix(),
                body: body.into(),
            });
        }
    }
}

fn line_ends(made: &mut Made, body: &[u8]) {
    let edited = || Fix::action(EDITED);
    let ended = |end: &[u8]| Some([body, end].concat());
    let started = |start: &[u8]| Some([start, body].concat());
    made.add("without the line end behind it", &edited, || {
        let cut = body
            .strip_suffix(b"\r\n")
            .or_else(|| body.strip_suffix(b"\n"));
        cut.map(<[u8]>::to_vec)
    });
    made.add("with a line feed behind it", &edited, || ended(b"\n"));
    made.add("with CR LF behind it", &edited, || ended(b"\r\n"));
    made.add("with lines that end in LF, not CRLF", &edited, || {
        replaced(body, b"\r\n", b"\n")
    });
    made.add("with lines that end in CRLF, not LF", &edited, || {
        replaced(
            &replaced(body, b"\r\n", b"\n").unwrap_or_else(|| body.to_vec()),
            b"\n",
            b"\r\n",
        )
    });
    made.add(
        "with lines that end in CRLF, not LF, and CR LF behind it",
        &edited,
        || Some([&replaced(body, b"\n", b"\r\n")?[..], b"\r\n"].concat()),
    );
    made.add("without the byte order mark before it", &edited, || {
        body.strip_prefix(BOM).map(<[u8]>::to_vec)
    });
    made.add("with a byte order mark before it", &edited, || started(BOM));
    made.add(
        "without the spaces and line ends around it",
        &edited,
        || Some(body.trim_ascii().to_vec()),
    );
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// `text` with one replaced by the other; none if it is not in it.
fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 16);
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
        found = true;
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    found.then_some(out)
}

fn form(made: &mut Made, body: &[u8]) {
    let pass_on = || Fix::action(PASS_ON);
    let is_form = !body.is_empty() && body.contains(&b'=') && body.iter().all(u8::is_ascii_graphic);
    if !is_form {
        return;
    }
    let fields: Vec<_> = pairs(body).collect();
    let borrowed = || fields.iter().map(|(name, value)| (&**name, &**value));
    made.add("with spaces written `%20`, not `+`", &pass_on, || {
        replaced(body, b"+", b"%20")
    });
    made.add("with spaces written `+`, not `%20`", &pass_on, || {
        replaced(body, b"%20", b"+")
    });
    made.add("as a form encoded anew (spaces as `+`)", &pass_on, || {
        Some(encode_form(borrowed(), true))
    });
    made.add("as a form encoded anew (spaces as `%20`)", &pass_on, || {
        Some(encode_form(borrowed(), false))
    });
}

/// Names and values, form-encoded (WHATWG URL 5.2).
pub(super) fn encode_form<'f>(
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    plus: bool,
) -> Vec<u8> {
    let encoded = |text: &[u8]| {
        let text = percent_encode(text, FORM).to_string();
        if plus { text.replace("%20", "+") } else { text }
    };
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    fields.join("&").into_bytes()
}

/// What a browser escapes in a form.
const FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'*')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

#[cfg(test)]
mod tests {
    use super::super::capture::raw;
    use super::*;

    fn made(body: &str) -> Vec<(&'static str, String)> {
        let capture = raw(format!("POST / HTTP/1.1\n\n{body}").as_bytes()).expect("a capture");
        let altered = altered(&capture).into_iter();
        altered
            .map(|altered| {
                let text = String::from_utf8_lossy(&altered.body).into_owned();
                (altered.words, text)
            })
            .collect()
    }

    #[test]
    fn each_body_is_made_once_and_is_another() {
        for body in [
            "",
            "{}",
            "a=b+c%20d",
            "{\"a\": \"é/\"}\r\n",
            "[1,\n2]\n",
            "x",
        ] {
            let made = made(body);
            for (index, (words, text)) in made.iter().enumerate() {
                assert_ne!(text, body, "{words}");
                let twice = made[..index].iter().any(|(_, other)| other == text);
                assert!(!twice, "{words} of {body:?}");
            }
        }
    }

    #[test]
    fn line_ends_and_forms() {
        let has = |body: &str, expected: &str| {
            let made = made(body);
            assert!(
                made.iter().any(|(_, text)| text == expected),
                "{body:?} {made:?}"
            );
        };
        has("a\r\nb\n", "a\nb\n");
        has("a\r\nb\n", "a\r\nb\r\n");
        has("a\n", "a");
        has("\u{feff}a", "a");
        has("a=b+c", "a=b%20c");
        has("a=b%2fc+d", "a=b%2Fc+d");
        has("{\"a\":1}", "{\"a\": 1}");
    }

    #[test]
    fn large_bodies_are_not_multiplied_without_end() {
        let body = "x".repeat(BYTES_MAX / 2 - 1);
        assert!(made(&body).len() <= 2);
    }
}

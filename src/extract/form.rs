//! Forms and queries (`application/x-www-form-urlencoded`, WHATWG URL 5.1): names and values, decoded. Bytes that
//! are not UTF-8, and percent signs that escape nothing, stay as they are.

use http::{HeaderMap, header::CONTENT_TYPE};
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// A name and its value.
pub type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The names and values of a form or a query, in their order.
pub fn pairs(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let pairs = text.split(|byte| *byte == b'&');
    pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        (decoded(name), decoded(value))
    })
}

/// The fields of a form body; None if the body is no form.
pub fn form_pairs<'a>(
    headers: &HeaderMap,
    body: &'a [u8],
) -> Option<impl Iterator<Item = Pair<'a>>> {
    self::body(headers, body).map(pairs)
}

/// The body, if its only Content-Type says that it is a form.
pub(super) fn body<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a [u8]> {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (content_type, more) = (types.next()?, types.next());
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next()?;
    (more.is_none() && essence.trim_ascii().eq_ignore_ascii_case(FORM)).then_some(body)
}

/// The first value of `name`.
pub(super) fn value<'a>(text: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    pairs(text).find_map(|(found, value)| (*found == *name.as_bytes()).then_some(value))
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'+') {
        let spaced: Vec<u8> = text
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        Cow::Owned(percent_decode(&spaced).collect())
    } else {
        percent_decode(text).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn pairs_are_decoded_in_order() {
        let text = b"a=1&a=2&&b+c=x%20y+z&empty=&flag&=v&k=a=b&bad=%ff%zz&%69d=7";
        let expected: [(&[u8], &[u8]); 9] = [
            (b"a", b"1"),
            (b"a", b"2"),
            (b"b c", b"x y z"),
            (b"empty", b""),
            (b"flag", b""),
            (b"", b"v"),
            (b"k", b"a=b"),
            (b"bad", b"\xff%zz"),
            (b"id", b"7"),
        ];
        let found: Vec<_> = pairs(text).collect();
        let found: Vec<(&[u8], &[u8])> = found.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(found, expected);
        assert_eq!(pairs(b"").count(), 0);
    }

    #[test]
    fn only_a_form_is_a_form() {
        let cases: [(&[&str], bool); 6] = [
            (&["application/x-www-form-urlencoded"], true),
            (&["Application/X-WWW-Form-Urlencoded ; charset=UTF-8"], true),
            (&["application/json"], false),
            (&["application/x-www-form-urlencoded2"], false),
            (&[], false),
            (
                &["application/x-www-form-urlencoded", "application/json"],
                false,
            ),
        ];
        for (types, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(CONTENT_TYPE, HeaderValue::from_static(value));
            }
            assert_eq!(body(&headers, b"a=1").is_some(), expected, "{types:?}");
        }
    }
}

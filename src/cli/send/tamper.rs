//! Spoils a signed request as somebody without the secret would: another body under the old signature where the
//! signature covers the body, and another signature or token where it does not. Nothing is left that any scheme of
//! the source could take for its own.

use super::generic::FORM;
use crate::{
    config::{
        Source,
        verify::{Proof, Scheme},
    },
    extract::{Field, Parts},
    verify::Outgoing,
};
use bytes::Bytes;
use http::header::CONTENT_TYPE;

/// `request`, spoilt for every scheme of the source; none if the source asks for no proof.
pub(super) fn forged(source: &Source, mut request: Outgoing) -> Option<Outgoing> {
    let schemes = source.verify.schemes();
    let in_body = |scheme: &&Scheme| !is_token(scheme) && scheme.covers_body();
    if schemes.is_empty() {
        return None;
    }
    for scheme in schemes.iter().filter(|scheme| !in_body(scheme)) {
        for field in places(scheme) {
            flip(field, &mut request);
        }
    }
    if schemes.iter().any(|scheme| in_body(&scheme)) {
        let is_form = request.headers.get(CONTENT_TYPE) == Some(&FORM);
        request.body = if is_form {
            more_form(&request.body)
        } else {
            changed(&request.body)
        };
    }
    Some(request)
}

fn is_token(scheme: &Scheme) -> bool {
    matches!(scheme.proof, Proof::Token(_))
}

/// Where a scheme's signature or token may stand.
fn places(scheme: &Scheme) -> &[Field] {
    match &scheme.proof {
        Proof::Signature(signature) => &signature.fields,
        Proof::Jwt(jwt) => std::slice::from_ref(&jwt.field),
        Proof::Token(token) => std::slice::from_ref(&token.field),
    }
}

/// Puts another value where one stands.
fn flip(field: &Field, request: &mut Outgoing) {
    let parts = Parts {
        headers: &request.headers,
        query: request.query.as_deref(),
        body: &request.body,
        members: None,
    };
    if let Some(value) = field.bytes(parts) {
        let other = flip_last(&value);
        request
            .put(field, &other)
            .expect("it stands there, and a digit fits wherever its neighbours do");
    }
}

/// Another body that is as good as the first: one more field in a JSON object. White space would not do,
/// since a signature over re-serialised JSON does not see it.
fn changed(body: &Bytes) -> Bytes {
    match body.strip_prefix(b"{") {
        Some(rest) if rest.trim_ascii_start().starts_with(b"}") => {
            [b"{\"forged\":true".as_slice(), rest].concat().into()
        }
        Some(rest) => [b"{\"forged\":true,".as_slice(), rest].concat().into(),
        None => [body, b" forged".as_slice()].concat().into(),
    }
}

/// One more field in a form.
fn more_form(body: &Bytes) -> Bytes {
    let between: &[u8] = if body.is_empty() { b"" } else { b"&" };
    [body, between, b"forged=true"].concat().into()
}

/// The same text with another last character, before what pads it (RFC 4648 3.2).
fn flip_last(text: &[u8]) -> Vec<u8> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let mut other = text.to_vec();
    match text.len().checked_sub(padding + 1) {
        Some(last) => other[last] = if other[last] == b'0' { b'1' } else { b'0' },
        None => other.push(b'0'),
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_body_is_another_one_of_its_kind() {
        let json = [
            (r#"{"a":1}"#, r#"{"forged":true,"a":1}"#),
            ("{ }", r#"{"forged":true }"#),
            ("{}", r#"{"forged":true}"#),
            ("[1]", "[1] forged"),
            ("", " forged"),
        ];
        for (body, forged) in json {
            assert_eq!(changed(&Bytes::from(body)), forged);
        }
        for (body, forged) in [("a=1", "a=1&forged=true"), ("", "forged=true")] {
            assert_eq!(more_form(&Bytes::from(body)), forged);
        }
    }

    #[test]
    fn a_forged_token_is_another_one() {
        let cases = [
            ("abc", "ab0"),
            ("ab0", "ab1"),
            ("YQ==", "Y0=="),
            ("==", "==0"),
            ("", "0"),
        ];
        for (token, other) in cases {
            assert_eq!(flip_last(token.as_bytes()), other.as_bytes());
        }
    }
}

//! Texts that a sender makes of all fields of a form or a query before it signs them.

use super::Request;
use crate::config::template::Filter;
use crate::extract::{form_pairs, pairs};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Fields of the largest form that is taken: a body of nothing but names would take many times its size to sort.
const FIELDS_MAX: usize = 10_000;

pub(super) fn form(request: &Request<'_>, filter: Option<&Filter>) -> Option<Vec<u8>> {
    let mut fields: Vec<_> = form_pairs(request.headers, request.body)?
        .take(FIELDS_MAX + 1)
        .collect();
    if fields.len() > FIELDS_MAX {
        return None;
    }
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

/// A name and a value.
type FormField<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// An array of strings as PHP's `serialize` writes it. PHP keeps the last of fields with one name, so a form with two
/// is nothing that anybody could have signed alike.
fn php_serialized(fields: &[FormField<'_>]) -> Option<Vec<u8>> {
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
pub(super) fn sorted_query(query: &str) -> Vec<u8> {
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
pub(super) fn atlassian_qsh(path: &str, request: &Request<'_>) -> Vec<u8> {
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

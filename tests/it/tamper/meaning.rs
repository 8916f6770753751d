//! What a request says to its scheme, read from the scheme alone: two requests that say the same may both pass, and any
//! other change has to be refused. Hex is the same in either case, and a form is its fields, however they are written;
//! bits that base64 leaves over, and all else about its spelling, are not forgiven.

use super::played::Played;
use hookgate::{
    config::{
        template::{Base, Filter, Template, Value},
        verify::{
            Encoding, Expected, Prefix, Proof, Signature, Subject, TimePlace, Token, TokenForm,
        },
    },
    extract::{Field, Parts, form_pairs, json_stringify, pairs},
    verify::Outgoing,
};

/// Value by value; `None` is one that is not there, or there twice.
pub(super) type Meaning = Vec<Option<Vec<u8>>>;

/// What the request says to the preset's first scheme, which the vendor's own request is signed by.
pub(super) fn meaning(played: &Played, request: &Outgoing) -> Meaning {
    let scheme = played.scheme();
    let mut said = Vec::new();
    match &scheme.proof {
        Proof::Token(token) => said.push(once(&token.field, request).map(|at| spelled(token, at))),
        Proof::Jwt(jwt) => {
            said.push(once(&jwt.field, request).map(unpadded));
            for (_, claim) in &jwt.claims {
                add_covered(claim, request, &mut said);
            }
        }
        Proof::Signature(signature) => add_signed(signature, request, &mut said),
    }
    for condition in &scheme.when {
        let value = match &condition.subject {
            Subject::Method => Some(request.method.as_str().into()),
            Subject::Field(field) => once(field, request),
        };
        said.push(match &condition.expected {
            Expected::Is(_) => value,
            Expected::Present | Expected::Absent => Some(vec![u8::from(value.is_some())]),
        });
        if let Expected::Is(template) = &condition.expected {
            add_covered(template, request, &mut said);
        }
    }
    said
}

fn add_signed(signature: &Signature, request: &Outgoing, said: &mut Meaning) {
    said.extend(claims(signature, request).into_iter().map(Some));
    add_covered(&signature.signed, request, said);
    if let Some(field) = &signature.key_id {
        said.push(once(field, request));
    }
    let time = signature.timestamp.as_ref().map(|time| &time.place);
    if let Some(TimePlace::Field(field)) = time {
        said.push(once(field, request));
    }
    let Some(named) = &signature.named_headers else {
        return;
    };
    let list = match &named.place {
        TimePlace::Field(field) => once(field, request),
        TimePlace::Element(prefix) => claims(signature, request)
            .into_iter()
            .find_map(|claim| claim.strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec)),
        TimePlace::FirstElement => None,
    };
    let list = list.map(|list| String::from_utf8_lossy(&list).to_ascii_lowercase());
    for name in list.iter().flat_map(|list| list.split(&named.split)) {
        let header = name.trim().parse().ok().map(Field::Header);
        said.push(header.and_then(|header| once(&header, request)));
    }
    said.push(list.map(String::into_bytes));
}

/// The elements where signatures are, in all places together.
pub(super) fn claims(signature: &Signature, request: &Outgoing) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for field in &signature.fields {
        match field {
            Field::Header(name) => {
                let lines = request.headers.get_all(name).iter();
                values.extend(lines.map(|line| line.as_bytes().to_vec()));
            }
            field => values.extend(once(field, request)),
        }
    }
    let mut claims: Vec<_> = values
        .iter()
        .flat_map(|value| elements(signature, value))
        .map(|element| normal(signature, element))
        .collect();
    if signature.repeated {
        claims.sort();
        claims.dedup();
    }
    claims
}

/// The elements of one value.
pub(super) fn elements<'v>(signature: &Signature, value: &'v [u8]) -> Vec<&'v [u8]> {
    let Some(separator) = &signature.split else {
        return vec![value];
    };
    assert_eq!(separator.len(), 1, "presets separate by one character");
    let parts = value.split(|byte| *byte == separator.as_bytes()[0]);
    let trimmed = parts.map(<[u8]>::trim_ascii);
    trimmed.filter(|part| !part.is_empty()).collect()
}

/// Where the signature begins in an element; none if it is no signature of this scheme.
pub(super) fn begins(signature: &Signature, element: &[u8]) -> Option<usize> {
    match &signature.prefix {
        Prefix::Text(text) => element.starts_with(text.as_bytes()).then_some(text.len()),
        Prefix::KeyId(before, after) => {
            let rest = element.strip_prefix(before.as_bytes())?;
            let after = after.as_bytes();
            let at = rest.windows(after.len()).position(|found| found == after)?;
            Some(before.len() + at + after.len())
        }
    }
}

/// An element in one spelling.
fn normal(signature: &Signature, element: &[u8]) -> Vec<u8> {
    let mut element = element.to_vec();
    let list = match &signature.named_headers {
        Some(named) => match &named.place {
            TimePlace::Element(prefix) if element.starts_with(prefix.as_bytes()) => {
                Some(prefix.len())
            }
            _ => None,
        },
        None => None,
    };
    if let Some(at) = list {
        element[at..].make_ascii_lowercase();
    } else if let Some(at) = begins(signature, &element) {
        match signature.encoding {
            Encoding::Hex => element[at..].make_ascii_lowercase(),
            Encoding::Base64 => {}
            Encoding::Base64Url => return unpadded(element),
        }
    }
    element
}

/// Padding is left out by some senders of base64url (RFC 4648 3.2).
fn unpadded(mut text: Vec<u8>) -> Vec<u8> {
    while text.last() == Some(&b'=') {
        text.pop();
    }
    text
}

/// The name of an authentication scheme is read without case, and any number of spaces follows it (RFC 9110 11.1).
fn spelled(token: &Token, value: Vec<u8>) -> Vec<u8> {
    let scheme = token.prefix.trim_end_matches(' ').len();
    if token.form == TokenForm::Plain || value.get(scheme) != Some(&b' ') {
        return value;
    }
    let (scheme, rest) = value.split_at(scheme);
    [&scheme.to_ascii_lowercase(), rest.trim_ascii_start()].join(&b' ')
}

fn add_covered(template: &Template, request: &Outgoing, said: &mut Meaning) {
    said.extend(template.values().map(|value| covered(value, request)));
}

/// What a value of a template takes from the request.
fn covered(value: &Value, request: &Outgoing) -> Option<Vec<u8>> {
    let query = request.query.as_deref().map(str::as_bytes);
    match &value.base {
        Base::Body => Some(request.body.to_vec()),
        Base::JsonStringify => Some(json_stringify(&request.body).ok()?.into_owned()),
        Base::Field(field) => once(field, request),
        Base::Method => Some(request.method.as_str().into()),
        Base::Form => form(&value.filters, request),
        Base::Query if value.filters.contains(&Filter::Sorted) => Some(by_name(query?)),
        // An escape may be in either case where it is undone.
        Base::Url if is_unescaped(&value.filters) => {
            Some(percent_encoding::percent_decode(query?).collect())
        }
        Base::Query | Base::Url => query.map(<[u8]>::to_vec),
        Base::AtlassianQsh => {
            let query = by_name(query.unwrap_or_default());
            Some([request.method.as_str().as_bytes(), &query].concat())
        }
        // Of the source, or seen to where they are.
        Base::Timestamp
        | Base::PublicUrl
        | Base::Path
        | Base::Secret
        | Base::Param(_)
        | Base::NamedHeaders
        | Base::NamedHeadersList => None,
    }
}

fn is_unescaped(filters: &[Filter]) -> bool {
    let unescapes = |filter: &Filter| matches!(filter, Filter::Unescape(_));
    filters.iter().any(unescapes)
}

/// The fields of a form, in order. The text that `sorted` makes has nothing between a name and its value, so `a=bc` and
/// `ab=c` are signed alike by those vendors; PHP's text says where each begins, and leaves one field out.
fn form(filters: &[Filter], request: &Outgoing) -> Option<Vec<u8>> {
    let mut fields: Vec<_> = form_pairs(&request.headers, &request.body)?.collect();
    fields.sort();
    for filter in filters {
        if let Filter::PhpSerialized(but) = filter {
            fields.retain(|(name, _)| **name != *but.as_bytes());
            return Some(format!("{fields:?}").into_bytes());
        }
    }
    fields.dedup();
    let texts = fields.iter().flat_map(|(name, value)| [&**name, &**value]);
    Some(texts.collect::<Vec<_>>().concat())
}

/// The pairs of a query in order of their names.
fn by_name(query: &[u8]) -> Vec<u8> {
    let mut fields: Vec<_> = pairs(query).collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    format!("{fields:?}").into_bytes()
}

/// The value that stands there once.
pub(super) fn once(field: &Field, request: &Outgoing) -> Option<Vec<u8>> {
    let named = |name: &str, fields: &mut dyn Iterator<Item = hookgate::extract::Pair<'_>>| {
        let mut found = fields.filter(|(known, _)| **known == *name.as_bytes());
        let (_, value) = found.next()?;
        found.next().is_none().then(|| value.into_owned())
    };
    let value = match field {
        Field::Header(name) => {
            let mut lines = request.headers.get_all(name).iter();
            let line = lines.next()?;
            lines.next().is_none().then(|| line.as_bytes().to_vec())
        }
        Field::Query(name) => named(name, &mut pairs(request.query.as_deref()?.as_bytes())),
        Field::Form(name) => named(name, &mut form_pairs(&request.headers, &request.body)?),
        Field::Json(_) | Field::Body => {
            let parts = Parts {
                members: None,
                headers: &request.headers,
                query: request.query.as_deref(),
                body: &request.body,
            };
            field.bytes(parts).map(std::borrow::Cow::into_owned)
        }
    };
    value.filter(|value| !value.is_empty())
}

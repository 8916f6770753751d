//! What somebody without the secret may send instead: signatures of any length and number, headers twice, missing, not
//! text or huge, another method, nothing in the body.

use super::changes::{Change, encode, text, written};
use super::meaning::{elements, once};
use super::played::{Played, SIGNATURES_MAX};
use hookgate::{
    config::verify::{Encoding, Proof},
    extract::Field,
    verify::Outgoing,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Bytes of a header that no limit of the HTTP side has seen yet.
const HUGE: usize = 1 << 20;

/// Signatures in one header.
const MANY: usize = 1_000;

/// With another value in the place of the signature. Each is refused, whatever the scheme.
pub(super) fn on_the_signature(played: &Played) -> Vec<Change> {
    let value = once(played.place(), &played.request).expect("signed");
    let at = text(played, &value);
    let (before, signature) = value.split_at(at.start);
    let long: Vec<u8> = signature.iter().copied().cycle().take(10_000).collect();
    let huge: Vec<u8> = signature.iter().copied().cycle().take(HUGE).collect();
    let cut = &signature[..signature.len() - 1];
    let mut values = vec![
        ("nothing", Vec::new()),
        ("no signature", before.to_vec()),
        ("one character", [before, b"a"].concat()),
        ("one character alone", b"a".to_vec()),
        ("10,000 characters", [before, &long].concat()),
        ("10,000 characters alone", long.clone()),
        ("10,000 characters behind it", [&value, &long[..]].concat()),
        (
            "10,000 characters before it",
            [before, &long, signature].concat(),
        ),
        ("1 MiB", [before, &huge].concat()),
        ("not UTF-8", b"\xff\xfe\x80".to_vec()),
        ("not UTF-8 behind it", [&value, &b"\xff"[..]].concat()),
        ("one character less", [before, cut].concat()),
        ("twice in a row", [&value, signature].concat()),
        (
            "1,000, the right one last",
            many(played, &value, MANY, true),
        ),
        (
            "1,000, the right one first",
            many(played, &value, MANY, false),
        ),
    ];
    values.extend(without_algorithm(played, &value));
    let changed = values.into_iter().map(|(what, value)| {
        let mut changed = played.request.clone();
        changed
            .put(played.place(), &value)
            .expect("it has its place");
        (format!("signature: {what}"), changed)
    });
    let repeated = many_lines(played, MANY).map(|change| ("1,000 lines".to_owned(), change));
    changed.chain(repeated).collect()
}

/// Tokens that say of themselves that nothing signs them (RFC 7518 3.6).
fn without_algorithm(played: &Played, value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let Proof::Jwt(jwt) = &played.scheme().proof else {
        return Vec::new();
    };
    let parts = written(played, value);
    let payload = &value[parts[1].0.clone()];
    let header = encode(Encoding::Base64Url, br#"{"alg":"none","typ":"JWT"}"#);
    let unsigned = [
        jwt.prefix.as_bytes(),
        header.as_bytes(),
        b".",
        payload,
        b".",
    ]
    .concat();
    let signature = &value[parts[2].0.clone()];
    vec![
        ("no algorithm", unsigned.clone()),
        ("no algorithm, signed", [&unsigned, signature].concat()),
    ]
}

/// `count` elements, all but one of them wrong. Where there is no list they are written like one.
pub(super) fn many(played: &Played, value: &[u8], count: usize, right_last: bool) -> Vec<u8> {
    let Proof::Signature(signature) = &played.scheme().proof else {
        return vec![value; count].join(&b","[..]);
    };
    let separator = signature.split.as_deref().unwrap_or(",").as_bytes();
    let mut head = elements(signature, value);
    let right = head.pop().expect("signed");
    let wrong = wrong(played, value);
    let wrongs = vec![&wrong[..]; count - 1 - head.len()];
    let all = if right_last {
        [head, wrongs, vec![right]]
    } else {
        [head, vec![right], wrongs]
    };
    all.concat().join(separator)
}

/// The right element with its last byte changed: as well formed as the right one.
fn wrong(played: &Played, value: &[u8]) -> Vec<u8> {
    let Proof::Signature(signature) = &played.scheme().proof else {
        return value.to_vec();
    };
    let element = elements(signature, value).pop().expect("signed").to_vec();
    let at = element.len() - (value.len() - text(played, value).start);
    let last = element[at];
    let mut element = element;
    element[at] = if last == b'0' { b'1' } else { b'0' };
    element
}

/// Lines of the signature's header, the right one last, where it may be there more than once.
pub(super) fn many_lines(played: &Played, count: usize) -> Option<Outgoing> {
    let (Proof::Signature(signature), Field::Header(name)) =
        (&played.scheme().proof, played.place())
    else {
        return None;
    };
    if !signature.repeated {
        return None;
    }
    let mut request = played.request.clone();
    let right = request.headers.remove(name)?;
    let wrong = HeaderValue::from_bytes(&wrong(played, right.as_bytes())).ok()?;
    for _ in 1..count {
        request.headers.append(name, wrong.clone());
    }
    request.headers.append(name, right);
    Some(request)
}

/// As many signatures as are looked at, the right one last; and one more. None where a request has but one.
pub(super) fn on_the_limit(played: &Played) -> Option<[Outgoing; 2]> {
    let Proof::Signature(signature) = &played.scheme().proof else {
        return None;
    };
    let with = |count| {
        if signature.split.is_none() {
            return many_lines(played, count);
        }
        let value = once(played.place(), &played.request)?;
        let mut request = played.request.clone();
        let value = many(played, &value, count, true);
        request.put(played.place(), &value).ok()?;
        Some(request)
    };
    Some([with(SIGNATURES_MAX)?, with(SIGNATURES_MAX + 1)?])
}

/// On every header, the query, the method and the body; refused where the scheme covers what is changed. The header of
/// the signature is not sent with several where that is how the vendor sends them (see [`on_the_limit`]).
pub(super) fn on_the_rest(played: &Played) -> Vec<Change> {
    let request = &played.request;
    let (repeated, list) = match &played.scheme().proof {
        Proof::Signature(signature) => (signature.repeated, signature.split.is_some()),
        Proof::Jwt(_) | Proof::Token(_) => (false, false),
    };
    let mut changes = Vec::new();
    for (name, value) in &request.headers {
        let mut add = |what: &str, change: &dyn Fn(&mut HeaderMap)| {
            let mut changed = request.clone();
            change(&mut changed.headers);
            changes.push((format!("{name}: {what}"), changed));
        };
        let put = |headers: &mut HeaderMap, name: &HeaderName, value: &[u8]| {
            let value = HeaderValue::from_bytes(value).expect("no control characters");
            headers.insert(name, value);
        };
        add("missing", &|headers| {
            headers.remove(name);
        });
        add("empty", &|headers| put(headers, name, b""));
        if !(is_place(played, name) && repeated) {
            add("twice", &|headers| {
                headers.append(name, value.clone());
            });
            add("another one behind it", &|headers| {
                headers.append(name, HeaderValue::from_static("1"));
            });
            add("another one before it", &|headers| {
                put(headers, name, b"1");
                headers.append(name, value.clone());
            });
        }
        if !(is_place(played, name) && list) {
            add("twice in one", &|headers| {
                put(
                    headers,
                    name,
                    &[value.as_bytes(), value.as_bytes()].join(&b','),
                );
            });
        }
        add("not UTF-8", &|headers| put(headers, name, b"\xff\xfe"));
        add("huge", &|headers| put(headers, name, &vec![b'1'; HUGE]));
    }
    let mut add = |what: &str, change: &dyn Fn(&mut Outgoing)| {
        let mut changed = request.clone();
        change(&mut changed);
        changes.push((what.to_owned(), changed));
    };
    for method in [Method::GET, Method::PUT] {
        add(method.as_str(), &|changed| changed.method = method.clone());
    }
    add("no query", &|changed| changed.query = None);
    add("another query", &|changed| {
        changed.query = Some("a=1".to_owned());
    });
    let query = request.query.clone().unwrap_or_default();
    add("query twice", &|changed| {
        changed.query = Some(format!("{query}&{query}"));
    });
    add("empty body", &|changed| changed.body = Vec::new().into());
    add("body twice", &|changed| {
        changed.body = [&request.body[..], &request.body].concat().into();
    });
    for end in ["\n", "\r\n", " ", "\0", "&a=1", "&"] {
        add(&format!("body and {end:?}"), &|changed| {
            changed.body = [&request.body[..], end.as_bytes()].concat().into();
        });
    }
    add("a mark before the body", &|changed| {
        changed.body = ["\u{feff}".as_bytes(), &request.body].concat().into();
    });
    add("no header at all", &|changed| changed.headers.clear());
    changes
}

/// Whether this header is where the signature is.
pub(super) fn is_place(played: &Played, name: &HeaderName) -> bool {
    matches!(played.place(), Field::Header(place) if place == name)
}

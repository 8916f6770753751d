//! Where the request may carry its signature, and how it may be written there: what a header's value says by itself,
//! compared with what is configured.

use super::capture::Capture;
use super::fix::{Fix, scalar};
use super::search::{Group, Step};
use super::tokens::{in_query, jwt_step, jwts, tokens};
use super::trial::{Trial, split};
use crate::config::verify::{Algorithm, Encoding, Hash, Prefix, Proof, Signature};
use crate::extract::Field;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_PAD_INDIFFERENT};
use http::HeaderName;

/// Readings of one request that are tried.
const STEPS_MAX: usize = 48;

/// Characters of a prefix that is told from a signature.
const PREFIX_MAX: usize = 24;

/// A signature as it may stand in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    header: HeaderName,
    repeated: bool,
    split: Option<&'static str>,
    prefix: String,
    encoding: Encoding,
    algorithm: Algorithm,
}

/// Every way to read a signature that differs from the configured one.
pub(super) fn steps(trial: &Trial, capture: &Capture) -> Vec<Step> {
    let steps: Vec<Step> = match &trial.scheme.proof {
        Proof::Signature(signature) => headers(signature.fields.iter(), capture)
            .into_iter()
            .flat_map(|header| of_header(signature, &header, capture))
            .filter_map(|reading| step(signature, reading))
            .collect(),
        Proof::Jwt(jwt) => headers(std::iter::once(&jwt.field), capture)
            .into_iter()
            .flat_map(|header| jwts(&header, capture))
            .filter_map(|(header, prefix, hash)| jwt_step(trial, &header, prefix, hash))
            .collect(),
        Proof::Token(token) => headers(std::iter::once(&token.field), capture)
            .into_iter()
            .flat_map(|header| tokens(token, &header, capture))
            .chain(in_query(token, capture))
            .collect(),
    };
    steps.into_iter().take(STEPS_MAX).collect()
}

/// Whether a header's value can be a signature at all.
pub(super) fn looks_signed(name: &HeaderName, capture: &Capture) -> bool {
    let named = ["sig", "hmac", "digest", "hash"];
    let named = named.iter().any(|part| name.as_str().contains(part));
    let all = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let values = capture.headers.get_all(name).iter();
    let written = |value: &[u8]| {
        let algorithms = all.map(Algorithm::Hmac);
        !read(value, &algorithms).is_empty()
    };
    named && values.into_iter().any(|value| written(value.as_bytes()))
}

/// The configured headers, then all others that may hold something of this kind, those with a telling name first.
fn headers<'f>(configured: impl Iterator<Item = &'f Field>, capture: &Capture) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = configured
        .filter_map(|field| match field {
            Field::Header(name) => Some(name.clone()),
            _ => None,
        })
        .filter(|name| capture.headers.contains_key(name))
        .collect();
    let telling = |name: &HeaderName| {
        let parts = [
            "sig", "hmac", "digest", "hash", "token", "auth", "key", "secret",
        ];
        !parts.iter().any(|part| name.as_str().contains(part))
    };
    let mut others: Vec<HeaderName> = capture
        .headers
        .keys()
        .filter(|name| !names.contains(name) && !PLAIN.contains(&name.as_str()))
        .cloned()
        .collect();
    others.sort_by_key(telling);
    names.extend(others);
    names
}

/// Headers that carry no signature.
const PLAIN: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "user-agent",
    "accept",
    "accept-encoding",
    "cookie",
    "connection",
    "date",
    "traceparent",
    "tracestate",
    "x-request-id",
    "transfer-encoding",
    "content-encoding",
];

fn of_header(signature: &Signature, header: &HeaderName, capture: &Capture) -> Vec<Reading> {
    let algorithms = like(signature.algorithm);
    let values: Vec<&[u8]> = capture
        .headers
        .get_all(header)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    // Equal lines are no list: the second one was added on the way.
    let are_different = values.iter().any(|value| *value != values[0]);
    let mut readings = Vec::new();
    for value in &values {
        for (split, prefix, encoding, algorithm) in read(value, &algorithms) {
            let reading = Reading {
                header: header.clone(),
                repeated: are_different || signature.repeated,
                split,
                prefix,
                encoding,
                algorithm,
            };
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    readings
}

/// Algorithms that take the same kind of key.
fn like(algorithm: Algorithm) -> Vec<Algorithm> {
    let all = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
    match algorithm {
        Algorithm::Hmac(_) => all.map(Algorithm::Hmac).to_vec(),
        Algorithm::Hash(_) => all.map(Algorithm::Hash).to_vec(),
        Algorithm::Rsa(_) => all.map(Algorithm::Rsa).to_vec(),
        other => vec![other],
    }
}

type Read = (Option<&'static str>, String, Encoding, Algorithm);

/// Each way in which a value holds a signature of one of these algorithms.
fn read(value: &[u8], algorithms: &[Algorithm]) -> Vec<Read> {
    let mut found = Vec::new();
    for separator in [None, Some(","), Some(";"), Some(" ")] {
        let elements = split(value, separator);
        if !is_list(separator, &elements) {
            continue;
        }
        for element in elements.iter().take(8) {
            for prefix in prefixes(element) {
                let text = &element[prefix.len()..];
                for (encoding, length) in decodings(text) {
                    for algorithm in algorithms.iter().filter(|known| is_length(**known, length)) {
                        let read = (separator, prefix.clone(), encoding, *algorithm);
                        if !found.contains(&read) {
                            found.push(read);
                        }
                    }
                }
            }
        }
    }
    found
}

/// Whether a value that is split so may have been meant so: `t=1, v1=2` is no list of words, and `v1,a v1,b` none
/// between commas.
fn is_list(separator: Option<&str>, elements: &[Vec<u8>]) -> bool {
    match separator {
        None => true,
        Some(" ") => {
            elements.len() > 1
                && !elements
                    .iter()
                    .any(|element| element.ends_with(b",") || element.ends_with(b";"))
        }
        Some(_) => elements.len() > 1 && !elements.iter().any(|element| element.contains(&b' ')),
    }
}

/// Nothing, and every beginning up to something that ends a prefix.
pub(super) fn prefixes(element: &[u8]) -> Vec<String> {
    let mut prefixes = vec![String::new()];
    let start = &element[..element.len().min(PREFIX_MAX)];
    for (at, byte) in start.iter().enumerate() {
        if b"=,: ".contains(byte)
            && let Ok(prefix) = std::str::from_utf8(&element[..=at])
            && prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && !prefix[..at].contains([',', ';', ' '])
        {
            prefixes.push(prefix.to_owned());
        }
    }
    prefixes
}

/// The encodings that a text may be written in, and its bytes then.
fn decodings(text: &[u8]) -> Vec<(Encoding, usize)> {
    let decoded = [
        (Encoding::Hex, hex::decode(text).ok()),
        (Encoding::Base64, STANDARD.decode(text).ok()),
        (
            Encoding::Base64Url,
            URL_SAFE_PAD_INDIFFERENT.decode(text).ok(),
        ),
    ];
    decoded
        .into_iter()
        .filter_map(|(encoding, bytes)| Some((encoding, bytes?.len())))
        .collect()
}

fn is_length(algorithm: Algorithm, bytes: usize) -> bool {
    match algorithm {
        Algorithm::Hmac(hash) | Algorithm::Hash(hash) => bytes == length(hash),
        Algorithm::Ed25519 => bytes == 64,
        Algorithm::EcdsaP256 => (64..=72).contains(&bytes),
        Algorithm::Rsa(_) => [256, 384, 512, 1024].contains(&bytes),
    }
}

/// Bytes of a hash.
pub(super) fn length(hash: Hash) -> usize {
    match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
        Hash::Sha384 => 48,
        Hash::Sha512 => 64,
    }
}

/// None if it is what is configured, or what has no setting of its own.
fn step(signature: &Signature, reading: Reading) -> Option<Step> {
    let Prefix::Text(prefix) = &signature.prefix else {
        return None;
    };
    let mut words = Vec::new();
    let mut fix = Fix::default();
    let mut set = |key: &'static str, value: &str| {
        fix = std::mem::take(&mut fix).and(&Fix::setting(key, value));
    };
    if !signature
        .fields
        .contains(&Field::Header(reading.header.clone()))
    {
        let at: Vec<String> = signature.fields.iter().map(place).collect();
        words.push(format!(
            "is in {}, not in {}",
            reading.header,
            at.join(" or ")
        ));
        set("header", reading.header.as_str());
    }
    let name = encoding_name;
    if reading.encoding != signature.encoding {
        words.push(format!(
            "is written in {}, but `encoding` is {}",
            name(reading.encoding),
            name(signature.encoding)
        ));
        set("encoding", name(reading.encoding));
    }
    if reading.prefix != *prefix {
        words.push(match (reading.prefix.as_str(), prefix.as_str()) {
            ("", configured) => format!("has no prefix, but `prefix` is {}", scalar(configured)),
            (there, "") => format!("has {} before it, but `prefix` is empty", scalar(there)),
            (there, other) => {
                format!(
                    "has {} before it, but `prefix` is {}",
                    scalar(there),
                    scalar(other)
                )
            }
        });
        set("prefix", &reading.prefix);
    }
    if reading.split != signature.split.as_deref() {
        if let Some(separator) = reading.split {
            words.push(format!(
                "stands in a list, its elements between {separator:?}"
            ));
            set("split", separator);
        } else {
            words.push("is the whole value, but `split` makes a list of it".to_owned());
            fix = std::mem::take(&mut fix).and(&Fix::raw_setting("split", "null".to_owned()));
        }
    }
    if reading.algorithm != signature.algorithm {
        let there = hash_of(reading.algorithm)?;
        words.push(format!(
            "is made with {}, but `algorithm` is {}",
            shown_hash(there),
            hash_name(hash_of(signature.algorithm)?)
        ));
        fix = fix.and(&Fix::setting("algorithm", hash_name(there)));
    }
    if reading.repeated != signature.repeated {
        words.push("is in a header that stands there more than once".to_owned());
        fix = fix.and(&Fix::raw_setting("repeated", "true".to_owned()).or_action(
            "set `repeated` only if the vendor does that; otherwise find what adds the second one",
        ));
    }
    if words.is_empty() {
        return None;
    }
    Some(Step::new(
        Group::Written,
        format!("the signature {}", words.join(", and ")),
        fix,
        move |trial| {
            if let Proof::Signature(signature) = &mut trial.scheme.proof {
                signature.fields = vec![Field::Header(reading.header.clone())];
                signature.repeated = reading.repeated;
                signature.split = reading.split.map(str::to_owned);
                signature.prefix = Prefix::Text(reading.prefix.clone());
                signature.encoding = reading.encoding;
                signature.algorithm = reading.algorithm;
            }
        },
    ))
}

/// A header by its name, anything else as it is written in a file.
pub(super) fn place(field: &Field) -> String {
    match field {
        Field::Header(name) => name.to_string(),
        field => field.to_string(),
    }
}

fn hash_of(algorithm: Algorithm) -> Option<Hash> {
    match algorithm {
        Algorithm::Hmac(hash) | Algorithm::Hash(hash) | Algorithm::Rsa(hash) => Some(hash),
        Algorithm::Ed25519 | Algorithm::EcdsaP256 => None,
    }
}

/// The word for a hash in a configuration.
pub(super) fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "sha1",
        Hash::Sha256 => "sha256",
        Hash::Sha384 => "sha384",
        Hash::Sha512 => "sha512",
    }
}

/// The word for it in a sentence.
pub(super) fn shown_hash(hash: Hash) -> String {
    hash_name(hash).to_uppercase().replace("SHA", "SHA-")
}

/// The word for an encoding in a configuration.
pub(super) fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64Url => "base64url",
    }
}

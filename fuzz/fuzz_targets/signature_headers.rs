//! Headers and a body, each on a line of its own, against a scheme of every kind: never a panic, and nobody is proven
//! who has no key.

#![no_main]

use bytes::Bytes;
use hookgate::config::environment::Environment;
use hookgate::config::load::{Options, Origin, load};
use hookgate::verify::{Surroundings, Verifier};
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

/// The key of each is in nobody's hands. `X-S` has the signature, `X-T` the time, `X-N` names.
const SCHEMES: [&str; 12] = [
    "{ hmac: { header: X-S } }",
    "{ hmac: { header: X-S, prefix: sha256=, encoding: base64, algorithm: sha1 } }",
    "{ hmac: { header: [X-S, X-T], repeated: true, split: ',', prefix: v1=, signed: '{timestamp}.{body}', timestamp: { element: t= } } }",
    "{ hmac: { header: X-S, split: ' ', prefix: 'v1,', encoding: base64, signed: '{header:X-N}.{timestamp}.{body}', timestamp: { header: X-T } } }",
    "{ hmac: { header: X-S, split: ',', signed: '{timestamp}{body}', timestamp: { element: first, format: unix_ms } } }",
    "{ hmac: { header: X-S, signed: '{named_headers}{body}', named_headers: { names: header:X-N, split: ',', each: '{name}:{value}', join: ';' } } }",
    "{ hmac: { header: X-S, key_id: header:X-N, signed: '{json_stringify}{timestamp}', timestamp: { header: X-T, format: rfc3339 } } }",
    "{ hmac: { field: json:/a, encoding: base64url, signed: '{body|sha256|hex}' } }",
    "{ hash: { header: X-S, signed: '{secret}{body}' } }",
    "{ jwt: { header: X-S, prefix: 'Bearer ', claims: { sha256: '{body|sha256|hex}' } } }",
    "bearer",
    "basic",
];

fn verifiers() -> &'static [Verifier] {
    static VERIFIERS: OnceLock<Vec<Verifier>> = OnceLock::new();
    VERIFIERS.get_or_init(|| SCHEMES.iter().map(|scheme| verifier(scheme)).collect())
}

fn verifier(scheme: &str) -> Verifier {
    let text = format!(
        "sources: {{ s: {{ verify: {scheme}, secrets: [{{ name: a, id: k, value: 'u:9f3a51c6d0' }}, {{ name: b, value: 'u:77b2e4' }}], \
         forward: 'http://127.0.0.1:1/' }} }}"
    );
    let name = scheme.to_owned();
    let (config, _) = load(
        &Origin::Text { name, text },
        &Environment::default(),
        Options::default(),
    )
    .expect("valid");
    let source = &config.sources[0];
    Verifier::new(
        &source.verify,
        &source.secrets,
        &Surroundings::of(source, 16),
    )
}

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in ["x-s", "x-s", "x-t", "x-n", "authorization", "content-type"] {
        let value = lines.next().unwrap_or_default();
        if let Ok(value) = HeaderValue::from_bytes(value)
            && !value.is_empty()
        {
            headers.append(name, value);
        }
    }
    let body = Bytes::copy_from_slice(lines.next().unwrap_or_default());
    let query = lines
        .next()
        .and_then(|query| std::str::from_utf8(query).ok());
    for verifier in verifiers() {
        let _ = verifier.precheck(&Method::POST, query, &headers);
        let now_ms = 1_769_855_400_000;
        let found = verifier.verify(&Method::POST, query, headers.clone(), body.clone(), now_ms);
        assert!(found.is_err(), "without a key: {headers:?}");
    }
});

//! What it costs to prove the sender of a webhook of usual size.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hookgate::config::environment::Environment;
use hookgate::config::load::{Options, Origin, load};
use hookgate::verify::{Outgoing, Signer, Surroundings, Verifier};
use http::{HeaderMap, Method};
use std::hint::black_box;

const NOW_MS: u64 = 1_769_855_400_000;

/// Public keys; their private ones sign what is measured.
const ED25519: (&str, &str) = (
    "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
);
const RSA_PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuyvfaggeIiCM1dNdQEbo+cVj3AkGSdBuqi9y3eNYY6sPmxvFCfaHbd8kDyP7fiIionzBNjbDM+OXU5HUh4RU0gJzz/+Bj2/65xPuwEs/NgHAmrXuKA25gtujekapAKNg2PYZLBUBQz/DdP2D7uq2VEMvrSu++wLDVicJJpgtNL2hxirfmnz+JAMtd0UhIweoMk2x/sjXevpJSeVSDOBH5pYjtvkY/MkXN+Urims0V1jy8H/w8utoyeAeaOwFOhmRTX6r57NV5HqbDsg9cBRTf2jfDcsIftVuxqo6E/XPdEgH+fS/JqXHGCVwpN4pY+6D905wm1AbGsjNnCIPAIyl1wIDAQAB";
const RSA_PRIVATE: &str = include_str!("../src/verify/tests/rsa.pem");
const ECDSA_PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEImo06+SH4LW5FMg+Sh/x3+PLUVjRmI57dVlAJRV3ene70QMX6Nl3pAKPWvqsusafg3w3dIpjMCuFnOGZSS2Xg==";
const ECDSA_PRIVATE: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLxWBlWCz1uZ35bz9B2ZobkTz+L7Sg3KgbBMi8ZYBHPahRANCAAQQiajTr5IfgtbkUyD5KH/Hf48tRWNGYjnt1WUAlFXd6d7vRAxfo2XekAo9a+qy6xp+DfDd0imMwK4Wc4ZlJLZe";

/// The verifier of a source as it would be configured, and a request that its sender has signed.
fn signed(verify: &str, secret: &str, private: Option<&str>) -> (Verifier, Outgoing) {
    let text = format!(
        "sources: {{ erp: {{ verify: {verify}, secret: '{secret}', forward: 'http://127.0.0.1:3000/' }} }}"
    );
    let origin = Origin::Text {
        name: "bench".into(),
        text,
    };
    let (config, _) = load(&origin, &Environment::default(), Options::default()).expect("valid");
    let source = &config.sources[0];
    let around = Surroundings::of(source, 16);
    let private = private.map(str::as_bytes);
    let signer = Signer::new(&source.verify, &source.secrets, &around, private).expect("a key");
    let request = Outgoing {
        method: Method::POST,
        query: None,
        headers: HeaderMap::new(),
        body: Bytes::from(vec![b'a'; 600]),
    };
    let signed = signer.sign(0, &request, NOW_MS).expect("signed");
    let verifier = Verifier::new(&source.verify, &source.secrets, &around);
    (verifier, signed)
}

fn bench(criterion: &mut Criterion) {
    let list = "{ hmac: { header: X-Signature, split: ',', prefix: v1=, signed: '{timestamp}.{body}', timestamp: { element: t= } } }";
    let cases = [
        (
            "HMAC-SHA256",
            "{ hmac: { header: X-Signature } }",
            "secret",
            None,
        ),
        ("HMAC-SHA256 in a list with a time", list, "secret", None),
        ("token", "{ token: { header: X-Token } }", "secret", None),
        (
            "Ed25519",
            "{ ed25519: { header: X-Signature, encoding: base64, key: base64 } }",
            ED25519.0,
            Some(ED25519.1),
        ),
        (
            "ECDSA P-256",
            "{ ecdsa: { header: X-Signature, encoding: base64 } }",
            ECDSA_PUBLIC,
            Some(ECDSA_PRIVATE),
        ),
        (
            "RSA-2048",
            "{ rsa: { header: X-Signature, encoding: base64 } }",
            RSA_PUBLIC,
            Some(RSA_PRIVATE),
        ),
    ];
    let mut group = criterion.benchmark_group("verify");
    for (name, verify, secret, private) in cases {
        let (verifier, sent) = signed(verify, secret, private);
        // Headers and body are the request's own: making a copy of them is not measured.
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (sent.headers.clone(), sent.body.clone()),
                |(headers, body)| {
                    verifier
                        .verify(&sent.method, None, headers, black_box(body), NOW_MS)
                        .expect("right")
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

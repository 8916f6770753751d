//! Handshakes and the other parts of a source that a vendor's peculiarities need.

use super::{compare, signed, source, table};

#[test]
fn handshakes_and_samples() {
    compare(
        "handshakes_and_samples",
        &table(
            signed,
            &[
                (
                    "a handshake that is no list",
                    "handshake: { when: { method: GET } }",
                ),
                (
                    "a rule without a condition",
                    "handshake: [{ respond: { body: ok } }]",
                ),
                (
                    "a rule with no condition in it",
                    "handshake: [{ when: {} }]",
                ),
                (
                    "unknown keys",
                    "handshake: [{ when: { method: GET }, verify: false, respond: { code: 200, text: ok } }]",
                ),
                (
                    "a secret that would have to prove itself",
                    "handshake: [{ when: { header:X-Hook-Secret: \"*\" }, learn: header:X-Hook-Secret }]",
                ),
                (
                    "a secret from nowhere",
                    "handshake: [{ when: { method: POST }, verified: false, learn: X-Hook-Secret }]",
                ),
                (
                    "two bodies",
                    "handshake: [{ when: { method: GET }, respond: { body: ok, json: { a: b } } }]",
                ),
                (
                    "a body where none can be",
                    "handshake: [{ when: { method: GET }, respond: { status: 204, body: ok } }]",
                ),
                (
                    "a status that is none",
                    "handshake: [{ when: { method: GET }, respond: { status: 302 } }]",
                ),
                (
                    "headers",
                    "handshake: [{ when: { method: GET }, respond: { headers: { Content-Type: a, \"x y\": b, X-Ok: \"{timestamp}\" } } }]",
                ),
                (
                    "values that a handshake has not",
                    "handshake: [{ when: { query:a: \"{secret}\" }, respond: { body: \"{named_headers}{url}{param:tokne}\" } }]\nparams: { token: x }",
                ),
                (
                    "what a stranger writes, as a page",
                    "handshake: [{ when: { method: GET }, respond: { content_type: text/html, body: \"{query:challenge}\" } }]",
                ),
                (
                    "a json that is text",
                    "handshake: [{ when: { method: GET }, respond: { json: ok } }]",
                ),
                ("params", "params: { a b: x, n: 5, empty: \"\", list: [a] }"),
                ("params that are a list", "params: [a]"),
                (
                    "a public URL with a query",
                    "public_url: https://hooks.example.com/a?b=c",
                ),
                ("public URLs", "public_url: hooks.example.com/a"),
                (
                    "a public URL with a user",
                    "public_url: https://user:hunter2@hooks.example.com/a",
                ),
                ("a status", "status: verfied"),
                ("how long a sender retries", "sender_retries: 3 days"),
                ("how often something comes", "expect_every: 0s"),
                (
                    "how often something comes, without a unit",
                    "expect_every: 2",
                ),
                (
                    "a sample",
                    "sample: { header: {}, headers: { \"a b\": x, X-N: 5, X-Id: \"é\" }, content_type: \"a\\nb\", query: \"?a=b\", body: {} }",
                ),
                ("a sample that is text", "sample: \"{}\""),
            ],
        ),
    );
}

#[test]
fn handshakes_without_secrets() {
    compare(
        "handshakes_without_secrets",
        &table(
            source,
            &[(
                "an answer keyed by nothing",
                "verify: none\nhandshake: [{ when: { method: GET }, respond: { body: \"{query:challenge|hmac_sha256|hex}\" } }]",
            )],
        ),
    );
}

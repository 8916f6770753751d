//! Schemes that can't prove anything, or that can't be meant.

use super::{compare, source, table};

#[test]
fn signatures() {
    compare(
        "signatures",
        &table(
            source,
            &[
                ("no settings", "verify: { jwt: null }\nsecret: ${SECRET}"),
                (
                    "no settings for a signature",
                    "verify: { ed25519: }\nsecret: ${SECRET}",
                ),
                (
                    "unknown settings",
                    "verify: { ecdsa: { header: A, algorithm: sha256, curve: P-256 } }\nsecret: ${SECRET}",
                ),
                (
                    "a mistyped header",
                    "verify: { hmac: { heder: X-S, algo: sha1 } }\nsecret: ${SECRET}",
                ),
                (
                    "mistyped words of a template",
                    "verify: [{ hmac: { header: A, signed: \"{timestmp}.{body}\" } }, { hmac: { header: A, signed: \"{body|sha265|hex}\" } }, { hmac: { header: A, signed: \"{what}{body}\" } }, { hmac: { header: A, signed: \"{body|md5}\" } }]\nsecret: ${SECRET}",
                ),
                (
                    "placeholders with a dollar",
                    "verify: { hmac: { header: A, signed: \"${timestamp}.${body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a setting over a preset of several schemes",
                    "provider: twilio\npublic_url: https://hooks.example.com/\nverify: { hmac: { encoding: hex } }\nsecret: ${SECRET}",
                ),
                (
                    "a token over a preset that remembers signatures",
                    "provider: github\nverify: { token: { header: X-T } }\nsecret: ${SECRET}",
                ),
                (
                    "a preset of several schemes without its public_url",
                    "provider: twilio\nsecret: ${SECRET}",
                ),
                (
                    "a mistyped kind",
                    "verify: { hmca: { header: A } }\nsecret: ${SECRET}",
                ),
                (
                    "beside the kind",
                    "verify: { hmac: { header: A }, wen: { method: POST }, signed: x }\nsecret: ${SECRET}",
                ),
                (
                    "conditions alone",
                    "verify: { when: { method: POST } }\nsecret: ${SECRET}",
                ),
                (
                    "header and field",
                    "verify: { hmac: { header: A, field: json:/sig } }\nsecret: ${SECRET}",
                ),
                (
                    "a field over a preset with a header",
                    "provider: chatmefy\nverify: { hmac: { field: json:/sig } }\nsecret: ${SECRET}",
                ),
                (
                    "fields",
                    "verify: { hmac: { field: body } }\nsecret: ${SECRET}",
                ),
                (
                    "a field that is a list",
                    "verify: { hmac: { field: [json:/a] } }\nsecret: ${SECRET}",
                ),
                (
                    "no headers",
                    "verify: { hmac: { header: [] } }\nsecret: ${SECRET}",
                ),
                (
                    "a wrong header in a list",
                    "verify: { hmac: { header: [A, \"b c\", 5] } }\nsecret: ${SECRET}",
                ),
                (
                    "a field that is repeated",
                    "verify: { hmac: { field: json:/sig, repeated: true, signed: \"{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "an empty split",
                    "verify: { hmac: { header: A, split: \"\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a prefix that is never there",
                    "verify: { hmac: { header: A, split: \",\", prefix: \"v1,\" } }\nsecret: ${SECRET}",
                ),
                (
                    "prefixes with the id of a key",
                    "verify: { hmac: { header: A, prefix: \"{key_id}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "two ids in one prefix",
                    "verify: { hmac: { header: A, prefix: \"{key_id}|{key_id}|\" } }\nsecret: ${SECRET}",
                ),
                (
                    "an element of no list",
                    "verify: { hmac: { header: A, signed: \"{timestamp}.{body}\", timestamp: { element: \"t=\" } } }\nsecret: ${SECRET}",
                ),
                (
                    "the first element of no list",
                    "verify: { hmac: { header: A, signed: \"{timestamp}.{body}\", timestamp: { element: first } } }\nsecret: ${SECRET}",
                ),
                (
                    "two places of a time",
                    "verify: { hmac: { header: A, split: \",\", signed: \"{timestamp}.{body}\", timestamp: { header: T, element: \"t=\" } } }\nsecret: ${SECRET}",
                ),
                (
                    "tolerances",
                    "verify: { hmac: { header: A, signed: \"{timestamp}.{body}\", timestamp: { header: T, tolerance: { past: 5, future: 0s, passed: 1m } } } }\nsecret: ${SECRET}",
                ),
                (
                    "a tolerance that is theatre in one direction",
                    "verify: { hmac: { header: A, timestamp: { header: T, tolerance: { past: 5m, future: null } } } }\nsecret: ${SECRET}",
                ),
                (
                    "a time in a query that is not signed",
                    "verify: { hmac: { header: A, timestamp: { field: query:t } } }\nsecret: ${SECRET}",
                ),
                (
                    "named headers without their place",
                    "verify: { hmac: { header: A, signed: \"{named_headers}{named_headers_list}{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "named headers that nothing signs",
                    "verify: { hmac: { header: A, named_headers: { names: header:B, split: \",\", each: \"{value}\", join: \"\" } } }\nsecret: ${SECRET}",
                ),
                (
                    "named headers without settings",
                    "verify: { hmac: { header: A, signed: \"{named_headers}{body}\", named_headers: { each: \"{key}\" } } }\nsecret: ${SECRET}",
                ),
                (
                    "names in an element of no list",
                    "verify: { hmac: { header: A, signed: \"{named_headers}{body}\", named_headers: { names: { element: \"h=\" }, split: \" \", each: \"{name}\", join: \".\" } } }\nsecret: ${SECRET}",
                ),
                (
                    "a body that is not signed",
                    "verify: { hmac: { header: A, signed: \"{query:id}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a body of which only a checksum is signed",
                    "verify: { rsa: { header: A, signed: \"{body|crc32}\" } }\n",
                ),
                (
                    "a body that is signed after all",
                    "verify: { hmac: { header: A, covers_body: false } }\nsecret: ${SECRET}",
                ),
                (
                    "covers_body of another kind",
                    "verify: { hmac: { header: A, covers_body: no way } }\nsecret: ${SECRET}",
                ),
                (
                    "nothing of the request",
                    "verify: { hmac: { header: A, signed: \"fixed\", covers_body: false } }\nsecret: ${SECRET}",
                ),
                (
                    "two texts of one body",
                    "verify: { hmac: { header: A, signed: \"{json_stringify}{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a hash without secret",
                    "verify: { hash: { header: A, signed: \"{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a hash of nothing said",
                    "verify: { hash: { header: A } }\nsecret: ${SECRET}",
                ),
                (
                    "a secret that is written out",
                    "verify: { hmac: { header: A, signed: \"{secret}{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "filters of a handshake",
                    "verify: { hmac: { header: A, signed: \"{body|hmac_sha256|hex}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "URLs",
                    "verify: { hmac: { header: A, signed: \"{url}{public_url}{path}{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "params",
                    "verify: { hmac: { header: A, signed: \"{param:accuont}{param:id}{body}\" } }\nparams: { account: null, id: null }\nsecret: ${SECRET}",
                ),
                (
                    "a param that nobody has",
                    "verify: { hmac: { header: A, signed: \"{param:id}{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a form without a filter",
                    "verify: { hmac: { header: A, signed: \"{form}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "an unknown key form",
                    "verify: { hmac: { header: A, key: bas64 } }\nsecret: ${SECRET}",
                ),
                (
                    "the key form of another kind",
                    "verify: { hmac: { header: A, key: whpk } }\nsecret: ${SECRET}",
                ),
                (
                    "nothing to take out",
                    "verify: { hmac: { header: A, key: \"without_first:\" } }\nsecret: ${SECRET}",
                ),
                (
                    "the text of a public key",
                    "verify: { ed25519: { header: A, key: text } }\nsecret: ${SECRET}",
                ),
                (
                    "a key form of what has none",
                    "verify: { rsa: { header: A, key: base64 } }\nsecret: \"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiZcjdCjlbUmK8md0RA4R5/oxXdvYIqP8zS9VNVyONOxKcgWZuzsq2BlP+9Gku2/vEUhc2MPPShJ02V425ZAMPs/yRLQ0In7gCHoQv52n8Hv3HwymhY1Rjsqdjo8bQ+vJHG5l9cyFT1rNRoefk8ghArdD50QOy/SucmQ3ITYRXigrcYqUyx4Jbkh7oqPkYhMZFm2mSzcceObKGrJ34RPJKYV21+G7v6HMwS8m0Dcq7ck/21lJPAS0kWSWw3yHF8WrXJ2BLfQcQCXOGBeCiqhtqnZZyY9mVqMsWdF+ZnYTfvPsCv6cUGcWCH2GV2efKCH6qUrd39kjg/1VlWw9UHA4hwIDAQAB\"",
                ),
                (
                    "a key id that is no field",
                    "verify: { hmac: { header: A, key_id: X-Key } }\nsecret: ${SECRET}",
                ),
                (
                    "a JWT that says nothing of the body",
                    "verify: { jwt: { header: A, algorithm: RS256, claims: { iss: netlify } } }\nsecret: ${SECRET}",
                ),
                (
                    "claims",
                    "verify: { jwt: { header: A, claims: { sha256: \"{body|sha256|hex}\", t: \"{timestamp}\", n: 5, h: \"{named_headers}\", s: \"{secret}\" } } }\nsecret: ${SECRET}",
                ),
                (
                    "claims that are a list",
                    "verify: { jwt: { field: query:jwt, claims: [iss] } }\nsecret: ${SECRET}",
                ),
                (
                    "a token nowhere",
                    "verify: { token: {} }\nsecret: ${SECRET}",
                ),
            ],
        ),
    );
}

#[test]
fn conditions_and_lists() {
    compare(
        "conditions_and_lists",
        &table(
            source,
            &[
                (
                    "no condition",
                    "verify: { hmac: { header: A }, when: {} }\nsecret: ${SECRET}",
                ),
                (
                    "a condition that is text",
                    "verify: { hmac: { header: A }, when: POST }\nsecret: ${SECRET}",
                ),
                (
                    "subjects",
                    "verify: { hmac: { header: A }, when: { path: /a, header:a b: x, X-Version: v1 } }\nsecret: ${SECRET}",
                ),
                (
                    "methods",
                    "verify: { hmac: { header: A }, when: { method: post } }\nsecret: ${SECRET}",
                ),
                (
                    "no method",
                    "verify: { hmac: { header: A }, when: { method: null } }\nsecret: ${SECRET}",
                ),
                (
                    "empty text",
                    "verify: { hmac: { header: A }, when: { header:X-Version: \"\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a number",
                    "verify: { hmac: { header: A }, when: { header:X-Version: 2 } }\nsecret: ${SECRET}",
                ),
                (
                    "values that are none",
                    "verify: { hmac: { header: A }, when: { header:X-A: \"{timestamp}\", header:X-B: \"{secret}\", header:X-C: \"{json_stringify|sha256|hex}\" } }\nsecret: ${SECRET}",
                ),
                ("an empty list", "verify: []\nsecret: ${SECRET}"),
                (
                    "too many schemes",
                    "verify: [bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer, bearer]\nsecret: ${SECRET}",
                ),
                (
                    "none in a list",
                    "verify: [{ hmac: { header: A } }, none]\nsecret: ${SECRET}",
                ),
                (
                    "a token beside a signature",
                    "verify: [{ hmac: { header: A } }, bearer]\nsecret: ${SECRET}",
                ),
                (
                    "a token beside a signature with a shared secret",
                    "verify: [{ hmac: { header: A }, secrets: [a, b] }, { token: { header: T }, secrets: [b] }]\nsecrets: [{ name: a, value: x }, { name: b, value: y }]",
                ),
                (
                    "a weak signature beside a strong one",
                    "verify: [{ hmac: { header: A } }, { hmac: { header: B, signed: \"{query:id}\", covers_body: false } }]\nsecret: ${SECRET}",
                ),
                (
                    "secrets that nobody has",
                    "verify: [{ hmac: { header: A }, secrets: [nwe] }, { hmac: { header: B }, secrets: [] }, { hmac: { header: B }, secrets: old }]\nsecrets: [{ name: new, value: x }, { name: old, value: y }]",
                ),
                (
                    "a name that no secret has",
                    "verify: { hmac: { header: A }, secrets: [nwe] }\nsecrets: [{ name: new, value: x }, { name: old, value: y }]",
                ),
                (
                    "what is wrong in a list",
                    "verify: [{ hmac: { header: A, signed: \"{body\" } }, { token: { header: \"a b\" } }, bearr, [hmac]]\nsecret: ${SECRET}",
                ),
                (
                    "bearer with settings and a condition",
                    "verify: { bearer: { header: A }, when: { method: POST } }\nsecret: ${SECRET}",
                ),
            ],
        ),
    );
}

#[test]
fn keys_and_secrets() {
    compare(
        "keys_and_secrets",
        &table(
            source,
            &[
                (
                    "a secret that is no hex",
                    "verify: { hmac: { header: A, key: hex } }\nsecret: hunter2",
                ),
                (
                    "a secret that is no base64",
                    "verify: { hmac: { header: A, key: whsec } }\nsecrets: [\"whsec_hunter2!\", \"whsec_\", \"YQ==\"]",
                ),
                (
                    "a short public key",
                    "verify: { ed25519: { header: A } }\nsecret: \"0011\"",
                ),
                (
                    "a certificate",
                    "verify: { rsa: { header: A } }\nsecret: \"MIIBbTCCAROgAwIBAgIUeN8wOsbhgkN+lVdfMxkx+KJbEJ8wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAeFw0yNjExMjAxNDQ4NDRaFw0yNjExMjExNDQ4NDRaMAwxCjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARqZqu+pR0uxGWu0iZDHiN5kJoEI8fbqG7t9dbtN617a59q6UKgkPHwoHvHu1n8SHs8pWlinG1miu62GvgRezeBo1MwUTAdBgNVHQ4EFgQUdTJpFwBVkgOHGnFJ1cXKbPX+oV0wHwYDVR0jBBgwFoAUdTJpFwBVkgOHGnFJ1cXKbPX+oV0wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA2CQ4nf6mtV72Kr27PXPaXgj+j/ytA9L6hCAXZecxeAoCIHW6ge7kbISAGq5TeQGnibCByUjEg0NXs5SCbTiRnJOj\"",
                ),
                (
                    "a private key",
                    "verify: { ecdsa: { header: A } }\nsecret: MAUCAQEEAA==",
                ),
                (
                    "the key of another algorithm",
                    "verify: { ecdsa: { header: A } }\nsecret: \"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiZcjdCjlbUmK8md0RA4R5/oxXdvYIqP8zS9VNVyONOxKcgWZuzsq2BlP+9Gku2/vEUhc2MPPShJ02V425ZAMPs/yRLQ0In7gCHoQv52n8Hv3HwymhY1Rjsqdjo8bQ+vJHG5l9cyFT1rNRoefk8ghArdD50QOy/SucmQ3ITYRXigrcYqUyx4Jbkh7oqPkYhMZFm2mSzcceObKGrJ34RPJKYV21+G7v6HMwS8m0Dcq7ck/21lJPAS0kWSWw3yHF8WrXJ2BLfQcQCXOGBeCiqhtqnZZyY9mVqMsWdF+ZnYTfvPsCv6cUGcWCH2GV2efKCH6qUrd39kjg/1VlWw9UHA4hwIDAQAB\"",
                ),
                (
                    "a small key",
                    "verify: { rsa: { header: A } }\nsecret: \"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDb+v2cVrrr9JowRbc5Y8FNkR0Z8cEqq4Ze6Y+5thT8U82CY5JG59475ZC+aNxN19JWiFZGz8HuKQUTP8+9/rGZAOx6cSuTBGJoVtiMKQhFyZV/5OaO9s6FuNDsCIkn8FT8a6hW2zTuKLtrqttdJ4taYacSznEXSEymkd1FrXJAHwIDAQAB\"",
                ),
                (
                    "a compressed point",
                    "verify: { ecdsa: { header: A } }\nsecret: \"MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADPZat8oOMwvOSgR6Uord4ABsx+k6VAm8rMp+tbBI7+R0=\"",
                ),
                (
                    "no public key",
                    "verify: [{ rsa: { header: A } }, { ecdsa: { header: B } }]\nsecret: hunter2",
                ),
                (
                    "ids that none has",
                    "verify: { hmac: { header: A, key_id: header:X-Key } }\nsecrets: [a, b]",
                ),
                (
                    "ids in a prefix that none has",
                    "verify: { hmac: { header: A, prefix: \"{key_id}|\" } }\nsecrets: [a, b]",
                ),
                (
                    "a bad id",
                    "verify: { hmac: { header: A, key_id: header:X-Key } }\nsecrets: [{ id: \"\", value: a }, { id: 5, value: b }]",
                ),
                ("basic without a user", "verify: basic\nsecret: hunter2"),
                (
                    "times",
                    "verify: bearer\nsecrets: [{ value: a, not_before: 2026-11-01 }, { value: b, not_after: 5 }, { value: c, not_before: 2027-01-01T00:00:00Z, not_after: 2026-11-01T00:00:00Z }]",
                ),
            ],
        ),
    );
}

//! The schema that editors read says what the loader takes: the same keys everywhere, and the same words. (That it takes
//! every sample and refuses mistakes is asked of a validator in `tests/it/schema.rs`.)

use super::load;
use crate::config::schema;
use serde_json::Value;
use std::collections::BTreeSet;

/// A key that is none, and like none.
const NONE: &str = "zqzqzqzq";

/// Each mapping with keys of its own: where the schema has it, and a file that has [`NONE`] in it.
const MAPPINGS: [(&str, &str); 40] = [
    ("", "{}: 1"),
    ("/$defs/listenerAtLength", "listen: { {}: 1 }"),
    ("/$defs/tls", "listen: { tls: { {}: 1 } }"),
    (
        "/$defs/tls/properties/certificates/items",
        "listen: { tls: { certificates: [{ {}: 1 }] } }",
    ),
    ("/properties/admin", "admin: { {}: 1 }"),
    ("/properties/store", "store: { {}: 1 }"),
    ("/properties/limits", "limits: { {}: 1 }"),
    (
        "/properties/limits/properties/tls",
        "limits: { tls: { {}: 1 } }",
    ),
    (
        "/properties/limits/properties/http2",
        "limits: { http2: { {}: 1 } }",
    ),
    ("/properties/shutdown", "shutdown: { {}: 1 }"),
    ("/properties/reload", "reload: { {}: 1 }"),
    ("/properties/traces", "traces: { {}: 1 }"),
    ("/$defs/source", "sources: { a: { {}: 1 } }"),
    (
        "/$defs/source/properties/event",
        "sources: { a: { event: { {}: 1 } } }",
    ),
    (
        "/$defs/source/properties/respond",
        "sources: { a: { respond: { {}: 1 } } }",
    ),
    (
        "/$defs/source/properties/limits",
        "sources: { a: { limits: { {}: 1 } } }",
    ),
    (
        "/$defs/source/properties/rejects/anyOf/0",
        "sources: { a: { rejects: { {}: 1 } } }",
    ),
    (
        "/$defs/source/properties/sample/anyOf/0",
        "sources: { a: { sample: { {}: 1 } } }",
    ),
    ("/$defs/dedupe", "sources: { a: { dedupe: { {}: 1 } } }"),
    (
        "/$defs/dedupe/properties/skip/anyOf/0/items",
        "sources: { a: { verify: bearer, dedupe: { skip: [{ {}: 1 }] } } }",
    ),
    (
        "/$defs/handshake",
        "sources: { a: { handshake: [{ {}: 1 }] } }",
    ),
    (
        "/$defs/handshake/properties/respond/anyOf/0",
        "sources: { a: { handshake: [{ respond: { {}: 1 } }] } }",
    ),
    (
        "/$defs/secret/anyOf/1",
        "sources: { a: { verify: bearer, secret: { {}: 1 } } }",
    ),
    (
        "/$defs/scheme/anyOf/2",
        "sources: { a: { verify: { {}: 1 } } }",
    ),
    (
        "/$defs/hmac",
        "sources: { a: { verify: { hmac: { {}: 1 } } } }",
    ),
    (
        "/$defs/hash",
        "sources: { a: { verify: { hash: { {}: 1 } } } }",
    ),
    (
        "/$defs/ed25519",
        "sources: { a: { verify: { ed25519: { {}: 1 } } } }",
    ),
    (
        "/$defs/ecdsa",
        "sources: { a: { verify: { ecdsa: { {}: 1 } } } }",
    ),
    (
        "/$defs/rsa",
        "sources: { a: { verify: { rsa: { {}: 1 } } } }",
    ),
    (
        "/$defs/jwt",
        "sources: { a: { verify: { jwt: { {}: 1 } } } }",
    ),
    (
        "/$defs/token",
        "sources: { a: { verify: { token: { {}: 1 } } } }",
    ),
    (
        "/$defs/timestamp",
        "sources: { a: { verify: { hmac: { timestamp: { {}: 1 } } } } }",
    ),
    (
        "/$defs/timestamp/properties/tolerance/anyOf/2",
        "sources: { a: { verify: { hmac: { timestamp: { tolerance: { {}: 1 } } } } } }",
    ),
    (
        "/$defs/namedHeaders",
        "sources: { a: { verify: { hmac: { named_headers: { {}: 1 } } } } }",
    ),
    (
        "/$defs/namedHeaders/properties/names/anyOf/1",
        "sources: { a: { verify: { hmac: { named_headers: { names: { {}: 1 } } } } } }",
    ),
    (
        "/$defs/forward/anyOf/1/items/anyOf/1",
        "sources: { a: { forward: [{ {}: 1 }] } }",
    ),
    ("/$defs/target", "targets: { a: { {}: 1 } }"),
    (
        "/$defs/target/properties/retry/anyOf/1",
        "targets: { a: { retry: { {}: 1 } } }",
    ),
    (
        "/$defs/target/properties/breaker/anyOf/2",
        "targets: { a: { breaker: { {}: 1 } } }",
    ),
    (
        "/$defs/target/properties/sign/anyOf/0",
        "targets: { a: { sign: { {}: 1 } } }",
    ),
];

/// Each word that is one of a few: where the schema has them, and a file that has [`NONE`] in its place.
const WORDS: [(&str, &str); 14] = [
    (
        "/$defs/tls/properties/client_certificate",
        "listen: { address: \":1\", tls: { client_ca: a, client_certificate: {} } }",
    ),
    (
        "/$defs/tls/properties/min_version",
        "listen: { address: \":1\", tls: { min_version: {} } }",
    ),
    (
        "/$defs/source/properties/ack",
        "sources: { a: { ack: {} } }",
    ),
    (
        "/$defs/source/properties/status",
        "sources: { a: { status: {} } }",
    ),
    (
        "/$defs/target/properties/when_full",
        "targets: { a: { when_full: {} } }",
    ),
    (
        "/$defs/target/properties/format",
        "targets: { a: { format: {} } }",
    ),
    (
        "/$defs/hmac/properties/algorithm",
        "sources: { a: { verify: { hmac: { algorithm: {} } } } }",
    ),
    (
        "/$defs/hash/properties/algorithm",
        "sources: { a: { verify: { hash: { algorithm: {} } } } }",
    ),
    (
        "/$defs/rsa/properties/algorithm",
        "sources: { a: { verify: { rsa: { algorithm: {} } } } }",
    ),
    (
        "/$defs/jwt/properties/algorithm",
        "sources: { a: { verify: { jwt: { algorithm: {} } } } }",
    ),
    (
        "/$defs/hmac/properties/encoding",
        "sources: { a: { verify: { hmac: { encoding: {} } } } }",
    ),
    (
        "/$defs/rsa/properties/encoding",
        "sources: { a: { verify: { rsa: { encoding: {} } } } }",
    ),
    (
        "/$defs/timestamp/properties/format",
        "sources: { a: { verify: { hmac: { timestamp: { format: {} } } } } }",
    ),
    (
        "/$defs/ed25519/properties/key",
        "sources: { a: { verify: { ed25519: { key: {} } } } }",
    ),
];

fn parsed() -> Value {
    serde_json::from_str(schema()).expect("the schema is JSON")
}

/// What the loader says that it would accept in the place of [`NONE`].
fn accepted(file: &str) -> BTreeSet<String> {
    let file = file.replace("{}", NONE);
    let problems = load(&file).expect_err("nobody takes it");
    let said = problems
        .iter()
        .find(|problem| problem.key.ends_with(NONE) || problem.message.contains(NONE))
        .unwrap_or_else(|| panic!("{file}: {problems:?}"));
    let (_, words) = said
        .message
        .split_once("accepted: ")
        .unwrap_or_else(|| panic!("{file}: {said}"));
    words.split(", ").map(str::to_owned).collect()
}

/// Every place of the schema that has keys of its own.
fn mappings(schema: &Value, at: &str, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(entries) => {
            // The entries of `properties` and `$defs` are names, not words of the schema.
            if entries.get("properties").is_some_and(Value::is_object)
                && !at.ends_with("/properties")
            {
                found.insert(at.to_owned());
            }
            for (key, value) in entries {
                mappings(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                mappings(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_loader_and_the_schema_know_the_same_keys() {
    let schema = parsed();
    let mut unseen = BTreeSet::new();
    mappings(&schema, "", &mut unseen);
    for (at, file) in MAPPINGS {
        assert!(unseen.remove(at), "{at} is no mapping of the schema");
        let place = schema.pointer(at).expect("just seen");
        let keys = place["properties"].as_object().expect("a mapping");
        let known: BTreeSet<String> = keys.keys().cloned().collect();
        assert_eq!(known, accepted(file), "{at}: {file}");
        assert_eq!(place["additionalProperties"], false, "{at}");
    }
    assert_eq!(
        unseen,
        BTreeSet::new(),
        "no file asks the loader about these"
    );
}

/// A preset of a user's own is a source without what only one can have.
#[test]
fn the_loader_and_the_schema_know_the_same_keys_of_a_preset() {
    let schema = parsed();
    let mut known: BTreeSet<String> = accepted("sources: { a: { {}: 1 } }");
    let refused = schema["$defs"]["preset"]["not"]["anyOf"]
        .as_array()
        .expect("keys that a preset has not");
    for key in refused {
        let key = key["required"][0].as_str().expect("a key");
        assert!(known.remove(key), "{key}");
    }
    assert_eq!(known, accepted("providers: { a: { {}: 1 } }"));
}

#[test]
fn the_loader_and_the_schema_know_the_same_words() {
    let schema = parsed();
    for (at, file) in WORDS {
        let place = schema.pointer(at).unwrap_or_else(|| panic!("no {at}"));
        let words = place["anyOf"][0]["enum"].as_array().expect("words");
        let known: BTreeSet<String> = words
            .iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect();
        assert_eq!(known, accepted(file), "{at}: {file}");
    }
}

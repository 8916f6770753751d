//! The presets: for each vendor a piece of a source's YAML, and how a source is laid over it. A preset holds
//! nothing that a user could not write.

use super::yaml;
use serde_yaml::{Mapping, Value};

/// Every preset by name, with its YAML.
pub fn presets() -> &'static [(&'static str, &'static str)] {
    &[
        ("chatmefy", include_str!("providers/chatmefy.yaml")),
        ("chatplugify", include_str!("providers/chatplugify.yaml")),
        ("chatsvia", include_str!("providers/chatsvia.yaml")),
        ("live-chat", include_str!("providers/live-chat.yaml")),
        ("vowchat", include_str!("providers/vowchat.yaml")),
    ]
}

/// The preset of this name.
pub(crate) fn named(name: &str) -> Option<Value> {
    let (_, text) = presets().iter().find(|(known, _)| *known == name)?;
    Some(yaml::parse(text).expect("presets are part of the program and parsed by its tests"))
}

/// Whether the preset of this name takes a timestamp, which a source that leaves it out then has too.
pub(crate) fn signs_time(name: &str) -> bool {
    let preset = named(name).unwrap_or_default();
    let verify = preset.get(VERIFY).and_then(Value::as_mapping);
    verify.is_some_and(|verify| {
        verify.values().any(|settings| {
            settings
                .get("timestamp")
                .is_some_and(|timestamp| !timestamp.is_null())
        })
    })
}

/// The words for the kinds of schemes; everything else in `verify` stands beside the kind.
pub(crate) const KINDS: [&str; 9] = [
    "hmac", "hash", "ed25519", "ecdsa", "rsa", "jwt", "token", "bearer", "basic",
];

/// A source over its preset: maps merge key by key, anything else replaces, and so does another kind of
/// `verify`, since a token's settings mean nothing to an HMAC.
pub(crate) fn lay_over(source: &Value, preset: Value) -> Value {
    match (source, preset) {
        (Value::Mapping(source), Value::Mapping(mut preset)) => {
            if changes_kind(source.get(VERIFY), preset.get(VERIFY)) {
                preset.remove(VERIFY);
            }
            Value::Mapping(merge(source, preset))
        }
        // `name:` with nothing below it.
        (Value::Null, preset) => preset,
        (other, _) => other.clone(),
    }
}

const VERIFY: &str = "verify";

/// Whether the source verifies in another way than its preset. What stands beside the kind is no way of its own.
fn changes_kind(source: Option<&Value>, preset: Option<&Value>) -> bool {
    let kinds = |verify: &Mapping| -> Vec<&'static str> {
        let is_there = |kind: &&str| verify.contains_key(*kind);
        KINDS.into_iter().filter(is_there).collect()
    };
    match (source, preset) {
        (Some(Value::Mapping(source)), Some(Value::Mapping(preset))) => {
            let (ours, theirs) = (kinds(source), kinds(preset));
            !ours.is_empty() && !ours.iter().any(|kind| theirs.contains(kind))
        }
        (source, _) => source.is_some_and(|source| !source.is_null()),
    }
}

fn merge(over: &Mapping, mut under: Mapping) -> Mapping {
    for (key, value) in over {
        let merged = match (value, under.remove(key)) {
            (Value::Mapping(over), Some(Value::Mapping(under))) => {
                Value::Mapping(merge(over, under))
            }
            _ => value.clone(),
        };
        under.insert(key.clone(), merged);
    }
    under
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(source: &str, preset: &str) -> Value {
        let source = yaml::parse(source).expect("source");
        lay_over(&source, yaml::parse(preset).expect("preset"))
    }

    #[test]
    fn sources_override_field_by_field() {
        let preset =
            "{verify: {hmac: {header: A, prefix: p}}, event: {type: t, time: u}, skip: [1, 2]}";
        let cases = [
            ("{}", preset),
            ("~", preset),
            (
                "{verify: {hmac: {header: B}}}",
                "{verify: {hmac: {header: B, prefix: p}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {token: {header: B}}}",
                "{verify: {token: {header: B}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {when: {method: POST}, secrets: [a]}}",
                "{verify: {hmac: {header: A, prefix: p}, when: {method: POST}, secrets: [a]}, \
                 event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {token: {header: B}, when: {method: POST}}}",
                "{verify: {token: {header: B}, when: {method: POST}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: {hmca: {header: B}}}",
                "{verify: {hmac: {header: A, prefix: p}, hmca: {header: B}}, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: [{hmac: {header: B}}]}",
                "{verify: [{hmac: {header: B}}], event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: bearer}",
                "{verify: bearer, event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{verify: }",
                "{verify: , event: {type: t, time: u}, skip: [1, 2]}",
            ),
            (
                "{skip: [], event: {time: null}, ack: x}",
                "{verify: {hmac: {header: A, prefix: p}}, event: {type: t, time: null}, skip: [], ack: x}",
            ),
        ];
        for (source, expected) in cases {
            let expected = yaml::parse(expected).expect("expected");
            assert_eq!(laid(source, preset), expected, "{source}");
        }
        assert_eq!(laid("text", preset), Value::from("text"));
    }

    #[test]
    fn conditions_merge_inside_the_same_kind() {
        let preset = "{verify: {hmac: {header: A, prefix: p}, when: {method: POST, query:v: '2'}}}";
        let cases = [
            (
                "{verify: {hmac: {prefix: q}, when: {query:v: null}}}",
                "{verify: {hmac: {header: A, prefix: q}, when: {method: POST, query:v: null}}}",
            ),
            (
                "{verify: {jwt: {header: B}}}",
                "{verify: {jwt: {header: B}}}",
            ),
        ];
        for (source, expected) in cases {
            let expected = yaml::parse(expected).expect("expected");
            assert_eq!(laid(source, preset), expected, "{source}");
        }
        let list = "{verify: [bearer, basic]}";
        assert_eq!(laid("{}", list), yaml::parse(list).expect("expected"));
        let source = "{verify: {hmac: {header: A}}}";
        assert_eq!(laid(source, list), yaml::parse(source).expect("expected"));
    }

    #[test]
    fn every_preset_is_yaml() {
        for (name, _) in presets() {
            assert!(
                named(name).is_some_and(|preset| preset.is_mapping()),
                "{name}"
            );
        }
        assert!(named("nobody").is_none());
    }
}

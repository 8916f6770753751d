//! From YAML text to a tree of values: every key is unique, merge keys (`<<`) are resolved in the order of the
//! file, and what the parser has to say about broken text is said in a user's words.

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde_yaml::{
    Mapping, Value,
    value::{Tag, TaggedValue},
};
use std::{fmt, marker::PhantomData};

/// Text that is no YAML.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// 1-based line and column, where the parser knows them.
    pub(crate) place: Option<(usize, usize)>,
    /// What is wrong.
    pub(crate) message: String,
}

/// Reads one document.
pub(crate) fn parse(text: &str) -> Result<Value, Broken> {
    Tree.deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| broken(text, &error))
}

/// Builds values as `serde_yaml::Value` does, with the two things that its own `Deserialize` lacks: the second
/// of two equal keys is where the error points, and merges of merges are resolved.
struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, node: D) -> Result<Value, D::Error> {
        node.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    // No field takes a number past 64 bits; as text it reaches the field, which says so.
    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Tree)? {
            list.push(item);
        }
        Ok(Value::Sequence(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        let mut merges = None;
        loop {
            let seen =
                |key: &str| mapping.contains_key(key) || (key == MERGE_KEY && merges.is_some());
            let Some(key) = entries.next_key_seed(UniqueKey(seen))? else {
                break;
            };
            let value = entries.next_value_seed(Tree)?;
            if key == MERGE_KEY {
                merges = Some(value);
            } else {
                mapping.insert(Value::String(key), value);
            }
        }
        merge(&mut mapping, merges).map_err(A::Error::custom)?;
        Ok(Value::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, contents) = tagged.variant_seed(PhantomData::<String>)?;
        let value = contents.newtype_variant_seed(Tree)?;
        let tag = Tag::new(tag);
        Ok(Value::Tagged(Box::new(TaggedValue { tag, value })))
    }
}

/// The key whose value is merged into the mapping around it (<https://yaml.org/type/merge.html>).
const MERGE_KEY: &str = "<<";

/// Adds what the mapping does not say itself; of several merges the first wins.
fn merge(mapping: &mut Mapping, merges: Option<Value>) -> Result<(), &'static str> {
    let merges = match merges {
        None => return Ok(()),
        Some(Value::Sequence(merges)) => merges,
        Some(single) => vec![single],
    };
    for part in merges {
        let Value::Mapping(part) = part else {
            return Err("<< takes a mapping or a list of mappings, such as <<: *name");
        };
        for (key, value) in part {
            mapping.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Reads a key as its source text (so `8080:` is the key "8080") and refuses one that was there before.
struct UniqueKey<F>(F);

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for UniqueKey<F> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<String, D::Error> {
        key.deserialize_str(self)
    }
}

impl<F: Fn(&str) -> bool> Visitor<'_> for UniqueKey<F> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is plain text")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if (self.0)(key) {
            return Err(E::custom(format_args!(
                "the key {key:?} stands here a second time; keep one of them"
            )));
        }
        Ok(key.to_owned())
    }
}

/// The parser's error without its own notion of the place, and with a hint where its words mislead.
fn broken(text: &str, error: &serde_yaml::Error) -> Broken {
    let place = error.location().map(|at| (at.line(), at.column()));
    let mut message = error.to_string();
    if let Some((line, column)) = place {
        message = message.replacen(&format!(" at line {line} column {column}"), "", 1);
    }
    if message.contains("more than one document") {
        let message = "a second document begins; everything belongs into one, without a second ---";
        return Broken {
            place,
            message: message.to_owned(),
        };
    }
    let line = place
        .and_then(|(line, _)| text.lines().nth(line - 1))
        .unwrap_or_default();
    if let Some(hint) = hint(&message, line) {
        message = format!("{message}; {hint}");
    }
    Broken { place, message }
}

/// What a user most likely meant where the parser stumbled.
fn hint(message: &str, line: &str) -> Option<&'static str> {
    let stumbles_in_flow = message.contains("flow") || message.contains("invalid type: map");
    if line.contains("${") && stumbles_in_flow {
        return Some("inside [ ] and { } a value such as ${NAME} needs quotes: \"${NAME}\"");
    }
    if message.contains("alias") || message.contains("unknown anchor") {
        return Some("a value that begins with * needs quotes: \"*\"");
    }
    if message.contains("cannot start any token") && line.contains('\t') {
        return Some("YAML is indented with spaces, not tabs");
    }
    if message.contains("scanning a tag") {
        return Some("a value that begins with ! needs quotes: \"!name\"");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_are_resolved_at_every_depth_and_keep_the_order_of_the_file() {
        let text = "
x-a: &a {p: 1, q: 1}
x-b: &b {<<: *a, q: 2}
m: {first: 0, <<: [*b, {q: 3, r: 3}], last: 9}
";
        let value = parse(text).expect("valid");
        let Value::Mapping(m) = &value["m"] else {
            panic!("not a mapping: {value:?}");
        };
        let shown: Vec<String> = m
            .iter()
            .map(|(k, v)| format!("{}={}", k.as_str().unwrap_or("?"), v.as_u64().unwrap_or(99)))
            .collect();
        assert_eq!(shown, ["first=0", "last=9", "q=2", "p=1", "r=3"]);
    }

    #[test]
    fn broken_text_is_explained() {
        let cases = [
            ("a: 1\nb: {c: 2, c: 3}\n", (2, 11), "a second time"),
            (
                "a: 1\nb: 2\na: 3\n",
                (3, 1),
                "\"a\" stands here a second time",
            ),
            (
                "x: &x {a: 1}\nb:\n  <<: *x\n  <<: *x\n",
                (4, 3),
                "a second time",
            ),
            ("a: [${A}]\n", (1, 6), "needs quotes: \"${NAME}\""),
            ("a: {b: ${A}, c: 1}\n", (1, 9), "needs quotes: \"${NAME}\""),
            ("a: *\n", (1, 5), "needs quotes: \"*\""),
            ("a: [*.created]\n", (1, 6), "needs quotes: \"*\""),
            ("a: *created\n", (1, 4), "needs quotes: \"*\""),
            ("a:\n\tb: 1\n", (2, 1), "not tabs"),
            ("a: [!b]\n", (1, 7), "needs quotes: \"!name\""),
            ("a: 'b\n", (2, 1), "unexpected end of stream"),
            ("? [a]\n: b\n", (1, 3), "a key that is plain text"),
            ("a: {<<: 5}\n", (1, 4), "<< takes a mapping"),
        ];
        for (text, place, part) in cases {
            let broken = parse(text).expect_err(text);
            assert_eq!(broken.place, Some(place), "{text}: {}", broken.message);
            assert!(broken.message.contains(part), "{text}: {}", broken.message);
            assert!(!broken.message.contains("serde"), "{}", broken.message);
        }
        let two = parse("a: 1\n---\nb: 2\n").expect_err("two documents");
        assert!(two.message.contains("second ---"), "{}", two.message);
    }

    #[test]
    fn scalars_keep_their_kind_and_keys_their_text() {
        let value =
            parse("{8080: x, t: true, n: ~, i: -3, big: 99999999999999999999, f: 1.5, tag: !a b}")
                .expect("valid");
        assert_eq!(value["8080"], Value::from("x"));
        assert_eq!(value["t"], Value::Bool(true));
        assert_eq!(value["n"], Value::Null);
        assert_eq!(value["i"], Value::from(-3));
        assert_eq!(value["big"], Value::from("99999999999999999999"));
        assert_eq!(value["f"], Value::from(1.5));
        assert!(matches!(&value["tag"], Value::Tagged(t) if t.tag == "a"));
        assert_eq!(parse("").expect("an empty file"), Value::Null);
        assert_eq!(parse("# only a comment\n").expect("comment"), Value::Null);
    }
}

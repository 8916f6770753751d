//! Where in a text a key or its value stands. The parser itself is asked: the text is read a second time by a
//! visitor that fails at the node in question, and the parser's error carries the node's place. This runs once
//! for each problem and never for a sound file, so it need not be fast.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, from 0.
    Item(usize),
}

/// The way from the top of the file to a node, such as `sources.erp.forward[1].to`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(Vec<Step>);

impl KeyPath {
    /// The path of a key below this one.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The path of a list's item below this one.
    pub(crate) fn item(&self, index: usize) -> Self {
        self.with(Step::Item(index))
    }

    /// The same way below `to` in place of `from`; none for what is not below `from`.
    pub(crate) fn rebased(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(from.0.as_slice())?;
        Some(Self([to.0.as_slice(), rest].concat()))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Which end of an entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The key: it is unknown, or something is missing below it.
    Key,
    /// The value: it is wrong.
    Value,
}

/// 1-based line and column of a node, or of the nearest ancestor that stands in this text: a node may come from
/// a preset, or be missing. None for the file as a whole.
pub(crate) fn nearest(text: &str, path: &KeyPath, side: Side) -> Option<(usize, usize)> {
    let steps = &path.0;
    if let Some(place) = find(text, steps, side) {
        return Some(place);
    }
    (1..steps.len())
        .rev()
        .find_map(|depth| find(text, &steps[..depth], Side::Key))
}

/// 1-based line and column of what stands in this text.
pub(crate) fn exact(text: &str, path: &KeyPath, side: Side) -> Option<(usize, usize)> {
    find(text, &path.0, side)
}

fn find(text: &str, steps: &[Step], side: Side) -> Option<(usize, usize)> {
    // What stands in the mapping itself goes before what is merged into it.
    [false, true].into_iter().find_map(|through_merges| {
        let walk = Walk {
            steps,
            side,
            through_merges,
        };
        let stopped = walk.deserialize(serde_yaml::Deserializer::from_str(text));
        let at = stopped.err()?.location()?;
        Some((at.line(), at.column()))
    })
}

/// Follows `steps` and fails where they end. It ends without an error where the path does not exist.
#[derive(Clone, Copy)]
struct Walk<'a> {
    steps: &'a [Step],
    side: Side,
    through_merges: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, node: D) -> Result<(), D::Error> {
        match self.steps {
            [] => node.deserialize_any(Here),
            // A list's item has no key of its own.
            [Step::Item(_)] => node.deserialize_any(Self {
                side: Side::Value,
                ..self
            }),
            _ => node.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a list on the way")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some(Step::Key(wanted)) = self.steps.first() else {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let rest = Self {
            steps: &self.steps[1..],
            ..self
        };
        let stop_at_key = rest.steps.is_empty() && self.side == Side::Key;
        while let Some(key) = entries.next_key_seed(Key {
            wanted,
            stop: stop_at_key,
        })? {
            if key == *wanted {
                entries.next_value_seed(rest)?;
            } else if key == "<<" && self.through_merges {
                entries.next_value_seed(self)?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let wanted = match self.steps.first() {
            Some(Step::Item(index)) => Some(*index),
            _ => None,
        };
        let rest = Self {
            steps: &self.steps[1..],
            ..self
        };
        let mut index = 0;
        loop {
            let more = match wanted {
                Some(wanted) if wanted == index => items.next_element_seed(rest)?.is_some(),
                // A list where a key was expected: only `<<: [*a, *b]` leads here.
                None if self.through_merges => items.next_element_seed(self)?.is_some(),
                _ => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    // A scalar on the way: what is looked for stands elsewhere (in a preset).
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    // An empty file.
    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Fails at whatever it meets: a visitor's own methods all do unless they are written.
struct Here;

impl Visitor<'_> for Here {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: this is the place")
    }
}

/// Reads a key; fails at the wanted one if that is the place.
struct Key<'a> {
    wanted: &'a str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<String, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if self.stop && key == self.wanted {
            return Err(E::custom("this is the place"));
        }
        Ok(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
x-slow: &slow
  timeout: 60s
  retry: {max: 1h}
targets:
  orders:
    <<: *slow
    url: http://a/
  audit: { <<: [*slow], url: http://b/, timeout: 5s }
sources:
  erp:
    forward:
      - { to: orders, events: [\"a\", \"b\"] }
      - audit
    secret:
    limits: &limits
      body: 1KiB
";

    fn at(path: &[&str], side: Side) -> Option<(usize, usize)> {
        let mut keys = KeyPath::default();
        for step in path {
            keys = match step.parse() {
                Ok(index) => keys.item(index),
                Err(_) => keys.key(step),
            };
        }
        nearest(TEXT, &keys, side)
    }

    #[test]
    fn keys_and_values_are_found_where_they_stand() {
        type Place = (usize, usize);
        let cases: [(&[&str], Place, Place); 7] = [
            (&["targets", "orders", "url"], (7, 5), (7, 10)),
            (&["targets", "audit", "timeout"], (8, 41), (8, 50)),
            (&["sources", "erp"], (10, 3), (11, 5)),
            (
                &["sources", "erp", "forward", "0", "events", "1"],
                (12, 37),
                (12, 37),
            ),
            (&["sources", "erp", "forward", "1"], (13, 9), (13, 9)),
            // Merged content: the text that is wrong.
            (&["targets", "orders", "timeout"], (2, 3), (2, 12)),
            (&["targets", "audit", "retry", "max"], (3, 11), (3, 16)),
        ];
        for (path, key, value) in cases {
            assert_eq!(at(path, Side::Key), Some(key), "key of {path:?}");
            assert_eq!(at(path, Side::Value), Some(value), "value of {path:?}");
        }
    }

    #[test]
    fn what_is_missing_is_placed_at_the_nearest_ancestor() {
        assert_eq!(
            at(&["sources", "erp", "verify", "hmac"], Side::Value),
            Some((10, 3))
        );
        assert_eq!(
            at(&["sources", "erp", "secret", "file"], Side::Value),
            Some((14, 5))
        );
        assert_eq!(
            at(&["sources", "erp", "forward", "7"], Side::Value),
            Some((11, 5))
        );
        assert_eq!(at(&["limits"], Side::Key), None);
    }

    #[test]
    fn paths_read_as_users_write_them() {
        let path = KeyPath::default().key("sources").key("erp").key("forward");
        assert_eq!(
            path.item(1).key("to").to_string(),
            "sources.erp.forward[1].to"
        );
        assert_eq!(KeyPath::default().to_string(), "");
    }
}

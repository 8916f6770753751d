//! A JSON object with every name that it has, one that is twice there too: which of two values counts would be a guess.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// What the object has, in its order.
pub(super) struct Pairs(pub(super) Vec<(String, Entry)>);

/// A value; of an object what is in it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Entry {
    Section(Pairs),
    Other(Value),
}

impl Entry {
    pub(super) fn value(self) -> Value {
        match self {
            Self::Other(value) => value,
            Self::Section(Pairs(pairs)) => pairs
                .into_iter()
                .map(|(name, entry)| (name, entry.value()))
                .collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

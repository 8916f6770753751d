//! One value out of a JSON document, found without building the document: its text is scanned once for the
//! first name of a pointer ([`Members`]: once for those of all pointers), and then what was found for each further name.
//!
//! The whole document must be JSON (RFC 8259) in UTF-8, else it has no values. Time is linear in the document
//! for each name, and the stack does not grow with its nesting. A lone surrogate (`"\ud800"`) is no text: a
//! string with one is absent, while other values of its document can still be read.

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, value::RawValue};
use std::{borrow::Cow, cell::OnceCell, fmt};

/// The members of a document that is an object, found in one scan when the first of them is asked for: an event is
/// asked for several.
#[derive(Debug, Default)]
pub struct Members<'a>(OnceCell<Document<'a>>);

/// What is known of a document.
#[derive(Debug)]
enum Document<'a> {
    /// An object: names as they are written, and values.
    Object(Vec<(&'a str, &'a str)>),
    /// Something else, or no JSON; whoever asks it for a value scans it.
    Other(&'a str),
    /// No UTF-8, or what begins like an object is no JSON.
    Broken,
}

impl<'a> Document<'a> {
    fn read(body: &'a [u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) if is_object(text) => members(text).map_or(Self::Broken, Self::Object),
            Ok(text) => Self::Other(text),
            Err(_) => Self::Broken,
        }
    }
}

impl<'a> Members<'a> {
    /// The text of the member called `name` of `body`, which is the same at every call.
    fn get(&self, body: &'a [u8], name: &str) -> Option<&'a str> {
        match self.0.get_or_init(|| Document::read(body)) {
            Document::Object(members) => {
                // Of a repeated name the last one wins.
                let mut members = members.iter().rev();
                let is_called = |key: &str| decoded(key).is_some_and(|key| key == name);
                members
                    .find(|(key, _)| is_called(key))
                    .map(|(_, value)| *value)
            }
            Document::Other(text) => child(text, name),
            Document::Broken => None,
        }
    }
}

/// The value that `names` lead to: a string decoded, anything else as its source text. None for null and for
/// what is not there. `members` are those of `body`.
pub(super) fn value_at<'a>(
    body: &'a [u8],
    names: &[String],
    members: Option<&Members<'a>>,
) -> Option<Cow<'a, [u8]>> {
    let (first, rest) = names.split_first()?;
    let first = match members {
        Some(members) => members.get(body, first)?,
        None => child(std::str::from_utf8(body).ok()?, first)?,
    };
    let value = rest
        .iter()
        .try_fold(first, |text, name| child(text, name))?;
    if value == "null" {
        return None;
    }
    if value.starts_with('"') {
        return decoded(value).map(|text| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        });
    }
    Some(Cow::Borrowed(value.as_bytes()))
}

/// Where the text stands that `names` lead to.
pub(super) fn span(body: &[u8], names: &[String]) -> Option<std::ops::Range<usize>> {
    let document = std::str::from_utf8(body).ok()?;
    let value = names
        .iter()
        .try_fold(document, |text, name| child(text, name))?;
    // Every child is a part of its parent's text.
    let start = value.as_ptr().addr() - document.as_ptr().addr();
    Some(start..start + value.len())
}

fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{')
}

/// The members of `text`, an object: names as they are written, and values. None if it is not JSON.
fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut json = Deserializer::from_str(text);
    let members = json.deserialize_map(All).ok()?;
    json.end().ok()?;
    Some(members)
}

/// The text of what is called `name` in `text`, an object or an array.
fn child<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut json = Deserializer::from_str(text);
    let found = match text.trim_ascii_start().as_bytes().first()? {
        b'{' => json.deserialize_map(Member { name }),
        b'[' => json.deserialize_seq(Element {
            index: index(name)?,
        }),
        _ => return None,
    };
    let found = found.ok()?;
    json.end().ok()?;
    found.map(RawValue::get)
}

/// An array index (RFC 6901 4): digits, and no zero before others. `-`, the place after the last, holds nothing.
fn index(name: &str) -> Option<usize> {
    let digits = name.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (name == "0" || !name.starts_with('0')))
        .then(|| name.parse().ok())
        .flatten()
}

/// The text between the quotes of `string`, without its escapes.
fn decoded(string: &str) -> Option<Cow<'_, str>> {
    let inside = &string[1..string.len() - 1];
    if inside.contains('\\') {
        serde_json::from_str(string).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// Looks for a member of an object. Of a repeated name the last one wins, so all of them are read.
struct Member<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        // Keys are taken raw: decoding one that holds a lone surrogate would fail the whole document.
        while let Some(key) = members.next_key::<&RawValue>()? {
            if decoded(key.get()).is_some_and(|key| key == self.name) {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Members of most events, at the top.
const MEMBERS_USUAL: usize = 16;

/// Takes all members of an object.
struct All;

impl<'de> Visitor<'de> for All {
    type Value = Vec<(&'de str, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::with_capacity(MEMBERS_USUAL);
        // Keys are taken raw, as above.
        while let Some((key, value)) = members.next_entry::<&RawValue, &RawValue>()? {
            all.push((key.get(), value.get()));
        }
        Ok(all)
    }
}

/// Looks for an element of an array, and reads the others to know that they are JSON.
struct Element {
    index: usize,
}

impl<'de> Visitor<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.index {
            if elements.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = elements.next_element()?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn at<'a>(body: &'a [u8], names: &[&str]) -> Option<Cow<'a, [u8]>> {
        let names: Vec<String> = names.iter().map(std::string::ToString::to_string).collect();
        let once = value_at(body, &names, None);
        let members = Members::default();
        for _ in 0..2 {
            assert_eq!(value_at(body, &names, Some(&members)), once, "{names:?}");
        }
        once
    }

    #[test]
    fn values_as_json_parse_reads_them() {
        let cases: [(&str, &[&str], Option<&str>); 28] = [
            (r#"{"a":"b"}"#, &["a"], Some("b")),
            (r#" {"a" : "b" } "#, &["a"], Some("b")),
            (r#"{"a":"\u00e9\n\ud83d\ude00"}"#, &["a"], Some("é\n😀")),
            (r#"{"\u0061":1}"#, &["a"], Some("1")),
            (r#"{"a\\b":1}"#, &["a\\b"], Some("1")),
            (r#"{"a":199.00}"#, &["a"], Some("199.00")),
            (r#"{"a":1e400}"#, &["a"], Some("1e400")),
            (
                r#"{"a":9007199254740993}"#,
                &["a"],
                Some("9007199254740993"),
            ),
            (r#"{"a":true}"#, &["a"], Some("true")),
            (
                r#"{"a":{"b": [1, "x"]}}"#,
                &["a"],
                Some(r#"{"b": [1, "x"]}"#),
            ),
            (r#"{"a":{"b":[1,"x"]}}"#, &["a", "b", "1"], Some("x")),
            (r"[[1],[2,3]]", &["1", "0"], Some("2")),
            (r"[1]", &["1"], None),
            (r"[1,2]", &["01"], None),
            (r"[1,2]", &["-"], None),
            (r"[1,2]", &["+1"], None),
            (r"[1,2]", &["99999999999999999999999"], None),
            (r#"{"0":"x"}"#, &["0"], Some("x")),
            (r#"{"":"x"}"#, &[""], Some("x")),
            (r#"{"a":"b"}"#, &["a", "b"], None),
            (r#"{"a":null}"#, &["a"], None),
            (r#""a""#, &["a"], None),
            // A repeated key: the last value wins, at every level.
            (r#"{"a":1,"a":2}"#, &["a"], Some("2")),
            (r#"{"a":1,"a":null}"#, &["a"], None),
            (r#"{"a":{"b":1},"a":2}"#, &["a", "b"], None),
            (r#"{"a":1e400,"a":{"b":1}}"#, &["a", "b"], Some("1")),
            // A lone surrogate spoils its own string alone.
            (r#"{"x":"\ud800","\udfff":[],"a":1}"#, &["a"], Some("1")),
            (r#"{"a":"\ud800"}"#, &["a"], None),
        ];
        for (body, names, expected) in cases {
            let expected = expected.map(str::as_bytes);
            assert_eq!(
                at(body.as_bytes(), names).as_deref(),
                expected,
                "{body} {names:?}"
            );
        }
    }

    #[test]
    fn what_is_not_json_has_no_values() {
        let cases: [&[u8]; 16] = [
            b"",
            b"a=1",
            br#"{"a":1"#,
            br#"{"a":1}x"#,
            br#"{"a":1}{"a":2}"#,
            br#"{"a":1,}"#,
            br#"{"a":1,"b":tru}"#,
            br#"{"a":1,"b":01}"#,
            br#"{"a":1,"b":"\x"}"#,
            br#"{"a":1,"b":"\u12"}"#,
            br#"{"a":1,b:2}"#,
            b"{\"a\":1,\"b\":\"\n\"}",
            b"{\"a\":1,\"b\n\":2}",
            b"{\"a\":1,\"b\":\"\xff\"}",
            b"\xef\xbb\xbf{\"a\":1}",
            b"\x0c{\"a\":1}",
        ];
        for body in cases {
            assert_eq!(at(body, &["a"]), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        const DEPTH: usize = 500_000;
        let nest = |inside: &str| {
            let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
            format!(r#"{{"deep":{open}{inside}{close},"a":1}}"#)
        };
        assert_eq!(at(nest("").as_bytes(), &["a"]).as_deref(), Some(&b"1"[..]));
        assert_eq!(at(nest("x").as_bytes(), &["a"]), None);
        let unclosed = format!(r#"{{"a":{}"#, "[".repeat(DEPTH));
        assert_eq!(at(unclosed.as_bytes(), &["a"]), None);
    }

    const NAMES: [&str; 8] = ["a", "b", "0", "1", "~", "/", "\\\"", "é\u{1}"];

    fn document() -> impl Strategy<Value = Value> {
        let name = || prop::sample::select(&NAMES[..]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name(), inner, 0..5).prop_map(|members| {
                    let named = members.into_iter().map(|(k, v)| (k.to_owned(), v));
                    Value::Object(named.collect::<Map<_, _>>())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_value_tree(
            document in document(),
            names in prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4),
            pretty in any::<bool>(),
        ) {
            let escaped = |name: &&str| name.replace('~', "~0").replace('/', "~1");
            let pointer: String = names.iter().map(|name| format!("/{}", escaped(name))).collect();
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            let expected = match document.pointer(&pointer) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some(text.clone()),
                Some(other) => Some(other.to_string()),
            };
            let found = at(text.as_bytes(), &names).map(|found| {
                let found = String::from_utf8(found.into_owned()).expect("UTF-8");
                // Source text has the document's whitespace: compare containers by what they mean.
                match serde_json::from_str::<Value>(&found) {
                    Ok(value) if value.is_object() || value.is_array() => value.to_string(),
                    _ => found,
                }
            });
            let by_meaning = expected.map(|text| match serde_json::from_str::<Value>(&text) {
                Ok(value) if value.is_object() || value.is_array() => value.to_string(),
                _ => text,
            });
            prop_assert_eq!(found, by_meaning);
        }

        /// Whatever is cut off or changed: a value is found only in what a full parser takes, too.
        #[test]
        fn damaged_documents_have_values_only_if_they_still_parse(
            document in document(),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut text = format!(r#"{{"a":1,"b":{document}}}"#).into_bytes();
            let place = place.index(text.len());
            text[place] = byte;
            let parses = serde_json::from_slice::<Value>(&text).is_ok();
            if at(&text, &["a"]).is_some() && !parses {
                // The scan is lenient in two ways alone: it neither converts numbers nor pairs surrogates.
                let error = serde_json::from_slice::<Value>(&text).expect_err("does not parse").to_string();
                let lenient = error.starts_with("number out of range")
                    || error.starts_with("lone leading surrogate")
                    || error.starts_with("unexpected end of hex escape");
                prop_assert!(lenient, "{}", error);
            }
            if parses {
                let value: Value = serde_json::from_slice(&text).expect("parses");
                let expected = value.pointer("/a").is_some_and(|value| !value.is_null());
                prop_assert_eq!(at(&text, &["a"]).is_some(), expected);
            }
        }
    }
}

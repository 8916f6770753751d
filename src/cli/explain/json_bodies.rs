//! JSON bodies as the libraries of other languages write them: what one of them parses and writes anew has its own
//! spaces, escapes, numbers and order of keys.

use super::json_text::{Space, Style, Unicode, write};
use crate::extract::json_stringify;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Objects and arrays within each other that are sorted.
const DEPTH_MAX: usize = 64;

/// The text that a style is applied to.
#[derive(Clone, Copy, Debug)]
enum Base {
    /// The body: its numbers and other escapes stay.
    Body,
    /// As ECMAScript writes it, and so PHP and Go but for escapes.
    EcmaScript,
    /// With Python's numbers, and nothing escaped that needs not be.
    Python,
    /// The same in the order of keys.
    PythonSorted,
}

const KEPT: Style = Style {
    space: Space::Kept,
    slash: None,
    unicode: None,
    html: false,
    python_numbers: false,
};

const COMPACT: Style = Style {
    space: Space::Compact,
    ..KEPT
};

const SPACED: Style = Style {
    space: Space::Spaced,
    ..KEPT
};

/// With a style's characters beyond ASCII escaped.
const fn escaped(style: Style) -> Style {
    Style {
        unicode: Some(Unicode::Escaped),
        ..style
    }
}

/// With a style's `/` written in this way.
const fn slashed(style: Style, slash: bool) -> Style {
    Style {
        slash: Some(slash),
        ..style
    }
}

/// With Python's numbers, and nothing escaped that needs not be.
const PYTHON: Style = Style {
    slash: Some(false),
    unicode: Some(Unicode::Plain),
    python_numbers: true,
    ..COMPACT
};

const HTML: Style = Style { html: true, ..KEPT };

const fn lines(indent: &'static str) -> Style {
    Style {
        space: Space::Lines(indent),
        ..KEPT
    }
}

const PYTHON_SPACED: &str = "written as Python does (a space after each colon and comma)";
const PYTHON_ESCAPED: &str =
    "written as Python does (a space after each colon and comma, \\u escapes)";
const PHP: &str = "written as PHP does (`\\/` and `\\uXXXX`)";
const GO: &str = "with `<`, `>` and `&` written as `\\u` escapes (Go, Rails)";
const TWO: &str = "written in lines, indented by 2 spaces";
const FOUR: &str = "written in lines, indented by 4 spaces";

/// The styles, those that change least first.
const STYLES: [(&str, Base, Style); 28] = [
    ("written without spaces", Base::Body, COMPACT),
    (PYTHON_SPACED, Base::Body, SPACED),
    (PYTHON_ESCAPED, Base::Body, escaped(SPACED)),
    ("with `/` written `\\/`", Base::Body, slashed(KEPT, true)),
    ("with `\\/` written `/`", Base::Body, slashed(KEPT, false)),
    (
        "with characters beyond ASCII written `\\uXXXX`",
        Base::Body,
        escaped(KEPT),
    ),
    (
        "with `\\uXXXX` written as the character",
        Base::Body,
        Style {
            unicode: Some(Unicode::Plain),
            ..KEPT
        },
    ),
    (PHP, Base::Body, escaped(slashed(COMPACT, true))),
    (
        "with `/` and characters beyond ASCII not escaped, without spaces",
        Base::Body,
        Style {
            unicode: Some(Unicode::Plain),
            ..slashed(COMPACT, false)
        },
    ),
    (
        "written without spaces, characters beyond ASCII as `\\uXXXX`",
        Base::Body,
        escaped(COMPACT),
    ),
    (
        "written without spaces, `/` as `\\/`",
        Base::Body,
        slashed(COMPACT, true),
    ),
    (GO, Base::Body, HTML),
    (TWO, Base::Body, lines("  ")),
    (FOUR, Base::Body, lines("    ")),
    (
        "written in lines, indented by tabs",
        Base::Body,
        lines("\t"),
    ),
    (PYTHON_SPACED, Base::Python, SPACED),
    (PYTHON_ESCAPED, Base::Python, escaped(SPACED)),
    (
        "written anew without spaces (Python)",
        Base::Python,
        COMPACT,
    ),
    (
        "written anew without spaces, with `\\u` escapes (Python; PHP with JSON_UNESCAPED_SLASHES)",
        Base::Python,
        escaped(COMPACT),
    ),
    (
        "written anew without spaces, with `\\u` escapes (PHP with JSON_UNESCAPED_SLASHES)",
        Base::EcmaScript,
        escaped(COMPACT),
    ),
    (PHP, Base::EcmaScript, escaped(slashed(COMPACT, true))),
    (
        "written anew with `/` as `\\/` (PHP with JSON_UNESCAPED_UNICODE)",
        Base::EcmaScript,
        slashed(COMPACT, true),
    ),
    (GO, Base::EcmaScript, HTML),
    (TWO, Base::EcmaScript, lines("  ")),
    (FOUR, Base::EcmaScript, lines("    ")),
    (
        "written in the order of its keys, without spaces",
        Base::PythonSorted,
        COMPACT,
    ),
    (
        "written in the order of its keys, without spaces, with `\\u` escapes",
        Base::PythonSorted,
        escaped(COMPACT),
    ),
    (
        "written in the order of its keys, as Python does (a space after each colon and comma, \\u escapes)",
        Base::PythonSorted,
        escaped(SPACED),
    ),
];

/// Gives each style to `add`, with what makes it.
pub(super) fn write_anew(
    body: &[u8],
    mut add: impl FnMut(&'static str, &dyn Fn() -> Option<Vec<u8>>),
) {
    let ecma_script = json_stringify(body).ok();
    let python = write(body, PYTHON);
    let ordered = python.as_deref().and_then(sorted);
    for (words, base, style) in STYLES {
        let base = match base {
            Base::Body => Some(body),
            Base::EcmaScript => ecma_script.as_deref(),
            Base::Python => python.as_deref(),
            Base::PythonSorted => ordered.as_deref(),
        };
        add(words, &|| write(base?, style));
    }
}

/// The same text with the members of each object in the order of their names.
fn sorted(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = String::with_capacity(text.len());
    sort(serde_json::from_slice(text).ok()?, 0, &mut out)?;
    Some(out.into_bytes())
}

fn sort(value: &RawValue, depth: usize, out: &mut String) -> Option<()> {
    let text = value.get();
    if depth == DEPTH_MAX {
        return None;
    }
    match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            for (place, (name, member)) in members.iter().enumerate() {
                out.push(if place == 0 { '{' } else { ',' });
                out.push_str(&serde_json::to_string(name).ok()?);
                out.push(':');
                sort(member, depth + 1, out)?;
            }
            out.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        b'[' => {
            let members: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            for (place, member) in members.iter().enumerate() {
                out.push(if place == 0 { '[' } else { ',' });
                sort(member, depth + 1, out)?;
            }
            out.push_str(if members.is_empty() { "[]" } else { "]" });
        }
        _ => out.push_str(text),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3 and PHP 8 write of these.
    #[test]
    fn each_library_writes_numbers_escapes_and_order_in_its_way() {
        let body = r#"{ "b":"caf\u00e9 \/ x","a":[2.50,1.0,-0.0,1e16,1e-5,10,0.0001,12345678901234567890], "c":{"z":{},"y":[]}}"#;
        let python = r#"{"b": "caf\u00e9 / x", "a": [2.5, 1.0, -0.0, 1e+16, 1e-05, 10, 0.0001, 12345678901234567890], "c": {"z": {}, "y": []}}"#;
        let ordered = r#"{"a":[2.5,1.0,-0.0,1e+16,1e-05,10,0.0001,12345678901234567890],"b":"caf\u00e9 / x","c":{"y":[],"z":{}}}"#;
        let php = r#"{"b":"caf\u00e9 \/ x","a":[2.5,1"#;
        let mut written = Vec::new();
        write_anew(body.as_bytes(), |_, make| {
            let text = make().expect("JSON");
            written.push(String::from_utf8(text).expect("UTF-8"));
        });
        for expected in [python, ordered] {
            assert!(written.iter().any(|text| text == expected), "{written:#?}");
        }
        assert!(
            written.iter().any(|text| text.starts_with(php)),
            "{written:#?}"
        );
    }

    #[test]
    fn what_is_nested_too_deep_is_left_alone() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(sorted(deep(DEPTH_MAX).as_bytes()).is_some());
        assert!(sorted(deep(DEPTH_MAX + 1).as_bytes()).is_none());
        assert!(sorted(deep(100_000).as_bytes()).is_none());
    }
}

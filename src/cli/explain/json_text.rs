//! A JSON text written anew as another library would write it: the space between its tokens and the escapes in strings
//! change, and numbers where that is asked for. [`json_stringify`](crate::extract::json_stringify) is the
//! one that changes more.

/// How it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// The space between tokens.
    pub(super) space: Space,
    /// Whether `/` is written `\/`; `None` keeps what is there.
    pub(super) slash: Option<bool>,
    /// How characters beyond ASCII are written; `None` keeps what is there.
    pub(super) unicode: Option<Unicode>,
    /// Whether `<`, `>` and `&` are written `\u003c` and so on, as Go and Rails do.
    pub(super) html: bool,
    /// Whether numbers with a point or exponent are written as Python does; otherwise they stay.
    pub(super) python_numbers: bool,
}

/// The space between tokens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Space {
    /// As it is.
    Kept,
    /// None.
    Compact,
    /// One after each colon and comma, as Python does.
    Spaced,
    /// A line for each value, indented by this.
    Lines(&'static str),
}

/// How characters beyond ASCII are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unicode {
    /// `\u00e9`.
    Escaped,
    /// `é`.
    Plain,
}

/// The text in this style; none if it is no JSON or no UTF-8.
pub(super) fn write(body: &[u8], style: Style) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut writer = Writer {
        style,
        out: String::with_capacity(text.len() * 2),
        depth: 0,
        fresh: false,
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let end = end_of_string(rest)?;
                writer.before_value();
                writer.string(&rest[1..end - 1]);
                end
            }
            ' ' | '\t' | '\n' | '\r' => {
                if matches!(style.space, Space::Kept) {
                    writer.out.push(first);
                }
                1
            }
            '{' | '[' | '}' | ']' | ',' | ':' => {
                writer.structure(first);
                1
            }
            _ => {
                let end = rest
                    .find([',', ':', '}', ']', ' ', '\t', '\n', '\r'])
                    .unwrap_or(rest.len());
                writer.before_value();
                writer.literal(&rest[..end]);
                end
            }
        };
        rest = &rest[length..];
    }
    Some(writer.out.into_bytes())
}

/// Where a string that begins here ends, its quotes included.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

struct Writer {
    style: Style,
    out: String,
    depth: usize,
    /// Whether an array or object was just opened.
    fresh: bool,
}

impl Writer {
    fn line(&mut self) {
        if let Space::Lines(indent) = self.style.space {
            self.out.push('\n');
            for _ in 0..self.depth {
                self.out.push_str(indent);
            }
        }
    }

    fn before_value(&mut self) {
        if std::mem::take(&mut self.fresh) {
            self.line();
        }
    }

    fn structure(&mut self, token: char) {
        match token {
            '{' | '[' => {
                self.before_value();
                self.out.push(token);
                self.depth += 1;
                self.fresh = true;
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                if !std::mem::take(&mut self.fresh) {
                    self.line();
                }
                self.out.push(token);
            }
            ',' => {
                self.out.push(',');
                match self.style.space {
                    Space::Spaced => self.out.push(' '),
                    _ => self.line(),
                }
            }
            _ => {
                self.out.push(token);
                if matches!(self.style.space, Space::Spaced | Space::Lines(_)) {
                    self.out.push(' ');
                }
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn literal(&mut self, text: &str) {
        match text.parse::<f64>() {
            Ok(number)
                if self.style.python_numbers
                    && number.is_finite()
                    && text.contains(['.', 'e', 'E']) =>
            {
                self.out.push_str(&python_number(number));
            }
            _ => self.out.push_str(text),
        }
    }

    /// A string without its quotes, written in the style.
    fn string(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = if first == '\\' {
                self.escape(rest)
            } else {
                self.character(first);
                first.len_utf8()
            };
            rest = &rest[length..];
        }
        self.out.push('"');
    }

    fn character(&mut self, character: char) {
        match character {
            '/' if self.style.slash == Some(true) => self.out.push_str("\\/"),
            '<' | '>' | '&' if self.style.html => self.escaped(character),
            c if !c.is_ascii() && matches!(self.style.unicode, Some(Unicode::Escaped)) => {
                self.escaped(c);
            }
            c => self.out.push(c),
        }
    }

    fn escaped(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            self.out.push_str(&format!("\\u{unit:04x}"));
        }
    }

    /// Writes the escape that `text` begins with, and says how long it was.
    fn escape(&mut self, text: &str) -> usize {
        let bytes = text.as_bytes();
        match bytes.get(1) {
            Some(b'/') if self.style.slash == Some(false) => {
                self.out.push('/');
                2
            }
            Some(b'u') if matches!(self.style.unicode, Some(Unicode::Plain)) => {
                let (character, length) = decoded(text);
                match character {
                    Some(c) if !c.is_control() && c != '"' && c != '\\' => self.character(c),
                    _ => self.out.push_str(&text[..length]),
                }
                length
            }
            Some(_) => {
                let length = 1 + text[1..].chars().next().map_or(0, char::len_utf8);
                self.out.push_str(&text[..length]);
                length
            }
            None => {
                self.out.push('\\');
                1
            }
        }
    }
}

/// A number as Python's `repr` writes it: always with a point or an exponent, and that of two digits.
fn python_number(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => {
            let plain = number.to_string();
            if plain.contains('.') {
                plain
            } else {
                plain + ".0"
            }
        }
    }
}

/// The character of a `\uXXXX`, or of a pair of them, and its length as text.
fn decoded(text: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = text
            .get(at..at + 6)?
            .strip_prefix("\\u")
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else {
        return (None, 2.min(text.len()));
    };
    if let Some(character) = char::from_u32(u32::from(first)) {
        return (Some(character), 6);
    }
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    match pair {
        Some(character) => (Some(character), 12),
        None => (None, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Style = Style {
        space: Space::Kept,
        slash: None,
        unicode: None,
        html: false,
        python_numbers: false,
    };

    #[test]
    fn each_style_is_that_of_a_library() {
        let body = r#"{ "a":[1.0,{"b/c":"d\/é\u00e9\ud83d\ude00\ud800\n<"},[],{}] ,"e": null}"#;
        let cases = [
            (KEEP, body),
            (
                Style {
                    space: Space::Compact,
                    ..KEEP
                },
                r#"{"a":[1.0,{"b/c":"d\/é\u00e9\ud83d\ude00\ud800\n<"},[],{}],"e":null}"#,
            ),
            (
                Style {
                    space: Space::Spaced,
                    unicode: Some(Unicode::Escaped),
                    ..KEEP
                },
                r#"{"a": [1.0, {"b/c": "d\/\u00e9\u00e9\ud83d\ude00\ud800\n<"}, [], {}], "e": null}"#,
            ),
            (
                Style {
                    slash: Some(true),
                    unicode: Some(Unicode::Plain),
                    space: Space::Compact,
                    html: true,
                    python_numbers: false,
                },
                r#"{"a":[1.0,{"b\/c":"d\/éé😀\ud800\n\u003c"},[],{}],"e":null}"#,
            ),
            (
                Style {
                    slash: Some(false),
                    space: Space::Lines("  "),
                    ..KEEP
                },
                "{\n  \"a\": [\n    1.0,\n    {\n      \"b/c\": \"d/é\\u00e9\\ud83d\\ude00\\ud800\\n<\"\n    },\n    [],\n    {}\n  ],\n  \"e\": null\n}",
            ),
        ];
        for (style, expected) in cases {
            let written = write(body.as_bytes(), style).expect("JSON");
            assert_eq!(String::from_utf8_lossy(&written), expected, "{style:?}");
        }
    }

    #[test]
    fn only_json_is_written() {
        for body in [&b"{"[..], b"a=b", b"", b"\xff", b"{\"a\":\"\\\"}"] {
            assert_eq!(write(body, KEEP), None, "{body:?}");
        }
    }
}

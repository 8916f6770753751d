//! `JSON.stringify(JSON.parse(text))` of ECMAScript (ECMA-262 25.5), byte for byte, for bodies whose sender signed
//! what its own `JSON.stringify` made. The text is the body decoded as UTF-8 (WHATWG Encoding 4.1): bytes that are not
//! UTF-8 become U+FFFD, and a byte order mark stays, which makes it no JSON.
//!
//! The body is unproven when it comes here, so nothing depends on its good will: nesting is counted on a stack of our
//! own, every byte is copied at most twice, and the result has at most 5.25 bytes for each byte of the body (`1e20`
//! becomes 21 digits; a byte that is not UTF-8 three).

mod number;
mod order;
mod string;

use order::Members;
use std::borrow::Cow;

/// How deep arrays and objects may be nested. Node 20, with the stack that it has by default, writes this many levels
/// and not 4,200; a document between the two is the one thing that is valid there and refused here.
pub const STRINGIFY_DEPTH_MAX: usize = 4_096;

/// Why a body has no `JSON.stringify`.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotJson {
    /// `JSON.parse` would throw.
    #[error("not JSON: {reason} at byte {offset}")]
    Syntax {
        /// Where, in bytes from the beginning of the body.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// It may be JSON, but is nested too deep.
    #[error("JSON nested deeper than {STRINGIFY_DEPTH_MAX} levels at byte {offset}")]
    TooDeep {
        /// Where the first level too many is opened.
        offset: usize,
    },
}

/// The text that `JSON.stringify(JSON.parse(body))` gives, in UTF-8; borrowed if that is the body as it came.
///
/// ```
/// let text = hookgate::extract::json_stringify(br#"{ "b": 1.0, "1": "\u00e9" }"#)?;
/// assert_eq!(*text, *r#"{"1":"é","b":1}"#.as_bytes());
/// # Ok::<(), hookgate::extract::NotJson>(())
/// ```
pub fn json_stringify(body: &[u8]) -> Result<Cow<'_, [u8]>, NotJson> {
    let mut writer = Writer {
        body,
        at: 0,
        is_utf8: std::str::from_utf8(body).is_ok(),
        out: Vec::with_capacity(body.len()),
        open: Vec::new(),
        members: Members::default(),
    };
    writer.document()?;
    let Writer { out, members, .. } = writer;
    let text = members.arrange(out);
    Ok(if text == body {
        Cow::Borrowed(body)
    } else {
        Cow::Owned(text)
    })
}

/// A walk over the body that writes what it reads, members still in the order of the body.
struct Writer<'b> {
    body: &'b [u8],
    at: usize,
    /// Whether runs of text can be copied as they are.
    is_utf8: bool,
    out: Vec<u8>,
    open: Vec<Open>,
    members: Members,
}

/// An array or an object whose end has not come yet.
#[derive(Clone, Copy)]
enum Open {
    Array,
    Object(order::Object),
}

/// What a step of the walk has reached.
#[derive(PartialEq, Eq)]
enum Reached {
    /// A place where a value must follow.
    Value,
    /// The end of a value.
    EndOfValue,
    /// The end of the document.
    End,
}

impl Writer<'_> {
    fn document(&mut self) -> Result<(), NotJson> {
        let mut reached = Reached::Value;
        while reached != Reached::End {
            self.skip_space();
            reached = match reached {
                Reached::Value => self.value()?,
                Reached::EndOfValue | Reached::End => self.after_value()?,
            };
        }
        Ok(())
    }

    /// A scalar, an empty container, or the beginning of another.
    fn value(&mut self) -> Result<Reached, NotJson> {
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'{') => return self.open_object(),
            Some(b'[') => return self.open_array(),
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => return Err(self.wrong("a value is missing")),
        }
        Ok(Reached::EndOfValue)
    }

    fn open_array(&mut self) -> Result<Reached, NotJson> {
        self.nest(Open::Array)?;
        self.copy();
        self.skip_space();
        Ok(if self.peek() == Some(b']') {
            self.close();
            Reached::EndOfValue
        } else {
            Reached::Value
        })
    }

    fn open_object(&mut self) -> Result<Reached, NotJson> {
        let object = self.members.open();
        self.nest(Open::Object(object))?;
        self.copy();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(Reached::EndOfValue);
        }
        self.key()?;
        Ok(Reached::Value)
    }

    fn nest(&mut self, open: Open) -> Result<(), NotJson> {
        if self.open.len() == STRINGIFY_DEPTH_MAX {
            return Err(NotJson::TooDeep { offset: self.at });
        }
        self.open.push(open);
        Ok(())
    }

    /// Another value, the end of what is open, or the end of the document.
    fn after_value(&mut self) -> Result<Reached, NotJson> {
        match (self.open.last().copied(), self.peek()) {
            (None, None) => return Ok(Reached::End),
            (None, Some(_)) => return Err(self.wrong("text after the end of the value")),
            (Some(Open::Array), Some(b',')) => self.copy(),
            (Some(Open::Array), Some(b']')) => return Ok(self.close()),
            (Some(Open::Array), _) => return Err(self.wrong("`,` or `]` is missing")),
            (Some(Open::Object(_)), Some(b',')) => {
                self.copy();
                self.skip_space();
                self.key()?;
            }
            (Some(Open::Object(object)), Some(b'}')) => {
                self.members.close(object, &self.out);
                return Ok(self.close());
            }
            (Some(Open::Object(_)), _) => return Err(self.wrong("`,` or `}` is missing")),
        }
        Ok(Reached::Value)
    }

    /// The bracket that closes what was opened last.
    fn close(&mut self) -> Reached {
        self.copy();
        self.open.pop();
        Reached::EndOfValue
    }

    /// The name of a member and its colon.
    fn key(&mut self) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a name in quotes is missing"));
        }
        let start = self.out.len();
        self.string()?;
        self.members.add(start..self.out.len());
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.wrong("`:` is missing"));
        }
        self.copy();
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), NotJson> {
        if !self.body[self.at..].starts_with(word.as_bytes()) {
            return Err(self.wrong("a value is missing"));
        }
        self.out.extend_from_slice(word.as_bytes());
        self.at += word.len();
        Ok(())
    }

    /// JSON knows four kinds of white space.
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    /// Copies the byte that was just peeked at.
    fn copy(&mut self) {
        self.out.push(self.body[self.at]);
        self.at += 1;
    }

    fn wrong(&self, reason: &'static str) -> NotJson {
        let reason = match self.peek() {
            None => "the text ends early",
            Some(_) if self.at == 0 && self.body.starts_with(b"\xef\xbb\xbf") => {
                "a byte order mark"
            }
            Some(_) => reason,
        };
        NotJson::Syntax {
            offset: self.at,
            reason,
        }
    }
}

#[cfg(test)]
mod tests;

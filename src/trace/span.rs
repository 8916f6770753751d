//! A span: something that took its time, and what is told of it. Never a body, a secret, a signature or a query.

use super::context::{Context, SpanId};
use std::sync::Arc;

/// Characters of a text that are told: names come from senders, and what waits has to have a bound.
const TEXT_CHARS_MAX: usize = 256;

/// On which side of a request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was received.
    Server,
    /// It was sent.
    Client,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Arc<str>),
    /// A whole number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let end = text.char_indices().nth(TEXT_CHARS_MAX);
        Self::Text(text[..end.map_or(text.len(), |(at, _)| at)].into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

/// A span that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    /// On which side.
    pub kind: Kind,
    /// Its trace and its id.
    pub context: Context,
    /// The span that it belongs to; none at the root of a trace.
    pub parent: Option<SpanId>,
    /// Unix nanoseconds.
    pub begun_ns: u64,
    /// Unix nanoseconds.
    pub ended_ns: u64,
    /// What it is called: one of few.
    pub name: String,
    /// What is known of it, each name once.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it counts as an error.
    pub failed: bool,
}

impl Span {
    pub(super) fn new(
        kind: Kind,
        context: Context,
        parent: Option<SpanId>,
        (begun_ns, ended_ns): (u64, u64),
    ) -> Self {
        Self {
            kind,
            context,
            parent,
            begun_ns,
            ended_ns,
            name: String::new(),
            attributes: Vec::new(),
            failed: false,
        }
    }

    /// Adds what is known.
    pub fn tell(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_a_bound() {
        let text = |text: &str| match Value::from(text) {
            Value::Text(text) => text.to_string(),
            Value::Number(number) => panic!("{number} is no text"),
        };
        assert_eq!(text("order.created"), "order.created");
        assert_eq!(text(&"ä".repeat(257)), "ä".repeat(256));
        assert_eq!(text(&"ä".repeat(256)), "ä".repeat(256));
    }
}

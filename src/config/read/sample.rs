//! What `hookgate send` sends for a source.

use crate::config::{
    Sample,
    reader::{Node, every},
    value::{HEADER, HEADER_VALUE, SAMPLE_QUERY, TEXT},
};
use http::{HeaderName, HeaderValue};

/// Reads `sample`.
pub(super) fn read(node: &Node<'_>) -> Option<Sample> {
    let map = node.map(&["headers", "content_type", "query", "body"])?;
    let headers = match map.get_some("headers") {
        Some(node) => every(node.named()?.iter().map(|(name, node)| header(name, node))),
        None => Some(Vec::new()),
    };
    let json = HeaderValue::from_static("application/json");
    let content_type = map.read_or("content_type", &HEADER_VALUE, json);
    let query = map.read_or("query", &SAMPLE_QUERY, String::new());
    let body = map.read_or("body", &TEXT, String::new());
    Some(Sample {
        headers: headers?,
        content_type,
        query,
        body,
    })
}

fn header(name: &str, node: &Node<'_>) -> Option<(HeaderName, String)> {
    let value = node.read(&HEADER_VALUE);
    let name = match (HEADER.parse)(name) {
        Ok(name) => name,
        Err(why) => {
            node.problem_at_key(format!("this {why}; accepted: {}", HEADER.accepts));
            return None;
        }
    };
    let value = value?;
    let Ok(text) = value.to_str() else {
        node.problem("this is not ASCII; accepted: printable ASCII");
        return None;
    };
    Some((name, text.to_owned()))
}

//! `traces`: the collector that spans go to. The standard variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT` and so
//! on) are not read by themselves: one file says what runs, and `otlp: ${OTEL_EXPORTER_OTLP_ENDPOINT:-}` in it does.

use crate::config::{
    Traces,
    reader::{Map, Node},
    value::{DURATION, NONEMPTY, PORTION, URL, count_kind, header_value},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};
use std::time::Duration;

/// Spans that wait: some 100 MB of them.
const QUEUE_MAX: usize = 100_000;

/// What OTLP over HTTP adds to a collector's URL.
const PATH: &str = "/v1/traces";

/// Reads the section. Nothing, or nothing as `otlp`, is off; so its variable may be unset.
pub(super) fn read(section: Option<&Node<'_>>) -> Option<Traces> {
    let section = section.filter(|section| !section.is_null())?;
    let map = section.map(&["otlp", "sample", "service", "headers", "queue", "timeout"])?;
    let mut traces = Traces {
        endpoint: Uri::default(),
        share: map.read_or("sample", &PORTION, 1.0),
        service: map.read_or("service", &NONEMPTY, "hookgate".to_owned()),
        headers: headers(&map),
        queue: map.read_or("queue", &count_kind::<QUEUE_MAX>(), 2048),
        timeout: map.read_or("timeout", &DURATION, Duration::from_secs(10)),
    };
    let otlp = map.need(
        "otlp",
        "traces need the URL of a collector, such as http://127.0.0.1:4318",
    )?;
    if otlp.is_null() || otlp.text(URL.accepts, true)?.value.is_empty() {
        return None;
    }
    traces.endpoint = endpoint(&otlp.read(&URL)?);
    Some(traces)
}

/// The URL of a collector, or of its traces: both are what operators have at hand.
fn endpoint(url: &Uri) -> Uri {
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix(PATH).unwrap_or(path);
    let query = url
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let path: PathAndQuery = format!("{path}{PATH}{query}")
        .parse()
        .expect("parts of a URL, with a path between them");
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).expect("a URL with another path")
}

/// Their values may be keys, so none is shown.
fn headers(map: &Map<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(entries) = map.get_some("headers").and_then(|node| node.named()) else {
        return headers;
    };
    for (name, node) in entries {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if !is_of_the_connection(&name) => {
                if let Some(value) = value_of(&node) {
                    headers.insert(name, value);
                }
            }
            Ok(_) => node.problem_at_key("this header is set by hookgate itself"),
            Err(_) => node.problem_at_key("this is no name of a header"),
        }
    }
    headers
}

/// A value as it is to be sent; an empty one is not, so that its variable may be unset.
fn value_of(node: &Node<'_>) -> Option<HeaderValue> {
    let text = node.text("text", true)?.value;
    let Some(mut value) = header_value(text.as_bytes()) else {
        node.problem("this can't stand in a header; use printable ASCII");
        return None;
    };
    value.set_sensitive(true);
    (!value.is_empty()).then_some(value)
}

/// Headers that say how a request is sent.
fn is_of_the_connection(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::HOST,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collectors_url_and_that_of_its_traces_are_the_same() {
        let cases = [
            ("http://a:4318", "http://a:4318/v1/traces"),
            ("http://a:4318/", "http://a:4318/v1/traces"),
            ("https://a/otlp", "https://a/otlp/v1/traces"),
            ("https://a/otlp/v1/traces", "https://a/otlp/v1/traces"),
            ("https://a/v1/traces/?k=1", "https://a/v1/traces?k=1"),
        ];
        for (given, expected) in cases {
            let url: Uri = given.parse().expect("a URL");
            assert_eq!(endpoint(&url).to_string(), expected, "{given}");
        }
    }
}

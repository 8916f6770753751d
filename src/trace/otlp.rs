//! Spans as collectors take them: OTLP over HTTP in its JSON form (OpenTelemetry Protocol 1.x, "JSON Protobuf Encoding":
//! ids in hexadecimal, 64-bit numbers as text, enumerations as numbers).
//!
//! Written by hand, over the client that deliveries go through: the official exporter brings `tonic` and `prost` and an HTTP
//! client of its own, runs on a thread of its own, and counts what its queue drops where no metric can read it. What is
//! used of the protocol is this page.

use super::span::{Kind, Span, Value};
use serde_json::{Value as Json, json};

/// What every span comes from.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `service.name`.
    pub service: String,
}

/// The body of `POST /v1/traces` for these spans.
pub fn request(resource: &Resource, spans: &[Span]) -> Vec<u8> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let attributes = [
        attribute("service.name", &resource.service.as_str().into()),
        attribute("service.version", &VERSION.into()),
    ];
    let spans: Vec<Json> = spans.iter().map(span).collect();
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": attributes},
        "scopeSpans": [{"scope": {"name": "hookgate", "version": VERSION}, "spans": spans}],
    }]});
    request.to_string().into_bytes()
}

/// How many spans a collector that answered 200 did not take (`partialSuccess`).
pub fn rejected(answer: &[u8]) -> u64 {
    let answer: Json = serde_json::from_slice(answer).unwrap_or_default();
    let rejected = &answer["partialSuccess"]["rejectedSpans"];
    // A 64-bit number is text in this encoding; some send it as a number.
    let text = rejected.as_str().and_then(|text| text.parse().ok());
    text.or(rejected.as_u64()).unwrap_or_default()
}

fn span(span: &Span) -> Json {
    let attributes: Vec<Json> = span
        .attributes
        .iter()
        .map(|(name, value)| attribute(name, value))
        .collect();
    let kind = match span.kind {
        Kind::Server => 2,
        Kind::Client => 3,
    };
    let mut json = json!({
        "traceId": hex::encode(span.context.trace.0),
        "spanId": hex::encode(span.context.span.0),
        "flags": span.context.flags(),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": span.begun_ns.to_string(),
        "endTimeUnixNano": span.ended_ns.to_string(),
        "attributes": attributes,
        "status": if span.failed { json!({"code": 2}) } else { json!({}) },
    });
    if let Some(parent) = span.parent {
        json["parentSpanId"] = hex::encode(parent.0).into();
    }
    json
}

fn attribute(name: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": &**text}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": name, "value": value})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Context, TRACEPARENT};
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn the_encoding_is_that_of_the_protocol() {
        let mut headers = HeaderMap::new();
        headers.insert(
            TRACEPARENT,
            HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );
        let context = Context::of(&headers).expect("valid");
        let times = (1_769_855_400_000_000_001, 1_769_855_400_000_000_002);
        let mut span = Span::new(Kind::Client, context, Some(context.span), times);
        span.name = "deliver orders".into();
        span.failed = true;
        span.tell("hookgate.target", "orders");
        span.tell("http.response.status_code", 500_u16);
        let resource = Resource {
            service: "gate".into(),
        };
        let body: Json = serde_json::from_slice(&request(&resource, &[span])).expect("JSON");
        let batch = &body["resourceSpans"][0];
        assert_eq!(
            batch["resource"]["attributes"][0],
            json!({"key": "service.name", "value": {"stringValue": "gate"}})
        );
        assert_eq!(
            batch["scopeSpans"][0]["spans"],
            json!([{
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                "spanId": "00f067aa0ba902b7",
                "parentSpanId": "00f067aa0ba902b7",
                "flags": 1,
                "name": "deliver orders",
                "kind": 3,
                "startTimeUnixNano": "1769855400000000001",
                "endTimeUnixNano": "1769855400000000002",
                "attributes": [
                    {"key": "hookgate.target", "value": {"stringValue": "orders"}},
                    {"key": "http.response.status_code", "value": {"intValue": "500"}},
                ],
                "status": {"code": 2},
            }])
        );
    }

    #[test]
    fn what_a_collector_did_not_take() {
        let cases = [
            ("", 0),
            ("{}", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (
                r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#,
                3,
            ),
            (r#"{"partialSuccess":{"rejectedSpans":4}}"#, 4),
        ];
        for (answer, expected) in cases {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}

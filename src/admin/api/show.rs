//! Events, their deliveries and attempts as JSON. The names of its fields are a contract.

use super::filter::word;
use crate::clock::rfc3339;
use crate::event::Event;
use crate::store::{AttemptRow, DeliveryState, Detail, HistoryRow, Summary};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// An event in a list.
pub(super) fn summary(event: &Summary) -> Value {
    json!({
        "id": event.id.to_string(),
        "source": *event.source,
        "type": event.event_type.as_deref(),
        "received_at": rfc3339(event.received_ms),
        "key": event.key.to_string(),
        "body_bytes": event.body_bytes,
        "replays": event.replays,
        "deliveries": event.deliveries.iter().map(delivery).collect::<Vec<_>>(),
    })
}

fn delivery(delivery: &DeliveryState) -> Value {
    json!({
        "target": *delivery.target_name,
        "state": word(delivery.state),
        "attempts": delivery.attempts,
        "next_attempt_at": delivery.due_ms.map(rfc3339),
        "reason": delivery.reason,
        "dead_at": delivery.dead_ms.map(rfc3339),
    })
}

/// An event with everything.
pub(super) fn detail(detail: &Detail) -> Value {
    let mut shown = summary(&detail.summary);
    let (body, encoding) = text(&detail.event.body);
    shown["damaged"] = detail.damaged.into();
    shown["headers"] = headers(&detail.event);
    shown["body"] = body.into();
    shown["body_encoding"] = encoding.into();
    shown["attempts"] = detail.attempts.iter().map(attempt).collect();
    shown
}

/// The sender's headers. Of the one that carried the secret itself there is only the secret's name.
fn headers(event: &Event) -> Value {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let (value, encoding) = text(value.as_bytes());
        json!({ "name": name.as_str(), "value": value, "encoding": encoding })
    };
    let mut headers: Vec<Value> = event.headers.iter().map(header).collect();
    if let Some(carried) = &event.secret_header {
        headers.push(json!({
            "name": carried.header.as_str(),
            "value": null,
            "secret": *carried.secret,
        }));
    }
    headers.into()
}

fn attempt(attempt: &AttemptRow) -> Value {
    let (answer, encoding) = text(&attempt.answer);
    json!({
        "target": *attempt.target,
        "attempt": attempt.attempt,
        "replay": attempt.replay,
        "at": rfc3339(attempt.at_ms),
        "took_ms": attempt.took_ms,
        "status": attempt.status,
        "error": attempt.error,
        "answer": answer,
        "answer_encoding": encoding,
    })
}

/// What is kept of an event beyond its payload.
pub(super) fn history(event: &HistoryRow) -> Value {
    let handed: Vec<Value> = event
        .handed
        .iter()
        .map(|handed| {
            json!({
                "target": *handed.target,
                "replay": handed.replay,
                "at": rfc3339(handed.at_ms),
                "outcome": handed.outcome,
                "status": handed.status,
                "attempts": handed.attempts,
            })
        })
        .collect();
    json!({
        "id": event.id.to_string(),
        "source": *event.source,
        "type": event.event_type.as_deref(),
        "vendor_id": event.vendor_id.as_deref(),
        "key": event.key.to_string(),
        "received_at": rfc3339(event.received_ms),
        "handed": handed,
    })
}

/// Bytes as JSON can hold them, and how: as they are if they are UTF-8.
pub(super) fn text(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (BASE64_STANDARD.encode(bytes), "base64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{DedupeKey, EventId, SecretHeader, Seq, StoreTag};
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn a_secret_is_shown_by_its_name_and_bytes_as_they_are() {
        let mut sent = HeaderMap::new();
        sent.append("x-a", HeaderValue::from_static("1"));
        sent.append("x-a", HeaderValue::from_static("2"));
        sent.append("x-b", HeaderValue::from_bytes(b"\xff").expect("a value"));
        let event = Event {
            seq: Seq(1),
            id: EventId::new(1, StoreTag(1), Seq(1)),
            received_ms: 1,
            source: "erp".into(),
            event_type: None,
            key: DedupeKey([0; 32]),
            headers: sent,
            secret_header: Some(SecretHeader {
                header: HeaderName::from_static("x-token"),
                secret: "new".into(),
            }),
            body: bytes::Bytes::new(),
            first_attempts: None,
        };
        let expected = json!([
            { "name": "x-a", "value": "1", "encoding": "utf-8" },
            { "name": "x-a", "value": "2", "encoding": "utf-8" },
            { "name": "x-b", "value": "/w==", "encoding": "base64" },
            { "name": "x-token", "value": null, "secret": "new" },
        ]);
        assert_eq!(headers(&event), expected);
        assert_eq!(text("é".as_bytes()), ("é".to_owned(), "utf-8"));
    }
}

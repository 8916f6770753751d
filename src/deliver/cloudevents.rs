//! `format: cloudevents`: the event's context as `ce-*` headers, CloudEvents 1.0 in binary mode. Body and Content-Type
//! stay what they were: they are the event's data and its `datacontenttype`.
//!
//! Source: CloudEvents 1.0.2, "Required attributes"; HTTP protocol binding 1.0.2, 3.1 "Binary content mode".

use super::headers::{EVENT_TYPE_BYTES_MAX, ascii, remove_senders};
use crate::clock;
use crate::event::Event;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;

/// The type of an event that has none, or one that is too long for a header: the attribute cannot be left out.
const NO_TYPE: &str = "hookgate.event";

/// What is percent-encoded in a value (binding 3.1.3.2); outside ASCII everything is.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');

/// Adds the attributes of `event`, whose id is `id` as text. What the sender calls `ce-*` would pass for attributes of
/// ours.
///
/// `source` and `id` together are unique, as they have to be: the id is this gateway's own. It stays the same on every
/// attempt and replay.
pub(super) fn add(headers: &mut HeaderMap, event: &Event, id: &str) {
    const ID: HeaderName = HeaderName::from_static("ce-id");
    const SOURCE: HeaderName = HeaderName::from_static("ce-source");
    const SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");
    const TIME: HeaderName = HeaderName::from_static("ce-time");
    const TYPE: HeaderName = HeaderName::from_static("ce-type");

    remove_senders(headers, "ce");
    headers.insert(ID, ascii(id.as_bytes()));
    // A URI-reference (RFC 3986 4.1): names of sources need no encoding.
    let source = format!("/hookgate/{}", event.source);
    headers.insert(SOURCE, ascii(source.as_bytes()));
    headers.insert(SPEC_VERSION, HeaderValue::from_static("1.0"));
    headers.insert(TIME, ascii(&clock::rfc3339_ascii(event.received_ms)));
    headers.insert(TYPE, encode_type(event.event_type.as_deref()));
}

fn encode_type(event_type: Option<&str>) -> HeaderValue {
    let event_type = event_type.filter(|text| !text.is_empty());
    let encoded: Cow<'_, str> = utf8_percent_encode(event_type.unwrap_or(NO_TYPE), &ENCODED).into();
    if encoded.len() > EVENT_TYPE_BYTES_MAX {
        return HeaderValue::from_static(NO_TYPE);
    }
    ascii(encoded.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::fixture;
    use std::sync::Arc;

    fn dressed(event_type: Option<&str>) -> HeaderMap {
        let mut event = Arc::into_inner(fixture::event(7)).expect("nobody else has it");
        event.event_type = event_type.map(Into::into);
        event.received_ms = 1_769_855_400_007;
        let mut headers = HeaderMap::new();
        for name in [
            "ce-id",
            "ce_source",
            "ce-subject",
            "ce",
            "cetacean",
            "accept",
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static("theirs"),
            );
        }
        add(&mut headers, &event, "0198");
        headers
    }

    #[test]
    fn the_attributes_are_ours_alone() {
        let headers = dressed(Some("order.created"));
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "accept: theirs",
                "ce-id: 0198",
                "ce-source: /hookgate/erp",
                "ce-specversion: 1.0",
                "ce-time: 2026-01-31T10:30:00.007Z",
                "ce-type: order.created",
                "ce: theirs",
                "cetacean: theirs",
            ]
        );
    }

    #[test]
    fn types_are_encoded_as_the_binding_says() {
        let long = "x".repeat(EVENT_TYPE_BYTES_MAX + 1);
        for (event_type, expected) in [
            (None, NO_TYPE),
            (Some(""), NO_TYPE),
            (Some(long.as_str()), NO_TYPE),
            (Some("a b"), "a%20b"),
            (Some("100%\"\\/~"), "100%25%22\\/~"),
            // The binding's own example.
            (
                Some("Euro \u{20ac} \u{1f600}"),
                "Euro%20%E2%82%AC%20%F0%9F%98%80",
            ),
            (Some("a\r\nHost: x\u{7f}"), "a%0D%0AHost:%20x%7F"),
        ] {
            assert_eq!(dressed(event_type)["ce-type"], expected, "{event_type:?}");
        }
    }
}

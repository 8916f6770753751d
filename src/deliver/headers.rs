//! What an attempt carries besides the body: the sender's headers as they were admitted, the secret's header put
//! back, and ours. The event itself is never changed, so every attempt starts from the same headers.

use super::sign::Signer;
use super::{PresentSecrets, cloudevents};
use crate::clock;
use crate::config::target::Format;
use crate::event::{Event, EventId, SecretHeader};
use crate::trace::{Context, TRACEPARENT, TRACESTATE, TraceId};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::{fmt, sync::Arc};

/// Bytes of an event type that are sent. A vendor's type is a word; a longer one would break the app's own limit
/// on headers, so it is left out (the body still says it).
pub(super) const EVENT_TYPE_BYTES_MAX: usize = 1024;

/// Headers that an attempt may add, so that the map grows once at most.
const ADDED: usize = 18;

/// What cannot stand in a header as it is; `%`, so that decoding gives back the type. Non-ASCII always goes.
const ENCODED: AsciiSet = CONTROLS.add(b'%');

/// For a type that begins or ends with a space, which a header would lose.
const ENCODED_WITH_SPACE: AsciiSet = ENCODED.add(b' ');

/// Which attempt it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// 1, 2 ...
    pub(super) number: u32,
    /// 1, 2 ... on replays; 0 before the first.
    pub(super) replay: u32,
}

/// Dresses the events of one target.
pub(super) struct Outfit {
    secrets: PresentSecrets,
    signer: Option<Signer>,
    format: Format,
    /// The sources whose events are routed here: their secrets are put back.
    fed_by: Vec<Arc<str>>,
}

impl Outfit {
    /// Prepares what is the same for every event.
    pub(super) fn new(
        secrets: PresentSecrets,
        signer: Option<Signer>,
        format: Format,
        fed_by: Vec<Arc<str>>,
    ) -> Self {
        Self {
            secrets,
            signer,
            format,
            fed_by,
        }
    }

    /// The headers of an attempt. `wall_ms` says when it is made (Unix, milliseconds, by the machine's clock, as the app
    /// compares it with its own); only a signature asks.
    pub(super) fn headers(
        &self,
        event: &Event,
        attempt: Attempt,
        wall_ms: impl FnOnce() -> u64,
    ) -> HeaderMap {
        let mut headers = event.headers.clone();
        headers.reserve(ADDED);
        if let Some(secret) = &event.secret_header {
            self.put_back(&mut headers, &event.source, secret);
        }
        let mut id = EventId::TEXT;
        let id = event.id.encode(&mut id);
        add_ours(&mut headers, event, id, attempt);
        if self.format == Format::CloudEvents {
            cloudevents::add(&mut headers, event, id);
        }
        if let Some(signer) = &self.signer {
            add_signature(&mut headers, signer, id, &event.body, wall_ms() / 1000);
        }
        add_trace(&mut headers, event);
        headers
    }

    /// A secret that was renamed or removed is replaced by the source's first: the app knows the present ones.
    /// A source that is gone has none.
    /// A target that the source does not feed (an operator sends it a replay) may be anybody's: it gets none.
    fn put_back(&self, headers: &mut HeaderMap, source: &str, secret: &SecretHeader) {
        if self.fed_by.iter().all(|name| **name != *source) {
            return;
        }
        let secrets = self.secrets.read();
        let Some(known) = secrets.get(source) else {
            return;
        };
        let mut here = known.iter().filter(|known| known.header == secret.header);
        let first = here.clone().next();
        if let Some(known) = here.find(|known| known.secret == secret.secret).or(first) {
            headers.insert(secret.header.clone(), known.value.clone());
        }
    }
}

impl fmt::Debug for Outfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outfit(secrets redacted)")
    }
}

fn add_ours(headers: &mut HeaderMap, event: &Event, id: &str, attempt: Attempt) {
    const DEDUPE_KEY: HeaderName = HeaderName::from_static("hookgate-dedupe-key");
    const EVENT_ID: HeaderName = HeaderName::from_static("hookgate-event-id");
    const SOURCE: HeaderName = HeaderName::from_static("hookgate-source");
    const EVENT_TYPE: HeaderName = HeaderName::from_static("hookgate-event-type");
    const ATTEMPT: HeaderName = HeaderName::from_static("hookgate-attempt");
    const RECEIVED_AT: HeaderName = HeaderName::from_static("hookgate-received-at");
    const REPLAY: HeaderName = HeaderName::from_static("hookgate-replay");

    let mut key = [0; 64];
    hex::encode_to_slice(event.key.0, &mut key).expect("64 digits are 32 bytes");
    headers.insert(DEDUPE_KEY, ascii(&key));
    headers.insert(EVENT_ID, ascii(id.as_bytes()));
    headers.insert(SOURCE, ascii(event.source.as_bytes()));
    if let Some(event_type) = event.event_type.as_deref().and_then(encode_type) {
        headers.insert(EVENT_TYPE, event_type);
    }
    let number = match attempt.number {
        1 => HeaderValue::from_static("1"),
        number => HeaderValue::from(number),
    };
    headers.insert(ATTEMPT, number);
    if attempt.replay > 0 {
        headers.insert(REPLAY, HeaderValue::from(attempt.replay));
    }
    let received_at = clock::rfc3339_ascii(event.received_ms);
    headers.insert(RECEIVED_AT, ascii(&received_at));
}

/// A value of printable ASCII: digits, names of sources (`[a-z0-9-]`), times.
pub(super) fn ascii(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("printable ASCII is a header value (RFC 9110 5.5)")
}

/// The type as a header can carry it; `None` if it is too long.
fn encode_type(event_type: &str) -> Option<HeaderValue> {
    let set = if event_type.trim_matches(' ') == event_type {
        &ENCODED
    } else {
        &ENCODED_WITH_SPACE
    };
    let encoded: std::borrow::Cow<'_, str> = utf8_percent_encode(event_type, set).into();
    (encoded.len() <= EVENT_TYPE_BYTES_MAX).then(|| ascii(encoded.as_bytes()))
}

/// Removes what the sender calls `prefix-*`. Some servers read `_` in a name as `-`.
pub(super) fn remove_senders(headers: &mut HeaderMap, prefix: &str) {
    let senders: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let rest = name.as_str().strip_prefix(prefix);
            rest.is_some_and(|rest| rest.starts_with(['-', '_']))
        })
        .cloned()
        .collect();
    for name in senders {
        headers.remove(name);
    }
}

/// The sender's own `webhook-*` would contradict ours.
fn add_signature(headers: &mut HeaderMap, signer: &Signer, id: &str, body: &[u8], unix_s: u64) {
    const ID: HeaderName = HeaderName::from_static("webhook-id");
    const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
    const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

    remove_senders(headers, "webhook");
    let timestamp = unix_s.to_string();
    let signature = signer.sign(id, &timestamp, body);
    headers.insert(ID, ascii(id.as_bytes()));
    headers.insert(TIMESTAMP, ascii(timestamp.as_bytes()));
    headers.insert(SIGNATURE, ascii(signature.as_bytes()));
}

/// Keeps the sender's trace. Without a valid one, a trace begins whose id is the event's, so that all attempts
/// at all targets belong to it; its `tracestate` then belongs to nothing (W3C Trace Context 3.2, 4.3).
fn add_trace(headers: &mut HeaderMap, event: &Event) {
    if Context::of(headers).is_some() {
        return;
    }
    let trace = Context::within(TraceId(*event.id.as_bytes()));
    headers.insert(TRACEPARENT, trace.header());
    headers.remove(TRACESTATE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::target::SigningKey;
    use crate::deliver::{SecretHeaders, SecretValue};
    use crate::event::{DedupeKey, EventId, Seq, StoreTag};
    use bytes::Bytes;

    const RECEIVED_MS: u64 = 1_769_855_400_007;

    fn event(headers: &[(&'static str, &'static str)]) -> Event {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        Event {
            seq: Seq(7),
            id: EventId::new(RECEIVED_MS, StoreTag(5), Seq(7)),
            received_ms: RECEIVED_MS,
            source: "erp".into(),
            event_type: Some("order.created".into()),
            key: DedupeKey([0xab; 32]),
            headers: map,
            secret_header: None,
            body: Bytes::from_static(b"{}"),
            first_attempts: None,
        }
    }

    fn plain() -> Outfit {
        Outfit::new(Arc::default(), None, Format::Plain, Vec::new())
    }

    fn nth(number: u32) -> Attempt {
        Attempt { number, replay: 0 }
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        let values = headers.get_all(name).iter();
        values.map(|value| value.to_str().expect("ASCII")).collect()
    }

    #[test]
    fn ours_are_added_to_the_senders() {
        let event = event(&[
            ("x-signature", "abc"),
            ("accept", "a"),
            ("accept", "b"),
            ("webhook-id", "theirs"),
        ]);
        let headers = plain().headers(&event, nth(3), || 0);
        let id = event.id.to_string();
        let key = "ab".repeat(32);
        let expected: [(&str, &[&str]); 10] = [
            ("x-signature", &["abc"]),
            ("accept", &["a", "b"]),
            ("webhook-id", &["theirs"]),
            ("webhook-signature", &[]),
            ("hookgate-dedupe-key", &[&key]),
            ("hookgate-event-id", &[&id]),
            ("hookgate-source", &["erp"]),
            ("hookgate-event-type", &["order.created"]),
            ("hookgate-attempt", &["3"]),
            ("hookgate-received-at", &["2026-01-31T10:30:00.007Z"]),
        ];
        for (name, values) in expected {
            assert_eq!(all(&headers, name), values, "{name}");
        }
    }

    #[test]
    fn types_survive_as_headers() {
        let long = "x".repeat(EVENT_TYPE_BYTES_MAX + 1);
        let cases = [
            ("order.created", Some("order.created")),
            ("two words", Some("two words")),
            (" edge", Some("%20edge")),
            ("100%", Some("100%25")),
            ("a\r\nHost: x", Some("a%0D%0AHost: x")),
            ("größe", Some("gr%C3%B6%C3%9Fe")),
            ("\u{7f}", Some("%7F")),
            (long.as_str(), None),
        ];
        for (event_type, expected) in cases {
            let mut event = event(&[]);
            event.event_type = Some(event_type.into());
            let headers = plain().headers(&event, nth(1), || 0);
            assert_eq!(
                all(&headers, "hookgate-event-type").first().copied(),
                expected,
                "{event_type:?}"
            );
        }
        let mut untyped = event(&[]);
        untyped.event_type = None;
        assert!(
            !plain()
                .headers(&untyped, nth(1), || 0)
                .contains_key("hookgate-event-type")
        );
    }

    #[test]
    fn the_secret_header_is_put_back() {
        let value = |header, secret: &str, value| SecretValue {
            header,
            secret: secret.into(),
            value: HeaderValue::from_static(value),
        };
        let values = vec![
            value(HeaderName::from_static("x-token"), "new", "n"),
            value(http::header::AUTHORIZATION, "new", "Bearer n"),
            value(http::header::AUTHORIZATION, "old", "Bearer o"),
        ];
        let secrets: SecretHeaders = [("erp".into(), values)].into();
        let secrets: PresentSecrets = Arc::new(secrets.into());
        let fed_by = |sources: &[&str]| {
            let sources = sources.iter().map(|&source| source.into()).collect();
            Outfit::new(Arc::clone(&secrets), None, Format::Plain, sources)
        };
        let outfit = fed_by(&["erp", "removed"]);
        let stranger = fed_by(&["other"]);
        let cases = [
            ("erp", "old", Some("Bearer o")),
            ("erp", "gone", Some("Bearer n")),
            ("removed", "old", None),
        ];
        for (source, secret, expected) in cases {
            let mut event = event(&[]);
            event.source = source.into();
            event.secret_header = Some(SecretHeader {
                header: http::header::AUTHORIZATION,
                secret: secret.into(),
            });
            let headers = outfit.headers(&event, nth(1), || 0);
            assert_eq!(
                all(&headers, "authorization").first().copied(),
                expected,
                "{source} {secret}"
            );
            let elsewhere = stranger.headers(&event, nth(1), || 0);
            assert!(
                !elsewhere.contains_key("authorization"),
                "a replay to a target that the source does not feed"
            );
        }
        assert!(!format!("{outfit:?}").contains("Bearer"));
    }

    #[test]
    fn signing_replaces_the_senders_own() {
        let key = SigningKey::new(b"key".to_vec());
        let event = event(&[
            ("webhook-signature", "theirs"),
            ("webhook_signature", "theirs"),
            ("webhook-extra", "theirs"),
            ("x-webhook", "kept"),
        ]);
        let keys = [key, SigningKey::new(b"old".to_vec())];
        let outfit = Outfit::new(
            Arc::default(),
            Signer::new(&keys),
            Format::Plain,
            Vec::new(),
        );
        let headers = outfit.headers(&event, nth(1), || 1_614_265_330_999);
        let id = event.id.to_string();
        let signer = Signer::new(&keys).expect("keys");
        let signature = signer.sign(&id, "1614265330", b"{}");
        assert_eq!(all(&headers, "webhook-id"), [id.as_str()]);
        assert_eq!(all(&headers, "webhook-timestamp"), ["1614265330"]);
        assert_eq!(all(&headers, "webhook-signature"), [signature]);
        assert_eq!(all(&headers, "x-webhook"), ["kept"]);
        assert!(!headers.contains_key("webhook_signature"));
        assert!(!headers.contains_key("webhook-extra"));

        // Three days later: the same id, signed as of now.
        let late = outfit.headers(&event, nth(9), || 1_614_265_330_999 + 72 * 3_600_000);
        let signature = signer.sign(&id, "1614524530", b"{}");
        assert_eq!(all(&late, "webhook-id"), [id]);
        assert_eq!(all(&late, "webhook-timestamp"), ["1614524530"]);
        assert_eq!(all(&late, "webhook-signature"), [signature]);
    }

    #[test]
    fn a_replay_says_so() {
        let event = event(&[]);
        for (replay, expected) in [(0, None), (1, Some("1")), (12, Some("12"))] {
            let attempt = Attempt { number: 1, replay };
            let headers = plain().headers(&event, attempt, || 0);
            assert_eq!(all(&headers, "hookgate-replay").first().copied(), expected);
            assert_eq!(all(&headers, "hookgate-attempt"), ["1"]);
        }
    }

    #[test]
    fn cloudevents_wear_both() {
        let event = event(&[("content-type", "application/json"), ("ce-id", "theirs")]);
        let outfit = Outfit::new(Arc::default(), None, Format::CloudEvents, Vec::new());
        let headers = outfit.headers(&event, nth(1), || 0);
        let id = event.id.to_string();
        for (name, value) in [
            ("content-type", "application/json"),
            ("ce-id", id.as_str()),
            ("hookgate-event-id", id.as_str()),
            ("ce-type", "order.created"),
        ] {
            assert_eq!(all(&headers, name), [value], "{name}");
        }
        let plain = plain().headers(&event, nth(1), || 0);
        assert_eq!(all(&plain, "ce-id"), ["theirs"]);
    }

    #[test]
    fn only_a_valid_trace_is_kept() {
        const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let kept = [
            GOOD,
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ];
        let replaced = [
            "",
            "garbage",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ];
        for value in kept {
            let headers = plain().headers(
                &event(&[("traceparent", value), ("tracestate", "a=b")]),
                nth(1),
                || 0,
            );
            assert_eq!(all(&headers, "traceparent"), [value]);
            assert_eq!(all(&headers, "tracestate"), ["a=b"]);
        }
        for value in replaced {
            let event = event(&[("traceparent", value), ("tracestate", "a=b")]);
            assert_fresh_trace(&event, value);
        }
        assert_fresh_trace(&event(&[]), "none");
        assert_fresh_trace(
            &event(&[("traceparent", GOOD), ("traceparent", GOOD)]),
            "two",
        );
    }

    fn assert_fresh_trace(event: &Event, case: &str) {
        let headers = plain().headers(event, nth(1), || 0);
        let [made] = all(&headers, "traceparent")[..] else {
            panic!("one traceparent: {case}");
        };
        assert!(Context::of(&headers).is_some(), "{case}: {made}");
        assert_eq!(&made[3..35], hex::encode(event.id.as_bytes()), "{case}");
        assert!(!headers.contains_key("tracestate"), "{case}");
    }
}

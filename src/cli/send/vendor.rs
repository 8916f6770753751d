//! A source's vendor, played: its payloads, its headers, its signature. What it makes is what the real one would
//! send, down to the bytes; [`forge`](Vendor::forge) then spoils it as somebody without the secret would.

use super::samples::{self, Sample};
use crate::{
    cli::Failure,
    clock::{rfc3339, unix_ms},
    config::{Source, Verify},
    extract::{Field, KeyExpr},
    verify::Verifier,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, USER_AGENT},
};
use serde_json::{Map, Value};

/// The event type of a source that has no samples, where the user names none.
const GENERIC_EVENT: &str = "test.event";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("hookgate-send/", env!("CARGO_PKG_VERSION")));

/// One request as it goes out. Cloned, it is the same bytes again: a retry.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Request {
    /// All but Host and Content-Length.
    pub(in crate::cli) headers: HeaderMap,
    /// Signed as it stands here.
    pub(in crate::cli) body: Bytes,
}

/// Plays the vendor of one source.
#[derive(Debug)]
pub(in crate::cli) struct Vendor {
    source: Source,
    verifier: Verifier,
    payload: Payload,
}

/// Where bodies come from.
#[derive(Debug)]
enum Payload {
    /// The vendor's own sample.
    Sample(Sample),
    /// The user's file, as it is; with its event type, if that is known.
    File { body: Bytes, event: Option<String> },
    /// Made from the source's own expressions.
    Generic { event: String },
}

impl Vendor {
    /// Prepares to send `event` (the vendor's first one if `None`), with the user's own `data` if there is any.
    /// Fails if the vendor has samples and none of that event, or if no header could carry it.
    pub(in crate::cli) fn new(
        source: &Source,
        event: Option<&str>,
        data: Option<Bytes>,
    ) -> Result<Self, Failure> {
        if let Some(event) = event.filter(|event| !fits_header(event)) {
            return Err(Failure::Usage(format!(
                "event type {event:?} has control characters"
            )));
        }
        let payload = match data {
            Some(body) => Payload::File {
                event: event.map(str::to_owned).or_else(|| event_of(&body)),
                body,
            },
            None => made(source, event)?,
        };
        Ok(Self {
            verifier: Verifier::new(&source.verify, &source.secrets),
            source: source.clone(),
            payload,
        })
    }

    /// The source that is played.
    pub(in crate::cli) fn source(&self) -> &Source {
        &self.source
    }

    /// What is sent, in the vendor's words.
    pub(in crate::cli) fn event(&self) -> Option<&str> {
        match &self.payload {
            Payload::Sample(sample) => Some(&sample.event),
            Payload::File { event, .. } => event.as_deref(),
            Payload::Generic { event } => Some(event),
        }
    }

    /// The next event: fresh id, fresh time (a file is sent as it is), signed now.
    pub(in crate::cli) fn next(&self) -> Request {
        let body = match &self.payload {
            Payload::Sample(sample) => sample.fresh(),
            Payload::File { body, .. } => body.clone(),
            Payload::Generic { event } => generic_body(&self.source, event),
        };
        self.signed(body)
    }

    /// `body` as the vendor would send it now.
    pub(in crate::cli) fn signed(&self, body: Bytes) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, AGENT);
        self.add_vendor_headers(&mut headers);
        if let Payload::Generic { event } = &self.payload {
            add_expressed_headers(&self.source, event, &mut headers);
        }
        self.verifier.sign(0, &mut headers, &body, unix_ms());
        Request { headers, body }
    }

    /// What the guides list beside the signature.
    fn add_vendor_headers(&self, headers: &mut HeaderMap) {
        match self.source.provider.as_deref() {
            Some("live-chat") => {
                add(headers, "x-webhook-event", self.event().unwrap_or_default());
                add(headers, "x-webhook-timestamp", &rfc3339(unix_ms()));
            }
            Some("vowchat") => add(headers, "x-chatwoot-delivery", &random_uuid()),
            _ => {}
        }
    }

    /// Spoils `request`: another body under the old signature, or, where a token proves the sender whatever
    /// the body says, another token. Fails if the source asks for no proof.
    pub(in crate::cli) fn forge(&self, mut request: Request) -> Result<Request, Failure> {
        match &self.source.verify {
            Verify::Hmac(_) => request.body = changed(&request.body),
            Verify::Token(token) => {
                let value = request.headers.get(&token.header);
                let other = value.map_or_else(Vec::new, |value| flip_last(value.as_bytes()));
                let other = HeaderValue::from_bytes(&other)
                    .expect("a letter or digit keeps a header value valid");
                request.headers.insert(token.header.clone(), other);
            }
            Verify::None => {
                return Err(Failure::Usage(format!(
                    "source {} verifies nothing, so nothing can be forged",
                    self.source.name
                )));
            }
        }
        Ok(request)
    }
}

fn made(source: &Source, event: Option<&str>) -> Result<Payload, Failure> {
    let mut samples = samples::of(source.provider.as_deref().unwrap_or_default());
    if samples.is_empty() {
        let event = event.unwrap_or(GENERIC_EVENT).to_owned();
        return Ok(Payload::Generic { event });
    }
    let Some(event) = event else {
        return Ok(Payload::Sample(samples.swap_remove(0)));
    };
    if let Some(place) = samples.iter().position(|sample| sample.event == event) {
        return Ok(Payload::Sample(samples.swap_remove(place)));
    }
    let known: Vec<&str> = samples.iter().map(|sample| &*sample.event).collect();
    Err(Failure::Usage(format!(
        "{} sends no event {event:?}; it sends: {}",
        source.provider.as_deref().unwrap_or_default(),
        known.join(", ")
    )))
}

fn event_of(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let event = value.get("event")?.as_str()?;
    fits_header(event).then(|| event.to_owned())
}

/// A body in which the source finds an id, a type and a time, where it looks for them in JSON.
fn generic_body(source: &Source, event: &str) -> Bytes {
    let mut body = Value::Object(Map::new());
    for (field, value) in expressed(source, event) {
        if let Field::Json(pointer) = field {
            put(&mut body, pointer.names(), value);
        }
    }
    if let Some(fields) = body.as_object_mut() {
        let fresh = || Value::from(format!("test_{}", samples::fresh_number()));
        fields.entry("hookgate_test").or_insert_with(fresh);
    }
    body.to_string().into()
}

fn add_expressed_headers(source: &Source, event: &str, headers: &mut HeaderMap) {
    for (field, value) in expressed(source, event) {
        if let Field::Header(name) = field {
            put_header(headers, name.clone(), &value);
        }
    }
}

/// The places where the source looks first, each with what it should find there.
fn expressed<'a>(source: &'a Source, event: &str) -> impl Iterator<Item = (&'a Field, String)> {
    let first = |expression: &'a KeyExpr| expression.0.first().into_iter().flatten();
    let id = format!("evt_{}", samples::fresh_number());
    let event = event.to_owned();
    let time = rfc3339(unix_ms());
    // Ids come first: where a joined id contains the type, the type's own text has the last word.
    first(&source.event_id)
        .map(move |field| (field, id.clone()))
        .chain(first(&source.event_type).map(move |field| (field, event.clone())))
        .chain(first(&source.event_time).map(move |field| (field, time.clone())))
}

/// Puts `value` where the names lead, through objects made on the way.
fn put(mut place: &mut Value, names: &[String], value: String) {
    for name in names {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name.as_str()];
    }
    if !names.is_empty() {
        *place = value.into();
    }
}

/// Adds a header whose name is known at compile time.
fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    put_header(headers, HeaderName::from_static(name), value);
}

/// Adds a header. Ids and times are ours, event types were checked by [`Vendor::new`].
fn put_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_bytes(value.as_bytes()).expect("no control characters");
    headers.insert(name, value);
}

/// Whether an event type can stand in a header (RFC 9110 5.5).
fn fits_header(event: &str) -> bool {
    !event.contains(char::is_control)
}

/// A random UUID, version 4 (RFC 9562 5.4).
fn random_uuid() -> String {
    let random = fastrand::u128(..).to_be_bytes();
    uuid::Builder::from_random_bytes(random)
        .into_uuid()
        .to_string()
}

/// Another body that is as good as the first: one more field in a JSON object. White space would not do,
/// since a signature over re-serialised JSON does not see it.
fn changed(body: &Bytes) -> Bytes {
    match body.strip_prefix(b"{") {
        Some(rest) if rest.trim_ascii_start().starts_with(b"}") => {
            [b"{\"forged\":true".as_slice(), rest].concat().into()
        }
        Some(rest) => [b"{\"forged\":true,".as_slice(), rest].concat().into(),
        None => [body, b" forged".as_slice()].concat().into(),
    }
}

/// The same text with another last character.
fn flip_last(text: &[u8]) -> Vec<u8> {
    let mut other = text.to_vec();
    match other.last_mut() {
        Some(last) => *last = if *last == b'0' { b'1' } else { b'0' },
        None => other.push(b'0'),
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_body_is_other_json() {
        let cases = [
            (r#"{"a":1}"#, r#"{"forged":true,"a":1}"#),
            ("{ }", r#"{"forged":true }"#),
            ("{}", r#"{"forged":true}"#),
            ("[1]", "[1] forged"),
            ("", " forged"),
        ];
        for (body, forged) in cases {
            assert_eq!(changed(&Bytes::from(body)), forged);
        }
    }

    #[test]
    fn a_forged_token_is_another_one() {
        for (token, other) in [("abc", "ab0"), ("ab0", "ab1"), ("", "0")] {
            assert_eq!(flip_last(token.as_bytes()), other.as_bytes());
        }
    }

    #[test]
    fn values_are_put_where_pointers_lead() {
        let names = |pointer: &str| -> Vec<String> {
            pointer.split('/').skip(1).map(str::to_owned).collect()
        };
        let mut body = Value::Object(Map::new());
        put(&mut body, &names("/data/id"), "1".into());
        put(&mut body, &names("/data/at"), "2".into());
        put(&mut body, &names("/data/id/deep"), "3".into());
        put(&mut body, &[], "whole".into());
        assert_eq!(
            body,
            serde_json::json!({"data": {"id": {"deep": "3"}, "at": "2"}})
        );
    }

    #[test]
    fn the_event_of_a_file_is_found() {
        assert_eq!(event_of(br#"{"event":"a.b"}"#).as_deref(), Some("a.b"));
        for body in ["", "[]", r#"{"event":7}"#, r#"{"event":"a\nb"}"#] {
            assert_eq!(event_of(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn delivery_ids_are_random_uuids() {
        let (a, b) = (random_uuid(), random_uuid());
        assert_ne!(a, b);
        let parsed = uuid::Uuid::parse_str(&a).expect("a UUID");
        assert_eq!(parsed.get_version_num(), 4);
    }
}

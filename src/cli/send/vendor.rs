//! A source's vendor, played: its payloads, its headers, its signature. What it makes is what the real one would
//! send, down to the bytes; [`forge`](Vendor::forge) then spoils it as somebody without the secret would.

use super::{
    generic,
    samples::{self, Sample},
};
use crate::{
    cli::Failure,
    clock::{rfc3339, unix_ms},
    config::{Source, summary::expression, verify::Proof},
    extract::{Field, Parts},
    verify::{Outgoing, Signer, Surroundings},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, USER_AGENT},
};

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
    signer: Signer,
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
                event: event
                    .map(str::to_owned)
                    .or_else(|| type_in(source, &HeaderMap::new(), &body)),
                body,
            },
            None => made(source, event)?,
        };
        let vendor = Self {
            signer: Signer::new(
                &source.verify,
                &source.secrets,
                &Surroundings::of(source, 16),
                None,
            )
            .map_err(|cannot| Failure::Usage(cannot.to_string()))?,
            source: source.clone(),
            payload,
        };
        match event {
            Some(event) if !matches!(vendor.payload, Payload::Sample(_)) => vendor.carrying(event),
            _ => Ok(vendor),
        }
    }

    /// Itself, if the source will find the type that the user asked for in what is sent.
    fn carrying(self, event: &str) -> Result<Self, Failure> {
        let Request { headers, body } = self.next();
        let found = type_in(&self.source, &headers, &body);
        if found.as_deref() == Some(event) {
            return Ok(self);
        }
        let name = &self.source.name;
        let why = match expression(&self.source.event_type) {
            None => format!("source {name} has no event.type, so its events have none"),
            Some(places) => {
                let found =
                    found.map_or_else(|| "nothing".to_owned(), |found| format!("{found:?}"));
                format!(
                    "source {name} looks for the type in {places} and would find {found}; change the data"
                )
            }
        };
        Err(Failure::Usage(format!(
            "--event {event:?} would not be the type of what is sent: {why}, or leave --event out"
        )))
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
            Payload::Generic { event } => generic::body(&self.source, event),
        };
        self.signed(body)
    }

    /// `body` as the vendor would send it now.
    pub(in crate::cli) fn signed(&self, body: Bytes) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, AGENT);
        self.add_vendor_headers(&mut headers);
        match &self.payload {
            Payload::Generic { event } => {
                generic::add_headers(&self.source, event, &mut headers);
            }
            Payload::File {
                event: Some(event), ..
            } => generic::add_type_header(&self.source, event, &mut headers),
            Payload::Sample(_) | Payload::File { event: None, .. } => {}
        }
        let outgoing = Outgoing {
            method: http::Method::POST,
            query: None,
            headers,
            body,
        };
        let Outgoing { headers, body, .. } = self
            .signer
            .sign(0, &outgoing, unix_ms())
            .unwrap_or(outgoing);
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
        match self
            .source
            .verify
            .schemes()
            .first()
            .map(|scheme| &scheme.proof)
        {
            Some(Proof::Signature(_) | Proof::Jwt(_)) => request.body = changed(&request.body),
            Some(Proof::Token(token)) => {
                let Field::Header(header) = &token.field else {
                    return Ok(request);
                };
                let value = request.headers.get(header);
                let other = value.map_or_else(Vec::new, |value| flip_last(value.as_bytes()));
                let other = HeaderValue::from_bytes(&other)
                    .expect("a letter or digit keeps a header value valid");
                request.headers.insert(header.clone(), other);
            }
            None => {
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

/// The event type that the source finds in a request, as far as a header can carry it.
fn type_in(source: &Source, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let parts = Parts {
        headers,
        query: None,
        body,
    };
    let event = source.event_type.text(parts);
    event.filter(|event| fits_header(event))
}

/// Adds a header whose name is known at compile time.
fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    generic::put_header(headers, HeaderName::from_static(name), value);
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
    use crate::{
        config::load::{Options, Origin, load},
        extract::event_time_ms,
    };

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
    fn the_event_of_a_file_is_found_where_the_source_looks() {
        let found = |name: &str, body: &'static str| {
            let vendor = Vendor::new(&source(name), None, Some(Bytes::from(body)));
            let vendor = vendor.expect("no event is asked for");
            vendor.event().map(str::to_owned)
        };
        assert_eq!(
            found("chatmefy", r#"{"event":"a.b"}"#).as_deref(),
            Some("a.b")
        );
        assert_eq!(
            found("erp", r#"{"event":"a","data":{"type":"c"}}"#).as_deref(),
            Some("c")
        );
        for body in ["", "[]", r#"{"type":"a"}"#, r#"{"event":"a\nb"}"#] {
            assert_eq!(found("chatmefy", body), None, "{body}");
        }
    }

    #[test]
    fn an_event_that_the_data_does_not_carry_is_refused() {
        let with = |name: &str, event: &str, body: &'static str| {
            Vendor::new(&source(name), Some(event), Some(Bytes::from(body)))
        };
        let lead = r#"{"event":"lead.lost"}"#;
        with("chatmefy", "lead.lost", lead).expect("it is the body's own");
        match with("chatmefy", "foo", lead) {
            Err(Failure::Usage(message)) => assert_eq!(
                message,
                "--event \"foo\" would not be the type of what is sent: source chatmefy looks for the type \
                 in json:/event and would find \"lead.lost\"; change the data, or leave --event out"
            ),
            other => panic!("{other:?}"),
        }
        match Vendor::new(&source("open"), Some("foo"), None) {
            Err(Failure::Usage(message)) => {
                assert!(message.contains("has no event.type"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        // Where the type is in a header, the header is part of what is sent.
        for name in ["live-chat", "kinds"] {
            let vendor = with(name, "foo", lead).expect("a header carries it");
            let request = vendor.next();
            let found = type_in(&vendor.source, &request.headers, &request.body);
            assert_eq!(found.as_deref(), Some("foo"), "{name}");
        }
    }

    #[test]
    fn delivery_ids_are_random_uuids() {
        let (a, b) = (random_uuid(), random_uuid());
        assert_ne!(a, b);
        let parsed = uuid::Uuid::parse_str(&a).expect("a UUID");
        assert_eq!(parsed.get_version_num(), 4);
    }

    const SOURCES: &str = r#"
        sources:
          chatsvia: { provider: chatsvia, secret: s1, forward: "http://127.0.0.1:3000/" }
          vowchat: { provider: vowchat, secret: s2, forward: "http://127.0.0.1:3000/" }
          chatplugify:
            provider: chatplugify
            verify: { token: { header: X-Token } }
            secret: s3
            forward: "http://127.0.0.1:3000/"
          live-chat: { provider: live-chat, secret: s4, forward: "http://127.0.0.1:3000/" }
          chatmefy: { provider: chatmefy, secret: s5, forward: "http://127.0.0.1:3000/" }
          erp:
            verify: { hmac: { header: X-Signature, signed: "{header:X-Id}.{body}" } }
            secret: s6
            event: { id: [[header:X-Id, json:/data/id]], type: json:/data/type, time: header:X-Time }
            forward: "http://127.0.0.1:3000/"
          kinds: { verify: none, event: { type: header:X-Kind }, forward: "http://127.0.0.1:3000/" }
          open: { verify: none, forward: "http://127.0.0.1:3000/" }
    "#;

    fn source(name: &str) -> Source {
        let origin = Origin::Text {
            name: "test".into(),
            text: SOURCES.into(),
        };
        let (config, _) = load(&origin, Options::default()).expect("valid");
        let mut sources = config.sources.into_iter();
        sources.find(|source| *source.name == *name).expect("named")
    }

    fn vendor(name: &str, event: Option<&str>) -> Vendor {
        Vendor::new(&source(name), event, None).expect("an event of the vendor's")
    }

    fn is_believed(vendor: &Vendor, request: &Request) -> bool {
        let Request { headers, body } = request.clone();
        let source = &vendor.source;
        let around = Surroundings::of(source, 16);
        let verifier = crate::verify::Verifier::new(&source.verify, &source.secrets, &around);
        verifier
            .verify(&http::Method::POST, None, headers, body, unix_ms())
            .is_ok()
    }

    #[test]
    fn every_event_of_every_vendor_is_believed_until_it_is_forged() {
        for name in [
            "chatsvia",
            "vowchat",
            "chatplugify",
            "live-chat",
            "chatmefy",
            "erp",
        ] {
            let events = samples::of(name)
                .into_iter()
                .map(|sample| Some(sample.event));
            for event in events.chain([None]) {
                let vendor = vendor(name, event.as_deref());
                let request = vendor.next();
                assert!(is_believed(&vendor, &request), "{name} {event:?}");
                let forged = vendor.forge(request).expect("there is a proof to spoil");
                assert!(!is_believed(&vendor, &forged), "{name} {event:?}");
            }
        }
        let open = vendor("open", None);
        assert!(matches!(open.forge(open.next()), Err(Failure::Usage(_))));
    }

    #[test]
    fn headers_are_those_of_the_guides() {
        let header = |request: &Request, name: &str| {
            let value = request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let live_chat = vendor("live-chat", Some("conversation.started")).next();
        assert_eq!(
            header(&live_chat, "x-webhook-event").as_deref(),
            Some("conversation.started")
        );
        let time = header(&live_chat, "x-webhook-timestamp").expect("there");
        time.parse::<jiff::Timestamp>().expect("ISO 8601");
        assert_eq!(header(&live_chat, "x-webhook-test"), None);

        let vowchat = vendor("vowchat", None);
        let (first, second) = (vowchat.next(), vowchat.next());
        let delivery = |request: &Request| header(request, "x-chatwoot-delivery").expect("there");
        assert_ne!(delivery(&first), delivery(&second));
        assert!(header(&first, "x-chatwoot-timestamp").is_some());
        assert_eq!(
            header(&first, "content-type").as_deref(),
            Some("application/json")
        );
    }

    #[test]
    fn a_source_without_samples_finds_what_it_looks_for() {
        let erp = vendor("erp", Some("order.paid"));
        let (first, second) = (erp.next(), erp.next());
        let key = |request: &Request| {
            let parts = Parts {
                headers: &request.headers,
                query: None,
                body: &request.body,
            };
            assert_eq!(
                erp.source.event_type.text(parts).as_deref(),
                Some("order.paid")
            );
            let time = erp.source.event_time.text(parts).expect("there");
            assert!(event_time_ms(&time).is_some(), "{time}");
            let (key, by_body_alone) = erp.source.event_id.key("erp", parts);
            assert!(!by_body_alone);
            key
        };
        assert_ne!(key(&first), key(&second));
        assert_ne!(
            vendor("open", None).next().body,
            vendor("open", None).next().body
        );
    }

    #[test]
    fn a_file_is_sent_as_it_is() {
        let data = Bytes::from_static(b"{ \"event\" : \"lead.lost\" }\n");
        let own = Vendor::new(&source("chatmefy"), None, Some(data.clone())).expect("any event");
        assert_eq!(own.event(), Some("lead.lost"));
        let request = own.next();
        assert_eq!(request.body, data);
        assert!(is_believed(&own, &request));
    }

    #[test]
    fn an_event_that_the_vendor_does_not_send_is_named_with_those_it_does() {
        let refused = Vendor::new(&source("live-chat"), Some("order.created"), None);
        match refused {
            Err(Failure::Usage(message)) => assert_eq!(
                message,
                "live-chat sends no event \"order.created\"; it sends: message.received, conversation.started"
            ),
            other => panic!("{other:?}"),
        }
        let control = Vendor::new(&source("erp"), Some("a\nb"), None);
        assert!(matches!(control, Err(Failure::Usage(_))));
    }
}

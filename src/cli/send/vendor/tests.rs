//! The five vendors, sources of a user's, and what is refused.

use super::*;
use crate::{
    config::environment::Environment,
    config::load::{Options, Origin, load},
    extract::event_time_ms,
    verify::Verifier,
};

#[test]
fn the_event_of_a_file_is_found_where_the_source_looks() {
    let found = |name: &str, body: &'static str| {
        let vendor = play(&source(name), None, Some(body));
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
    let with =
        |name: &str, event: &str, body: &'static str| play(&source(name), Some(event), Some(body));
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
    match play(&source("open"), Some("foo"), None) {
        Err(Failure::Usage(message)) => {
            assert!(message.contains("has no event.type"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    // Where the type is in a header, the header is part of what is sent.
    for name in ["live-chat", "kinds"] {
        let vendor = with(name, "foo", lead).expect("a header carries it");
        let request = sent(&vendor);
        let found = type_in(&vendor.source, &request);
        assert_eq!(found.as_deref(), Some("foo"), "{name}");
    }
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
    let (config, _) = load(&origin, &Environment::default(), Options::default()).expect("valid");
    let mut sources = config.sources.into_iter();
    sources.find(|source| *source.name == *name).expect("named")
}

fn vendor(name: &str, event: Option<&str>) -> Vendor {
    play(&source(name), event, None).expect("an event of the vendor's")
}

fn play(
    source: &Source,
    event: Option<&str>,
    data: Option<&'static str>,
) -> Result<Vendor, Failure> {
    let data = data.map(|data| (Bytes::from(data), None));
    let script = Script {
        event,
        data,
        ..Script::default()
    };
    Vendor::new(source, script)
}

fn sent(vendor: &Vendor) -> Outgoing {
    vendor.next().expect("it can be signed")
}

fn is_believed(vendor: &Vendor, request: &Outgoing) -> bool {
    let source = &vendor.source;
    let around = Surroundings::of(source, SIGNATURES_MAX);
    let verifier = Verifier::new(&source.verify, &source.secrets, &around);
    let Outgoing {
        method,
        query,
        headers,
        body,
    } = request.clone();
    verifier
        .verify(&method, query.as_deref(), headers, body, wall_ms())
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
            let request = sent(&vendor);
            assert!(is_believed(&vendor, &request), "{name} {event:?}");
            let forged = vendor.forge(request).expect("there is a proof to spoil");
            assert!(!is_believed(&vendor, &forged), "{name} {event:?}");
        }
    }
    let open = vendor("open", None);
    assert!(matches!(open.forge(sent(&open)), Err(Failure::Usage(_))));
}

#[test]
fn headers_are_those_of_the_guides() {
    let header = |request: &Outgoing, name: &str| {
        let value = request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    let live_chat = sent(&vendor("live-chat", Some("conversation.started")));
    assert_eq!(
        header(&live_chat, "x-webhook-event").as_deref(),
        Some("conversation.started")
    );
    let time = header(&live_chat, "x-webhook-timestamp").expect("there");
    time.parse::<jiff::Timestamp>().expect("ISO 8601");
    assert_eq!(header(&live_chat, "x-webhook-test"), None);

    let vowchat = vendor("vowchat", None);
    let (first, second) = (sent(&vowchat), sent(&vowchat));
    let delivery = |request: &Outgoing| header(request, "x-chatwoot-delivery").expect("there");
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
    let (first, second) = (sent(&erp), sent(&erp));
    let key = |request: &Outgoing| {
        let parts = parts(request);
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
        sent(&vendor("open", None)).body,
        sent(&vendor("open", None)).body
    );
}

#[test]
fn a_file_is_sent_as_it_is() {
    let data = "{ \"event\" : \"lead.lost\" }\n";
    let own = play(&source("chatmefy"), None, Some(data)).expect("any event");
    assert_eq!(own.event(), Some("lead.lost"));
    let request = sent(&own);
    assert_eq!(request.body, data);
    assert!(is_believed(&own, &request));
}

#[test]
fn an_event_that_the_vendor_does_not_send_is_named_with_those_it_does() {
    let refused = play(&source("live-chat"), Some("order.created"), None);
    match refused {
        Err(Failure::Usage(message)) => assert_eq!(
            message,
            "live-chat sends no event \"order.created\"; it sends: message.received, conversation.started"
        ),
        other => panic!("{other:?}"),
    }
    let control = play(&source("erp"), Some("a\nb"), None);
    assert!(matches!(control, Err(Failure::Usage(_))));
}

/// A source that looks everywhere: what its scheme needs is made up where it has no sample.
const ELSEWHERE: &str = r#"
    x-forward: &forward { forward: "http://127.0.0.1:3000/", secret: s }
    sources:
      body-signed:
        <<: *forward
        verify:
          hmac:
            field: json:/meta/signature
            signed: "{timestamp}{json:/order/id}{query:shop}"
            timestamp: { field: json:/meta/at }
            covers_body: false
        event: { id: json:/order/id, type: query:kind }
      form:
        <<: *forward
        verify: { hmac: { field: form:sign, signed: "{public_url}{form:order}{form:kind}", covers_body: false } }
        public_url: https://hooks.example.com/in
        event: { id: form:order, type: form:kind }
      asked:
        <<: *forward
        verify:
          hmac: { header: X-Sign, signed: "{header:X-Nonce}{body}", timestamp: null }
          when: { header:X-Version: v2, query:hash: "{body|sha256|hex}", json:/live: "*" }
      token-in-query: { <<: *forward, verify: { token: { field: "query:key" } } }
      token-in-body: { <<: *forward, verify: { token: { field: json:/auth/key } }, event: { type: json:/type } }
      sample:
        <<: *forward
        verify: { hmac: { header: X-Sign } }
        event: { id: header:X-Id, type: [header:X-Kind, json:/data/kind] }
        sample:
          headers: { X-Id: "<uuid>" }
          query: "at=<unix>"
          body: '{"id":"<uuid>","n":<number>,"data":{"kind":"paid"}}'
"#;

fn elsewhere(name: &str) -> Source {
    let origin = Origin::Text {
        name: "test".into(),
        text: ELSEWHERE.into(),
    };
    let (config, _) =
        load(&origin, &Environment::default(), Options::default()).unwrap_or_else(|problems| {
            panic!(
                "{}",
                problems.iter().map(ToString::to_string).collect::<String>()
            )
        });
    let mut sources = config.sources.into_iter();
    sources.find(|source| *source.name == *name).expect("named")
}

#[test]
fn a_scheme_gets_what_it_needs_wherever_it_looks() {
    let names = [
        "body-signed",
        "form",
        "asked",
        "token-in-query",
        "token-in-body",
        "sample",
    ];
    for name in names {
        let vendor =
            play(&elsewhere(name), None, None).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        let (request, other) = (sent(&vendor), sent(&vendor));
        assert!(is_believed(&vendor, &request), "{name}: {request:?}");
        assert_ne!(request.body, other.body, "{name}");
        let forged = vendor.forge(request).expect("there is a proof to spoil");
        assert!(!is_believed(&vendor, &forged), "{name}: {forged:?}");
    }
}

#[test]
fn a_sample_is_sent_with_the_query_of_its_url_and_fresh_values() {
    let source = elsewhere("sample");
    let script = Script {
        query: Some("shop=7"),
        ..Script::default()
    };
    let vendor = Vendor::new(&source, script).expect("a vendor");
    assert_eq!(vendor.event(), Some("paid"));
    let request = sent(&vendor);
    let query = request.query.as_deref().expect("there");
    assert!(query.starts_with("shop=7&at=1"), "{query}");
    let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["id"], request.headers["x-id"].to_str().expect("text"));
    assert_ne!(sent(&vendor).headers["x-id"], request.headers["x-id"]);
}

#[test]
fn an_event_is_put_where_the_sample_has_one() {
    let vendor = play(&elsewhere("sample"), Some("refunded"), None).expect("a vendor");
    assert_eq!(vendor.event(), Some("refunded"));
    let request = sent(&vendor);
    assert!(!request.headers.contains_key("x-kind"));
    let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["data"]["kind"], "refunded");
}

#[test]
fn what_cannot_be_signed_is_not_sent() {
    let refused = |name: &str, data: &'static str| match play(&elsewhere(name), None, Some(data)) {
        Err(Failure::Usage(message)) => message,
        other => panic!("{name}: {other:?}"),
    };
    let message = refused("token-in-body", r#"{"auth":{}}"#);
    assert!(message.contains("json:/auth/key"), "{message}");
    let message = refused("asked", "{}");
    assert!(
        message.contains("no scheme of source asked takes such a request"),
        "{message}"
    );
}

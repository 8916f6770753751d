//! A template, a query and a body, each on a line of its own: what is read is written back, and what is written back is
//! the same. What it makes of the request is answered by a handshake or refused, never a panic.

#![no_main]

use hookgate::config::handshake::{Handshake, HandshakeAnswer, HandshakeBody};
use hookgate::config::{Verify, template::Template};
use hookgate::verify::{Handshakes, Request, Surroundings};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let text = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or("{body}");
    let query = lines
        .next()
        .and_then(|query| std::str::from_utf8(query).ok());
    let body = lines.next().unwrap_or_default();
    let Ok(template) = text.parse::<Template>() else {
        return;
    };
    let written = template.to_string();
    assert_eq!(
        written.parse::<Template>().as_ref(),
        Ok(&template),
        "{text:?}"
    );
    let rule = Handshake {
        when: Vec::new(),
        verified: false,
        learn: None,
        answer: HandshakeAnswer {
            status: StatusCode::OK,
            content_type: Some(HeaderValue::from_static("text/plain")),
            headers: Vec::new(),
            body: HandshakeBody::Text(template),
        },
    };
    let around = Surroundings {
        public_url: Some("https://hooks.example.com/hooks/a".into()),
        ..Surroundings::default()
    };
    let handshakes = Handshakes::new(&[rule], &Verify::None, &[], &around);
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    let request = Request {
        method: &Method::POST,
        query,
        headers: &headers,
        body,
    };
    if let Some(rule) = handshakes.rule(request)
        && let Some(answer) = handshakes.answer(rule, request, 0)
    {
        assert!(answer.body.len() <= 4 << 10, "{text:?}");
    }
});

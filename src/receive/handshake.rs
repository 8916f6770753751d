//! A vendor that asks whether the URL is its own: it gets its answer, and nothing else happens but that a secret which
//! it brings may be learned.

use super::Receive;
use super::learn::learn;
use super::rejection::Rejection;
use super::source::{Proof, Source};
use crate::http::Answer;
use crate::verify::{HandshakeAnswer, Refused, Request};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use http_body_util::Full;

/// The answer of the source's rules to this request; none if it is no handshake but may be an event. A rule that asks for a proof answers
/// nobody without one, and what lacks the thing that is to be answered is refused like a wrong signature. `unproven` is
/// the body of a request that has proven nothing yet.
pub(super) async fn answer(
    receive: &Receive,
    source: &Source,
    proof: &Proof,
    request: Request<'_>,
    unproven: Option<&Bytes>,
    now_ms: u64,
) -> Result<Option<HandshakeAnswer>, Rejection> {
    let Some(rule) = proof.handshakes.rule(request) else {
        return match *request.method {
            Method::POST => Ok(None),
            _ => Err(Rejection::Method),
        };
    };
    if rule.verified
        && let Some(body) = unproven
    {
        let headers = request.headers.clone();
        let (method, query) = (request.method, request.query);
        proof
            .verifier
            .verify(method, query, headers, body.clone(), now_ms)?;
    }
    let answer = proof.handshakes.answer(rule, request, now_ms);
    let answer = answer.ok_or(Refused::Bad)?;
    if let Some(file) = &source.config.learn_to
        && let Some(brought) = proof.handshakes.brought(rule, request)
    {
        let secret = brought.usable(&source.config.verify).ok_or(Refused::Bad)?;
        learn(receive, source, file.clone(), secret).await?;
    }
    if let Some(suppressed) = source.handshakes.answered.pass() {
        tracing::info!(source = %source.config.name, suppressed, "handshake answered");
    }
    Ok(Some(answer))
}

/// The answer as it goes out.
pub(super) fn respond(answered: HandshakeAnswer) -> Answer {
    let mut answer = Response::new(Full::new(answered.body));
    *answer.status_mut() = answered.status;
    *answer.headers_mut() = answered.headers;
    answer
}

impl Source {
    /// A 405 says what the source's rules answer beside POST (RFC 9110 15.5.6).
    pub(super) fn allowing(&self, mut answer: Answer) -> Answer {
        let proof = self.proof();
        let methods = proof.handshakes.methods();
        if !methods.is_empty()
            && let Some(allow) = answer.headers_mut().get_mut(header::ALLOW)
        {
            let names: Vec<&str> = ["POST"]
                .into_iter()
                .chain(methods.iter().map(Method::as_str))
                .collect();
            *allow = HeaderValue::try_from(names.join(", ")).expect("methods are tokens");
        }
        answer
    }
}

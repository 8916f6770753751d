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
            _ => Err(unanswered(proof, request, Some(request.body))),
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
    if let Some(brought) = proof.handshakes.brought(rule, request) {
        let secret = brought.usable(&source.config.verify);
        match &source.config.learn_to {
            Some(file) => {
                let secret = secret.ok_or(Refused::Bad)?;
                learn(receive, source, file.clone(), secret).await?;
            }
            None => warn_of_unkept(source, proof, secret.as_deref().map(Vec::as_slice)),
        }
    }
    if let Some(suppressed) = source.handshakes().answered.pass() {
        tracing::info!(source = %source.config.name, suppressed, "handshake answered");
    }
    Ok(Some(answer))
}

/// A vendor that brings its own secret is content with the answer, and signs with it from then on.
fn warn_of_unkept(source: &Source, proof: &Proof, secret: Option<&[u8]>) {
    let known = secret.is_some_and(|secret| proof.handshakes.knows(secret));
    if !known && let Some(suppressed) = source.handshakes().unkept.pass() {
        tracing::warn!(
            source = %source.config.name,
            suppressed,
            "a handshake brought a secret that is not the configured one, and there is no file to keep it in: its \
             events will be refused; write secret: {{ file: PATH }}"
        );
    }
}

/// Why a request that can only be a handshake gets no answer. Of one that some rule nearly answers the log says where
/// it differs: a verify token that was mistyped leaves no other trace. The sender is told nothing.
pub(super) fn unanswered(proof: &Proof, request: Request<'_>, body: Option<&[u8]>) -> Rejection {
    let differing = proof.handshakes.differing(request, body);
    differing.map_or(Rejection::Method, Rejection::Unanswered)
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

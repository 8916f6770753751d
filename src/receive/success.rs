//! What happened to a request that was not refused, and how its sender is answered: a status and a body of the source's
//! own, what happened as JSON, or the words of the app or of a handshake.

use super::handshake;
use super::rejection::json;
use super::source::Source;
use crate::dedupe::Answered;
use crate::event::EventId;
use crate::http::Answer;
use crate::verify::HandshakeAnswer;
use http::{HeaderMap, header};
use http_body_util::Full;

/// What a success says.
pub(super) enum Success {
    Accepted(EventId),
    Delivered(EventId, bool),
    Duplicate(EventId),
    /// `passthrough`: an earlier request was answered by the app; there is no id.
    AnsweredBefore,
    Ignored,
    /// `passthrough`: the app's own answer, whatever it is.
    FromApp(Answered),
    /// What a vendor gets that asks whether the URL is its own.
    Handshake(HandshakeAnswer),
}

impl Source {
    /// The answer of a success: what happened as JSON, or what `respond` puts in its place.
    pub(super) fn success(&self, success: Success) -> Answer {
        let what = match success {
            Success::FromApp(answered) => return from_app(answered),
            Success::Handshake(answer) => return handshake::respond(answer),
            Success::Accepted(id) => received(id, ""),
            Success::Delivered(id, true) => received(id, r#","delivered":true"#),
            Success::Delivered(id, false) => received(id, r#","delivered":false"#),
            Success::Duplicate(id) => received(id, r#","duplicate":true"#),
            Success::AnsweredBefore => r#"{"received":true,"duplicate":true}"#.to_owned(),
            Success::Ignored => r#"{"received":true,"ignored":true}"#.to_owned(),
        };
        let respond = &self.config.respond;
        match &respond.body {
            None => json(respond.status, what.into()),
            Some(body) => {
                let mut answer = json(respond.status, body.clone());
                answer
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, respond.content_type.clone());
                answer
            }
        }
    }
}

/// What is said of the event `id`, and `more` of its members. Every event is answered, and formatting takes ten times as long.
fn received(id: EventId, more: &str) -> String {
    let mut text = EventId::TEXT;
    [
        r#"{"received":true,"id":""#,
        id.encode(&mut text),
        "\"",
        more,
        "}",
    ]
    .concat()
}

fn from_app(answered: Answered) -> Answer {
    let mut answer = http::Response::new(Full::new(answered.body));
    *answer.status_mut() = answered.status;
    *answer.headers_mut() = HeaderMap::from_iter(
        answered
            .content_type
            .map(|value| (header::CONTENT_TYPE, value)),
    );
    answer
}

//! Every answer that is no success, and the only place that knows their HTTP statuses.

use crate::http::Answer;
use crate::http::body::BodyError;
use crate::http::strict::Malformed;
use crate::store::NotStored;
use crate::verify::Refused;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use std::time::Duration;

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// No source has this path.
    #[error("not found")]
    NotFound,
    /// Only POST is taken.
    #[error("method not allowed")]
    Method,
    /// The sender is not proven. The answer is the same for every cause.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A handshake that differs from the nearest rule at these places. The answer is that to a wrong signature.
    #[error("a handshake was asked for that no rule answers: {0} is not as configured")]
    Unanswered(String),
    /// Its client is none of `allow_from`. The answer is that to a wrong signature, so that nobody can tell by it which of
    /// the two was wrong; an operator can, by the metric and the log. It is no 503: who is not allowed now will not be
    /// later, and a sender that moves to another address is not held up by anything of ours.
    #[error("its client is not in allow_from")]
    NotAllowed,
    /// Too many requests of its client were read and refused (`limits.failures_per_client`): until then no more are read.
    #[error("too many requests of its client were refused; none is read for {0:?}")]
    Client(Duration),
    /// More events than `limits.rate` of the source; there is room for one until then.
    #[error("more events than limits.rate of the source allows; room for the next one in {0:?}")]
    Rate(Duration),
    /// The body was not read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The head is not HTTP as we take it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The store does not have the event.
    #[error(transparent)]
    NotStored(#[from] NotStored),
    /// The commit, or the original of a duplicate, was not through at the ack deadline. It goes on.
    #[error("not durable at the ack deadline")]
    Late,
    /// `passthrough`: the time for finishing was over before the app had answered.
    #[error("the gateway stops")]
    Stopping,
    /// A defect of ours.
    #[error("internal error")]
    Panicked,
}

/// What the metrics call a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request cannot be taken, now or later: `requests_rejected_total{reason}`.
    Rejected(&'static str),
    /// It cannot be taken now: `unavailable_total{reason}`.
    Unavailable(&'static str),
    /// It is for no source.
    Elsewhere,
}

/// Seconds after which a sender may try again. A full store needs deliveries to go on; the rest passes quickly.
const RETRY_FULL_SECONDS: u16 = 30;
const RETRY_SOON_SECONDS: u16 = 2;

impl Rejection {
    /// For metrics and logs.
    pub fn cause(&self) -> Cause {
        match self {
            Self::NotFound | Self::Method => Cause::Elsewhere,
            Self::Refused(Refused::Missing) => Cause::Rejected("missing_signature"),
            Self::Refused(Refused::Bad) | Self::Unanswered(_) => Cause::Rejected("bad_signature"),
            Self::Refused(Refused::Stale) => Cause::Rejected("stale"),
            Self::NotAllowed => Cause::Rejected("not_allowed"),
            Self::Client(_) => Cause::Unavailable("client"),
            Self::Rate(_) => Cause::Unavailable("rate"),
            Self::Body(BodyError::TooLarge { .. }) => Cause::Rejected("too_large"),
            Self::Body(BodyError::Timeout(_)) => Cause::Rejected("timeout"),
            Self::Body(BodyError::Malformed) | Self::Malformed(_) => Cause::Rejected("malformed"),
            Self::Body(BodyError::Overloaded) | Self::NotStored(NotStored::Overloaded) => {
                Cause::Unavailable("overloaded")
            }
            Self::NotStored(NotStored::Full | NotStored::Backlog) => Cause::Unavailable("full"),
            Self::NotStored(NotStored::Unavailable) | Self::Panicked => Cause::Unavailable("store"),
            Self::Late | Self::Stopping => Cause::Unavailable("late"),
        }
    }

    /// What the sender sees. A temporary trouble of ours is always 503 with `Retry-After`: several senders never
    /// retry a 4xx.
    pub fn answer(&self) -> Answer {
        let (status, error) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            Self::Refused(_) | Self::Unanswered(_) | Self::NotAllowed => {
                (StatusCode::UNAUTHORIZED, "invalid signature")
            }
            Self::Body(BodyError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body too large")
            }
            Self::Body(BodyError::Timeout(_)) => (StatusCode::REQUEST_TIMEOUT, "request timeout"),
            Self::Body(BodyError::Malformed) | Self::Malformed(_) => {
                (StatusCode::BAD_REQUEST, "malformed request")
            }
            Self::NotStored(NotStored::Full | NotStored::Backlog) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store full")
            }
            Self::Body(BodyError::Overloaded) | Self::NotStored(NotStored::Overloaded) => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
            }
            Self::Client(_) | Self::Rate(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "too many requests")
            }
            Self::NotStored(NotStored::Unavailable)
            | Self::Late
            | Self::Stopping
            | Self::Panicked => (StatusCode::SERVICE_UNAVAILABLE, "temporarily unavailable"),
        };
        let mut answer = json(status, Bytes::from(format!(r#"{{"error":"{error}"}}"#)));
        let headers = answer.headers_mut();
        if matches!(self, Self::Method) {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = match self {
                Self::NotStored(NotStored::Full | NotStored::Backlog) => RETRY_FULL_SECONDS,
                Self::Client(wait) | Self::Rate(wait) => seconds_until(*wait),
                _ => RETRY_SOON_SECONDS,
            };
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        // What is left of the request must not be read as a second one.
        if matches!(self, Self::Malformed(_) | Self::Body(_)) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// Whole seconds, so that whoever comes again by then finds that it is over; at least one.
fn seconds_until(wait: Duration) -> u16 {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    u16::try_from(seconds).unwrap_or(u16::MAX)
}

/// A JSON answer.
pub fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// The table of the public contract: status, body, closes, retries.
    #[tokio::test]
    async fn every_rejection_has_its_answer() {
        let cases: [(Rejection, u16, &str, bool, Option<&str>); 19] = [
            (Rejection::NotFound, 404, "not found", false, None),
            (Rejection::Method, 405, "method not allowed", false, None),
            (
                Rejection::Unanswered("query:t".into()),
                401,
                "invalid signature",
                false,
                None,
            ),
            (
                Refused::Missing.into(),
                401,
                "invalid signature",
                false,
                None,
            ),
            (Refused::Bad.into(), 401, "invalid signature", false, None),
            (Refused::Stale.into(), 401, "invalid signature", false, None),
            (Rejection::NotAllowed, 401, "invalid signature", false, None),
            (
                Rejection::Client(Duration::from_millis(10)),
                503,
                "too many requests",
                false,
                Some("1"),
            ),
            (
                Rejection::Rate(Duration::from_millis(5_001)),
                503,
                "too many requests",
                false,
                Some("6"),
            ),
            (
                BodyError::TooLarge { limit: 1 }.into(),
                413,
                "body too large",
                true,
                None,
            ),
            (
                BodyError::Timeout(Duration::from_secs(1)).into(),
                408,
                "request timeout",
                true,
                None,
            ),
            (
                BodyError::Malformed.into(),
                400,
                "malformed request",
                true,
                None,
            ),
            (
                BodyError::Overloaded.into(),
                503,
                "overloaded",
                true,
                Some("2"),
            ),
            (Malformed::Host.into(), 400, "malformed request", true, None),
            (NotStored::Full.into(), 503, "store full", false, Some("30")),
            (
                NotStored::Backlog.into(),
                503,
                "store full",
                false,
                Some("30"),
            ),
            (
                NotStored::Unavailable.into(),
                503,
                "temporarily unavailable",
                false,
                Some("2"),
            ),
            (
                Rejection::Late,
                503,
                "temporarily unavailable",
                false,
                Some("2"),
            ),
            (
                Rejection::Stopping,
                503,
                "temporarily unavailable",
                false,
                Some("2"),
            ),
        ];
        for (rejection, status, error, closes, retry) in cases {
            let answer = rejection.answer();
            assert_eq!(answer.status(), status, "{rejection}");
            let header = |name| {
                answer
                    .headers()
                    .get(name)
                    .map(|value: &HeaderValue| value.to_str().expect("text").to_owned())
            };
            assert_eq!(
                header(header::CONNECTION).as_deref(),
                closes.then_some("close"),
                "{rejection}"
            );
            assert_eq!(header(header::RETRY_AFTER).as_deref(), retry, "{rejection}");
            assert_eq!(
                header(header::CONTENT_TYPE).as_deref(),
                Some("application/json")
            );
            let body = answer
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            assert_eq!(body, format!(r#"{{"error":"{error}"}}"#));
        }
    }
}

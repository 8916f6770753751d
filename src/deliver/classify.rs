//! What the end of an attempt means: taken or not, in which word of the metrics, and whether the app is up.

use super::breaker::Reach;
use super::retry;
use crate::clock;
use crate::http::client::{ClientError, Reply};
use http::{StatusCode, header::RETRY_AFTER};
use std::time::Duration;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// The app has taken the event: a 2xx, whatever its body.
    pub(super) delivered: bool,
    /// A word of [`crate::metrics::REASONS`].
    pub(super) reason: &'static str,
    /// The app's answer, if there was one.
    pub(super) status: Option<StatusCode>,
    /// What it says about whether the app is up.
    pub(super) reach: Reach,
    /// How long the app asks us to wait.
    pub(super) retry_after: Option<Duration>,
}

/// No answer within the target's timeout.
pub(super) const TIMED_OUT: Ending = Ending::unanswered("timeout", Reach::Failing);

impl Ending {
    const fn unanswered(reason: &'static str, reach: Reach) -> Self {
        Self {
            delivered: false,
            reason,
            status: None,
            reach,
            retry_after: None,
        }
    }
}

/// Redirects are failures like any other answer that is not 2xx: following one would send an authenticated event
/// to wherever the app's answer says.
pub(super) fn answered(reply: &Reply) -> Ending {
    let delivered = reply.status.is_success();
    let retry_after = if delivered {
        None
    } else {
        let value = reply.headers.get(RETRY_AFTER);
        value.and_then(|value| retry::after(value.as_bytes(), clock::wall_ms()))
    };
    Ending {
        delivered,
        reason: class(reply.status),
        status: Some(reply.status),
        reach: reach(reply.status),
        retry_after,
    }
}

/// An app that cannot, or asks for less, is no use to any event; one that refuses this event may take the next.
fn reach(status: StatusCode) -> Reach {
    match status.as_u16() {
        429 | 500.. => Reach::Failing,
        _ => Reach::Answered,
    }
}

/// Statuses from 600 on are nobody's; they count with the app's own errors.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

/// What an error of the client means.
pub(super) fn failed(error: &ClientError) -> Ending {
    match error {
        ClientError::Dns { .. } => Ending::unanswered("dns", Reach::Failing),
        ClientError::Connect { .. } => Ending::unanswered("connect", Reach::Failing),
        ClientError::Tls { .. } => Ending::unanswered("tls", Reach::Failing),
        ClientError::Closed(_) => Ending::unanswered("closed", Reach::Unclear),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::REASONS;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use std::io;

    fn reply(status: u16, retry_after: Option<&'static str>) -> Reply {
        let value = retry_after.map(HeaderValue::from_static);
        Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: value
                .map(|value| (RETRY_AFTER, value))
                .into_iter()
                .collect::<HeaderMap>(),
            body: Bytes::new(),
            truncated: false,
        }
    }

    #[test]
    fn only_2xx_is_taken() {
        let cases = [
            (101, false, "1xx"),
            (200, true, "2xx"),
            (204, true, "2xx"),
            (299, true, "2xx"),
            (300, false, "3xx"),
            (302, false, "3xx"),
            (400, false, "4xx"),
            (404, false, "4xx"),
            (410, false, "4xx"),
            (429, false, "4xx"),
            (499, false, "4xx"),
            (500, false, "5xx"),
            (503, false, "5xx"),
            (999, false, "5xx"),
        ];
        for (status, delivered, reason) in cases {
            let ending = answered(&reply(status, None));
            assert_eq!(
                (ending.delivered, ending.reason),
                (delivered, reason),
                "{status}"
            );
            let failing = matches!(status, 429 | 500..);
            assert_eq!(ending.reach == Reach::Failing, failing, "{status}");
            assert_ne!(ending.reach, Reach::Unclear, "{status}");
            assert_ne!(REASONS.contains(&ending.reason), delivered, "{status}");
        }
    }

    #[test]
    fn failures_of_any_status_may_ask_to_wait() {
        for status in [302, 400, 429, 500, 503] {
            let ending = answered(&reply(status, Some("7")));
            assert_eq!(ending.retry_after, Some(Duration::from_secs(7)), "{status}");
        }
        assert_eq!(answered(&reply(200, Some("7"))).retry_after, None);
        assert_eq!(answered(&reply(503, Some("soon"))).retry_after, None);
    }

    #[test]
    fn errors_say_whether_anybody_is_there() {
        let source = || io::Error::other("x");
        let name = || "app".to_owned();
        let dns = ClientError::Dns {
            host: name(),
            source: source(),
        };
        let connect = ClientError::Connect {
            address: name(),
            source: source(),
        };
        let tls = ClientError::Tls {
            host: name(),
            source: source(),
        };
        for (error, reason) in [(dns, "dns"), (connect, "connect"), (tls, "tls")] {
            let ending = failed(&error);
            assert_eq!((ending.reason, ending.reach), (reason, Reach::Failing));
            assert!(!ending.delivered && ending.status.is_none());
            assert!(REASONS.contains(&ending.reason));
        }
        assert_eq!(TIMED_OUT.reach, Reach::Failing);
        assert!(REASONS.contains(&TIMED_OUT.reason));
    }
}

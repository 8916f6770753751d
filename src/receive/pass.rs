//! `passthrough`: the app is asked while the sender waits, and the sender gets what it says. Nothing is stored; what the app
//! has taken is remembered, so that it comes there once.

use super::handler::Incoming;
use super::rejection::Rejection;
use super::source::Source;
use super::success::Success;
use super::{Receive, forward};
use crate::dedupe::{Answered, Reservation};
use crate::deliver::PassError;
use crate::event::{DedupeKey, Event, EventId, Seq, TargetId};
use crate::shutdown::Phase;
use http::{HeaderValue, StatusCode, header};
use std::sync::Arc;
use tokio::time::timeout_at;

/// `passthrough`: nothing is stored; the app's answer is the sender's.
pub(super) async fn pass(
    receive: &Receive,
    source: &Source,
    incoming: Incoming,
    event_type: Option<Arc<str>>,
    key: Option<DedupeKey>,
    target: TargetId,
    reservation: Reservation,
) -> Result<Success, Rejection> {
    let Incoming {
        mut verified,
        charge: _charge,
        received_ms,
        caller,
        deadline,
        span,
        ..
    } = incoming;
    // Who waited for an original that was cut off does not begin anew.
    if receive.stop.phase() == Phase::Over {
        return Err(Rejection::Stopping);
    }
    // They wait for one answer and no longer, so they may stay where they are.
    forward::sift(verified.headers_mut(), caller);
    if let Some(span) = span {
        span.mark(verified.headers_mut());
    }
    let (headers, body, secret_header) = verified.into_parts();
    let id = EventId::random(received_ms);
    let event = Event {
        seq: Seq(0),
        id,
        received_ms,
        source: Arc::clone(&source.config.name),
        event_type,
        key: key.unwrap_or_else(|| DedupeKey::of_exempt(source.config.key_name(), id)),
        headers,
        secret_header,
        body,
        first_attempts: None,
    };
    let passed = tokio::select! {
        biased;
        passed = timeout_at(deadline, receive.deliver.pass(target, &event)) => passed,
        () = receive.over() => return Err(Rejection::Stopping),
    };
    let answered = match passed {
        Ok(Ok(reply)) => Answered {
            status: reply.status,
            content_type: reply.headers.get(header::CONTENT_TYPE).cloned(),
            body: reply.body,
        },
        Ok(Err(PassError::Bad)) => no_answer(StatusCode::BAD_GATEWAY, "app gave no valid answer"),
        Ok(Err(PassError::Timeout)) | Err(_) => {
            no_answer(StatusCode::GATEWAY_TIMEOUT, "app did not answer in time")
        }
    };
    let taken = answered.status.is_success();
    reservation.answered(answered.clone(), taken, received_ms);
    if taken {
        source.metrics.accepted(received_ms);
        event.log_accepted();
    } else {
        source.metrics.events.increment("unavailable");
    }
    // As where events are sent on: those that are answered now are answered together.
    tokio::task::yield_now().await;
    Ok(Success::FromApp(answered))
}

fn no_answer(status: StatusCode, error: &str) -> Answered {
    let body = format!(r#"{{"error":"{error}"}}"#).into();
    Answered {
        status,
        content_type: Some(HeaderValue::from_static("application/json")),
        body,
    }
}

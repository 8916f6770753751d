//! One attempt: the event is dressed, sent, and what comes back is judged. The same for waiting events and for
//! `passthrough`, which hands the app's answer on.

use super::breaker::Ended;
use super::classify::{self, Ending, TIMED_OUT};
use super::gear::Gear;
use super::headers::Attempt;
use super::target::Target;
use super::{PassError, PassReply};
use crate::clock;
use crate::event::Event;
use crate::http::client::{ClientError, Reply};
use crate::store::{ANSWER_KEPT_BYTES, AttemptRecord};
use crate::trace::Attempting;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

/// Bytes of an answer that `passthrough` hands on; more is no valid answer.
const PASSED_BYTES_MAX: usize = 1024 * 1024;

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Posted {
    /// What it means.
    pub(super) ending: Ending,
    /// The answer, or why there is none; `None` is a timeout.
    result: Option<Result<Reply, ClientError>>,
    /// Unix milliseconds.
    begun_ms: u64,
    took: Duration,
    /// When it ended.
    pub(super) at: Instant,
    /// What is told of it, if the event is recorded.
    span: Option<Attempting>,
}

impl Gear {
    /// Waits for its turn among the attempts of this target, from `now` on; says when that is.
    pub(super) async fn slot(&self, now: Instant) -> (SemaphorePermit<'_>, Instant) {
        if let Ok(slot) = self.slots.try_acquire() {
            return (slot, now);
        }
        let slot = self.slots.acquire().await;
        (slot.expect("the slots are never closed"), Instant::now())
    }

    /// Sends `event` at `begun`, which is now, and reads at most `answer_bytes` of the answer. Counts nothing: dropped,
    /// it never was.
    pub(super) async fn post(
        &self,
        event: &Event,
        attempt: Attempt,
        (begun, deadline): (Instant, Instant),
        answer_bytes: usize,
    ) -> Posted {
        let begun_ms = clock::unix_ms();
        let span = self.tracer.attempting(&event.headers);
        let headers = || {
            let mut headers = self.outfit.headers(event, attempt, clock::wall_ms);
            if let Some(span) = &span {
                span.mark(&mut headers);
            }
            headers
        };
        let answer = self.client.post(headers, &event.body, answer_bytes);
        let result = timeout_at(deadline, answer).await.ok();
        let ending = match &result {
            Some(Ok(reply)) => classify::answered(reply),
            Some(Err(error)) => classify::failed(error),
            None => TIMED_OUT,
        };
        let at = Instant::now();
        Posted {
            ending,
            result,
            begun_ms,
            took: at.duration_since(begun),
            at,
            span,
        }
    }

    /// Tells the collector of an attempt, in the words of OpenTelemetry's semantic conventions for HTTP clients where they
    /// have one. Not the target's path or query, which may carry a token.
    pub(super) fn tell(&self, event: &Event, attempt: Attempt, posted: &mut Posted) {
        let Some(span) = posted.span.take() else {
            return;
        };
        let ending = &posted.ending;
        let mut span = span.end();
        span.name = format!("deliver {}", self.name());
        span.failed = !ending.delivered;
        span.tell("http.request.method", "POST");
        span.tell("server.address", &*self.host);
        span.tell("server.port", self.port);
        span.tell("http.request.resend_count", attempt.number - 1);
        if let Some(status) = ending.status {
            span.tell("http.response.status_code", status.as_u16());
        }
        if !ending.delivered {
            span.tell("error.type", ending.reason);
        }
        let outcome = if ending.delivered {
            "delivered"
        } else {
            "failed"
        };
        span.tell("hookgate.outcome", outcome);
        span.tell("hookgate.target", self.name());
        span.tell("hookgate.source", &*event.source);
        span.tell("hookgate.attempt", attempt.number);
        span.tell("hookgate.event.id", &*event.id.to_string());
        if let Some(event_type) = &event.event_type {
            span.tell("hookgate.event.type", &**event_type);
        }
        if attempt.replay > 0 {
            span.tell("hookgate.replay", attempt.replay);
        }
        self.tracer.record(span);
    }
}

impl Target {
    /// Counts an attempt.
    pub(super) fn count(&self, event: &Event, posted: &Posted) {
        self.metrics.attempt_duration.record(posted.took);
        if posted.ending.delivered {
            self.metrics.delivered.increment(1);
            let waited_ms = posted.begun_ms.saturating_sub(event.received_ms);
            self.metrics
                .delivery_delay
                .record(Duration::from_millis(waited_ms) + posted.took);
        } else {
            self.metrics.failed.increment(posted.ending.reason);
        }
    }

    /// Says that an attempt has failed.
    pub(super) fn log_failure(&self, event: &Event, attempt: u32, posted: &Posted) {
        let error = match &posted.result {
            Some(Err(error)) => Some(error as &dyn std::error::Error),
            Some(Ok(_)) | None => None,
        };
        self.failures
            .log(event, &self.name, attempt, &posted.ending, error);
    }

    /// `passthrough`: one attempt in the request's own task. The breaker hears of it but does not stop it: the
    /// sender waits for the app's own answer, not for ours.
    pub(super) async fn pass(self: &Arc<Self>, event: &Event) -> Result<PassReply, PassError> {
        const ATTEMPT: Attempt = Attempt {
            number: 1,
            replay: 0,
        };
        let gear = self.gear().ok_or(PassError::Bad)?;
        let now = Instant::now();
        let deadline = now + gear.timeout;
        let slot = timeout_at(deadline, gear.slot(now)).await;
        let (slot, begun) = slot.map_err(|_| PassError::Timeout)?;
        let mut posted = gear
            .post(event, ATTEMPT, (begun, deadline), PASSED_BYTES_MAX)
            .await;
        drop(slot);
        if posted.ending.delivered && !posted.is_whole() {
            // The app has taken it, but its answer is longer than can be handed on, so the connection was cut.
            posted.ending.delivered = false;
            posted.ending.reason = "closed";
        }
        self.count(event, &posted);
        gear.tell(event, ATTEMPT, &mut posted);
        if posted.ending.delivered {
            super::log::delivered(event, &self.name, ATTEMPT.number, &posted.ending);
        } else {
            self.log_failure(event, ATTEMPT.number, &posted);
        }
        let ended = Ended {
            reach: posted.ending.reach,
            probe: false,
            first: true,
        };
        self.heard(ended, posted.at);
        posted.into_reply()
    }
}

impl Posted {
    /// Whether there is an answer that can be handed on.
    fn is_whole(&self) -> bool {
        matches!(&self.result, Some(Ok(reply)) if !reply.truncated && !reply.status.is_informational())
    }

    /// What is kept of it for inspection.
    pub(super) fn record(&self, attempt: u32) -> AttemptRecord {
        let (error, answer) = match &self.result {
            None => (Some(self.ending.reason.to_owned()), Bytes::new()),
            Some(Err(error)) => (Some(super::log::chain(error)), Bytes::new()),
            Some(Ok(reply)) => {
                let kept = reply.body.len().min(ANSWER_KEPT_BYTES);
                // A copy: a slice would hold on to the whole answer until this is written.
                (None, Bytes::copy_from_slice(&reply.body[..kept]))
            }
        };
        AttemptRecord {
            attempt,
            at_ms: self.begun_ms,
            took_ms: clock::millis(self.took),
            status: self.ending.status.map(|status| status.as_u16()),
            error,
            answer,
        }
    }

    fn into_reply(self) -> Result<PassReply, PassError> {
        let whole = self.is_whole();
        match self.result {
            Some(Ok(reply)) if whole => Ok(PassReply {
                status: reply.status,
                headers: reply.headers,
                body: reply.body,
            }),
            Some(Err(error)) if error.is_timeout() => Err(PassError::Timeout),
            Some(_) => Err(PassError::Bad),
            None => Err(PassError::Timeout),
        }
    }
}

//! One attempt: the event is dressed, sent, and what comes back is judged. The same for waiting events and for
//! `passthrough`, which hands the app's answer on.

use super::breaker::Ended;
use super::classify::{self, Ending, TIMED_OUT};
use super::headers::Attempt;
use super::target::Target;
use super::{PassError, PassReply};
use crate::clock;
use crate::event::Event;
use crate::http::client::{ClientError, Reply};
use crate::store::{ANSWER_KEPT_BYTES, AttemptRecord};
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
    took: Duration,
}

impl Target {
    /// Waits for its turn among the attempts of this target.
    pub(super) async fn slot(&self) -> SemaphorePermit<'_> {
        let slot = self.slots.acquire().await;
        slot.expect("the slots are never closed")
    }

    /// Sends `event` and reads at most `answer_bytes` of the answer. Counts nothing: dropped, it never was.
    pub(super) async fn post(
        &self,
        event: &Event,
        attempt: Attempt,
        deadline: Instant,
        answer_bytes: usize,
    ) -> Posted {
        let begun = Instant::now();
        let headers = || self.outfit.headers(event, attempt, clock::wall_ms());
        let answer = self.client.post(headers, &event.body, answer_bytes);
        let result = timeout_at(deadline, answer).await.ok();
        let ending = match &result {
            Some(Ok(reply)) => classify::answered(reply),
            Some(Err(error)) => classify::failed(error),
            None => TIMED_OUT,
        };
        Posted {
            ending,
            result,
            took: begun.elapsed(),
        }
    }

    /// Counts an attempt.
    pub(super) fn count(&self, event: &Event, posted: &Posted) {
        self.metrics.attempt_duration.record(posted.took);
        if posted.ending.delivered {
            self.metrics.delivered.increment(1);
            let delay_ms = clock::unix_ms().saturating_sub(event.received_ms);
            self.metrics
                .delivery_delay
                .record(Duration::from_millis(delay_ms));
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
        let deadline = Instant::now() + self.timeout;
        let slot = timeout_at(deadline, self.slot()).await;
        let slot = slot.map_err(|_| PassError::Timeout)?;
        let mut posted = self.post(event, ATTEMPT, deadline, PASSED_BYTES_MAX).await;
        drop(slot);
        posted.ending.delivered &= posted.is_whole();
        self.count(event, &posted);
        if posted.ending.delivered {
            super::log::delivered(event, &self.name, ATTEMPT.number, &posted.ending);
        } else {
            self.log_failure(event, ATTEMPT.number, &posted);
        }
        self.heard(Ended {
            reach: posted.ending.reach,
            probe: false,
            first: true,
        });
        posted.into_reply()
    }
}

impl Posted {
    /// Whether there is an answer that can be handed on.
    fn is_whole(&self) -> bool {
        matches!(&self.result, Some(Ok(reply)) if !reply.truncated && !reply.status.is_informational())
    }

    /// What is kept of it for inspection.
    pub(super) fn record(&self, attempt: u32, at_ms: u64) -> AttemptRecord {
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
            at_ms,
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

//! The audit lines of deliveries, and failures at a bearable rate: an app that is down fails thousands of attempts a
//! second, which one line a second and reason says as well.

use super::classify::Ending;
use crate::event::Event;
use crate::metrics::REASONS;
use crate::store::{Abandoned, DeadReason};
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long a reason stays silent after a line.
const SILENCE: Duration = Duration::from_secs(1);

/// Which failures of one target were logged when.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<[Said; REASONS.len()]>);

#[derive(Clone, Copy, Debug, Default)]
struct Said {
    at: Option<Instant>,
    suppressed: u64,
}

impl Failures {
    /// Whether a failure for `reason` may be logged now, and how many were not since the last line.
    fn may_say(&self, reason: &str, now: Instant) -> Option<u64> {
        let index = REASONS.iter().position(|word| *word == reason)?;
        let said = &mut self.0.lock()[index];
        if said.at.is_some_and(|at| now.duration_since(at) < SILENCE) {
            said.suppressed += 1;
            return None;
        }
        said.at = Some(now);
        Some(std::mem::take(&mut said.suppressed))
    }

    /// An attempt has failed.
    pub(super) fn log(
        &self,
        event: &Event,
        target: &str,
        attempt: u32,
        ending: &Ending,
        error: Option<&dyn std::error::Error>,
    ) {
        let Some(suppressed) = self.may_say(ending.reason, Instant::now()) else {
            return;
        };
        let error = error.map(chain);
        tracing::warn!(
            event_id = %event.id,
            source = %event.source,
            target,
            attempt,
            status = ending.status.map(|status| status.as_u16()),
            reason = ending.reason,
            error,
            suppressed,
            "attempt failed"
        );
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The app has an event.
pub(super) fn delivered(event: &Event, target: &str, attempt: u32, ending: &Ending) {
    tracing::info!(
        event_id = %event.id,
        source = %event.source,
        target,
        attempt,
        status = ending.status.map(|status| status.as_u16()),
        "event.delivered"
    );
}

/// An event is given up for a target.
pub(super) fn dead(
    event: &Event,
    target: &str,
    attempts: u32,
    reason: DeadReason,
    ending: Option<&Ending>,
) {
    tracing::info!(
        event_id = %event.id,
        source = %event.source,
        target,
        attempt = attempts,
        status = ending.and_then(|ending| ending.status).map(|status| status.as_u16()),
        reason = word(reason),
        "event.dead"
    );
}

/// An event is given up since its target is no longer configured.
pub(super) fn abandoned(delivery: &Abandoned, target: &str, attempts: u32, reason: DeadReason) {
    let (id, source) = delivery
        .event
        .as_ref()
        .map(|(id, source)| (id, &**source))
        .unzip();
    tracing::info!(
        event_id = id.map(tracing::field::display),
        source,
        target,
        attempt = attempts,
        reason = word(reason),
        "event.dead"
    );
}

/// How metrics and logs name a reason.
pub(super) fn word(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::Expired => "expired",
        DeadReason::Corrupt => "corrupt",
        DeadReason::Backlog => "backlog",
        DeadReason::Removed => "removed",
        DeadReason::Attempts => "attempts",
        DeadReason::Discarded => "discarded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_a_second_with_what_was_not_said() {
        let failures = Failures::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let cases = [
            ("5xx", 0, Some(0)),
            ("5xx", 1, None),
            ("timeout", 2, Some(0)),
            ("5xx", 999, None),
            ("5xx", 1_000, Some(2)),
            ("5xx", 2_500, Some(0)),
        ];
        for (reason, ms, expected) in cases {
            assert_eq!(
                failures.may_say(reason, at(ms)),
                expected,
                "{reason} at {ms}"
            );
        }
    }

    #[test]
    fn words_are_those_of_the_metrics() {
        for (reason, expected) in DeadReason::ALL {
            assert_eq!(word(reason), expected);
        }
    }

    #[test]
    fn an_error_is_said_with_its_causes() {
        let error = crate::http::client::ClientError::Connect {
            address: "app:80".to_owned(),
            source: std::io::Error::other("refused"),
        };
        assert_eq!(chain(&error), "cannot connect to app:80: refused");
    }
}

//! When a failed delivery is tried again, or that it is given up. Pure arithmetic over Unix milliseconds.

use crate::backoff::Schedule;
use crate::clock;
use crate::store::{DeadReason, Outcome};
use std::time::{Duration, UNIX_EPOCH};

/// A target's patience.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    /// Delays between attempts.
    pub(super) schedule: Schedule,
    /// Age at which a failed event is given up.
    pub(super) give_up_after: Duration,
    /// Attempts after which it is given up at any age.
    pub(super) max_attempts: Option<u32>,
}

impl Patience {
    /// What a failed attempt leads to. `attempts` counts it; the age is counted from `since_ms`. The last try comes at the
    /// very end of the patience, even where the schedule or the app (`asked`, its `Retry-After`) would have it later: late
    /// beats never. One that was made to ask whether the app is up (`probe`) ends nothing by its number: an outage must
    /// not use up what an event has.
    pub(super) fn after_failure(
        &self,
        attempts: u32,
        since_ms: u64,
        now_ms: u64,
        asked: Option<Duration>,
        probe: bool,
    ) -> Outcome {
        let end_ms = since_ms.saturating_add(clock::millis(self.give_up_after));
        if now_ms >= end_ms {
            return Outcome::Dead {
                reason: DeadReason::Expired,
                attempts,
            };
        }
        if !probe && self.max_attempts.is_some_and(|most| attempts >= most) {
            return Outcome::Dead {
                reason: DeadReason::Attempts,
                attempts,
            };
        }
        let delay_ms = clock::millis(self.schedule.delay(attempts, asked));
        Outcome::Retry {
            attempts,
            due_ms: now_ms.saturating_add(delay_ms).min(end_ms),
        }
    }
}

/// `Retry-After` in either form (RFC 9110 10.2.3): seconds, or a date, which is compared with our clock. A date
/// in the past asks for nothing; what is neither form is ignored. The caller caps it.
pub(super) fn after(value: &[u8], now_ms: u64) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        // More seconds than fit are more than any cap.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Backoff;
    use proptest::prelude::*;

    const MINUTE_MS: u64 = 60_000;
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        factor: 2.0,
        max: Duration::from_mins(10),
    };

    fn patience(give_up_after: Duration) -> Patience {
        Patience {
            schedule: Schedule::Growing(BACKOFF),
            give_up_after,
            max_attempts: None,
        }
    }

    #[test]
    fn retry_after_has_two_forms() {
        // 1994-11-06 08:49:37 UTC, the date of RFC 9110's examples.
        const DATE_MS: u64 = 784_111_777_000;
        let cases: [(&[u8], u64, Option<u64>); 16] = [
            (b"120", 0, Some(120)),
            (b" 5 ", 0, Some(5)),
            (b"0", 0, Some(0)),
            (b"99999999999999999999999", 0, Some(u64::MAX)),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", DATE_MS - 30_000, Some(30)),
            (
                b"Sunday, 06-Nov-94 08:49:37 GMT",
                DATE_MS - 30_000,
                Some(30),
            ),
            (b"Sun Nov  6 08:49:37 1994", DATE_MS - 30_000, Some(30)),
            (b"Sun, 06 Nov 1994 08:49:37 GMT", DATE_MS + 1, Some(0)),
            // Far in the future, and before there was time.
            (
                b"Fri, 31 Dec 9999 23:59:59 GMT",
                DATE_MS,
                Some(253_402_300_799 - DATE_MS / 1_000),
            ),
            (b"Thu, 01 Jan 1970 00:00:00 GMT", DATE_MS, Some(0)),
            (b"-99999999999999999999999", 0, None),
            (b"+5", 0, None),
            (b"", 0, None),
            (b"-5", 0, None),
            (b"1.5", 0, None),
            (b"\xff", 0, None),
        ];
        for (value, now_ms, expected) in cases {
            assert_eq!(
                after(value, now_ms),
                expected.map(Duration::from_secs),
                "{:?}",
                String::from_utf8_lossy(value)
            );
        }
    }

    #[test]
    fn an_event_is_given_up_at_its_age_and_not_before() {
        let patience = patience(Duration::from_mins(1));
        let dead = |now_ms| {
            matches!(
                patience.after_failure(9, 1_000, now_ms, None, false),
                Outcome::Dead {
                    reason: DeadReason::Expired,
                    attempts: 9
                }
            )
        };
        assert!(!dead(0), "a clock set back gives nothing up");
        assert!(!dead(1_000 + MINUTE_MS - 1));
        assert!(dead(1_000 + MINUTE_MS));
        assert!(dead(u64::MAX));
    }

    #[test]
    fn an_asked_delay_is_kept_up_to_the_maximum() {
        let patience = patience(Duration::from_hours(72));
        let due = |asked_s| match patience.after_failure(
            1,
            0,
            0,
            Some(Duration::from_secs(asked_s)),
            false,
        ) {
            Outcome::Retry { due_ms, .. } => due_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(due(30), 30_000);
        assert_eq!(due(86_400), 600_000);
        assert_eq!(due(u64::MAX), 600_000);
    }

    #[test]
    fn a_list_ends_with_the_attempt_after_its_last_delay() {
        let delays = [1, 5].map(Duration::from_mins);
        let listed = |max_attempts| Patience {
            schedule: Schedule::Listed(delays.into()),
            give_up_after: Duration::from_hours(72),
            max_attempts,
        };
        let minutes = |patience: &Patience, attempts| match patience
            .after_failure(attempts, 0, 0, None, false)
        {
            Outcome::Retry { due_ms, .. } => Some(due_ms / MINUTE_MS),
            Outcome::Dead {
                reason: DeadReason::Attempts,
                attempts: counted,
            } => {
                assert_eq!(counted, attempts);
                None
            }
            other => panic!("{other:?}"),
        };
        let all = |patience: Patience| [1, 2, 3, 4, 5].map(|n| minutes(&patience, n));
        assert_eq!(all(listed(Some(3))), [Some(1), Some(5), None, None, None]);
        assert_eq!(
            all(listed(Some(5))),
            [Some(1), Some(5), Some(5), Some(5), None]
        );
        assert_eq!(all(listed(Some(1))), [None; 5]);
        // The age comes first.
        let late = listed(Some(1)).after_failure(1, 0, 73 * 60 * MINUTE_MS, None, false);
        let expired = |outcome| {
            matches!(
                outcome,
                Outcome::Dead {
                    reason: DeadReason::Expired,
                    ..
                }
            )
        };
        assert!(expired(late), "{late:?}");
    }

    proptest! {
        /// A retry lies between now and the end, and never further than the schedule or the app says.
        #[test]
        fn retries_stay_within_the_patience(
            attempts in 1u32..40,
            age_ms in 0u64..200_000,
            patience_ms in 0u64..200_000,
            asked_s in proptest::option::of(0u64..2_000),
        ) {
            let patience = patience(Duration::from_millis(patience_ms));
            let (received_ms, now_ms) = (5_000, 5_000 + age_ms);
            let asked = asked_s.map(Duration::from_secs);
            match patience.after_failure(attempts, received_ms, now_ms, asked, false) {
                Outcome::Retry { attempts: counted, due_ms } => {
                    prop_assert_eq!(counted, attempts);
                    prop_assert!(age_ms < patience_ms);
                    let end_ms = received_ms + patience_ms;
                    prop_assert!(due_ms >= now_ms && due_ms <= end_ms);
                    let floor_ms = asked_s.unwrap_or(0).min(600) * 1000;
                    prop_assert!(due_ms >= (now_ms + floor_ms).min(end_ms));
                    let bound_ms = clock::millis(BACKOFF.bound(attempts)).max(floor_ms);
                    prop_assert!(due_ms <= now_ms + bound_ms);
                }
                Outcome::Dead { reason, .. } => {
                    prop_assert_eq!(reason, DeadReason::Expired);
                    prop_assert!(age_ms >= patience_ms);
                }
                Outcome::Delivered => prop_assert!(false, "a failure delivers nothing"),
            }
        }
    }
}

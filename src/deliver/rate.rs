//! How many attempts may begin: a bucket of tokens that fills evenly. What is kept is one time, that at which the bucket
//! is full again.

use crate::config::target;
use std::time::Duration;
use tokio::time::Instant;

/// The bucket of one target; without a limit it is never empty.
#[derive(Debug)]
pub(super) struct Rate(Option<Bucket>);

#[derive(Debug)]
struct Bucket {
    /// Between two tokens.
    interval: Duration,
    /// How long an empty one takes to fill: one second's worth, at least one token.
    fills_in: Duration,
    /// Full from then on; from the start without it.
    full_at: Option<Instant>,
}

impl Rate {
    /// A full one.
    pub(super) fn new(limit: Option<target::Rate>) -> Self {
        Self(limit.map(|limit| {
            let interval = limit.per / limit.attempts.max(1);
            Bucket {
                interval,
                fills_in: interval.max(Duration::from_secs(1)),
                full_at: None,
            }
        }))
    }

    /// Tokens at this moment.
    pub(super) fn tokens(&self, now: Instant) -> usize {
        let Some(bucket) = &self.0 else {
            return usize::MAX;
        };
        let filled = bucket.fills_in.saturating_sub(bucket.lacks(now));
        let tokens = filled.as_nanos() / bucket.interval.as_nanos().max(1);
        usize::try_from(tokens).unwrap_or(usize::MAX)
    }

    /// How long until there is a token; `None` if there is one.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let bucket = self.0.as_ref()?;
        let wait = bucket.lacks(now) + bucket.interval;
        let wait = wait.saturating_sub(bucket.fills_in);
        (!wait.is_zero()).then_some(wait)
    }

    /// Takes a token.
    pub(super) fn take(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.0 {
            let full_at = bucket.full_at.map_or(now, |full_at| full_at.max(now));
            bucket.full_at = Some(full_at + bucket.interval);
        }
    }
}

impl Bucket {
    /// Until it is full.
    fn lacks(&self, now: Instant) -> Duration {
        let full_at = self.full_at.unwrap_or(now);
        full_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(attempts: u32, per_s: u64) -> Rate {
        Rate::new(Some(target::Rate {
            attempts,
            per: Duration::from_secs(per_s),
        }))
    }

    /// Takes whatever there is, every `step` for `time`.
    fn drain(rate: &mut Rate, from: Instant, time: Duration, step: Duration) -> usize {
        let mut taken = 0;
        let mut now = from;
        while now < from + time {
            while rate.tokens(now) > 0 {
                assert_eq!(rate.wait(now), None);
                rate.take(now);
                taken += 1;
            }
            assert!(
                rate.wait(now)
                    .is_some_and(|wait| wait <= Duration::from_hours(1))
            );
            now += step;
        }
        taken
    }

    #[test]
    fn a_burst_is_one_seconds_worth_and_the_rest_comes_evenly() {
        let cases = [
            // Attempts, per seconds, for seconds: the burst and what came since.
            (50, 1, 10, 50 + 499),
            (600, 60, 10, 10 + 99),
            (3, 1, 10, 3 + 29),
            (6, 60, 60, 1 + 5),
            (1, 3_600, 3_600, 1),
        ];
        for (attempts, per_s, for_s, expected) in cases {
            let mut rate = rate(attempts, per_s);
            let (time, step) = (Duration::from_secs(for_s), Duration::from_millis(1));
            let taken = drain(&mut rate, Instant::now(), time, step);
            assert_eq!(taken, expected, "{attempts} per {per_s} s");
        }
    }

    #[test]
    fn what_is_not_used_is_not_saved_up() {
        let start = Instant::now();
        let mut rate = rate(5, 1);
        assert_eq!(rate.tokens(start), 5);
        for _ in 0..5 {
            rate.take(start);
        }
        assert_eq!(
            (rate.tokens(start), rate.wait(start)),
            (0, Some(Duration::from_millis(200)))
        );
        let later = start + Duration::from_millis(200);
        assert_eq!((rate.tokens(later), rate.wait(later)), (1, None));
        assert_eq!(rate.tokens(start + Duration::from_hours(1)), 5);
    }

    #[test]
    fn without_a_limit_there_is_no_end() {
        let mut rate = Rate::new(None);
        let now = Instant::now();
        for _ in 0..1_000 {
            rate.take(now);
        }
        assert_eq!((rate.tokens(now), rate.wait(now)), (usize::MAX, None));
    }
}

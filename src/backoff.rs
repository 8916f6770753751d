//! How long to wait before the next attempt: exponential, with full jitter, so that a thousand failures of
//! one moment do not come back in one moment.

use std::time::Duration;

/// The schedule of a target's retries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// Upper bound of the delay after the first failure.
    pub first: Duration,
    /// What the bound grows by with each failure; at least 1.
    pub factor: f64,
    /// Upper bound of every delay.
    pub max: Duration,
}

impl Backoff {
    /// The longest delay after `failures` failed attempts (1, 2, 3 ...).
    pub fn bound(&self, failures: u32) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        // A product too large for a duration (or infinite) is beyond any `max`.
        Duration::try_from_secs_f64(seconds).map_or(self.max, |delay| delay.min(self.max))
    }

    /// A delay drawn evenly between nothing and [`Self::bound`], but never below `floor` (a `Retry-After`),
    /// which itself counts for no more than [`Self::max`].
    pub fn delay(&self, failures: u32, floor: Option<Duration>) -> Duration {
        let drawn = self.bound(failures).mul_f64(fastrand::f64());
        drawn.max(floor.unwrap_or_default().min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        factor: 2.0,
        max: Duration::from_mins(10),
    };

    #[test]
    fn bounds_double_up_to_the_maximum() {
        let seconds: Vec<u64> = [1, 2, 3, 10, 11, 12, u32::MAX]
            .map(|n| BACKOFF.bound(n).as_secs())
            .to_vec();
        assert_eq!(seconds, [1, 2, 4, 512, 600, 600, 600]);
    }

    #[test]
    fn delays_stay_between_the_floor_and_the_bound() {
        for _ in 0..1_000 {
            assert!(BACKOFF.delay(3, None) <= Duration::from_secs(4));
            let floored = BACKOFF.delay(1, Some(Duration::from_secs(30)));
            assert_eq!(
                floored,
                Duration::from_secs(30),
                "a floor above the bound is the delay"
            );
            assert_eq!(
                BACKOFF.delay(1, Some(Duration::MAX)),
                BACKOFF.max,
                "a floor is capped"
            );
        }
        let spread: std::collections::HashSet<u128> = (0..100)
            .map(|_| BACKOFF.delay(5, None).as_millis())
            .collect();
        assert!(spread.len() > 50, "delays are drawn, not fixed");
    }
}

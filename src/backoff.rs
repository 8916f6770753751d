//! How long to wait before the next attempt: exponential, with full jitter, so that a thousand failures of
//! one moment do not come back in one moment; or as a list says, hardly spread.

use std::{sync::Arc, time::Duration};

/// Share of a listed delay by which it may be longer, so that a herd spreads.
const SPREAD: f64 = 0.1;

/// The longest wait that an app may ask for beyond a list's own delays: the default of [`Backoff::max`].
const ASKED_MAX: Duration = Duration::from_mins(10);

/// When failed attempts are made again.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Delays that grow.
    Growing(Backoff),
    /// These, one after the other, each at most a tenth longer and never shorter; the last one again where more are
    /// needed. Not empty.
    Listed(Arc<[Duration]>),
}

impl Schedule {
    /// A delay after `failures` failed attempts (1, 2, 3 ...), but never below `floor` (a `Retry-After`), which itself
    /// counts for no more than the longest delay; beside a list for ten minutes if that is more.
    pub fn delay(&self, failures: u32, floor: Option<Duration>) -> Duration {
        match self {
            Self::Growing(backoff) => backoff.delay(failures, floor),
            Self::Listed(delays) => {
                let nth = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
                let said = delays.get(nth).or(delays.last());
                let drawn = said.map(|said| said.mul_f64(1.0 + SPREAD * fastrand::f64()));
                let asked = floor
                    .unwrap_or_default()
                    .min(longest(delays).max(ASKED_MAX));
                drawn.unwrap_or_default().max(asked)
            }
        }
    }

    /// The longest delay there is.
    pub fn longest(&self) -> Duration {
        match self {
            Self::Growing(backoff) => backoff.max,
            Self::Listed(delays) => longest(delays).mul_f64(1.0 + SPREAD).max(ASKED_MAX),
        }
    }
}

fn longest(delays: &[Duration]) -> Duration {
    delays.iter().copied().max().unwrap_or_default()
}

/// Delays that grow from failure to failure.
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
    fn listed_delays_are_never_shorter_and_at_most_a_tenth_longer() {
        let minutes = [1, 30, 5].map(Duration::from_mins);
        let schedule = Schedule::Listed(minutes.into());
        let mut spread = std::collections::HashSet::new();
        for _ in 0..1_000 {
            for (failures, said) in [(1, 1), (2, 30), (3, 5), (4, 5), (u32::MAX, 5)] {
                let said = Duration::from_mins(said);
                let delay = schedule.delay(failures, None);
                assert!(delay >= said && delay <= said.mul_f64(1.1), "{delay:?}");
                assert!(delay <= schedule.longest());
                spread.insert(delay);
            }
        }
        assert!(spread.len() > 500, "a herd spreads");
        let asked = |floor| schedule.delay(1, Some(floor));
        assert_eq!(asked(Duration::from_mins(20)), Duration::from_mins(20));
        assert_eq!(asked(Duration::MAX), Duration::from_mins(30), "capped");
        let short = Schedule::Listed([Duration::from_secs(1)].into());
        assert_eq!(short.delay(1, Some(Duration::MAX)), ASKED_MAX);
        assert_eq!(short.longest(), ASKED_MAX);
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

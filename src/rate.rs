//! So many of something in a time: a bucket of tokens that fills evenly. What is kept is one time, that at which the bucket
//! is full again.

use std::time::Duration;
use tokio::time::Instant;

/// So many in some time, evenly but for a burst of one second's worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; above zero.
    pub count: u32,
    /// In this time; above zero.
    pub per: Duration,
}

/// A bucket; without a rate it is never empty.
#[derive(Debug)]
pub struct Bucket {
    pace: Option<Pace>,
    /// Full from then on; from the start without it.
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Option<Rate>) -> Self {
        Self {
            pace: rate.map(Pace::new),
            full_at: None,
        }
    }

    /// Tokens at this moment.
    pub fn tokens(&self, now: Instant) -> usize {
        let tokens = self.pace.map(|pace| pace.tokens(self.full_at, now));
        tokens.unwrap_or(usize::MAX)
    }

    /// How long until there is a token; `None` if there is one.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.pace?.wait(self.full_at, now)
    }

    /// Takes a token.
    pub fn take(&mut self, now: Instant) {
        if let Some(pace) = self.pace {
            self.full_at = Some(pace.taken(self.full_at, now));
        }
    }
}

/// How a bucket fills, where many buckets fill alike and each keeps no more than when it is full again: from the start
/// without that time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two tokens.
    interval: Duration,
    /// How long an empty one takes to fill: one second's worth, at least one token.
    fills_in: Duration,
}

impl Pace {
    /// That of a rate.
    pub fn new(rate: Rate) -> Self {
        let interval = rate.per / rate.count.max(1);
        Self {
            interval,
            fills_in: interval.max(Duration::from_secs(1)),
        }
    }

    fn tokens(self, full_at: Option<Instant>, now: Instant) -> usize {
        let filled = self.fills_in.saturating_sub(lacks(full_at, now));
        let tokens = filled.as_nanos() / self.interval.as_nanos().max(1);
        usize::try_from(tokens).unwrap_or(usize::MAX)
    }

    /// How long until there is a token; `None` if there is one.
    pub fn wait(self, full_at: Option<Instant>, now: Instant) -> Option<Duration> {
        let wait = lacks(full_at, now) + self.interval;
        let wait = wait.saturating_sub(self.fills_in);
        (!wait.is_zero()).then_some(wait)
    }

    /// When it is full after one token was taken. One that is empty, or was drawn on by several at a time, owes nothing
    /// for it.
    pub fn taken_at_most_all(self, full_at: Option<Instant>, now: Instant) -> Instant {
        self.taken(full_at, now).min(now + self.fills_in)
    }

    fn taken(self, full_at: Option<Instant>, now: Instant) -> Instant {
        full_at.map_or(now, |full_at| full_at.max(now)) + self.interval
    }
}

/// Until it is full.
fn lacks(full_at: Option<Instant>, now: Instant) -> Duration {
    full_at.map_or(Duration::ZERO, |full_at| {
        full_at.saturating_duration_since(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, per_s: u64) -> Bucket {
        Bucket::new(Some(Rate {
            count,
            per: Duration::from_secs(per_s),
        }))
    }

    /// Takes whatever there is, every `step` for `time`.
    fn drain(rate: &mut Bucket, from: Instant, time: Duration, step: Duration) -> usize {
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
            // How many, per seconds, for seconds: the burst and what came since.
            (50, 1, 10, 50 + 499),
            (600, 60, 10, 10 + 99),
            (3, 1, 10, 3 + 29),
            (6, 60, 60, 1 + 5),
            (1, 3_600, 3_600, 1),
        ];
        for (count, per_s, for_s, expected) in cases {
            let mut rate = rate(count, per_s);
            let (time, step) = (Duration::from_secs(for_s), Duration::from_millis(1));
            let taken = drain(&mut rate, Instant::now(), time, step);
            assert_eq!(taken, expected, "{count} per {per_s} s");
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
        let mut rate = Bucket::new(None);
        let now = Instant::now();
        for _ in 0..1_000 {
            rate.take(now);
        }
        assert_eq!((rate.tokens(now), rate.wait(now)), (usize::MAX, None));
    }

    #[test]
    fn an_empty_one_owes_nothing_for_what_was_taken_beyond() {
        let start = Instant::now();
        let pace = Pace::new(Rate {
            count: 5,
            per: Duration::from_secs(1),
        });
        let mut full_at = None;
        for _ in 0..100 {
            full_at = Some(pace.taken_at_most_all(full_at, start));
        }
        assert_eq!(pace.wait(full_at, start), Some(Duration::from_millis(200)));
    }
}

//! Requests a second over the last minute, from counts that are looked at once a second.

use crate::event::SourceId;
use crate::metrics::{RESULTS, SourceMetrics};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The time that a rate is over.
const OVER: Duration = Duration::from_mins(1);

/// Counts of one source, in the order of [`RESULTS`].
type Counts = [u64; RESULTS.len()];

/// What was counted within the last minute. The sources are in the order in which it was given them.
#[derive(Debug)]
pub struct Rates {
    sources: Vec<(SourceId, Arc<SourceMetrics>)>,
    /// Oldest first: one of the time a minute ago, if there is one that old, and those since.
    samples: Mutex<VecDeque<(Instant, Vec<Counts>)>>,
}

impl Rates {
    /// Begins to count now.
    pub fn new(sources: Vec<(SourceId, Arc<SourceMetrics>)>) -> Self {
        let rates = Self {
            sources,
            samples: Mutex::default(),
        };
        rates.sample();
        rates
    }

    /// The same for other sources: those that stay have the rates that they had.
    #[must_use]
    pub fn with(&self, sources: Vec<(SourceId, Arc<SourceMetrics>)>) -> Self {
        let places: Vec<Option<usize>> = sources
            .iter()
            .map(|(id, _)| self.sources.iter().position(|(known, _)| known == id))
            .collect();
        let now: Vec<Counts> = sources.iter().map(|(_, source)| counts(source)).collect();
        let sample = |(at, before): &(Instant, Vec<Counts>)| {
            let of = |(place, now): (&Option<usize>, &Counts)| place.map_or(*now, |at| before[at]);
            (*at, places.iter().zip(&now).map(of).collect())
        };
        let samples = self.samples.lock().iter().map(sample).collect();
        Self {
            sources,
            samples: Mutex::new(samples),
        }
    }

    /// Looks at the counts: to be called every second or so.
    pub fn sample(&self) {
        let now = Instant::now();
        let counts = self.sources.iter().map(|(_, source)| counts(source));
        let counts = counts.collect();
        let mut samples = self.samples.lock();
        // The last one that is a minute old stays, to count from.
        while samples
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= OVER)
        {
            samples.pop_front();
        }
        samples.push_back((now, counts));
    }

    /// Requests a second of the source at `index`, by result.
    pub fn of(&self, index: usize) -> Vec<(&'static str, f64)> {
        let now = counts(&self.sources[index].1);
        let (then, seconds) = {
            let samples = self.samples.lock();
            let Some((at, counts)) = samples.front() else {
                return Vec::new();
            };
            (counts[index], at.elapsed().as_secs_f64())
        };
        // In the first second a single request would look like a storm.
        let seconds = seconds.max(1.0);
        RESULTS
            .iter()
            .zip(now.iter().zip(then))
            .map(|(result, (now, then))| (*result, rate(now.saturating_sub(then), seconds)))
            .collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with three digits"
)]
fn rate(count: u64, seconds: f64) -> f64 {
    (count as f64 / seconds * 1_000.0).round() / 1_000.0
}

fn counts(source: &SourceMetrics) -> Counts {
    let mut counts = [0; RESULTS.len()];
    for (place, (_, count)) in counts.iter_mut().zip(source.events.counts()) {
        *place = count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_over_the_last_minute() {
        let metrics = Arc::new(Metrics::new().source("a", 200, std::iter::empty()));
        let rates = Rates::new(vec![(SourceId(1), Arc::clone(&metrics))]);
        let accepted = || rates.of(0)[0];
        assert_eq!(accepted(), ("accepted", 0.0));
        for _ in 0..30 {
            metrics.accepted(1);
        }
        assert_eq!(
            accepted(),
            ("accepted", 30.0),
            "never over less than a second"
        );
        for second in 1..=200u32 {
            tokio::time::advance(Duration::from_secs(1)).await;
            rates.sample();
            let expected = if second <= 60 {
                30.0 / f64::from(second)
            } else {
                0.0
            };
            let expected = (expected * 1_000.0).round() / 1_000.0;
            assert_eq!(accepted(), ("accepted", expected), "{second}");
        }
        assert!(rates.samples.lock().len() <= 62, "memory is bounded");
    }

    #[tokio::test(start_paused = true)]
    async fn sources_that_stay_keep_their_rates() {
        let source = || Arc::new(Metrics::new().source("a", 200, std::iter::empty()));
        let (goes, stays, comes) = (source(), source(), source());
        comes.accepted(1);
        let rates = Rates::new(vec![(SourceId(1), goes), (SourceId(2), Arc::clone(&stays))]);
        for _ in 0..30 {
            stays.accepted(1);
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        rates.sample();
        let rates = rates.with(vec![(SourceId(3), comes), (SourceId(2), stays)]);
        assert_eq!(rates.of(0)[0], ("accepted", 0.0), "nothing since it came");
        assert_eq!(rates.of(1)[0], ("accepted", 3.0));
    }
}

//! How many of the latest attempts failed: counted in slices of time, so that it costs the same however many there are.

use std::time::Duration;
use tokio::time::Instant;

/// Slices of a window: what is forgotten at once is a tenth.
const SLICES: usize = 10;

/// Attempts within the last so many seconds.
#[derive(Debug)]
pub(super) struct Window {
    /// How long a slice lasts.
    slice: Duration,
    /// The latest first.
    counts: [Count; SLICES],
    /// When the latest slice began; nothing was counted yet without it.
    begun: Option<Instant>,
}

/// Attempts, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) attempts: u32,
    pub(super) failures: u32,
}

impl Window {
    /// An empty one.
    pub(super) fn new(length: Duration) -> Self {
        Self {
            slice: length / 10,
            counts: [Count::default(); SLICES],
            begun: None,
        }
    }

    /// Counts an attempt that ended `now`.
    pub(super) fn count(&mut self, failed: bool, now: Instant) {
        self.turn(now);
        let latest = &mut self.counts[0];
        latest.attempts = latest.attempts.saturating_add(1);
        latest.failures = latest.failures.saturating_add(u32::from(failed));
    }

    /// All that were counted within the window before `now`.
    pub(super) fn sum(&mut self, now: Instant) -> Count {
        self.turn(now);
        let add = |sum: Count, count: &Count| Count {
            attempts: sum.attempts.saturating_add(count.attempts),
            failures: sum.failures.saturating_add(count.failures),
        };
        self.counts.iter().fold(Count::default(), add)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.counts = [Count::default(); SLICES];
        self.begun = None;
    }

    /// Begins the slice of `now`.
    fn turn(&mut self, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        let passed = now.saturating_duration_since(begun);
        if passed < self.slice {
            return;
        }
        let turns = passed.as_nanos() / self.slice.as_nanos().max(1);
        let turns = usize::try_from(turns).unwrap_or(SLICES).min(SLICES);
        self.counts.rotate_right(turns);
        self.counts[..turns].fill(Count::default());
        let on = u32::try_from(turns).map(|turns| begun + self.slice * turns);
        self.begun = Some(if turns == SLICES {
            now
        } else {
            on.unwrap_or(now)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_is_forgotten_a_slice_at_a_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(Duration::from_secs(30));
        let sum = |seconds, window: &mut Window| {
            let Count { attempts, failures } = window.sum(at(seconds));
            (attempts, failures)
        };
        assert_eq!(sum(0, &mut window), (0, 0));
        for seconds in 0..30 {
            window.count(seconds < 10, at(seconds));
        }
        assert_eq!(sum(29, &mut window), (30, 10));
        assert_eq!(sum(30, &mut window), (27, 7), "the first three seconds");
        assert_eq!(sum(35, &mut window), (24, 4));
        assert_eq!(sum(57, &mut window), (0, 0));
        window.count(true, at(1_000));
        assert_eq!(sum(1_000, &mut window), (1, 1));
        assert_eq!(sum(5_000, &mut window), (0, 0));
        window.count(true, at(5_000));
        window.clear();
        assert_eq!(sum(5_000, &mut window), (0, 0));
    }
}

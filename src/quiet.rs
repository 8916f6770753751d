//! Log lines that could flood: one a second for each cause, with the number of those left out.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// The shortest time between two lines of one cause.
const INTERVAL: Duration = Duration::from_secs(1);

/// One cause of log lines.
#[derive(Debug, Default)]
pub struct Quiet(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl Quiet {
    /// Whether a line may be written now; then the number left out since the last one.
    pub fn pass(&self) -> Option<u64> {
        let mut state = self.0.lock();
        let now = Instant::now();
        if state
            .last
            .is_some_and(|last| now.duration_since(last) < INTERVAL)
        {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_second_counts_the_others() {
        let quiet = Quiet::default();
        assert_eq!(quiet.pass(), Some(0));
        assert_eq!((quiet.pass(), quiet.pass()), (None, None));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(quiet.pass(), Some(2));
    }
}

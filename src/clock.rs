//! Wall time. Everything that survives a restart is kept in Unix milliseconds; everything else uses tokio's clock.

use jiff::Timestamp;
use std::time::{Duration, SystemTime};

/// Unix time in milliseconds. A clock set before 1970 reads as 0.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, millis)
}

/// A duration in whole milliseconds; `u64::MAX` for one that does not fit.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long before `now_ms` something of `unix_ms` was, seconds, for a gauge in which 0 means that there is nothing:
/// at least a millisecond, also after the clock was set back.
pub fn age_seconds(unix_ms: u64, now_ms: u64) -> f64 {
    Duration::from_millis(now_ms.saturating_sub(unix_ms).max(1)).as_secs_f64()
}

/// `unix_ms` as RFC 3339 in UTC with milliseconds, such as `2026-01-31T10:30:00.000Z`.
pub fn rfc3339(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_never_nothing() {
        for (unix_ms, age_ms) in [(5, 1_500), (1_505, 1), (1_600, 1)] {
            let age = Duration::from_secs_f64(age_seconds(unix_ms, 1_505));
            assert_eq!(millis(age), age_ms, "{unix_ms}");
        }
    }

    #[test]
    fn rfc3339_has_milliseconds_and_utc() {
        assert_eq!(rfc3339(1_769_855_400_000), "2026-01-31T10:30:00.000Z");
        assert_eq!(rfc3339(1_769_855_400_007), "2026-01-31T10:30:00.007Z");
    }
}

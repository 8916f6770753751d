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
    fn rfc3339_has_milliseconds_and_utc() {
        assert_eq!(rfc3339(1_769_855_400_000), "2026-01-31T10:30:00.000Z");
        assert_eq!(rfc3339(1_769_855_400_007), "2026-01-31T10:30:00.007Z");
    }
}

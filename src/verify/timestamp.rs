//! Signed timestamps: read and written in the configured format alone, so that seconds are never taken for
//! milliseconds.

use crate::clock;
use crate::config::source::TimeFormat;
use std::time::Duration;

/// The time that a header says, Unix milliseconds. None if it is not written in `format` or lies before 1970.
pub(super) fn read(format: TimeFormat, value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    match format {
        TimeFormat::Unix => integer(text)?.checked_mul(1_000),
        TimeFormat::UnixMs => integer(text),
        TimeFormat::Rfc3339 => {
            let time: jiff::Timestamp = text.parse().ok()?;
            u64::try_from(time.as_millisecond()).ok()
        }
    }
}

/// Digits alone: no sign, no space.
fn integer(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `unix_ms` as a sender writes it.
pub(super) fn write(format: TimeFormat, unix_ms: u64) -> String {
    match format {
        TimeFormat::Unix => (unix_ms / 1_000).to_string(),
        TimeFormat::UnixMs => unix_ms.to_string(),
        TimeFormat::Rfc3339 => clock::rfc3339(unix_ms),
    }
}

/// Whether a timestamp is near enough to now, before or after it.
pub(super) fn is_fresh(unix_ms: u64, now_ms: u64, tolerance: Duration) -> bool {
    now_ms.abs_diff(unix_ms) <= clock::millis(tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TimeFormat::{Rfc3339, Unix, UnixMs};

    #[test]
    fn each_format_reads_its_own() {
        let cases: [(TimeFormat, &str, Option<u64>); 17] = [
            (Unix, "1769855400", Some(1_769_855_400_000)),
            // Milliseconds where seconds are expected: a time far in the future, out of every tolerance.
            (Unix, "1769855400000", Some(1_769_855_400_000_000)),
            (Unix, "0", Some(0)),
            (Unix, "", None),
            (Unix, "-1", None),
            (Unix, "+1", None),
            (Unix, " 1", None),
            (Unix, "1.5", None),
            (Unix, "18446744073709551615", None),
            (Unix, "99999999999999999999999", None),
            (UnixMs, "1769855400123", Some(1_769_855_400_123)),
            (UnixMs, "1769855400", Some(1_769_855_400)),
            (Rfc3339, "2026-01-31T10:30:00Z", Some(1_769_855_400_000)),
            (
                Rfc3339,
                "2026-01-31T12:30:00.007+02:00",
                Some(1_769_855_400_007),
            ),
            (Rfc3339, "2026-01-31T10:30:00", None),
            (Rfc3339, "1960-01-31T10:30:00Z", None),
            (Rfc3339, "1769855400", None),
        ];
        for (format, text, expected) in cases {
            assert_eq!(
                read(format, text.as_bytes()),
                expected,
                "{format:?} {text:?}"
            );
        }
        assert_eq!(read(Unix, b"\xff"), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for (format, unix_ms) in [
            (Unix, 1_769_855_400_000),
            (UnixMs, 1_769_855_400_007),
            (Rfc3339, 1_769_855_400_007),
        ] {
            let text = write(format, unix_ms);
            assert_eq!(read(format, text.as_bytes()), Some(unix_ms), "{text}");
        }
    }

    #[test]
    fn the_tolerance_holds_both_ways_and_at_its_edge() {
        let tolerance = Duration::from_mins(5);
        let now = 1_769_855_400_000;
        for (unix_ms, expected) in [
            (now, true),
            (now - 300_000, true),
            (now + 300_000, true),
            (now - 300_001, false),
            (now + 300_001, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(is_fresh(unix_ms, now, tolerance), expected, "{unix_ms}");
        }
    }
}

//! Signed timestamps: read and written in the configured format alone, so that seconds are never taken for
//! milliseconds.

use crate::clock;
use crate::config::verify::{TimeFormat, Timestamp};

/// Numbers below are seconds, up to the year 5138; the others are milliseconds, from 1973 on. One that is of the other
/// kind is refused even where no age is checked, since it was signed to mean something else.
pub(super) const FIRST_MILLISECONDS: u64 = 100_000_000_000;

/// The time that a text says, Unix milliseconds. None if it is not written in `format` or lies before 1970.
pub(super) fn read(format: TimeFormat, value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    match format {
        TimeFormat::Unix => integer(text)
            .filter(|seconds| *seconds < FIRST_MILLISECONDS)?
            .checked_mul(1_000),
        TimeFormat::UnixMs => integer(text).filter(|millis| *millis >= FIRST_MILLISECONDS),
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
pub(super) fn is_fresh(config: &Timestamp, unix_ms: u64, now_ms: u64) -> bool {
    let within =
        |limit: Option<_>, apart: u64| limit.is_none_or(|limit| apart <= clock::millis(limit));
    within(config.past, now_ms.saturating_sub(unix_ms))
        && within(config.future, unix_ms.saturating_sub(now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use TimeFormat::{Rfc3339, Unix, UnixMs};

    #[test]
    fn each_format_reads_its_own() {
        let cases: [(TimeFormat, &str, Option<u64>); 21] = [
            (Unix, "1769855400", Some(1_769_855_400_000)),
            (Unix, "1769855400000", None),
            (Unix, "99999999999", Some(99_999_999_999_000)),
            (Unix, "100000000000", None),
            (Unix, "0", Some(0)),
            (Unix, "", None),
            (Unix, "-1", None),
            (Unix, "+1", None),
            (Unix, " 1", None),
            (Unix, "1.5", None),
            (Unix, "18446744073709551615", None),
            (Unix, "99999999999999999999999", None),
            (UnixMs, "1769855400123", Some(1_769_855_400_123)),
            (UnixMs, "1769855400", None),
            (UnixMs, "100000000000", Some(100_000_000_000)),
            (UnixMs, "99999999999", None),
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
    fn the_tolerance_holds_each_way_and_at_its_edge() {
        use crate::config::verify::TimePlace;
        use std::time::Duration;

        let now = 1_769_855_400_000;
        let minutes = |minutes: u64| Some(Duration::from_mins(minutes));
        let cases = [
            (minutes(5), minutes(5), now, true),
            (minutes(5), minutes(5), now - 300_000, true),
            (minutes(5), minutes(5), now + 300_000, true),
            (minutes(5), minutes(5), now - 300_001, false),
            (minutes(5), minutes(5), now + 300_001, false),
            (minutes(5), minutes(5), 0, false),
            (minutes(5), minutes(5), u64::MAX, false),
            (minutes(5), minutes(1), now + 60_001, false),
            (minutes(5), minutes(1), now - 60_001, true),
            (minutes(1), None, u64::MAX, true),
            (None, minutes(1), 0, true),
            (None, minutes(1), now + 60_001, false),
            (None, None, 0, true),
        ];
        for (past, future, unix_ms, expected) in cases {
            let config = Timestamp {
                place: TimePlace::FirstElement,
                format: Unix,
                past,
                future,
            };
            let fresh = is_fresh(&config, unix_ms, now);
            assert_eq!(fresh, expected, "{past:?} {future:?} {unix_ms}");
        }
    }
}

//! When an event happened, in the ways that vendors write it.

use jiff::{Timestamp, civil, tz::TimeZone};

/// Numbers above this are Unix milliseconds: as seconds they would lie after the year 5138, and as milliseconds
/// they lie after March 1973.
const SECONDS_MAX: u64 = 100_000_000_000;

/// Reads an event's time as Unix milliseconds: RFC 3339 with any offset, `2024-01-15 10:30:00 UTC`, or Unix time
/// in seconds (with a fraction, of which milliseconds are kept) or, above 100,000,000,000, in milliseconds.
/// None for anything else and for times before 1970.
pub fn event_time_ms(text: &str) -> Option<u64> {
    if text.starts_with(|first: char| first.is_ascii_digit())
        && let Some(time) = unix_ms(text)
    {
        return Some(time);
    }
    let time = match text.strip_suffix(" UTC") {
        Some(civil) => TimeZone::UTC.to_timestamp(civil.parse::<civil::DateTime>().ok()?),
        None => text.parse::<Timestamp>(),
    };
    u64::try_from(time.ok()?.as_millisecond()).ok()
}

/// Digits, or digits with a fraction.
fn unix_ms(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    if whole > SECONDS_MAX {
        return Some(whole);
    }
    let thousandths = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(3)
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(whole * 1_000 + thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_as_vendors_write_them() {
        let cases = [
            ("2024-01-15T10:30:00Z", Some(1_705_314_600_000)),
            ("2024-01-15T10:30:00.123Z", Some(1_705_314_600_123)),
            ("2024-01-15T10:30:00+00:00", Some(1_705_314_600_000)),
            ("2024-01-15T12:30:00+02:00", Some(1_705_314_600_000)),
            ("2024-01-15t05:00:00-05:30", Some(1_705_314_600_000)),
            ("2024-01-15 10:30:00 UTC", Some(1_705_314_600_000)),
            ("2024-01-15 10:30:00.5 UTC", Some(1_705_314_600_500)),
            ("1705314600", Some(1_705_314_600_000)),
            ("1705314600.123", Some(1_705_314_600_123)),
            ("1705314600.1", Some(1_705_314_600_100)),
            ("1705314600.1239999", Some(1_705_314_600_123)),
            ("1705314600123", Some(1_705_314_600_123)),
            ("0", Some(0)),
            ("100000000000", Some(100_000_000_000_000)),
            ("100000000001", Some(100_000_000_001)),
            ("2024-01-15T10:30:00", None),
            ("2024-01-15", None),
            ("2024-01-15 10:30:00 CET", None),
            ("1969-12-31T23:59:59Z", None),
            ("-1", None),
            ("1.", None),
            (".5", None),
            ("1e9", None),
            ("99999999999999999999999", None),
            ("", None),
            ("now", None),
        ];
        for (text, expected) in cases {
            assert_eq!(event_time_ms(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = event_time_ms(&text);
        }

        #[test]
        fn what_we_write_we_read(unix_ms in 0u64..4_102_444_800_000) {
            prop_assert_eq!(event_time_ms(&crate::clock::rfc3339(unix_ms)), Some(unix_ms));
        }
    }
}

//! Times as requests and users write them, and how long ago they are in words.

use crate::config::verify::TimeFormat;

/// Numbers from here on are milliseconds, as in a scheme's `timestamp`.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

/// Unix seconds of 2000-01-01: a smaller number is a count or an id, not the time of a webhook.
const FIRST_SECONDS: u64 = 946_684_800;

/// How a text that looks like a time is written, and the time, Unix milliseconds.
pub(super) fn read(text: &[u8]) -> Option<(TimeFormat, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: u64 = text.parse().ok()?;
        return match number {
            FIRST_SECONDS..FIRST_MILLISECONDS => Some((TimeFormat::Unix, number * 1_000)),
            FIRST_MILLISECONDS..100_000_000_000_000 => Some((TimeFormat::UnixMs, number)),
            _ => None,
        };
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    let unix_ms = u64::try_from(time.as_millisecond()).ok()?;
    Some((TimeFormat::Rfc3339, unix_ms))
}

/// The word for a format in a configuration.
pub(super) fn format_name(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::Unix => "unix",
        TimeFormat::UnixMs => "unix_ms",
        TimeFormat::Rfc3339 => "rfc3339",
    }
}

/// The two largest units, such as `3d 4h`.
pub(super) fn span(ms: u64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let Some(first) = units.iter().position(|(unit, _)| ms >= *unit) else {
        return format!("{ms}ms");
    };
    let (unit, name) = units[first];
    let mut text = format!("{}{name}", ms / unit);
    if let Some((smaller, name)) = units.get(first + 1) {
        let rest = ms % unit / smaller;
        if rest > 0 {
            text.push_str(&format!(" {rest}{name}"));
        }
    }
    text
}

/// How far `unix_ms` is from now: `3d 4h old`, or `5m in the future`.
pub(super) fn age(unix_ms: u64, now_ms: u64) -> String {
    if unix_ms <= now_ms {
        format!("{} old", span(now_ms - unix_ms))
    } else {
        format!("{} in the future", span(unix_ms - now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_how_they_are_written() {
        let cases = [
            ("1769855400", Some((TimeFormat::Unix, 1_769_855_400_000))),
            (
                "1769855400123",
                Some((TimeFormat::UnixMs, 1_769_855_400_123)),
            ),
            (
                "2026-01-31T10:30:00Z",
                Some((TimeFormat::Rfc3339, 1_769_855_400_000)),
            ),
            ("42", None),
            ("", None),
            ("Sat, 31 Jan 2026 10:30:00 GMT", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn spans_have_two_units() {
        let cases = [
            (5, "5ms"),
            (59_999, "59s"),
            (300_000, "5m"),
            (301_000, "5m 1s"),
            (273_600_000, "3d 4h"),
            (86_400_000, "1d"),
        ];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
        assert_eq!(age(1_000, 3_000), "2s old");
        assert_eq!(age(3_000, 1_000), "2s in the future");
    }
}

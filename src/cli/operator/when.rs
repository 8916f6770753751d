//! Points in time as an option takes them.

use crate::clock;
use crate::config;
use crate::extract::event_time_ms;

/// Reads RFC 3339, or how long ago it was: that is counted from now once, however many pages a run takes.
pub(super) fn when(text: &str) -> Result<String, String> {
    at(text, clock::unix_ms())
}

fn at(text: &str, now_ms: u64) -> Result<String, String> {
    match config::DURATION.option(text) {
        Ok(ago) => Ok(clock::rfc3339(now_ms.saturating_sub(clock::millis(ago)))),
        // A number could be of seconds or of milliseconds: nobody should have to guess.
        Err(_) if text.contains('-') && event_time_ms(text).is_some() => Ok(text.to_owned()),
        Err(_) => Err(
            "accepted: RFC 3339 such as 2026-01-31T10:30:00Z, or how long ago such as 30m, 2h or 7d"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_out_or_ago() {
        const NOW_MS: u64 = 1_769_855_400_000;
        for (text, expected) in [
            ("2h", "2026-01-31T08:30:00.000Z"),
            ("2026-01-31T10:30:00Z", "2026-01-31T10:30:00Z"),
            ("2026-01-31T11:30:00+01:00", "2026-01-31T11:30:00+01:00"),
        ] {
            assert_eq!(at(text, NOW_MS).as_deref(), Ok(expected));
        }
        for wrong in ["", "yesterday", "2", "1769855400", "-2h", "2026-01-31"] {
            at(wrong, NOW_MS).expect_err(wrong);
        }
    }
}

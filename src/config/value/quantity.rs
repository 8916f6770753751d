//! Durations, sizes, counts and factors: each with a unit that is written out, and each bounded.

use super::{Kind, kind};
use crate::rate::Rate;
use std::time::Duration;

const DURATION_ACCEPTS: &str = "a whole number with ms, s, m, h or d, such as 30s";

/// A duration above zero.
pub(crate) const DURATION: Kind<Duration> = kind(DURATION_ACCEPTS, |text| match duration(text)? {
    Duration::ZERO => Err("must be above zero".to_owned()),
    duration => Ok(duration),
});

/// A duration, where zero means something.
pub(crate) const DURATION_OR_ZERO: Kind<Duration> = kind(DURATION_ACCEPTS, duration);

/// A duration above zero, or `off`.
pub(crate) const DURATION_OR_OFF: Kind<Option<Duration>> =
    kind("a duration such as 24h, or off", |text| match text {
        "off" => Ok(None),
        _ => (DURATION.parse)(text).map(Some),
    });

/// The longest duration: ten years. Longer is a slip of the unit, and no sum of a few can overflow.
const DURATION_MAX: Duration = Duration::from_hours(3_650 * 24);

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_number(text).ok_or("is not a duration")?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err("has no unit".to_owned()),
        _ => return Err("is not a duration".to_owned()),
    };
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(|| "is more than ten years (3650d)".to_owned())
}

const SIZE_ACCEPTS: &str =
    "a whole number with KiB, MiB, GiB, TiB, KB, MB, GB, TB or B, such as 1MiB";

/// Bytes, above zero.
pub(crate) const SIZE: Kind<u64> = kind(SIZE_ACCEPTS, |text| match size(text)? {
    0 => Err("must be above zero".to_owned()),
    bytes => Ok(bytes),
});

/// Bytes, where zero means something.
pub(crate) const SIZE_OR_ZERO: Kind<u64> = kind(SIZE_ACCEPTS, size);

fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text).ok_or("is not a size")?;
    let unit_bytes: u64 = match unit {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("is not a size".to_owned()),
    };
    number
        .checked_mul(unit_bytes)
        // SQLite and the filesystem count in signed 64 bits.
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| "is more than 8388607TiB".to_owned())
}

/// A duration as a user would write it: in the largest unit that makes it whole.
pub(crate) fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    // Days and hours of a few are better known as hours: 24h, 72h, but 30d.
    let fits = |unit_ms: u128, unit: &str| {
        ms >= unit_ms && ms.is_multiple_of(unit_ms) && (unit != "d" || ms > 7 * unit_ms)
    };
    match units.iter().find(|(unit_ms, unit)| fits(*unit_ms, unit)) {
        Some((unit_ms, unit)) => format!("{}{unit}", ms / unit_ms),
        None if ms == 0 => "0s".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// Bytes as a user would write them: in the largest unit that makes them whole.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = [
        (1_u64 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    let fits = |unit_bytes: u64| bytes >= unit_bytes && bytes.is_multiple_of(unit_bytes);
    match units.iter().find(|(unit_bytes, _)| fits(*unit_bytes)) {
        Some((unit_bytes, unit)) => format!("{}{unit}", bytes / unit_bytes),
        None => format!("{bytes}B"),
    }
}

/// A number and what follows it; None without digits, or with more than 64 bits of them.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// A part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Of `store.max_size`, 1 to 100.
    Percent(u64),
    /// As it stands.
    Bytes(u64),
}

/// A part of the store, as a percentage or in bytes.
pub(crate) const SHARE: Kind<Share> = kind(
    "1% to 100% of store.max_size, or a size such as 1GiB",
    |text| match text.strip_suffix('%') {
        None => (SIZE.parse)(text).map(Share::Bytes),
        Some(percent) => match percent.parse() {
            Ok(percent @ 1..=100) => Ok(Share::Percent(percent)),
            _ => Err("is not a share of the store".to_owned()),
        },
    },
);

/// A part of all, percent.
pub(crate) const PERCENT: Kind<u32> = kind("1% to 100%", |text| {
    let number = text.strip_suffix('%').and_then(|text| text.parse().ok());
    match number {
        Some(percent @ 1..=100) => Ok(percent),
        _ => Err("is no such share".to_owned()),
    }
});

/// A part of all, which may be small.
pub(crate) const PORTION: Kind<f64> = kind("0% to 100%, such as 5% or 0.1%", |text| {
    let number = text
        .strip_suffix('%')
        .and_then(|text| text.parse::<f64>().ok());
    match number {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("is no such part".to_owned()),
    }
});

/// In a second: attempts, as many as no app takes, and events, as many as no gateway does.
const RATE_MAX: u64 = 1_000_000;

/// So many in some time.
pub(crate) const RATE: Kind<Rate> = kind(
    "a whole number per s, m or h, such as 50/s or 600/m",
    |text| {
        let (number, unit) = text.split_once('/').ok_or("is not a rate")?;
        let per_s: u64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err("is not a rate".to_owned()),
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("is not a rate".to_owned());
        }
        match number.parse::<u32>() {
            Ok(0) => Err("must be above zero".to_owned()),
            Ok(count) if u64::from(count) <= RATE_MAX * per_s => Ok(Rate {
                count,
                per: Duration::from_secs(per_s),
            }),
            _ => Err(format!("is not a rate up to {RATE_MAX}/s")),
        }
    },
);

/// A rate, or none.
pub(crate) const RATE_OR_OFF: Kind<Option<Rate>> = kind(
    "a whole number per s, m or h, such as 50/s or 600/m; or off",
    |text| match text {
        "off" => Ok(None),
        rate => (RATE.parse)(rate).map(Some),
    },
);

/// How many: 1 to `MAX`.
pub(crate) fn count<const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be above zero".to_owned()),
        Ok(number) if number <= MAX => Ok(number),
        Ok(_) => Err(format!("is more than {MAX}")),
        Err(_) => Err("is not a whole number above zero".to_owned()),
    }
}

/// A count up to `MAX`.
pub(crate) const fn count_kind<const MAX: usize>() -> Kind<usize> {
    kind("a whole number, at least 1", count::<MAX>)
}

/// Attempts that are kept for each delivery: a page of them, more than anybody reads.
pub(crate) const ATTEMPTS: Kind<u32> =
    kind(
        "a whole number up to 1000; 0 keeps none",
        |text| match text.parse::<u32>() {
            Ok(attempts) if attempts <= 1_000 => Ok(attempts),
            Ok(_) => Err("is out of range".to_owned()),
            Err(_) => Err("is no such number".to_owned()),
        },
    );

/// What delays grow by.
pub(crate) const FACTOR: Kind<f64> =
    kind("a number from 1 to 100", |text| match text.parse::<f64>() {
        Ok(factor) if (1.0..=100.0).contains(&factor) => Ok(factor),
        Ok(_) => Err("is out of range".to_owned()),
        Err(_) => Err("is not a number".to_owned()),
    });

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn durations() {
        let good = [
            ("100ms", Duration::from_millis(100)),
            ("30s", Duration::from_secs(30)),
            ("5m", Duration::from_mins(5)),
            ("72h", Duration::from_hours(72)),
            ("2d", Duration::from_hours(48)),
            ("3650d", DURATION_MAX),
        ];
        let bad = [
            "",
            "s",
            "30",
            "0s",
            "-1s",
            "1.5h",
            "1h30m",
            "5 m",
            "5M",
            "3651d",
            "99999999999999999999s",
            "18446744073709551615d",
            "five",
        ];
        check(&DURATION, &good, &bad);
        check(&DURATION_OR_ZERO, &[("0s", Duration::ZERO)], &["0", ""]);
        check(
            &DURATION_OR_OFF,
            &[("off", None), ("1s", Some(Duration::from_secs(1)))],
            &["0s", "no"],
        );
    }

    #[test]
    fn sizes() {
        let good = [
            ("123", 123),
            ("123B", 123),
            ("1KB", 1_000),
            ("512KiB", 524_288),
            ("1MiB", 1_048_576),
            ("10GiB", 10_737_418_240),
            ("2TB", 2_000_000_000_000),
        ];
        let bad = [
            "",
            "MiB",
            "0",
            "0MiB",
            "1mib",
            "1M",
            "1.5GiB",
            "-1",
            "8388608TiB",
            "99999999999999999999",
        ];
        check(&SIZE, &good, &bad);
        check(&SIZE_OR_ZERO, &[("0", 0)], &["x"]);
        check(
            &SHARE,
            &[
                ("25%", Share::Percent(25)),
                ("100%", Share::Percent(100)),
                ("1KiB", Share::Bytes(1_024)),
            ],
            &["0%", "101%", "%", "-5%", "2.5%", "0"],
        );
    }

    #[test]
    fn durations_and_sizes_are_written_as_they_are_read() {
        for text in [
            "0s", "100ms", "1500ms", "5s", "90s", "5m", "24h", "72h", "720h", "8d",
        ] {
            let read = duration(text).expect(text);
            let again = duration(&duration_text(read)).expect("what is written can be read");
            assert_eq!(again, read, "{text}");
        }
        assert_eq!(duration_text(Duration::from_hours(24)), "24h");
        assert_eq!(duration_text(Duration::from_secs(90)), "90s");
        assert_eq!(duration_text(Duration::from_hours(24 * 30)), "30d");
        assert_eq!(size_text(10 << 30), "10GiB");
        assert_eq!(size_text(1_500), "1500B");
        assert_eq!(size_text(0), "0B");
    }

    #[test]
    fn rates_and_shares() {
        let rate = |count, per_s| Rate {
            count,
            per: Duration::from_secs(per_s),
        };
        check(
            &RATE,
            &[
                ("50/s", rate(50, 1)),
                ("600/m", rate(600, 60)),
                ("1/h", rate(1, 3_600)),
                ("1000000/s", rate(1_000_000, 1)),
            ],
            &[
                "",
                "50",
                "50/",
                "/s",
                "0/s",
                "-1/s",
                "+1/s",
                "1.5/s",
                "50/ s",
                "50/d",
                "1000001/s",
                "99999999999/h",
            ],
        );
        check(
            &PERCENT,
            &[("1%", 1), ("100%", 100)],
            &["0%", "101%", "50", "%", "-1%", "2.5%"],
        );
        check(
            &PORTION,
            &[("0%", 0.0), ("0.5%", 0.005), ("100%", 1.0)],
            &["100.1%", "-1%", "NaN%", "inf%", "1", "%", ""],
        );
    }

    #[test]
    fn numbers() {
        check(
            &count_kind::<10>(),
            &[("1", 1), ("10", 10)],
            &["0", "11", "-1", "1.0", "", "x"],
        );
        check(
            &ATTEMPTS,
            &[("0", 0), ("16", 16), ("1000", 1_000)],
            &["1001", "-1", "1.5", "", "x"],
        );
        check(
            &FACTOR,
            &[("1", 1.0), ("2.5", 2.5)],
            &["0.9", "101", "NaN", "inf", "x"],
        );
    }
}

//! The kinds of scalars: how each is written, what is accepted, and what it becomes. Each parser takes text,
//! whatever YAML made of it, so that `8` and `"${N}"` are typed by their field.

use super::template::Template;
use crate::extract::Field;
use http::{HeaderName, HeaderValue, StatusCode, Uri, uri::PathAndQuery};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// One kind of scalar.
pub(crate) struct Kind<T> {
    /// What a user may write; the end of every message.
    pub(crate) accepts: &'static str,
    /// Whether a bare number is refused, because reading it as a number would change it.
    pub(crate) quoted: bool,
    /// What an unset variable counts as with `--allow-unset`; without it, as if the key were not there.
    pub(crate) stand_in: Option<&'static str>,
    /// The error continues a sentence that begins with the value: "is not a duration".
    pub(crate) parse: fn(&str) -> Result<T, String>,
}

const fn kind<T>(accepts: &'static str, parse: fn(&str) -> Result<T, String>) -> Kind<T> {
    Kind {
        accepts,
        quoted: false,
        stand_in: None,
        parse,
    }
}

const fn text_kind<T>(
    accepts: &'static str,
    stand_in: Option<&'static str>,
    parse: fn(&str) -> Result<T, String>,
) -> Kind<T> {
    Kind {
        accepts,
        quoted: true,
        stand_in,
        parse,
    }
}

/// Any text, the empty one too.
pub(crate) const TEXT: Kind<String> = text_kind("text", None, |text| Ok(text.to_owned()));

/// Text with at least one character.
pub(crate) const NONEMPTY: Kind<String> = text_kind("text", None, |text| match text {
    "" => Err("is empty".to_owned()),
    _ => Ok(text.to_owned()),
});

const DURATION_ACCEPTS: &str = "a whole number with ms, s, m, h or d, such as 30s";

/// A duration above zero.
pub(crate) const DURATION: Kind<Duration> = kind(DURATION_ACCEPTS, |text| match duration(text)? {
    Duration::ZERO => Err("is zero, which would never let anything happen".to_owned()),
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
const DURATION_MAX: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

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
    0 => Err("is zero, which would never let anything in".to_owned()),
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

/// How many: 1 to `MAX`.
pub(crate) fn count<const MAX: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("is zero, which would never let anything in".to_owned()),
        Ok(number) if number <= MAX => Ok(number),
        Ok(_) => Err(format!("is more than {MAX}")),
        Err(_) => Err("is not a whole number from 1 on".to_owned()),
    }
}

/// A count up to `MAX`.
pub(crate) const fn count_kind<const MAX: usize>() -> Kind<usize> {
    kind("a whole number, at least 1", count::<MAX>)
}

/// What delays grow by.
pub(crate) const FACTOR: Kind<f64> =
    kind("a number from 1 to 100", |text| match text.parse::<f64>() {
        Ok(factor) if (1.0..=100.0).contains(&factor) => Ok(factor),
        Ok(_) => Err("is out of range".to_owned()),
        Err(_) => Err("is not a number".to_owned()),
    });

/// The status of a success.
pub(crate) const SUCCESS: Kind<StatusCode> = kind("200 to 299", |text| {
    text.parse::<StatusCode>()
        .ok()
        .filter(StatusCode::is_success)
        .ok_or_else(|| "is no status of a success".to_owned())
});

/// Where to listen.
pub(crate) const LISTEN: Kind<SocketAddr> = kind(
    "IP:port or :port, such as 127.0.0.1:8080, [::1]:8080 or :8080 for every IPv4 address",
    |text| {
        let every_ipv4 = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        if let Some(port) = text.strip_prefix(':') {
            return port
                .parse()
                .map(every_ipv4)
                .map_err(|_| "has no valid port".to_owned());
        }
        text.parse().map_err(|_| match text.rsplit_once(':') {
            Some(("localhost", port)) => format!("is a name; write 127.0.0.1:{port}"),
            None if text.parse::<u16>().is_ok() => format!("is only a port; write :{text}"),
            _ => "is no address to listen on".to_owned(),
        })
    },
);

/// Where an app is.
pub(crate) const URL: Kind<Uri> = text_kind(
    "http:// or https:// with a host, such as http://127.0.0.1:3000/webhooks",
    Some("http://unset.invalid/"),
    url,
);

fn url(text: &str) -> Result<Uri, String> {
    if text.contains('#') {
        return Err("has a fragment (#), which is never sent".to_owned());
    }
    if !text.is_ascii() {
        return Err("has characters outside ASCII; percent-encode them".to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| "is not a URL".to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("is not an http or https URL".to_owned());
    }
    let authority = uri.authority().ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("carries a user or a password, which would be logged".to_owned());
    }
    if authority.host().is_empty() {
        return Err("has no host".to_owned());
    }
    let port = &authority.as_str()[authority.host().len()..];
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has no valid port".to_owned());
    }
    Ok(uri)
}

/// Path of a source's requests.
pub(crate) const PATH: Kind<String> = text_kind(
    "a path such as /hooks/orders, without a query",
    None,
    |text| {
        if !text.starts_with('/') {
            return Err("does not start with /".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err("has a query or a fragment, which take no part in the match".to_owned());
        }
        match text.parse::<PathAndQuery>() {
            Ok(path) if text.is_ascii() && path.as_str() == text => Ok(text.to_owned()),
            _ => Err("is no path as it stands in a request; percent-encode it".to_owned()),
        }
    },
);

/// Name of a header.
pub(crate) const HEADER: Kind<HeaderName> = text_kind(
    "the name of a header, such as X-Signature",
    Some("x-unset"),
    |text| HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is no name of a header".to_owned()),
);

/// Value of a header.
pub(crate) const HEADER_VALUE: Kind<HeaderValue> =
    text_kind("text that can stand in a header", Some("unset"), |text| {
        header_value(text.as_bytes()).ok_or_else(|| "can't stand in a header".to_owned())
    });

/// A header's value, if these bytes arrive as they are sent: spaces at either end would not (RFC 9110 5.5).
pub(crate) fn header_value(bytes: &[u8]) -> Option<HeaderValue> {
    let value = HeaderValue::from_bytes(bytes).ok()?;
    (bytes.trim_ascii() == bytes).then_some(value)
}

/// What stands before a signature or a token.
pub(crate) const PREFIX: Kind<String> =
    text_kind("printable ASCII, such as sha256=", Some(""), |text| {
        let printable = |byte| matches!(byte, b' '..=b'~');
        match text.bytes().all(printable) && !text.starts_with(' ') {
            true => Ok(text.to_owned()),
            false => Err("can't stand at the start of a header".to_owned()),
        }
    });

/// What is signed.
pub(crate) const TEMPLATE: Kind<Template> = text_kind(
    "text with {body}, {timestamp} and {header:NAME}",
    Some("{body}"),
    |text| {
        text.parse()
            .map_err(|bad: super::template::BadTemplate| format!("can't be used: {bad}"))
    },
);

/// A part of a request.
pub(crate) const FIELD: Kind<Field> = text_kind(
    "header:NAME, json:/pointer, query:name or body",
    Some("body"),
    |text| text.parse().map_err(|_| "is no key expression".to_owned()),
);

/// A pattern of event types.
pub(crate) const PATTERN: Kind<String> = text_kind(
    "an event type, * for any run of characters, ! in front to exclude",
    Some("*"),
    |text| match text.strip_prefix('!').unwrap_or(text) {
        "" => Err("is no pattern".to_owned()),
        _ => Ok(text.to_owned()),
    },
);

/// Name of a source or a target.
pub(crate) const NAME: Kind<String> =
    text_kind(NAME_ACCEPTS, Some("unset"), |text| match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("is no name".to_owned()),
    });

/// What a name of a source or a target is made of.
pub(crate) const NAME_ACCEPTS: &str =
    "1 to 63 lower-case letters, digits and -, beginning with a letter or digit";

/// `[a-z0-9][a-z0-9-]{0,62}`.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}

/// Name of a secret; it becomes a label in metrics and is stored beside events.
pub(crate) const SECRET_NAME: Kind<String> = text_kind(
    "1 to 63 letters, digits, -, _ and .",
    Some("unset"),
    |text| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        match (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
            true => Ok(text.to_owned()),
            false => Err("is no name for a secret".to_owned()),
        }
    },
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn check<T: Debug + PartialEq>(kind: &Kind<T>, good: &[(&str, T)], bad: &[&str]) {
        for (text, expected) in good {
            assert_eq!((kind.parse)(text).as_ref(), Ok(expected), "{text}");
        }
        for text in bad {
            assert!(
                (kind.parse)(text).is_err(),
                "{text}: {:?}",
                (kind.parse)(text)
            );
        }
        if let Some(stand_in) = kind.stand_in {
            assert!(
                (kind.parse)(stand_in).is_ok(),
                "{stand_in} must satisfy its own kind"
            );
        }
    }

    #[test]
    fn durations() {
        let good = [
            ("100ms", Duration::from_millis(100)),
            ("30s", Duration::from_secs(30)),
            ("5m", Duration::from_secs(300)),
            ("72h", Duration::from_secs(259_200)),
            ("2d", Duration::from_secs(172_800)),
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
        assert_eq!(duration_text(Duration::from_secs(86_400)), "24h");
        assert_eq!(duration_text(Duration::from_secs(90)), "90s");
        assert_eq!(duration_text(Duration::from_secs(86_400 * 30)), "30d");
        assert_eq!(size_text(10 << 30), "10GiB");
        assert_eq!(size_text(1_500), "1500B");
        assert_eq!(size_text(0), "0B");
    }

    #[test]
    fn numbers() {
        check(
            &count_kind::<10>(),
            &[("1", 1), ("10", 10)],
            &["0", "11", "-1", "1.0", "", "x"],
        );
        check(
            &FACTOR,
            &[("1", 1.0), ("2.5", 2.5)],
            &["0.9", "101", "NaN", "inf", "x"],
        );
        check(
            &SUCCESS,
            &[("200", StatusCode::OK), ("204", StatusCode::NO_CONTENT)],
            &["199", "302", "500", "ok", ""],
        );
    }

    #[test]
    fn addresses() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        check(
            &LISTEN,
            &[
                (":8080", address("0.0.0.0:8080")),
                ("127.0.0.1:0", address("127.0.0.1:0")),
                ("[::]:443", address("[::]:443")),
            ],
            &[
                "",
                ":",
                ":65536",
                "8080",
                "localhost:8080",
                "127.0.0.1",
                "1.2.3.4:x",
                "::1:80",
            ],
        );
        let uri = |text: &'static str| (text, Uri::from_static(text));
        check(
            &URL,
            &[
                uri("http://a"),
                uri("https://a.example/b?c=d"),
                uri("http://[::1]:3000/"),
            ],
            &[
                "",
                "a",
                "/a",
                "a:80/b",
                "ftp://a/",
                "http://",
                "http:///a",
                "http://u@a/",
                "http://u:p@a/",
                "http://a/#b",
                "http://a b/",
                "http://a:99999/",
                "http://a:/",
                "http://a:0/",
                "http://ä/",
            ],
        );
        check(
            &PATH,
            &[("/", "/".to_owned()), ("/a/b%20c", "/a/b%20c".to_owned())],
            &["", "a", "/a?b", "/a#b", "/a b", "/ä", "*"],
        );
    }

    #[test]
    fn names_and_headers() {
        let long = "a".repeat(63);
        check(
            &NAME,
            &[
                ("a", "a".to_owned()),
                ("0-b", "0-b".to_owned()),
                (&long, long.clone()),
            ],
            &["", "-a", "A", "a_b", "a.b", "ä", &"a".repeat(64)],
        );
        check(
            &SECRET_NAME,
            &[("Old_1.b-c", "Old_1.b-c".to_owned())],
            &["", "a b", "ä"],
        );
        check(
            &HEADER,
            &[("X-A", HeaderName::from_static("x-a"))],
            &["", "X A", "X:", "ä"],
        );
        check(
            &HEADER_VALUE,
            &[("a b", HeaderValue::from_static("a b"))],
            &[" a", "a ", "a\nb"],
        );
        check(
            &PREFIX,
            &[("", String::new()), ("v0=", "v0=".to_owned())],
            &[" v", "a\n", "ä"],
        );
        check(
            &PATTERN,
            &[("!a", "!a".to_owned()), ("*", "*".to_owned())],
            &["", "!"],
        );
        check(&NONEMPTY, &[("a", "a".to_owned())], &[""]);
    }

    #[test]
    fn the_other_stand_ins_satisfy_their_kinds() {
        check(&TEMPLATE, &[], &["{x}", "{"]);
        check(&FIELD, &[("body", Field::Body)], &["x", "json:a"]);
    }
}

//! A target: one under `targets`, or the one that a URL in `forward` makes.

use super::{replaced, sign};
use crate::{
    backoff::Backoff,
    config::{
        Target, WhenFull,
        reader::{Map, Node},
        target::Format,
        value::{self, DURATION, DURATION_OR_ZERO, Share, count_kind, duration_text, size_text},
    },
};
use http::Uri;
use std::time::Duration;

const KEYS: &[&str] = &[
    "url",
    "timeout",
    "connect_timeout",
    "connection_max_age",
    "concurrency",
    "retry",
    "max_backlog",
    "when_full",
    "sign",
    "format",
    "replaces",
];

/// Percent of the store that one target's backlog may take by default.
const BACKLOG_PERCENT: u64 = 25;

/// Attempts at one time, far above what one app takes: each is a task and a connection.
const CONCURRENCY_MAX: usize = 10_000;

/// Reads one entry of `targets`.
pub(super) fn read(name: &str, node: &Node<'_>, store_max_bytes: u64) -> Option<Target> {
    let map = node.map(KEYS)?;
    let url = map
        .need(
            "url",
            "a target needs url, such as http://127.0.0.1:3000/webhooks",
        )
        .and_then(|node| node.read(&value::URL));
    let made = from_url(name, url.unwrap_or_default(), store_max_bytes);
    let retry = map.get("retry").and_then(|node| retry(&node));
    let (retry, give_up_after) = retry.unwrap_or((made.retry, made.give_up_after));
    let full = [
        ("refuse", WhenFull::Refuse),
        ("dead_letter", WhenFull::DeadLetter),
    ];
    let formats = [
        ("plain", Format::Plain),
        ("cloudevents", Format::CloudEvents),
    ];
    let timeout = map.read_or("timeout", &DURATION, made.timeout);
    Some(Target {
        replaces: replaced(&map),
        timeout,
        connect_timeout: connect_timeout(&map, timeout),
        connection_max_age: map.read_or(
            "connection_max_age",
            &DURATION_OR_ZERO,
            made.connection_max_age,
        ),
        concurrency: map.read_or(
            "concurrency",
            &count_kind::<CONCURRENCY_MAX>(),
            made.concurrency,
        ),
        retry,
        give_up_after,
        max_backlog_bytes: backlog(&map, store_max_bytes).unwrap_or(made.max_backlog_bytes),
        when_full: map.choose_or("when_full", &full, made.when_full),
        sign: map
            .get_some("sign")
            .and_then(|node| sign::read(&node))
            .unwrap_or_default(),
        format: map.choose_or("format", &formats, made.format),
        ..made
    })
}

/// A target with every default.
pub(super) fn from_url(name: &str, url: Uri, store_max_bytes: u64) -> Target {
    Target {
        name: name.into(),
        replaces: None,
        url,
        timeout: Target::TIMEOUT,
        connect_timeout: Target::CONNECT_TIMEOUT,
        connection_max_age: Target::CONNECTION_MAX_AGE,
        concurrency: 32,
        retry: Backoff {
            first: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_mins(10),
        },
        give_up_after: Duration::from_hours(72),
        max_backlog_bytes: percent(BACKLOG_PERCENT, store_max_bytes),
        when_full: WhenFull::Refuse,
        sign: Vec::new(),
        format: Format::Plain,
    }
}

/// By default as usual, or all of a shorter `timeout`.
fn connect_timeout(map: &Map<'_>, timeout: Duration) -> Duration {
    let usual = Target::CONNECT_TIMEOUT.min(timeout);
    let Some(node) = map.get("connect_timeout") else {
        return usual;
    };
    let given = node.read(&DURATION).unwrap_or(usual);
    if given > timeout {
        node.problem(format!(
            "{} is longer than timeout, which is {} and begins with connecting",
            duration_text(given),
            duration_text(timeout)
        ));
    }
    given
}

/// Reads `retry`: the delays, and the age at which a failed event is given up (zero: after its first failure).
fn retry(node: &Node<'_>) -> Option<(Backoff, Duration)> {
    let made = from_url("", Uri::default(), 0);
    let map = node.map(&["first", "factor", "max", "give_up_after"])?;
    let backoff = Backoff {
        first: map.read_or("first", &DURATION, made.retry.first),
        factor: map.read_or("factor", &value::FACTOR, made.retry.factor),
        max: map.read_or("max", &DURATION, made.retry.max),
    };
    if backoff.max < backoff.first {
        let at = map.get("max").or_else(|| map.get("first"));
        at.as_ref().unwrap_or(node).problem(format!(
            "the longest delay, max {}, is shorter than first, which is {}",
            duration_text(backoff.max),
            duration_text(backoff.first)
        ));
    }
    let give_up_after = map.read_or("give_up_after", &DURATION_OR_ZERO, made.give_up_after);
    Some((backoff, give_up_after))
}

fn backlog(map: &Map<'_>, store_max_bytes: u64) -> Option<u64> {
    let node = map.get("max_backlog")?;
    match node.read(&value::SHARE)? {
        Share::Percent(share) => Some(percent(share, store_max_bytes)),
        Share::Bytes(bytes) if bytes > store_max_bytes => {
            node.problem(format!(
                "{} is more than store.max_size, which is {}",
                size_text(bytes),
                size_text(store_max_bytes)
            ));
            None
        }
        Share::Bytes(bytes) => Some(bytes),
    }
}

/// Divides first: a store may be so large that a product would overflow.
fn percent(share: u64, of_bytes: u64) -> u64 {
    of_bytes / 100 * share + of_bytes % 100 * share / 100
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_of_a_store_are_exact_and_never_overflow() {
        assert_eq!(percent(25, 10 << 30), (10 << 30) / 4);
        assert_eq!(percent(33, 199), 65);
        assert_eq!(percent(100, u64::MAX), u64::MAX);
    }
}

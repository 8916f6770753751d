//! A target: one under `targets`, or the one that a URL in `forward` makes.

use super::{
    breaker, event, replaced,
    retry::{self, Retry},
    sign,
};
use crate::{
    config::{
        Target, WhenFull,
        reader::{Map, Node},
        target::{Breaker, Format},
        value::{self, DURATION, DURATION_OR_ZERO, Share, count_kind, duration_text, size_text},
    },
    extract::KeyExpr,
};
use http::Uri;
use std::time::Duration;

const KEYS: &[&str] = &[
    "url",
    "timeout",
    "connect_timeout",
    "connection_max_age",
    "concurrency",
    "rate",
    "retry",
    "breaker",
    "max_backlog",
    "when_full",
    "order_by",
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
    let retry = map.get("retry").and_then(|node| retry::read(&node));
    let retry = retry.unwrap_or_default();
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
        rate: map
            .get_some("rate")
            .and_then(|node| node.read(&value::RATE)),
        retry: retry.schedule,
        give_up_after: retry.give_up_after,
        max_attempts: retry.max_attempts,
        breaker: map
            .get("breaker")
            .map_or(made.breaker, |node| breaker::read(&node)),
        max_backlog_bytes: backlog(&map, store_max_bytes).unwrap_or(made.max_backlog_bytes),
        when_full: map.choose_or("when_full", &full, made.when_full),
        order_by: event::expression(map.get_some("order_by"), true).unwrap_or_default(),
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
    let retry = Retry::default();
    Target {
        name: name.into(),
        replaces: None,
        url,
        timeout: Target::TIMEOUT,
        connect_timeout: Target::CONNECT_TIMEOUT,
        connection_max_age: Target::CONNECTION_MAX_AGE,
        concurrency: 32,
        rate: None,
        retry: retry.schedule,
        give_up_after: retry.give_up_after,
        max_attempts: retry.max_attempts,
        breaker: Some(Breaker::default()),
        max_backlog_bytes: percent(BACKLOG_PERCENT, store_max_bytes),
        when_full: WhenFull::Refuse,
        order_by: KeyExpr::default(),
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

//! A target: one under `targets`, or the one that a URL in `forward` makes.

use super::{
    breaker, replaced,
    retry::{self, Retry},
};
use crate::config::{
    Target, WhenFull,
    reader::{Map, Node},
    target::{Breaker, SigningKey},
    value::{self, DURATION, Share, count_kind, size_text},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use std::{ops::RangeInclusive, time::Duration};

const KEYS: &[&str] = &[
    "url",
    "timeout",
    "concurrency",
    "rate",
    "retry",
    "breaker",
    "max_backlog",
    "when_full",
    "sign",
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
    Some(Target {
        replaces: replaced(&map),
        timeout: map.read_or("timeout", &DURATION, made.timeout),
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
        sign: map.get_some("sign").and_then(|node| sign(&node)),
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
        timeout: Duration::from_secs(30),
        concurrency: 32,
        rate: None,
        retry: retry.schedule,
        give_up_after: retry.give_up_after,
        max_attempts: retry.max_attempts,
        breaker: Some(Breaker::default()),
        max_backlog_bytes: percent(BACKLOG_PERCENT, store_max_bytes),
        when_full: WhenFull::Refuse,
        sign: None,
    }
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

/// Bytes of a signing key (Standard Webhooks, "Signature scheme").
const SIGNING_KEY_BYTES: RangeInclusive<usize> = 24..=64;

fn sign(node: &Node<'_>) -> Option<SigningKey> {
    const ACCEPTED: &str = "accepted: whsec_ and the base64 of 24 to 64 bytes, \
                            such as the output of: echo whsec_$(openssl rand -base64 32)";
    let map = node.map(&["secret"])?;
    let node = map.need("secret", "sign needs its secret")?;
    let text = node.text("whsec_ and base64", true)?;
    if text.unset {
        return Some(SigningKey::new(vec![0; *SIGNING_KEY_BYTES.start()]));
    }
    let Some(encoded) = text.value.strip_prefix("whsec_") else {
        node.problem(format!(
            "the signing secret does not begin with whsec_; {ACCEPTED}"
        ));
        return None;
    };
    match STANDARD.decode(encoded) {
        Ok(key) if SIGNING_KEY_BYTES.contains(&key.len()) => Some(SigningKey::new(key)),
        Ok(key) => {
            node.problem(format!(
                "the signing secret has {} bytes; {ACCEPTED}",
                key.len()
            ));
            None
        }
        Err(_) => {
            node.problem(format!(
                "the signing secret is not base64 after whsec_; {ACCEPTED}"
            ));
            None
        }
    }
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

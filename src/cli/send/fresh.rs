//! What is new in each event: an id, a number and the time, and the marks that stand for them in a source's `sample`.
//! Within one event a mark means the same wherever it stands, since an id in a header is often one of the body, too.

use crate::clock::{rfc3339, wall_ms};
use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

/// The fresh values of one event.
#[derive(Debug)]
pub(super) struct Fresh {
    uuid: String,
    number: u64,
    now_ms: u64,
}

impl Fresh {
    /// Those of an event that happens now.
    pub(super) fn now() -> Self {
        Self {
            uuid: random_uuid(),
            number: fresh_number(),
            now_ms: wall_ms(),
        }
    }

    /// `text` with every mark replaced. Anything else between `<` and `>` stays.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            filled.push_str(before);
            let value = after
                .split_once('>')
                .and_then(|(mark, after)| Some((self.value(mark)?, after)));
            rest = if let Some((value, after)) = value {
                filled.push_str(&value);
                after
            } else {
                filled.push('<');
                after
            };
        }
        filled + rest
    }

    fn value(&self, mark: &str) -> Option<String> {
        Some(match mark {
            "uuid" => self.uuid.clone(),
            "number" => self.number.to_string(),
            "unix" => (self.now_ms / 1_000).to_string(),
            "unix_ms" => self.now_ms.to_string(),
            "rfc3339" => rfc3339(self.now_ms),
            _ => return None,
        })
    }
}

/// A number that no event had before: time when the process began, then counting, below 2^53 so that
/// JavaScript keeps it.
pub(super) fn fresh_number() -> u64 {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(wall_ms() * 1000));
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A random UUID, version 4 (RFC 9562 5.4).
pub(super) fn random_uuid() -> String {
    let random = fastrand::u128(..).to_be_bytes();
    uuid::Builder::from_random_bytes(random)
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_replaced_and_all_else_stays() {
        let fresh = Fresh {
            uuid: "u-1".into(),
            number: 42,
            now_ms: 1_769_855_400_007,
        };
        let cases = [
            ("", ""),
            ("plain", "plain"),
            ("<uuid>", "u-1"),
            (
                r#"{"id":<number>,"same":"<number>"}"#,
                r#"{"id":42,"same":"42"}"#,
            ),
            ("<unix>.<unix_ms>", "1769855400.1769855400007"),
            ("at <rfc3339>!", "at 2026-01-31T10:30:00.007Z!"),
            ("<a@b> <<uuid>> <uuid", "<a@b> <u-1> <uuid"),
            ("<Response/><UUID>", "<Response/><UUID>"),
        ];
        for (text, filled) in cases {
            assert_eq!(fresh.fill(text), filled, "{text}");
        }
    }

    #[test]
    fn two_events_differ() {
        let (a, b) = (Fresh::now(), Fresh::now());
        for mark in ["<uuid>", "<number>"] {
            assert_ne!(a.fill(mark), b.fill(mark), "{mark}");
        }
    }

    #[test]
    fn ids_are_random_uuids() {
        let parsed = uuid::Uuid::parse_str(&random_uuid()).expect("a UUID");
        assert_eq!(parsed.get_version_num(), 4);
    }
}

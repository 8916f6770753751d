//! `breaker` of a target: when it counts as down.

use crate::config::{
    reader::Node,
    target::Breaker,
    value::{self, DURATION, count_kind, duration_text},
};
use std::time::Duration;

const KEYS: &[&str] = &["failures", "rate", "min_attempts", "window", "hold"];

/// Failures and attempts: above what any target makes within a window.
const COUNT_MAX: usize = 1_000_000;

/// Holds shorter than this are a storm of probes.
const HOLD_MIN: Duration = Duration::from_millis(100);

/// A window of attempts; one that is longer remembers a trouble for longer than it lasts.
const WINDOW: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Reads `breaker`: a mapping, or `off`, which is none.
pub(super) fn read(node: &Node<'_>) -> Option<Breaker> {
    let made = Breaker::default();
    if node.value().is_string() {
        return node.choose(&[("off", None)]).unwrap_or(Some(made));
    }
    let Some(map) = node.map(KEYS) else {
        return Some(made);
    };
    let count = |key, default| {
        map.read(key, &count_kind::<COUNT_MAX>())
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(default)
    };
    let breaker = Breaker {
        failures: count("failures", made.failures),
        rate_percent: map.read_or("rate", &value::PERCENT, made.rate_percent),
        min_attempts: count("min_attempts", made.min_attempts),
        window: map.read_or("window", &DURATION, made.window),
        hold: map.read_or("hold", &DURATION, made.hold),
    };
    if let Some(node) = map.get("hold")
        && breaker.hold < HOLD_MIN
    {
        node.problem(format!(
            "{} is too short; accepted: {} and more",
            duration_text(breaker.hold),
            duration_text(HOLD_MIN)
        ));
    }
    if let Some(node) = map.get("window")
        && !WINDOW.contains(&breaker.window)
    {
        node.problem(format!(
            "{} is out of range; accepted: {} to {}",
            duration_text(breaker.window),
            duration_text(*WINDOW.start()),
            duration_text(*WINDOW.end())
        ));
    }
    Some(breaker)
}

//! `retry` of a target: delays that grow, or a list of them, and when an event is given up.

use crate::{
    backoff::{Backoff, Schedule},
    config::{
        reader::{Map, Node, every},
        value::{self, DURATION, DURATION_OR_ZERO, count_kind, duration_text},
    },
};
use std::{sync::Arc, time::Duration};

const KEYS: &[&str] = &[
    "first",
    "factor",
    "max",
    "delays",
    "give_up_after",
    "max_attempts",
];

/// What makes no sense beside `delays`.
const GROWING_KEYS: &[&str] = &["first", "factor", "max"];

const DELAYS_ACCEPTS: &str = "a list of delays such as [1m, 5m, 30m, 2h]";

/// Delays of a list: more than anybody writes by hand.
const DELAYS_MAX: usize = 100;

/// Attempts at one event, at a second each for ten days.
const ATTEMPTS_MAX: usize = 1_000_000;

const GIVE_UP_AFTER: Duration = Duration::from_hours(72);

/// What a list takes beyond the sum of its delays: each may be a tenth longer, and attempts take their time.
const LIST_SLACK: f64 = 1.2;

/// How patient a target is.
pub(super) struct Retry {
    pub(super) schedule: Schedule,
    pub(super) give_up_after: Duration,
    pub(super) max_attempts: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            schedule: Schedule::Growing(BACKOFF),
            give_up_after: GIVE_UP_AFTER,
            max_attempts: None,
        }
    }
}

const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    factor: 2.0,
    max: Duration::from_mins(10),
};

/// Reads `retry`: a list of delays, or a mapping. (`give_up_after: 0s` gives up after the first failure.)
pub(super) fn read(node: &Node<'_>) -> Option<Retry> {
    if node.value().is_sequence() {
        return Some(Retry::of_list(delays(node)?));
    }
    if !node.value().is_mapping() && !node.is_null() {
        node.wrong(&format!(
            "{DELAYS_ACCEPTS}, or a mapping with {}",
            KEYS.join(", ")
        ));
        return None;
    }
    let map = node.map(KEYS)?;
    let made = match map.get_some("delays") {
        Some(list) => {
            for key in GROWING_KEYS {
                if let Some(node) = map.get(key) {
                    node.problem_at_key(
                        "the delays are listed in delays, which leaves nothing for this to say",
                    );
                }
            }
            delays(&list).map(Retry::of_list).unwrap_or_default()
        }
        None => Retry {
            schedule: Schedule::Growing(growing(&map)),
            ..Retry::default()
        },
    };
    let max_attempts = map
        .get_some("max_attempts")
        .and_then(|node| node.read(&count_kind::<ATTEMPTS_MAX>()))
        .and_then(|count| u32::try_from(count).ok());
    Some(Retry {
        give_up_after: map.read_or("give_up_after", &DURATION_OR_ZERO, made.give_up_after),
        max_attempts: max_attempts.or(made.max_attempts),
        ..made
    })
}

impl Retry {
    /// The attempt after the last delay is the last, and the time is no reason to end the list early.
    fn of_list(delays: Arc<[Duration]>) -> Self {
        let sum: Duration = delays.iter().sum();
        Self {
            max_attempts: u32::try_from(delays.len() + 1).ok(),
            give_up_after: GIVE_UP_AFTER.max(sum.mul_f64(LIST_SLACK)),
            schedule: Schedule::Listed(delays),
        }
    }
}

fn delays(node: &Node<'_>) -> Option<Arc<[Duration]>> {
    let items = node.list(DELAYS_ACCEPTS)?;
    if items.is_empty() {
        node.problem(format!(
            "the list is empty; accepted: {DELAYS_ACCEPTS}. To give up after the first failure: max_attempts: 1"
        ));
        return None;
    }
    if items.len() > DELAYS_MAX {
        node.problem(format!(
            "{} delays are more than {DELAYS_MAX}; the last one is repeated where max_attempts asks for more",
            items.len()
        ));
        return None;
    }
    every(items.iter().map(|item| item.read(&DURATION))).map(Into::into)
}

fn growing(map: &Map<'_>) -> Backoff {
    let backoff = Backoff {
        first: map.read_or("first", &DURATION, BACKOFF.first),
        factor: map.read_or("factor", &value::FACTOR, BACKOFF.factor),
        max: map.read_or("max", &DURATION, BACKOFF.max),
    };
    if backoff.max < backoff.first {
        let at = map.get("max").or_else(|| map.get("first"));
        at.as_ref().unwrap_or(map.node()).problem(format!(
            "the longest delay, max {}, is shorter than first, which is {}",
            duration_text(backoff.max),
            duration_text(backoff.first)
        ));
    }
    backoff
}

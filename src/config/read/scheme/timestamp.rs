//! The time that is signed: where it is, how it is written, and how old it may be.

use super::signature::elements;
use crate::config::{
    reader::{Map, Node},
    value::{DURATION, ELEMENT, HEADER, PLACE},
    verify::{TimeFormat, TimePlace, Timestamp},
};
use crate::extract::Field;
use std::time::Duration;

/// How far a signed timestamp may be off by default; what vendors suggest and Standard Webhooks uses.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Reads `timestamp` of a signature whose value is a list, or is none.
pub(super) fn read(node: &Node<'_>, is_split: bool) -> Option<Timestamp> {
    let formats = [
        ("unix", TimeFormat::Unix),
        ("unix_ms", TimeFormat::UnixMs),
        ("rfc3339", TimeFormat::Rfc3339),
    ];
    let map = node.map(&["header", "field", "element", "format", "tolerance"])?;
    let place = place(&map, is_split);
    let format = map.choose_or("format", &formats, TimeFormat::Unix);
    let tolerance = tolerance(map.get("tolerance").as_ref());
    let (past, future) = tolerance?;
    Some(Timestamp {
        place: place?,
        format,
        past,
        future,
    })
}

/// One of `header`, `field` and `element`.
fn place(map: &Map<'_>, is_split: bool) -> Option<TimePlace> {
    let keys = ["header", "field", "element"];
    let given: Vec<_> = keys
        .iter()
        .filter_map(|key| Some((*key, map.get_some(key)?)))
        .collect();
    match given.as_slice() {
        [("header", node)] => node
            .read(&HEADER)
            .map(|name| TimePlace::Field(Field::Header(name))),
        [("field", node)] => node.read(&PLACE).map(TimePlace::Field),
        [(_, node)] => element(node, is_split),
        [] => {
            map.node().problem_below(
                &["header"],
                "timestamp needs header: the name of the header with the time, or field: json:/pointer, or element: \
                 \"t=\" of the signature's list",
            );
            None
        }
        several => {
            let named: Vec<&str> = several.iter().map(|(key, _)| *key).collect();
            map.node().problem_at_key(format!(
                "{} stand side by side; keep one{}",
                named.join(" and "),
                if named.len() == 2 {
                    ", with null for the other where a preset has it"
                } else {
                    ""
                }
            ));
            None
        }
    }
}

/// `element: "t="` or `element: first`.
fn element(node: &Node<'_>, is_split: bool) -> Option<TimePlace> {
    let place = match node.read(&ELEMENT)?.as_str() {
        "first" => TimePlace::FirstElement,
        prefix => TimePlace::Element(prefix.to_owned()),
    };
    elements(node, is_split).then_some(place)
}

/// Both ways alike, or each of its own; null is no limit.
fn tolerance(node: Option<&Node<'_>>) -> Option<(Option<Duration>, Option<Duration>)> {
    let limit = |node: Option<Node<'_>>| match node {
        None => Some(Some(TOLERANCE)),
        Some(node) if node.is_null() => Some(None),
        Some(node) => match node.read(&DURATION) {
            // An unset variable; anything else that can't be read has said so.
            None if node.context().allow_unset => Some(Some(TOLERANCE)),
            read => read.map(Some),
        },
    };
    match node {
        Some(node) if node.value().is_mapping() => {
            let map = node.map(&["past", "future"])?;
            let (past, future) = (limit(map.get("past")), limit(map.get("future")));
            Some((past?, future?))
        }
        node => limit(node.cloned()).map(|both| (both, both)),
    }
}

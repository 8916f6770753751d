//! Headers that a request itself lists as signed.

use super::signature::elements;
use crate::config::{
    reader::{Map, Node},
    value::{EACH_HEADER, ELEMENT, JOIN, PLACE},
    verify::{NamedHeaders, TimePlace},
};

/// Reads `named_headers`. Nothing of it has a default: what is signed is exactly this.
pub(super) fn read(node: &Node<'_>, is_split: bool) -> Option<NamedHeaders> {
    let map = node.map(&["names", "split", "each", "join"])?;
    let place = need(&map, "names", "header:NAME, or { element: \"h=\" }")
        .and_then(|node| names(&node, is_split));
    let split =
        need(&map, "split", "what stands between the names").and_then(|node| node.read(&ELEMENT));
    let each = need(
        &map,
        "each",
        "how one is written, such as \"{name}:{value}\"",
    )
    .and_then(|node| node.read(&EACH_HEADER));
    let join = need(
        &map,
        "join",
        "what stands between two of them; may be empty",
    )
    .and_then(|node| node.read(&JOIN));
    Some(NamedHeaders {
        place: place?,
        split: split?,
        each: each?,
        join: join?,
    })
}

fn need<'a>(map: &Map<'a>, key: &str, what: &str) -> Option<Node<'a>> {
    map.need(key, &format!("named_headers needs {key}: {what}"))
}

/// A field, or an element of the signature's own list.
fn names(node: &Node<'_>, is_split: bool) -> Option<TimePlace> {
    if !node.value().is_mapping() {
        return node.read(&PLACE).map(TimePlace::Field);
    }
    let map = node.map(&["element"])?;
    let element = map.need(
        "element",
        "names needs element: what the element with the names begins with",
    )?;
    let prefix = element.read(&ELEMENT)?;
    elements(&element, is_split).then_some(TimePlace::Element(prefix))
}

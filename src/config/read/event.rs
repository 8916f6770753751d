//! What names an event, its type and its time.

use crate::{
    config::{
        reader::{Map, Node, every},
        value::FIELD,
    },
    extract::{Field, KeyExpr},
};

/// The three expressions under `event`.
#[derive(Default)]
pub(super) struct Expressions {
    /// Empty: the body.
    pub(super) id: KeyExpr,
    /// Empty: no type is known.
    pub(super) event_type: KeyExpr,
    /// Empty: no time is known.
    pub(super) time: KeyExpr,
}

const ACCEPTED: &str = "header:NAME, json:/pointer, form:name, query:name, body, or a list of them";

/// Reads `event`.
pub(super) fn read(node: Option<&Node<'_>>) -> Option<Expressions> {
    let Some(node) = node else {
        return Some(Expressions::default());
    };
    let map = node.map(&["id", "type", "time"])?;
    let id = expression(map.get_some("id"), true);
    let event_type = text_expression(&map, "type");
    let time = text_expression(&map, "time");
    Some(Expressions {
        id: id?,
        event_type: event_type?,
        time: time?,
    })
}

/// A type or a time is one text: joins and hashes are none.
fn text_expression(map: &Map<'_>, key: &str) -> Option<KeyExpr> {
    let read = expression(map.get_some(key), false)?;
    if read.0.iter().flatten().any(|field| *field == Field::Body)
        && let Some(node) = map.get(key)
    {
        node.problem(format!(
            "body is a hash, not a {key}; accepted: header:NAME, json:/pointer, form:name or query:name"
        ));
    }
    Some(read)
}

/// A field, or a list of alternatives, each a field or (where joins make sense) a list of joined fields.
pub(super) fn expression(node: Option<Node<'_>>, joins: bool) -> Option<KeyExpr> {
    let Some(node) = node else {
        return Some(KeyExpr::default());
    };
    let alternatives = node.one_or_list(ACCEPTED)?;
    every(alternatives.iter().map(|node| alternative(node, joins))).map(KeyExpr)
}

fn alternative(node: &Node<'_>, joins: bool) -> Option<Vec<Field>> {
    if !node.value().is_sequence() {
        return node.read(&FIELD).map(|field| vec![field]);
    }
    if !joins {
        node.problem("a list inside a list joins fields, which only event.id and order_by can");
        return None;
    }
    let parts = node.list(ACCEPTED)?;
    if parts.is_empty() {
        node.problem("an empty join names nothing");
        return None;
    }
    every(parts.iter().map(|part| part.read(&FIELD)))
}

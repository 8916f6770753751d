//! Conditions: what must hold for a scheme to be tried, or for a handshake to be answered.

use super::super::params::Texts;
use super::template::{Place, template};
use crate::config::{
    reader::{Node, every},
    template::{Piece, Template},
    value::SUBJECT,
    verify::{Condition, Expected, Subject},
};

/// Reads `when`; at least one condition.
pub(in crate::config::read) fn conditions(
    node: &Node<'_>,
    place: Place,
    texts: &Texts,
) -> Option<Vec<Condition>> {
    let entries = node.named()?;
    if entries.is_empty() {
        node.problem("no condition; accepted: such as { method: GET, header:X-Version: v2 }");
        return None;
    }
    every(entries.iter().map(|(subject, node)| {
        let subject = match (SUBJECT.parse)(subject) {
            Ok(subject) => Some(subject),
            Err(why) => {
                node.problem_at_key(format!("this {why}; accepted: {}", SUBJECT.accepts));
                None
            }
        };
        let expected = expected(node, place, texts);
        let condition = Condition {
            subject: subject?,
            expected: expected?,
        };
        possible(&condition, node).then_some(condition)
    }))
}

fn expected(node: &Node<'_>, place: Place, texts: &Texts) -> Option<Expected> {
    if node.is_null() {
        return Some(Expected::Absent);
    }
    let expected = template(node, place, texts)?;
    Some(match expected.0.as_slice() {
        [Piece::Literal(star)] if star == "*" => Expected::Present,
        [] => {
            node.problem("nothing equals empty text, which counts as absent; write null for that");
            return None;
        }
        _ => Expected::Is(expected),
    })
}

/// Whether a condition on the method can hold at all.
fn possible(condition: &Condition, node: &Node<'_>) -> bool {
    let literal = |template: &Template| match template.0.as_slice() {
        [Piece::Literal(text)] => Some(text.clone()),
        _ => None,
    };
    match (&condition.subject, &condition.expected) {
        (Subject::Method, Expected::Absent) => {
            node.problem("every request has a method; name one, such as GET");
            false
        }
        (Subject::Method, Expected::Is(is))
            if literal(is)
                .is_some_and(|text| text.bytes().any(|byte| byte.is_ascii_lowercase())) =>
        {
            node.problem("methods are written in upper case, such as GET");
            false
        }
        _ => true,
    }
}

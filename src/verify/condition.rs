//! What must hold before a scheme is tried or a handshake is answered. Comparisons take the same time wherever the
//! values differ: one side may be a parameter that nobody should guess.

use super::content::{Content, Given, Surroundings};
use super::mac::equal;
use super::request::Request;
use crate::config::template::Base;
use crate::config::verify::{Condition as Config, Expected, Subject};
use crate::extract::Field;
use http::{HeaderMap, Method};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// A prepared condition.
#[derive(Debug)]
pub(super) struct Condition {
    subject: Subject,
    expected: Prepared,
}

#[derive(Debug)]
enum Prepared {
    Is(Content),
    Present,
    Absent,
}

/// The conditions; None if one names a parameter that is not set.
pub(super) fn prepare(conditions: &[Config], around: &Surroundings) -> Option<Vec<Condition>> {
    conditions
        .iter()
        .map(|condition| {
            Some(Condition {
                subject: condition.subject.clone(),
                expected: match &condition.expected {
                    Expected::Is(template) => Prepared::Is(Content::new(template, around)?),
                    Expected::Present => Prepared::Present,
                    Expected::Absent => Prepared::Absent,
                },
            })
        })
        .collect()
}

/// Whether all of them hold.
pub(super) fn hold(conditions: &[Condition], request: Request<'_>) -> bool {
    conditions.iter().all(|condition| condition.holds(request))
}

/// Whether all of those hold that can be told without the body.
pub(super) fn may_hold(
    conditions: &[Condition],
    method: &Method,
    query: Option<&str>,
    headers: &HeaderMap,
) -> bool {
    let request = Request {
        method,
        query,
        headers,
        body: b"",
    };
    let told = |condition: &&Condition| !condition.needs_body();
    conditions
        .iter()
        .filter(told)
        .all(|condition| condition.holds(request))
}

/// What these conditions look at that is not as they want it. Without a body (`None`), of those that can be told so.
pub(super) fn differing<'a>(
    conditions: &'a [Condition],
    request: Request<'_>,
    body: Option<&[u8]>,
) -> Vec<&'a Subject> {
    let body_is_known = body.is_some();
    let request = Request {
        body: body.unwrap_or_default(),
        ..request
    };
    conditions
        .iter()
        .filter(|condition| body_is_known || !condition.needs_body())
        .filter(|condition| !condition.holds(request))
        .map(|condition| &condition.subject)
        .collect()
}

/// Whether one of them names this method.
pub(super) fn name_method(conditions: &[Condition], request: Request<'_>) -> bool {
    let is_method = |condition: &&Condition| matches!(condition.subject, Subject::Method);
    let mut of_method = conditions.iter().filter(is_method);
    of_method.any(|condition| condition.holds(request))
}

impl Condition {
    fn holds(&self, request: Request<'_>) -> bool {
        let value = match &self.subject {
            Subject::Method => Some(Cow::Borrowed(request.method.as_str().as_bytes())),
            Subject::Field(field) => match &self.expected {
                // What stands there twice is there.
                Prepared::Absent => return !request.has(field),
                _ => request.once(field),
            },
        };
        match (&self.expected, value) {
            (Prepared::Absent, value) => value.is_none(),
            (Prepared::Present, value) => value.is_some(),
            (Prepared::Is(_), None) => false,
            (Prepared::Is(content), Some(value)) => content
                .text(&Given::of(request))
                .map(Zeroizing::new)
                .is_some_and(|expected| bool::from(equal(&expected, &value))),
        }
    }

    fn needs_body(&self) -> bool {
        let of_body =
            |field: &Field| matches!(field, Field::Json(_) | Field::Form(_) | Field::Body);
        let subject = matches!(&self.subject, Subject::Field(field) if of_body(field));
        let expected = || match &self.expected {
            Prepared::Is(content) => content.bases().any(|base| match base {
                Base::Body | Base::JsonStringify | Base::Form => true,
                Base::Field(field) => of_body(field),
                _ => false,
            }),
            Prepared::Present | Prepared::Absent => false,
        };
        subject || expected()
    }
}

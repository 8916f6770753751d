//! The request as it came, and how a field of it is read: a value that stands there twice is none, since nobody could
//! say which of the two the sender meant, or the app would take.

use super::Refused;
use crate::extract::{Field, Parts, form_pairs, pairs};
use http::{HeaderMap, HeaderName, Method};
use std::borrow::Cow;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The query of its URL, without `?`.
    pub query: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, as it was received.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The value of this field. None if it is absent, null or empty, or there more than once.
    pub(super) fn once(&self, field: &Field) -> Option<Cow<'a, [u8]>> {
        let value = match field {
            Field::Header(name) => Cow::Borrowed(only(self.headers, name).ok()?),
            Field::Query(name) => single(pairs(self.query?.as_bytes()), name)?,
            Field::Form(name) => single(form_pairs(self.headers, self.body)?, name)?,
            Field::Json(_) | Field::Body => {
                let parts = Parts {
                    headers: self.headers,
                    query: self.query,
                    body: self.body,
                    members: None,
                };
                return field.bytes(parts);
            }
        };
        (!value.is_empty()).then_some(value)
    }

    /// The same of a field without which nothing is proven, or what is wrong with it.
    pub(super) fn needed(&self, field: &Field) -> Result<Cow<'a, [u8]>, Refused> {
        match field {
            Field::Header(name) => match only(self.headers, name)? {
                [] => Err(Refused::Missing),
                value => Ok(Cow::Borrowed(value)),
            },
            field => self.once(field).ok_or(Refused::Missing),
        }
    }

    /// Whether anything that is not empty stands there, however often, and be it a text that cannot be read.
    pub(super) fn has(&self, field: &Field) -> bool {
        let named = |name: &str, (known, value): (Cow<'_, [u8]>, Cow<'_, [u8]>)| {
            *known == *name.as_bytes() && !value.is_empty()
        };
        match field {
            Field::Header(name) => {
                let mut lines = self.headers.get_all(name).iter();
                lines.any(|line| !line.is_empty())
            }
            Field::Query(name) => self
                .query
                .is_some_and(|query| pairs(query.as_bytes()).any(|pair| named(name, pair))),
            Field::Form(name) => form_pairs(self.headers, self.body)
                .is_some_and(|mut pairs| pairs.any(|pair| named(name, pair))),
            Field::Json(pointer) => pointer
                .span(self.body)
                .is_some_and(|span| !matches!(&self.body[span], b"null" | b"\"\"")),
            Field::Body => true,
        }
    }
}

fn single<'a>(
    pairs: impl Iterator<Item = (Cow<'a, [u8]>, Cow<'a, [u8]>)>,
    name: &str,
) -> Option<Cow<'a, [u8]>> {
    let mut found = pairs.filter(|(known, _)| **known == *name.as_bytes());
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value)
}

/// The bytes of a header that must be there once.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h [u8], Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refused::Missing)?;
    match values.next() {
        None => Ok(value.as_bytes()),
        Some(_) => Err(Refused::Bad),
    }
}

//! Requests of a source that has no samples: made from the source's own expressions, so that it finds the
//! event's id, type and time wherever it looks for them first, and its scheme whatever it signs.

use super::{fresh::fresh_number, needs, needs::Need};
use crate::{
    clock::{rfc3339, wall_ms},
    config::Source,
    extract::{Field, KeyExpr},
    verify::Outgoing,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde_json::{Map, Value};

/// Of a JSON body.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Of a form.
pub(super) const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Gives `request` a body in which the source finds an id, a type and a time, and headers and a query where it looks
/// for them there.
pub(super) fn fill(source: &Source, event: &str, request: &mut Outgoing) {
    let wanted: Vec<(&Field, String)> = needed(source).chain(expressed(source, event)).collect();
    if needs::a_form(source) {
        request.headers.insert(CONTENT_TYPE, FORM);
    } else {
        request.headers.insert(CONTENT_TYPE, JSON);
        request.body = json(&wanted);
    }
    for (field, value) in &wanted {
        put_beside(request, field, value);
    }
    if request.body.is_empty() {
        let mark = Field::Form("hookgate_test".to_owned());
        put_beside(request, &mark, &fresh_text());
    }
}

/// Adds what the scheme needs outside the body, for a body of the user's.
pub(super) fn add_needed(source: &Source, request: &mut Outgoing) {
    let outside = |field: &Field| matches!(field, Field::Header(_) | Field::Query(_));
    for (field, value) in needed(source).filter(|(field, _)| outside(field)) {
        put_beside(request, field, &value);
    }
}

/// Adds the type to a body of the user's, where the source looks for it in a header first.
pub(super) fn add_type_header(source: &Source, event: &str, headers: &mut HeaderMap) {
    if let Some(Field::Header(name)) = source.event_type.0.iter().flatten().next() {
        put_header(headers, name.clone(), event);
    }
}

/// A JSON body with the values that belong there.
fn json(wanted: &[(&Field, String)]) -> Bytes {
    let mut body = Value::Object(Map::new());
    for (field, value) in wanted {
        if let Field::Json(pointer) = field {
            put(&mut body, pointer.names(), value.clone());
        }
    }
    if let Some(fields) = body.as_object_mut() {
        fields
            .entry("hookgate_test")
            .or_insert_with(|| fresh_text().into());
    }
    body.to_string().into()
}

/// Puts a value that belongs outside a JSON body.
fn put_beside(request: &mut Outgoing, field: &Field, value: &str) {
    match field {
        Field::Header(_) | Field::Query(_) => {}
        Field::Form(_) if request.headers.get(CONTENT_TYPE) == Some(&FORM) => {}
        Field::Form(_) | Field::Json(_) | Field::Body => return,
    }
    request.put(field, value.as_bytes()).expect(
        "our values have no control characters, and types of events were looked at for them",
    );
}

/// What the scheme needs, with values for it.
fn needed(source: &Source) -> impl Iterator<Item = (&Field, String)> {
    needs::of(source)
        .into_iter()
        .filter_map(|(field, need)| match (field, need) {
            (_, Need::Value) => Some((field, fresh_text())),
            // Signing makes a place in headers and queries, and adds to a form.
            (Field::Json(_), Need::Place) => Some((field, String::new())),
            _ => None,
        })
}

fn fresh_text() -> String {
    format!("test_{}", fresh_number())
}

/// The places where the source looks first, each with what it should find there.
fn expressed<'a>(source: &'a Source, event: &str) -> impl Iterator<Item = (&'a Field, String)> {
    let first = |expression: &'a KeyExpr| expression.0.first().into_iter().flatten();
    let id = format!("evt_{}", fresh_number());
    let event = event.to_owned();
    let time = rfc3339(wall_ms());
    // Ids come first: where a joined id contains the type, the type's own text has the last word.
    first(&source.event_id)
        .map(move |field| (field, id.clone()))
        .chain(first(&source.event_type).map(move |field| (field, event.clone())))
        .chain(first(&source.event_time).map(move |field| (field, time.clone())))
}

/// Puts `value` where the names lead, through objects made on the way.
pub(super) fn put(mut place: &mut Value, names: &[String], value: impl Into<Value>) {
    for name in names {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name.as_str()];
    }
    if !names.is_empty() {
        *place = value.into();
    }
}

/// Adds a header. Ids and times are ours, event types were checked when the vendor was made.
pub(super) fn put_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_bytes(value.as_bytes()).expect("no control characters");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_where_pointers_lead() {
        let names = |pointer: &str| -> Vec<String> {
            pointer.split('/').skip(1).map(str::to_owned).collect()
        };
        let mut body = Value::Object(Map::new());
        put(&mut body, &names("/data/id"), "1");
        put(&mut body, &names("/data/at"), "2");
        put(&mut body, &names("/data/id/deep"), "3");
        put(&mut body, &[], "whole");
        assert_eq!(
            body,
            serde_json::json!({"data": {"id": {"deep": "3"}, "at": "2"}})
        );
    }
}

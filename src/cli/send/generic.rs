//! Requests of a source that has no samples: made from the source's own expressions, so that it finds the
//! event's id, type and time wherever it looks for them first.

use super::samples::fresh_number;
use crate::{
    clock::{rfc3339, unix_ms},
    config::Source,
    extract::{Field, KeyExpr},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// A body in which the source finds an id, a type and a time, where it looks for them in JSON.
pub(super) fn body(source: &Source, event: &str) -> Bytes {
    let mut body = Value::Object(Map::new());
    for (field, value) in expressed(source, event) {
        if let Field::Json(pointer) = field {
            put(&mut body, pointer.names(), value);
        }
    }
    if let Some(fields) = body.as_object_mut() {
        let fresh = || Value::from(format!("test_{}", fresh_number()));
        fields.entry("hookgate_test").or_insert_with(fresh);
    }
    body.to_string().into()
}

/// Adds the headers in which the source finds them.
pub(super) fn add_headers(source: &Source, event: &str, headers: &mut HeaderMap) {
    for (field, value) in expressed(source, event) {
        if let Field::Header(name) = field {
            put_header(headers, name.clone(), &value);
        }
    }
}

/// Adds the type to a body of the user's, where the source looks for it in a header first.
pub(super) fn add_type_header(source: &Source, event: &str, headers: &mut HeaderMap) {
    if let Some(Field::Header(name)) = source.event_type.0.iter().flatten().next() {
        put_header(headers, name.clone(), event);
    }
}

/// The places where the source looks first, each with what it should find there.
fn expressed<'a>(source: &'a Source, event: &str) -> impl Iterator<Item = (&'a Field, String)> {
    let first = |expression: &'a KeyExpr| expression.0.first().into_iter().flatten();
    let id = format!("evt_{}", fresh_number());
    let event = event.to_owned();
    let time = rfc3339(unix_ms());
    // Ids come first: where a joined id contains the type, the type's own text has the last word.
    first(&source.event_id)
        .map(move |field| (field, id.clone()))
        .chain(first(&source.event_type).map(move |field| (field, event.clone())))
        .chain(first(&source.event_time).map(move |field| (field, time.clone())))
}

/// Puts `value` where the names lead, through objects made on the way.
fn put(mut place: &mut Value, names: &[String], value: String) {
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
        put(&mut body, &names("/data/id"), "1".into());
        put(&mut body, &names("/data/at"), "2".into());
        put(&mut body, &names("/data/id/deep"), "3".into());
        put(&mut body, &[], "whole".into());
        assert_eq!(
            body,
            serde_json::json!({"data": {"id": {"deep": "3"}, "at": "2"}})
        );
    }
}

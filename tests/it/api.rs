//! The admin API and its commands: what an operator sees and steers, who may, and what it costs the senders.

mod commands;
mod described;
mod guard;
mod looking;
mod steering;

use crate::support::{App, Gate, Request, free_address, gate::Home, sender::Connection};
use serde_json::{Value, json};
use std::time::Duration;

/// Two sources that sign nothing, one whose token is a secret, and a target that gives up at once.
fn config(app: &App) -> String {
    format!(
        "sources:\n\
         \x20 erp: {{ verify: none, event: {{ id: json:/id, type: json:/type }}, forward: app }}\n\
         \x20 shop: {{ verify: none, event: {{ id: [[json:/type, json:/id]], type: json:/type }}, forward: [app, other] }}\n\
         \x20 keyed: {{ verify: {{ token: {{ header: X-Token }} }}, secret: a-secret-token, forward: app }}\n\
         targets:\n\
         \x20 app: {{ url: {}, retry: {{ first: 20ms, max: 50ms, give_up_after: 0s }} }}\n\
         \x20 other: {{ url: {}/other, retry: {{ first: 20ms, max: 50ms, give_up_after: 0s }} }}\n",
        app.url(),
        app.url()
    )
}

fn event(source: &str, id: usize, event_type: &str) -> Request {
    let body = json!({ "id": format!("evt_{id}"), "type": event_type });
    Request::new(&format!("/hooks/{source}"), body.to_string())
}

/// Sends an event; its id.
#[track_caller]
fn send(gate: &Gate, source: &str, id: usize, event_type: &str) -> String {
    let reply = gate.send(&event(source, id, event_type));
    assert_eq!(reply.status, 200, "{reply:?}\n{}", gate.log());
    reply.id()
}

#[track_caller]
fn get(gate: &Gate, path: &str) -> Value {
    let reply = gate.admin_get(&format!("/api/v1{path}"));
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

#[track_caller]
fn post(gate: &Gate, path: &str, body: &Value) -> Value {
    let reply = gate.admin_post(&format!("/api/v1{path}"), body);
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.json()
}

/// The ids of a list.
fn ids(list: &Value) -> Vec<String> {
    let events = list["events"].as_array().expect("a list");
    let id = |event: &Value| event["id"].as_str().expect("an id").to_owned();
    events.iter().map(id).collect()
}

/// All ids that a list has, page after page.
#[track_caller]
fn all_ids(gate: &Gate, query: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    for _ in 0..10_000 {
        let page = get(gate, &format!("/events?{query}{cursor}"));
        assert!(
            page["scanned"].as_u64().expect("a number") <= 10_000,
            "{page}"
        );
        found.extend(ids(&page));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
    panic!("{query} has no end");
}

/// Waits until an event stands so at a target.
#[track_caller]
fn wait_for_state(gate: &Gate, id: &str, target: &str, state: &str) {
    crate::support::wait_until(&format!("{id} is {state} at {target}"), || {
        let event = get(gate, &format!("/events/{id}"));
        let deliveries = event["deliveries"].as_array().expect("a list");
        deliveries
            .iter()
            .any(|delivery| delivery["target"] == target && delivery["state"] == state)
    });
}

/// Sends raw bytes to the admin side, and reads one answer.
fn raw(gate: &Gate, bytes: &[u8]) -> Option<crate::support::Reply> {
    let mut connection = Connection::open(gate.admin);
    connection.write(bytes);
    connection.read_reply().ok().flatten()
}

/// A home with a free port for the admin side, so that a command finds it in the file.
fn with_admin_port(rest: &str, token: &str) -> Home {
    let address = free_address();
    Home::new(&format!(
        "admin: {{ listen: \"{address}\", token: {token} }}\n{rest}"
    ))
}

/// Long enough that no retry comes by itself within a test.
const NEVER: Duration = Duration::from_hours(1);

//! Looking: lists, filters, pages, and one event with its attempts.

use super::{all_ids, config, event, get, ids, send, wait_for_state};
use crate::support::{App, Behaviour, Request, gate::Home, sender::Connection, wait_until};
use serde_json::{Value, json};
use std::collections::HashSet;

#[test]
fn pages_show_every_event_once_newest_first() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let mut connection = Connection::open(gate.public);
    let mut sent: Vec<String> = (0..450)
        .map(|n| connection.send(&event("erp", n, "order.created")).id())
        .collect();
    sent.reverse();
    for query in [
        "limit=200",
        "limit=49",
        "source=erp&limit=50",
        "type=order.*&limit=113",
    ] {
        assert_eq!(all_ids(&gate, query), sent, "{query}");
    }
    assert_eq!(
        ids(&get(&gate, "/events")).len(),
        50,
        "a page without a limit"
    );
    // A list goes on although events come meanwhile: none of them is shown, none of the others lost.
    let first = get(&gate, "/events?limit=100");
    let cursor = first["cursor"].as_str().expect("there is more");
    for n in 450..470 {
        connection.send(&event("erp", n, "order.created")).id();
    }
    let second = get(&gate, &format!("/events?limit=100&cursor={cursor}"));
    assert_eq!([ids(&first), ids(&second)].concat(), sent[..200]);
}

#[test]
fn filters_mean_what_they_say() {
    let app = App::start();
    app.choose(|got| {
        let body = String::from_utf8_lossy(&got.body).into_owned();
        Behaviour::Status(if body.contains("bad") { 500 } else { 200 })
    });
    let home = Home::new(&config(&app));
    let gate = home.start();
    let good = send(&gate, "erp", 1, "order.created");
    let bad = send(&gate, "erp", 2, "order.bad");
    let shop = send(&gate, "shop", 3, "cart.filled");
    for (id, target, state) in [
        (&good, "app", "delivered"),
        (&bad, "app", "dead"),
        (&shop, "app", "delivered"),
        (&shop, "other", "delivered"),
    ] {
        wait_for_state(&gate, id, target, state);
    }
    let shown = get(&gate, &format!("/events/{good}"));
    let key = shown["key"].as_str().expect("a key").to_owned();
    let received = shown["received_at"].as_str().expect("a time").to_owned();
    let all: HashSet<&String> = [&good, &bad, &shop].into();
    let cases: [(String, &[&String]); 17] = [
        (String::new(), &[&good, &bad, &shop]),
        ("source=erp".into(), &[&good, &bad]),
        ("target=other".into(), &[&shop]),
        ("type=order.*".into(), &[&good, &bad]),
        ("type=*.filled".into(), &[&shop]),
        ("type=order".into(), &[]),
        ("state=dead".into(), &[&bad]),
        ("state=delivered".into(), &[&good, &shop]),
        ("state=pending".into(), &[]),
        ("state=delivered&target=other".into(), &[&shop]),
        (format!("id={bad}"), &[&bad]),
        ("id=0197c2d4-6a5e-7abc-8def-0123456789ab".into(), &[]),
        (format!("key={key}"), &[&good]),
        ("vendor_id=evt_1".into(), &[&good]),
        ("vendor_id=cart.filled&vendor_id=evt_3".into(), &[&shop]),
        ("from=1h".into(), &[&good, &bad, &shop]),
        ("to=1h".into(), &[]),
    ];
    for (query, expected) in cases {
        let found = all_ids(&gate, &query);
        let found: HashSet<&String> = found.iter().collect();
        let expected: HashSet<&String> = expected.iter().copied().collect();
        assert_eq!(found, expected, "{query} of {all:?}");
    }
    let since = all_ids(&gate, &format!("from={received}&to=2999-01-01T00:00:00Z"));
    assert_eq!(since.len(), 3, "the first is among them");
    let unknown = gate.admin_get("/api/v1/events?source=epr");
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(unknown.body.contains("did you mean erp?"), "{unknown:?}");
}

/// A key whose memory is over is still found, by looking through what is kept.
#[test]
fn a_forgotten_key_is_looked_for() {
    let app = App::start();
    let text = config(&app).replace(
        "event: { id: json:/id",
        "dedupe: { window: 50ms }, event: { id: json:/id",
    );
    let home = Home::new(&text);
    let gate = home.start();
    let id = send(&gate, "erp", 1, "a");
    wait_until("its key is forgotten", || {
        gate.metric("hookgate_dedupe_keys{source=\"erp\"}") == 0.0
    });
    assert_eq!(all_ids(&gate, "vendor_id=evt_1"), [id]);
    assert!(all_ids(&gate, "vendor_id=evt_2").is_empty());
}

#[test]
fn one_event_is_shown_with_every_attempt_and_without_a_secret() {
    let app = App::start();
    let text = config(&app).replace("give_up_after: 0s", "give_up_after: 1h");
    let home = Home::new(&text);
    let gate = home.start();
    app.choose(|got| {
        if got.header("hookgate-attempt") == "1" {
            Behaviour::Raw(b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nnot me".to_vec())
        } else {
            Behaviour::Status(204)
        }
    });
    let request = Request::new("/hooks/keyed", b"\xff\x00binary".to_vec())
        .header("X-Token", "a-secret-token")
        .header("X-Other", "1");
    let id = gate.send(&request).id();
    wait_for_state(&gate, &id, "app", "delivered");
    let shown = get(&gate, &format!("/events/{id}"));
    assert_eq!(shown["source"], "keyed");
    assert_eq!(shown["body_encoding"], "base64");
    assert_eq!(shown["body"], "/wBiaW5hcnk=");
    assert_eq!(shown["body_bytes"], 8);
    assert_eq!(shown["damaged"], false);
    let headers = shown["headers"].as_array().expect("a list");
    let named = |name: &str| headers.iter().find(|header| header["name"] == name);
    assert_eq!(named("x-other").expect("kept")["value"], "1");
    let token = named("x-token").expect("its name is kept");
    assert_eq!(token["value"], Value::Null);
    assert!(token["secret"].is_string(), "{token}");
    assert!(!shown.to_string().contains("a-secret-token"), "{shown}");
    let attempts = shown["attempts"].as_array().expect("a list");
    let seen: Vec<Value> = attempts
        .iter()
        .map(|a| {
            json!([
                a["target"],
                a["attempt"],
                a["replay"],
                a["status"],
                a["answer"]
            ])
        })
        .collect();
    assert_eq!(
        seen,
        [
            json!(["app", 1, 0, 500, "not me"]),
            json!(["app", 2, 0, 204, ""])
        ],
        "{attempts:?}"
    );
}

#[test]
fn sources_and_targets_are_counted() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    for n in 0..3 {
        send(&gate, "erp", n, "a");
    }
    assert!(gate.send(&event("erp", 0, "a")).is_duplicate());
    assert_eq!(gate.send(&Request::new("/hooks/keyed", "{}")).status, 401);
    app.wait_for(3);
    let sources = get(&gate, "/sources");
    let named = |name: &str| -> Value {
        let sources = sources["sources"].as_array().expect("a list");
        let found = sources.iter().find(|source| source["name"] == name);
        found.expect("configured").clone()
    };
    let erp = named("erp");
    assert_eq!(erp["totals"]["accepted"], 3, "{erp}");
    assert_eq!(erp["totals"]["duplicate"], 1, "{erp}");
    assert!(erp["last_event"].is_string(), "{erp}");
    assert!(
        erp["rates"]["accepted"].as_f64().expect("a number") > 0.0,
        "{erp}"
    );
    let keyed = named("keyed");
    assert_eq!(keyed["rejects"]["missing_signature"], 1, "{keyed}");
    assert_eq!(keyed["last_event"], Value::Null, "{keyed}");
    let targets = get(&gate, "/targets");
    let names: Vec<&Value> = targets["targets"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|target| &target["name"])
        .collect();
    assert_eq!(names, ["app", "other"], "{targets}");
}

#[test]
fn history_outlives_what_was_delivered() {
    let app = App::start();
    let text = format!(
        "store: {{ path: ./data, min_free: 1MiB, history: 720h }}\n{}",
        config(&app)
    );
    let home = Home::new(&text);
    let gate = home.start();
    let id = send(&gate, "erp", 7, "a");
    wait_for_state(&gate, &id, "app", "delivered");
    for query in [
        format!("id={id}"),
        "vendor_id=evt_7".to_owned(),
        "source=erp".to_owned(),
    ] {
        let history = get(&gate, &format!("/history?{query}"));
        assert_eq!(history["enabled"], true);
        let event = &history["events"][0];
        assert_eq!(event["id"], id, "{query}: {history}");
        assert_eq!(event["vendor_id"], "evt_7");
        assert_eq!(event["handed"][0]["target"], "app");
        assert_eq!(event["handed"][0]["outcome"], "delivered");
        assert_eq!(event["handed"][0]["status"], 200);
    }
    assert_eq!(get(&gate, "/history?vendor_id=evt_8")["events"], json!([]));
}

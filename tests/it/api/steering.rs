//! Steering: replays, discards, pauses and retries, one and many.

use super::{all_ids, config, get, post, send, wait_for_state};
use crate::support::{App, Behaviour, gate::Home, sender::Connection, wait_until};
use serde_json::{Value, json};

#[test]
fn a_replay_keeps_id_and_key_and_counts() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let id = send(&gate, "erp", 1, "a");
    wait_for_state(&gate, &id, "app", "delivered");
    for replay in 1..=2 {
        let answer = post(&gate, &format!("/events/{id}/replay"), &json!({}));
        assert_eq!(answer, json!({ "id": id, "deliveries": 1 }));
        app.wait_for(1 + replay);
        wait_for_state(&gate, &id, "app", "delivered");
    }
    let got = app.got();
    assert!(!got[0].has("hookgate-replay"));
    for (n, replayed) in got[1..].iter().enumerate() {
        assert_eq!(replayed.header("hookgate-replay"), (n + 1).to_string());
        assert_eq!(replayed.header("hookgate-event-id"), id);
        let key = got[0].header("hookgate-dedupe-key");
        assert_eq!(replayed.header("hookgate-dedupe-key"), key);
        assert_eq!(replayed.body, got[0].body);
        assert_eq!(replayed.header("hookgate-attempt"), "1");
    }
    assert_eq!(get(&gate, &format!("/events/{id}"))["replays"], 2);
    wait_until("both are in the log", || {
        gate.log().matches("admin.replay").count() == 2
    });
}

#[test]
fn a_replay_goes_to_another_target_to_a_url_or_as_another_event() {
    let app = App::start();
    let elsewhere = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let id = send(&gate, "erp", 1, "a");
    wait_for_state(&gate, &id, "app", "delivered");
    let key = app.got()[0].header("hookgate-dedupe-key").to_owned();
    let path = format!("/events/{id}/replay");

    post(&gate, &path, &json!({ "to": "other" }));
    wait_for_state(&gate, &id, "other", "delivered");
    let got = app.wait_for(2).remove(1);
    assert_eq!(
        (got.target.as_str(), got.header("hookgate-event-id")),
        ("/webhooks/other", &*id)
    );

    let attempted = post(&gate, &path, &json!({ "to": elsewhere.url() }));
    assert_eq!(attempted["delivered"], true, "{attempted}");
    assert_eq!(attempted["status"], 200);
    assert_eq!(elsewhere.got()[0].header("hookgate-event-id"), id);
    elsewhere.behave(Behaviour::Raw(
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno".to_vec(),
    ));
    let attempted = post(&gate, &path, &json!({ "to": elsewhere.url() }));
    assert_eq!(attempted["delivered"], false, "{attempted}");
    assert_eq!(attempted["answer"], "no");

    let copied = post(&gate, &path, &json!({ "new_id": true }));
    assert_eq!(copied["copy_of"], id);
    let copy = copied["id"].as_str().expect("an id");
    assert_ne!(copy, id);
    wait_for_state(&gate, copy, "app", "delivered");
    let got = app.wait_for(3).remove(2);
    assert_eq!(got.header("hookgate-event-id"), copy);
    assert_ne!(got.header("hookgate-dedupe-key"), key);

    for (to, status, says) in [
        ("othre", 404, "did you mean other?"),
        ("ftp://a/", 400, "http"),
        ("http://", 400, "URL"),
    ] {
        let refused = gate.admin_post(&format!("/api/v1{path}"), &json!({ "to": to }));
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(refused.body.contains(says), "{refused:?}");
    }
}

#[test]
fn a_dead_letter_is_replayed_or_discarded() {
    let app = App::start();
    app.behave(Behaviour::Status(422));
    let home = Home::new(&config(&app));
    let gate = home.start();
    let (first, second) = (send(&gate, "erp", 1, "a"), send(&gate, "erp", 2, "a"));
    for id in [&first, &second] {
        wait_for_state(&gate, id, "app", "dead");
    }
    app.behave(Behaviour::Status(200));
    post(&gate, &format!("/events/{first}/replay"), &json!({}));
    wait_for_state(&gate, &first, "app", "delivered");
    let discarded = post(&gate, &format!("/events/{second}/discard"), &json!({}));
    assert_eq!(
        discarded,
        json!({ "id": second, "deliveries": 1, "discarded": 0, "forgotten": 1 })
    );
    assert!(all_ids(&gate, "state=dead").is_empty());
    assert_eq!(gate.metric("hookgate_dead_letters{target=\"app\"}"), 0.0);
    let again = gate.admin_post(&format!("/api/v1/events/{second}/discard"), &json!({}));
    assert!(matches!(again.status, 404 | 409), "{again:?}");
}

/// The same command twice must not delete what a replay could still deliver.
#[test]
fn what_was_discarded_is_forgotten_only_if_that_is_asked_for() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    post(&gate, "/targets/app/pause", &json!({}));
    let id = send(&gate, "erp", 1, "a");
    let path = format!("/events/{id}/discard");
    let buried = json!({ "id": id, "deliveries": 1, "discarded": 1, "forgotten": 0 });
    assert_eq!(post(&gate, &path, &json!({})), buried);
    let again = gate.admin_post(&format!("/api/v1{path}"), &json!({}));
    assert_eq!(again.status, 409, "{again:?}");
    assert!(again.body.contains("it is discarded already"), "{again:?}");
    let dead = json!({ "filter": { "state": "dead" } });
    for dry_run in [true, false] {
        let mut body = dead.clone();
        body["dry_run"] = dry_run.into();
        let many = post(&gate, "/events/discard", &body);
        assert_eq!(
            (&many["events"], &many["forgotten"]),
            (&json!(0), &json!(0))
        );
        assert!(many["skipped"].to_string().contains("already"), "{many}");
    }
    assert_eq!(all_ids(&gate, "state=dead"), [id.as_str()]);

    post(&gate, &format!("/events/{id}/replay"), &json!({}));
    assert_eq!(
        post(&gate, &path, &json!({})),
        buried,
        "it waited once more"
    );
    let mut forget = dead;
    forget["forget"] = true.into();
    for dry_run in [true, false] {
        forget["dry_run"] = dry_run.into();
        let many = post(&gate, "/events/discard", &forget);
        assert_eq!(
            (&many["events"], &many["discarded"], &many["forgotten"]),
            (&json!(1), &json!(0), &json!(1)),
            "{many}"
        );
    }
    assert_eq!(gate.admin_get(&format!("/api/v1/events/{id}")).status, 404);
    assert!(app.got().is_empty());
}

/// Its number and its store are right, but it was received at another time: that is another event, such as one from
/// before a backup was restored.
#[test]
fn an_id_with_another_time_is_nobody_s() {
    let app = App::start();
    let text = format!(
        "store: {{ path: ./data, min_free: 1MiB, history: 720h }}\n{}",
        config(&app)
    );
    let home = Home::new(&text);
    let gate = home.start();
    let id = send(&gate, "erp", 1, "a");
    wait_for_state(&gate, &id, "app", "delivered");
    // The last digit of the milliseconds.
    let last = if &id[12..13] == "0" { "1" } else { "0" };
    let other = format!("{}{last}{}", &id[..12], &id[13..]);
    let shown = gate.admin_get(&format!("/api/v1/events/{other}"));
    assert_eq!(shown.status, 404, "{shown:?}");
    for (what, body) in [
        ("replay", json!({})),
        ("replay", json!({ "new_id": true })),
        ("replay", json!({ "to": app.url() })),
        ("discard", json!({})),
        ("discard", json!({ "forget": true })),
    ] {
        let reply = gate.admin_post(&format!("/api/v1/events/{other}/{what}"), &body);
        assert_eq!(reply.status, 404, "{what} {body}: {reply:?}");
    }
    for list in ["events", "history"] {
        let found = get(&gate, &format!("/{list}?id={other}"));
        assert_eq!(found["events"], json!([]), "{list}");
        let found = get(&gate, &format!("/{list}?id={}", id.to_uppercase()));
        assert_eq!(found["events"][0]["id"], id, "{list}: in any case");
    }
    let many = json!({ "filter": { "id": other } });
    for what in ["replay", "discard"] {
        assert_eq!(post(&gate, &format!("/events/{what}"), &many)["events"], 0);
    }
    let upper = id.to_uppercase();
    assert_eq!(get(&gate, &format!("/events/{upper}"))["replays"], 0);
    assert_eq!(app.got().len(), 1);
}

#[test]
fn many_are_counted_first_and_done_page_by_page() {
    let app = App::start();
    app.behave(Behaviour::Status(422));
    let home = Home::new(&config(&app));
    let gate = home.start();
    let mut connection = Connection::open(gate.public);
    let sent: Vec<String> = (0..35)
        .map(|n| connection.send(&super::event("erp", n, "a")).id())
        .collect();
    wait_until("all are dead", || {
        gate.metric("hookgate_dead_letters{target=\"app\"}") == 35.0
    });
    app.behave(Behaviour::Status(200));
    let before = app.count();
    let run = |dry_run: bool, cursor: &Value| {
        let mut body = json!({ "filter": { "state": "dead", "target": "app" }, "limit": 10, "dry_run": dry_run });
        if cursor.is_string() {
            body["cursor"] = cursor.clone();
        }
        post(&gate, "/events/replay", &body)
    };
    let pages = |dry_run: bool| -> Vec<u64> {
        let mut cursor = Value::Null;
        let mut pages = Vec::new();
        loop {
            let answer = run(dry_run, &cursor);
            assert_eq!(answer["events"], answer["deliveries"], "{answer}");
            pages.push(answer["events"].as_u64().expect("a number"));
            cursor = answer["cursor"].clone();
            if cursor.is_null() {
                return pages;
            }
        }
    };
    assert_eq!(pages(true).iter().sum::<u64>(), 35);
    assert_eq!(app.count(), before, "counting does nothing");
    // Interrupted after its first page, and gone on with.
    let first = run(false, &Value::Null);
    assert_eq!(first["events"], 10);
    let mut cursor = first["cursor"].clone();
    let mut done = 10;
    while cursor.is_string() {
        let answer = run(false, &cursor);
        done += answer["events"].as_u64().expect("a number");
        cursor = answer["cursor"].clone();
    }
    assert_eq!(done, 35);
    let got = app.wait_for(before + 35);
    let mut replayed: Vec<&str> = got[before..]
        .iter()
        .map(|got| got.header("hookgate-event-id"))
        .collect();
    replayed.sort_unstable();
    assert_eq!(replayed, sent, "each once");
    wait_until("none is dead", || all_ids(&gate, "state=dead").is_empty());
    assert_eq!(pages(true), [0]);
}

#[test]
fn many_are_discarded() {
    let app = App::start();
    app.behave(Behaviour::Status(422));
    let home = Home::new(&config(&app));
    let gate = home.start();
    for n in 0..12 {
        send(&gate, "shop", n, "a");
    }
    wait_until("all are dead", || {
        ["app", "other"].iter().all(|target| {
            gate.metric(&format!("hookgate_dead_letters{{target=\"{target}\"}}")) == 12.0
        })
    });
    let filter = json!({ "filter": { "target": "other" } });
    let discarded = post(&gate, "/events/discard", &filter);
    assert_eq!(
        (&discarded["events"], &discarded["deliveries"]),
        (&json!(12), &json!(12))
    );
    wait_until("they are forgotten", || {
        gate.metric("hookgate_dead_letters{target=\"other\"}") == 0.0
    });
    assert_eq!(gate.metric("hookgate_dead_letters{target=\"app\"}"), 12.0);
    assert_eq!(all_ids(&gate, "state=dead&target=app").len(), 12);
}

#[test]
fn a_pause_holds_events_and_survives_a_restart() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let paused = post(&gate, "/targets/app/pause", &json!({}));
    assert_eq!(
        (&paused["paused"], &paused["state"]),
        (&json!(true), &json!("paused")),
        "{paused}"
    );
    let id = send(&gate, "erp", 1, "a");
    // What another target gets shows that deliveries go on: this one would have been attempted by then.
    send(&gate, "shop", 2, "b");
    app.wait_for(1);
    assert_eq!(
        gate.metric("hookgate_pending_deliveries{target=\"app\"}"),
        2.0
    );
    gate.kill();

    let gate = home.start();
    assert_eq!(
        gate.metric("hookgate_target_state{target=\"app\",state=\"paused\"}"),
        1.0
    );
    send(&gate, "shop", 3, "b");
    app.wait_for(2);
    assert!(
        app.got().iter().all(|got| got.target == "/webhooks/other"),
        "{:?}",
        app.got()
    );
    post(&gate, "/targets/app/resume", &json!({}));
    wait_for_state(&gate, &id, "app", "delivered");
    gate.said("admin.resume");
    assert!(
        !gate.log().contains("admin.pause"),
        "each in the log of its own run"
    );
}

#[test]
fn after_an_outage_what_waits_is_tried_now() {
    let mut app = App::start();
    let hour = format!("{}s", super::NEVER.as_secs());
    let text = config(&app).replace(
        "first: 20ms, max: 50ms, give_up_after: 0s",
        &format!("first: {hour}, max: {hour}"),
    );
    let home = Home::new(&text);
    let gate = home.start();
    app.go_down();
    let sent: Vec<String> = (0..5).map(|n| send(&gate, "erp", n, "a")).collect();
    wait_until("an attempt has failed", || {
        gate.metric("hookgate_attempts_total{target=\"app\",outcome=\"failed\",reason=\"connect\"}")
            >= 1.0
    });
    app.come_back();
    wait_until("each was tried now", || {
        post(&gate, "/targets/app/retry", &json!({}));
        app.count() >= sent.len()
    });
    for id in &sent {
        wait_for_state(&gate, id, "app", "delivered");
    }
}

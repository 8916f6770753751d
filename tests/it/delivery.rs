//! Towards the app: what it sees, and every way in which it can misbehave.

use crate::support::{
    App, Behaviour, Gate, Request, eventually, gate::Home, hmac_sha256_hex, sender::Connection,
    wait_until,
};
use std::collections::HashSet;
use std::time::{Duration, Instant};

fn home(app: &App, target: &str) -> Home {
    Home::new(&format!(
        "sources:\n  open:\n    verify: none\n    event: {{ type: json:/event }}\n    forward: app\ntargets:\n  app: {{ url: \"{}?from=gate\", {target} }}\n",
        app.url()
    ))
}

fn event(n: usize) -> Request {
    Request::new(
        "/hooks/open",
        format!(r#"{{"event":"order.created","n":{n}}}"#),
    )
}

fn n_of(body: &[u8]) -> usize {
    let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    usize::try_from(body["n"].as_u64().expect("a number")).expect("small")
}

fn pending(gate: &Gate) -> f64 {
    gate.metric(r#"hookgate_pending_deliveries{target="app"}"#)
}

const QUICK: &str = "retry: { first: 20ms, max: 100ms }";

/// How long an idle connection to the app may be used again.
const REUSE_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn the_app_sees_the_original_and_the_headers_of_the_contract() {
    let app = App::start();
    let home = home(
        &app,
        "sign: { secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw }",
    );
    let gate = home.start();
    let body = b"{\"event\":\"caf\xc3\xa9 opened\",\"bytes\":\"as \\u0041 sent\" }\n".to_vec();
    let request = Request::new("/hooks/open", body.clone())
        .header("Content-Type", "application/json; charset=utf-8")
        .header("User-Agent", "Vendor/1.0")
        .header("X-Signature", "kept")
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("Connection", "keep-alive, X-Hop")
        .header("X-Hop", "dropped")
        .header("X-Forwarded-For", "6.6.6.6")
        .header("Forwarded", "for=6.6.6.6")
        .header("Hookgate-Event-Id", "forged")
        .header("hookgate_dedupe_key", "forged")
        .header("webhook-id", "forged");
    let id = gate.send(&request).id();
    let got = &app.wait_for(1)[0];
    assert_eq!(got.target, "/webhooks?from=gate");
    assert_eq!(got.body, body, "byte for byte");
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("user-agent", "Vendor/1.0"),
        ("x-signature", "kept"),
        ("hookgate-event-id", &id),
        ("hookgate-source", "open"),
        ("hookgate-event-type", "caf%C3%A9 opened"),
        ("hookgate-attempt", "1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("webhook-id", &id),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    assert_eq!(got.headers["x-twice"], ["one", "two"]);
    for name in ["x-hop", "forwarded", "hookgate_dedupe_key", "expect"] {
        assert!(!got.has(name), "{name}");
    }
    assert_eq!(
        got.header("host"),
        app.url().split('/').nth(2).expect("host and port")
    );
    let received: jiff::Timestamp = got
        .header("hookgate-received-at")
        .parse()
        .expect("RFC 3339");
    assert!((jiff::Timestamp::now() - received).get_seconds() < 60);
    assert_eq!(
        got.header("traceparent")
            .split('-')
            .map(str::len)
            .collect::<Vec<_>>(),
        [2, 32, 16, 2]
    );
    assert_eq!(got.header("hookgate-dedupe-key").len(), 64);
    // Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over id, timestamp and body.
    let signed = [
        id.as_bytes(),
        b".",
        got.header("webhook-timestamp").as_bytes(),
        b".",
        &body,
    ]
    .concat();
    let key = base64::Engine::decode(
        &base64::prelude::BASE64_STANDARD,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )
    .expect("base64");
    let mac = {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("any length");
        mac.update(&signed);
        mac.finalize().into_bytes()
    };
    let expected = format!(
        "v1,{}",
        base64::Engine::encode(&base64::prelude::BASE64_STANDARD, mac)
    );
    assert_eq!(got.header("webhook-signature"), expected);
}

#[test]
fn every_kind_of_failure_is_retried_until_the_app_takes_the_event() {
    let answer = |text: &str| Behaviour::RawThenClose(text.as_bytes().to_vec());
    let failures = [
        ("500", Behaviour::Status(500), "5xx"),
        ("400", Behaviour::Status(400), "4xx"),
        (
            "redirect",
            Behaviour::Raw(
                b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            "3xx",
        ),
        ("hangs", Behaviour::Hang, "timeout"),
        ("closes", Behaviour::Close, "closed"),
        (
            "closes mid-head",
            answer("HTTP/1.1 200 OK\r\nContent-Le"),
            "closed",
        ),
        (
            "closes mid-body",
            answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
            "closed",
        ),
        ("no HTTP", answer("hello\r\n\r\n"), "closed"),
    ];
    for (name, behaviour, reason) in failures {
        let app = App::start();
        // What is answered is not to be late on a busy machine.
        let timeout = if name == "hangs" { "1s" } else { "20s" };
        let home = home(&app, &format!("timeout: {timeout}, {QUICK}"));
        app.behave(behaviour);
        let gate = home.start();
        let id = gate.send(&event(1)).id();
        app.wait_for(3);
        wait_until(&format!("{name} is counted"), || {
            gate.metric(&format!(
                r#"hookgate_attempts_total{{target="app",outcome="failed",reason="{reason}"}}"#
            )) >= 2.0
        });
        app.behave(Behaviour::Status(204));
        wait_until(&format!("{name}: delivered at last"), || {
            pending(&gate) == 0.0
        });
        let got = app.got();
        let attempts: Vec<usize> = got
            .iter()
            .map(|got| got.header("hookgate-attempt").parse().expect("a number"))
            .collect();
        assert!(
            attempts.is_sorted() && attempts[0] == 1 && attempts.len() >= 3,
            "{name}: {attempts:?}"
        );
        for got in &got {
            assert_eq!(
                got.target, "/webhooks?from=gate",
                "{name}: a redirect is not followed"
            );
            assert_eq!(
                (got.header("hookgate-event-id"), got.body.as_slice()),
                (id.as_str(), event(1).body.as_slice()),
                "{name}"
            );
        }
    }
}

#[test]
fn an_endless_answer_is_cut_and_counts_by_its_status() {
    let app = App::start();
    let home = home(&app, &format!("timeout: 5s, {QUICK}"));
    app.behave(Behaviour::Endless);
    let gate = home.start();
    gate.send(&event(1));
    wait_until("a 2xx is taken, whatever follows", || {
        gate.metric(r#"hookgate_attempts_total{target="app",outcome="delivered",reason="2xx"}"#)
            == 1.0
    });
    wait_until("it is settled", || pending(&gate) == 0.0);
}

#[test]
fn an_app_that_is_down_gets_everything_when_it_is_back_also_after_a_restart() {
    let mut app = App::start();
    let home = home(&app, QUICK);
    let gate = home.start();
    app.go_down();
    for n in 0..50 {
        assert_eq!(
            gate.send(&event(n)).status,
            200,
            "the sender does not notice"
        );
    }
    wait_until("the target is seen to be down", || {
        gate.metric(r#"hookgate_target_state{target="app",state="open"}"#) == 1.0
    });
    wait_until("all of them wait", || pending(&gate) == 50.0);
    gate.kill();
    let gate = home.start();
    wait_until("what waits is known again", || pending(&gate) == 50.0);
    app.come_back();
    wait_until("everything is delivered", || pending(&gate) == 0.0);
    let got: HashSet<usize> = app.got().iter().map(|got| n_of(&got.body)).collect();
    assert_eq!(got, (0..50).collect());
    assert!(gate.metric(r#"hookgate_delivery_delay_seconds_count{target="app"}"#) >= 50.0);
}

#[test]
fn two_thousand_refused_events_do_not_hold_up_the_next() {
    let app = App::start();
    app.choose(|got| Behaviour::Status(if n_of(&got.body) < 2_000 { 500 } else { 200 }));
    // Retries as dense as the configuration allows: the poisoned events are always due.
    let home = home(
        &app,
        "concurrency: 8, breaker: off, retry: { first: 1ms, max: 5ms }",
    );
    let gate = home.start();
    let mut connection = Connection::open(gate.public);
    for n in 0..2_000 {
        assert_eq!(connection.send(&event(n)).status, 200);
    }
    wait_until("they fail", || app.count() > 2_000);
    assert_eq!(connection.send(&event(2_000)).status, 200);
    wait_until("the last one gets through", || {
        app.got().iter().any(|got| n_of(&got.body) == 2_000)
    });
    wait_until("it is settled", || pending(&gate) == 2_000.0);
    let dead = gate.metric(r#"hookgate_dead_letters{target="app"}"#);
    assert_eq!(dead, 0.0, "none of the others is given up");
}

#[test]
fn retry_after_is_a_floor_and_give_up_after_ends_in_a_dead_letter() {
    let app = App::start();
    app.behave(Behaviour::Raw(
        b"HTTP/1.1 429 Slow down\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let home = home(
        &app,
        "retry: { first: 1ms, max: 5s, give_up_after: 2500ms }",
    );
    let gate = home.start();
    let start = Instant::now();
    let id = gate.send(&event(1)).id();
    app.wait_for(2);
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "not before Retry-After"
    );
    wait_until("it is given up", || {
        gate.metric(r#"hookgate_dead_letters_total{target="app",reason="expired"}"#) == 1.0
    });
    assert!(
        start.elapsed() >= Duration::from_millis(2_500),
        "not before give_up_after"
    );
    assert_eq!(gate.metric(r#"hookgate_dead_letters{target="app"}"#), 1.0);
    assert_eq!(pending(&gate), 0.0);
    wait_until("the audit line", || {
        gate.log()
            .lines()
            .any(|line| line.contains("event.dead") && line.contains(&id))
    });
    // A dead letter's key is remembered: its sender does not bring it back.
    assert!(gate.send(&event(1)).is_duplicate());
}

#[test]
fn targets_progress_independently_and_each_gets_what_its_route_wants() {
    let orders = App::start();
    let audit = App::start();
    let home = Home::new(&format!(
        "sources:\n  shop:\n    verify: none\n    event: {{ type: json:/event }}\n    forward:\n      - {{ to: orders, events: [\"order.*\", \"!order.draft\"] }}\n      - {{ to: audit }}\n  \
         chat:\n    verify: none\n    event: {{ type: json:/event }}\n    forward: [{{ to: audit, events: [message_*] }}]\n\
         targets:\n  orders: {{ url: {}, {QUICK} }}\n  audit: {{ url: {}, {QUICK} }}\n",
        orders.url(),
        audit.url()
    ));
    let gate = home.start();
    orders.behave(Behaviour::Status(503));
    let send = |path: &str, body: &str| gate.send(&Request::new(path, body));
    assert!(
        !send("/hooks/shop", r#"{"event":"order.created"}"#)
            .id()
            .is_empty()
    );
    assert!(
        !send("/hooks/shop", r#"{"event":"order.draft"}"#)
            .id()
            .is_empty()
    );
    assert!(
        !send("/hooks/shop", "no JSON, so of unknown type")
            .id()
            .is_empty()
    );
    assert!(
        !send("/hooks/chat", r#"{"event":"message_created"}"#)
            .id()
            .is_empty()
    );
    let ignored = send("/hooks/chat", r#"{"event":"typing"}"#);
    assert_eq!(
        (ignored.status, ignored.body.as_str()),
        (200, r#"{"received":true,"ignored":true}"#)
    );
    assert_eq!(
        gate.metric(r#"hookgate_events_total{source="chat",result="ignored"}"#),
        1.0
    );
    assert_eq!(
        send("/hooks/chat", r#"{"event":"typing"}"#).body,
        ignored.body,
        "what is ignored is not remembered"
    );
    assert_eq!(audit.wait_for(4).len(), 4, "audit does not wait for orders");
    orders.wait_for(2);
    orders.behave(Behaviour::Status(200));
    wait_until("orders has its one event", || {
        gate.metric(r#"hookgate_pending_deliveries{target="orders"}"#) == 0.0
    });
    assert!(
        orders
            .got()
            .iter()
            .all(|got| got.header("hookgate-event-type") == "order.created")
    );
    assert_eq!(audit.count(), 4);
}

#[test]
fn a_removed_target_keeps_its_events_and_a_replacing_one_takes_them() {
    let mut old = App::start();
    let new = App::start();
    let config = |targets: &str, forward: &str| {
        format!("sources:\n  open: {{ verify: none, forward: {forward} }}\ntargets:\n{targets}")
    };
    let home = Home::new(&config(
        &format!("  old: {{ url: {}, {QUICK} }}\n", old.url()),
        "old",
    ));
    let gate = home.start();
    old.go_down();
    for n in 0..5 {
        assert_eq!(gate.send(&event(n)).status, 200);
    }
    assert!(gate.stop().0.success());
    // Removed: nothing is lost, and it is said.
    home.configure(&config(
        &format!("  other: {{ url: {} }}\n", new.url()),
        "other",
    ));
    let gate = home.start();
    assert!(
        gate.log().contains("no longer configured"),
        "{}",
        gate.log()
    );
    assert_eq!(
        gate.metric(r#"hookgate_pending_deliveries{target="old"}"#),
        5.0
    );
    assert!(gate.stop().0.success());
    // Replaced: the new one takes them over.
    home.configure(&config(
        &format!("  new: {{ url: {}, replaces: old }}\n", new.url()),
        "new",
    ));
    let gate = home.start();
    assert_eq!(new.wait_for(5).len(), 5);
    wait_until("nothing waits", || {
        gate.metric(r#"hookgate_pending_deliveries{target="new"}"#) == 0.0
    });
}

#[test]
fn a_renamed_source_keeps_its_keys() {
    let app = App::start();
    let config = |name: &str, more: &str| {
        format!(
            "sources:\n  {name}: {{ path: /in, verify: none, forward: app{more} }}\ntargets:\n  app: {{ url: {} }}\n",
            app.url()
        )
    };
    let home = Home::new(&config("before", ""));
    let gate = home.start();
    let request = Request::new("/in", r#"{"n":1}"#);
    let id = gate.send(&request).id();
    let key = app.wait_for(1)[0].header("hookgate-dedupe-key").to_owned();
    assert!(gate.stop().0.success());
    home.configure(&config("after", ", replaces: before"));
    let gate = home.start();
    let again = gate.send(&request);
    assert!(again.is_duplicate() && again.id() == id, "{again:?}");
    assert_eq!(gate.send(&Request::new("/in", r#"{"n":2}"#)).status, 200);
    assert_ne!(app.wait_for(2)[1].header("hookgate-dedupe-key"), key);
}

#[test]
fn a_target_that_is_there_takes_over_what_waits_for_another() {
    let mut a = App::start();
    let b = App::start();
    let config = |targets: &str, forward: &str| {
        format!(
            "sources:\n  open: {{ verify: {{ token: {{ header: X-Token }} }}, secret: s3cret, forward: {forward} }}\ntargets:\n{targets}"
        )
    };
    let only_b = |more: &str| {
        config(
            &format!("  b: {{ url: {}, {QUICK}{more} }}\n", b.url()),
            "b",
        )
    };
    let home = Home::new(&config(
        &format!(
            "  a: {{ url: {}, {QUICK} }}\n  b: {{ url: {} }}\n",
            a.url(),
            b.url()
        ),
        "[a]",
    ));
    let gate = home.start();
    a.go_down();
    for n in 0..5 {
        let request = event(n).header("X-Token", "s3cret");
        assert_eq!(gate.send(&request).status, 200);
    }
    assert!(gate.stop().0.success());
    home.configure(&only_b(""));
    let gate = home.start();
    assert!(gate.log().contains("`replaces: a`"), "{}", gate.log());
    assert!(gate.stop().0.success());
    // As the log recommends.
    home.configure(&only_b(", replaces: a"));
    let gate = home.start();
    let got = b.wait_for(5);
    assert!(got.iter().all(|got| got.header("x-token") == "s3cret"));
    wait_until("nothing waits", || {
        gate.metric(r#"hookgate_pending_deliveries{target="b"}"#) == 0.0
    });
}

#[test]
fn keys_of_a_source_that_was_left_out_for_a_while_are_still_known() {
    let app = App::start();
    let config = |sources: &[(&str, &str)]| {
        let sources: String = sources
            .iter()
            .map(|(name, more)| {
                format!("  {name}: {{ path: /{name}, verify: none, forward: app{more} }}\n")
            })
            .collect();
        format!(
            "sources:\n{sources}targets:\n  app: {{ url: {} }}\n",
            app.url()
        )
    };
    let both = config(&[("a", ""), ("b", "")]);
    let home = Home::new(&both);
    let to = |path: &str| Request::new(path, r#"{"n":1}"#);
    let gate = home.start();
    let id = gate.send(&to("/a")).id();
    assert!(gate.stop().0.success());
    let known_at = |config: &str, path: &str| {
        home.configure(config);
        let gate = home.start();
        let again = gate.send(&to(path));
        assert!(again.is_duplicate() && again.id() == id, "{again:?}");
        assert!(gate.stop().0.success());
    };
    let without = || {
        home.configure(&config(&[("b", "")]));
        assert!(home.start().stop().0.success());
    };
    without();
    known_at(&both, "/a");
    without();
    // A source that has been there is the heir, too.
    known_at(&config(&[("b", ", replaces: a")]), "/b");
}

#[test]
fn what_dies_at_a_removed_target_is_counted_and_said() {
    let mut old = App::start();
    let config = |target: &str| {
        format!("sources:\n  open: {{ verify: none, forward: here }}\ntargets:\n  {target}\n")
    };
    let home = Home::new(
        &config(&format!(
            "here: {{ url: {}, retry: {{ first: 20ms, max: 100ms, give_up_after: 4s }} }}",
            old.url()
        ))
        .replace("here", "old"),
    );
    let gate = home.start();
    old.go_down();
    // Without an attempt it is not given up before the target is removed, however late that is.
    let paused = gate.admin_post("/api/v1/targets/old/pause", &serde_json::json!({}));
    assert_eq!(paused.status, 200, "{paused:?}");
    let id = gate.send(&event(1)).id();
    assert!(gate.stop().0.success());
    home.configure(&config(&format!("here: {{ url: {} }}", old.url())));
    let gate = home.start();
    let series =
        |gate: &Gate, name: &str| gate.metric(&format!("hookgate_{name}{{target=\"old\"}}"));
    let removed = r#"hookgate_dead_letters_total{target="old",reason="removed"}"#;
    assert!(gate.metric(removed) == 1.0 || series(&gate, "pending_deliveries") == 1.0);
    // The target's own time, not the default one, and looked at every few seconds.
    wait_until("it is a dead letter", || gate.metric(removed) == 1.0);
    assert_eq!(series(&gate, "pending_deliveries"), 0.0);
    assert_eq!(series(&gate, "dead_letters"), 1.0);
    wait_until("nothing is the oldest", || {
        series(&gate, "oldest_pending_seconds") == 0.0
    });
    let line = gate.said("event.dead");
    for part in [&*id, "\"open\"", "\"old\"", "\"removed\""] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(gate.stop().0.success());
    // Only dead letters are left: they still show.
    let gate = home.start();
    assert_eq!(series(&gate, "dead_letters"), 1.0);
}

#[test]
fn idle_connections_are_reused_and_a_dead_one_is_replaced_within_the_attempt() {
    // With another app where the machine was so busy that the connection may have been too old to be used again.
    let (app, _home, gate) = eventually("four are delivered one soon after the other", || {
        let app = App::start();
        let home = home(&app, "concurrency: 1");
        let gate = home.start();
        let begun = Instant::now();
        for n in 0..3 {
            gate.send(&event(n));
            app.wait_for(n + 1);
        }
        let connections = app.connections();
        // The app closes the kept connection as it gets the next request: the attempt goes on with a fresh one.
        app.choose(|got| {
            if got.connection == 0 {
                Behaviour::Close
            } else {
                Behaviour::Status(200)
            }
        });
        gate.send(&event(3));
        app.wait_for(4);
        (begun.elapsed() < REUSE_WITHIN).then(|| {
            assert_eq!(connections, 1, "one connection for all");
            (app, home, gate)
        })
    });
    // On the kept connection, and on the fresh one.
    let got = app.wait_for(5);
    wait_until("it is delivered", || pending(&gate) == 0.0);
    assert_eq!(
        got.last().expect("some").header("hookgate-attempt"),
        "1",
        "still the first attempt"
    );
    assert_eq!(
        gate.metric(r#"hookgate_attempts_total{target="app",outcome="failed",reason="closed"}"#),
        0.0
    );
}

#[test]
fn delivered_waits_for_the_first_attempt_and_says_how_it_ended() {
    let mut app = App::start();
    let url = app.url();
    let with = |deadline: &str| {
        format!(
            "sources:\n  open: {{ verify: none, forward: app, ack: delivered, ack_deadline: {deadline} }}\n\
             targets:\n  app: {{ url: {url}, {QUICK} }}\n"
        )
    };
    let home = Home::new(&with("20s"));
    let gate = home.start();
    let delivered = |n: usize| gate.send(&event(n)).json()["delivered"].clone();
    assert_eq!(delivered(1), true);
    assert_eq!(app.count(), 1, "the answer came after the attempt");
    app.behave(Behaviour::Status(500));
    assert_eq!(delivered(2), false);
    app.behave(Behaviour::Hang);
    // Within which it has to be stored as well.
    home.configure(&with("5s"));
    gate.reloaded();
    let start = Instant::now();
    assert_eq!(delivered(3), false, "the ack deadline passes");
    assert!(start.elapsed() >= Duration::from_secs(5));
    app.behave(Behaviour::Status(200));
    wait_until("all are delivered at last", || pending(&gate) == 0.0);
    home.configure(&with("20s"));
    gate.reloaded();
    app.go_down();
    // Until the gateway knows, an attempt fails; after that it cannot start. Either way the answer is quick and honest.
    for n in 10..30 {
        assert_eq!(delivered(n), false);
    }
    app.come_back();
    wait_until("all are delivered at last", || pending(&gate) == 0.0);
}

/// `{json_stringify}`: what was signed is another text than what came, so that text is what is stored, keyed and
/// forwarded; the bytes that nobody signed go nowhere.
#[test]
fn a_re_serialised_body_is_forwarded_as_it_was_signed() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  crisp:\n    verify: {{ hmac: {{ header: X-Signature, signed: \"{{json_stringify}}\" }} }}\n    secret: s3cret\n    \
         event: {{ type: json:/event }}\n    forward: app\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    let signed = r#"{"1":"é","event":"order.created","total":199,"big":12345678901234567000}"#;
    let mac = hmac_sha256_hex("s3cret", &[signed.as_bytes()]);
    let spellings = [
        "{ \"event\": \"order.created\",\n \"total\": 199.00, \"big\": 12345678901234567890, \"1\": \"\\u00e9\" }",
        signed,
        "{\"event\":\"order.refunded\",\"total\":1.99e2,\"event\":\"order.created\",\"big\":12345678901234567000,\"1\":\"é\"}",
    ];
    let mut ids = Vec::new();
    for spelling in spellings {
        let request = Request::new("/hooks/crisp", spelling).header("X-Signature", &mac);
        let reply = gate.send(&request);
        assert_eq!(reply.status, 200, "{spelling}: {reply:?}");
        assert_eq!(reply.is_duplicate(), !ids.is_empty(), "{spelling}");
        ids.push(reply.id());
    }
    assert!(
        ids.iter().all(|id| *id == ids[0]),
        "one event, however it is spelled"
    );
    let got = &app.wait_for(1)[0];
    assert_eq!(String::from_utf8_lossy(&got.body), signed);
    assert_eq!(got.header("content-length"), signed.len().to_string());
    assert_eq!(got.header("hookgate-event-type"), "order.created");

    for wrong in [
        "not json",
        "",
        "[1,",
        &spellings[0].replace("199.00", "199.01"),
    ] {
        let request = Request::new("/hooks/crisp", wrong).header("X-Signature", &mac);
        assert_eq!(gate.send(&request).status, 401, "{wrong}");
    }
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let request = Request::new("/hooks/crisp", deep).header("X-Signature", &mac);
    assert_eq!(gate.send(&request).status, 401);
    assert_eq!(app.count(), 1);
}

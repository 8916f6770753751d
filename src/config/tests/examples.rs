//! Both examples of the manual, with each value asserted, and what `check` prints of a configuration.

use super::{accepted, field, secs, signature, target};
use crate::{
    backoff::{Backoff, Schedule},
    config::{
        Ack, Config, WhenFull, summary,
        target::{Breaker, Format},
        verify::{Algorithm, Encoding, Hash, Prefix, TimeFormat, TimePlace},
    },
    extract::KeyExpr,
};
use std::{path::Path, time::Duration};

const EVERYTHING: &str = include_str!("everything.yaml");

/// Replaces the one secret file of the example, which is not there on every machine.
fn everything() -> (Config, Vec<String>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("erp");
    std::fs::write(&file, "new-secret\n").expect("written");
    let text = EVERYTHING.replace("/run/secrets/erp", &file.display().to_string());
    let (config, warnings) = accepted(&text);
    (config, warnings, dir)
}

#[test]
fn the_everyday_example() {
    let (config, warnings) = accepted(
        "
sources:
  chatmefy:
    provider: chatmefy
    secret: ${CHATMEFY_SECRET}
    forward: http://127.0.0.1:3000/webhooks
",
    );
    assert_eq!(warnings, [""; 0]);
    let source = &config.sources[0];
    assert_eq!(&*source.name, "chatmefy");
    assert_eq!(source.key_name(), "chatmefy");
    assert_eq!(source.path, "/hooks/chatmefy");
    assert_eq!(source.provider.as_deref(), Some("chatmefy"));
    assert_eq!(
        signature(source).fields,
        [field("header:x-chatmefy-signature")]
    );
    assert_eq!(&*source.secrets[0].name, "1");
    assert_eq!(source.secrets[0].expose(), b"s3cr3t-of-the-environment");
    assert_eq!(source.ack, Ack::Stored);
    assert_eq!(source.ack_deadline, secs(24));
    assert_eq!(source.routes.len(), 1);
    assert_eq!(&*source.routes[0].target, "chatmefy");
    assert!(source.routes[0].events.wants_everything());
    let target = target(&config, "chatmefy");
    assert_eq!(target.url, "http://127.0.0.1:3000/webhooks");
    assert_eq!(target.max_backlog_bytes, (10 << 30) / 4);
    assert!(target.sign.is_empty());
    // Everything that is not written has its default.
    let (defaults, _, _dir) = everything();
    assert_eq!(config.listeners, defaults.listeners);
    assert_eq!(
        format!("{:?}", config.store),
        format!("{:?}", defaults.store)
    );
    assert_eq!(
        format!("{:?}", config.limits),
        format!("{:?}", defaults.limits)
    );
    assert_eq!(
        format!("{:?}", config.admin),
        format!("{:?}", defaults.admin)
    );
    assert_eq!(
        format!("{:?}", config.shutdown),
        format!("{:?}", defaults.shutdown)
    );
}

#[test]
fn the_whole_example_around_its_sources() {
    let (config, warnings, _dir) = everything();
    // Its event id stands in a header that its signature does not cover.
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("sources.erp.event.id: the id is not signed"),
        "{warnings:?}"
    );

    assert_eq!(config.listeners[0].to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9444");
    assert!(config.admin.token.is_none(), "an empty token is none");
    assert_eq!(config.store.path, Path::new("./data"));
    assert_eq!(config.store.max_size_bytes, 10 << 30);
    assert_eq!(config.store.min_free_bytes, 256 << 20);
    assert_eq!(config.store.retention, secs(24 * 3_600));
    assert_eq!(config.store.dead_retention, secs(720 * 3_600));
    assert_eq!(config.store.attempts, 16);
    assert_eq!(config.store.history, secs(0));
    assert_eq!(config.store.scrub, secs(24 * 3_600));
    assert_eq!(config.store.start_check, secs(1));
    assert_eq!(config.limits.body_bytes, 1 << 20);
    assert_eq!(config.limits.header_bytes, 32 << 10);
    assert_eq!(config.limits.headers, 100);
    assert_eq!(config.limits.signatures, 16);
    assert_eq!(config.limits.rejects_per_client, 10);
    assert_eq!(config.limits.connections, 10_000);
    assert_eq!(config.limits.in_flight_bytes, 64 << 20);
    assert_eq!(config.limits.header_timeout, secs(10));
    assert_eq!(config.limits.body_timeout, secs(15));
    assert_eq!(config.limits.idle_timeout, secs(75));
    assert_eq!(config.limits.dedupe_keys, 1_000_000);
    assert_eq!(config.shutdown.delay, Duration::ZERO);
    assert_eq!(config.shutdown.timeout, secs(20));
}

#[test]
fn the_whole_examples_source() {
    let (config, _, _dir) = everything();
    let erp = &config.sources[0];
    assert_eq!(erp.path, "/in/erp");
    assert_eq!(erp.provider, None);
    assert_eq!(erp.replaces, None);
    let hmac = signature(erp);
    assert_eq!(hmac.fields, [field("header:x-signature")]);
    assert_eq!(hmac.prefix, Prefix::Text("sha256=".to_owned()));
    assert_eq!(hmac.algorithm, Algorithm::Hmac(Hash::Sha256));
    assert_eq!(hmac.encoding, Encoding::Hex);
    assert_eq!(hmac.signed.to_string(), "{timestamp}.{body}");
    let timestamp = hmac.timestamp.as_ref().expect("a timestamp");
    assert_eq!(
        timestamp.place,
        TimePlace::Field(field("header:x-timestamp"))
    );
    assert_eq!(timestamp.format, TimeFormat::Unix);
    assert_eq!(
        (timestamp.past, timestamp.future),
        (Some(secs(300)), Some(secs(300)))
    );
    let secrets: Vec<(&str, &[u8])> = erp.secrets.iter().map(|s| (&*s.name, s.expose())).collect();
    assert_eq!(
        secrets,
        [("new", &b"new-secret"[..]), ("old", b"old-secret")]
    );
    let id = KeyExpr(vec![
        vec![field("header:X-Event-Id")],
        vec![field("json:/id")],
    ]);
    assert_eq!(erp.event_id, id);
    assert_eq!(erp.event_type, KeyExpr(vec![vec![field("json:/event")]]));
    assert_eq!(
        erp.event_time,
        KeyExpr(vec![vec![field("json:/timestamp")]])
    );
    assert_eq!(erp.max_age, Some(secs(24 * 3_600)));
    assert_eq!(erp.dedupe.window, secs(24 * 3_600));
    assert!(erp.dedupe.skip.is_empty());
    assert_eq!(erp.dedupe.replay, []);
    assert_eq!(erp.sender_timeout, secs(30));
    assert_eq!(erp.ack, Ack::Stored);
    assert_eq!(erp.ack_deadline, secs(24));
    assert_eq!(erp.respond.status, 200);
    assert_eq!(erp.respond.body, None);
    assert_eq!(erp.respond.content_type, "application/json");
    let routes: Vec<(&str, String)> = erp
        .routes
        .iter()
        .map(|route| (&*route.target, route.events.to_string()))
        .collect();
    assert_eq!(
        routes,
        [
            ("orders", "order.* !order.draft".to_owned()),
            ("audit", "*".to_owned())
        ]
    );
    assert_eq!(erp.body_limit_bytes, 1 << 20);
}

#[test]
fn the_whole_examples_targets() {
    let (config, _, _dir) = everything();
    let orders = target(&config, "orders");
    assert_eq!(orders.url, "http://127.0.0.1:3000/webhooks");
    assert_eq!(orders.timeout, secs(30));
    assert_eq!(orders.concurrency, 32);
    let retry = Backoff {
        first: secs(1),
        factor: 2.0,
        max: secs(600),
    };
    assert_eq!(orders.retry, Schedule::Growing(retry));
    assert_eq!(orders.max_attempts, None);
    assert_eq!(orders.breaker, Some(Breaker::default()));
    assert_eq!(orders.rate, None);
    assert_eq!(orders.give_up_after, secs(72 * 3_600));
    assert_eq!(orders.max_backlog_bytes, (10 << 30) / 4);
    assert_eq!(orders.when_full, WhenFull::Refuse);
    assert_eq!(orders.order_by, KeyExpr::default(), "in any order");
    assert_eq!(orders.connect_timeout, secs(5));
    assert_eq!(orders.connection_max_age, secs(30));
    assert_eq!(orders.format, Format::Plain);
    let key = orders.sign[0].expose();
    assert_eq!(orders.sign.len(), 1);
    assert_eq!(key.len(), 24);
    assert_eq!(key[..3], [0x31, 0xf2, 0x90]);

    // `audit` says only its URL: the same defaults.
    let audit = target(&config, "audit");
    assert_eq!(audit.url, "http://127.0.0.1:3001/");
    assert_eq!(audit.retry, orders.retry);
    assert_eq!(audit.timeout, orders.timeout);
    assert_eq!(audit.concurrency, orders.concurrency);
    assert_eq!(audit.give_up_after, orders.give_up_after);
    assert_eq!(audit.breaker, orders.breaker);
    assert_eq!(audit.max_backlog_bytes, orders.max_backlog_bytes);
    assert_eq!(audit.when_full, orders.when_full);
    assert_eq!(audit.connect_timeout, orders.connect_timeout);
    assert_eq!(audit.connection_max_age, orders.connection_max_age);
    assert_eq!(audit.format, orders.format);
    assert!(audit.sign.is_empty());
}

#[test]
fn the_summary_shows_everything_but_secrets() {
    let (config, _, _dir) = everything();
    insta::assert_snapshot!("summary_everything", summary(&config));
    let (config, _) = accepted(
        "
admin: { token: hidden-token }
sources:
  vow: { provider: vowchat, secret: hidden-secret, replaces: chat, forward: http://a/b?c }
  tok: { verify: { token: { header: X-T } }, secret: hidden-secret, event: { id: [[json:/a~1b, query:q], body] }, forward: http://a/ }
  han: { verify: [{ hmac: { header: X-S }, when: { header:V: \"2\", query:a: null }, secrets: [n] }, { basic: , secrets: [o] }], secrets: [{ name: n, value: \"hidden:a\" }, { name: o, value: \"hidden:b\" }], status: unverified, sender_retries: 72h,
         public_url: https://hooks.example.com/x, params: { t: hidden-param }, forward: http://a/,
         handshake: [{ when: { method: GET, query:t: \"{param:t}\" }, verified: false, respond: { body: \"{query:c}\" } }, { when: { json:/a: \"*\" }, respond: { json: { a: b, c: d } } }, { when: { method: HEAD } }] }
  bea: { verify: bearer, secret: hidden-secret, max_age: off, ack: delivered, forward: vow2 }
  liv: { provider: live-chat, secret: hidden-secret, max_age: 2h, forward: http://a/ }
  non: { verify: none, event: { type: query:t }, dedupe: { skip: [{ event: [a, b] }] }, forward: [{ to: vow2, events: \"!x\" }] }
targets:
  vow2: { url: http://c/, when_full: dead_letter, timeout: 1s, replaces: old, order_by: [json:/data/conversation_id, [json:/a, header:X-B]] }
",
    );
    let page = summary(&config);
    assert!(!page.contains("hidden"), "{page}");
    insta::assert_snapshot!("summary_kinds", page);
}

#[test]
fn the_summary_says_what_a_handshake_brings() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("asana-secret");
    let page = || {
        let (config, _) = accepted(&format!(
            "sources: {{ asana: {{ provider: asana, secret: {{ file: {:?} }}, forward: http://a/ }} }}",
            file.display().to_string()
        ));
        let page = summary(&config).replace(&file.display().to_string(), "./asana-secret");
        let said = |line: &&str| line.contains("secret");
        page.lines().filter(said).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(page(), @r#"
    secrets    ./asana-secret is brought by the handshake
    handshake  if x-hook-secret is there and x-hook-signature is not there, not verified: 200 with x-hook-secret: {header:x-hook-secret}; the secret is learned from x-hook-secret
    "#);
    std::fs::write(&file, "brought").expect("writable");
    insta::assert_snapshot!(page(), @r#"
    secrets    called "1"; ./asana-secret is brought by the handshake
    handshake  if x-hook-secret is there and x-hook-signature is not there, not verified: 200 with x-hook-secret: {header:x-hook-secret}; the secret is learned from x-hook-secret
    "#);
}

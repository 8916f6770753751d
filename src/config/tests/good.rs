//! Files that load: both examples of the manual with each value asserted, what varies in how they may be
//! written, and the warnings.

use super::{PLENTY, accepted, load, shown, variable};
use crate::{
    backoff::Backoff,
    config::{
        Ack, Config, SkipRule, Source, Target, Verify, WhenFull,
        load::{Options, Process, load_text},
        source::{Algorithm, Encoding, Hmac, TimeFormat},
        summary,
    },
    extract::{Field, KeyExpr},
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

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn field(text: &str) -> Field {
    text.parse().expect("a field")
}

fn hmac(source: &Source) -> &Hmac {
    match &source.verify {
        Verify::Hmac(hmac) => hmac,
        other => panic!("not an hmac: {other:?}"),
    }
}

fn target<'a>(config: &'a Config, name: &str) -> &'a Target {
    let found = config.targets.iter().find(|target| &*target.name == name);
    found.expect("a target")
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
    assert_eq!(hmac(source).header, "x-chatmefy-signature");
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
    assert!(target.sign.is_none());
    // Everything that is not written has its default.
    let (defaults, _, _dir) = everything();
    assert_eq!(config.listen, defaults.listen);
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

    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9444");
    assert!(config.admin.token.is_none(), "an empty token is none");
    assert_eq!(config.store.path, Path::new("./data"));
    assert_eq!(config.store.max_size_bytes, 10 << 30);
    assert_eq!(config.store.min_free_bytes, 256 << 20);
    assert_eq!(config.store.retention, secs(24 * 3_600));
    assert_eq!(config.store.dead_retention, secs(720 * 3_600));
    assert_eq!(config.limits.body_bytes, 1 << 20);
    assert_eq!(config.limits.header_bytes, 32 << 10);
    assert_eq!(config.limits.headers, 100);
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
    let hmac = hmac(erp);
    assert_eq!(hmac.header, "x-signature");
    assert_eq!(hmac.prefix, "sha256=");
    assert_eq!(hmac.algorithm, Algorithm::Sha256);
    assert_eq!(hmac.encoding, Encoding::Hex);
    assert_eq!(hmac.signed.to_string(), "{timestamp}.{body}");
    let timestamp = hmac.timestamp.as_ref().expect("a timestamp");
    assert_eq!(timestamp.header, "x-timestamp");
    assert_eq!(timestamp.format, TimeFormat::Unix);
    assert_eq!(timestamp.tolerance, secs(300));
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
    assert_eq!(erp.dedupe.replay, None);
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
    assert_eq!(orders.retry, retry);
    assert_eq!(orders.give_up_after, secs(72 * 3_600));
    assert_eq!(orders.max_backlog_bytes, (10 << 30) / 4);
    assert_eq!(orders.when_full, WhenFull::Refuse);
    let key = orders.sign.as_ref().expect("a key").expose();
    assert_eq!(key.len(), 24);
    assert_eq!(key[..3], [0x31, 0xf2, 0x90]);

    // `audit` says only its URL: the same defaults.
    let audit = target(&config, "audit");
    assert_eq!(audit.url, "http://127.0.0.1:3001/");
    assert_eq!(audit.retry, orders.retry);
    assert_eq!(audit.timeout, orders.timeout);
    assert_eq!(audit.concurrency, orders.concurrency);
    assert_eq!(audit.give_up_after, orders.give_up_after);
    assert_eq!(audit.max_backlog_bytes, orders.max_backlog_bytes);
    assert_eq!(audit.when_full, orders.when_full);
    assert!(audit.sign.is_none());
}

#[test]
fn values_differ_from_their_defaults_where_the_file_says_so() {
    let (config, warnings) = accepted(
        "
listen: :1
admin: { listen: '[::1]:2', token: t }
store: { path: /s, max_size: 100MiB, min_free: 0, retention: 0s, dead_retention: 1h }
limits: { body: 2KiB, header_bytes: 1KiB, headers: 3, connections: 4, in_flight_bytes: 5KiB,
          header_timeout: 6s, body_timeout: 7s, idle_timeout: 8s, dedupe_keys: 9 }
shutdown: { delay: 10s, timeout: 11s }
sources:
  a:
    replaces: b
    path: /x
    verify: { hmac: { header: S, algorithm: sha512, encoding: base64url, signed: 'v1:{timestamp}:{header:X-Id}:{body}',
                      timestamp: { header: T, format: unix_ms, tolerance: 1m } } }
    secrets: [one, { value: two }, { name: x, value: three }]
    event: { id: [[json:/a, query:b], header:X-Id], type: [header:X-Id, json:/t], time: header:T }
    max_age: 1h
    dedupe: { window: 2h, skip: [{ event: [a, 'b*'] }, { header: H, value: v }], replay: header:S }
    sender_timeout: 10s
    ack: delivered
    ack_deadline: 9s
    respond: { status: 202, body: '[accepted]', content_type: text/plain }
    forward: [t]
    limits: { body: 3KiB }
targets:
  t: { url: https://a/, timeout: 1s, concurrency: 2, retry: { first: 3s, factor: 1.5, max: 4s, give_up_after: 0s },
       max_backlog: 10%, when_full: dead_letter, replaces: u }
",
    );
    // Of the id, `query:b` is not signed, but `replay` is set.
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.listen.to_string(), "0.0.0.0:1");
    assert_eq!(config.admin.listen.to_string(), "[::1]:2");
    assert_eq!(config.admin.token.as_ref().expect("a token").expose(), b"t");
    assert_eq!(config.store.path, Path::new("/s"));
    assert_eq!(config.store.min_free_bytes, 0);
    assert_eq!(config.store.retention, Duration::ZERO);
    assert_eq!(config.store.dead_retention, secs(3_600));
    let limits = &config.limits;
    assert_eq!(
        (limits.body_bytes, limits.header_bytes, limits.headers),
        (2_048, 1_024, 3)
    );
    assert_eq!(
        (
            limits.connections,
            limits.in_flight_bytes,
            limits.dedupe_keys
        ),
        (4, 5_120, 9)
    );
    assert_eq!(
        (
            limits.header_timeout,
            limits.body_timeout,
            limits.idle_timeout
        ),
        (secs(6), secs(7), secs(8))
    );
    assert_eq!(
        (config.shutdown.delay, config.shutdown.timeout),
        (secs(10), secs(11))
    );

    let a = &config.sources[0];
    assert_eq!(a.key_name(), "b");
    let hmac = hmac(a);
    assert_eq!(
        (hmac.algorithm, hmac.encoding),
        (Algorithm::Sha512, Encoding::Base64Url)
    );
    let timestamp = hmac.timestamp.as_ref().expect("a timestamp");
    assert_eq!(
        (timestamp.format, timestamp.tolerance),
        (TimeFormat::UnixMs, secs(60))
    );
    assert_eq!(a.replay_window(), secs(120));
    let names: Vec<&str> = a.secrets.iter().map(|secret| &*secret.name).collect();
    assert_eq!(names, ["1", "2", "x"]);
    assert_eq!(a.event_id.0[0], [field("json:/a"), field("query:b")]);
    assert_eq!(a.event_id.0[1], [field("header:X-Id")]);
    // The header that may say the type is signed, and so is the body.
    assert!(matches!(&a.dedupe.skip[0], SkipRule::Event(events) if events.want(Some("bc"))));
    assert!(
        matches!(&a.dedupe.skip[1], SkipRule::Header(name, value) if name == "h" && value == "v")
    );
    assert_eq!(a.dedupe.replay, Some(field("header:S")));
    assert_eq!((a.ack, a.ack_deadline), (Ack::Delivered, secs(9)));
    assert_eq!(a.respond.status, 202);
    assert_eq!(a.respond.body.as_deref(), Some(&b"[accepted]"[..]));
    assert_eq!(a.respond.content_type, "text/plain");
    assert_eq!(a.body_limit_bytes, 3_072);

    let t = target(&config, "t");
    assert_eq!(
        (t.timeout, t.concurrency, t.when_full),
        (secs(1), 2, WhenFull::DeadLetter)
    );
    assert_eq!(
        (t.retry.first, t.retry.max, t.give_up_after),
        (secs(3), secs(4), Duration::ZERO)
    );
    assert!((t.retry.factor - 1.5).abs() < f64::EPSILON);
    assert_eq!(t.max_backlog_bytes, 10 << 20);
    assert_eq!(t.replaces.as_deref(), Some("u"));
}

#[test]
fn variables_are_typed_by_their_field() {
    let (config, _) = accepted(
        "
listen: :${NUMBER}
limits: { headers: \"${NUMBER}\", body_timeout: \"${NUMBER}m\", body: \"${NO:-12}KiB\" }
sources:
  a: { verify: bearer, secrets: [\"$${SECRET}\", \"a$b\", \"${SECRET}\"], forward: \"${URL}\", max_age: \"${NO:-off}\" }
  b: { verify: none, forward: t }
targets:
  t: { url: \"${URL}\", concurrency: \"${NUMBER}\", sign: null }
",
    );
    assert_eq!(config.listen.port(), 7);
    assert_eq!(config.limits.headers, 7);
    assert_eq!(config.limits.body_timeout, secs(420));
    assert_eq!(config.limits.body_bytes, 12 << 10);
    let secrets: Vec<&[u8]> = config.sources[0]
        .secrets
        .iter()
        .map(|s| s.expose())
        .collect();
    assert_eq!(
        secrets,
        [&b"${SECRET}"[..], b"a$b", b"s3cr3t-of-the-environment"]
    );
    assert_eq!(
        target(&config, "a").url,
        "http://127.0.0.1:3000/from-environment"
    );
    assert_eq!(target(&config, "t").concurrency, 7);
}

#[test]
fn secrets_come_from_files_without_one_newline() {
    let dir = tempfile::tempdir().expect("a directory");
    let cases: [(&[u8], &[u8]); 5] = [
        (b"a", b"a"),
        (b"a\n", b"a"),
        (b"a\r\n", b"a"),
        (b"a\n\n", b"a\n"),
        (b"\xff\x00\n", b"\xff\x00"),
    ];
    for (contents, expected) in cases {
        let file = dir.path().join("secret");
        std::fs::write(&file, contents).expect("written");
        let (config, _) = accepted(&format!(
            "sources: {{a: {{verify: {{hmac: {{header: S}}}}, secret: {{file: {}}}, forward: http://a/}}}}",
            file.display()
        ));
        assert_eq!(config.sources[0].secrets[0].expose(), expected);
    }
}

#[test]
fn anchors_are_shared_and_x_keys_ignored() {
    let (config, _) = accepted(
        "
x-retry: &retry { first: 5s }
x-base: &base
  timeout: 7s
  retry: *retry
x-notes: [whatever, { goes: here }]
sources:
  a: { verify: none, forward: [one, two] }
targets:
  one: { <<: *base, url: http://a/ }
  two: { url: http://b/, <<: *base, timeout: 8s }
",
    );
    assert_eq!(target(&config, "one").timeout, secs(7));
    assert_eq!(target(&config, "one").retry.first, secs(5));
    assert_eq!(target(&config, "two").timeout, secs(8));
}

#[test]
fn a_made_target_of_passthrough_waits_no_longer_than_the_answer() {
    let (config, warnings) = accepted(
        "sources: {a: {provider: vowchat, secret: s, ack: passthrough, forward: http://a/}}",
    );
    assert_eq!(target(&config, "a").timeout, secs(4));
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn unset_variables_and_files_are_stood_in_for_when_allowed() {
    let text = "
listen: \"${LISTEN}\"
admin: { token: \"${TOKEN}\" }
store: { path: \"${DATA}\", max_size: \"${SIZE}\" }
limits: { headers: \"${HEADERS}\", body: \"${BODY}\", header_bytes: \"${HEAD}\" }
sources:
  a:
    path: \"${PATH_A}\"
    verify: { hmac: { header: \"${HEADER}\", prefix: \"${PREFIX}\", algorithm: \"${HASH}\", signed: \"${SIGNED}\" } }
    secrets: [\"${A}\", { file: /nowhere/to/be/found }, { name: \"${NAME}\", file: \"${FILE}\" }]
    event: { id: \"${ID}\" }
    max_age: ${AGE}
    dedupe: { window: \"${WINDOW}\", replay: \"${REPLAY}\" }
    ack: ${ACK}
    respond: { status: \"${STATUS}\" }
    forward: ${FORWARD}
  b: { path: \"${PATH_B}\", verify: bearer, secret: \"x${B}\", forward: t }
targets:
  t: { url: \"https://${HOST}:${PORT}/\", max_backlog: \"${BACKLOG}\", sign: { secret: \"${SIGN}\" } }
";
    let process = Process {
        variable: &|_| None,
        open_files_max: PLENTY,
    };
    let options = Options { allow_unset: true };
    let (config, _) = load_text("f", text, options, &process)
        .unwrap_or_else(|problems| panic!("{}", shown(&problems)));
    assert_eq!(config.sources[0].path, "/hooks/a");
    assert_eq!(config.sources[1].path, "/hooks/b");
    assert_eq!(target(&config, "t").url, "http://unset.invalid/");

    let problems = load_text("f", text, Options::default(), &process).expect_err("unset");
    // One for each variable, and the one file that is named.
    assert_eq!(problems.len(), 29, "{}", shown(&problems));
}

#[test]
fn warnings_tell_what_a_user_should_know() {
    let cases = [
        (
            "a: {verify: none, forward: http://a/}",
            "sources.a.verify: none: whoever reaches",
        ),
        (
            "a: {provider: chatsvia, secret: s, ack: delivered, forward: http://a/}",
            "sources.a.ack: delivered answers the sender after 24s (ack_deadline), but target \"a\" may take 30s",
        ),
        (
            "a: {provider: chatsvia, secret: s, ack: passthrough, forward: t}\ntargets: {t: {url: http://a/}}",
            "sources.a.ack: passthrough answers the sender after 24s",
        ),
        (
            "a: {provider: chatsvia, secret: s, max_age: 25h, forward: http://a/}",
            "sources.a.max_age: 25h is longer than dedupe.window, which is 24h",
        ),
        (
            "a: {provider: chatsvia, secret: s, event: {id: header:X-Id}, forward: http://a/}",
            "sources.a.event.id: the id is not signed",
        ),
        (
            "a: {provider: chatsvia, secret: s, forward: http://a/}\ntargets: {t: {url: http://a/}}",
            "targets.t: no source forwards to this target",
        ),
    ];
    for (source, expected) in cases {
        let (source, rest) = source.split_once('\n').unwrap_or((source, ""));
        let (_, warnings) = accepted(&format!("sources:\n  {source}\n{rest}\n"));
        assert_eq!(warnings.len(), 1, "{source}: {warnings:?}");
        assert!(warnings[0].contains(expected), "{source}: {warnings:?}");
        assert!(
            warnings[0].starts_with("hookgate.yaml:"),
            "{source}: {warnings:?}"
        );
    }
}

#[test]
fn a_low_limit_of_open_files_is_warned_about() {
    let text =
        "limits: {connections: 100}\nsources: {a: {verify: bearer, secret: s, forward: http://a/}}";
    for (open_files_max, warned) in [(None, false), (Some(196), false), (Some(195), true)] {
        let process = Process {
            variable: &variable,
            open_files_max,
        };
        let (_, warnings) = load_text("f", text, Options::default(), &process).expect("valid");
        assert_eq!(
            !warnings.is_empty(),
            warned,
            "{open_files_max:?}: {}",
            shown(&warnings)
        );
        if let Some(warning) = warnings.first() {
            assert_eq!(warning.key, "limits.connections");
            assert_eq!(warning.place, Some((1, 10)));
        }
    }
}

#[test]
fn exemptions_know_whether_the_type_is_signed() {
    let cases = [
        (
            "verify: {hmac: {header: S}}, secret: s, event: {type: json:/t}",
            true,
        ),
        (
            "verify: {hmac: {header: S}}, secret: s, event: {type: [header:X, json:/t]}",
            false,
        ),
        (
            "verify: {hmac: {header: S, signed: '{header:X}{body}'}}, secret: s, event: {type: [header:X, json:/t]}",
            true,
        ),
        (
            "verify: {hmac: {header: S}}, secret: s, event: {type: query:t}",
            false,
        ),
        ("verify: bearer, secret: s, event: {type: query:t}", true),
        ("verify: none, event: {type: json:/t}", false),
    ];
    for (source, signed) in cases {
        let text = format!(
            "sources: {{a: {{{source}, dedupe: {{skip: [{{event: x}}]}}, forward: http://a/}}}}"
        );
        let (config, _) = accepted(&text);
        let rule = &config.sources[0].dedupe.skip[0];
        assert_eq!(
            matches!(rule, SkipRule::Event(_)),
            signed,
            "{source}: {rule:?}"
        );
    }
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
  bea: { verify: bearer, secret: hidden-secret, max_age: off, ack: delivered, forward: vow2 }
  non: { verify: none, forward: [{ to: vow2, events: \"!x\" }] }
targets:
  vow2: { url: http://c/, when_full: dead_letter, timeout: 1s, replaces: old }
",
    );
    let page = summary(&config);
    assert!(!page.contains("hidden"), "{page}");
    insta::assert_snapshot!("summary_kinds", page);
    assert!(load("").is_err());
}

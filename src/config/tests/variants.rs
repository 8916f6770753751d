//! What varies in how a file may be written: other values than the defaults, variables, secret files, anchors.

use super::{PLENTY, accepted, field, secs, shown, signature, target};
use crate::backoff::{Backoff, Schedule};
use crate::config::{
    Ack, Secret, SkipRule, WhenFull,
    load::{Options, Process, load_text},
    source::Replay,
    summary,
    target::{Breaker, Format, Rate, SigningKey},
    verify::{Algorithm, Encoding, Hash, TimeFormat},
};
use std::{path::Path, time::Duration};

/// Hardly any value is its default.
const UNUSUAL: &str = "
listen: :1
admin: { listen: '[::1]:2', token: t }
store: { path: /s, max_size: 100MiB, min_free: 0, retention: 0s, dead_retention: 1h, attempts: 0, history: 720h, scrub: 0s, start_check: 0s }
limits: { body: 2KiB, header_bytes: 1KiB, headers: 3, connections: 4, in_flight_bytes: 5KiB,
          header_timeout: 6s, body_timeout: 7s, idle_timeout: 8s, dedupe_keys: 9, rejects_per_client: 12 }
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
    expect_every: 90m
    ack: delivered
    ack_deadline: 9s
    respond: { status: 202, body: '[accepted]', content_type: text/plain }
    forward: [t]
    limits: { body: 3KiB }
    rejects: { keep: 13, max_size: 14KiB }
targets:
  t: { url: https://a/, timeout: 1s, connect_timeout: 500ms, connection_max_age: 0s, format: cloudevents, concurrency: 2, retry: { first: 3s, factor: 1.5, max: 4s, give_up_after: 0s, max_attempts: 7 }, rate: 600/m,
       breaker: { failures: 3, rate: 80%, min_attempts: 9, window: 1m, hold: 100ms }, max_backlog: 10%, when_full: dead_letter, replaces: u }
";

#[test]
fn listeners_are_one_or_several() {
    let listeners = |listen: &str| {
        let (config, warnings) = accepted(&format!(
            "{listen}\nsources: {{ a: {{ verify: bearer, secret: s, forward: http://a/ }} }}\n"
        ));
        assert_eq!(warnings, [""; 0]);
        let shown = config.listeners.iter().map(ToString::to_string);
        shown.collect::<Vec<String>>()
    };
    assert_eq!(listeners(""), ["0.0.0.0:8080"]);
    assert_eq!(listeners("listen: :1"), ["0.0.0.0:1"]);
    assert_eq!(listeners("listen: { address: 0.0.0.0:1 }"), ["0.0.0.0:1"]);
    assert_eq!(
        listeners(
            "listen: [0.0.0.0:1, unix:a, { address: unix:b, mode: '0600', proxy_protocol: unix }, systemd, systemd:n, \
             { address: '[::1]:2', proxy_protocol: [10.0.0.0/8, '::1'] }]"
        ),
        [
            "0.0.0.0:1",
            "unix:a, mode 0660",
            "unix:b, mode 0600, PROXY protocol from unix",
            "systemd",
            "systemd:n",
            "[::1]:2, PROXY protocol from 10.0.0.0/8, ::1/128",
        ]
    );
}

#[test]
fn values_differ_from_their_defaults_where_the_file_says_so() {
    let (config, warnings) = accepted(UNUSUAL);
    // Of the id, `query:b` is not signed, but `replay` is set.
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.listeners[0].to_string(), "0.0.0.0:1");
    assert_eq!(config.admin.listen.to_string(), "[::1]:2");
    assert_eq!(config.admin.token.as_ref().expect("a token").expose(), b"t");
    assert_eq!(config.store.path, Path::new("/s"));
    assert_eq!(config.store.min_free_bytes, 0);
    assert_eq!(config.store.retention, Duration::ZERO);
    assert_eq!(config.store.dead_retention, secs(3_600));
    assert_eq!(config.store.attempts, 0);
    assert_eq!(config.store.history, secs(720 * 3_600));
    assert_eq!(config.store.scrub, Duration::ZERO);
    assert_eq!(config.store.start_check, Duration::ZERO);
    let limits = &config.limits;
    assert_eq!(
        (limits.body_bytes, limits.header_bytes, limits.headers),
        (2_048, 1_024, 3)
    );
    assert_eq!(limits.rejects_per_client, 12);
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

    let t = target(&config, "t");
    assert_eq!(
        (t.timeout, t.concurrency, t.when_full),
        (secs(1), 2, WhenFull::DeadLetter)
    );
    assert_eq!(
        (&t.retry, t.give_up_after, t.max_attempts),
        (&growing(secs(3), 1.5, secs(4)), Duration::ZERO, Some(7))
    );
    let breaker = Breaker {
        failures: 3,
        rate_percent: 80,
        min_attempts: 9,
        window: secs(60),
        hold: Duration::from_millis(100),
    };
    assert_eq!(t.breaker, Some(breaker));
    let rate = Rate {
        attempts: 600,
        per: secs(60),
    };
    assert_eq!(t.rate, Some(rate));
    assert_eq!(t.max_backlog_bytes, 10 << 20);
    assert_eq!(
        (t.connect_timeout, t.connection_max_age, t.format),
        (
            Duration::from_millis(500),
            Duration::ZERO,
            Format::CloudEvents
        )
    );
    assert_eq!(t.replaces.as_deref(), Some("u"));
}

#[test]
fn values_of_a_source_differ_from_their_defaults_too() {
    let (config, _) = accepted(UNUSUAL);
    let a = &config.sources[0];
    assert_eq!(a.key_name(), "b");
    let hmac = signature(a);
    assert_eq!(
        (hmac.algorithm, hmac.encoding),
        (Algorithm::Hmac(Hash::Sha512), Encoding::Base64Url)
    );
    let timestamp = hmac.timestamp.as_ref().expect("a timestamp");
    assert_eq!(
        (timestamp.format, timestamp.past, timestamp.future),
        (TimeFormat::UnixMs, Some(secs(60)), Some(secs(60)))
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
    // The header of the signature means the signature.
    assert_eq!(a.dedupe.replay, [Replay::Signature]);
    assert_eq!((a.ack, a.ack_deadline), (Ack::Delivered, secs(9)));
    assert_eq!(a.expect_every, Some(secs(5_400)));
    assert_eq!(a.respond.status, 202);
    assert_eq!(a.respond.body.as_deref(), Some(&b"[accepted]"[..]));
    assert_eq!(a.respond.content_type, "text/plain");
    assert_eq!(a.body_limit_bytes, 3_072);
    let rejects = a.rejects.expect("they are kept");
    assert_eq!((rejects.keep, rejects.max_size_bytes), (13, 14_336));
}

#[test]
fn something_is_expected_only_where_that_is_said() {
    let expected = |rest: &str| {
        let (config, _) = accepted(&format!(
            "sources: {{ a: {{ verify: bearer, secret: s, forward: http://a/{rest} }} }}"
        ));
        let page = summary(&config);
        let row = page.lines().find(|line| line.contains("expected"));
        (
            config.sources[0].expect_every,
            row.map(|row| row.trim().to_owned()),
        )
    };
    assert_eq!(expected(""), (None, None));
    assert_eq!(expected(", expect_every: null"), (None, None));
    let row = "expected   at least every 2h".to_owned();
    assert_eq!(
        expected(", expect_every: 120m"),
        (Some(secs(7_200)), Some(row))
    );
}

#[test]
fn refused_requests_are_kept_only_where_that_is_asked_for() {
    let kept = |rejects: &str| {
        let (config, _) = accepted(&format!(
            "sources: {{ a: {{ verify: bearer, secret: s, forward: http://a/{rejects} }} }}"
        ));
        let rejects = config.sources[0].rejects;
        rejects.map(|rejects| (rejects.keep, rejects.max_size_bytes))
    };
    assert_eq!(kept(""), None);
    assert_eq!(kept(", rejects: null"), None);
    assert_eq!(kept(", rejects: {}"), Some((1_000, 10 << 20)));
    assert_eq!(kept(", rejects: { keep: 5 }"), Some((5, 10 << 20)));
    assert_eq!(kept(", rejects: { max_size: 1KiB }"), Some((1_000, 1_024)));
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
    assert_eq!(config.listeners[0].to_string(), "0.0.0.0:7");
    assert_eq!(config.limits.headers, 7);
    assert_eq!(config.limits.body_timeout, secs(420));
    assert_eq!(config.limits.body_bytes, 12 << 10);
    let secrets: Vec<&[u8]> = config.sources[0]
        .secrets
        .iter()
        .map(Secret::expose)
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

fn growing(first: Duration, factor: f64, max: Duration) -> Schedule {
    Schedule::Growing(Backoff { first, factor, max })
}

/// A list ends with the attempt after its last delay, and its age is no reason to end it earlier.
#[test]
fn retries_as_a_list() {
    let (m, h) = (Duration::from_mins, Duration::from_hours);
    let cases = [
        ("[1m, 5m]", vec![m(1), m(5)], Some(3), h(72)),
        ("{ delays: [1m, 5m] }", vec![m(1), m(5)], Some(3), h(72)),
        (
            "[24h, 24h, 24h]",
            vec![h(24); 3],
            Some(4),
            h(72).mul_f64(1.2),
        ),
        (
            "{ delays: [1h], max_attempts: 9, give_up_after: 2h }",
            vec![h(1)],
            Some(9),
            h(2),
        ),
    ];
    for (retry, delays, max_attempts, give_up_after) in cases {
        let (config, warnings) = accepted(&format!(
            "sources: {{ a: {{ verify: bearer, secret: s, forward: t }} }}\ntargets: {{ t: {{ url: http://a/, retry: {retry} }} }}"
        ));
        assert_eq!(warnings, [""; 0], "{retry}");
        let t = target(&config, "t");
        assert_eq!(t.retry, Schedule::Listed(delays.into()), "{retry}");
        assert_eq!(t.max_attempts, max_attempts, "{retry}");
        assert_eq!(t.give_up_after, give_up_after, "{retry}");
    }
}

#[test]
fn a_breaker_may_be_off() {
    let (config, _) = accepted(
        "sources: { a: { verify: bearer, secret: s, forward: [t, u] } }\ntargets: { t: { url: http://a/, breaker: off }, u: { url: http://a/, breaker: } }",
    );
    assert_eq!(target(&config, "t").breaker, None);
    assert_eq!(target(&config, "u").breaker, Some(Breaker::default()));
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
    assert_eq!(
        target(&config, "one").retry,
        growing(secs(5), 2.0, secs(600))
    );
    assert_eq!(target(&config, "two").timeout, secs(8));
}

#[test]
fn connecting_takes_no_longer_than_the_attempt() {
    let (config, _) = accepted(
        "
sources: {a: {verify: none, forward: [{ to: one }, { to: two }]}}
targets:
  one: { url: http://a/, timeout: 3s }
  two: { url: http://a/, timeout: 3s, connect_timeout: 3s }
",
    );
    for name in ["one", "two"] {
        assert_eq!(target(&config, name).connect_timeout, secs(3), "{name}");
    }
}

#[test]
fn two_secrets_sign_while_rotating_the_new_one_first() {
    let whsec = |letter: &str| format!("whsec_{}", letter.repeat(32));
    let (config, _) = accepted(&format!(
        "sources: {{a: {{verify: none, forward: t}}}}\ntargets: {{t: {{ url: http://a/, sign: {{ secrets: [{}, {}] }} }}}}",
        whsec("n"),
        whsec("o")
    ));
    let target = target(&config, "t");
    let keys: Vec<&[u8]> = target.sign.iter().map(SigningKey::expose).collect();
    assert_eq!(
        keys,
        [[0x9e, 0x79, 0xe7].repeat(8), [0xa2, 0x8a, 0x28].repeat(8)]
    );
    assert!(summary(&config).contains("Standard Webhooks, with 2 secrets"));
}

#[test]
fn a_made_target_of_passthrough_waits_no_longer_than_the_answer() {
    let (config, warnings) = accepted(
        "sources: {a: {provider: vowchat, secret: s, ack: passthrough, forward: http://a/}}",
    );
    assert_eq!(target(&config, "a").timeout, secs(4));
    assert_eq!(target(&config, "a").connect_timeout, secs(4));
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
  c:
    public_url: \"${PUBLIC}\"
    params: { p: \"${PARAM}\" }
    verify:
      ed25519: { header: A, split: \"${SPLIT}\", prefix: \"${BEFORE}\", key: \"${FORM}\", key_id: \"${KEY}\",
                 signed: \"{url}{param:p}{timestamp}{named_headers}{body}\",
                 timestamp: { element: \"${ELEMENT}\", tolerance: \"${TOLERANCE}\" },
                 named_headers: { names: \"${NAMES}\", split: \"${BETWEEN}\", each: \"${EACH}\", join: \"${JOIN}\" } }
      when: { method: \"${METHOD}\" }
      secrets: [\"${WHICH}\"]
    secrets: [{ id: \"${KEY_ID}\", value: \"${C}\", not_before: \"${FROM}\", not_after: \"${TO}\" }]
    handshake: [{ when: { method: \"${ASK}\" }, respond: { status: \"${OK}\", body: \"${ANSWER}\" } }]
    sample: { query: \"${QUERY}\", body: \"${SAMPLE}\" }
    forward: t
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
    assert_eq!(config.sources[2].path, "/hooks/b");
    assert_eq!(target(&config, "t").url, "http://unset.invalid/");

    let problems = load_text("f", text, Options::default(), &process).expect_err("unset");
    // One for each variable, and the one file that is named.
    assert_eq!(problems.len(), 52, "{}", shown(&problems));
}

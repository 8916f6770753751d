//! What is said about a configuration that can be used.

use super::{accepted, shown, variable};
use crate::config::{
    SkipRule,
    load::{Options, Process, load_text},
};

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
            "a: {provider: vowchat, secret: s, dedupe: {replay: header:X-Other}, forward: http://a/}",
            "sources.a.dedupe.replay: neither event.id nor this is signed",
        ),
        (
            "a: {provider: chatsvia, secret: s, sender_retries: 72h, dedupe: {window: 24h}, forward: http://a/}",
            "sources.a.dedupe.window: 24h is shorter than sender_retries, which is 72h",
        ),
        (
            "a: {verify: bearer, secrets: [{value: s, not_after: 2001-01-01T00:00:00Z}], forward: http://a/}",
            "sources.a.secrets: every secret is outside its time (not_before, not_after): all requests are refused from now on",
        ),
        (
            "a: {verify: bearer, secrets: [{value: s, not_before: 2999-01-01T00:00:00Z}], forward: http://a/}",
            "all requests are refused until 2999-01-01T00:00:00.000Z",
        ),
        (
            "a: {verify: [{hmac: {header: A, signed: '{timestamp}{body}', timestamp: {header: T}}}, {hmac: {header: B}}], secret: s, forward: http://a/}",
            "sources.a.verify[1]: another scheme with the same secret checks the age",
        ),
        (
            "a: {provider: chatsvia, secret: s, params: {t: null}, handshake: [{when: {method: GET, 'query:t': '{param:t}'}}], forward: http://a/}",
            "sources.a.handshake[0]: handshake 1 is off until params.t is set",
        ),
        (
            "a: {provider: asana, secret: s, forward: http://a/}",
            "sources.a.secret: the vendor's handshake brings a secret of its own, and there is no file",
        ),
        (
            "a: {verify: {hmac: {header: X}}, secret: 'whsec_abc ', forward: http://a/}",
            "sources.a.secret: white space at an end of this secret",
        ),
        (
            "a: {verify: {hmac: {header: X, key: whsec}}, secret: whsec_YWJj, forward: http://a/}",
            "sources.a.secret: the key is 3 bytes long once decoded",
        ),
        (
            "a: {provider: chatsvia, secret: s, forward: t}\ntargets: {t: {url: http://a/, retry: {first: 1m, give_up_after: 30s}}}",
            "targets.t.retry.give_up_after: 30s is shorter than the first delay, which is 1m",
        ),
        (
            "a: {provider: chatsvia, secret: s, forward: t}\ntargets: {t: {url: http://a/, retry: {delays: [1m, 5m], give_up_after: 2m}}}",
            "targets.t.retry.give_up_after: 2m is shorter than all the delays together, which is 6m",
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
fn schemes_with_secrets_of_their_own_are_not_compared() {
    let (_, warnings) = accepted(
        "
sources:
  a:
    verify:
      - { hmac: { header: A, signed: '{timestamp}{body}', timestamp: { header: T } }, secrets: [a] }
      - { hmac: { header: B }, secrets: [b] }
    secrets: [{ name: a, value: x }, { name: b, value: y, not_after: 2001-01-01T00:00:00Z }]
    forward: http://a/
",
    );
    assert_eq!(warnings, [""; 0]);
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

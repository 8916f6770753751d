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

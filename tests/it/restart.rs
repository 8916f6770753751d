//! What only a restart applies: a configuration that changes any of it is refused whole, and names it.

use crate::support::{
    App, Request,
    certificates::Certificates,
    gate::{Home, RELOADED},
    wait_until,
};

/// A change of the file: what stands there, what takes its place, the key that is named, and what is said of it.
type Change<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Everything that `src/gateway/fixed.rs` knows, all of it in use.
fn text(app: &App) -> String {
    format!(
        "listen: [{{ address: 127.0.0.1:0 }}, {{ address: unix:socket, mode: \"0600\" }}]\n\
         admin: {{ listen: 127.0.0.1:0 }}\n\
         store: {{ path: ./data, min_free: 1MiB, scrub: 24h }}\n\
         limits: {{ body: 1MiB, tls: {{ handshakes: 10, handshake_timeout: 3s }} }}\n\
         traces: {{ otlp: \"http://127.0.0.1:1\", sample: 0%, headers: {{ Api-Key: one-secret }} }}\n\
         sources:\n  a: {{ verify: none, forward: app }}\n\
         targets:\n  app: {{ url: {} }}\n",
        app.url()
    )
}

/// The text with what stands there once replaced.
#[track_caller]
fn with(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
    text.replace(from, to)
}

/// A file is used as a whole: what cannot change keeps the rest from being used.
#[test]
fn each_change_is_named_by_itself_and_nothing_is_used() {
    const BODIES: (&str, &str) = ("body: 1MiB", "body: 1KiB");
    let app = App::start();
    let text = text(&app);
    let home = Home::new(&text);
    let gate = home.start();
    let before = gate.config_hash();
    let mut changes: Vec<Change> = vec![
        (
            "{ address: 127.0.0.1:0 }",
            "{ address: 127.0.0.1:1 }",
            "listen",
            "would be 127.0.0.1:1, unix:socket, mode 0600;",
        ),
        (
            "{ address: 127.0.0.1:0 }, ",
            "",
            "listen",
            "would be unix:socket, mode 0600;",
        ),
        (
            "mode: \"0600\"",
            "mode: \"0660\"",
            "listen",
            "is 127.0.0.1:0, unix:socket, mode 0600 and would be 127.0.0.1:0, unix:socket, mode 0660;",
        ),
        (
            "{ address: 127.0.0.1:0 }",
            "{ address: 127.0.0.1:0, proxy_protocol: [127.0.0.1] }",
            "listen",
            "would be 127.0.0.1:0, PROXY protocol from 127.0.0.1/32, unix:socket",
        ),
        (
            "{ address: 127.0.0.1:0 }",
            "{ address: 127.0.0.1:0, http2: true }",
            "listen",
            "would be 127.0.0.1:0, HTTP/2, unix:socket",
        ),
        (
            "admin: { listen: 127.0.0.1:0 }",
            "admin: { listen: 127.0.0.1:1 }",
            "admin.listen",
            "is 127.0.0.1:0 and would be 127.0.0.1:1;",
        ),
        (
            "path: ./data",
            "path: ./elsewhere",
            "store.path",
            "is ./data and would be ./elsewhere;",
        ),
        (
            "scrub: 24h",
            "scrub: 12h",
            "store.scrub",
            "is 24h and would be 12h;",
        ),
        (
            "scrub: 24h",
            "scrub: 0s",
            "store.scrub",
            "is 24h and would be 0s;",
        ),
        (
            "handshakes: 10",
            "handshakes: 11",
            "limits.tls",
            "is 10 handshakes within 3s and would be 11 handshakes within 3s;",
        ),
        (
            "handshake_timeout: 3s",
            "handshake_timeout: 4s",
            "limits.tls",
            "is 10 handshakes within 3s and would be 10 handshakes within 4s;",
        ),
        ("traces: ", "x-traces: ", "traces", "has changed;"),
        (
            "127.0.0.1:1\", ",
            "127.0.0.1:2\", ",
            "traces",
            "has changed;",
        ),
        ("sample: 0%", "sample: 1%", "traces", "has changed;"),
        ("one-secret", "another-secret", "traces", "has changed;"),
        (
            "  a: { ",
            "  b: { replaces: a, ",
            "sources.b.replaces",
            "takes over what a has left;",
        ),
        (
            "forward: app }\ntargets:\n  app: { ",
            "forward: other }\ntargets:\n  other: { replaces: app, ",
            "targets.other.replaces",
            "takes over what app has left;",
        ),
    ];
    let certificates;
    let tls;
    if let Some(made) = Certificates::of_a_gateway() {
        certificates = made;
        let shown = certificates.listed(&["server"]);
        tls = format!("{{ address: 127.0.0.1:0, http2: false, tls: {{ {shown} }} }}");
        changes.push((
            "{ address: 127.0.0.1:0 }",
            &tls,
            "listen",
            "would be 127.0.0.1:0, TLS, unix:socket",
        ));
    }
    for (n, (from, to, key, said)) in changes.into_iter().enumerate() {
        // Something that a reload could use stands beside it.
        home.configure(&with(&with(&text, from, to), BODIES.0, BODIES.1));
        let reply = gate.reload();
        assert_eq!(reply.status, 409, "{to}: {reply:?}");
        let problems = reply.problems();
        let [problem] = &*problems else {
            panic!("{to}: {problems:?}");
        };
        let named = problem.strip_prefix(key);
        let named = named.and_then(|rest| rest.strip_prefix(": "));
        assert!(
            named.is_some_and(|rest| rest.contains(said)),
            "{to}: {problem}"
        );
        assert!(problem.ends_with("; only a restart applies it"));
        let logged = serde_json::to_string(problem).expect("JSON");
        wait_until(&logged, || gate.log().contains(&logged));
        assert_eq!(gate.metric(RELOADED), 0.0, "{to}");
        assert_eq!(gate.config_hash(), before, "{to}");
        let large = Request::new("/hooks/a", format!("{n:02048}"));
        assert_eq!(gate.send(&large).status, 200, "{to}: no part is in use");
        app.wait_for(n + 1);
        home.configure(&text);
        gate.reloaded();
        assert_eq!(gate.metric(RELOADED), 1.0);
    }
    let log = gate.log();
    assert!(!log.contains("one-secret") && !log.contains("another-secret"));
}

#[test]
fn all_changes_are_named_at_once_and_a_restart_applies_them() {
    let app = App::start();
    let text = text(&app);
    let home = Home::new(&text);
    let gate = home.start();
    let large = |source: &str| Request::new(&format!("/hooks/{source}"), vec![b'x'; 2048]);
    assert_eq!(gate.send(&large("a")).status, 200);
    let mut next = text.clone();
    for (from, to) in [
        ("mode: \"0600\"", "mode: \"0660\""),
        ("scrub: 24h", "scrub: 12h"),
        ("handshakes: 10", "handshakes: 11"),
        ("traces: ", "x-traces: "),
        ("  a: { ", "  b: { replaces: a, "),
        ("body: 1MiB", "body: 1KiB"),
    ] {
        next = with(&next, from, to);
    }
    home.configure(&next);
    let problems = gate.reload().problems();
    let keys = problems.iter().map(|problem| problem.split(':').next());
    let keys: Vec<_> = keys.flatten().collect();
    assert_eq!(
        keys,
        [
            "listen",
            "store.scrub",
            "limits.tls",
            "traces",
            "sources.b.replaces"
        ]
    );
    drop(gate);
    let gate = home.start();
    assert_eq!(gate.send(&large("b")).status, 413);
    home.configure(&with(&next, "body: 1KiB", "body: 1MiB"));
    // What it replaces is not there any more, and limits need no restart.
    gate.reloaded();
    assert!(gate.send(&large("b")).is_duplicate());
}

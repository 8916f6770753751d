//! Files that do not load, and every message that a user gets for them. The snapshots show file and messages
//! together: read them as someone who mistyped.

mod handshakes;
mod schemes;
mod sources;
mod targets;
mod traces;

use super::{PLENTY, load, shown, variable};
use crate::config::load::{Options, Process, load_text};
use proptest::prelude::*;
use std::fmt::Write as _;

const WHOLE_FILES: [&str; 2] = [
    include_str!("../everything.yaml"),
    include_str!("../language.yaml"),
];

/// Renders each case with its messages.
fn messages(cases: &[(&str, &str)]) -> String {
    let mut page = String::new();
    for (name, text) in cases {
        let Err(problems) = load(text.trim_start_matches('\n')) else {
            panic!("{name} should not load");
        };
        assert!(!problems.is_empty(), "{name} is refused without a reason");
        let problems = shown(&problems);
        for secret in ["s3cr3t", "of-the-environment", "hunter2"] {
            assert!(
                !problems.contains(secret),
                "{name} shows a secret: {problems}"
            );
        }
        let indented = |text: &str| text.trim().replace('\n', "\n  ");
        write!(
            page,
            "## {name}\n  {}\n>> {}\n\n",
            indented(text),
            problems.replace('\n', "\n>> ")
        )
        .expect("a String takes everything");
    }
    page
}

/// Compares with the snapshot of this name.
fn compare(name: &str, page: &str) {
    insta::assert_snapshot!(name, page);
}

/// A source with these lines, forwarding to a URL.
fn source(lines: &str) -> String {
    format!(
        "sources:\n  erp:\n    forward: http://127.0.0.1:3000/\n    {}\n",
        lines.trim().replace('\n', "\n    ")
    )
}

/// A source that verifies with an HMAC and has these lines beside that.
fn signed(lines: &str) -> String {
    source(&format!(
        "verify: {{ hmac: {{ header: X-Signature }} }}\nsecret: ${{SECRET}}\n{lines}"
    ))
}

/// A source, and a target `orders` with these lines.
fn target(lines: &str) -> String {
    format!(
        "sources:\n  erp: {{ verify: none, forward: orders }}\ntargets:\n  orders:\n    {}\n",
        lines.trim().replace('\n', "\n    ")
    )
}

/// Runs a table whose texts are made by one of the functions above.
fn table(make: fn(&str) -> String, cases: &[(&str, &str)]) -> String {
    let texts: Vec<String> = cases.iter().map(|(_, lines)| make(lines)).collect();
    let names = cases.iter().map(|(name, _)| *name);
    let whole: Vec<(&str, &str)> = names.zip(texts.iter().map(String::as_str)).collect();
    messages(&whole)
}

#[test]
fn whole_files() {
    compare(
        "whole_files",
        &messages(&[
            ("an empty file", ""),
            ("only comments", "# nothing yet\n"),
            ("a list", "- a\n- b\n"),
            ("text", "hello\n"),
            ("no sources", "listen: :8080\n"),
            ("sources commented out", "sources:\n  # erp:\n"),
            ("sources is a list", "sources:\n  - erp\n"),
            ("sources is text", "sources: erp\n"),
            (
                "a source is text",
                "sources:\n  erp: http://127.0.0.1:3000/\n",
            ),
            ("an empty source", "sources:\n  erp:\n"),
            (
                "unknown keys at the top",
                "surces: {}\nlog: debug\nsources: { a: { verify: none, forward: http://a/ } }\n",
            ),
            (
                "keys of later releases",
                "
public_url: https://a/
trust: [10.0.0.0/8]
rejects: { keep: 100 }
sources: { a: { verify: none, forward: http://a/, order_by: json:/id, rate: 10 } }
",
            ),
            ("two documents", "sources: {}\n---\nsources: {}\n"),
            (
                "a key twice",
                "sources:\n  erp: { verify: none }\n  erp: { verify: none }\n",
            ),
            ("an indentation with a tab", "sources:\n\terp: {}\n"),
            (
                "an unclosed quote",
                "sources:\n  erp:\n    secret: \"abc\n    forward: x\n",
            ),
            (
                "braces in a list",
                "sources:\n  erp:\n    secrets: [${SECRET}]\n",
            ),
            (
                "braces in a mapping",
                "admin: { listen: :9444, token: ${SECRET} }\n",
            ),
            (
                "a bare star",
                "sources:\n  erp:\n    forward:\n      - { to: a, events: [*] }\n",
            ),
            (
                "an alias by accident",
                "sources:\n  erp:\n    forward:\n      - { to: a, events: [*created] }\n",
            ),
            ("a bad merge", "sources:\n  erp:\n    <<: 5\n"),
            (
                "names",
                "sources:\n  Erp: { verify: none, forward: a_b }\n  -x: { verify: none, forward: http://a/ }\ntargets:\n  a_b: { url: http://a/ }\n",
            ),
        ]),
    );
}

#[test]
fn the_gateway() {
    compare("the_gateway", &messages(&[
        ("no listener", "
listen: []
sources: { a: { verify: none, forward: http://a/ } }
"),
        ("listeners", "
listen:
  - /run/hookgate.sock
  - unix:@abstract
  - { adress: 0.0.0.0:8081 }
  - { address: 0.0.0.0:8082, mode: \"0660\" }
  - { address: unix:a.sock, mode: 660 }
  - { address: unix:b.sock, mode: rw-rw---- }
  - { address: 0.0.0.0:8083, proxy_protocol: [] }
  - { address: 0.0.0.0:8084, proxy_protocol: [10.0.0.1/8, localhost, 10.0.0.0/33, unix] }
  - systemd:a:b
  - [0.0.0.0:8085]
sources: { a: { verify: none, forward: http://a/ } }
"),
        ("listeners that collide", "
listen:
  - :8080
  - 127.0.0.1:8080
  - unix:/run/a.sock
  - { address: unix:/run//a.sock, mode: \"0600\" }
  - systemd
  - systemd:a
  - systemd:a
  - systemd
  - :0
  - :0
admin: { listen: \"[::1]:8080\" }
sources: { a: { verify: none, forward: http://a/ } }
"),
        ("addresses", "
listen: localhost:8080
admin: { listen: 9444 }
sources: { a: { verify: none, forward: http://a/ } }
"),
        ("more addresses", "
listen: [::]:8080
admin: { listen: 127.0.0.1 }
sources: { a: { verify: none, forward: http://a/ } }
".replace("[::]:8080", "\"example.com:80\"").as_str()),
        ("one port for both", "listen: :9444\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("one address for both", "listen: :80\nadmin: { listen: 127.0.0.1:80 }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("zero limits", "
limits: { body: 0, headers: 0, connections: 0, in_flight_bytes: 0B, header_timeout: 0s, body_timeout: 0ms, idle_timeout: 0s, dedupe_keys: 0, header_bytes: 0, signatures: 0, rejects_per_client: 0 }
store: { max_size: 0, dead_retention: 0s, scrub: often, start_check: 1 }
shutdown: { timeout: 0s }
sources: { a: { verify: none, forward: http://a/ } }
"),
        ("limits of the wrong kind", "
limits:
  body: 1M
  headers: many
  connections: 1e3
  in_flight_bytes: [64MiB]
  header_timeout: 10
  body_timeout: 1h30m
  idle_timeout: true
  dedupe_keys: -5
  header_bytes: 2MiB
  signatures: 1001
  rejects_per_client: 1000001
sources: { a: { verify: none, forward: http://a/ } }
"),
        ("a body larger than all bodies", "limits: { body: 65MiB }\nsources: { a: { verify: none, limits: { body: 1GiB }, forward: http://a/ } }\n"),
        ("no room for a body", "limits: { in_flight_bytes: 1KiB }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("unknown keys below", "
limits: { bodi: 1MiB, rate: 5 }
store: { dir: /data, max-size: 1GiB }
admin: { tls: {} }
shutdown: { grace: 5s }
sources: { a: { verify: none, limits: { headers: 5 }, forward: http://a/ } }
"),
        ("sections that are none", "limits: 5\nstore: /data\nadmin: [a]\nshutdown: now\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("too long and too large", "store: { retention: 9999d, max_size: 99999999TiB }\nlimits: { dedupe_keys: 99999999999999999999 }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("what a store keeps", "store: { attempts: 1001, history: 30 }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("a store without a path", "store: { path: \"\" }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("an admin token with a line break", "admin: { token: \"hunter2\\n\" }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
    ]));
}

#[test]
fn several_sections_together() {
    compare(
        "several_sections_together",
        &messages(&[
            (
                "two sources on one path",
                "
sources:
  a: { verify: none, path: /in, forward: http://a/ }
  b: { verify: none, path: /in, forward: http://a/ }
",
            ),
            (
                "a path that is another's default",
                "
sources:
  a: { verify: none, path: /hooks/b, forward: http://a/ }
  b: { verify: none, forward: http://a/ }
",
            ),
            (
                "one path, and one of them wrong elsewhere",
                "
sources:
  a: { verify: none, path: /in, forward: nowhere }
  b: { verify: none, path: /in, forward: http://a/ }
",
            ),
            (
                "a URL for a name that is taken",
                "
sources:
  orders: { verify: none, forward: http://a/ }
targets:
  orders: { url: http://b/ }
",
            ),
            (
                "heirs",
                "
sources:
  a: { verify: none, replaces: b, forward: http://a/ }
  b: { verify: none, replaces: z, forward: http://a/ }
  c: { verify: none, replaces: z, forward: http://a/ }
",
            ),
            (
                "what is wrong in an anchor",
                "
x-slow: &slow
  timeout: 60 s
sources:
  a: { verify: none, forward: t }
targets:
  t:
    <<: *slow
    url: http://a/
",
            ),
            (
                "everything at once",
                "
listen: 8080
limit: { body: 1MiB }
limits: { body: 0 }
sources:
  shop:
    provider: chatsva
    secret: ${NO_SUCH_VARIABLE}
    forward: ordres
  erp:
    path: in/erp
    verify: { hmac: { header: X-Signature, timestamp: { header: X-Time } } }
    secrets: []
    ack: passthrough
    forward:
      - { to: orders, event: [\"order.*\"] }
  crm:
    verify: none
    path: /hooks/shop
targets:
  orders: { url: 127.0.0.1:3000, concurrency: 0 }
",
            ),
        ]),
    );
}

proptest! {
    /// Whatever becomes of a file in an editor: it loads, or every reason against it stands within it.
    #[test]
    fn a_mutilated_file_is_loaded_or_refused_with_a_reason(
        file in 0..WHOLE_FILES.len(),
        from in 0..WHOLE_FILES.map(str::len).into_iter().max().expect("two"),
        length in 0_usize..120,
        inserted in "[a-z0-9:{}\\[\\]$*!&<~\"'# \n-]{0,6}",
        allow_unset: bool,
    ) {
        let mut text: Vec<char> = WHOLE_FILES[file].chars().collect();
        let to = (from + length).min(text.len());
        text.splice(from.min(to)..to, inserted.chars());
        let text: String = text.into_iter().collect();
        let process = Process { variable: &variable, open_files_max: PLENTY };
        if let Err(problems) = load_text("f", &text, Options { allow_unset }, &process) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                let (line, column) = problem.place.unwrap_or((1, 1));
                prop_assert!(line >= 1 && line <= text.lines().count() + 1, "{}", problem);
                prop_assert!(column >= 1, "{}", problem);
                prop_assert!(!problem.message.is_empty());
            }
        }
    }
}

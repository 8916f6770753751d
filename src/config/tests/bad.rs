//! Files that do not load, and every message that a user gets for them. The snapshots show file and messages
//! together: read them as someone who mistyped.

use super::{load, shown};
use std::fmt::Write as _;

/// Renders each case with its messages.
fn messages(cases: &[(&str, &str)]) -> String {
    let mut page = String::new();
    for (name, text) in cases {
        let problems = match load(text.trim_start_matches('\n')) {
            Err(problems) => problems,
            Ok(_) => panic!("{name} should not load"),
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
    let made: Vec<(&str, String)> = cases
        .iter()
        .map(|(name, lines)| (*name, make(lines)))
        .collect();
    let made: Vec<(&str, &str)> = made
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    messages(&made)
}

#[test]
fn whole_files() {
    insta::assert_snapshot!(
        "whole_files",
        messages(&[
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
                "sources:\n  erp: http://127.0.0.1:3000/\n"
            ),
            ("an empty source", "sources:\n  erp:\n"),
            (
                "unknown keys at the top",
                "surces: {}\nlog: debug\nsources: { a: { verify: none, forward: http://a/ } }\n"
            ),
            (
                "keys of later releases",
                "
public_url: https://a/
trusted_proxies: [10.0.0.0/8]
rejects: { keep: 100 }
sources: { a: { verify: none, forward: http://a/, order_by: json:/id, rate: 10 } }
"
            ),
            ("two documents", "sources: {}\n---\nsources: {}\n"),
            (
                "a key twice",
                "sources:\n  erp: { verify: none }\n  erp: { verify: none }\n"
            ),
            ("an indentation with a tab", "sources:\n\terp: {}\n"),
            (
                "an unclosed quote",
                "sources:\n  erp:\n    secret: \"abc\n    forward: x\n"
            ),
            (
                "braces in a list",
                "sources:\n  erp:\n    secrets: [${SECRET}]\n"
            ),
            (
                "braces in a mapping",
                "admin: { listen: :9444, token: ${SECRET} }\n"
            ),
            (
                "a bare star",
                "sources:\n  erp:\n    forward:\n      - { to: a, events: [*] }\n"
            ),
            (
                "an alias by accident",
                "sources:\n  erp:\n    forward:\n      - { to: a, events: [*created] }\n"
            ),
            ("a bad merge", "sources:\n  erp:\n    <<: 5\n"),
            (
                "names",
                "sources:\n  Erp: { verify: none, forward: a_b }\n  -x: { verify: none, forward: http://a/ }\ntargets:\n  a_b: { url: http://a/ }\n"
            ),
        ])
    );
}

#[test]
fn the_gateway() {
    insta::assert_snapshot!("the_gateway", messages(&[
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
limits: { body: 0, headers: 0, connections: 0, in_flight_bytes: 0B, header_timeout: 0s, body_timeout: 0ms, idle_timeout: 0s, dedupe_keys: 0, header_bytes: 0 }
store: { max_size: 0, dead_retention: 0s }
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
        ("a store without a path", "store: { path: \"\" }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
        ("an admin token with a line break", "admin: { token: \"hunter2\\n\" }\nsources: { a: { verify: none, forward: http://a/ } }\n"),
    ]));
}

#[test]
fn verifying() {
    insta::assert_snapshot!(
        "verifying",
        table(
            source,
            &[
                ("no way to verify", "secret: ${SECRET}"),
                (
                    "an unknown provider",
                    "provider: chatmefi\nsecret: ${SECRET}"
                ),
                (
                    "a provider in another case",
                    "provider: LiveChat\nsecret: ${SECRET}"
                ),
                (
                    "chatplugify without its header",
                    "provider: chatplugify\nsecret: ${SECRET}"
                ),
                (
                    "chatplugify with a wrong header",
                    "provider: chatplugify\nverify: { token: { header: \"X Token\" } }\nsecret: ${SECRET}"
                ),
                ("an unknown way", "verify: bearr\nsecret: ${SECRET}"),
                (
                    "another unknown way",
                    "verify: { jwt: { header: A } }\nsecret: ${SECRET}"
                ),
                ("no value", "verify:\nsecret: ${SECRET}"),
                ("an empty mapping", "verify: {}\nsecret: ${SECRET}"),
                ("a list", "verify: [hmac]\nsecret: ${SECRET}"),
                ("hmac without settings", "verify: hmac\nsecret: ${SECRET}"),
                ("none as a mapping", "verify: { none: true }"),
                (
                    "bearer as a mapping",
                    "verify: { bearer: {} }\nsecret: ${SECRET}"
                ),
                (
                    "two ways",
                    "verify: { hmac: { header: A }, token: { header: B } }\nsecret: ${SECRET}"
                ),
                (
                    "no header",
                    "verify: { hmac: { algorithm: sha1 } }\nsecret: ${SECRET}"
                ),
                (
                    "wrong words",
                    "verify: { hmac: { header: \"a b\", algorithm: sha-256, encoding: base46, prefix: \"é\", hash: x } }\nsecret: ${SECRET}"
                ),
                (
                    "a header that is a number",
                    "verify: { token: { header: 5 } }\nsecret: ${SECRET}"
                ),
                (
                    "a body that is not signed",
                    "verify: { hmac: { header: A, signed: \"{header:X-Id}\" } }\nsecret: ${SECRET}"
                ),
                (
                    "an unknown placeholder",
                    "verify: { hmac: { header: A, signed: \"{json_stringify}\" } }\nsecret: ${SECRET}"
                ),
                (
                    "an unclosed placeholder",
                    "verify: { hmac: { header: A, signed: \"{body\" } }\nsecret: ${SECRET}"
                ),
                (
                    "a time from nowhere",
                    "verify: { hmac: { header: A, signed: \"{timestamp}.{body}\" } }\nsecret: ${SECRET}"
                ),
                (
                    "a tolerance that is theatre",
                    "verify: { hmac: { header: A, timestamp: { header: B, tolerance: 5m } } }\nsecret: ${SECRET}"
                ),
                (
                    "a timestamp without header",
                    "verify: { hmac: { header: A, signed: \"{timestamp}.{body}\", timestamp: { format: iso, tolerance: 0s } } }\nsecret: ${SECRET}"
                ),
                (
                    "theatre over a preset",
                    "provider: chatmefy\nverify: { hmac: { timestamp: { header: X-Time } } }\nsecret: ${SECRET}"
                ),
                (
                    "a value from the environment",
                    "verify: { hmac: { header: \"${SECRET} x\" } }\nsecret: ${SECRET}"
                ),
                (
                    "a secret in the wrong place",
                    "verify: { hmac: { header: A, encoding: \"${SECRET}\" } }\nsecret: ${SECRET}"
                ),
            ]
        )
    );
}

#[test]
fn secrets() {
    insta::assert_snapshot!(
        "secrets",
        table(
            source,
            &[
                ("none at all", "verify: bearer"),
                ("none beside a preset", "provider: vowchat"),
                ("a bare list", "verify: bearer\nsecrets: []"),
                ("no value", "verify: bearer\nsecret:"),
                ("an empty one", "verify: bearer\nsecret: \"\""),
                ("an empty variable", "verify: bearer\nsecret: ${EMPTY}"),
                (
                    "an empty default",
                    "verify: bearer\nsecret: ${NO_SUCH_VARIABLE:-}"
                ),
                (
                    "an unset variable",
                    "verify: bearer\nsecret: ${NO_SUCH_VARIABLE}"
                ),
                (
                    "two unset variables",
                    "verify: bearer\nsecrets: [\"${NO_SUCH_VARIABLE}\", \"x${NOR_THIS}\", \"${SECRET}\"]"
                ),
                ("no variable", "verify: bearer\nsecret: ${NO-DASH}"),
                ("an unclosed variable", "verify: bearer\nsecret: ${SECRET"),
                ("both keys", "verify: bearer\nsecret: a\nsecrets: [b]"),
                ("secrets is text", "verify: bearer\nsecrets: hunter2"),
                ("secret is a list", "verify: bearer\nsecret: [hunter2]"),
                ("a number", "verify: bearer\nsecret: 31337"),
                (
                    "a file that is not there",
                    "verify: bearer\nsecret: { file: /no/such/file }"
                ),
                ("a directory", "verify: bearer\nsecret: { file: / }"),
                (
                    "an empty file",
                    "verify: bearer\nsecret: { file: /dev/null }"
                ),
                (
                    "a file without end",
                    "verify: bearer\nsecret: { file: /dev/zero }"
                ),
                (
                    "value and file",
                    "verify: bearer\nsecret: { value: hunter2, file: /no/such/file }"
                ),
                (
                    "neither",
                    "verify: bearer\nsecrets: [{ name: old }, { vale: hunter2 }]"
                ),
                (
                    "one name twice",
                    "verify: bearer\nsecrets: [{ name: a, value: x }, { name: a, value: y }]"
                ),
                (
                    "a name that is a place",
                    "verify: bearer\nsecrets: [{ name: \"2\", value: x }, y]"
                ),
                (
                    "a bad name",
                    "verify: bearer\nsecrets: [{ name: \"a b\", value: x }]"
                ),
                ("with verify none", "verify: none\nsecret: hunter2"),
                (
                    "a token that can't be sent",
                    "verify: bearer\nsecret: \"hunter2\\nhunter2\""
                ),
                ("a mistyped key", "verify: bearer\nsecert: hunter2"),
            ]
        )
    );
}

#[test]
fn the_parts_of_a_source() {
    insta::assert_snapshot!(
        "the_parts_of_a_source",
        table(
            signed,
            &[
                (
                    "unknown keys",
                    "endpoint: /x\nack-deadline: 5s\ntimeout: 3s"
                ),
                ("paths", "path: hooks/erp"),
                ("a path with a query", "path: /hooks?a=b"),
                ("a path with a space", "path: \"/a b\""),
                ("a path that is a number", "path: 5"),
                (
                    "key expressions",
                    "event: { id: id, type: \"$.event\", time: header:a b, name: x }"
                ),
                (
                    "a field of an unknown kind",
                    "event: { id: [json:id, cookie:id, [header:X-Id, 5], []] }"
                ),
                ("a type that is a hash", "event: { type: body }"),
                (
                    "a type that is a join",
                    "event: { type: [[json:/a, json:/b]] }"
                ),
                ("an event that is a list", "event: [json:/id]"),
                ("an age without time", "max_age: 24h"),
                (
                    "an age of an unsigned time",
                    "max_age: 24h\nevent: { time: header:X-Time }"
                ),
                ("an age of zero", "max_age: 0s"),
                ("an age that is no duration", "max_age: never"),
                ("a window of zero", "dedupe: { window: 0s }"),
                (
                    "rules",
                    "dedupe: { skip: [typing, { event: x }, { header: X-Test }, { event: x, header: y, value: z }, {}] }"
                ),
                ("a rule", "dedupe: { skip: { event: x } }"),
                (
                    "a rule of exclusions",
                    "event: { type: json:/event }\ndedupe: { skip: [{ event: \"!x\" }] }"
                ),
                (
                    "a rule with a bare boolean",
                    "dedupe: { skip: [{ header: X-Test, value: true }] }"
                ),
                (
                    "a replay of nothing",
                    "dedupe: { replay: X-Signature, windows: 5s }"
                ),
                ("deadlines", "sender_timeout: 5s\nack_deadline: 6s"),
                ("no time at all", "sender_timeout: 0s\nack_deadline: 0s"),
                ("an unknown ack", "ack: deliver"),
                (
                    "a success that is none",
                    "respond: { status: 302, content_type: \"a\\nb\", body: [accepted] }"
                ),
                (
                    "a body where none can be",
                    "respond: { status: 204, body: ok }"
                ),
                ("a status that is text", "respond: { status: ok }"),
                ("a limit of zero", "limits: { body: 0 }"),
                ("an own heir", "replaces: erp"),
                ("a bad heir", "replaces: ERP"),
            ]
        )
    );
}

#[test]
fn forwarding() {
    let make = |forward: &str| {
        format!(
            "targets:\n  orders: {{ url: http://a/ }}\n  audit: {{ url: http://b/ }}\nsources:\n  erp:\n    verify: none\n    {}\n",
            forward.replace('\n', "\n    ")
        )
    };
    insta::assert_snapshot!(
        "forwarding",
        table(
            make,
            &[
                ("nowhere", ""),
                ("no value", "forward:"),
                ("a target that is not there", "forward: ordres"),
                ("another one", "forward: crm"),
                ("one of several", "forward: [orders, crm, { to: audti }]"),
                ("an empty list", "forward: []"),
                ("a mapping", "forward: { to: orders }"),
                (
                    "an address without scheme",
                    "forward: 127.0.0.1:3000/webhooks"
                ),
                ("a URL in a list", "forward: [http://127.0.0.1:3000/]"),
                (
                    "a URL in a route",
                    "forward:\n  - { to: http://127.0.0.1:3000/ }"
                ),
                ("a URL without host", "forward: http:///webhooks"),
                ("a URL of another scheme", "forward: ftp://a/"),
                ("a URL with a password", "forward: http://user:hunter2@a/"),
                ("a URL with a fragment", "forward: http://a/#top"),
                ("a URL with a space", "forward: \"http://a/b c\""),
                ("a URL with a bad port", "forward: http://a:99999/"),
                (
                    "a target twice",
                    "forward: [orders, { to: orders, events: a }]"
                ),
                (
                    "a route without target",
                    "forward: [{ events: [a] }, { target: orders }]"
                ),
                (
                    "no events",
                    "event: { type: json:/t }\nforward: [{ to: orders, events: [] }]"
                ),
                (
                    "bad patterns",
                    "event: { type: json:/t }\nforward: [{ to: orders, events: [\"\", \"!\", 5, [a], !draft] }]"
                ),
                (
                    "events of unknown type",
                    "forward: [{ to: orders, events: \"order.*\" }]"
                ),
                (
                    "passthrough to two",
                    "ack: passthrough\nforward: [orders, audit]"
                ),
                ("an unset variable", "forward: ${NO_SUCH_VARIABLE}"),
                ("a variable that names no target", "forward: [\"${WORD}\"]"),
            ]
        )
    );
}

#[test]
fn targets() {
    insta::assert_snapshot!(
        "targets",
        table(
            target,
            &[
                ("no url", "timeout: 5s"),
                ("a bad url", "url: localhost:3000"),
                ("a url that is a list", "url: [http://a/]"),
                (
                    "unknown keys",
                    "url: http://a/\nurls: x\nretries: 5\nsigned: {}"
                ),
                (
                    "zeros",
                    "url: http://a/\ntimeout: 0s\nconcurrency: 0\nmax_backlog: 0%\nretry: { first: 0s, max: 0s }"
                ),
                (
                    "wrong kinds",
                    "url: http://a/\ntimeout: soon\nconcurrency: 1.5\nmax_backlog: half\nwhen_full: drop\nretry: { factor: 0.5, give_up_after: 3 }"
                ),
                (
                    "too much",
                    "url: http://a/\nconcurrency: 1000000\nmax_backlog: 1TiB\nretry: { factor: 1e9 }"
                ),
                (
                    "a maximum below the first",
                    "url: http://a/\nretry: { first: 5s, max: 1s }"
                ),
                ("retry is a duration", "url: http://a/\nretry: 5s"),
                ("sign without secret", "url: http://a/\nsign: {}"),
                (
                    "sign without prefix",
                    "url: http://a/\nsign: { secret: hunter2 }"
                ),
                (
                    "sign without base64",
                    "url: http://a/\nsign: { secret: whsec_hunter2! }"
                ),
                (
                    "sign with a short key",
                    "url: http://a/\nsign: { secret: whsec_aHVudGVyMg== }"
                ),
                ("sign is text", "url: http://a/\nsign: whsec_hunter2"),
                ("replaces what is there", "url: http://a/\nreplaces: orders"),
            ]
        )
    );
}

#[test]
fn several_sections_together() {
    insta::assert_snapshot!(
        "several_sections_together",
        messages(&[
            (
                "two sources on one path",
                "
sources:
  a: { verify: none, path: /in, forward: http://a/ }
  b: { verify: none, path: /in, forward: http://a/ }
"
            ),
            (
                "a path that is another's default",
                "
sources:
  a: { verify: none, path: /hooks/b, forward: http://a/ }
  b: { verify: none, forward: http://a/ }
"
            ),
            (
                "one path, and one of them wrong elsewhere",
                "
sources:
  a: { verify: none, path: /in, forward: nowhere }
  b: { verify: none, path: /in, forward: http://a/ }
"
            ),
            (
                "a URL for a name that is taken",
                "
sources:
  orders: { verify: none, forward: http://a/ }
targets:
  orders: { url: http://b/ }
"
            ),
            (
                "heirs",
                "
sources:
  a: { verify: none, replaces: b, forward: http://a/ }
  b: { verify: none, replaces: z, forward: http://a/ }
  c: { verify: none, replaces: z, forward: http://a/ }
"
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
"
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
"
            ),
        ])
    );
}

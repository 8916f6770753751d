//! What is wrong with targets, and on the way to them.

use super::{compare, table, target};

#[test]
fn forwarding() {
    let make = |forward: &str| {
        format!(
            "targets:\n  orders: {{ url: http://a/ }}\n  audit: {{ url: http://b/ }}\nsources:\n  erp:\n    verify: none\n    {}\n",
            forward.replace('\n', "\n    ")
        )
    };
    compare(
        "forwarding",
        &table(
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
                    "forward: 127.0.0.1:3000/webhooks",
                ),
                ("a URL in a list", "forward: [http://127.0.0.1:3000/]"),
                (
                    "a URL in a route",
                    "forward:\n  - { to: http://127.0.0.1:3000/ }",
                ),
                ("a URL without host", "forward: http:///webhooks"),
                ("a URL of another scheme", "forward: ftp://a/"),
                ("a URL with a password", "forward: http://user:hunter2@a/"),
                ("a URL with a fragment", "forward: http://a/#top"),
                ("a URL with a space", "forward: \"http://a/b c\""),
                ("a URL with a bad port", "forward: http://a:99999/"),
                (
                    "a target twice",
                    "forward: [orders, { to: orders, events: a }]",
                ),
                (
                    "a route without target",
                    "forward: [{ events: [a] }, { target: orders }]",
                ),
                (
                    "no events",
                    "event: { type: json:/t }\nforward: [{ to: orders, events: [] }]",
                ),
                (
                    "a pattern without quotes",
                    "event: { type: json:/t }\nforward:\n  - to: orders\n    events:\n      - !draft",
                ),
                (
                    "a pattern without quotes in brackets",
                    "forward: [{ to: orders, events: [!draft] }]",
                ),
                (
                    "bad patterns",
                    "event: { type: json:/t }\nforward: [{ to: orders, events: [\"\", \"!\", 5, [a]] }]",
                ),
                (
                    "events of unknown type",
                    "forward: [{ to: orders, events: \"order.*\" }]",
                ),
                (
                    "passthrough to two",
                    "ack: passthrough\nforward: [orders, audit]",
                ),
                ("an unset variable", "forward: ${NO_SUCH_VARIABLE}"),
                ("a variable that names no target", "forward: [\"${WORD}\"]"),
            ],
        ),
    );
}

#[test]
fn targets() {
    compare(
        "targets",
        &table(
            target,
            &[
                ("no url", "timeout: 5s"),
                ("a bad url", "url: localhost:3000"),
                ("a url that is a list", "url: [http://a/]"),
                (
                    "unknown keys",
                    "url: http://a/\nurls: x\nretries: 5\nsigned: {}",
                ),
                (
                    "zeros",
                    "url: http://a/\ntimeout: 0s\nconcurrency: 0\nmax_backlog: 0%\nretry: { first: 0s, max: 0s }",
                ),
                (
                    "wrong kinds",
                    "url: http://a/\ntimeout: soon\nconcurrency: 1.5\nmax_backlog: half\nwhen_full: drop\nretry: { factor: 0.5, give_up_after: 3 }",
                ),
                (
                    "too much",
                    "url: http://a/\nconcurrency: 1000000\nmax_backlog: 1TiB\nretry: { factor: 1e9 }",
                ),
                (
                    "a maximum below the first",
                    "url: http://a/\nretry: { first: 5s, max: 1s }",
                ),
                ("retry is a duration", "url: http://a/\nretry: 5s"),
                ("no delays", "url: http://a/\nretry: []"),
                ("bad delays", "url: http://a/\nretry: [1m, 0s, five, [5m]]"),
                (
                    "delays that are listed and grow",
                    "url: http://a/\nretry: { delays: [1m], first: 1s, factor: 2, max: 5m }",
                ),
                (
                    "bad counts of attempts",
                    "url: http://a/\nretry: { delays: 5m, max_attempts: 0 }",
                ),
                ("bad rates", "url: http://a/\nrate: 50"),
                ("a rate of nothing", "url: http://a/\nrate: 0/s"),
                ("a rate in days", "url: http://a/\nrate: 5/d"),
                (
                    "a bad breaker",
                    "url: http://a/\nbreaker: { failures: 0, rate: 50, min_attempts: many, window: 10ms, hold: 1ms, open: 5s }",
                ),
                ("a breaker that is on", "url: http://a/\nbreaker: on"),
                ("a breaker that is a list", "url: http://a/\nbreaker: [10]"),
                ("sign without secret", "url: http://a/\nsign: {}"),
                (
                    "sign without prefix",
                    "url: http://a/\nsign: { secret: hunter2 }",
                ),
                (
                    "sign without base64",
                    "url: http://a/\nsign: { secret: whsec_hunter2! }",
                ),
                (
                    "sign with a short key",
                    "url: http://a/\nsign: { secret: whsec_aHVudGVyMg== }",
                ),
                ("sign is text", "url: http://a/\nsign: whsec_hunter2"),
                (
                    "order by nothing known",
                    "url: http://a/\norder_by: conversation_id",
                ),
                ("order by an empty join", "url: http://a/\norder_by: [[]]"),
                (
                    "sign with two ways to say it",
                    "url: http://a/\nsign: { secret: a, secrets: [b] }",
                ),
                (
                    "sign with no secrets",
                    "url: http://a/\nsign: { secrets: [] }",
                ),
                (
                    "sign with too many secrets",
                    "url: http://a/\nsign: { secrets: [a, b, c, d, e] }",
                ),
                (
                    "sign with one bad secret of two",
                    "url: http://a/\nsign: { secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, hunter2] }",
                ),
                (
                    "connecting takes longer than the attempt",
                    "url: http://a/\ntimeout: 2s\nconnect_timeout: 3s",
                ),
                (
                    "connecting takes longer than the usual attempt",
                    "url: http://a/\nconnect_timeout: 1m",
                ),
                (
                    "wrong kinds of connections",
                    "url: http://a/\nconnect_timeout: 0s\nconnection_max_age: 30\nformat: cloudevent",
                ),
                ("replaces what is there", "url: http://a/\nreplaces: orders"),
            ],
        ),
    );
}

//! What is wrong within one source.

use super::{compare, signed, source, table};

#[test]
fn verifying() {
    compare(
        "verifying",
        &table(
            source,
            &[
                ("no way to verify", "secret: ${SECRET}"),
                (
                    "an unknown provider",
                    "provider: chatmefi\nsecret: ${SECRET}",
                ),
                (
                    "a provider in another case",
                    "provider: LiveChat\nsecret: ${SECRET}",
                ),
                (
                    "chatplugify without its header",
                    "provider: chatplugify\nsecret: ${SECRET}",
                ),
                (
                    "chatplugify with a wrong header",
                    "provider: chatplugify\nverify: { token: { header: \"X Token\" } }\nsecret: ${SECRET}",
                ),
                ("an unknown way", "verify: bearr\nsecret: ${SECRET}"),
                (
                    "another unknown way",
                    "verify: { oauth: { header: A } }\nsecret: ${SECRET}",
                ),
                ("no value", "verify:\nsecret: ${SECRET}"),
                ("an empty mapping", "verify: {}\nsecret: ${SECRET}"),
                ("a list", "verify: [hmac]\nsecret: ${SECRET}"),
                ("hmac without settings", "verify: hmac\nsecret: ${SECRET}"),
                ("none as a mapping", "verify: { none: true }"),
                (
                    "bearer as a mapping",
                    "verify: { bearer: {} }\nsecret: ${SECRET}",
                ),
                (
                    "two ways",
                    "verify: { hmac: { header: A }, token: { header: B } }\nsecret: ${SECRET}",
                ),
                (
                    "no header",
                    "verify: { hmac: { algorithm: sha1 } }\nsecret: ${SECRET}",
                ),
                (
                    "wrong words",
                    "verify: { hmac: { header: \"a b\", algorithm: sha-256, encoding: base46, prefix: \"é\", hash: x } }\nsecret: ${SECRET}",
                ),
                (
                    "a header that is a number",
                    "verify: { token: { header: 5 } }\nsecret: ${SECRET}",
                ),
                (
                    "a body that is not signed",
                    "verify: { hmac: { header: A, signed: \"{header:X-Id}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "an unknown placeholder",
                    "verify: { hmac: { header: A, signed: \"{json_parse}{body|md5}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "an unclosed placeholder",
                    "verify: { hmac: { header: A, signed: \"{body\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a time from nowhere",
                    "verify: { hmac: { header: A, signed: \"{timestamp}.{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a tolerance that is theatre",
                    "verify: { hmac: { header: A, timestamp: { header: B, tolerance: 5m } } }\nsecret: ${SECRET}",
                ),
                (
                    "a timestamp without header",
                    "verify: { hmac: { header: A, signed: \"{timestamp}.{body}\", timestamp: { format: iso, tolerance: 0s } } }\nsecret: ${SECRET}",
                ),
                (
                    "theatre over a preset",
                    "provider: chatmefy\nverify: { hmac: { timestamp: { header: X-Time } } }\nsecret: ${SECRET}",
                ),
                (
                    "the body alone over a preset that signs the time",
                    "provider: vowchat\nverify: { hmac: { signed: \"{body}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a value from the environment",
                    "verify: { hmac: { header: \"${SECRET} x\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a secret in the wrong place",
                    "verify: { hmac: { header: A, encoding: \"${SECRET}\" } }\nsecret: ${SECRET}",
                ),
                (
                    "a replay of a signature that is none",
                    "verify: bearer\nsecret: ${SECRET}\ndedupe: { replay: signature }",
                ),
                (
                    "the same over a preset",
                    "provider: vowchat\nverify: bearer\nsecret: ${SECRET}",
                ),
            ],
        ),
    );
}

#[test]
fn secrets() {
    compare(
        "secrets",
        &table(
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
                    "verify: bearer\nsecret: ${NO_SUCH_VARIABLE:-}",
                ),
                (
                    "an unset variable",
                    "verify: bearer\nsecret: ${NO_SUCH_VARIABLE}",
                ),
                (
                    "two unset variables",
                    "verify: bearer\nsecrets: [\"${NO_SUCH_VARIABLE}\", \"x${NOR_THIS}\", \"${SECRET}\"]",
                ),
                ("no variable", "verify: bearer\nsecret: ${NO-DASH}"),
                ("an unclosed variable", "verify: bearer\nsecret: ${SECRET"),
                ("both keys", "verify: bearer\nsecret: a\nsecrets: [b]"),
                ("secrets is text", "verify: bearer\nsecrets: hunter2"),
                ("secret is a list", "verify: bearer\nsecret: [hunter2]"),
                (
                    "a secret that looks like a tag",
                    "verify: bearer\nsecret: !hunter2",
                ),
                (
                    "a secret that looks like an alias",
                    "verify: bearer\nsecret: *hunter2",
                ),
                (
                    "a secret that looks like a variable",
                    "verify: bearer\nsecret: \"a${hunter2\"",
                ),
                ("a number", "verify: bearer\nsecret: 31337"),
                (
                    "a file that is not there",
                    "verify: bearer\nsecret: { file: /no/such/file }",
                ),
                ("a directory", "verify: bearer\nsecret: { file: / }"),
                (
                    "an empty file",
                    "verify: bearer\nsecret: { file: /dev/null }",
                ),
                (
                    "a file without end",
                    "verify: bearer\nsecret: { file: /dev/zero }",
                ),
                (
                    "value and file",
                    "verify: bearer\nsecret: { value: hunter2, file: /no/such/file }",
                ),
                (
                    "neither",
                    "verify: bearer\nsecrets: [{ name: old }, { vale: hunter2 }]",
                ),
                (
                    "one name twice",
                    "verify: bearer\nsecrets: [{ name: a, value: x }, { name: a, value: y }]",
                ),
                (
                    "a name that is a place",
                    "verify: bearer\nsecrets: [{ name: \"2\", value: x }, y]",
                ),
                (
                    "a bad name",
                    "verify: bearer\nsecrets: [{ name: \"a b\", value: x }]",
                ),
                ("with verify none", "verify: none\nsecret: hunter2"),
                (
                    "a token that can't be sent",
                    "verify: bearer\nsecret: \"hunter2\\nhunter2\"",
                ),
                ("a mistyped key", "verify: bearer\nsecert: hunter2"),
            ],
        ),
    );
}

#[test]
fn the_parts_of_a_source() {
    compare(
        "the_parts_of_a_source",
        &table(
            signed,
            &[
                (
                    "unknown keys",
                    "endpoint: /x\nack-deadline: 5s\ntimeout: 3s",
                ),
                ("paths", "path: hooks/erp"),
                ("a path with a query", "path: /hooks?a=b"),
                ("a path with a space", "path: \"/a b\""),
                ("a path that is a number", "path: 5"),
                (
                    "key expressions",
                    "event: { id: id, type: \"$.event\", time: header:a b, name: x }",
                ),
                (
                    "a field of an unknown kind",
                    "event: { id: [json:id, cookie:id, [header:X-Id, 5], []] }",
                ),
                ("a type that is a hash", "event: { type: body }"),
                (
                    "a type that is a join",
                    "event: { type: [[json:/a, json:/b]] }",
                ),
                ("an event that is a list", "event: [json:/id]"),
                ("an age without time", "max_age: 24h"),
                (
                    "an age of an unsigned time",
                    "max_age: 24h\nevent: { time: header:X-Time }",
                ),
                ("an age of zero", "max_age: 0s"),
                ("an age that is no duration", "max_age: never"),
                ("a window of zero", "dedupe: { window: 0s }"),
                (
                    "rules",
                    "dedupe: { skip: [typing, { event: x }, { header: X-Test }, { event: x, header: y, value: z }, {}] }",
                ),
                ("a rule", "dedupe: { skip: { event: x } }"),
                (
                    "a rule of exclusions",
                    "event: { type: json:/event }\ndedupe: { skip: [{ event: \"!x\" }] }",
                ),
                (
                    "a rule with a bare boolean",
                    "dedupe: { skip: [{ header: X-Test, value: true }] }",
                ),
                (
                    "a replay of nothing",
                    "dedupe: { replay: X-Signature, windows: 5s }",
                ),
                ("deadlines", "sender_timeout: 5s\nack_deadline: 6s"),
                ("no time at all", "sender_timeout: 0s\nack_deadline: 0s"),
                ("an unknown ack", "ack: deliver"),
                (
                    "a success that is none",
                    "respond: { status: 302, content_type: \"a\\nb\", body: [accepted] }",
                ),
                (
                    "a body where none can be",
                    "respond: { status: 204, body: ok }",
                ),
                ("a status that is text", "respond: { status: ok }"),
                ("a limit of zero", "limits: { body: 0 }"),
                ("rejects that are a number", "rejects: 1000"),
                (
                    "rejects without bounds",
                    "rejects: { keep: 0, max_size: 0, age: 24h }",
                ),
                (
                    "rejects without end",
                    "rejects: { keep: 1000001, max_size: 10M }",
                ),
                ("an own heir", "replaces: erp"),
                ("a bad heir", "replaces: ERP"),
            ],
        ),
    );
}

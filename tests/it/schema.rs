//! `config/schema.json` as an editor uses it: what a user copies is taken, and what a user mistypes is marked. A validator
//! from outside is asked (Python's `jsonschema`), and the loader about the same texts.

use crate::support::{gate::HOOKGATE, tools};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Says for each document whether the schema takes it, and first whether the schema is one.
const VALIDATE: &str = r#"
import json, sys
from jsonschema import Draft202012Validator as Validator
asked = json.load(sys.stdin)
Validator.check_schema(asked["schema"])
validator = Validator(asked["schema"])
def first(document):
    return next((f"{e.json_path}: {e.message[:300]}" for e in validator.iter_errors(document)), None)
json.dump([first(document) for document in asked["documents"]], sys.stdout)
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A YAML text as an editor sees it: anchors and merges resolved.
fn document(text: &str) -> Value {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).expect("YAML");
    value.apply_merge().expect("merges of mappings");
    serde_json::to_value(value).expect("keys are text")
}

/// For each document the first thing that the schema refuses in it. None without a validator.
fn refusals(documents: &[Value]) -> Option<Vec<Option<String>>> {
    if !tools::has("python3", &["-c", "import jsonschema"]) {
        return None;
    }
    let schema: Value = serde_json::from_str(&read("config/schema.json")).expect("JSON");
    let mut python = Command::new("python3")
        .args(["-c", VALIDATE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let asked = json!({ "schema": schema, "documents": documents }).to_string();
    python
        .stdin
        .take()
        .expect("piped")
        .write_all(asked.as_bytes())
        .expect("python reads");
    let output = python.wait_with_output().expect("python3");
    assert!(output.status.success(), "the validator failed");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Files of the repository that a user starts from.
fn samples() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(root().join("config"))
        .expect("config/ is there")
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "yaml"))
        .filter(|name| name != "openapi.yaml")
        .map(|name| (name.clone(), read(&format!("config/{name}"))))
        .collect();
    found.sort();
    found
}

#[test]
fn the_binary_prints_the_schema_and_every_sample_names_it() {
    let printed = Command::new(HOOKGATE)
        .arg("schema")
        .output()
        .expect("the binary runs");
    assert_eq!(
        String::from_utf8_lossy(&printed.stdout),
        read("config/schema.json")
    );
    let samples = samples();
    assert!(samples.len() >= 7, "{samples:?}");
    for (name, text) in samples {
        let first = text.lines().next();
        assert_eq!(
            first,
            Some("# yaml-language-server: $schema=schema.json"),
            "{name}"
        );
    }
}

#[test]
fn what_a_user_copies_is_taken() {
    let mut texts = samples();
    for page in ["README.md", "config/SCHEMES.md"] {
        let text = read(page);
        let blocks = text.split("```yaml\n").skip(1);
        let whole = blocks
            .map(|block| block.split("```").next().expect("a block ends"))
            .filter(|block| block.contains("sources:"));
        texts.extend(whole.map(|block| (format!("{page}: {block}"), block.to_owned())));
    }
    for name in ["everything", "language"] {
        let name = format!("src/config/tests/{name}.yaml");
        texts.push((name.clone(), read(&name)));
    }
    for (name, preset) in hookgate::config::presets() {
        let indented = preset.replace('\n', "\n    ");
        let text = format!("sources:\n  {name}:\n    {indented}\n    forward: http://127.0.0.1/\n");
        texts.push(((*name).to_owned(), text));
    }
    assert!(texts.len() > 120, "{} texts", texts.len());
    let documents: Vec<Value> = texts.iter().map(|(_, text)| document(text)).collect();
    let Some(refusals) = refusals(&documents) else {
        return;
    };
    for ((name, _), refusal) in texts.iter().zip(refusals) {
        assert_eq!(refusal, None, "{name}");
    }
}

/// Each is refused by the schema at this place, and by the loader.
const MISTAKES: [(&str, &str); 28] = [
    ("surces: {}\nsources: SOURCES", "$"),
    ("listen: 8080\nsources: SOURCES", "$.listen"),
    ("admin: 127.0.0.1:9444\nsources: SOURCES", "$.admin"),
    (
        "store: { max_size: 10 GiB }\nsources: SOURCES",
        "$.store.max_size",
    ),
    (
        "store: { retention: 24 }\nsources: SOURCES",
        "$.store.retention",
    ),
    (
        "limits: { connections: 0 }\nsources: SOURCES",
        "$.limits.connections",
    ),
    ("limits: { bodi: 1MiB }\nsources: SOURCES", "$.limits"),
    (
        "shutdown: { timeout: soon }\nsources: SOURCES",
        "$.shutdown.timeout",
    ),
    ("targets: TARGETS", "$"),
    (
        "providers: { p: { path: /x } }\nsources: SOURCES",
        "$.providers.p",
    ),
    (
        "providers: { p: { acc: stored } }\nsources: SOURCES",
        "$.providers.p",
    ),
    ("sources: []", "$.sources"),
    ("sources: { Erp: SOURCE }", "$.sources"),
    ("sources: { a: text }", "$.sources.a"),
    ("sources: { a: { pathh: /x, MORE } }", "$.sources.a"),
    ("sources: { a: { path: x, MORE } }", "$.sources.a.path"),
    ("sources: { a: { ack: storred, MORE } }", "$.sources.a.ack"),
    (
        "sources: { a: { expect_every: 2, MORE } }",
        "$.sources.a.expect_every",
    ),
    (
        "sources: { a: { verify: bearrer, secret: s, forward: http://a/ } }",
        "$.sources.a.verify",
    ),
    (
        "sources: { a: { verify: { hmac: { header: X-S, algoritm: sha1 } }, secret: s, forward: http://a/ } }",
        "$.sources.a.verify",
    ),
    (
        "sources: { a: { verify: { hmac: { header: X-S, encoding: base32 } }, secret: s, forward: http://a/ } }",
        "$.sources.a.verify",
    ),
    ("sources: { a: { secrets: [s], MORE } }", "$.sources.a"),
    (
        "sources: { a: { verify: bearer, secret: { vlaue: s }, forward: http://a/ } }",
        "$.sources.a.secret",
    ),
    (
        "sources: { a: { respond: { status: 302 }, MORE } }",
        "$.sources.a.respond.status",
    ),
    (
        "sources: { a: { forward: [{ events: [x] }], verify: bearer, secret: s } }",
        "$.sources.a.forward",
    ),
    (
        "sources: SOURCES\ntargets: { t: { timeout: 5s } }",
        "$.targets.t",
    ),
    (
        "sources: SOURCES\ntargets: { t: { url: 'a:80', when_full: wait } }",
        "$.targets.t.url",
    ),
    (
        "sources: SOURCES\ntargets: { t: { url: 'http://a/', retry: [1m, 5] } }",
        "$.targets.t.retry",
    ),
];

#[test]
fn what_a_user_mistypes_is_marked_and_refused() {
    const MORE: &str = "verify: bearer, secret: s, forward: 'http://a/'";
    let whole = |text: &str| {
        text.replace("SOURCES", "{ a: SOURCE }")
            .replace("SOURCE", "{ MORE }")
            .replace("MORE", MORE)
            .replace("TARGETS", "{ t: { url: 'http://a/' } }")
    };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.yaml");
    let code = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let checked = Command::new(HOOKGATE)
            .args(["check", "-c"])
            .arg(&file)
            .output()
            .expect("the binary runs");
        checked.status.code()
    };
    assert_eq!(code(&whole("sources: SOURCES\ntargets: TARGETS")), Some(0));
    let texts: Vec<String> = MISTAKES.iter().map(|(text, _)| whole(text)).collect();
    for text in &texts {
        assert_eq!(code(text), Some(78), "{text}");
    }
    let mut documents: Vec<Value> = texts.iter().map(|text| document(text)).collect();
    documents.push(document(&whole("sources: SOURCES\ntargets: TARGETS")));
    let Some(refusals) = refusals(&documents) else {
        return;
    };
    assert_eq!(refusals.last(), Some(&None), "without a mistake");
    for (((_, place), refusal), text) in MISTAKES.iter().zip(refusals).zip(&texts) {
        let refusal = refusal.unwrap_or_else(|| panic!("taken: {text}"));
        assert!(
            refusal.starts_with(&format!("{place}: ")),
            "{text}: {refusal}"
        );
    }
}

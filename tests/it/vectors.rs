//! Requests that vendors published, that their own libraries made, or that were computed from their documents:
//! each must pass its preset, or must not, as its file says (`vectors/*.json`).

use bytes::Bytes;
use hookgate::{
    config::{
        Config,
        environment::Environment,
        load::{self, Options, Origin},
    },
    verify::{Surroundings, Verifier},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// One request, and what must come of it.
#[derive(Deserialize)]
struct Vector {
    id: String,
    provider: String,
    source: String,
    #[serde(default)]
    secret: String,
    /// In place of `secret`: several, as in a configuration.
    secrets: Option<Value>,
    /// Further keys of the source, such as `public_url`.
    #[serde(default)]
    source_yaml: Map<String, Value>,
    /// Unix time in seconds at which it is received.
    now: u64,
    method: String,
    query: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    body_base64: Option<String>,
    passes: bool,
    #[serde(default)]
    why: String,
}

#[test]
fn presets_agree_with_their_vendors() {
    let mut wrong = Vec::new();
    for vector in &vectors() {
        let verdict = verdict(vector);
        if verdict.is_ok() != vector.passes {
            wrong.push(format!(
                "{} ({}): {verdict:?} {}",
                vector.id, vector.source, vector.why
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/vectors");
    let mut vectors = Vec::new();
    for file in fs::read_dir(folder).expect("the folder of vectors") {
        let path = file.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a file of vectors");
        let more: Vec<Vector> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        vectors.extend(more);
    }
    assert!(vectors.len() > 100, "only {} vectors", vectors.len());
    vectors
}

/// Whether the preset takes this request.
fn verdict(vector: &Vector) -> Result<(), String> {
    let config = config(vector)?;
    let source = config.sources.first().expect("one source");
    let around = Surroundings::of(source, config.limits.signatures);
    let verifier = Verifier::new(&source.verify, &source.secrets, &around);
    let method: Method = vector.method.parse().expect("a method");
    let query = (!vector.query.is_empty()).then_some(vector.query.as_str());
    let headers = headers(vector);
    let body = match &vector.body_base64 {
        Some(text) => {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            Bytes::from(STANDARD.decode(text).expect("base64"))
        }
        None => Bytes::from(vector.body.clone()),
    };
    let refused = |refused: hookgate::verify::Refused| refused.to_string();
    verifier
        .precheck(&method, query, &headers)
        .map_err(refused)?;
    let verified = verifier.verify(&method, query, headers, body, vector.now * 1000);
    verified.map(drop).map_err(refused)
}

/// The vendor's preset with the vector's secrets.
fn config(vector: &Vector) -> Result<Config, String> {
    let mut source = vector.source_yaml.clone();
    source.insert("provider".to_owned(), json!(vector.provider));
    source.insert("forward".to_owned(), json!("http://127.0.0.1:9/"));
    match &vector.secrets {
        Some(secrets) => source.insert("secrets".to_owned(), secrets.clone()),
        // A dollar would ask for a variable.
        None => source.insert("secret".to_owned(), json!(vector.secret.replace('$', "$$"))),
    };
    let origin = Origin::Text {
        name: vector.id.clone(),
        text: json!({ "sources": { "x": source } }).to_string(),
    };
    let loaded = load::load(&origin, &Environment::default(), Options::default());
    loaded.map(|(config, _)| config).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}: {}", vector.id, lines.join("; "))
    })
}

fn headers(vector: &Vector) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &vector.headers {
        let name: HeaderName = name.parse().expect("a name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        headers.append(name, value);
    }
    if !headers.contains_key(http::header::CONTENT_TYPE) {
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    headers
}

//! A preset with a made-up secret, loaded as a user's file would be, and a request that its vendor would send.

use super::keys::{self, Pair};
use hookgate::{
    clock::{rfc3339, wall_ms},
    config::{
        Source,
        environment::Environment,
        load::{self, Options, Origin},
        verify::{Proof, Scheme},
    },
    extract::Field,
    verify::{Outgoing, Signer, Surroundings, Verifier},
};
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// Chosen by the user, so that the preset names no header.
const OPEN: [&str; 2] = ["chatplugify", "bigcommerce"];

const SECRET: &str = "a-made-up-secret-of-32-characters";
const OTHER_SECRET: &str = "another-secret-with-32-characters";

/// Stands in the URL of every vendor, since several sign it.
const QUERY: &str = "shop=7&note=a%2Fb+c";

/// A preset at work.
pub(super) struct Played {
    pub(super) name: &'static str,
    pub(super) source: Source,
    verifier: Verifier,
    private: Option<String>,
    /// As it is sent.
    pub(super) request: Outgoing,
    /// When it is sent, Unix milliseconds.
    pub(super) now_ms: u64,
    asked: AtomicU64,
}

impl Played {
    pub(super) fn new(name: &'static str) -> Self {
        let made_up = load(name, &[("${SECRET}", None)], Options { allow_unset: true });
        let pair = Pair::new(first(&made_up), SECRET);
        let source = load(name, &[(&pair.secret, Some("key-1"))], Options::default());
        let now_ms = wall_ms();
        let request = unsigned(&source, now_ms);
        let mut played = Self::of(name, source, request, now_ms);
        played.private = pair.private;
        played.request = played.signed_at(now_ms);
        played
    }

    /// What is sent, signed at this time.
    pub(super) fn signed_at(&self, now_ms: u64) -> Outgoing {
        let signed = signer(&self.source, self.private.as_deref()).sign(0, &self.request, now_ms);
        signed.unwrap_or_else(|why| panic!("{}: {why}", self.name))
    }

    fn of(name: &'static str, source: Source, request: Outgoing, now_ms: u64) -> Self {
        Self {
            name,
            verifier: verifier(&source),
            private: None,
            source,
            request,
            now_ms,
            asked: AtomicU64::new(0),
        }
    }

    /// The scheme that the request is signed by.
    pub(super) fn scheme(&self) -> &Scheme {
        first(&self.source)
    }

    /// Where its signature or token is.
    pub(super) fn place(&self) -> &Field {
        match &self.scheme().proof {
            Proof::Signature(signature) => &signature.fields[0],
            Proof::Jwt(jwt) => &jwt.field,
            Proof::Token(token) => &token.field,
        }
    }

    /// Whether the request passes, as the handler asks: before the body is read, and after.
    pub(super) fn passes(&self, request: &Outgoing) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        passes(&self.verifier, request, self.now_ms)
    }

    /// Requests that were tried.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether the request passes a source with another secret under the same id.
    pub(super) fn passes_another_secret(&self) -> bool {
        let pair = match &self.scheme().proof {
            Proof::Signature(signature) if is_rsa(signature.algorithm) => Pair {
                secret: keys::other_rsa(),
                private: None,
            },
            _ => Pair::new(self.scheme(), OTHER_SECRET),
        };
        let source = load(
            self.name,
            &[(&pair.secret, Some("key-1"))],
            Options::default(),
        );
        passes(&verifier(&source), &self.request, self.now_ms)
    }
}

fn is_rsa(algorithm: hookgate::config::verify::Algorithm) -> bool {
    matches!(algorithm, hookgate::config::verify::Algorithm::Rsa(_))
}

fn first(source: &Source) -> &Scheme {
    source.verify.schemes().first().expect("presets verify")
}

/// Elements of a list of signatures that are looked at; the default of `limits.signatures`.
pub(super) const SIGNATURES_MAX: usize = 16;

fn verifier(source: &Source) -> Verifier {
    let around = Surroundings::of(source, SIGNATURES_MAX);
    Verifier::new(&source.verify, &source.secrets, &around)
}

fn signer(source: &Source, private: Option<&str>) -> Signer {
    let around = Surroundings::of(source, SIGNATURES_MAX);
    let private = private.map(str::as_bytes);
    Signer::new(&source.verify, &source.secrets, &around, private).expect("its own key")
}

fn passes(verifier: &Verifier, request: &Outgoing, now_ms: u64) -> bool {
    let Outgoing {
        method,
        query,
        headers,
        body,
    } = request;
    let query = query.as_deref();
    verifier.precheck(method, query, headers).is_ok()
        && verifier
            .verify(method, query, headers.clone(), body.clone(), now_ms)
            .is_ok()
}

/// What a user writes for this preset.
pub(super) fn yaml(name: &str, secrets: &[(&str, Option<&str>)]) -> Value {
    let secrets = secrets.iter().map(|(value, id)| {
        let mut secret = Map::new();
        secret.insert("value".to_owned(), json!(value));
        if let Some(id) = id {
            secret.insert("id".to_owned(), json!(id));
        }
        Value::Object(secret)
    });
    let mut source = json!({
        "provider": name,
        "public_url": format!("https://hooks.example.com/hooks/{name}"),
        "secrets": secrets.collect::<Vec<_>>(),
        "forward": "http://127.0.0.1:9/",
    });
    if OPEN.contains(&name) {
        source["verify"] = json!({ "token": { "header": "X-Token" } });
    }
    source
}

fn load(name: &str, secrets: &[(&str, Option<&str>)], options: Options) -> Source {
    // JSON is YAML.
    let text = json!({ "sources": { name: yaml(name, secrets) } }).to_string();
    let name = name.to_owned();
    let loaded = load::load(
        &Origin::Text { name, text },
        &Environment::default(),
        options,
    );
    let (config, _) = loaded.unwrap_or_else(|problems| {
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", told.join("; "))
    });
    assert_eq!(config.limits.signatures, SIGNATURES_MAX);
    config.sources.into_iter().next().expect("one source")
}

/// The preset's sample, or a body like any where it has none.
fn unsigned(source: &Source, now_ms: u64) -> Outgoing {
    let mut request = Outgoing {
        method: Method::POST,
        query: Some(QUERY.to_owned()),
        headers: HeaderMap::new(),
        body: filled(
            r#"{"event":"message.created","id":<number>,"text":"Žofie: ok?"}"#,
            now_ms,
        )
        .into(),
    };
    let json = HeaderValue::from_static("application/json");
    request.headers.insert(CONTENT_TYPE, json);
    if let Some(sample) = &source.sample {
        for (name, value) in &sample.headers {
            let value = filled(value, now_ms).parse().expect("a header's value");
            request.headers.insert(name, value);
        }
        let content_type = sample.content_type.clone();
        request.headers.insert(CONTENT_TYPE, content_type);
        if !sample.query.is_empty() {
            request.query = Some(format!("{QUERY}&{}", filled(&sample.query, now_ms)));
        }
        request.body = filled(&sample.body, now_ms).into();
    }
    request
}

fn filled(text: &str, now_ms: u64) -> String {
    text.replace("<uuid>", "0198a2b4-7c3d-4e5f-8a9b-0c1d2e3f4a5b")
        .replace("<number>", "1763647200123")
        .replace("<unix>", &(now_ms / 1000).to_string())
        .replace("<unix_ms>", &now_ms.to_string())
        .replace("<rfc3339>", &rfc3339(now_ms))
}

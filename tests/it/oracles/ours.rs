//! hookgate's side: a preset with its secret, loaded as a user's file would be.

use super::library::Keys;
use super::request::{PUBLIC_URL, Request};
use super::row::{Row, Secret};
use hookgate::config::environment::Environment;
use hookgate::config::load::{self, Options, Origin};
use hookgate::verify::{Outgoing, Signer, Surroundings, Verifier};
use serde_json::json;

/// One source, and its sender.
pub(super) struct Ours {
    verifier: Verifier,
    signer: Signer,
}

impl Ours {
    /// Loads the row's preset with these keys.
    pub(super) fn load(row: &Row, keys: &Keys) -> Result<Self, String> {
        let mut secret = json!({ "name": "current", "value": keys.verifying.replace('$', "$$") });
        if let Secret::Named(id) = row.secret {
            secret["id"] = id.into();
        }
        let source = json!({
            "provider": row.preset,
            "public_url": PUBLIC_URL,
            "secrets": [secret],
            "forward": "http://127.0.0.1:9/",
        });
        // JSON is YAML.
        let text = json!({ "sources": { "vendor": source } }).to_string();
        let name = row.preset.to_owned();
        let (config, _) = load::load(
            &Origin::Text { name, text },
            &Environment::default(),
            Options::default(),
        )
        .map_err(|problems| {
            let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
            format!("{}: {}", row.oracle, told.join("; "))
        })?;
        let source = &config.sources[0];
        let around = Surroundings::of(source, config.limits.signatures);
        let private = (row.secret == Secret::Pair).then_some(keys.signing.as_bytes());
        Ok(Self {
            verifier: Verifier::new(&source.verify, &source.secrets, &around),
            signer: Signer::new(&source.verify, &source.secrets, &around, private)
                .map_err(|error| format!("{}: {error}", row.oracle))?,
        })
    }

    /// Whether the request passes, as the handler asks: before the body is read, and after.
    pub(super) fn verify(&self, request: &Request, now: u64) -> bool {
        let query = (!request.query.is_empty()).then_some(request.query.as_str());
        let (method, headers) = (&request.method, &request.headers);
        self.verifier.precheck(method, query, headers).is_ok()
            && self
                .verifier
                .verify(
                    method,
                    query,
                    headers.clone(),
                    request.body.clone(),
                    now * 1000,
                )
                .is_ok()
    }

    /// The request as hookgate's sender signs it.
    pub(super) fn sign(&self, request: &Request, now: u64) -> Result<Request, String> {
        let outgoing = Outgoing {
            method: request.method.clone(),
            query: (!request.query.is_empty()).then(|| request.query.clone()),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        let signed = self
            .signer
            .sign(0, &outgoing, now * 1000)
            .map_err(|error| error.to_string())?;
        Ok(Request {
            signed_url: None,
            method: signed.method,
            query: signed.query.unwrap_or_default(),
            headers: signed.headers,
            body: signed.body,
        })
    }
}

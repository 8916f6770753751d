//! JSON Web Tokens in compact form (RFC 7515 7.1, RFC 7519) under a shared key. The algorithm is the configured one,
//! whatever the token says; a token that asks for more than is understood (`crit`) is refused.

use super::content::{Challenges, Content, Given, Surroundings};
use super::filters::{decode, is_challenge};
use super::mac::{Mac, Tag, equal};
use super::request::{Request, only};
use super::{Few, Proven, Refused, place};
use crate::clock;
use crate::config::template::Base;
use crate::config::{
    Secret, key,
    verify::{Algorithm, Encoding, Hash, Jwt},
};
use crate::extract::Field;
use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};

/// Bytes of the longest token that is looked at: a header line is hardly longer.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// A prepared scheme.
#[derive(Debug)]
pub(super) struct Scheme {
    field: Field,
    prefix: String,
    hash: Hash,
    claims: Vec<(String, Content)>,
    stringifies: bool,
    /// Whether the same key signs what anybody asks for, if it looks like a challenge.
    beside_challenges: Option<Challenges>,
    tolerance_ms: u64,
    keys: Vec<Key>,
}

struct Key {
    secret: Secret,
    mac: Mac,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

impl Scheme {
    /// None if a template names what the source does not say, which the configuration refuses.
    pub(super) fn new(config: &Jwt, secrets: &[&Secret], around: &Surroundings) -> Option<Self> {
        let claims: Vec<(String, Content)> = config
            .claims
            .iter()
            .map(|(name, claim)| Some((name.clone(), Content::new(claim, around)?)))
            .collect::<Option<_>>()?;
        let key = |secret: &&Secret| {
            let decoded = key::decode(&config.key, Algorithm::Hmac(config.hash), secret.expose())
                .expect("a secret that makes no key is refused");
            Key {
                secret: (*secret).clone(),
                mac: Mac::new(config.hash, &decoded),
            }
        };
        Some(Self {
            field: config.field.clone(),
            prefix: config.prefix.clone(),
            hash: config.hash,
            stringifies: claims
                .iter()
                .any(|(_, claim)| claim.uses(&Base::JsonStringify)),
            claims,
            beside_challenges: around.answers_challenges,
            tolerance_ms: clock::millis(config.tolerance),
            keys: secrets.iter().map(key).collect(),
        })
    }

    pub(super) fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match &self.field {
            Field::Header(name) => only(headers, name).map(drop),
            _ => Ok(()),
        }
    }

    /// Which secret signed the token that proves this request.
    pub(super) fn verify(
        &self,
        request: Request<'_>,
        now_ms: u64,
        remember: bool,
    ) -> Result<Proven, Refused> {
        let value = request.needed(&self.field)?;
        let token = value
            .strip_prefix(self.prefix.as_bytes())
            .filter(|token| token.len() <= TOKEN_BYTES_MAX)
            .and_then(Token::parse)
            .ok_or(Refused::Bad)?;
        let valid: Few<&Key> = self
            .keys
            .iter()
            .filter(|key| key.secret.is_valid(now_ms))
            .collect();
        let is_challenge = |challenges| is_challenge(challenges, [token.signed].into_iter());
        if self.beside_challenges.is_some_and(is_challenge) {
            return Err(Refused::Bad);
        }
        let matches = valid
            .iter()
            .map(|key| key.tag(token.signed).matches(&token.signature));
        let matched = place(matches).ok_or(Refused::Bad)?;
        let payload = self.payload(&token).ok_or(Refused::Bad)?;
        let stringified = super::stringified(self.stringifies, request.body)?;
        let given = Given {
            stringified: stringified.as_deref(),
            ..Given::of(request)
        };
        let fits = self.claims.iter().all(|(name, expected)| {
            let (claimed, expected) = (payload.get(name), expected.text(&given));
            claimed
                .and_then(Value::as_str)
                .zip(expected)
                .is_some_and(|(claimed, expected)| equal(&expected, claimed.as_bytes()).into())
        });
        if !fits {
            return Err(Refused::Bad);
        }
        self.check_age(&payload, now_ms)?;
        Ok(Proven {
            secret: Arc::clone(&valid[matched].secret.name),
            signed: remember
                .then(|| Sha256::digest(token.signed).into())
                .into_iter()
                .collect(),
            carried: Vec::new(),
            body: super::rewritten(stringified),
        })
    }

    /// The claims, if the header names the configured algorithm and asks for nothing else (RFC 7515 4.1.11).
    fn payload(&self, token: &Token<'_>) -> Option<Value> {
        let header = object(token.header)?;
        let ours = header.get("alg").and_then(Value::as_str) == Some(name(self.hash))
            && header.get("crit").is_none()
            && header.get("b64").is_none();
        if ours { object(token.payload) } else { None }
    }

    /// `exp` and `nbf` where they are (RFC 7519 4.1.4, 4.1.5): seconds, maybe with a fraction.
    fn check_age(&self, payload: &Value, now_ms: u64) -> Result<(), Refused> {
        if let Some(exp) = payload.get("exp") {
            let exp_ms = millis(exp).ok_or(Refused::Stale)?;
            if now_ms >= exp_ms.saturating_add(self.tolerance_ms) {
                return Err(Refused::Stale);
            }
        }
        if let Some(nbf) = payload.get("nbf") {
            let nbf_ms = millis(nbf).ok_or(Refused::Stale)?;
            if now_ms.saturating_add(self.tolerance_ms) < nbf_ms {
                return Err(Refused::Stale);
            }
        }
        Ok(())
    }
}

impl Key {
    fn tag(&self, signed: &[u8]) -> Tag {
        let mut mac = self.mac.clone();
        mac.update(signed);
        mac.finish()
    }
}

/// The name of the algorithm (RFC 7518 3.1).
pub(super) fn name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha256 => "HS256",
        Hash::Sha384 => "HS384",
        Hash::Sha512 => "HS512",
        Hash::Sha1 => "no algorithm",
    }
}

/// A `NumericDate` (RFC 7519 2) in milliseconds; one before 1970 counts as 1970, and milliseconds are no seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before"
)]
fn millis(date: &Value) -> Option<u64> {
    let seconds = date.as_f64()?.max(0.0);
    (seconds < 1e11).then_some((seconds * 1e3) as u64)
}

/// The JSON object in a part of a token.
fn object(part: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(&decode(Encoding::Base64Url, part)?).ok()?;
    value.is_object().then_some(value)
}

/// A token, taken apart and not yet read.
struct Token<'t> {
    header: &'t [u8],
    payload: &'t [u8],
    /// Header and payload as they were signed.
    signed: &'t [u8],
    signature: Vec<u8>,
}

impl<'t> Token<'t> {
    fn parse(text: &'t [u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            header,
            payload,
            signed: &text[..header.len() + 1 + payload.len()],
            signature: decode(Encoding::Base64Url, signature)?,
        })
    }
}

//! A keyed hash over the request: what the template names goes into the hash piece by piece, without a copy.
//!
//! The age of a timestamp counts only once the signature over it is right.

use super::mac::{Mac, Tag};
use super::{Refused, only, place, timestamp};
use crate::config::source::{Algorithm, Encoding, Hmac, Timestamp};
use crate::config::{Secret, template::Piece};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// A prepared HMAC scheme.
#[derive(Debug)]
pub(super) struct Scheme {
    header: HeaderName,
    prefix: String,
    algorithm: Algorithm,
    encoding: Encoding,
    signed: Vec<Part>,
    timestamp: Option<Timestamp>,
    keys: Vec<Key>,
}

/// A secret as a keyed hash that has seen no message yet.
#[derive(Debug)]
struct Key {
    name: Arc<str>,
    mac: Mac,
}

/// A piece of the template, with the timestamp's header put in its place.
#[derive(Debug)]
enum Part {
    Literal(String),
    Body,
    Header(HeaderName),
}

impl Part {
    fn new(piece: &Piece, timestamp: Option<&Timestamp>) -> Self {
        match piece {
            Piece::Literal(text) => Self::Literal(text.clone()),
            Piece::Body => Self::Body,
            Piece::Header(name) => Self::Header(name.clone()),
            Piece::Timestamp => {
                let timestamp = timestamp.expect("{timestamp} is refused in a scheme without one");
                Self::Header(timestamp.header.clone())
            }
        }
    }
}

impl Scheme {
    pub(super) fn new(config: &Hmac, secrets: &[Secret]) -> Self {
        let timestamp = config.timestamp.as_ref();
        let pieces = config.signed.0.iter();
        Self {
            header: config.header.clone(),
            prefix: config.prefix.clone(),
            algorithm: config.algorithm,
            encoding: config.encoding,
            signed: pieces.map(|piece| Part::new(piece, timestamp)).collect(),
            timestamp: config.timestamp.clone(),
            keys: secrets
                .iter()
                .map(|secret| Key {
                    name: Arc::clone(&secret.name),
                    mac: Mac::new(config.algorithm, secret.expose()),
                })
                .collect(),
        }
    }

    pub(super) fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        only(headers, &self.header)?;
        if let Some(timestamp) = &self.timestamp {
            only(headers, &timestamp.header)?;
        }
        for part in &self.signed {
            if let Part::Header(name) = part {
                only(headers, name)?;
            }
        }
        Ok(())
    }

    /// The name of the secret that signed this, and the signature.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now_ms: u64,
    ) -> Result<(&Arc<str>, Tag), Refused> {
        self.precheck(headers)?;
        let claimed = only(headers, &self.header)?
            .strip_prefix(self.prefix.as_bytes())
            .and_then(|text| Tag::decode(self.algorithm, self.encoding, text))
            .ok_or(Refused::Bad)?;
        let matches = self
            .keys
            .iter()
            .map(|key| self.tag(key, headers, body).ct_eq(&claimed));
        let matched = place(matches).ok_or(Refused::Bad)?;
        if let Some(timestamp) = &self.timestamp {
            timestamp::read(timestamp.format, only(headers, &timestamp.header)?)
                .filter(|signed_ms| timestamp::is_fresh(*signed_ms, now_ms, timestamp.tolerance))
                .ok_or(Refused::Stale)?;
        }
        Ok((&self.keys[matched].name, claimed))
    }

    /// What `key` makes of the request. A header that is not there counts as empty: [`Self::precheck`] has refused
    /// such a request, and one that is to be signed says so itself.
    fn tag(&self, key: &Key, headers: &HeaderMap, body: &[u8]) -> Tag {
        let mut mac = key.mac.clone();
        for part in &self.signed {
            mac.update(match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Body => body,
                Part::Header(name) => headers.get(name).map_or(&[], HeaderValue::as_bytes),
            });
        }
        mac.finish()
    }

    pub(super) fn sign(&self, index: usize, headers: &mut HeaderMap, body: &[u8], now_ms: u64) {
        if let Some(config) = &self.timestamp {
            let time = timestamp::write(config.format, now_ms);
            let time = HeaderValue::try_from(time).expect("every format is plain ASCII");
            headers.insert(&config.header, time);
        }
        let signature = self
            .tag(&self.keys[index], headers, body)
            .encode(self.encoding);
        if let Ok(value) = HeaderValue::try_from(format!("{}{signature}", self.prefix)) {
            headers.insert(&self.header, value);
        }
    }
}

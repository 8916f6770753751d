//! A header that equals a secret. Both sides are compared as SHA-256 digests, so that time tells neither a
//! matching beginning nor a length; and the header is taken out of the request, so that the secret goes no
//! further.

use super::{Refused, only, place};
use crate::config::{Secret, source::Token};
use crate::event::SecretHeader;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};
use subtle::ConstantTimeEq;

/// A prepared token scheme.
#[derive(Debug)]
pub(super) struct Scheme {
    header: HeaderName,
    prefix: Prefix,
    keys: Vec<Key>,
}

/// What stands before the secret.
#[derive(Debug)]
enum Prefix {
    /// Exactly this.
    Text(String),
    /// This in either case, and one or more spaces (RFC 9110 11.4).
    Scheme(String),
}

/// A secret with what it is compared by.
struct Key {
    secret: Secret,
    digest: [u8; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

impl Prefix {
    fn new(config: &Token) -> Self {
        if config.scheme {
            Self::Scheme(config.prefix.trim_end_matches(' ').to_owned())
        } else {
            Self::Text(config.prefix.clone())
        }
    }

    /// What follows the prefix in `value`.
    fn strip<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        match self {
            Self::Text(prefix) => value.strip_prefix(prefix.as_bytes()),
            Self::Scheme(scheme) => {
                let (start, rest) = value.split_at_checked(scheme.len())?;
                let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
                (start.eq_ignore_ascii_case(scheme.as_bytes()) && spaces > 0)
                    .then(|| &rest[spaces..])
            }
        }
    }

    /// The whole value that carries `secret`.
    fn carry(&self, secret: &[u8]) -> Vec<u8> {
        match self {
            Self::Text(prefix) => [prefix.as_bytes(), secret].concat(),
            Self::Scheme(scheme) => [scheme.as_bytes(), b" ", secret].concat(),
        }
    }
}

impl Scheme {
    pub(super) fn new(config: &Token, secrets: &[Secret]) -> Self {
        Self {
            header: config.header.clone(),
            prefix: Prefix::new(config),
            keys: secrets
                .iter()
                .map(|secret| Key {
                    secret: secret.clone(),
                    digest: Sha256::digest(secret.expose()).into(),
                })
                .collect(),
        }
    }

    pub(super) fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        only(headers, &self.header).map(drop)
    }

    /// The name of the secret that the request carries.
    pub(super) fn verify(&self, headers: &HeaderMap) -> Result<&Arc<str>, Refused> {
        let claimed = self
            .prefix
            .strip(only(headers, &self.header)?)
            .filter(|claimed| !claimed.is_empty())
            .ok_or(Refused::Bad)?;
        let claimed: [u8; 32] = Sha256::digest(claimed).into();
        let matches = self.keys.iter().map(|key| key.digest.ct_eq(&claimed));
        let matched = place(matches).ok_or(Refused::Bad)?;
        Ok(&self.keys[matched].secret.name)
    }

    /// Leaves the name of the secret in the place of its header.
    pub(super) fn take_out(&self, headers: &mut HeaderMap, secret: &Arc<str>) -> SecretHeader {
        headers.remove(&self.header);
        SecretHeader {
            header: self.header.clone(),
            secret: Arc::clone(secret),
        }
    }

    pub(super) fn sign(&self, index: usize, headers: &mut HeaderMap) {
        let value = self.prefix.carry(self.keys[index].secret.expose());
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            headers.insert(&self.header, value);
        }
    }
}

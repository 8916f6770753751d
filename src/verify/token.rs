//! A value that equals a secret. Both sides are compared as SHA-256 digests, so that time tells neither a matching
//! beginning nor a length; and a header is taken out of the request, so that the secret goes no further.

use super::mac::equal;
use super::request::{Request, only};
use super::{Few, Proven, Refused, place};
use crate::config::{
    Secret,
    verify::{Token, TokenForm},
};
use crate::event::SecretHeader;
use crate::extract::Field;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// A prepared token scheme.
#[derive(Debug)]
pub(super) struct Scheme {
    field: Field,
    prefix: Prefix,
    basic: bool,
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
        match config.form {
            TokenForm::Plain => Self::Text(config.prefix.clone()),
            TokenForm::Scheme | TokenForm::Basic => {
                Self::Scheme(config.prefix.trim_end_matches(' ').to_owned())
            }
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
}

impl Scheme {
    pub(super) fn new(config: &Token, secrets: &[&Secret]) -> Self {
        Self {
            field: config.field.clone(),
            prefix: Prefix::new(config),
            basic: config.form == TokenForm::Basic,
            keys: secrets
                .iter()
                .map(|secret| Key {
                    secret: (*secret).clone(),
                    digest: Sha256::digest(secret.expose()).into(),
                })
                .collect(),
        }
    }

    pub(super) fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match &self.field {
            Field::Header(name) => only(headers, name).map(drop),
            _ => Ok(()),
        }
    }

    /// Which secret the request carries.
    pub(super) fn verify(&self, request: Request<'_>, now_ms: u64) -> Result<Proven, Refused> {
        let value = request.needed(&self.field)?;
        let digest = self.claimed(&value).ok_or(Refused::Bad)?;
        let valid: Few<&Key> = self
            .keys
            .iter()
            .filter(|key| key.secret.is_valid(now_ms))
            .collect();
        let matches = valid.iter().map(|key| equal(&key.digest, &digest));
        let matched = place(matches).ok_or(Refused::Bad)?;
        let secret = Arc::clone(&valid[matched].secret.name);
        Ok(Proven {
            carried: self
                .header()
                .map(|header| SecretHeader {
                    header: header.clone(),
                    secret: Arc::clone(&secret),
                })
                .into_iter()
                .collect(),
            secret,
            signed: Vec::new(),
            body: None,
        })
    }

    fn header(&self) -> Option<&HeaderName> {
        match &self.field {
            Field::Header(name) => Some(name),
            _ => None,
        }
    }

    /// The digest of what the request says the secret is; none if it says nothing.
    fn claimed(&self, value: &[u8]) -> Option<[u8; 32]> {
        let text = self.prefix.strip(value)?;
        let decoded;
        let claimed = if self.basic {
            decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
            &decoded[..]
        } else {
            text
        };
        (!claimed.is_empty()).then(|| Sha256::digest(claimed).into())
    }
}

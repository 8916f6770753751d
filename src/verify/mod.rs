//! Proof of who sent a request, over the bytes as received and before any parsing of them.
//!
//! Keys are prepared once, at load. Every secret is tried, in constant time, whichever comes first; every cause
//! of a refusal looks the same from outside.

mod hmac;
mod mac;
mod timestamp;
mod token;

use crate::config::{Secret, Verify};
use crate::event::SecretHeader;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use mac::Tag;
use std::sync::Arc;
use subtle::{Choice, ConditionallySelectable};

/// A request whose sender is proven (or who was not asked to prove anything: [`Verify::None`]).
/// Only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct Verified {
    headers: HeaderMap,
    body: Bytes,
    secret: Option<Arc<str>>,
    secret_header: Option<SecretHeader>,
    signature: Option<Tag>,
}

impl Verified {
    /// The sender's headers; the one that carried the secret itself is gone (see [`Self::secret_header`]).
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The same, to be made ready for the app. The body has no such door: it stays what was authenticated.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// The authenticated bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Name of the secret that matched.
    pub fn secret(&self) -> Option<&Arc<str>> {
        self.secret.as_ref()
    }

    /// The header that carried the secret itself.
    pub fn secret_header(&self) -> Option<&SecretHeader> {
        self.secret_header.as_ref()
    }

    /// The signature as bytes, whichever of its spellings was sent; none where nothing is signed.
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_ref().map(Tag::as_bytes)
    }

    /// Headers, body and secret header, for what admits them.
    pub fn into_parts(self) -> (HeaderMap, Bytes, Option<SecretHeader>) {
        (self.headers, self.body, self.secret_header)
    }
}

/// Why a request is refused. The sender sees the same answer for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No signature header, or none of a header that the signature covers.
    #[error("signature header is missing")]
    Missing,
    /// A signature that is repeated, malformed, or matches no secret.
    #[error("signature matches no secret")]
    Bad,
    /// A right signature over a timestamp outside the tolerance, or one that is not written as configured.
    #[error("signed timestamp is outside the tolerance")]
    Stale,
}

/// The prepared scheme of one source. It verifies, and signs as the sender would.
#[derive(Debug)]
pub struct Verifier(Scheme);

#[derive(Debug)]
enum Scheme {
    Hmac(hmac::Scheme),
    Token(token::Scheme),
    None,
}

impl Verifier {
    /// Prepares the keys.
    ///
    /// # Panics
    /// If a template names the timestamp of a scheme that has none, which the configuration refuses.
    pub fn new(verify: &Verify, secrets: &[Secret]) -> Self {
        Self(match verify {
            Verify::Hmac(config) => Scheme::Hmac(hmac::Scheme::new(config, secrets)),
            Verify::Token(config) => Scheme::Token(token::Scheme::new(config, secrets)),
            Verify::None => Scheme::None,
        })
    }

    /// What can be said before the body is read: a missing or repeated header is refused here.
    pub fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match &self.0 {
            Scheme::Hmac(scheme) => scheme.precheck(headers),
            Scheme::Token(scheme) => scheme.precheck(headers),
            Scheme::None => Ok(()),
        }
    }

    /// Proves the sender. `now_ms` is Unix time in milliseconds.
    pub fn verify(
        &self,
        mut headers: HeaderMap,
        body: Bytes,
        now_ms: u64,
    ) -> Result<Verified, Refused> {
        let (secret, secret_header, signature) = match &self.0 {
            Scheme::Hmac(scheme) => {
                let (secret, signature) = scheme.verify(&headers, &body, now_ms)?;
                (Some(Arc::clone(secret)), None, Some(signature))
            }
            Scheme::Token(scheme) => {
                let secret = scheme.verify(&headers)?;
                let carried = scheme.take_out(&mut headers, secret);
                (Some(Arc::clone(secret)), Some(carried), None)
            }
            Scheme::None => (None, None, None),
        };
        Ok(Verified {
            headers,
            body,
            secret,
            secret_header,
            signature,
        })
    }

    /// Adds to `headers` what the sender would add with the secret at `index`, signed at `now_ms`: timestamp and
    /// signature, or the token. Headers that the template names must be there already. A prefix or secret that
    /// no header can carry adds nothing.
    ///
    /// # Panics
    /// If there is no secret at `index`.
    pub fn sign(&self, index: usize, headers: &mut HeaderMap, body: &[u8], now_ms: u64) {
        match &self.0 {
            Scheme::Hmac(scheme) => scheme.sign(index, headers, body, now_ms),
            Scheme::Token(scheme) => scheme.sign(index, headers),
            Scheme::None => {}
        }
    }
}

/// The bytes of a header that must be there once. Of two, nobody could say which one the sender meant.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h [u8], Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refused::Missing)?;
    match values.next() {
        None => Ok(value.as_bytes()),
        Some(_) => Err(Refused::Bad),
    }
}

/// The place of a match. All of them are looked at, so that time tells neither whether there is one nor where.
fn place(matches: impl Iterator<Item = Choice>) -> Option<usize> {
    let mut found = u32::MAX;
    for (place, matches) in (0..u32::MAX).zip(matches) {
        found.conditional_assign(&place, matches);
    }
    (found != u32::MAX).then_some(found as usize)
}

#[cfg(test)]
mod tests;

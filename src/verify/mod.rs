//! Proof of who sent a request, over the bytes as received and before any parsing of them.
//!
//! Keys are prepared once, at load. Every secret is tried, in constant time, whichever comes first; every cause
//! of a refusal looks the same from outside.

use crate::config::{Secret, Verify};
use crate::event::SecretHeader;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

/// A request whose sender is proven (or who was not asked to prove anything: [`Verify::None`]).
/// Only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct Verified {
    headers: HeaderMap,
    body: Bytes,
    secret: Option<Arc<str>>,
    secret_header: Option<SecretHeader>,
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

    /// Headers, body and secret header, for what admits them.
    pub fn into_parts(self) -> (HeaderMap, Bytes, Option<SecretHeader>) {
        (self.headers, self.body, self.secret_header)
    }
}

/// Why a request is refused. The sender sees the same answer for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No signature header.
    #[error("signature header is missing")]
    Missing,
    /// A signature that is repeated, malformed, or matches no secret.
    #[error("signature matches no secret")]
    Bad,
    /// A right signature over a timestamp outside the tolerance.
    #[error("signed timestamp is outside the tolerance")]
    Stale,
}

/// The prepared scheme of one source. It verifies, and signs as the sender would.
#[derive(Debug)]
pub struct Verifier {}

impl Verifier {
    /// Prepares the keys.
    pub fn new(_verify: &Verify, _secrets: &[Secret]) -> Self {
        todo!()
    }

    /// What can be said before the body is read: a missing header is refused here.
    pub fn precheck(&self, _headers: &HeaderMap) -> Result<(), Refused> {
        todo!()
    }

    /// Proves the sender. `now_ms` is Unix time in milliseconds.
    pub fn verify(
        &self,
        _headers: HeaderMap,
        _body: Bytes,
        _now_ms: u64,
    ) -> Result<Verified, Refused> {
        todo!()
    }

    /// Adds to `headers` what the sender would add with the secret at `index`, signed at `now_ms`: timestamp and
    /// signature, or the token. Headers that the template names must be there already.
    pub fn sign(&self, _index: usize, _headers: &mut HeaderMap, _body: &[u8], _now_ms: u64) {
        todo!()
    }
}

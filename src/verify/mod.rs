//! Proof of who sent a request, over the bytes as received and before any parsing of them.
//!
//! Keys are prepared once, at load. Every secret is tried, in constant time, whichever comes first; every cause
//! of a refusal looks the same from outside. The language of the schemes is that of `config/SCHEMES.md`.

mod condition;
mod content;
mod elements;
mod handshake;
mod jwt;
mod keys;
mod mac;
mod request;
mod sign;
mod signature;
mod timestamp;
mod token;

pub use content::Surroundings;
pub use handshake::{Answer as HandshakeAnswer, Handshake, Handshakes};
pub use request::Request;
pub use sign::{CannotSign, Outgoing, Signer};

use crate::config::{Secret, Verify, verify};
use crate::event::SecretHeader;
use bytes::Bytes;
use condition::Condition;
use http::{HeaderMap, HeaderName, Method};
use std::{borrow::Cow, sync::Arc};
use subtle::{Choice, ConditionallySelectable};

/// A request whose sender is proven (or who was not asked to prove anything: [`Verify::None`]).
/// Only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct Verified {
    headers: HeaderMap,
    body: Bytes,
    secret: Option<Arc<str>>,
    secret_header: Option<SecretHeader>,
    signed: Option<[u8; 32]>,
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

    /// The authenticated bytes: those that were received, or with `{json_stringify}` the text that was signed.
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

    /// The SHA-256 of what was signed: the same for every spelling of its signature, and for each of several. None
    /// where nothing is signed, or where [`Surroundings::remember`] was not asked for.
    pub fn signed(&self) -> Option<&[u8; 32]> {
        self.signed.as_ref()
    }

    /// Headers, body and secret header, for what admits them.
    pub fn into_parts(self) -> (HeaderMap, Bytes, Option<SecretHeader>) {
        (self.headers, self.body, self.secret_header)
    }
}

/// Why a request is refused. The sender sees the same answer for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No signature, or none of what the signature covers.
    #[error("signature is missing")]
    Missing,
    /// A signature that is repeated, malformed, or matches no secret.
    #[error("signature matches no secret")]
    Bad,
    /// A right signature over a timestamp outside the tolerance, or one that is not written as configured.
    #[error("signed timestamp is outside the tolerance")]
    Stale,
}

/// What a scheme found.
struct Proven {
    /// Name of the secret that matched.
    secret: Arc<str>,
    /// The SHA-256 of what was signed.
    signed: Option<[u8; 32]>,
    /// The header that carried the secret.
    carried_in: Option<HeaderName>,
    /// The body that was authenticated, where it is not the one that was received.
    body: Option<Bytes>,
}

/// The prepared schemes of one source.
#[derive(Debug)]
pub struct Verifier {
    /// Any of them is enough; none where nothing is proven.
    ways: Vec<Way>,
    remember: bool,
}

/// One scheme and when it is tried.
#[derive(Debug)]
struct Way {
    when: Vec<Condition>,
    scheme: Scheme,
}

#[derive(Debug)]
enum Scheme {
    Signature(Box<signature::Scheme>),
    Jwt(Box<jwt::Scheme>),
    Token(token::Scheme),
}

impl Verifier {
    /// Prepares the keys.
    ///
    /// # Panics
    /// If a template names what the source does not have, or a secret makes no key: the configuration refuses both.
    pub fn new(verify: &Verify, secrets: &[Secret], around: &Surroundings) -> Self {
        Self {
            ways: verify
                .schemes()
                .iter()
                .map(|scheme| {
                    Way::new(scheme, secrets, around)
                        .expect("templates name what the source has; others are refused")
                })
                .collect(),
            remember: around.remember,
        }
    }

    /// What can be said before the body is read: a missing or repeated header is refused here.
    pub fn precheck(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        let mut refused = Ok(());
        for way in &self.ways {
            match way.precheck(method, query, headers) {
                Ok(()) => return Ok(()),
                Err(why) => refused = nearer(refused, why),
            }
        }
        refused
    }

    /// Proves the sender. `now_ms` is Unix time in milliseconds.
    pub fn verify(
        &self,
        method: &Method,
        query: Option<&str>,
        mut headers: HeaderMap,
        mut body: Bytes,
        now_ms: u64,
    ) -> Result<Verified, Refused> {
        let request = Request {
            method,
            query,
            headers: &headers,
            body: &body,
        };
        let Some(proven) = self.prove(request, now_ms)? else {
            return Ok(Verified {
                headers,
                body,
                secret: None,
                secret_header: None,
                signed: None,
            });
        };
        body = proven.body.unwrap_or(body);
        let secret_header = proven.carried_in.map(|header| {
            headers.remove(&header);
            SecretHeader {
                header,
                secret: Arc::clone(&proven.secret),
            }
        });
        Ok(Verified {
            headers,
            body,
            secret: Some(proven.secret),
            secret_header,
            signed: proven.signed,
        })
    }

    /// What the first scheme that passes found; none where nothing is proven.
    fn prove(&self, request: Request<'_>, now_ms: u64) -> Result<Option<Proven>, Refused> {
        let mut refused = Ok(None);
        for way in &self.ways {
            match way.verify(request, now_ms, self.remember) {
                Ok(proven) => return Ok(Some(proven)),
                Err(why) => refused = nearer(refused, why),
            }
        }
        refused
    }
}

/// The re-serialised body, if it is another text than the one that was received.
fn rewritten(stringified: Option<Cow<'_, [u8]>>) -> Option<Bytes> {
    match stringified? {
        Cow::Owned(text) => Some(text.into()),
        Cow::Borrowed(_) => None,
    }
}

/// Of several refusals the one that came furthest: a right signature that is too old says more than a missing one.
fn nearer<T>(so_far: Result<T, Refused>, why: Refused) -> Result<T, Refused> {
    let rank = |refused: &Refused| match refused {
        Refused::Missing => 0,
        Refused::Bad => 1,
        Refused::Stale => 2,
    };
    match so_far {
        Err(before) if rank(&before) >= rank(&why) => Err(before),
        _ => Err(why),
    }
}

impl Way {
    fn new(scheme: &verify::Scheme, secrets: &[Secret], around: &Surroundings) -> Option<Self> {
        let ours = |secret: &&Secret| match &scheme.secrets {
            Some(names) => names.contains(&secret.name),
            None => true,
        };
        let secrets: Vec<&Secret> = secrets.iter().filter(ours).collect();
        Some(Self {
            when: condition::prepare(&scheme.when, around)?,
            scheme: match &scheme.proof {
                verify::Proof::Signature(config) => {
                    let scheme = signature::Scheme::new(config, &secrets, around)?;
                    Scheme::Signature(Box::new(scheme))
                }
                verify::Proof::Jwt(config) => {
                    Scheme::Jwt(Box::new(jwt::Scheme::new(config, &secrets, around)?))
                }
                verify::Proof::Token(config) => Scheme::Token(token::Scheme::new(config, &secrets)),
            },
        })
    }

    fn precheck(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        match &self.scheme {
            Scheme::Signature(scheme) => scheme.precheck(headers)?,
            Scheme::Jwt(scheme) => scheme.precheck(headers)?,
            Scheme::Token(scheme) => scheme.precheck(headers)?,
        }
        if condition::may_hold(&self.when, method, query, headers) {
            Ok(())
        } else {
            Err(Refused::Bad)
        }
    }

    fn verify(&self, request: Request<'_>, now_ms: u64, remember: bool) -> Result<Proven, Refused> {
        let proven = match &self.scheme {
            Scheme::Signature(scheme) => scheme.verify(request, now_ms, remember)?,
            Scheme::Jwt(scheme) => scheme.verify(request, now_ms, remember)?,
            Scheme::Token(scheme) => scheme.verify(request, now_ms)?,
        };
        if condition::hold(&self.when, request) {
            Ok(proven)
        } else {
            Err(Refused::Bad)
        }
    }
}

/// The first place of a match. All of them are looked at, so that time tells neither whether there is one nor where.
fn place<M>(matches: M) -> Option<usize>
where
    M: DoubleEndedIterator<Item = Choice> + ExactSizeIterator,
{
    let mut found = u32::MAX;
    for (place, matches) in matches.enumerate().rev() {
        // Claims and secrets are bounded far below this.
        let place = u32::try_from(place).unwrap_or(u32::MAX - 1);
        found.conditional_assign(&place, matches);
    }
    (found != u32::MAX).then_some(found as usize)
}

#[cfg(test)]
mod tests;

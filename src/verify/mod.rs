//! Proof of who sent a request, over the bytes as received and before any parsing of them.
//!
//! Keys are prepared once, at load. Every secret is tried, in constant time, whichever comes first; every cause
//! of a refusal looks the same from outside. The language of the schemes is that of `config/SCHEMES.md`.

mod canonical;
mod condition;
mod content;
mod elements;
mod filters;
mod handshake;
mod jwt;
mod keys;
mod mac;
mod private;
mod request;
mod rsa_sha1;
mod sign;
mod signature;
mod timestamp;
mod token;

pub use content::{Challenges, Surroundings};
pub use handshake::{Answer as HandshakeAnswer, Brought, Handshake, Handshakes, MayAnswer};
pub use request::Request;
pub use sign::{CannotSign, Outgoing, Signer};

use crate::config::{Secret, Verify, verify};
use crate::event::SecretHeader;
use crate::extract::json_stringify;
use bytes::Bytes;
use condition::Condition;
use http::{HeaderMap, Method};
use smallvec::SmallVec;
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
    signed: Vec<[u8; 32]>,
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

    /// The header that carried the secret itself; of several the first, and the others are gone for good.
    pub fn secret_header(&self) -> Option<&SecretHeader> {
        self.secret_header.as_ref()
    }

    /// The SHA-256 of what was signed: the same for every spelling of its signature, and for each of several under one
    /// scheme; one for each scheme that passes, so that none of them can be left out to look like another request.
    /// Empty where nothing is signed, or where [`Surroundings::remember`] was not asked for.
    pub fn signed(&self) -> &[[u8; 32]] {
        &self.signed
    }

    /// Headers, body and secret header, for what admits them.
    pub fn into_parts(self) -> (HeaderMap, Bytes, Option<SecretHeader>) {
        (self.headers, self.body, self.secret_header)
    }
}

/// Why a request is refused. The sender sees the same answer for each. In the order of how far it came: of several
/// refusals the last one says most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
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

/// A list that seldom has more: then it needs no memory of its own.
type Few<T> = SmallVec<[T; 4]>;

/// What a scheme found.
struct Proven {
    /// Name of the secret that matched.
    secret: Arc<str>,
    /// The SHA-256 of what was signed, if it is to be remembered.
    signed: Vec<[u8; 32]>,
    /// The headers that carried a secret.
    carried: Vec<SecretHeader>,
    /// The body that was authenticated, where it is not the one that was received.
    body: Option<Bytes>,
}

impl Proven {
    /// Takes what another scheme found in the same request.
    fn and(mut self, other: Self) -> Self {
        self.signed.extend(other.signed);
        self.carried.extend(other.carried);
        self
    }
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
        let mut refused = None;
        for way in &self.ways {
            match way.precheck(method, query, headers) {
                Ok(()) => return Ok(()),
                Err(why) => refused = refused.max(Some(why)),
            }
        }
        refused.map_or(Ok(()), Err)
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
                signed: Vec::new(),
            });
        };
        body = proven.body.unwrap_or(body);
        for carried in &proven.carried {
            headers.remove(&carried.header);
        }
        Ok(Verified {
            headers,
            body,
            secret: Some(proven.secret),
            secret_header: proven.carried.into_iter().next(),
            signed: proven.signed,
        })
    }

    /// What the first scheme that passes found, with what others would remember or take out of the request; none where
    /// nothing is proven.
    fn prove(&self, request: Request<'_>, now_ms: u64) -> Result<Option<Proven>, Refused> {
        let (mut proven, mut refused): (Option<Proven>, _) = (None, None);
        for way in &self.ways {
            if proven.is_some() && !self.remember && !way.carries_secret() {
                continue;
            }
            match way.verify(request, now_ms, self.remember) {
                Ok(also) => {
                    proven = Some(match proven {
                        Some(first) => first.and(also),
                        None => also,
                    });
                }
                Err(why) => refused = refused.max(Some(why)),
            }
        }
        match (proven, refused) {
            (None, Some(why)) => Err(why),
            (proven, _) => Ok(proven),
        }
    }
}

/// The body as `JSON.stringify` writes it, where a scheme asks for it.
fn stringified(asked: bool, body: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Refused> {
    let text = asked.then(|| json_stringify(body));
    text.transpose().map_err(|_| Refused::Bad)
}

/// The re-serialised body, if it is another text than the one that was received.
fn rewritten(stringified: Option<Cow<'_, [u8]>>) -> Option<Bytes> {
    match stringified? {
        Cow::Owned(text) => Some(text.into()),
        Cow::Borrowed(_) => None,
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
        let Request {
            method,
            query,
            headers,
            ..
        } = request;
        // What is not to be tried is not computed, as far as that can be told from the head.
        if !condition::may_hold(&self.when, method, query, headers) {
            return Err(Refused::Bad);
        }
        let found = match &self.scheme {
            Scheme::Signature(scheme) => scheme.verify(request, now_ms, remember),
            Scheme::Jwt(scheme) => scheme.verify(request, now_ms, remember),
            Scheme::Token(scheme) => scheme.verify(request, now_ms),
        };
        match found {
            // Only what is rightly signed is looked into, and a scheme that is not to be tried calls nothing stale.
            Ok(_) | Err(Refused::Stale) if !condition::hold(&self.when, request) => {
                Err(Refused::Bad)
            }
            found => found,
        }
    }

    /// Whether what passes it has a secret in a header.
    fn carries_secret(&self) -> bool {
        matches!(self.scheme, Scheme::Token(_))
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

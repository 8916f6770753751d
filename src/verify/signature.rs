//! A signature over parts of the request. Every secret that may have made it is tried, whichever matches first; the age
//! of a timestamp counts only once the signature over it is right.

use super::content::{Challenges, Content, Given, Rendered, Surroundings, joined};
use super::elements::{Claim, Elements};
use super::filters::is_challenge;
use super::keys::Key;
use super::request::{Request, only};
use super::{Few, Proven, Refused, place, timestamp};
use crate::config::{
    Secret,
    template::Base,
    verify::{Algorithm, HeaderPiece, NamedHeaders, Signature, TimePlace, Timestamp},
};
use crate::extract::Field;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::Choice;

/// A prepared scheme.
#[derive(Debug)]
pub(super) struct Scheme {
    elements: Elements,
    asymmetric: bool,
    key_id: Option<Field>,
    signed: Content,
    stringifies: bool,
    /// Whether the same key signs what anybody asks for, if it looks like a challenge: then no such text proves an event.
    beside_challenges: Option<Challenges>,
    timestamp: Option<Timestamp>,
    named_headers: Option<NamedHeaders>,
    /// A header with the time that the request's own list must name, since the template does not.
    listed: Option<HeaderName>,
    keys: Vec<Key>,
}

impl Scheme {
    /// None if a template names what the source does not say, which the configuration refuses.
    pub(super) fn new(
        config: &Signature,
        secrets: &[&Secret],
        around: &Surroundings,
    ) -> Option<Self> {
        let signed = Content::new(&config.signed, around)?;
        let in_list = |timestamp: &Timestamp| match &timestamp.place {
            TimePlace::Field(Field::Header(name)) if !config.signed.uses(&Base::Timestamp) => {
                config.named_headers.is_some().then(|| name.clone())
            }
            _ => None,
        };
        let key = |secret: &&Secret| Key::new(config.algorithm, &config.key, secret);
        Some(Self {
            elements: Elements::new(config, around.signatures_max),
            asymmetric: !matches!(config.algorithm, Algorithm::Hmac(_) | Algorithm::Hash(_)),
            key_id: config.key_id.clone(),
            beside_challenges: around
                .answers_challenges
                .filter(|_| matches!(config.algorithm, Algorithm::Hmac(_))),
            stringifies: signed.uses(&Base::JsonStringify),
            signed,
            timestamp: config.timestamp.clone(),
            named_headers: config.named_headers.clone(),
            listed: config.timestamp.as_ref().and_then(in_list),
            keys: secrets.iter().map(key).collect(),
        })
    }

    /// What can be said before the body is read.
    pub(super) fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        self.elements.precheck(headers)?;
        self.precheck_covered(headers)
    }

    /// The same of what a signature covers.
    fn precheck_covered(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let time = self.timestamp.as_ref().map(|timestamp| &timestamp.place);
        let named = self.named_headers.as_ref().map(|named| &named.place);
        for needed in [time, named].into_iter().flatten() {
            if let TimePlace::Field(Field::Header(name)) = needed {
                only(headers, name)?;
            }
        }
        if let Some(Field::Header(name)) = &self.key_id {
            only(headers, name)?;
        }
        for name in self.signed.headers() {
            only(headers, name)?;
        }
        Ok(())
    }

    /// Which secret signed this, and what.
    pub(super) fn verify(
        &self,
        request: Request<'_>,
        now_ms: u64,
        remember: bool,
    ) -> Result<Proven, Refused> {
        let values = self.elements.values(request)?;
        self.precheck_covered(request.headers)?;
        if values.is_empty() {
            return Err(Refused::Missing);
        }
        let elements = self.elements.split(&values)?;
        let claims = self.elements.claims(&elements);
        // Who claims nothing is refused before anything is computed for it; what a claim looks like is no secret.
        if claims.is_empty() {
            return Err(if elements.is_empty() {
                Refused::Missing
            } else {
                Refused::Bad
            });
        }
        let time = self.time(request, &elements)?;
        let named = match &self.named_headers {
            Some(config) => Some(self.named(config, request, &elements)?),
            None => None,
        };
        let stringified = super::stringified(self.stringifies, request.body)?;
        let given = Given {
            stringified: stringified.as_deref(),
            timestamp: time.as_deref(),
            named_headers: named.as_ref().map(|named| &*named.text),
            named_headers_list: named.as_ref().map(|named| &*named.list),
            ..Given::of(request)
        };
        let pieces = self.signed.render(&given).ok_or(Refused::Bad)?;
        let is_challenge =
            |challenges| is_challenge(challenges, pieces.iter().map(Rendered::bytes));
        if self.beside_challenges.is_some_and(is_challenge) {
            return Err(Refused::Bad);
        }
        let key = self.matching(&pieces, &claims, request, now_ms)?;
        if let (Some(config), Some(time)) = (&self.timestamp, &time) {
            timestamp::read(config.format, time)
                .filter(|signed_ms| timestamp::is_fresh(config, *signed_ms, now_ms))
                .ok_or(Refused::Stale)?;
        }
        let signed = remember.then(|| identity(&pieces)).into_iter().collect();
        drop(pieces);
        Ok(Proven {
            secret: Arc::clone(&key.name),
            signed,
            carried: Vec::new(),
            body: super::rewritten(stringified),
        })
    }

    /// The key of a claim that is right. All that may be are computed and compared, so that time tells neither whether
    /// there is one nor which.
    fn matching(
        &self,
        pieces: &[Rendered<'_>],
        claims: &[Claim<'_>],
        request: Request<'_>,
        now_ms: u64,
    ) -> Result<&Key, Refused> {
        let named = match &self.key_id {
            Some(field) => Some(request.once(field).ok_or(Refused::Missing)?),
            None => None,
        };
        let message = if self.asymmetric {
            joined(pieces)
        } else {
            Vec::new()
        };
        let mut tried: Few<(&Key, Choice)> = Few::new();
        let fits = |key: &Key, claim: &Claim<'_>| may_be(key, named.as_deref().or(claim.key_id));
        for key in self.keys.iter().filter(|key| key.secret.is_valid(now_ms)) {
            let mut claims = claims.iter().filter(|claim| fits(key, claim)).peekable();
            // A key that is called otherwise costs nothing.
            if claims.peek().is_none() {
                continue;
            }
            let expected = key.expects(pieces);
            for claim in claims {
                tried.push((key, expected.matches(&message, &claim.signature)));
            }
        }
        let matches = tried.iter().map(|(_, matches)| *matches);
        let place = place(matches).ok_or(Refused::Bad)?;
        Ok(tried[place].0)
    }

    /// The timestamp as it was sent, which must be there once.
    fn time<'r>(
        &self,
        request: Request<'r>,
        elements: &[&'r [u8]],
    ) -> Result<Option<std::borrow::Cow<'r, [u8]>>, Refused> {
        let Some(config) = &self.timestamp else {
            return Ok(None);
        };
        at(&config.place, request, elements).map(Some)
    }

    fn named(
        &self,
        config: &NamedHeaders,
        request: Request<'_>,
        elements: &[&[u8]],
    ) -> Result<Named, Refused> {
        let list = at(&config.place, request, elements)?.to_ascii_lowercase();
        let text = std::str::from_utf8(&list).map_err(|_| Refused::Bad)?;
        let mut names = Vec::new();
        for name in text.split(config.split.as_str()) {
            let name: HeaderName = name.trim().parse().map_err(|_| Refused::Bad)?;
            // Each once, else a short request could ask for a text of any length.
            if names.len() == request.headers.keys_len() || names.contains(&name) {
                return Err(Refused::Bad);
            }
            names.push(name);
        }
        if self
            .listed
            .as_ref()
            .is_some_and(|name| !names.contains(name))
        {
            return Err(Refused::Bad);
        }
        let mut written = Vec::new();
        for (place, name) in names.iter().enumerate() {
            if place > 0 {
                written.extend_from_slice(config.join.as_bytes());
            }
            let value = only(request.headers, name)?;
            for piece in &config.each {
                written.extend_from_slice(match piece {
                    HeaderPiece::Literal(text) => text.as_bytes(),
                    HeaderPiece::Name => name.as_str().as_bytes(),
                    HeaderPiece::Value => value,
                });
            }
        }
        Ok(Named {
            text: written,
            list,
        })
    }
}

/// Headers that the request says it signed.
struct Named {
    text: Vec<u8>,
    list: Vec<u8>,
}

/// What stands at this place, once.
fn at<'r>(
    place: &TimePlace,
    request: Request<'r>,
    elements: &[&'r [u8]],
) -> Result<std::borrow::Cow<'r, [u8]>, Refused> {
    match place {
        TimePlace::Field(field) => request.once(field).ok_or(Refused::Missing),
        TimePlace::FirstElement => {
            let first = elements.first().ok_or(Refused::Missing)?;
            Ok((*first).into())
        }
        TimePlace::Element(prefix) => {
            let mut found = elements
                .iter()
                .filter_map(|element| element.strip_prefix(prefix.as_bytes()));
            let first = found.next().ok_or(Refused::Missing)?;
            match found.next() {
                None => Ok(first.into()),
                Some(_) => Err(Refused::Bad),
            }
        }
    }
}

/// Whether a request that calls its key so may be signed with this one.
fn may_be(key: &Key, id: Option<&[u8]>) -> bool {
    match (&key.secret.id, id) {
        (Some(known), Some(id)) => known.as_bytes() == id,
        (None, _) | (_, None) => true,
    }
}

/// The SHA-256 of what was signed.
fn identity(pieces: &[Rendered<'_>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for piece in pieces {
        if let Rendered::Bytes(bytes) = piece {
            digest.update(bytes);
        }
    }
    digest.finalize().into()
}

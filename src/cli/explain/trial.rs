//! One question to the gateway's own verifier: would this request, or an altered copy of it, pass this scheme, or an
//! altered copy of it, with one of these keys? What the verifier can't be made of is answered with no.

use super::capture::Capture;
use super::keys::Candidate;
use super::times;
use crate::config::{
    Secret, Verify, key,
    template::{Base, Template},
    verify::{Algorithm, Encoding, Expected, KeyForm, Proof, Scheme, Signature, TimePlace},
};
use crate::extract::{Field, Parts};
use crate::verify::{Refused, Surroundings, Verifier};
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::time::Duration;

/// A scheme and a request that may both be altered.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) scheme: Scheme,
    pub(super) around: Surroundings,
    pub(super) method: Method,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Trial {
    /// The scheme and the request as they are.
    pub(super) fn new(scheme: &Scheme, around: &Surroundings, capture: &Capture) -> Self {
        Self {
            scheme: scheme.clone(),
            around: around.clone(),
            method: capture.method.clone(),
            query: capture.query.clone(),
            headers: capture.headers.clone(),
            body: capture.body.clone(),
        }
    }

    /// Whether it passes as it is at this time, with these secrets.
    pub(super) fn ask(&self, secrets: &[Secret], now_ms: u64) -> Result<(), Refused> {
        let scheme = self.scheme.clone();
        if !is_sound(&scheme, &self.around) || !keys_fit(&scheme, secrets) {
            return Err(Refused::Bad);
        }
        let verifier = Verifier::new(&Verify::Schemes(vec![scheme]), secrets, &self.around);
        self.verify(&verifier, now_ms).map(drop)
    }

    /// The place of the first candidate whose key makes the signature right, whatever the age of its timestamp.
    pub(super) fn matching(&self, candidates: &[Candidate]) -> Option<usize> {
        let mut scheme = self.scheme.clone();
        scheme.secrets = None;
        self.open(&mut scheme.proof);
        if !is_sound(&scheme, &self.around) {
            return None;
        }
        let secrets: Vec<Secret> = candidates
            .iter()
            .enumerate()
            .map(|(place, candidate)| candidate.as_secret(place))
            .collect();
        let verify = Verify::Schemes(vec![scheme]);
        let matching = |secrets: &[Secret]| {
            let verifier = Verifier::new(&verify, secrets, &self.around);
            self.verify(&verifier, 0)
        };
        match matching(&secrets) {
            Ok(name) => name?.parse().ok(),
            // Its timestamp can't be read, but whatever it says is signed.
            Err(Refused::Stale) => secrets
                .iter()
                .position(|secret| matching(std::slice::from_ref(secret)) == Err(Refused::Stale)),
            Err(_) => None,
        }
    }

    /// Bytes of work that one candidate costs.
    pub(super) fn cost(&self) -> usize {
        let asymmetric = match &self.scheme.proof {
            Proof::Signature(signature) => {
                !matches!(signature.algorithm, Algorithm::Hmac(_) | Algorithm::Hash(_))
            }
            Proof::Jwt(_) | Proof::Token(_) => false,
        };
        self.body.len() + if asymmetric { 100_000 } else { 500 }
    }

    fn verify(&self, verifier: &Verifier, now_ms: u64) -> Result<Option<String>, Refused> {
        verifier
            .verify(
                &self.method,
                self.query.as_deref(),
                self.headers.clone(),
                self.body.clone(),
                now_ms,
            )
            .map(|verified| verified.secret().map(ToString::to_string))
    }

    /// Takes keys as the candidates present them, and timestamps of any age.
    fn open(&self, proof: &mut Proof) {
        match proof {
            Proof::Signature(signature) => {
                signature.key = presented(signature.algorithm);
                let format = self
                    .timestamp(signature)
                    .and_then(|text| times::read(&text))
                    .map(|(format, _)| format);
                if let Some(timestamp) = &mut signature.timestamp {
                    (timestamp.past, timestamp.future) = (None, None);
                    timestamp.format = format.unwrap_or(timestamp.format);
                }
            }
            Proof::Jwt(jwt) => {
                jwt.key = KeyForm::Text;
                jwt.tolerance = Duration::MAX;
            }
            Proof::Token(_) => {}
        }
    }

    /// The value of this field; of a repeated header the first.
    pub(super) fn field(&self, field: &Field) -> Option<Vec<u8>> {
        let parts = Parts {
            headers: &self.headers,
            query: self.query.as_deref(),
            body: &self.body,
            members: None,
        };
        field.bytes(parts).map(std::borrow::Cow::into_owned)
    }

    /// The elements of the signature's list, or its only value.
    pub(super) fn elements(&self, signature: &Signature) -> Vec<Vec<u8>> {
        let mut elements = Vec::new();
        for field in &signature.fields {
            let values = match field {
                Field::Header(name) => self
                    .headers
                    .get_all(name)
                    .iter()
                    .map(|value| value.as_bytes().to_vec())
                    .collect(),
                field => self.field(field).into_iter().collect::<Vec<_>>(),
            };
            for value in values {
                elements.extend(split(&value, signature.split.as_deref()));
            }
        }
        elements
    }

    /// The text of the signed timestamp.
    pub(super) fn timestamp(&self, signature: &Signature) -> Option<Vec<u8>> {
        let elements = || self.elements(signature).into_iter();
        match &signature.timestamp.as_ref()?.place {
            TimePlace::Field(field) => self.field(field),
            TimePlace::FirstElement => elements().next(),
            TimePlace::Element(prefix) => elements()
                .find_map(|element| Some(element.strip_prefix(prefix.as_bytes())?.to_vec())),
        }
    }
}

/// The elements of a value; the value alone where there is no separator.
pub(super) fn split(value: &[u8], separator: Option<&str>) -> Vec<Vec<u8>> {
    let Some(separator) = separator.filter(|separator| !separator.is_empty()) else {
        return vec![value.to_vec()];
    };
    let mut elements = Vec::new();
    let mut rest = value;
    loop {
        let at = rest
            .windows(separator.len())
            .position(|part| part == separator.as_bytes());
        let (element, after) = match at {
            Some(at) => (&rest[..at], Some(&rest[at + separator.len()..])),
            None => (rest, None),
        };
        let element = element.trim_ascii();
        if !element.is_empty() {
            elements.push(element.to_vec());
        }
        match after {
            Some(after) => rest = after,
            None => return elements,
        }
    }
}

/// The form in which candidates give their keys to this algorithm.
pub(super) fn presented(algorithm: Algorithm) -> KeyForm {
    match algorithm {
        Algorithm::Hmac(_) | Algorithm::Hash(_) => KeyForm::Text,
        Algorithm::Ed25519 => KeyForm::Encoded(Encoding::Hex),
        Algorithm::EcdsaP256 | Algorithm::Rsa(_) => KeyForm::PublicKey,
    }
}

/// Whether each secret makes a key, without which there is no verifier.
fn keys_fit(scheme: &Scheme, secrets: &[Secret]) -> bool {
    let ours = |secret: &&Secret| match &scheme.secrets {
        Some(names) => names.contains(&secret.name),
        None => true,
    };
    let (form, algorithm) = match &scheme.proof {
        Proof::Signature(signature) => (&signature.key, signature.algorithm),
        Proof::Jwt(jwt) => (&jwt.key, Algorithm::Hmac(jwt.hash)),
        Proof::Token(_) => return true,
    };
    secrets
        .iter()
        .filter(ours)
        .all(|secret| key::decode(form, algorithm, secret.expose()).is_ok())
}

/// Whether templates name only what there is, without which there is no verifier.
pub(super) fn is_sound(scheme: &Scheme, around: &Surroundings) -> bool {
    templates(scheme)
        .flat_map(Template::values)
        .all(|value| match &value.base {
            base if needs_url(base) => around.public_url.is_some(),
            Base::Param(name) => around.params.iter().any(|(known, _)| known == name),
            _ => true,
        })
}

/// Every template of a scheme and its conditions.
pub(super) fn templates(scheme: &Scheme) -> impl Iterator<Item = &Template> {
    scheme
        .when
        .iter()
        .filter_map(|condition| match &condition.expected {
            Expected::Is(template) => Some(template),
            Expected::Present | Expected::Absent => None,
        })
        .chain(match &scheme.proof {
            Proof::Signature(signature) => vec![&signature.signed],
            Proof::Jwt(jwt) => jwt.claims.iter().map(|(_, claim)| claim).collect(),
            Proof::Token(_) => Vec::new(),
        })
}

/// Whether it is made of `public_url`.
pub(super) fn needs_url(base: &Base) -> bool {
    matches!(
        base,
        Base::Url | Base::PublicUrl | Base::Path | Base::AtlassianQsh
    )
}

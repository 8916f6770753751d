//! How a request proves who sent it: any one of a source's schemes is enough. The language is that of
//! `config/SCHEMES.md`; what cannot prove anything is refused where it is read.

use super::template::{Base, Template, Value};
use crate::extract::Field;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// How the requests of one source are proven.
#[derive(Clone, Debug)]
pub enum Verify {
    /// By one of these; at least one.
    Schemes(Vec<Scheme>),
    /// Nothing is proven; written out by the user.
    None,
}

/// One way to prove a request.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// What must hold for it to be tried.
    pub when: Vec<Condition>,
    /// Names of the secrets that it may be proven with; `None` is all of the source's.
    pub secrets: Option<Vec<Arc<str>>>,
    /// What is looked at.
    pub proof: Proof,
}

/// What proves a request.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a few of them exist, from start to end"
)]
pub enum Proof {
    /// A signature over the request.
    Signature(Signature),
    /// A JSON Web Token (RFC 7519).
    Jwt(Jwt),
    /// A value that equals a secret. `bearer` and `basic` are this with `Authorization`.
    Token(Token),
}

/// A signature over parts of the request.
#[derive(Clone, Debug)]
pub struct Signature {
    /// What makes it.
    pub algorithm: Algorithm,
    /// Where it is: any of these that is there; at least one.
    pub fields: Vec<Field>,
    /// Whether a header may stand there more than once.
    pub repeated: bool,
    /// What stands between the elements of a list; `None` is a single value.
    pub split: Option<String>,
    /// What stands before a signature.
    pub prefix: Prefix,
    /// How it is written.
    pub encoding: Encoding,
    /// How a key is made of a secret.
    pub key: KeyForm,
    /// What says which secret signed.
    pub key_id: Option<Field>,
    /// What is signed.
    pub signed: Template,
    /// The signed timestamp, if the scheme has one.
    pub timestamp: Option<Timestamp>,
    /// Headers that the request itself lists as signed.
    pub named_headers: Option<NamedHeaders>,
}

/// What makes a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC (RFC 2104).
    Hmac(Hash),
    /// A hash of a text that holds the secret.
    Hash(Hash),
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, in DER (RFC 3279 2.2.3).
    EcdsaP256,
    /// RSASSA-PKCS1-v1_5 (RFC 8017 8.2).
    Rsa(Hash),
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, 20 bytes. Old, yet safe as an HMAC.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Base 16, either case (RFC 4648 8).
    Hex,
    /// Base 64 with padding (RFC 4648 4).
    Base64,
    /// URL-safe base 64, with or without padding (RFC 4648 5).
    Base64Url,
}

/// How a key is made of a secret's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// As they are.
    Text,
    /// Written in this encoding.
    Encoded(Encoding),
    /// Base 64 after a prefix that may be missing: `whsec_` or `whpk_` (Standard Webhooks).
    Prefixed(&'static str),
    /// Their SHA-1, 20 bytes.
    Sha1,
    /// The text without the first of these.
    WithoutFirst(String),
    /// A public key as PEM or base64 of its DER: `SubjectPublicKeyInfo` (RFC 5280 4.1) or `RSAPublicKey`
    /// (RFC 8017 A.1.1).
    PublicKey,
}

/// What stands before a signature. An element that begins otherwise is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Exactly this; may be empty.
    Text(String),
    /// A key's id, with this before and this after it (not empty).
    KeyId(String, String),
}

/// A signed timestamp.
#[derive(Clone, Debug)]
pub struct Timestamp {
    /// Where it is.
    pub place: TimePlace,
    /// How it is written.
    pub format: TimeFormat,
    /// How far it may lie in the past; `None` is no limit.
    pub past: Option<Duration>,
    /// How far it may lie in the future; `None` is no limit.
    pub future: Option<Duration>,
}

/// Where a timestamp is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimePlace {
    /// In a field of its own.
    Field(Field),
    /// The element of the signature's list that begins with this.
    Element(String),
    /// The first element of the signature's list.
    FirstElement,
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Unix seconds.
    Unix,
    /// Unix milliseconds.
    UnixMs,
    /// RFC 3339.
    Rfc3339,
}

/// Headers that the request itself lists as signed, for `{named_headers}`.
#[derive(Clone, Debug)]
pub struct NamedHeaders {
    /// Where their names are.
    pub place: TimePlace,
    /// What stands between their names.
    pub split: String,
    /// How one of them is written: what stands before its name, between name and value, and after; name or value
    /// may be left out.
    pub each: Vec<HeaderPiece>,
    /// What stands between two of them.
    pub join: String,
}

/// A piece of how a named header is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderPiece {
    /// Text as it stands.
    Literal(String),
    /// `{name}`, in lower case.
    Name,
    /// `{value}`; empty if the header is not there.
    Value,
}

/// A JSON Web Token in compact form (RFC 7515 7.1), signed with HMAC (RFC 7518 3.2).
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Where it is.
    pub field: Field,
    /// What stands before it, such as `Bearer `.
    pub prefix: String,
    /// SHA-256 for HS256, SHA-384 for HS384, SHA-512 for HS512. What the token says must be the same.
    pub hash: Hash,
    /// How the key is made of a secret.
    pub key: KeyForm,
    /// Claims that must be there as texts, and what each must be.
    pub claims: Vec<(String, Template)>,
    /// How far the clocks may be apart when `exp` and `nbf` are looked at.
    pub tolerance: Duration,
}

/// A value that must equal a secret.
#[derive(Clone, Debug)]
pub struct Token {
    /// Where it is.
    pub field: Field,
    /// What stands before it; of a scheme with the space that follows it, as in `Bearer `.
    pub prefix: String,
    /// How it is to be read.
    pub form: TokenForm,
}

/// How a token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenForm {
    /// The prefix exactly as it is, then the secret.
    Plain,
    /// An authentication scheme, compared without case, spaces, then the secret (RFC 9110 11.1).
    Scheme,
    /// The same, then the base64 of the secret, which is `user:password` (RFC 7617 2).
    Basic,
}

/// One line of a `when`: what this must be.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What is looked at.
    pub subject: Subject,
    /// What it must be.
    pub expected: Expected,
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The request's method.
    Method,
    /// A field.
    Field(Field),
}

/// What a condition wants.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Equal to this.
    Is(Template),
    /// Anything that is not empty.
    Present,
    /// Not there, or empty.
    Absent,
}

impl Verify {
    /// The schemes; none for [`Verify::None`].
    pub fn schemes(&self) -> &[Scheme] {
        match self {
            Self::Schemes(schemes) => schemes,
            Self::None => &[],
        }
    }

    /// Whether what stands in this field is proven to come from the sender, whichever scheme passes. With a token
    /// the sender is authenticated as a whole; with a signature only what is signed is; with `none` nothing is.
    pub fn covers(&self, field: &Field) -> bool {
        let schemes = self.schemes();
        !schemes.is_empty() && schemes.iter().all(|scheme| scheme.covers(field))
    }

    /// Whether each scheme makes a signature that can be remembered.
    pub fn signs(&self) -> bool {
        let signs = |scheme: &Scheme| !matches!(scheme.proof, Proof::Token(_));
        !self.schemes().is_empty() && self.schemes().iter().all(signs)
    }

    /// How long after a request it can be captured and still pass, counted from the earliest time at which it
    /// passes: `None` if some scheme takes it for ever.
    pub fn lifetime(&self) -> Option<Duration> {
        let lifetimes = self.schemes().iter().map(|scheme| match &scheme.proof {
            Proof::Signature(signature) => {
                signature.timestamp.as_ref().and_then(Timestamp::lifetime)
            }
            Proof::Jwt(_) | Proof::Token(_) => None,
        });
        lifetimes
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max())
    }
}

impl Token {
    /// The header's value that carries `secret`; None if no header can.
    pub fn carry(&self, secret: &[u8]) -> Option<HeaderValue> {
        let encoded;
        let secret = match self.form {
            TokenForm::Plain | TokenForm::Scheme => secret,
            TokenForm::Basic => {
                encoded = Zeroizing::new(STANDARD.encode(secret));
                encoded.as_bytes()
            }
        };
        let bytes = Zeroizing::new([self.prefix.as_bytes(), secret].concat());
        let mut value = HeaderValue::from_bytes(&bytes).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Timestamp {
    /// How long one timestamp passes.
    fn lifetime(&self) -> Option<Duration> {
        Some(self.past? + self.future?)
    }

    /// Whether its age is looked at.
    pub fn is_checked(&self) -> bool {
        self.past.is_some() || self.future.is_some()
    }
}

impl Scheme {
    /// Whether this field is proven.
    pub fn covers(&self, field: &Field) -> bool {
        match &self.proof {
            Proof::Token(_) => true,
            Proof::Signature(signature) => {
                // What must be absent cannot be changed either.
                let absent = |condition: &Condition| {
                    condition.subject == Subject::Field(field.clone())
                        && matches!(condition.expected, Expected::Absent)
                };
                signature.covers(field)
                    || self.when.iter().any(absent)
                    || self.when.iter().any(|condition| {
                        matches!(&condition.subject, Subject::Field(at) if signature.covers(at))
                            && matches!(&condition.expected, Expected::Is(is) if is.covers(field))
                    })
            }
            Proof::Jwt(jwt) => jwt.claims.iter().any(|(_, claim)| claim.covers(field)),
        }
    }

    /// Whether it signs the body, be it as its parsed content; true for a token, which signs nothing.
    pub fn covers_body(&self) -> bool {
        let form = |template: &Template| template.values().any(Value::covers_form);
        self.covers(&Field::Body)
            || match &self.proof {
                Proof::Signature(signature) => form(&signature.signed),
                Proof::Jwt(jwt) => jwt.claims.iter().any(|(_, claim)| form(claim)),
                Proof::Token(_) => true,
            }
    }
}

impl Signature {
    /// Whether it signs this field.
    pub fn covers(&self, field: &Field) -> bool {
        let as_timestamp = || {
            let signed = self.signed.uses(&Base::Timestamp);
            let timestamp = self.timestamp.as_ref();
            signed && timestamp.is_some_and(|time| time.place == TimePlace::Field(field.clone()))
        };
        self.signed.covers(field) || as_timestamp()
    }

    /// The header where the signature is, if that is the only place.
    pub fn header(&self) -> Option<&HeaderName> {
        match self.fields.as_slice() {
            [Field::Header(name)] => Some(name),
            _ => None,
        }
    }
}

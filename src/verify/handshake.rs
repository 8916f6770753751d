//! Answers to a vendor that asks whether a URL is its own. Nothing that arrives so is an event: it is answered from the
//! request itself, and forgotten.

use super::condition::{self, Condition};
use super::content::{Challenges, Content, Given, Surroundings};
use super::mac::equal;
use super::request::Request;
use crate::config::template::{Filter, Piece, Template, Value};
use crate::config::verify::{Condition as ConfiguredCondition, Expected};
use crate::config::{
    Secret, Verify,
    handshake::{Handshake as Config, HandshakeBody, HandshakeValue},
    key, takes,
    verify::{Algorithm, Hash, KeyForm, Proof, Subject},
};
use crate::extract::Field;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of the longest answer, with the values of its own headers: challenges are a line, and nobody should use a
/// gateway as an echo.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Bytes of the longest secret that a handshake may bring; vendors choose some 32 to 64.
const BROUGHT_BYTES_MAX: usize = 1 << 10;

/// The rules of one source.
#[derive(Debug, Default)]
pub struct Handshakes {
    rules: Vec<Handshake>,
    /// The methods that some rule answers, beside POST.
    methods: Vec<Method>,
    keys: Vec<Key>,
}

/// A key for a vendor that wants an HMAC of its challenge.
struct Key {
    secret: Secret,
    bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

/// Who may get an answer, as far as can be told without the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayAnswer {
    /// Whoever asks.
    Anybody,
    /// Who is proven.
    Proven,
}

/// A secret as a request has brought it.
pub struct Brought(Zeroizing<Vec<u8>>);

impl Brought {
    /// The secret, if it can be one: written to a file and read again it is the same, and every scheme takes it.
    /// Otherwise a request that nobody has proven could leave a file behind with which no gateway starts.
    pub fn usable(self, verify: &Verify) -> Option<Zeroizing<Vec<u8>>> {
        let Self(secret) = self;
        let is_a_word = !secret.is_empty() && secret.iter().all(u8::is_ascii_graphic);
        let usable = is_a_word && secret.len() <= BROUGHT_BYTES_MAX && takes(verify, &secret);
        usable.then_some(secret)
    }
}

/// One rule.
#[derive(Debug)]
pub struct Handshake {
    when: Vec<Condition>,
    /// Whether the request must be proven first.
    pub verified: bool,
    learn: Option<Field>,
    status: StatusCode,
    content_type: Option<HeaderValue>,
    headers: Vec<(HeaderName, Content)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text(Content),
    Json(Vec<(String, JsonValue)>),
}

#[derive(Debug)]
enum JsonValue {
    Text(Content),
    Fixed(serde_json::Value),
}

/// What the vendor gets.
#[derive(Debug)]
pub struct Answer {
    /// 200 to 299.
    pub status: StatusCode,
    /// Content-Type and those of the rule.
    pub headers: HeaderMap,
    /// May be empty.
    pub body: Bytes,
}

impl Handshakes {
    /// Prepares the rules. One that names a parameter which is not set is left out.
    pub fn new(
        rules: &[Config],
        verify: &Verify,
        secrets: &[Secret],
        around: &Surroundings,
    ) -> Self {
        let on = |rule: &&Config| Handshake::new(rule, around).is_some();
        let methods = rules.iter().filter(on).flat_map(|rule| methods(&rule.when));
        Self {
            methods: methods.collect(),
            rules: rules
                .iter()
                .filter_map(|rule| Handshake::new(rule, around))
                .collect(),
            keys: challenge_keys(verify, secrets),
        }
    }

    /// The methods that some rule answers, beside POST.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Whom a rule may answer, as far as can be told without the body; none if there is no such rule. A rule that names
    /// no method answers a POST.
    pub fn may_answer(
        &self,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<MayAnswer> {
        if method != Method::POST && !self.methods.contains(method) {
            return None;
        }
        let may = |rule: &&Handshake| condition::may_hold(&rule.when, method, query, headers);
        let may: Vec<&Handshake> = self.rules.iter().filter(may).collect();
        if may.iter().any(|rule| !rule.verified) {
            return Some(MayAnswer::Anybody);
        }
        (!may.is_empty()).then_some(MayAnswer::Proven)
    }

    /// The secret that this request brings, by this rule.
    pub fn brought(&self, rule: &Handshake, request: Request<'_>) -> Option<Brought> {
        let value = request.once(rule.learn.as_ref()?)?;
        Some(Brought(Zeroizing::new(value.into_owned())))
    }

    /// Whether this is one of the secrets.
    pub fn knows(&self, secret: &[u8]) -> bool {
        let is = |key: &Key| bool::from(equal(key.secret.expose(), secret));
        self.keys.iter().any(is)
    }

    /// The rule that answers this request.
    pub fn rule(&self, request: Request<'_>) -> Option<&Handshake> {
        let holds = |rule: &&Handshake| condition::hold(&rule.when, request);
        self.rules.iter().find(holds)
    }

    /// Where a request that no rule answers is not as the nearest rule wants it: places, never what stands there. None
    /// if no rule names its method. Without a body (`None`) only what can be told so is looked at.
    pub fn differing(&self, request: Request<'_>, body: Option<&[u8]>) -> Option<String> {
        let asked = |rule: &&Handshake| condition::name_method(&rule.when, request);
        let nearest = self
            .rules
            .iter()
            .filter(asked)
            .map(|rule| condition::differing(&rule.when, request, body))
            .min_by_key(Vec::len)?;
        let places = nearest.iter().map(|subject| match subject {
            Subject::Method => "method".to_owned(),
            Subject::Field(field) => field.to_string(),
        });
        Some(places.collect::<Vec<_>>().join(", "))
    }

    /// The answer of a rule at `now_ms` (Unix, milliseconds). None if the request lacks what is to be answered, or holds
    /// too much of it.
    pub fn answer(&self, rule: &Handshake, request: Request<'_>, now_ms: u64) -> Option<Answer> {
        let key = self.keys.iter().find(|key| key.secret.is_valid(now_ms));
        let given = Given {
            challenge_key: key.map(|key| &**key.bytes),
            ..Given::of(request)
        };
        let mut headers = HeaderMap::new();
        let mut bytes = 0;
        for (name, content) in &rule.headers {
            let value = content.text(&given)?;
            bytes += value.len();
            headers.append(name, HeaderValue::from_bytes(&value).ok()?);
        }
        let body = rule.body.render(&given)?;
        if bytes + body.len() > ANSWER_BYTES_MAX {
            return None;
        }
        if let Some(content_type) = &rule.content_type {
            headers.insert(http::header::CONTENT_TYPE, content_type.clone());
        }
        headers.insert(
            http::header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        Some(Answer {
            status: rule.status,
            headers,
            body: body.into(),
        })
    }
}

impl Handshake {
    fn new(config: &Config, around: &Surroundings) -> Option<Self> {
        let answer = &config.answer;
        let headers = answer
            .headers
            .iter()
            .map(|(name, template)| Some((name.clone(), Content::new(template, around)?)));
        Some(Self {
            when: condition::prepare(&config.when, around)?,
            verified: config.verified,
            learn: config.learn.clone(),
            status: answer.status,
            content_type: answer.content_type.clone(),
            headers: headers.collect::<Option<_>>()?,
            body: match &answer.body {
                HandshakeBody::Text(template) => Body::Text(Content::new(template, around)?),
                HandshakeBody::Json(fields) => Body::Json(
                    fields
                        .iter()
                        .map(|(name, value)| Some((name.clone(), JsonValue::new(value, around)?)))
                        .collect::<Option<_>>()?,
                ),
            },
        })
    }
}

impl JsonValue {
    fn new(value: &HandshakeValue, around: &Surroundings) -> Option<Self> {
        Some(match value {
            HandshakeValue::Text(template) => Self::Text(Content::new(template, around)?),
            HandshakeValue::Fixed(value) => Self::Fixed(value.clone()),
        })
    }

    fn render(&self, given: &Given<'_>) -> Option<serde_json::Value> {
        match self {
            Self::Text(content) => String::from_utf8(content.text(given)?).ok().map(Into::into),
            Self::Fixed(value) => Some(value.clone()),
        }
    }
}

impl Body {
    fn render(&self, given: &Given<'_>) -> Option<Vec<u8>> {
        match self {
            Self::Text(content) => content.text(given),
            Self::Json(fields) => {
                let mut object = String::from("{");
                for (place, (name, value)) in fields.iter().enumerate() {
                    let comma = if place > 0 { "," } else { "" };
                    let name = serde_json::Value::from(name.as_str());
                    let value = value.render(given)?;
                    object.push_str(&format!("{comma}{name}:{value}"));
                }
                object.push('}');
                Some(object.into_bytes())
            }
        }
    }
}

/// The methods that a rule asks for, without POST.
fn methods(when: &[ConfiguredCondition]) -> impl Iterator<Item = Method> {
    when.iter().filter_map(|condition| {
        let (Subject::Method, Expected::Is(template)) = (&condition.subject, &condition.expected)
        else {
            return None;
        };
        match template.0.as_slice() {
            [Piece::Literal(name)] => name.parse().ok().filter(|method| *method != Method::POST),
            _ => None,
        }
    })
}

/// The keys that sign the vendor's events: the source's secrets, made keys as its first scheme does.
fn challenge_keys(verify: &Verify, secrets: &[Secret]) -> Vec<Key> {
    let text = (&KeyForm::Text, Algorithm::Hmac(Hash::Sha256));
    let first = verify
        .schemes()
        .iter()
        .find_map(|scheme| match &scheme.proof {
            Proof::Signature(signature) => Some((&signature.key, signature.algorithm)),
            Proof::Jwt(_) | Proof::Token(_) => None,
        });
    let (form, algorithm) = first.unwrap_or(text);
    let key = |secret: &Secret| {
        let bytes = key::decode(form, algorithm, secret.expose()).ok()?;
        let secret = secret.clone();
        Some(Key { secret, bytes })
    };
    secrets.iter().filter_map(key).collect()
}

/// Of what some rule answers anybody with an HMAC.
pub(super) fn signs_for_anybody(rules: &[Config]) -> Option<Challenges> {
    let signs = |template: &Template| -> Option<Challenges> {
        template.values().filter_map(Challenges::of).max()
    };
    let open = rules.iter().filter(|rule| !rule.verified);
    let answers = open.flat_map(|rule| {
        let headers = rule
            .answer
            .headers
            .iter()
            .filter_map(|(_, header)| signs(header));
        let body = match &rule.answer.body {
            HandshakeBody::Text(text) => signs(text),
            HandshakeBody::Json(fields) => fields
                .iter()
                .filter_map(|(_, field)| match field {
                    HandshakeValue::Text(text) => signs(text),
                    HandshakeValue::Fixed(_) => None,
                })
                .max(),
        };
        headers.chain(body)
    });
    answers.max()
}

impl Challenges {
    /// Of what this value is an HMAC.
    fn of(value: &Value) -> Option<Self> {
        let keyed = |filter: &Filter| matches!(filter, Filter::HmacSha1 | Filter::HmacSha256);
        let at = value.filters.iter().position(keyed)?;
        Some(if value.filters[..at].contains(&Filter::HexDigits) {
            Self::HexDigits
        } else {
            Self::Texts
        })
    }
}

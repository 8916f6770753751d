//! The other side: a request made as its sender makes it, down to the place of the signature. It is what `send` and
//! the tests use, so that every scheme is known to pass what it should.

use super::content::{Content, Given, Surroundings, joined};
use super::filters::encode;
use super::keys::{Expected, Key};
use super::private::Private;
use super::request::Request;
use super::{Verifier, jwt, timestamp};
use crate::config::{
    Secret, Verify,
    template::Base,
    verify::{
        self, Algorithm, Encoding, HeaderPiece, Jwt, NamedHeaders, Prefix, Proof, Signature,
        Subject, TimePlace, Token,
    },
};
use crate::extract::{Field, json_stringify, pairs};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::json;
use zeroize::Zeroizing;

/// A request on its way out, before and after it is signed.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// The query of its URL, without `?`.
    pub query: Option<String>,
    /// All but Host and Content-Length.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum CannotSign {
    /// There is no secret to sign with: the vendor has not brought it yet.
    #[error("there is no secret to sign with")]
    NoSecret,
    /// Only the sender has the private key.
    #[error("the scheme signs with a private key, and none is given")]
    NoPrivateKey,
    /// A private key that cannot be read.
    #[error("{0}")]
    BadPrivateKey(&'static str),
    /// The request has no place for something.
    #[error("the request has no place for {0}")]
    NoPlace(String),
    /// No scheme takes a request like this.
    #[error("no scheme of the source takes such a request")]
    Unfit,
}

/// Signs as the sender of one source.
#[derive(Debug)]
pub struct Signer {
    verify: Verify,
    secrets: Vec<Secret>,
    around: Surroundings,
    private: Option<Private>,
    verifier: Verifier,
}

impl Signer {
    /// `private` is the sender's private key where the scheme has one: for Ed25519 32 bytes (or 64, with the public
    /// key behind) written as the public one is or after `whsk_`, otherwise PKCS #8 (RFC 5958) as PEM or base64.
    pub fn new(
        verify: &Verify,
        secrets: &[Secret],
        around: &Surroundings,
        private: Option<&[u8]>,
    ) -> Result<Self, CannotSign> {
        let algorithm = verify
            .schemes()
            .iter()
            .find_map(|scheme| match &scheme.proof {
                Proof::Signature(signature) => Some((signature.algorithm, &signature.key)),
                Proof::Jwt(_) | Proof::Token(_) => None,
            });
        let private = match (private, algorithm) {
            (Some(private), Some((algorithm, form))) => Private::read(private, algorithm, form)?,
            _ => None,
        };
        Ok(Self {
            verify: verify.clone(),
            secrets: secrets.to_vec(),
            around: around.clone(),
            private,
            verifier: Verifier::new(verify, secrets, around),
        })
    }

    /// The request as the sender would send it at `now_ms` (Unix, milliseconds), signed with the secret at `index`: by
    /// the first scheme that then passes.
    pub fn sign(
        &self,
        index: usize,
        request: &Outgoing,
        now_ms: u64,
    ) -> Result<Outgoing, CannotSign> {
        let mut why = None;
        for scheme in self.verify.schemes() {
            match self.sign_by(scheme, index, request.clone(), now_ms) {
                Ok(signed) if self.passes(&signed, now_ms) => return Ok(signed),
                Ok(_) => {}
                Err(cannot) => why = why.or(Some(cannot)),
            }
        }
        match self.verify {
            Verify::None => Ok(request.clone()),
            Verify::Schemes(_) => Err(why.unwrap_or(CannotSign::Unfit)),
        }
    }

    fn passes(&self, signed: &Outgoing, now_ms: u64) -> bool {
        self.verifier.prove(signed.as_request(), now_ms).is_ok()
    }

    fn sign_by(
        &self,
        scheme: &verify::Scheme,
        index: usize,
        mut request: Outgoing,
        now_ms: u64,
    ) -> Result<Outgoing, CannotSign> {
        let secret = self.secrets.get(index).ok_or(CannotSign::NoSecret)?;
        if let Proof::Signature(signature) = &scheme.proof {
            if let Some(field) = &signature.key_id
                && let Some(id) = &secret.id
            {
                request.put(field, id.as_bytes())?;
            }
            add_time(signature, &mut request, now_ms)?;
        }
        for condition in &scheme.when {
            if let (Subject::Field(field), verify::Expected::Is(template)) =
                (&condition.subject, &condition.expected)
                && let Some(content) = Content::new(template, &self.around)
                && let Some(value) = content.text(&Given::of(request.as_request()))
            {
                request.put(field, &value)?;
            }
        }
        match &scheme.proof {
            Proof::Token(token) => carry(token, secret, &mut request)?,
            Proof::Jwt(config) => self.add_jwt(config, secret, &mut request, now_ms)?,
            Proof::Signature(config) => self.add_signature(config, secret, &mut request, now_ms)?,
        }
        Ok(request)
    }

    fn add_signature(
        &self,
        config: &Signature,
        secret: &Secret,
        request: &mut Outgoing,
        now_ms: u64,
    ) -> Result<(), CannotSign> {
        let time = config.timestamp.as_ref();
        let named = match &config.named_headers {
            Some(named) => Some(name_headers(named, config, request)?),
            None => None,
        };
        let written = time.map(|time| match &time.place {
            TimePlace::Field(field) => {
                let sent = request
                    .as_request()
                    .once(field)
                    .map(std::borrow::Cow::into_owned);
                sent.unwrap_or_default()
            }
            _ => timestamp::write(time.format, now_ms).into_bytes(),
        });
        let content = Content::new(&config.signed, &self.around).ok_or(CannotSign::Unfit)?;
        let stringifies = content.uses(&Base::JsonStringify);
        let stringified = stringifies.then(|| json_stringify(&request.body));
        let stringified = stringified.transpose().map_err(|_| CannotSign::Unfit)?;
        let given = Given {
            stringified: stringified.as_deref(),
            timestamp: written.as_deref(),
            named_headers: named.as_ref().map(|named| named.text.as_bytes()),
            named_headers_list: named.as_ref().map(|named| named.list.as_bytes()),
            ..Given::of(request.as_request())
        };
        let pieces = content.render(&given).ok_or(CannotSign::Unfit)?;
        let key = Key::new(config.algorithm, &config.key, secret);
        let signature = match key.expects(&pieces) {
            Expected::Tag(tag) => tag.as_bytes().to_vec(),
            Expected::Public(_) => {
                let private = self.private.as_ref().ok_or(CannotSign::NoPrivateKey)?;
                private.sign(config.algorithm, &joined(&pieces))?
            }
        };
        drop(pieces);
        let text = encode(config.encoding, &signature);
        let element = match &config.prefix {
            Prefix::Text(prefix) => format!("{prefix}{text}"),
            Prefix::KeyId(before, after) => {
                let id = secret.id.as_deref().unwrap_or("1");
                format!("{before}{id}{after}{text}")
            }
        };
        let mut elements = Vec::new();
        if let (Some(time), Some(written)) = (time, &written) {
            let written = String::from_utf8_lossy(written);
            match &time.place {
                TimePlace::Element(prefix) => elements.push(format!("{prefix}{written}")),
                TimePlace::FirstElement => elements.push(written.into_owned()),
                TimePlace::Field(_) => {}
            }
        }
        if let (Some(config), Some(named)) = (&config.named_headers, &named)
            && let TimePlace::Element(prefix) = &config.place
        {
            elements.push(format!("{prefix}{}", named.list));
        }
        elements.push(element);
        let value = elements.join(config.split.as_deref().unwrap_or_default());
        let field = config.fields.first().ok_or(CannotSign::Unfit)?;
        request.put(field, value.as_bytes())
    }

    fn add_jwt(
        &self,
        config: &Jwt,
        secret: &Secret,
        request: &mut Outgoing,
        now_ms: u64,
    ) -> Result<(), CannotSign> {
        let algorithm = Algorithm::Hmac(config.hash);
        let seconds = now_ms / 1_000;
        let mut claims = json!({ "iat": seconds, "nbf": seconds, "exp": seconds + 300 });
        for (name, template) in &config.claims {
            let content = Content::new(template, &self.around).ok_or(CannotSign::Unfit)?;
            let stringified = json_stringify(&request.body).ok();
            let given = Given {
                stringified: stringified.as_deref(),
                ..Given::of(request.as_request())
            };
            let text = content.text(&given).ok_or(CannotSign::Unfit)?;
            claims[name] = String::from_utf8_lossy(&text).into();
        }
        let header = json!({ "alg": jwt::name(config.hash), "typ": "JWT" });
        let part =
            |value: &serde_json::Value| encode(Encoding::Base64Url, value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let key = Key::new(algorithm, &config.key, secret);
        let pieces = [super::content::Rendered::Bytes(signed.as_bytes().into())];
        let Expected::Tag(tag) = key.expects(&pieces) else {
            return Err(CannotSign::NoPrivateKey);
        };
        let signature = encode(Encoding::Base64Url, tag.as_bytes());
        let token = format!("{}{signed}.{signature}", config.prefix);
        request.put(&config.field, token.as_bytes())
    }
}

fn add_time(config: &Signature, request: &mut Outgoing, now_ms: u64) -> Result<(), CannotSign> {
    match &config.timestamp {
        Some(time) => match &time.place {
            TimePlace::Field(field) => {
                request.put(field, timestamp::write(time.format, now_ms).as_bytes())
            }
            TimePlace::Element(_) | TimePlace::FirstElement => Ok(()),
        },
        None => Ok(()),
    }
}

fn carry(token: &Token, secret: &Secret, request: &mut Outgoing) -> Result<(), CannotSign> {
    if let Field::Header(name) = &token.field {
        let value = token
            .carry(secret.expose())
            .ok_or_else(|| CannotSign::NoPlace("this token in a header".to_owned()))?;
        request.headers.insert(name, value);
        return Ok(());
    }
    let text = Zeroizing::new([token.prefix.as_bytes(), secret.expose()].concat());
    request.put(&token.field, &text)
}

/// What the sender says it signed of the headers.
struct Named {
    text: String,
    list: String,
}

/// Names the content type, the time's header and that of the list itself, as far as there are such headers: a list
/// that is not signed could be exchanged for another.
fn name_headers(
    named: &NamedHeaders,
    config: &Signature,
    request: &mut Outgoing,
) -> Result<Named, CannotSign> {
    let time = config.timestamp.as_ref().map(|time| &time.place);
    let mut names = vec![CONTENT_TYPE];
    if let Some(TimePlace::Field(Field::Header(name))) = time {
        names.push(name.clone());
    }
    names.retain(|name| request.headers.contains_key(name));
    if let TimePlace::Field(Field::Header(name)) = &named.place {
        names.push(name.clone());
    }
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    let texts: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    let list = texts.join(&named.split);
    if let TimePlace::Field(field) = &named.place {
        request.put(field, list.as_bytes())?;
    }
    let each = |name: &HeaderName| -> String {
        let value = request
            .headers
            .get(name)
            .map_or(&[][..], HeaderValue::as_bytes);
        let value = String::from_utf8_lossy(value);
        let piece = |piece: &HeaderPiece| match piece {
            HeaderPiece::Literal(text) => text.clone(),
            HeaderPiece::Name => name.to_string(),
            HeaderPiece::Value => value.clone().into_owned(),
        };
        named.each.iter().map(piece).collect()
    };
    let text = names.iter().map(each).collect::<Vec<_>>().join(&named.join);
    Ok(Named { text, list })
}

impl Outgoing {
    /// As it would be received.
    pub fn as_request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    /// Puts a value where a field is looked for: into a header, into the query, or in place of what stands in the body.
    pub fn put(&mut self, field: &Field, value: &[u8]) -> Result<(), CannotSign> {
        let no_place = || CannotSign::NoPlace(field.to_string());
        match field {
            Field::Header(name) => {
                let value = HeaderValue::from_bytes(value).map_err(|_| no_place())?;
                self.headers.insert(name, value);
            }
            Field::Query(name) => {
                let query = self.query.as_deref().unwrap_or_default();
                self.query = Some(with_pair(query.as_bytes(), name, value));
            }
            Field::Form(name) => self.body = with_pair(&self.body, name, value).into(),
            Field::Json(pointer) => {
                let span = pointer.span(&self.body).ok_or_else(no_place)?;
                let text = String::from_utf8_lossy(value);
                // A number stays one.
                let number = !self.body[span.start..].starts_with(b"\"")
                    && value.iter().all(u8::is_ascii_digit);
                let text = if number {
                    text.into_owned()
                } else {
                    serde_json::Value::from(text).to_string()
                };
                let (before, after) = (&self.body[..span.start], &self.body[span.end..]);
                self.body = [before, text.as_bytes(), after].concat().into();
            }
            Field::Body => return Err(no_place()),
        }
        Ok(())
    }
}

/// A form or query with this value in the place of the name's first, or behind the others.
fn with_pair(text: &[u8], name: &str, value: &[u8]) -> String {
    let encoded = |text: &[u8]| percent_encode(text, NON_ALPHANUMERIC).to_string();
    let ours = format!("{}={}", encoded(name.as_bytes()), encoded(value));
    let mut placed = false;
    let mut all = Vec::new();
    for (pair, (known, _)) in text
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .zip(pairs(text))
    {
        if *known == *name.as_bytes() && !placed {
            placed = true;
            all.push(ours.clone());
        } else {
            all.push(String::from_utf8_lossy(pair).into_owned());
        }
    }
    if !placed {
        all.push(ours);
    }
    all.join("&")
}

//! The room through its door: schemes as the configuration says them, and requests that try to get past them.

mod attacks;
mod conditions;
mod handshakes;
mod keys;
mod laws;
mod named;
mod places;
mod replay;
mod signed;
mod sources;
mod time;
mod tokens;
mod vendors;
mod webtokens;

use super::*;
use crate::config::verify::{
    Algorithm, Condition as When, Encoding, Expected, Hash, Jwt, KeyForm, NamedHeaders, Prefix,
    Proof, Scheme as Config, Signature, Subject, TimeFormat, TimePlace, Timestamp, Token,
    TokenForm,
};
use crate::extract::Field;
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use std::{cell::Cell, time::Duration};

thread_local! {
    /// How many comparisons this thread has made with what secrets make.
    pub(super) static COMPARED: Cell<usize> = const { Cell::new(0) };
    /// How many HMACs it has made.
    pub(super) static FINISHED: Cell<usize> = const { Cell::new(0) };
}

/// 2026-01-31T10:30:00Z.
const NOW_MS: u64 = 1_769_855_400_000;
const URL: &str = "https://hooks.example.com/hooks/erp";
const FORM: &str = "application/x-www-form-urlencoded";
const MISSING: Result<String, Refused> = Err(Refused::Missing);
const BAD: Result<String, Refused> = Err(Refused::Bad);
const STALE: Result<String, Refused> = Err(Refused::Stale);

fn field(text: &str) -> Field {
    text.parse().expect("a field")
}

fn secrets(values: &[&str]) -> Vec<Secret> {
    (1..)
        .zip(values)
        .map(|(place, value)| Secret::new(&format!("s{place}"), value.as_bytes().to_vec()))
        .collect()
}

/// A secret that requests call by its name.
fn with_id(id: &str, value: &str) -> Secret {
    let mut secret = Secret::new(id, value.as_bytes().to_vec());
    secret.id = Some(id.into());
    secret
}

fn around() -> Surroundings {
    Surroundings {
        public_url: Some(URL.into()),
        params: vec![("app".into(), Secret::new("app", b"app-1".to_vec()))],
        signatures_max: 16,
        remember: true,
        answers_challenges: None,
    }
}

/// HMAC-SHA256 in hex over the body, in `x-signature`.
fn plain() -> Signature {
    Signature {
        algorithm: Algorithm::Hmac(Hash::Sha256),
        fields: vec![field("header:x-signature")],
        repeated: false,
        split: None,
        prefix: Prefix::Text(String::new()),
        encoding: Encoding::Hex,
        key: KeyForm::Text,
        key_id: None,
        signed: "{body}".parse().expect("a template"),
        timestamp: None,
        named_headers: None,
    }
}

/// A time with five minutes each way, in Unix seconds.
fn time_in(place: &str) -> Timestamp {
    Timestamp {
        place: match place {
            "first" => TimePlace::FirstElement,
            element if element.ends_with('=') => TimePlace::Element(element.to_owned()),
            place => TimePlace::Field(field(place)),
        },
        format: TimeFormat::Unix,
        past: Some(Duration::from_mins(5)),
        future: Some(Duration::from_mins(5)),
    }
}

/// A list as Stripe has it: `t=1700000000,v1=...`.
fn list() -> Signature {
    Signature {
        split: Some(",".to_owned()),
        prefix: Prefix::Text("v1=".to_owned()),
        timestamp: Some(time_in("t=")),
        ..signing("{timestamp}.{body}")
    }
}

/// HMAC-SHA256 in hex over this text.
fn signing(signed: &str) -> Signature {
    Signature {
        signed: signed.parse().expect("a template"),
        ..plain()
    }
}

fn scheme(proof: Proof) -> Config {
    Config {
        when: Vec::new(),
        secrets: None,
        proof,
    }
}

fn by(signature: Signature) -> Verify {
    Verify::Schemes(vec![scheme(Proof::Signature(signature))])
}

fn token(at: &str, prefix: &str, form: TokenForm) -> Proof {
    Proof::Token(Token {
        field: field(at),
        prefix: prefix.to_owned(),
        form,
    })
}

/// One line of a `when`, as it is written.
fn when(subject: &str, expected: Option<&str>) -> When {
    When {
        subject: match subject {
            "method" => Subject::Method,
            at => Subject::Field(field(at)),
        },
        expected: match expected {
            None => Expected::Absent,
            Some("*") => Expected::Present,
            Some(template) => Expected::Is(template.parse().expect("a template")),
        },
    }
}

/// A request of JSON, as nobody has signed it.
fn post(body: &str) -> Outgoing {
    Outgoing {
        method: Method::POST,
        query: None,
        headers: HeaderMap::new(),
        body: body.to_owned().into(),
    }
}

fn form(body: &str) -> Outgoing {
    post(body).with("content-type", FORM)
}

impl Outgoing {
    /// With one more line of this header.
    fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().expect("a name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a value");
        self.headers.append(name, value);
        self
    }

    /// With this in place of the header.
    fn but(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.remove(name);
        self.with(name, value)
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Bytes::copy_from_slice(body.as_ref());
        self
    }

    fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }

    fn text(&self, name: &str) -> String {
        let value = self.headers[name].to_str().expect("ASCII");
        value.to_owned()
    }
}

/// What a source makes of requests, and the sender it belongs to.
struct Door {
    verifier: Verifier,
    signer: Signer,
}

impl Door {
    fn new(verify: &Verify, secrets: &[Secret]) -> Self {
        Self::within(verify, secrets, &around())
    }

    fn within(verify: &Verify, secrets: &[Secret], around: &Surroundings) -> Self {
        Self {
            verifier: Verifier::new(verify, secrets, around),
            signer: Signer::new(verify, secrets, around, None).expect("no key to read"),
        }
    }

    fn sign(&self, request: &Outgoing) -> Outgoing {
        self.signer.sign(0, request, NOW_MS).expect("it is signed")
    }

    fn verified(&self, request: &Outgoing, now_ms: u64) -> Result<Verified, Refused> {
        let request = request.clone();
        self.verifier.verify(
            &request.method,
            request.query.as_deref(),
            request.headers,
            request.body,
            now_ms,
        )
    }

    /// The name of the secret that proves it, or why it is refused.
    fn judge_at(&self, request: &Outgoing, now_ms: u64) -> Result<String, Refused> {
        let verified = self.verified(request, now_ms)?;
        let query = request.query.as_deref();
        let before = self
            .verifier
            .precheck(&request.method, query, &request.headers);
        assert_eq!(before, Ok(()), "what passes is not refused before");
        Ok(verified
            .secret()
            .map_or(String::new(), std::string::ToString::to_string))
    }

    fn judge(&self, request: &Outgoing) -> Result<String, Refused> {
        self.judge_at(request, NOW_MS)
    }
}

/// What a request is to a source of one signature.
fn judge(signature: &Signature, secrets: &[Secret], request: &Outgoing) -> Result<String, Refused> {
    Door::new(&by(signature.clone()), secrets).judge(request)
}

/// HMAC-SHA256 in hex, made apart from any scheme.
fn tag(key: &str, text: impl AsRef<[u8]>) -> String {
    let mut mac = mac::Mac::new(Hash::Sha256, key.as_bytes());
    mac.update(text.as_ref());
    hex::encode(mac.finish().as_bytes())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with what a verifier says"
)]
fn s(place: usize) -> Result<String, Refused> {
    Ok(format!("s{place}"))
}

/// All of them are looked at; the first match counts.
#[test]
fn the_first_match_is_found_wherever_it_stands() {
    let cases: [(&[u8], Option<usize>); 6] = [
        (&[], None),
        (&[0, 0, 0], None),
        (&[1, 0, 0], Some(0)),
        (&[0, 1, 1], Some(1)),
        (&[0, 0, 1], Some(2)),
        (&[1, 1, 1], Some(0)),
    ];
    for (matches, expected) in cases {
        let choices = matches.iter().map(|matches| Choice::from(*matches));
        assert_eq!(place(choices), expected, "{matches:?}");
    }
}

/// A check that is the same in each of these cases: a table's line is a name, a request and what it is.
fn table(
    door: &Door,
    cases: impl IntoIterator<Item = (&'static str, Outgoing, Result<String, Refused>)>,
) {
    for (name, request, expected) in cases {
        assert_eq!(door.judge(&request), expected, "{name}");
    }
}

//! One scheme of a source beside one request: what was found where it looks, whether it passes, and what it lacks.

use super::capture::Capture;
use super::keys::{Candidate, Known, candidates};
use super::readings::{self, encoding_name, place};
use super::show::Screen;
use super::steps;
use super::times;
use super::trial::Trial;
use crate::config::{
    Secret,
    template::Base,
    verify::{Algorithm, Encoding, Prefix, Proof, Scheme, Signature, TimePlace, Timestamp},
};
use crate::extract::Field;
use crate::verify::{Refused, Surroundings};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_PAD_INDIFFERENT};
use http::HeaderName;

/// A scheme and what came of it.
pub(super) struct Entry {
    pub(super) trial: Trial,
    secrets: Vec<Secret>,
    /// Places of the conditions that do not hold; the scheme is not tried if there is one.
    pub(super) unmet: Vec<usize>,
    /// What the gateway says at the time that is asked about.
    pub(super) answer: Result<(), Refused>,
    /// The secret whose signature is right, whatever its time; only of those that are configured.
    pub(super) right: Option<String>,
    /// Keys to look further with, and how many of them are configured.
    pub(super) candidates: (Vec<Candidate>, usize),
}

impl Entry {
    /// Asks the gateway's verifier.
    pub(super) fn new(
        scheme: &Scheme,
        around: &Surroundings,
        capture: &Capture,
        secrets: &[Secret],
        known: Known<'_>,
    ) -> Self {
        let trial = Trial::new(scheme, around, capture);
        let (all, configured) = candidates(&scheme.proof, scheme.secrets.as_deref(), known);
        let right = trial.matching(&all[..configured]);
        Self {
            answer: trial.ask(secrets, known.now_ms),
            secrets: secrets.to_vec(),
            unmet: steps::unmet(&trial),
            right: right
                .and_then(|place| all.get(place))
                .map(|found| found.secret.clone()),
            trial,
            candidates: (all, configured),
        }
    }

    /// What the gateway says at another time.
    pub(super) fn asked_at(&self, now_ms: u64) -> Result<(), Refused> {
        self.trial.ask(&self.secrets, now_ms)
    }

    /// The signature's scheme, if it is one.
    pub(super) fn signature(&self) -> Option<&Signature> {
        match &self.trial.scheme.proof {
            Proof::Signature(signature) => Some(signature),
            Proof::Jwt(_) | Proof::Token(_) => None,
        }
    }

    /// Whether something stands where the signature or the token should.
    pub(super) fn has_signature(&self) -> bool {
        let there = |field: &Field| self.trial.field(field).is_some();
        match &self.trial.scheme.proof {
            Proof::Token(token) => there(&token.field),
            Proof::Jwt(jwt) => there(&jwt.field),
            Proof::Signature(signature) => signature.fields.iter().any(there),
        }
    }

    /// Whether there is a time to be signed, and the request has none.
    pub(super) fn lacks_time(&self) -> bool {
        self.signature().is_some_and(|signature| {
            signature.timestamp.is_some() && self.trial.timestamp(signature).is_none()
        })
    }

    /// The conditions that do not hold, as they are written.
    pub(super) fn unmet_lines(&self) -> String {
        let conditions = &self.trial.scheme.when;
        let lines = self
            .unmet
            .iter()
            .map(|place| steps::line(&conditions[*place]));
        lines.collect::<Vec<_>>().join("; ")
    }

    /// What the request does not have, in words.
    pub(super) fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        let mut need = |field: &Field| {
            if self.trial.field(field).is_none() {
                let what = match field {
                    Field::Header(name) => format!("no header {name}"),
                    field => format!("nothing in {field}"),
                };
                if !lacks.contains(&what) {
                    lacks.push(what);
                }
            }
        };
        match &self.trial.scheme.proof {
            Proof::Token(token) => need(&token.field),
            Proof::Jwt(jwt) => need(&jwt.field),
            Proof::Signature(signature) => {
                let there = |field: &Field| self.trial.field(field).is_some();
                if !signature.fields.iter().any(there) {
                    signature.fields.iter().for_each(&mut need);
                }
                let time = signature.timestamp.as_ref().map(|time| &time.place);
                if let Some(TimePlace::Field(field)) = time {
                    need(field);
                }
                signature.key_id.iter().for_each(&mut need);
                for value in signature.signed.values() {
                    if let Base::Field(field) = &value.base
                        && !value
                            .filters
                            .contains(&crate::config::template::Filter::Optional)
                    {
                        need(field);
                    }
                }
            }
        }
        if let Some(time) = self.missing_element() {
            lacks.push(time);
        }
        lacks
    }

    fn missing_element(&self) -> Option<String> {
        let signature = self.signature()?;
        let time = signature.timestamp.as_ref()?;
        let there = !self.trial.elements(signature).is_empty();
        match &time.place {
            TimePlace::Element(prefix) if there && self.trial.timestamp(signature).is_none() => {
                Some(format!("no element {prefix:?} with the time"))
            }
            _ => None,
        }
    }

    /// Headers that the scheme reads and that stand there more than once.
    pub(super) fn repeated(&self) -> Vec<HeaderName> {
        let mut names = read_headers(&self.trial.scheme.proof);
        names.retain(|name| self.trial.headers.get_all(name).iter().count() > 1);
        names
    }

    /// What stands where the signature is, as rows of a label and a text.
    pub(super) fn rows(&self, screen: &Screen, now_ms: u64) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        match &self.trial.scheme.proof {
            Proof::Token(token) => {
                if let Some(value) = self.trial.field(&token.field) {
                    let at = place(&token.field);
                    rows.push((
                        "token",
                        format!("{at}: {} characters, not shown", value.len()),
                    ));
                }
            }
            Proof::Jwt(jwt) => {
                if let Some(value) = self.trial.field(&jwt.field) {
                    let at = place(&jwt.field);
                    rows.push(("token", format!("{at}: {} characters", value.len())));
                    rows.extend(self.jwt_times(now_ms).map(|text| ("timestamp", text)));
                }
            }
            Proof::Signature(signature) => {
                self.signature_rows(signature, screen, now_ms, &mut rows);
            }
        }
        rows
    }

    fn signature_rows(
        &self,
        signature: &Signature,
        screen: &Screen,
        now_ms: u64,
        rows: &mut Vec<(&'static str, String)>,
    ) {
        for field in &signature.fields {
            let values = match field {
                Field::Header(name) => {
                    let lines = self.trial.headers.get_all(name).iter();
                    lines.map(|value| value.as_bytes().to_vec()).collect()
                }
                field => self.trial.field(field).into_iter().collect::<Vec<_>>(),
            };
            for value in values {
                rows.push((
                    "signature",
                    format!("{}: {}", place(field), screen.show(&value)),
                ));
            }
        }
        let elements = self.trial.elements(signature);
        if signature.split.is_some() && !elements.is_empty() {
            let fitting = elements
                .iter()
                .filter(|element| fits(signature, element).is_ok())
                .count();
            let text = format!(
                "{} in the list, {fitting} of them signatures of this scheme",
                elements.len()
            );
            rows.push(("elements", text));
        }
        if let Some(time) = &signature.timestamp
            && let Some(text) = self.trial.timestamp(signature)
        {
            rows.push(("timestamp", timestamp_row(time, &text, screen, now_ms)));
        }
    }

    /// The signed time, Unix milliseconds, however it is written.
    pub(super) fn signed_ms(&self) -> Option<u64> {
        match &self.trial.scheme.proof {
            Proof::Signature(signature) => {
                let text = self.trial.timestamp(signature)?;
                times::read(&text).map(|(_, unix_ms)| unix_ms)
            }
            Proof::Jwt(_) => {
                let claims = self.jwt_claims()?;
                let seconds = ["iat", "nbf", "exp"]
                    .iter()
                    .find_map(|name| claims.get(*name)?.as_u64());
                seconds?.checked_mul(1_000)
            }
            Proof::Token(_) => None,
        }
    }

    /// The claims of a token; nothing of them is believed.
    fn jwt_claims(&self) -> Option<serde_json::Value> {
        let Proof::Jwt(jwt) = &self.trial.scheme.proof else {
            return None;
        };
        let value = self.trial.field(&jwt.field)?;
        let token = value.strip_prefix(jwt.prefix.as_bytes())?;
        let payload = token.split(|byte| *byte == b'.').nth(1)?;
        serde_json::from_slice(&URL_SAFE_PAD_INDIFFERENT.decode(payload).ok()?).ok()
    }

    /// `exp` and `nbf` in words.
    pub(super) fn jwt_times(&self, now_ms: u64) -> Option<String> {
        let claims = self.jwt_claims()?;
        let mut texts = Vec::new();
        for name in ["nbf", "exp"] {
            if let Some(seconds) = claims.get(name).and_then(serde_json::Value::as_u64) {
                texts.push(format!(
                    "{name} is {}",
                    times::age(seconds.saturating_mul(1_000), now_ms)
                ));
            }
        }
        (!texts.is_empty()).then(|| texts.join(", "))
    }

    /// Why no element can be a signature of this scheme: the reason of the first that begins as one, else of the first.
    /// None where the scheme is not tried.
    pub(super) fn malformed(&self) -> Option<String> {
        let signature = self.signature()?;
        if !self.unmet.is_empty() {
            return None;
        }
        let mut elements = self.trial.elements(signature);
        if let Prefix::Text(prefix) = &signature.prefix {
            elements.sort_by_key(|element| !element.starts_with(prefix.as_bytes()));
        }
        let mut why = None;
        for element in &elements {
            match fits(signature, element) {
                Ok(()) => return None,
                Err(words) => why = why.or(Some(words)),
            }
        }
        why
    }
}

/// Headers that the scheme reads and that may stand there once only.
pub(super) fn read_headers(proof: &Proof) -> Vec<HeaderName> {
    let mut read: Vec<&Field> = Vec::new();
    match proof {
        Proof::Token(token) => read.push(&token.field),
        Proof::Jwt(jwt) => read.push(&jwt.field),
        Proof::Signature(signature) => {
            if !signature.repeated {
                read.extend(&signature.fields);
            }
            if let Some(Timestamp {
                place: TimePlace::Field(field),
                ..
            }) = &signature.timestamp
            {
                read.push(field);
            }
        }
    }
    let headers = read.into_iter().filter_map(|field| match field {
        Field::Header(name) => Some(name.clone()),
        _ => None,
    });
    headers.collect()
}

fn timestamp_row(config: &Timestamp, text: &[u8], screen: &Screen, now_ms: u64) -> String {
    let shown = screen.show(text);
    let Some((_, unix_ms)) = times::read(text) else {
        return format!("{shown}, which is no time that can be read");
    };
    let when = crate::clock::rfc3339(unix_ms);
    let age = times::age(unix_ms, now_ms);
    let limit = if unix_ms <= now_ms {
        config.past
    } else {
        config.future
    };
    let limit = limit.map_or_else(
        || "no limit".to_owned(),
        |limit| format!("the limit is {}", times::span(crate::clock::millis(limit))),
    );
    format!("{shown} ({when}), {age}, {limit}")
}

/// Whether an element can be a signature of this scheme.
fn fits(signature: &Signature, element: &[u8]) -> Result<(), String> {
    let text = match &signature.prefix {
        Prefix::Text(prefix) => element
            .strip_prefix(prefix.as_bytes())
            .ok_or_else(|| format!("it does not begin with {prefix:?}"))?,
        Prefix::KeyId(before, after) => element
            .strip_prefix(before.as_bytes())
            .and_then(|rest| {
                let end = rest
                    .windows(after.len())
                    .position(|part| part == after.as_bytes())?;
                Some(&rest[end + after.len()..])
            })
            .ok_or_else(|| format!("it is not {before}KEY_ID{after}SIGNATURE"))?,
    };
    let decoded = match signature.encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64Url => URL_SAFE_PAD_INDIFFERENT.decode(text).ok(),
    };
    let name = encoding_name(signature.encoding);
    let Some(decoded) = decoded else {
        return Err(format!("its {} characters are not {name}", text.len()));
    };
    let wanted = match signature.algorithm {
        Algorithm::Hmac(hash) | Algorithm::Hash(hash) => readings::length(hash),
        Algorithm::Ed25519 => 64,
        Algorithm::EcdsaP256 | Algorithm::Rsa(_) => return Ok(()),
    };
    match decoded.len() {
        length if length == wanted => Ok(()),
        length => Err(format!(
            "it is {length} bytes long once decoded as {name}, and a signature of this scheme is {wanted}{}",
            if length < wanted {
                ": it may have been cut"
            } else {
                ""
            }
        )),
    }
}

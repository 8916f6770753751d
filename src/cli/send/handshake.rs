//! `send --handshake`: asks as a vendor does whether the URL is its own. The request is made of the source's rule: its
//! conditions say what has to stand where, and its answer what is asked for.

use super::{
    fresh::random_uuid,
    generic::{self, JSON},
    needs,
    vendor::{SIGNATURES_MAX, Vendor},
};
use crate::{
    cli::{Failure, preset::Preset},
    clock::wall_ms,
    config::{
        Source,
        handshake::{Handshake, HandshakeBody, HandshakeValue},
        template::{Base, Piece, Template},
        verify::{Expected, Subject},
    },
    extract::Field,
    http::client::Reply,
    verify::{HandshakeAnswer, Handshakes, Outgoing, Surroundings},
};
use http::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Map, Value};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A handshake that is to be played, and what the vendor wants to be answered.
#[derive(Debug)]
pub(super) struct Asked {
    /// Signed where the rule wants it.
    pub(super) request: Outgoing,
    answer: HandshakeAnswer,
    /// Where the gateway keeps a secret that this brings.
    kept_in: Option<PathBuf>,
}

impl Asked {
    /// That of the source's first rule. (A rule whose param is not set is not among them.)
    pub(super) fn new(vendor: &Vendor) -> Result<Self, Failure> {
        match vendor.source().handshakes.first() {
            Some(rule) => Self::by(vendor, rule),
            None => Err(Failure::Usage(none(vendor.source())?)),
        }
    }

    fn by(vendor: &Vendor, rule: &Handshake) -> Result<Self, Failure> {
        let source = vendor.source();
        let mut request = question(source, rule, vendor.blank()).ok_or_else(|| {
            Failure::Usage(format!(
                "the handshake of source {} compares with something that only a vendor knows, and cannot be played",
                source.name
            ))
        })?;
        if rule.verified {
            request = vendor.sign(&request)?;
        }
        let around = Surroundings::of(source, SIGNATURES_MAX);
        let rules = Handshakes::new(&source.handshakes, &source.verify, &source.secrets, &around);
        let seen = request.as_request();
        let answer = rules
            .rule(seen)
            .and_then(|rule| rules.answer(rule, seen, wall_ms()));
        let answer = answer.ok_or_else(|| {
            Failure::Usage(format!(
                "no handshake of source {} answers what could be made of its rules",
                source.name
            ))
        })?;
        Ok(Self {
            request,
            answer,
            kept_in: rule.learn.as_ref().and(source.learn_to.clone()),
        })
    }

    /// What the vendor makes of this answer, where it is not content.
    pub(super) fn complaint(&self, reply: &Reply) -> String {
        let mut why = "the vendor would not be content with this answer".to_owned();
        if let Some(file) = &self.kept_in
            && reply.status == StatusCode::UNAUTHORIZED
        {
            let file = file.display();
            why += &format!(
                ": the gateway may know another secret already than this handshake brought; it takes a new one once \
                 its file {file} is removed"
            );
        }
        why
    }

    /// Whether the vendor is content with this answer.
    pub(super) fn is_answered(&self, reply: &Reply) -> bool {
        let has = |(name, value)| reply.headers.get(name) == Some(value);
        reply.status == self.answer.status
            && reply.body == self.answer.body
            && self.answer.headers.iter().all(has)
    }
}

/// Why there is nothing to play.
fn none(source: &Source) -> Result<String, Failure> {
    let name = &source.name;
    if let Some(provider) = source.provider.as_deref() {
        let preset = Preset::read(provider)?;
        let params = preset.params().into_iter();
        let mut unset = params.filter(|(name, is_set)| !is_set && param(source, name).is_none());
        if let Some((param, _)) = unset.next() {
            return Ok(format!(
                "the handshake of source {name} is off as long as its param {param} is not set; set it in a \
                 configuration file: params: {{ {param}: TEXT }}"
            ));
        }
    }
    Ok(format!(
        "source {name} has no handshake: its vendor sends events at once"
    ))
}

fn param<'a>(source: &'a Source, name: &str) -> Option<&'a [u8]> {
    let mut params = source.params.iter();
    let (_, text) = params.find(|(known, _)| **known == *name)?;
    Some(text.expose())
}

/// What the answer is made of.
fn answered(rule: &Handshake) -> impl Iterator<Item = &Template> {
    let (text, entries) = match &rule.answer.body {
        HandshakeBody::Text(text) => (Some(text), &[][..]),
        HandshakeBody::Json(entries) => (None, entries.as_slice()),
    };
    let values = entries.iter().filter_map(|(_, value)| match value {
        HandshakeValue::Text(template) => Some(template),
        HandshakeValue::Fixed(_) => None,
    });
    let headers = rule.answer.headers.iter().map(|(_, template)| template);
    text.into_iter().chain(values).chain(headers)
}

/// A request for which the rule's conditions hold, with a challenge wherever its answer looks. None if a condition
/// compares with more than a text.
fn question(source: &Source, rule: &Handshake, mut request: Outgoing) -> Option<Outgoing> {
    // What may be answered with an HMAC and what has to be hex digits: this is both.
    let challenge = random_uuid().replace('-', "");
    let mut wanted: Vec<(Field, Vec<u8>)> = answered(rule)
        .flat_map(Template::values)
        .filter_map(|value| match &value.base {
            Base::Field(field) => Some((field.clone(), challenge.clone().into_bytes())),
            _ => None,
        })
        .collect();
    if rule.verified {
        let needed = needs::of(source).into_iter();
        wanted.extend(needed.map(|(field, need)| match need {
            needs::Need::Place => (field.clone(), Vec::new()),
            needs::Need::Value => (field.clone(), challenge.clone().into_bytes()),
        }));
    }
    for condition in &rule.when {
        let value = match &condition.expected {
            Expected::Absent => continue,
            Expected::Present => challenge.clone().into_bytes(),
            Expected::Is(template) => text(source, template)?,
        };
        match &condition.subject {
            Subject::Method => request.method = Method::from_bytes(&value).ok()?,
            Subject::Field(field) => wanted.push((field.clone(), value)),
        }
    }
    if let Some(field) = &rule.learn
        && let Some(known) = known_secret(source)
    {
        wanted.push((field.clone(), known.to_vec()));
    }
    fill(&wanted, &mut request)?;
    Some(request)
}

/// The secret that the vendor has brought before. Once one is known, a gateway believes no other, and a vendor that
/// asks again brings the same.
fn known_secret(source: &Source) -> Option<Zeroizing<Vec<u8>>> {
    let Some(file) = &source.learn_to else {
        let first = source.secrets.first()?;
        return Some(Zeroizing::new(first.expose().to_vec()));
    };
    let text = Zeroizing::new(std::fs::read(file).ok()?);
    let line = text.strip_suffix(b"\n").unwrap_or(&text);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Some(Zeroizing::new(line.to_vec()))
}

/// The text of a template of texts and params alone.
fn text(source: &Source, template: &Template) -> Option<Vec<u8>> {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(text) => Some(text.as_bytes().to_vec()),
        Piece::Value(value) => match (&value.base, value.filters.as_slice()) {
            (Base::Param(name), []) => param(source, name).map(<[u8]>::to_vec),
            _ => None,
        },
    };
    let pieces: Option<Vec<Vec<u8>>> = template.0.iter().map(piece).collect();
    pieces.map(|pieces| pieces.concat())
}

/// Puts every value into its place; the last one counts.
fn fill(wanted: &[(Field, Vec<u8>)], request: &mut Outgoing) -> Option<()> {
    let mut json = Value::Object(Map::new());
    for (field, value) in wanted {
        match field {
            Field::Json(pointer) => {
                let text = String::from_utf8_lossy(value).into_owned();
                // As a vendor writes it: a number is one.
                let value = match text.parse::<u64>() {
                    Ok(number) => Value::from(number),
                    Err(_) => Value::from(text),
                };
                generic::put(&mut json, pointer.names(), value);
            }
            Field::Form(_) => {
                request.headers.insert(CONTENT_TYPE, generic::FORM);
                request.put(field, value).ok()?;
            }
            Field::Header(_) | Field::Query(_) if value.is_empty() => {}
            Field::Header(_) | Field::Query(_) => request.put(field, value).ok()?,
            Field::Body => {}
        }
    }
    if json.as_object().is_some_and(|fields| !fields.is_empty()) {
        request.headers.insert(CONTENT_TYPE, JSON);
        request.body = json.to_string().into();
    }
    Some(())
}

//! A source's vendor, played: its payloads, its headers, its signature. What it makes is what the real one would
//! send, down to the bytes; [`forge`](Vendor::forge) then spoils it as somebody without the secret would.

use super::{
    fresh::{Fresh, random_uuid},
    generic::{self, JSON},
    key, needs,
    samples::{self, Sample},
    tamper,
};
use crate::{
    cli::Failure,
    clock::{rfc3339, wall_ms},
    config::{Source, summary::expression},
    extract::{Field, KeyExpr, Parts},
    verify::{Outgoing, Signer, Surroundings},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_TYPE, USER_AGENT},
};
use std::borrow::Cow;

/// The event type of a source that has no samples, where the user names none.
const GENERIC_EVENT: &str = "test.event";

/// Elements of a list of signatures that are looked at; we make one.
pub(super) const SIGNATURES_MAX: usize = 16;

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("hookgate-send/", env!("CARGO_PKG_VERSION")));

/// Plays the vendor of one source.
#[derive(Debug)]
pub(in crate::cli) struct Vendor {
    source: Source,
    signer: Signer,
    payload: Payload,
    /// The query of the URL that it was given.
    query: Option<String>,
    /// What is sent, as the source will see it.
    event: Option<String>,
}

/// What the user wants to be sent; the vendor's own otherwise.
#[derive(Debug, Default)]
pub(in crate::cli) struct Script<'a> {
    /// This type of event.
    pub(in crate::cli) event: Option<&'a str>,
    /// This body, with this content type.
    pub(in crate::cli) data: Option<(Bytes, Option<HeaderValue>)>,
    /// Signed with this private key, where the scheme has one.
    pub(in crate::cli) signing_key: Option<&'a [u8]>,
    /// To a URL with this query, without `?`.
    pub(in crate::cli) query: Option<&'a str>,
}

/// Where requests come from.
#[derive(Debug)]
enum Payload {
    /// One of the samples that come with the program.
    Vendor(Sample),
    /// The source's own sample, with this event in it.
    Own { event: Option<String> },
    /// The user's bytes, as they are; with their event type, if that is known.
    Data {
        body: Bytes,
        content_type: Option<HeaderValue>,
        event: Option<String>,
    },
    /// Made from the source's own expressions.
    Generic { event: String },
}

impl Vendor {
    /// Prepares to play. Fails if the vendor has samples and none of the event that is asked for, if the source would
    /// not find that event in what is sent, or if nobody could sign it.
    pub(in crate::cli) fn new(source: &Source, script: Script<'_>) -> Result<Self, Failure> {
        let wanted = script.event;
        let mut vendor = Self::asking(source, script)?;
        let trial = vendor.next()?;
        let found = type_in(source, &trial);
        match (wanted, &vendor.payload) {
            (Some(wanted), payload) if !matches!(payload, Payload::Vendor(_)) => {
                carries(source, wanted, found.as_deref())?;
            }
            _ => {}
        }
        vendor.event = match &vendor.payload {
            Payload::Vendor(sample) => Some(sample.event.clone()),
            _ => found,
        };
        Ok(vendor)
    }

    /// Prepares to ask whether the URL is its own. There need not be a secret for events: the handshake may bring it.
    pub(super) fn asking(source: &Source, script: Script<'_>) -> Result<Self, Failure> {
        let wanted = script.event;
        if let Some(event) = wanted.filter(|event| !fits_header(event)) {
            return Err(Failure::Usage(format!(
                "event type {event:?} has control characters"
            )));
        }
        let around = Surroundings::of(source, SIGNATURES_MAX);
        let signer = Signer::new(&source.verify, &source.secrets, &around, script.signing_key);
        Ok(Self {
            signer: signer.map_err(|cannot| key::failure(source, &cannot))?,
            payload: payload(source, script.data, wanted)?,
            source: source.clone(),
            query: script.query.map(str::to_owned),
            event: None,
        })
    }

    /// The source that is played.
    pub(in crate::cli) fn source(&self) -> &Source {
        &self.source
    }

    /// What is sent, in the vendor's words; none if the source finds no type in it.
    pub(in crate::cli) fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// The next event: fresh id, fresh time (bytes of the user's are sent as they are), signed now.
    pub(in crate::cli) fn next(&self) -> Result<Outgoing, Failure> {
        let body = match &self.payload {
            Payload::Vendor(sample) => sample.fresh(),
            Payload::Data { body, .. } => body.clone(),
            Payload::Own { .. } | Payload::Generic { .. } => Bytes::new(),
        };
        self.signed(body)
    }

    /// `body` as the vendor would send it now. A source's own sample and a generic event bring theirs.
    pub(in crate::cli) fn signed(&self, body: Bytes) -> Result<Outgoing, Failure> {
        self.sign(&self.unsigned(body))
    }

    /// `request`, signed now with the source's first secret.
    pub(super) fn sign(&self, request: &Outgoing) -> Result<Outgoing, Failure> {
        self.signer
            .sign(0, request, wall_ms())
            .map_err(|cannot| key::failure(&self.source, &cannot))
    }

    /// A request to the source's URL with nothing in it.
    pub(super) fn blank(&self) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        Outgoing {
            method: Method::POST,
            query: self.query.clone(),
            headers,
            body: Bytes::new(),
        }
    }

    fn unsigned(&self, body: Bytes) -> Outgoing {
        let mut request = self.blank();
        request.headers.insert(CONTENT_TYPE, JSON);
        request.body = body;
        self.add_vendor_headers(&mut request.headers);
        match &self.payload {
            Payload::Vendor(_) => {}
            Payload::Own { event } => {
                self.add_sample(&mut request);
                if let Some(event) = event {
                    set_type(&self.source.event_type, event, &mut request);
                }
            }
            Payload::Data {
                content_type,
                event,
                ..
            } => self.add_around_data(content_type.as_ref(), event.as_deref(), &mut request),
            Payload::Generic { event } => generic::fill(&self.source, event, &mut request),
        }
        request
    }

    /// What goes with a body of the user's: the headers and the query of the source's sample, or what its scheme needs.
    fn add_around_data(
        &self,
        content_type: Option<&HeaderValue>,
        event: Option<&str>,
        request: &mut Outgoing,
    ) {
        generic::add_needed(&self.source, request);
        let body = request.body.clone();
        if needs::a_form(&self.source) {
            request.headers.insert(CONTENT_TYPE, generic::FORM);
        }
        self.add_sample(request);
        request.body = body;
        if let Some(content_type) = content_type {
            request.headers.insert(CONTENT_TYPE, content_type.clone());
        }
        if let Some(event) = event {
            generic::add_type_header(&self.source, event, &mut request.headers);
        }
    }

    /// Fills `request` with the source's own sample, if it has one.
    fn add_sample(&self, request: &mut Outgoing) {
        let Some(sample) = &self.source.sample else {
            return;
        };
        let fresh = Fresh::now();
        for (name, value) in &sample.headers {
            generic::put_header(&mut request.headers, name.clone(), &fresh.fill(value));
        }
        request
            .headers
            .insert(CONTENT_TYPE, sample.content_type.clone());
        if !sample.query.is_empty() {
            let query = fresh.fill(&sample.query);
            request.query = Some(match request.query.take() {
                Some(given) if !given.is_empty() => format!("{given}&{query}"),
                _ => query,
            });
        }
        request.body = fresh.fill(&sample.body).into();
    }

    /// What the guides list beside the signature.
    fn add_vendor_headers(&self, headers: &mut HeaderMap) {
        match self.source.provider.as_deref() {
            Some("live-chat") => {
                if let Payload::Vendor(sample) = &self.payload {
                    add(headers, "x-webhook-event", &sample.event);
                }
                add(headers, "x-webhook-timestamp", &rfc3339(wall_ms()));
            }
            Some("vowchat") => add(headers, "x-chatwoot-delivery", &random_uuid()),
            _ => {}
        }
    }

    /// Spoils `request`: whatever its signature covers, or the signature or token itself. Fails if the source asks for
    /// no proof.
    pub(in crate::cli) fn forge(&self, request: Outgoing) -> Result<Outgoing, Failure> {
        tamper::forged(&self.source, request).ok_or_else(|| {
            Failure::Usage(format!(
                "source {} verifies nothing, so nothing can be forged",
                self.source.name
            ))
        })
    }
}

/// Chooses what is sent.
fn payload(
    source: &Source,
    data: Option<(Bytes, Option<HeaderValue>)>,
    event: Option<&str>,
) -> Result<Payload, Failure> {
    if let Some((body, content_type)) = data {
        let event = event.map(str::to_owned).or_else(|| {
            let headers = HeaderMap::new();
            let parts = Parts {
                headers: &headers,
                query: None,
                body: &body,
                members: None,
            };
            source
                .event_type
                .text(parts)
                .filter(|event| fits_header(event))
                .map(Cow::into_owned)
        });
        return Ok(Payload::Data {
            body,
            content_type,
            event,
        });
    }
    if source.sample.is_some() {
        let event = event.map(str::to_owned);
        return Ok(Payload::Own { event });
    }
    with_the_program(source, event)
}

/// A sample that comes with the program, or a generic event.
fn with_the_program(source: &Source, event: Option<&str>) -> Result<Payload, Failure> {
    let mut samples = samples::of(source.provider.as_deref().unwrap_or_default());
    if samples.is_empty() {
        let event = event.unwrap_or(GENERIC_EVENT).to_owned();
        return Ok(Payload::Generic { event });
    }
    let Some(event) = event else {
        return Ok(Payload::Vendor(samples.swap_remove(0)));
    };
    if let Some(place) = samples.iter().position(|sample| sample.event == event) {
        return Ok(Payload::Vendor(samples.swap_remove(place)));
    }
    let known: Vec<&str> = samples.iter().map(|sample| &*sample.event).collect();
    Err(Failure::Usage(format!(
        "{} sends no event {event:?}; it sends: {}",
        source.provider.as_deref().unwrap_or_default(),
        known.join(", ")
    )))
}

/// Puts the type of the event where the source would find it: where it finds one already, or else in the first place
/// that the request has. Whether it is found there is seen afterwards.
fn set_type(event_type: &KeyExpr, event: &str, request: &mut Outgoing) {
    let places = || {
        event_type
            .0
            .iter()
            .filter_map(|fields| match fields.as_slice() {
                [field] => Some(field),
                _ => None,
            })
    };
    let is_there = |field: &&Field| field.bytes(parts(request)).is_some();
    let first = places().find(is_there).cloned();
    for field in first.iter().chain(places()) {
        if request.put(field, event.as_bytes()).is_ok() {
            return;
        }
    }
}

/// Fails unless the source finds the type that the user asked for in what is sent.
fn carries(source: &Source, wanted: &str, found: Option<&str>) -> Result<(), Failure> {
    if found == Some(wanted) {
        return Ok(());
    }
    let name = &source.name;
    let why = match expression(&source.event_type) {
        None => format!("source {name} has no event.type, so its events have none"),
        Some(places) => {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("{found:?}"));
            format!(
                "source {name} looks for the type in {places} and would find {found}; change the data"
            )
        }
    };
    Err(Failure::Usage(format!(
        "--event {wanted:?} would not be the type of what is sent: {why}, or leave --event out"
    )))
}

/// The event type that the source finds in a request, as far as a header can carry it.
pub(super) fn type_in(source: &Source, request: &Outgoing) -> Option<String> {
    let event = source.event_type.text(parts(request));
    event
        .filter(|event| fits_header(event))
        .map(Cow::into_owned)
}

/// What key expressions look at.
pub(super) fn parts(request: &Outgoing) -> Parts<'_> {
    Parts {
        headers: &request.headers,
        query: request.query.as_deref(),
        body: &request.body,
        members: None,
    }
}

/// Adds a header whose name is known at compile time.
fn add(headers: &mut HeaderMap, name: &'static str, value: &str) {
    generic::put_header(headers, HeaderName::from_static(name), value);
}

/// Whether an event type can stand in a header (RFC 9110 5.5).
fn fits_header(event: &str) -> bool {
    !event.contains(char::is_control)
}

#[cfg(test)]
mod tests;

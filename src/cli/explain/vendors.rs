//! The presets as sources, to be tried over a request that its own source refuses.

use super::capture::Capture;
use super::keys::{Known, candidates};
use super::readings::{looks_signed, place};
use super::trial::Trial;
use crate::cli::origin::scalar;
use crate::config::{
    self, Source,
    load::{Options, Process, load_text},
    verify::Proof,
};
use crate::extract::{Field, Parts};
use crate::verify::Surroundings;
use http::header::AUTHORIZATION;

/// A preset with a secret that nobody knows.
pub(super) struct Vendor {
    pub(super) name: &'static str,
    pub(super) source: Source,
}

/// Every preset that needs nothing but a secret and a URL. The others are named.
pub(super) fn all(public_url: &str) -> (Vec<Vendor>, Vec<&'static str>) {
    let mut vendors = Vec::new();
    let mut others = Vec::new();
    for (name, _) in config::presets() {
        match load(name, public_url) {
            Some(source) => vendors.push(Vendor { name, source }),
            None => others.push(*name),
        }
    }
    (vendors, others)
}

fn load(name: &'static str, public_url: &str) -> Option<Source> {
    let source = format!(
        "sources: {{ {name}: {{ provider: {name}, secret: \"${{SECRET}}\", forward: \"http://127.0.0.1/\""
    );
    let with_url = format!("{source}, public_url: {} }} }}", scalar(public_url));
    let process = Process {
        variable: &|_| None,
        open_files_max: None,
    };
    let options = Options { allow_unset: true };
    let (config, _) = load_text(name, &with_url, options, &process).ok()?;
    config.sources.into_iter().next()
}

/// A preset under which the request is right.
pub(super) struct Right {
    pub(super) name: &'static str,
    /// The secret that makes it so, and what is different about it.
    pub(super) secret: String,
    /// How much of what it says about events is in the request.
    score: usize,
}

/// The presets under which the request is right, the likeliest first. A token in `Authorization` names no vendor.
pub(super) fn right_for(
    vendors: &[Vendor],
    but: Option<&str>,
    capture: &Capture,
    known: Known<'_>,
) -> Vec<Right> {
    let others = vendors.iter().filter(|vendor| Some(vendor.name) != but);
    let mut right: Vec<Right> = others
        .filter_map(|vendor| {
            Some(Right {
                name: vendor.name,
                secret: matching(vendor, capture, known)?,
                score: score(&vendor.source, capture),
            })
        })
        .collect();
    right.sort_by_key(|right| (std::cmp::Reverse(right.score), right.name));
    // Those with the same header and nothing of their own in the request are no answer beside one that has it.
    let best = right.first().map_or(0, |right| right.score);
    right.retain(|right| right.score == best);
    right
}

fn matching(vendor: &Vendor, capture: &Capture, known: Known<'_>) -> Option<String> {
    let around = Surroundings::of(&vendor.source, super::SIGNATURES_MAX);
    let schemes = vendor.source.verify.schemes().iter();
    let named = schemes.filter(|scheme| !is_anybodys(&scheme.proof));
    named.into_iter().find_map(|scheme| {
        let trial = Trial::new(scheme, &around, capture);
        let (candidates, _) = candidates(&scheme.proof, None, known);
        let found = candidates.get(trial.matching(&candidates)?)?;
        Some(match &found.why {
            Some((why, _)) if !why.contains(" of source ") => format!("{} ({why})", found.secret),
            _ => found.secret.clone(),
        })
    })
}

/// Whether any vendor that sends tokens sends this one.
fn is_anybodys(proof: &Proof) -> bool {
    matches!(proof, Proof::Token(token) if token.field == Field::Header(AUTHORIZATION))
}

/// How many of the fields that name a vendor's events the request has; its own headers say more than a body does.
pub(super) fn score(source: &Source, capture: &Capture) -> usize {
    let parts = Parts {
        headers: &capture.headers,
        query: capture.query.as_deref(),
        body: &capture.body,
        members: None,
    };
    let keys = [&source.event_id, &source.event_type, &source.event_time];
    let fields = keys.into_iter().flat_map(|key| key.0.iter().flatten());
    fields
        .filter(|field| field.bytes(parts).is_some())
        .map(|field| match field {
            Field::Header(_) => 4,
            Field::Body => 0,
            _ => 1,
        })
        .sum()
}

/// Presets whose signature's header is in the request, with that header; the likeliest first.
pub(super) fn looks_like(
    vendors: &[Vendor],
    but: Option<&str>,
    capture: &Capture,
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for vendor in vendors.iter().filter(|vendor| Some(vendor.name) != but) {
        let header = vendor.source.verify.schemes().iter().find_map(|scheme| {
            let fields = match &scheme.proof {
                Proof::Signature(signature) => signature.fields.as_slice(),
                Proof::Jwt(jwt) => std::slice::from_ref(&jwt.field),
                Proof::Token(token) => std::slice::from_ref(&token.field),
            };
            fields.iter().find(|field| {
                matches!(field, Field::Header(name) if *name != AUTHORIZATION && capture.headers.contains_key(name))
            })
        });
        if let Some(header) = header {
            let score = score(&vendor.source, capture);
            found.push((std::cmp::Reverse(score), vendor.name, place(header)));
        }
    }
    found.sort();
    let named = found.into_iter();
    named.map(|(_, name, header)| (name, header)).collect()
}

/// Headers that look like signatures, whoever sends them.
pub(super) fn signed_headers(capture: &Capture) -> Vec<String> {
    let names = capture.headers.keys();
    names
        .filter(|name| looks_signed(name, capture))
        .map(ToString::to_string)
        .collect()
}

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
use crate::extract::Field;
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

/// A preset under which the request is right, and the secret that makes it so.
pub(super) fn right_for(
    vendors: &[Vendor],
    but: Option<&str>,
    capture: &Capture,
    known: Known<'_>,
) -> Vec<(&'static str, String)> {
    let mut right = Vec::new();
    for vendor in vendors.iter().filter(|vendor| Some(vendor.name) != but) {
        let around = Surroundings::of(&vendor.source, super::SIGNATURES_MAX);
        for scheme in vendor.source.verify.schemes() {
            let trial = Trial::new(scheme, &around, capture);
            let (candidates, _) = candidates(&scheme.proof, None, known);
            if candidates.is_empty() {
                continue;
            }
            if let Some(place) = trial.matching(&candidates)
                && let Some(found) = candidates.get(place)
            {
                let secret = match &found.why {
                    Some((why, _)) => format!("{} ({why})", found.secret),
                    None => found.secret.clone(),
                };
                right.push((vendor.name, secret));
                break;
            }
        }
    }
    right
}

/// Presets whose signature's header is in the request, with that header.
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
            found.push((vendor.name, place(header)));
        }
    }
    found
}

/// Headers that look like signatures, whoever sends them.
pub(super) fn signed_headers(capture: &Capture) -> Vec<String> {
    let names = capture.headers.keys();
    names
        .filter(|name| looks_signed(name, capture))
        .map(ToString::to_string)
        .collect()
}

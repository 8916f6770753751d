//! `--all`: one request and one secret against every preset.

use super::At;
use super::capture::Capture;
use super::entry::Entry;
use super::keys::Known;
use super::report::Report;
use super::search::search;
use super::subject::public_url;
use super::vendors::{self, Vendor};
use super::{SIGNATURES_MAX, steps, times};
use crate::config::Secret;
use crate::verify::{Refused, Surroundings};
use std::cmp::Reverse;

/// Presets that are looked into when none passes.
const NEAR_MAX: usize = 6;

/// Tries every preset.
pub(super) fn report(
    secret: &Secret,
    url: Option<&str>,
    capture: &Capture,
    at: At,
    now_ms: u64,
) -> Report {
    let url = url.map(str::to_owned).or_else(|| public_url(capture));
    let (vendors, others) = vendors::all(url.as_deref().unwrap_or(super::NO_URL));
    let (mut right, mut near) = (Vec::new(), Vec::new());
    let mut passing = 0;
    // A vendor whose own headers are in the request comes before others that sign alike.
    let mut vendors: Vec<&Vendor> = vendors.iter().collect();
    vendors.sort_by_key(|vendor| {
        (
            Reverse(vendors::score(&vendor.source, capture)),
            vendor.name,
        )
    });
    for vendor in vendors.iter().copied() {
        for entry in entries(vendor, secret, capture, now_ms) {
            match verdict(&entry, at, now_ms) {
                Verdict::Passes => {
                    right.insert(passing, format!("{:<22} passes", vendor.name));
                    passing += 1;
                }
                Verdict::Old(words) => {
                    right.push(format!(
                        "{:<22} the signature is right; {words}",
                        vendor.name
                    ));
                }
                Verdict::Near => near.push((vendor.name, entry)),
                Verdict::Other => {}
            }
        }
    }
    let passes = passing > 0;
    let mut text = match (passes, right.is_empty()) {
        (true, _) => "passes\n".to_owned(),
        (false, false) => "fails: the signature is right, its timestamp is not\n".to_owned(),
        (false, true) => "fails: no preset takes this request with this secret\n".to_owned(),
    };
    if right.is_empty() {
        let found = near
            .iter()
            .take(NEAR_MAX)
            .map(|(name, entry)| nearly(name, entry, capture));
        right.extend(found);
    }
    text.push('\n');
    for line in &right {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&format!(
        "{}tried {}; this request has something where {} of them look{}\n",
        if right.is_empty() { "" } else { "\n" },
        crate::cli::count(vendors.len(), "preset"),
        near.len() + right.len().saturating_sub(near.len().min(NEAR_MAX)),
        match others.as_slice() {
            [] => String::new(),
            others => format!(
                "; not tried, since they need more settings: {}",
                others.join(", ")
            ),
        }
    ));
    let screen = super::show::Screen::new(std::iter::once(secret));
    Report {
        passes,
        text: screen.page(&text),
    }
}

fn entries(vendor: &Vendor, secret: &Secret, capture: &Capture, now_ms: u64) -> Vec<Entry> {
    let around = Surroundings::of(&vendor.source, SIGNATURES_MAX);
    let secrets = std::slice::from_ref(secret);
    let known = Known {
        own: secrets,
        others: &[],
        now_ms,
    };
    let schemes = vendor.source.verify.schemes().iter();
    schemes
        .map(|scheme| {
            let mut scheme = scheme.clone();
            scheme.secrets = None;
            Entry::new(&scheme, &around, capture, secrets, known)
        })
        .collect()
}

enum Verdict {
    Passes,
    Old(String),
    Near,
    Other,
}

fn verdict(entry: &Entry, at: At, now_ms: u64) -> Verdict {
    let now_ms = match at {
        At::Now => now_ms,
        At::Unix(unix_ms) => unix_ms,
        At::Signed => entry.signed_ms().unwrap_or(now_ms),
    };
    if entry.right.is_none() {
        let near = entry.lacks().is_empty();
        return if near { Verdict::Near } else { Verdict::Other };
    }
    match entry.asked_at(now_ms) {
        Ok(()) => Verdict::Passes,
        Err(Refused::Stale) => Verdict::Old(match entry.signed_ms() {
            Some(signed_ms) => format!("its timestamp is {}", times::age(signed_ms, now_ms)),
            None => "its timestamp can't be read".to_owned(),
        }),
        Err(_) => Verdict::Near,
    }
}

/// A preset that looks where there is something, and what would make it right.
fn nearly(name: &str, entry: &Entry, capture: &Capture) -> String {
    let steps = steps::all(&entry.trial, capture);
    let (candidates, configured) = &entry.candidates;
    let outcome = search(&entry.trial, &steps, candidates, *configured);
    match outcome.found.first() {
        Some(found) => format!("{name:<22} near: {}", found.words.join("; and ")),
        None => {
            format!("{name:<22} looks here, and the signature matches in no form of the secret")
        }
    }
}

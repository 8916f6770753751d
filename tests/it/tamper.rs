//! Every preset attacked byte by byte: what its vendor sends passes, and nothing that says anything else does. What a
//! request says is read from the preset's own words (`tamper/meaning.rs`), so that no scheme is forgiven a byte that it
//! claims to cover. Spelled otherwise and taken: hex in the other case, a form or a query (where its pairs are what is
//! signed) that decodes to the same fields, JSON that stringifies to the same text, the case of `Bearer` and `Basic`, the
//! padding of base64url. Bits that base64 leaves over are refused.
//! One weakness is the vendors' own: Twilio, Plivo and Mandrill sign names and values of a form with nothing between them.

mod attacks;
mod changes;
mod keys;
mod meaning;
mod played;
mod wire;

use changes::Change;
use hookgate::{
    config::{presets, verify::Proof},
    extract::Field,
};
use meaning::{Meaning, meaning};
use played::Played;
use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

/// What holds for all presets, gathered on as many threads as there are cores: what does not is one list.
fn for_all(check: impl Fn(&Played, &mut Vec<String>) + Sync) -> u64 {
    let (next, asked, findings) = (
        AtomicUsize::new(0),
        AtomicU64::new(0),
        Mutex::new(Vec::new()),
    );
    let work = || {
        while let Some((name, _)) = presets().get(next.fetch_add(1, Ordering::Relaxed)) {
            let played = Played::new(name);
            let mut found = Vec::new();
            check(&played, &mut found);
            asked.fetch_add(played.asked(), Ordering::Relaxed);
            let found = found.into_iter().map(|what| format!("{name}: {what}"));
            findings.lock().expect("no thread panicked").extend(found);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let findings = findings.into_inner().expect("no thread panicked");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    asked.into_inner()
}

/// Refuses every change but those that say the same; returns those that pass.
fn refused(
    played: &Played,
    changes: impl IntoIterator<Item = Change>,
    found: &mut Vec<String>,
) -> Vec<Change> {
    let said: Meaning = meaning(played, &played.request);
    let mut passed = Vec::new();
    for (what, changed) in changes {
        if played.passes(&changed) {
            if meaning(played, &changed) != said {
                found.push(format!("passes with {what}: {changed:?}"));
            }
            passed.push((what, changed));
        }
    }
    passed
}

/// No change of these may pass, whatever it says.
fn all_refused(
    played: &Played,
    changes: impl IntoIterator<Item = Change>,
    found: &mut Vec<String>,
) {
    for (what, changed) in changes {
        if played.passes(&changed) {
            found.push(format!("passes with {what}: {changed:?}"));
        }
    }
}

#[test]
fn what_the_vendor_sends_passes_with_its_secret_alone() {
    for_all(|played, found| {
        if !played.passes(&played.request) {
            found.push(format!("does not pass: {:?}", played.request));
        }
        if played.passes_another_secret() {
            found.push("passes with another secret".to_owned());
        }
    });
}

#[test]
fn no_bit_of_a_signature_may_change() {
    let asked = for_all(|played, found| {
        let bits = changes::of_signature(played);
        let plain = matches!(&played.scheme().proof, Proof::Token(_));
        if bits.len() < 160 && !plain {
            found.push(format!("a signature of {} bits", bits.len()));
        }
        all_refused(played, bits, found);
    });
    println!("{asked} requests with a bit of the signature changed");
}

#[test]
fn no_byte_that_is_covered_may_change() {
    let asked = for_all(|played, found| {
        let request = &played.request;
        let place = played.place().to_string();
        let in_header = matches!(played.place(), Field::Header(_));
        for (what, changed) in refused(played, changes::of_headers(request), found) {
            // The meaning forgives no more of a signature than its spelling.
            if in_header && what.starts_with(&place["header:".len()..]) {
                spelled_the_same(played, &what, &changed, found);
            }
        }
        refused(played, changes::of_query(request), found);
    });
    println!("{asked} requests with a byte of a header or of the query changed");
}

/// Only a change of case, or of spaces and padding, is another spelling.
fn spelled_the_same(
    played: &Played,
    what: &str,
    changed: &hookgate::verify::Outgoing,
    found: &mut Vec<String>,
) {
    let text = |request| {
        let value = meaning::once(played.place(), request).unwrap_or_default();
        let kept = value.iter().filter(|byte| !b" =,;".contains(byte));
        kept.map(u8::to_ascii_lowercase).collect::<Vec<_>>()
    };
    if text(changed) != text(&played.request) {
        found.push(format!("passes with {what}"));
    }
}

/// Presets that verify a token, which says nothing of the request.
const TOKENS: [&str; 16] = [
    "auth0",
    "bigcommerce",
    "buildkite-token",
    "chargebee",
    "chatplugify",
    "cloudflare-notifications",
    "crisp-website",
    "drift",
    "freshdesk",
    "gitlab",
    "gorgias",
    "livechat",
    "okta",
    "pipedrive",
    "postmark",
    "telegram",
];

/// Presets with `covers_body: false`.
const BODY_IS_NOT_COVERED: [&str; 7] = [
    "adyen",
    "braintree",
    "dropbox-sign",
    "jira-connect",
    "mailgun",
    "monday",
    "plivo-v2",
];

/// Presets that sign the fields of a form, however it is written.
const FORMS: [&str; 4] = ["mandrill", "paddle-classic", "plivo-v3", "twilio"];

/// Presets of the first two kinds whose signature, or what it covers, stands in the body.
const IN_BODY: [&str; 6] = [
    "adyen",
    "braintree",
    "drift",
    "dropbox-sign",
    "livechat",
    "mailgun",
];

#[test]
fn no_byte_of_the_body_may_change_unless_it_is_not_covered() {
    let may_change = Mutex::new(BTreeSet::new());
    let asked = for_all(|played, found| {
        let before = played.asked();
        let passed = refused(played, changes::of_body(&played.request), found);
        let refusals = played.asked() - before - passed.len() as u64;
        if IN_BODY.contains(&played.name) && refusals < 32 {
            found.push(format!("refuses {refusals} bodies"));
        }
        if !passed.is_empty() {
            let mut names = may_change.lock().expect("no thread panicked");
            names.insert(played.name);
        }
    });
    let may_change = may_change.into_inner().expect("no thread panicked");
    let written = [&TOKENS[..], &BODY_IS_NOT_COVERED, &FORMS].concat();
    assert_eq!(may_change, written.into_iter().collect());
    println!("{asked} requests with a byte of the body changed");
}

#[test]
fn signatures_of_any_length_and_number_are_refused() {
    let asked = for_all(|played, found| {
        all_refused(played, attacks::on_the_signature(played), found);
    });
    println!("{asked} requests with another signature");
}

#[test]
fn headers_that_are_twice_missing_huge_or_no_text_are_refused() {
    let asked = for_all(|played, found| {
        let attacks = attacks::on_the_rest(played);
        refused(played, attacks, found);
        let Field::Header(name) = played.place() else {
            return;
        };
        // Whatever the meaning says.
        let of_signature = attacks::on_the_rest(played)
            .into_iter()
            .filter(|(what, _)| what.starts_with(&format!("{name}:")));
        all_refused(played, of_signature, found);
    });
    println!("{asked} requests with other headers, methods, queries and bodies");
}

#[test]
fn as_many_signatures_as_are_looked_at_pass_and_one_more_does_not() {
    let lists = AtomicU64::new(0);
    for_all(|played, found| {
        let Some([most, more]) = attacks::on_the_limit(played) else {
            return;
        };
        lists.fetch_add(1, Ordering::Relaxed);
        if !played.passes(&most) {
            found.push(format!("refuses the most that are looked at: {most:?}"));
        }
        if played.passes(&more) {
            found.push(format!("passes with more than are looked at: {more:?}"));
        }
    });
    assert!(lists.into_inner() > 20, "many vendors send lists");
}

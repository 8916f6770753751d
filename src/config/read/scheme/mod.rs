//! How a source verifies: one scheme, or a list of them. What is refused here can't prove anything, however well it
//! is computed.

mod jwt;
mod key;
mod named;
mod signature;
mod template;
mod timestamp;
mod token;
mod when;

pub(super) use self::{
    template::{Place, template},
    when::conditions,
};

use super::params::Texts;
use crate::config::{
    Verify,
    presets::{self, KINDS},
    reader::{Node, did_you_mean, every},
    value::SECRET_NAME,
    verify::{Proof, Scheme},
};
use std::sync::Arc;

/// What a user may write.
const ACCEPTED: &str = "verify: { hmac: { header: X-Signature } }, verify: { token: { header: X-Token } }, \
                        verify: bearer, or verify: none";

/// Schemes of one source: each costs its computation for every request.
const SCHEMES_MAX: usize = 16;

/// What a scheme is read against.
pub(super) struct Around<'a> {
    /// The preset, if the source has one.
    pub(super) provider: Option<&'a str>,
    /// What its templates may name.
    pub(super) texts: &'a Texts,
}

/// What one entry says.
enum Entry {
    Scheme(Box<Scheme>),
    None,
}

/// Reads `verify`.
pub(super) fn read(node: &Node<'_>, around: &Around<'_>) -> Option<Verify> {
    if node.value().is_sequence() {
        return several(node, around);
    }
    Some(match entry(node, around)? {
        Entry::Scheme(scheme) => Verify::Schemes(vec![*scheme]),
        Entry::None => Verify::None,
    })
}

/// A list, of which any one is enough.
fn several(node: &Node<'_>, around: &Around<'_>) -> Option<Verify> {
    let items = node.list(ACCEPTED)?;
    if items.is_empty() {
        node.problem(format!("no way to verify; accepted: {ACCEPTED}"));
        return None;
    }
    if items.len() > SCHEMES_MAX {
        node.problem(format!(
            "{} schemes; at most {SCHEMES_MAX} are tried",
            items.len()
        ));
        return None;
    }
    let schemes = every(items.iter().map(|item| match entry(item, around)? {
        Entry::Scheme(scheme) => Some(*scheme),
        Entry::None => {
            item.problem("none in a list would let everything pass; take it out, or write verify: none alone");
            None
        }
    }))?;
    check_weak(&items, &schemes);
    Some(Verify::Schemes(schemes))
}

/// A list is as strong as its weakest entry: whoever holds one signed request could leave the signature out, if the
/// same secret counts without one.
fn check_weak(items: &[Node<'_>], schemes: &[Scheme]) {
    let signs_body = |scheme: &Scheme| !is_token(scheme) && scheme.covers_body();
    for (item, weak) in items.iter().zip(schemes) {
        let beside = |other: &Scheme| signs_body(other) && !own_secrets(weak, other);
        if signs_body(weak) || !schemes.iter().any(beside) {
            continue;
        }
        let what = if is_token(weak) {
            "a token"
        } else {
            "a signature that does not cover the body"
        };
        item.problem_at_key(format!(
            "{what} beside a scheme that signs the body makes that one worth nothing; take one of them out, or give \
             each its own secrets: secrets: [NAME] beside the kind"
        ));
    }
}

fn is_token(scheme: &Scheme) -> bool {
    matches!(scheme.proof, Proof::Token(_))
}

/// Whether each of the two names its secrets, and none is named by both.
fn own_secrets(one: &Scheme, other: &Scheme) -> bool {
    match (&one.secrets, &other.secrets) {
        (Some(one), Some(other)) => !one.iter().any(|name| other.contains(name)),
        _ => false,
    }
}

/// A word, or a kind with its settings.
fn entry(node: &Node<'_>, around: &Around<'_>) -> Option<Entry> {
    if node.value().is_mapping() {
        return settings(node, around).map(|scheme| Entry::Scheme(Box::new(scheme)));
    }
    let text = node.text(ACCEPTED, false)?;
    match text.value.as_str() {
        "none" => Some(Entry::None),
        word if token::by_word(word).is_some() => {
            token::by_word(word).map(|token| Entry::Scheme(Box::new(alone(Proof::Token(token)))))
        }
        word if KINDS.contains(&word) => {
            node.problem(format!(
                "{} needs its settings; accepted: {ACCEPTED}",
                text.shown
            ));
            None
        }
        word => {
            let ways = [&KINDS[..], &["none"]].concat();
            node.problem(format!(
                "{} is no way to verify; {}",
                text.shown,
                did_you_mean(word, &ways)
            ));
            None
        }
    }
}

/// A scheme without conditions.
fn alone(proof: Proof) -> Scheme {
    Scheme {
        when: Vec::new(),
        secrets: None,
        proof,
    }
}

/// `{ hmac: ... }`, with `when` and `secrets` beside the kind.
fn settings(node: &Node<'_>, around: &Around<'_>) -> Option<Scheme> {
    let entries = node.named()?;
    let is_kind = |word: &str| KINDS.contains(&word) || word == "none";
    let (kinds, beside): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(word, _)| is_kind(word));
    let mut known = true;
    for (word, entry) in &beside {
        if !BESIDE.contains(&word.as_str()) {
            let words = [&KINDS[..], &BESIDE[..]].concat();
            entry.problem_at_key(format!("unknown key; {}", did_you_mean(word, &words)));
            known = false;
        }
    }
    let [(kind, settings)] = kinds.as_slice() else {
        let named: Vec<&str> = kinds.iter().map(|(kind, _)| kind.as_str()).collect();
        match named.as_slice() {
            [] if known => node.problem_at_key(format!("no way to verify; accepted: {ACCEPTED}")),
            [] => {}
            _ => node.problem_at_key(format!(
                "{} stand side by side; keep one",
                named.join(" and ")
            )),
        }
        return None;
    };
    let child = |key: &str| node.child(key).filter(|node| !node.is_null());
    let proof = proof(kind, settings, !beside.is_empty(), around);
    let when = match child("when") {
        Some(node) => conditions(&node, Place::Condition, around.texts),
        None => Some(Vec::new()),
    };
    let secrets = match child("secrets") {
        Some(node) => names(&node).map(Some),
        None => Some(None),
    };
    let scheme = Scheme {
        proof: proof?,
        when: when?,
        secrets: secrets?,
    };
    check_body(settings, &scheme);
    known.then_some(scheme)
}

/// What may stand beside the kind.
const BESIDE: [&str; 2] = ["when", "secrets"];

fn proof(kind: &str, settings: &Node<'_>, beside: bool, around: &Around<'_>) -> Option<Proof> {
    if let Some(token) = token::by_word(kind) {
        let bare = settings.is_null()
            || settings
                .value()
                .as_mapping()
                .is_some_and(serde_yaml::Mapping::is_empty);
        if beside && bare {
            return Some(Proof::Token(token));
        }
    }
    if matches!(kind, "bearer" | "basic" | "none") {
        settings.problem_at_key(format!("{kind} has no settings; write verify: {kind}"));
        return None;
    }
    if settings.is_null() {
        settings.problem(format!("{kind} has no settings; accepted: {ACCEPTED}"));
        return None;
    }
    let family = signature::FAMILIES
        .iter()
        .find(|family| family.word == kind);
    match (kind, family) {
        (_, Some(family)) => signature::read(family, settings, around).map(Proof::Signature),
        ("jwt", None) => jwt::read(settings, around).map(Proof::Jwt),
        _ => token::read(settings, around.provider).map(Proof::Token),
    }
}

/// The names of the secrets that a scheme may be proven with.
fn names(node: &Node<'_>) -> Option<Vec<Arc<str>>> {
    let items = node.list("a list of the names of secrets, such as [new, old]")?;
    if items.is_empty() {
        node.problem("no secrets, so nothing could be verified; name one, or leave the list out");
        return None;
    }
    every(
        items
            .iter()
            .map(|item| item.read(&SECRET_NAME).map(Arc::from)),
    )
}

/// A signature that does not cover the body proves nothing about it; whoever wants that has to say so.
fn check_body(settings: &Node<'_>, scheme: &Scheme) {
    if is_token(scheme) {
        return;
    }
    let given = settings.child("covers_body");
    let choices = [("true", true), ("false", false)];
    let said = given
        .as_ref()
        .map_or(Some(true), |node| node.choose(&choices));
    match (scheme.covers_body(), said) {
        (true, Some(false)) => {
            if let Some(node) = given {
                node.problem("this scheme does cover the body; leave covers_body out");
            }
        }
        (false, Some(true)) => {
            let where_signed = match &scheme.proof {
                Proof::Jwt(_) => "claims",
                _ => "signed",
            };
            let message = format!(
                "the signature does not cover {{body}}, so anyone could change it; put {{body}} into {where_signed}{}, \
                 or, if the sender signs less, covers_body: false",
                match &scheme.proof {
                    Proof::Jwt(_) => ", such as sha256: \"{body|sha256|hex}\"",
                    _ => "",
                }
            );
            match settings.child(where_signed) {
                Some(node) => node.problem(message),
                None => settings.problem_at_key(message),
            }
        }
        _ => {}
    }
}

/// How the preset's timestamp is got rid of.
fn without_timestamp(provider: Option<&str>) -> String {
    match provider.filter(|provider| presets::signs_time(provider)) {
        Some(provider) => format!("write timestamp: null, since the preset {provider} has one"),
        None => "leave timestamp out".to_owned(),
    }
}

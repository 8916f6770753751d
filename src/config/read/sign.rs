//! `sign` of a target: the secret of its signatures, or the two or three of a rotation. No message shows one.

use crate::config::{
    reader::{Node, every},
    target::SigningKey,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::ops::RangeInclusive;

/// Secrets that sign at one time: a rotation needs two, and each costs the app's libraries a comparison.
const SECRETS_MAX: usize = 4;

/// Bytes of a signing key (Standard Webhooks, "Signature scheme").
const KEY_BYTES: RangeInclusive<usize> = 24..=64;

/// Reads `sign`.
pub(super) fn read(node: &Node<'_>) -> Option<Vec<SigningKey>> {
    let map = node.map(&["secret", "secrets"])?;
    let (single, list) = (map.get("secret"), map.get("secrets"));
    let Some(list) = list else {
        let node = map.need("secret", "sign needs its secret")?;
        return Some(vec![key(&node)?]);
    };
    if let Some(single) = single {
        single
            .problem_at_key("secret and secrets stand side by side; put all of them into secrets");
        return None;
    }
    let nodes = list.list("a list of signing secrets, the new one first")?;
    if nodes.is_empty() {
        list.problem("no secrets, so nothing could be signed; put one in, or leave sign out");
        return None;
    }
    if nodes.len() > SECRETS_MAX {
        list.problem(format!(
            "{} secrets; at most {SECRETS_MAX} sign at one time",
            nodes.len()
        ));
        return None;
    }
    every(nodes.iter().map(key))
}

fn key(node: &Node<'_>) -> Option<SigningKey> {
    const ACCEPTED: &str = "accepted: whsec_ and the base64 of 24 to 64 bytes, \
                            such as the output of: echo whsec_$(openssl rand -base64 32)";
    let text = node.text("whsec_ and base64", true)?;
    if text.unset {
        return Some(SigningKey::new(vec![0; *KEY_BYTES.start()]));
    }
    let Some(encoded) = text.value.strip_prefix("whsec_") else {
        node.problem(format!(
            "the signing secret does not begin with whsec_; {ACCEPTED}"
        ));
        return None;
    };
    match STANDARD.decode(encoded) {
        Ok(key) if KEY_BYTES.contains(&key.len()) => Some(SigningKey::new(key)),
        Ok(key) => {
            node.problem(format!(
                "the signing secret has {} bytes; {ACCEPTED}",
                key.len()
            ));
            None
        }
        Err(_) => {
            node.problem(format!(
                "the signing secret is not base64 after whsec_; {ACCEPTED}"
            ));
            None
        }
    }
}

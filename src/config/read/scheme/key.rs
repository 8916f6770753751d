//! Which forms of a key fit which algorithm.

use crate::config::{
    reader::{Map, Node, did_you_mean},
    verify::{Encoding, KeyForm},
};

/// What keys an algorithm has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Both sides have the same.
    Shared,
    /// 32 bytes of Ed25519.
    Ed25519,
    /// PEM or DER.
    PublicKey,
}

const SHARED: [&str; 7] = [
    "text",
    "hex",
    "base64",
    "base64url",
    "whsec",
    "sha1",
    "without_first:-",
];

const ED25519: [&str; 3] = ["hex", "base64", "whpk"];

/// Reads `key`: by default the text of a shared key, and hex of Ed25519.
pub(super) fn read(map: &Map<'_>, keys: Keys) -> Option<KeyForm> {
    let given = map.get_some("key");
    match (given, keys) {
        (None, Keys::Shared) => Some(KeyForm::Text),
        (None, Keys::Ed25519) => Some(KeyForm::Encoded(Encoding::Hex)),
        (None, Keys::PublicKey) => Some(KeyForm::PublicKey),
        (Some(node), Keys::Shared) => word(&node, &SHARED),
        (Some(node), Keys::Ed25519) => word(&node, &ED25519),
        (Some(node), Keys::PublicKey) => {
            node.problem_at_key(
                "a public key is always a PEM block or the base64 of its DER here; leave key out",
            );
            None
        }
    }
}

fn word(node: &Node<'_>, accepted: &[&str]) -> Option<KeyForm> {
    let text = node.text(&accepted.join(", "), false)?;
    let form = form(&text.value).filter(|_| {
        let word = text.value.split(':').next().unwrap_or_default();
        accepted
            .iter()
            .any(|known| known.split(':').next() == Some(word))
    });
    if form.is_none() && text.unset {
        // A form that every stand-in fits is not needed: what is stood in for is not decoded.
        return Some(KeyForm::Text);
    }
    if form.is_none() {
        node.problem(format!(
            "{} is no form of a key here; {}",
            text.shown,
            did_you_mean(&text.value, accepted)
        ));
    }
    form
}

fn form(text: &str) -> Option<KeyForm> {
    Some(match text {
        "text" => KeyForm::Text,
        "hex" => KeyForm::Encoded(Encoding::Hex),
        "base64" => KeyForm::Encoded(Encoding::Base64),
        "base64url" => KeyForm::Encoded(Encoding::Base64Url),
        "whsec" => KeyForm::Prefixed("whsec_"),
        "whpk" => KeyForm::Prefixed("whpk_"),
        "sha1" => KeyForm::Sha1,
        text => {
            let unwanted = text
                .strip_prefix("without_first:")
                .filter(|rest| !rest.is_empty())?;
            KeyForm::WithoutFirst(unwanted.to_owned())
        }
    })
}

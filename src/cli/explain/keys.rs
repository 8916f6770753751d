//! Keys that may have made a signature: the source's secrets as they are configured, then the secrets of other sources,
//! then its own with what goes wrong when a secret is copied or stored.

use super::fix::Fix;
use super::trial::presented;
use crate::config::{
    Secret, key,
    verify::{Algorithm, Encoding, KeyForm, Proof},
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Candidates of one source; a bound on what a configuration with very many sources may cost.
const CANDIDATES_MAX: usize = 256;

/// A key that is tried.
pub(super) struct Candidate {
    /// The secret's name, and its source's where that is another.
    pub(super) secret: String,
    /// None for a secret as it is configured; otherwise what is different, and what to do.
    pub(super) why: Option<(String, Fix)>,
    /// What a request calls it by.
    id: Option<Arc<str>>,
    /// As [`presented`] says.
    key: Zeroizing<Vec<u8>>,
}

impl Candidate {
    /// A secret named after its place.
    pub(super) fn as_secret(&self, place: usize) -> Secret {
        let mut secret = Secret::new(&place.to_string(), self.key.to_vec());
        secret.id.clone_from(&self.id);
        secret
    }
}

/// The secrets of the source and of the others.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// Of the source.
    pub(super) own: &'a [Secret],
    /// Of other sources, with their names.
    pub(super) others: &'a [(Arc<str>, Secret)],
    /// Unix milliseconds.
    pub(super) now_ms: u64,
}

/// What is tried for this scheme, the configured keys first. The second value is how many of those there are.
pub(super) fn candidates(
    proof: &Proof,
    only: Option<&[Arc<str>]>,
    known: Known<'_>,
) -> (Vec<Candidate>, usize) {
    let (form, algorithm) = match proof {
        Proof::Signature(signature) => (signature.key.clone(), Some(signature.algorithm)),
        Proof::Jwt(jwt) => (jwt.key.clone(), Some(Algorithm::Hmac(jwt.hash))),
        Proof::Token(_) => (KeyForm::Text, None),
    };
    let mut tried = Tried {
        form,
        algorithm,
        candidates: Vec::new(),
    };
    let ours = |secret: &Secret| only.is_none_or(|names| names.contains(&secret.name));
    for secret in known.own {
        if ours(secret) && secret.is_valid(known.now_ms) {
            tried.add(&named(secret), secret.id.clone(), secret.expose(), None);
        }
    }
    let configured = tried.candidates.len();
    for secret in known.own {
        out_of_place(&mut tried, secret, ours(secret), known.now_ms);
    }
    for (source, secret) in known.others {
        let name = format!("{:?} of source {source}", secret.name);
        let words = format!("the secret is {name}");
        let fix = Fix::action(format!(
            "give this source the secret of its own endpoint, or send the vendor's requests to {source}"
        ));
        tried.add(&name, None, secret.expose(), Some((words, fix)));
    }
    for secret in known.own {
        copied(&mut tried, secret);
        other_forms(&mut tried, secret);
    }
    (tried.candidates, configured)
}

struct Tried {
    form: KeyForm,
    /// None for a token, which is compared as it is.
    algorithm: Option<Algorithm>,
    candidates: Vec<Candidate>,
}

impl Tried {
    fn add(&mut self, name: &str, id: Option<Arc<str>>, secret: &[u8], why: Option<(String, Fix)>) {
        let form = self.form.clone();
        self.add_as(&form, name, id, secret, why);
    }

    fn add_as(
        &mut self,
        form: &KeyForm,
        name: &str,
        id: Option<Arc<str>>,
        secret: &[u8],
        why: Option<(String, Fix)>,
    ) {
        let key = match self.algorithm {
            None => Some(Zeroizing::new(secret.to_vec())),
            Some(algorithm) => key::decode(form, algorithm, secret).ok().map(|decoded| {
                match presented(algorithm) {
                    // The verifier reads these by itself.
                    KeyForm::PublicKey => Zeroizing::new(secret.to_vec()),
                    KeyForm::Encoded(_) => Zeroizing::new(hex::encode(&*decoded).into_bytes()),
                    _ => decoded,
                }
            }),
        };
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return;
        };
        let same = |known: &Candidate| *known.key == *key && known.id == id;
        if self.candidates.len() < CANDIDATES_MAX && !self.candidates.iter().any(same) {
            self.candidates.push(Candidate {
                secret: name.to_owned(),
                why,
                id,
                key,
            });
        }
    }
}

fn named(secret: &Secret) -> String {
    format!("{:?}", secret.name)
}

/// A secret that does not count: outside its time, of another scheme, or called by another id.
fn out_of_place(tried: &mut Tried, secret: &Secret, ours: bool, now_ms: u64) {
    let name = named(secret);
    if !secret.is_valid(now_ms) {
        let (when, key) = if now_ms < secret.not_before_ms {
            ("its time has not begun", "not_before")
        } else {
            ("its time is over", "not_after")
        };
        let words = format!("secret {name} made it, and {when} ({key})");
        let fix = Fix::action(format!(
            "move {key} of secret {name}, or have the vendor sign with the one that counts now"
        ));
        tried.add(
            &name,
            secret.id.clone(),
            secret.expose(),
            Some((words, fix)),
        );
    }
    if !ours {
        let words = format!("secret {name} made it, which this entry of verify does not name");
        let fix = Fix::action(format!("add {name} to `secrets` beside the kind"));
        tried.add(
            &name,
            secret.id.clone(),
            secret.expose(),
            Some((words, fix)),
        );
    }
    if secret.id.is_some() {
        let words = format!("secret {name} made it, but the request calls its key by another id");
        let fix = Fix::action(format!(
            "set the id of secret {name} to what the request says"
        ));
        tried.add(&name, None, secret.expose(), Some((words, fix)));
    }
}

/// What happens to a secret between the vendor's page and the configuration.
fn copied(tried: &mut Tried, secret: &Secret) {
    let name = named(secret);
    let value = secret.expose();
    let trimmed = value.trim_ascii();
    let mut add = |changed: &[u8], words: &str, fix: &str| {
        let why = (format!("secret {name} {words}"), Fix::action(fix));
        tried.add(&name, None, changed, Some(why));
    };
    add(
        trimmed,
        "has a line end or spaces around it",
        "take them out where the secret is stored (`echo` adds a line end, `printf %s` does not)",
    );
    for quote in [b'"', b'\'', b'`'] {
        let bare = trimmed
            .strip_prefix(&[quote])
            .and_then(|text| text.strip_suffix(&[quote]));
        if let Some(bare) = bare {
            add(
                bare,
                "has quotes around it",
                "take the quotes out: --env-file and orchestrators keep them",
            );
        }
    }
    let ended = Zeroizing::new([value, b"\n"].concat());
    add(
        &ended,
        "has a line end behind it at the vendor's",
        "set the secret anew at the vendor's, without the line end; or write it so, with \"\\n\" in quotes",
    );
    if let Some((_, bare)) = split_label(trimmed) {
        add(
            bare,
            "is stored with its variable's name before it",
            "store only what follows the =",
        );
    }
}

/// `NAME=value`, as a line of an env file.
fn split_label(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let (label, value) = (&text[..at], &text[at + 1..]);
    (!label.is_empty() && label.iter().all(name) && !value.is_empty()).then_some((label, value))
}

/// The same secret, made a key in another way.
fn other_forms(tried: &mut Tried, secret: &Secret) {
    let Some(algorithm) = tried.algorithm else {
        return;
    };
    let forms: &[(KeyForm, &str, &str)] = match algorithm {
        Algorithm::Hmac(_) | Algorithm::Hash(_) => &[
            (KeyForm::Text, "taken as text", "text"),
            (
                KeyForm::Prefixed("whsec_"),
                "read as base64 (behind whsec_, if that is there)",
                "whsec",
            ),
            (KeyForm::Encoded(Encoding::Hex), "read as hex", "hex"),
            (
                KeyForm::Encoded(Encoding::Base64),
                "read as base64",
                "base64",
            ),
            (
                KeyForm::Encoded(Encoding::Base64Url),
                "read as base64url",
                "base64url",
            ),
            (KeyForm::Sha1, "hashed with SHA-1 first", "sha1"),
        ],
        Algorithm::Ed25519 => &[
            (KeyForm::Encoded(Encoding::Hex), "read as hex", "hex"),
            (
                KeyForm::Encoded(Encoding::Base64),
                "read as base64",
                "base64",
            ),
            (
                KeyForm::Prefixed("whpk_"),
                "read as base64 (behind whpk_, if that is there)",
                "whpk",
            ),
        ],
        Algorithm::EcdsaP256 | Algorithm::Rsa(_) => &[],
    };
    let name = named(secret);
    for trimmed in [false, true] {
        let value = if trimmed {
            secret.expose().trim_ascii()
        } else {
            secret.expose()
        };
        for (form, words, setting) in forms {
            let words = format!("the key is secret {name} {words}, but `key` says otherwise");
            let mut fix = Fix::setting("key", setting);
            if trimmed {
                fix = fix.or_action("take the line end or spaces around the secret out");
            }
            tried.add_as(form, &name, None, value, Some((words, fix)));
        }
        if tried.form == KeyForm::Text && !value.starts_with(b"whsec_") {
            let words = format!("the key is secret {name} with whsec_ before it");
            let fix = Fix::action("store it with whsec_, the whole text as the vendor shows it");
            let whole = Zeroizing::new([b"whsec_", value].concat());
            tried.add_as(&KeyForm::Text, &name, None, &whole, Some((words, fix)));
        }
        for prefix in ["whsec_", "sk_", "v1_"] {
            if let Some(bare) = value.strip_prefix(prefix.as_bytes()) {
                let words = format!("the key is secret {name} without {prefix} before it");
                let fix = match tried.form {
                    KeyForm::Text => Fix::default(),
                    _ => Fix::setting("key", "text"),
                };
                let fix = fix.or_action(format!("store it without {prefix}"));
                tried.add_as(&KeyForm::Text, &name, None, bare, Some((words, fix)));
            }
        }
    }
}

//! Whether secrets and schemes fit: a secret can be made a key of, a token can arrive, and who names a secret by its
//! name or its id finds one.

use crate::config::{
    Secret, Verify, key,
    locate::{KeyPath, Side},
    reader::{Map, Node, did_you_mean},
    substitute::STAND_IN,
    verify::{Algorithm, KeyForm, Prefix, Proof, Scheme, Token, TokenForm},
};
use crate::extract::Field;

/// A secret and where it stands.
pub(super) struct Given<'a> {
    pub(super) node: Node<'a>,
    pub(super) secret: Secret,
    /// Whether it stands in for an unset variable or a missing file, and so fits everything.
    pub(super) stands_in: bool,
}

/// Checks every scheme against the secrets that it may be proven with. `list` is where they stand as a whole.
pub(super) fn check(source: &Map<'_>, list: &Node<'_>, verify: &Verify, secrets: &[Given<'_>]) {
    let schemes = verify.schemes();
    let mut said = Vec::new();
    let mut say = |node: &Node<'_>, message: String| {
        let known = (node.path().clone(), message);
        if !said.contains(&known) {
            node.problem(known.1.clone());
            said.push(known);
        }
    };
    for (index, scheme) in schemes.iter().enumerate() {
        let at = source.node().path().key("verify");
        let is_list = source
            .get("verify")
            .is_some_and(|node| node.value().is_sequence());
        check_named(
            list,
            &if is_list { at.item(index) } else { at },
            scheme,
            secrets,
        );
        let own = || {
            secrets
                .iter()
                .filter(|given| is_named(scheme, &given.secret))
        };
        let ids = own().filter(|given| given.secret.id.is_some()).count();
        if wants_ids(scheme) && own().count() > 1 && ids == 0 {
            say(
                list,
                "the scheme says by an id which secret signed, but none of these has one; give each its id: \
                 { id: ID, value: TEXT }"
                    .to_owned(),
            );
        }
        for given in own().filter(|given| !given.stands_in) {
            match misfit(scheme, given.secret.expose()) {
                Some(why) => say(&given.node, why),
                None => warn(scheme, given),
            }
        }
    }
}

/// Whether a configuration takes this secret, which nobody has named: for every scheme that looks at all of a source's.
pub fn takes(verify: &Verify, secret: &[u8]) -> bool {
    let shared = |scheme: &&Scheme| scheme.secrets.is_none();
    let fits = |scheme: &Scheme| misfit(scheme, secret).is_none();
    !secret.is_empty() && verify.schemes().iter().filter(shared).all(fits)
}

/// Whether a scheme may be proven with this secret.
fn is_named(scheme: &Scheme, secret: &Secret) -> bool {
    scheme
        .secrets
        .as_ref()
        .is_none_or(|names| names.contains(&secret.name))
}

/// Each name in a scheme's `secrets` is that of a secret.
fn check_named(list: &Node<'_>, scheme_at: &KeyPath, scheme: &Scheme, secrets: &[Given<'_>]) {
    let known: Vec<&str> = secrets.iter().map(|given| &*given.secret.name).collect();
    for (index, name) in scheme.secrets.iter().flatten().enumerate() {
        // The name itself may be that of an unset variable.
        let stands_in = list.context().allow_unset && **name == *STAND_IN;
        if !stands_in && !known.contains(&&**name) {
            list.context().report.problem(
                &scheme_at.key("secrets").item(index),
                Side::Value,
                format!(
                    "no secret of this source is called {name:?}; {}",
                    did_you_mean(name, &known)
                ),
            );
        }
    }
}

/// Whether a request says which secret signed.
fn wants_ids(scheme: &Scheme) -> bool {
    match &scheme.proof {
        Proof::Signature(signature) => {
            signature.key_id.is_some() || matches!(signature.prefix, Prefix::KeyId(..))
        }
        Proof::Jwt(_) | Proof::Token(_) => false,
    }
}

/// Why a secret can't be used with a scheme; nothing of it is shown.
fn misfit(scheme: &Scheme, secret: &[u8]) -> Option<String> {
    let bad_key = |form: &KeyForm, algorithm| {
        let bad = key::decode(form, algorithm, secret).err()?;
        Some(format!("the secret {bad}{}", form_said(form)))
    };
    match &scheme.proof {
        Proof::Signature(signature) => bad_key(&signature.key, signature.algorithm),
        Proof::Jwt(jwt) => bad_key(&jwt.key, Algorithm::Hmac(jwt.hash)),
        Proof::Token(token) => match token.field {
            Field::Header(_) => unsendable(token, secret),
            _ => None,
        },
    }
}

/// Bytes of a key below which it has most likely been cut: Standard Webhooks has 24 to 64, and no vendor that encodes
/// its keys has fewer than 16.
const KEY_BYTES_MIN: usize = 16;

/// Says what is strange about a secret that can be used.
fn warn(scheme: &Scheme, given: &Given<'_>) {
    let secret = given.secret.expose();
    let (form, algorithm) = match &scheme.proof {
        Proof::Signature(signature) => (&signature.key, signature.algorithm),
        Proof::Jwt(jwt) => (&jwt.key, Algorithm::Hmac(jwt.hash)),
        Proof::Token(_) => return,
    };
    if !matches!(algorithm, Algorithm::Hmac(_) | Algorithm::Hash(_)) {
        return;
    }
    let say = |message: String| {
        let node = &given.node;
        node.context().report.warning(node.path(), message);
    };
    if secret.trim_ascii() != secret {
        say("white space at an end of this secret is a part of it; take it away unless the vendor's own has it".to_owned());
    }
    if let KeyForm::Encoded(_) | KeyForm::Prefixed(_) = form
        && let Ok(key) = key::decode(form, algorithm, secret)
        && key.len() < KEY_BYTES_MIN
    {
        let plural = if key.len() == 1 { "" } else { "s" };
        say(format!(
            "the key is {} byte{plural} long once decoded, and vendors' have {KEY_BYTES_MIN} at least: it may have been cut",
            key.len()
        ));
    }
}

/// What asked for the form, where a user may have written it.
fn form_said(form: &KeyForm) -> &'static str {
    match form {
        KeyForm::Encoded(_) | KeyForm::Prefixed(_) | KeyForm::WithoutFirst(_) => {
            " (see key in verify)"
        }
        KeyForm::Text | KeyForm::Sha1 | KeyForm::PublicKey => "",
    }
}

/// A token is sent as it is, so it must survive being a header.
fn unsendable(token: &Token, secret: &[u8]) -> Option<String> {
    if token.form == TokenForm::Basic && !secret.contains(&b':') {
        return Some("basic is user:password, and this has no colon".to_owned());
    }
    let spaced = secret.trim_ascii() != secret;
    (token.carry(secret).is_none() || (spaced && token.form != TokenForm::Basic)).then(|| {
        "this token can never arrive in a header: it has a line break, a control character, or spaces at an end"
            .to_owned()
    })
}

//! The vendor's private key, where its scheme has one, and what to do without it: nobody but the vendor has the real
//! one, so that a source is tried with a pair of the user's own.

use crate::{
    cli::Failure,
    config::{
        Source,
        environment::Environment,
        verify::{Algorithm, Encoding, KeyForm, Proof, Signature},
    },
    verify::CannotSign,
};
use anyhow::Context as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The variable that holds the private key.
pub(super) const VARIABLE: &str = "HOOKGATE_SIGNING_KEY";

/// The private key: what the file holds, else the variable.
pub(super) fn read(
    file: Option<&Path>,
    environment: &Environment,
) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let Some(file) = file else {
        // The key may be bytes that are no text.
        let given = std::env::var_os(VARIABLE)
            .map(std::ffi::OsString::into_encoded_bytes)
            .or_else(|| environment.variable(VARIABLE).map(String::into_bytes));
        return Ok(given.filter(|value| !value.is_empty()).map(Zeroizing::new));
    };
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Some(Zeroizing::new(bytes)))
}

/// Why `source` cannot be played, and what to do.
pub(super) fn failure(source: &Source, cannot: &CannotSign) -> Failure {
    let name = &source.name;
    if let CannotSign::NoSecret = cannot {
        return Failure::Failed(anyhow::anyhow!(no_secret(source)));
    }
    let public = public_key(source);
    Failure::Usage(match (cannot, public) {
        (CannotSign::NoPrivateKey, Some(signature)) => without(name, signature),
        (CannotSign::BadPrivateKey(why), _) => format!("{why} (--signing-key or {VARIABLE})"),
        (CannotSign::Unfit, Some(_)) => format!(
            "what the signing key signs, the secret of source {name} does not verify: the secret has to be the \
             public key of the same pair"
        ),
        (CannotSign::Unfit, None) => format!(
            "no scheme of source {name} takes such a request: it lacks something that is signed or asked for, or the \
             first secret does not count now"
        ),
        (CannotSign::NoPlace(place), _) => format!(
            "source {name} looks into {place}, and there is no place for it in what is sent: put an empty value \
             there, which signing replaces"
        ),
        (CannotSign::NoSecret | CannotSign::NoPrivateKey, _) => {
            format!("source {name} cannot be played: {cannot}")
        }
    })
}

/// The vendor chooses the secret, and has not brought it yet.
fn no_secret(source: &Source) -> String {
    let name = &source.name;
    match &source.learn_to {
        Some(file) => format!(
            "source {name} has no secret yet: {} is not there; the vendor's handshake brings it \
             (hookgate send {name} --handshake plays that)",
            file.display()
        ),
        None => format!("source {name} has no secret to sign with"),
    }
}

/// The signature with a public key, if the source has one.
fn public_key(source: &Source) -> Option<&Signature> {
    source
        .verify
        .schemes()
        .iter()
        .find_map(|scheme| match &scheme.proof {
            Proof::Signature(signature) => match signature.algorithm {
                Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa(_) => Some(signature),
                Algorithm::Hmac(_) | Algorithm::Hash(_) => None,
            },
            Proof::Jwt(_) | Proof::Token(_) => None,
        })
}

/// How to make a pair of keys, and where each half goes.
fn without(name: &str, signature: &Signature) -> String {
    let (algorithm, options) = match signature.algorithm {
        Algorithm::Ed25519 => ("Ed25519", "-algorithm ed25519"),
        Algorithm::EcdsaP256 => ("ECDSA", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
        _ => ("RSA", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    };
    let public = match &signature.key {
        KeyForm::Encoded(Encoding::Hex) => {
            " -outform DER | tail -c 32 | od -An -v -tx1 | tr -d ' \\n'"
        }
        KeyForm::Encoded(_) | KeyForm::Prefixed(_) => " -outform DER | tail -c 32 | base64",
        _ => "",
    };
    format!(
        "{name} signs with {algorithm}, and only the vendor has that private key. Make a pair of your own, and give \
         the gateway the public half as the source's secret:\n  \
         openssl genpkey {options} -out signing.pem\n  \
         openssl pkey -in signing.pem -pubout{public}\n\
         Then name the private half by --signing-key signing.pem, or put it into {VARIABLE}"
    )
}

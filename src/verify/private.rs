//! A sender's private key: how it is read, and what it signs.

use super::CannotSign;
use super::filters::decode;
use super::rsa_sha1;
use crate::config::{
    key,
    verify::{Algorithm, Hash, KeyForm},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
    },
};
use std::fmt;
use zeroize::Zeroizing;

/// A private key.
pub(super) enum Private {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
    RsaSha1(Box<rsa_sha1::Key>),
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private(redacted)")
    }
}

impl Private {
    /// None for an algorithm that has no private key.
    pub(super) fn read(
        text: &[u8],
        algorithm: Algorithm,
        form: &KeyForm,
    ) -> Result<Option<Self>, CannotSign> {
        let der = || {
            if let Some(other) = other_form(text) {
                return Err(CannotSign::BadPrivateKey(other));
            }
            key::der(text)
                .map_err(|_| CannotSign::BadPrivateKey("the private key is neither PEM nor base64"))
        };
        match algorithm {
            Algorithm::Hmac(_) | Algorithm::Hash(_) => Ok(None),
            Algorithm::Ed25519 => {
                let bad = || {
                    CannotSign::BadPrivateKey(
                        "the private key is no Ed25519 key of 32 or 64 bytes, nor PKCS #8",
                    )
                };
                let seed = seed(text, form);
                let pair = match seed.as_deref().and_then(|seed| seed.get(..32)) {
                    Some(seed) => Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| bad())?,
                    None => {
                        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der()?).map_err(|_| bad())?
                    }
                };
                Ok(Some(Self::Ed25519(pair)))
            }
            Algorithm::EcdsaP256 => EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_ASN1_SIGNING,
                &der()?,
                &SystemRandom::new(),
            )
            .map(|pair| Some(Self::Ecdsa(Box::new(pair))))
            .map_err(|_| CannotSign::BadPrivateKey("the private key is no P-256 key in PKCS #8")),
            Algorithm::Rsa(hash) => {
                const BAD: CannotSign =
                    CannotSign::BadPrivateKey("the private key is no RSA key in PKCS #8");
                let der = der()?;
                let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| BAD)?;
                Ok(Some(if hash == Hash::Sha1 {
                    Self::RsaSha1(Box::new(rsa_sha1::Key::from_pkcs8(&der).ok_or(BAD)?))
                } else {
                    Self::Rsa(Box::new(pair))
                }))
            }
        }
    }

    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, CannotSign> {
        const FAILED: CannotSign = CannotSign::BadPrivateKey("the private key signs nothing");
        match self {
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Ecdsa(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| FAILED),
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    Algorithm::Rsa(Hash::Sha256) => &RSA_PKCS1_SHA256,
                    Algorithm::Rsa(Hash::Sha384) => &RSA_PKCS1_SHA384,
                    Algorithm::Rsa(Hash::Sha512) => &RSA_PKCS1_SHA512,
                    _ => return Err(FAILED),
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| FAILED)?;
                Ok(signature)
            }
            Self::RsaSha1(key) => Ok(key.sign(message)),
        }
    }
}

/// What a PEM block says of itself, where it holds another form than PKCS #8 and openssl makes one of it.
fn other_form(text: &[u8]) -> Option<&'static str> {
    let says = |label: &[u8]| text.windows(label.len()).any(|window| window == label);
    let forms: [(&[u8], &str); 5] = [
        (
            b"-----BEGIN EC PRIVATE KEY",
            "the private key is in SEC 1 form, and PKCS #8 is needed; convert it: \
             openssl pkcs8 -topk8 -nocrypt -in KEY.pem -out signing.pem",
        ),
        (
            b"-----BEGIN RSA PRIVATE KEY",
            "the private key is in PKCS #1 form, and PKCS #8 is needed; convert it: \
             openssl pkcs8 -topk8 -nocrypt -in KEY.pem -out signing.pem",
        ),
        (
            b"-----BEGIN ENCRYPTED PRIVATE KEY",
            "the private key is encrypted; decrypt it: openssl pkcs8 -topk8 -nocrypt -in KEY.pem -out signing.pem",
        ),
        (
            b"-----BEGIN OPENSSH PRIVATE KEY",
            "the private key is in OpenSSH's form, and PKCS #8 is needed; make one with openssl genpkey",
        ),
        (
            b"-----BEGIN PUBLIC KEY",
            "this is the public half, which is the source's secret; the private half of the pair signs",
        ),
    ];
    let found = forms.iter().find(|(label, _)| says(label));
    found.map(|(_, why)| *why)
}

/// 32 bytes, maybe with the public key behind.
fn seed(text: &[u8], form: &KeyForm) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_ascii();
    let decoded = match (text.strip_prefix(b"whsk_"), form) {
        (Some(rest), _) => STANDARD.decode(rest).ok(),
        (None, KeyForm::Encoded(encoding)) => decode(*encoding, text),
        (None, _) => STANDARD.decode(text).ok(),
    };
    decoded
        .map(Zeroizing::new)
        .filter(|bytes| bytes.len() == 32 || bytes.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_another_form_is_told_how_to_be_converted() {
        let convert = "openssl pkcs8 -topk8 -nocrypt -in KEY.pem -out signing.pem";
        let cases = [
            ("EC PRIVATE KEY", "SEC 1", convert),
            ("RSA PRIVATE KEY", "PKCS #1", convert),
            ("ENCRYPTED PRIVATE KEY", "encrypted", convert),
            ("OPENSSH PRIVATE KEY", "OpenSSH", "openssl genpkey"),
            ("PUBLIC KEY", "public half", "private half"),
            ("PRIVATE KEY", "no ", "PKCS #8"),
        ];
        let hash = Hash::Sha256;
        for algorithm in [
            Algorithm::EcdsaP256,
            Algorithm::Rsa(hash),
            Algorithm::Ed25519,
        ] {
            for (label, form, next) in cases {
                // As `openssl ecparam -genkey` writes it: the curve stands before the key.
                let text = format!(
                    "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
                     -----BEGIN {label}-----\nMC4CAQ==\n-----END {label}-----\n"
                );
                let plain = text.split_once("-----END EC PARAMETERS-----\n");
                let plain = plain.expect("two blocks").1;
                let texts = if label == "EC PRIVATE KEY" {
                    vec![&*text, plain]
                } else {
                    vec![plain]
                };
                for text in texts {
                    let read = Private::read(text.as_bytes(), algorithm, &KeyForm::PublicKey);
                    let why = read.expect_err("no key").to_string();
                    assert!(why.contains(form) && why.contains(next), "{label}: {why}");
                }
            }
        }
    }
}

//! What a signature is checked with: a keyed hash, a hash around a secret, or a public key.

use super::content::Rendered;
use super::mac::{Digester, Mac, Tag, length};
use crate::config::{
    Secret, key,
    verify::{Algorithm, Hash, KeyForm},
};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use std::{fmt, sync::Arc};
use subtle::Choice;
use zeroize::Zeroizing;

/// A secret, made ready.
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) secret: Secret,
    kind: Kind,
}

enum Kind {
    /// A hash that has seen the key and no message yet.
    Mac(Box<Mac>),
    Hash(Hash, Zeroizing<Vec<u8>>),
    Public(UnparsedPublicKey<Vec<u8>>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

/// What a right signature is, or how to tell.
pub(super) enum Expected<'k> {
    Tag(Tag),
    Public(&'k UnparsedPublicKey<Vec<u8>>),
}

impl Key {
    /// # Panics
    /// If the secret is not written as `form` says, which the configuration refuses.
    pub(super) fn new(algorithm: Algorithm, form: &KeyForm, secret: &Secret) -> Self {
        let decoded = key::decode(form, algorithm, secret.expose())
            .expect("a secret that makes no key is refused");
        Self {
            name: Arc::clone(&secret.name),
            secret: secret.clone(),
            kind: match algorithm {
                Algorithm::Hmac(hash) => Kind::Mac(Box::new(Mac::new(hash, &decoded))),
                Algorithm::Hash(hash) => Kind::Hash(hash, decoded),
                Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa(_) => {
                    Kind::Public(UnparsedPublicKey::new(public(algorithm), decoded.to_vec()))
                }
            },
        }
    }

    /// What this key makes of a text.
    pub(super) fn expects(&self, pieces: &[Rendered<'_>]) -> Expected<'_> {
        match &self.kind {
            Kind::Mac(mac) => {
                let mut mac = (**mac).clone();
                for piece in pieces {
                    if let Rendered::Bytes(bytes) = piece {
                        mac.update(bytes);
                    }
                }
                Expected::Tag(mac.finish())
            }
            Kind::Hash(hash, secret) => {
                let mut digest = Digester::new(*hash);
                for piece in pieces {
                    digest.update(match piece {
                        Rendered::Bytes(bytes) => bytes,
                        Rendered::Secret => secret,
                    });
                }
                Expected::Tag(digest.finish())
            }
            Kind::Public(key) => Expected::Public(key),
        }
    }
}

impl Expected<'_> {
    /// Whether `claimed` is right. `message` is the whole signed text; only public keys look at it.
    pub(super) fn matches(&self, message: &[u8], claimed: &[u8]) -> Choice {
        match self {
            Self::Tag(tag) => tag.matches(claimed),
            // Nothing of a public key is secret, and ring says yes or no.
            Self::Public(key) => {
                #[cfg(test)]
                super::tests::COMPARED.with(|count| count.set(count.get() + 1));
                Choice::from(u8::from(key.verify(message, claimed).is_ok()))
            }
        }
    }
}

/// Whether a decoded text can be a signature at all.
pub(super) fn is_length(algorithm: Algorithm, bytes: usize) -> bool {
    match algorithm {
        Algorithm::Hmac(hash) | Algorithm::Hash(hash) => bytes == length(hash),
        Algorithm::Ed25519 => bytes == 64,
        // Two numbers of at most 33 bytes in DER; the shortest are of one byte.
        Algorithm::EcdsaP256 => (8..=72).contains(&bytes),
        Algorithm::Rsa(_) => (256..=1024).contains(&bytes),
    }
}

/// Bytes of the longest signature.
pub(super) const SIGNATURE_BYTES_MAX: usize = 1024;

fn public(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::Ed25519 => &signature::ED25519,
        Algorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
        Algorithm::Rsa(Hash::Sha1) => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Rsa(Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rsa(Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rsa(Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Hmac(_) | Algorithm::Hash(_) => {
            unreachable!("a hash has no public key")
        }
    }
}

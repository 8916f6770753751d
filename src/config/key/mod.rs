//! How a key is made of a secret, for the form that a scheme names. What passes here is a key that its algorithm
//! takes; no message shows any of it.

mod public;

pub use public::der;

use super::verify::{Algorithm, Encoding, KeyForm};
use base64::{
    Engine as _,
    alphabet::{self, Alphabet},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use sha1::{Digest as _, Sha1};
use zeroize::Zeroizing;

/// Why a secret is no key of the form that its scheme names. It continues a sentence that begins with the secret.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadKey {
    /// Nothing is left of it.
    #[error("is empty once decoded, which proves nothing")]
    Empty,
    /// Bytes that are no text, in a form that is text.
    #[error("is not text")]
    NotText,
    /// Not written in its encoding.
    #[error("is not {}", encoding_name(*.0))]
    NotEncoded(Encoding),
    /// Not base 64 behind this prefix.
    #[error("is not base64, with or without {0} before it")]
    NotPrefixed(&'static str),
    /// A public key of Ed25519 of this many bytes.
    #[error("has {0} bytes once decoded, but a public key of Ed25519 has 32")]
    NotEd25519(usize),
    /// A public key for what has no public key, or in a form that this algorithm's never have.
    #[error("is not written as keys of this algorithm are")]
    Form,
    /// Neither a PEM block nor base 64.
    #[error("is neither a PEM block nor the base64 of a public key's DER")]
    NotPem,
    /// More than one PEM block.
    #[error("holds more than one PEM block; keep the one with the public key")]
    SeveralBlocks,
    /// DER of something else.
    #[error("is no public key (SubjectPublicKeyInfo or, for RSA, RSAPublicKey)")]
    NotPublic,
    /// A certificate.
    #[error(
        "is a certificate; give the public key in it, as `openssl x509 -pubkey -noout` prints it"
    )]
    Certificate,
    /// A private key.
    #[error("is a private key, which belongs to the sender alone; give the public key")]
    Private,
    /// The public key of another algorithm.
    #[error("is the public key of another algorithm; {0} is wanted")]
    OtherAlgorithm(&'static str),
    /// A point that is not written out.
    #[error(
        "is a compressed point; give the uncompressed one, as `openssl ec -pubin -conv_form uncompressed` prints it"
    )]
    Compressed,
    /// An RSA key that is too small to prove anything, or too large to be one.
    #[error("is an RSA key of {0} bits; accepted: 2048 to 8192")]
    RsaBits(usize),
}

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64Url => "base64url",
    }
}

/// The key's bytes as ring takes them: of an HMAC or a hash as they are, of Ed25519 32 bytes, of ECDSA the
/// uncompressed point (65 bytes), of RSA the DER of its `RSAPublicKey`.
pub fn decode(
    form: &KeyForm,
    algorithm: Algorithm,
    secret: &[u8],
) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let key = match form {
        KeyForm::Text => Zeroizing::new(secret.to_vec()),
        KeyForm::Sha1 => Zeroizing::new(Sha1::digest(secret).to_vec()),
        KeyForm::WithoutFirst(unwanted) => {
            let text = std::str::from_utf8(secret).map_err(|_| BadKey::NotText)?;
            Zeroizing::new(text.replacen(unwanted, "", 1).into_bytes())
        }
        KeyForm::Encoded(encoding) => encoded(*encoding, secret)?,
        KeyForm::Prefixed(prefix) => {
            let bare = secret.strip_prefix(prefix.as_bytes()).unwrap_or(secret);
            lenient(&alphabet::STANDARD, bare).ok_or(BadKey::NotPrefixed(prefix))?
        }
        KeyForm::PublicKey => match algorithm {
            Algorithm::EcdsaP256 => public::p256(secret)?,
            Algorithm::Rsa(_) => public::rsa(secret)?,
            Algorithm::Hmac(_) | Algorithm::Hash(_) | Algorithm::Ed25519 => {
                return Err(BadKey::Form);
            }
        },
    };
    match algorithm {
        _ if key.is_empty() => Err(BadKey::Empty),
        Algorithm::Ed25519 if key.len() != ED25519_BYTES => Err(BadKey::NotEd25519(key.len())),
        Algorithm::EcdsaP256 | Algorithm::Rsa(_) if *form != KeyForm::PublicKey => {
            Err(BadKey::Form)
        }
        _ => Ok(key),
    }
}

/// Bytes of an Ed25519 public key (RFC 8032 5.1.5).
const ED25519_BYTES: usize = 32;

fn encoded(encoding: Encoding, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let decoded = match encoding {
        Encoding::Hex => hex::decode(secret).ok().map(Zeroizing::new),
        Encoding::Base64 => lenient(&alphabet::STANDARD, secret),
        Encoding::Base64Url => lenient(&alphabet::URL_SAFE, secret),
    };
    decoded.ok_or(BadKey::NotEncoded(encoding))
}

/// Base 64 of a key: with or without padding, and with any trailing bits, since vendors' libraries take a secret
/// that somebody made up of letters and digits. A key is compared with nothing, so two spellings do no harm.
fn lenient(alphabet: &Alphabet, text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(alphabet, config);
    engine.decode(text).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::verify::Hash;

    const HMAC: Algorithm = Algorithm::Hmac(Hash::Sha256);

    fn decoded(form: &KeyForm, algorithm: Algorithm, secret: &[u8]) -> Result<Vec<u8>, BadKey> {
        decode(form, algorithm, secret).map(|key| key.to_vec())
    }

    #[test]
    fn keys_are_made_of_secrets_as_their_form_says() {
        let encoded = KeyForm::Encoded;
        let whsec = KeyForm::Prefixed("whsec_");
        let dash = KeyForm::WithoutFirst("-".to_owned());
        let cases: [(&KeyForm, &[u8], Result<&[u8], BadKey>); 22] = [
            (&KeyForm::Text, b" a\xff", Ok(b" a\xff")),
            (&KeyForm::Text, b"", Err(BadKey::Empty)),
            (&encoded(Encoding::Hex), b"00fF", Ok(b"\x00\xff")),
            (&encoded(Encoding::Hex), b"", Err(BadKey::Empty)),
            (
                &encoded(Encoding::Hex),
                b"0",
                Err(BadKey::NotEncoded(Encoding::Hex)),
            ),
            (
                &encoded(Encoding::Hex),
                b"0g",
                Err(BadKey::NotEncoded(Encoding::Hex)),
            ),
            (&encoded(Encoding::Base64), b"+/8=", Ok(b"\xfb\xff")),
            (&encoded(Encoding::Base64), b"+/8", Ok(b"\xfb\xff")),
            (&encoded(Encoding::Base64), b"+/9", Ok(b"\xfb\xff")),
            (
                &encoded(Encoding::Base64),
                b"-_8",
                Err(BadKey::NotEncoded(Encoding::Base64)),
            ),
            (
                &encoded(Encoding::Base64),
                b"a",
                Err(BadKey::NotEncoded(Encoding::Base64)),
            ),
            (
                &encoded(Encoding::Base64),
                b"\xff",
                Err(BadKey::NotEncoded(Encoding::Base64)),
            ),
            (&encoded(Encoding::Base64Url), b"-_8=", Ok(b"\xfb\xff")),
            (
                &encoded(Encoding::Base64Url),
                b"+/8=",
                Err(BadKey::NotEncoded(Encoding::Base64Url)),
            ),
            (&whsec, b"whsec_YQ==", Ok(b"a")),
            (&whsec, b"YQ==", Ok(b"a")),
            (&whsec, b"whsec_", Err(BadKey::Empty)),
            (&whsec, b"whpk_YQ==", Err(BadKey::NotPrefixed("whsec_"))),
            (&dash, b"a-b-c", Ok(b"ab-c")),
            (&dash, b"abc", Ok(b"abc")),
            (&dash, b"-", Err(BadKey::Empty)),
            (&dash, b"\xff-", Err(BadKey::NotText)),
        ];
        for (form, secret, expected) in cases {
            let expected = expected.map(<[u8]>::to_vec);
            assert_eq!(decoded(form, HMAC, secret), expected, "{form:?} {secret:?}");
        }
    }

    /// The digest is the example of FIPS 180.
    #[test]
    fn a_key_may_be_the_hash_of_the_secret() {
        let key = decoded(&KeyForm::Sha1, HMAC, b"abc").expect("a key");
        assert_eq!(hex::encode(key), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn a_key_of_ed25519_has_32_bytes() {
        let hex = KeyForm::Encoded(Encoding::Hex);
        for (bytes, fits) in [(31, false), (32, true), (33, false)] {
            let key = decoded(&hex, Algorithm::Ed25519, "ab".repeat(bytes).as_bytes());
            let expected = if fits {
                Ok(vec![0xab; bytes])
            } else {
                Err(BadKey::NotEd25519(bytes))
            };
            assert_eq!(key, expected);
        }
    }

    #[test]
    fn a_form_belongs_to_its_algorithm() {
        for algorithm in [HMAC, Algorithm::Hash(Hash::Sha1), Algorithm::Ed25519] {
            assert_eq!(
                decoded(&KeyForm::PublicKey, algorithm, b"a"),
                Err(BadKey::Form)
            );
        }
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Rsa(Hash::Sha256)] {
            assert_eq!(decoded(&KeyForm::Text, algorithm, b"a"), Err(BadKey::Form));
        }
    }
}

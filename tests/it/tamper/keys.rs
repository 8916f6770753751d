//! Made-up secrets in the form that a scheme wants, with the sender's private key where it has one.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hookgate::config::{
    key,
    verify::{Algorithm, Encoding, KeyForm, Proof, Scheme, TokenForm},
};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};

/// What the gateway has, and what the sender has.
pub(super) struct Pair {
    /// The source's secret.
    pub(super) secret: String,
    /// The sender's private key.
    pub(super) private: Option<String>,
}

/// A key of 2048 bits that signs for tests alone; one cannot be generated with what is at hand.
const RSA: &str = include_str!("../../../src/cli/send/tests/rsa.pem");

/// What stands before the point in the public key of P-256 (RFC 5480 2).
const P256_SPKI: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

impl Pair {
    /// One that fits the scheme. Shared secrets are made of `text`, pairs are new each time, but for RSA's.
    pub(super) fn new(scheme: &Scheme, text: &str) -> Self {
        match &scheme.proof {
            Proof::Signature(signature) => match signature.algorithm {
                Algorithm::Hmac(_) | Algorithm::Hash(_) => shared(&signature.key, text),
                Algorithm::Ed25519 => ed25519(&signature.key),
                Algorithm::EcdsaP256 => p256(),
                Algorithm::Rsa(_) => rsa(),
            },
            Proof::Jwt(jwt) => shared(&jwt.key, text),
            Proof::Token(token) if token.form == TokenForm::Basic => Self {
                secret: format!("user:{text}"),
                private: None,
            },
            Proof::Token(_) => shared(&KeyForm::Text, text),
        }
    }
}

fn shared(form: &KeyForm, text: &str) -> Pair {
    Pair {
        secret: written(form, text.as_bytes()),
        private: None,
    }
}

fn written(form: &KeyForm, key: &[u8]) -> String {
    match form {
        KeyForm::Encoded(Encoding::Hex) => hex::encode(key),
        KeyForm::Encoded(Encoding::Base64) => STANDARD.encode(key),
        KeyForm::Encoded(Encoding::Base64Url) => URL_SAFE_NO_PAD.encode(key),
        KeyForm::Prefixed(prefix) => format!("{prefix}{}", STANDARD.encode(key)),
        KeyForm::Text | KeyForm::Sha1 | KeyForm::WithoutFirst(_) | KeyForm::PublicKey => {
            String::from_utf8(key.to_vec()).expect("made of text")
        }
    }
}

fn ed25519(form: &KeyForm) -> Pair {
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).expect("just made");
    Pair {
        secret: written(form, pair.public_key().as_ref()),
        private: Some(STANDARD.encode(private)),
    }
}

fn p256() -> Pair {
    let (kind, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let private = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(kind, private.as_ref(), &random).expect("just made");
    let mut public = hex::decode(P256_SPKI).expect("hex");
    public.extend_from_slice(pair.public_key().as_ref());
    Pair {
        secret: STANDARD.encode(public),
        private: Some(STANDARD.encode(private)),
    }
}

fn rsa() -> Pair {
    Pair {
        secret: rsa_public(RSA),
        private: Some(RSA.to_owned()),
    }
}

/// The public half of another pair.
pub(super) fn other_rsa() -> String {
    rsa_public(include_str!("../../../src/verify/tests/rsa.pem"))
}

fn rsa_public(private: &str) -> String {
    let der = key::der(private.as_bytes()).expect("PEM");
    let pair = RsaKeyPair::from_pkcs8(&der).expect("a key");
    STANDARD.encode(pair.public_key())
}

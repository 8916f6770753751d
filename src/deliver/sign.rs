//! Standard Webhooks: a signature made anew for every attempt, so that a late retry still passes the app's own
//! check of its age. The keys are prepared once. While a secret is rotated there are two, and a signature with each: the
//! app accepts whichever it knows.
//!
//! Source: the Standard Webhooks specification, "Webhook metadata" and "Signature scheme" (symmetric, `v1`).

use crate::config::target::SigningKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// Signs with one key or more.
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// Prepares the keys; without any there is nothing to sign with.
    pub(super) fn new(keys: &[SigningKey]) -> Option<Self> {
        let prepare = |key: &SigningKey| {
            Hmac::new_from_slice(key.expose()).expect("HMAC takes a key of any length")
        };
        (!keys.is_empty()).then(|| Self(keys.iter().map(prepare).collect()))
    }

    /// The value of `webhook-signature` for a message, with the time in Unix seconds as it is sent: a signature with
    /// each key, in their order.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut signatures = String::new();
        for mac in &self.0 {
            let mut mac = mac.clone();
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                mac.update(part);
            }
            signatures.push_str(if signatures.is_empty() { "v1," } else { " v1," });
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut signatures);
        }
        signatures
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn published_key() -> SigningKey {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        SigningKey::new(key.expect("base64"))
    }

    fn sign(keys: &[SigningKey]) -> String {
        let signer = Signer::new(keys).expect("keys");
        signer.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        )
    }

    /// The vector that the specification's reference implementations share.
    #[test]
    fn the_published_vector_holds() {
        assert_eq!(sign(&[published_key()]), PUBLISHED);
    }

    #[test]
    fn every_key_signs_in_its_order() {
        let other = SigningKey::new(b"other".to_vec());
        let alone = sign(std::slice::from_ref(&other));
        assert_eq!(
            sign(&[other, published_key()]),
            format!("{alone} {PUBLISHED}")
        );
        assert!(Signer::new(&[]).is_none());
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", Signer::new(&[SigningKey::new(b"hunter2".to_vec())]));
        assert_eq!(shown, "Some(Signer(redacted))");
    }
}

//! Standard Webhooks: a signature made anew for every attempt, so that a late retry still passes the app's own
//! check of its age. The key is prepared once.
//!
//! Source: the Standard Webhooks specification, "Webhook metadata" and "Signature scheme" (symmetric, `v1`).

use crate::config::target::SigningKey;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;

/// Signs with one key.
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    /// Prepares the key.
    pub(super) fn new(key: &SigningKey) -> Self {
        let mac = Hmac::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
        Self(mac)
    }

    /// The value of `webhook-signature` for a message, with the time in Unix seconds as it is sent.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        let mut signature = String::from("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut signature);
        signature
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

    /// The vector that the specification's reference implementations share.
    #[test]
    fn the_published_vector_holds() {
        let key = STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .expect("base64");
        let signed = Signer::new(&SigningKey::new(key)).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", Signer::new(&SigningKey::new(b"hunter2".to_vec())));
        assert_eq!(shown, "Signer(redacted)");
    }
}

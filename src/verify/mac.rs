//! Keyed hashes, and how their results are written in a header. A malformed text is told from a wrong one
//! without secrets; everything that touches a secret takes the same time for every value.

use crate::config::source::{Algorithm, Encoding};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_PAD_INDIFFERENT};
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// HMAC (RFC 2104) under a prepared key: cloned for each message, so that the key is hashed once in its life.
#[derive(Clone)]
pub(super) enum Mac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl Mac {
    pub(super) fn new(algorithm: Algorithm, key: &[u8]) -> Self {
        const ANY_LENGTH: &str = "HMAC takes keys of any length";
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::Sha256 => Self::Sha256(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::Sha384 => Self::Sha384(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::Sha512 => Self::Sha512(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha384(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Tag {
        match self {
            Self::Sha1(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha384(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Tag::new(&mac.finalize().into_bytes()),
        }
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(redacted)")
    }
}

/// Bytes of the longest result: SHA-512's.
const TAG_BYTES_MAX: usize = 64;

/// What a MAC makes, or what a request claims that it makes.
pub(super) struct Tag {
    bytes: [u8; TAG_BYTES_MAX],
    length: usize,
}

impl Tag {
    fn new(bytes: &[u8]) -> Self {
        let mut tag = Self {
            bytes: [0; TAG_BYTES_MAX],
            length: bytes.len(),
        };
        tag.bytes[..bytes.len()].copy_from_slice(bytes);
        tag
    }

    /// Reads what a header says: exactly one result of `algorithm`, in `encoding`.
    pub(super) fn decode(algorithm: Algorithm, encoding: Encoding, text: &[u8]) -> Option<Self> {
        /// Room for the longest result and for base64's estimate of it, which is in whole groups of 3 bytes.
        const ROOM_BYTES: usize = TAG_BYTES_MAX + 8;
        let length = length(algorithm);
        if text.len() > length * 2 {
            return None;
        }
        let mut decoded = [0; ROOM_BYTES];
        let found = match encoding {
            Encoding::Hex => hex::decode_to_slice(text, &mut decoded[..length])
                .ok()
                .map(|()| length),
            Encoding::Base64 => STANDARD.decode_slice(text, &mut decoded).ok(),
            Encoding::Base64Url => URL_SAFE_PAD_INDIFFERENT
                .decode_slice(text, &mut decoded)
                .ok(),
        };
        (found? == length).then(|| Self::new(&decoded[..length]))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn encode(&self, encoding: Encoding) -> String {
        let bytes = self.as_bytes();
        match encoding {
            Encoding::Hex => hex::encode(bytes),
            Encoding::Base64 => STANDARD.encode(bytes),
            Encoding::Base64Url => URL_SAFE.encode(bytes),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(redacted)")
    }
}

impl ConstantTimeEq for Tag {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.as_bytes().ct_eq(other.as_bytes())
    }
}

/// Bytes of an algorithm's result.
fn length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Sha1 => 20,
        Algorithm::Sha256 => 32,
        Algorithm::Sha384 => 48,
        Algorithm::Sha512 => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [Algorithm; 4] = [
        Algorithm::Sha1,
        Algorithm::Sha256,
        Algorithm::Sha384,
        Algorithm::Sha512,
    ];

    fn mac(algorithm: Algorithm, key: &[u8], data: &[u8]) -> Tag {
        let mut mac = Mac::new(algorithm, key);
        mac.update(data);
        mac.finish()
    }

    /// RFC 2202 3 (SHA-1, cases 1 and 2) and RFC 4231 4 (cases 1, 2 and 6).
    #[test]
    fn published_vectors() {
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let cases: [(&[u8], &[u8], [&str; 4]); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                [
                    "b617318655057264e28bc0b6fb378c8ef146be00",
                    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                    "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
                    "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
                ],
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                [
                    "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
                    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
                    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
                ],
            ),
            (
                &[0xaa; 131],
                long,
                [
                    "",
                    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                    "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
                    "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
                ],
            ),
        ];
        for (key, data, expected) in cases {
            for (algorithm, expected) in ALGORITHMS.into_iter().zip(expected) {
                if !expected.is_empty() {
                    let tag = mac(algorithm, key, data);
                    assert_eq!(tag.encode(Encoding::Hex), expected, "{algorithm:?}");
                }
            }
        }
        // RFC 2202 3, case 6: the key is longer than a block here too, yet not as long as above.
        let tag = mac(Algorithm::Sha1, &[0xaa; 80], long);
        assert_eq!(
            tag.encode(Encoding::Hex),
            "aa4ae5e15272d00e95705637ce8a3b55ed402112"
        );
    }

    #[test]
    fn every_encoding_reads_what_it_writes() {
        for algorithm in ALGORITHMS {
            let tag = mac(algorithm, b"key", b"data");
            for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
                let text = tag.encode(encoding);
                let same = |text: &str| {
                    Tag::decode(algorithm, encoding, text.as_bytes())
                        .is_some_and(|read| bool::from(read.ct_eq(&tag)))
                };
                assert!(same(&text), "{algorithm:?} {encoding:?}");
                assert!(!same(&text[1..]), "{algorithm:?} {encoding:?}, cut");
                assert!(
                    !same(&format!("{text}0")),
                    "{algorithm:?} {encoding:?}, long"
                );
                assert!(
                    !same(&format!("{text}{text}")),
                    "{algorithm:?} {encoding:?}, twice"
                );
                assert_eq!(
                    same(&text.to_uppercase()),
                    encoding == Encoding::Hex,
                    "{algorithm:?} {encoding:?}, upper case"
                );
                let unpadded = text.trim_end_matches('=');
                assert_eq!(
                    same(unpadded),
                    unpadded.len() == text.len() || encoding == Encoding::Base64Url,
                    "{algorithm:?} {encoding:?}, without padding"
                );
            }
        }
    }

    #[test]
    fn texts_that_are_no_result() {
        // 32 zero bytes, with a bit set that no byte has room for.
        let trailing_bits = format!("{}B=", "A".repeat(42));
        let cases: [(Encoding, &[u8]); 8] = [
            (Encoding::Hex, b""),
            (Encoding::Hex, &[b'g'; 64]),
            (Encoding::Hex, &[0xff; 64]),
            (Encoding::Hex, &[b'0'; 63]),
            (Encoding::Base64, b""),
            (Encoding::Base64, trailing_bits.as_bytes()),
            (Encoding::Base64, &[b'-'; 43]),
            (Encoding::Base64Url, &[b'+'; 43]),
        ];
        for (encoding, text) in cases {
            let read = Tag::decode(Algorithm::Sha256, encoding, text);
            assert!(read.is_none(), "{encoding:?} {text:?}");
        }
    }
}

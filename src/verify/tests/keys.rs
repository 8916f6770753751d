//! What a signature is checked with: every algorithm, every form of a key, and the time in which a secret counts.

use super::*;
use crate::verify::mac::Mac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

/// A key for these tests alone.
pub(super) const RSA_PRIVATE: &str = include_str!("rsa.pem");
pub(super) const RSA_PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuyvfaggeIiCM1dNdQEbo+cVj3AkGSdBuqi9y3eNYY6sPmxvFCfaHbd8kDyP7fiIionzBNjbDM+OXU5HUh4RU0gJzz/+Bj2/65xPuwEs/NgHAmrXuKA25gtujekapAKNg2PYZLBUBQz/DdP2D7uq2VEMvrSu++wLDVicJJpgtNL2hxirfmnz+JAMtd0UhIweoMk2x/sjXevpJSeVSDOBH5pYjtvkY/MkXN+Urims0V1jy8H/w8utoyeAeaOwFOhmRTX6r57NV5HqbDsg9cBRTf2jfDcsIftVuxqo6E/XPdEgH+fS/JqXHGCVwpN4pY+6D905wm1AbGsjNnCIPAIyl1wIDAQAB";

/// A scheme with a public key.
pub(super) fn public(algorithm: Algorithm) -> Signature {
    Signature {
        algorithm,
        encoding: Encoding::Base64,
        key: match algorithm {
            Algorithm::Ed25519 => KeyForm::Encoded(Encoding::Base64),
            _ => KeyForm::PublicKey,
        },
        ..plain()
    }
}

/// A key pair of this algorithm: the public key as a secret, the private one as a sender has it.
pub(super) fn pair(algorithm: Algorithm) -> (Secret, Vec<u8>) {
    let random = ring::rand::SystemRandom::new();
    let (public, private) = match algorithm {
        Algorithm::Ed25519 => {
            let private = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
            let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).expect("a key");
            (STANDARD.encode(pair.public_key()), STANDARD.encode(private))
        }
        Algorithm::EcdsaP256 => {
            let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random);
            let pair = pair.expect("a key");
            // SubjectPublicKeyInfo of a point on P-256 (RFC 5480 2).
            let before = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200");
            let info = [&before.expect("hex"), pair.public_key().as_ref()].concat();
            (STANDARD.encode(info), STANDARD.encode(private))
        }
        _ => (RSA_PUBLIC.to_owned(), RSA_PRIVATE.to_owned()),
    };
    (Secret::new("s1", public.into_bytes()), private.into_bytes())
}

/// A door and its sender, who has the private key.
pub(super) fn with_pair(signature: &Signature) -> Door {
    let (secret, private) = pair(signature.algorithm);
    let (verify, secrets) = (by(signature.clone()), [secret]);
    Door {
        verifier: Verifier::new(&verify, &secrets, &around()),
        signer: Signer::new(&verify, &secrets, &around(), Some(&private)).expect("a key"),
    }
}

/// RFC 2202 3 (SHA-1, cases 1 and 2) and RFC 4231 4 (cases 1, 2 and 6).
#[test]
fn published_vectors_of_hmac() {
    let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let hashes = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
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
                "90d0dace1c1bdc957339307803160335bde6df2b",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
                "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
                "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
            ],
        ),
    ];
    for (key, data, expected) in cases {
        for (hash, expected) in hashes.into_iter().zip(expected) {
            let mut mac = Mac::new(hash, key);
            mac.update(data);
            assert_eq!(hex::encode(mac.finish().as_bytes()), expected, "{hash:?}");
        }
    }
}

/// RFC 8032 7.1, tests 1 and 2.
#[test]
fn published_vectors_of_ed25519() {
    let cases = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "r",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ];
    let scheme = Signature {
        algorithm: Algorithm::Ed25519,
        key: KeyForm::Encoded(Encoding::Hex),
        ..plain()
    };
    let keys = secrets(&[cases[0].0, cases[1].0]);
    for (place, (_, body, signature)) in (1..).zip(cases) {
        let sent = post(body).with("x-signature", signature);
        assert_eq!(judge(&scheme, &keys, &sent), s(place));
        assert_eq!(judge(&scheme, &keys, &sent.clone().body("x")), BAD);
        // The same number written otherwise: S and the order of the group (RFC 8032 8.4).
        let mut bytes = hex::decode(signature).expect("hex");
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut carry = 0;
        for (byte, add) in bytes[32..].iter_mut().zip(order.expect("hex")) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        let other = post(body).with("x-signature", hex::encode(bytes));
        assert_eq!(judge(&scheme, &keys, &other), BAD, "malleable");
    }
}

/// Made by OpenSSL with the key of these tests: `openssl dgst -sha1 -sign rsa.pem` of `order`.
#[test]
fn rsa_in_every_hash() {
    let cases = [
        (
            Hash::Sha1,
            "gBq9l3OxXhdt5es+TG2HavzIihWpeQxBC07N6bF4gZabYP/HmSkq/1MZ2Dx5V39TJSJ7TOg87y3a25QOYvRBymBDIZOZWcoqoybA+jKjnW1vQrhkJv2IJ18MFbfwgki0fLuq8ivigpWatoCmjrZtF/MDrIbz5EEkWjHjvvlHcj4UcStKZkN6cyIFHW0O4bvB3lbDv7yAdeRIDvtUE/PlM68Zf8z53MBOtvQwIqkeRv+kXswoU6gMTydqYdu1TtRcjTuHAMNLqDp9zA8MpeAY0DOQJpaXYjne7S6mCfRa5+25NIZjHEc05V9xfNBTRi63yxd82bG6qwh1jqI+ha9hmA==",
        ),
        (
            Hash::Sha256,
            "jj55B3V9P/2aQkUGCasmoJatV4nGc9nydsu9SroyNbUb33pSdjGO8YJNjnCna05fjwt/63gkivdVAVYa8icNyr3V+Wfbnpsi3wOFFwT6wkp4USOxg/7fWwzIIbsz057CBJ96yrSfHufSoEpah8XVRL4hdpwpql1zRWoQamjjnuos51HFUTcXqu1xfSqfpwSxGvy+35nIqhtjnS8XWalFlF5rlhCHqXm4FFSv5jEtWAxzzICYms4YwFgSgf806lhS5/kGtWNJHy2v07xckT2dsIoHC+mUAZEZGi/5N8eyafb7CMVSWWKGevSJ8zhwhMLObD5HkAOh9y5L1f7uiI+7pA==",
        ),
        (
            Hash::Sha384,
            "Q728V33d7Ztn5sASnRv/UUy0GGU6HBYmTSzYsMxiOYeT8wjJCK73OSXPcd2n8m4+ZuXugmLHmTRKxtP7VTjkwww1wm/98uKgF6eezQZTB44mTfKBgaSeXZJjTY4yzi7CXuV6RSTgioExeHl7JpEwqbVAj6Jmc+CZcgb7KF1laGU61PMtSDAzBLN3xJU5Cr7VPu7NNGr7fRj/biISaQxrO370lt4jIS4ubpQL2XOEKBMbJpXoAJH9slbbQSVQ1BExQGJ+nk2YRVC1B2GzqneDeXVz+9HVuvxLp71abhbolBFCRmV82V8vaJGZ46kpQqYjki0gFEtjRs+yYWkAN+pFoA==",
        ),
        (
            Hash::Sha512,
            "Fp0XXc3F+4hIOhkz6fahpzfpfj347Zf0FLo+72hKiBkRZbJCRlK4Oxk666RaqF4sU8PoXCnzLVzIXCNKTc8IEvrktqrrlGXMKiRtFTOk72gppwqX5XFfjPlEhD4UQYHpWldBV8hjjt1tWLx4nVjCBtlL2WaXrVmFZQK5DIDxP/lYw9XxHd3hWHp2OFOdNoo63I5qSJ7Zg7IG/kcLS5t7UmTlGytiUme84L/2C5peAaa/qjyqWvzZVqnWeBICC8NFWXPiFPdsSMxqrafr4dJLJlh2r31qJxs2oXQiusX3Y5++iZw17hRT4bYtH+yi4zssu36NEivcsVIwulmNvziMog==",
        ),
    ];
    for (hash, _) in cases {
        let scheme = public(Algorithm::Rsa(hash));
        for (made_with, signature) in cases {
            let sent = post("order").with("x-signature", signature);
            let expected = if made_with == hash { s(1) } else { BAD };
            assert_eq!(
                judge(&scheme, &secrets(&[RSA_PUBLIC]), &sent),
                expected,
                "{hash:?} {made_with:?}"
            );
        }
    }
}

/// The algorithm is the configured one: a public key is no shared key, and a tag of another hash is none.
#[test]
fn algorithms_are_not_confused() {
    let by_rsa = Door::new(
        &by(public(Algorithm::Rsa(Hash::Sha256))),
        &secrets(&[RSA_PUBLIC]),
    );
    let der = STANDARD.decode(RSA_PUBLIC).expect("base64");
    for key in [RSA_PUBLIC.as_bytes(), &der] {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            let mut mac = Mac::new(hash, key);
            mac.update(b"order");
            let forged = STANDARD.encode(mac.finish().as_bytes());
            assert_eq!(
                by_rsa.judge(&post("order").with("x-signature", forged)),
                BAD
            );
        }
    }
    let hashes = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
    for configured in hashes {
        let scheme = Signature {
            algorithm: Algorithm::Hmac(configured),
            ..plain()
        };
        for used in hashes {
            let mut mac = Mac::new(used, b"key");
            mac.update(b"b");
            let sent = post("b").with("x-signature", hex::encode(mac.finish().as_bytes()));
            let expected = if used == configured { s(1) } else { BAD };
            assert_eq!(
                judge(&scheme, &secrets(&["key"]), &sent),
                expected,
                "{configured:?} {used:?}"
            );
        }
    }
}

#[test]
fn every_public_key_proves_what_its_private_one_signs() {
    for algorithm in [
        Algorithm::Ed25519,
        Algorithm::EcdsaP256,
        Algorithm::Rsa(Hash::Sha256),
        Algorithm::Rsa(Hash::Sha384),
        Algorithm::Rsa(Hash::Sha512),
    ] {
        let door = with_pair(&public(algorithm));
        let signed = door.sign(&post("order"));
        assert_eq!(door.judge(&signed), s(1), "{algorithm:?}");
        assert_eq!(
            door.judge(&signed.clone().body("orden")),
            BAD,
            "{algorithm:?}"
        );
        let mut signature = STANDARD.decode(signed.text("x-signature")).expect("base64");
        for bytes in [&signature[1..], &[&signature[..], b"\0"].concat(), &[]] {
            let cut = signed.clone().but("x-signature", STANDARD.encode(bytes));
            assert_eq!(door.judge(&cut), BAD, "{algorithm:?}");
        }
        let last = signature.len() - 1;
        signature[last] ^= 1;
        let changed = signed.but("x-signature", STANDARD.encode(signature));
        assert_eq!(door.judge(&changed), BAD, "{algorithm:?}");
        let without = Door::new(&by(public(algorithm)), &[pair(algorithm).0]);
        let cannot = without.signer.sign(0, &post("order"), NOW_MS);
        assert!(
            matches!(cannot, Err(CannotSign::NoPrivateKey)),
            "{algorithm:?}"
        );
    }
}

#[test]
fn keys_are_made_of_secrets_in_every_form() {
    let cases = [
        (KeyForm::Text, "whsec_a2V5", "whsec_a2V5"),
        (KeyForm::Encoded(Encoding::Hex), "6B6579", "key"),
        (KeyForm::Encoded(Encoding::Base64), "a2V5", "key"),
        (KeyForm::Encoded(Encoding::Base64Url), "a2V5", "key"),
        (KeyForm::Prefixed("whsec_"), "whsec_a2V5", "key"),
        (KeyForm::Prefixed("whsec_"), "a2V5", "key"),
        (KeyForm::WithoutFirst("-".to_owned()), "k-ey", "key"),
    ];
    for (key, secret, made) in cases {
        let scheme = Signature { key, ..plain() };
        let sent = post("b").with("x-signature", tag(made, "b"));
        assert_eq!(
            judge(&scheme, &secrets(&[secret]), &sent),
            s(1),
            "{:?}",
            scheme.key
        );
        let other = post("b").with("x-signature", tag("other", "b"));
        assert_eq!(
            judge(&scheme, &secrets(&[secret]), &other),
            BAD,
            "{:?}",
            scheme.key
        );
    }
}

#[test]
fn a_secret_outside_its_time_is_not_there() {
    let mut keys = secrets(&["old", "new"]);
    keys[0].not_after_ms = NOW_MS;
    keys[1].not_before_ms = NOW_MS + 1;
    let ways = [
        by(plain()),
        Verify::Schemes(vec![scheme(token(
            "header:x-signature",
            "",
            TokenForm::Plain,
        ))]),
    ];
    for (place, verify) in ways.iter().enumerate() {
        let door = Door::new(verify, &keys);
        let sent = |key: &str| {
            post("b").with(
                "x-signature",
                if place == 0 {
                    tag(key, "b")
                } else {
                    key.to_owned()
                },
            )
        };
        for (key, now_ms, expected) in [
            ("old", NOW_MS, s(1)),
            ("old", NOW_MS + 1, BAD),
            ("new", NOW_MS, BAD),
            ("new", NOW_MS + 1, s(2)),
        ] {
            assert_eq!(
                door.judge_at(&sent(key), now_ms),
                expected,
                "{key} {now_ms} {place}"
            );
        }
    }
}

#[test]
fn nothing_is_asked_of_none_and_nothing_matches_without_secrets() {
    let none = Door::new(&Verify::None, &[]);
    assert_eq!(none.judge(&post("")), Ok(String::new()));
    let verified = none.verified(&post("b"), NOW_MS).expect("passes");
    assert!(verified.secret().is_none() && verified.secret_header().is_none());
    assert_eq!(
        (verified.signed(), &verified.body()[..]),
        (&[][..], &b"b"[..])
    );

    let sent = post("b").with("x-signature", tag("", "b"));
    assert_eq!(judge(&plain(), &[], &sent), BAD);
    let token = Verify::Schemes(vec![scheme(token(
        "header:x-signature",
        "",
        TokenForm::Plain,
    ))]);
    assert_eq!(Door::new(&token, &[]).judge(&sent), BAD);
}

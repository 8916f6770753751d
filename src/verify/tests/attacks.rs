//! What an attacker learns or spends: time that tells nothing, texts of bounded length, and no key in any log.

use super::keys::{pair, public};
use super::*;
use crate::config::verify::HeaderPiece;

/// Comparisons that one request takes, and checks with a public key.
fn compared(door: &Door, request: &Outgoing) -> usize {
    COMPARED.set(0);
    let _ = door.judge(request);
    COMPARED.get()
}

/// As many whichever secret matches, or none: time tells neither whether one does nor which.
#[test]
fn every_secret_is_compared_whichever_matches() {
    let keys = secrets(&["first", "second", "third"]);
    let hash = Signature {
        algorithm: Algorithm::Hash(Hash::Sha256),
        ..signing("{secret}{body}")
    };
    let token = |form, prefix: &str| scheme(token("header:x-signature", prefix, form));
    let jwt = Jwt {
        field: field("header:x-signature"),
        prefix: String::new(),
        hash: Hash::Sha256,
        key: KeyForm::Text,
        claims: Vec::new(),
        tolerance: Duration::ZERO,
    };
    let ways: Vec<(&str, Config, Outgoing, usize)> = vec![
        ("hmac", scheme(Proof::Signature(plain())), post("b"), 3),
        ("list", scheme(Proof::Signature(list())), post("b"), 3),
        ("hash", scheme(Proof::Signature(hash)), post("b"), 3),
        ("jwt", scheme(Proof::Jwt(jwt)), post("b"), 3),
        ("token", token(TokenForm::Plain, ""), post("b"), 3),
        ("bearer", token(TokenForm::Scheme, "Bearer "), post("b"), 3),
        ("basic", token(TokenForm::Basic, "Basic "), post("b"), 3),
    ];
    for (name, config, request, expected) in ways {
        let verify = Verify::Schemes(vec![config]);
        let door = Door::new(&verify, &keys);
        for place in 0..3 {
            let right = door.signer.sign(place, &request, NOW_MS).expect("signed");
            assert_eq!(door.judge(&right), s(place + 1), "{name}");
            assert_eq!(compared(&door, &right), expected, "{name} {place}");
        }
        let stranger = Door::new(&verify, &secrets(&["fourth"]));
        let wrong = stranger.sign(&request);
        assert_eq!(door.judge(&wrong), BAD, "{name}");
        assert_eq!(compared(&door, &wrong), expected, "{name}, none");
    }
}

/// A public key is no secret; still, which of several it was shows in nothing.
#[test]
fn every_public_key_is_tried_whichever_matches() {
    for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
        let pairs: Vec<_> = (0..4).map(|_| pair(algorithm)).collect();
        let keys: Vec<Secret> = pairs.iter().map(|(secret, _)| secret.clone()).collect();
        let verify = by(public(algorithm));
        for (place, (_, private)) in pairs.iter().enumerate() {
            // The last of them is a stranger's.
            let door = Door {
                verifier: Verifier::new(&verify, &keys[..3], &around()),
                signer: Signer::new(&verify, &keys[place..], &around(), Some(private))
                    .expect("a key"),
            };
            let sent = door.sign(&post("b"));
            assert_eq!(
                door.judge(&sent).is_ok(),
                place < 3,
                "{algorithm:?} {place}"
            );
            assert_eq!(compared(&door, &sent), 3, "{algorithm:?} {place}");
        }
    }
}

/// What claims nothing, and what is not to be tried, costs no hash of the body.
#[test]
fn what_cannot_pass_is_not_computed() {
    let digests = |door: &Door, request: &Outgoing| {
        FINISHED.set(0);
        assert_eq!(door.judge(request), BAD);
        FINISHED.get()
    };
    let wrong = post("b").with("x-signature", "00".repeat(32));
    let door = Door::new(&by(plain()), &secrets(&["key"]));
    assert_eq!(digests(&door, &wrong), 1);
    assert_eq!(
        digests(&door, &wrong.clone().but("x-signature", "v1=00")),
        0
    );
    let called = Signature {
        key_id: Some(field("header:x-id")),
        ..plain()
    };
    let door = Door::new(&by(called), &[with_id("a", "one"), with_id("b", "two")]);
    assert_eq!(digests(&door, &wrong.clone().with("x-id", "b")), 1);
    assert_eq!(digests(&door, &wrong.clone().with("x-id", "c")), 0);
    let other = Config {
        when: vec![when("header:x-version", Some("v1"))],
        ..scheme(Proof::Signature(plain()))
    };
    let door = Door::new(&Verify::Schemes(vec![other]), &secrets(&["key"]));
    assert_eq!(digests(&door, &wrong.clone().with("x-version", "v1")), 1);
    assert_eq!(digests(&door, &wrong.with("x-version", "v2")), 0);
}

/// Each element is compared with each secret, wherever the right one stands.
#[test]
fn every_element_is_compared_wherever_the_right_one_stands() {
    let door = Door::new(&by(list()), &secrets(&["a", "b"]));
    let right = format!("v1={}", tag("b", "1769855400.b"));
    let wrong = format!("v1={}", "0".repeat(64));
    for place in 0..=4 {
        let mut elements = vec!["t=1769855400"];
        elements.resize(5, &wrong);
        if place > 0 {
            elements[place] = &right;
        }
        let sent = post("b").with("x-signature", elements.join(","));
        assert_eq!(door.judge(&sent).is_ok(), place > 0);
        assert_eq!(compared(&door, &sent), 8, "{place}");
    }
}

/// A list of names asks for each header once: a short request makes no long text.
#[test]
fn named_headers_do_not_multiply() {
    let scheme = Signature {
        named_headers: Some(NamedHeaders {
            place: TimePlace::Field(field("header:x-names")),
            split: ",".to_owned(),
            each: vec![HeaderPiece::Value],
            join: String::new(),
        }),
        ..signing("{named_headers}{body}")
    };
    let long = "v".repeat(10_000);
    let text = format!("{}b", long.repeat(2));
    let sent = post("b")
        .with("x-long", &long)
        .with("x-signature", tag("key", text))
        .with("x-names", "x-long,x-long");
    assert_eq!(judge(&scheme, &secrets(&["key"]), &sent), BAD);
    let many = sent.but("x-names", ["x-long"; 4_000].join(","));
    assert_eq!(judge(&scheme, &secrets(&["key"]), &many), BAD);
}

#[test]
fn signatures_of_any_length_are_refused_or_right() {
    let (ed25519, _) = pair(Algorithm::Ed25519);
    let (ecdsa, _) = pair(Algorithm::EcdsaP256);
    let (rsa, _) = pair(Algorithm::Rsa(Hash::Sha256));
    let schemes = [
        (plain(), Secret::new("s1", b"key".to_vec())),
        (public(Algorithm::Ed25519), ed25519),
        (public(Algorithm::EcdsaP256), ecdsa),
        (public(Algorithm::Rsa(Hash::Sha256)), rsa),
    ];
    for (scheme, secret) in schemes {
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            let scheme = Signature {
                encoding,
                ..scheme.clone()
            };
            let door = Door::new(&by(scheme), std::slice::from_ref(&secret));
            for length in [
                0, 1, 2, 7, 8, 20, 32, 63, 64, 65, 71, 72, 73, 255, 256, 257, 1024, 1025, 10_000,
            ] {
                for byte in [0, 0x30, 0xff] {
                    let text = filters::encode(encoding, &vec![byte; length]);
                    let found = door.judge(&post("b").with("x-signature", text));
                    assert_eq!(found, BAD, "{encoding:?} {length} {byte}");
                }
            }
        }
    }
}

#[test]
fn debug_shows_no_key() {
    let hash = Signature {
        algorithm: Algorithm::Hash(Hash::Sha256),
        ..signing("{secret}{body}{param:app}")
    };
    let ways = [
        scheme(Proof::Signature(plain())),
        scheme(Proof::Signature(hash)),
        scheme(token("header:x-token", "", TokenForm::Plain)),
    ];
    let around = Surroundings {
        params: vec![("app".into(), Secret::new("app", b"hunter2".to_vec()))],
        ..around()
    };
    for way in ways {
        let door = Door::within(&Verify::Schemes(vec![way]), &secrets(&["hunter2"]), &around);
        for shown in [
            format!("{:?}", door.verifier),
            format!("{:?}", door.signer),
            format!("{around:?}"),
        ] {
            assert!(shown.contains("redacted"), "{shown}");
            for key in ["hunter2".to_owned(), format!("{:?}", b"hunter2")] {
                assert!(!shown.contains(&key), "{shown}");
            }
        }
    }
}

/// A prepared key is as good as the secret, so its state is zeroed too. This is a feature of each hash's own.
#[test]
fn prepared_keys_are_zeroed() {
    fn is_zeroed<T: zeroize::ZeroizeOnDrop>() {}

    is_zeroed::<sha1::Sha1>();
    is_zeroed::<sha2::Sha256>();
    is_zeroed::<sha2::Sha384>();
    is_zeroed::<sha2::Sha512>();
}

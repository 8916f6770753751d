//! What holds of every scheme: what its sender signs passes, and nothing that differs in a byte does.

use super::filters::decode;
use super::keys::{public, with_pair};
use super::*;
use crate::config::template::Template;
use proptest::prelude::*;

/// Schemes of every kind of place, text and encoding, over the body, the time and an id.
fn signatures() -> Vec<Signature> {
    let hashes = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
    let encodings = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url];
    let mut all = Vec::new();
    for (hash, encoding) in hashes
        .into_iter()
        .flat_map(|hash| encodings.map(|encoding| (hash, encoding)))
    {
        all.push(Signature {
            algorithm: Algorithm::Hmac(hash),
            encoding,
            timestamp: Some(time_in("header:x-time")),
            ..signing("{header:x-id}.{timestamp}.{body}")
        });
    }
    for place in ["t=", "first"] {
        all.push(Signature {
            timestamp: Some(time_in(place)),
            ..list()
        });
    }
    for format in [TimeFormat::UnixMs, TimeFormat::Rfc3339] {
        let mut dated = list();
        if let Some(timestamp) = &mut dated.timestamp {
            timestamp.format = format;
        }
        all.push(dated);
    }
    all.push(Signature {
        algorithm: Algorithm::Hash(Hash::Sha512),
        ..signing("{secret}{header:x-id}{body|sha256}{secret}")
    });
    all.push(public(Algorithm::Ed25519));
    all.push(public(Algorithm::EcdsaP256));
    all
}

fn doors() -> Vec<Door> {
    let door = |signature: Signature| match signature.algorithm {
        Algorithm::Hmac(_) | Algorithm::Hash(_) => {
            Door::new(&by(signature), &secrets(&["key", "old"]))
        }
        _ => with_pair(&signature),
    };
    signatures().into_iter().map(door).collect()
}

/// Another byte that a header may hold.
fn flipped(value: &[u8], place: usize, bit: u32) -> Vec<u8> {
    let mut changed = value.to_vec();
    changed[place] ^= 1 << (bit % 8);
    if !(0x21..0x7f).contains(&changed[place]) {
        changed[place] = if value[place] == b'~' { b'!' } else { b'~' };
    }
    changed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is signed passes; with one byte changed in the body, the id, the time or the signature it does not.
    #[test]
    fn signed_is_proven_and_changed_is_not(
        body in prop::collection::vec(any::<u8>(), 1..200),
        id in "[!-~]{1,20}",
        place in any::<prop::sample::Index>(),
        bit in 0u32..8,
    ) {
        let request = post("").body(&body).with("x-id", &id);
        for door in doors() {
            let sent = door.sign(&request);
            prop_assert_eq!(door.judge(&sent), s(1));
            let mut changed = body.clone();
            changed[place.index(body.len())] ^= 1 << bit;
            prop_assert_eq!(door.judge(&sent.clone().body(changed)), BAD);
            for name in ["x-signature", "x-time"] {
                let Some(value) = sent.headers.get(name).map(|value| value.as_bytes().to_vec()) else { continue };
                let changed = flipped(&value, place.index(value.len()), bit);
                // Another case of hex is the same number, and a separator or a name that is gone leaves no element.
                if changed.eq_ignore_ascii_case(&value) { continue }
                let found = door.judge(&sent.clone().but(name, &changed));
                prop_assert!(found.is_err(), "{} {}", name, String::from_utf8_lossy(&changed));
            }
        }
    }

    /// Whatever a request holds, it is refused in good order.
    #[test]
    fn arbitrary_requests_are_refused(
        value in prop::collection::vec(prop_oneof![Just(b','), Just(b'='), Just(b' '), 32u8..=126, 128u8..=255], 0..300),
        start in prop::sample::select(vec!["", "v1=", "t=1769855400,v1=", "1769855400,v1=", "Bearer ", "Basic "]),
        time in prop::collection::vec(prop_oneof![b'0'..=b'9', 32u8..=126, 128u8..=255], 0..40),
        query in "[ -~]{0,40}",
        body in any::<Vec<u8>>(),
        twice in any::<bool>(),
    ) {
        let value = [start.as_bytes(), &value].concat();
        let mut sent = post("").body(&body).query(&query).with("x-time", &time).with("x-id", "7");
        sent = sent.with("x-signature", &value);
        if twice {
            sent = sent.with("x-signature", &value);
        }
        for door in doors() {
            prop_assert!(door.judge(&sent).is_err());
        }
        for form in [TokenForm::Plain, TokenForm::Scheme, TokenForm::Basic] {
            let prefix = if form == TokenForm::Basic { "Basic " } else { "Bearer " };
            let verify = Verify::Schemes(vec![scheme(token("header:x-signature", prefix, form))]);
            prop_assert!(Door::new(&verify, &secrets(&["a secret"])).judge(&sent).is_err());
        }
    }

    /// A template is what it was read from.
    #[test]
    fn templates_are_written_as_they_are_read(text in r"([ -z~]|\{(body|url|query|form|json:/a~1b|header:x-a|param:a|timestamp)(\|(hex|sha256|sorted|optional|unescape:%/|php_serialized:a b))?\}){0,8}") {
        if let Ok(template) = text.parse::<Template>() {
            prop_assert_eq!(template.to_string(), text);
            prop_assert_eq!(template.to_string().parse::<Template>(), Ok(template));
        }
    }

    /// Hex is what the library for it says.
    #[test]
    fn hex_is_read_as_it_is_written(bytes in any::<Vec<u8>>(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = hex::encode(&bytes).into_bytes();
        let read = |text: &[u8]| decode(Encoding::Hex, text);
        prop_assert_eq!(read(&text.to_ascii_uppercase()), Some(bytes));
        text.push(b'0');
        prop_assert_eq!(read(&text), None);
        let place = place.index(text.len());
        text.push(b'0');
        text[place] = byte;
        prop_assert_eq!(read(&text), hex::decode(&text).ok());
    }

    /// A flipped byte in any part of a JSON Web Token.
    #[test]
    fn a_changed_token_is_no_token(place in any::<prop::sample::Index>(), bit in 0u32..8) {
        let config = Jwt {
            field: field("header:x-jwt"),
            prefix: String::new(),
            hash: Hash::Sha256,
            key: KeyForm::Text,
            claims: vec![("body".to_owned(), "{body|sha256|hex}".parse().expect("a template"))],
            tolerance: Duration::ZERO,
        };
        let door = Door::new(&Verify::Schemes(vec![scheme(Proof::Jwt(config))]), &secrets(&["key"]));
        let sent = door.sign(&post("b"));
        prop_assert_eq!(door.judge(&sent), s(1));
        let value = sent.headers["x-jwt"].as_bytes();
        let changed = flipped(value, place.index(value.len()), bit);
        prop_assert_eq!(door.judge(&sent.but("x-jwt", changed)), BAD);
    }
}

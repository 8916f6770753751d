//! Public keys as people paste them: a PEM block whose line breaks an environment may have lost, or the base64 of
//! its DER. Labels are ignored, since what the DER holds says more.

use super::{BadKey, lenient};
use base64::alphabet;
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{
        Decode as _, Reader as _, SliceReader, Tag, Tagged as _,
        asn1::{AnyRef, UintRef},
    },
};
use zeroize::Zeroizing;

/// id-ecPublicKey (RFC 5480 2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1, which is P-256 (RFC 5480 2.1.1.1).
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// rsaEncryption (RFC 8017 A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Bytes of an uncompressed point of P-256, with the 4 before it (SEC 1 2.3.3).
const POINT_BYTES: usize = 65;
/// Bytes of a compressed one.
const COMPRESSED_BYTES: usize = 33;

/// Bits of an RSA key: what ring takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// The uncompressed point of a P-256 key.
pub(super) fn p256(secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let der = der(secret)?;
    let other = BadKey::OtherAlgorithm("a key on the curve P-256");
    let Ok(key) = SubjectPublicKeyInfoRef::from_der(&der) else {
        return Err(if is_rsa(&der) { other } else { instead(&der) });
    };
    if key.algorithm.oids().ok() != Some((EC, Some(P256))) {
        return Err(other);
    }
    match key.subject_public_key.as_bytes() {
        Some(point) if point.len() == POINT_BYTES && point[0] == 4 => {
            Ok(Zeroizing::new(point.to_vec()))
        }
        Some(point) if point.len() == COMPRESSED_BYTES => Err(BadKey::Compressed),
        _ => Err(BadKey::NotPublic),
    }
}

/// The DER of an RSA key's `RSAPublicKey`.
pub(super) fn rsa(secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let der = der(secret)?;
    let key = match SubjectPublicKeyInfoRef::from_der(&der) {
        Ok(key) if key.algorithm.oid == RSA => {
            key.subject_public_key.as_bytes().ok_or(BadKey::NotPublic)?
        }
        Ok(_) => return Err(BadKey::OtherAlgorithm("an RSA key")),
        Err(_) => &der,
    };
    let (modulus, _) = modulus_and_exponent(key).ok_or_else(|| instead(&der))?;
    let bits = bits(modulus.as_bytes());
    if !RSA_BITS.contains(&bits) {
        return Err(BadKey::RsaBits(bits));
    }
    Ok(Zeroizing::new(key.to_vec()))
}

fn is_rsa(der: &[u8]) -> bool {
    modulus_and_exponent(der).is_some()
}

/// Both numbers of an `RSAPublicKey` (RFC 8017 A.1.1).
fn modulus_and_exponent(der: &[u8]) -> Option<(UintRef<'_>, UintRef<'_>)> {
    let mut reader = SliceReader::new(der).ok()?;
    let numbers = reader
        .sequence(|numbers| {
            Ok::<_, spki::der::Error>((UintRef::decode(numbers)?, UintRef::decode(numbers)?))
        })
        .ok()?;
    reader.finish().ok()?;
    Some(numbers)
}

/// Bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let leading = number.iter().take_while(|byte| **byte == 0).count();
    let rest = &number[leading..];
    rest.first()
        .map_or(0, |first| rest.len() * 8 - first.leading_zeros() as usize)
}

/// What was given in place of a public key. A certificate begins with a sequence, whose first element is its
/// version or its serial number (RFC 5280 4.1); private keys of every kind begin with a small version (RFC 5958 2,
/// RFC 5915 3, RFC 8017 A.1.2).
fn instead(der: &[u8]) -> BadKey {
    let first_of = |der| -> Option<AnyRef<'_>> {
        let outer = AnyRef::from_der(der)
            .ok()
            .filter(|outer| outer.tag() == Tag::Sequence)?;
        AnyRef::decode(&mut SliceReader::new(outer.value()).ok()?).ok()
    };
    let Some(first) = first_of(der) else {
        return BadKey::NotPublic;
    };
    match (first.tag(), first.value()) {
        (Tag::Integer, [0 | 1]) => BadKey::Private,
        (Tag::Sequence, inner) => {
            let begins = SliceReader::new(inner).and_then(|mut inner| AnyRef::decode(&mut inner));
            match begins.map(|begins| begins.tag()) {
                Ok(Tag::Integer | Tag::ContextSpecific { .. }) => BadKey::Certificate,
                _ => BadKey::NotPublic,
            }
        }
        _ => BadKey::NotPublic,
    }
}

/// The DER in a PEM block or in bare base64.
pub fn der(secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let text = std::str::from_utf8(secret).map_err(|_| BadKey::NotText)?;
    // It may be the sender's private key.
    let text = Zeroizing::new(text.replace("\\r", " "));
    let text = Zeroizing::new(text.replace("\\n", " "));
    let base64 = match text.split_once("-----BEGIN ") {
        Some((_, block)) => contents(block)?,
        None => &text,
    };
    let mut bare = Zeroizing::new(String::with_capacity(base64.len()));
    bare.extend(base64.split_ascii_whitespace());
    let der = lenient(&alphabet::STANDARD, bare.as_bytes()).ok_or(BadKey::NotPem)?;
    if der.is_empty() {
        return Err(BadKey::Empty);
    }
    Ok(der)
}

/// What stands in a PEM block (RFC 7468 2), from its label on.
fn contents(block: &str) -> Result<&str, BadKey> {
    let (_, rest) = block.split_once("-----").ok_or(BadKey::NotPem)?;
    let (contents, end) = rest.split_once("-----END ").ok_or(BadKey::NotPem)?;
    if end.contains("-----BEGIN ") {
        return Err(BadKey::SeveralBlocks);
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    const POINT_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPZat8oOMwvOSgR6Uord4ABsx+k6V
Am8rMp+tbBI7+R0rJEgRMLvrNneBcz/fUVLsTUSPEZov3EMJmZYyNfTDaQ==
-----END PUBLIC KEY-----
";
    const COMPRESSED: &str =
        "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADPZat8oOMwvOSgR6Uord4ABsx+k6VAm8rMp+tbBI7+R0=";
    const P384: &str = "\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEr1k4qvLjV6jhbYsWp4jv6GOGyphYcQ9u\
IHYZGs1ks/JWSN1QUg+Npo/9NhFwkCuR1ntnNfoabec5Q5uGXpQDQ/SvQWUmTmH+\
bV1vShZqlCPFFJcbC+2PSOorfGWBldz5\
        ";
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUeN8wOsbhgkN+lVdfMxkx+KJbEJ8wCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAeFw0yNjExMjAxNDQ4NDRaFw0yNjExMjExNDQ4NDRaMAwx
CjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARqZqu+pR0uxGWu
0iZDHiN5kJoEI8fbqG7t9dbtN617a59q6UKgkPHwoHvHu1n8SHs8pWlinG1miu62
GvgRezeBo1MwUTAdBgNVHQ4EFgQUdTJpFwBVkgOHGnFJ1cXKbPX+oV0wHwYDVR0j
BBgwFoAUdTJpFwBVkgOHGnFJ1cXKbPX+oV0wDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiEA2CQ4nf6mtV72Kr27PXPaXgj+j/ytA9L6hCAXZecxeAoC
IHW6ge7kbISAGq5TeQGnibCByUjEg0NXs5SCbTiRnJOj
-----END CERTIFICATE-----";
    const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiZcjdCjlbUmK8md0RA4R
5/oxXdvYIqP8zS9VNVyONOxKcgWZuzsq2BlP+9Gku2/vEUhc2MPPShJ02V425ZAM
Ps/yRLQ0In7gCHoQv52n8Hv3HwymhY1Rjsqdjo8bQ+vJHG5l9cyFT1rNRoefk8gh
ArdD50QOy/SucmQ3ITYRXigrcYqUyx4Jbkh7oqPkYhMZFm2mSzcceObKGrJ34RPJ
KYV21+G7v6HMwS8m0Dcq7ck/21lJPAS0kWSWw3yHF8WrXJ2BLfQcQCXOGBeCiqht
qnZZyY9mVqMsWdF+ZnYTfvPsCv6cUGcWCH2GV2efKCH6qUrd39kjg/1VlWw9UHA4
hwIDAQAB
-----END PUBLIC KEY-----
";
    /// The same key.
    const PKCS1_PEM: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAiZcjdCjlbUmK8md0RA4R5/oxXdvYIqP8zS9VNVyONOxKcgWZuzsq
2BlP+9Gku2/vEUhc2MPPShJ02V425ZAMPs/yRLQ0In7gCHoQv52n8Hv3HwymhY1R
jsqdjo8bQ+vJHG5l9cyFT1rNRoefk8ghArdD50QOy/SucmQ3ITYRXigrcYqUyx4J
bkh7oqPkYhMZFm2mSzcceObKGrJ34RPJKYV21+G7v6HMwS8m0Dcq7ck/21lJPAS0
kWSWw3yHF8WrXJ2BLfQcQCXOGBeCiqhtqnZZyY9mVqMsWdF+ZnYTfvPsCv6cUGcW
CH2GV2efKCH6qUrd39kjg/1VlWw9UHA4hwIDAQAB
-----END RSA PUBLIC KEY-----
";
    const RSA_1024: &str = "\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDb+v2cVrrr9JowRbc5Y8FNkR0Z\
8cEqq4Ze6Y+5thT8U82CY5JG59475ZC+aNxN19JWiFZGz8HuKQUTP8+9/rGZAOx6\
cSuTBGJoVtiMKQhFyZV/5OaO9s6FuNDsCIkn8FT8a6hW2zTuKLtrqttdJ4taYacS\
znEXSEymkd1FrXJAHwIDAQAB\
        ";

    /// As people paste them: without line breaks, with spaces in their place, with `\n` in two characters, with
    /// a text before it, with another label, and without the block.
    fn spellings(pem: &str) -> Vec<String> {
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        vec![
            pem.to_owned(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', ""),
            pem.replace('\n', " "),
            pem.replace('\n', "\\n"),
            pem.replace('\n', "\\r\\n"),
            format!("the key of the shop\n{pem}\n"),
            pem.replace("PUBLIC", "CERTAINLY NO"),
            base64.trim_end_matches('=').to_owned(),
            base64,
        ]
    }

    #[test]
    fn a_key_is_the_same_however_it_is_pasted() {
        for spelling in spellings(POINT_PEM) {
            let point = p256(spelling.as_bytes()).expect("a key");
            assert_eq!((point.len(), point[0]), (65, 4), "{spelling}");
            assert!(
                point.ends_with(&[0x96, 0x32, 0x35, 0xf4, 0xc3, 0x69]),
                "{spelling}"
            );
        }
        let keys = spellings(RSA_PEM).into_iter().chain(spellings(PKCS1_PEM));
        for spelling in keys {
            let key = rsa(spelling.as_bytes()).expect("a key");
            let expected: String = PKCS1_PEM
                .lines()
                .filter(|line| !line.starts_with('-'))
                .collect();
            assert_eq!(STANDARD.encode(&key), expected, "{spelling}");
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_what_it_is() {
        let p256_wanted = BadKey::OtherAlgorithm("a key on the curve P-256");
        let rsa_wanted = BadKey::OtherAlgorithm("an RSA key");
        let two = format!("{POINT_PEM}{RSA_PEM}");
        let trailing =
            STANDARD.encode([&der(PKCS1_PEM.as_bytes()).expect("DER")[..], b"a"].concat());
        let cases = [
            ("", BadKey::Empty, BadKey::Empty),
            ("hunter2!", BadKey::NotPem, BadKey::NotPem),
            ("aHVudGVyMg==", BadKey::NotPublic, BadKey::NotPublic),
            ("-----BEGIN PUBLIC KEY-----", BadKey::NotPem, BadKey::NotPem),
            ("-----BEGIN PUBLIC KEY", BadKey::NotPem, BadKey::NotPem),
            (
                "-----BEGIN A-----\n-----END A-----",
                BadKey::Empty,
                BadKey::Empty,
            ),
            (&two, BadKey::SeveralBlocks, BadKey::SeveralBlocks),
            (CERTIFICATE, BadKey::Certificate, BadKey::Certificate),
            // An ECPrivateKey and a PrivateKeyInfo, both without a key.
            ("MAUCAQEEAA==", BadKey::Private, BadKey::Private),
            ("MAUCAQAwAA==", BadKey::Private, BadKey::Private),
            // An empty sequence, and one with an empty sequence.
            ("MAA=", BadKey::NotPublic, BadKey::NotPublic),
            ("MAIwAA==", BadKey::NotPublic, BadKey::NotPublic),
            (COMPRESSED, BadKey::Compressed, rsa_wanted),
            (P384, p256_wanted, rsa_wanted),
            (POINT_PEM, p256_wanted, rsa_wanted),
            (RSA_PEM, p256_wanted, rsa_wanted),
            (PKCS1_PEM, p256_wanted, rsa_wanted),
            (RSA_1024, p256_wanted, BadKey::RsaBits(1_024)),
            (&trailing, BadKey::NotPublic, BadKey::NotPublic),
        ];
        for (secret, by_p256, by_rsa) in cases {
            if secret != POINT_PEM {
                assert_eq!(
                    p256(secret.as_bytes()).expect_err("no key"),
                    by_p256,
                    "{secret}"
                );
            }
            if secret != RSA_PEM && secret != PKCS1_PEM {
                assert_eq!(
                    rsa(secret.as_bytes()).expect_err("no key"),
                    by_rsa,
                    "{secret}"
                );
            }
        }
        assert_eq!(p256(b"\xff").expect_err("no text"), BadKey::NotText);
    }
}

//! RSA PKCS #1 v1.5 with SHA-1 (RFC 8017 8.2.1), which ring verifies and does not make. It plays a vendor with a pair of
//! the user's own and proves nobody: the time that it takes depends on the key.

use sha1::{Digest, Sha1};
use spki::der::{
    Decode as _, Reader as _, SliceReader,
    asn1::{AnyRef, OctetStringRef, UintRef},
};
use std::cmp::Ordering;
use zeroize::Zeroizing;

/// What stands before a SHA-1 in what is signed: its `DigestInfo` (RFC 8017 9.2).
const DIGEST_INFO: [u8; 15] = [
    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14,
];

/// Bytes of a SHA-1.
const HASH_BYTES: usize = 20;

const LIMB_BYTES: usize = 8;

/// A private key: modulus and private exponent.
pub(super) struct Key {
    /// Its limbs, the least significant first.
    modulus: Vec<u64>,
    modulus_bytes: usize,
    /// Big-endian.
    exponent: Zeroizing<Vec<u8>>,
}

impl Key {
    /// Of a key in PKCS #8 (RFC 5958) that ring has read, so that its numbers fit each other; none if it is no such key.
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let mut reader = SliceReader::new(der).ok()?;
        let inner = reader
            .sequence(|outer| {
                UintRef::decode(outer)?;
                AnyRef::decode(outer)?;
                let key = <&OctetStringRef>::decode(outer)?;
                while !outer.is_finished() {
                    AnyRef::decode(outer)?;
                }
                Ok::<_, spki::der::Error>(key)
            })
            .ok()?;
        // RSAPrivateKey (RFC 8017 A.1.2): version, modulus, public and private exponent, and what is not needed here.
        let (modulus, exponent) = SliceReader::new(inner.as_bytes())
            .ok()?
            .sequence(|numbers| {
                UintRef::decode(numbers)?;
                let modulus = UintRef::decode(numbers)?;
                UintRef::decode(numbers)?;
                let exponent = UintRef::decode(numbers)?;
                while !numbers.is_finished() {
                    AnyRef::decode(numbers)?;
                }
                Ok::<_, spki::der::Error>((modulus, exponent))
            })
            .ok()?;
        let bytes = modulus.as_bytes();
        let odd = bytes.last().is_some_and(|byte| byte % 2 == 1);
        let room = bytes.len() >= DIGEST_INFO.len() + HASH_BYTES + 11;
        (odd && room).then(|| Self {
            modulus: limbs(bytes),
            modulus_bytes: bytes.len(),
            exponent: Zeroizing::new(exponent.as_bytes().to_vec()),
        })
    }

    /// The signature over a message, as long as the modulus.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut encoded = vec![0xff; self.modulus_bytes];
        encoded[..2].copy_from_slice(&[0, 1]);
        let hash = self.modulus_bytes - HASH_BYTES;
        let info = hash - DIGEST_INFO.len();
        encoded[info - 1] = 0;
        encoded[info..hash].copy_from_slice(&DIGEST_INFO);
        encoded[hash..].copy_from_slice(&Sha1::digest(message));

        let field = Field::new(&self.modulus);
        let power = field.power(&limbs(&encoded), &self.exponent);
        let bytes: Vec<u8> = power
            .iter()
            .rev()
            .flat_map(|limb| limb.to_be_bytes())
            .collect();
        bytes[bytes.len() - self.modulus_bytes..].to_vec()
    }
}

/// Big-endian bytes as limbs.
fn limbs(bytes: &[u8]) -> Vec<u64> {
    let limb = |part: &[u8]| {
        part.iter()
            .fold(0, |limb, byte| (limb << 8) | u64::from(*byte))
    };
    bytes.rchunks(LIMB_BYTES).map(limb).collect()
}

/// Numbers below an odd modulus, multiplied as Montgomery does.
struct Field<'m> {
    modulus: &'m [u64],
    /// What makes a limb that is a multiple of it vanish: the negative inverse of the modulus's last limb.
    inverse: u64,
}

impl<'m> Field<'m> {
    fn new(modulus: &'m [u64]) -> Self {
        // Newton: each step doubles the number of right bits, of which an odd number has three for itself.
        let mut inverse = modulus[0];
        for _ in 0..5 {
            let wrong = modulus[0].wrapping_mul(inverse);
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(wrong));
        }
        Self {
            modulus,
            inverse: inverse.wrapping_neg(),
        }
    }

    /// `base` to the power of a big-endian exponent.
    fn power(&self, base: &[u64], exponent: &[u8]) -> Vec<u64> {
        let square = self.radix_squared();
        let base = self.product(base, &square);
        let mut one = vec![0; self.modulus.len()];
        one[0] = 1;
        let mut power = Zeroizing::new(self.product(&one, &square));
        for bit in (0..exponent.len() * 8).map(|bit| (exponent[bit / 8] >> (7 - bit % 8)) & 1) {
            power = Zeroizing::new(self.product(&power, &power));
            if bit == 1 {
                power = Zeroizing::new(self.product(&power, &base));
            }
        }
        self.product(&power, &one)
    }

    /// The square of two to the power of the modulus's limbs' bits.
    fn radix_squared(&self) -> Vec<u64> {
        let mut number = vec![0; self.modulus.len()];
        number[0] = 1;
        for _ in 0..2 * 64 * self.modulus.len() {
            let mut over = 0;
            for limb in &mut number {
                (*limb, over) = ((*limb << 1) | over, *limb >> 63);
            }
            self.reduce(&mut number, over);
        }
        number
    }

    /// The product of two numbers, divided by two to the power of the limbs' bits.
    fn product(&self, one: &[u64], other: &[u64]) -> Vec<u64> {
        let length = self.modulus.len();
        let mut sum = vec![0; length];
        let mut over = 0;
        for digit in other {
            let carry = add_product(&mut sum, one, *digit);
            let (high, first) = split(u128::from(over) + u128::from(carry));
            // Made a multiple of a limb, which is then taken away.
            let factor = sum[0].wrapping_mul(self.inverse);
            let carry = add_product(&mut sum, self.modulus, factor);
            let (more, last) = split(u128::from(first) + u128::from(carry));
            sum.copy_within(1.., 0);
            sum[length - 1] = last;
            over = high + more;
        }
        self.reduce(&mut sum, over);
        sum
    }

    /// Takes the modulus away once, if that is possible; `over` is the limb above.
    fn reduce(&self, number: &mut [u64], over: u64) {
        let below = || number.iter().rev().cmp(self.modulus.iter().rev()) == Ordering::Less;
        if over == 0 && below() {
            return;
        }
        let mut borrow = false;
        for (limb, taken) in number.iter_mut().zip(self.modulus) {
            let (less, first) = limb.overflowing_sub(*taken);
            let (less, second) = less.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (less, first || second);
        }
    }
}

/// Adds `number` times `digit`, and says what is carried.
fn add_product(sum: &mut [u64], number: &[u64], digit: u64) -> u64 {
    let mut carry = 0;
    for (limb, factor) in sum.iter_mut().zip(number) {
        let product = u128::from(*factor) * u128::from(digit);
        (carry, *limb) = split(u128::from(*limb) + product + u128::from(carry));
    }
    carry
}

/// The upper and the lower half.
#[expect(clippy::cast_possible_truncation, reason = "halves are what is wanted")]
fn split(number: u128) -> (u64, u64) {
    ((number >> 64) as u64, number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::key;
    use ring::signature::{
        RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RsaKeyPair, UnparsedPublicKey,
    };

    /// ring verifies what it does not make.
    #[test]
    fn ring_takes_what_is_signed() {
        for pem in [
            include_str!("tests/rsa.pem"),
            include_str!("../cli/send/tests/rsa.pem"),
        ] {
            let der = key::der(pem.as_bytes()).expect("PEM");
            let pair = RsaKeyPair::from_pkcs8(&der).expect("a key");
            let public = UnparsedPublicKey::new(
                &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                pair.public().as_ref().to_vec(),
            );
            let key = Key::from_pkcs8(&der).expect("the same key");
            for length in [0, 1, 600, 70_000] {
                let message = vec![b'a'; length];
                let mut signature = key.sign(&message);
                public.verify(&message, &signature).expect("right");
                signature[0] ^= 1;
                assert!(public.verify(&message, &signature).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        let der = key::der(include_bytes!("tests/rsa.pem")).expect("PEM");
        for cut in [0, 1, 30, der.len() - 1] {
            assert!(Key::from_pkcs8(&der[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn powers_of_small_numbers() {
        for (modulus, base, exponent, expected) in [
            (7, 3, 5, 5),
            (0xffff_ffff_ffff_ffc5, 2, 64, 59),
            (u64::MAX, u64::MAX - 1, 2, 1),
            (1_000_003, 999_999, 0, 1),
        ] {
            let power = Field::new(&[modulus]).power(&[base], &[exponent]);
            assert_eq!(
                power,
                [expected],
                "{base} to the {exponent} below {modulus}"
            );
        }
    }
}

//! Numbers: read as the nearest double, written by ECMAScript's `Number::toString` (ECMA-262 6.1.6.1.20).

use super::{NotJson, Writer};

/// An integer of so many digits is exact in a double and written as it stands.
const EXACT_DIGITS: usize = 15;

/// The standard library reads a literal of this length exactly, whatever its digits and exponent. It stops counting
/// exponents somewhere above 65,536, which matters only if as many digits can make up for them.
const DIRECT_LEN: usize = 1_024;

/// More digits than these can tell a double from its neighbours only by not being zero: the exact decimal text of the
/// middle between two doubles has at most 767.
const SIGNIFICANT_DIGITS: usize = 800;

impl Writer<'_> {
    pub(super) fn number(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = self.integer()?;
        let is_integer = !matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let literal = &self.body[start..self.at];
        if is_integer && digits <= EXACT_DIGITS && literal != b"-0" {
            self.out.extend_from_slice(literal);
        } else {
            self.write_double(double(literal));
        }
        Ok(())
    }

    /// The whole part: no zero before other digits. Returns its length.
    fn integer(&mut self) -> Result<usize, NotJson> {
        let zero = self.peek() == Some(b'0');
        let digits = self.digits()?;
        if zero && digits > 1 {
            self.at -= digits - 1;
            return Err(self.wrong("a digit after a leading zero"));
        }
        Ok(digits)
    }

    /// One digit or more. Returns how many.
    fn digits(&mut self) -> Result<usize, NotJson> {
        let rest = &self.body[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 {
            return Err(self.wrong("a digit is missing"));
        }
        Ok(digits)
    }

    /// What is too large for a double is infinite, and `JSON.stringify` writes `null` for that.
    fn write_double(&mut self, value: f64) {
        let mut buffer = ryu_js::Buffer::new();
        let text = if value.is_finite() {
            buffer.format_finite(value)
        } else {
            "null"
        };
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// The nearest double of a number that JSON allows.
fn double(literal: &[u8]) -> f64 {
    let text = std::str::from_utf8(literal).expect("a number is ASCII");
    if text.len() <= DIRECT_LEN {
        text.parse().expect("JSON's numbers are Rust's")
    } else {
        shortened(text).parse().expect("digits and an exponent")
    }
}

/// A literal that means the same double, with a bounded number of digits.
fn shortened(text: &str) -> String {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = whole.bytes().chain(fraction.bytes()).peekable();
    let mut zeros = 0;
    while digits.next_if_eq(&b'0').is_some() {
        zeros += 1;
    }
    let mut kept: String = digits
        .by_ref()
        .take(SIGNIFICANT_DIGITS)
        .map(char::from)
        .collect();
    if digits.any(|digit| digit != b'0') {
        kept.push('1');
    }
    if kept.is_empty() {
        return format!("{sign}0");
    }
    // The point stands before the first digit that is kept.
    let point = signed(whole.len()) - signed(zeros);
    let exponent = saturating(exponent).saturating_add(point);
    format!("{sign}0.{kept}e{exponent}")
}

/// The number of an exponent, which may have any number of digits.
fn saturating(exponent: &str) -> i64 {
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    // A quarter of the range is beyond every text that fits into memory.
    let size = digits.bytes().fold(0_i64, |size, digit| {
        (size.saturating_mul(10))
            .saturating_add(i64::from(digit - b'0'))
            .min(i64::MAX / 4)
    });
    sign * size
}

fn signed(len: usize) -> i64 {
    i64::try_from(len).expect("no text is longer than i64::MAX")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers whose exponent and length cancel out, and long ways to write ordinary ones.
    #[test]
    fn long_literals_mean_the_nearest_double() {
        let zeros = |count| "0".repeat(count);
        let cases = [
            (format!("1{}", zeros(2_000)), f64::INFINITY),
            (format!("-1{}", zeros(2_000)), f64::NEG_INFINITY),
            (format!("1{}e-2000", zeros(2_000)), 1.0),
            (format!("25{}E-1000001", zeros(1_000_000)), 2.5),
            (format!("0.{}1e1000001", zeros(1_000_000)), 1.0),
            (format!("-0.{}75e+1000000", zeros(1_000_000)), -0.75),
            (format!("0.{}", zeros(5_000)), 0.0),
            (format!("0.{}e99999", zeros(5_000)), 0.0),
            (format!("1e{}5", zeros(5_000)), 1e5),
            (format!("1e-{}5", zeros(5_000)), 1e-5),
            (format!("1e{}", "9".repeat(5_000)), f64::INFINITY),
            (format!("1e-{}", "9".repeat(5_000)), 0.0),
            (format!("0e{}", "9".repeat(5_000)), 0.0),
            // The middle between 2^53 and the next double is even, and anything above it is not.
            (
                format!("9007199254740993.{}", zeros(5_000)),
                9_007_199_254_740_992.0,
            ),
            (
                format!("9007199254740993.{}1", zeros(5_000)),
                9_007_199_254_740_994.0,
            ),
            (format!("{}.{}", "9".repeat(16), "9".repeat(5_000)), 1e16),
        ];
        for (literal, expected) in cases {
            let found = double(literal.as_bytes());
            let shown = &literal[..20];
            assert_eq!(found.to_bits(), expected.to_bits(), "{shown}... is {found}");
        }
        assert_eq!(
            double(format!("-0.{}", zeros(5_000)).as_bytes()).to_bits(),
            (-0.0_f64).to_bits()
        );
    }

    proptest! {
        #[test]
        fn shortening_changes_nothing(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?") {
            let direct: f64 = text.parse().expect("a number");
            let short: f64 = shortened(&text).parse().expect("a number");
            prop_assert_eq!(direct.to_bits(), short.to_bits(), "{}", shortened(&text));
        }

        #[test]
        fn middles_between_doubles_are_kept(bits in 0..f64::INFINITY.to_bits() - 1, above in any::<bool>()) {
            let (low, high) = (f64::from_bits(bits), f64::from_bits(bits + 1));
            let exact = |value: f64| format!("{value:.1080}");
            prop_assert_eq!(double(exact(low).as_bytes()).to_bits(), low.to_bits());
            let just = if above { "1" } else { "" };
            let middle = format!("{}{}{just}", middle(&exact(low), &exact(high)), "0".repeat(2_000));
            let even = if bits % 2 == 0 { low } else { high };
            let expected = if above { high } else { even };
            prop_assert_eq!(double(middle.as_bytes()).to_bits(), expected.to_bits());
        }
    }

    /// The middle of two positive decimal numbers with as many digits behind the point.
    fn middle(low: &str, high: &str) -> String {
        let width = low.len().max(high.len());
        let (low, high) = (format!("{low:0>width$}"), format!("{high:0>width$}"));
        let mut sum = Vec::new();
        let mut carry = 0;
        for (low, high) in low.bytes().zip(high.bytes()).rev() {
            if low == b'.' {
                sum.push(b'.');
                continue;
            }
            let digits = low - b'0' + high - b'0' + carry;
            sum.push(b'0' + digits % 10);
            carry = digits / 10;
        }
        sum.push(b'0' + carry);
        let mut rest = 0;
        let halve = |digit: u8| {
            if digit == b'.' {
                return '.';
            }
            let value = rest * 10 + digit - b'0';
            rest = value % 2;
            char::from(b'0' + value / 2)
        };
        let mut halved: String = sum.into_iter().rev().map(halve).collect();
        if rest == 1 {
            halved.push('5');
        }
        halved
    }
}

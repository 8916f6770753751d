//! Strings: plain runs are copied at once, escapes are written as `JSON.stringify` writes them (ECMA-262 25.5.2.4).

use super::{NotJson, Writer};

/// How U+FFFD stands for bytes that are no UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

impl Writer<'_> {
    /// A string with its quotes.
    pub(super) fn string(&mut self) -> Result<(), NotJson> {
        self.copy();
        loop {
            self.run();
            match self.peek() {
                Some(b'"') => {
                    self.copy();
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.wrong("a control character in a string")),
            }
        }
    }

    /// Everything up to the next byte that ends the string, escapes, or must not be there. These are ASCII, so a run
    /// ends between characters, however broken.
    fn run(&mut self) {
        let rest = &self.body[self.at..];
        let run = &rest[..plain_len(rest)];
        self.at += run.len();
        if self.is_utf8 {
            self.out.extend_from_slice(run);
            return;
        }
        for chunk in run.utf8_chunks() {
            self.out.extend_from_slice(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                self.out.extend_from_slice(REPLACEMENT);
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        match self.peek() {
            Some(short @ (b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't')) => {
                self.out.extend_from_slice(&[b'\\', short]);
                self.at += 1;
            }
            Some(b'/') => self.copy(),
            Some(b'u') => {
                self.at += 1;
                let unit = self.unit()?;
                self.write_unit(unit);
            }
            _ => return Err(self.wrong("an unknown escape")),
        }
        Ok(())
    }

    /// Four hex digits: a UTF-16 code unit.
    fn unit(&mut self) -> Result<u16, NotJson> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(hex_digit);
            unit = unit << 4 | digit.ok_or_else(|| self.wrong("`\\u` without four hex digits"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn write_unit(&mut self, unit: u16) {
        let code = self.paired(unit).unwrap_or(u32::from(unit));
        match (code, char::from_u32(code)) {
            (0x08, _) => self.out.extend_from_slice(b"\\b"),
            (0x09, _) => self.out.extend_from_slice(b"\\t"),
            (0x0a, _) => self.out.extend_from_slice(b"\\n"),
            (0x0c, _) => self.out.extend_from_slice(b"\\f"),
            (0x0d, _) => self.out.extend_from_slice(b"\\r"),
            (0x22, _) => self.out.extend_from_slice(b"\\\""),
            (0x5c, _) => self.out.extend_from_slice(b"\\\\"),
            // A surrogate without its other half is no character.
            (0x00..0x20, _) | (_, None) => self.write_escaped(unit),
            (_, Some(plain)) => {
                let mut utf8 = [0; 4];
                self.out
                    .extend_from_slice(plain.encode_utf8(&mut utf8).as_bytes());
            }
        }
    }

    /// The character that `high` makes with the escape behind it, which is then read too. Only an escape can be a
    /// low surrogate: as bytes it would not be UTF-8.
    fn paired(&mut self, high: u16) -> Option<u32> {
        if !(0xd800..0xdc00).contains(&high) {
            return None;
        }
        let escape = self.body.get(self.at..self.at + 6)?;
        let low = escape
            .strip_prefix(b"\\u")?
            .iter()
            .try_fold(0, |low: u16, byte| Some(low << 4 | hex_digit(*byte)?))?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        self.at += escape.len();
        Some(0x1_0000 + (u32::from(high - 0xd800) << 10 | u32::from(low - 0xdc00)))
    }

    fn write_escaped(&mut self, unit: u16) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.out.extend_from_slice(b"\\u");
        let digits = [12, 8, 4, 0].map(|shift| DIGITS[usize::from(unit >> shift & 0xf)]);
        self.out.extend_from_slice(&digits);
    }
}

fn hex_digit(byte: u8) -> Option<u16> {
    Some(match byte {
        b'0'..=b'9' => u16::from(byte - b'0'),
        b'a'..=b'f' => u16::from(byte - b'a') + 10,
        b'A'..=b'F' => u16::from(byte - b'A') + 10,
        _ => return None,
    })
}

/// How many bytes at the beginning are none of `"`, `\` and control characters; eight at a time while it can.
fn plain_len(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let skipped = words
        .iter()
        .take_while(|word| all_plain(u64::from_le_bytes(**word)))
        .count()
        * 8;
    let rest = &bytes[skipped..];
    let len = rest
        .iter()
        .position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
    skipped + len.unwrap_or(rest.len())
}

/// Whether all eight bytes are plain. A subtraction that borrows sets the high bit of the first byte that is not, and
/// perhaps of bytes above it: never of a word in which all are.
fn all_plain(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    const SPACES: u64 = ONES * 0x20;
    const QUOTES: u64 = ONES * 0x22;
    const BACKSLASHES: u64 = ONES * 0x5c;
    let below = |word: u64, limits: u64| word.wrapping_sub(limits) & !word;
    let control = below(word, SPACES);
    let quote = below(word ^ QUOTES, ONES);
    let backslash = below(word ^ BACKSLASHES, ONES);
    (quote | backslash | control) & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_at_every_place_ends_a_run_or_not() {
        for byte in 0..=u8::MAX {
            for place in 0..24 {
                let mut text = [b'x'; 24];
                text[place] = byte;
                let plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
                let expected = if plain { text.len() } else { place };
                assert_eq!(plain_len(&text), expected, "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn runs_are_as_long_as_they_look(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
            prop_assert_eq!(plain_len(&text), text.iter().take_while(|byte| plain(byte)).count());
        }
    }
}

//! Documents by the grammar of JSON, with everything in them that one implementation may read or write otherwise than
//! another: most are valid, some have been damaged afterwards.

use super::traps::{DEBRIS, NAMES, NOT_UTF_8, NUMBERS, TEXTS};
use fastrand::Rng;

/// Document number `index` of a seed.
pub(super) fn document(seed: u64, index: u64) -> Vec<u8> {
    let mut documents = Documents {
        rng: Rng::with_seed(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        out: Vec::new(),
        budget: 0,
    };
    documents.budget = documents.rng.usize(1..40);
    let roll = documents.rng.u32(0..100);
    match roll {
        0..3 => documents.nest(),
        3..6 => documents.wide(),
        _ => documents.value(),
    }
    if roll >= 75 {
        for _ in 0..documents.rng.usize(1..3) {
            documents.damage();
        }
    }
    documents.out
}

struct Documents {
    rng: Rng,
    out: Vec<u8>,
    /// How many more values the document should have.
    budget: usize,
}

impl Documents {
    fn value(&mut self) {
        self.space();
        self.budget = self.budget.saturating_sub(1);
        match self.rng.u32(0..if self.budget == 0 { 60 } else { 160 }) {
            0..30 => self.number(),
            30..54 => self.string(),
            54..60 => self.one_of(&[b"true", b"false", b"null"]),
            60..120 => self.object(),
            _ => self.array(),
        }
        self.space();
    }

    fn object(&mut self) {
        let count = self.rng.usize(0..8);
        // Few different names make many repeated ones.
        let names = self.rng.usize(1..=NAMES.len());
        self.list(*b"{}", count, |documents| {
            documents.space();
            documents.name(names);
            documents.space();
            documents.out.push(b':');
            documents.value();
        });
    }

    fn array(&mut self) {
        let count = self.rng.usize(0..6);
        self.list(*b"[]", count, Self::value);
    }

    fn list(&mut self, [open, close]: [u8; 2], count: usize, mut item: impl FnMut(&mut Self)) {
        self.out.push(open);
        for place in 0..count {
            if place > 0 {
                self.out.push(b',');
            }
            item(self);
        }
        self.space();
        self.out.push(close);
    }

    fn name(&mut self, names: usize) {
        match self.rng.u32(0..10) {
            0 => self.string(),
            1 => {
                let bits = self.rng.u32(1..35);
                let index = self.rng.u64(0..1 << bits);
                self.quoted(&index.to_string());
            }
            _ => {
                let name = NAMES[self.rng.usize(..names)];
                self.quoted(name);
            }
        }
    }

    /// A plain text, of which some characters may be escaped without need.
    fn quoted(&mut self, text: &str) {
        let escape = self.rng.u32(0..5) == 0;
        self.out.push(b'"');
        for unit in text.chars() {
            if escape && self.rng.bool() {
                let code = u32::from(unit);
                let escaped = if self.rng.bool() {
                    format!("\\u{code:04x}")
                } else {
                    format!("\\u{code:04X}")
                };
                self.out.extend(escaped.bytes());
            } else {
                self.out.extend(unit.to_string().bytes());
            }
        }
        self.out.push(b'"');
    }

    fn string(&mut self) {
        self.out.push(b'"');
        for _ in 0..self.rng.usize(0..12) {
            match self.rng.u32(0..40) {
                0 => self.one_of(&NOT_UTF_8),
                1..4 => self.character(),
                4..10 => self.plain(),
                10..14 => {
                    let unit = self.rng.u16(..);
                    self.out.extend(format!("\\u{unit:04x}").bytes());
                }
                _ => self.one_of(&TEXTS),
            }
        }
        self.out.push(b'"');
    }

    /// A character of any kind, as it is.
    fn character(&mut self) {
        let character = self.rng.char(' '..);
        if !matches!(character, '"' | '\\') {
            self.out.extend(character.to_string().bytes());
        }
    }

    /// A run of ordinary text.
    fn plain(&mut self) {
        for _ in 0..self.rng.usize(0..30) {
            self.out.push(self.rng.alphanumeric() as u8);
        }
    }

    fn number(&mut self) {
        let text = match self.rng.u32(0..8) {
            0..3 => (*self.rng.choice(&NUMBERS).expect("there are some")).to_owned(),
            3 => self.rng.i64(..).to_string(),
            4 => format!("{:e}", self.double()),
            5 => self.neighbour(),
            _ => self.decimal(),
        };
        self.out.extend(text.bytes());
    }

    /// Any finite double.
    fn double(&mut self) -> f64 {
        loop {
            let double = f64::from_bits(self.rng.u64(..));
            if double.is_finite() {
                return double;
            }
        }
    }

    /// All the digits of a double, with another after them: on the brink of the next one, or exactly there.
    fn neighbour(&mut self) -> String {
        let exact = format!(
            "{:.1100}",
            f64::from_bits(self.double().to_bits() & !(1 << 62) | 0x3000 << 48)
        );
        let end = self.rng.usize(20..exact.len());
        let digit = self.rng.u8(0..10);
        format!("{}{digit}", &exact[..end])
    }

    fn decimal(&mut self) -> String {
        let mut text = String::new();
        if self.rng.bool() {
            text.push('-');
        }
        let long = if self.rng.u32(0..50) == 0 { 1_500 } else { 24 };
        let digits = self.digits(long);
        text.push_str(match digits.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        });
        if self.rng.bool() {
            text.push('.');
            text.push_str(&self.digits(long));
        }
        if self.rng.bool() {
            text.push(if self.rng.bool() { 'e' } else { 'E' });
            text.push_str(["", "+", "-"][self.rng.usize(..3)]);
            text.push_str(&self.digits(3));
        }
        text
    }

    fn digits(&mut self, most: usize) -> String {
        let zeros = self.rng.bool();
        let count = self.rng.usize(1..=most);
        (0..count)
            .map(|_| {
                if zeros && self.rng.bool() {
                    '0'
                } else {
                    self.rng.digit(10)
                }
            })
            .collect()
    }

    /// Many levels and little in them.
    fn nest(&mut self) {
        let levels: Vec<bool> = (0..self.rng.usize(1..1_000))
            .map(|_| self.rng.bool())
            .collect();
        for array in &levels {
            self.out.extend(if *array {
                b"[".as_slice()
            } else {
                b"{\"1\":0,\"a\":0,\"0\":"
            });
        }
        self.number();
        for array in levels.iter().rev() {
            self.out.extend(if *array {
                b"]".as_slice()
            } else {
                b",\"a\":1}"
            });
        }
    }

    /// One object of many members.
    fn wide(&mut self) {
        let count = self.rng.usize(1..300);
        self.list(*b"{}", count, |documents| {
            let prefix = ["", "k"][documents.rng.usize(..2)];
            let name = format!("{prefix}{}", documents.rng.usize(..count));
            documents.quoted(&name);
            documents.out.push(b':');
            documents.number();
        });
    }

    fn space(&mut self) {
        while self.rng.u32(0..8) == 0 {
            self.one_of(&[b" ", b"\t", b"\r", b"\n"]);
        }
    }

    fn one_of(&mut self, texts: &[&[u8]]) {
        self.out
            .extend(*self.rng.choice(texts).expect("there are some"));
    }

    fn damage(&mut self) {
        let at = self.rng.usize(..=self.out.len());
        let end = self.out.len().min(at + self.rng.usize(0..4));
        match self.rng.u32(0..6) {
            0 => self.out.truncate(at),
            1 => drop(self.out.drain(at..end)),
            2 => {
                let copy = self.out[at..end].to_vec();
                self.out.splice(at..at, copy);
            }
            3 if at < self.out.len() => self.out[at] = self.rng.u8(..),
            _ => {
                let debris = *self.rng.choice(&DEBRIS).expect("there is some");
                self.out.splice(at..end, debris.iter().copied());
            }
        }
    }
}

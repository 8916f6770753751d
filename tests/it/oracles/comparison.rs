//! One library beside one preset: requests signed by either side, whole and changed, put before both.

use super::bodies::Content;
use super::library::{Keys, Libraries, Library};
use super::ours::Ours;
use super::request::Request;
use super::row::{Query, Row, Secret};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fastrand::Rng;
use sha2::{Digest as _, Sha256};
use std::ops::Range;

/// When requests are signed: all timestamps of these years are written with the same number of digits.
const TIMES: Range<u64> = 1_650_000_000..1_990_000_000;
/// Disagreements of one row that are told; a wrong scheme has hundreds.
const TOLD: usize = 4;

/// Who signed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    Hookgate,
    Library,
}

/// What was changed after a request was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Body,
    Signature,
    Timestamp,
    Query,
}

/// Both verdicts; `Err` is what the library stumbled over, which for a vendor's app is a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdicts {
    pub(super) ours: bool,
    pub(super) theirs: Result<bool, String>,
}

/// One library beside one preset, with one secret.
pub(super) struct Comparison<'a> {
    pub(super) row: &'a Row,
    library: &'a Library,
    libraries: &'a mut Libraries,
    ours: Ours,
    keys: Keys,
    pub(super) rng: Rng,
    asked: usize,
    findings: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(
        row: &'a Row,
        library: &'a Library,
        libraries: &'a mut Libraries,
        mut rng: Rng,
    ) -> Result<Self, String> {
        let pair = row.secret == Secret::Pair;
        assert_eq!(library.keys, pair, "{}: key pairs", row.oracle);
        let keys = if pair {
            libraries.keys(row.oracle)
        } else {
            let secret = secret(row.secret, &mut rng);
            Keys {
                signing: secret.clone(),
                verifying: secret,
            }
        };
        Ok(Self {
            ours: Ours::load(row, &keys)?,
            row,
            library,
            libraries,
            keys,
            rng,
            asked: 0,
            findings: Vec::new(),
        })
    }

    /// Compares over so many bodies. How many requests were put before both, and where they disagree.
    pub(super) fn run(mut self, bodies: usize) -> (usize, Vec<String>) {
        for number in 0..bodies {
            self.one(number);
        }
        let more = self.findings.len().saturating_sub(TOLD);
        self.findings.truncate(TOLD);
        if more > 0 {
            self.findings
                .push(format!("{}: and {more} more", self.row.oracle));
        }
        (self.asked, self.findings)
    }

    fn one(&mut self, number: usize) {
        let now = self.rng.u64(TIMES);
        let body = self.row.bodies.make(&mut self.rng, number, now);
        let content = Content::of(&body);
        let foreign = self.row.foreign.iter().find(|(what, _)| *what == content);
        let request = self.request(body);
        for signer in [Signer::Hookgate, Signer::Library] {
            let asked = match signer {
                Signer::Hookgate => self.row.unsent.is_none(),
                Signer::Library => self.library.signs && foreign.is_none(),
            };
            if !asked {
                continue;
            }
            let what = format!("{signer:?} signed body {number} ({content:?})");
            match self.sign(signer, &request, now) {
                Ok(signed) if foreign.is_some() => {
                    let verdicts = self.verdicts(&signed, now);
                    let good = verdicts.ours && verdicts.theirs != Ok(true);
                    self.expect(
                        good,
                        &what,
                        "as it is, which is foreign to the library",
                        &verdicts,
                    );
                }
                Ok(signed) => self.whole_and_changed(&what, &signed, now),
                Err(why) => self.tell(&format!("{what}: {why}")),
            }
        }
    }

    fn whole_and_changed(&mut self, what: &str, signed: &Request, now: u64) {
        let verdicts = self.verdicts(signed, now);
        let good = verdicts.ours && verdicts.theirs == Ok(true);
        self.expect(good, what, "as it is", &verdicts);
        if !good {
            // To change what one of them refuses anyway would say nothing.
            return;
        }
        for change in self.changes() {
            let changed = self.changed(change, signed);
            let verdicts = self.verdicts(&changed, now);
            let theirs = verdicts.theirs == Ok(true);
            let open = change == Change::Body && self.row.open_body.is_some();
            let good = if open {
                verdicts.ours == theirs
            } else {
                !verdicts.ours && !theirs
            };
            self.expect(good, what, &format!("with {change:?} changed"), &verdicts);
        }
    }

    /// The request before it is signed.
    pub(super) fn request(&mut self, body: Bytes) -> Request {
        let mut request = Request::new(body);
        request.set("content-type", self.row.bodies.content_type());
        for (name, value) in self.row.headers {
            request.set(name, value);
        }
        request.query = match self.row.query {
            Query::None => String::new(),
            Query::Pairs => format!("b={}&a=x%20y&empty=&a=%C3%A9", self.rng.u32(..)),
            Query::BodySha256 => {
                format!("bodySHA256={}", hex::encode(Sha256::digest(&request.body)))
            }
        };
        request
    }

    /// A body that both sides can be given.
    pub(super) fn body(&mut self, now: u64) -> Bytes {
        let (row, mut number) = (self.row, 3);
        loop {
            let body = row.bodies.make(&mut self.rng, number, now);
            if Content::of(&body) == Content::Ascii {
                return body;
            }
            number += 1;
        }
    }

    pub(super) fn sign(
        &mut self,
        signer: Signer,
        request: &Request,
        now: u64,
    ) -> Result<Request, String> {
        match signer {
            Signer::Hookgate => self.ours.sign(request, now),
            Signer::Library => {
                let mut signed = request.clone();
                let key = &self.keys.signing;
                self.libraries
                    .sign(self.row.oracle, key, &mut signed, now)?;
                Ok(signed)
            }
        }
    }

    /// The library if it signs, else hookgate.
    pub(super) fn signer(&self) -> Signer {
        if self.library.signs {
            Signer::Library
        } else {
            Signer::Hookgate
        }
    }

    pub(super) fn verdicts(&mut self, request: &Request, now: u64) -> Verdicts {
        self.asked += 1;
        let (oracle, key) = (self.row.oracle, &self.keys.verifying);
        Verdicts {
            ours: self.ours.verify(request, now),
            theirs: self.libraries.verify(oracle, key, request, now),
        }
    }

    fn changes(&self) -> impl Iterator<Item = Change> + use<> {
        let row = *self.row;
        let applies = move |change: &Change| match change {
            Change::Body | Change::Signature => true,
            Change::Timestamp => row.timestamp.is_some(),
            Change::Query => row.query != Query::None,
        };
        [
            Change::Body,
            Change::Signature,
            Change::Timestamp,
            Change::Query,
        ]
        .into_iter()
        .filter(applies)
    }

    fn changed(&mut self, change: Change, signed: &Request) -> Request {
        let mut changed = signed.clone();
        let rng = &mut self.rng;
        match change {
            // A signature has a change of its own: in hex, another case is none.
            Change::Body => {
                let kept = signed.span(self.row.signature);
                changed.body = one_bit_off(&signed.body, &kept, rng);
            }
            Change::Signature => changed.edit(self.row.signature, |text| {
                let at = significant(text, rng);
                text[at] ^= 1;
            }),
            Change::Timestamp => {
                let place = self
                    .row
                    .timestamp
                    .expect("asked for only where there is one");
                changed.edit(place, |text| *text.last_mut().expect("not empty") ^= 1);
            }
            Change::Query => changed.query.push_str("&more=1"),
        }
        changed
    }

    fn expect(&mut self, good: bool, what: &str, how: &str, verdicts: &Verdicts) {
        if !good {
            self.tell(&format!("{what}, {how}: {verdicts:?}"));
        }
    }

    fn tell(&mut self, finding: &str) {
        let (oracle, library) = (self.row.oracle, &self.library.name);
        self.findings
            .push(format!("{oracle} ({library}): {finding}"));
    }
}

/// One bit of one byte changed, outside of what is kept; an empty body gets a byte.
fn one_bit_off(body: &Bytes, kept: &Range<usize>, rng: &mut Rng) -> Bytes {
    let mut changed = body.to_vec();
    if changed.is_empty() {
        changed.push(b'x');
    } else {
        let at = rng.usize(..changed.len() - kept.len());
        let at = if at < kept.start { at } else { at + kept.len() };
        changed[at] ^= 1 << rng.u8(..8);
    }
    changed.into()
}

/// A place among the last characters of a signature, where each of them counts: in base64 padding does not, nor does
/// all of the character before it.
fn significant(text: &[u8], rng: &mut Rng) -> usize {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let end = text.len() - padding - 1;
    rng.usize(end - 20..end)
}

/// A new secret.
fn secret(kind: Secret, rng: &mut Rng) -> String {
    let mut bytes = |length: Range<usize>| -> Vec<u8> {
        let length = rng.usize(length);
        (0..length).map(|_| rng.u8(..)).collect()
    };
    match kind {
        Secret::Hex => hex::encode_upper(bytes(32..33)),
        Secret::Base64 => STANDARD.encode(bytes(32..33)),
        Secret::Whsec => format!("whsec_{}", STANDARD.encode(bytes(24..65))),
        Secret::Text64 => hex::encode(bytes(32..33)),
        // Every printable character but the space, which a YAML or a library might trim.
        Secret::Text | Secret::Named(_) => {
            let length = rng.usize(16..64);
            (0..length).map(|_| rng.char('!'..='~')).collect()
        }
        Secret::Pair => unreachable!("the library makes the keys"),
    }
}

//! The order of an object's members (ECMA-262 10.1.11.1): array indices first, in order of number, then the others as
//! they first came. Of a repeated name the last value counts, at the place of the first.
//!
//! Names are compared as they were written: `JSON.stringify` writes two names alike only if they are the same. An
//! object that must be rearranged is noted when it ends, and all are rearranged in one go when the document has
//! ended, so that a text is not moved once for each object around it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// Up to so many names are compared each with each, which is faster than hashing them.
const COMPARED_MAX: usize = 16;

/// The members of all objects that are open, and the objects that must be rearranged.
#[derive(Default)]
pub(super) struct Members {
    /// Where each member's name stands, with its quotes; the innermost object's come last.
    names: Vec<Range<usize>>,
    /// Objects whose members stand in another order than they must.
    rearranged: Vec<Rearranged>,
    /// The members of these objects, in the order they must have, without commas.
    ordered: Vec<Range<usize>>,
}

/// An object that is open: its first member's place in `names`.
#[derive(Clone, Copy)]
pub(super) struct Object(usize);

/// An object's text from its opening brace up to its closing one, and the `ordered` members that come behind the brace.
struct Rearranged {
    text: Range<usize>,
    ordered: Range<usize>,
}

/// A text to be written, after a comma or not.
struct Piece {
    comma: bool,
    text: Range<usize>,
}

impl Members {
    pub(super) fn open(&self) -> Object {
        Object(self.names.len())
    }

    /// Adds a member to the innermost object.
    pub(super) fn add(&mut self, name: Range<usize>) {
        self.names.push(name);
    }

    /// Ends the innermost object, whose last member ends where `out` does.
    pub(super) fn close(&mut self, object: Object, out: &[u8]) {
        let names = &self.names[object.0..];
        if let Some(order) = order(names, out) {
            let first = self.ordered.len();
            // A comma stands between a member and the next one's name.
            let end = |member: usize| {
                names
                    .get(member + 1)
                    .map_or(out.len(), |next| next.start - 1)
            };
            let members = order
                .into_iter()
                .map(|member| names[member].start..end(member));
            self.ordered.extend(members);
            self.rearranged.push(Rearranged {
                text: names[0].start - 1..out.len(),
                ordered: first..self.ordered.len(),
            });
        }
        self.names.truncate(object.0);
    }

    /// The document with all members where they belong.
    pub(super) fn arrange(mut self, out: Vec<u8>) -> Vec<u8> {
        if self.rearranged.is_empty() {
            return out;
        }
        self.rearranged
            .sort_unstable_by_key(|object| object.text.start);
        let mut arranged = Vec::with_capacity(out.len());
        let mut pieces = vec![Piece {
            comma: false,
            text: 0..out.len(),
        }];
        while let Some(Piece { comma, text }) = pieces.pop() {
            if comma {
                arranged.push(b',');
            }
            let Some(object) = self.first_within(&text) else {
                arranged.extend_from_slice(&out[text]);
                continue;
            };
            arranged.extend_from_slice(&out[text.start..=object.text.start]);
            pieces.push(Piece {
                comma: false,
                text: object.text.end..text.end,
            });
            let members = self.ordered[object.ordered.clone()].iter().enumerate();
            pieces.extend(members.rev().map(|(place, text)| Piece {
                comma: place > 0,
                text: text.clone(),
            }));
        }
        arranged
    }

    /// The first object in `text` that must be rearranged; an outer one comes before those in it.
    fn first_within(&self, text: &Range<usize>) -> Option<&Rearranged> {
        let at = self
            .rearranged
            .partition_point(|object| object.text.start < text.start);
        self.rearranged
            .get(at)
            .filter(|object| object.text.start < text.end)
    }
}

/// The order that members with these names must have, if it is not the one they have: their places in `names`.
fn order(names: &[Range<usize>], out: &[u8]) -> Option<Vec<usize>> {
    let name = |member: usize| &out[names[member].clone()];
    if names.len() <= COMPARED_MAX && are_plain(names, out) {
        return None;
    }
    let mut first = HashMap::with_capacity(names.len());
    let mut order = Vec::with_capacity(names.len());
    for member in 0..names.len() {
        match first.entry(name(member)) {
            Entry::Vacant(new) => {
                new.insert(order.len());
                order.push(member);
            }
            Entry::Occupied(known) => order[*known.get()] = member,
        }
    }
    // Stable: names that are no index stay in order behind those that are.
    order.sort_by_cached_key(|member| array_index(name(*member)).map_or(u64::MAX, u64::from));
    let as_written = order.len() == names.len() && order.is_sorted();
    (!as_written).then_some(order)
}

/// Whether all names differ and none is an array index.
fn are_plain(names: &[Range<usize>], out: &[u8]) -> bool {
    names.iter().enumerate().all(|(place, name)| {
        let name = &out[name.clone()];
        !name[1].is_ascii_digit()
            && names[..place]
                .iter()
                .all(|other| out[other.clone()] != *name)
    })
}

/// The number of a name (with its quotes) that is an array index (ECMA-262 6.1.7): 0 to 2^32 - 2 in decimal digits,
/// without zeros before.
fn array_index(name: &[u8]) -> Option<u32> {
    let digits = &name[1..name.len() - 1];
    let canonical = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 10;
    if !canonical || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    u32::try_from(number).ok().filter(|index| *index < u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_indices_are_canonical_and_bounded() {
        let cases = [
            ("0", Some(0)),
            ("7", Some(7)),
            ("10", Some(10)),
            ("4294967294", Some(4_294_967_294)),
            ("4294967295", None),
            ("4294967296", None),
            ("9999999999", None),
            ("42949672940", None),
            ("18446744073709551617", None),
            ("00", None),
            ("01", None),
            ("-1", None),
            ("-0", None),
            ("1.5", None),
            ("1e3", None),
            ("1 ", None),
            ("٣", None),
            ("", None),
        ];
        for (digits, expected) in cases {
            assert_eq!(
                array_index(format!("\"{digits}\"").as_bytes()),
                expected,
                "{digits}"
            );
        }
    }
}

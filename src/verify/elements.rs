//! Where signatures stand: the elements of a header, a list of them, or another part of the request. Elements that are
//! no signature of this scheme (another version, another form) are passed over; whether one is right is not known here.

use super::filters::decode;
use super::keys::{SIGNATURE_BYTES_MAX, is_length};
use super::request::Request;
use super::{Few, Refused};
use crate::config::verify::{Algorithm, Encoding, Prefix, Signature};
use crate::extract::Field;
use http::header::{GetAll, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// How the elements of one scheme are told.
#[derive(Debug)]
pub(super) struct Elements {
    fields: Vec<Field>,
    repeated: bool,
    split: Option<String>,
    prefix: Prefix,
    algorithm: Algorithm,
    encoding: Encoding,
    most: usize,
}

/// What a request claims to be signed with.
#[derive(Debug)]
pub(super) struct Claim<'r> {
    /// Decoded, and as long as a signature is.
    pub(super) signature: Vec<u8>,
    /// What its prefix says of the key.
    pub(super) key_id: Option<&'r [u8]>,
}

impl Elements {
    /// `most` is the number of elements that are looked at.
    pub(super) fn new(config: &Signature, most: usize) -> Self {
        Self {
            fields: config.fields.clone(),
            repeated: config.repeated,
            split: config.split.clone(),
            prefix: config.prefix.clone(),
            algorithm: config.algorithm,
            encoding: config.encoding,
            most,
        }
    }

    /// What can be said before the body is read: some header is there, and none more often than it may be.
    pub(super) fn precheck(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let mut missing = true;
        for field in &self.fields {
            missing &= match field {
                Field::Header(name) => self.lines(headers, name)?.iter().next().is_none(),
                _ => false,
            };
        }
        if missing {
            Err(Refused::Missing)
        } else {
            Ok(())
        }
    }

    /// The values where signatures stand, whole. What [`Self::precheck`] refuses is refused here too, without looking for
    /// it twice; of a request that passes it there may still be no value.
    pub(super) fn values<'r>(&self, request: Request<'r>) -> Result<Few<Cow<'r, [u8]>>, Refused> {
        let mut values = Few::new();
        let mut missing = true;
        for field in &self.fields {
            if let Field::Header(name) = field {
                let lines = self.lines(request.headers, name)?;
                values.extend(lines.iter().map(|line| Cow::Borrowed(line.as_bytes())));
            } else {
                missing = false;
                values.extend(request.once(field));
            }
        }
        if missing && values.is_empty() {
            return Err(Refused::Missing);
        }
        Ok(values)
    }

    /// The lines of a header, which are several only where they may be.
    fn lines<'h>(
        &self,
        headers: &'h HeaderMap,
        name: &HeaderName,
    ) -> Result<GetAll<'h, HeaderValue>, Refused> {
        let lines = headers.get_all(name);
        if !self.repeated && lines.iter().nth(1).is_some() {
            return Err(Refused::Bad);
        }
        Ok(lines)
    }

    /// The elements of all values, in their order. More than are looked at are refused, right ones among them or not.
    pub(super) fn split<'v>(&self, values: &'v [Cow<'_, [u8]>]) -> Result<Few<&'v [u8]>, Refused> {
        let mut elements = Few::new();
        for value in values {
            let Some(separator) = &self.split else {
                elements.push(&**value);
                continue;
            };
            let parts = Parts {
                rest: Some(value),
                separator: separator.as_bytes(),
            };
            for element in parts.map(<[u8]>::trim_ascii) {
                if element.is_empty() {
                    continue;
                }
                if elements.len() == self.most {
                    return Err(Refused::Bad);
                }
                elements.push(element);
            }
        }
        if elements.len() > self.most {
            return Err(Refused::Bad);
        }
        Ok(elements)
    }

    /// What the elements claim; those that claim nothing are left out.
    pub(super) fn claims<'r>(&self, elements: &[&'r [u8]]) -> Few<Claim<'r>> {
        let claim = |element: &&'r [u8]| {
            let (text, key_id) = self.prefix.strip(element)?;
            if text.len() > SIGNATURE_BYTES_MAX * 2 {
                return None;
            }
            let signature = decode(self.encoding, text)?;
            is_length(self.algorithm, signature.len()).then_some(Claim { signature, key_id })
        };
        elements.iter().filter_map(claim).collect()
    }
}

/// What stands between separators.
struct Parts<'v, 's> {
    rest: Option<&'v [u8]>,
    separator: &'s [u8],
}

impl<'v> Iterator for Parts<'v, '_> {
    type Item = &'v [u8];

    fn next(&mut self) -> Option<&'v [u8]> {
        let rest = self.rest?;
        let (part, rest) = match find(rest, self.separator) {
            Some(at) => (&rest[..at], Some(&rest[at + self.separator.len()..])),
            None => (rest, None),
        };
        self.rest = rest;
        Some(part)
    }
}

/// Where `wanted` begins; an empty text is nowhere.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    text.windows(wanted.len()).position(|found| found == wanted)
}

impl Prefix {
    /// What follows the prefix, and the key's id in it.
    fn strip<'e>(&self, element: &'e [u8]) -> Option<(&'e [u8], Option<&'e [u8]>)> {
        match self {
            Self::Text(text) => Some((element.strip_prefix(text.as_bytes())?, None)),
            Self::KeyId(before, after) => {
                let rest = element.strip_prefix(before.as_bytes())?;
                let end = find(rest, after.as_bytes())?;
                Some((&rest[end + after.len()..], Some(&rest[..end])))
            }
        }
    }
}

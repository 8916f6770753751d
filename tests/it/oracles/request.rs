//! A webhook request on its way between the two sides, and what can be changed in it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::ops::Range;

/// The URL that every vendor was given.
pub(super) const PUBLIC_URL: &str = "https://hooks.example.com/hooks/in";

/// One webhook request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// What the sender takes for the URL, if it is another one than hookgate and the app know.
    pub(super) signed_url: Option<String>,
    pub(super) method: Method,
    /// Without `?`; empty for none.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Where a value stands in a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// It ends this header.
    Header(&'static str),
    /// It follows this text in that header, up to a `,` or `;`.
    Element(&'static str, &'static str),
    /// It follows this text in a JSON body, up to a `"`, `,` or `}`.
    Body(&'static str),
    /// It is the value of this field of a form, encoded as it was sent.
    Form(&'static str),
}

impl Request {
    pub(super) fn new(body: Bytes) -> Self {
        Self {
            signed_url: None,
            method: Method::POST,
            query: String::new(),
            headers: HeaderMap::new(),
            body,
        }
    }

    /// The URL as the sender saw it.
    pub(super) fn url(&self) -> String {
        let url = self.signed_url.as_deref().unwrap_or(PUBLIC_URL);
        match self.query.as_str() {
            "" => url.to_owned(),
            query => format!("{url}?{query}"),
        }
    }

    /// Sets a header.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let name = HeaderName::try_from(name).expect("a header's name");
        let value = HeaderValue::try_from(value).expect("a header's value");
        self.headers.insert(name, value);
    }

    /// What stands there.
    pub(super) fn text(&self, place: Place) -> String {
        let (whole, start, end) = self.locate(place);
        String::from_utf8_lossy(&whole[start..end]).into_owned()
    }

    /// The bytes of the body where that place is; none for a header.
    pub(super) fn span(&self, place: Place) -> Range<usize> {
        match place {
            Place::Body(_) | Place::Form(_) => {
                let (_, start, end) = self.locate(place);
                start..end
            }
            Place::Header(_) | Place::Element(..) => 0..0,
        }
    }

    /// Puts `change(what stands there)` in its place.
    pub(super) fn edit(&mut self, place: Place, change: impl FnOnce(&mut Vec<u8>)) {
        let (whole, start, end) = self.locate(place);
        let mut part = whole[start..end].to_vec();
        change(&mut part);
        let edited = [&whole[..start], &part, &whole[end..]].concat();
        match place {
            Place::Header(name) | Place::Element(name, _) => {
                let value = HeaderValue::from_bytes(&edited).expect("still a header's value");
                self.headers.insert(name, value);
            }
            Place::Body(_) | Place::Form(_) => self.body = edited.into(),
        }
    }

    /// The value around that place, and where in it the place starts and ends.
    fn locate(&self, place: Place) -> (Vec<u8>, usize, usize) {
        if let Place::Form(name) = place {
            let (start, end) = form_value(&self.body, name);
            return (self.body.to_vec(), start, end);
        }
        let (whole, after, stops): (_, &str, &[u8]) = match place {
            Place::Header(name) => (self.header(name), "", b""),
            Place::Element(name, after) => (self.header(name), after, b",;"),
            Place::Body(after) => (self.body.to_vec(), after, b"\",}"),
            Place::Form(_) => unreachable!("answered above"),
        };
        let start = whole
            .windows(after.len().max(1))
            .position(|window| window.starts_with(after.as_bytes()))
            .unwrap_or_else(|| panic!("no {place:?} in {self:?}"))
            + after.len();
        let end = whole[start..]
            .iter()
            .position(|byte| stops.contains(byte))
            .map_or(whole.len(), |length| start + length);
        (whole, start, end)
    }

    fn header(&self, name: &'static str) -> Vec<u8> {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no header {name} in {self:?}"));
        value.as_bytes().to_vec()
    }
}

/// Where the value of a form's field starts and ends; its name may be written with escapes.
fn form_value(form: &[u8], name: &str) -> (usize, usize) {
    let mut start = 0;
    for pair in form.split(|&byte| byte == b'&') {
        let end = start + pair.len();
        let known = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
        if percent_encoding::percent_decode(known).eq(name.bytes()) {
            return (start + known.len() + 1, end);
        }
        start = end + 1;
    }
    panic!("no field {name} in {}", String::from_utf8_lossy(form));
}

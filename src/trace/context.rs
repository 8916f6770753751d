//! Where in which trace something stands: the `traceparent` header of W3C Trace Context.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names the trace and the span that a request is sent from.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What the systems on the way say about it, passed on as it is.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Names a trace; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// Names a span of a trace; not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

/// The trace is recorded (W3C Trace Context 3.2.2.5).
const SAMPLED: u8 = 1;
/// The trace's id is random (Level 2, 3.2.2.5): true of it wherever it goes, so passed on.
const RANDOM: u8 = 2;

/// A span and its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    flags: u8,
}

impl Context {
    /// The first span of a trace that begins here and is recorded.
    pub(super) fn begin() -> Self {
        Self {
            trace: TraceId(fastrand::u128(1..).to_be_bytes()),
            span: Self::draw(),
            flags: SAMPLED,
        }
    }

    /// A span of `trace`, which nobody records.
    pub fn within(trace: TraceId) -> Self {
        Self {
            trace,
            span: Self::draw(),
            flags: 0,
        }
    }

    /// What one request's `traceparent` says. None, a second one, or one that is not valid: nothing (3.2, 4.3).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        match (sent.next(), sent.next()) {
            (Some(one), None) => Self::parse(one.as_bytes()),
            _ => None,
        }
    }

    /// `version-traceid-parentid-flags` in lower-case hex (3.2.2); a later version may go on after another dash.
    fn parse(value: &[u8]) -> Option<Self> {
        const LENGTH: usize = 55;
        fn field<const BYTES: usize>(value: &[u8], at: usize) -> Option<[u8; BYTES]> {
            let digits = value.get(at..at + 2 * BYTES)?;
            let lower = digits
                .iter()
                .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
            let mut bytes = [0; BYTES];
            (lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(bytes)
        }
        let [version] = field(value, 0)?;
        let (trace, span) = (field(value, 3)?, field(value, 36)?);
        let [flags] = field(value, 53)?;
        let dashes = [2, 35, 52].iter().all(|at| value[*at] == b'-');
        let end = match version {
            0xff => false,
            0 => value.len() == LENGTH,
            _ => value.get(LENGTH).is_none_or(|next| *next == b'-'),
        };
        let valid = dashes && end && trace != [0; 16] && span != [0; 8];
        valid.then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            flags: flags & (SAMPLED | RANDOM),
        })
    }

    /// Whether whoever sent it records it.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// A new span of the same trace.
    pub(super) fn child(self) -> Self {
        Self {
            span: Self::draw(),
            ..self
        }
    }

    /// The same, recorded.
    pub(super) fn sampled(self) -> Self {
        Self {
            flags: self.flags | SAMPLED,
            ..self
        }
    }

    /// The flags, as OTLP has them too.
    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    /// The header for what is sent from this span.
    pub fn header(&self) -> HeaderValue {
        // Each attempt has one, so it is not formatted: that takes ten times as long.
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let mut put = |at: usize, bytes: &[u8]| {
            let digits = &mut value[at..at + 2 * bytes.len()];
            hex::encode_to_slice(bytes, digits).expect("two digits are a byte");
        };
        put(3, &self.trace.0);
        put(36, &self.span.0);
        put(53, &[self.flags]);
        HeaderValue::from_bytes(&value).expect("hexadecimal digits are a header value")
    }

    fn draw() -> SpanId {
        SpanId(fastrand::u64(1..).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let begun = Context::begin();
        assert!(begun.is_sampled());
        assert_eq!(Context::parse(begun.header().as_bytes()), Some(begun));
        let child = begun.child();
        assert_eq!(child.trace, begun.trace);
        assert_ne!(child.span, begun.span);
    }

    #[test]
    fn flags_are_those_that_are_known() {
        let flags = [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("fd", 1)];
        for (text, expected) in flags {
            let header = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{text}");
            let read = Context::parse(header.as_bytes()).expect("valid");
            assert_eq!(read.flags, expected, "{text}");
        }
    }
}

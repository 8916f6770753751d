//! Follows the frames that pass, without keeping or changing any: where one ends, and which of them carry nothing.

/// What every client says first (RFC 9113 3.4).
pub(in crate::http) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head (RFC 9113 4.1).
const HEAD: usize = 9;

/// Kinds of frames (RFC 9113 6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const GOAWAY: u8 = 0x7;
/// A flag of DATA: there is no more.
const END_STREAM: u8 = 0x1;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    fn parse(head: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = head;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & !(1 << 31),
        }
    }

    /// Whether it begins a request or an answer, or ends one (trailers).
    pub(super) fn is_headers(self) -> bool {
        self.kind == HEADERS
    }

    /// Whether it brings neither a request nor a piece of a body, nor the end of one.
    pub(super) fn carries_nothing(self) -> bool {
        match self.kind {
            DATA => self.length == 0 && self.flags & END_STREAM == 0,
            HEADERS => false,
            _ => true,
        }
    }
}

/// The frames of one direction.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes until the next head.
    left: usize,
    head: [u8; HEAD],
    /// Bytes of `head` that have come.
    have: usize,
}

impl Frames {
    /// What the server sends.
    pub(super) fn outgoing() -> Self {
        Self {
            left: 0,
            head: [0; HEAD],
            have: 0,
        }
    }

    /// What a client sends, its preface first.
    pub(super) fn incoming() -> Self {
        Self {
            left: PREFACE.len(),
            ..Self::outgoing()
        }
    }

    /// Whether the last frame is whole.
    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    /// Takes what has passed, and tells of each frame whose head is whole by then.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        loop {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let taken = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD {
                self.have = 0;
                let frame = Frame::parse(self.head);
                self.left = frame.length;
                each(frame);
            }
        }
    }
}

/// Why a connection is ended (RFC 9113 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was idle.
    NoError,
    /// It was busy with nothing.
    EnhanceYourCalm,
}

/// The last frame of a connection: requests up to the one on `last_stream` were looked at (RFC 9113 6.8).
pub(super) fn goaway(last_stream: u32, reason: Reason) -> Vec<u8> {
    let code: u32 = match reason {
        Reason::NoError => 0x0,
        Reason::EnhanceYourCalm => 0xb,
    };
    let mut frame = vec![0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(last_stream.to_be_bytes());
    frame.extend(code.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("a short frame");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(content);
        frame
    }

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(0x4, 0, 0, &[]));
        bytes.extend(frame(HEADERS, 0x4, 1, &[0x82; 40]));
        bytes.extend(frame(DATA, 0, 1, &[0; 300]));
        bytes.extend(frame(DATA, END_STREAM, 1, &[]));
        let expected = [(0x4, 0), (HEADERS, 1), (DATA, 1), (DATA, 1)];
        for size in 1..bytes.len() {
            let mut frames = Frames::incoming();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                frames.pass(piece, |frame| seen.push((frame.kind, frame.stream)));
            }
            assert_eq!(seen, expected, "in pieces of {size}");
            assert!(frames.is_between(), "in pieces of {size}");
        }
        let mut frames = Frames::incoming();
        frames.pass(&bytes[..bytes.len() - 1], |_| ());
        assert!(!frames.is_between());
    }

    #[test]
    fn what_carries_nothing() {
        for (kind, flags, content, nothing) in [
            (DATA, 0, &[][..], true),
            (DATA, END_STREAM, &[], false),
            (DATA, 0, &[1], false),
            (HEADERS, 0, &[], false),
            (0x2, 0, &[0; 5], true),
            (0x3, 0, &[0; 4], true),
            (0x4, 0, &[], true),
            (0x6, 0, &[0; 8], true),
            (0x8, 0, &[0; 4], true),
            (0x9, 0, &[0; 4], true),
            (0xff, 0, &[], true),
        ] {
            Frames::outgoing().pass(&frame(kind, flags, 1, content), |frame| {
                assert_eq!(frame.carries_nothing(), nothing, "{kind}");
            });
        }
    }

    #[test]
    fn the_last_frame_is_as_the_rfc_has_it() {
        let mut frames = Frames::outgoing();
        let last = goaway(7, Reason::EnhanceYourCalm);
        frames.pass(&last, |frame| {
            assert_eq!((frame.kind, frame.length), (GOAWAY, 8));
        });
        assert!(frames.is_between());
        assert_eq!(last[9..], [0, 0, 0, 7, 0, 0, 0, 0xb]);
    }
}

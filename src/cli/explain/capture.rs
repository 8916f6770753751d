//! A captured request: one raw HTTP/1.x message as a proxy, `nc` or an editor keeps it. What is odd about the capture
//! itself is kept beside it, since a capture that was changed on its way to a file can't be verified any more.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};

/// Header lines of one capture; more than any server takes.
const LINES_MAX: usize = 1_000;

/// A request as it was captured.
#[derive(Clone, Debug)]
pub(super) struct Capture {
    /// Its method.
    pub(super) method: Method,
    /// The path of its target, without the query.
    pub(super) path: String,
    /// The query of its target, without `?`.
    pub(super) query: Option<String>,
    /// All of its header lines.
    pub(super) headers: HeaderMap,
    /// Its body: of a longer one as much as Content-Length says, of a chunked one the content.
    pub(super) body: Bytes,
    /// What is odd about the capture.
    pub(super) oddities: Vec<Oddity>,
}

/// What is odd about a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// It begins with a header.
    NoRequestLine,
    /// The body has fewer bytes than Content-Length says.
    Cut {
        /// What Content-Length says.
        announced: usize,
        /// Bytes in the capture.
        there: usize,
    },
    /// The body has more bytes than Content-Length says.
    Longer {
        /// What Content-Length says.
        announced: usize,
        /// All of them.
        whole: Bytes,
    },
    /// Transfer-Encoding says chunked, and the body is not.
    NoChunks,
}

/// Why a text is no captured request. It names lines and shows nothing of them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BadCapture {
    /// Nothing in it.
    #[error("the capture is empty")]
    Empty,
    /// Neither `METHOD TARGET HTTP/1.1` nor a header.
    #[error("line 1 is neither a request line such as \"POST /hooks/erp HTTP/1.1\" nor a header")]
    RequestLine,
    /// A response, not a request.
    #[error("this is the capture of a response; give the request")]
    Response,
    /// A line that is no header.
    #[error("line {0} is no header (a name, a colon, a value); an empty line ends the headers")]
    Header(usize),
    /// Far more lines than a request has.
    #[error("more than {LINES_MAX} header lines")]
    TooManyLines,
    /// A HAR file that is none, or has no such entry.
    #[error("{0}")]
    Har(String),
}

/// Reads a raw message. Lines of the head may end in LF or CRLF.
pub(super) fn raw(bytes: &[u8]) -> Result<Capture, BadCapture> {
    let mut lines = Lines {
        rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes),
        number: 0,
    };
    let mut line = lines.next().ok_or(BadCapture::Empty)?;
    while line.is_empty() {
        line = lines.next().ok_or(BadCapture::Empty)?;
    }
    let mut headers = HeaderMap::new();
    let mut oddities = Vec::new();
    let (method, target) = if let Some(request) = request_line(line)? {
        request
    } else {
        oddities.push(Oddity::NoRequestLine);
        add_header(line, lines.number, &mut headers)?;
        (Method::POST, "/".to_owned())
    };
    while let Some(line) = lines.next() {
        if line.is_empty() {
            break;
        }
        if lines.number > LINES_MAX {
            return Err(BadCapture::TooManyLines);
        }
        add_header(line, lines.number, &mut headers)?;
    }
    let (path, query) = split_target(&target, &mut headers);
    let body = body(lines.rest, &headers, &mut oddities);
    Ok(Capture {
        method,
        path,
        query,
        headers,
        body,
        oddities,
    })
}

/// Lines without their ends, counted.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let (line, rest) = cut_line(self.rest);
        self.rest = rest;
        Some(line)
    }
}

/// The first line without its end, and what follows.
fn cut_line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &text[text.len()..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// Method and target; none if the line is a header.
fn request_line(line: &[u8]) -> Result<Option<(Method, String)>, BadCapture> {
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(BadCapture::RequestLine);
    };
    if text.starts_with("HTTP/") {
        return Err(BadCapture::Response);
    }
    let mut words = text.split_ascii_whitespace();
    let (first, target, version) = (words.next(), words.next(), words.next());
    let is_target = |target: &str| target.starts_with('/') || target.contains("://");
    match (first, target) {
        (Some(method), Some(target))
            if is_target(target)
                && words.next().is_none()
                && version.is_none_or(|version| version.starts_with("HTTP/")) =>
        {
            let method = method.parse().map_err(|_| BadCapture::RequestLine)?;
            Ok(Some((method, target.to_owned())))
        }
        (Some(word), _) if word.len() > 1 && text.contains(':') && word.contains(':') => Ok(None),
        _ => Err(BadCapture::RequestLine),
    }
}

fn add_header(line: &[u8], number: usize, headers: &mut HeaderMap) -> Result<(), BadCapture> {
    let bad = || BadCapture::Header(number);
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(bad)?;
    let name = HeaderName::from_bytes(line[..colon].trim_ascii_end()).map_err(|_| bad())?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| bad())?;
    headers.append(name, value);
    Ok(())
}

/// Path and query. Of a whole URL the host is taken for a Host header that is not there.
pub(super) fn split_target(target: &str, headers: &mut HeaderMap) -> (String, Option<String>) {
    let mut target = target.split('#').next().unwrap_or_default();
    if let Some((_, after)) = target
        .split_once("://")
        .filter(|_| !target.starts_with('/'))
    {
        let at = after.find(['/', '?']).unwrap_or(after.len());
        if let Ok(host) = HeaderValue::from_str(&after[..at]) {
            headers.entry(HOST).or_insert(host);
        }
        target = &after[at..];
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    (path.to_owned(), query)
}

/// The body of what follows the head.
fn body(rest: &[u8], headers: &HeaderMap, oddities: &mut Vec<Oddity>) -> Bytes {
    let whole = Bytes::copy_from_slice(rest);
    let is_chunked = headers
        .get(TRANSFER_ENCODING)
        .and_then(|coding| coding.to_str().ok())
        .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
    if is_chunked {
        if let Some(content) = unchunk(rest) {
            return content.into();
        }
        oddities.push(Oddity::NoChunks);
        return whole;
    }
    match announced(headers) {
        Some(announced) if announced > whole.len() => {
            oddities.push(Oddity::Cut {
                announced,
                there: whole.len(),
            });
            whole
        }
        Some(announced) if announced < whole.len() => {
            let body = whole.slice(..announced);
            oddities.push(Oddity::Longer { announced, whole });
            body
        }
        _ => whole,
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The content of chunks (RFC 9112 7.1), their lines ending in CRLF or, in a capture that an editor saved, LF. None if
/// it is not chunked or has no last chunk.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(rest.len());
    loop {
        let (line, after) = cut_line(rest);
        let size = line.split(|byte| *byte == b';').next()?;
        let size = std::str::from_utf8(size.trim_ascii()).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(content);
        }
        let (chunk, after) = after.split_at_checked(size)?;
        content.extend_from_slice(chunk);
        let (end, after) = cut_line(after);
        if !end.is_empty() {
            return None;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Capture {
        raw(text.as_bytes()).expect("a capture")
    }

    #[test]
    fn lines_end_in_either_way_and_the_body_stays_as_it_is() {
        for text in [
            "POST /in/erp?a=b HTTP/1.1\r\nX-A: 1\r\nx-a:  2 \r\n\r\n{\r\n}\n",
            "POST /in/erp?a=b HTTP/1.1\nX-A: 1\nx-a:  2 \n\n{\r\n}\n",
            "\n\u{feff}POST /in/erp?a=b\nX-A: 1\nx-a: 2\n\n{\r\n}\n",
        ] {
            let text = text.trim_start_matches('\n');
            let capture = read(text);
            assert_eq!(capture.method, Method::POST);
            assert_eq!(capture.path, "/in/erp");
            assert_eq!(capture.query.as_deref(), Some("a=b"));
            let values: Vec<_> = capture.headers.get_all("x-a").iter().collect();
            assert_eq!(values, ["1", "2"]);
            assert_eq!(capture.body, "{\r\n}\n");
            assert_eq!(capture.oddities, []);
        }
    }

    #[test]
    fn a_request_line_may_be_absent() {
        let capture = read("X-A: 1\nHost: a\n\nbody");
        assert_eq!((capture.method, capture.path), (Method::POST, "/".into()));
        assert_eq!(capture.oddities, [Oddity::NoRequestLine]);
        assert_eq!(capture.headers.len(), 2);
        assert_eq!(capture.body, "body");
    }

    #[test]
    fn a_target_may_be_a_whole_url() {
        let capture = read("GET https://hooks.example.com:8443?x=1#f HTTP/1.1\n\n");
        assert_eq!(capture.path, "/");
        assert_eq!(capture.query.as_deref(), Some("x=1"));
        assert_eq!(capture.headers["host"], "hooks.example.com:8443");
    }

    #[test]
    fn a_body_of_another_length_is_odd() {
        let cut = read("POST / HTTP/1.1\nContent-Length: 9\n\nbody");
        let expected = Oddity::Cut {
            announced: 9,
            there: 4,
        };
        assert_eq!((cut.oddities, &*cut.body), (vec![expected], &b"body"[..]));
        let longer = read("POST / HTTP/1.1\nContent-Length: 4\n\nbody\n");
        let expected = Oddity::Longer {
            announced: 4,
            whole: "body\n".into(),
        };
        assert_eq!(
            (longer.oddities, &*longer.body),
            (vec![expected], &b"body"[..])
        );
    }

    #[test]
    fn chunks_are_joined() {
        let head = "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n";
        for body in ["2;x=y\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", "2\nbo\n2\ndy\n0\n\n"] {
            let capture = read(&format!("{head}{body}"));
            assert_eq!(capture.body, "body");
            assert_eq!(capture.oddities, []);
        }
        for body in ["body", "4\r\nbo", "2\r\nbody\r\n0\r\n\r\n", ""] {
            let capture = read(&format!("{head}{body}"));
            assert_eq!(capture.body, body);
            assert_eq!(capture.oddities, [Oddity::NoChunks], "{body:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_its_line() {
        let cases = [
            ("", BadCapture::Empty),
            ("\n\r\n", BadCapture::Empty),
            ("hello", BadCapture::RequestLine),
            ("POST / HTTP/1.1 x", BadCapture::RequestLine),
            ("HTTP/1.1 200 OK\n\n", BadCapture::Response),
            ("POST / HTTP/1.1\nno header\n\n", BadCapture::Header(2)),
            ("POST / HTTP/1.1\na: b\n c\n\n", BadCapture::Header(3)),
            ("a b: c\n\n", BadCapture::RequestLine),
        ];
        for (text, expected) in cases {
            assert_eq!(raw(text.as_bytes()).err(), Some(expected), "{text:?}");
        }
        let lines = "a: b\n".repeat(LINES_MAX + 1);
        assert_eq!(raw(lines.as_bytes()).err(), Some(BadCapture::TooManyLines));
    }
}

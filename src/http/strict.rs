//! What hyper lets pass and a gateway must not: read from the parsed head, before the body.

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// RFC 9112 3.2: exactly one Host in HTTP/1.1.
    #[error("request needs exactly one Host header")]
    Host,
    /// RFC 9112 6.1: only `chunked` is known.
    #[error("unknown transfer coding")]
    TransferCoding,
    /// RFC 9112 6.3: a length beside a transfer coding.
    #[error("Content-Length beside Transfer-Encoding")]
    Length,
    /// A target that is not a path.
    #[error("request target must be a path")]
    Target,
    /// An expectation other than 100-continue.
    #[error("unknown expectation")]
    Expectation,
}

/// Checks a head.
pub fn check<B>(_head: &http::Request<B>) -> Result<(), Malformed> {
    todo!()
}

//! A client for one origin: kept connections, no redirects, no proxy from the environment, bounded answers.
//!
//! An idle connection is reused for at most two seconds (many apps close at five). A reused one that dies
//! before the first byte of an answer is replaced once, within the same call.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};

/// Bytes of an answer that are read; the rest is dropped with the connection.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// What the app answered.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as asked for.
    pub body: Bytes,
    /// Whether there was more of it.
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name has no address.
    #[error("cannot resolve {host}")]
    Dns {
        /// The name.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody takes the connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// No TLS session.
    #[error("TLS handshake with {host} failed")]
    Tls {
        /// The name.
        host: String,
        /// Why.
        source: std::io::Error,
    },
    /// The connection ended, or spoke no HTTP, before the answer was whole.
    #[error("connection closed before the answer was whole")]
    Closed(#[source] hyper::Error),
}

/// A client for the origin of one URL. Shared; any number of calls at one time.
#[derive(Debug)]
pub struct Client {}

impl Client {
    /// Prepares the origin of `url` (`http` or `https`, with a host). Connects to nothing yet.
    pub fn new(_url: &Uri) -> Self {
        todo!()
    }

    /// POSTs `body` with `headers` (Host and Content-Length are set here) to the URL's path and query and reads
    /// at most `answer_bytes` of the answer. Has no time limit of its own: drop the future to give up.
    pub async fn post(
        &self,
        _headers: HeaderMap,
        _body: Bytes,
        _answer_bytes: usize,
    ) -> Result<Reply, ClientError> {
        todo!()
    }
}

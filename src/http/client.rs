//! A client for one origin: kept connections, no redirects, no proxy from the environment, bounded answers.
//!
//! An idle connection is reused for at most two seconds (many apps close at five). A reused one that dies
//! before the first byte of an answer is replaced once, within the same call. No connection is reused beyond a given
//! age: the next one resolves the name anew, so an app that has moved is found.
//!
//! A connection is driven by the call that uses it, not by a task of its own: no hop between tasks on the way,
//! and dropping the call closes the connection.

mod dial;
mod link;
mod origin;
mod pool;
mod stream;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use link::{Link, Lost};
use origin::Origin;
use pool::Pool;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer that are read; the rest is dropped with the connection.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// How long an idle connection may be reused: less than any common server keeps one open.
const REUSE_WITHIN: Duration = Duration::from_secs(2);

/// How long connections may take, and may last.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Name, address and TLS of a new connection, together.
    pub connect_timeout: Duration,
    /// Age from which a connection is not used again. Zero: each call has one of its own.
    pub connection_max_age: Duration,
}

/// What the app answered.
#[derive(Debug)]
pub struct Reply {
    /// Its status. 101 is a status like others; the connection goes no further.
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
        /// Why, at the last of the addresses.
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

impl ClientError {
    /// Whether there was no connection in time, rather than none at all.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Dns { source, .. } | Self::Connect { source, .. } | Self::Tls { source, .. } => {
                source.kind() == std::io::ErrorKind::TimedOut
            }
            Self::Closed(_) => false,
        }
    }
}

/// A client for the origin of one URL. Shared; any number of calls at one time.
#[derive(Debug)]
pub struct Client {
    origin: Origin,
    /// The URL's path and query, as it stands in the request line.
    target: Uri,
    pool: Arc<Pool>,
    connect_timeout: Duration,
}

impl Client {
    /// Prepares the origin of `url` (`http` or `https`, with a host). Connects to nothing yet. The first for an
    /// `https` URL reads the system's root certificates, and keeps them for the process.
    pub fn new(url: &Uri, limits: Limits) -> Self {
        Self::with(Origin::new(url), url, limits, REUSE_WITHIN)
    }

    fn with(origin: Origin, url: &Uri, limits: Limits, reuse_within: Duration) -> Self {
        let target = url.path_and_query().cloned();
        Self {
            origin,
            target: Uri::from(target.unwrap_or(PathAndQuery::from_static("/"))),
            pool: Arc::new(Pool::new(reuse_within, limits.connection_max_age)),
            connect_timeout: limits.connect_timeout,
        }
    }

    /// POSTs `body` with `headers` (Host and Content-Length are set here) to the URL's path and query and reads
    /// at most `answer_bytes` of the answer. Once connected it has no time limit of its own: drop the future to give up.
    ///
    /// Headers are asked for once more where a dead connection is replaced: that is rare, and making them twice
    /// then costs less than a copy of them every time.
    pub async fn post(
        &self,
        headers: impl Fn() -> HeaderMap,
        body: &Bytes,
        answer_bytes: usize,
    ) -> Result<Reply, ClientError> {
        let request = || self.request(headers(), body.clone());
        self.send(request, answer_bytes).await
    }

    /// The same with any method, to `target`: a path and a query in the place of the URL's own.
    pub async fn ask(
        &self,
        method: &Method,
        target: &Uri,
        headers: impl Fn() -> HeaderMap,
        body: &Bytes,
        answer_bytes: usize,
    ) -> Result<Reply, ClientError> {
        let request = || {
            let mut request = self.request(headers(), body.clone());
            *request.method_mut() = method.clone();
            *request.uri_mut() = target.clone();
            request
        };
        self.send(request, answer_bytes).await
    }

    async fn send(
        &self,
        request: impl Fn() -> Request<Full<Bytes>>,
        answer_bytes: usize,
    ) -> Result<Reply, ClientError> {
        if let Some(link) = self.pool.take().await {
            match self.exchange(link, request(), answer_bytes).await {
                // It had died before it could answer, which is no news about the app.
                Err(Lost::BeforeAnswer(error)) => {
                    tracing::debug!(%error, "reused connection was dead");
                }
                Err(Lost::WithinAnswer(error)) => return Err(ClientError::Closed(error)),
                Ok(reply) => return Ok(reply),
            }
        }
        let stream = self.origin.connect(self.connect_timeout).await?;
        let link = Link::open(stream).await.map_err(ClientError::Closed)?;
        self.exchange(Box::new(link), request(), answer_bytes)
            .await
            .map_err(|lost| ClientError::Closed(lost.into()))
    }

    fn request(&self, mut headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        headers.insert(header::HOST, self.origin.host_header());
        // hyper leaves it out where the body is empty, and some servers ask for it then.
        let length = HeaderValue::try_from(body.len().to_string());
        headers.insert(header::CONTENT_LENGTH, length.expect("digits"));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = headers;
        request
    }

    /// Keeps the link if it can serve again.
    async fn exchange(
        &self,
        mut link: Box<Link>,
        request: Request<Full<Bytes>>,
        answer_bytes: usize,
    ) -> Result<Reply, Lost> {
        let reply = link.exchange(request, answer_bytes).await?;
        if link.is_ready() {
            self.pool.put(link);
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests;

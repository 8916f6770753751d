//! Sends a request as a vendor does: to the path of its URL, and with its patience.

use crate::{
    cli::Failure,
    http::client::{ANSWER_BYTES, Client, ClientError, Limits, Reply},
    verify::Outgoing,
};
use anyhow::Context as _;
use http::Uri;
use std::time::Duration;
use tokio::time::Instant;

/// Posts as a vendor.
#[derive(Debug)]
pub(in crate::cli) struct Post {
    client: Client,
    /// Of the destination; the query is the request's own.
    path: String,
    /// How long the vendor waits.
    timeout: Duration,
}

/// Why the vendor got no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NoAnswer {
    /// A query that no URL can have.
    #[error("the request's query cannot stand in a URL")]
    Query(#[from] http::uri::InvalidUri),
    /// The connection failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The vendor would have given up.
    #[error("no answer within {0:?}, the time this sender waits")]
    Timeout(Duration),
}

/// What came back, and how long it took.
#[derive(Debug)]
pub(in crate::cli) struct Answered {
    /// Status, headers, body.
    pub(in crate::cli) reply: Reply,
    /// From before the connection was taken to the end of the answer.
    pub(in crate::cli) took: Duration,
}

impl Post {
    /// To the origin and path of `to`.
    pub(in crate::cli) fn new(to: &Uri, timeout: Duration) -> Self {
        // Connecting has all of the vendor's patience, and vendors keep their connections.
        let limits = Limits {
            connect_timeout: timeout,
            connection_max_age: Duration::MAX,
        };
        Self {
            client: Client::new(to, limits),
            path: to.path().to_owned(),
            timeout,
        }
    }

    /// Sends one request and reads the answer.
    pub(in crate::cli) async fn send(&self, request: Outgoing) -> Result<Answered, NoAnswer> {
        let begun = Instant::now();
        let target: Uri = match &request.query {
            Some(query) => format!("{}?{query}", self.path).parse()?,
            None => self.path.parse()?,
        };
        let headers = || request.headers.clone();
        let exchange = self.client.ask(
            &request.method,
            &target,
            headers,
            &request.body,
            ANSWER_BYTES,
        );
        let reply = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| NoAnswer::Timeout(self.timeout))??;
        Ok(Answered {
            reply,
            took: begun.elapsed(),
        })
    }
}

/// `to` as it is, or with the source's path where it has none.
pub(super) fn with_path(to: &Uri, path: &str) -> Result<Uri, Failure> {
    if to.path() != "/" || to.query().is_some() {
        return Ok(to.clone());
    }
    let text = format!("{}{path}", to.to_string().trim_end_matches('/'));
    let uri = text.parse().with_context(|| text.clone())?;
    Ok(uri)
}

/// Reads `--to`.
pub(super) fn destination(text: &str) -> Result<Uri, String> {
    let uri: Uri = text
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err("accepted: a URL that starts with http:// or https://".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_without_a_path_gets_the_source_s() {
        for (to, whole) in [
            ("http://a:1", "http://a:1/hooks/erp"),
            ("http://a:1/", "http://a:1/hooks/erp"),
            ("https://a/in", "https://a/in"),
            ("http://a/?k=v", "http://a/?k=v"),
        ] {
            let to = destination(to).expect("a URL");
            let uri = with_path(&to, "/hooks/erp").expect("a URL");
            assert_eq!(uri, *whole, "{to}");
        }
        for bad in ["/hooks/erp", "127.0.0.1:8080", "ftp://a/", "http://"] {
            assert!(destination(bad).is_err(), "{bad}");
        }
    }
}

//! Keeps a copy of what is refused, where the source says so: what an operator can look at, and release once the secret
//! is right. The sender's answer does not depend on it, and does not wait for it.
//!
//! Only what can be verified again is kept: a signature that is missing, wrong or stale, and an event that is too old.
//! A request that was malformed, cut off or too large has no whole body, and what is refused for now (503) comes again.

use super::Receive;
use super::rejection::{Cause, Rejection};
use super::source::Source;
use crate::clock;
use crate::http::server::Peer;
use crate::network::Client;
use crate::store::Reject;
use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Uri, request::Parts};
use http_body::Body;

/// Who is connected.
pub(super) fn client(extensions: &Extensions) -> Client {
    let peer = extensions.get::<Peer>().copied().unwrap_or_default();
    peer.client()
}

/// Keeps a request that was refused by its head. Its body is not read for that; it is known if there is none to come.
pub(super) fn head<B: Body>(
    receive: &Receive,
    source: &Source,
    request: &Request<B>,
    rejection: &Rejection,
) {
    let client = client(request.extensions());
    let Some(reason) = wanted(receive, source, client, rejection) else {
        return;
    };
    receive.rejects.keep(Reject {
        source: source.config.name.clone(),
        reason: reason.into(),
        received_ms: clock::wall_ms(),
        client,
        method: request.method().clone(),
        target: target(request.uri()),
        headers: request.headers().clone(),
        body: request.body().is_end_stream().then(Bytes::new),
    });
}

/// A request that may be refused yet, while its parts go their ways.
pub(super) struct Whole {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    client: Client,
    received_ms: u64,
}

impl Whole {
    /// A copy, if its source keeps what it refuses.
    pub(super) fn of(
        receive: &Receive,
        source: &Source,
        head: &Parts,
        body: &Bytes,
        received_ms: u64,
    ) -> Option<Self> {
        receive.rejects.keeps(&source.config.name).then(|| Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
            body: body.clone(),
            client: client(&head.extensions),
            received_ms,
        })
    }

    /// Keeps it, if it was refused for something that may change.
    pub(super) fn keep(self, receive: &Receive, source: &Source, rejection: &Rejection) {
        let Some(reason) = wanted(receive, source, self.client, rejection) else {
            return;
        };
        receive.rejects.keep(Reject {
            source: source.config.name.clone(),
            reason: reason.into(),
            received_ms: self.received_ms,
            client: self.client,
            method: self.method,
            target: target(&self.uri),
            headers: self.headers,
            body: Some(self.body),
        });
    }
}

/// The reason, if the request is to be kept for it.
fn wanted(
    receive: &Receive,
    source: &Source,
    client: Client,
    rejection: &Rejection,
) -> Option<&'static str> {
    match (rejection, rejection.cause()) {
        (Rejection::Refused(_) | Rejection::Unanswered(_), Cause::Rejected(reason)) => receive
            .rejects
            .wants(&source.config.name, client)
            .then_some(reason),
        _ => None,
    }
}

fn target(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned()
}

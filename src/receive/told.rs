//! What a trace tells of a request to a source, in the words of OpenTelemetry's semantic conventions for HTTP servers
//! where they have one, and in `hookgate.*` otherwise. Never its query, its body or its headers: they may carry a secret,
//! a signature, or somebody's data.

use super::Receive;
use super::rejection::{Cause, Rejection};
use super::source::Source;
use super::success::Success;
use crate::event::EventId;
use crate::network::Client;
use crate::trace::Receiving;
use http::{Method, Request, StatusCode};

/// A request whose receipt may be told.
pub(super) struct Watched {
    pub(super) span: Receiving,
    method: Method,
    client: Client,
}

/// The same once it is decided what becomes of it.
pub(super) struct Told {
    watched: Watched,
    /// A word of [`crate::metrics::RESULTS`], or `passed` or `handshake`.
    result: &'static str,
    /// Why not.
    reason: Option<&'static str>,
    event: Option<EventId>,
    /// Whether its sender is.
    proven: bool,
}

impl Watched {
    /// Begins with a request, if it may be told of.
    pub(super) fn begin<B>(
        receive: &Receive,
        client: Client,
        request: &Request<B>,
    ) -> Option<Self> {
        let span = receive.tracer.receiving(request.headers())?;
        Some(Self {
            span,
            method: request.method().clone(),
            client,
        })
    }

    /// It was taken.
    pub(super) fn taken(self, success: &Success) -> Told {
        let (result, event) = match success {
            Success::Accepted(id) | Success::Delivered(id, _) => ("accepted", Some(*id)),
            Success::Duplicate(id) => ("duplicate", Some(*id)),
            Success::AnsweredBefore => ("duplicate", None),
            Success::Ignored => ("ignored", None),
            Success::FromApp(_) => ("passed", None),
            Success::Handshake(_) => ("handshake", None),
        };
        Told {
            watched: self,
            result,
            reason: None,
            event,
            // Some handshakes are answered to anybody.
            proven: !matches!(success, Success::Handshake(_)),
        }
    }

    /// It was not.
    pub(super) fn refused(self, rejection: &Rejection) -> Told {
        let (result, reason) = match rejection.cause() {
            Cause::Rejected(reason) => ("rejected", reason),
            Cause::Unavailable(reason) => ("unavailable", reason),
            Cause::Elsewhere => ("rejected", "method"),
        };
        Told {
            watched: self,
            result,
            reason: Some(reason),
            event: None,
            // Nothing is asked of the store, or waited for, without a proof.
            proven: matches!(
                rejection,
                Rejection::NotStored(_) | Rejection::Late | Rejection::Stopping
            ),
        }
    }
}

impl Told {
    /// It is answered with `status`, now.
    pub(super) fn answered(self, receive: &Receive, source: &Source, status: StatusCode) {
        let Watched {
            span,
            method,
            client,
        } = self.watched;
        let Some(mut span) = span.end(self.proven) else {
            return;
        };
        let path = &*source.config.path;
        span.name = format!("{method} {path}");
        span.failed = status.is_server_error();
        span.tell("http.request.method", method.as_str());
        span.tell("http.route", path);
        span.tell("url.path", path);
        span.tell("http.response.status_code", status.as_u16());
        span.tell("client.address", &*client.to_string());
        span.tell("hookgate.source", &*source.config.name);
        span.tell("hookgate.result", self.result);
        if let Some(id) = self.event {
            span.tell("hookgate.event.id", &*id.to_string());
        }
        if let Some(reason) = self.reason {
            span.tell("error.type", reason);
        }
        receive.tracer.record(span);
    }
}

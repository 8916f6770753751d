//! Judges a refused request again: the same steps as for one that comes in, with the secrets of now.
//!
//! Its signature is judged as of the time when it was received: that the ring kept it for a while is not the sender's
//! doing. As an event it begins now: what is remembered of it, and what is given up, counts from its release.

use super::Receive;
use super::caller::Caller;
use super::handler::{self, Incoming};
use super::rejection::{Cause, Rejection};
use super::source::Source;
use super::success::Success;
use crate::clock;
use crate::config::Ack;
use crate::dedupe::{Kind, RequestKey};
use crate::store::{Judge, Judging, Reject, Verdict};
use crate::verify;
use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

impl Judge for Receive {
    fn judge(&self, reject: Reject, dry_run: bool) -> Judging<'_> {
        Box::pin(async move {
            judge(self, reject, dry_run)
                .await
                .unwrap_or_else(|refused| refused)
        })
    }
}

fn refused(reason: &'static str, why: impl Into<String>) -> Verdict {
    let why = why.into();
    Verdict::Refused { reason, why }
}

async fn judge(receive: &Receive, reject: Reject, dry_run: bool) -> Result<Verdict, Verdict> {
    let mut sources = receive.sources.values();
    let source = sources
        .find(|source| source.config.name == reject.source)
        .ok_or_else(|| refused("source_gone", "its source is not configured any more"))?;
    let body = reject.body.clone().ok_or_else(|| {
        refused(
            "no_body",
            "it was refused before its body was read, so there is nothing to admit",
        )
    })?;
    let incoming = proven(source, &reject, body)?;
    if dry_run {
        return foretell(receive, source, &incoming);
    }
    let success = handler::proceed(receive, source, incoming).await;
    Ok(match success.map_err(|why| said(&why))? {
        Success::Accepted(id) | Success::Delivered(id, _) => Verdict::Accepted(Some(id)),
        Success::Duplicate(id) => Verdict::Duplicate(Some(id)),
        Success::AnsweredBefore => Verdict::Duplicate(None),
        Success::Ignored => Verdict::Ignored,
        Success::FromApp(answered) if answered.status.is_success() => {
            Verdict::Passed(Some(answered.status.as_u16()))
        }
        Success::FromApp(answered) => refused(
            "app",
            format!("it passes, but the app has answered {}", answered.status),
        ),
        Success::Handshake(_) => handshake(),
    })
}

/// The request with its sender proven, as of its time.
fn proven(source: &Source, reject: &Reject, body: Bytes) -> Result<Incoming, Verdict> {
    let proof = source.proof();
    let query = reject.target.split_once('?').map(|(_, query)| query);
    let asked = verify::Request {
        method: &reject.method,
        query,
        headers: &reject.headers,
        body: &body,
    };
    if reject.method != Method::POST || proof.handshakes.rule(asked).is_some() {
        return Err(handshake());
    }
    let verifier = &proof.verifier;
    verifier
        .precheck(&reject.method, query, &reject.headers)
        .map_err(|why| said(&why.into()))?;
    let charge = source
        .budget
        .take(handler::REQUEST_OVERHEAD_BYTES + body.len() as u64)
        .ok_or_else(|| refused("overloaded", "too many bytes are in flight; try again"))?;
    let headers = reject.headers.clone();
    let verified = verifier
        .verify(&reject.method, query, headers, body, reject.received_ms)
        .map_err(|why| said(&why.into()))?;
    Ok(Incoming {
        verified,
        charge,
        received_ms: clock::unix_ms(),
        wall_ms: reject.received_ms,
        query: query.map(str::to_owned),
        // Whoever passed it on is not kept: what it said about the sender is in `client`.
        caller: Caller::direct(reject.client),
        deadline: Instant::now() + source.config.ack_deadline,
        waits: false,
        // Nobody sends it now: its attempts belong to the sender's own trace, if it named one.
        span: None,
    })
}

/// What would become of it.
fn foretell(receive: &Receive, source: &Source, incoming: &Incoming) -> Result<Verdict, Verdict> {
    handler::check_age(source, incoming).map_err(|why| said(&why.into()))?;
    let parts = incoming.parts(None);
    let event_type = source.config.event_type.text(parts);
    if source.wanted(event_type.as_deref(), parts).is_empty() {
        return Ok(Verdict::Ignored);
    }
    let (key, _) = source.config.event_id.key(source.config.key_name(), parts);
    let kind = Kind::Event;
    let now_ms = incoming.received_ms;
    if receive
        .dedupe
        .knows(source.id, RequestKey { kind, key }, now_ms)
    {
        return Ok(Verdict::Duplicate(None));
    }
    Ok(match source.config.ack {
        Ack::Passthrough => Verdict::Passed(None),
        Ack::Stored | Ack::Delivered => Verdict::Accepted(None),
    })
}

fn handshake() -> Verdict {
    refused(
        "handshake",
        "it asks whether the URL is its own, and nobody waits for the answer any more; let the vendor ask again",
    )
}

fn said(rejection: &Rejection) -> Verdict {
    let reason = match rejection.cause() {
        Cause::Rejected(reason) | Cause::Unavailable(reason) => reason,
        Cause::Elsewhere => "method",
    };
    refused(reason, rejection.to_string())
}

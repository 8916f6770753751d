//! Requests that were refused and are kept: to be looked at, and judged again once the secret is right.

use super::{Refused, Rooms, call::Call, params::Params, refused};
use crate::clock;
use crate::http::Answer;
use crate::metrics::REJECTED;
use crate::store::{Reject, RejectQuery, RejectSummary, Verdict};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Requests of one page.
const PAGE_MAX: u64 = 200;
/// Of one page unless it is said how many.
const PAGE: u64 = 50;
/// How long one call releases before it says where to go on.
const RELEASING: Duration = Duration::from_secs(5);

/// `GET /api/v1/rejects`
pub(super) async fn list(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let query = filter(&mut call.params)?;
    call.params.finish()?;
    let page = rooms.rejects.list(query).await?;
    let rejects: Vec<Value> = page.rejects.iter().map(summary).collect();
    let cursor = page.cursor.map(|cursor| cursor.to_string());
    Ok(refused::ok(
        &json!({ "rejects": rejects, "cursor": cursor }),
    ))
}

/// `GET /api/v1/rejects/{id}`
pub(super) async fn show(rooms: Rooms, call: Call) -> Result<Answer, Refused> {
    let id = id(&call)?;
    call.params.finish()?;
    let reject = rooms.rejects.get(id).await?.ok_or_else(gone)?;
    Ok(refused::ok(&whole(id, &reject)))
}

/// `POST /api/v1/rejects/{id}/release`
pub(super) async fn release_one(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let id = id(&call)?;
    let dry_run = call.params.flag("dry_run")?;
    let peer = call.peer;
    call.params.finish()?;
    let verdict = rooms.rejects.release(id, &*rooms.judge, dry_run).await?;
    let verdict = verdict.ok_or_else(gone)?;
    if !dry_run {
        let outcome = verdict.word();
        tracing::info!(peer = ?peer, reject = id, outcome, "admin.release");
    }
    Ok(refused::ok(&outcome(id, &verdict)))
}

/// `POST /api/v1/rejects/release`: the oldest first, as they would have become events.
pub(super) async fn release_many(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let mut query = filter(&mut call.params)?;
    query.oldest_first = true;
    let dry_run = call.params.flag("dry_run")?;
    let peer = call.peer;
    call.params.finish()?;
    let until = Instant::now() + RELEASING;
    let source = query.source.clone();
    let page = rooms.rejects.list(query).await?;
    let (mut outcomes, mut counts) = (Vec::new(), Map::new());
    let mut cursor = page.cursor;
    let mut before = None;
    for reject in &page.rejects {
        if Instant::now() >= until && before.is_some() {
            cursor = before;
            break;
        }
        before = Some(reject.id);
        // One that the ring has let go of meanwhile has no outcome.
        let verdict = rooms.rejects.release(reject.id, &*rooms.judge, dry_run);
        let Some(verdict) = verdict.await? else {
            continue;
        };
        let count = counts.entry(verdict.word()).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap_or(0) + 1);
        outcomes.push(outcome(reject.id, &verdict));
    }
    if !dry_run {
        let counts = Value::Object(counts.clone()).to_string();
        tracing::info!(peer = ?peer, source, counts, "admin.release");
    }
    let cursor = cursor.map(|cursor| cursor.to_string());
    Ok(refused::ok(&json!({
        "dry_run": dry_run,
        "outcomes": outcomes,
        "counts": counts,
        "cursor": cursor,
    })))
}

/// What both the list and a release of many can be narrowed to.
fn filter(params: &mut Params) -> Result<RejectQuery, Refused> {
    let now_ms = clock::unix_ms();
    // Two of the reasons for which requests are refused leave nothing that could be kept.
    let reasons = REJECTED.map(|reason| (reason, reason));
    let cursor = params.parsed("cursor", "the cursor of the page before", |text| {
        text.parse().ok()
    })?;
    Ok(RejectQuery {
        source: params.text("source")?,
        reason: params.word("reason", &reasons[..3])?.map(str::to_owned),
        from_ms: params.time("from", now_ms)?,
        to_ms: params.time("to", now_ms)?,
        cursor,
        oldest_first: false,
        limit: usize::try_from(params.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE)).unwrap_or(1),
    })
}

fn id(call: &Call) -> Result<u64, Refused> {
    let text = call.segments.first();
    text.and_then(|text| text.parse().ok()).ok_or_else(gone)
}

fn gone() -> Refused {
    Refused::not_found(
        "no refused request with this id is kept (the oldest go first, and released ones)",
    )
}

fn summary(reject: &RejectSummary) -> Value {
    json!({
        "id": reject.id,
        "source": *reject.source,
        "configured": reject.configured,
        "reason": reject.reason,
        "received_at": clock::rfc3339(reject.received_ms),
        "client": reject.client,
        "method": reject.method,
        "target": reject.target,
        "body_bytes": reject.body_bytes,
    })
}

fn whole(id: u64, reject: &Reject) -> Value {
    let body = reject.body.as_ref().map(|body| text(body));
    let (body, encoding) = body.unzip();
    json!({
        "id": id,
        "source": *reject.source,
        "reason": *reject.reason,
        "received_at": clock::rfc3339(reject.received_ms),
        "client": reject.client.to_string(),
        "method": reject.method.as_str(),
        "target": reject.target,
        "headers": reject.headers.iter().map(header).collect::<Vec<_>>(),
        "body_bytes": reject.body.as_ref().map(bytes::Bytes::len),
        "body": body,
        "body_encoding": encoding,
    })
}

/// As it came: also what carries a secret, which may be a wrong one.
fn header((name, value): (&HeaderName, &HeaderValue)) -> Value {
    let (value, encoding) = text(value.as_bytes());
    json!({ "name": name.as_str(), "value": value, "encoding": encoding })
}

/// Bytes as JSON can hold them, and how: as they are if they are UTF-8.
fn text(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf-8"),
        Err(_) => (BASE64_STANDARD.encode(bytes), "base64"),
    }
}

fn outcome(id: u64, verdict: &Verdict) -> Value {
    let mut outcome = json!({ "id": id, "outcome": verdict.word() });
    match verdict {
        Verdict::Accepted(event) | Verdict::Duplicate(event) => {
            outcome["event_id"] = json!(event.map(|event| event.to_string()));
        }
        Verdict::Refused { reason, why } => {
            outcome["reason"] = json!(reason);
            outcome["why"] = json!(why);
        }
        Verdict::Passed(status) => outcome["status"] = json!(status),
        Verdict::Ignored => {}
    }
    outcome
}

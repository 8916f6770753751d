//! Requests that were refused and are kept: to be looked at, and judged again once the secret is right.

use super::filter::{cursor_text, page};
use super::show::text;
use super::{Refused, Rooms, audit::Audit, call::Call, params::Params, refused};
use crate::clock;
use crate::event::Seq;
use crate::http::Answer;
use crate::metrics::REJECTED;
use crate::store::{Reject, RejectPage, RejectQuery, RejectSummary, Verdict};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Requests of one page unless it is said how many.
const PAGE: u64 = 50;
/// How long one call releases before it says where to go on.
const RELEASING: Duration = Duration::from_secs(5);

/// `GET /api/v1/rejects`
pub(super) async fn list(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let query = filter(&mut call.params)?;
    call.params.finish()?;
    let page = page_of(&rooms, query).await?;
    let rejects: Vec<Value> = page.rejects.iter().map(summary).collect();
    let cursor = cursor_text(page.cursor.map(Seq));
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
    let audit = Audit::of(&call);
    call.params.finish()?;
    let verdict = rooms.rejects.release(id, &*rooms.judge, dry_run).await?;
    let verdict = verdict.ok_or_else(gone)?;
    if !dry_run {
        audit.released(&id.to_string(), verdict.word());
    }
    Ok(refused::ok(&outcome(id, &verdict)))
}

/// `POST /api/v1/rejects/release`: the oldest first, as they would have become events.
pub(super) async fn release_many(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let asked = call.params.said();
    let mut query = filter(&mut call.params)?;
    query.oldest_first = true;
    let dry_run = call.params.flag("dry_run")?;
    let audit = Audit::of(&call);
    call.params.finish()?;
    let until = Instant::now() + RELEASING;
    let page = page_of(&rooms, query).await?;
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
        audit.released(&asked, &Value::Object(counts.clone()).to_string());
    }
    let cursor = cursor_text(cursor.map(Seq));
    Ok(refused::ok(&json!({
        "dry_run": dry_run,
        "outcomes": outcomes,
        "counts": counts,
        "cursor": cursor,
    })))
}

/// What both the list and a release of many can be narrowed to.
fn filter(params: &mut Params) -> Result<RejectQuery, Refused> {
    let now_ms = clock::wall_ms();
    // Two of the reasons for which requests are refused leave nothing that could be kept.
    let reasons = REJECTED.map(|reason| (reason, reason));
    let source = params.text("source")?;
    let reason = params.word("reason", &reasons[..3])?.map(str::to_owned);
    let (from_ms, to_ms) = (params.time("from", now_ms)?, params.time("to", now_ms)?);
    let (cursor, limit) = page(params, PAGE)?;
    Ok(RejectQuery {
        source,
        reason,
        from_ms,
        to_ms,
        cursor: cursor.map(|cursor| cursor.0),
        oldest_first: false,
        limit,
    })
}

/// A page; an empty one of a source that nobody knows is a name mistyped. What is kept may be of a source that has another
/// name by now.
async fn page_of(rooms: &Rooms, query: RejectQuery) -> Result<RejectPage, Refused> {
    let source = query.source.clone();
    let page = rooms.rejects.list(query).await?;
    if let Some(name) = source
        && page.rejects.is_empty()
    {
        rooms.source(&name)?;
    }
    Ok(page)
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

//! What an auditor asks long after the payloads are gone (`store.history`).

use super::filter::{cursor_text, page};
use super::{Refused, Rooms, call::Call, refused, show};
use crate::clock;
use crate::event::EventId;
use crate::http::Answer;
use crate::store::HistoryQuery;
use serde_json::{Value, json};

/// Events of a page where nobody says how many.
const PAGE: u64 = 50;

/// `GET /api/v1/history`
pub(super) async fn list(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let now_ms = clock::unix_ms();
    let params = &mut call.params;
    let tag = rooms.store.tag();
    let id = params.parsed("id", "an event's id, a UUID", |text| {
        uuid::Uuid::try_parse(text).ok()?;
        Some((text.to_owned(), EventId::parse(text, tag)))
    })?;
    let (id, seq) = id.unzip();
    let vendor_id = params.text("vendor_id")?;
    let source = params.text("source")?;
    let from_ms = params.time("from", now_ms)?;
    let to_ms = params.time("to", now_ms)?;
    let (cursor, limit) = page(params, PAGE)?;
    call.params.finish()?;
    let enabled = rooms.store.keeps_history();
    // Another gateway's id is nobody's here.
    if seq == Some(None) {
        return Ok(answer(enabled, &[], None));
    }
    let source = source.map(|name| rooms.source(&name)).transpose()?;
    let query = HistoryQuery {
        seq: seq.flatten(),
        vendor_id,
        source,
        from_ms,
        to_ms,
        cursor,
        limit,
    };
    let page = rooms.store.history(query).await?;
    let events = page.events.iter();
    let asked = events.filter(|event| id.as_deref().is_none_or(|id| event.id.is(id)));
    let events: Vec<Value> = asked.map(show::history).collect();
    Ok(answer(
        enabled,
        &events,
        cursor_text(page.cursor).as_deref(),
    ))
}

fn answer(enabled: bool, events: &[Value], cursor: Option<&str>) -> Answer {
    refused::ok(&json!({ "enabled": enabled, "events": events, "cursor": cursor }))
}

//! Who sends: what came of it, how often, and when it last did.

use super::{Refused, Rooms, call::Call, refused};
use crate::clock;
use crate::event::SourceId;
use crate::http::Answer;
use crate::metrics::SourceMetrics;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What the API knows of a configured source.
#[derive(Debug)]
pub struct SourceFacts {
    /// Its number in the store.
    pub id: SourceId,
    /// Its name.
    pub name: Arc<str>,
    /// The name that its keys are hashed under.
    pub key_name: Arc<str>,
    /// Its preset.
    pub provider: Option<String>,
    /// Where it is received.
    pub path: String,
    /// Its counts.
    pub metrics: Arc<SourceMetrics>,
}

/// `GET /api/v1/sources`
pub(super) async fn list(rooms: Rooms, call: Call) -> Result<Answer, Refused> {
    call.params.finish()?;
    let sources: Vec<Value> = (0..rooms.sources.len())
        .map(|index| source(&rooms, index))
        .collect();
    Ok(refused::ok(&json!({ "sources": sources })))
}

fn source(rooms: &Rooms, index: usize) -> Value {
    let source = &rooms.sources[index];
    let metrics = &source.metrics;
    let rates: Map<String, Value> = rooms
        .rates
        .of(index)
        .into_iter()
        .map(|(result, rate)| (result.to_owned(), rate.into()))
        .collect();
    json!({
        "name": *source.name,
        "provider": source.provider,
        "path": source.path,
        "last_event": metrics.last_event_ms().map(clock::rfc3339),
        "totals": counts(metrics.events.counts()),
        "rejects": counts(metrics.rejected.counts()),
        "unavailable": counts(metrics.unavailable.counts()),
        "rates": rates,
        "dedupe_keys": rooms.dedupe.len(source.id),
    })
}

fn counts(counts: impl Iterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    counts
        .map(|(word, count)| (word.to_owned(), count.into()))
        .collect()
}

//! Targets: how they stand, and a pause, its end, and a retry now.

use super::{Refused, Rooms, audit::Audit, call::Call, events::one, refused};
use crate::deliver::TargetStatus;
use crate::event::TargetId;
use crate::http::Answer;
use crate::store::{Command, Steered};
use serde_json::{Value, json};

/// `GET /api/v1/targets`
pub(super) async fn list(rooms: Rooms, call: Call) -> Result<Answer, Refused> {
    call.params.finish()?;
    let targets: Vec<Value> = rooms.deliver.status().iter().map(shown).collect();
    Ok(refused::ok(&json!({ "targets": targets })))
}

fn shown(target: &TargetStatus) -> Value {
    json!({
        "name": *target.name,
        "url": target.url,
        "configured": target.configured,
        "state": target.state,
        "paused": target.paused,
        "pending": target.pending,
        "pending_bytes": target.pending_bytes,
        "in_flight": target.in_flight,
        "consecutive_failures": target.consecutive_failures,
    })
}

/// `POST /api/v1/targets/{name}/pause`: durable before it is answered.
pub(super) async fn pause(rooms: Rooms, call: Call) -> Result<Answer, Refused> {
    steered(
        &rooms,
        call,
        "pause",
        |target| Command::Pause {
            target,
            paused: true,
        },
        |rooms, target| {
            rooms.deliver.pause(target);
        },
    )
    .await
}

/// `POST /api/v1/targets/{name}/resume`
pub(super) async fn resume(rooms: Rooms, call: Call) -> Result<Answer, Refused> {
    steered(
        &rooms,
        call,
        "resume",
        |target| Command::Pause {
            target,
            paused: false,
        },
        |rooms, target| {
            rooms.deliver.resume(target);
        },
    )
    .await
}

/// `POST /api/v1/targets/{name}/retry`: what waits for its time is tried now, and an app that was down is asked at once.
pub(super) async fn retry(rooms: Rooms, call: Call) -> Result<Answer, Refused> {
    steered(
        &rooms,
        call,
        "retry",
        |target| Command::Hasten { target },
        |rooms, target| {
            rooms.deliver.retry_now(target);
        },
    )
    .await
}

/// The store first: what it has not kept does not happen.
async fn steered(
    rooms: &Rooms,
    call: Call,
    what: &'static str,
    command: impl Fn(TargetId) -> Command + Send,
    tell: impl Fn(&Rooms, TargetId) + Send,
) -> Result<Answer, Refused> {
    let audit = Audit::of(&call);
    call.params.finish()?;
    let name = call.segments.first().map_or("", String::as_str);
    let target = rooms.configured_target(name)?;
    let deliveries = match one(rooms, command(target.id)).await? {
        Steered::Done { deliveries } => deliveries,
        Steered::Nothing(_) | Steered::Copied { .. } | Steered::Discarded { .. } => 0,
        Steered::NotFound => return Err(rooms.no_target(name)),
    };
    tell(rooms, target.id);
    audit.target(what, name);
    let status = rooms.deliver.status();
    let mut shown = status
        .iter()
        .find(|status| status.id == target.id)
        .map_or_else(|| json!({}), shown);
    shown["deliveries"] = deliveries.into();
    Ok(refused::ok(&shown))
}

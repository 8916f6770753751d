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

/// The store first: what it has not kept does not happen. In a task of its own, and one at a time: a client that leaves, or
/// two that ask at once, must not make the store say one thing and deliveries do another.
async fn steered(
    rooms: &Rooms,
    call: Call,
    what: &'static str,
    command: impl Fn(TargetId) -> Command + Send,
    tell: impl Fn(&Rooms, TargetId) + Send + 'static,
) -> Result<Answer, Refused> {
    let audit = Audit::of(&call);
    call.params.finish()?;
    let name = call.segments.first().map_or("", String::as_str);
    let target = rooms.configured_target(name)?;
    let (id, command) = (target.id, command(target.id));
    let change = {
        let rooms = rooms.clone();
        tokio::spawn(async move {
            let _changing = rooms.changing.lock().await;
            let steered = one(&rooms, command).await?;
            if steered != Steered::NotFound {
                tell(&rooms, id);
            }
            Ok::<_, Refused>(steered)
        })
    };
    let steered = change
        .await
        .map_err(|_| Refused::unavailable("the change was not finished"))??;
    let deliveries = match steered {
        Steered::Done { deliveries } => deliveries,
        Steered::Nothing(_) | Steered::Copied { .. } | Steered::Discarded { .. } => 0,
        Steered::NotFound => return Err(rooms.no_target(name)),
    };
    audit.target(what, name);
    let status = rooms.deliver.status();
    let mut shown = status
        .iter()
        .find(|status| status.id == target.id)
        .map_or_else(|| json!({}), shown);
    shown["deliveries"] = deliveries.into();
    Ok(refused::ok(&shown))
}

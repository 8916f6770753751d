//! Events: a list of them, one with everything, and one delivered again or discarded.

use super::filter::{Filter, cursor_text, event, no_event};
use super::{Refused, Rooms, audit::Audit, call::Call, refused, show};
use crate::deliver::NotPosted;
use crate::event::Seq;
use crate::http::Answer;
use crate::store::{Command, Steered};
use http::Uri;
use serde_json::json;

/// `GET /api/v1/events`
pub(super) async fn list(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let filter = Filter::read(&rooms, &mut call.params, "")?;
    call.params.finish()?;
    let page = filter.page(&rooms).await?;
    let events: Vec<_> = page.events.iter().map(show::summary).collect();
    Ok(refused::ok(&json!({
        "events": events,
        "cursor": cursor_text(page.cursor),
        "scanned": page.scanned,
    })))
}

/// `GET /api/v1/events/{id}`
pub(super) async fn show(rooms: Rooms, call: Call) -> Result<Answer, Refused> {
    call.params.finish()?;
    let seq = event(&rooms, &call.segments).await?;
    let detail = rooms.store.detail(seq).await?;
    let detail = detail.ok_or_else(|| no_event(&call.segments[0]))?;
    Ok(refused::ok(&show::detail(&detail)))
}

/// `POST /api/v1/events/{id}/replay`
pub(super) async fn replay(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let to = call.params.text("to")?;
    let new_id = call.params.flag("new_id")?;
    call.params.finish()?;
    let seq = event(&rooms, &call.segments).await?;
    let audit = Audit::of(&call);
    let id = &call.segments[0];
    if let Some(url) = to.as_deref().filter(|to| to.contains("://")) {
        let url = self::url(url, new_id)?;
        return by_hand(&rooms, &audit, seq, id, &url).await;
    }
    let targets = match to {
        Some(name) => vec![rooms.configured_target(&name)?.id],
        None => Vec::new(),
    };
    let command = if new_id {
        Command::Copy { seq, targets }
    } else {
        Command::Replay { seq, targets }
    };
    match one(&rooms, command).await? {
        Steered::Done { deliveries } => {
            audit.event("replay", id, &format!("{deliveries} deliveries"));
            Ok(refused::ok(&json!({ "id": id, "deliveries": deliveries })))
        }
        Steered::Copied { id: copy } => {
            audit.event("replay", id, &format!("copied as {copy}"));
            let copy = copy.to_string();
            Ok(refused::ok(&json!({ "id": copy, "copy_of": id })))
        }
        Steered::Nothing(why) => Err(Refused::conflict(why)),
        Steered::NotFound | Steered::Discarded { .. } => Err(no_event(id)),
    }
}

/// `POST /api/v1/events/{id}/discard`
pub(super) async fn discard(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let target = call.params.text("target")?;
    let forget = call.params.flag("forget")?;
    call.params.finish()?;
    let seq = event(&rooms, &call.segments).await?;
    let target = target.map(|name| rooms.target(&name)).transpose()?;
    let target = target.map(|target| target.id);
    let id = &call.segments[0];
    let command = Command::Discard {
        seq,
        target,
        forget,
    };
    match one(&rooms, command).await? {
        Steered::Discarded { buried, forgotten } => {
            let outcome = format!("{buried} discarded, {forgotten} forgotten");
            Audit::of(&call).event("discard", id, &outcome);
            Ok(refused::ok(&json!({
                "id": id,
                "deliveries": buried + forgotten,
                "discarded": buried,
                "forgotten": forgotten,
            })))
        }
        Steered::Nothing(why) => Err(Refused::conflict(why)),
        Steered::NotFound | Steered::Copied { .. } | Steered::Done { .. } => Err(no_event(id)),
    }
}

/// One command, done.
pub(super) async fn one(rooms: &Rooms, command: Command) -> Result<Steered, Refused> {
    let steered = rooms.store.steer(vec![command]).await?;
    let answered = steered.into_iter().next();
    answered.ok_or_else(|| Refused::unavailable("the store did not answer"))
}

fn url(text: &str, new_id: bool) -> Result<Uri, Refused> {
    if new_id {
        return Err(Refused::bad(
            "new_id goes with a target, not with a URL: what is sent to a URL by hand is not stored",
        ));
    }
    let url = text.parse();
    url.map_err(|error| {
        Refused::bad(format!(
            "to is no URL: {error}; accepted: a target, or http:// or https://"
        ))
    })
}

/// One attempt at a URL: nothing of it is stored.
async fn by_hand(
    rooms: &Rooms,
    audit: &Audit,
    seq: Seq,
    id: &str,
    url: &Uri,
) -> Result<Answer, Refused> {
    let detail = rooms.store.detail(seq).await?;
    let detail = detail.ok_or_else(|| no_event(id))?;
    if detail.damaged {
        return Err(Refused::conflict(
            "the event is damaged on the disk, and is not sent to anybody",
        ));
    }
    let replay = detail.summary.replays.saturating_add(1);
    let handing = rooms.deliver.post_to(url, &detail.event, replay);
    let handing = handing.map_err(|error| match error {
        NotPosted::NotUrl(_) => Refused::bad(format!("to: {error}")),
        NotPosted::Busy => Refused::unavailable(error.to_string()),
    })?;
    // Before, since it may take a while and cannot be undone. A query or a user may hold a password.
    let place = url.host().unwrap_or_default();
    audit.event("replay", id, &format!("to a URL at {place}"));
    let handed = handing.await;
    let (answer, encoding) = show::text(&handed.answer);
    Ok(refused::ok(&json!({
        "id": id,
        "delivered": handed.delivered,
        "reason": handed.reason,
        "status": handed.status.map(|status| status.as_u16()),
        "error": handed.error,
        "took_ms": crate::clock::millis(handed.took),
        "answer": answer,
        "answer_encoding": encoding,
    })))
}

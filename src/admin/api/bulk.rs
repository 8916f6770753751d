//! Many events at one time, a bounded page a call: whoever asks counts first (`dry_run`), goes on at the cursor, and
//! decides how fast.

use super::filter::{Filter, cursor_text};
use super::{Refused, Rooms, audit::Audit, call::Call, refused};
use crate::event::TargetId;
use crate::http::Answer;
use crate::store::{COMMANDS_MAX, Command, Steered, Summary};
use serde_json::json;
use std::collections::BTreeMap;

/// `POST /api/v1/events/replay`
pub(super) async fn replay(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let filter = Filter::read(&rooms, &mut call.params, "filter.")?;
    let to = call.params.text("to")?;
    let new_id = call.params.flag("new_id")?;
    let dry_run = call.params.flag("dry_run")?;
    call.params.finish()?;
    let to = to.map(|name| rooms.configured_target(&name)).transpose()?;
    let to = to.map(|target| target.id);
    let chosen = |event: &Summary| -> Vec<TargetId> {
        match to {
            Some(to) => vec![to],
            None => filter
                .deliveries(event)
                .map(|delivery| delivery.target)
                .collect(),
        }
    };
    let plan = |event: &Summary| {
        let seq = event.seq;
        let chosen = chosen(event);
        let deliveries = chosen.len();
        // Where all are meant, the store knows best which those are.
        let all = to.is_none() && filter.means_all();
        let targets = if all { Vec::new() } else { chosen };
        let command = if new_id {
            Command::Copy { seq, targets }
        } else {
            Command::Replay { seq, targets }
        };
        let commands = if deliveries == 0 {
            Vec::new()
        } else {
            vec![command]
        };
        Planned {
            commands,
            deliveries,
        }
    };
    run(&rooms, &Audit::of(&call), "replay", &filter, dry_run, plan).await
}

/// `POST /api/v1/events/discard`
pub(super) async fn discard(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let filter = Filter::read(&rooms, &mut call.params, "filter.")?;
    let dry_run = call.params.flag("dry_run")?;
    call.params.finish()?;
    let plan = |event: &Summary| {
        let seq = event.seq;
        // What is delivered has nothing to be discarded.
        let chosen = filter
            .deliveries(event)
            .filter(|delivery| delivery.state != crate::store::State::Delivered);
        let commands: Vec<Command> = chosen
            .map(|delivery| Command::Discard {
                seq,
                target: Some(delivery.target),
            })
            .collect();
        let deliveries = commands.len();
        Planned {
            commands,
            deliveries,
        }
    };
    run(&rooms, &Audit::of(&call), "discard", &filter, dry_run, plan).await
}

/// What is to be done with one event.
struct Planned {
    commands: Vec<Command>,
    deliveries: usize,
}

/// What was done with a page.
#[derive(Default)]
struct Tally {
    events: usize,
    deliveries: usize,
    skipped: BTreeMap<&'static str, usize>,
}

async fn run(
    rooms: &Rooms,
    audit: &Audit,
    what: &'static str,
    filter: &Filter,
    dry_run: bool,
    plan: impl Fn(&Summary) -> Planned + Send,
) -> Result<Answer, Refused> {
    let page = filter.page(rooms).await?;
    let mut tally = Tally::default();
    let mut commands = Vec::new();
    for event in &page.events {
        let planned = plan(event);
        if planned.commands.is_empty() {
            *tally.skipped.entry("nothing to do").or_default() += 1;
            continue;
        }
        if dry_run {
            tally.events += 1;
            tally.deliveries += planned.deliveries;
        }
        // How many deliveries each would be: a copy does not say.
        commands.extend(
            planned
                .commands
                .into_iter()
                .map(|command| (event.seq, planned.deliveries, command)),
        );
    }
    if !dry_run {
        steer(rooms, commands, &mut tally).await?;
        if tally.events > 0 {
            audit.many(what, tally.events, tally.deliveries);
        }
    }
    Ok(refused::ok(&json!({
        "dry_run": dry_run,
        "events": tally.events,
        "deliveries": tally.deliveries,
        "skipped": tally.skipped,
        "cursor": cursor_text(page.cursor),
        "scanned": page.scanned,
    })))
}

async fn steer(
    rooms: &Rooms,
    commands: Vec<(crate::event::Seq, usize, Command)>,
    tally: &mut Tally,
) -> Result<(), Refused> {
    let mut last = None;
    for chunk in commands.chunks(COMMANDS_MAX) {
        let only = chunk
            .iter()
            .map(|(_, _, command)| command.clone())
            .collect();
        let steered = rooms.store.steer(only).await?;
        for ((seq, planned, _), steered) in chunk.iter().zip(steered) {
            let deliveries = match steered {
                Steered::Done { deliveries } => deliveries,
                Steered::Copied { .. } => *planned,
                Steered::Nothing(why) => {
                    *tally.skipped.entry(why).or_default() += 1;
                    continue;
                }
                Steered::NotFound => {
                    *tally.skipped.entry("no longer kept").or_default() += 1;
                    continue;
                }
            };
            tally.deliveries += deliveries;
            tally.events += usize::from(last.replace(*seq) != Some(*seq));
        }
    }
    Ok(())
}

//! Many events at one time, a bounded page a call: whoever asks counts first (`dry_run`), goes on at the cursor, and
//! decides how fast.

use super::filter::{Filter, cursor_text};
use super::{Refused, Rooms, audit::Audit, call::Call, refused};
use crate::event::TargetId;
use crate::http::Answer;
use crate::store::{COMMANDS_MAX, Command, DISCARDED_ALREADY, State, Steered, Summary};
use serde_json::json;
use std::collections::BTreeMap;

/// `POST /api/v1/events/replay`
pub(super) async fn replay(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let asked = asked(&mut call)?;
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
            ..Planned::default()
        }
    };
    let job = Job {
        what: "replay",
        asked,
        audit: Audit::of(&call),
        dry_run,
    };
    run(&rooms, &job, &filter, plan).await
}

/// `POST /api/v1/events/discard`
pub(super) async fn discard(rooms: Rooms, mut call: Call) -> Result<Answer, Refused> {
    let asked = asked(&mut call)?;
    let filter = Filter::read(&rooms, &mut call.params, "filter.")?;
    let forget = call.params.flag("forget")?;
    let dry_run = call.params.flag("dry_run")?;
    call.params.finish()?;
    let plan = |event: &Summary| {
        let seq = event.seq;
        let mut planned = Planned::default();
        for delivery in filter.deliveries(event) {
            let is_discarded = delivery.reason == Some("discarded");
            match delivery.state {
                // What is delivered has nothing to be discarded.
                State::Delivered => continue,
                State::Dead if is_discarded && !forget => {
                    planned.why = Some(DISCARDED_ALREADY);
                    continue;
                }
                State::Dead => planned.forgotten += 1,
                State::Pending => planned.discarded += 1,
            }
            planned.deliveries += 1;
            planned.commands.push(Command::Discard {
                seq,
                target: Some(delivery.target),
                forget,
            });
        }
        planned
    };
    let job = Job {
        what: "discard",
        asked,
        audit: Audit::of(&call),
        dry_run,
    };
    run(&rooms, &job, &filter, plan).await
}

/// What is asked for, in words for the audit log. That every event is meant has to be said: an empty body is soon sent.
fn asked(call: &mut Call) -> Result<String, Refused> {
    let asked = call.params.said();
    let filtered = call.params.filled("filter")?;
    if !call.params.flag("all")? && !filtered {
        return Err(Refused::bad(
            "which events? accepted: a filter with something in it, or all: true for every event that is kept",
        ));
    }
    Ok(asked)
}

/// What is asked for, by whom.
struct Job {
    what: &'static str,
    /// In the words of whoever asks.
    asked: String,
    audit: Audit,
    dry_run: bool,
}

/// What is to be done with one event.
#[derive(Default)]
struct Planned {
    commands: Vec<Command>,
    deliveries: usize,
    /// Deliveries of a discard that wait, and dead letters.
    discarded: usize,
    forgotten: usize,
    /// Why nothing is to be done, if it is not that there is nothing.
    why: Option<&'static str>,
}

/// What was done with a page.
#[derive(Default)]
struct Tally {
    events: usize,
    deliveries: usize,
    discarded: usize,
    forgotten: usize,
    skipped: BTreeMap<&'static str, usize>,
}

async fn run(
    rooms: &Rooms,
    job: &Job,
    filter: &Filter,
    plan: impl Fn(&Summary) -> Planned + Send,
) -> Result<Answer, Refused> {
    let page = filter.page(rooms).await?;
    let mut tally = Tally::default();
    let mut commands = Vec::new();
    for event in &page.events {
        let planned = plan(event);
        if planned.commands.is_empty() {
            let why = planned.why.unwrap_or("nothing to do");
            *tally.skipped.entry(why).or_default() += 1;
            continue;
        }
        if job.dry_run {
            tally.events += 1;
            tally.deliveries += planned.deliveries;
            tally.discarded += planned.discarded;
            tally.forgotten += planned.forgotten;
        }
        // How many deliveries each would be: a copy does not say.
        commands.extend(
            planned
                .commands
                .into_iter()
                .map(|command| (event.seq, planned.deliveries, command)),
        );
    }
    let is_discard = job.what == "discard";
    if !job.dry_run {
        steer(rooms, commands, &mut tally).await?;
        if tally.events > 0 {
            let outcome = if is_discard {
                format!(
                    "{} discarded, {} forgotten",
                    tally.discarded, tally.forgotten
                )
            } else {
                format!("{} deliveries", tally.deliveries)
            };
            job.audit.many(job.what, &job.asked, tally.events, &outcome);
        }
    }
    let mut answer = json!({
        "dry_run": job.dry_run,
        "events": tally.events,
        "deliveries": tally.deliveries,
        "skipped": tally.skipped,
        "cursor": cursor_text(page.cursor),
        "scanned": page.scanned,
    });
    if is_discard {
        answer["discarded"] = tally.discarded.into();
        answer["forgotten"] = tally.forgotten.into();
    }
    Ok(refused::ok(&answer))
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
                Steered::Discarded { buried, forgotten } => {
                    tally.discarded += buried;
                    tally.forgotten += forgotten;
                    buried + forgotten
                }
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

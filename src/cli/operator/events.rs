//! `hookgate events`: what came, where it stands, and to deliver it again or discard it.

use super::ask::path;
use super::bulk::{self, Bulk};
use super::page::{self, Amount, Shown};
use super::table::{Table, cell, plain};
use super::when::when;
use super::{Gateway, print, runtime, show};
use crate::cli::Failure;
use serde_json::{Map, Value, json};

/// What `--help` says at length.
pub(in crate::cli) const LONG: &str = "\
Looks at the events of a running gateway through its admin API, delivers them again, or discards them.\n\n\
The gateway's address and token come from the configuration (admin.listen, admin.token), or from --admin and \
HOOKGATE_ADMIN_TOKEN. Secrets of sources need not be set.";

const EXAMPLES: &str = "\
Examples:
  hookgate events list --state dead --since 2h
  hookgate events list --source chatmefy --vendor-id evt_42
  hookgate events show 0197c2d4-6a5e-7abc-8def-0123456789ab
  hookgate events replay 0197c2d4-6a5e-7abc-8def-0123456789ab --to http://127.0.0.1:4000/test
  hookgate events replay --state dead --target orders --dry-run       how many would it be
  hookgate events replay --state dead --target orders --rate 50/s
  hookgate events discard --state dead --until 2026-01-01T00:00:00Z";

const REPLAY_NOTES: &str = "\
A replay keeps the event's id and dedupe key and adds Hookgate-Replay: 1, 2 ..., so that an app that remembers them \
knows it again; with --new-id it is another event. To a URL it is one attempt, whose outcome is printed: nothing of it \
is kept.";

const DISCARD_NOTES: &str = "\
What waits becomes a dead letter (`discarded`), which a replay still delivers; a dead letter is forgotten for good, and \
its event with the last of them. A dead letter that was discarded before stays, so that the same command twice deletes \
nothing: --forget forgets it too.";

/// Options of `events`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List events, newest first
    List(List),
    /// Show one event with its headers, body and attempts
    Show(Show),
    /// Deliver an event again, or all that a filter means
    #[command(after_help = REPLAY_NOTES)]
    Replay(Replay),
    /// Give up what waits of an event and forget its dead letters, or those of all that a filter means
    #[command(after_help = DISCARD_NOTES)]
    Discard(Discard),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The event's id: Hookgate-Event-Id, or from a list
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, clap::Args)]
struct Replay {
    /// The event's id; without it, the filter says which events
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Deliver to this target, or make one attempt at this URL, instead of where it went
    #[arg(long, value_name = "TARGET|URL")]
    to: Option<String>,
    /// As another event, with an id and a dedupe key of its own
    #[arg(long)]
    new_id: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    bulk: Bulk,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, clap::Args)]
struct Discard {
    /// The event's id (with --target, at that target alone); without it, the filter says which events
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Forget for good also what was discarded before
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    bulk: Bulk,
    #[command(flatten)]
    gateway: Gateway,
}

/// Which events.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filter")]
struct Filter {
    /// Of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// For this target
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Of this type; * is any run of characters
    #[arg(long = "type", value_name = "PATTERN")]
    event_type: Option<String>,
    /// Where it stands, at the target or anywhere
    #[arg(long, value_name = "STATE", value_parser = ["pending", "delivered", "dead"])]
    state: Option<String>,
    /// Received at this time (RFC 3339) or later, or within the last 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<String>,
    /// Received before this time, as above
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<String>,
    /// With this Hookgate-Dedupe-Key
    #[arg(long, value_name = "HEX")]
    key: Option<String>,
    /// With this id of the vendor's; repeated for one that is joined of parts
    #[arg(long = "vendor-id", value_name = "TEXT")]
    vendor_ids: Vec<String>,
}

impl Filter {
    /// Its parameters in the API.
    fn params(&self) -> Vec<(&'static str, String)> {
        let single = [
            ("source", self.source.clone()),
            ("target", self.target.clone()),
            ("type", self.event_type.clone()),
            ("state", self.state.clone()),
            ("from", self.since.clone()),
            ("to", self.until.clone()),
            ("key", self.key.clone()),
        ];
        let single = single
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let vendor_ids = self.vendor_ids.iter().map(|id| ("vendor_id", id.clone()));
        single.chain(vendor_ids).collect()
    }

    /// The same as a body has it.
    fn body(&self) -> Value {
        let mut body = Map::new();
        for (name, value) in self.params() {
            if name != "vendor_id" {
                body.insert(name.to_owned(), value.into());
            }
        }
        if !self.vendor_ids.is_empty() {
            body.insert("vendor_id".to_owned(), json!(self.vendor_ids));
        }
        body.into()
    }

    /// Says in a body which of many are meant: all, where nothing narrows them.
    fn put(&self, body: &mut Map<String, Value>) {
        if self.is_empty() {
            body.insert("all".to_owned(), true.into());
        } else {
            body.insert("filter".to_owned(), self.body());
        }
    }

    fn is_empty(&self) -> bool {
        self.params().is_empty()
    }
}

/// Runs the command.
pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => runtime()?.block_on(list(args)),
        Command::Show(args) => runtime()?.block_on(show(args)),
        Command::Replay(args) => {
            one_or_many(args.id.as_ref(), &args.filter, &args.bulk)?;
            runtime()?.block_on(replay(args))
        }
        Command::Discard(args) => {
            let mut filter = args.filter.clone();
            if args.id.is_some() {
                // Of one event, it says at which target.
                filter.target = None;
            }
            one_or_many(args.id.as_ref(), &filter, &args.bulk)?;
            runtime()?.block_on(discard(args))
        }
    }
}

/// An id or a filter: to mean every event, one has to say so.
fn one_or_many(id: Option<&String>, filter: &Filter, bulk: &Bulk) -> Result<(), Failure> {
    let said = match (id, filter.is_empty()) {
        (Some(_), false) => "an ID names one event, and a filter many; give one of them",
        (Some(_), true) if bulk.is_used() => {
            "--all, --dry-run, --rate and --cursor are for the events of a filter, not for one ID"
        }
        (None, true) if !bulk.all => {
            "which events? give an ID, a filter such as --state dead, or --all"
        }
        _ => return Ok(()),
    };
    Err(Failure::Usage(said.to_owned()))
}

async fn list(args: &List) -> Result<(), Failure> {
    let ask = args.gateway.find()?;
    let shown = Shown {
        under: "events",
        json: args.gateway.json,
        table: Table::new(&["RECEIVED", "ID", "SOURCE", "TYPE", "DELIVERIES"]),
        row: &|event| {
            let mut row: Vec<String> = ["received_at", "id", "source", "type"]
                .map(|name| cell(&event[name]))
                .to_vec();
            row.push(deliveries(event));
            row
        },
    };
    let listed = page::list(&ask, "/events", &args.filter.params(), &args.amount, shown).await?;
    if !listed.any && !args.gateway.json {
        eprintln!("no events");
    }
    Ok(())
}

/// `orders: dead (expired), audit: delivered`
fn deliveries(event: &Value) -> String {
    let deliveries = event["deliveries"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let delivery = |delivery: &Value| {
        let reason = match delivery["reason"].as_str() {
            Some(reason) => format!(" ({reason})"),
            None => String::new(),
        };
        let (target, state) = (cell(&delivery["target"]), cell(&delivery["state"]));
        format!("{target}: {state}{reason}")
    };
    let shown: Vec<String> = deliveries.iter().map(delivery).collect();
    shown.join(", ")
}

async fn show(args: &Show) -> Result<(), Failure> {
    let ask = args.gateway.find()?;
    let event = ask.get(&path(&["events", &args.id]), &[]).await?;
    if args.gateway.json {
        print(&format!("{event}\n"))
    } else {
        print(&show::event(&event))
    }
}

async fn replay(args: &Replay) -> Result<(), Failure> {
    let ask = args.gateway.find()?;
    let mut body = Map::new();
    if let Some(to) = &args.to {
        body.insert("to".to_owned(), to.clone().into());
    }
    if args.new_id {
        body.insert("new_id".to_owned(), true.into());
    }
    let Some(id) = &args.id else {
        args.filter.put(&mut body);
        let words = bulk::Words {
            path: "/events/replay",
            doing: "replaying",
            done: "replayed",
        };
        return bulk::run(&ask, &words, body, &args.bulk, args.gateway.json).await;
    };
    let answer = ask
        .post(&path(&["events", id, "replay"]), &body.into())
        .await?;
    if args.gateway.json {
        print(&format!("{answer}\n"))?;
    } else {
        print(&replayed(&answer))?;
    }
    // The outcome of an attempt at a URL is the command's.
    if answer["delivered"] == false {
        Err(Failure::Shown)
    } else {
        Ok(())
    }
}

fn replayed(answer: &Value) -> String {
    let id = cell(&answer["id"]);
    if let Some(delivered) = answer["delivered"].as_bool() {
        let word = if delivered {
            "delivered"
        } else {
            "not delivered"
        };
        let why = match answer["error"].as_str() {
            Some(error) => plain(error),
            None => cell(&answer["status"]),
        };
        let took = cell(&answer["took_ms"]);
        let answered = super::table::plain_lines(answer["answer"].as_str().unwrap_or_default());
        let answered = if answered.is_empty() {
            answered
        } else {
            format!("{answered}\n")
        };
        return format!("{id} {word}: {why}, {took} ms\n{answered}");
    }
    match answer["copy_of"].as_str() {
        Some(of) => format!("{id} is a copy of {of}, and waits for its targets\n"),
        None => format!("{id} waits again, for {}\n", count(&answer["deliveries"])),
    }
}

fn count(deliveries: &Value) -> String {
    let number = deliveries
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    let number = number.unwrap_or_default();
    format!(
        "{number} {}",
        if number == 1 { "target" } else { "targets" }
    )
}

async fn discard(args: &Discard) -> Result<(), Failure> {
    let ask = args.gateway.find()?;
    let mut body = Map::new();
    if args.forget {
        body.insert("forget".to_owned(), true.into());
    }
    let Some(id) = &args.id else {
        args.filter.put(&mut body);
        let words = bulk::Words {
            path: "/events/discard",
            doing: "discarding",
            done: "discarded",
        };
        return bulk::run(&ask, &words, body, &args.bulk, args.gateway.json).await;
    };
    if let Some(target) = &args.filter.target {
        body.insert("target".to_owned(), target.clone().into());
    }
    let answer = ask
        .post(&path(&["events", id, "discard"]), &body.into())
        .await?;
    if args.gateway.json {
        return print(&format!("{answer}\n"));
    }
    print(&discarded(&answer))
}

/// Which of the two it was: one can be undone.
fn discarded(answer: &Value) -> String {
    let id = cell(&answer["id"]);
    let mut said = String::new();
    for (name, became) in [
        (
            "discarded",
            "is a dead letter now, which a replay delivers, for",
        ),
        ("forgotten", "is forgotten for good, for"),
    ] {
        if answer[name] != 0 {
            said += &format!("{id} {became} {}\n", count(&answer[name]));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_said() {
        let cases = [
            (
                json!({ "id": "a", "deliveries": 1 }),
                "a waits again, for 1 target\n",
            ),
            (
                json!({ "id": "a", "deliveries": 2 }),
                "a waits again, for 2 targets\n",
            ),
            (
                json!({ "id": "b", "copy_of": "a" }),
                "b is a copy of a, and waits for its targets\n",
            ),
            (
                json!({ "id": "a", "delivered": true, "status": 200, "error": null, "took_ms": 3, "answer": "" }),
                "a delivered: 200, 3 ms\n",
            ),
            (
                json!({ "id": "a", "delivered": false, "status": null, "error": "cannot connect", "took_ms": 3, "answer": "" }),
                "a not delivered: cannot connect, 3 ms\n",
            ),
        ];
        for (answer, said) in cases {
            assert_eq!(replayed(&answer), said);
        }
        assert_eq!(
            discarded(&json!({ "id": "a", "deliveries": 3, "discarded": 1, "forgotten": 2 })),
            "a is a dead letter now, which a replay delivers, for 1 target\n\
             a is forgotten for good, for 2 targets\n"
        );
        assert_eq!(
            discarded(&json!({ "id": "a", "deliveries": 1, "discarded": 0, "forgotten": 1 })),
            "a is forgotten for good, for 1 target\n"
        );
        let hostile =
            json!({ "id": "a", "delivered": false, "error": "no \u{1b}[2J\u{202e}", "took_ms": 3 });
        assert_eq!(
            replayed(&hostile),
            "a not delivered: no \\u{1b}[2J\\u{202e}, 3 ms\n"
        );
        let event = json!({ "deliveries": [
            { "target": "a", "state": "dead", "reason": "expired" },
            { "target": "b", "state": "delivered", "reason": null },
        ] });
        assert_eq!(deliveries(&event), "a: dead (expired), b: delivered");
    }

    #[test]
    fn an_id_or_a_filter_or_all() {
        let some = Filter {
            state: Some("dead".to_owned()),
            ..Filter::default()
        };
        let none = Filter::default();
        let plain = Bulk::default();
        let all = Bulk {
            all: true,
            ..Bulk::default()
        };
        let id = "a".to_owned();
        let refused = |id: Option<&String>, filter, bulk| one_or_many(id, filter, bulk).is_err();
        assert!(refused(None, &none, &plain));
        assert!(refused(Some(&id), &some, &plain));
        assert!(refused(Some(&id), &none, &all));
        assert!(!refused(None, &none, &all));
        assert!(!refused(None, &some, &plain));
        assert!(!refused(Some(&id), &none, &plain));
    }
}

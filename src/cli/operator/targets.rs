//! `hookgate targets`: how they stand, a pause and its end, and a retry now.

use super::ask::path;
use super::table::{Table, cell};
use super::{Gateway, print, runtime};
use crate::cli::Failure;
use crate::config::size_text;
use serde_json::{Value, json};

/// What `--help` says at length.
pub(in crate::cli) const LONG: &str = "\
Shows how the targets of a running gateway stand, and steers them through its admin API.\n\n\
A paused target takes nothing until it is resumed, also after a restart; its events wait, and nothing is lost. After an \
outage, `retry` asks an app that was down now, and tries now what waits for its time.";

const EXAMPLES: &str = "\
Examples:
  hookgate targets list
  hookgate targets pause orders
  hookgate targets resume orders
  hookgate targets retry orders";

/// Options of `targets`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the targets with what waits for them
    List(Gateway),
    /// Deliver nothing to a target until it is resumed; events wait
    Pause(One),
    /// End a pause
    Resume(One),
    /// Try now what waits for its time, and ask an app that was down
    Retry(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The target
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    gateway: Gateway,
}

/// Runs the command.
pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let runtime = runtime()?;
    match &args.command {
        Command::List(gateway) => runtime.block_on(list(gateway)),
        Command::Pause(one) => runtime.block_on(steer(one, "pause")),
        Command::Resume(one) => runtime.block_on(steer(one, "resume")),
        Command::Retry(one) => runtime.block_on(steer(one, "retry")),
    }
}

async fn list(gateway: &Gateway) -> Result<(), Failure> {
    let answer = gateway.find()?.get("/targets", &[]).await?;
    let targets = answer["targets"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if gateway.json {
        let lines: String = targets.iter().map(|target| format!("{target}\n")).collect();
        return print(&lines);
    }
    let mut table = Table::new(&[
        "NAME", "STATE", "PENDING", "BYTES", "RUNNING", "FAILURES", "URL",
    ]);
    let rows: Vec<Vec<String>> = targets.iter().map(row).collect();
    print(&table.rows(&rows))
}

fn row(target: &Value) -> Vec<String> {
    let state = if target["configured"] == false {
        "removed".to_owned()
    } else {
        cell(&target["state"])
    };
    let bytes = target["pending_bytes"].as_u64().unwrap_or_default();
    vec![
        cell(&target["name"]),
        state,
        cell(&target["pending"]),
        size_text(bytes),
        cell(&target["in_flight"]),
        cell(&target["consecutive_failures"]),
        cell(&target["url"]),
    ]
}

async fn steer(one: &One, what: &str) -> Result<(), Failure> {
    let ask = one.gateway.find()?;
    let target = ask
        .post(&path(&["targets", &one.name, what]), &json!({}))
        .await?;
    if one.gateway.json {
        return print(&format!("{target}\n"));
    }
    print(&said(&target, what))
}

fn said(target: &Value, what: &str) -> String {
    let (name, pending) = (cell(&target["name"]), cell(&target["pending"]));
    match what {
        "pause" => format!("{name} is paused; {pending} deliveries wait\n"),
        "resume" => format!("{name} goes on with {pending} deliveries\n"),
        _ if target["paused"] == true => format!(
            "{name} is paused and tries nothing until it is resumed; {} retries are due then, {pending} deliveries wait\n",
            cell(&target["deliveries"])
        ),
        _ => format!(
            "{name}: {} retries are due now, {pending} deliveries wait\n",
            cell(&target["deliveries"])
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_in_words() {
        let target = json!({ "name": "app", "url": "http://a/", "configured": true, "state": "open", "paused": false,
            "pending": 7, "pending_bytes": 2048, "in_flight": 1, "consecutive_failures": 3, "deliveries": 5 });
        assert_eq!(
            row(&target),
            ["app", "open", "7", "2KiB", "1", "3", "http://a/"]
        );
        assert_eq!(said(&target, "pause"), "app is paused; 7 deliveries wait\n");
        assert_eq!(said(&target, "resume"), "app goes on with 7 deliveries\n");
        assert_eq!(
            said(&target, "retry"),
            "app: 5 retries are due now, 7 deliveries wait\n"
        );
        let mut paused = target;
        paused["paused"] = true.into();
        assert_eq!(
            said(&paused, "retry"),
            "app is paused and tries nothing until it is resumed; 5 retries are due then, 7 deliveries wait\n"
        );
        let removed = json!({ "name": "old", "configured": false, "state": "paused" });
        assert_eq!(row(&removed)[1], "removed");
    }
}

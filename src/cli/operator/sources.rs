//! `hookgate sources`: who sends, how often, and what came of it.

use super::table::{Table, cell};
use super::{Gateway, print, runtime};
use crate::cli::Failure;
use serde_json::Value;

/// What `--help` says at length.
pub(in crate::cli) const LONG: &str = "\
Shows the sources of a running gateway through its admin API: when each last sent an event, what came of its requests \
since the gateway's start, and how many are accepted a second (over the last minute).";

const EXAMPLES: &str = "\
Examples:
  hookgate sources list
  hookgate sources list --json        with the reasons of what was refused";

/// Options of `sources`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the sources
    List(Gateway),
}

/// Runs the command.
pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let Command::List(gateway) = &args.command;
    runtime()?.block_on(list(gateway))
}

async fn list(gateway: &Gateway) -> Result<(), Failure> {
    let answer = gateway.find()?.get("/sources", &[]).await?;
    let sources = answer["sources"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if gateway.json {
        let lines: String = sources.iter().map(|source| format!("{source}\n")).collect();
        return print(&lines);
    }
    let mut table = Table::new(&[
        "NAME",
        "PROVIDER",
        "LAST EVENT",
        "ACCEPTED",
        "DUPLICATE",
        "IGNORED",
        "REJECTED",
        "UNAVAILABLE",
        "PER SECOND",
    ]);
    let rows: Vec<Vec<String>> = sources.iter().map(row).collect();
    print(&table.rows(&rows))
}

fn row(source: &Value) -> Vec<String> {
    let totals = [
        "accepted",
        "duplicate",
        "ignored",
        "rejected",
        "unavailable",
    ];
    let mut row = vec![
        cell(&source["name"]),
        cell(&source["provider"]),
        cell(&source["last_event"]),
    ];
    row.extend(totals.map(|result| cell(&source["totals"][result])));
    row.push(cell(&source["rates"]["accepted"]));
    row
}

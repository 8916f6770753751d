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
  hookgate sources list --json        with all rates";

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
    let total = |result: &str| cell(&source["totals"][result]);
    let mut row = vec![
        cell(&source["name"]),
        cell(&source["provider"]),
        cell(&source["last_event"]),
    ];
    row.extend(["accepted", "duplicate", "ignored"].map(total));
    for (result, reasons) in [("rejected", "rejects"), ("unavailable", "unavailable")] {
        row.push(total(result) + &self::reasons(&source[reasons]));
    }
    row.push(cell(&source["rates"]["accepted"]));
    row
}

/// ` (2 bad_signature, 1 stale)`, or nothing.
fn reasons(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten();
    let some = counts.filter(|(_, count)| **count != 0);
    let some: Vec<String> = some
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if some.is_empty() {
        String::new()
    } else {
        format!(" ({})", some.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_refused_is_shown_with_its_reasons() {
        let shown = row(&json!({
            "name": "erp", "provider": null, "last_event": null,
            "totals": { "accepted": 5, "duplicate": 1, "ignored": 0, "rejected": 3, "unavailable": 0 },
            "rejects": { "bad_signature": 2, "stale": 1, "timeout": 0 },
            "unavailable": { "full": 0 },
            "rates": { "accepted": 0.5 },
        }));
        let expected = [
            "erp",
            "-",
            "-",
            "5",
            "1",
            "0",
            "3 (2 bad_signature, 1 stale)",
            "0",
            "0.5",
        ];
        assert_eq!(shown, expected);
    }
}

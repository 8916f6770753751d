//! `hookgate history`: what was received and handed over, longer than the payloads are kept (`store.history`).

use super::page::{self, Amount, Shown};
use super::table::{Table, cell};
use super::when::when;
use super::{Gateway, runtime};
use crate::cli::Failure;
use serde_json::Value;

/// What `--help` says at length.
pub(in crate::cli) const LONG: &str = "\
Shows what an auditor asks for, through the admin API of a running gateway: which events were received, when, and when \
and to whom each was handed over. It is kept for as long as `store.history` says, without bodies.";

const EXAMPLES: &str = "\
Examples:
  hookgate history --source chatmefy --since 7d
  hookgate history --vendor-id evt_42
  hookgate history --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --limit 100000 --json";

/// Options of `history`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    /// Of this event: Hookgate-Event-Id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// With this id of the vendor's
    #[arg(long, value_name = "TEXT")]
    vendor_id: Option<String>,
    /// Of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Received at this time (RFC 3339) or later, or within the last 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<String>,
    /// Received before this time, as above
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<String>,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    gateway: Gateway,
}

/// Runs the command.
pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    runtime()?.block_on(list(args))
}

async fn list(args: &Args) -> Result<(), Failure> {
    let ask = args.gateway.find()?;
    let query: Vec<(&'static str, String)> = [
        ("id", &args.id),
        ("vendor_id", &args.vendor_id),
        ("source", &args.source),
        ("from", &args.since),
        ("to", &args.until),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.clone()?)))
    .collect();
    let shown = Shown {
        under: "events",
        json: args.gateway.json,
        table: Table::new(&[
            "RECEIVED",
            "ID",
            "SOURCE",
            "TYPE",
            "VENDOR'S ID",
            "HANDED OVER",
        ]),
        row: &row,
    };
    let listed = page::list(&ask, "/history", &query, &args.amount, shown).await?;
    if !listed.any && !args.gateway.json {
        eprintln!("{}", nothing(&listed.last));
    }
    Ok(())
}

/// Why there is nothing.
fn nothing(answer: &Value) -> &'static str {
    if answer["enabled"] == false {
        "nothing: no history is kept, since store.history is not set"
    } else {
        "nothing found"
    }
}

fn row(event: &Value) -> Vec<String> {
    let mut row: Vec<String> = ["received_at", "id", "source", "type", "vendor_id"]
        .map(|name| cell(&event[name]))
        .to_vec();
    let handed = event["handed"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let handed: Vec<String> = handed
        .iter()
        .map(|handed| {
            let [target, outcome, status, at] =
                ["target", "outcome", "status", "at"].map(|name| cell(&handed[name]));
            format!("{target}: {outcome} ({status}) {at}")
        })
        .collect();
    row.push(handed.join(", "));
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_found_is_not_nothing_kept() {
        assert_eq!(nothing(&json!({ "enabled": true })), "nothing found");
        assert!(nothing(&json!({ "enabled": false })).contains("store.history"));
    }
}

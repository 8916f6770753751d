//! A list as the API gives it, page after page, until as many are shown as were asked for.

use super::{Ask, print, table::Table};
use crate::cli::Failure;
use serde_json::Value;

/// Entries that the API gives at one time.
const PAGE_MAX: u64 = 200;

/// How much of a list.
#[derive(Debug, clap::Args)]
pub(super) struct Amount {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Go on where an earlier list has ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// What a list is shown as.
pub(super) struct Shown<'a> {
    /// Where the entries stand in the answer.
    pub(super) under: &'static str,
    pub(super) json: bool,
    pub(super) table: Table,
    pub(super) row: &'a dyn Fn(&Value) -> Vec<String>,
}

/// What a list has come to.
pub(super) struct Listed {
    /// Whether there was anything.
    pub(super) any: bool,
    /// The last answer.
    pub(super) last: Value,
}

/// Shows the entries of `path`.
pub(super) async fn list(
    ask: &Ask,
    path: &str,
    query: &[(&'static str, String)],
    amount: &Amount,
    mut shown: Shown<'_>,
) -> Result<Listed, Failure> {
    let mut left = amount.limit;
    let mut cursor = amount.cursor.clone();
    let mut any = false;
    let mut last = Value::Null;
    while left > 0 {
        let mut query = query.to_vec();
        query.push(("limit", left.min(PAGE_MAX).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let answer = ask.get(path, &query).await?;
        let events = answer[shown.under]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        left = left.saturating_sub(events.len() as u64);
        any |= !events.is_empty();
        if shown.json {
            print(
                &events
                    .iter()
                    .map(|event| format!("{event}\n"))
                    .collect::<String>(),
            )?;
        } else if !events.is_empty() {
            let rows: Vec<Vec<String>> = events.iter().map(shown.row).collect();
            print(&shown.table.rows(&rows))?;
        }
        cursor = answer["cursor"].as_str().map(str::to_owned);
        last = answer;
        if cursor.is_none() {
            break;
        }
    }
    if let Some(cursor) = cursor {
        eprintln!("more: --cursor {cursor}");
    }
    Ok(Listed { any, last })
}

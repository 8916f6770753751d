//! One event with its headers, body and attempts, for a person to read.

use super::table::{Table, cell, plain, plain_lines};
use serde_json::Value;

/// All of it.
pub(super) fn event(event: &Value) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("id", &event["id"]),
        ("source", &event["source"]),
        ("type", &event["type"]),
        ("received", &event["received_at"]),
        ("key", &event["key"]),
        ("replays", &event["replays"]),
    ] {
        text += &format!("{name:<9} {}\n", plain(&cell(value)));
    }
    if event["damaged"] == true {
        text += "damaged   its row fails its checksum: it is not delivered as it stands\n";
    }
    text += &section(
        "deliveries",
        &[
            "TARGET",
            "STATE",
            "ATTEMPTS",
            "NEXT ATTEMPT",
            "REASON",
            "DEAD SINCE",
        ],
        &event["deliveries"],
        |row| {
            [
                "target",
                "state",
                "attempts",
                "next_attempt_at",
                "reason",
                "dead_at",
            ]
            .map(|name| cell(&row[name]))
            .to_vec()
        },
    );
    text += &section(
        "attempts",
        &[
            "AT", "TARGET", "ATTEMPT", "REPLAY", "TOOK", "STATUS", "ERROR", "ANSWER",
        ],
        &event["attempts"],
        |row| {
            vec![
                cell(&row["at"]),
                cell(&row["target"]),
                cell(&row["attempt"]),
                cell(&row["replay"]),
                format!("{} ms", cell(&row["took_ms"])),
                cell(&row["status"]),
                cell(&row["error"]),
                cut(&cell(&row["answer"])),
            ]
        },
    );
    text += "\nheaders\n";
    for header in list(&event["headers"]) {
        let value = match header["secret"].as_str() {
            Some(secret) => format!("(secret {secret}, not kept)"),
            None => cell(&header["value"]),
        };
        text += &format!("  {}: {}\n", cell(&header["name"]), plain(&value));
    }
    let encoding = match event["body_encoding"].as_str() {
        Some("base64") => ", base64",
        _ => "",
    };
    let body = event["body"].as_str().unwrap_or_default();
    text += &format!(
        "\nbody ({} bytes{encoding})\n{}\n",
        cell(&event["body_bytes"]),
        plain_lines(body)
    );
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn section(
    name: &str,
    heads: &[&'static str],
    values: &Value,
    row: impl Fn(&Value) -> Vec<String>,
) -> String {
    let rows: Vec<Vec<String>> = list(values).iter().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = Table::new(heads).rows(&rows);
    let lines: String = table.lines().map(|line| format!("  {line}\n")).collect();
    format!("\n{name}\n{lines}")
}

/// The beginning of an answer; `--json` has more of it.
fn cut(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_is_there_and_nothing_is_obeyed() {
        let shown = event(&json!({
            "id": "0197", "source": "erp", "type": null, "received_at": "2026-01-31T10:30:00.000Z",
            "key": "d4db", "replays": 1, "damaged": false, "body_bytes": 9,
            "deliveries": [{ "target": "app", "state": "dead", "attempts": 2, "next_attempt_at": null,
                "reason": "expired", "dead_at": "2026-01-31T11:30:00.000Z" }],
            "attempts": [{ "target": "app", "attempt": 1, "replay": 0, "at": "2026-01-31T10:30:01.000Z",
                "took_ms": 12, "status": 500, "error": null, "answer": "no\nway", "answer_encoding": "utf-8" }],
            "headers": [{ "name": "x-a", "value": "\u{1b}[2J", "encoding": "utf-8" },
                { "name": "x-token", "value": null, "secret": "new" }],
            "body": "{\"a\":\n1}", "body_encoding": "utf-8",
        }));
        insta::assert_snapshot!(shown);
    }
}

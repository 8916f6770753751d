//! `hookgate rejects`: what a running gateway has refused and keeps; why, and another chance for it.

use super::ask::path;
use super::page::{self, Amount, Shown};
use super::table::{Table, cell, plain, plain_lines};
use super::when::when;
use super::{Ask, Gateway, print, runtime};
use crate::cli::{Failure, explain};
use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

/// What `--help` says at length.
pub(in crate::cli) const LONG: &str = "\
Looks at the requests that a running gateway has refused and keeps, through its admin API, and releases them once what \
refused them is put right. A source keeps them where its configuration says `rejects: {}`: the last 1000, up to 10MiB.\n\n\
Kept are requests whose signature is missing, wrong or stale, as they came, a token among it. Of those without any \
signature there is the head alone, since they are refused before their body is read; they can't be released.";

const EXAMPLES: &str = "\
Examples:
  hookgate rejects list --source erp --since 2h
  hookgate rejects explain 17                        why, and what would make it pass
  hookgate rejects show 17 --raw > request.txt       for hookgate explain, or for curl
  hookgate rejects release --source erp --dry-run    what would become of them
  hookgate rejects release --source erp";

const RELEASE_NOTES: &str = "\
Each is verified again with the gateway's present secrets (one in a file is read anew when it changes), as of the time when \
it was received; what passes becomes an event like any other, the oldest first. An event that was accepted meanwhile is a \
duplicate; one that was accepted longer ago than dedupe.window is delivered again, with the same Hookgate-Dedupe-Key. \
What passes leaves the ring, the rest stays.";

/// Options of `rejects`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List refused requests, newest first
    List(List),
    /// Show one as it came
    Show(Show),
    /// Say why one is refused, as `hookgate explain` does, by the configuration that is here
    Explain(One),
    /// Verify one again, or all that a filter means, and admit what passes
    #[command(after_help = RELEASE_NOTES)]
    Release(Release),
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
struct One {
    /// Its number, from a list
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    gateway: Gateway,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The HTTP request alone, byte for byte
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    one: One,
}

#[derive(Debug, clap::Args)]
struct Release {
    /// Its number; without it, the filter says which
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Every one that is kept, where no filter is given
    #[arg(long)]
    all: bool,
    /// Only say what would become of them
    #[arg(long)]
    dry_run: bool,
    /// Go on where an earlier run was interrupted
    #[arg(long, value_name = "CURSOR", conflicts_with = "id")]
    cursor: Option<String>,
    #[command(flatten)]
    gateway: Gateway,
}

/// Which ones.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filter")]
struct Filter {
    /// Of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Refused for this reason
    #[arg(long, value_name = "REASON", value_parser = ["missing_signature", "bad_signature", "stale"])]
    reason: Option<String>,
    /// Received at this time (RFC 3339) or later, or within the last 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = when)]
    since: Option<String>,
    /// Received before this time, as above
    #[arg(long, value_name = "TIME", value_parser = when)]
    until: Option<String>,
}

impl Filter {
    /// Its parameters in the API.
    fn params(&self) -> Vec<(&'static str, String)> {
        let params = [
            ("source", self.source.clone()),
            ("reason", self.reason.clone()),
            ("from", self.since.clone()),
            ("to", self.until.clone()),
        ];
        let params = params.into_iter();
        params
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
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
        Command::Explain(args) => why(args),
        Command::Release(args) => {
            let said = match (&args.id, args.filter.is_empty()) {
                (Some(_), false) => "an ID names one request, and a filter many; give one of them",
                (Some(_), true) if args.all => "--all is for all of them, not for one ID",
                (None, true) if !args.all => {
                    "which ones? give an ID, a filter such as --source erp, or --all"
                }
                _ => return runtime()?.block_on(release(args)),
            };
            Err(Failure::Usage(said.to_owned()))
        }
    }
}

async fn list(args: &List) -> Result<(), Failure> {
    let ask = args.gateway.find()?;
    let shown = Shown {
        under: "rejects",
        json: args.gateway.json,
        table: Table::new(&[
            "RECEIVED", "ID", "SOURCE", "REASON", "CLIENT", "REQUEST", "BODY",
        ]),
        row: &row,
    };
    let listed = page::list(&ask, "/rejects", &args.filter.params(), &args.amount, shown).await?;
    if !listed.any && !args.gateway.json {
        eprintln!("no refused requests are kept");
    }
    Ok(())
}

fn row(reject: &Value) -> Vec<String> {
    let gone = if reject["configured"] == false {
        " (removed)"
    } else {
        ""
    };
    vec![
        cell(&reject["received_at"]),
        cell(&reject["id"]),
        format!("{}{gone}", cell(&reject["source"])),
        cell(&reject["reason"]),
        cell(&reject["client"]),
        format!("{} {}", cell(&reject["method"]), cell(&reject["target"])),
        body_bytes(reject),
    ]
}

fn body_bytes(reject: &Value) -> String {
    match reject["body_bytes"].as_u64() {
        Some(bytes) => format!("{bytes} bytes"),
        None => "not read".to_owned(),
    }
}

async fn one(args: &One) -> Result<Value, Failure> {
    let ask = args.gateway.find()?;
    ask.get(&path(&["rejects", &args.id]), &[]).await
}

async fn show(args: &Show) -> Result<(), Failure> {
    let reject = one(&args.one).await?;
    if args.raw {
        let raw = raw(&reject).context("what the gateway says of the request")?;
        let mut out = io::stdout().lock();
        let written = out.write_all(&raw).and_then(|()| out.flush());
        written.context("cannot write to stdout")?;
        if reject["body_bytes"].is_null() {
            eprintln!("the body is not in it: the request was refused before it was read");
        }
        return Ok(());
    }
    if args.one.gateway.json {
        print(&format!("{reject}\n"))
    } else {
        print(&page_of(&reject))
    }
}

/// One of them for a person to read.
fn page_of(reject: &Value) -> String {
    let mut text = String::new();
    for name in ["id", "source", "reason", "received_at", "client"] {
        let label = name.trim_end_matches("_at");
        text += &format!("{label:<9} {}\n", plain(&cell(&reject[name])));
    }
    let (method, target) = (cell(&reject["method"]), cell(&reject["target"]));
    text += &format!("request   {method} {}\n\nheaders\n", plain(&target));
    for header in reject["headers"].as_array().into_iter().flatten() {
        let (name, value) = (cell(&header["name"]), cell(&header["value"]));
        text += &format!("  {name}: {}\n", plain(&value));
    }
    let encoding = match reject["body_encoding"].as_str() {
        Some("base64") => ", base64",
        _ => "",
    };
    match reject["body"].as_str() {
        Some(body) => {
            text += &format!(
                "\nbody ({}{encoding})\n{}\n",
                body_bytes(reject),
                plain_lines(body)
            );
        }
        None => {
            text +=
                "\nbody not read: the request was refused by its head, so it can't be released\n";
        }
    }
    text
}

/// The request as `hookgate explain` reads it. Its body is whole, so its length stands in the place of what said how it
/// came: chunks, which are gone.
fn raw(reject: &Value) -> anyhow::Result<Vec<u8>> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
    let (method, target) = (text(&reject["method"])?, text(&reject["target"])?);
    let body = match &reject["body"] {
        Value::Null => None,
        body => Some(bytes(&text(body)?, &reject["body_encoding"])?),
    };
    let mut raw = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for header in reject["headers"].as_array().context("no headers")? {
        let name = text(&header["name"])?;
        if body.is_some() && ["content-length", "transfer-encoding"].contains(&&*name) {
            continue;
        }
        raw.extend_from_slice(format!("{name}: ").as_bytes());
        raw.extend(bytes(&text(&header["value"])?, &header["encoding"])?);
        raw.extend_from_slice(b"\r\n");
    }
    if let Some(body) = &body {
        raw.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    raw.extend_from_slice(b"\r\n");
    raw.extend(body.unwrap_or_default());
    Ok(raw)
}

fn bytes(text: &str, encoding: &Value) -> anyhow::Result<Vec<u8>> {
    match encoding.as_str() {
        Some("base64") => Ok(BASE64_STANDARD.decode(text)?),
        _ => Ok(text.as_bytes().to_vec()),
    }
}

fn why(args: &One) -> Result<(), Failure> {
    let reject = runtime()?.block_on(one(args))?;
    let raw = raw(&reject).context("what the gateway says of the request")?;
    let source = cell(&reject["source"]);
    let received_at = cell(&reject["received_at"]);
    explain::kept(&raw, &args.gateway.config, &source, &received_at)
}

/// What became of them so far.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, answer: &Value) {
        for outcome in answer["outcomes"].as_array().into_iter().flatten() {
            *self.counts.entry(cell(&outcome["outcome"])).or_default() += 1;
            if let Some(why) = outcome["why"].as_str() {
                *self.refused.entry(why.to_owned()).or_default() += 1;
            }
        }
    }

    fn text(&self, dry_run: bool) -> String {
        if self.counts.is_empty() {
            return "there are none\n".to_owned();
        }
        let counts = self.counts.iter();
        let counts: Vec<String> = counts
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        let would = if dry_run { "would be: " } else { "" };
        let mut text = format!("{would}{}\n", counts.join(", "));
        for (why, count) in &self.refused {
            text += &format!("{count} stay: {}\n", plain(why));
        }
        text
    }
}

async fn release(args: &Release) -> Result<(), Failure> {
    let ask = args.gateway.find()?;
    if let Some(id) = &args.id {
        let body = json!({ "dry_run": args.dry_run });
        let answer = ask.post(&path(&["rejects", id, "release"]), &body).await?;
        let text = if args.gateway.json {
            format!("{answer}\n")
        } else {
            released(&answer, args.dry_run)
        };
        print(&text)?;
        return still(answer["outcome"] == "refused");
    }
    let mut tally = Tally::default();
    let mut cursor = args.cursor.clone();
    loop {
        let answer = match next_page(&ask, args, cursor.as_deref()).await {
            Ok(answer) => answer,
            Err(failure) => {
                print(&tally.text(args.dry_run))?;
                let cursor =
                    cursor.map_or_else(String::new, |cursor| format!(" --cursor {cursor}"));
                eprintln!("not all is done; the same command goes on with{cursor}");
                return Err(failure);
            }
        };
        tally.add(&answer);
        if args.gateway.json {
            let outcomes = answer["outcomes"].as_array().into_iter().flatten();
            print(
                &outcomes
                    .map(|outcome| format!("{outcome}\n"))
                    .collect::<String>(),
            )?;
        }
        cursor = answer["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if !args.gateway.json {
        print(&tally.text(args.dry_run))?;
    }
    still(!tally.refused.is_empty())
}

async fn next_page(ask: &Ask, args: &Release, cursor: Option<&str>) -> Result<Value, Failure> {
    let mut body = Map::new();
    for (name, value) in args.filter.params() {
        body.insert(name.to_owned(), value.into());
    }
    body.insert("dry_run".to_owned(), args.dry_run.into());
    body.insert("limit".to_owned(), 200.into());
    if let Some(cursor) = cursor {
        body.insert("cursor".to_owned(), cursor.into());
    }
    ask.post("/rejects/release", &body.into()).await
}

/// What became of one.
fn released(answer: &Value, dry_run: bool) -> String {
    let id = cell(&answer["id"]);
    let would = if dry_run { "would be " } else { "" };
    let outcome = cell(&answer["outcome"]);
    let more = match (answer["event_id"].as_str(), answer["why"].as_str()) {
        (Some(event), _) => format!(", event {event}"),
        (None, Some(why)) => format!(": {}", plain(why)),
        (None, None) => String::new(),
    };
    format!("{id} {would}{outcome}{more}\n")
}

/// That some are still refused is the command's outcome.
fn still(refused: bool) -> Result<(), Failure> {
    if refused { Err(Failure::Shown) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_request_is_what_explain_reads() {
        let reject = json!({
            "method": "POST", "target": "/in?x=1",
            "headers": [
                { "name": "host", "value": "a", "encoding": "utf-8" },
                { "name": "transfer-encoding", "value": "chunked", "encoding": "utf-8" },
                { "name": "x-b", "value": "/w==", "encoding": "base64" },
            ],
            "body": "aGkK/w==", "body_encoding": "base64", "body_bytes": 4,
        });
        let expected =
            b"POST /in?x=1 HTTP/1.1\r\nhost: a\r\nx-b: \xff\r\ncontent-length: 4\r\n\r\nhi\n\xff";
        assert_eq!(raw(&reject).expect("a request"), expected);
        let mut head = reject;
        head["body"] = Value::Null;
        let raw = raw(&head).expect("a request");
        assert!(raw.ends_with(b"chunked\r\nx-b: \xff\r\n\r\n"), "as it came");
    }

    #[test]
    fn what_became_of_them_is_said() {
        let mut tally = Tally::default();
        assert_eq!(tally.text(false), "there are none\n");
        tally.add(&json!({ "outcomes": [
            { "id": 1, "outcome": "accepted", "event_id": "e" },
            { "id": 2, "outcome": "refused", "reason": "bad_signature", "why": "signature matches no secret" },
            { "id": 3, "outcome": "accepted", "event_id": "f" },
        ] }));
        assert_eq!(
            tally.text(true),
            "would be: 2 accepted, 1 refused\n1 stay: signature matches no secret\n"
        );
        let cases = [
            (
                json!({ "id": 1, "outcome": "accepted", "event_id": "e" }),
                "1 accepted, event e\n",
            ),
            (
                json!({ "id": 1, "outcome": "duplicate", "event_id": null }),
                "1 duplicate\n",
            ),
            (
                json!({ "id": 1, "outcome": "refused", "reason": "x", "why": "no\u{1b}[2J" }),
                "1 refused: no\\u{1b}[2J\n",
            ),
        ];
        for (answer, said) in cases {
            assert_eq!(released(&answer, false), said);
        }
    }

    #[test]
    fn a_page_shows_nothing_that_a_terminal_obeys() {
        let reject = json!({
            "id": 17, "source": "erp", "reason": "bad_signature", "received_at": "2026-01-31T10:30:00.000Z",
            "client": "192.0.2.1", "method": "POST", "target": "/in", "body": "a\u{1b}[2J\nb", "body_encoding": "utf-8",
            "body_bytes": 7, "headers": [{ "name": "x-a", "value": "\u{7}", "encoding": "utf-8" }],
        });
        let expected = "\
id        17
source    erp
reason    bad_signature
received  2026-01-31T10:30:00.000Z
client    192.0.2.1
request   POST /in

headers
  x-a: \\u{7}

body (7 bytes)
a\\u{1b}[2J
b
";
        assert_eq!(page_of(&reject), expected);
    }
}

//! Many events at one time: counted first, then done page by page, at the pace that was asked for, with a bar; when it is
//! interrupted it says where to go on.

use super::{Ask, print};
use crate::cli::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::time::Instant;

/// Events that the gateway handles in one call.
const PAGE_MAX: u64 = 200;

/// How many events at one time, and how.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Many events")]
pub(super) struct Bulk {
    /// Every event that is kept, where no filter is given
    #[arg(long)]
    pub(super) all: bool,
    /// Only count what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Events a second at most (50, 50/s, 600/m)
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Go on where an earlier run was interrupted
    #[arg(long, value_name = "CURSOR")]
    pub(super) cursor: Option<String>,
}

impl Bulk {
    /// Whether it says anything.
    pub(super) fn is_used(&self) -> bool {
        self.all || self.dry_run || self.rate.is_some() || self.cursor.is_some()
    }
}

/// What is done.
pub(super) struct Words {
    pub(super) path: &'static str,
    pub(super) doing: &'static str,
    pub(super) done: &'static str,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    deliveries: u64,
    /// Of a discard: what became a dead letter, and what is gone.
    ends: Option<[u64; 2]>,
    skipped: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, answer: &Value) {
        let number = |name: &str| answer[name].as_u64().unwrap_or_default();
        self.events += number("events");
        self.deliveries += number("deliveries");
        if answer["forgotten"].is_u64() {
            let [discarded, forgotten] = self.ends.get_or_insert_default();
            *discarded += number("discarded");
            *forgotten += number("forgotten");
        }
        for (why, number) in answer["skipped"].as_object().into_iter().flatten() {
            let number = number.as_u64().unwrap_or_default();
            *self.skipped.entry(why.clone()).or_default() += number;
        }
    }

    fn text(&self, what: &str) -> String {
        let mut text = format!(
            "{what}: {} events, {} deliveries\n",
            self.events, self.deliveries
        );
        if let Some([discarded, forgotten]) = self.ends {
            text += &format!(
                "dead letters that a replay delivers: {discarded}; forgotten for good: {forgotten}\n"
            );
        }
        for (why, number) in &self.skipped {
            text += &format!("skipped {number}: {why}\n");
        }
        text
    }

    fn json(&self, dry_run: bool, cursor: Option<&String>) -> Value {
        let mut json = json!({
            "dry_run": dry_run,
            "events": self.events,
            "deliveries": self.deliveries,
            "skipped": self.skipped,
            "cursor": cursor,
        });
        if let Some([discarded, forgotten]) = self.ends {
            json["discarded"] = discarded.into();
            json["forgotten"] = forgotten.into();
        }
        json
    }
}

/// How a run ended.
struct Ended {
    tally: Tally,
    /// Where to go on; `None`: all is done.
    cursor: Option<String>,
    failure: Option<Failure>,
}

/// Does it to all events that `body` means.
pub(super) async fn run(
    ask: &Ask,
    words: &Words,
    body: Map<String, Value>,
    bulk: &Bulk,
    json: bool,
) -> Result<(), Failure> {
    let mut interrupted = pin!(interrupted());
    let counting = ProgressBar::new_spinner().with_message("counting");
    let run = Run {
        ask,
        words,
        body: &body,
        bar: &counting,
    };
    let counted = run
        .pages(bulk.cursor.clone(), true, None, interrupted.as_mut())
        .await;
    counting.finish_and_clear();
    let ended = match counted {
        Ended {
            failure: Some(failure),
            ..
        } => return Err(failure),
        // Interrupted while counting: nothing was done.
        Ended {
            cursor: Some(_), ..
        } => return Err(Failure::Shown),
        counted if bulk.dry_run => counted,
        counted => {
            let bar = bar(counted.tally.events, words.doing);
            let run = Run {
                ask,
                words,
                body: &body,
                bar: &bar,
            };
            let ended = run
                .pages(bulk.cursor.clone(), false, bulk.rate, interrupted.as_mut())
                .await;
            bar.finish_and_clear();
            ended
        }
    };
    if json {
        print(&format!(
            "{}\n",
            ended.tally.json(bulk.dry_run, ended.cursor.as_ref())
        ))?;
    } else if bulk.dry_run {
        print(&ended.tally.text(&format!("would be {}", words.done)))?;
    } else {
        print(&ended.tally.text(words.done))?;
    }
    match (ended.failure, ended.cursor) {
        (None, None) => Ok(()),
        (failure, cursor) => {
            let cursor = cursor.map_or_else(String::new, |cursor| format!(" --cursor {cursor}"));
            eprintln!("not all is done; the same command goes on with{cursor}");
            Err(failure.unwrap_or(Failure::Shown))
        }
    }
}

/// One run over all pages.
struct Run<'a> {
    ask: &'a Ask,
    words: &'a Words,
    body: &'a Map<String, Value>,
    bar: &'a ProgressBar,
}

impl Run<'_> {
    async fn pages(
        &self,
        mut cursor: Option<String>,
        dry_run: bool,
        rate: Option<f64>,
        mut interrupted: Pin<&mut impl Future<Output = ()>>,
    ) -> Ended {
        let begun = Instant::now();
        let mut tally = Tally::default();
        loop {
            let mut body = self.body.clone();
            body.insert("dry_run".to_owned(), dry_run.into());
            body.insert("limit".to_owned(), page_of(rate).into());
            if let Some(cursor) = &cursor {
                body.insert("cursor".to_owned(), cursor.clone().into());
            }
            // A page that was asked for is waited for: whether it was done must be known.
            let answer = match self.ask.post(self.words.path, &body.into()).await {
                Ok(answer) => answer,
                Err(failure) => {
                    return Ended {
                        tally,
                        cursor,
                        failure: Some(failure),
                    };
                }
            };
            tally.add(&answer);
            self.bar.set_position(tally.events);
            cursor = answer["cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ended {
                    tally,
                    cursor,
                    failure: None,
                };
            }
            let due = begun + due(tally.events, rate);
            tokio::select! {
                biased;
                () = interrupted.as_mut() => return Ended { tally, cursor, failure: None },
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }
}

/// A second's worth, so that a slow pace is an even one.
fn page_of(rate: Option<f64>) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 200"
    )]
    rate.map_or(PAGE_MAX, |rate| rate.clamp(1.0, 200.0) as u64)
}

/// How long so many events take at this pace.
fn due(events: u64, rate: Option<f64>) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 events")]
    rate.map_or(Duration::ZERO, |rate| {
        Duration::from_secs_f64(events as f64 / rate)
    })
}

/// Resolves at SIGINT. Where it cannot be listened for, the signal ends the process.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Shown on stderr, and only on a terminal.
fn bar(events: u64, doing: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}  {per_sec}  {eta} left")
        .expect("the template is valid");
    ProgressBar::new(events)
        .with_style(style)
        .with_message(doing)
}

/// Reads `--rate`.
fn rate(text: &str) -> Result<f64, String> {
    let (number, seconds) = match text.split_once('/') {
        None => (text, 1.0),
        Some((number, "s")) => (number, 1.0),
        Some((number, "m")) => (number, 60.0),
        Some((number, "h")) => (number, 3_600.0),
        Some(_) => ("", 1.0),
    };
    let number: Option<u32> = number.parse().ok().filter(|number| *number > 0);
    number
        .map(|number| f64::from(number) / seconds)
        .ok_or_else(|| {
            "accepted: a whole number above zero, with /s, /m or /h, such as 50/s".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_read_and_kept() {
        assert_eq!(rate("50"), Ok(50.0));
        assert_eq!(rate("50/s"), Ok(50.0));
        assert_eq!(rate("600/m"), Ok(10.0));
        assert_eq!(rate("3600/h"), Ok(1.0));
        for bad in ["", "0", "-1", "x", "5/d", "1.5", "inf", "50/"] {
            rate(bad).expect_err(bad);
        }
        assert_eq!(page_of(None), 200);
        assert_eq!(page_of(Some(0.1)), 1);
        assert_eq!(page_of(Some(50.0)), 50);
        assert_eq!(page_of(Some(1e9)), 200);
        assert_eq!(due(100, Some(50.0)), Duration::from_secs(2));
        assert_eq!(due(100, None), Duration::ZERO);
    }

    #[test]
    fn pages_add_up() {
        let mut tally = Tally::default();
        for deliveries in [2, 3] {
            tally.add(&json!({ "events": 2, "deliveries": deliveries, "skipped": { "no longer kept": 1 } }));
        }
        assert_eq!(
            tally.text("replayed"),
            "replayed: 4 events, 5 deliveries\nskipped 2: no longer kept\n"
        );
        let mut tally = Tally::default();
        for forgotten in [0, 2] {
            tally.add(&json!({ "events": 2, "deliveries": 1 + forgotten, "discarded": 1, "forgotten": forgotten }));
        }
        assert_eq!(
            tally.text("discarded"),
            "discarded: 4 events, 4 deliveries\ndead letters that a replay delivers: 2; forgotten for good: 2\n"
        );
    }
}

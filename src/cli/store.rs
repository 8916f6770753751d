//! `hookgate store`: looks after the file of a store, beside a gateway or while it is stopped.
//!
//! Only the directory has to be known: the configuration need not be right otherwise, nor its secrets set.

use super::{Failure, colour_wanted, count, origin, print};
use crate::{
    config::{self, load},
    store::{
        OpenError,
        backup::{self, Made},
        check::{self, Damage, Progress, Report},
        info::{self, Info},
        salvage::{self, Lost, Salvaged},
    },
};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Looks after the file of a store: what is in it, whether it is whole, copies of it, and what can be saved of a damaged \
one.\n\n\
`info`, `check` and `backup` work beside a running gateway and write nothing to its store; `salvage` needs it stopped. \
The directory comes from store.path of the configuration, which need not be right otherwise, nor its secrets set; or \
from --path.";

/// How much a log may grow by default while we read: a tenth of the default `store.max_size`.
const LOG_GROWTH: &str = "1GiB";

/// Which store.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    #[command(flatten)]
    config: origin::ConfigFile,
    /// The store's directory, instead of store.path
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "env_file"])]
    path: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what is in it: sizes, events, what waits for each target
    #[command(after_help = "\
Examples:
  hookgate store info
  hookgate store info --path /var/lib/hookgate --json")]
    Info {
        #[command(flatten)]
        place: Place,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Find damage: in the log, the pages, every payload, and between the tables
    #[command(
        long_about = "\
Finds damage: in the write-ahead log, in the structure of the pages, in every payload (by its checksum), and between the \
tables. Each one is said with the event, its source, what waits for it, and what to do. The exit code is 0 if nothing is \
damaged and 74 if something is. Nothing is changed.",
        after_help = "\
Examples:
  hookgate store check -c /etc/hookgate/hookgate.yaml
  hookgate store check --path backup/"
    )]
    Check {
        #[command(flatten)]
        place: Place,
        /// How much the log of a running gateway may grow because of one step; what is left out then is said
        #[arg(long, value_name = "SIZE", default_value = LOG_GROWTH, value_parser = size)]
        log_growth: u64,
    },
    /// Copy it while the gateway runs, as it is at one moment
    #[command(
        long_about = "\
Copies the store as it is at one moment, also while a gateway writes to it. The copy is checked, synced, and readable by \
its owner alone; nothing is overwritten. Put back in place of the store (as hookgate.db, with no hookgate.db-wal beside \
it) it delivers again what was pending at that moment, with the same Hookgate-Event-Id and Hookgate-Dedupe-Key; what was \
received since is not in it, and its senders' retries are taken as new.",
        after_help = "\
Examples:
  hookgate store backup /backup/hookgate-monday.db
  hookgate store backup /backup/monday/          a directory that can be a store.path"
    )]
    Backup {
        #[command(flatten)]
        place: Place,
        /// The file, or the directory that it goes into as hookgate.db
        #[arg(value_name = "FILE|DIR")]
        to: PathBuf,
        /// How much the log of a running gateway may grow meanwhile; beyond it there is no copy
        #[arg(long, value_name = "SIZE", default_value = LOG_GROWTH, value_parser = size)]
        log_growth: u64,
    },
    /// Copy everything that is good in a damaged store into a new one
    #[command(
        long_about = "\
Copies everything that is good in a damaged store into a new one, and lists what is lost. Events keep their ids and \
dedupe keys. What may still wait is delivered again; what waited and is lost becomes a dead letter (corrupt). The \
original is only read, and nothing is overwritten. The gateway has to be stopped; there has to be room for a copy of the \
database and the new one.",
        after_help = "\
Example:
  hookgate store salvage --to data.new && mv data data.damaged && mv data.new data"
    )]
    Salvage {
        #[command(flatten)]
        place: Place,
        /// The new store's directory; missing or empty
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

/// Reads a size as the keys of a file are read.
fn size(text: &str) -> Result<u64, String> {
    config::SIZE.option(text)
}

/// Runs the command.
pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Info { place, json } => {
            let info = info::info(&place.directory()?).map_err(failed)?;
            if *json {
                let text = serde_json::to_string_pretty(&info).map_err(anyhow::Error::new)?;
                return print(&format!("{text}\n"));
            }
            print(&describe(&info))
        }
        Command::Check { place, log_growth } => {
            let directory = place.directory()?;
            let bar = bar();
            let report = check::check(&directory, *log_growth, |progress| show(&bar, progress));
            bar.finish_and_clear();
            let report = report.map_err(failed)?;
            print(&report_text(&report))?;
            damaged_or_not(&report, &directory.display().to_string())
        }
        Command::Backup {
            place,
            to,
            log_growth,
        } => {
            let bar = bar();
            let made = backup::backup(&place.directory()?, to, *log_growth, |done, of| {
                bar.set_message("copying");
                bar.set_length(of);
                bar.set_position(done);
            });
            bar.finish_and_clear();
            let Made {
                file,
                bytes,
                report,
            } = made.map_err(failed)?;
            let file = file.display();
            print(&format!(
                "backup   {file}, {}\n{}",
                amount(bytes),
                report_text(&report)
            ))?;
            damaged_or_not(
                &report,
                &format!("{file} is a whole copy of a damaged store"),
            )
        }
        Command::Salvage { place, to } => {
            let bar = bar();
            let saved = salvage::salvage(&place.directory()?, to, |progress| match progress {
                salvage::Progress::Copying => bar.set_message("copying"),
                salvage::Progress::Payloads { seq } => bar.set_message(format!("event {seq}")),
                salvage::Progress::Tables => bar.set_message("tables"),
            });
            bar.finish_and_clear();
            print(&salvaged_text(&saved.map_err(failed)?, to))
        }
    }
}

impl Place {
    fn directory(&self) -> Result<PathBuf, Failure> {
        match &self.path {
            Some(path) => Ok(path.clone()),
            None => load::store_path(&self.config.find()?, &self.config.environment()?)
                .map_err(Failure::Config),
        }
    }
}

fn failed(error: OpenError) -> Failure {
    Failure::Store(error.into())
}

fn damaged_or_not(report: &Report, what: &str) -> Result<(), Failure> {
    if report.is_clean() {
        return Ok(());
    }
    let number = report.damages.len() + usize::try_from(report.more).unwrap_or(usize::MAX);
    Err(Failure::Store(anyhow::anyhow!(
        "{what}: {} found",
        count(number, "damage")
    )))
}

/// Shown on stderr, and only on a terminal.
fn bar() -> ProgressBar {
    let template = if colour_wanted(&std::io::stderr()) {
        "{bar:40.cyan} {msg}"
    } else {
        "{bar:40} {msg}"
    };
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(1).with_style(style)
}

fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Structure => bar.set_message("structure"),
        Progress::Payloads { seq, last } => {
            bar.set_message("payloads");
            bar.set_length(last.max(1));
            bar.set_position(seq);
        }
        Progress::Tables => bar.set_message("tables"),
    }
}

fn describe(info: &Info) -> String {
    let mut text = format!(
        "store    {} (format {}, readable from {}; hookgate {}, SQLite {})\n\
         file     {}, of which {} are free; log {}\n\
         events   {}, oldest {}, newest {}, last number {}\n\
         keys     {}\n",
        info.path,
        info.format,
        info.min_reader,
        info.hookgate,
        info.sqlite,
        amount(info.file_bytes),
        amount(info.free_bytes),
        amount(info.log_bytes),
        info.events,
        moment(info.oldest_ms),
        moment(info.newest_ms),
        info.last_seq,
        info.keys,
    );
    for target in &info.targets {
        text += &format!(
            "target   {}: {} pending ({}), oldest {}, next retry {}; {} dead ({})\n",
            target.name,
            target.pending,
            amount(target.pending_bytes),
            moment(target.oldest_pending_ms),
            moment(target.next_retry_ms),
            target.dead,
            amount(target.dead_bytes),
        );
    }
    for source in &info.sources {
        let last = moment(source.last_received_ms);
        text += &format!("source   {}: last received {last}\n", source.name);
    }
    text
}

fn report_text(report: &Report) -> String {
    let mut text = String::new();
    for damage in &report.damages {
        let Damage {
            what,
            event,
            seq,
            source,
            waits_for,
            advice,
        } = damage;
        let whose = whose(event.as_deref(), *seq, source.as_deref());
        let waits = if waits_for.is_empty() {
            String::new()
        } else {
            format!(" It waits for {}.", waits_for.join(", "))
        };
        text += &format!("damage   {whose}{what}.{waits}\n         {advice}\n");
    }
    if report.more > 0 {
        text += &format!("         and {} more\n", report.more);
    }
    for note in &report.notes {
        text += &format!("note     {note}\n");
    }
    let (events, keys) = (report.events, report.keys);
    let bytes = amount(report.bytes);
    text + &format!("proven   {events} payloads ({bytes}), {keys} keys\n")
}

fn salvaged_text(saved: &Salvaged, to: &std::path::Path) -> String {
    let mut text = String::new();
    for lost in &saved.lost {
        let Lost {
            seq,
            event,
            source,
            waited_for,
            what,
        } = lost;
        let whose = whose(event.as_deref(), Some(*seq), source.as_deref());
        let waited = if waited_for.is_empty() {
            String::new()
        } else {
            let targets = waited_for.join(", ");
            format!("; it waited for {targets}, where it is a dead letter (corrupt) now")
        };
        text += &format!("lost     {whose}{what}{waited}\n");
    }
    if saved.more > 0 {
        text += &format!("         and {} more\n", saved.more);
    }
    for note in &saved.notes {
        text += &format!("note     {note}\n");
    }
    if !saved.identity {
        text += "note     the store's identity can't be read: event ids change, and no duplicate is known\n";
    }
    if !saved.again.is_empty() {
        let number = saved.again.len();
        text += &format!(
            "again    {number} events wait again, since what became of them can't be read\n"
        );
    }
    text + &format!(
        "saved    {}: {} payloads, {} keys, {} deliveries that wait, {} dead letters; {} events lost\n",
        to.display(),
        saved.events,
        saved.keys,
        saved.pending,
        saved.dead,
        saved.lost.len() as u64 + saved.more,
    )
}

fn whose(event: Option<&str>, seq: Option<u64>, source: Option<&str>) -> String {
    let Some(seq) = seq else {
        return String::new();
    };
    let id = event.unwrap_or("of unknown id");
    let of = source.map_or(String::new(), |source| format!(" of {source}"));
    format!("event {id} (number {seq}){of}: ")
}

/// RFC 3339, or `-`.
fn moment(ms: Option<u64>) -> String {
    ms.and_then(|ms| i64::try_from(ms).ok())
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "-".to_owned(), |at| at.to_string())
}

/// Bytes as people read them.
fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_500_000, "1.4 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(amount(bytes), shown);
        }
    }

    #[test]
    fn only_the_path_of_a_configuration_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.yaml");
        let place = |text: &str| {
            std::fs::write(&file, text).expect("written");
            Place {
                config: origin::ConfigFile {
                    file: Some(file.clone()),
                    env_file: None,
                },
                path: None,
            }
            .directory()
        };
        for (text, expected) in [
            ("store: { path: /var/x }", "/var/x"),
            ("store: { path: '${HOOKGATE_TEST_UNSET:-/y}' }", "/y"),
            ("store: { max_size: '${HOOKGATE_TEST_UNSET}' }", "./data"),
            (
                "sources: { a: { secret: '${HOOKGATE_TEST_UNSET}', nonsense: 1 } }",
                "./data",
            ),
        ] {
            let found = place(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert_eq!(found, PathBuf::from(expected), "{text}");
        }
        for text in [
            "store: { path: '${HOOKGATE_TEST_UNSET}' }",
            "store: { path: [] }",
            "a: [",
        ] {
            assert!(matches!(place(text), Err(Failure::Config(_))), "{text}");
        }
    }
}

//! `hookgate man`: the manual pages, made of the same words as `--help`.

use super::{Cli, Failure, print};
use anyhow::Context as _;
use clap::{Command, CommandFactory as _, builder::Resettable};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use std::path::{Path, PathBuf};

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Prints the manual page of hookgate, or of one of its commands. With --to it writes all of them into a directory, as \
packages need them.";

const EXAMPLES: &str = "\
Examples:
  hookgate man | man -l -
  hookgate man events replay | man -l -
  hookgate man --to /usr/local/share/man/man1";

/// Options of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The command whose page is printed
    command: Vec<String>,
    /// Write every page into this directory, which is made if missing
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    to: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let cli = built();
    match &args.to {
        Some(directory) => write_all(&cli, directory),
        None => print(&page(find(&cli, &args.command)?)?),
    }
}

/// The whole command line, with the options that every command has in each of them.
fn built() -> Command {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    cli
}

/// The command that these words name.
fn find<'a>(cli: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    let mut found = cli;
    for word in words {
        found = found.find_subcommand(word).ok_or_else(|| {
            let known: Vec<&str> = found.get_subcommands().map(Command::get_name).collect();
            Failure::Usage(match known.as_slice() {
                [] => format!("{} has no commands below it", found.get_name()),
                _ => format!("no command {word:?} here; there are: {}", known.join(", ")),
            })
        })?;
    }
    Ok(found)
}

/// `hookgate events list` has the page `hookgate-events-list`.
fn title(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    let without_notes = command.clone().after_help(Resettable::Reset);
    let source = concat!("hookgate ", env!("CARGO_PKG_VERSION"));
    Man::new(without_notes)
        .title(title(command))
        .source(source)
        .render(&mut page)
        .and_then(|()| notes(command).to_writer(&mut page))
        .context("cannot write the page")?;
    Ok(String::from_utf8(page).context("the page is not UTF-8")?)
}

/// What stands below the options: examples as they are, and what else there is as text.
fn notes(command: &Command) -> Roff {
    let mut page = Roff::new();
    let notes = command.get_after_help().map(ToString::to_string);
    for paragraph in notes.unwrap_or_default().split("\n\n") {
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            page.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                page.text([roman(line.trim_start())]);
            }
            page.control("fi", []);
        } else if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
            page.control("SH", ["EXIT STATUS"]).text([roman(codes)]);
        } else if !paragraph.is_empty() {
            page.control("SH", ["NOTES"]).text([roman(paragraph)]);
        }
    }
    page
}

fn write_all(cli: &Command, directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let mut waiting = vec![cli];
    while let Some(command) = waiting.pop() {
        let file = directory.join(format!("{}.1", title(command)));
        std::fs::write(&file, page(command)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        waiting.extend(command.get_subcommands());
    }
    Ok(())
}

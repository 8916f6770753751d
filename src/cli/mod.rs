//! The command line: the only room that prints, and the only one with `anyhow`.
//!
//! Every command returns a `Failure` or nothing. Here, and only here, a failure becomes words on stderr
//! and an exit code; the numbers are those of `sysexits.h`.

mod check;
mod completions;
mod demo;
mod explain;
mod healthcheck;
mod logging;
mod man;
mod one_source;
mod operator;
mod origin;
mod preset;
mod providers;
mod run;
mod schema;
mod send;
mod store;

use crate::config::{load::NotFound, problem::Problem};
use clap::{Parser, Subcommand};
use operator::{events, history, rejects, sources, targets};
use std::{
    io::{self, IsTerminal, Write as _},
    process::ExitCode,
};

/// A command went wrong: an app that is not there, a promise that was not kept.
const EXIT_FAILURE: u8 = 1;
/// The arguments make no sense (`EX_USAGE`).
const EXIT_USAGE: u8 = 64;
/// The store cannot be opened or has failed (`EX_IOERR`).
const EXIT_STORE: u8 = 74;
/// The configuration has problems (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// Where options that every command has stand in its help.
const AFTER_THE_COMMAND_S_OWN: usize = 900;

const EXAMPLES: &str = "\
Examples:
  hookgate demo                                see it work, no configuration needed
  HOOKGATE_SECRET=... hookgate run --provider chatmefy --forward-to http://127.0.0.1:3000/webhooks
  hookgate check -c hookgate.yaml              what would run, or everything that is wrong
  hookgate send chatmefy                       play the vendor against it
  hookgate explain request.txt                 why a captured request is refused
  hookgate events list --state dead            what a running gateway could not deliver

Exit codes: 0 done, 1 failure, 64 usage, 74 store, 78 configuration.";

/// Receives webhooks in front of your app: verified, once each, durable before they are acknowledged,
/// forwarded until your app has taken them.
#[derive(Debug, Parser)]
#[command(name = "hookgate", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// How logs are written to stderr, human or json [default: human on a terminal, json otherwise]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        display_order = AFTER_THE_COMMAND_S_OWN
    )]
    log_format: Option<logging::Format>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    #[command(long_about = run::LONG)]
    Run(run::Args),
    /// Validate a configuration and print what would run
    #[command(long_about = check::LONG)]
    Check(check::Args),
    /// Play the vendor: send sample events, signed as the vendor signs
    #[command(long_about = send::LONG, visible_alias = "trigger")]
    Send(send::Args),
    /// Say why a captured request is refused, and what would make it pass
    #[command(long_about = explain::LONG)]
    Explain(explain::Args),
    /// List the presets, or print one as YAML
    #[command(long_about = providers::LONG)]
    Providers(providers::Args),
    /// Watch five vendors, a gateway and a small app at work, on loopback
    #[command(long_about = demo::LONG)]
    Demo(demo::Args),
    /// Look at the events of a running gateway, deliver them again, or discard them
    #[command(long_about = events::LONG)]
    Events(events::Args),
    /// Look at the targets of a running gateway; pause, resume, retry
    #[command(long_about = targets::LONG)]
    Targets(targets::Args),
    /// Look at the sources of a running gateway
    #[command(long_about = sources::LONG)]
    Sources(sources::Args),
    /// Look at the requests that a running gateway has refused, and release them
    #[command(long_about = rejects::LONG)]
    Rejects(rejects::Args),
    /// Look up what was received and handed over, longer than payloads are kept
    #[command(long_about = history::LONG)]
    History(history::Args),
    /// Look after the store's file: info, check, backup, salvage
    #[command(subcommand, long_about = store::LONG)]
    Store(store::Command),
    /// Ask a running gateway whether it is ready; for containers without a shell
    #[command(long_about = healthcheck::LONG)]
    Healthcheck(healthcheck::Args),
    /// Print the JSON Schema of the configuration, for editors
    #[command(long_about = schema::LONG, after_help = schema::EXAMPLES)]
    Schema,
    /// Print what a shell needs to complete commands and options
    #[command(long_about = completions::LONG)]
    Completions(completions::Args),
    /// Print the manual page, or that of a command
    #[command(long_about = man::LONG)]
    Man(man::Args),
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// The arguments make no sense together.
    Usage(String),
    /// There is no configuration, and what the user may do about it.
    NoConfig(NotFound, &'static str),
    /// Everything that is wrong with the configuration; not empty.
    Config(Vec<Problem>),
    /// The store cannot be opened or has failed.
    Store(anyhow::Error),
    /// Anything else.
    Failed(anyhow::Error),
    /// What the command printed already says why.
    Shown,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match dispatch(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => explain(&failure, &mut io::stderr().lock()).into(),
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    let quiet = matches!(cli.command, Command::Demo(_));
    let default_level = if quiet { "off" } else { "info" };
    logging::start(cli.log_format, default_level)?;
    match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(args),
        Command::Send(args) => send::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Providers(args) => providers::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Events(args) => events::run(args),
        Command::Targets(args) => targets::run(args),
        Command::Sources(args) => sources::run(args),
        Command::Rejects(args) => rejects::run(args),
        Command::History(args) => history::run(args),
        Command::Store(command) => store::run(command),
        Command::Healthcheck(args) => healthcheck::run(args),
        Command::Schema => schema::run(),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

/// Help and version are answers, everything else that clap returns is a usage error.
fn refuse(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told that the terminal is gone.
    let _ = error.print();
    if error.use_stderr() {
        EXIT_USAGE.into()
    } else {
        ExitCode::SUCCESS
    }
}

/// Says what went wrong, causes included, and returns the exit code.
fn explain(failure: &Failure, to: &mut impl io::Write) -> u8 {
    // A failure to write to stderr cannot be reported anywhere.
    match failure {
        Failure::Usage(message) => {
            let _ = writeln!(to, "error: {message}\n\nFor more, try '--help'.");
            EXIT_USAGE
        }
        Failure::NoConfig(not_found, next) => {
            let _ = writeln!(to, "error: {not_found}\n\n{next}");
            EXIT_CONFIG
        }
        Failure::Config(problems) => {
            for problem in problems {
                let _ = writeln!(to, "{problem}");
            }
            let _ = writeln!(to, "{}", count(problems.len(), "problem"));
            EXIT_CONFIG
        }
        Failure::Store(error) => {
            let _ = writeln!(to, "error: {error:#}");
            EXIT_STORE
        }
        Failure::Failed(error) => {
            let _ = writeln!(to, "error: {error:#}");
            EXIT_FAILURE
        }
        Failure::Shown => EXIT_FAILURE,
    }
}

/// `1 problem`, `2 problems`.
fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Writes to stdout. A reader that has seen enough (`hookgate providers | head -1`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Failed(
            anyhow::Error::new(error).context("cannot write to stdout"),
        )),
        _ => Ok(()),
    }
}

/// Whether colour may be used: on a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
fn colour_wanted(to: &impl IsTerminal) -> bool {
    to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Processors up to which one thread serves all connections. Measured on two: it takes 12 % less of them for an
/// event than two threads that wake each other, while the store's threads fill the other.
const ONE_THREAD_PROCESSORS: usize = 2;

/// The runtime of every command that needs one. The one place that chooses its flavour.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if processors <= ONE_THREAD_PROCESSORS {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.enable_all().build().map_err(|error| {
        anyhow::Error::new(error)
            .context("cannot start the runtime")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_every_command() {
        // A fixed width: the real one is that of the terminal.
        let mut cli = Cli::command().term_width(100);
        cli.build();
        insta::assert_snapshot!("help", cli.render_help());
        for command in cli.get_subcommands_mut() {
            if command.get_name() != "help" {
                let name = format!("help-{}", command.get_name());
                insta::assert_snapshot!(name.clone(), command.render_long_help());
                for below in command.get_subcommands_mut() {
                    if below.get_name() != "help" {
                        let name = format!("{name}-{}", below.get_name());
                        insta::assert_snapshot!(name, below.render_long_help());
                    }
                }
            }
        }
    }

    #[test]
    fn arguments_that_make_no_sense_together() {
        let cases = [
            "hookgate",
            "hookgate rnu",
            "hookgate run --forward-to http://a/",
            "hookgate run --provider chatmefy",
            "hookgate run --provider chatmefi --forward-to http://a/",
            "hookgate run -c a.yaml --provider chatmefy --forward-to http://a/",
            "hookgate run --listen 127.0.0.1:1",
            "hookgate run --secret-file s",
            "hookgate run --provider chatmefy --forward-to http://a/ --listen here",
            "hookgate send",
            "hookgate send a --count 0",
            "hookgate send a --rate 5",
            "hookgate send a --count 5 --rate 0",
            "hookgate send a --count 5 --rate NaN",
            "hookgate send a --connections 5",
            "hookgate send a --count 2 --repeat",
            "hookgate send a --to nonsense",
            "hookgate explain a --source b --all",
            "hookgate explain a --provider vowchat -c b",
            "hookgate explain a --all -c b",
            "hookgate explain a --all --provider vowchat",
            "hookgate explain a --header X-Token",
            "hookgate explain a --at yesterday",
            "hookgate explain a --entry 0",
            "hookgate healthcheck --url http://a/ -c b",
            "hookgate events",
            "hookgate events show",
            "hookgate events list --limit 0",
            "hookgate events list --state gone",
            "hookgate events list --admin 127.0.0.1:9444",
            "hookgate events replay --all --rate 0",
            "hookgate targets",
            "hookgate targets pause",
            "hookgate sources",
            "hookgate store",
            "hookgate store info -c a --path b",
            "hookgate store salvage",
            "hookgate store backup",
            "hookgate store backup a --log-growth much",
            "hookgate rejects",
            "hookgate rejects list --reason none",
            "hookgate rejects show 1 --raw --json",
            "hookgate rejects release 1 --cursor 2",
            "hookgate completions",
            "hookgate completions csh",
            "hookgate man run --to man1",
        ];
        for line in cases {
            let error = parse(line).err().unwrap_or_else(|| panic!("{line} parsed"));
            assert!(error.use_stderr(), "{line} is an error, not an answer");
        }
    }

    #[test]
    fn a_preset_that_is_mistyped_gets_one_line_of_advice() {
        for line in [
            "hookgate explain a --provider githb",
            "hookgate run --provider githb --forward-to http://a/",
        ] {
            let error = parse(line).err().unwrap_or_else(|| panic!("{line} parsed"));
            let said = error.to_string();
            assert!(said.contains("did you mean github?"), "{said}");
            assert!(!said.contains("adyen"), "{said}");
        }
    }

    #[test]
    fn trigger_is_send() {
        assert!(matches!(
            parse("hookgate trigger erp").expect("parses").command,
            Command::Send(_)
        ));
    }

    #[test]
    fn failures_have_words_and_codes() {
        let problem = |key: &str| Problem {
            file: "hookgate.yaml".into(),
            place: Some((3, 7)),
            key: key.into(),
            message: "is wrong".into(),
        };
        let cause = std::io::Error::other("disk on fire");
        let store = anyhow::Error::new(cause).context("cannot open the store");
        let cases = [
            (
                Failure::Usage("no".into()),
                64,
                "error: no\n\nFor more, try '--help'.\n",
            ),
            (
                Failure::Config(vec![problem("a"), problem("b")]),
                78,
                "hookgate.yaml:3:7: a: is wrong\nhookgate.yaml:3:7: b: is wrong\n2 problems\n",
            ),
            (
                Failure::NoConfig(
                    NotFound {
                        looked_for: vec!["a.yaml".into(), "/etc/a.yaml".into()],
                    },
                    "Do this.",
                ),
                78,
                "error: no configuration found: there is no a.yaml and no /etc/a.yaml\n\nDo this.\n",
            ),
            (
                Failure::Store(store),
                74,
                "error: cannot open the store: disk on fire\n",
            ),
            (
                Failure::Failed(anyhow::anyhow!("no answer")),
                1,
                "error: no answer\n",
            ),
            (Failure::Shown, 1, ""),
        ];
        for (failure, code, words) in cases {
            let mut said = Vec::new();
            assert_eq!(explain(&failure, &mut said), code);
            assert_eq!(String::from_utf8(said).expect("UTF-8"), words);
        }
    }
}

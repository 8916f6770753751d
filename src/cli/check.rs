//! `hookgate check`: finds what `run` would find, with the same code, and starts nothing.

use super::{Failure, count, origin, print};
use crate::config::{
    self,
    load::{Options, Origin},
    problem::Problem,
};

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Validates a configuration and prints what would run.\n\n\
Everything that is wrong is reported at once, each problem with its file, line and column, key, value and \
what would be accepted; the exit code is 78 then. Warnings go to stderr and leave it at 0.";

const EXAMPLES: &str = "\
Examples:
  hookgate check
  hookgate check -c deploy/hookgate.yaml --allow-unset      in CI, without the secrets";

/// Options of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    config: origin::ConfigFile,
    /// Let environment variables be unset and secret files be missing
    #[arg(long)]
    allow_unset: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let options = Options {
        allow_unset: args.allow_unset,
    };
    let origin = args.config.find()?;
    let environment = args.config.environment()?;
    let (config, warnings) = origin::load(&origin, &environment, options)?;
    let summary = config::summary(&config);
    print(&format!("config   {}\n{summary}", name(&origin)))?;
    warn(&warnings);
    Ok(())
}

/// Which of the default places it was is worth knowing.
fn name(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => format!("{}, valid", path.display()),
        Origin::Text { name, .. } => format!("{name}, valid"),
    }
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    if !warnings.is_empty() {
        eprintln!("{}", count(warnings.len(), "warning"));
    }
}

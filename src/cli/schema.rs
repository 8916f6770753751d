//! `hookgate schema`: what an editor needs to complete and check a configuration while it is written.

use super::{Failure, print};
use crate::config;

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Prints the JSON Schema (draft 2020-12) of the configuration file. Editors complete keys and mark mistakes with it; what only \
several keys together make wrong is found by `hookgate check`.";

/// Below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  hookgate schema > schema.json      then, as the first line of hookgate.yaml:
                                     # yaml-language-server: $schema=schema.json";

/// Runs the command.
pub(super) fn run() -> Result<(), Failure> {
    print(config::schema())
}

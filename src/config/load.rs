//! From a file to a [`Config`], or to every problem in it.

use super::{Config, problem::Problem};
use std::path::{Path, PathBuf};

/// Where the text comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file that the user named, or one of the default places.
    File(PathBuf),
    /// Text made from command-line options, with the name that messages show.
    Text {
        /// Shown in messages.
        name: String,
        /// YAML.
        text: String,
    },
}

/// How strict to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `check --allow-unset`: an unset variable and a missing secret file stand for a value that nobody will see.
    pub allow_unset: bool,
}

/// The default places, in order.
pub const DEFAULT_FILES: [&str; 2] = ["hookgate.yaml", "/etc/hookgate/hookgate.yaml"];

/// The file to load: `named`, or the first default that exists.
pub fn find(_named: Option<&Path>) -> Result<Origin, Problem> {
    todo!()
}

/// Reads a configuration with all its warnings, or returns everything that is wrong with it.
pub fn load(_origin: &Origin, _options: Options) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    todo!()
}

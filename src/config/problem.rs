//! What is wrong with a configuration: every problem with its place, its key, its value and what is accepted.

use std::fmt;

/// One problem or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user named it.
    pub file: String,
    /// 1-based line and column, where known.
    pub place: Option<(usize, usize)>,
    /// Path of the key, such as `sources.erp.verify.hmac.header`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, with the value (never a secret) and what would be accepted.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

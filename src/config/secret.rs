//! A secret: named, zeroed when dropped, never printed.

use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// A named secret. Its value appears in no `Debug`, log or error.
#[derive(Clone)]
pub struct Secret {
    /// Its name in metrics and in the store: as configured, else its place in the list (`1`, `2` ...).
    pub name: Arc<str>,
    /// What a request calls it by, where a scheme has `key_id`.
    pub id: Option<Arc<str>>,
    /// Unix milliseconds before which it does not count.
    pub not_before_ms: u64,
    /// Unix milliseconds after which it does not count any more.
    pub not_after_ms: u64,
    value: Arc<Zeroizing<Vec<u8>>>,
}

impl Secret {
    /// A secret of these bytes, without an id and valid at any time.
    pub fn new(name: &str, value: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            id: None,
            not_before_ms: 0,
            not_after_ms: u64::MAX,
            value: Arc::new(Zeroizing::new(value)),
        }
    }

    /// Whether it counts at `now_ms`, Unix milliseconds.
    pub fn is_valid(&self, now_ms: u64) -> bool {
        (self.not_before_ms..=self.not_after_ms).contains(&now_ms)
    }

    /// The bytes. Only what signs, compares or sends them may ask.
    pub fn expose(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, redacted)", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_name_alone() {
        let shown = format!("{:?}", Secret::new("old", b"hunter2".to_vec()));
        assert_eq!(shown, "Secret(old, redacted)");
    }
}

//! Whether the store may still be trusted, and what an error of SQLite means for that.
//!
//! Invariant: a poisoned store stays poisoned, and commits nothing any more.

use rusqlite::{ErrorCode, ffi};
use tokio::sync::watch;

/// Told to everyone who has to know that the store failed.
#[derive(Debug)]
pub(super) struct Health(watch::Sender<bool>);

impl Health {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn is_poisoned(&self) -> bool {
        *self.0.borrow()
    }

    /// Nothing is committed from now on.
    pub(super) fn poison(&self, doing: &'static str, error: &dyn std::fmt::Display) {
        self.0.send_if_modified(|poisoned| {
            if *poisoned {
                return false;
            }
            // Before anybody hears of it: who does ends the process.
            tracing::error!(doing, %error, "store failed: nothing is committed any more");
            *poisoned = true;
            true
        });
    }

    /// Resolves when poisoned.
    pub(super) async fn poisoned(&self) {
        let mut poisoned = self.0.subscribe();
        // An error would mean that the sender is gone, but `self` holds it.
        let _ = poisoned.wait_for(|poisoned| *poisoned).await;
    }
}

/// Poisons when the thread that holds it panics: what that thread was in the middle of is unknown.
pub(super) struct PoisonOnPanic<'a>(pub(super) &'a Health);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("run a thread of the store", &"it panicked");
        }
    }
}

/// What can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No room on the disk: roll back and go on.
    Full,
    /// Somebody else holds a lock for longer than our patience: roll back and go on.
    Busy,
    /// Everything else. After a failed sync nobody knows what is on the disk; better to stop than to guess.
    Fatal,
}

impl Trouble {
    /// A quota that is used up (EDQUOT) reads as `SQLITE_IOERR_WRITE`, like any other failed write: it poisons,
    /// since SQLite does not tell them apart.
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        // The index of the log cannot grow: nothing of the transaction was written yet.
        if let rusqlite::Error::SqliteFailure(e, _) = error
            && matches!(
                e.extended_code,
                ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMMAP
            )
        {
            return Self::Full;
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy) => Self::Busy,
            _ => Self::Fatal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_and_a_lock_are_survived() {
        let cases = [
            (ffi::SQLITE_FULL, Trouble::Full),
            (ffi::SQLITE_BUSY, Trouble::Busy),
            (ffi::SQLITE_BUSY_SNAPSHOT, Trouble::Busy),
            (ffi::SQLITE_IOERR_SHMSIZE, Trouble::Full),
            (ffi::SQLITE_IOERR_SHMMAP, Trouble::Full),
            (ffi::SQLITE_IOERR, Trouble::Fatal),
            (ffi::SQLITE_IOERR_WRITE, Trouble::Fatal),
            (ffi::SQLITE_IOERR_FSYNC, Trouble::Fatal),
            (ffi::SQLITE_CORRUPT, Trouble::Fatal),
            (ffi::SQLITE_READONLY, Trouble::Fatal),
            (ffi::SQLITE_NOTADB, Trouble::Fatal),
            (ffi::SQLITE_ERROR, Trouble::Fatal),
        ];
        for (code, expected) in cases {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(Trouble::of(&error), expected, "{code}");
        }
        assert_eq!(
            Trouble::of(&rusqlite::Error::InvalidQuery),
            Trouble::Fatal,
            "a mistake of ours"
        );
    }

    #[tokio::test]
    async fn a_panic_poisons() {
        let health = Health::new();
        assert!(!health.is_poisoned());
        let fell = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = PoisonOnPanic(&health);
            panic!("on purpose");
        }));
        assert!(fell.is_err());
        health.poisoned().await;
        assert!(health.is_poisoned());
    }
}

//! A target: where events go, how they are retried, and how many may wait.

use crate::backoff::Backoff;
use crate::extract::KeyExpr;
use http::Uri;
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// One app.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name: `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: Arc<str>,
    /// The name it had before; waiting events are taken over.
    pub replaces: Option<Arc<str>>,
    /// `http` or `https`, with a host, without user or fragment.
    pub url: Uri,
    /// Of one attempt, from connecting to the end of the answer.
    pub timeout: Duration,
    /// Attempts at one time.
    pub concurrency: usize,
    /// Delays between attempts.
    pub retry: Backoff,
    /// Age at which a failed event becomes a dead letter.
    pub give_up_after: Duration,
    /// Bytes of events that may wait.
    pub max_backlog_bytes: u64,
    /// What happens to an event that no longer fits.
    pub when_full: WhenFull,
    /// Events with the same key are delivered one after the other; empty: in any order.
    pub order_by: KeyExpr,
    /// Key of a Standard Webhooks signature.
    pub sign: Option<SigningKey>,
}

/// What happens to an event that a target's backlog has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// 503 to the sender.
    Refuse,
    /// It is taken, and is a dead letter for this target at once.
    DeadLetter,
}

/// The decoded key of a `whsec_` secret (Standard Webhooks).
#[derive(Clone)]
pub struct SigningKey(Arc<Zeroizing<Vec<u8>>>);

impl SigningKey {
    /// A key of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The bytes. Only what signs may ask.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

//! A target: where events go, how they are retried, and how many may wait.

use crate::backoff::Backoff;
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
    /// Of its connection: name, address and TLS. At most `timeout`.
    pub connect_timeout: Duration,
    /// Age from which a connection is not used again, so that the name is resolved anew. Zero: each attempt makes one.
    pub connection_max_age: Duration,
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
    /// Keys of a Standard Webhooks signature each, the newest first. None: not signed.
    pub sign: Vec<SigningKey>,
    /// What the app is told beside the event's own headers.
    pub format: Format,
}

impl Target {
    /// The usual `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
    /// The usual `connect_timeout`: a lost SYN is sent again after 1 s and 3 s.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// The usual `connection_max_age`: as short as the TTL of names that are meant to move.
    pub const CONNECTION_MAX_AGE: Duration = Duration::from_secs(30);
}

/// In which form an app gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The sender's request and `Hookgate-*`.
    Plain,
    /// `ce-*` beside them: CloudEvents 1.0 in binary mode.
    CloudEvents,
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

//! A target: where events go, how they are retried, and how many may wait.

use crate::backoff::Schedule;
use crate::extract::KeyExpr;
use crate::rate::Rate;
use http::Uri;
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// One app.
#[derive(Clone, Debug, PartialEq)]
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
    /// Attempts that begin within some time, at most.
    pub rate: Option<Rate>,
    /// Delays between attempts.
    pub retry: Schedule,
    /// Age at which a failed event becomes a dead letter.
    pub give_up_after: Duration,
    /// Attempts after which it becomes one at any age.
    pub max_attempts: Option<u32>,
    /// When attempts stop because the app seems to be down; never without.
    pub breaker: Option<Breaker>,
    /// Bytes of events that may wait.
    pub max_backlog_bytes: u64,
    /// What happens to an event that no longer fits.
    pub when_full: WhenFull,
    /// Events with the same key are delivered one after the other; empty: in any order.
    pub order_by: KeyExpr,
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

/// When a target counts as down, and how it is asked whether it is up again. What counts is in `deliver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Failures among the first attempts of the window that open it: percent, 1 to 100.
    pub rate_percent: u32,
    /// First attempts within the window below which the rate says nothing.
    pub min_attempts: u32,
    /// How far back the rate looks.
    pub window: Duration,
    /// The longest time between two probes.
    pub hold: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 10,
            rate_percent: 50,
            min_attempts: 20,
            window: Duration::from_secs(30),
            hold: Duration::from_secs(5),
        }
    }
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
#[derive(Clone, PartialEq, Eq)]
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

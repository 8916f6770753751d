//! Towards the app: every waiting delivery is attempted until the app has taken it or it is given up.
//!
//! A target is either *live* (fed from memory as events commit) or *behind* (fed from the store), never both.
//! Memory holds the next few of the fresh and of the due, served in turn, so that neither a thousand poisoned
//! events nor one slow one hold a target up. Attempts that are sent but not settled in the store are at most
//! `concurrency` and one batch.

use crate::config;
use crate::event::{Event, TargetId};
use crate::metrics::TargetMetrics;
use crate::shutdown::Listener as Stop;
use crate::store::{Backlog, Feed, Settlement, Store};
use bytes::Bytes;
use http::HeaderMap;
use std::{collections::HashMap, sync::Arc};

/// Secrets that arrive in a header, by source name: put back when an event is delivered.
pub type SecretHeaders = HashMap<Arc<str>, Vec<(Arc<str>, http::HeaderValue)>>;

/// All targets.
#[derive(Debug)]
pub struct Deliver {}

/// One target to deliver to.
#[derive(Debug)]
pub struct Setup {
    /// Its number in the store.
    pub id: TargetId,
    /// Its settings.
    pub config: config::Target,
    /// What waits for it already.
    pub backlog: Backlog,
    /// Its handles.
    pub metrics: TargetMetrics,
}

impl Deliver {
    /// Prepares the targets; nothing is attempted before [`Self::start`]. `memory_bytes` bounds the events held
    /// in memory for all of them.
    pub fn new(_targets: Vec<Setup>, _secrets: SecretHeaders, _memory_bytes: u64) -> Arc<Self> {
        todo!()
    }

    /// Starts the attempts, on the current runtime, until the stop is at `Draining`; then running attempts may finish.
    pub fn start(self: &Arc<Self>, _store: Store, _stop: Stop) {
        todo!()
    }

    /// Whether a first attempt at `target` would have to wait: it is open, paused or behind.
    pub fn is_held(&self, _target: TargetId) -> bool {
        todo!()
    }

    /// Waits for running attempts until the stop is `Over`, then cuts them off (they are not counted).
    pub async fn drained(&self) {
        todo!()
    }

    /// `passthrough`: one attempt, its answer as it comes.
    pub async fn pass(&self, _target: TargetId, _event: &Event) -> Result<PassReply, PassError> {
        todo!()
    }
}

/// The app's answer in `passthrough`.
#[derive(Debug)]
pub struct PassReply {
    /// Its status.
    pub status: http::StatusCode,
    /// Its Content-Type, among others.
    pub headers: HeaderMap,
    /// At most 1 MiB.
    pub body: Bytes,
}

/// Why the app gave no answer in `passthrough`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// 502.
    #[error("app gave no valid answer")]
    Bad,
    /// 504.
    #[error("app did not answer in time")]
    Timeout,
}

impl Feed for Deliver {
    fn admitted(&self, _target: TargetId, _event: &Arc<Event>) {
        todo!()
    }
    fn settled(&self, _settlements: &[Settlement]) {
        todo!()
    }
    fn refused(&self, _target: TargetId, _event: &Arc<Event>) {
        todo!()
    }
}

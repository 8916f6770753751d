//! The audit log of what operators do: who asked for what, one line each.

use super::call::Call;
use crate::http::server::Peer;

/// Who asks.
#[derive(Debug)]
pub(super) struct Audit {
    peer: String,
}

impl Audit {
    pub(super) fn of(call: &Call) -> Self {
        let peer = call.peer.as_ref().map(Peer::to_string);
        Self {
            peer: peer.unwrap_or_else(|| "unknown".to_owned()),
        }
    }

    /// Something was done with one event.
    pub(super) fn event(&self, what: &'static str, event_id: &str, outcome: &str) {
        tracing::info!(peer = self.peer, event_id, outcome, "admin.{what}");
    }

    /// Something was done with those of many that `asked` says.
    pub(super) fn many(&self, what: &'static str, asked: &str, events: usize, outcome: &str) {
        tracing::info!(peer = self.peer, asked, events, outcome, "admin.{what}");
    }

    /// Refused requests were judged again: those that `asked` says.
    pub(super) fn released(&self, asked: &str, outcome: &str) {
        tracing::info!(peer = self.peer, asked, outcome, "admin.release");
    }

    /// Something was done with a target.
    pub(super) fn target(&self, what: &'static str, target: &str) {
        tracing::info!(peer = self.peer, target, "admin.{what}");
    }
}

//! Whether events are taken: written by the gateway, read by `/readyz`.

use parking_lot::RwLock;
use std::sync::Arc;

/// Where the gateway stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The store is being opened.
    #[default]
    Starting,
    /// Events are taken.
    Ready,
    /// A stop was asked for.
    Stopping,
    /// The store failed; the process ends.
    Poisoned,
}

impl State {
    pub(super) fn says(self) -> &'static str {
        match self {
            Self::Starting => "starting\n",
            Self::Ready => "ready\n",
            Self::Stopping => "stopping\n",
            Self::Poisoned => "store failed\n",
        }
    }
}

/// The state, shared. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<RwLock<State>>);

impl Readiness {
    /// The state now.
    pub fn get(&self) -> State {
        *self.0.read()
    }

    /// Goes to `state`.
    pub fn set(&self, state: State) {
        *self.0.write() = state;
    }
}

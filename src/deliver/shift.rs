//! The tasks of this room: all are spawned here and all are awaited on the way out. The stop's last phase cuts off
//! those that still run.

use crate::shutdown::{Listener as Stop, Phase};
use crate::store::Store;
use parking_lot::Mutex;
use std::{future::poll_fn, sync::OnceLock};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

/// The tasks, and what they need.
#[derive(Debug, Default)]
pub(super) struct Shift {
    tasks: Mutex<JoinSet<()>>,
    running: OnceLock<Running>,
}

/// What tasks need.
#[derive(Clone, Debug)]
pub(super) struct Running {
    /// Where pages come from and settlements go.
    pub(super) store: Store,
    /// How far the stop has come.
    pub(super) stop: Stop,
    runtime: Handle,
}

impl Shift {
    /// Tasks may be spawned from now on, on the current runtime.
    pub(super) fn begin(&self, store: Store, stop: Stop) {
        let runtime = Handle::current();
        let begun = self.running.set(Running {
            store,
            stop,
            runtime,
        });
        assert!(begun.is_ok(), "deliveries are started once");
    }

    /// Whether nothing may begin any more.
    pub(super) fn is_draining(&self) -> bool {
        let running = self.running.get();
        running.is_some_and(|running| running.stop.phase() >= Phase::Draining)
    }

    /// Spawns what `task` makes; nothing before the shift has begun. Any thread may call it: events are announced on
    /// the store's.
    pub(super) fn spawn<F>(&self, task: impl FnOnce(Running) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(running) = self.running.get() else {
            return;
        };
        let task = task(running.clone());
        let mut tasks = self.tasks.lock();
        while let Some(ended) = tasks.try_join_next() {
            look_at(ended);
        }
        tasks.spawn_on(task, &running.runtime);
    }

    /// Waits for all tasks until the stop is over, then cuts off the rest.
    pub(super) async fn ended(&self) {
        let Some(running) = self.running.get() else {
            return;
        };
        let mut stop = running.stop.clone();
        tokio::select! {
            biased;
            () = self.joined() => return,
            () = stop.reached(Phase::Over) => {}
        }
        tracing::info!("attempts that still run are cut off; they will be made again");
        self.tasks.lock().abort_all();
        self.joined().await;
    }

    async fn joined(&self) {
        while let Some(ended) = poll_fn(|cx| self.tasks.lock().poll_join_next(cx)).await {
            look_at(ended);
        }
    }
}

/// A worker that panicked has given up its place and its delivery. (Readers begin anew by themselves.)
fn look_at(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a delivery task has panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_runs_before_the_shift_begins() {
        let shift = Shift::default();
        shift.spawn(|_| async { panic!("no store to work on") });
        shift.ended().await;
        assert!(shift.tasks.lock().is_empty());
    }
}

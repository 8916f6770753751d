//! The phases of a stop, told to every task that has to know; and tasks that have to live until then.

use std::time::Duration;
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is taken.
    Running,
    /// Unready, events are still taken, answers carry `Connection: close`.
    Leaving,
    /// The listener is closed; what runs may finish.
    Draining,
    /// The time for finishing is over: whatever still runs is cut off.
    Over,
}

/// Moves a stop from phase to phase. Phases only go forward.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<Phase>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Running))
    }
}

impl Shutdown {
    /// A handle that hears of every phase.
    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }

    /// Goes on to `phase`; an earlier one than the present changes nothing.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }
}

/// Hears of the phases of a stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Listener(watch::Receiver<Phase>);

impl Listener {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until `phase` or a later one is reached. A gateway that is gone counts as over.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the sender is gone: nothing is left to wait for.
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}

/// Between a task's panic and its next try: one that panics each time must not spin.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Runs a task that others rely on, such as one that reads for a target. If it panics that is said, and `begin` makes
/// it anew after a second, unless the stop drains; `begin` is told how often that was. Dropped, it ends the task.
pub async fn persevere<F>(what: &str, mut stop: Listener, mut begin: impl FnMut(u32) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for panics in 0.. {
        let mut task = JoinSet::new();
        task.spawn(begin(panics));
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(%error, "{what} has panicked by a defect in hookgate, and begins anew; please report it");
            }
            _ => return,
        }
        tokio::select! {
            () = sleep(AGAIN_AFTER) => {}
            () = stop.reached(Phase::Draining) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_anew_until_it_ends_or_the_stop_drains() {
        let shutdown = Shutdown::default();
        let (begun, mut heard) = watch::channel(0);
        let task = |ends_at: u32| {
            let begun = begun.clone();
            move |panics: u32| {
                begun.send_replace(panics);
                async move { assert!(panics == ends_at, "on purpose") }
            }
        };
        persevere("test", shutdown.listen(), task(3)).await;
        assert_eq!(*heard.borrow_and_update(), 3);
        let for_ever = tokio::spawn(persevere("test", shutdown.listen(), task(u32::MAX)));
        let often = heard.wait_for(|panics| *panics == 5).await;
        assert!(often.is_ok());
        drop(often);
        shutdown.enter(Phase::Draining);
        for_ever.await.expect("ends in order");
    }

    #[tokio::test]
    async fn phases_only_go_forward() {
        let shutdown = Shutdown::default();
        let mut listener = shutdown.listen();
        shutdown.enter(Phase::Draining);
        shutdown.enter(Phase::Leaving);
        assert_eq!(listener.phase(), Phase::Draining);
        listener.reached(Phase::Leaving).await;
        drop(shutdown);
        listener.reached(Phase::Over).await;
    }
}

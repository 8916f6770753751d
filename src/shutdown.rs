//! The phases of a stop, told to every task that has to know.

use tokio::sync::watch;

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

#[cfg(test)]
mod tests {
    use super::*;

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

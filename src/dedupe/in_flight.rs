//! The table of events in flight: who waits for the end of which. An event without duplicates costs no memory
//! beyond its slot.
//!
//! Invariant: while the map says that a key is in flight in a slot, that slot is open, since its owner changes
//! all its keys before it closes the slot.

use super::place::Slot;
use super::{Ended, Kind};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// One place for each event in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    waiting: Vec<Vec<oneshot::Sender<Ended>>>,
    free: Vec<Slot>,
}

impl InFlight {
    /// A slot for one event.
    pub(super) fn open(&self) -> Slot {
        let mut slots = self.0.lock();
        slots.free.pop().unwrap_or_else(|| {
            slots.waiting.push(Vec::new());
            let last = slots.waiting.len() - 1;
            Slot(u32::try_from(last).expect("requests at one time are bounded far below 2^31"))
        })
    }

    /// Waits for the event in `slot`, which is open. The key that says so, of `kind`, is locked by the caller.
    pub(super) fn wait(&self, slot: Slot, kind: Kind) -> Waiter {
        let (tell, told) = oneshot::channel();
        let mut slots = self.0.lock();
        let waiting = &mut slots.waiting[slot.0 as usize];
        if waiting.len() == waiting.capacity() {
            // Senders that gave up make room, so that those who come back again and again do not pile up.
            waiting.retain(|tell| !tell.is_closed());
        }
        waiting.push(tell);
        Waiter { told, kind }
    }

    /// Tells all who wait how the event ended, and gives its slot to the next.
    pub(super) fn close(&self, slot: Slot, ended: &Ended) {
        let waiting = {
            let mut slots = self.0.lock();
            slots.free.push(slot);
            std::mem::take(&mut slots.waiting[slot.0 as usize])
        };
        for tell in waiting {
            // Whoever gave up in the meantime need not hear it.
            let _ = tell.send(ended.clone());
        }
    }
}

/// Waits for the end of an event in flight.
#[derive(Debug)]
pub struct Waiter {
    told: oneshot::Receiver<Ended>,
    kind: Kind,
}

impl Waiter {
    /// What the key stands for that the two have in common.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Resolves when the original is durable, answered or failed. Safe to drop at any time.
    pub async fn ended(self) -> Ended {
        self.told.await.unwrap_or(Ended::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_used_again() {
        let table = InFlight::default();
        let (first, second) = (table.open(), table.open());
        assert_ne!(first, second);
        table.close(first, &Ended::Failed);
        assert_eq!(table.open(), first);
    }

    #[tokio::test]
    async fn each_event_has_its_own_waiters() {
        let table = InFlight::default();
        let (first, second) = (table.open(), table.open());
        let waits = [
            table.wait(first, Kind::Event),
            table.wait(first, Kind::Event),
        ];
        let mut other = table.wait(second, Kind::Event);
        table.close(first, &Ended::Failed);
        for wait in waits {
            assert!(matches!(wait.ended().await, Ended::Failed));
        }
        assert!(other.told.try_recv().is_err(), "still in flight");
        let again = table.open();
        let mut late = table.wait(again, Kind::Event);
        assert!(
            late.told.try_recv().is_err(),
            "a used slot starts without waiters"
        );
    }

    #[test]
    fn those_who_give_up_do_not_pile_up() {
        let table = InFlight::default();
        let slot = table.open();
        let patient = table.wait(slot, Kind::Event);
        for _ in 0..10_000 {
            drop(table.wait(slot, Kind::Event));
        }
        assert!(table.0.lock().waiting[0].capacity() < 16);
        drop(patient);
    }
}

//! Deliveries without an attempt, in the order of their admission: from memory while the target is *live*, from
//! the store while it is *behind*, never both.
//!
//! Invariant: everything up to `cursor` was queued here at some time (or was settled before), everything after it
//! is only in the store. So whether an event that the writer announces is already here is one comparison, and
//! letting go of the queue is moving `cursor` back in front of it.

use super::job::Job;
use super::lanes::Lanes;
use crate::budget::Budget;
use crate::event::{Event, Lane, Seq};
use crate::store::Delivery;
use std::{collections::VecDeque, sync::Arc};

/// Events that a live target holds: some milliseconds of a burst; more of them wait cheaper in the store.
pub(super) const QUEUE_EVENTS_MAX: usize = 1024;

/// Events left in the queue at which a target that is behind reads on, so that workers never wait for the disk.
const LOW_EVENTS: usize = 64;

/// First attempts that wait.
#[derive(Debug)]
pub(super) struct Fresh {
    queue: VecDeque<Job>,
    /// The latest that was queued.
    cursor: Seq,
    /// The latest that the writer announced.
    tail: Seq,
    /// Whether events are queued as they are announced.
    live: bool,
    /// The last page did not fit into memory: read on only once the queue is empty.
    squeezed: bool,
}

/// A page to be read: deliveries after `after`, at most `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FreshPage {
    /// Where the last page ended.
    pub(super) after: Seq,
    /// Rows.
    pub(super) most: usize,
    /// What was announced when the page was asked for, and is visible to the read therefore.
    tail: Seq,
}

impl Fresh {
    /// A target for which events up to `last` wait in the store.
    pub(super) fn new(last: Option<Seq>) -> Self {
        Self {
            queue: VecDeque::new(),
            cursor: Seq(0),
            tail: last.unwrap_or(Seq(0)),
            live: last.is_none(),
            squeezed: false,
        }
    }

    /// Whether events are queued as they are announced.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Queued events.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The writer announces `event`. True if it was queued; false if it waits in the store, or came from there
    /// already: its commit is visible to a read before it is announced.
    pub(super) fn admitted(
        &mut self,
        event: &Arc<Event>,
        weight: u64,
        lane: Option<Lane>,
        may_queue: bool,
        memory: &Budget,
    ) -> bool {
        self.tail = self.tail.max(event.seq);
        if event.seq <= self.cursor || !self.live {
            return false;
        }
        let room = may_queue && self.queue.len() < QUEUE_EVENTS_MAX;
        let job = room
            .then(|| Job::admitted(event, weight, lane, memory))
            .flatten();
        let Some(job) = job else {
            self.live = false;
            return false;
        };
        self.cursor = event.seq;
        self.queue.push_back(job);
        true
    }

    /// The number of the first queued job.
    pub(super) fn first(&self) -> Option<Seq> {
        self.queue.front().map(|job| job.seq)
    }

    /// The latest that was queued, or passed over since it waits behind another one.
    pub(super) fn cursor(&self) -> Seq {
        self.cursor
    }

    /// All that waits has to be read anew. Nothing may be queued or out.
    pub(super) fn restart(&mut self) {
        self.tail = self.tail.max(self.cursor);
        self.cursor = Seq(0);
        self.live = false;
    }

    /// Takes the earliest.
    pub(super) fn take(&mut self) -> Option<Job> {
        self.queue.pop_front()
    }

    /// Takes this one out, if it is queued.
    pub(super) fn discard(&mut self, seq: Seq) -> Option<Job> {
        let place = self.queue.iter().position(|job| job.seq == seq)?;
        self.queue.remove(place)
    }

    /// Whether a page should be read.
    pub(super) fn wants_page(&self) -> bool {
        let low = if self.squeezed { 0 } else { LOW_EVENTS };
        !self.live && self.queue.len() <= low
    }

    /// Asks for a page.
    pub(super) fn page(&self, most: usize) -> FreshPage {
        FreshPage {
            after: self.cursor,
            most,
            tail: self.tail,
        }
    }

    /// Queues at most `room` of the rows that `page` gave, but for those that `lanes` leaves where they are. A page that
    /// was asked for before the queue was let go of is too late, and is read again. `looked_to`: how far the store
    /// looked, if it did not look at all there is (a page in order).
    pub(super) fn fill(
        &mut self,
        page: FreshPage,
        (rows, looked_to): (Vec<Delivery>, Option<Seq>),
        lanes: &mut Lanes,
        room: usize,
        memory: &Budget,
    ) {
        if page.after != self.cursor {
            return;
        }
        let read = rows.len();
        let mut passed = 0;
        self.squeezed = false;
        for row in rows {
            let (seq, lane) = (row.seq, row.lane);
            if lanes.admits(&row) {
                if self.queue.len() >= room {
                    break;
                }
                let Some(job) = Job::read(row, memory, self.queue.is_empty()) else {
                    self.squeezed = true;
                    break;
                };
                lanes.occupy(lane, seq);
                self.queue.push_back(job);
            } else {
                lanes.left_in_store();
            }
            self.cursor = seq;
            passed += 1;
        }
        if passed < read {
            return;
        }
        // A page in order does not tell what it passed by.
        lanes.left_in_store();
        if let Some(seq) = looked_to {
            self.cursor = self.cursor.max(seq);
        } else if read < page.most {
            // A page that is not full holds all there is: whatever was announced before it was asked for.
            self.cursor = self.cursor.max(page.tail);
        }
        self.live = self.cursor >= self.tail;
    }

    /// Lets go of the queue: its events wait in the store from now on. Whoever waits for one has to be told.
    pub(super) fn let_go(&mut self) -> VecDeque<Job> {
        if let Some(first) = self.queue.front() {
            self.tail = self.tail.max(self.cursor);
            self.cursor = Seq(first.seq.0 - 1);
            self.live = false;
        }
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{event, row};
    use super::*;

    fn memory() -> Budget {
        Budget::new(u64::MAX)
    }

    fn unordered() -> Lanes {
        Lanes::new(false, false)
    }

    fn announce(fresh: &mut Fresh, seq: u64) -> bool {
        let event = event(seq);
        fresh.admitted(&event, event.weight(), None, true, &memory())
    }

    fn drain(fresh: &mut Fresh) -> Vec<u64> {
        std::iter::from_fn(|| fresh.take())
            .map(|job| job.seq.0)
            .collect()
    }

    fn rows(seqs: impl IntoIterator<Item = u64>) -> Vec<Delivery> {
        seqs.into_iter().map(row).collect()
    }

    #[test]
    fn a_live_target_is_fed_as_events_commit() {
        let mut fresh = Fresh::new(None);
        assert!(announce(&mut fresh, 3) && announce(&mut fresh, 9));
        assert!(fresh.is_live() && !fresh.wants_page());
        assert_eq!(drain(&mut fresh), [3, 9]);
    }

    #[test]
    fn a_backlog_is_read_page_by_page_until_the_target_is_live() {
        let mut fresh = Fresh::new(Some(Seq(30)));
        assert!(!announce(&mut fresh, 31), "behind: it waits in the store");
        let page = fresh.page(2);
        assert_eq!((page.after, page.most), (Seq(0), 2));
        fresh.fill(
            page,
            (rows([10, 20]), None),
            &mut unordered(),
            99,
            &memory(),
        );
        assert!(fresh.wants_page(), "more wait");
        let page = fresh.page(2);
        fresh.fill(
            page,
            (rows([30, 31]), None),
            &mut unordered(),
            99,
            &memory(),
        );
        assert!(
            fresh.is_live(),
            "a full page that ends at the tail is the last"
        );
        assert!(announce(&mut fresh, 32));
        assert_eq!(drain(&mut fresh), [10, 20, 30, 31, 32]);
    }

    #[test]
    fn a_short_page_makes_live_even_if_the_tail_is_no_first_attempt() {
        let mut fresh = Fresh::new(Some(Seq(30)));
        let page = fresh.page(8);
        fresh.fill(page, (rows([10]), None), &mut unordered(), 99, &memory());
        assert!(fresh.is_live());
        assert!(!announce(&mut fresh, 30), "it was there at the read");
        assert!(announce(&mut fresh, 31));
        assert_eq!(drain(&mut fresh), [10, 31]);
    }

    #[test]
    fn a_short_page_does_not_cover_what_was_announced_after_it_was_asked_for() {
        let mut fresh = Fresh::new(Some(Seq(10)));
        let page = fresh.page(8);
        announce(&mut fresh, 11);
        fresh.fill(page, (rows([10]), None), &mut unordered(), 99, &memory());
        assert!(!fresh.is_live());
        let page = fresh.page(8);
        assert_eq!(page.after, Seq(10));
        fresh.fill(page, (rows([11]), None), &mut unordered(), 99, &memory());
        assert!(fresh.is_live());
        assert_eq!(drain(&mut fresh), [10, 11]);
    }

    #[test]
    fn an_event_that_a_page_brought_before_it_was_announced_is_not_queued_twice() {
        let mut fresh = Fresh::new(Some(Seq(10)));
        let page = fresh.page(8);
        fresh.fill(
            page,
            (rows([10, 11]), None),
            &mut unordered(),
            99,
            &memory(),
        );
        assert!(!announce(&mut fresh, 11));
        assert!(fresh.is_live());
        assert!(announce(&mut fresh, 12));
        assert_eq!(drain(&mut fresh), [10, 11, 12]);
    }

    #[test]
    fn a_queue_over_its_bounds_falls_behind() {
        let mut fresh = Fresh::new(None);
        for seq in 1..=QUEUE_EVENTS_MAX as u64 {
            assert!(announce(&mut fresh, seq));
        }
        assert!(!announce(&mut fresh, 5_000));
        assert!(!fresh.is_live());
        assert_eq!(fresh.page(1).after, Seq(QUEUE_EVENTS_MAX as u64));

        let mut fresh = Fresh::new(None);
        let small = Budget::new(event(1).weight());
        assert!(fresh.admitted(&event(1), event(1).weight(), None, true, &small));
        assert!(!fresh.admitted(&event(2), event(2).weight(), None, true, &small));
        assert!(!fresh.is_live());
        fresh.take();
        assert_eq!(small.used(), 0, "a job gives its bytes back");
    }

    #[test]
    fn a_page_over_the_memory_is_cut_but_never_to_nothing() {
        let full = Budget::new(1);
        let _held = full.take(1);
        let mut fresh = Fresh::new(Some(Seq(3)));
        let page = fresh.page(8);
        fresh.fill(page, (rows([1, 2, 3]), None), &mut unordered(), 99, &full);
        assert_eq!(fresh.len(), 1);
        assert!(!fresh.wants_page(), "not before the queue is empty");
        assert_eq!(drain(&mut fresh), [1]);
        assert!(fresh.wants_page());
        assert_eq!(fresh.page(8).after, Seq(1));
    }

    #[test]
    fn letting_go_moves_the_cursor_back() {
        let mut fresh = Fresh::new(None);
        for seq in [4, 5, 9] {
            announce(&mut fresh, seq);
        }
        fresh.take();
        let late = fresh.page(8);
        let gone: Vec<u64> = fresh.let_go().iter().map(|job| job.seq.0).collect();
        assert_eq!(gone, [5, 9]);
        fresh.fill(late, (rows([10]), None), &mut unordered(), 99, &memory());
        assert_eq!(fresh.len(), 0, "a page from before is dropped");
        let page = fresh.page(8);
        assert_eq!(page.after, Seq(4));
        fresh.fill(page, (rows([5, 9]), None), &mut unordered(), 99, &memory());
        assert!(fresh.is_live());
        assert_eq!(drain(&mut fresh), [5, 9]);
        assert!(fresh.let_go().is_empty() && fresh.is_live());
    }
}

//! Deliveries whose retry is due. All of them wait in the store, in order of their times; memory holds one page of
//! them and the time of the next.
//!
//! Invariant: a delivery that is queued here, attempted, or not yet durably settled is not queued again. A page that
//! is being read may have seen a row that is settled by the time it arrives, so settlements are remembered as
//! long as a page is being read.

use super::job::Job;
use super::lanes::Lanes;
use crate::budget::Budget;
use crate::event::{Seq, Seqs};
use crate::store::Delivery;
use std::collections::{HashSet, VecDeque};

/// How far the clock may be set back without anybody noticing, milliseconds. A retry that seems due later than
/// `retry.max` and this is due by a clock that was wrong: it is tried now. Otherwise a clock corrected by a year
/// would stop all retries for a year.
const CLOCK_SLACK_MS: u64 = 60_000;

/// Retries that wait.
#[derive(Debug)]
pub(super) struct Due {
    queue: VecDeque<Job>,
    /// The earliest that is not queued, Unix milliseconds.
    next_ms: Option<u64>,
    /// The longest delay there is: `retry.max`.
    delay_max_ms: u64,
    /// What was settled while a page is being read; `None` if none is.
    settled: Option<Seqs>,
}

/// A page to be read: deliveries due at `now_ms`, at most `most`, none of which is `out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DuePage {
    /// Unix milliseconds.
    pub(super) now_ms: u64,
    /// Rows.
    pub(super) most: usize,
    /// Taken and not settled: they are the earliest, and would fill the page.
    pub(super) out: HashSet<Seq>,
    /// What was known to be due next when it was asked for.
    next_ms: u64,
}

impl Due {
    /// Retries of which the earliest is due at `next_ms`.
    pub(super) fn new(next_ms: Option<u64>, delay_max_ms: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            next_ms,
            delay_max_ms,
            settled: None,
        }
    }

    /// Another longest delay.
    pub(super) fn set_longest(&mut self, delay_max_ms: u64) {
        self.delay_max_ms = delay_max_ms;
    }

    /// Queued retries.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// A retry is due at `due_ms`. True if it is the earliest known.
    pub(super) fn expect(&mut self, due_ms: u64) -> bool {
        let earlier = self.next_ms.is_none_or(|next_ms| due_ms < next_ms);
        if earlier {
            self.next_ms = Some(due_ms);
        }
        earlier
    }

    /// A delivery is durably settled, whether it was a retry or not.
    pub(super) fn settled(&mut self, seq: Seq) {
        if let Some(settled) = &mut self.settled {
            settled.insert(seq);
        }
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

    /// How long until a page should be read, milliseconds; `None` if nothing waits that is not queued.
    pub(super) fn wait_ms(&self, now_ms: u64) -> Option<u64> {
        if !self.queue.is_empty() {
            return None;
        }
        let wait_ms = self.next_ms?.saturating_sub(now_ms);
        let plausible = wait_ms <= self.delay_max_ms.saturating_add(CLOCK_SLACK_MS);
        Some(if plausible { wait_ms } else { 0 })
    }

    /// Asks for a page, at most `most` rows, none of which is `out`: if one of these has to be tried again, its
    /// settlement says when. Ends with [`Self::fill`] or [`Self::unread`].
    pub(super) fn page(&mut self, now_ms: u64, most: usize, out: HashSet<Seq>) -> DuePage {
        let next_ms = self.next_ms.take().unwrap_or(now_ms);
        self.settled = Some(Seqs::default());
        DuePage {
            now_ms: now_ms.max(next_ms),
            most,
            out,
            next_ms,
        }
    }

    /// The page could not be read.
    pub(super) fn unread(&mut self, page: &DuePage) {
        self.settled = None;
        self.expect(page.next_ms);
    }

    /// Queues at most `room` of the rows that a page gave, none of which is `out` (taken and not settled).
    /// `next_ms` is when the first after them is due. What `lanes` leaves where it is comes when its lane is freed.
    pub(super) fn fill(
        &mut self,
        (rows, next_ms): (Vec<Delivery>, Option<u64>),
        out: &Seqs,
        lanes: &mut Lanes,
        room: usize,
        memory: &Budget,
    ) {
        let settled = self.settled.take().unwrap_or_default();
        if let Some(next_ms) = next_ms {
            self.expect(next_ms);
        }
        for row in rows {
            if out.contains(&row.seq) || settled.contains(&row.seq) {
                // If it has to be tried again, its settlement says when.
                continue;
            }
            if !lanes.admits(&row) {
                continue;
            }
            let due_ms = row.due_ms.unwrap_or(0);
            let (lane, seq) = (row.lane, row.seq);
            let job = (self.queue.len() < room)
                .then(|| Job::read(row, memory, self.queue.is_empty()))
                .flatten();
            let Some(job) = job else {
                // Those after it are due no earlier.
                self.expect(due_ms);
                break;
            };
            lanes.occupy(lane, seq);
            self.queue.push_back(job);
        }
    }

    /// Lets go of the queue: its retries wait in the store alone.
    pub(super) fn let_go(&mut self, lanes: &mut Lanes) {
        if let Some(first) = self.queue.front() {
            let due_ms = first.due_ms.unwrap_or(0);
            self.expect(due_ms);
        }
        for job in self.queue.drain(..) {
            lanes.vacate(&job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::retry_row;
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn due(next_ms: Option<u64>) -> Due {
        Due::new(next_ms, 600_000)
    }

    fn memory() -> Budget {
        Budget::new(u64::MAX)
    }

    fn fill(due: &mut Due, seqs: &[u64], next_ms: Option<u64>, out: &[u64], room: usize) {
        let rows = seqs.iter().map(|seq| retry_row(*seq, 1, 100 + seq));
        let out = out.iter().map(|seq| Seq(*seq)).collect();
        let lanes = &mut Lanes::new(false, false);
        due.fill((rows.collect(), next_ms), &out, lanes, room, &memory());
    }

    fn drain(due: &mut Due) -> Vec<u64> {
        std::iter::from_fn(|| due.take())
            .map(|job| job.seq.0)
            .collect()
    }

    #[test]
    fn the_earliest_known_time_is_waited_for() {
        let mut due = due(None);
        assert_eq!(due.wait_ms(0), None);
        assert!(due.expect(500));
        assert!(!due.expect(600));
        assert!(due.expect(400));
        assert_eq!(due.wait_ms(100), Some(300));
        assert_eq!(due.wait_ms(1_000), Some(0));
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing() {
        let mut due = due(Some(HOUR_MS * 24));
        assert_eq!(due.wait_ms(HOUR_MS), Some(0), "beyond any delay");
        let page = due.page(HOUR_MS, 8, HashSet::new());
        assert_eq!(page.now_ms, HOUR_MS * 24, "the store has to agree");
        let longest = Due::new(Some(600_000 + CLOCK_SLACK_MS), 600_000);
        assert_eq!(longest.wait_ms(0), Some(600_000 + CLOCK_SLACK_MS));
    }

    #[test]
    fn a_page_is_queued_in_order_and_the_next_time_is_known() {
        let mut due = due(Some(100));
        let page = due.page(200, 8, HashSet::new());
        assert_eq!((page.now_ms, page.most), (200, 8));
        fill(&mut due, &[5, 3, 4], Some(900), &[], 99);
        assert_eq!(due.wait_ms(200), None, "the queue comes first");
        assert_eq!(drain(&mut due), [5, 3, 4]);
        assert_eq!(due.wait_ms(200), Some(700));
    }

    #[test]
    fn what_is_out_or_was_settled_during_the_read_is_not_queued_again() {
        let mut due = due(Some(100));
        due.page(200, 8, HashSet::new());
        due.settled(Seq(2));
        fill(&mut due, &[1, 2, 3], None, &[1], 99);
        assert_eq!(drain(&mut due), [3]);
        assert_eq!(due.wait_ms(200), None);
        due.settled(Seq(4));
        due.expect(100);
        due.page(200, 8, HashSet::new());
        fill(&mut due, &[4], None, &[], 99);
        assert_eq!(
            drain(&mut due),
            [4],
            "settled before the read: it is due anew"
        );
    }

    #[test]
    fn a_retry_settled_during_the_read_is_not_forgotten() {
        let mut due = due(Some(100));
        due.page(200, 8, HashSet::new());
        due.expect(150);
        fill(&mut due, &[], Some(900), &[], 99);
        assert_eq!(due.wait_ms(100), Some(50));
    }

    #[test]
    fn what_has_no_room_is_read_again() {
        let mut due = due(Some(100));
        due.page(200, 8, HashSet::new());
        fill(&mut due, &[1, 2, 3], None, &[], 2);
        assert_eq!(drain(&mut due), [1, 2]);
        assert_eq!(due.wait_ms(0), Some(103));
        due.page(200, 8, HashSet::new());
        fill(&mut due, &[3], None, &[], 0);
        assert_eq!(due.wait_ms(0), Some(103));
        let page = due.page(200, 8, HashSet::new());
        due.unread(&page);
        assert_eq!(due.wait_ms(0), Some(103));
    }

    #[test]
    fn letting_go_keeps_the_time() {
        let mut due = due(Some(100));
        due.page(200, 8, HashSet::new());
        fill(&mut due, &[1, 2], Some(900), &[], 99);
        due.let_go(&mut Lanes::new(false, false));
        assert_eq!((due.len(), due.wait_ms(0)), (0, Some(101)));
    }
}

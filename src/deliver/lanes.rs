//! The events of one key one after the other (`order_by`), those of other keys beside them.
//!
//! A lane is what the events of one key wait in, in order of their admission. Only its head, the earliest that is not
//! settled for good, may be attempted. The store knows the heads: a page holds nothing that waits behind another
//! (`deliveries` has an index for it), so the cursor of the fresh passes by what is blocked, and once a head is through
//! the store is asked for the next of its lane. Memory holds the lanes that have a job here, and those whose next is to
//! be asked for; not one byte for an event that is blocked.
//!
//! Invariant: of each lane at most one job is queued or out. Whatever a page brings beside it is left where it is: it
//! comes when the lane is freed.

use super::job::Job;
use crate::budget::Budget;
use crate::event::{Lane, Seq, Seqs};
use crate::store::Delivery;
use std::collections::{HashMap, HashSet, VecDeque};

/// Lanes whose next is asked for in one read.
const HEADS_MAX: usize = 64;

/// Lanes whose next is to be asked for: many more than are out at one time. Beyond it (an operator discards while
/// nothing may be read) all that waits is read anew.
const FREED_MAX: usize = if cfg!(test) { 3 } else { 65_536 };

/// The lanes of one target.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Whether the target has `order_by`: without it every delivery may be attempted at any time.
    ordered: bool,
    /// Lanes with a job that is queued or out, and which.
    occupied: HashMap<Lane, Seq>,
    /// Lanes whose next is to be asked for, in the order in which they were freed, each once.
    freed: VecDeque<Lane>,
    is_freed: HashSet<Lane>,
    /// More were freed than are remembered.
    overflowed: bool,
    /// The next of freed lanes, to be taken with the fresh.
    queue: VecDeque<Job>,
    /// Whether something may wait in the store that is neither queued nor out, nor behind the cursor of the fresh: what
    /// the cursor has passed by, and retries. Known to be false at a moment when nothing waits.
    more: bool,
    /// What was settled while a page is being read, which may hold it nevertheless; `None` if none is.
    settled: Option<Seqs>,
}

impl Lanes {
    /// No lane yet. `more`: something waits already.
    pub(super) fn new(ordered: bool, more: bool) -> Self {
        Self {
            ordered,
            occupied: HashMap::new(),
            freed: VecDeque::new(),
            is_freed: HashSet::new(),
            overflowed: false,
            queue: VecDeque::new(),
            more,
            settled: None,
        }
    }

    /// Whether events are kept in order.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// Whether events are kept in order from now on. The queue must be let go of before: all that waits is read anew, once
    /// nothing is out that was taken without order.
    pub(super) fn set_ordered(&mut self, ordered: bool) {
        self.ordered = ordered;
        self.overflow();
    }

    /// Queued jobs.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The number of the first queued job.
    pub(super) fn first(&self) -> Option<Seq> {
        self.queue.front().map(|job| job.seq)
    }

    /// Takes the first.
    pub(super) fn take(&mut self) -> Option<Job> {
        self.queue.pop_front()
    }

    /// Whether an event that is announced may be queued without asking the store. `live`: the fresh have nothing to read.
    pub(super) fn may_queue(&self, lane: Option<Lane>, live: bool) -> bool {
        let is_free = lane.is_none_or(|lane| !self.occupied.contains_key(&lane));
        let in_order = !self.ordered || (live && !self.more && is_free);
        // What is announced meanwhile would put off for ever what has to be read anew.
        in_order && !self.overflowed
    }

    /// Whether something may wait in the store alone.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    /// Something waits in the store alone, for a retry or behind another one.
    pub(super) fn left_in_store(&mut self) {
        self.more = true;
    }

    /// Nothing waits at all.
    pub(super) fn nothing_waits(&mut self) {
        self.more = false;
    }

    /// An event of `lane` is announced that the cursor has passed: the page may have seen it before it could be told
    /// that its lane was free. True if the next of the lane is to be asked for.
    pub(super) fn passed(&mut self, lane: Option<Lane>) -> bool {
        let Some(lane) = lane.filter(|lane| self.ordered && !self.occupied.contains_key(lane))
        else {
            return false;
        };
        self.free(lane);
        true
    }

    /// A job of `lane` is queued.
    pub(super) fn occupy(&mut self, lane: Option<Lane>, seq: Seq) {
        if let Some(lane) = lane.filter(|_| self.ordered) {
            self.occupied.insert(lane, seq);
        }
    }

    /// A page is going to be read. Ends with [`Self::end_read`].
    pub(super) fn begin_read(&mut self) {
        self.settled = Some(Seqs::default());
    }

    /// Nobody knows what was being read.
    pub(super) fn lose_read(&mut self) {
        self.settled = None;
        if self.ordered {
            self.overflow();
        }
    }

    /// The page has arrived, or will not.
    pub(super) fn end_read(&mut self) {
        self.settled = None;
    }

    /// Whether a row of a page may be queued.
    pub(super) fn admits(&self, row: &Delivery) -> bool {
        let is_settled = self
            .settled
            .as_ref()
            .is_some_and(|settled| settled.contains(&row.seq));
        let is_free = row
            .lane
            .is_none_or(|lane| !self.occupied.contains_key(&lane));
        !is_settled && (is_free || !self.ordered)
    }

    /// A delivery is durably settled; `for_good`: it waits no more. True if the next of its lane is to be asked for.
    pub(super) fn settled(&mut self, lane: Option<Lane>, seq: Seq, for_good: bool) -> bool {
        if let Some(settled) = &mut self.settled {
            settled.insert(seq);
        }
        let Some(lane) = lane.filter(|_| self.ordered) else {
            return false;
        };
        if self.occupied.get(&lane) == Some(&seq) {
            self.occupied.remove(&lane);
        }
        if for_good {
            self.free(lane);
        }
        for_good
    }

    fn free(&mut self, lane: Lane) {
        if self.overflowed || self.is_freed.contains(&lane) {
            return;
        }
        if self.freed.len() >= FREED_MAX {
            return self.overflow();
        }
        self.is_freed.insert(lane);
        self.freed.push_back(lane);
    }

    fn overflow(&mut self) {
        self.overflowed = true;
        self.more = true;
        self.freed = VecDeque::new();
        self.is_freed = HashSet::new();
    }

    /// Whether the next of some lane is to be asked for.
    pub(super) fn has_freed(&self) -> bool {
        !self.freed.is_empty()
    }

    /// Nothing waits but what is queued or out: no lane has a next.
    pub(super) fn forget_freed(&mut self) {
        self.freed.clear();
        self.is_freed.clear();
    }

    /// Takes this one out, if it is queued.
    pub(super) fn discard(&mut self, seq: Seq) -> Option<Job> {
        let place = self.queue.iter().position(|job| job.seq == seq)?;
        self.queue.remove(place)
    }

    /// Whether more lanes were freed than are remembered: once nothing is queued or out, all has to be read anew.
    pub(super) fn is_overflowed(&self) -> bool {
        self.overflowed
    }

    /// All is going to be read anew.
    pub(super) fn begin_anew(&mut self) {
        self.overflowed = false;
        // Nothing is queued or out. (What was taken before events were kept in order has left no trace here.)
        self.occupied.clear();
    }

    /// The lanes to ask the store for the next of. One that is freed while they are read is asked for again. Ends with
    /// [`Self::fill`] or [`Self::unread`].
    pub(super) fn wanted(&mut self) -> Vec<Lane> {
        if !self.queue.is_empty() {
            return Vec::new();
        }
        let most = HEADS_MAX.min(self.freed.len());
        let lanes: Vec<Lane> = self.freed.drain(..most).collect();
        for lane in &lanes {
            self.is_freed.remove(lane);
        }
        lanes
    }

    /// These were not looked at.
    pub(super) fn unread(&mut self, lanes: &[Lane]) {
        for lane in lanes {
            self.free(*lane);
        }
    }

    /// Queues the heads that the store gave. What lies behind `cursor` comes with a page of the fresh, and
    /// what has been attempted before with a page of the due: the earliest such time is returned.
    pub(super) fn fill(
        &mut self,
        heads: Vec<Delivery>,
        cursor: Seq,
        room: usize,
        memory: &Budget,
    ) -> Option<u64> {
        let mut next_due_ms: Option<u64> = None;
        // Asked for while events were kept in order: what is out is not known here any more, and all is read anew.
        let heads = if self.ordered { heads } else { Vec::new() };
        for head in heads {
            let (lane, seq) = (head.lane, head.seq);
            if !self.admits(&head) {
                continue;
            }
            if let Some(due_ms) = head.due_ms {
                next_due_ms = Some(next_due_ms.map_or(due_ms, |earliest| earliest.min(due_ms)));
                continue;
            }
            if seq > cursor {
                continue;
            }
            let job = (self.queue.len() < room)
                .then(|| Job::read(head, memory, self.queue.is_empty()))
                .flatten();
            match (job, lane) {
                (Some(job), _) => {
                    self.occupy(lane, seq);
                    self.queue.push_back(job);
                }
                (None, Some(lane)) => self.free(lane),
                (None, None) => {}
            }
        }
        next_due_ms
    }

    /// A job that was queued is let go of: it waits in the store alone.
    pub(super) fn vacate(&mut self, job: &Job) {
        if let Some(lane) = job.lane
            && self.occupied.get(&lane) == Some(&job.seq)
        {
            self.occupied.remove(&lane);
        }
    }

    /// Lets go of the queue: these lanes have to be asked for again.
    pub(super) fn let_go(&mut self) {
        self.more = true;
        for job in std::mem::take(&mut self.queue) {
            self.vacate(&job);
            if let Some(lane) = job.lane {
                self.free(lane);
            }
        }
    }
}

//! The reader of the model: it reads what the scheduler plans, and the page arrives, or is lost, some time later.
//!
//! Invariant: a page holds what was committed when it was read, whatever happens before it arrives.

use super::World;
use crate::deliver::due::DuePage;
use crate::deliver::fixture;
use crate::deliver::fresh::FreshPage;
use crate::deliver::model::lane;
use crate::deliver::scheduler::Plan;
use crate::event::{Lane, Seq};
use crate::store::Delivery;

/// Rows that a page in order looks at here.
const LOOKED_AT_MAX: usize = 5;

#[derive(Debug)]
pub(super) enum Reading {
    Fresh(FreshPage, Vec<Delivery>, Option<Seq>),
    Heads(Vec<Lane>, Vec<Delivery>),
    Due(DuePage, Vec<Delivery>, Option<u64>),
}

/// A row without an attempt, in its lane.
fn row(seq: u64) -> Delivery {
    Delivery {
        lane: lane(seq),
        ..fixture::row(seq)
    }
}

/// A row that waits for its retry, in its lane.
fn retry_row(seq: u64, attempts: u32, due_ms: u64) -> Delivery {
    Delivery {
        attempts,
        due_ms: Some(due_ms),
        ..row(seq)
    }
}

impl World {
    pub(super) fn plan(&mut self) -> bool {
        let over = self
            .reader_at_ms
            .is_some_and(|at_ms| at_ms <= self.passed_ms);
        if self.reading.is_some() || !(self.reader_rung || over) {
            return false;
        }
        self.reader_rung = false;
        self.reader_at_ms = None;
        let (plan, _) = self.scheduler.plan(self.wall_ms, self.now());
        match plan {
            Plan::ReadFresh(page) => {
                let rows = self.rows.range(page.after.0 + 1..);
                let rows = rows.filter(|(_, (_, due_ms))| due_ms.is_none());
                let rows = rows.take(page.most).map(|(seq, _)| row(*seq)).collect();
                self.reading = Some(Reading::Fresh(page, rows, None));
            }
            Plan::ReadInOrder(page) => {
                let mut rows = Vec::new();
                let mut looked_to = None;
                let fresh = self.rows.range(page.after.0 + 1..);
                let mut fresh = fresh.filter(|(_, (_, due_ms))| due_ms.is_none());
                for (seq, _) in fresh.by_ref().take(LOOKED_AT_MAX) {
                    looked_to = Some(Seq(*seq));
                    if !self.is_blocked(*seq) {
                        rows.push(row(*seq));
                    }
                    if rows.len() >= page.most {
                        break;
                    }
                }
                let all = rows.len() < page.most && fresh.next().is_none();
                self.reading = Some(Reading::Fresh(page, rows, looked_to.filter(|_| !all)));
            }
            Plan::ReadHeads(lanes) => {
                let first = |lane_of: &Lane| {
                    let mut rows = self.rows.iter();
                    rows.find(|(seq, _)| lane(**seq) == Some(*lane_of))
                };
                let heads = lanes.iter().filter_map(first);
                let heads = heads.map(|(seq, (attempts, due_ms))| Delivery {
                    attempts: *attempts,
                    due_ms: *due_ms,
                    ..row(*seq)
                });
                let heads = heads.collect();
                self.reading = Some(Reading::Heads(lanes, heads));
            }
            Plan::ReadDue(page) => {
                let mut due: Vec<_> = self
                    .rows
                    .iter()
                    .filter_map(|(seq, (attempts, due_ms))| Some(((*due_ms)?, *seq, *attempts)))
                    .collect();
                due.sort_unstable();
                due.retain(|(_, seq, _)| !page.out.contains(&Seq(*seq)));
                let visible = due
                    .iter()
                    .take_while(|(due_ms, ..)| *due_ms <= page.now_ms)
                    .take(page.most.min(self.page_rows));
                let rows: Vec<_> = visible
                    .map(|(due_ms, seq, attempts)| retry_row(*seq, *attempts, *due_ms))
                    .collect();
                let next_ms = due.get(rows.len()).map(|(due_ms, ..)| *due_ms);
                self.reading = Some(Reading::Due(page, rows, next_ms));
            }
            Plan::Wait(most) => {
                self.reader_at_ms = most.map(|most| {
                    self.passed_ms + u64::try_from(most.as_millis()).expect("short") + 1
                });
            }
            Plan::Stop => panic!("it was not stopped"),
        }
        true
    }

    pub(super) fn arrive(&mut self) -> bool {
        match self.reading.take() {
            Some(Reading::Fresh(page, rows, looked_to)) => {
                self.scheduler.fill_fresh(page, rows, looked_to);
            }
            Some(Reading::Heads(_, heads)) => self.scheduler.fill_heads(heads, &[]),
            Some(Reading::Due(_, rows, next_ms)) => self.scheduler.fill_due(rows, next_ms),
            None => return false,
        }
        self.reader_rung = true;
        true
    }

    pub(super) fn unreadable(&mut self) -> bool {
        match self.reading.take() {
            Some(Reading::Fresh(..)) => self.scheduler.unread_fresh(),
            Some(Reading::Heads(lanes, _)) => self.scheduler.unread_heads(&lanes),
            Some(Reading::Due(page, ..)) => self.scheduler.unread_due(&page),
            None => return false,
        }
        self.reader_rung = true;
        true
    }
}

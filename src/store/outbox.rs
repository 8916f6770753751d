//! What is committed and not yet told.
//!
//! The writer leaves the news of a commit here and goes on; one task tells it on the runtime, where those live who wait
//! for it. So a commit wakes the runtime once, however many events are in it: a wake from another thread is a system
//! call each.
//!
//! Invariants: news is told in the order of the commits, and only by one thread at a time; all of it is told before the
//! writer ends.

use super::batch::Admitted;
use super::health::{Health, PoisonOnPanic};
use super::steering::{Change, Copied};
use super::{Abandoned, Destination, Feed, Settlement};
use crate::event::{Event, TargetId};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// What one commit has made durable.
#[derive(Debug)]
pub(super) struct News {
    /// Copies of events; they come before the admitted ones.
    pub(super) copied: Vec<Copied>,
    pub(super) admitted: Vec<Admitted>,
    /// Settlements that changed nothing.
    pub(super) in_vain: Vec<Settlement>,
    pub(super) settled: Vec<Settlement>,
    /// Deliveries of events whose payload is damaged.
    pub(super) buried: Vec<Settlement>,
    /// Deliveries of targets that are no longer configured.
    pub(super) given_up: Vec<Abandoned>,
    /// Dead letters that are kept no longer, by target.
    pub(super) forgotten: Vec<TargetId>,
    /// What operators have changed, in order.
    pub(super) changes: Vec<Change>,
}

impl News {
    /// Everyone hears of it, the requests first.
    fn tell(mut self, feed: &dyn Feed) {
        for copy in &self.copied {
            copy.event.log_accepted();
            for target in &copy.targets {
                feed.admitted(Destination::from(*target), &copy.event);
            }
        }
        let durable: Vec<Durable> = self.admitted.into_iter().map(Durable::answer).collect();
        for event in &durable {
            event.event.log_accepted();
            event.feed(feed);
        }
        if !self.in_vain.is_empty() {
            feed.in_vain(&self.in_vain);
        }
        if !self.settled.is_empty() {
            feed.settled(&self.settled);
        }
        if !self.buried.is_empty() {
            feed.discarded(&self.buried);
        }
        if !self.given_up.is_empty() {
            feed.abandoned(&self.given_up);
        }
        self.forgotten.sort_unstable();
        for of_one in self.forgotten.chunk_by(|one, next| one == next) {
            feed.forgotten(of_one[0], of_one.len() as u64);
        }
        for change in &self.changes {
            change.tell(feed);
        }
    }
}

/// News on its way.
pub(super) struct Outbox {
    feed: Arc<dyn Feed>,
    health: Arc<Health>,
    state: Mutex<State>,
    /// Held by whoever tells.
    telling: Mutex<()>,
    posted: Notify,
}

#[derive(Default)]
struct State {
    news: VecDeque<News>,
    closed: bool,
}

impl Outbox {
    pub(super) fn new(feed: Arc<dyn Feed>, health: Arc<Health>) -> Self {
        Self {
            feed,
            health,
            state: Mutex::default(),
            telling: Mutex::default(),
            posted: Notify::new(),
        }
    }

    /// Leaves what a commit has made durable.
    pub(super) fn post(&self, news: News) {
        self.state.lock().news.push_back(news);
        self.posted.notify_one();
    }

    /// Tells what is here.
    pub(super) fn tell(&self) {
        // Whoever is told nothing more waits for ever: the process ends, and the next start reads it from the store.
        let _poison = PoisonOnPanic(&self.health);
        let _turn = self.telling.lock();
        while let Some(news) = self.next() {
            news.tell(&*self.feed);
        }
    }

    fn next(&self) -> Option<News> {
        self.state.lock().news.pop_front()
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.posted.notify_one();
    }

    /// Tells what comes until it is closed.
    pub(super) async fn serve(&self) {
        loop {
            // What is posted after the look at the queue leaves a permit.
            self.posted.notified().await;
            self.tell();
            if self.state.lock().closed {
                return;
            }
        }
    }
}

/// An event that is durable, and whose request knows it.
struct Durable {
    event: Arc<Event>,
    waits_for: Vec<Destination>,
    refused_by: Vec<TargetId>,
}

impl Durable {
    /// Its keys are remembered before the request is answered: nobody may see the answer and find them unknown.
    fn answer(admitted: Admitted) -> Self {
        let Admitted {
            event,
            reservation,
            reply,
            waits_for,
            refused_by,
            metrics,
            ..
        } = admitted;
        reservation.durable(event.seq, event.received_ms, event.id);
        // Here and not by the request, which may have been answered at its deadline or be gone.
        metrics.accepted(event.received_ms);
        // Whoever has gone away needs no answer.
        let _ = reply.send(Ok(event.id));
        Self {
            event,
            waits_for,
            refused_by,
        }
    }

    fn feed(&self, feed: &dyn Feed) {
        for destination in &self.waits_for {
            feed.admitted(*destination, &self.event);
        }
        for target in &self.refused_by {
            feed.refused(*target, &self.event);
        }
    }
}

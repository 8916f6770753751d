//! The public side: the story of a request, from its parsed head to its answer, in the order in which it happens.
//!
//! `service` puts the layers around it, `rejection` knows every answer that is no success.

mod capture;
mod forward;
mod handler;
mod handshake;
mod keys;
mod learn;
pub mod rejection;
mod release;
pub mod service;
mod source;
mod told;

pub use learn::Learned;
pub use source::Source;

use crate::budget::Budget;
use crate::dedupe::Dedupe;
use crate::deliver::Deliver;
use crate::http::Answer;
use crate::http::server::{Refusal, Refusals};
use crate::metrics::ElsewhereMetrics;
use crate::shutdown::Listener as Stop;
use crate::store::{Rejects, Store};
use crate::trace::Tracer;
use rejection::{Cause, Rejection};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// What every request shares.
#[derive(Debug)]
pub struct Receive {
    /// Sources by their exact path.
    pub sources: HashMap<String, Source>,
    /// Requests that are for no source.
    pub elsewhere: ElsewhereMetrics,
    /// The memory of keys.
    pub dedupe: Arc<Dedupe>,
    /// Where events become durable.
    pub store: Store,
    /// Where what is refused may be kept.
    pub rejects: Rejects,
    /// Where they go.
    pub deliver: Arc<Deliver>,
    /// Bytes in flight.
    pub budget: Budget,
    /// From the end of a head to the end of its body.
    pub body_timeout: Duration,
    /// Rung when a handshake has brought a secret.
    pub learned: Learned,
    /// What is told of requests.
    pub tracer: Tracer,
    /// How far the stop has come: at its end nobody is waited for any more.
    pub stop: Stop,
}

impl Receive {
    /// The answer to a request for `path` that no handler has seen, counted for its source.
    fn refused(&self, path: &str, rejection: &Rejection) -> Answer {
        let source = self.sources.get(path);
        match (source, rejection.cause()) {
            (Some(source), _) => source.rejected(rejection),
            (None, Cause::Rejected(reason)) => self.elsewhere.rejected.increment(reason),
            (None, Cause::Unavailable(_) | Cause::Elsewhere) => {}
        }
        let answer = rejection.answer();
        let status = answer.status().as_u16();
        match source {
            Some(source) => source.metrics.answered(status),
            None => self.elsewhere.answered(status),
        }
        answer
    }
}

/// Heads that never came whole are for no source: nobody knows their path.
impl Refusals for Receive {
    fn refused(&self, refusal: Refusal) {
        self.elsewhere.rejected.increment(match refusal {
            Refusal::Malformed => "malformed",
            Refusal::TooLarge => "too_large",
            Refusal::Timeout => "timeout",
        });
        self.elsewhere.answered(refusal.status().as_u16());
    }
}

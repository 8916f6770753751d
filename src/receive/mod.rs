//! The public side: the story of a request, from its parsed head to its answer, in the order in which it happens.
//!
//! `service` puts the layers around it, `rejection` knows every answer that is no success.

mod caller;
mod capture;
pub mod entrance;
mod failures;
mod forward;
mod handler;
mod handshake;
mod keys;
mod learn;
mod pass;
pub mod rejection;
mod release;
pub mod service;
mod source;
mod success;
mod told;

pub use failures::Failures;
pub use learn::{Learned, Waiting};
pub use source::Source;

use crate::dedupe::Dedupe;
use crate::deliver::Deliver;
use crate::http::Answer;
use crate::http::server::{Refusal, Refusals};
use crate::metrics::ElsewhereMetrics;
use crate::network::{Client, Networks};
use crate::shutdown::{Listener as Stop, Phase};
use crate::store::{Rejects, Store};
use crate::trace::Tracer;
use rejection::{Cause, Rejection};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// What every request of one configuration shares. Another configuration is another one, which takes the place of this as
/// a whole (`entrance`): requests that run end with the one that they began with.
#[derive(Debug)]
pub struct Receive {
    /// Sources by their exact path.
    pub sources: HashMap<String, Source>,
    /// Requests that are for no source.
    pub elsewhere: Arc<ElsewhereMetrics>,
    /// The memory of keys.
    pub dedupe: Arc<Dedupe>,
    /// Where events become durable.
    pub store: Store,
    /// Where what is refused may be kept.
    pub rejects: Rejects,
    /// Where they go.
    pub deliver: Arc<Deliver>,
    /// Peers that say in `X-Forwarded-For` who sends.
    pub trusted_proxies: Networks,
    /// Who sends more in vain than it may.
    pub failures: Arc<Failures>,
    /// From the end of a head to the end of its body.
    pub body_timeout: Duration,
    /// Rung when a handshake has brought a secret.
    pub learned: Arc<Learned>,
    /// What is told of requests.
    pub tracer: Tracer,
    /// How far the stop has come: at its end nobody is waited for any more.
    pub stop: Stop,
}

impl Receive {
    /// The answer to a request that no handler has seen, counted for the source of its path where that and its client are
    /// known.
    fn refused(&self, request: Option<(&str, Client)>, rejection: &Rejection) -> Answer {
        let sent = request.and_then(|(path, client)| Some((self.sources.get(path)?, client)));
        let source = sent.map(|(source, _)| source);
        match (sent, rejection.cause()) {
            (Some((source, client)), _) => source.rejected(rejection, client),
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

    /// Waits until the time for finishing is over: whoever waits for the app then is answered without it.
    async fn over(&self) {
        self.stop.clone().reached(Phase::Over).await;
    }
}

/// Heads that never came whole are for no source: nobody knows their path. A status counts only if it was answered.
impl Refusals for ElsewhereMetrics {
    fn refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::Malformed | Refusal::ProxyHeader => self.rejected.increment("malformed"),
            Refusal::TooLarge => self.rejected.increment("too_large"),
            Refusal::Timeout | Refusal::ProxyTimeout => self.rejected.increment("timeout"),
            Refusal::Crowded | Refusal::CrowdedTls => self.crowded.increment(1),
            Refusal::Handshake => self.handshakes.increment(1),
        }
        if let Some(status) = refusal.status() {
            self.answered(status.as_u16());
        }
    }
}

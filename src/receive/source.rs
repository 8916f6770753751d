//! A source as requests meet it: everything that its configuration says, prepared once.

use super::rejection::{Cause, Rejection};
use crate::budget::Budget;
use crate::config::{self, Secret};
use crate::event::{EventId, SourceId, TargetId};
use crate::extract::{KeyExpr, Parts};
use crate::metrics::{REJECTED, SourceMetrics, UNAVAILABLE};
use crate::network::Client;
use crate::quiet::Quiet;
use crate::rate::Bucket;
use crate::store::Destination;
use crate::verify::{Handshakes, Surroundings, Verifier};
use http::HeaderValue;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Events that an unsigned mark may exempt from deduplication.
const EXEMPT_MOST: u32 = 10;
/// The time in which they may.
const EXEMPT_INTERVAL: Duration = Duration::from_mins(1);

/// One source.
#[derive(Debug)]
pub struct Source {
    /// Its number in the store.
    pub id: SourceId,
    /// Its settings.
    pub config: config::Source,
    /// [`config::Source::key_name`], ready for every event to share.
    pub(super) key_name: Arc<str>,
    /// What its secrets make.
    proof: Proof,
    /// Its handles.
    pub metrics: Arc<SourceMetrics>,
    /// Where its events go.
    routes: Vec<Route>,
    /// Tokens for events, where it has a rate.
    rate: Option<Mutex<Bucket>>,
    /// Bytes in flight, of which it has a share.
    pub(super) budget: Budget,
    kept: Arc<Kept>,
}

/// What of a source goes on when it is configured anew.
#[derive(Debug)]
pub(super) struct Kept {
    exempted: Mutex<(Option<Instant>, u32)>,
    /// One line a second.
    conflicts: Quiet,
    /// What is said of handshakes.
    pub(super) handshakes: HandshakeLines,
    /// One line a second for each reason.
    rejections: HashMap<&'static str, Quiet>,
}

impl Default for Kept {
    fn default() -> Self {
        let reasons = REJECTED.iter().chain(&UNAVAILABLE);
        Self {
            exempted: Mutex::default(),
            conflicts: Quiet::default(),
            handshakes: HandshakeLines::default(),
            rejections: reasons.map(|reason| (*reason, Quiet::default())).collect(),
        }
    }
}

/// One target of a source's events.
#[derive(Debug)]
struct Route {
    target: TargetId,
    order_by: KeyExpr,
    events: config::Patterns,
}

/// Anybody can send a handshake that nothing proves, and as many as they like: one line a second of each kind.
#[derive(Debug, Default)]
pub(super) struct HandshakeLines {
    pub(super) answered: Quiet,
    pub(super) another: Quiet,
    pub(super) unwritten: Quiet,
    pub(super) unkept: Quiet,
}

/// What a source's secrets make.
#[derive(Debug)]
pub struct Proof {
    /// Its schemes, with their keys prepared.
    pub verifier: Verifier,
    /// What is answered to a vendor that asks whether the URL is its own.
    pub handshakes: Handshakes,
}

impl Proof {
    fn new(config: &config::Source, secrets: &[Secret], signatures_max: usize) -> Self {
        let around = Surroundings::of(config, signatures_max);
        let verify = &config.verify;
        Self {
            verifier: Verifier::new(verify, secrets, &around),
            handshakes: Handshakes::new(&config.handshakes, verify, secrets, &around),
        }
    }
}

/// Whether an event is exempt from deduplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// It is not.
    None,
    /// By something that the sender has signed.
    Signed,
    /// By something that anybody could have added to a captured request: the exemption is bounded.
    Unsigned,
}

impl Source {
    /// Prepares a source. `budget` is what its bodies may have. `targets` gives each target by its name: its number, and
    /// what it keeps events in order by. `before` is the same source as it was configured until now.
    pub fn new(
        mut config: config::Source,
        id: SourceId,
        metrics: Arc<SourceMetrics>,
        targets: &HashMap<&str, (TargetId, KeyExpr)>,
        signatures_max: usize,
        budget: Budget,
        before: Option<&Self>,
    ) -> Self {
        // Kept only as what they make.
        let secrets = std::mem::take(&mut config.secrets);
        let route = |route: &config::Route| {
            let (target, order_by) = targets[&*route.target].clone();
            Route {
                target,
                order_by,
                events: route.events.clone(),
            }
        };
        Self {
            id,
            key_name: config.key_name().into(),
            proof: Proof::new(&config, &secrets, signatures_max),
            routes: config.routes.iter().map(route).collect(),
            metrics,
            rate: config.rate.map(|rate| Mutex::new(Bucket::new(Some(rate)))),
            budget,
            config,
            kept: before.map_or_else(Arc::default, |before| Arc::clone(&before.kept)),
        }
    }

    /// Whether this client may send.
    pub(super) fn allows(&self, client: Client) -> bool {
        let allowed = self.config.allow_from.as_ref();
        allowed.is_none_or(|allowed| allowed.contains(client))
    }

    /// Takes the place of one event, or says how long there is none.
    pub(super) fn take_place(&self) -> Result<(), Rejection> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        let now = Instant::now();
        let mut rate = rate.lock();
        if let Some(wait) = rate.wait(now) {
            return Err(Rejection::Rate(wait));
        }
        rate.take(now);
        Ok(())
    }

    /// What its secrets make.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// What is said of handshakes.
    pub(super) fn handshakes(&self) -> &HandshakeLines {
        &self.kept.handshakes
    }

    /// The targets that want an event of this type, each once, and where in their order it stands.
    pub fn wanted(&self, event_type: Option<&str>, parts: Parts<'_>) -> Vec<Destination> {
        let mut wanted: Vec<Destination> = Vec::with_capacity(self.routes.len());
        for route in &self.routes {
            let target = route.target;
            if route.events.want(event_type) && wanted.iter().all(|other| other.target != target) {
                let lane = route.order_by.lane(parts);
                wanted.push(Destination { target, lane });
            }
        }
        wanted
    }

    /// What `dedupe.skip` says of a request. A signed exemption wins over an unsigned one.
    pub fn exemption(&self, event_type: Option<&str>, parts: Parts<'_>) -> Exemption {
        let carries = |name, value: &HeaderValue| {
            parts.headers.get_all(name).iter().any(|sent| sent == value)
        };
        let known = |events: &config::Patterns| event_type.is_some() && events.want(event_type);
        let mut found = Exemption::None;
        for rule in &self.config.dedupe.skip {
            match rule {
                config::SkipRule::Event(events) if known(events) => return Exemption::Signed,
                config::SkipRule::UnsignedEvent(events) if known(events) => {
                    found = Exemption::Unsigned;
                }
                config::SkipRule::Header(name, value) if carries(name, value) => {
                    found = Exemption::Unsigned;
                }
                _ => {}
            }
        }
        found
    }

    /// Whether some rule of `dedupe.skip` goes by an unsigned mark: then bodies without the mark are remembered.
    pub fn has_unsigned_skip(&self) -> bool {
        self.config
            .dedupe
            .skip
            .iter()
            .any(|rule| !matches!(rule, config::SkipRule::Event(_)))
    }

    /// Takes one of the few unsigned exemptions of a minute.
    pub fn may_exempt(&self) -> bool {
        let mut exempted = self.kept.exempted.lock();
        let now = Instant::now();
        let (since, count) = &mut *exempted;
        if since.is_none_or(|since| now.duration_since(since) >= EXEMPT_INTERVAL) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        *count <= EXEMPT_MOST
    }

    /// Counts and logs a duplicate of `id` whose body is not the original's.
    pub(super) fn conflicted(&self, id: EventId) {
        self.metrics.dedupe_conflicts.increment(1);
        if let Some(suppressed) = self.kept.conflicts.pass() {
            tracing::warn!(
                event_id = %id,
                source = %self.config.name,
                suppressed,
                "event.conflict: duplicate id with another body"
            );
        }
    }

    /// Counts and logs a request of this client that was not taken.
    pub fn rejected(&self, rejection: &Rejection, client: Client) {
        let (result, reason) = match rejection.cause() {
            Cause::Rejected(reason) => {
                self.metrics.rejected.increment(reason);
                ("rejected", reason)
            }
            Cause::Unavailable(reason) => {
                self.metrics.unavailable.increment(reason);
                ("unavailable", reason)
            }
            Cause::Elsewhere => return,
        };
        self.metrics.events.increment(result);
        if let Some(suppressed) = self.kept.rejections.get(reason).and_then(Quiet::pass) {
            tracing::warn!(
                source = %self.config.name,
                reason,
                %client,
                suppressed,
                "event.{result}: {rejection}"
            );
        }
    }
}

//! A source as requests meet it: everything that its configuration says, prepared once.

use super::rejection::{Cause, Rejection};
use crate::config;
use crate::event::{EventId, SourceId, TargetId};
use crate::extract::Parts;
use crate::metrics::{REJECTED, SourceMetrics, UNAVAILABLE};
use crate::quiet::Quiet;
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
    /// Its scheme, with its keys prepared.
    pub verifier: Verifier,
    /// What is answered to a vendor that asks whether the URL is its own.
    pub handshakes: Handshakes,
    /// Its handles.
    pub metrics: Arc<SourceMetrics>,
    /// Where its events go.
    routes: Vec<(TargetId, config::Patterns)>,
    exempted: Mutex<(Option<Instant>, u32)>,
    /// One line a second.
    conflicts: Quiet,
    /// One line a second for each reason.
    rejections: HashMap<&'static str, Quiet>,
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
    /// Prepares a source. `targets` gives the number of each target by its name.
    pub fn new(
        config: config::Source,
        id: SourceId,
        metrics: Arc<SourceMetrics>,
        targets: &HashMap<&str, TargetId>,
        signatures_max: usize,
    ) -> Self {
        let around = Surroundings::of(&config, signatures_max);
        let route = |route: &config::Route| (targets[&*route.target], route.events.clone());
        Self {
            id,
            verifier: Verifier::new(&config.verify, &config.secrets, &around),
            handshakes: Handshakes::new(
                &config.handshakes,
                &config.verify,
                &config.secrets,
                &around,
            ),
            routes: config.routes.iter().map(route).collect(),
            metrics,
            config,
            conflicts: Quiet::default(),
            exempted: Mutex::default(),
            rejections: REJECTED
                .iter()
                .chain(&UNAVAILABLE)
                .map(|reason| (*reason, Quiet::default()))
                .collect(),
        }
    }

    /// The targets that want an event of this type, each once.
    pub fn wanted(&self, event_type: Option<&str>) -> Vec<TargetId> {
        let mut wanted = Vec::with_capacity(self.routes.len());
        for (target, events) in &self.routes {
            if events.want(event_type) && !wanted.contains(target) {
                wanted.push(*target);
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
        let mut exempted = self.exempted.lock();
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
        if let Some(suppressed) = self.conflicts.pass() {
            tracing::warn!(
                event_id = %id,
                source = %self.config.name,
                suppressed,
                "event.conflict: duplicate id with another body"
            );
        }
    }

    /// Counts and logs a request that was not taken.
    pub fn rejected(&self, rejection: &Rejection) {
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
        if let Some(suppressed) = self.rejections.get(reason).and_then(Quiet::pass) {
            tracing::warn!(source = %self.config.name, reason, suppressed, "event.{result}: {rejection}");
        }
    }
}

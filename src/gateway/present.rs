//! What one configuration makes, out of what outlives configurations.
//!
//! Invariants: what a configuration makes is built by the same functions at the start and at a reload ([`Shared::make`]);
//! handles, rates and failures of what stays go on counting.

use super::prepare::{give_up_after, source_facts};
use super::share;
use crate::admin::api::{Inside, Rates, Rooms};
use crate::budget::Budget;
use crate::config::{Config, Limits};
use crate::dedupe::Dedupe;
use crate::deliver::Deliver;
use crate::event::{SourceId, TargetId};
use crate::extract::KeyExpr;
use crate::metrics::{ElsewhereMetrics, Metrics, SourceMetrics};
use crate::receive::{Failures, Learned, Receive, Source};
use crate::shutdown::Listener as Stop;
use crate::store::{
    AdoptedSource, AdoptedTarget, Backlog, Judge, Known, OpenError, Opened, Rejects, Store,
};
use crate::trace::Tracer;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Every name that the store knows, configured or not.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) sources: Vec<AdoptedSource>,
    pub(super) targets: Vec<AdoptedTarget>,
}

impl Names {
    /// What was found at the start. (Of targets, those that are configured or that something waits for.)
    pub(super) fn found(opened: &Opened) -> Result<Self, OpenError> {
        let last_received = opened.last_received()?;
        let source = |known: &Known<SourceId>| AdoptedSource {
            last_received_ms: last_received
                .iter()
                .find(|(id, _)| *id == known.id)
                .map(|(_, last_ms)| *last_ms),
            known: known.clone(),
        };
        let target = |(known, backlog): &(Known<TargetId>, Backlog)| AdoptedTarget {
            known: known.clone(),
            paused: backlog.paused,
            give_up_after: backlog.give_up_after,
        };
        Ok(Self {
            sources: opened.sources().iter().map(source).collect(),
            targets: opened.targets().iter().map(target).collect(),
        })
    }

    pub(super) fn source(&self, name: &str) -> SourceId {
        let found = self.sources.iter();
        let mut found = found.filter(|source| source.known.configured);
        let found = found.find(|source| *source.known.name == *name);
        found
            .expect("every configured source has a number")
            .known
            .id
    }

    pub(super) fn target(&self, name: &str) -> &AdoptedTarget {
        let found = self.targets.iter();
        let mut found = found.filter(|target| target.known.configured);
        let found = found.find(|target| *target.known.name == *name);
        found.expect("every configured target has a number")
    }
}

/// What outlives configurations.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Store,
    pub(super) dedupe: Arc<Dedupe>,
    pub(super) deliver: Arc<Deliver>,
    pub(super) budget: Budget,
    pub(super) elsewhere: Arc<ElsewhereMetrics>,
    pub(super) learned: Arc<Learned>,
    pub(super) tracer: Tracer,
    pub(super) stop: Stop,
    /// Held by the one who changes a target through the API.
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
}

/// What one configuration makes.
#[derive(Debug)]
pub(super) struct Present {
    /// Without its secrets: they live where they are used, and nowhere else.
    pub(super) config: Config,
    pub(super) receive: Arc<Receive>,
    pub(super) rooms: Rooms,
    pub(super) sources: HashMap<SourceId, Arc<SourceMetrics>>,
    /// Targets that it does not name, and the age at which their events become dead letters.
    pub(super) abandoning: Vec<(TargetId, Duration)>,
    pub(super) names: Arc<Names>,
}

impl Shared {
    /// Makes of a configuration what receives, shows and keeps up. Targets are equipped already, and keys are known.
    pub(super) fn make(
        &self,
        mut config: Config,
        names: Arc<Names>,
        rejects: Rejects,
        before: Option<&Present>,
    ) -> Present {
        let sources = self.source_metrics(&config, &names, before);
        let targets: HashMap<&str, (TargetId, KeyExpr)> = config
            .targets
            .iter()
            .map(|target| {
                let id = names.target(&target.name).known.id;
                (&*target.name, (id, target.order_by.clone()))
            })
            .collect();
        let receive_sources = config.sources.iter().map(|source| {
            let id = names.source(&source.name);
            let mut former = before
                .into_iter()
                .flat_map(|before| before.receive.sources.values());
            let source = Source::new(
                source.clone(),
                id,
                Arc::clone(&sources[&id]),
                &targets,
                config.limits.signatures,
                share(&config, &self.budget),
                former.find(|former| former.id == id),
            );
            (source.config.path.clone(), source)
        });
        let limits = &config.limits;
        let bounds = |limits: &Limits| (limits.failures_per_client, limits.failing_clients);
        let former = before.filter(|before| bounds(&before.config.limits) == bounds(limits));
        let failures = match former {
            Some(former) => Arc::clone(&former.receive.failures),
            None => Arc::new(Failures::new(
                limits.failures_per_client,
                limits.failing_clients,
            )),
        };
        let receive = Arc::new(Receive {
            sources: receive_sources.collect(),
            elsewhere: Arc::clone(&self.elsewhere),
            dedupe: Arc::clone(&self.dedupe),
            store: self.store.clone(),
            rejects: rejects.clone(),
            deliver: Arc::clone(&self.deliver),
            trusted_proxies: config.trusted_proxies.clone(),
            failures,
            body_timeout: config.limits.body_timeout,
            learned: Arc::clone(&self.learned),
            tracer: self.tracer.clone(),
            stop: self.stop.clone(),
        });
        drop(targets);
        let facts = source_facts(&config, |name| names.source(name), &sources);
        let counted = facts
            .iter()
            .map(|facts| (facts.id, Arc::clone(&facts.metrics)));
        let counted = counted.collect();
        // Others have a name and nothing more.
        let is_shown =
            |target: &&AdoptedTarget| target.known.configured || self.deliver.has(target.known.id);
        let known_targets: Vec<&AdoptedTarget> = names.targets.iter().filter(is_shown).collect();
        let removed = known_targets
            .iter()
            .filter(|target| !target.known.configured);
        let abandoning = removed
            .map(|target| (target.known.id, give_up_after(target.give_up_after)))
            .collect();
        let rooms = Rooms::new(Inside {
            changing: Arc::clone(&self.changing),
            store: self.store.clone(),
            deliver: Arc::clone(&self.deliver),
            dedupe: Arc::clone(&self.dedupe),
            rates: match before {
                Some(before) => before.rooms.rates.with(counted),
                None => Rates::new(counted),
            },
            sources: facts,
            rejects,
            judge: Arc::clone(&receive) as Arc<dyn Judge>,
            known_sources: names
                .sources
                .iter()
                .map(|source| source.known.clone())
                .collect(),
            known_targets: known_targets
                .iter()
                .map(|target| target.known.clone())
                .collect(),
        });
        for source in &mut config.sources {
            source.secrets.clear();
        }
        Present {
            config,
            receive,
            rooms,
            sources,
            abandoning,
            names,
        }
    }

    /// The handles of every source: those of one that stays go on counting.
    fn source_metrics(
        &self,
        config: &Config,
        names: &Names,
        before: Option<&Present>,
    ) -> HashMap<SourceId, Arc<SourceMetrics>> {
        let mut handles = HashMap::new();
        for source in &config.sources {
            let id = names.source(&source.name);
            let success = source.respond.status.as_u16();
            let secrets = source.secrets.iter().map(|secret| &secret.name);
            let former = before.and_then(|before| before.sources.get(&id));
            let of_source = match former {
                Some(former) => self
                    .metrics
                    .source_again(&source.name, former, success, secrets),
                None => self.metrics.source(&source.name, success, secrets),
            };
            let known = names.sources.iter().find(|known| known.known.id == id);
            if let (None, Some(last_ms)) = (former, known.and_then(|known| known.last_received_ms))
            {
                of_source.last_event_was(last_ms);
            }
            if let Some(interval) = source.expect_every {
                self.metrics.expected_interval(&source.name, interval);
            }
            handles.insert(id, Arc::new(of_source));
        }
        handles
    }
}

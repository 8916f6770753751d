//! What the wiring needs of a configuration and of what the store knows, made ready: numbers, handles, targets.

use crate::admin::api::SourceFacts;
use crate::config::{self, Config, verify::Proof};
use crate::deliver::{Removed, SecretHeaders, SecretValue, Setup};
use crate::event::{SourceId, TargetId};
use crate::extract::Field;
use crate::metrics::{Metrics, SourceMetrics};
use crate::store::{Backlog, Known};
use crate::trace::Tracer;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Age at which an event of a removed target becomes a dead letter if the store does not know what was configured:
/// the default of `give_up_after`.
const REMOVED_GIVE_UP_AFTER: Duration = Duration::from_hours(72);

/// The numbers of configured names.
pub(super) fn numbers<Id: Copy>(known: &[Known<Id>]) -> HashMap<Arc<str>, Id> {
    known
        .iter()
        .filter(|known| known.configured)
        .map(|known| (Arc::clone(&known.name), known.id))
        .collect()
}

/// The handles of every configured source.
pub(super) fn source_metrics(
    config: &Config,
    sources: &HashMap<Arc<str>, SourceId>,
    metrics: &Arc<Metrics>,
) -> HashMap<SourceId, Arc<SourceMetrics>> {
    let handles = |source: &config::Source| {
        let success = source.respond.status.as_u16();
        let secrets = source.secrets.iter().map(|secret| &secret.name);
        if let Some(interval) = source.expect_every {
            metrics.expected_interval(&source.name, interval);
        }
        Arc::new(metrics.source(&source.name, success, secrets))
    };
    config
        .sources
        .iter()
        .map(|source| (sources[&source.name], handles(source)))
        .collect()
}

/// What the API says of every configured source, in the order of the file.
pub(super) fn source_facts(
    config: &Config,
    sources: &HashMap<Arc<str>, SourceId>,
    metrics: &HashMap<SourceId, Arc<SourceMetrics>>,
) -> Vec<SourceFacts> {
    let facts = |source: &config::Source| {
        let id = sources[&source.name];
        SourceFacts {
            id,
            name: Arc::clone(&source.name),
            key_name: source.key_name().into(),
            provider: source.provider.clone(),
            path: source.path.clone(),
            metrics: Arc::clone(&metrics[&id]),
        }
    };
    config.sources.iter().map(facts).collect()
}

/// The configured targets with what waits for them, and those that the configuration no longer names.
pub(super) fn setups(
    config: &Config,
    known: &[(Known<TargetId>, Backlog)],
    metrics: &Metrics,
    tracer: &Tracer,
) -> (Vec<Setup>, Vec<Removed>) {
    let mut setups = Vec::new();
    let mut removed = Vec::new();
    let sources = &config.sources;
    for (target, backlog) in known {
        let metrics = metrics.target(&target.name);
        if let Some(config) = config
            .targets
            .iter()
            .find(|config| target.configured && config.name == target.name)
        {
            let feeds = |source: &&config::Source| {
                let mut routes = source.routes.iter();
                routes.any(|route| route.target == target.name)
            };
            let fed_by = sources.iter().filter(feeds);
            setups.push(Setup {
                fed_by: fed_by.map(|source| Arc::clone(&source.name)).collect(),
                id: target.id,
                config: config.clone(),
                backlog: *backlog,
                metrics,
                tracer: tracer.clone(),
            });
        } else {
            if backlog.deliveries > 0 {
                tracing::warn!(
                    target = %target.name,
                    waiting = backlog.deliveries,
                    "target is no longer configured: its events wait, and become dead letters at the age of {:?}; \
                     `replaces: {}` on another target takes them over",
                    give_up_after(backlog),
                    target.name
                );
            }
            removed.push(Removed {
                id: target.id,
                name: Arc::clone(&target.name),
                backlog: *backlog,
                metrics,
            });
        }
    }
    (setups, removed)
}

/// Age at which an event of a removed target becomes a dead letter.
pub(super) fn give_up_after(backlog: &Backlog) -> Duration {
    backlog.give_up_after.unwrap_or(REMOVED_GIVE_UP_AFTER)
}

/// The secrets that arrive in a header, to be put back when an event is delivered.
pub(super) fn secret_headers(sources: &[config::Source]) -> SecretHeaders {
    let mut headers = SecretHeaders::new();
    for source in sources {
        for scheme in source.verify.schemes() {
            if let Proof::Token(token) = &scheme.proof
                && let Field::Header(header) = &token.field
            {
                let known = source.secrets.iter().filter_map(|secret| {
                    Some(SecretValue {
                        header: header.clone(),
                        secret: Arc::clone(&secret.name),
                        value: token.carry(secret.expose())?,
                    })
                });
                headers
                    .entry(Arc::clone(&source.name))
                    .or_default()
                    .extend(known);
            }
        }
    }
    headers
}

/// Unix time in seconds, as metrics have it.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit a double for 285,000 years"
)]
pub(super) fn seconds(unix_ms: u64) -> f64 {
    unix_ms as f64 / 1e3
}

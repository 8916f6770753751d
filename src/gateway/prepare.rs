//! What the wiring needs of a configuration and of what the store knows, made ready: numbers, handles, targets.

use crate::admin::api::SourceFacts;
use crate::config::{self, Config, verify::Proof};
use crate::dedupe::Windows;
use crate::deliver::{Removed, SecretHeaders, SecretValue, Setup};
use crate::event::{SourceId, TargetId};
use crate::extract::Field;
use crate::metrics::{Metrics, SourceMetrics};
use crate::store::{Backlog, Known, RejectSettings, RejectSource};
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

/// How long each source's keys are remembered.
pub(super) fn windows(
    config: &Config,
    number: impl Fn(&str) -> SourceId,
) -> Vec<(SourceId, Windows)> {
    let windows = |source: &config::Source| Windows {
        event: source.dedupe.window,
        replay: source.replay_window(),
    };
    let sources = config.sources.iter();
    sources
        .map(|source| (number(&source.name), windows(source)))
        .collect()
}

/// How refused requests are kept.
pub(super) fn reject_settings(config: &Config) -> RejectSettings {
    let of_source = |source: &config::Source| RejectSource {
        name: source.name.clone(),
        replaces: source.replaces.clone(),
        rejects: source.rejects,
    };
    RejectSettings {
        sources: config.sources.iter().map(of_source).collect(),
        per_client: config.limits.rejects_per_client,
    }
}

/// Names of the sources whose events are routed to a target.
pub(super) fn fed_by(config: &Config, target: &str) -> Vec<Arc<str>> {
    let feeds = |source: &&config::Source| {
        let mut routes = source.routes.iter();
        routes.any(|route| *route.target == *target)
    };
    let sources = config.sources.iter().filter(feeds);
    sources.map(|source| Arc::clone(&source.name)).collect()
}

/// What the API says of every configured source, in the order of the file.
pub(super) fn source_facts(
    config: &Config,
    number: impl Fn(&str) -> SourceId,
    metrics: &HashMap<SourceId, Arc<SourceMetrics>>,
) -> Vec<SourceFacts> {
    let facts = |source: &config::Source| {
        let id = number(&source.name);
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
) -> (Vec<Setup>, Vec<Removed>) {
    let mut setups = Vec::new();
    let mut removed = Vec::new();
    for (target, backlog) in known {
        let metrics = metrics.target(&target.name);
        let mut configured = config.targets.iter();
        if let Some(found) = configured.find(|found| target.configured && found.name == target.name)
        {
            setups.push(Setup {
                fed_by: fed_by(config, &target.name),
                id: target.id,
                config: found.clone(),
                backlog: *backlog,
                metrics,
            });
        } else {
            if backlog.deliveries > 0 {
                let age = give_up_after(backlog.give_up_after);
                warn_of_removed(&target.name, backlog.deliveries, age);
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

/// Says that events wait for a target that is not configured.
pub(super) fn warn_of_removed(target: &str, waiting: u64, age: Duration) {
    tracing::warn!(
        target,
        waiting,
        "target is no longer configured: its events wait, and become dead letters at the age of {age:?}; `replaces: \
         {target}` on another target takes them over at the next start"
    );
}

/// Age at which an event of a removed target becomes a dead letter; `configured` is what it was when it was configured.
pub(super) fn give_up_after(configured: Option<Duration>) -> Duration {
    configured.unwrap_or(REMOVED_GIVE_UP_AFTER)
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

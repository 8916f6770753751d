//! What the wiring needs of a configuration and of what the store knows, made ready: numbers, handles, targets.

use crate::config::{self, Config, Secret, Verify};
use crate::deliver::{Removed, SecretHeaders, Setup};
use crate::event::{SourceId, TargetId};
use crate::metrics::{Metrics, SourceMetrics};
use crate::store::{Backlog, Known};
use http::HeaderValue;
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
        Arc::new(metrics.source(&source.name, success, secrets))
    };
    config
        .sources
        .iter()
        .map(|source| (sources[&source.name], handles(source)))
        .collect()
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
        if let Some(config) = config
            .targets
            .iter()
            .find(|config| target.configured && config.name == target.name)
        {
            setups.push(Setup {
                id: target.id,
                config: config.clone(),
                backlog: *backlog,
                metrics,
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
    let value = |prefix: &str, secret: &Secret| {
        let bytes = [prefix.as_bytes(), secret.expose()].concat();
        // A secret that is no header value can never have matched one.
        let mut value = HeaderValue::from_bytes(&bytes).ok()?;
        value.set_sensitive(true);
        Some((Arc::clone(&secret.name), value))
    };
    let headers = sources.iter().filter_map(|source| match &source.verify {
        Verify::Token(token) => {
            let values = source
                .secrets
                .iter()
                .filter_map(|secret| value(&token.prefix, secret))
                .collect();
            Some((Arc::clone(&source.name), values))
        }
        Verify::Hmac(_) | Verify::None => None,
    });
    headers.collect()
}

/// Unix time in seconds, as metrics have it.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit a double for 285,000 years"
)]
pub(super) fn seconds(unix_ms: u64) -> f64 {
    unix_ms as f64 / 1e3
}

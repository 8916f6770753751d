//! What a target's attempts are made with: all that the configuration says of it. Another configuration brings other gear;
//! attempts that run end with the one that they began with.

use super::Means;
use super::headers::Outfit;
use super::retry::Patience;
use super::scheduler::Limits;
use super::sign::Signer;
use crate::config;
use crate::http::client::{Client, Limits as ConnectionLimits};
use crate::trace::Tracer;
use http::{Uri, uri::Scheme};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// The gear of one target.
#[derive(Debug)]
pub(super) struct Gear {
    /// Its connections.
    pub(super) client: Arc<Client>,
    /// What its events wear.
    pub(super) outfit: Outfit,
    /// Of one attempt.
    pub(super) timeout: Duration,
    /// When it is tried again.
    pub(super) patience: Patience,
    /// Attempts at one time: those of the workers and those of `passthrough` together.
    pub(super) slots: Semaphore,
    /// Where they go, for an operator's eyes.
    pub(super) url: String,
    /// Where they go, for traces.
    pub(super) host: String,
    /// The same.
    pub(super) port: u16,
    /// What is told of attempts.
    pub(super) tracer: Tracer,
    config: config::Target,
    fed_by: Vec<Arc<str>>,
}

impl Gear {
    /// The gear that `config` asks for. Connections are those of `before`, if they lead to the same place.
    pub(super) fn new(
        config: config::Target,
        fed_by: Vec<Arc<str>>,
        means: Means,
        before: Option<&Self>,
    ) -> Self {
        let limits = |config: &config::Target| ConnectionLimits {
            connect_timeout: config.connect_timeout,
            connection_max_age: config.connection_max_age,
        };
        let place = |config: &config::Target| {
            let limits = limits(config);
            (
                config.url.clone(),
                limits.connect_timeout,
                limits.connection_max_age,
            )
        };
        let client = before
            .filter(|before| place(&before.config) == place(&config))
            .map_or_else(
                || Arc::new(Client::new(&config.url, limits(&config))),
                |before| Arc::clone(&before.client),
            );
        Self {
            client,
            outfit: Outfit::new(
                means.secrets,
                Signer::new(&config.sign),
                config.format,
                fed_by.clone(),
            ),
            timeout: config.timeout,
            patience: Patience {
                schedule: config.retry.clone(),
                give_up_after: config.give_up_after,
                max_attempts: config.max_attempts,
            },
            slots: Semaphore::new(config.concurrency),
            url: shown(&config.url),
            host: config.url.host().unwrap_or_default().to_owned(),
            port: port(&config.url),
            tracer: means.tracer,
            config,
            fed_by,
        }
    }

    /// Whether it is the gear for this already.
    pub(super) fn is_for(&self, config: &config::Target, fed_by: &[Arc<str>]) -> bool {
        self.config == *config && self.fed_by == fed_by
    }

    /// Whether its events go elsewhere with this.
    pub(super) fn is_moved_by(&self, config: &config::Target) -> bool {
        self.config.url != config.url
    }

    /// The target's name.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Attempts that run.
    pub(super) fn in_flight(&self) -> usize {
        self.config
            .concurrency
            .saturating_sub(self.slots.available_permits())
    }
}

/// What bounds a target.
pub(super) fn limits(config: &config::Target) -> Limits {
    Limits {
        concurrency: config.concurrency,
        rate: config.rate,
        breaker: config.breaker,
        delay_max: config.retry.longest(),
        ordered: !config.order_by.0.is_empty(),
    }
}

/// As given, or the scheme's own.
fn port(url: &Uri) -> u16 {
    let default = if url.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    url.port_u16().unwrap_or(default)
}

/// Without its query, which may carry a token. (A configured URL has no user.)
fn shown(url: &Uri) -> String {
    let mut parts = url.clone().into_parts();
    let path = url.path().parse().ok();
    parts.path_and_query = path;
    Uri::from_parts(parts).map_or_else(|_| String::new(), |url| url.to_string())
}

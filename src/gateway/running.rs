//! A gateway at work, and how another configuration takes the place of the one that runs.
//!
//! Invariants: whatever can fail fails before anything has changed; requests and attempts that run end with what they
//! began with. A reload goes from the disk outwards (names, keys, targets, sources), so that nothing is received that could
//! not be kept and delivered, and what is gone goes last.

use super::certificates::Certificates;
use super::prepare::{self, fed_by, reject_settings, seconds, secret_headers, windows};
use super::present::{Names, Present, Shared};
use super::{connections, fixed, stack};
use crate::admin::Reloads;
use crate::admin::api::Api;
use crate::clock;
use crate::config::Config;
use crate::dedupe::{Remembered, Windows};
use crate::deliver::Setup;
use crate::event::{SourceId, TargetId};
use crate::http::{Answering, server};
use crate::metrics::ProcessMetrics;
use crate::receive::entrance::{Turn, entrance};
use crate::receive::{Receive, Waiting};
use crate::shutdown::Phase;
use crate::store::{AdoptedSource, Adoption, Backlog, NotStored, Rejects};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long what is refused may take to be written before another ring takes over.
const REJECTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a configuration is not used. What ran before runs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotApplied {
    /// Only a restart applies these.
    #[error("only a restart applies: {}", .0.join("; "))]
    Restart(Vec<String>),
    /// Its names cannot be made durable.
    #[error("the store cannot take its names: {0}")]
    Store(#[from] NotStored),
    /// The keys of a source that comes back cannot be read.
    #[error("the keys of a source that comes back cannot be read: {0}")]
    Keys(String),
    /// It is too late.
    #[error("the gateway is stopping")]
    Stopping,
}

/// A gateway at work, as far as configurations change it.
#[derive(Debug)]
pub struct Running {
    pub(super) shared: Shared,
    pub(super) process: ProcessMetrics,
    pub(super) reloads: Arc<Reloads>,
    pub(super) api: Arc<Api>,
    /// Where operators connect.
    pub(super) admin_addr: SocketAddr,
    /// What its listeners show.
    pub(super) certificates: Certificates,
    /// Bounds of senders' connections.
    pub(super) doors: watch::Sender<server::Settings>,
    pub(super) present: RwLock<Arc<Present>>,
    /// Turns the public listener, once it serves.
    pub(super) turn: Mutex<Option<Turn>>,
    /// Held while one configuration takes the place of another.
    pub(super) applying: tokio::sync::Mutex<()>,
}

impl Running {
    /// The service of the public listener: of what runs, and from then on of what takes its place.
    pub(super) async fn enter(&self) -> impl Answering + use<> {
        let _applying = self.applying.lock().await;
        let present = self.present();
        let (turn, service) = entrance(Arc::clone(&present.receive), stack(&present.config));
        *self.turn.lock() = Some(turn);
        service
    }

    /// What runs.
    pub(super) fn present(&self) -> Arc<Present> {
        Arc::clone(&self.present.read())
    }

    /// Waits until a handshake has brought a secret. It is to be told when it is in use; dropped, what is returned says
    /// that it will not be.
    pub async fn learned(&self) -> Waiting {
        self.shared.learned.rung().await
    }

    /// Who asks for a reload.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// How often files are looked at; zero: never.
    pub fn watch(&self) -> Duration {
        self.present().config.reload.watch
    }

    /// Says that the files could not be used; what runs goes on.
    pub fn not_applied(&self) {
        self.process.reload_successful.set(0.0);
    }

    /// Uses `config` from now on, all of it, or nothing. Returns the sources that receive now. To be awaited to its end.
    pub async fn apply(&self, mut config: Config) -> Result<Arc<Receive>, NotApplied> {
        let _applying = self.applying.lock().await;
        if self.shared.stop.phase() >= Phase::Draining {
            return Err(NotApplied::Stopping);
        }
        let before = self.present();
        let fixed = fixed::changed(&before.config, &config, &before.names);
        if !fixed.is_empty() {
            return Err(NotApplied::Restart(fixed));
        }
        let keys = self.returning_keys(&before.names, &config).await?;
        let names = self.numbered(&before, &config).await?;

        // From here on nothing fails. What memory knows of keys comes first, then where events go, then who sends them.
        let token = config.admin.token.take();
        let Shared { deliver, .. } = &self.shared;
        let of_sources = windows(&config, |name| names.source(name));
        self.remember(of_sources, keys, config.limits.dedupe_keys)
            .await;
        self.shared.budget.resize(config.limits.in_flight_bytes);
        deliver.set_memory(config.limits.in_flight_bytes);
        deliver.renew(secret_headers(&config.sources));
        let targets = self.equip(&config, &names);
        let rejects = self.ring(&before, &config).await;
        let next = self.shared.make(config, names, rejects, Some(&before));
        let next = Arc::new(next);
        *self.present.write() = Arc::clone(&next);
        let receive = Arc::clone(&next.receive);
        if let Some(turn) = &*self.turn.lock() {
            turn.to(Arc::clone(&receive), stack(&next.config));
        }
        self.certificates.renew(&next.config);
        self.doors.send_replace(connections(&next.config));
        self.api.guard(token.as_ref(), self.admin_addr);
        self.api.open(next.rooms.clone());
        // Nobody routes to these any more, but for requests that began before.
        deliver.retire_others(&targets);
        self.quiet(&before, &next);
        self.warn_of_removed(&before, &next);
        self.shared.metrics.config_is(&next.config.hash);
        self.process.reload_successful.set(1.0);
        self.process.last_reload.set(seconds(clock::wall_ms()));
        Ok(receive)
    }

    /// Takes sources with their keys into the memory of keys. There may be a million of them: not on the runtime's threads.
    async fn remember(
        &self,
        sources: Vec<(SourceId, Windows)>,
        keys: Vec<Remembered>,
        limit: usize,
    ) {
        let dedupe = Arc::clone(&self.shared.dedupe);
        let remembering = tokio::task::spawn_blocking(move || {
            let now_ms = clock::unix_ms();
            dedupe.adopt(&sources, keys, now_ms);
            dedupe.set_limit(limit, now_ms);
        });
        if let Err(panic) = remembering.await {
            std::panic::resume_unwind(panic.into_panic());
        }
    }

    /// The keys that the store has of sources which come back: memory was not made for them.
    async fn returning_keys(
        &self,
        names: &Names,
        config: &Config,
    ) -> Result<Vec<Remembered>, NotApplied> {
        let returning: Vec<SourceId> = config
            .sources
            .iter()
            .filter_map(|source| {
                let known = |known: &&AdoptedSource| known.known.name == source.name;
                Some(names.sources.iter().find(known)?.known.id)
            })
            .filter(|id| !self.shared.dedupe.has(*id))
            .collect();
        if returning.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.shared.store.clone();
        let read = tokio::task::spawn_blocking(move || store.keys_of(&returning));
        let read = read
            .await
            .map_err(|panic| NotApplied::Keys(panic.to_string()))?;
        read.map_err(|error| NotApplied::Keys(error.to_string()))
    }

    /// Every name with its number, durably. A configuration that changes nothing of what the store knows does not ask it:
    /// a secret is exchanged also while the disk is full.
    async fn numbered(&self, before: &Present, next: &Config) -> Result<Arc<Names>, NotApplied> {
        let names = |config: &Config| -> Vec<_> {
            let sources = config.sources.iter();
            sources
                .map(|source| (Arc::clone(&source.name), source.replaces.clone()))
                .collect()
        };
        let present = &before.config;
        let same = names(present) == names(next)
            && present.targets == next.targets
            && present.store == next.store;
        if same {
            return Ok(Arc::clone(&before.names));
        }
        let adopted = self.shared.store.adopt(Adoption {
            sources: names(next),
            targets: next.targets.clone(),
            store: next.store.clone(),
        });
        let adopted = adopted.await?;
        Ok(Arc::new(Names {
            sources: adopted.sources,
            targets: adopted.targets,
        }))
    }

    /// Equips every target that is configured, and returns their numbers.
    fn equip(&self, config: &Config, names: &Names) -> HashSet<TargetId> {
        let deliver = &self.shared.deliver;
        let equip = |target: &crate::config::Target| {
            let known = names.target(&target.name);
            let (id, fed_by) = (known.known.id, fed_by(config, &target.name));
            if deliver.has(id) {
                deliver.equip(id, target.clone(), fed_by);
            } else {
                // Whatever has left something is known to it: for this one nothing waits.
                let backlog = Backlog {
                    paused: known.paused,
                    give_up_after: known.give_up_after,
                    ..Backlog::default()
                };
                deliver.add(Setup {
                    id,
                    config: target.clone(),
                    backlog,
                    metrics: self.shared.metrics.target(&target.name),
                    fed_by,
                });
            }
            id
        };
        config.targets.iter().map(equip).collect()
    }

    /// What keeps refused requests: another one where that is asked for otherwise. While one takes over from the other, what
    /// is refused is not kept, as if there were no room.
    async fn ring(&self, before: &Present, next: &Config) -> Rejects {
        let present = &before.receive.rejects;
        let settings = reject_settings(next);
        let former = reject_settings(&before.config);
        if settings == former || (settings.keeps_none() && former.keeps_none()) {
            return present.clone();
        }
        present.close(REJECTS_TIMEOUT).await;
        let started = self.shared.store.rejects(settings, &self.shared.metrics);
        started.unwrap_or_else(|| present.clone())
    }

    /// Gauges of sources that are gone say nothing any more.
    fn quiet(&self, before: &Present, next: &Present) {
        for source in &before.config.sources {
            let is_expected = |other: &&crate::config::Source| {
                other.name == source.name && other.expect_every.is_some()
            };
            if source.expect_every.is_some() && !next.config.sources.iter().any(|s| is_expected(&s))
            {
                let metrics = &self.shared.metrics;
                metrics.expected_interval(&source.name, Duration::ZERO);
            }
        }
        let gone = before.sources.iter();
        for (_, source) in gone.filter(|(id, _)| !next.sources.contains_key(id)) {
            source.dedupe_keys.set(0.0);
            source.dedupe_window.set(0.0);
        }
    }

    fn warn_of_removed(&self, before: &Present, next: &Present) {
        let status = self.shared.deliver.status();
        for (id, age) in &next.abandoning {
            let is_new = before.abandoning.iter().all(|(known, _)| known != id);
            let target = status.iter().find(|target| target.id == *id);
            if let Some(target) = target.filter(|target| is_new && target.pending > 0) {
                prepare::warn_of_removed(&target.name, target.pending, *age);
            }
        }
    }
}

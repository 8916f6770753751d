//! The whole wiring on one page: open, build, serve, drain.

mod collector;
mod prepare;
mod renew;
#[cfg(test)]
mod tests;
mod upkeep;

pub use renew::Secrets;

use crate::admin::api::{Api, Inside, Rates, Rooms};
use crate::admin::{Admin, Readiness, State};
use crate::budget::Budget;
use crate::clock;
use crate::config::Config;
use crate::dedupe::{Dedupe, Kind, Restored, Windows};
use crate::deliver::Deliver;
use crate::event::{Seq, SourceId, TargetId};
use crate::extract::KeyExpr;
use crate::http::server;
use crate::metrics::{Metrics, ProcessMetrics};
use crate::receive::{Learned, Receive, Source, service};
use crate::shutdown::{Phase, Shutdown, persevere};
use crate::store::{self, Judge, OpenSettings, Opened, RejectSettings, RejectSource, Store};
use crate::trace::Tracer;
use collector::Collector;
use http::Request;
use prepare::{
    give_up_after, numbers, seconds, secret_headers, setups, source_facts, source_metrics,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tower::service_fn;
use upkeep::Upkeep;

/// How long keys of a source that is not configured are kept at least: its window left with it, and a configuration
/// that is rolled back must find them again. Nobody goes back by more than a month, and no vendor sends again so late.
const STRANGERS_KEPT_MIN: Duration = Duration::from_hours(30 * 24);
/// Connections of operators and Prometheus at one time.
const ADMIN_CONNECTIONS: usize = 64;
/// Whoever asks is near, and sends a head at once: connections that say nothing, which needs no token, are not to keep
/// `/readyz` and `/metrics` away for longer.
const ADMIN_HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than between two pages of a list; a probe that comes more seldom connects anew. Who does not read an answer is
/// cut off as soon, which frees the answer's bytes.
const ADMIN_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error("cannot open the store")]
    Store(#[from] store::OpenError),
    /// A listener.
    #[error("cannot listen on {address}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The store failed: what was acknowledged is safe, nothing more can be.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the store failed; stopping, since nothing more can be made durable")]
pub struct Poisoned;

/// A gateway with its store open and its listeners bound.
pub struct Gateway {
    config: Config,
    public: TcpListener,
    admin_addr: SocketAddr,
    admin_task: JoinHandle<()>,
    readiness: Readiness,
    shutdown: Shutdown,
    store: Store,
    receive: Arc<Receive>,
    upkeep: Upkeep,
    process: ProcessMetrics,
    collector: Option<Collector>,
}

impl Gateway {
    /// Opens the store and binds both listeners. The admin side answers from the start (unready); senders are
    /// served by [`Self::run`].
    pub async fn open(mut config: Config) -> Result<Self, OpenError> {
        let metrics = Metrics::new();
        let readiness = Readiness::default();
        let shutdown = Shutdown::default();
        let admin = bind(config.admin.listen).await?;
        let admin_addr = address(&admin, config.admin.listen)?;
        let token = config.admin.token.take();
        let api = Arc::new(Api::new(token.as_ref(), admin_addr));
        let admin_task = serve_admin(
            admin,
            Admin {
                metrics: Arc::clone(&metrics),
                readiness: readiness.clone(),
                api: Arc::clone(&api),
            },
            &config,
            &shutdown,
        );

        let (opened, dedupe, forgotten) = open_store(config.clone()).await?;
        let sources = numbers(opened.sources());
        let process = metrics.process(&config.hash, seconds(clock::wall_ms()));
        let source_metrics = source_metrics(&config, &sources, &metrics);
        for (id, received_ms) in opened.last_received()? {
            if let Some(source) = source_metrics.get(&id) {
                source.last_event_was(received_ms);
            }
        }
        let (tracer, collector) = config
            .traces
            .as_ref()
            .map(|traces| collector::start(traces, &metrics.traces()))
            .unzip();
        let tracer: Tracer = tracer.unwrap_or_default();
        let (setups, removed) = setups(&config, opened.targets(), &metrics, &tracer);
        let targets: HashMap<&str, (TargetId, KeyExpr)> = setups
            .iter()
            .map(|setup| {
                let order_by = setup.config.order_by.clone();
                (&*setup.config.name, (setup.id, order_by))
            })
            .collect();
        let receive_sources: HashMap<String, Source> = config
            .sources
            .iter()
            .map(|source| {
                let id = sources[&source.name];
                (
                    source.path.clone(),
                    Source::new(
                        source.clone(),
                        id,
                        Arc::clone(&source_metrics[&id]),
                        &targets,
                        config.limits.signatures,
                    ),
                )
            })
            .collect();
        drop(targets);

        let abandoning = removed
            .iter()
            .map(|removed| (removed.id, give_up_after(&removed.backlog)))
            .collect();
        let deliver = Deliver::new(
            setups,
            removed,
            secret_headers(&config.sources),
            config.limits.in_flight_bytes,
        );
        let reject_settings = RejectSettings {
            sources: config
                .sources
                .iter()
                .map(|source| RejectSource {
                    name: source.name.clone(),
                    replaces: source.replaces.clone(),
                    rejects: source.rejects,
                })
                .collect(),
            per_client: config.limits.rejects_per_client,
        };
        let rejects = opened.rejects(reject_settings, &metrics);
        let known_sources = opened.sources().to_vec();
        let known_targets = opened
            .targets()
            .iter()
            .map(|(target, _)| target.clone())
            .collect();
        let store = opened.start(
            Arc::clone(&deliver) as Arc<dyn store::Feed>,
            metrics.store(),
        );
        store.forget(forgotten);
        // After the store: what is read back from the page cache is made durable before anybody can be answered.
        let public = bind(config.listen).await?;
        deliver.start(store.clone(), shutdown.listen());
        let receive = Arc::new(Receive {
            sources: receive_sources,
            elsewhere: metrics.elsewhere(),
            dedupe: Arc::clone(&dedupe),
            store: store.clone(),
            rejects: rejects.clone(),
            deliver,
            budget: Budget::new(config.limits.in_flight_bytes),
            body_timeout: config.limits.body_timeout,
            learned: Learned::default(),
            tracer,
            stop: shutdown.listen(),
        });
        let facts = source_facts(&config, &sources, &source_metrics);
        let rooms = Rooms::new(Inside {
            changing: tokio::sync::Mutex::default(),
            store: store.clone(),
            deliver: Arc::clone(&receive.deliver),
            dedupe: Arc::clone(&dedupe),
            rates: Rates::new(
                facts
                    .iter()
                    .map(|facts| Arc::clone(&facts.metrics))
                    .collect(),
            ),
            sources: facts,
            rejects,
            judge: Arc::clone(&receive) as Arc<dyn Judge>,
            known_sources,
            known_targets,
        });
        api.open(rooms.clone());
        let upkeep = Upkeep {
            metrics,
            dedupe,
            store: store.clone(),
            sources: source_metrics,
            process: process.clone(),
            abandoning,
            rooms,
        };
        // They live where they are used, and nowhere else: see `Secrets`.
        for source in &mut config.sources {
            source.secrets.clear();
        }
        Ok(Self {
            config,
            public,
            admin_addr,
            admin_task,
            readiness,
            shutdown,
            store,
            receive,
            upkeep,
            process,
            collector,
        })
    }

    /// Where senders connect.
    pub fn public_addr(&self) -> SocketAddr {
        self.public.local_addr().unwrap_or(self.config.listen)
    }

    /// What renews its secrets while it runs.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(Arc::clone(&self.receive), self.process.clone())
    }

    /// Where operators connect.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Serves until `stop` resolves, then drains: unready, `shutdown.delay` with events still taken, listener
    /// closed, running commits and attempts finished up to `shutdown.timeout`, flush.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), Poisoned> {
        let Self {
            config,
            public,
            admin_task,
            readiness,
            shutdown,
            store,
            receive,
            upkeep,
            process,
            collector,
            ..
        } = self;
        let deliver = Arc::clone(&receive.deliver);
        let rejects = receive.rejects.clone();
        let service = service::service(Arc::clone(&receive), stack(&config));
        // One phase behind at the end: what is cut off is still answered.
        let doors = Shutdown::default();
        let mut senders = tokio::spawn(server::serve(
            public,
            service,
            connections(&config),
            process.connections,
            receive,
            doors.listen(),
        ));
        let upkeep = Arc::new(upkeep);
        let upkeep = tokio::spawn(persevere("the upkeep", shutdown.listen(), move |_| {
            Arc::clone(&upkeep).run()
        }));
        readiness.set(State::Ready);

        let drain = async {
            stop.await;
            readiness.set(State::Stopping);
            shutdown.enter(Phase::Leaving);
            doors.enter(Phase::Leaving);
            tokio::time::sleep(config.shutdown.delay).await;
            shutdown.enter(Phase::Draining);
            doors.enter(Phase::Draining);
            let over = Instant::now() + config.shutdown.timeout;
            let finished = async {
                // A sender's task that panicked has said so already; the others have finished.
                let _ = (&mut senders).await;
                deliver.drained().await;
            };
            if timeout_at(over, finished).await.is_err() {
                tracing::warn!(
                    "shutdown.timeout reached: what still runs is cut off; nothing acknowledged is lost"
                );
            }
            shutdown.enter(Phase::Over);
            deliver.drained().await;
            if !senders.is_finished() {
                // As above.
                let _ = timeout(LAST_ANSWERS_TIMEOUT, &mut senders).await;
                doors.enter(Phase::Over);
            }
            let flush = async {
                rejects.close(FLUSH_TIMEOUT).await;
                store.close(FLUSH_TIMEOUT).await;
            };
            // Nobody waits longer for traces than for the store by more than their own time.
            let told = async {
                if let Some(collector) = collector {
                    collector.close(TRACES_TIMEOUT).await;
                }
            };
            tokio::join!(flush, told);
        };
        let result = tokio::select! {
            () = store.poisoned() => Err(Poisoned),
            () = drain => if store.is_poisoned() { Err(Poisoned) } else { Ok(()) },
        };
        if result.is_err() {
            readiness.set(State::Poisoned);
        }
        shutdown.enter(Phase::Over);
        upkeep.abort();
        admin_task.abort();
        result
    }
}

/// How long answers may take to leave that were given because the time for finishing was over. Senders that do not
/// read, or still send, are cut off then.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the last commit and checkpoint may take on the way out. What is not flushed then is still in the
/// write-ahead log.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last traces may take on the way out: a collector that is down holds up no restart.
const TRACES_TIMEOUT: Duration = Duration::from_secs(2);

async fn bind(address: SocketAddr) -> Result<TcpListener, OpenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| OpenError::Bind { address, source })
}

fn address(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, OpenError> {
    listener
        .local_addr()
        .map_err(|source| OpenError::Bind { address, source })
}

/// Opens the store and fills the memory of keys from it, off the runtime's threads.
/// The third value is what it does not remember any more, and the store need not either.
async fn open_store(config: Config) -> Result<(Opened, Arc<Dedupe>, Vec<(Seq, Kind)>), OpenError> {
    let open = move || {
        let settings = OpenSettings {
            store: &config.store,
            sources: config
                .sources
                .iter()
                .map(|source| (Arc::clone(&source.name), source.replaces.clone()))
                .collect(),
            targets: &config.targets,
        };
        let opened = Opened::open(settings)?;
        if let Some(seen_ms) = opened.last_received()?.iter().map(|(_, ms)| *ms).max() {
            clock::recall(seen_ms);
        }
        let sources = numbers(opened.sources());
        let windows: Vec<(SourceId, Windows)> = config
            .sources
            .iter()
            .map(|source| {
                (
                    sources[&source.name],
                    Windows {
                        event: source.dedupe.window,
                        replay: source.replay_window(),
                    },
                )
            })
            .collect();
        let dedupe = Dedupe::new(
            opened.secret(),
            opened.tag(),
            config.limits.dedupe_keys,
            &windows,
        );
        let now_ms = clock::unix_ms();
        let longest = windows
            .iter()
            .map(|(_, windows)| windows.event.max(windows.replay))
            .fold(STRANGERS_KEPT_MIN, Duration::max);
        let strangers_kept_ms = clock::millis(longest);
        let mut forgotten = Vec::new();
        opened.for_each_key(|key| {
            let keep = match dedupe.restore(key, now_ms) {
                Restored::Remembered => true,
                Restored::Past => false,
                Restored::Stranger => now_ms.saturating_sub(key.received_ms) < strangers_kept_ms,
            };
            if !keep {
                forgotten.push((key.seq, key.kind));
            }
        })?;
        Ok((opened, dedupe, forgotten))
    };
    match tokio::task::spawn_blocking(open).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn serve_admin(
    listener: TcpListener,
    admin: Admin,
    config: &Config,
    shutdown: &Shutdown,
) -> JoinHandle<()> {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(request).await) }
    });
    let settings = server::Settings {
        connections: ADMIN_CONNECTIONS,
        header_timeout: ADMIN_HEADER_TIMEOUT,
        idle_timeout: ADMIN_IDLE_TIMEOUT,
        ..connections(config)
    };
    // Operators watch the drain too, so this listener stays until the end.
    let mut stop = shutdown.listen();
    let until_over = Shutdown::default();
    let serve = server::serve(
        listener,
        service,
        settings,
        metrics::Gauge::noop(),
        Arc::new(()),
        until_over.listen(),
    );
    tokio::spawn(async move {
        tokio::select! {
            () = serve => {}
            () = stop.reached(Phase::Over) => until_over.enter(Phase::Over),
        }
    })
}

fn connections(config: &Config) -> server::Settings {
    let limits = &config.limits;
    server::Settings {
        connections: limits.connections,
        header_bytes: limits.header_bytes,
        headers: limits.headers,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
    }
}

fn stack(config: &Config) -> service::Settings {
    /// Above the sum of the steps' own deadlines, so that only a defect can reach it.
    const SLACK: Duration = Duration::from_secs(5);
    let largest = config
        .sources
        .iter()
        .map(|source| source.body_limit_bytes)
        .max()
        .unwrap_or(config.limits.body_bytes);
    let longest = config
        .sources
        .iter()
        .map(|source| source.ack_deadline)
        .max()
        .unwrap_or_default();
    service::Settings {
        body_bytes: usize::try_from(largest).unwrap_or(usize::MAX),
        timeout: longest + config.limits.body_timeout + SLACK,
    }
}

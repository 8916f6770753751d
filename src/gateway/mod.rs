//! The whole wiring on one page: open, build, serve, drain.

mod certificates;
mod collector;
mod fixed;
mod prepare;
mod present;
mod reload;
mod running;
#[cfg(test)]
mod tests;
mod upkeep;

pub use reload::{Basis, Reading, Reload};
pub use running::{NotApplied, Running};

use crate::admin::api::Api;
use crate::admin::{Admin, Readiness, Reloads, State};
use crate::budget::Budget;
use crate::clock;
use crate::config::Config;
use crate::dedupe::{Dedupe, Kind, Restored};
use crate::deliver::Deliver;
use crate::event::Seq;
use crate::http::listen::{self, BindError, Handed, Listening, Terms};
use crate::http::server;
use crate::metrics::Metrics;
use crate::receive::service;
use crate::shutdown::{Phase, Shutdown, persevere};
use crate::store::{self, OpenSettings, Opened};
use certificates::Certificates;
use collector::Collector;
use http::Request;
use parking_lot::{Mutex, RwLock};
use prepare::{numbers, reject_settings, seconds, secret_headers, setups, windows};
use present::{Names, Shared};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
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
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// The store failed: what was acknowledged is safe, nothing more can be.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the store failed; stopping, since nothing more can be made durable")]
pub struct Poisoned;

/// A gateway with its store open and its listeners bound.
pub struct Gateway {
    public: Vec<Listening>,
    admin_task: JoinHandle<()>,
    readiness: Readiness,
    shutdown: Shutdown,
    running: Arc<Running>,
    collector: Option<Collector>,
}

impl Gateway {
    /// Opens the store and binds all listeners. The admin side answers from the start (unready); senders are
    /// served by [`Self::run`].
    pub async fn open(mut config: Config) -> Result<Self, OpenError> {
        let metrics = Metrics::new();
        let readiness = Readiness::default();
        let shutdown = Shutdown::default();
        let admin = Listening::tcp(config.admin.listen).await?;
        let admin_addr = admin.address().unwrap_or(config.admin.listen);
        let token = config.admin.token.take();
        let api = Arc::new(Api::new(token.as_ref(), admin_addr));
        let reloads = Arc::new(Reloads::default());
        let admin_task = serve_admin(
            admin,
            Admin {
                metrics: Arc::clone(&metrics),
                readiness: readiness.clone(),
                api: Arc::clone(&api),
                reloads: Arc::clone(&reloads),
            },
            &config,
            &shutdown,
        );

        let (opened, dedupe, forgotten) = open_store(config.clone()).await?;
        let process = metrics.process(&config.hash, seconds(clock::wall_ms()));
        let names = Names::found(&opened)?;
        let (tracer, collector) = config
            .traces
            .as_ref()
            .map(|traces| collector::start(traces, &metrics.traces()))
            .unzip();
        let tracer = tracer.unwrap_or_default();
        let (setups, removed) = setups(&config, opened.targets(), &metrics);
        let deliver = Deliver::new(
            setups,
            removed,
            secret_headers(&config.sources),
            config.limits.in_flight_bytes,
            tracer.clone(),
        );
        let rejects = opened.rejects(reject_settings(&config), &metrics);
        let store = opened.start(
            Arc::clone(&deliver) as Arc<dyn store::Feed>,
            metrics.store(),
        );
        store.forget(forgotten);
        // After the store: what is read back from the page cache is made durable before anybody can be answered.
        let mut handed = Handed::of_process();
        let terms = config.listeners.iter();
        let terms: Vec<Arc<Terms>> = terms
            .map(|listener| Arc::new(Terms::new(listener, config.limits.tls)))
            .collect();
        let public = listen::bind(&config.listeners, &terms, &mut handed).await?;
        let certificates = Certificates::new(&config, &terms, &metrics);
        if !handed.left().is_empty() {
            let names = handed.left().join(", ");
            tracing::warn!(names, "sockets were handed over on which nothing listens");
        }
        deliver.start(store.clone(), shutdown.listen());
        let shared = Shared {
            elsewhere: Arc::new(metrics.elsewhere()),
            metrics,
            store,
            dedupe,
            deliver,
            budget: Budget::new(config.limits.in_flight_bytes),
            learned: Arc::default(),
            tracer,
            stop: shutdown.listen(),
            changing: Arc::default(),
        };
        let doors = watch::Sender::new(connections(&config));
        let present = shared.make(config, Arc::new(names), rejects, None);
        api.open(present.rooms.clone());
        let running = Running {
            shared,
            process,
            reloads,
            api,
            admin_addr,
            certificates,
            doors,
            present: RwLock::new(Arc::new(present)),
            turn: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
        };
        Ok(Self {
            public,
            admin_task,
            readiness,
            shutdown,
            running: Arc::new(running),
            collector,
        })
    }

    /// The first address at which senders connect; none if they come by other ways only.
    pub fn public_addr(&self) -> Option<SocketAddr> {
        self.public.iter().find_map(Listening::address)
    }

    /// Every place where senders connect, for people.
    pub fn public_places(&self) -> String {
        let places: Vec<String> = self.public.iter().map(Listening::place).collect();
        places.join(", ")
    }

    /// What takes another configuration while it runs.
    pub fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running)
    }

    /// Where operators connect.
    pub fn admin_addr(&self) -> SocketAddr {
        self.running.admin_addr
    }

    /// Serves until `stop` resolves, then drains: unready, `shutdown.delay` with events still taken, listener
    /// closed, running commits and attempts finished up to `shutdown.timeout`, flush.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), Poisoned> {
        let Self {
            public,
            admin_task,
            readiness,
            shutdown,
            running,
            collector,
            ..
        } = self;
        let Shared { store, deliver, .. } = &running.shared;
        let service = running.enter().await;
        // One phase behind at the end: what is cut off is still answered.
        let doors = Shutdown::default();
        let mut senders = tokio::spawn(server::serve_as_told(
            public,
            service,
            running.doors.subscribe(),
            running.process.connections.clone(),
            Arc::clone(&running.shared.elsewhere) as Arc<dyn server::Refusals>,
            doors.listen(),
        ));
        let upkeep = Arc::new(Upkeep {
            running: Arc::clone(&running),
        });
        let upkeep = tokio::spawn(persevere("the upkeep", shutdown.listen(), move |_| {
            Arc::clone(&upkeep).run()
        }));
        readiness.set(State::Ready);

        let drain = async {
            stop.await;
            readiness.set(State::Stopping);
            shutdown.enter(Phase::Leaving);
            doors.enter(Phase::Leaving);
            // As it is configured by now.
            let times = running.present().config.shutdown.clone();
            tokio::time::sleep(times.delay).await;
            shutdown.enter(Phase::Draining);
            doors.enter(Phase::Draining);
            let over = Instant::now() + times.timeout;
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
            let present = running.present();
            let flush = async {
                present.receive.rejects.close(FLUSH_TIMEOUT).await;
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
        let windows = windows(&config, |name| sources[name]);
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
    listener: Listening,
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
        per_client: None,
        ..connections(config)
    };
    // Operators watch the drain too, so this listener stays until the end.
    let mut stop = shutdown.listen();
    let until_over = Shutdown::default();
    let serve = server::serve(
        vec![listener],
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

/// What one source may have of all bytes in flight. Bytes that are held cannot be called back when others need them, so
/// what others may need stays free of it; where there are no others, it has all.
fn share(config: &Config, budget: &Budget) -> Budget {
    if config.sources.len() < 2 {
        return budget.clone();
    }
    let percent = u64::from(config.limits.in_flight_per_source_percent);
    let bytes = u128::from(config.limits.in_flight_bytes) * u128::from(percent) / 100;
    budget.share(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn connections(config: &Config) -> server::Settings {
    let limits = &config.limits;
    server::Settings {
        connections: limits.connections,
        header_bytes: limits.header_bytes,
        headers: limits.headers,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        http2: limits.http2,
        per_client: limits
            .connections_per_client
            .map(|most| (most, config.trusted_proxies.clone())),
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

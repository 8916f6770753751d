//! Handles of every metric, made once: a series that the configuration makes known exists from the start, at 0.
//!
//! Each gateway has a recorder of its own, so that several can live in one process. Labels are only source,
//! target, secret name, the name of a certificate's file, and fixed words.

use crate::clock;
use metrics::{Counter, Gauge, Histogram, Unit, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of every histogram in seconds.
pub const BUCKETS_SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// Bounds of `store_commit_events`.
const BUCKETS_EVENTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What becomes of a request to a source.
pub const RESULTS: [&str; 5] = [
    "accepted",
    "duplicate",
    "ignored",
    "rejected",
    "unavailable",
];
/// Why a request is rejected.
pub const REJECTED: [&str; 7] = [
    "missing_signature",
    "bad_signature",
    "stale",
    "too_large",
    "timeout",
    "malformed",
    "not_allowed",
];
/// Why a request is refused for now.
pub const UNAVAILABLE: [&str; 6] = ["full", "store", "overloaded", "late", "rate", "client"];
/// Why a refused request is not kept: its client had its share, too many waited, it is larger than the ring, or the
/// file failed.
pub const REJECTS_DROPPED: [&str; 4] = ["client", "busy", "too_large", "error"];
/// Why spans are not exported: the queue was full, the collector will not take them, or it did not answer.
pub const SPANS_DROPPED: [&str; 3] = ["queue", "refused", "unreachable"];
/// The states of a target.
pub const STATES: [&str; 4] = ["closed", "half_open", "open", "paused"];
/// Why an attempt failed: the status class of the answer, or why there is none.
pub const REASONS: [&str; 9] = [
    "3xx", "4xx", "5xx", "1xx", "timeout", "connect", "tls", "dns", "closed",
];

/// Counters that differ in one fixed label value. Their counts can be read back, which a recorder's cannot.
#[derive(Clone, Debug)]
pub struct Family(Arc<[(&'static str, Counter, AtomicU64)]>);

impl Family {
    fn new(words: &[&'static str], make: impl Fn(&'static str) -> Counter) -> Self {
        let counter = |word: &&'static str| (*word, make(word), AtomicU64::new(0));
        Self(words.iter().map(counter).collect())
    }

    /// Every word with what was counted since the start.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |(word, _, count): &(&'static str, Counter, AtomicU64)| {
            (*word, count.load(Ordering::Relaxed))
        };
        self.0.iter().map(count)
    }

    /// Counts one. `word` must be one that the family was made with; another is not counted.
    pub fn increment(&self, word: &str) {
        self.add(word, 1);
    }

    /// Counts so many.
    pub fn add(&self, word: &str, more: u64) {
        debug_assert!(
            self.0.iter().any(|(known, ..)| *known == word),
            "unknown label value {word}"
        );
        if let Some((_, counter, count)) = self.0.iter().find(|(known, ..)| *known == word) {
            counter.increment(more);
            count.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// All metrics of one gateway.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Of the configuration that runs. Not in the recorder, which could not forget the one before.
    config_hash: Mutex<Option<String>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Statuses that requests to a source are expected to get beside the one of a success.
const STATUSES: [u16; 5] = [400, 401, 408, 413, 503];

/// Handles of one source.
#[derive(Debug)]
pub struct SourceMetrics {
    /// `events_total{source,result}`. A request that was answered at its deadline is unavailable, and its event
    /// accepted as well once it is durable.
    pub events: Family,
    /// `requests_rejected_total{source,reason}`
    pub rejected: Family,
    /// `unavailable_total{source,reason}`
    pub unavailable: Family,
    /// `ack_duration_seconds{source}`: from the last byte of the request to the answer.
    pub ack_duration: Histogram,
    /// `last_event_timestamp_seconds{source}`
    last_event: Gauge,
    /// The same in milliseconds, to be read back; 0 for none.
    last_event_ms: Arc<AtomicU64>,
    /// `dedupe_keys{source}`
    pub dedupe_keys: Gauge,
    /// `dedupe_conflicts_total{source}`
    pub dedupe_conflicts: Counter,
    /// `dedupe_window_seconds{source}`: the one in effect.
    pub dedupe_window: Gauge,
    requests: Requests,
    /// Few, and looked up for every event.
    secrets: Vec<(Arc<str>, Counter)>,
}

/// Handles of what a source keeps of its refused requests.
#[derive(Clone, Debug)]
pub struct RejectMetrics {
    /// `rejects_kept{source}`
    pub kept: Gauge,
    /// `rejects_dropped_total{source,reason}`
    pub dropped: Family,
}

/// Handles of what is told to a collector of traces.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    /// `trace_spans_exported_total`
    pub exported: Counter,
    /// `trace_spans_dropped_total{reason}`
    pub dropped: Family,
}

/// Handles of requests that are for no source.
#[derive(Debug)]
pub struct ElsewhereMetrics {
    /// `requests_rejected_total{source="",reason}`
    pub rejected: Family,
    /// `requests_rejected_total{source="",reason="tls"}`, which no source has.
    pub handshakes: Counter,
    /// `unavailable_total{source="",reason="connections"}`
    pub crowded: Counter,
    requests: Requests,
}

/// Counters by status code; of those that were not expected, made when a code is first answered.
#[derive(Debug)]
struct Requests {
    metrics: Arc<Metrics>,
    source: String,
    /// The most frequent first.
    expected: Vec<(u16, Counter)>,
    others: Mutex<HashMap<u16, Counter>>,
}

impl SourceMetrics {
    /// `events_total{source,result="accepted"}`: an event was accepted that was received at `received_ms`.
    /// `last_event_timestamp_seconds` is compared with the clock of whoever reads it, and so goes by the machine's.
    pub fn accepted(&self, received_ms: u64) {
        self.events.increment("accepted");
        self.last_event_was(clock::by_the_wall(received_ms));
    }

    /// `last_event_timestamp_seconds{source}`: when the last event was received.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 fit a double for 285,000 years"
    )]
    pub fn last_event_was(&self, unix_ms: u64) {
        self.last_event.set(unix_ms as f64 / 1e3);
        self.last_event_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// The same, Unix milliseconds.
    pub fn last_event_ms(&self) -> Option<u64> {
        let last_ms = self.last_event_ms.load(Ordering::Relaxed);
        (last_ms > 0).then_some(last_ms)
    }

    /// `secret_matches_total{source,secret}`
    pub fn secret_matched(&self, name: &str) {
        if let Some((_, counter)) = self.secrets.iter().find(|(known, _)| **known == *name) {
            counter.increment(1);
        }
    }

    /// `http_requests_total{source,code}`
    pub fn answered(&self, code: u16) {
        self.requests.answered(code);
    }
}

impl ElsewhereMetrics {
    /// `http_requests_total{source="",code}`
    pub fn answered(&self, code: u16) {
        self.requests.answered(code);
    }
}

impl Requests {
    fn new(metrics: &Arc<Metrics>, source: &str, expected: impl IntoIterator<Item = u16>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            source: source.to_owned(),
            expected: expected
                .into_iter()
                .map(|code| (code, metrics.http_requests(source, code)))
                .collect(),
            others: Mutex::default(),
        }
    }

    fn answered(&self, code: u16) {
        if let Some((_, counter)) = self.expected.iter().find(|(known, _)| *known == code) {
            counter.increment(1);
            return;
        }
        let make = || self.metrics.http_requests(&self.source, code);
        self.others
            .lock()
            .entry(code)
            .or_insert_with(make)
            .increment(1);
    }
}

/// Handles of one target.
#[derive(Clone, Debug)]
pub struct TargetMetrics {
    /// `attempts_total{target,outcome="delivered",reason}`
    pub delivered: Counter,
    /// `attempts_total{target,outcome="failed",reason}`
    pub failed: Family,
    /// `attempt_duration_seconds{target}`
    pub attempt_duration: Histogram,
    /// `delivery_delay_seconds{target}`: received to taken.
    pub delivery_delay: Histogram,
    /// `pending_deliveries{target}`
    pub pending: Gauge,
    /// `oldest_pending_seconds{target}`
    pub oldest_pending: Gauge,
    /// `dead_letters_total{target,reason}`
    pub dead_total: Family,
    /// `dead_letters{target}`: kept now.
    pub dead: Gauge,
    states: Arc<[(&'static str, Gauge)]>,
}

impl TargetMetrics {
    /// `target_state{target,state}`: 1 for `state`, 0 for the others.
    pub fn state(&self, state: &str) {
        for (name, gauge) in self.states.iter() {
            gauge.set(if *name == state { 1.0 } else { 0.0 });
        }
    }
}

impl TargetMetrics {
    /// `target_state{target,state}`: 0 for all; the configuration does not name the target.
    pub fn no_state(&self) {
        for (_, gauge) in self.states.iter() {
            gauge.set(0.0);
        }
    }
}

/// Handles of the store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// `store_commit_duration_seconds`
    pub commit_duration: Histogram,
    /// `store_commit_events`: events a commit.
    pub commit_events: Histogram,
    /// `store_used_bytes`: live bytes.
    pub used_bytes: Gauge,
    /// `store_limit_bytes`
    pub limit_bytes: Gauge,
    /// `store_filesystem_avail_bytes`
    pub filesystem_avail_bytes: Gauge,
    /// `store_wal_bytes`
    pub wal_bytes: Gauge,
    /// `store_corrupt_total`: payloads that were found damaged when all were read through.
    pub corrupt: Counter,
}

/// Handles of the process as a whole.
#[derive(Clone, Debug)]
pub struct ProcessMetrics {
    /// `connections`
    pub connections: Gauge,
    /// `dedupe_evictions_total`
    pub dedupe_evictions: Counter,
    /// Unix seconds of the last time that the configuration was read and used.
    pub last_reload: Gauge,
    /// Whether the last attempt to read it anew did: 1 or 0.
    pub reload_successful: Gauge,
}

impl Metrics {
    /// A recorder with nothing in it.
    pub fn new() -> Arc<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS_SECONDS)
            .and_then(|builder| {
                let commit_events = metrics_exporter_prometheus::Matcher::Full(
                    "hookgate_store_commit_events".into(),
                );
                builder.set_buckets_for_metric(commit_events, &BUCKETS_EVENTS)
            })
            .expect("the bucket lists above are not empty")
            .build_recorder();
        let handle = recorder.handle();
        let metrics = Arc::new(Self {
            recorder,
            handle,
            config_hash: Mutex::default(),
        });
        metrics.describe();
        metrics
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        // `process_*` are read from the system at this moment.
        with_local_recorder(&self.recorder, || {
            metrics_process::Collector::default().collect();
        });
        let mut text = self.handle.render();
        if let Some(hash) = &*self.config_hash.lock() {
            text.push_str(&format!(
                "# HELP hookgate_config_info SHA-256 of the configuration that runs.\n\
                 # TYPE hookgate_config_info gauge\n\
                 hookgate_config_info{{hash=\"{hash}\"}} 1\n\n"
            ));
        }
        text
    }

    /// `config_info{hash}`: hex of the configuration that runs from now on.
    pub fn config_is(&self, hash: &str) {
        *self.config_hash.lock() = Some(hash.to_owned());
    }

    /// Folds what histograms have gathered; to be called every few seconds, or memory grows between scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Handles for requests that are for no source.
    pub fn elsewhere(self: &Arc<Self>) -> ElsewhereMetrics {
        with_local_recorder(&self.recorder, || ElsewhereMetrics {
            rejected: rejected(""),
            handshakes: metrics::counter!("hookgate_requests_rejected_total", "source" => "", "reason" => "tls"),
            crowded: metrics::counter!("hookgate_unavailable_total", "source" => "", "reason" => "connections"),
            requests: Requests::new(self, "", []),
        })
    }

    /// Handles for a source, the status of its successes, and its secrets' names.
    pub fn source<'a>(
        self: &Arc<Self>,
        source: &str,
        success: u16,
        secrets: impl IntoIterator<Item = &'a Arc<str>>,
    ) -> SourceMetrics {
        let s = source.to_owned();
        let requests = Requests::new(self, source, [success].into_iter().chain(STATUSES));
        with_local_recorder(&self.recorder, || SourceMetrics {
            events: Family::new(
                &RESULTS,
                |w| metrics::counter!("hookgate_events_total", "source" => s.clone(), "result" => w),
            ),
            rejected: rejected(source),
            unavailable: Family::new(
                &UNAVAILABLE,
                |w| metrics::counter!("hookgate_unavailable_total", "source" => s.clone(), "reason" => w),
            ),
            ack_duration: metrics::histogram!("hookgate_ack_duration_seconds", "source" => s.clone()),
            last_event: zero(
                metrics::gauge!("hookgate_last_event_timestamp_seconds", "source" => s.clone()),
            ),
            last_event_ms: Arc::default(),
            dedupe_keys: zero(metrics::gauge!("hookgate_dedupe_keys", "source" => s.clone())),
            dedupe_conflicts: metrics::counter!("hookgate_dedupe_conflicts_total", "source" => s.clone()),
            dedupe_window: zero(
                metrics::gauge!("hookgate_dedupe_window_seconds", "source" => s.clone()),
            ),
            requests,
            secrets: self.secrets(source, secrets),
        })
    }

    /// The handles of a source that is configured anew: what was counted goes on, for other secrets and successes.
    pub fn source_again<'a>(
        self: &Arc<Self>,
        source: &str,
        before: &SourceMetrics,
        success: u16,
        secrets: impl IntoIterator<Item = &'a Arc<str>>,
    ) -> SourceMetrics {
        SourceMetrics {
            events: before.events.clone(),
            rejected: before.rejected.clone(),
            unavailable: before.unavailable.clone(),
            ack_duration: before.ack_duration.clone(),
            last_event: before.last_event.clone(),
            last_event_ms: Arc::clone(&before.last_event_ms),
            dedupe_keys: before.dedupe_keys.clone(),
            dedupe_conflicts: before.dedupe_conflicts.clone(),
            dedupe_window: before.dedupe_window.clone(),
            requests: Requests::new(self, source, [success].into_iter().chain(STATUSES)),
            secrets: self.secrets(source, secrets),
        }
    }

    fn secrets<'a>(
        &self,
        source: &str,
        secrets: impl IntoIterator<Item = &'a Arc<str>>,
    ) -> Vec<(Arc<str>, Counter)> {
        let counter = |name: &'a Arc<str>| {
            let labels = [("source", source.to_owned()), ("secret", name.to_string())];
            let counter = metrics::counter!("hookgate_secret_matches_total", &labels);
            (Arc::clone(name), counter)
        };
        with_local_recorder(&self.recorder, || {
            secrets.into_iter().map(counter).collect()
        })
    }

    /// `source_expected_interval_seconds{source}`, which only a source with `expect_every` has: compared with the time
    /// since `last_event_timestamp_seconds`, it finds every source that has gone quiet. Zero says that it is expected no
    /// more: a series cannot be taken back.
    pub fn expected_interval(&self, source: &str, interval: Duration) {
        let gauge = with_local_recorder(
            &self.recorder,
            || metrics::gauge!("hookgate_source_expected_interval_seconds", "source" => source.to_owned()),
        );
        gauge.set(interval.as_secs_f64());
    }

    /// `tls_certificate_expiry_timestamp_seconds{file}`: until when the certificate in a file is valid, Unix seconds; none
    /// when it is no longer in use.
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds until the year 9999 fit a double"
    )]
    pub fn certificate_expiry(&self, file: &str, not_after: Option<u64>) {
        let gauge = with_local_recorder(
            &self.recorder,
            || metrics::gauge!("hookgate_tls_certificate_expiry_timestamp_seconds", "file" => file.to_owned()),
        );
        // A series cannot be taken back, and NaN is below no bound.
        gauge.set(not_after.map_or(f64::NAN, |seconds| seconds as f64));
    }

    /// Handles for the refused requests that a source keeps.
    pub fn rejects(&self, source: &str) -> RejectMetrics {
        let s = source.to_owned();
        with_local_recorder(&self.recorder, || RejectMetrics {
            kept: zero(metrics::gauge!("hookgate_rejects_kept", "source" => s.clone())),
            dropped: Family::new(
                &REJECTS_DROPPED,
                |w| metrics::counter!("hookgate_rejects_dropped_total", "source" => s.clone(), "reason" => w),
            ),
        })
    }

    /// Handles for traces, which only a gateway with a collector has.
    pub fn traces(&self) -> TraceMetrics {
        with_local_recorder(&self.recorder, || TraceMetrics {
            exported: metrics::counter!("hookgate_trace_spans_exported_total"),
            dropped: Family::new(
                &SPANS_DROPPED,
                |w| metrics::counter!("hookgate_trace_spans_dropped_total", "reason" => w),
            ),
        })
    }

    /// Handles for a target.
    pub fn target(&self, target: &str) -> TargetMetrics {
        let t = target.to_owned();
        with_local_recorder(&self.recorder, || {
            let attempt = |outcome: &'static str, reason: &'static str| metrics::counter!("hookgate_attempts_total", "target" => t.clone(), "outcome" => outcome, "reason" => reason);
            TargetMetrics {
                delivered: attempt("delivered", "2xx"),
                failed: Family::new(&REASONS, |reason| attempt("failed", reason)),
                attempt_duration: metrics::histogram!("hookgate_attempt_duration_seconds", "target" => t.clone()),
                delivery_delay: metrics::histogram!("hookgate_delivery_delay_seconds", "target" => t.clone()),
                pending: zero(metrics::gauge!("hookgate_pending_deliveries", "target" => t.clone())),
                oldest_pending: zero(metrics::gauge!("hookgate_oldest_pending_seconds", "target" => t.clone())),
                dead_total: Family::new(&["expired", "corrupt", "backlog", "removed", "attempts", "discarded"], |w| {
                    metrics::counter!("hookgate_dead_letters_total", "target" => t.clone(), "reason" => w)
                }),
                dead: zero(metrics::gauge!("hookgate_dead_letters", "target" => t.clone())),
                states: STATES
                    .iter()
                    .map(|w| (*w, zero(metrics::gauge!("hookgate_target_state", "target" => t.clone(), "state" => *w))))
                    .collect(),
            }
        })
    }

    /// Handles for the store.
    pub fn store(&self) -> StoreMetrics {
        with_local_recorder(&self.recorder, || StoreMetrics {
            commit_duration: metrics::histogram!("hookgate_store_commit_duration_seconds"),
            commit_events: metrics::histogram!("hookgate_store_commit_events"),
            used_bytes: zero(metrics::gauge!("hookgate_store_used_bytes")),
            limit_bytes: zero(metrics::gauge!("hookgate_store_limit_bytes")),
            filesystem_avail_bytes: zero(metrics::gauge!("hookgate_store_filesystem_avail_bytes")),
            wal_bytes: zero(metrics::gauge!("hookgate_store_wal_bytes")),
            corrupt: metrics::counter!("hookgate_store_corrupt_total"),
        })
    }

    /// Handles for the process; says what runs (`config_hash`, hex) and since when (Unix seconds).
    pub fn process(&self, config_hash: &str, now_seconds: f64) -> ProcessMetrics {
        self.config_is(config_hash);
        with_local_recorder(&self.recorder, || {
            metrics::gauge!("hookgate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            let last_reload =
                metrics::gauge!("hookgate_config_last_reload_success_timestamp_seconds");
            last_reload.set(now_seconds);
            let reload_successful = metrics::gauge!("hookgate_config_last_reload_successful");
            reload_successful.set(1.0);
            ProcessMetrics {
                last_reload,
                reload_successful,
                connections: zero(metrics::gauge!("hookgate_connections")),
                dedupe_evictions: metrics::counter!("hookgate_dedupe_evictions_total"),
            }
        })
    }

    fn http_requests(&self, source: &str, code: u16) -> Counter {
        let labels = [("source", source.to_owned()), ("code", code.to_string())];
        with_local_recorder(&self.recorder, || {
            metrics::counter!("hookgate_http_requests_total", &labels)
        })
    }

    fn describe(&self) {
        use metrics::{
            describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram,
        };
        with_local_recorder(&self.recorder, || {
            counter!(
                "hookgate_events_total",
                "Requests to a source, by what became of them."
            );
            counter!(
                "hookgate_requests_rejected_total",
                "Requests that were refused for good, by reason."
            );
            gauge!(
                "hookgate_rejects_kept",
                "Refused requests that are kept (sources.NAME.rejects)."
            );
            counter!(
                "hookgate_rejects_dropped_total",
                "Refused requests that were not kept, by reason."
            );
            counter!(
                "hookgate_unavailable_total",
                "Requests that were refused for now (503), by reason."
            );
            counter!(
                "hookgate_http_requests_total",
                "Answers to requests, by status code."
            );
            histogram!(
                "hookgate_ack_duration_seconds",
                Unit::Seconds,
                "From the last byte of a request to its answer."
            );
            gauge!("hookgate_connections", "Open connections of senders.");
            counter!(
                "hookgate_secret_matches_total",
                "Requests that verified, by the secret that matched."
            );
            gauge!(
                "hookgate_last_event_timestamp_seconds",
                "When the source's last event was received, Unix time."
            );
            gauge!(
                "hookgate_source_expected_interval_seconds",
                "sources.NAME.expect_every, where it is set."
            );
            gauge!(
                "hookgate_tls_certificate_expiry_timestamp_seconds",
                "Until when the certificate in a file of listen.tls is valid, Unix time."
            );
            gauge!("hookgate_dedupe_keys", "Keys remembered.");
            counter!(
                "hookgate_dedupe_conflicts_total",
                "Duplicates whose body differed from the original's."
            );
            counter!(
                "hookgate_dedupe_evictions_total",
                "Keys forgotten before their window ended, because of limits.dedupe_keys."
            );
            gauge!("hookgate_dedupe_window_seconds", "The window in effect.");
            histogram!(
                "hookgate_store_commit_duration_seconds",
                Unit::Seconds,
                "Time of one commit, its fsync included."
            );
            histogram!(
                "hookgate_store_commit_events",
                "Events admitted by one commit."
            );
            gauge!(
                "hookgate_store_used_bytes",
                "Live bytes: used pages plus the write-ahead log."
            );
            gauge!("hookgate_store_limit_bytes", "store.max_size.");
            gauge!(
                "hookgate_store_filesystem_avail_bytes",
                "Bytes available on the store's filesystem."
            );
            gauge!("hookgate_store_wal_bytes", "Bytes of the write-ahead log.");
            counter!(
                "hookgate_store_corrupt_total",
                "Stored payloads that store.scrub found damaged."
            );
            counter!(
                "hookgate_attempts_total",
                "Attempts at a target, by outcome and reason."
            );
            histogram!(
                "hookgate_attempt_duration_seconds",
                Unit::Seconds,
                "Time of one attempt."
            );
            histogram!(
                "hookgate_delivery_delay_seconds",
                Unit::Seconds,
                "From receipt to the app's 2xx."
            );
            gauge!("hookgate_pending_deliveries", "Deliveries that wait.");
            gauge!(
                "hookgate_oldest_pending_seconds",
                "Age of the oldest delivery that waits."
            );
            counter!(
                "hookgate_dead_letters_total",
                "Deliveries given up, by reason."
            );
            gauge!("hookgate_dead_letters", "Dead letters that are kept.");
            gauge!(
                "hookgate_target_state",
                "1 for the state that the target is in."
            );
            counter!(
                "hookgate_trace_spans_exported_total",
                "Spans that the collector of traces has taken."
            );
            counter!(
                "hookgate_trace_spans_dropped_total",
                "Spans that were dropped, by reason."
            );
            gauge!(
                "hookgate_config_last_reload_successful",
                "Whether the last load of the configuration succeeded."
            );
            gauge!(
                "hookgate_config_last_reload_success_timestamp_seconds",
                "When the configuration was last loaded, Unix time."
            );
            gauge!("hookgate_build_info", "Version that runs.");
            metrics_process::Collector::default().describe();
        });
    }
}

/// `requests_rejected_total{source,reason}`, in the recorder at hand.
fn rejected(source: &str) -> Family {
    let source = source.to_owned();
    Family::new(
        &REJECTED,
        |w| metrics::counter!("hookgate_requests_rejected_total", "source" => source.clone(), "reason" => w),
    )
}

/// A gauge is shown only once it was set.
fn zero(gauge: Gauge) -> Gauge {
    gauge.set(0.0);
    gauge
}

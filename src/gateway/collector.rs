//! Sends the spans of [`crate::trace`] to a collector, in batches, and gives up early: a collector that is down or slow
//! costs its traces and nothing else. What cannot be sent is counted, by reason.

use crate::backoff::Backoff;
use crate::config::Traces;
use crate::http::client::{Client, ClientError, Limits, Reply};
use crate::metrics::{Family, TraceMetrics};
use crate::quiet::Quiet;
use crate::shutdown::{Listener, Phase, Shutdown};
use crate::trace::{self, Resource, Span, Tracer};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use metrics::Counter;
use std::{error::Error as _, time::Duration};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Spans that are sent at a time: what the OpenTelemetry SDKs send.
const BATCH_SPANS: usize = 512;

/// How long the first span of a batch waits for others.
const BATCH_WITHIN: Duration = Duration::from_secs(1);

/// How long a batch is tried. Meanwhile new spans gather in the queue, so that there is no second one to hold.
const TRIED_FOR: Duration = Duration::from_secs(30);

/// Between two tries.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(1),
    factor: 2.0,
    max: Duration::from_secs(10),
};

/// Bytes of an answer that are looked at: a collector says how many spans it did not take, and why.
const ANSWER_BYTES: usize = 4 * 1024;

/// Connections are made anew so often: a collector that has moved is found.
const CONNECTION_MAX_AGE: Duration = Duration::from_mins(5);

/// The task that sends.
pub(super) struct Collector {
    task: JoinHandle<()>,
    stop: Shutdown,
}

/// Starts sending to the collector of `traces`; what is to be sent goes into the tracer.
pub(super) fn start(traces: &Traces, metrics: &TraceMetrics) -> (Tracer, Collector) {
    let (tracer, spans) = Tracer::new(traces.share, traces.queue, metrics.dropped.clone());
    let stop = Shutdown::default();
    let limits = Limits {
        connect_timeout: traces.timeout,
        connection_max_age: CONNECTION_MAX_AGE,
    };
    let mut headers = traces.headers.clone();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let sending = Sending {
        spans,
        client: Client::new(&traces.endpoint, limits),
        headers,
        timeout: traces.timeout,
        resource: Resource {
            service: traces.service.clone(),
        },
        exported: metrics.exported.clone(),
        dropped: metrics.dropped.clone(),
        lines: Quiet::default(),
        stop: stop.listen(),
    };
    let task = tokio::spawn(sending.run());
    (tracer, Collector { task, stop })
}

impl Collector {
    /// Sends what waits, each batch once, for at most so long.
    pub(super) async fn close(self, within: Duration) {
        let Self { mut task, stop } = self;
        stop.enter(Phase::Draining);
        match timeout(within, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "traces were lost by a defect in hookgate"),
            Err(_) => {
                task.abort();
                tracing::warn!("the collector did not take the last traces in time; they are lost");
            }
        }
    }
}

struct Sending {
    spans: mpsc::Receiver<Span>,
    client: Client,
    headers: HeaderMap,
    /// Of one try.
    timeout: Duration,
    resource: Resource,
    exported: Counter,
    dropped: Family,
    lines: Quiet,
    stop: Listener,
}

/// What one try came to.
enum Tried {
    /// Taken, but for so many.
    Taken(u64),
    /// Never to be taken.
    Refused(String),
    /// Not now, and not before this time if the collector says one.
    Later(String, Option<Duration>),
}

impl Sending {
    async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let goes_on = self.gather(&mut batch).await;
            if !batch.is_empty() {
                self.send(&batch).await;
                batch.clear();
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Fills a batch; false when no more will come.
    async fn gather(&mut self, batch: &mut Vec<Span>) -> bool {
        let mut due = None;
        while batch.len() < BATCH_SPANS {
            let waited = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let is_closed = self.spans.is_closed();
            tokio::select! {
                biased;
                span = self.spans.recv() => match span {
                    Some(span) => {
                        batch.push(span);
                        due.get_or_insert_with(|| Instant::now() + BATCH_WITHIN);
                    }
                    None => return false,
                },
                () = waited => return true,
                // What waits is still received, and then nothing.
                () = self.stop.reached(Phase::Draining), if !is_closed => self.spans.close(),
            }
        }
        true
    }

    async fn send(&mut self, batch: &[Span]) {
        let spans = batch.len() as u64;
        let body = Bytes::from(trace::request(&self.resource, batch));
        let until = Instant::now() + TRIED_FOR;
        for tries in 1.. {
            match self.attempt(&body).await {
                Tried::Taken(rejected) => {
                    let rejected = rejected.min(spans);
                    self.exported.increment(spans - rejected);
                    if rejected > 0 {
                        self.drop(rejected, "refused", "partial success");
                    }
                    return;
                }
                Tried::Refused(why) => return self.drop(spans, "refused", &why),
                Tried::Later(why, after) => {
                    let delay = AGAIN.delay(tries, after);
                    let stops = self.stop.phase() >= Phase::Draining;
                    if stops || Instant::now() + delay > until {
                        return self.drop(spans, "unreachable", &why);
                    }
                    tokio::select! {
                        () = sleep(delay) => {}
                        () = self.stop.reached(Phase::Draining) => {}
                    }
                }
            }
        }
    }

    async fn attempt(&self, body: &Bytes) -> Tried {
        let headers = || self.headers.clone();
        let answer = self.client.post(headers, body, ANSWER_BYTES);
        match timeout(self.timeout, answer).await {
            Ok(answer) => answered(answer),
            Err(_) => Tried::Later(format!("no answer within {:?}", self.timeout), None),
        }
    }

    fn drop(&self, spans: u64, reason: &str, why: &str) {
        self.dropped.add(reason, spans);
        if let Some(suppressed) = self.lines.pass() {
            tracing::warn!(
                reason,
                spans,
                suppressed,
                "traces were dropped; the collector: {why}"
            );
        }
    }
}

/// OTLP 1.x, "OTLP/HTTP Response": these four are worth another try, and nothing else that was answered is.
fn answered(answer: Result<Reply, ClientError>) -> Tried {
    match answer {
        Ok(reply) if reply.status.is_success() => Tried::Taken(trace::rejected(&reply.body)),
        Ok(reply) => {
            let why = format!("answered {}", reply.status.as_u16());
            let after = reply.headers.get(header::RETRY_AFTER);
            let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
            match reply.status.as_u16() {
                429 | 502..=504 => Tried::Later(why, after.map(Duration::from_secs)),
                _ => Tried::Refused(why),
            }
        }
        Err(error) => Tried::Later(
            match error.source() {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            },
            None,
        ),
    }
}

//! Traces: which events are told about, under which ids, and the bounded queue that their spans wait in. Off by default,
//! and then one branch for each request and each attempt. `gateway::collector` sends what waits here.
//!
//! Nobody ever waits for a trace: a span that finds the queue full is dropped and counted.
//!
//! An event's place in its trace is nowhere but in its `traceparent` header (W3C Trace Context): a span of receipt writes
//! itself into the header that is stored, so that attempts hours later, and after a restart, are its children.

mod context;
mod otlp;
mod span;

pub use context::{Context, SpanId, TRACEPARENT, TRACESTATE, TraceId};
pub use otlp::{Resource, rejected, request};
pub use span::{Kind, Span, Value};

use crate::clock;
use crate::metrics::Family;
use http::HeaderMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Which events are recorded, and where their spans wait. Cheap to clone; the default records nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    /// 0.0 to 1.0.
    share: f64,
    queue: mpsc::Sender<Span>,
    dropped: Family,
}

impl Tracer {
    /// Records this share (0.0 to 1.0) of what comes, and what a proven sender records itself. At most `queue` spans wait
    /// in the receiver; what finds no room counts as `dropped`, for the reason `queue`.
    pub fn new(share: f64, queue: usize, dropped: Family) -> (Self, mpsc::Receiver<Span>) {
        let (queue, waiting) = mpsc::channel(queue);
        let inner = Inner {
            share,
            queue,
            dropped,
        };
        (Self(Some(Arc::new(inner))), waiting)
    }

    /// A request has come with these headers: what is told of it later, unless it cannot be recorded.
    pub fn receiving(&self, headers: &HeaderMap) -> Option<Receiving> {
        let inner = self.0.as_ref()?;
        let parent = Context::of(headers);
        let chosen = fastrand::f64() < inner.share;
        let asked = parent.is_some_and(|parent| parent.is_sampled());
        (chosen || asked).then(|| Receiving {
            here: parent.map_or_else(Context::begin, |parent| parent.child().sampled()),
            parent: parent.map(|parent| parent.span),
            chosen,
            begun: Moment::now(),
        })
    }

    /// An attempt to deliver an event with these headers begins: what is told of it, if the event is recorded.
    pub fn attempting(&self, headers: &HeaderMap) -> Option<Attempting> {
        self.0.as_ref()?;
        let parent = Context::of(headers).filter(Context::is_sampled)?;
        Some(Attempting {
            here: parent.child(),
            parent: parent.span,
            begun: Moment::now(),
        })
    }

    /// Queues a span, or drops and counts it.
    pub fn record(&self, span: Span) {
        if let Some(inner) = &self.0
            && inner.queue.try_send(span).is_err()
        {
            inner.dropped.increment("queue");
        }
    }
}

/// Now, by the machine's clock, and by the one that durations are measured with.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall_ns: u64,
    at: Instant,
}

impl Moment {
    fn now() -> Self {
        Self {
            wall_ns: clock::wall_ns(),
            at: Instant::now(),
        }
    }

    /// Unix nanoseconds of its begin and of now.
    fn until_now(self) -> (u64, u64) {
        let took_ns = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        (self.wall_ns, self.wall_ns.saturating_add(took_ns))
    }
}

/// A request that is being received and may be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Receiving {
    here: Context,
    /// The sender's span.
    parent: Option<SpanId>,
    /// Whether it belongs to the share that is recorded; otherwise only its sender asks for it.
    chosen: bool,
    begun: Moment,
}

impl Receiving {
    /// Makes whatever is sent on with these headers a child of this span. Only for a sender that is proven. A state of
    /// the trace without a valid trace belongs to nothing (W3C Trace Context 3.2).
    pub fn mark(&self, headers: &mut HeaderMap) {
        if self.parent.is_none() {
            headers.remove(TRACESTATE);
        }
        headers.insert(TRACEPARENT, self.here.header());
    }

    /// Its span, which ends now. Who is not proven cannot have a request recorded: anybody could fill the queue.
    pub fn end(self, proven: bool) -> Option<Span> {
        (self.chosen || proven)
            .then(|| Span::new(Kind::Server, self.here, self.parent, self.begun.until_now()))
    }
}

/// An attempt that runs and is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Attempting {
    here: Context,
    parent: SpanId,
    begun: Moment,
}

impl Attempting {
    /// Makes what the app does a child of this span.
    pub fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.here.header());
    }

    /// Its span, which ends now.
    pub fn end(self) -> Span {
        let times = self.begun.until_now();
        Span::new(Kind::Client, self.here, Some(self.parent), times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use http::HeaderValue;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn headers(traceparent: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        if let Some(value) = traceparent {
            headers.insert(TRACEPARENT, HeaderValue::from_static(value));
        }
        headers
    }

    fn tracer(share: f64, queue: usize) -> (Tracer, mpsc::Receiver<Span>) {
        Tracer::new(share, queue, Metrics::new().traces().dropped)
    }

    #[test]
    fn off_records_nothing() {
        let off = Tracer::default();
        assert!(off.receiving(&headers(Some(SAMPLED))).is_none());
        assert!(off.attempting(&headers(Some(SAMPLED))).is_none());
    }

    /// Whether a request is recorded, by what the sender says, what is drawn, and whether the sender is proven.
    #[test]
    fn who_decides_what_is_recorded() {
        let cases = [
            (None, 0.0, [false, false]),
            (None, 1.0, [true, true]),
            (Some(UNSAMPLED), 0.0, [false, false]),
            (Some(UNSAMPLED), 1.0, [true, true]),
            (Some(SAMPLED), 0.0, [false, true]),
            (Some(SAMPLED), 1.0, [true, true]),
        ];
        for (sent, share, [unproven, proven]) in cases {
            let (tracer, _waiting) = tracer(share, 1);
            let begun = || tracer.receiving(&headers(sent));
            let recorded = |proven| begun().and_then(|begun| begun.end(proven)).is_some();
            assert_eq!(recorded(false), unproven, "{sent:?} {share} unproven");
            assert_eq!(recorded(true), proven, "{sent:?} {share} proven");
        }
    }

    #[test]
    fn a_trace_goes_on_from_the_sender_to_the_app() {
        let (tracer, _waiting) = tracer(1.0, 1);
        let mut stored = headers(Some(UNSAMPLED));
        let receiving = tracer.receiving(&stored).expect("recorded");
        receiving.mark(&mut stored);
        assert_eq!(stored["tracestate"], "a=b");
        let received = receiving.end(true).expect("recorded");
        let theirs = Context::of(&headers(Some(SAMPLED))).expect("valid");
        assert_eq!(received.parent, Some(theirs.span));
        assert_eq!(received.context.trace, theirs.trace);
        let marked = Context::of(&stored).expect("valid");
        assert_eq!(marked, received.context);
        assert!(marked.is_sampled(), "though the sender's is not");

        let attempting = tracer.attempting(&stored).expect("recorded");
        let mut sent = stored.clone();
        attempting.mark(&mut sent);
        let attempt = attempting.end();
        assert_eq!(attempt.parent, Some(received.context.span));
        assert_eq!(Context::of(&sent), Some(attempt.context));
        assert_eq!(attempt.context.trace, theirs.trace);
        assert!(attempt.begun_ns <= attempt.ended_ns);
        assert!(tracer.attempting(&headers(Some(UNSAMPLED))).is_none());
        assert!(tracer.attempting(&headers(None)).is_none());
    }

    #[test]
    fn a_state_without_a_trace_ends_here() {
        let (tracer, _waiting) = tracer(1.0, 1);
        let mut stored = headers(None);
        let receiving = tracer.receiving(&stored).expect("recorded");
        receiving.mark(&mut stored);
        assert!(!stored.contains_key(TRACESTATE));
        assert_eq!(receiving.end(false).expect("recorded").parent, None);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let dropped = Metrics::new().traces().dropped;
        let (tracer, mut waiting) = Tracer::new(1.0, 2, dropped.clone());
        let span = || {
            let begun = tracer.receiving(&HeaderMap::new()).expect("recorded");
            begun.end(true).expect("recorded")
        };
        let spans: Vec<Span> = (0..5).map(|_| span()).collect();
        let ids: Vec<SpanId> = spans.iter().map(|span| span.context.span).collect();
        for span in spans {
            tracer.record(span);
        }
        let kept: Vec<SpanId> = std::iter::from_fn(|| waiting.try_recv().ok())
            .map(|span| span.context.span)
            .collect();
        assert_eq!(kept, ids[..2]);
        assert!(dropped.counts().any(|count| count == ("queue", 3)));
    }
}

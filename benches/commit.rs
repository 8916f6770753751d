//! What a commit costs, by the number of events that share it: from their admission until all are durable, delivered and
//! settled. On the disk of the system's temporary directory.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hookgate::budget::Budget;
use hookgate::config::environment::Environment;
use hookgate::config::load::{Options, Origin, load};
use hookgate::dedupe::{Claim, Dedupe, Kind, RequestKey, Windows};
use hookgate::event::{DedupeKey, Event};
use hookgate::metrics::{Metrics, SourceMetrics};
use hookgate::store::{
    Abandoned, Admission, Destination, Feed, OpenSettings, Opened, Outcome, Settlement, Store,
};
use hookgate::verify::{Surroundings, Verifier};
use hookgate::{clock, config, event};
use http::{HeaderMap, HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Passes on what became durable; the rest is not of interest here.
struct Heard {
    admitted: mpsc::UnboundedSender<Arc<Event>>,
    settled: mpsc::UnboundedSender<usize>,
}

impl Feed for Heard {
    fn admitted(&self, _destination: Destination, event: &Arc<Event>) {
        // Nobody listens between two measurements.
        let _ = self.admitted.send(Arc::clone(event));
    }
    fn settled(&self, settlements: &[Settlement]) {
        let _ = self.settled.send(settlements.len());
    }
    fn in_vain(&self, _settlements: &[Settlement]) {}
    fn replayed(&self, _target: event::TargetId, _bytes: u64, _due_ms: u64) {}
    fn discarded(&self, _settlements: &[Settlement]) {}
    fn hastened(&self, _target: event::TargetId, _due_ms: u64) {}
    fn refused(&self, _target: event::TargetId, _event: &Arc<Event>) {}
    fn abandoned(&self, _deliveries: &[Abandoned]) {}
    fn forgotten(&self, _target: event::TargetId, _count: u64) {}
}

/// A store with one source and one target.
struct Bench {
    store: Store,
    source: event::SourceId,
    target: event::TargetId,
    dedupe: Arc<Dedupe>,
    verifier: Verifier,
    budget: Budget,
    metrics: Arc<SourceMetrics>,
    admitted: mpsc::UnboundedReceiver<Arc<Event>>,
    settled: mpsc::UnboundedReceiver<usize>,
    next: u64,
}

impl Bench {
    fn open(place: &std::path::Path) -> Self {
        let text = format!(
            "store: {{ path: '{}', retention: 1s }}\n\
             sources: {{ erp: {{ verify: none, forward: app }} }}\n\
             targets: {{ app: {{ url: 'http://127.0.0.1:3000/' }} }}",
            place.display()
        );
        let origin = Origin::Text {
            name: "bench".into(),
            text,
        };
        let (config, _) =
            load(&origin, &Environment::default(), Options::default()).expect("valid");
        let opened = Opened::open(OpenSettings {
            store: &config.store,
            sources: vec![("erp".into(), None)],
            targets: &config.targets,
        })
        .expect("opens");
        let (source, target) = (opened.sources()[0].id, opened.targets()[0].0.id);
        let window = Duration::from_hours(1);
        let windows = Windows {
            event: window,
            replay: window,
        };
        let dedupe = Dedupe::new(
            opened.secret(),
            opened.tag(),
            10_000_000,
            &[(source, windows)],
        );
        let ((admit, admitted), (settle, settled)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let metrics = Metrics::new();
        let feed = Arc::new(Heard {
            admitted: admit,
            settled: settle,
        });
        Self {
            store: opened.start(feed, metrics.store()),
            source,
            target,
            dedupe,
            verifier: Verifier::new(&config::Verify::None, &[], &Surroundings::default()),
            budget: Budget::new(u64::MAX),
            metrics: Arc::new(metrics.source("erp", 200, [])),
            admitted,
            settled,
            next: 0,
        }
    }

    fn admission(&mut self) -> Admission {
        self.next += 1;
        let now_ms = clock::unix_ms();
        let key = DedupeKey::new("erp", [self.next.to_be_bytes().as_slice()]);
        let keys = [RequestKey {
            kind: Kind::Event,
            key,
        }];
        let Claim::Ours(reservation) = self.dedupe.claim(self.source, &keys, 0, now_ms) else {
            panic!("key {} is new", self.next);
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert(
            "user-agent",
            HeaderValue::from_static("a vendor's sender/1.0"),
        );
        let body = Bytes::from(vec![b'x'; 600]);
        let verified = self
            .verifier
            .verify(&Method::POST, None, headers, body, now_ms)
            .expect("nothing to prove");
        Admission {
            source: self.source,
            source_name: "erp".into(),
            event_type: Some("order.created".into()),
            key: Some(key),
            key_name: "erp".into(),
            vendor_id: None,
            received_ms: now_ms,
            verified,
            targets: vec![self.target.into()],
            reservation,
            charge: self.budget.take(600).expect("room"),
            first_attempts: None,
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// The whole life of these events, but for their expiry, which goes on beside it.
    async fn live(&mut self, admissions: Vec<Admission>) {
        let events = admissions.len();
        let admit = |admission| self.store.admit(admission).expect("taken");
        for answer in admissions.into_iter().map(admit).collect::<Vec<_>>() {
            answer.await.expect("answered").expect("stored");
        }
        for _ in 0..events {
            let event = self.admitted.recv().await.expect("told");
            self.store.settle(Settlement {
                target: self.target,
                seq: event.seq,
                was_due_ms: None,
                bytes: event.weight(),
                outcome: Outcome::Delivered,
                replay: 0,
                lane: None,
                attempt: None,
            });
        }
        let mut settled = 0;
        while settled < events {
            settled += self.settled.recv().await.expect("told");
        }
    }
}

fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("commit");
    group.sample_size(30);
    for events in [1, 16, 128] {
        let place = tempfile::tempdir().expect("a directory");
        let mut bench = runtime.block_on(async { Bench::open(place.path()) });
        group.throughput(Throughput::Elements(events));
        group.bench_function(format!("{events} events"), |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    let admissions = (0..events).map(|_| bench.admission()).collect();
                    runtime.block_on(bench.live(admissions));
                },
                BatchSize::PerIteration,
            );
        });
        runtime.block_on(bench.store.close(Duration::from_secs(10)));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

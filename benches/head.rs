//! What the layers and the head of a request cost: a whole request of usual size through the service of the public
//! listener, ignored since nobody wants its type. So nothing is stored or sent.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hookgate::budget::Budget;
use hookgate::config::environment::Environment;
use hookgate::config::load::{Options, Origin, load};
use hookgate::dedupe::{Dedupe, Windows};
use hookgate::deliver::Deliver;
use hookgate::http::{server::Peer, strict};
use hookgate::metrics::Metrics;
use hookgate::network::Networks;
use hookgate::receive::{Failures, Learned, Receive, Source, service};
use hookgate::shutdown::Shutdown;
use hookgate::store::{Feed, OpenSettings, Opened, RejectSettings};
use hookgate::trace::Tracer;
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use std::collections::HashMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// The headers of a vendor's request behind a proxy.
const HEADERS: [(&str, &str); 12] = [
    ("host", "hooks.example.com"),
    ("content-type", "application/json"),
    ("content-length", "600"),
    ("user-agent", "Vendor-Hookshot/044aadd"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip"),
    ("x-event-name", "order.created"),
    ("x-delivery", "2f0dbe2c-9be7-4f0e-8f7d-0f2c7f3f7d43"),
    (
        "x-signature",
        "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592",
    ),
    ("x-forwarded-for", "192.0.2.7"),
    ("x-forwarded-proto", "https"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
];

fn request() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::from_static(&[b'x'; 600])));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/hooks/erp".parse().expect("a target");
    for (name, value) in HEADERS {
        request
            .headers_mut()
            .append(name, HeaderValue::from_static(value));
    }
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
    request.extensions_mut().insert(Peer { addr: Some(peer) });
    request
}

/// A gateway's public side, without its listener.
fn receive(place: &std::path::Path) -> Arc<Receive> {
    let text = format!(
        "store: {{ path: '{}' }}\n\
         sources: {{ erp: {{ verify: none, event: {{ type: header:X-Event-Name }}, \
         forward: [{{ to: app, events: [nothing.at.all] }}] }} }}\n\
         targets: {{ app: 'http://127.0.0.1:3000/' }}",
        place.display()
    );
    let origin = Origin::Text {
        name: "bench".into(),
        text,
    };
    let (config, _) = load(&origin, &Environment::default(), Options::default()).expect("valid");
    let metrics = Metrics::new();
    let opened = Opened::open(OpenSettings {
        store: &config.store,
        sources: vec![("erp".into(), None)],
        targets: &config.targets,
    })
    .expect("opens");
    let source = &config.sources[0];
    let id = opened.sources()[0].id;
    let (target, _) = &opened.targets()[0];
    let targets = HashMap::from([("app", (target.id, source.event_type.clone()))]);
    let handles = Arc::new(metrics.source("erp", 200, []));
    let path = source.path.clone();
    let source = Source::new(
        source.clone(),
        id,
        handles,
        &targets,
        16,
        Budget::new(u64::MAX),
        None,
    );
    let windows = Windows {
        event: Duration::from_hours(72),
        replay: Duration::from_hours(72),
    };
    let dedupe = Dedupe::new(opened.secret(), opened.tag(), 1_000, &[(id, windows)]);
    let settings = RejectSettings {
        sources: Vec::new(),
        per_client: 1,
    };
    let rejects = opened.rejects(settings, &metrics);
    let deliver = Deliver::new(
        Vec::new(),
        Vec::new(),
        HashMap::new(),
        u64::MAX,
        Tracer::default(),
    );
    let store = opened.start(Arc::clone(&deliver) as Arc<dyn Feed>, metrics.store());
    Arc::new(Receive {
        sources: HashMap::from([(path, source)]),
        elsewhere: Arc::new(metrics.elsewhere()),
        dedupe,
        store,
        rejects,
        deliver,
        trusted_proxies: Networks::default(),
        failures: Arc::new(Failures::new(None, 8)),
        body_timeout: Duration::from_secs(15),
        learned: Arc::new(Learned::default()),
        tracer: Tracer::default(),
        stop: Shutdown::default().listen(),
    })
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    let sent = request();
    group.bench_function("strict", |bencher| {
        bencher.iter(|| strict::check(black_box(&sent)));
    });
    group.bench_function("build and drop", |bencher| {
        bencher.iter_batched(request, drop, BatchSize::SmallInput);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let place = tempfile::tempdir().expect("a directory");
    let service = runtime.block_on(async {
        let settings = service::Settings {
            body_bytes: 1024 * 1024,
            timeout: Duration::from_mins(1),
        };
        service::service(receive(place.path()), settings)
    });
    group.bench_function("through the layers", |bencher| {
        bencher.iter_batched(
            request,
            |request| {
                let answer = runtime.block_on(service.clone().oneshot(request));
                assert_eq!(answer.expect("answered").status(), 200);
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

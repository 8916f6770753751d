//! What a key expression costs: which part of a request names its event.

use criterion::{Criterion, criterion_group, criterion_main};
use hookgate::extract::{Field, KeyExpr, Parts};
use http::{HeaderMap, HeaderValue};
use std::hint::black_box;

const BODY: &[u8] = br#"{"event":"message_created","id":"8417","content":"Is it still available? I would take two of them.","created_at":"2026-01-31T10:15:00Z","message_type":"incoming","content_type":"text","content_attributes":{},"source_id":"wamid.HBgMNDkzMDEyMzQ1NjcVAgASGBQzQTdGN0E2","sender":{"id":"9034","name":"Zo\u00eb M\u00fcller","email":"zoe@example.com"},"conversation":{"id":"512","inbox_id":"7","status":"open","labels":["order","wholesale"]},"account":{"id":"11","name":"My Company"}}"#;

fn bench(criterion: &mut Criterion) {
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-delivery",
        HeaderValue::from_static("2f0dbe2c-9be7-4f0e-8f7d-0f2c7f3f7d43"),
    );
    let parts = Parts {
        headers: &headers,
        query: Some("source=shop&id=8417"),
        body: BODY,
        members: None,
    };
    let mut group = criterion.benchmark_group("extraction");
    for fields in [
        "header:x-delivery",
        "query:id",
        "json:/event",
        "json:/account/id",
        "json:/event json:/id",
        "body",
    ] {
        let join = fields
            .split(' ')
            .map(|field| field.parse::<Field>().expect("a field"));
        let expr = KeyExpr(vec![join.collect()]);
        group.bench_function(fields, |bencher| {
            bencher.iter(|| black_box(&expr).key("vowchat", black_box(parts)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

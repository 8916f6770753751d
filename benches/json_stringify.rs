//! What `{json_stringify}` costs a body of usual size, and one of the largest size that is taken by default.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookgate::extract::json_stringify;
use std::hint::black_box;

/// An order of about 600 bytes, as a vendor's `JSON.stringify` writes it.
const ORDER: &str = r#"{"event":"order.created","timestamp":"2026-01-31T10:15:00Z","data":{"orderId":"ORD-48151623","orderNumber":"00123","status":"pending","customer":{"name":"Zoë Müller","email":"zoe@example.com","phone":"+49 30 1234567","address":"Unter den Linden 1, 10117 Berlin"},"items":[{"productId":"prod_123","name":"Coffee, whole beans","quantity":2,"price":19.95,"variant":"1 kg"},{"productId":"prod_456","name":"Filter \"No. 4\"","quantity":1,"price":3.5,"variant":null}],"subtotal":43.4,"shipping":4.9,"total":48.3,"currency":"EUR","source":{"type":"whatsapp","accountId":"acc_42"},"createdAt":"2026-01-31T10:14:59.512Z"}}"#;

/// The same with what `JSON.stringify` would write otherwise: prices with two decimals, spaces, an index.
fn reformatted() -> String {
    ORDER
        .replace(":19.95", ": 199.00")
        .replace(',', ", ")
        .replace("\"variant\"", "\"1\"")
}

fn large(item: &str) -> String {
    let count = (1 << 20) / (item.len() + 1);
    format!("[{}]", vec![item; count].join(","))
}

fn bench(criterion: &mut Criterion) {
    let bodies = [
        ("order", ORDER.to_owned()),
        ("order, reformatted", reformatted()),
        ("1 MiB of orders", large(ORDER)),
        ("1 MiB of orders, reformatted", large(&reformatted())),
    ];
    let mut group = criterion.benchmark_group("json_stringify");
    for (name, body) in &bodies {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| json_stringify(black_box(body.as_bytes())).expect("JSON"));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

//! What the memory of keys costs an event: its key is claimed, and remembered once it is durable.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hookgate::dedupe::{Claim, Dedupe, Kind, RequestKey, Windows};
use hookgate::event::{DedupeKey, EventId, Seq, SourceId, StoreTag};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const SOURCE: SourceId = SourceId(1);
const TAG: StoreTag = StoreTag(7);
const NOW_MS: u64 = 1_769_855_400_000;
/// Keys that are remembered already.
const KNOWN: u64 = 1_000_000;

fn key(number: u64) -> [RequestKey; 1] {
    [RequestKey {
        kind: Kind::Event,
        key: DedupeKey::new("erp", [number.to_be_bytes().as_slice()]),
    }]
}

fn remember(dedupe: &Arc<Dedupe>, number: u64) {
    let Claim::Ours(reservation) = dedupe.claim(SOURCE, &key(number), 0, NOW_MS) else {
        panic!("key {number} is new");
    };
    let seq = Seq(number + 1);
    reservation.durable(seq, NOW_MS, EventId::new(NOW_MS, TAG, seq));
}

fn memory() -> Arc<Dedupe> {
    let window = Duration::from_hours(72);
    let windows = Windows {
        event: window,
        replay: window,
    };
    let dedupe = Dedupe::new(&[3; 32], TAG, 100_000_000, &[(SOURCE, windows)]);
    (0..KNOWN).for_each(|number| remember(&dedupe, number));
    dedupe
}

fn bench(criterion: &mut Criterion) {
    let dedupe = memory();
    let mut group = criterion.benchmark_group("dedupe");
    let mut next = KNOWN;
    group.bench_function("a new event among a million", |bencher| {
        bencher.iter_batched(
            || {
                next += 1;
                next
            },
            |number| remember(&dedupe, number),
            BatchSize::SmallInput,
        );
    });
    let mut known = 0;
    group.bench_function("a duplicate among a million", |bencher| {
        bencher.iter_batched(
            || {
                known = (known + 7_919) % KNOWN;
                key(known)
            },
            |key| dedupe.claim(SOURCE, black_box(&key), 0, NOW_MS),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);

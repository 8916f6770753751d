//! The room through its door: the life of a key, many at once, and what it costs in memory.

use super::*;
use crate::event::StoreTag;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

mod model;

const TAG: StoreTag = StoreTag(0x1_2345_6789);
const A: SourceId = SourceId(3);
const B: SourceId = SourceId(8);
const WINDOWS: Windows = Windows {
    event: Duration::from_secs(1),
    replay: Duration::from_millis(300),
};
const START_MS: u64 = 1_769_855_400_000;

fn memory(limit: usize) -> Arc<Dedupe> {
    Dedupe::new(&[7; 32], TAG, limit, &[(B, WINDOWS), (A, WINDOWS)])
}

/// Key number `number` of a source.
fn key(source: SourceId, kind: Kind, number: u64) -> RequestKey {
    let key = DedupeKey::new(&source.0.to_string(), [number.to_be_bytes().as_slice()]);
    RequestKey { kind, key }
}

fn event(number: u64) -> [RequestKey; 1] {
    [key(A, Kind::Event, number)]
}

fn ours(claim: Claim) -> Reservation {
    match claim {
        Claim::Ours(reservation) => reservation,
        other => panic!("not ours: {other:?}"),
    }
}

fn waiter(claim: Claim) -> Waiter {
    match claim {
        Claim::InFlight(waiter) => waiter,
        other => panic!("not in flight: {other:?}"),
    }
}

fn id(received_ms: u64, seq: u64) -> EventId {
    EventId::new(received_ms, TAG, Seq(seq))
}

fn make_durable(reservation: Reservation, seq: u64, received_ms: u64) {
    reservation.durable(Seq(seq), received_ms, id(received_ms, seq));
}

/// What the waiter has been told by now.
fn told(waiter: Waiter) -> Option<Ended> {
    match pin!(waiter.ended()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ended) => Some(ended),
        Poll::Pending => None,
    }
}

fn answer() -> Answered {
    Answered {
        status: StatusCode::IM_A_TEAPOT,
        content_type: None,
        body: Bytes::from_static(b"short and stout"),
    }
}

#[test]
fn a_duplicate_waits_until_its_original_is_durable() {
    let memory = memory(100);
    let original = ours(memory.claim(A, &event(1), 5, START_MS));
    assert_eq!(original.keys().len(), 1);
    assert_eq!(original.body_check(), 5);
    let first = waiter(memory.claim(A, &event(1), 5, START_MS + 1));
    let second = waiter(memory.claim(A, &event(1), 5, START_MS + 2));
    make_durable(original, 9, START_MS);
    for waiter in [first, second] {
        assert!(
            matches!(told(waiter), Some(Ended::Durable { id: found, .. }) if found == id(START_MS, 9))
        );
    }
    for (body_check, expected) in [(5, false), (6, true)] {
        match memory.claim(A, &event(1), body_check, START_MS + 3) {
            Claim::Duplicate {
                id: found,
                conflict,
            } => {
                assert_eq!((found, conflict), (id(START_MS, 9), expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_key_finds_its_event_once_that_is_durable_and_while_it_is_remembered() {
    let memory = memory(100);
    let find = |source, number, now_ms| {
        let found = memory.find(source, key(A, Kind::Event, number), now_ms);
        found.map(|(id, seq)| (id.to_string(), seq))
    };
    assert_eq!(find(A, 1, START_MS), None);
    let original = ours(memory.claim(A, &event(1), 5, START_MS));
    assert_eq!(find(A, 1, START_MS), None, "in flight");
    make_durable(original, 9, START_MS);
    let found = Some((id(START_MS, 9).to_string(), Seq(9)));
    assert_eq!(find(A, 1, START_MS + 999), found);
    assert_eq!(find(B, 1, START_MS), None, "another source's");
    assert_eq!(find(A, 2, START_MS), None);
    assert_eq!(find(A, 1, START_MS + 1_000), None, "past its window");
    let passed = ours(memory.claim(A, &event(3), 5, START_MS));
    passed.answered(answer(), true, START_MS);
    assert_eq!(find(A, 3, START_MS), None, "passed through, not stored");
}

#[test]
fn one_who_waited_takes_the_place_of_a_failed_original() {
    let memory = memory(100);
    let original = ours(memory.claim(A, &event(1), 0, START_MS));
    let (first, second) = (
        waiter(memory.claim(A, &event(1), 0, START_MS)),
        waiter(memory.claim(A, &event(1), 0, START_MS)),
    );
    drop(original);
    assert!(matches!(told(first), Some(Ended::Failed)));
    assert!(matches!(told(second), Some(Ended::Failed)));
    let successor = ours(memory.claim(A, &event(1), 0, START_MS));
    let third = waiter(memory.claim(A, &event(1), 0, START_MS));
    make_durable(successor, 2, START_MS);
    assert!(matches!(told(third), Some(Ended::Durable { .. })));
}

#[test]
fn a_panic_frees_the_keys_that_it_held() {
    let memory = memory(100);
    let original = ours(memory.claim(A, &event(1), 0, START_MS));
    let waits = waiter(memory.claim(A, &event(1), 0, START_MS));
    let fell = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = original;
        panic!("on purpose");
    }));
    assert!(fell.is_err());
    assert!(matches!(told(waits), Some(Ended::Failed)));
    make_durable(ours(memory.claim(A, &event(1), 0, START_MS)), 1, START_MS);
}

#[test]
fn a_waiter_hears_nothing_early_and_may_leave() {
    let memory = memory(100);
    let original = ours(memory.claim(A, &event(1), 0, START_MS));
    assert!(told(waiter(memory.claim(A, &event(1), 0, START_MS))).is_none());
    make_durable(original, 1, START_MS);
}

#[test]
fn keys_are_claimed_all_or_none() {
    let memory = memory(100);
    let both = |event, replay| [key(A, Kind::Replay, replay), key(A, Kind::Event, event)];
    let original = ours(memory.claim(A, &both(1, 1), 0, START_MS));
    let kinds: Vec<Kind> = original.keys().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [Kind::Event, Kind::Replay]);
    // The same signature under another id: waits, and leaves its own id free.
    let replayed = waiter(memory.claim(A, &both(2, 1), 0, START_MS));
    assert!(!memory.knows(A, key(A, Kind::Event, 2), START_MS));
    make_durable(original, 1, START_MS);
    assert!(matches!(told(replayed), Some(Ended::Durable { .. })));
    match memory.claim(A, &both(2, 1), 99, START_MS + 299) {
        Claim::Duplicate {
            id: found,
            conflict,
        } => {
            assert_eq!((found, conflict), (id(START_MS, 1), false));
        }
        other => panic!("{other:?}"),
    }
    assert!(!memory.knows(A, key(A, Kind::Event, 2), START_MS + 299));
    // A retry of the same event, signed anew.
    let retry = memory.claim(A, &both(1, 2), 0, START_MS + 299);
    assert!(matches!(retry, Claim::Duplicate { .. }));
    assert!(!memory.knows(A, key(A, Kind::Replay, 2), START_MS + 299));
    // The replay window is shorter.
    ours(memory.claim(A, &both(2, 1), 0, START_MS + 300));
}

#[test]
fn a_known_body_is_nobodys_duplicate() {
    let memory = memory(100);
    let with_body = |number| [key(A, Kind::Event, number), key(A, Kind::Body, 7)];
    let knows = |now_ms| memory.knows(A, key(A, Kind::Body, 7), now_ms);
    assert!(!knows(START_MS));
    let first = ours(memory.claim(A, &with_body(1), 0, START_MS));
    assert!(knows(START_MS), "in flight counts");
    let second = ours(memory.claim(A, &with_body(2), 0, START_MS));
    assert_eq!((first.keys().len(), second.keys().len()), (2, 1));
    drop(second);
    assert!(knows(START_MS), "it was the first one's");
    make_durable(first, 1, START_MS);
    assert!(knows(START_MS + 999));
    let third = ours(memory.claim(A, &with_body(3), 0, START_MS + 999));
    assert_eq!(third.keys().len(), 1);
    assert!(!knows(START_MS + 1_000));
}

#[test]
fn an_exempted_event_has_no_keys() {
    let memory = memory(100);
    for seq in 1..3 {
        let reservation = ours(memory.claim(A, &[], 0, START_MS));
        assert!(reservation.keys().is_empty());
        make_durable(reservation, seq, START_MS);
    }
    assert_eq!((memory.len(A), memory.keys_in_map()), (0, 0));
}

#[test]
fn what_the_app_answered_in_passthrough() {
    let memory = memory(100);
    for remember in [true, false] {
        let keys = event(u64::from(remember));
        let original = ours(memory.claim(A, &keys, 0, START_MS));
        let waits = waiter(memory.claim(A, &keys, 0, START_MS));
        original.answered(answer(), remember, START_MS);
        match told(waits) {
            Some(Ended::Answered(answered)) => assert_eq!(answered.body, answer().body),
            other => panic!("{other:?}"),
        }
        match memory.claim(A, &keys, 0, START_MS + 999) {
            Claim::AnsweredBefore => assert!(remember),
            Claim::Ours(_) => assert!(!remember),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        memory.expire(START_MS + 1_000, 10),
        [],
        "the store never had it"
    );
    assert_eq!((memory.len(A), memory.keys_in_map()), (0, 0));
}

#[test]
fn windows_end_exactly_and_clocks_may_go_back() {
    let memory = memory(100);
    make_durable(ours(memory.claim(A, &event(1), 0, START_MS)), 1, START_MS);
    for now_ms in [0, START_MS - 5_000, START_MS + 999] {
        assert!(matches!(
            memory.claim(A, &event(1), 0, now_ms),
            Claim::Duplicate { .. }
        ));
        assert_eq!(memory.expire(now_ms, 10), []);
    }
    // Claimed anew before it was swept: sweeping the old record leaves the new claim alone.
    let again = ours(memory.claim(A, &event(1), 0, START_MS + 1_000));
    assert_eq!(memory.expire(START_MS + 1_000, 10), [(Seq(1), Kind::Event)]);
    let waits = waiter(memory.claim(A, &event(1), 0, START_MS + 1_000));
    make_durable(again, 2, START_MS + 1_000);
    assert!(matches!(told(waits), Some(Ended::Durable { .. })));
    assert_eq!(memory.len(A), 1);
    assert_eq!(memory.expire(u64::MAX, 10), [(Seq(2), Kind::Event)]);
    assert_eq!(memory.keys_in_map(), 0);
}

#[test]
fn sweeping_is_bounded() {
    let memory = memory(10_000);
    for seq in 1..=1_000 {
        make_durable(
            ours(memory.claim(A, &event(seq), 0, START_MS)),
            seq,
            START_MS,
        );
    }
    let mut swept = Vec::new();
    for expected in [300, 300, 300, 100, 0] {
        let some = memory.expire(START_MS + 1_000, 300);
        assert_eq!(some.len(), expected);
        swept.extend(some);
    }
    let seqs: Vec<u64> = swept.iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(seqs, (1..=1_000).collect::<Vec<_>>());
}

#[test]
fn at_the_limit_the_largest_source_forgets_its_oldest() {
    let memory = memory(4);
    let admit = |source, number, received_ms| {
        let keys = [key(source, Kind::Event, number)];
        let claimed = memory.claim(source, &keys, 0, received_ms);
        make_durable(ours(claimed), number, received_ms);
    };
    admit(B, 1, START_MS);
    for number in 2..=4 {
        admit(A, number, START_MS + number);
    }
    assert_eq!(memory.evictions(), 0);
    assert_eq!(memory.effective_window(A, START_MS + 4), WINDOWS.event);
    admit(B, 5, START_MS + 5);
    assert_eq!(
        (memory.len(A), memory.len(B), memory.evictions()),
        (2, 2, 1)
    );
    assert!(!memory.knows(A, key(A, Kind::Event, 2), START_MS + 5));
    assert!(memory.knows(A, key(A, Kind::Event, 3), START_MS + 5));
    assert!(memory.knows(B, key(B, Kind::Event, 1), START_MS + 5));
    let window = |source, after| memory.effective_window(source, START_MS + after);
    assert_eq!(window(A, 302), Duration::from_millis(300));
    assert_eq!(window(A, 1_002), WINDOWS.event, "it has recovered");
    assert_eq!(window(B, 302), WINDOWS.event);
    assert_eq!(memory.expire(START_MS + 5, 10), [(Seq(2), Kind::Event)]);
    assert_eq!(memory.expire(START_MS + 5, 10), []);
}

#[test]
fn a_restart_brings_keys_back() {
    let before = memory(100);
    let keys = [key(A, Kind::Event, 1), key(A, Kind::Replay, 1)];
    let reservation = ours(before.claim(A, &keys, 5, START_MS));
    let kept: Vec<(Kind, Hash)> = reservation.keys().to_vec();
    let remembered = |(kind, hash): &(Kind, Hash)| Remembered {
        source: A,
        kind: *kind,
        hash: *hash,
        seq: Seq(1),
        received_ms: START_MS,
        body_check: 5,
    };
    let after = memory(100);
    let restored: Vec<Restored> = kept
        .iter()
        .map(|key| after.restore(remembered(key), START_MS + 300))
        .collect();
    assert_eq!(
        restored,
        [Restored::Remembered, Restored::Past],
        "the replay window has ended"
    );
    match after.claim(A, &keys, 5, START_MS + 300) {
        Claim::Duplicate {
            id: found,
            conflict,
        } => {
            assert_eq!((found, conflict), (id(START_MS, 1), false));
        }
        other => panic!("{other:?}"),
    }
    let stranger = Remembered {
        source: SourceId(99),
        ..remembered(&kept[0])
    };
    assert_eq!(after.restore(stranger, START_MS), Restored::Stranger);
    let other_secret = Dedupe::new(&[8; 32], TAG, 100, &[(A, WINDOWS)]);
    let other = ours(other_secret.claim(A, &keys, 5, START_MS));
    assert_ne!(other.keys(), &kept[..], "hashes are keyed");
}

#[test]
fn a_restart_keeps_to_the_limit() {
    let memory = memory(10);
    for number in 1..=25 {
        let key = Remembered {
            source: A,
            kind: Kind::Event,
            hash: [number; 16],
            seq: Seq(number.into()),
            received_ms: START_MS,
            body_check: 0,
        };
        assert_eq!(memory.restore(key, START_MS), Restored::Remembered);
    }
    assert_eq!((memory.len(A), memory.evictions()), (10, 15));
    let forgotten: Vec<u64> = memory
        .expire(START_MS, 100)
        .iter()
        .map(|(seq, _)| seq.0)
        .collect();
    assert_eq!(forgotten, (1..=15).collect::<Vec<_>>());
}

#[test]
fn a_source_is_taken_in_with_its_keys_and_others_go_on() {
    const NEW: SourceId = SourceId(900);
    let memory = memory(100);
    assert!(memory.has(A) && !memory.has(NEW));
    let original = ours(memory.claim(A, &event(1), 0, START_MS));
    make_durable(original, 1, START_MS);
    let of_new = ours(memory.claim(A, &event(2), 0, START_MS));
    let (kind, hash) = of_new.keys()[0];
    drop(of_new);
    let windows = |seconds| Windows {
        event: Duration::from_secs(seconds),
        replay: Duration::from_secs(seconds),
    };
    let key = Remembered {
        source: NEW,
        kind,
        hash,
        seq: Seq(7),
        received_ms: START_MS,
        body_check: 0,
    };
    memory.adopt(&[(NEW, windows(60)), (A, windows(10))], vec![key], START_MS);
    let claimed = memory.claim(NEW, &event(2), 0, START_MS);
    assert!(matches!(claimed, Claim::Duplicate { id: found, .. } if found == id(START_MS, 7)));
    // The new window counts for what is remembered, and one that is not named keeps its own.
    let later_ms = START_MS + 20_000;
    assert!(matches!(
        memory.claim(A, &event(1), 0, later_ms),
        Claim::Ours(_)
    ));
    memory.adopt(&[(A, windows(60))], Vec::new(), later_ms);
    let claimed = memory.claim(NEW, &event(2), 0, later_ms);
    assert!(matches!(claimed, Claim::Duplicate { .. }));
}

#[test]
fn a_lower_limit_forgets_the_oldest_and_a_higher_one_nothing() {
    let memory = memory(20_000);
    for number in 1..=12_000 {
        let original = ours(memory.claim(A, &event(number), 0, START_MS));
        make_durable(original, number, START_MS);
    }
    memory.set_limit(30_000, START_MS);
    assert_eq!((memory.len(A), memory.evictions()), (12_000, 0));
    memory.set_limit(100, START_MS);
    assert_eq!((memory.len(A), memory.evictions()), (100, 11_900));
    let claimed = memory.claim(A, &event(12_000), 0, START_MS);
    assert!(matches!(claimed, Claim::Duplicate { .. }));
}

fn wait_for(waiter: Waiter) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(waiter.ended())
}

#[test]
fn of_fifty_at_once_one_is_the_original() {
    const THREADS: usize = 50;
    const FAILURES: usize = 3;
    let memory = memory(100);
    let barrier = Barrier::new(THREADS);
    let (originals, holders) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let run = || {
        barrier.wait();
        loop {
            match memory.claim(A, &event(1), 0, START_MS) {
                Claim::Ours(reservation) => {
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                    let place = originals.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    holders.fetch_sub(1, Ordering::SeqCst);
                    if place >= FAILURES {
                        make_durable(reservation, 1, START_MS);
                        return 1;
                    }
                }
                Claim::InFlight(waiter) => match wait_for(waiter) {
                    Ended::Durable { id: found, .. } => {
                        assert_eq!(found, id(START_MS, 1));
                        return 0;
                    }
                    Ended::Failed => {}
                    Ended::Answered(_) => panic!("nobody answered"),
                },
                Claim::Duplicate { id: found, .. } => {
                    assert_eq!(found, id(START_MS, 1));
                    return 0;
                }
                Claim::AnsweredBefore => panic!("nobody answered"),
            }
        }
    };
    let admitted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    assert_eq!(admitted, 1);
    assert_eq!(
        originals.into_inner(),
        FAILURES + 1,
        "each failure was taken over once"
    );
}

/// Many threads claim overlapping sets of keys while others sweep and the limit evicts: nobody shares a key,
/// nobody waits for ever, and nothing is left behind.
#[test]
fn keys_are_held_by_one_and_nothing_leaks() {
    const KEYS: u64 = 6;
    const ROUNDS: usize = 2_000;
    let memory = memory(5);
    let held: Vec<AtomicBool> = (0..2 * KEYS).map(|_| AtomicBool::new(false)).collect();
    let (clock, seq, done) = (
        AtomicU64::new(START_MS),
        AtomicU64::new(0),
        AtomicBool::new(false),
    );
    let work = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..ROUNDS {
            let now_ms = clock.fetch_add(random.u64(0..200), Ordering::Relaxed);
            let numbers = [random.u64(0..KEYS), random.u64(0..KEYS)];
            let keys = [
                key(A, Kind::Event, numbers[0]),
                key(A, Kind::Replay, numbers[1]),
                key(A, Kind::Body, numbers[0]),
            ];
            match memory.claim(A, &keys, 0, now_ms) {
                Claim::Ours(reservation) => {
                    let flags = [
                        &held[numbers[0] as usize],
                        &held[(KEYS + numbers[1]) as usize],
                    ];
                    for flag in flags {
                        assert!(!flag.swap(true, Ordering::SeqCst), "held by another");
                    }
                    thread::yield_now();
                    for flag in flags {
                        flag.store(false, Ordering::SeqCst);
                    }
                    match random.u8(0..4) {
                        0 => drop(reservation),
                        1 => reservation.answered(answer(), random.bool(), now_ms),
                        _ => make_durable(
                            reservation,
                            seq.fetch_add(1, Ordering::Relaxed) + 1,
                            now_ms,
                        ),
                    }
                }
                Claim::InFlight(waiter) => drop(wait_for(waiter)),
                Claim::Duplicate { .. } | Claim::AnsweredBefore => {}
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|seed| scope.spawn(move || work(seed))).collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                memory.expire(clock.load(Ordering::Relaxed), 3);
                thread::yield_now();
            }
        });
        let results: Vec<_> = workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok), "a worker failed");
    });
    memory.expire(u64::MAX, usize::MAX);
    assert_eq!((memory.len(A), memory.keys_in_map()), (0, 0));
}

#[test]
fn a_key_costs_at_most_80_bytes() {
    // The long form: `tests/torture/run dedupe_keys`.
    let asked = std::env::var("HOOKGATE_TORTURE_LENGTH").ok();
    let keys = asked.map_or(200_000, |keys| keys.parse().expect("a number"));
    let memory = memory(keys as usize);
    let mut worst = (0.0, 0);
    for seq in 1..=keys {
        let hash = fastrand::u128(..).to_be_bytes();
        let key = Remembered {
            source: A,
            kind: Kind::Event,
            hash,
            seq: Seq(seq),
            received_ms: START_MS,
            body_check: 0,
        };
        memory.restore(key, START_MS);
        // Below, the fixed cost of the parts shows.
        if seq >= 20_000 && seq % 100 == 0 {
            let each = memory.heap_bytes() as f64 / seq as f64;
            worst = if each > worst.0 { (each, seq) } else { worst };
        }
    }
    let (each, at) = worst;
    assert!(each <= 80.0, "{each} bytes for each of {at} keys");
    let level = memory.heap_bytes() as f64 / keys as f64;
    eprintln!(
        "torture: dedupe_keys: {keys} keys, {level:.1} bytes each, {each:.1} at the worst moment"
    );
    assert!(each > 70.0, "{each}: the worst moment was not seen");
}

#[test]
fn reservations_and_waiters_go_between_threads() {
    fn crosses<T: Send + 'static>() {}
    crosses::<Reservation>();
    crosses::<Waiter>();
    crosses::<Arc<Dedupe>>();
}

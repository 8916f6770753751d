//! How fast it is here and now: printed for whoever looks, never judged.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hundred_thousand_events() {
    for attempts in [0, 16] {
        println!("with {attempts} attempts kept:");
        measure(attempts).await;
    }
}

async fn measure(attempts: u32) {
    const EVENTS: u64 = 50_000;
    const AT_ONCE: u64 = 128;
    let mut place = Place::new(&["app"]);
    place.store.retention = Duration::ZERO;
    place.store.attempts = attempts;
    let running = place.start();
    let body = vec![b'x'; 800];
    let started = Instant::now();
    for round in 0..EVENTS / AT_ONCE {
        let answers: Vec<_> = (1..=AT_ONCE)
            .map(|n| {
                let request = running.request(round * AT_ONCE + n, &body);
                running
                    .store
                    .admit(running.admission(request))
                    .expect("taken")
            })
            .collect();
        for answer in answers {
            answer.await.expect("answered").expect("stored");
        }
    }
    println!("admitted in {:?}", started.elapsed());
    let admitted = running.fresh("app").await.len();
    assert_eq!(admitted, 1_000);
    running.close().await;

    let started = Instant::now();
    let opened = place.open();
    println!("reopened in {:?}", started.elapsed());
    let mut keys = 0;
    opened.for_each_key(|_| keys += 1).expect("read");
    println!("read {keys} keys after {:?}", started.elapsed());
    let (_, backlog) = opened.targets()[0];
    assert_eq!(backlog.deliveries, EVENTS / AT_ONCE * AT_ONCE);
    assert_eq!(keys, backlog.deliveries);

    let running = Running::start(opened);
    let started = Instant::now();
    for seq in 1..=backlog.deliveries {
        running.store.settle(Settlement {
            target: running.target("app"),
            seq: Seq(seq),
            was_due_ms: None,
            bytes: 0,
            outcome: Outcome::Delivered,
            replay: 0,
            lane: None,
            // The common one: the first, successful, with an empty answer.
            attempt: Some(Box::new(AttemptRecord {
                attempt: 1,
                at_ms: crate::clock::unix_ms(),
                took_ms: 1,
                status: Some(200),
                error: None,
                answer: Bytes::new(),
            })),
        });
    }
    // As long as it takes.
    running.store.close(Duration::from_mins(10)).await;
    assert!(!running.store.is_poisoned());
    println!("settled and expired in {:?}", started.elapsed());
    assert_eq!(count(&place.shell(), "SELECT count(*) FROM deliveries"), 0);
}

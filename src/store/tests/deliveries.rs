//! What waits, in which order, and what becomes of it.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fresh_deliveries_come_in_order_and_in_pages() {
    let place = Place::new(&["a", "b"]);
    let running = place.start();
    for key in 1..=5 {
        let mut request = running.request(key, b"{}");
        if key == 3 {
            request.targets = vec![running.target("b")];
        }
        running.try_admit(request).await.expect("stored");
    }
    assert_eq!(running.fresh("a").await, [1, 2, 4, 5]);
    assert_eq!(running.fresh("b").await, [1, 2, 3, 4, 5]);
    let a = running.target("a");
    let page = running.store.fresh(a, Seq(1), 2).await.expect("read");
    assert_eq!(numbers(&page), [2, 4]);
    let page = running.store.fresh(a, Seq(5), 2).await.expect("read");
    assert!(numbers(&page).is_empty());
    let heard: Vec<_> = running.heard.wait(|heard| {
        (heard.admitted.len() == 9).then(|| {
            let for_a = heard.admitted.iter().filter(|(target, _)| *target == a);
            for_a.map(|(_, event)| event.seq.0).collect()
        })
    });
    assert_eq!(heard, [1, 2, 4, 5], "the feed hears in order");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn retries_come_earliest_first_with_the_time_of_the_next() {
    let place = Place::new(&["app"]);
    let running = place.start();
    for (key, due_ms) in [(1, 300), (2, 100), (3, 200), (4, 900), (5, 100)] {
        let seq = running.admit(key, b"{}").await;
        let attempts = 2;
        running.settle("app", seq, Outcome::Retry { attempts, due_ms });
    }
    running.admit(6, b"{}").await;
    assert_eq!(
        running.fresh("app").await,
        [6],
        "what was attempted is not fresh"
    );
    let app = running.target("app");
    let cases = [
        (99, 10, vec![], Some(100)),
        (100, 10, vec![2, 5], Some(200)),
        (100, 1, vec![2], Some(100)),
        (300, 10, vec![2, 5, 3, 1], Some(900)),
        (900, 10, vec![2, 5, 3, 1, 4], None),
        (900, 4, vec![2, 5, 3, 1], Some(900)),
    ];
    for (now_ms, most, expected, next) in cases {
        let (page, found) = running.due(app, now_ms, most, &[]).await;
        assert_eq!(
            (numbers(&page), found),
            (expected, next),
            "{most} at {now_ms}"
        );
        assert!(page.iter().all(|d| d.attempts == 2 && d.due_ms.is_some()));
    }
    running.close().await;

    let opened = place.open();
    let (_, backlog) = opened.targets()[0];
    assert_eq!((backlog.deliveries, backlog.next_due_ms), (6, Some(100)));
    let running = Running::start(opened);
    running.settle("app", Seq(2), Outcome::Delivered);
    running.settle(
        "app",
        Seq(5),
        Outcome::Retry {
            attempts: 3,
            due_ms: 950,
        },
    );
    let (page, next) = running.due(app, 900, 10, &[]).await;
    assert_eq!((numbers(&page), next), (vec![3, 1, 4], Some(950)));
    running.close().await;
}

/// Tables as the store leaves them: rows of deliveries, due, dead, and settled by class.
fn rows(place: &Place) -> [i64; 5] {
    let shell = place.shell();
    [
        "deliveries",
        "due",
        "dead",
        "settled WHERE class = 0",
        "settled WHERE class = 1",
    ]
    .map(|table| count(&shell, &format!("SELECT count(*) FROM {table}")))
}

/// Settles one event for targets `a` and `b` in this order, and says what is left.
async fn check(targets: &[&str], settlements: &[(&str, Outcome)], expected: [i64; 5]) {
    let place = Place::new(targets);
    let running = place.start();
    let seq = running.admit(1, b"{}").await;
    for (target, outcome) in settlements {
        running.settle(target, seq, *outcome);
    }
    running.close().await;
    assert_eq!(rows(&place), expected, "{settlements:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn settling_leaves_the_right_rows() {
    let delivered = Outcome::Delivered;
    check(&["a"], &[("a", delivered)], [0, 0, 0, 1, 0]).await;
    check(&["a"], &[("a", EXPIRED)], [0, 0, 1, 0, 1]).await;
    check(&["a"], &[("a", RETRY_AT_5)], [1, 1, 0, 0, 0]).await;
    check(
        &["a"],
        &[("a", RETRY_AT_5), ("a", RETRY_AT_5)],
        [1, 1, 0, 0, 0],
    )
    .await;
    check(
        &["a"],
        &[("a", RETRY_AT_5), ("a", delivered)],
        [0, 0, 0, 1, 0],
    )
    .await;
    check(
        &["a"],
        &[("a", RETRY_AT_5), ("a", EXPIRED)],
        [0, 0, 1, 0, 1],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_event_is_settled_with_its_last_delivery() {
    let delivered = Outcome::Delivered;
    let both = ["a", "b"];
    check(&both, &[("a", delivered)], [1, 0, 0, 0, 0]).await;
    check(&both, &[("a", EXPIRED)], [1, 0, 1, 0, 0]).await;
    check(
        &both,
        &[("a", delivered), ("b", delivered)],
        [0, 0, 0, 1, 0],
    )
    .await;
    check(&both, &[("b", delivered), ("a", EXPIRED)], [0, 0, 1, 0, 1]).await;
    check(&both, &[("a", EXPIRED), ("b", delivered)], [0, 0, 1, 0, 1]).await;
    check(&both, &[("a", EXPIRED), ("b", RETRY_AT_5)], [1, 1, 1, 0, 0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn settling_what_is_gone_changes_nothing() {
    let delivered = Outcome::Delivered;
    for again in [delivered, EXPIRED, RETRY_AT_5] {
        check(&["a"], &[("a", delivered), ("a", again)], [0, 0, 0, 1, 0]).await;
        check(&["a"], &[("a", EXPIRED), ("a", again)], [0, 0, 1, 0, 1]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn dead_letters_are_kept_for_their_own_time() {
    let mut place = Place::new(&["a", "b"]);
    place.store.retention = Duration::ZERO;
    let running = place.start();
    let delivered = running.admit(1, b"{}").await;
    let dead = running.admit(2, b"{}").await;
    for target in ["a", "b"] {
        running.settle(target, delivered, Outcome::Delivered);
        running.settle(target, dead, EXPIRED);
    }
    running.close().await;
    let shell = place.shell();
    assert_eq!(count(&shell, "SELECT sum(seq) FROM events"), 2);
    drop(shell);
    let opened = place.open();
    assert!(
        opened
            .targets()
            .iter()
            .all(|(_, backlog)| backlog.dead == 1)
    );
    drop(opened);

    place.store.dead_retention = Duration::ZERO;
    let running = place.start();
    running.admit(3, b"{}").await;
    let (a, b) = (running.target("a"), running.target("b"));
    running.heard.wait(|heard| {
        let mut forgotten = heard.forgotten.clone();
        forgotten.sort_unstable();
        (forgotten == [(a, 1), (b, 1)]).then_some(())
    });
    running.close().await;
    let shell = place.shell();
    assert_eq!(count(&shell, "SELECT sum(seq) FROM events"), 3);
    assert_eq!(
        count(&shell, "SELECT count(*) FROM dead"),
        0,
        "they go with their event"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn deliveries_of_a_removed_target_are_given_up_by_age() {
    let mut place = Place::new(&["gone", "app"]);
    let running = place.start();
    let first = running.request(1, b"{}").received_ms;
    for key in 1..=200 {
        running.admit(key, b"{}").await;
    }
    running.settle("gone", Seq(7), RETRY_AT_5);
    running.close().await;

    place.targets.remove(0);
    let running = place.start();
    let gone = running.target("gone");
    running.store.abandon(gone, first + 150);
    let given_up = running.heard.wait(|heard| {
        (heard.settled.len() == 150).then(|| {
            let named = |delivery: &Abandoned| {
                let (_, source) = delivery.event.as_ref().expect("its row is there");
                assert_eq!(&**source, "erp");
            };
            heard.abandoned.iter().for_each(named);
            assert_eq!(heard.abandoned.len(), 150);
            let mut seqs: Vec<_> = heard.settled.iter().map(|s| s.seq.0).collect();
            seqs.dedup();
            seqs
        })
    });
    assert_eq!(given_up, (1..=150).collect::<Vec<_>>());
    assert_eq!(running.fresh("gone").await.first(), Some(&151));
    assert_eq!(
        running.fresh("app").await.len(),
        200,
        "another target's stay"
    );
    running.close().await;
    let shell = place.shell();
    assert_eq!(
        count(&shell, "SELECT count(*) FROM dead WHERE reason = 'removed'"),
        150
    );
    assert_eq!(count(&shell, "SELECT count(*) FROM due"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_oldest_is_the_first_that_waits() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let app = running.target("app");
    assert_eq!(running.store.oldest(app).await, Ok(None));
    let first = running.admit(1, b"{}").await;
    running.admit(2, b"{}").await;
    let received = |key| running.request(key, b"").received_ms;
    assert_eq!(running.store.oldest(app).await, Ok(Some(received(1))));
    running.settle("app", first, RETRY_AT_5);
    assert_eq!(
        running.store.oldest(app).await,
        Ok(Some(received(1))),
        "a retry waits too"
    );
    running.settle("app", first, Outcome::Delivered);
    assert_eq!(running.store.oldest(app).await, Ok(Some(received(2))));
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_page_of_large_events_ends_early() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let large = vec![b'x'; 6 << 20];
    for key in 1..=4 {
        let seq = running.admit(key, &large).await;
        running.settle("app", seq, RETRY_AT_5);
    }
    for key in 5..=8 {
        running.admit(key, &large).await;
    }
    let app = running.target("app");
    let page = running.store.fresh(app, Seq(0), 100).await.expect("read");
    assert_eq!(numbers(&page), [5, 6, 7]);
    let (page, next) = running.due(app, 5, 100, &[]).await;
    assert_eq!((numbers(&page), next), (vec![1, 2, 3], Some(5)));
    // What is passed over takes no room in the page.
    let (page, next) = running.due(app, 5, 100, &[1, 2, 3]).await;
    assert_eq!((numbers(&page), next), (vec![4], None));
    let (page, next) = running.due(app, 5, 1, &[1, 3]).await;
    assert_eq!((numbers(&page), next), (vec![2], Some(5)));
    let (page, next) = running.due(app, 5, 100, &[1, 2, 3, 4]).await;
    assert_eq!((numbers(&page), next), (vec![], None), "nothing can come");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_exempted_event_gets_its_key_from_its_id() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let mut admission = running.admission(running.request(1, b"{}"));
    admission.key = None;
    admission.key_name = "erp-before".into();
    let answer = running.store.admit(admission).expect("taken");
    let id = answer.await.expect("answered").expect("stored");
    let page = running
        .store
        .fresh(running.target("app"), Seq(0), 1)
        .await
        .expect("read");
    let event = page[0].event.as_ref().expect("whole");
    assert_eq!(event.key, DedupeKey::of_exempt("erp-before", id));
    running.close().await;
}

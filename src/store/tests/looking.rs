//! What operators see: pages, single events, attempts, history.

use super::*;

fn numbers_of(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.seq.0).collect()
}

fn query() -> Query {
    Query {
        limit: 100,
        ..Query::default()
    }
}

async fn browse(running: &Running, query: Query) -> Vec<u64> {
    let page = running.store.browse(query).await.expect("read");
    assert_eq!(page.cursor, None, "one page holds all");
    numbers_of(&page)
}

/// Settles with an attempt, and waits until that is durable.
fn attempted(running: &Running, target: &str, seq: Seq, outcome: Outcome, record: AttemptRecord) {
    let before = running.heard.state.lock().settled.len();
    running.store.settle(Settlement {
        target: running.target(target),
        seq,
        was_due_ms: None,
        bytes: 0,
        outcome,
        replay: 0,
        lane: None,
        attempt: Some(Box::new(record)),
    });
    running
        .heard
        .wait(|heard| (heard.settled.len() > before).then_some(()));
}

fn attempt(attempt: u32, status: Option<u16>, answer: &'static str) -> AttemptRecord {
    AttemptRecord {
        attempt,
        at_ms: 1_000 * u64::from(attempt),
        took_ms: 7,
        status,
        error: status.is_none().then(|| "timeout".to_owned()),
        answer: Bytes::from_static(answer.as_bytes()),
    }
}

/// Events 1 to 6 for `a` and `b`: 1 is delivered, 2 waits at `a`, 3 is dead at `b`, 4 waits for a retry at `b`, 5 and 6
/// wait at both.
async fn filled(place: &Place) -> Running {
    let running = place.start();
    for key in 1..=6 {
        running
            .admit(key, &vec![b'x'; usize::try_from(key).expect("small")])
            .await;
    }
    for (seq, target, outcome) in [
        (1, "a", Outcome::Delivered),
        (1, "b", Outcome::Delivered),
        (2, "b", Outcome::Delivered),
        (3, "a", Outcome::Delivered),
        (3, "b", EXPIRED),
        (4, "a", Outcome::Delivered),
        (4, "b", RETRY_AT_5),
    ] {
        running.settle(target, Seq(seq), outcome);
    }
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn events_are_found_by_where_they_stand() {
    let place = Place::new(&["a", "b"]);
    let running = filled(&place).await;
    let (a, b) = (Some(running.target("a")), Some(running.target("b")));
    let cases: [(Option<State>, Option<TargetId>, &[u64]); 10] = [
        (None, None, &[6, 5, 4, 3, 2, 1]),
        (None, b, &[6, 5, 4, 3, 2, 1]),
        (None, Some(TargetId(900)), &[]),
        (Some(State::Pending), None, &[6, 5, 4, 2]),
        (Some(State::Pending), a, &[6, 5, 2]),
        (Some(State::Pending), b, &[6, 5, 4]),
        (Some(State::Dead), None, &[3]),
        (Some(State::Dead), a, &[]),
        (Some(State::Delivered), None, &[1]),
        (Some(State::Delivered), a, &[4, 3, 1]),
    ];
    for (state, target, expected) in cases {
        let query = Query {
            target,
            state,
            ..query()
        };
        assert_eq!(
            browse(&running, query).await,
            expected,
            "{state:?} {target:?}"
        );
    }
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn events_are_found_by_what_they_are() {
    let place = Place::new(&["a", "b"]);
    let running = filled(&place).await;
    let received = |key| running.request(key, b"").received_ms;
    let source = running.sources[0].id;
    let all: &[u64] = &[6, 5, 4, 3, 2, 1];
    let cases: [(Query, &[u64]); 9] = [
        (
            Query {
                source: Some(source),
                ..query()
            },
            all,
        ),
        (
            Query {
                source: Some(SourceId(900)),
                ..query()
            },
            &[],
        ),
        (
            Query {
                event_type: Some("order.*".into()),
                ..query()
            },
            all,
        ),
        (
            Query {
                event_type: Some("invoice.*".into()),
                ..query()
            },
            &[],
        ),
        (
            Query {
                from_ms: Some(received(4)),
                ..query()
            },
            &[6, 5, 4],
        ),
        (
            Query {
                to_ms: Some(received(4)),
                ..query()
            },
            &[3, 2, 1],
        ),
        (
            Query {
                seqs: Some(vec![Seq(2), Seq(77), Seq(5)]),
                ..query()
            },
            &[5, 2],
        ),
        (
            Query {
                seqs: Some(Vec::new()),
                ..query()
            },
            &[],
        ),
        (
            Query {
                cursor: Some(Seq(3)),
                ..query()
            },
            &[2, 1],
        ),
    ];
    for (query, expected) in cases {
        let shown = format!("{query:?}");
        assert_eq!(browse(&running, query).await, expected, "{shown}");
    }
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_summary_says_where_an_event_stands() {
    let place = Place::new(&["a", "b"]);
    let running = filled(&place).await;
    let seqs = Some(vec![Seq(3), Seq(4)]);
    let page = running
        .store
        .browse(Query { seqs, ..query() })
        .await
        .expect("read");
    let [retried, dead] = &page.events[..] else {
        panic!("{page:?}");
    };
    assert_eq!((retried.body_bytes, retried.replays), (4, 0));
    assert_eq!(
        (&*retried.source, retried.event_type.as_deref()),
        ("erp", Some("order.created"))
    );
    let at_b = &retried.deliveries[1];
    assert_eq!((&*at_b.target_name, at_b.state), ("b", State::Pending));
    assert_eq!((at_b.attempts, at_b.due_ms), (1, Some(5)));
    let at_b = &dead.deliveries[1];
    assert_eq!((at_b.state, at_b.reason), (State::Dead, Some("expired")));
    assert_eq!(at_b.attempts, 3);
    assert!(at_b.dead_ms.is_some());
    assert_eq!(dead.deliveries[0].state, State::Delivered);
    assert_eq!(
        EventId::parse(&dead.id.to_string(), running.store.tag()),
        Some(Seq(3))
    );
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_follow_each_other_to_the_end() {
    let place = Place::new(&["a", "b"]);
    let running = filled(&place).await;
    for state in [None, Some(State::Pending)] {
        let mut cursor = None;
        let mut pages = Vec::new();
        loop {
            let query = Query {
                state,
                cursor,
                limit: 2,
                ..Query::default()
            };
            let page = running.store.browse(query).await.expect("read");
            assert!(page.scanned <= 3, "{page:?}");
            pages.push(numbers_of(&page));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let expected: &[&[u64]] = match state {
            None => &[&[6, 5], &[4, 3], &[2, 1]],
            Some(_) => &[&[6, 5], &[4, 2]],
        };
        assert_eq!(pages, expected);
    }
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_page_looks_at_a_bounded_number_of_rows() {
    let place = Place::new(&["a"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    running.close().await;
    // The same row twelve thousand times, with a type that is asked for only in the oldest.
    place
        .shell()
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 12001) \
             INSERT INTO events SELECT i, source, received_ms + i, 'other', key, targets, crc, secret_header, secret_name, \
             headers, body FROM n, events WHERE seq = 1",
        )
        .expect("made");
    let running = place.start();
    let mut cursor = None;
    let mut found = Vec::new();
    let mut pages = 0;
    loop {
        let event_type = Some("order.*".into());
        let query = Query {
            event_type,
            cursor,
            ..query()
        };
        let page = running.store.browse(query).await.expect("read");
        assert!((1..=10_000).contains(&page.scanned), "{}", page.scanned);
        found.extend(numbers_of(&page));
        pages += 1;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, [1]);
    assert!(pages > 1, "more rows than one page looks at");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_event_is_shown_with_every_attempt_that_is_kept() {
    let mut place = Place::new(&["app"]);
    place.store.attempts = 3;
    let running = place.start();
    let seq = running.admit(1, b"{\"a\":1}").await;
    for number in 1..=4 {
        let retry = Outcome::Retry {
            attempts: number,
            due_ms: 5,
        };
        attempted(
            &running,
            "app",
            seq,
            retry,
            attempt(number, Some(500), "no"),
        );
    }
    attempted(
        &running,
        "app",
        seq,
        Outcome::Delivered,
        attempt(5, None, ""),
    );
    let detail = running
        .store
        .detail(seq)
        .await
        .expect("read")
        .expect("there");
    assert!(!detail.damaged);
    assert_eq!(&detail.event.body[..], b"{\"a\":1}");
    assert_eq!(detail.event.headers.get_all("x-multi").iter().count(), 2);
    let shown: Vec<_> = detail
        .attempts
        .iter()
        .map(|a| (a.attempt, a.status, a.error.as_deref(), &a.answer[..]))
        .collect();
    assert_eq!(
        shown,
        [
            (3, Some(500), None, &b"no"[..]),
            (4, Some(500), None, b"no"),
            (5, None, Some("timeout"), b""),
        ]
    );
    assert_eq!(
        (&*detail.attempts[0].target, detail.attempts[0].took_ms),
        ("app", 7)
    );
    assert_eq!(detail.summary.deliveries[0].attempts, 5);
    assert!(running.store.detail(Seq(77)).await.expect("read").is_none());
    // Attempts of a replay take the place of the oldest.
    let targets = Vec::new();
    let replay = vec![Command::Replay { seq, targets }];
    running.store.steer(replay).await.expect("replayed");
    running.store.settle(Settlement {
        target: running.target("app"),
        seq,
        was_due_ms: None,
        bytes: 0,
        outcome: Outcome::Delivered,
        replay: 1,
        lane: None,
        attempt: Some(Box::new(attempt(1, Some(200), "yes"))),
    });
    running
        .heard
        .wait(|heard| (heard.settled.len() == 6).then_some(()));
    let detail = running
        .store
        .detail(seq)
        .await
        .expect("read")
        .expect("there");
    let mut kept: Vec<_> = detail
        .attempts
        .iter()
        .map(|a| (a.replay, a.attempt))
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, [(0, 4), (0, 5), (1, 1)]);
    assert_eq!(detail.summary.replays, 1);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_attempts_are_kept_where_none_are_asked_for() {
    let mut place = Place::new(&["app"]);
    place.store.attempts = 0;
    let running = place.start();
    let seq = running.admit(1, b"{}").await;
    attempted(
        &running,
        "app",
        seq,
        Outcome::Delivered,
        attempt(1, Some(200), "ok"),
    );
    running.close().await;
    assert_eq!(count(&place.shell(), "SELECT count(*) FROM attempts"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_event_is_shown_as_such() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let seq = running.admit(1, b"{\"a\":1}").await;
    running.close().await;
    place
        .shell()
        .execute_batch("UPDATE events SET body = CAST('{\"a\":2}' AS BLOB)")
        .expect("changed");
    let running = place.start();
    let detail = running
        .store
        .detail(seq)
        .await
        .expect("read")
        .expect("there");
    assert!(detail.damaged);
    assert_eq!(&detail.event.body[..], b"{\"a\":2}", "what is there");
    let targets = Vec::new();
    let copied = running
        .store
        .steer(vec![Command::Copy { seq, targets }])
        .await;
    assert_eq!(
        copied,
        Ok(vec![Steered::Nothing("its stored payload is damaged")])
    );
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn history_outlives_the_payload_and_expires() {
    let mut place = Place::new(&["a", "b"]);
    place.store.retention = Duration::ZERO;
    place.store.history = Duration::from_hours(24);
    let running = place.start();
    assert!(running.store.keeps_history());
    let now_ms = crate::clock::unix_ms();
    for key in 1..=3 {
        let mut request = running.request(key, b"{}");
        request.received_ms = now_ms + key;
        let mut admission = running.admission(request);
        admission.vendor_id = Some(format!("evt_{key}").into());
        let answer = running.store.admit(admission).expect("taken");
        answer.await.expect("answered").expect("stored");
    }
    attempted(
        &running,
        "a",
        Seq(1),
        Outcome::Delivered,
        attempt(2, Some(204), ""),
    );
    attempted(&running, "b", Seq(1), EXPIRED, attempt(3, Some(500), "no"));
    for target in ["a", "b"] {
        attempted(
            &running,
            target,
            Seq(2),
            Outcome::Delivered,
            attempt(1, Some(200), ""),
        );
    }
    let history = |query: HistoryQuery| running.store.history(HistoryQuery { limit: 10, ..query });
    let page = history(HistoryQuery::default()).await.expect("read");
    let seqs: Vec<_> = page.events.iter().map(|row| row.seq.0).collect();
    assert_eq!((seqs, page.cursor), (vec![3, 2, 1], None));
    let vendor_id = Some("evt_1".to_owned());
    let page = history(HistoryQuery {
        vendor_id,
        ..HistoryQuery::default()
    })
    .await
    .expect("read");
    let [row] = &page.events[..] else {
        panic!("{page:?}");
    };
    assert_eq!((row.seq, row.vendor_id.as_deref()), (Seq(1), Some("evt_1")));
    let mut handed: Vec<_> = row
        .handed
        .iter()
        .map(|h| (&*h.target, h.outcome, h.status, h.attempts))
        .collect();
    handed.sort_unstable();
    assert_eq!(
        handed,
        [
            ("a", "delivered", Some(204), 2),
            ("b", "expired", Some(500), 3)
        ]
    );
    let seq = Some(Seq(2));
    let page = history(HistoryQuery {
        seq,
        ..HistoryQuery::default()
    })
    .await
    .expect("read");
    assert_eq!(page.events.len(), 1);
    assert_eq!(page.events[0].handed.len(), 2);
    let limit = 2;
    let page = running.store.history(HistoryQuery {
        limit,
        ..HistoryQuery::default()
    });
    assert_eq!(page.await.expect("read").cursor, Some(Seq(2)));
    running.close().await;

    let running = place.start();
    running.close().await;
    let shell = place.shell();
    assert_eq!(count(&shell, "SELECT count(*) FROM history"), 3);
    shell
        .execute_batch("UPDATE history SET received_ms = received_ms - 90000000 WHERE seq < 3")
        .expect("changed");
    drop(shell);
    let running = place.start();
    running.admit(9, b"{}").await;
    wait_for(&place, "SELECT min(seq) FROM history", 3);
    running.close().await;
    let shell = place.shell();
    assert_eq!(count(&shell, "SELECT count(*) FROM handed"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn attempts_go_before_payloads_when_space_is_needed() {
    let mut place = Place::new(&["app"]);
    place.store.max_size_bytes = 8 << 20;
    let running = place.start();
    let body = vec![b'x'; 32 << 10];
    let mut key = 0;
    let mut settled = 0;
    // Delivered payloads and their attempts fill the store; then more events come than fit beside them.
    while count(&place.shell(), "SELECT count(*) FROM attempts") > 0 || key < 10 {
        key += 1;
        assert!(key < 10_000, "attempts never went");
        let Ok(_) = running.try_admit(running.request(key, &body)).await else {
            continue;
        };
        settled += 1;
        let outcome = Outcome::Retry {
            attempts: 1,
            due_ms: 5,
        };
        if settled < 20 {
            attempted(
                &running,
                "app",
                Seq(settled),
                outcome,
                attempt(1, Some(500), "no"),
            );
        }
    }
    let shell = place.shell();
    let waiting = count(&shell, "SELECT count(*) FROM deliveries");
    let stored = count(&shell, "SELECT count(*) FROM events");
    assert_eq!(waiting, stored, "what waits is never dropped");
    running.close().await;
}

//! What is acknowledged is there after a restart and after a crash, under the same numbers.

use super::*;

fn keys(opened: &Opened) -> Vec<(u64, Kind)> {
    let mut keys = Vec::new();
    opened
        .for_each_key(|key| keys.push((key.seq.0, key.kind)))
        .expect("read");
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_event_is_the_same_after_a_restart() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let body: Vec<u8> = (0..=255).cycle().take(30_000).collect();
    let seq = running.admit(7, &body).await;
    let before = running
        .heard
        .wait(|heard| heard.admitted.first().cloned())
        .1;
    running.close().await;

    let opened = place.open();
    let mut remembered = Vec::new();
    opened
        .for_each_key(|key| remembered.push(key))
        .expect("read");
    assert_eq!(remembered.len(), 1);
    assert_eq!(remembered[0].seq, seq);
    assert_eq!(remembered[0].received_ms, before.received_ms);
    assert_eq!(remembered[0].body_check, crc32fast::hash(&body));
    assert_eq!(remembered[0].source, opened.sources()[0].id);
    let (app, backlog) = &opened.targets()[0];
    assert_eq!((&*app.name, app.configured), ("app", true));
    assert_eq!(
        *backlog,
        Backlog {
            deliveries: 1,
            bytes: before.weight(),
            last: Some(seq),
            next_due_ms: None,
            give_up_after: Some(PATIENCE),
            ..Backlog::default()
        }
    );
    assert_eq!(
        opened.last_received().expect("read"),
        [(opened.sources()[0].id, before.received_ms)]
    );
    let running = Running::start(opened);
    let page = running
        .store
        .fresh(running.target("app"), Seq(0), 10)
        .await
        .expect("read");
    let after = page[0].event.as_ref().expect("whole");
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert_eq!((page[0].attempts, page[0].due_ms), (0, None));
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_acknowledged_survives_a_crash() {
    let place = Place::new(&["app"]);
    let running = place.start();
    // They are in the log alone.
    let reader = place.reader();
    for key in 1..=5 {
        running.admit(key, b"{}").await;
    }
    let crashed = place.crashed();
    drop(reader);
    running.close().await;

    let opened = crashed.open();
    assert_eq!(
        keys(&opened),
        (1..=5).map(|seq| (seq, Kind::Event)).collect::<Vec<_>>()
    );
    let log = crashed.store.path.join("hookgate.db-wal");
    let log_bytes = std::fs::metadata(log).map_or(0, |log| log.len());
    assert_eq!(log_bytes, 0, "the log was checkpointed when opened");
    let running = Running::start(opened);
    assert_eq!(running.fresh("app").await, [1, 2, 3, 4, 5]);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn numbers_are_never_used_twice() {
    let mut place = Place::new(&["app"]);
    place.store.retention = Duration::ZERO;
    let running = place.start();
    for key in 1..=3 {
        let seq = running.admit(key, b"{}").await;
        running.settle("app", seq, Outcome::Delivered);
    }
    let forgotten = (1..=3).map(|seq| (Seq(seq), Kind::Event)).collect();
    running.store.forget(forgotten);
    wait_for(&place, "SELECT count(*) FROM events", 0);
    running.close().await;
    let shell = place.shell();
    for table in ["events", "keys", "deliveries", "settled"] {
        assert_eq!(
            count(&shell, &format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
    drop(shell);

    let running = place.start();
    assert_eq!(running.admit(4, b"{}").await, Seq(4));
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn keys_outlive_payloads_and_go_when_they_are_forgotten() {
    let mut place = Place::new(&["app"]);
    place.store.retention = Duration::ZERO;
    let running = place.start();
    for key in 1..=3 {
        let seq = running.admit(key, b"{}").await;
        running.settle("app", seq, Outcome::Delivered);
    }
    wait_for(&place, "SELECT count(*) FROM events", 0);
    running.close().await;
    let opened = place.open();
    assert_eq!(keys(&opened).len(), 3);
    let running = Running::start(opened);
    running
        .store
        .forget(vec![(Seq(2), Kind::Event), (Seq(3), Kind::Replay)]);
    running.close().await;
    assert_eq!(keys(&place.open()), [(1, Kind::Event), (3, Kind::Event)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_name_takes_over_what_waits() {
    let mut place = Place::new(&["old", "other"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    running.close().await;

    let mut renamed = target("new");
    renamed.replaces = Some("old".into());
    place.targets = vec![renamed];
    place.sources = vec![("erp2".into(), Some("erp".into()))];
    let running = place.start();
    assert_eq!(running.fresh("new").await, [1]);
    let names: Vec<_> = running
        .targets
        .iter()
        .map(|(known, backlog)| (&*known.name, known.configured, backlog.deliveries))
        .collect();
    assert_eq!(names, [("new", true, 1), ("other", false, 1)]);
    let page = running
        .store
        .fresh(running.target("new"), Seq(0), 1)
        .await
        .expect("read");
    assert_eq!(
        &*page[0].event.as_ref().expect("whole").source,
        "erp2",
        "under the source's new name"
    );
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_is_there_takes_over_what_waits_for_another() {
    let mut place = Place::new(&["a", "b", "c"]);
    let running = place.start();
    for key in 1..=5 {
        running.admit(key, b"{}").await;
    }
    running.settle("a", Seq(1), RETRY_AT_5);
    running.settle("a", Seq(2), RETRY_AT_5);
    running.settle("b", Seq(2), Outcome::Delivered);
    running.settle("b", Seq(3), Outcome::Delivered);
    running.settle("a", Seq(4), EXPIRED);
    running.settle("b", Seq(5), EXPIRED);
    running.close().await;

    place.targets.remove(0);
    place.targets[0].replaces = Some("a".into());
    for _ in 0..2 {
        let opened = place.open();
        let names: Vec<_> = opened
            .targets()
            .iter()
            .map(|(known, backlog)| (&*known.name, backlog.deliveries, backlog.dead))
            .collect();
        assert_eq!(names, [("b", 5, 0), ("c", 5, 0)]);
    }
    let running = place.start();
    assert_eq!(running.fresh("b").await, [1, 3, 4, 5]);
    let (page, next) = running.due(running.target("b"), 5, 10, &[]).await;
    assert_eq!((numbers(&page), next), (vec![2], None));
    // An event is through only when its heir has it too, under whatever name the event knows it.
    for seq in [2, 3] {
        running.settle("c", Seq(seq), Outcome::Delivered);
    }
    running.settle("b", Seq(3), Outcome::Delivered);
    running.close().await;
    let shell = place.shell();
    assert_eq!(count(&shell, "SELECT sum(seq) FROM settled"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_source_that_is_there_takes_over_the_keys_of_another() {
    let mut place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    running.close().await;
    place.sources = vec![("new".into(), None)];
    drop(place.open());
    place.sources = vec![("new".into(), Some("erp".into()))];
    let opened = place.open();
    let new = opened.sources()[0].clone();
    assert_eq!((&*new.name, opened.sources().len()), ("new", 1));
    let mut owners = Vec::new();
    let each = |key: crate::dedupe::Remembered| owners.push(key.source);
    opened.for_each_key(each).expect("read");
    assert_eq!(owners, [new.id]);
    assert_eq!(opened.last_received().expect("read").len(), 1);
    let running = Running::start(opened);
    let app = running.target("app");
    let page = running.store.fresh(app, Seq(0), 1).await.expect("read");
    let event = page[0].event.as_ref().expect("whole");
    assert_eq!(&*event.source, "new");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn secret_and_tag_stay_with_the_store() {
    let place = Place::new(&["app"]);
    let opened = place.open();
    let (secret, tag) = (*opened.secret(), opened.tag());
    assert_ne!(secret, [0; 32]);
    assert_eq!(tag.0 >> 34, 0);
    drop(opened);
    let opened = place.open();
    assert_eq!((*opened.secret(), opened.tag()), (secret, tag));
    assert_ne!(Place::new(&[]).open().tag(), tag, "another store's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_last_door_that_is_dropped_closes_the_store() {
    let place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    let alive = running.store.0.alive.clone();
    drop(running);
    tokio::time::timeout(PATIENCE, alive.closed())
        .await
        .expect("all threads end");
    assert_eq!(keys(&place.open()), [(1, Kind::Event)]);
}

//! Damage, locks, full disks: refused, survived or stopped for, and never made worse.

use super::*;
use crate::store::schema;

fn why(place: &Place) -> String {
    place.try_open().expect_err("does not open").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_that_are_not_ours_are_refused_and_left_alone() {
    let cases = [
        (
            "PRAGMA application_id = 99; CREATE TABLE t (a)",
            "another program's database",
        ),
        ("CREATE TABLE t (a)", "another program's database"),
    ];
    for (sql, expected) in cases {
        let place = Place::new(&[]);
        std::fs::create_dir(&place.store.path).expect("made");
        place.shell().execute_batch(sql).expect("run");
        let before = std::fs::read(place.database()).expect("read");
        let why = why(&place);
        assert!(why.contains(expected), "{why}");
        let after = std::fs::read(place.database()).expect("read");
        assert!(before == after, "{sql}");
        assert_eq!(count(&place.shell(), "SELECT count(*) FROM t"), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_not_a_database_is_refused_and_left_alone() {
    let place = Place::new(&[]);
    std::fs::create_dir(&place.store.path).expect("made");
    let text = b"Dear diary, today I lost an event.".repeat(100);
    std::fs::write(place.database(), &text).expect("written");
    let why = why(&place);
    assert!(why.contains("not a database"), "{why}");
    assert_eq!(std::fs::read(place.database()).expect("read"), text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn formats_and_damage_of_our_own_file_are_told_apart() {
    let cases = [
        (
            "UPDATE meta SET value = 9 WHERE name = 'format'; \
             UPDATE meta SET value = 9 WHERE name = 'min_reader'",
            Some("written by a later release (format 9, readable from 9 on; this one is 2)"),
        ),
        ("UPDATE meta SET value = 9 WHERE name = 'format'", None),
        (
            "DELETE FROM meta WHERE name = 'min_reader'",
            Some("table meta"),
        ),
        ("DELETE FROM meta WHERE name = 'secret'", Some("table meta")),
        (
            "UPDATE meta SET value = x'00' WHERE name = 'secret'",
            Some("table meta"),
        ),
        ("DROP TABLE keys", Some("damaged: no such table: keys")),
    ];
    for (sql, expected) in cases {
        let place = Place::new(&[]);
        drop(place.open());
        place.shell().execute_batch(sql).expect("run");
        if let Some(expected) = expected {
            let why = why(&place);
            assert!(why.contains(expected), "{why}");
        } else {
            // As the release that wrote it would have.
            schema::witness(&place.shell()).expect("witnessed");
            drop(place.open());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_database_that_was_never_finished_is_made_anew() {
    let place = Place::new(&["app"]);
    std::fs::create_dir(&place.store.path).expect("made");
    // What a crash leaves between the first page and the tables.
    let made = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL";
    place.shell().execute_batch(made).expect("run");
    let running = place.start();
    running.admit(1, b"{}").await;
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_gateway_a_directory() {
    let place = Place::new(&["app"]);
    let running = place.start();
    assert!(why(&place).ends_with("in use by another hookgate"));
    running.close().await;
    drop(place.open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    let mode = |path: &std::path::Path| {
        let metadata = std::fs::metadata(path).expect("exists");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&place.store.path), 0o700);
    let mut files = 0;
    for file in std::fs::read_dir(&place.store.path).expect("read") {
        let path = file.expect("read").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 4, "lock, database, its log and its index");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_event_is_none() {
    let place = Place::new(&["app"]);
    let running = place.start();
    for key in 1..=3 {
        running.admit(key, b"{\"amount\":199.00}").await;
    }
    running.settle("app", Seq(3), RETRY_AT_5);
    running.close().await;
    let shell = place.shell();
    let damage = "UPDATE events SET body = CAST('{\"amount\":999.00}' AS BLOB) WHERE seq = 1; \
                  DELETE FROM events WHERE seq = 3";
    shell.execute_batch(damage).expect("run");
    drop(shell);

    let running = place.start();
    let app = running.target("app");
    let page = running.store.fresh(app, Seq(0), 10).await.expect("read");
    assert_eq!(numbers(&page), [1, 2]);
    assert!(page[0].event.is_none(), "another body");
    assert!(page[1].event.is_some());
    let (page, _) = running.due(app, 5, 10, &[]).await;
    assert_eq!(numbers(&page), [3]);
    assert!(page[0].event.is_none(), "no row at all");
    for seq in [1, 3] {
        let outcome = Outcome::Dead {
            reason: DeadReason::Corrupt,
            attempts: 0,
        };
        running.settle("app", Seq(seq), outcome);
    }
    assert_eq!(running.fresh("app").await, [2]);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_error_that_nobody_can_judge_stops_everything() {
    let place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    place
        .shell()
        .execute_batch("DROP TABLE keys")
        .expect("dropped");
    let refused = running.try_admit(running.request(2, b"{}")).await;
    assert_eq!(refused, Err(NotStored::Unavailable));
    tokio::time::timeout(PATIENCE, running.store.poisoned())
        .await
        .expect("poisoned");
    assert!(running.store.is_poisoned());
    // The operator's repair comes too late for this handle.
    let repair = "CREATE TABLE keys (id INTEGER PRIMARY KEY, source INTEGER NOT NULL, \
                  received_ms INTEGER NOT NULL, hash BLOB NOT NULL, body_check INTEGER NOT NULL)";
    place.shell().execute_batch(repair).expect("made");
    let refused = running.try_admit(running.request(3, b"{}")).await;
    assert_eq!(refused, Err(NotStored::Unavailable));
    running.store.close(PATIENCE).await;
    let shell = place.shell();
    assert_eq!(count(&shell, "SELECT count(*) FROM events"), 1);
    assert_eq!(count(&shell, "SELECT count(*) FROM deliveries"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reader_that_fails_poisons_too() {
    let place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    let shell = place.shell();
    shell.execute_batch("DROP TABLE events").expect("dropped");
    let page = running
        .store
        .fresh(running.target("app"), Seq(0), 1)
        .await
        .map(|page| page.len());
    assert_eq!(page, Err(NotStored::Unavailable));
    assert!(running.store.is_poisoned());
    let refused = running.try_admit(running.request(2, b"{}")).await;
    assert_eq!(refused, Err(NotStored::Unavailable));
    running.store.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_disk_refuses_and_settlements_are_kept() {
    let place = Place::new(&["app"]);
    let opened = place.open();
    let limit = |pages: i64| format!("PRAGMA max_page_count = {pages}");
    opened
        .connection
        .query_row(&limit(64), [], |_| Ok(()))
        .expect("set");
    let running = Running::start(opened);
    let body = vec![b'x'; 100_000];
    let mut stored = 0;
    let refused = loop {
        match running.try_admit(running.request(stored + 1, &body)).await {
            Ok(_) => stored += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(refused, NotStored::Full);
    assert!(stored >= 2, "{stored} stored");
    assert!(!running.store.is_poisoned());
    // Settling goes on, and what is delivered makes room by itself.
    running.settle("app", Seq(1), Outcome::Delivered);
    running.settle("app", Seq(2), Outcome::Delivered);
    let until = Instant::now() + PATIENCE;
    let mut key = 100;
    while let Err(e) = running.try_admit(running.request(key, &body)).await {
        assert_eq!(e, NotStored::Full);
        assert!(Instant::now() < until, "it never takes again");
        key += 1;
        tokio::task::yield_now().await;
    }
    let waits = running.fresh("app").await;
    assert_eq!(
        waits.len() as u64,
        stored - 2 + 1,
        "only what is delivered is dropped"
    );
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_shell_that_holds_the_lock_is_waited_for() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let first = running.admit(1, b"{}").await;
    let shell = place.shell();
    shell.execute_batch("BEGIN IMMEDIATE").expect("begun");
    let started = Instant::now();
    running.store.settle(Settlement {
        target: running.target("app"),
        seq: first,
        was_due_ms: None,
        bytes: 0,
        outcome: Outcome::Delivered,
        replay: 0,
        lane: None,
        attempt: None,
    });
    let refused = running.try_admit(running.request(2, b"{}")).await;
    assert_eq!(refused, Err(NotStored::Unavailable));
    assert!(started.elapsed() >= recovery::BUSY_TIMEOUT, "it has waited");
    assert!(!running.store.is_poisoned());
    shell.execute_batch("ROLLBACK").expect("ended");
    running
        .heard
        .wait(|heard| (heard.settled.len() == 1).then_some(()));
    running.admit(3, b"{}").await;
    assert_eq!(running.fresh("app").await.len(), 1);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_shell_that_reads_stops_nobody() {
    let place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    let shell = place.shell();
    shell.execute_batch("BEGIN").expect("begun");
    assert_eq!(count(&shell, "SELECT count(*) FROM events"), 1);
    running.admit(2, b"{}").await;
    assert_eq!(
        count(&shell, "SELECT count(*) FROM events"),
        1,
        "a snapshot"
    );
    running.close().await;
    shell.execute_batch("COMMIT").expect("ended");
    assert_eq!(count(&shell, "SELECT count(*) FROM events"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_feed_that_panics_poisons_and_nobody_waits_for_ever() {
    struct Broken;
    impl Feed for Broken {
        fn admitted(&self, _: Destination, _: &Arc<Event>) {
            panic!("on purpose");
        }
        fn settled(&self, _: &[Settlement]) {}
        fn in_vain(&self, _: &[Settlement]) {}
        fn replayed(&self, _: TargetId, _: u64, _: u64) {}
        fn discarded(&self, _: &[Settlement]) {}
        fn hastened(&self, _: TargetId, _: u64) {}
        fn refused(&self, _: TargetId, _: &Arc<Event>) {}
        fn abandoned(&self, _: &[Abandoned]) {}
        fn forgotten(&self, _: TargetId, _: u64) {}
    }
    let place = Place::new(&["app"]);
    let mut running = place.start();
    running.store.close(PATIENCE).await;
    running.store = place.open().start(Arc::new(Broken), Metrics::new().store());
    running
        .try_admit(running.request(1, b"{}"))
        .await
        .expect("durable before the feed hears of it");
    tokio::time::timeout(PATIENCE, running.store.poisoned())
        .await
        .expect("poisoned");
    let refused = running.try_admit(running.request(2, b"{}")).await;
    assert_eq!(refused, Err(NotStored::Unavailable));
    running.store.close(PATIENCE).await;
}

//! The store stays within its bounds, and works on when it reaches them.

use super::*;

const KIB: usize = 1024;

/// Admits bodies of `bytes` until one is refused, and returns how many fitted.
async fn fill(running: &Running, from: u64, bytes: usize) -> u64 {
    let body = vec![b'x'; bytes];
    for key in from.. {
        match running.try_admit(running.request(key, &body)).await {
            Ok(_) => {}
            Err(NotStored::Full | NotStored::Backlog) => return key - from,
            Err(e) => panic!("{e}"),
        }
    }
    unreachable!("a store that never is full")
}

/// The same until nothing fits although the log, which counts too, is empty.
async fn fill_up(place: &Place, running: &Running, bytes: usize) -> u64 {
    let mut fitted = 0;
    for round in 1.. {
        let log_was_empty = log_bytes(place) == 0;
        let more = fill(running, 1_000_000 * round, bytes).await;
        fitted += more;
        if log_was_empty && more == 0 {
            return fitted;
        }
        tokio::task::yield_now().await;
    }
    unreachable!("a store that never is full")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_store_refuses_and_takes_again_once_deliveries_settle() {
    let mut place = Place::new(&["app"]);
    place.store.max_size_bytes = 16 << 20;
    let running = place.start();
    let fitted = fill_up(&place, &running, 64 * KIB).await;
    assert!((64..256).contains(&fitted), "{fitted} of 64 KiB in 16 MiB");
    let refused = fill(&running, 10_000, 64 * KIB).await;
    assert_eq!(refused, 0, "it stays full while nothing settles");
    // Nothing has expired, but what is delivered goes when space is needed.
    for seq in 1..=fitted / 2 {
        running.settle("app", Seq(seq), Outcome::Delivered);
    }
    let more = fill(&running, 20_000, 64 * KIB).await;
    assert!(
        more >= fitted / 4,
        "{more} more after half of {fitted} were delivered"
    );
    let waits = running.fresh("app").await;
    assert!(
        waits.starts_with(&[fitted / 2 + 1]),
        "what waits is never dropped"
    );
    assert_eq!(waits.len() as u64, fitted - fitted / 2 + more);
    let file = std::fs::metadata(place.database()).expect("exists").len();
    assert!(file <= 16 << 20, "{file} bytes");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn dead_letters_are_not_dropped_for_space() {
    let mut place = Place::new(&["app"]);
    place.store.max_size_bytes = 8 << 20;
    let running = place.start();
    let fitted = fill_up(&place, &running, 64 * KIB).await;
    for seq in 1..=fitted {
        running.settle("app", Seq(seq), EXPIRED);
    }
    assert_eq!(fill(&running, 10_000, 64 * KIB).await, 0);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_without_free_space_refuses() {
    let mut place = Place::new(&["app"]);
    place.store.min_free_bytes = u64::MAX / 2;
    let running = place.start();
    assert_eq!(fill(&running, 1, 10).await, 0);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_backlog_refuses_for_all_targets() {
    let mut place = Place::new(&["slow", "app"]);
    place.targets[0].max_backlog_bytes = 10 * KIB as u64;
    let running = place.start();
    assert_eq!(fill(&running, 1, 4 * KIB).await, 2);
    let why = running
        .try_admit(running.request(5, &[b'x'; 4 * KIB]))
        .await;
    assert_eq!(why, Err(NotStored::Backlog), "the store has room");
    assert_eq!(running.fresh("app").await, [1, 2]);
    running.settle("slow", Seq(1), Outcome::Delivered);
    assert_eq!(fill(&running, 10, 4 * KIB).await, 1, "room for one again");
    running.settle("slow", Seq(2), EXPIRED);
    running.close().await;
    let running = place.start();
    assert_eq!(fill(&running, 20, 4 * KIB).await, 1, "as counted from disk");
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_backlog_dead_letters_for_its_target_alone() {
    let mut place = Place::new(&["slow", "app"]);
    place.targets[0].max_backlog_bytes = 10 * KIB as u64;
    place.targets[0].when_full = WhenFull::DeadLetter;
    let running = place.start();
    for key in 1..=4 {
        running.admit(key, &[b'x'; 4 * KIB]).await;
    }
    assert_eq!(running.fresh("slow").await, [1, 2]);
    assert_eq!(running.fresh("app").await, [1, 2, 3, 4]);
    let slow = running.target("slow");
    let refused: Vec<_> = running.heard.wait(|heard| {
        (heard.refused.len() == 2).then(|| {
            let refused = heard.refused.iter();
            refused
                .map(|(target, event)| (*target, event.seq.0))
                .collect()
        })
    });
    assert_eq!(refused, [(slow, 3), (slow, 4)]);
    running.settle("app", Seq(3), Outcome::Delivered);
    let mut request = running.request(5, &[b'x'; 4 * KIB]);
    request.targets = vec![slow];
    running
        .try_admit(request)
        .await
        .expect("taken, though nobody gets it");
    running.close().await;
    let shell = place.shell();
    assert_eq!(
        count(&shell, "SELECT count(*) FROM dead WHERE reason = 'backlog'"),
        2,
        "as many as may wait"
    );
    let settled = "SELECT count(*) FROM settled WHERE class = 1 AND seq = 5";
    assert_eq!(count(&shell, settled), 1, "kept as a dead letter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_event_larger_than_the_backlog_passes_alone() {
    let mut place = Place::new(&["app"]);
    place.targets[0].max_backlog_bytes = 100;
    let running = place.start();
    assert_eq!(fill(&running, 1, KIB).await, 1);
    running.settle("app", Seq(1), Outcome::Delivered);
    assert_eq!(fill(&running, 10, KIB).await, 1);
    running.close().await;
}

/// Bytes of the log's file.
fn log_bytes(place: &Place) -> u64 {
    let log = place.store.path.join("hookgate.db-wal");
    std::fs::metadata(log).map_or(0, |log| log.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_log_is_bounded_under_a_writer_that_never_pauses() {
    let mut place = Place::new(&["app"]);
    // An eighth of it, 4 MiB, is the log's.
    place.store.max_size_bytes = 32 << 20;
    let running = place.start();
    let body = vec![b'x'; 16 * KIB];
    let mut most = 0;
    for round in 0..64 {
        let answers: Vec<_> = (0..32)
            .map(|n| {
                let request = running.request(round * 32 + n, &body);
                let answer = running.store.admit(running.admission(request));
                answer.expect("taken")
            })
            .collect();
        for answer in answers {
            answer.await.expect("answered").expect("stored");
        }
        for seq in round * 32 + 1..=round * 32 + 32 {
            running.store.settle(Settlement {
                target: running.target("app"),
                seq: Seq(seq),
                was_due_ms: None,
                bytes: 0,
                outcome: Outcome::Delivered,
                replay: 0,
                lane: None,
                attempt: None,
            });
        }
        most = most.max(log_bytes(&place));
    }
    assert!(most < 8 << 20, "{most} bytes of log after 32 MiB");
    assert!(most > 1 << 20, "{most} bytes: nothing was measured");
    running.close().await;
    assert_eq!(log_bytes(&place), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_idle_log_is_emptied() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let reader = place.reader();
    running.admit(1, b"{}").await;
    assert!(log_bytes(&place) > 0);
    drop(reader);
    let until = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while log_bytes(&place) > 0 {
        assert!(Instant::now() < until, "the log stays");
        tick.tick().await;
    }
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_in_flight_is_given_back_after_the_commit() {
    let place = Place::new(&["app"]);
    let running = place.start();
    running.admit(1, b"{}").await;
    assert_eq!(running.budget.used(), 0);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn dead_letters_of_one_target_fill_its_share_only() {
    let mut place = Place::new(&["dead", "app"]);
    place.targets[0].max_backlog_bytes = 10 * KIB as u64;
    let running = place.start();
    let dead = running.target("dead");
    for key in 1..=6 {
        running.admit(key, &[b'x'; 4 * KIB]).await;
        running.settle("dead", Seq(key), EXPIRED);
        if key != 2 {
            running.settle("app", Seq(key), Outcome::Delivered);
        }
    }
    running.heard.wait(|heard| {
        let gone: u64 = heard.forgotten.iter().map(|(_, count)| count).sum();
        assert!(heard.forgotten.iter().all(|(target, _)| *target == dead));
        (gone == 4).then_some(())
    });
    assert_eq!(running.fresh("app").await, [2], "wanted elsewhere");
    running.close().await;
    let shell = place.shell();
    let list = |sql: &str| -> String { shell.query_row(sql, [], |row| row.get(0)).expect(sql) };
    assert_eq!(list("SELECT group_concat(seq) FROM dead"), "5,6");
    assert_eq!(list("SELECT group_concat(seq) FROM events"), "2,5,6");
    assert_eq!(
        list("SELECT group_concat(class || ':' || seq) FROM settled"),
        "1:5,1:6",
        "nothing of the others is left"
    );
    drop(shell);
    // A lower bound counts for what is there.
    place.targets[0].max_backlog_bytes = 5 * KIB as u64;
    let running = place.start();
    let (_, found) = running.targets[0];
    assert_eq!(found.dead, 2);
    running.admit(7, b"{}").await;
    running
        .heard
        .wait(|heard| (heard.forgotten == [(dead, 1)]).then_some(()));
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_event_stays_as_long_as_one_dead_letter_of_it() {
    let mut place = Place::new(&["one", "two"]);
    place.targets[0].max_backlog_bytes = 5 * KIB as u64;
    let running = place.start();
    for key in 1..=2 {
        running.admit(key, &[b'x'; 4 * KIB]).await;
        running.settle("two", Seq(key), EXPIRED);
        running.settle("one", Seq(key), EXPIRED);
    }
    running
        .heard
        .wait(|heard| (heard.forgotten.len() == 1).then_some(()));
    running.close().await;
    let shell = place.shell();
    assert_eq!(count(&shell, "SELECT count(*) FROM events"), 2);
    assert_eq!(count(&shell, "SELECT count(*) FROM dead"), 3);
    assert_eq!(
        count(&shell, "SELECT count(*) FROM settled WHERE class = 1"),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn admissions_that_wait_are_bounded() {
    const WAITING_MAX: u64 = 4096 + 256;
    let place = Place::new(&["app"]);
    let running = place.start();
    // Made before: from the first on the writer waits for the lock, and not for ever.
    let admissions: Vec<_> = (0..=WAITING_MAX)
        .map(|key| running.admission(running.request(key, b"{}")))
        .collect();
    let shell = place.shell();
    shell.execute_batch("BEGIN IMMEDIATE").expect("begun");
    let mut answers = Vec::new();
    let mut refused = None;
    for admission in admissions {
        match running.store.admit(admission) {
            Ok(answer) => answers.push(answer),
            Err(why) => {
                refused = Some(why);
                break;
            }
        }
    }
    assert_eq!(refused, Some(NotStored::Overloaded), "more wait than may");
    shell.execute_batch("ROLLBACK").expect("ended");
    let taken = answers.len();
    for answer in answers {
        answer.await.expect("answered").expect("stored");
    }
    running.close().await;
    let shell = place.shell();
    assert_eq!(
        count(&shell, "SELECT count(*) FROM events"),
        i64::try_from(taken).expect("few")
    );
}

//! What operators do: replay, copy, discard, pause, hasten; and what the rest of the store makes of it.

use super::*;

/// Steers, and returns the one answer.
async fn steer(running: &Running, command: Command) -> Steered {
    let answers = running.store.steer(vec![command]).await.expect("steered");
    assert_eq!(answers.len(), 1);
    answers[0]
}

async fn replay(running: &Running, seq: Seq, targets: &[TargetId]) -> Steered {
    let targets = targets.to_vec();
    steer(running, Command::Replay { seq, targets }).await
}

async fn discard(running: &Running, seq: Seq, target: Option<TargetId>) -> Steered {
    let forget = false;
    steer(
        running,
        Command::Discard {
            seq,
            target,
            forget,
        },
    )
    .await
}

/// What is discarded already is forgotten too.
async fn forget(running: &Running, seq: Seq) -> Steered {
    let (target, forget) = (None, true);
    steer(
        running,
        Command::Discard {
            seq,
            target,
            forget,
        },
    )
    .await
}

const BURIED: Steered = Steered::Discarded {
    buried: 1,
    forgotten: 0,
};
const FORGOTTEN: Steered = Steered::Discarded {
    buried: 0,
    forgotten: 1,
};

const fn done(deliveries: usize) -> Steered {
    Steered::Done { deliveries }
}

/// Replays that are due now: number, attempts, replay.
async fn due_now(running: &Running, target: &str) -> Vec<(u64, u32, u32)> {
    let (page, _) = running
        .due(running.target(target), u64::MAX / 2, 100, &[])
        .await;
    page.iter()
        .map(|d| (d.seq.0, d.attempts, d.replay))
        .collect()
}

fn settlement(
    running: &Running,
    target: &str,
    seq: Seq,
    outcome: Outcome,
    replay: u32,
) -> Settlement {
    Settlement {
        target: running.target(target),
        seq,
        was_due_ms: None,
        bytes: 0,
        outcome,
        replay,
        lane: None,
        attempt: None,
    }
}

/// Settles a replay, and waits until that is durable.
fn settle_replay(running: &Running, target: &str, seq: Seq, outcome: Outcome, replay: u32) {
    let before = running.heard.state.lock().settled.len();
    running
        .store
        .settle(settlement(running, target, seq, outcome, replay));
    running
        .heard
        .wait(|heard| (heard.settled.len() > before).then_some(()));
}

/// What waits and what is dead, as the next start counts it.
fn backlogs(place: &Place) -> Vec<(u64, u64, u64, u64)> {
    let opened = place.open();
    let targets = opened.targets().iter();
    targets
        .map(|(_, b)| (b.deliveries, b.bytes, b.dead, b.dead_bytes))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_delivered_event_is_delivered_again_under_its_own_name() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let seq = running.admit(1, b"{}").await;
    running.settle("app", seq, Outcome::Delivered);
    let app = running.target("app");
    assert_eq!(replay(&running, seq, &[]).await, done(1));
    assert!(
        running.fresh("app").await.is_empty(),
        "it is no first delivery"
    );
    let (page, _) = running.due(app, u64::MAX / 2, 10, &[]).await;
    let delivery = &page[0];
    assert_eq!(
        (delivery.seq, delivery.attempts, delivery.replay),
        (seq, 0, 1)
    );
    assert_eq!(delivery.since_ms, delivery.due_ms);
    let admitted = running
        .heard
        .wait(|heard| heard.admitted.first().cloned())
        .1;
    let event = delivery.event.as_ref().expect("whole");
    assert_eq!((event.id, event.key), (admitted.id, admitted.key));
    let heard = running.heard.wait(|heard| heard.replayed.first().copied());
    assert_eq!(
        heard,
        (app, admitted.weight(), delivery.due_ms.expect("due"))
    );
    assert_eq!(
        replay(&running, seq, &[]).await,
        Steered::Nothing("it waits there already")
    );
    settle_replay(&running, "app", seq, Outcome::Delivered, 1);
    assert_eq!(replay(&running, seq, &[app]).await, done(1));
    assert_eq!(due_now(&running, "app").await, [(seq.0, 0, 2)]);
    running.close().await;
    assert_eq!(backlogs(&place), [(1, admitted.weight(), 0, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_dead_letter_is_replayed_and_is_dead_no_longer() {
    let place = Place::new(&["app", "other"]);
    let running = place.start();
    let seq = running.admit(1, b"{}").await;
    running.settle("app", seq, EXPIRED);
    running.settle("other", seq, Outcome::Delivered);
    let app = running.target("app");
    assert_eq!(replay(&running, seq, &[app]).await, done(1));
    running
        .heard
        .wait(|heard| (heard.forgotten == [(app, 1)]).then_some(()));
    running.close().await;
    let weight = backlogs(&place)[0].1;
    assert_eq!(backlogs(&place), [(1, weight, 0, 0), (0, 0, 0, 0)]);
    assert_eq!(count(&place.shell(), "SELECT count(*) FROM settled"), 0);
    let running = place.start();
    settle_replay(&running, "app", seq, EXPIRED, 1);
    running.close().await;
    assert_eq!(backlogs(&place), [(0, 0, 1, weight), (0, 0, 0, 0)]);
    assert_eq!(count(&place.shell(), "SELECT class FROM settled"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_event_goes_to_a_target_that_it_was_not_admitted_for() {
    let place = Place::new(&["app", "late"]);
    let running = place.start();
    let (app, late) = (running.target("app"), running.target("late"));
    let mut request = running.request(1, b"{}");
    request.targets = vec![app];
    running.try_admit(request).await.expect("stored");
    let seq = Seq(1);
    assert_eq!(replay(&running, seq, &[late]).await, done(1));
    // The first delivery ends as if it were the only one, but the replay waits still.
    running.settle("app", seq, Outcome::Delivered);
    assert_eq!(count(&place.shell(), "SELECT count(*) FROM settled"), 0);
    settle_replay(&running, "late", seq, Outcome::Delivered, 1);
    assert_eq!(count(&place.shell(), "SELECT count(*) FROM settled"), 1);
    assert_eq!(
        replay(&running, seq, &[]).await,
        done(1),
        "where it was admitted for"
    );
    assert_eq!(due_now(&running, "app").await, [(1, 0, 2)]);
    assert!(due_now(&running, "late").await.is_empty());
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn retention_never_deletes_what_a_replay_waits_for() {
    let place = Place::new(&["app"]);
    let running = place.start();
    for key in 1..=2 {
        let seq = running.admit(key, b"{}").await;
        running.settle("app", seq, Outcome::Delivered);
    }
    assert_eq!(replay(&running, Seq(1), &[]).await, done(1));
    running.close().await;
    age(&place, 3);
    let running = place.start();
    wait_for_expiry(&place);
    running.close().await;
    let left = |sql| count(&place.shell(), sql);
    assert_eq!(
        left("SELECT count(*) FROM events WHERE seq = 1"),
        1,
        "it waits"
    );
    assert_eq!(
        left("SELECT count(*) FROM events WHERE seq = 2"),
        0,
        "expired"
    );

    let running = place.start();
    settle_replay(&running, "app", Seq(1), Outcome::Delivered, 1);
    running.close().await;
    assert_eq!(
        left("SELECT count(*) FROM events WHERE seq = 1"),
        1,
        "kept from its new settlement"
    );
    age(&place, 3);
    let running = place.start();
    wait_for_expiry(&place);
    running.close().await;
    assert_eq!(left("SELECT count(*) FROM events WHERE seq = 1"), 0);
    assert_eq!(
        left("SELECT count(*) FROM replays"),
        0,
        "nothing is left of it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn replays_are_refused_with_a_reason() {
    let mut place = Place::new(&["app", "gone"]);
    let running = place.start();
    let (app, gone) = (running.target("app"), running.target("gone"));
    let seq = running.admit(1, &[b'x'; 4096]).await;
    running.settle("app", seq, Outcome::Delivered);
    running.settle("gone", seq, EXPIRED);
    running.admit(2, &[b'x'; 4096]).await;
    running.close().await;
    place.targets.remove(1);
    place.targets[0].max_backlog_bytes = 5_000;
    let running = place.start();
    let nothing = Steered::Nothing;
    assert_eq!(
        replay(&running, seq, &[gone]).await,
        nothing("target is not configured")
    );
    assert_eq!(
        replay(&running, seq, &[app]).await,
        nothing("as much waits for the target as may")
    );
    assert_eq!(replay(&running, Seq(77), &[]).await, Steered::NotFound);
    let nobody = TargetId(900);
    assert_eq!(
        replay(&running, seq, &[nobody]).await,
        nothing("target is not configured")
    );
    running.settle("app", Seq(2), Outcome::Delivered);
    assert_eq!(
        replay(&running, seq, &[]).await,
        done(1),
        "as far as it can"
    );
    let many = vec![Command::Hasten { target: app }; COMMANDS_MAX + 1];
    assert_eq!(running.store.steer(many).await, Err(NotStored::Overloaded));
    running.close().await;
    assert_eq!(
        place.open().targets()[1].1.dead,
        1,
        "the removed target keeps its dead letter"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_waits_is_discarded_and_a_dead_letter_is_forgotten() {
    let place = Place::new(&["a", "b"]);
    let running = place.start();
    let (a, b) = (running.target("a"), running.target("b"));
    let seq = running.admit(1, b"{}").await;
    running.settle("a", seq, RETRY_AT_5);
    assert_eq!(discard(&running, seq, Some(a)).await, BURIED);
    let heard = running.heard.wait(|heard| heard.discarded.first().cloned());
    assert_eq!((heard.target, heard.seq), (a, seq));
    assert!(matches!(
        heard.outcome,
        Outcome::Dead {
            reason: DeadReason::Discarded,
            attempts: 1
        }
    ));
    assert!(due_now(&running, "a").await.is_empty());
    assert_eq!(running.fresh("b").await, [1], "another target's stays");
    running.settle("b", seq, Outcome::Delivered);
    assert_eq!(
        discard(&running, seq, Some(b)).await,
        Steered::Nothing("it neither waits nor is a dead letter")
    );
    let shell = place.shell();
    assert_eq!(
        count(
            &shell,
            "SELECT count(*) FROM dead WHERE reason = 'discarded'"
        ),
        1
    );
    for target in [Some(a), None] {
        assert_eq!(
            discard(&running, seq, target).await,
            Steered::Nothing(DISCARDED_ALREADY),
            "the same command twice deletes nothing"
        );
    }
    assert_eq!(forget(&running, seq).await, FORGOTTEN);
    running
        .heard
        .wait(|heard| (heard.forgotten == [(a, 1)]).then_some(()));
    assert_eq!(count(&shell, "SELECT count(*) FROM dead"), 0);
    assert_eq!(
        count(&shell, "SELECT count(*) FROM events"),
        0,
        "nobody wants it"
    );
    assert_eq!(discard(&running, seq, None).await, Steered::NotFound);
    drop(shell);
    running.close().await;
    assert_eq!(backlogs(&place), [(0, 0, 0, 0); 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_attempt_of_a_discarded_delivery_settles_nothing() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let seq = running.admit(1, b"{}").await;
    assert_eq!(discard(&running, seq, None).await, BURIED);
    assert_eq!(replay(&running, seq, &[]).await, done(1));
    // The attempt that ran meanwhile ends: what waits now is another delivery.
    running
        .store
        .settle(settlement(&running, "app", seq, Outcome::Delivered, 0));
    let in_vain = running.heard.wait(|heard| heard.in_vain.first().cloned());
    assert_eq!(in_vain.seq, seq);
    assert!(running.heard.state.lock().settled.is_empty());
    assert_eq!(due_now(&running, "app").await, [(1, 0, 1)]);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_copy_is_an_event_of_its_own() {
    let place = Place::new(&["a", "b"]);
    let running = place.start();
    let (a, b) = (running.target("a"), running.target("b"));
    let body: Vec<u8> = (0..=255).collect();
    let mut request = running.request(1, &body);
    request.targets = vec![a];
    let original = running.try_admit(request).await.expect("stored");
    let targets = vec![b];
    let copied = steer(
        &running,
        Command::Copy {
            seq: Seq(1),
            targets,
        },
    )
    .await;
    let Steered::Copied { id } = copied else {
        panic!("{copied:?}");
    };
    assert_ne!(id, original);
    assert_eq!(running.fresh("a").await, [1]);
    let page = running.store.fresh(b, Seq(0), 10).await.expect("read");
    let event = page[0].event.as_ref().expect("whole");
    assert_eq!((event.id, event.seq), (id, Seq(2)));
    assert_eq!(event.key, DedupeKey::of_exempt("erp", id));
    assert_eq!(event.body, body);
    let heard = running.heard.wait(|heard| heard.admitted.get(1).cloned());
    assert_eq!((heard.0, heard.1.id), (b, id));
    assert_eq!(running.admit(2, b"{}").await, Seq(3), "numbers go on");
    let everywhere = Command::Copy {
        seq: Seq(3),
        targets: Vec::new(),
    };
    assert!(matches!(
        steer(&running, everywhere).await,
        Steered::Copied { .. }
    ));
    assert_eq!(running.fresh("a").await, [1, 3, 4]);
    let unknown = Command::Copy {
        seq: Seq(77),
        targets: Vec::new(),
    };
    assert_eq!(steer(&running, unknown).await, Steered::NotFound);
    running.close().await;
    let mut keys = 0;
    place.open().for_each_key(|_| keys += 1).expect("read");
    assert_eq!(keys, 2, "nobody sends a copy again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn copies_and_replays_keep_to_the_bounds_of_the_store() {
    let mut place = Place::new(&["app"]);
    let running = place.start();
    let seq = running.admit(1, b"{}").await;
    running.close().await;
    place.store.min_free_bytes = u64::MAX / 2;
    let running = place.start();
    let full = Steered::Nothing("store is full");
    let targets = Vec::new();
    assert_eq!(steer(&running, Command::Copy { seq, targets }).await, full);
    assert_eq!(replay(&running, seq, &[]).await, full);
    let discarded = discard(&running, seq, None).await;
    assert!(
        matches!(discarded, Steered::Discarded { .. }),
        "that takes no room: {discarded:?}"
    );
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pause_outlives_a_restart() {
    let place = Place::new(&["app"]);
    for paused in [true, false] {
        let running = place.start();
        let target = running.target("app");
        let answer = steer(&running, Command::Pause { target, paused }).await;
        assert_eq!(answer, done(0));
        running.close().await;
        assert_eq!(place.open().targets()[0].1.paused, paused);
    }
    let running = place.start();
    let target = TargetId(900);
    let answer = steer(
        &running,
        Command::Pause {
            target,
            paused: true,
        },
    )
    .await;
    assert_eq!(answer, Steered::NotFound);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn retries_are_hastened_once_each_in_slices() {
    const EVENTS: u64 = 600;
    let place = Place::new(&["app", "other"]);
    let running = place.start();
    let target = running.target("app");
    for key in 1..=EVENTS {
        running.admit(key, b"{}").await;
    }
    let far_ms = u64::MAX / 4;
    for seq in 1..EVENTS {
        for target in ["app", "other"] {
            let attempts = 2;
            let retry = Outcome::Retry {
                attempts,
                due_ms: far_ms,
            };
            running
                .store
                .settle(settlement(&running, target, Seq(seq), retry, 0));
        }
    }
    let all = usize::try_from(2 * (EVENTS - 1)).expect("few");
    running
        .heard
        .wait(|heard| (heard.settled.len() == all).then_some(()));
    let hastened = steer(&running, Command::Hasten { target }).await;
    assert_eq!(hastened, done(all / 2));
    let heard = running.heard.wait(|heard| heard.hastened.last().copied());
    assert_eq!(heard.0, target);
    let (page, next) = running.due(target, heard.1, 1_000, &[]).await;
    assert_eq!((page.len(), next), (all / 2, None));
    assert!(page.iter().all(|delivery| delivery.attempts == 2));
    assert_eq!(
        running.fresh("app").await,
        [EVENTS],
        "a first delivery is none"
    );
    let other = running.target("other");
    let (page, next) = running.due(other, heard.1, 1_000, &[]).await;
    assert_eq!(
        (page.len(), next),
        (0, Some(far_ms)),
        "another target's stay"
    );
    running.settle("app", Seq(7), Outcome::Delivered);
    running.close().await;
    let shell = place.shell();
    let orphans = "SELECT count(*) FROM due LEFT JOIN deliveries USING (target, due_ms, seq) WHERE fan IS NULL";
    assert_eq!(count(&shell, orphans), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_of_many_commands_is_answered_in_order() {
    let place = Place::new(&["app"]);
    let running = place.start();
    let mut commands = Vec::new();
    for key in 1..=200 {
        let seq = running.admit(key, b"{}").await;
        if key % 2 == 0 {
            running.settle("app", seq, Outcome::Delivered);
        }
        let targets = Vec::new();
        commands.push(Command::Replay { seq, targets });
    }
    let answers = running.store.steer(commands).await.expect("steered");
    for (number, answer) in (1..).zip(&answers) {
        let expected = if number % 2 == 0 {
            done(1)
        } else {
            Steered::Nothing("it waits there already")
        };
        assert_eq!(*answer, expected, "{number}");
    }
    assert_eq!(answers.len(), 200);
    assert_eq!(running.store.steer(Vec::new()).await, Ok(Vec::new()));
    running.close().await;
}

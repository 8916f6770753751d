//! What operators and limits do to the deliveries of one target: counts, never times.

use super::ops::{End, Op};
use super::scenarios::{announced, work};
use super::world::{Worker, World};
use super::{CONCURRENCY, LIMITS};
use crate::budget::Budget;
use crate::deliver::fixture::event;
use crate::deliver::scheduler::{Limits, Plan, Scheduler};
use crate::event::Seq;
use crate::store::Backlog;
use std::time::Duration;
use tokio::time::Instant;

/// Lets the reader and the writer do what they can.
pub(super) fn turn(world: &mut World) {
    loop {
        let mut busy = false;
        for op in [Op::Commit, Op::Announce, Op::Plan, Op::Arrive] {
            busy |= world.run(&op);
        }
        if !busy {
            return;
        }
    }
}

/// Attempts that run at the most when as many begin as may, and none ends.
pub(super) fn begun(world: &mut World) -> usize {
    loop {
        turn(world);
        if !world.run(&Op::Look(0)) {
            break;
        }
    }
    let busy = |(_, worker): &&(_, Worker)| matches!(worker, Worker::Busy(_));
    world.workers.iter().filter(busy).count()
}

#[test]
fn a_paused_target_takes_nothing_and_tells_who_waits() {
    let mut world = announced(100);
    assert_eq!(begun(&mut world), CONCURRENCY);
    world.run(&Op::Pause);
    assert_eq!(world.scheduler.state(), "paused");
    // What runs may finish.
    for _ in 0..CONCURRENCY {
        world.run(&Op::End(0, End::Refused(10)));
    }
    for _ in 0..10 {
        world.run(&Op::Admit);
        world.run(&Op::Pass(10_000));
        world.run(&Op::Hasten);
        assert_eq!(begun(&mut world), 0);
    }
    assert_eq!(world.rows.len(), 110, "all of them wait");
    let waits = world.scheduler.pending().deliveries;
    assert_eq!(waits, 110);
    assert!(world.run(&Op::Resume));
    assert_eq!(world.scheduler.state(), "closed");
    assert_eq!(begun(&mut world), CONCURRENCY);
    world.settle_down();
    world.assert_told_once();
}

/// The store says so at the start.
#[test]
fn a_pause_survives_a_restart() {
    let found = Backlog {
        deliveries: 3,
        bytes: 300,
        last: Some(Seq(3)),
        next_due_ms: Some(0),
        paused: true,
        ..Backlog::default()
    };
    let mut scheduler = Scheduler::new(Some(LIMITS), &found, Budget::new(u64::MAX));
    scheduler.start();
    let now = Instant::now();
    assert_eq!(scheduler.state(), "paused");
    assert!(matches!(scheduler.plan(5, now).0, Plan::Wait(None)));
    assert!(!scheduler.admitted(&event(4), 100, None));
    assert!(scheduler.resume() && scheduler.wants_reader());
    assert!(matches!(scheduler.plan(5, now).0, Plan::ReadFresh(_)));
}

#[test]
fn a_pause_keeps_what_the_breaker_knows() {
    let mut world = announced(100);
    work(&mut world, End::Failing);
    assert_eq!(world.scheduler.state(), "open");
    world.run(&Op::Pause);
    world.run(&Op::Pass(60_000));
    assert_eq!(begun(&mut world), 0);
    world.run(&Op::Resume);
    assert_eq!(begun(&mut world), 1, "a probe, no herd");
    world.settle_down();
}

#[test]
fn an_app_that_is_up_again_gets_one_two_four_at_a_time() {
    let wide = Limits {
        concurrency: 64,
        ..LIMITS
    };
    let mut world = World::limited(1_000, 10_000, usize::MAX, wide);
    turn(&mut world);
    work(&mut world, End::Failing);
    assert_eq!(world.scheduler.state(), "open");
    while world.run(&Op::Commit) || world.run(&Op::Announce) {}
    world.run(&Op::Pass(6_001));
    let mut rounds = Vec::new();
    for _ in 0..8 {
        let running = begun(&mut world);
        rounds.push(running);
        for _ in 0..running {
            world.run(&Op::End(0, End::Delivered));
        }
    }
    // The probe, and then what its answer lets in.
    assert_eq!(rounds, [1, 1, 2, 4, 8, 16, 32, 64]);
}

#[test]
fn hastened_retries_are_made_at_once() {
    let mut world = World::new(90, 10_000);
    world.wall_ms = 0;
    for (seq, row) in &mut world.rows {
        *row = (1, Some(30_000 + seq));
    }
    assert_eq!(begun(&mut world), 0, "none is due");
    world.run(&Op::Hasten);
    assert_eq!(work_all(&mut world), 90, "without waiting");
}

/// Delivers everything that can be taken without time passing.
fn work_all(world: &mut World) -> usize {
    turn(world);
    let before = world.rows.len();
    while begun(world) > 0 {
        world.run(&Op::End(0, End::Delivered));
    }
    turn(world);
    before - world.rows.len()
}

#[test]
fn an_app_that_is_down_is_asked_now_when_an_operator_says_so() {
    let mut world = announced(100);
    work(&mut world, End::Failing);
    turn(&mut world);
    assert_eq!((world.scheduler.state(), begun(&mut world)), ("open", 0));
    world.run(&Op::Hasten);
    assert_eq!(begun(&mut world), 1);
    assert_eq!(world.scheduler.state(), "half_open");
}

/// In paused time: a burst, and then evenly, however many workers there are and however much waits.
#[test]
fn attempts_begin_at_the_rate() {
    let rate = Some(crate::rate::Rate {
        count: 10,
        per: Duration::from_secs(1),
    });
    for concurrency in [1, 3, 64] {
        let limits = Limits {
            concurrency,
            rate,
            ..LIMITS
        };
        let mut world = World::limited(0, 10_000, usize::MAX, limits);
        world.run(&Op::Pass(1));
        for _ in 0..1_000 {
            world.run(&Op::Admit);
        }
        let mut taken = Vec::new();
        for _ in 0..600 {
            work_all(&mut world);
            taken.push(world.taken_ms.len());
            world.run(&Op::Pass(10));
        }
        assert_eq!(taken[0], 10, "{concurrency} workers: the burst");
        assert_eq!(
            taken[599],
            10 + 59,
            "{concurrency} workers: and 10 a second"
        );
        let steps = taken.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(steps.max() <= Some(1), "{concurrency} workers: evenly");
    }
}

/// One event that always fails burns its own attempts; the others go past it.
#[test]
fn a_poisoned_event_does_not_keep_the_breaker_open() {
    let mut world = announced(200);
    let poisoned = Seq(7);
    let mut attempts = 0;
    let mut opened = 0;
    for _ in 0..10_000 {
        turn(&mut world);
        world.run(&Op::Look(0));
        let is_poisoned =
            |worker: &Worker| matches!(worker, Worker::Busy(job) if job.seq == poisoned);
        if let Some(index) = world
            .workers
            .iter()
            .position(|(_, worker)| is_poisoned(worker))
        {
            // Of the busy ones, as `End` counts them.
            let busy = |(_, worker): &&(_, Worker)| matches!(worker, Worker::Busy(_));
            let nth = world.workers[..index].iter().filter(busy).count();
            world.run(&Op::End(nth, End::Failing));
            attempts += 1;
        } else {
            world.run(&Op::End(0, End::Delivered));
        }
        opened += usize::from(world.scheduler.state() != "closed");
        if world.rows.len() == 1 {
            break;
        }
    }
    assert_eq!(world.rows.len(), 1, "the others are delivered");
    assert_eq!(opened, 0, "it was never open");
    assert!(attempts > 0);
    // Left alone it opens the breaker, and the next event closes it.
    for _ in 0..20 {
        world.run(&Op::Pass(6_000));
        if begun(&mut world) > 0 {
            world.run(&Op::End(0, End::Failing));
            attempts += 1;
        }
    }
    assert_ne!(world.scheduler.state(), "closed");
    assert!(attempts >= 20, "{attempts}: it goes on burning its own");
    world.run(&Op::Admit);
    for _ in 0..3 {
        world.run(&Op::Pass(6_000));
        if begun(&mut world) > 0 {
            let fresh =
                |worker: &Worker| matches!(worker, Worker::Busy(job) if job.seq != poisoned);
            let is_fresh = world.workers.iter().any(|(_, worker)| fresh(worker));
            let end = if is_fresh {
                End::Delivered
            } else {
                End::Failing
            };
            world.run(&Op::End(0, end));
        }
    }
    assert_eq!(world.scheduler.state(), "closed", "within three probes");
}

//! Single stories in the model, each with a count that must come out: bounds, probes, turns, and what a stop lets go of.

use super::CONCURRENCY;
use super::ops::{End, Op};
use super::world::{Worker, World, tell_all};
use crate::deliver::breaker::{Ended, Reach};
use crate::deliver::fixture::event;
use crate::deliver::scheduler::Plan;
use crate::event::Seq;

/// A world in which `events` were announced.
pub(super) fn announced(events: u64) -> World {
    let mut world = World::new(0, 10_000);
    for _ in 0..events {
        world.run(&Op::Admit);
    }
    world.run(&Op::Commit);
    while world.run(&Op::Announce) {}
    world
}

/// Takes until nothing may be taken; ends every attempt so.
pub(super) fn work(world: &mut World, end: End) -> usize {
    let mut ended = 0;
    while world.run(&Op::Look(0)) || world.run(&Op::End(0, end)) {
        ended = world.settling.len();
    }
    ended
}

#[test]
fn unsettled_deliveries_are_bounded() {
    let mut world = announced(1_000);
    let bound = CONCURRENCY + 256;
    assert_eq!(work(&mut world, End::Delivered), bound);
    world.run(&Op::Commit);
    for _ in 0..10 {
        world.run(&Op::Announce);
    }
    assert_eq!(
        work(&mut world, End::Delivered),
        10,
        "as many as were settled"
    );
}

#[test]
fn an_app_that_is_not_there_gets_one_probe_at_a_time() {
    let mut world = announced(1_000);
    work(&mut world, End::Failing);
    let burnt = world.settling.len();
    assert!(burnt < 5 + CONCURRENCY, "{burnt} attempts");
    assert_eq!(world.scheduler.state(), "open");
    for probe in 0..20 {
        while world.run(&Op::Commit) || world.run(&Op::Announce) {}
        world.run(&Op::Pass(6_001));
        while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
        assert_eq!(work(&mut world, End::Failing), 1, "probe {probe}");
        assert_eq!(world.scheduler.state(), "open");
    }
    let retried = world
        .rows
        .values()
        .filter(|(attempts, _)| *attempts > 1)
        .count();
    let first = world
        .rows
        .values()
        .filter(|(attempts, _)| *attempts > 0)
        .count();
    assert!(
        retried > 1 && first > burnt,
        "probes take from both in turn"
    );
    world.settle_down();
    assert_eq!(world.scheduler.state(), "closed");
    world.assert_told_once();
}

#[test]
fn the_next_event_of_a_half_open_target_is_its_probe() {
    let mut world = World::new(0, 10_000);
    for _ in 0..5 {
        // As `passthrough` reports it: nothing of the store's is involved.
        let now = world.now();
        let ended = Ended {
            reach: Reach::Failing,
            probe: false,
            first: true,
        };
        world.scheduler.heard(ended, now);
    }
    world.run(&Op::Pass(6_001));
    while world.run(&Op::Plan) {}
    assert_eq!(world.scheduler.state(), "half_open");
    for _ in 0..3 {
        world.run(&Op::Admit);
    }
    world.run(&Op::Commit);
    while world.run(&Op::Announce) {}
    while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
    assert_eq!(work(&mut world, End::Unclear), 1);
    world.settle_down();
    world.assert_told_once();
}

#[test]
fn fresh_and_due_are_served_in_turn() {
    let mut world = World::new(120, 10_000);
    world.run(&Op::Plan);
    world.run(&Op::Arrive);
    world.run(&Op::Plan);
    world.run(&Op::Arrive);
    world.run(&Op::Plan);
    world.run(&Op::Arrive);
    let mut retries = Vec::new();
    while world.out.len() < 20 {
        world.run(&Op::Look(0));
        let busy = world.workers.iter().find_map(|(_, worker)| match worker {
            Worker::Busy(job) => Some(job.due_ms.is_some()),
            _ => None,
        });
        retries.extend(busy);
        world.run(&Op::End(0, End::Delivered));
    }
    let turns: Vec<bool> = (0..retries.len()).map(|nth| nth % 2 == 1).collect();
    assert_eq!(retries, turns);
}

/// Large retries whose attempts run, or wait for their commit, neither hide the others nor are read again.
#[test]
fn retries_that_are_out_cost_the_others_no_page() {
    let mut world = World::with_pages(180, 10_000, 1);
    let mut reads = 0;
    let mut idle = false;
    while !idle {
        idle = true;
        while world.run(&Op::Plan) {
            idle = false;
            if world.run(&Op::Arrive) {
                reads += 1;
            }
            assert!(reads < 200, "it reads without end");
        }
        while world.run(&Op::Look(0)) || world.run(&Op::End(0, End::Delivered)) {
            idle = false;
        }
    }
    assert_eq!(world.out.len(), 180, "all were attempted before any commit");
    assert!(reads < 60 + 10, "{reads} pages for 60 retries");
}

/// The reader waits for the queue to be empty: whatever empties it has to ring.
#[test]
fn discarding_the_last_queued_retry_holds_up_no_other() {
    let mut world = World::with_pages(12, 10_000, 1);
    while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
    for _ in 0..CONCURRENCY {
        world.run(&Op::Look(0));
        while world.run(&Op::Plan) && world.run(&Op::Arrive) {}
    }
    let queued = world
        .rows
        .iter()
        .position(|(seq, (_, due_ms))| due_ms.is_some() && !world.out.contains(&Seq(*seq)));
    world.run(&Op::Discard(queued.expect("one is queued, and more wait")));
    while world.run(&Op::Announce) {}
    world.settle_down();
}

#[test]
fn a_stop_lets_go_of_what_is_queued() {
    let mut world = announced(10);
    world.run(&Op::Look(0));
    let gone = world.scheduler.stop();
    assert_eq!(gone.len(), 9);
    tell_all(&gone);
    let now = world.now();
    assert!(matches!(world.scheduler.plan(0, now).0, Plan::Stop));
    assert!(world.scheduler.summon(|| now).is_none());
    world.run(&Op::End(0, End::Delivered));
    while world.run(&Op::Look(0)) {}
    assert!(
        world
            .workers
            .iter()
            .all(|(_, worker)| matches!(worker, Worker::Gone)),
        "workers leave"
    );
    assert!(
        !world.scheduler.admitted(&event(99), 1, None),
        "nothing is queued any more"
    );
    world.assert_told_once();
}

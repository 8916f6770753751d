//! The scheduler against a model of the store, its writer, the workers and the reader, in random interleavings:
//! commits are visible before they are announced, pages are read before they arrive, clocks jump, apps go away, and
//! operators pause and hasten, and configurations come and go.
//!
//! The law is here. `ops` are the things that happen, and in `world` they do; `scenarios`, `steered` and `outage` are single
//! stories in the same world.

mod ops;
mod outage;
mod scenarios;
mod steered;
mod world;

use super::scheduler::Limits;
use crate::config::target;
use crate::event::Lane;
use proptest::prelude::*;
use std::time::Duration;
use world::World;

const CONCURRENCY: usize = 3;
const LIMITS: Limits = Limits {
    concurrency: CONCURRENCY,
    rate: None,
    breaker: Some(target::Breaker {
        failures: 5,
        rate_percent: 100,
        min_attempts: 1_000,
        window: Duration::from_secs(30),
        hold: Duration::from_secs(5),
    }),
    delay_max: Duration::from_mins(1),
    ordered: false,
};

/// What an event waits in: a few lanes, and some events wait in none.
fn lane(seq: u64) -> Option<Lane> {
    let key = seq * 7 % 11 % 5;
    (key > 0).then_some(Lane(key))
}

proptest! {
    /// Everything is delivered, nothing is taken twice while it is unsettled, first attempts keep their order and
    /// each is reported once, no wake is lost; pauses, the rate and the ramp are kept, and with `order_by` each lane's
    /// order: nothing is attempted while another one of its lane waits before it.
    #[test]
    fn every_event_is_delivered_whatever_happens(
        backlog in 0u64..200,
        memory in prop_oneof![Just(0u64), Just(3), Just(10_000)],
        page_rows in prop_oneof![Just(1usize), Just(2), Just(usize::MAX)],
        rate in proptest::option::of(3u32..20),
        ordered in any::<bool>(),
        ops in proptest::collection::vec(ops::any_op(), 0..600),
    ) {
        let per = Duration::from_secs(1);
        let rate = rate.map(|count| crate::rate::Rate { count, per });
        let mut world = World::limited(backlog, memory, page_rows, Limits { rate, ordered, ..LIMITS });
        for op in &ops {
            world.run(op);
        }
        world.settle_down();
        world.assert_told_once();
    }
}

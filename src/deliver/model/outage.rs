//! A target that is down for long, in virtual time: what it is asked meanwhile, and what becomes of the events.

use super::CONCURRENCY;
use super::ops::{End, Op};
use super::steered::{begun, turn};
use super::world::World;

/// Events that come in each second of it.
const RATE: u64 = 3;

#[test]
fn an_hour_of_outage_costs_a_probe_every_few_seconds_and_no_event() {
    // Of what waits a fraction fits in memory.
    let mut world = World::new(0, 100);
    let hour_ms = 3_600_000;
    while world.passed_ms < hour_ms {
        if world.passed_ms.is_multiple_of(1_000) {
            for _ in 0..RATE {
                world.run(&Op::Admit);
            }
        }
        while begun(&mut world) > 0 {
            world.run(&Op::End(0, End::Failing));
        }
        world.run(&Op::Pass(250));
    }
    turn(&mut world);
    assert_ne!(world.scheduler.state(), "closed");
    let waiting = RATE * hour_ms / 1_000;
    assert_eq!(world.rows.len() as u64, waiting, "all of them wait");
    assert_eq!(world.scheduler.pending().deliveries, waiting);

    // What opened it, the first short holds, and then one probe in each hold, which is drawn up to a fifth shorter.
    let hold_ms = 5_000;
    let opening = 5 + CONCURRENCY as u64 + 6;
    let attempts = world.taken_ms.len() as u64;
    let most = opening + hour_ms / (hold_ms * 4 / 5);
    assert!(attempts <= most, "{attempts} attempts");
    let pauses = world.taken_ms.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = pauses.max().expect("many");
    assert!(longest <= hold_ms + 250, "{longest} ms without a probe");

    // It is up again: each event comes once, and none has to wait for an operator.
    world.settle_down();
    world.assert_told_once();
    assert_eq!(world.scheduler.state(), "closed");
    assert_eq!(world.taken_ms.len() as u64 - attempts, waiting);
    let took_ms = world.passed_ms - hour_ms;
    assert!(took_ms <= hold_ms + 2_000, "{took_ms} ms until the last");
}

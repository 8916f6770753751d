//! Very many events that wait: the memory they cost, the start with them, and the others that do not notice.
//! Long form: a million, `tests/torture/run pending`.

use crate::support::{App, Request, oracle::Oracle, process, torture};
use std::time::Instant;

/// Above an idle gateway, with a million keys among it.
const RESIDENT_MAX_KIB: u64 = 120 * 1024;

#[test]
fn many_events_that_wait_cost_little_and_hold_nobody_up() {
    let wanted = torture::length(10_000);
    let lone = App::start();
    let mut oracle = Oracle::new(100, "{ path: ./data, min_free: 1MiB }").beside(lone.url());
    let home = oracle.home();
    oracle.app.go_down();
    let gate = home.start();
    let idle = process::resident_kib(gate.pid());
    let load = oracle.load(8, 64);
    load.aim(Some(gate.public));
    let (begun, mut most) = (Instant::now(), idle);
    oracle.wait("all are acknowledged", || {
        most = most.max(process::resident_kib(gate.pid()));
        oracle.acknowledged() >= wanted
    });
    let took = begun.elapsed();
    load.aim(None);
    load.finish();
    assert_eq!(gate.send(&Request::new("/hooks/lone", "first")).status, 200);
    lone.wait_for(1);
    let (status, log) = gate.stop();
    assert!(status.success(), "{log}");

    let begun = Instant::now();
    oracle.new_epoch(&home);
    let gate = home.start();
    let start = begun.elapsed();
    let after = process::resident_kib(gate.pid());
    most = most.max(after);
    // The target is down, and everything else goes on.
    assert_eq!(
        gate.send(&Request::new("/hooks/lone", "second")).status,
        200
    );
    lone.wait_for(2);
    oracle.app.come_back();
    let begun = Instant::now();
    let verdict = oracle.judge(&gate, true);
    let drained = begun.elapsed();
    most = most.max(process::resident_kib(gate.pid()));
    let above = most.saturating_sub(idle);
    assert!(
        above <= RESIDENT_MAX_KIB,
        "{above} KiB above an idle gateway's {idle} KiB"
    );
    let text = format!(
        "{} waited; resident {idle} KiB idle, at most {above} KiB above; start {} ms; taken in {:.1} s, drained in {:.1} s; {verdict}",
        verdict.acknowledged,
        start.as_millis(),
        took.as_secs_f64(),
        drained.as_secs_f64()
    );
    torture::summary("pending", 0, &text);
}

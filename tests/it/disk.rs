//! Disks that fill up or fail under a gateway, with real filesystems: refused for now and resumed without anybody's
//! help where there is no room; stopped, and clean after a restart, where nobody knows what was written.

use crate::support::{mount::Mounted, oracle::Oracle, tools};
use std::process::Command;

const FULL: &str = r#"hookgate_unavailable_total{source="shop",reason="full"}"#;

#[test]
fn a_small_disk_fills_up_is_emptied_by_deliveries_and_takes_events_again() {
    let mut oracle = Oracle::new(4_000, "{ path: ./data, min_free: 4MiB }");
    let home = oracle.home();
    let Some(_disk) = Mounted::tmpfs(&home.path().join("data"), "24m") else {
        return;
    };
    let gate = home.start();
    oracle.app.go_down();
    let load = oracle.load(4, 4);
    load.aim(Some(gate.public));
    oracle.wait("the disk is full", || gate.metric(FULL) > 100.0);
    assert_eq!(gate.admin_get("/readyz").status, 200, "full is not unready");
    let waiting = oracle.acknowledged();
    assert!(waiting > 500, "{waiting} events of 4 kB in 20 MiB");
    oracle.app.come_back();
    oracle.wait("deliveries go on, and free what they settle", || {
        oracle.delivered() >= waiting
    });
    oracle.wait("admission resumes by itself", || {
        oracle.acknowledged() > waiting + 500
    });
    load.aim(None);
    load.finish();
    oracle.judge(&gate, true);
    assert!(gate.stop().0.success());
}

#[test]
fn a_disk_that_another_program_fills_is_waited_for() {
    let oracle = Oracle::new(4_000, "{ path: ./data, min_free: 1KiB, retention: 0s }");
    let home = oracle.home();
    let data = home.path().join("data");
    let Some(_disk) = Mounted::tmpfs(&data, "24m") else {
        return;
    };
    let gate = home.start();
    let load = oracle.load(4, 1);
    load.aim(Some(gate.public));
    oracle.wait("events are taken", || oracle.acknowledged() > 50);
    // To the last byte: what is left of a write is cut short, and then fails.
    let filler = data.join("filler");
    let _ = std::fs::write(&filler, vec![0; 64 << 20]);
    oracle.wait("events are refused", || gate.metric(FULL) > 100.0);
    assert_eq!(gate.admin_get("/readyz").status, 200, "full is not unready");
    std::fs::remove_file(&filler).expect("there");
    let before = oracle.acknowledged();
    oracle.wait("admission resumes by itself", || {
        oracle.acknowledged() > before + 50
    });
    load.aim(None);
    load.finish();
    oracle.judge(&gate, false);
    assert!(gate.stop().0.success());
}

/// What ext4 does after an error of the disk: from one moment on it only reads.
#[test]
fn a_filesystem_that_turns_read_only_stops_the_gateway_and_loses_nothing() {
    let mut oracle = Oracle::new(2_000, "{ path: ./data, min_free: 1MiB }");
    let home = oracle.home();
    let (image, data) = (home.path().join("image"), home.path().join("data"));
    let Some(disk) = Mounted::ext4(&image, &data, 64 << 20) else {
        return;
    };
    let gate = home.start();
    let load = oracle.load(4, 1);
    load.aim(Some(gate.public));
    oracle.wait("events are taken", || oracle.acknowledged() > 100);
    // While nothing is on its way: a sync that is under way at that moment may return 0 for what the kernel then
    // drops, and nobody can be protected from that.
    load.aim(None);
    let settled = || {
        let events = gate.metric(r#"hookgate_events_total{source="shop",result="accepted"}"#);
        events == f64::from(u32::try_from(oracle.acknowledged()).expect("few"))
            && gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
    };
    oracle.wait("all of it is answered and settled", settled);
    disk.remount("abort");
    load.aim(Some(gate.public));
    let (status, log) = gate.ended();
    load.aim(None);
    load.finish();
    assert_eq!(status.code(), Some(74), "{log}");
    assert!(log.contains("store failed"), "{log}");

    let Err((status, log)) = home.try_start() else {
        panic!("there is nothing to write to");
    };
    assert_eq!(status.code(), Some(74), "{log}");

    // What was never written is gone with the mount, as after a power loss.
    drop(disk);
    if !tools::has("e2fsck", &["-V"]) {
        return;
    }
    let checked = Command::new("e2fsck").arg("-fy").arg(&image).output();
    let checked = checked.expect("e2fsck runs").status.code();
    assert!(matches!(checked, Some(0 | 1)), "repaired: {checked:?}");
    let Some(_disk) = Mounted::ext4(&image, &data, 64 << 20) else {
        return;
    };
    oracle.new_epoch(&home);
    let gate = home.start();
    let is_unknown = |n: &u64| !gate.send(&oracle.order(*n)).is_duplicate();
    let acknowledged = oracle.acknowledgements();
    let unknown: Vec<u64> = acknowledged.iter().copied().filter(is_unknown).collect();
    let count = acknowledged.len();
    assert!(unknown.is_empty(), "of {count} acknowledged: {unknown:?}");
    oracle.judge(&gate, false);
    assert!(gate.stop().0.success());
}

//! A disk that fails: whatever call it is and whenever it comes, the store is poisoned, the process ends with 74,
//! and the next start has everything that was acknowledged. A full disk is no failing one.

use crate::support::{
    Gate, gate::Home, oracle::Oracle, strace, strace::Attached, tools, torture, wait_until,
};

/// Checkpoints often, and forgets what is delivered.
const STORE: &str = "{ path: ./data, max_size: 8MiB, min_free: 1MiB, retention: 0s }";

/// Events from some senders until the gateway has ended by itself.
#[track_caller]
fn ends_poisoned(oracle: &Oracle, gate: Gate, case: &str) {
    // A gateway that does not end fails the test in there: this names the case.
    eprintln!("{case}");
    let load = oracle.load(4, 2);
    load.aim(Some(gate.public));
    let (status, log) = gate.ended();
    load.aim(None);
    load.finish();
    assert_eq!(status.code(), Some(74), "{case}:\n{log}");
    assert!(
        log.contains("store failed: nothing is committed any more"),
        "{case}: it says so:\n{log}"
    );
}

/// Starts again where nothing fails, and judges.
#[track_caller]
fn starts_clean(oracle: &mut Oracle, home: &Home, case: &str) {
    oracle.new_epoch(home);
    let gate = home.start();
    let some: Vec<u64> = oracle
        .acknowledgements()
        .into_iter()
        .rev()
        .take(20)
        .collect();
    for n in some {
        let reply = gate.send(&oracle.order(n));
        assert!(reply.is_duplicate(), "{case}: {n} is known: {reply:?}");
    }
    oracle.judge(&gate, false);
    assert!(gate.stop().0.success(), "{case}");
}

#[test]
fn any_call_that_fails_poisons_ends_with_74_and_loses_nothing() {
    if !strace::is_there() {
        return;
    }
    let seed = torture::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let rounds = torture::length(1);
    let mut cases = 0;
    for _ in 0..rounds {
        for thread in [strace::WRITER, strace::CHECKPOINT] {
            // A sync or a write of the log by the writer, of log and database by who checkpoints.
            for call in ["fdatasync", "pwrite64"] {
                // A checkpoint comes once in some hundred commits: on a busy machine the eleventh would outlast the
                // test. Its second sync is that of the directory, whose error SQLite lets pass; the store has synced it
                // itself at its start.
                let nth = random.u8(match (thread, call) {
                    (strace::WRITER, _) => 2..12,
                    (_, "fdatasync") => 3..5,
                    _ => 2..4,
                });
                for when in ["1".to_owned(), "1+".to_owned(), nth.to_string()] {
                    let inject = format!("{call}:error=EIO:when={when}");
                    let case = format!("seed {seed}, {thread}, {inject}");
                    let mut oracle = Oracle::new(6_000, STORE);
                    let home = oracle.home();
                    let gate = home.start();
                    let (n, first) = oracle.next();
                    assert_eq!(gate.send(&first).status, 200, "{case}");
                    oracle.acknowledge(n);
                    let attached = Attached::to(&gate, thread, &inject);
                    ends_poisoned(&oracle, gate, &case);
                    drop(attached);
                    starts_clean(&mut oracle, &home, &case);
                    cases += 1;
                }
            }
        }
    }
    let text = format!("{cases} failures, each exit 74 and a clean restart with all acknowledged");
    torture::summary("io_errors", seed, &text);
}

#[test]
fn a_sync_that_fails_at_the_start_ends_it_with_74() {
    if !strace::is_there() {
        return;
    }
    let mut oracle = Oracle::new(6_000, STORE);
    for nth in 1..=6 {
        for call in ["fsync", "fdatasync"] {
            let home = oracle.home();
            // From then on none succeeds, in any thread: those of the start fail it, the writer's first the rest.
            let inject = format!("inject={call}:error=EIO:when={nth}+");
            let trace = format!("trace={call}");
            let failing = [
                "strace",
                "-D",
                "-f",
                "-o",
                "/dev/null",
                "-e",
                &trace,
                "-e",
                &inject,
            ];
            match home.try_start_wrapped(&failing) {
                Err((status, log)) => assert_eq!(status.code(), Some(74), "{inject}: {log}"),
                // Not as many were needed: nothing has failed.
                Ok(gate) if call == "fsync" => drop(gate),
                Ok(gate) => ends_poisoned(&oracle, gate, &inject),
            }
            starts_clean(&mut oracle, &home, &inject);
        }
    }
}

/// The kernel itself cuts a write short at the limit of a file's size, and fails the rest.
#[test]
fn a_short_write_poisons_and_loses_nothing() {
    if !tools::has("prlimit", &["--version"]) {
        return;
    }
    let seed = torture::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..torture::length(2) {
        let mut oracle = Oracle::new(2_000, "{ path: ./data, min_free: 1MiB }");
        let home = oracle.home();
        // Anywhere in a page, and in its header.
        let limit = format!("--fsize={}", 400_000 + random.u32(..20_000));
        let ignoring = [
            "prlimit",
            &limit,
            "sh",
            "-c",
            r#"trap "" XFSZ; exec "$0" "$@""#,
        ];
        let gate = home.start_wrapped(&ignoring);
        ends_poisoned(&oracle, gate, &format!("seed {seed}, {limit}"));
        assert!(oracle.acknowledged() > 0);
        starts_clean(&mut oracle, &home, &format!("seed {seed}, {limit}"));
    }
}

#[test]
fn a_full_disk_is_no_failing_one() {
    if !strace::is_there() {
        return;
    }
    for call in ["pwrite64:error=ENOSPC", "pwrite64:error=ENOSPC:when=2+3"] {
        let oracle = Oracle::new(2_000, STORE);
        let home = oracle.home();
        let gate = home.start();
        let load = oracle.load(4, 1);
        load.aim(Some(gate.public));
        oracle.wait("events are taken", || oracle.acknowledged() > 20);
        let full = Attached::to(&gate, strace::WRITER, call);
        wait_until("events are refused", || {
            gate.metric(r#"hookgate_unavailable_total{source="shop",reason="full"}"#) > 20.0
        });
        assert_eq!(gate.admin_get("/readyz").status, 200, "full is not unready");
        drop(full);
        let before = oracle.acknowledged();
        oracle.wait("admission resumes by itself", || {
            oracle.acknowledged() > before + 20
        });
        load.aim(None);
        load.finish();
        oracle.judge(&gate, false);
        assert!(gate.stop().0.success(), "{call}");
    }
}

//! The same load for long: neither memory nor files grow. Long form: ten minutes, `tests/torture/run soak`.

use crate::support::{Behaviour, oracle::Oracle, process, torture};
use std::time::{Duration, Instant};

/// One look at the process and its files, KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    resident: u64,
    database: u64,
    log: u64,
}

impl Look {
    /// The larger of both, each by itself.
    fn max(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            database: self.database.max(other.database),
            log: self.log.max(other.log),
        }
    }
}

#[test]
fn a_steady_load_leaves_memory_and_files_as_they_are() {
    let seconds = torture::length(8);
    let seed = torture::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    // Keys and payloads live for an eighth of the run: what is kept is level long before its half.
    let kept = (seconds / 8).max(1);
    let store = format!("{{ path: ./data, min_free: 1MiB, retention: {kept}s }}");
    let oracle = Oracle::new(800, &store).with(&format!("dedupe: {{ window: {kept}s }}"));
    let home = oracle.home();
    let gate = home.start();
    let load = oracle.load(8, 2);
    load.aim(Some(gate.public));
    let size = |name: &str| {
        let path = home.path().join("data").join(name);
        std::fs::metadata(path).map_or(0, |file| file.len() / 1024)
    };
    let begun = Instant::now();
    let mut quarters = [Look::default(); 4];
    while begun.elapsed() < Duration::from_secs(seconds) {
        // An app as they are: now and then it refuses for a moment.
        let refuses = random.u8(..10) == 0;
        oracle
            .app
            .behave(Behaviour::Status(if refuses { 500 } else { 200 }));
        std::thread::sleep(Duration::from_millis(100));
        let look = Look {
            resident: process::resident_kib(gate.pid()),
            database: size("hookgate.db"),
            log: size("hookgate.db-wal"),
        };
        let quarter =
            (begun.elapsed().as_millis() * 4 / u128::from(1000 * seconds)).min(3) as usize;
        quarters[quarter] = quarters[quarter].max(look);
    }
    load.aim(None);
    load.finish();
    oracle.app.behave(Behaviour::Status(200));
    let verdict = oracle.judge(&gate, true);
    let [_, second, _, last] = quarters;
    // A short run has not come to rest by its half.
    if torture::is_long() {
        let level = |before: u64, after: u64| after <= before + before / 5 + 16 * 1024;
        assert!(
            level(second.resident, last.resident),
            "{second:?}, {last:?}"
        );
        assert!(
            level(second.database, last.database),
            "{second:?}, {last:?}"
        );
        assert!(level(second.log, last.log), "{second:?}, {last:?}");
    }
    let text = format!("{seconds} s; KiB in each quarter, at most: {quarters:?}; {verdict}");
    torture::summary("soak", seed, &text);
    let (status, log) = gate.stop();
    assert!(status.success(), "{log}");
}

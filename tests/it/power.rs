//! Power loss: a device that forgets what was not synced, at every sync of a run and between. What was acknowledged
//! is there, and nothing damaged is forwarded.

use crate::support::{
    App, Behaviour, Gate,
    device::{Device, Leaves, Step, steps},
    gate::Home,
    oracle::{Oracle, body, order},
    sender::Connection,
    strace, torture, wait_until,
};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;

/// Its log is checkpointed every 256 KiB and starts over; payloads stay, so that each can be looked for.
const STORE: &str = "{ path: ./data, max_size: 8MiB, min_free: 1MiB }";

const BODY_BYTES: usize = 1_500;

/// A run whose every write is known.
struct Recorded {
    steps: Vec<Step>,
    /// Event numbers by id.
    numbers: HashMap<String, u64>,
}

/// A store that is used under a recorder.
struct Recording {
    oracle: Oracle,
    home: Home,
    numbers: Mutex<HashMap<String, u64>>,
    steps: Vec<Step>,
}

impl Recording {
    fn new() -> Self {
        let oracle = Oracle::new(BODY_BYTES, STORE);
        let home = oracle.home();
        Self {
            oracle,
            home,
            numbers: Mutex::default(),
            steps: Vec::new(),
        }
    }

    /// Runs a gateway with more options of strace; `work` ends it.
    fn run(&mut self, more: &[&str], work: impl FnOnce(&Self, Gate)) {
        let start = |recording: &Self, words: &[&str]| {
            let gate = recording.home.start_wrapped(words);
            let process = gate.pid();
            work(recording, gate);
            process
        };
        self.record(more, start);
    }

    /// Records the process that `start` has started under these words, and seen the end of.
    fn record(&mut self, more: &[&str], start: impl FnOnce(&Self, &[&str]) -> u32) {
        let trace = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = trace.path().to_str().expect("UTF-8").to_owned();
        let words = strace::recorder(&path, more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.oracle.new_epoch(&self.home);
        let process = start(self, &words);
        let read = || {
            let trace = std::fs::read(&path).expect("strace wrote it");
            String::from_utf8_lossy(&trace).into_owned()
        };
        wait_until("the trace is whole", || {
            let end = format!("{process} +++ ");
            read().lines().rev().take(20).any(|l| {
                let line: String = l.split_whitespace().collect::<Vec<_>>().join(" ");
                line.starts_with(&end)
            })
        });
        let data = self.home.path().join("data");
        self.steps = steps(&read(), &data, std::mem::take(&mut self.steps));
    }

    /// Sends events from a few connections at once.
    fn send(&self, gate: &Gate, senders: u64, each: u64) {
        std::thread::scope(|scope| {
            for _ in 0..senders {
                scope.spawn(|| {
                    let mut connection = Connection::open(gate.public);
                    for _ in 0..each {
                        let (n, request) = self.oracle.next();
                        match connection.try_send(&request) {
                            Ok(reply) if reply.status == 200 => self.note(reply.id(), n),
                            Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                            Err(_) => return,
                        }
                    }
                });
            }
        });
    }

    fn note(&self, id: String, n: u64) {
        self.numbers.lock().expect("not poisoned").insert(id, n);
        self.oracle.acknowledge(n);
    }

    fn end(self) -> Recorded {
        self.oracle.nothing_invented();
        let numbers = self.numbers.into_inner().expect("not poisoned");
        let told: HashSet<&String> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Answer(ids) => Some(ids),
                _ => None,
            })
            .flatten()
            .collect();
        assert!(
            numbers.keys().all(|id| told.contains(id)),
            "the trace has every answer"
        );
        Recorded {
            steps: self.steps,
            numbers,
        }
    }
}

impl Recorded {
    /// Crashes at every sync and answer, and at some moments between; each image is looked at, and every
    /// `by_gateway`th is given to a real gateway. Returns how many images there were, or what one of them lacks.
    fn crash_everywhere(
        &self,
        random: &mut fastrand::Rng,
        each: u64,
        by_gateway: usize,
    ) -> Result<usize, String> {
        let mut device = Device::default();
        let mut images = 0;
        for step in &self.steps {
            // Before it, everything since the last sync is at stake; after it, what it promises.
            let is_point = matches!(
                step,
                Step::Sync { .. } | Step::Answer(_) | Step::Truncate { .. }
            ) || random.u8(..16) == 0;
            let rounds = if is_point { each } else { 0 };
            for round in 0..rounds {
                let leaves = match round {
                    0 => Leaves::Nothing,
                    1 => Leaves::Prefix,
                    _ => Leaves::Any,
                };
                let place = tempfile::tempdir().expect("a directory");
                device.crash(&place.path().join("data"), leaves, random);
                self.look(&device, place.path())?;
                images += 1;
                if images % by_gateway == 0 {
                    self.start(&device, leaves, random)?;
                }
            }
            device.take(step);
        }
        self.start(&device, Leaves::Nothing, random)?;
        Ok(images)
    }

    fn answered(&self, device: &Device) -> HashSet<u64> {
        let numbers = |id| self.numbers.get(id).copied();
        device.answered.iter().filter_map(numbers).collect()
    }

    /// SQLite alone: whole, every event with its key and with what became of it, every acknowledged event there.
    fn look(&self, device: &Device, place: &Path) -> Result<(), String> {
        let answered = self.answered(device);
        let file = place.join("data/hookgate.db");
        let found = if file.exists() {
            events(&file).map_err(|error| {
                let files: Vec<_> = std::fs::read_dir(place.join("data"))
                    .expect("made")
                    .map(|entry| {
                        let entry = entry.expect("readable");
                        let length = entry.metadata().expect("there").len();
                        format!("{} of {length}", entry.file_name().display())
                    })
                    .collect();
                let acknowledged = answered.len();
                format!("{error}, with {acknowledged} acknowledged and the files {files:?}")
            })?
        } else {
            HashSet::new()
        };
        let lost: Vec<_> = answered.difference(&found).collect();
        if lost.is_empty() {
            Ok(())
        } else {
            Err(format!("acknowledged and lost: {lost:?}"))
        }
    }

    /// The real binary: it starts, knows every acknowledged event, and forwards nothing that was never sent.
    fn start(
        &self,
        device: &Device,
        leaves: Leaves,
        random: &mut fastrand::Rng,
    ) -> Result<(), String> {
        let app = App::start();
        let home = Home::new(&format!(
            "store: {STORE}\nsources:\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {}\n    \
             event: {{ id: json:/id }}\n    forward: app\ntargets:\n  app: {{ url: {} }}\n",
            crate::support::oracle::SECRET,
            app.url()
        ));
        device.crash(&home.path().join("data"), leaves, random);
        let gate = home.start();
        let mut connection = Connection::open(gate.public);
        for n in self.answered(device) {
            let reply = connection.send(&order(n, BODY_BYTES));
            if !reply.is_duplicate() {
                return Err(format!("acknowledged and forgotten: {n}: {reply:?}"));
            }
        }
        wait_until("what waited is delivered", || {
            gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
        });
        if gate.metric(r#"hookgate_dead_letters{target="app"}"#) > 0.0 {
            return Err("dead letters".to_owned());
        }
        for got in app.got() {
            let sent: serde_json::Value = serde_json::from_slice(&got.body)
                .map_err(|error| format!("forwarded what is no order: {error}"))?;
            let n = sent["id"].as_u64().ok_or("forwarded without an id")?;
            if got.body != body(n, BODY_BYTES) {
                return Err(format!("forwarded {n} with another body"));
            }
        }
        Ok(())
    }
}

/// The events of a database, by number; an error where it is not as a commit leaves it.
fn events(file: &Path) -> rusqlite::Result<HashSet<u64>> {
    let connection = rusqlite::Connection::open(file)?;
    let tables: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'events'",
        [],
        |row| row.get(0),
    )?;
    if tables == 0 {
        return Ok(HashSet::new());
    }
    let whole: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    assert_eq!(whole, "ok", "structure");
    let halves: i64 = connection.query_row(
        "SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT 1 FROM keys WHERE id >> 2 = e.seq) \
         OR NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.seq = e.seq \
                        UNION ALL SELECT 1 FROM settled s WHERE s.seq = e.seq)",
        [],
        |row| row.get(0),
    )?;
    assert_eq!(halves, 0, "an event without its key or its delivery");
    let mut bodies = connection.prepare("SELECT body FROM events")?;
    let bodies = bodies.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let mut found = HashSet::new();
    for bytes in bodies {
        let bytes = bytes?;
        let sent: serde_json::Value = serde_json::from_slice(&bytes).expect("an order");
        let n = sent["id"].as_u64().expect("an id");
        assert_eq!(bytes, body(n, BODY_BYTES), "byte for byte");
        found.insert(n);
    }
    Ok(found)
}

/// An ordinary life: events from several senders, the log checkpointed beside them, emptied when idle, written again.
fn live(recording: &Recording, gate: Gate) {
    let log = recording.home.path().join("data/hookgate.db-wal");
    let length = || std::fs::metadata(&log).map_or(0, |log| log.len());
    recording.send(&gate, 4, torture::length(12));
    wait_until("the idle log is emptied", || length() == 0);
    recording.send(&gate, 2, 10);
    gate.kill();
}

#[test]
fn what_was_acknowledged_survives_a_power_loss_at_any_sync() {
    if !strace::is_there() {
        return;
    }
    let seed = torture::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut recording = Recording::new();
    recording.run(&[], live);
    let recorded = recording.end();
    let syncs = recorded
        .steps
        .iter()
        .filter(|s| matches!(s, Step::Sync { .. }))
        .count();
    let (each, by_gateway) = if torture::is_long() {
        (8, 40)
    } else {
        (3, 100)
    };
    let images = recorded
        .crash_everywhere(&mut random, each, by_gateway)
        .unwrap_or_else(|lack| panic!("seed {seed}: {lack}"));
    let text = format!(
        "{} acknowledged, {syncs} syncs, {images} crash images, each with all that was acknowledged before it",
        recorded.numbers.len()
    );
    torture::summary("power", seed, &text);
}

/// A gateway that was killed at the sync of a commit, and how many events it was sent: the last is written and not synced.
/// `None` if the sync was another one, such as that of a checkpoint when nothing had come for a second.
fn killed_at_a_sync() -> Option<(Recording, u64)> {
    let mut recording = Recording::new();
    // The sync is not made, and the process is gone: the write is in the page cache alone.
    let killed = ["-e", "inject=fdatasync:error=EIO:signal=KILL:when=30"];
    let mut sent = 0;
    // Nothing settles meanwhile, so that every sync of a commit is one for an event.
    recording.oracle.app.behave(Behaviour::Hang);
    recording.run(&killed, |recording, gate| {
        let mut connection = Connection::open(gate.public);
        loop {
            let (n, request) = recording.oracle.next();
            sent = n + 1;
            match connection.try_send(&request) {
                Ok(reply) => recording.note(reply.id(), n),
                Err(_) => break,
            }
        }
        let (status, _) = gate.ended();
        assert!(!status.success());
    });
    let before = recording.numbers.lock().expect("not poisoned").len() as u64;
    assert_eq!(before + 1, sent, "one was not acknowledged");
    // A copy, so that nobody has read the store when it is opened again.
    let place = tempfile::tempdir().expect("a directory");
    for file in ["hookgate.db", "hookgate.db-wal"] {
        let data = recording.home.path().join("data").join(file);
        std::fs::copy(data, place.path().join(file)).expect("copied");
    }
    let found = events(&place.path().join("hookgate.db")).expect("whole");
    found.contains(&(sent - 1)).then_some((recording, sent))
}

/// DESIGN §7: a process is killed between its write and its sync; the next one reads the event from the page cache,
/// and calls it a duplicate. Then the power goes.
#[test]
fn what_a_restart_read_from_the_page_cache_is_durable_before_anybody_hears_of_it() {
    if !strace::is_there() {
        return;
    }
    let seed = torture::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let killed = (0..10).find_map(|_| killed_at_a_sync());
    let (mut recording, sent) = killed.expect("nearly every sync is that of a commit");
    let forgotten = |steps: &[Step]| {
        let mut device = Device::default();
        for step in steps {
            device.take(step);
        }
        let place = tempfile::tempdir().expect("a directory");
        device.crash(place.path(), Leaves::Nothing, &mut fastrand::Rng::new());
        let found = events(&place.path().join("hookgate.db")).expect("whole");
        !found.contains(&(sent - 1))
    };
    assert!(forgotten(&recording.steps), "it is in the page cache alone");
    recording.run(&[], |recording, gate| {
        let n = sent - 1;
        let reply = gate.send(&recording.oracle.order(n));
        assert!(reply.is_duplicate(), "it was read back: {reply:?}");
        recording.note(reply.id(), n);
        gate.kill();
    });
    assert!(!forgotten(&recording.steps));
    recording
        .end()
        .crash_everywhere(&mut random, 2, 100)
        .unwrap_or_else(|lack| panic!("seed {seed}: {lack}"));
}

/// Starts that are killed at one of their first syncs leave files whose names nobody has made durable.
#[test]
fn what_cut_off_starts_have_made_is_durable_before_anything_is_acknowledged() {
    if !strace::is_there() {
        return;
    }
    let mut random = fastrand::Rng::with_seed(torture::seed());
    let cuts: Vec<(&str, u8)> = ["fsync", "fdatasync"]
        .into_iter()
        .flat_map(|call| (1..=4).map(move |when| (call, when)))
        .collect();
    for cut in cuts {
        let mut recording = Recording::new();
        // The second start is cut off as well: SQLite syncs the directory only if it has just made the log.
        for (call, when) in [cut, ("fdatasync", 1)] {
            let inject = format!("inject={call}:error=EIO:signal=KILL:when={when}");
            recording.record(&["-e", &inject], |recording, words| {
                let (process, status) = recording.home.run_to_its_end(words);
                assert!(!status.success(), "{call} {when}");
                process
            });
        }
        recording.run(&[], |recording, gate| {
            recording.send(&gate, 1, 3);
            gate.kill();
        });
        recording
            .end()
            .crash_everywhere(&mut random, 1, 20)
            .unwrap_or_else(|lack| panic!("{cut:?}: {lack}"));
    }
}

/// A sync that fails makes nothing durable, and nobody is told otherwise.
#[test]
fn a_failed_sync_acknowledges_nothing() {
    if !strace::is_there() {
        return;
    }
    let seed = torture::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let when = random.u8(20..40);
    for inject in [format!("when={when}"), format!("when={when}+")] {
        let mut recording = Recording::new();
        let inject = format!("inject=fdatasync,fsync:error=EIO:{inject}");
        recording.run(&["-e", &inject], |recording, gate| {
            recording.send(&gate, 4, 100);
            let (status, log) = gate.ended();
            assert_eq!(status.code(), Some(74), "{log}");
        });
        recording
            .end()
            .crash_everywhere(&mut random, 2, 100)
            .unwrap_or_else(|lack| panic!("seed {seed}, {inject}: {lack}"));
    }
}

/// The negative control: where syncs do nothing, the same test must lose events.
#[test]
fn without_syncs_a_power_loss_loses_events() {
    if !strace::is_there() {
        return;
    }
    let mut random = fastrand::Rng::with_seed(torture::seed());
    let mut recording = Recording::new();
    let dropped = ["-e", "inject=fdatasync,fsync:retval=0"];
    recording.run(&dropped, |recording, gate| {
        recording.send(&gate, 2, 10);
        gate.kill();
    });
    let lack = recording
        .end()
        .crash_everywhere(&mut random, 1, 1_000)
        .expect_err("nothing was ever synced");
    assert!(lack.starts_with("acknowledged and lost"), "{lack}");
}

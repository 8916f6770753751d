//! A store that is damaged: noticed, told, salvaged; and copies of one that is whole.

use super::*;
use crate::store::{backup, check, frames, info, salvage};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const GIB: u64 = 1 << 30;

/// A store with events in every state, closed, and what they are.
struct Filled {
    place: Place,
    /// Every payload.
    events: BTreeMap<u64, String>,
    /// Target and number of every delivery that waits.
    waits: BTreeSet<(u32, u64)>,
}

const LATER: Outcome = Outcome::Retry {
    attempts: 2,
    due_ms: 1,
};

async fn filled() -> Filled {
    let mut place = Place::new(&["app", "audit"]);
    // For ever: a gateway that runs on a copy must not expire what is compared.
    place.store.history = Duration::from_hours(24 * 365 * 100);
    let running = place.start();
    let mut body = vec![0; 40_000];
    let mut random = fastrand::Rng::with_seed(7);
    for key in 1..=90 {
        random.fill(&mut body);
        // Most fit a page; some go on in others.
        let length = if key % 9 == 0 { 40_000 } else { 300 };
        let mut admission = running.admission(running.request(key, &body[..length]));
        admission.vendor_id = Some(format!("evt_{key}").into());
        if key % 2 == 1 {
            admission.targets[0].lane = Some(Lane(key % 7));
        }
        let answer = running.store.admit(admission).expect("taken");
        let id = answer.await.expect("answered").expect("stored");
        let seq = running.heard.wait(|heard| {
            let event = heard.admitted.iter().find(|(_, event)| event.id == id);
            event.map(|(_, event)| event.seq)
        });
        match key % 6 {
            0 => {
                tell(&running, "app", seq, Outcome::Delivered, 0);
                tell(&running, "audit", seq, Outcome::Delivered, 0);
            }
            1 => tell(&running, "app", seq, LATER, 0),
            2 => {
                tell(&running, "app", seq, EXPIRED, 0);
                tell(&running, "audit", seq, Outcome::Delivered, 0);
            }
            3 => tell(&running, "audit", seq, LATER, 0),
            _ => {}
        }
        if key % 12 == 0 {
            let targets = vec![running.target("app")];
            let replay = vec![Command::Replay { seq, targets }];
            let answer = running.store.steer(replay).await;
            assert_eq!(answer, Ok(vec![Steered::Done { deliveries: 1 }]));
        }
        if key % 24 == 0 {
            tell(&running, "app", seq, Outcome::Delivered, 1);
        }
    }
    let mut events = BTreeMap::new();
    for (_, event) in &running.heard.state.lock().admitted {
        events.insert(event.seq.0, format!("{event:?}"));
    }
    running.close().await;
    let waits = waits(&place.shell());
    assert!(waits.len() > 100, "{}", waits.len());
    Filled {
        place,
        events,
        waits,
    }
}

/// Settles with what the attempt was.
fn tell(running: &Running, target: &str, seq: Seq, outcome: Outcome, replay: u32) {
    let before = running.heard.state.lock().settlements();
    running.store.settle(Settlement {
        target: running.target(target),
        seq,
        was_due_ms: None,
        bytes: 0,
        outcome,
        replay,
        lane: None,
        attempt: Some(Box::new(AttemptRecord {
            attempt: 1,
            at_ms: 1_700_000_000_000 + seq.0,
            took_ms: 12,
            status: Some(503),
            error: None,
            answer: Bytes::from_static(b"not now"),
        })),
    });
    running
        .heard
        .wait(|heard| (heard.settlements() > before).then_some(()));
}

fn pairs(shell: &rusqlite::Connection, sql: &str) -> BTreeSet<(u32, u64)> {
    let mut rows = shell.prepare(sql).expect("prepared");
    rows.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
    })
    .expect("read")
    .collect::<rusqlite::Result<_>>()
    .expect("read")
}

fn waits(shell: &rusqlite::Connection) -> BTreeSet<(u32, u64)> {
    pairs(shell, "SELECT target, seq FROM deliveries")
}

impl Filled {
    /// The same settings on a copy of the directory, with one byte changed.
    fn flipped(&self, file: &str, at: u64, bit: u8) -> Place {
        let place = Place {
            directory: tempfile::tempdir().expect("a directory"),
            store: self.place.store.clone(),
            sources: self.place.sources.clone(),
            targets: self.place.targets.clone(),
        };
        let place = Place {
            store: config::Store {
                path: place.directory.path().join("data"),
                ..place.store
            },
            ..place
        };
        fs::create_dir(&place.store.path).expect("made");
        for name in ["hookgate.db", "hookgate.db-wal"] {
            let from = self.place.store.path.join(name);
            if from.exists() {
                let mut bytes = fs::read(&from).expect("read");
                if name == file {
                    bytes[usize::try_from(at).expect("small")] ^= 1 << bit;
                }
                fs::write(place.store.path.join(name), bytes).expect("written");
            }
        }
        place
    }
}

fn is_clean(path: &Path) -> Result<check::Report, OpenError> {
    check::check(path, GIB, |_| {})
}

/// What a gateway would find: whether it says that something is wrong, and what it would deliver.
async fn run(place: &Place, filled: &Filled) -> Result<(bool, BTreeSet<(u32, u64)>), String> {
    let mut found = BTreeSet::new();
    let Ok(opened) = place.try_open() else {
        return Ok((true, found));
    };
    let running = Running::start(opened);
    let mut noticed = false;
    for name in ["app", "audit"] {
        let Some((known, _)) = running
            .targets
            .iter()
            .find(|(known, _)| &*known.name == name)
        else {
            noticed = true;
            continue;
        };
        let target = known.id;
        let fresh = running.store.fresh(target, Seq(0), 1_000).await;
        let due = running
            .store
            .due(target, u64::MAX >> 1, 1_000, HashSet::new())
            .await;
        let (Ok(fresh), Ok((due, _))) = (fresh, due) else {
            noticed = true;
            continue;
        };
        for delivery in fresh.into_iter().chain(due) {
            match &delivery.event {
                Some(event) => {
                    let event = format!("{event:?}");
                    if filled.events.get(&delivery.seq.0) != Some(&event) {
                        running.store.close(PATIENCE).await;
                        return Err(format!("forwards what was not sent: {event}"));
                    }
                }
                None => noticed = true,
            }
            found.insert((target.0, delivery.seq.0));
        }
    }
    noticed |= running.store.is_poisoned();
    running.store.close(PATIENCE).await;
    Ok((noticed, found))
}

/// Everything that the tables say and that something else bears out. Nothing does so for:
/// - the hash and the kind of a key, and its check of the body: a duplicate may pass, or an event count as one;
/// - when something happened, is due to be forgotten, or began to wait; how many attempts there were, and how they went;
/// - what a vendor calls an event in the history, and how often it was replayed;
/// - whether a target is paused, which its state shows; and the next number, which only has to be a free one;
/// - that names were written by a release that witnesses them: without it they are believed, as those of an earlier one.
const WITNESSED: [&str; 11] = [
    "SELECT type, name, sql FROM sqlite_schema",
    "SELECT name, value FROM meta WHERE name IN ('format', 'min_reader', 'tag', 'secret', 'identity_check')",
    "SELECT id, kind, name, heir FROM names",
    "SELECT seq, source, received_ms, type, key, targets, secret_header, secret_name, headers, body FROM events",
    "SELECT id >> 2, source, received_ms FROM keys",
    "SELECT target, seq, due_ms, fan, lane FROM deliveries",
    "SELECT target, due_ms, seq FROM due",
    "SELECT target, seq, reason FROM dead",
    "SELECT class, seq FROM settled ORDER BY 1, 2",
    "SELECT seq, class FROM replays",
    "SELECT seq, source, received_ms, type, key FROM history",
];

fn dump(path: &Path) -> Vec<String> {
    let shell = rusqlite::Connection::open(path).expect("opened");
    WITNESSED
        .iter()
        .flat_map(|sql| lines(&shell, sql))
        .collect()
}

/// What a query gives, a line a row.
fn lines(shell: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rows = shell.prepare(sql).expect("prepared");
    let columns = rows.column_count();
    let mut rows = rows.query([]).expect("read");
    while let Some(row) = rows.next().expect("read") {
        let values: Vec<String> = (0..columns)
            .map(|column| format!("{:?}", row.get_ref(column).expect("there")))
            .collect();
        lines.push(format!("{sql}: {}", values.join(" ")));
    }
    lines
}

/// Whatever a whole store says, its salvaged copy says too.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_whole_is_salvaged_to_the_last_row() {
    let filled = filled().await;
    let all = [
        "meta",
        "names",
        "events",
        "keys",
        "deliveries",
        "due",
        "dead",
        "settled",
        "attempts",
        "replays",
        "history",
        "handed",
    ];
    let all = all.map(|table| match table {
        // Written only when rows go.
        "meta" => "SELECT * FROM meta WHERE name <> 'next_seq'".to_owned(),
        table => format!("SELECT * FROM {table}"),
    });
    let dump = |path: &Path| {
        let shell = rusqlite::Connection::open(path).expect("opened");
        all.iter().map(|sql| lines(&shell, sql)).collect::<Vec<_>>()
    };
    let to = filled.place.directory.path().join("new");
    let saved = salvage::salvage(&filled.place.store.path, &to, |_| {}).expect("salvaged");
    assert_eq!((saved.notes, saved.lost, saved.again), Default::default());
    let (before, after) = (
        dump(&filled.place.database()),
        dump(&to.join("hookgate.db")),
    );
    // The row of `settled` that a replay has made void is not copied.
    for (before, after) in before.iter().zip(&after) {
        assert!(!after.is_empty());
        let void = before.len() - after.len();
        assert!(void == 0 || after[0].contains("FROM settled"), "{void}");
        for line in after {
            assert!(before.contains(line), "{line}");
        }
    }
    assert!(is_clean(&to).expect("opens").is_clean());
}

/// A table that cannot be read is said, whichever it is: of `keys` it means that what comes again is a new event.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_table_that_is_lost_is_said() {
    let filled = filled().await;
    for table in ["keys", "names", "attempts", "replays", "history", "handed"] {
        let place = filled.flipped("nothing", 0, 0);
        let file = place.database();
        let (root, page): (i64, i64) = rusqlite::Connection::open(&file)
            .and_then(|shell| {
                let sql = "SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = ?1";
                shell.query_row(sql, [table], |row| Ok((row.get(0)?, row.get(1)?)))
            })
            .expect("a table");
        let mut bytes = std::fs::read(&file).expect("read");
        let at = usize::try_from((root - 1) * page).expect("small");
        bytes[at..at + 64].fill(0xff);
        std::fs::write(&file, bytes).expect("written");
        let to = place.directory.path().join("new");
        let saved = salvage::salvage(&place.store.path, &to, |_| {}).expect("salvaged");
        let said = |note: &String| note.contains(&format!("table {table} "));
        assert!(saved.notes.iter().any(said), "{table}: {:?}", saved.notes);
    }
}

/// Where to flip: everywhere, and more often where little bytes mean much.
fn places(filled: &Filled, number: usize, seed: u64) -> Vec<(u64, u8)> {
    let bytes = fs::metadata(filled.place.database()).expect("there").len();
    let page = u64::from(schema::PAGE_BYTES);
    let mut random = fastrand::Rng::with_seed(seed);
    let pages = bytes / page;
    let mut places: Vec<_> = (0..100).step_by(3).map(|at| (at, random.u8(..8))).collect();
    while places.len() < number {
        let at = match random.u8(..4) {
            0 => random.u64(..bytes),
            // The head of a page, and its pointers.
            1 => random.u64(..pages) * page + random.u64(..40),
            // The small tables are in the first pages, their rows at the end of each.
            2 => random.u64(..pages.min(16)) * page + random.u64(..page),
            _ => random.u64(..pages.min(16)) * page + page - 1 - random.u64(..600),
        };
        places.push((at, random.u8(..8)));
    }
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flipped_byte_is_noticed_or_means_nothing_and_the_rest_is_salvaged() {
    let filled = filled().await;
    let before = dump(&filled.place.database());
    let rows = before.len();
    let before: HashSet<String> = before.into_iter().collect();
    assert!(
        is_clean(&filled.place.store.path)
            .expect("opens")
            .is_clean()
    );
    let seed =
        std::env::var("HOOKGATE_FLIP_SEED").map_or(20, |seed| seed.parse().expect("a number"));
    let (mut noticed_at, mut nothing) = ([0; 2], 0);
    let mut wrong = Vec::new();
    for (at, bit) in places(&filled, 260, seed) {
        let place = filled.flipped("hookgate.db", at, bit);
        let report = is_clean(&place.store.path);
        let told = !report.as_ref().is_ok_and(check::Report::is_clean);
        let salvaged = check_salvage(&place, &filled).await;
        let ran = run(&place, &filled).await;
        let noticed = ran.as_ref().is_ok_and(|(noticed, _)| *noticed);
        if told || noticed {
            noticed_at[usize::from(noticed)] += 1;
        } else {
            nothing += 1;
        }
        let verdict = salvaged.and(ran).and_then(|(_, found)| {
            if told || noticed {
                return Ok(());
            }
            if found != filled.waits {
                return Err("deliveries are dropped in silence".to_owned());
            }
            let after = dump(&place.database());
            let mut changed = after.iter().filter(|line| !before.contains(*line));
            match changed.next() {
                Some(changed) => Err(format!("nobody has noticed {changed}")),
                None if after.len() != rows => Err("rows are missing".to_owned()),
                None => Ok(()),
            }
        });
        if let Err(why) = verdict {
            let (page, byte) = (at / 8192 + 1, at % 8192);
            wrong.push(format!("byte {byte} of page {page}, bit {bit}: {why}"));
        }
    }
    eprintln!(
        "{noticed_at:?} noticed by the check alone and by the gateway too, {nothing} meant nothing"
    );
    assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    assert!(noticed_at[0] + noticed_at[1] > 40 && nothing > 10);
}

/// What is salvaged is whole, goes on under the same names, and lacks nothing that waited.
async fn check_salvage(place: &Place, filled: &Filled) -> Result<(), String> {
    let to = place.directory.path().join("new");
    let original = fs::read(place.database()).expect("read");
    let saved = salvage::salvage(&place.store.path, &to, |_| {})
        .map_err(|e| format!("salvage: {e}: {:?}", std::error::Error::source(&e)))?;
    if fs::read(place.database()).expect("read") != original {
        return Err("salvage: wrote into what it reads".to_owned());
    }
    let report = is_clean(&to).map_err(|e| format!("salvaged: {e}"))?;
    if !report.is_clean() {
        return Err(format!("salvaged: {:?} after {saved:?}", report.damages));
    }
    let shell = rusqlite::Connection::open(to.join("hookgate.db")).expect("opened");
    let mut stands = waits(&shell);
    stands.extend(pairs(&shell, "SELECT target, seq FROM dead"));
    drop(shell);
    let told: BTreeSet<u64> = saved.lost.iter().map(|lost| lost.seq).collect();
    let mut lost = filled.waits.difference(&stands);
    // A table of names or payloads that is gone as a whole takes the numbers with it: then it says so.
    if let Some(silent) = lost.find(|(_, seq)| !told.contains(seq))
        && saved.notes.is_empty()
    {
        return Err(format!("salvage lost {silent:?} in silence: {saved:?}"));
    }
    if !saved.identity {
        return Ok(());
    }
    let new = Place {
        directory: tempfile::tempdir().expect("a directory"),
        store: config::Store {
            path: to,
            ..place.store.clone()
        },
        sources: place.sources.clone(),
        targets: place.targets.clone(),
    };
    let running = new.start();
    let app = running.target("app");
    let page = running.store.fresh(app, Seq(0), 1_000).await;
    running.close().await;
    // A name that is not what was written is told, and for a person to put right.
    let names_are_told = saved
        .notes
        .iter()
        .any(|note| note.starts_with(schema::NAMES_ARE_WRONG) || note.contains("table names"));
    for delivery in page.expect("read") {
        let event = delivery.event.map(|event| format!("{event:?}"));
        if event.as_ref() != filled.events.get(&delivery.seq.0) && !names_are_told {
            return Err(format!("salvaged: {event:?} was not sent"));
        }
    }
    Ok(())
}

/// A log as a crash leaves it, with a byte flipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_flipped_byte_of_the_log_never_drops_commits_in_silence() {
    let place = Place::new(&["app", "audit"]);
    let running = place.start();
    let reader = place.reader();
    for key in 1..=30 {
        running.admit(key, &[b'x'; 500]).await;
    }
    let crashed = place.crashed();
    drop(reader);
    let mut events = BTreeMap::new();
    for (_, event) in &running.heard.state.lock().admitted {
        events.insert(event.seq.0, format!("{event:?}"));
    }
    running.close().await;
    let waits = waits(&place.shell());
    let filled = Filled {
        place: crashed,
        events,
        waits,
    };
    let log = filled.place.store.path.join("hookgate.db-wal");
    let bytes = fs::metadata(&log).expect("there").len();
    assert!(bytes > 100_000, "{bytes}");
    let mut random = fastrand::Rng::with_seed(5);
    let (mut refused, mut salvaged) = (0, 0);
    for round in 0..120 {
        let at = if round < 32 {
            round
        } else {
            random.u64(..bytes)
        };
        let place = filled.flipped("hookgate.db-wal", at, random.u8(..8));
        let verdict = frames::look(&place.store.path.join("hookgate.db-wal"), 8192).expect("read");
        let what = format!("byte {at} of the log: {verdict:?}");
        if let frames::Verdict::Damaged { .. } = verdict {
            refused += 1;
            assert!(
                !is_clean(&place.store.path).is_ok_and(|report| report.is_clean()),
                "{what}"
            );
            let to = place.directory.path().join("new");
            let saved = salvage::salvage(&place.store.path, &to, |_| {}).expect(&what);
            salvaged += saved.events;
            let error = place.try_open().expect_err(&what).to_string();
            assert!(error.contains("hookgate store salvage"), "{error}");
            continue;
        }
        let (noticed, found) = run(&place, &filled).await.expect(&what);
        let is_whole = verdict == frames::Verdict::Whole;
        assert!(noticed || found == filled.waits || !is_whole, "{what}");
    }
    eprintln!(
        "{refused} of 120 refused, {} of 30 events salvaged in the middle",
        salvaged / refused.max(1)
    );
    assert!(refused > 80, "{refused}");
    assert!(salvaged / refused >= 29, "{salvaged} of {refused} times 30");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_payload_is_found_by_the_scrub_and_given_up() {
    let mut place = Place::new(&["app"]);
    place.store.scrub = Duration::from_millis(50);
    let running = place.start();
    let first = running.admit(1, b"{}").await;
    running.admit(2, b"{}").await;
    let delivered = running.admit(3, b"{}").await;
    running.settle("app", delivered, Outcome::Delivered);
    place
        .shell()
        .execute("UPDATE events SET body = x'7b7c' WHERE seq <> 2", [])
        .expect("damaged");
    let given_up = running.heard.wait(|heard| heard.discarded.first().cloned());
    assert_eq!(given_up.seq, first);
    assert!(matches!(
        given_up.outcome,
        Outcome::Dead {
            reason: DeadReason::Corrupt,
            attempts: 0
        }
    ));
    assert_eq!(running.fresh("app").await, [2]);
    running.close().await;
    let shell = place.shell();
    let reasons = pairs(
        &shell,
        "SELECT target, seq FROM dead WHERE reason = 'corrupt'",
    );
    assert_eq!(reasons.len(), 1);
    assert_eq!(
        count(&shell, "SELECT count(*) FROM events"),
        3,
        "kept to be looked at"
    );
    let report = is_clean(&place.store.path).expect("opens");
    let told: Vec<_> = report.damages.iter().map(|damage| damage.seq).collect();
    assert_eq!(told, [Some(1), Some(3)], "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_wrong_is_said_with_the_event_and_who_waits() {
    let filled = filled().await;
    let shell = filled.place.shell();
    for sql in [
        "UPDATE events SET body = CAST('x' AS BLOB) WHERE seq = 4",
        "DELETE FROM events WHERE seq = 10",
        "DELETE FROM deliveries WHERE seq = 5",
        "DELETE FROM due WHERE seq = 7",
        "UPDATE deliveries SET fan = 1 WHERE seq = 11 AND target = (SELECT min(target) FROM deliveries)",
        "INSERT INTO settled VALUES (0, 5, 17)",
        "UPDATE dead SET reason = 'expirec' WHERE seq = 8",
        "UPDATE keys SET received_ms = received_ms + 1 WHERE id = 12 << 2",
    ] {
        assert!(shell.execute(sql, []).expect(sql) > 0, "{sql}");
    }
    drop(shell);
    let report = is_clean(&filled.place.store.path).expect("opens");
    let mut said: Vec<String> = report
        .damages
        .iter()
        .map(|damage| {
            assert!(damage.event.is_some(), "{damage:?}");
            assert_eq!(damage.source.as_deref(), Some("erp"), "{damage:?}");
            let seq = damage.seq.expect("of an event");
            format!("{seq} [{}]: {}", damage.waits_for.join(" "), damage.what)
        })
        .collect();
    said.sort();
    insta::assert_snapshot!("damages", said.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_backup_is_of_one_moment_and_can_be_run() {
    let place = Place::new(&["app"]);
    let running = place.start();
    for key in 1..=50 {
        running.admit(key, &[b'x'; 9_000]).await;
    }
    let to = place.directory.path().join("backup/");
    let made = backup::backup(
        &place.store.path,
        Path::new(&format!("{}/", to.display())),
        GIB,
        |_, _| {},
    )
    .expect("made");
    assert!(made.report.is_clean(), "{:?}", made.report);
    assert_eq!(made.report.events, 50);
    running.admit(51, b"{}").await;
    let again = backup::backup(&place.store.path, &to, GIB, |_, _| {}).expect_err("there");
    assert!(
        again.to_string().contains("nothing is overwritten"),
        "{again}"
    );
    let none = backup::backup(
        &place.store.path,
        &place.directory.path().join("b.db"),
        0,
        |_, _| {},
    );
    assert!(
        none.is_ok(),
        "nothing was written meanwhile, so the log has not grown"
    );
    running.close().await;

    let restored = Place {
        store: config::Store {
            path: to,
            ..place.store.clone()
        },
        directory: tempfile::tempdir().expect("a directory"),
        sources: place.sources.clone(),
        targets: place.targets.clone(),
    };
    let running = restored.start();
    assert_eq!(running.fresh("app").await.len(), 50);
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn info_counts_what_is_there_beside_a_gateway() {
    let filled = filled().await;
    let path = &filled.place.store.path;
    let stopped = info::info(path).expect("read");
    let running = filled.place.start();
    let beside = info::info(path).expect("read");
    assert_eq!(beside.events, 90);
    assert_eq!((stopped.events, stopped.keys), (90, 90));
    assert_eq!(beside.last_seq, 90);
    let app = beside
        .targets
        .iter()
        .find(|target| target.name == "app")
        .expect("known");
    let waiting = running
        .targets
        .iter()
        .find(|(known, _)| &*known.name == "app")
        .expect("known")
        .1;
    assert_eq!(
        (app.pending, app.pending_bytes),
        (waiting.deliveries, waiting.bytes)
    );
    assert_eq!(
        (app.dead, app.dead_bytes),
        (waiting.dead, waiting.dead_bytes)
    );
    assert_eq!(app.next_retry_ms, Some(1));
    assert_eq!(app.oldest_pending_ms, Some(1_700_000_000_001));
    assert_eq!(beside.sources.len(), 1);
    running.close().await;
}

#[test]
fn what_is_no_store_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let path: PathBuf = directory.path().join("none");
    let error = info::info(&path).expect_err("nothing there");
    assert!(error.to_string().ends_with("no store here"), "{error}");
    fs::create_dir(&path).expect("made");
    fs::write(path.join("hookgate.db"), [7; 20_000]).expect("written");
    let error = is_clean(&path).expect_err("no database");
    assert!(
        error.to_string().contains("hookgate store salvage"),
        "{error}"
    );
    let to = directory.path().join("full");
    fs::create_dir_all(to.join("x")).expect("made");
    let error = salvage::salvage(&path, &to, |_| {}).expect_err("not empty");
    assert!(
        error.to_string().contains("nothing is overwritten"),
        "{error}"
    );
}

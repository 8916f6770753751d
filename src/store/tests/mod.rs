//! The whole room through its door: real files, real threads.
//!
//! This page is what the tests share; nothing here decides what is right.

mod adopting;
mod bounds;
mod damage;
mod deliveries;
mod failures;
mod looking;
mod migration;
mod model;
mod speed;
mod steering;
mod survival;

use super::*;
use crate::backoff::{Backoff, Schedule};
use crate::budget::Budget;
use crate::config::{self, WhenFull};
use crate::dedupe::{Claim, Dedupe, RequestKey, Windows};
use crate::event::DedupeKey;
use crate::metrics::Metrics;
use crate::verify::{Surroundings, Verifier};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use parking_lot::Condvar;
use std::io::Read as _;
use std::time::Instant;
use tempfile::TempDir;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with settings.
struct Place {
    directory: TempDir,
    store: config::Store,
    sources: Vec<(Arc<str>, Option<Arc<str>>)>,
    targets: Vec<config::Target>,
}

impl Place {
    /// One source `erp`, targets as named.
    fn new(targets: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = config::Store {
            path: directory.path().join("data"),
            max_size_bytes: 1 << 30,
            min_free_bytes: 0,
            retention: Duration::from_hours(1),
            dead_retention: Duration::from_hours(2),
            attempts: 16,
            scrub: Duration::ZERO,
            start_check: PATIENCE,
            history: Duration::ZERO,
        };
        Self {
            directory,
            store,
            sources: vec![("erp".into(), None)],
            targets: targets.iter().map(|name| target(name)).collect(),
        }
    }

    fn try_open(&self) -> Result<Opened, OpenError> {
        Opened::open(OpenSettings {
            store: &self.store,
            sources: self.sources.clone(),
            targets: &self.targets,
        })
    }

    fn open(&self) -> Opened {
        self.try_open().expect("opens")
    }

    fn start(&self) -> Running {
        Running::start(self.open())
    }

    fn database(&self) -> std::path::PathBuf {
        self.store.path.join("hookgate.db")
    }

    /// A place with the same settings, and in it the files of the store as they are at this moment: as a crash leaves them.
    fn crashed(&self) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = config::Store {
            path: directory.path().join("data"),
            ..self.store.clone()
        };
        std::fs::create_dir(&store.path).expect("made");
        for entry in std::fs::read_dir(&self.store.path).expect("a directory") {
            let entry = entry.expect("an entry");
            // Never closed: closing a descriptor of the file would drop SQLite's locks. Nor is it another process that copies:
            // until its exec it has the descriptors of this one, and the lock of whichever store is closed meanwhile.
            let file: &mut std::fs::File =
                Box::leak(Box::new(std::fs::File::open(entry.path()).expect("opened")));
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("read");
            std::fs::write(store.path.join(entry.file_name()), bytes).expect("written");
        }
        Self {
            directory,
            store,
            sources: self.sources.clone(),
            targets: self.targets.clone(),
        }
    }

    /// A reader that sees what is there now. As long as it is there the log keeps every frame from now on: it is neither
    /// emptied nor does it start over.
    fn reader(&self) -> rusqlite::Connection {
        let reader = self.shell();
        reader.execute_batch("BEGIN").expect("begun");
        count(&reader, "SELECT count(*) FROM events");
        reader
    }

    /// An operator's shell. Only while the store is closed, or for what an operator could do meanwhile.
    fn shell(&self) -> rusqlite::Connection {
        let shell = rusqlite::Connection::open(self.database()).expect("opens");
        shell.busy_timeout(PATIENCE).expect("set");
        shell
    }
}

fn target(name: &str) -> config::Target {
    config::Target {
        name: name.into(),
        replaces: None,
        url: http::Uri::from_static("http://127.0.0.1:1/"),
        timeout: PATIENCE,
        connect_timeout: PATIENCE,
        connection_max_age: PATIENCE,
        concurrency: 1,
        rate: None,
        retry: Schedule::Growing(Backoff {
            first: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_mins(10),
        }),
        give_up_after: PATIENCE,
        max_attempts: None,
        breaker: None,
        max_backlog_bytes: u64::MAX,
        when_full: WhenFull::Refuse,
        order_by: crate::extract::KeyExpr::default(),
        sign: Vec::new(),
        format: config::target::Format::Plain,
    }
}

/// A store that runs, and what its feed has heard.
struct Running {
    store: Store,
    heard: Arc<Heard>,
    sources: Vec<Known<SourceId>>,
    targets: Vec<(Known<TargetId>, Backlog)>,
    budget: Budget,
    dedupe: Arc<Dedupe>,
    verifier: Verifier,
}

/// What one admission says.
struct Request {
    key: u64,
    body: Bytes,
    received_ms: u64,
    targets: Vec<TargetId>,
}

impl Running {
    fn start(opened: Opened) -> Self {
        let sources = opened.sources().to_vec();
        let targets = opened.targets().to_vec();
        let window = Duration::from_hours(1);
        let windows = Windows {
            event: window,
            replay: window,
        };
        let memory: Vec<_> = sources.iter().map(|known| (known.id, windows)).collect();
        let dedupe = Dedupe::new(opened.secret(), opened.tag(), 1_000_000, &memory);
        let heard = Arc::new(Heard::default());
        let feed: Arc<dyn Feed> = Arc::clone(&heard) as _;
        Self {
            store: opened.start(feed, Metrics::new().store()),
            heard,
            sources,
            targets,
            budget: Budget::new(u64::MAX),
            dedupe,
            verifier: Verifier::new(&config::Verify::None, &[], &Surroundings::default()),
        }
    }

    /// The number of a target.
    fn target(&self, name: &str) -> TargetId {
        let mut targets = self.targets.iter();
        let (known, _) = targets
            .find(|(known, _)| &*known.name == name)
            .expect("known");
        known.id
    }

    /// An event with this key and body for every configured target.
    fn request(&self, key: u64, body: &[u8]) -> Request {
        let configured = self.targets.iter().filter(|(known, _)| known.configured);
        Request {
            key,
            body: Bytes::copy_from_slice(body),
            received_ms: 1_700_000_000_000 + key,
            targets: configured.map(|(known, _)| known.id).collect(),
        }
    }

    fn admission(&self, request: Request) -> Admission {
        let source = &self.sources[0];
        let key = DedupeKey::new(&source.name, [request.key.to_be_bytes().as_slice()]);
        let keys = [RequestKey {
            kind: Kind::Event,
            key,
        }];
        let body_check = crc32fast::hash(&request.body);
        let claim = self
            .dedupe
            .claim(source.id, &keys, body_check, request.received_ms);
        let Claim::Ours(reservation) = claim else {
            panic!("key {} is claimed twice", request.key);
        };
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("application/json"));
        headers.append("x-multi", HeaderValue::from_static("one"));
        headers.append("x-multi", HeaderValue::from_static("two: 2"));
        let charge = self.budget.take(request.body.len() as u64).expect("room");
        let verified = self
            .verifier
            .verify(
                &http::Method::POST,
                None,
                headers,
                request.body,
                request.received_ms,
            )
            .expect("nothing to prove");
        Admission {
            source: source.id,
            source_name: Arc::clone(&source.name),
            event_type: Some("order.created".into()),
            key: Some(key),
            key_name: Arc::clone(&source.name),
            received_ms: request.received_ms,
            verified,
            vendor_id: None,
            targets: request.targets.into_iter().map(Into::into).collect(),
            reservation,
            charge,
            first_attempts: None,
            metrics: Arc::new(Metrics::new().source(&source.name, 200, [])),
        }
    }

    async fn try_admit(&self, request: Request) -> Result<EventId, NotStored> {
        let answer = self.store.admit(self.admission(request))?;
        tokio::time::timeout(PATIENCE, answer)
            .await
            .expect("answered in time")
            .unwrap_or(Err(NotStored::Unavailable))
    }

    /// Admits for every target, and returns the number of the event.
    async fn admit(&self, key: u64, body: &[u8]) -> Seq {
        let id = self
            .try_admit(self.request(key, body))
            .await
            .expect("stored");
        self.heard.wait(|heard| {
            let mut admitted = heard.admitted.iter().chain(&heard.refused);
            admitted
                .find(|(_, event)| event.id == id)
                .map(|(_, event)| event.seq)
        })
    }

    /// Settles, and waits until that is durable.
    fn settle(&self, target: &str, seq: Seq, outcome: Outcome) {
        let before = self.heard.state.lock().settlements();
        self.store.settle(Settlement {
            target: self.target(target),
            seq,
            was_due_ms: None,
            bytes: 0,
            outcome,
            replay: 0,
            lane: None,
            attempt: None,
        });
        self.heard
            .wait(|heard| (heard.settlements() > before).then_some(()));
    }

    /// The numbers of the fresh deliveries of a target.
    async fn fresh(&self, target: &str) -> Vec<u64> {
        let page = self.store.fresh(self.target(target), Seq(0), 1_000).await;
        numbers(&page.expect("read"))
    }

    /// A page of retries, those with the numbers in `skip` passed over.
    async fn due(
        &self,
        target: TargetId,
        now_ms: u64,
        most: usize,
        skip: &[u64],
    ) -> (Vec<Delivery>, Option<u64>) {
        let skip = skip.iter().map(|seq| Seq(*seq)).collect();
        let page = self.store.due(target, now_ms, most, skip).await;
        page.expect("read")
    }

    async fn close(self) {
        self.store.close(PATIENCE).await;
        assert!(!self.store.is_poisoned());
    }
}

fn numbers(page: &[Delivery]) -> Vec<u64> {
    page.iter().map(|delivery| delivery.seq.0).collect()
}

const RETRY_AT_5: Outcome = Outcome::Retry {
    attempts: 1,
    due_ms: 5,
};

const EXPIRED: Outcome = Outcome::Dead {
    reason: DeadReason::Expired,
    attempts: 3,
};

/// Remembers everything.
#[derive(Debug, Default)]
struct Heard {
    state: Mutex<HeardState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct HeardState {
    admitted: Vec<(TargetId, Arc<Event>)>,
    refused: Vec<(TargetId, Arc<Event>)>,
    settled: Vec<Settlement>,
    in_vain: Vec<Settlement>,
    replayed: Vec<(TargetId, u64, u64)>,
    discarded: Vec<Settlement>,
    hastened: Vec<(TargetId, u64)>,
    abandoned: Vec<Abandoned>,
    forgotten: Vec<(TargetId, u64)>,
}

impl HeardState {
    /// Settlements, those that changed nothing too.
    fn settlements(&self) -> usize {
        self.settled.len() + self.in_vain.len()
    }
}

impl Heard {
    fn hear(&self, change: impl FnOnce(&mut HeardState)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until `found` finds something.
    fn wait<T>(&self, mut found: impl FnMut(&HeardState) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        loop {
            if let Some(found) = found(&state) {
                return found;
            }
            let waited = self.changed.wait_until(&mut state, until);
            assert!(!waited.timed_out(), "heard only {state:?}");
        }
    }
}

impl Feed for Heard {
    fn admitted(&self, Destination { target, .. }: Destination, event: &Arc<Event>) {
        self.hear(|heard| heard.admitted.push((target, Arc::clone(event))));
    }
    fn settled(&self, settlements: &[Settlement]) {
        self.hear(|heard| heard.settled.extend_from_slice(settlements));
    }
    fn refused(&self, target: TargetId, event: &Arc<Event>) {
        self.hear(|heard| heard.refused.push((target, Arc::clone(event))));
    }
    fn in_vain(&self, settlements: &[Settlement]) {
        self.hear(|heard| heard.in_vain.extend_from_slice(settlements));
    }
    fn replayed(&self, target: TargetId, bytes: u64, due_ms: u64) {
        self.hear(|heard| heard.replayed.push((target, bytes, due_ms)));
    }
    fn discarded(&self, settlements: &[Settlement]) {
        self.hear(|heard| heard.discarded.extend_from_slice(settlements));
    }
    fn hastened(&self, target: TargetId, due_ms: u64) {
        self.hear(|heard| heard.hastened.push((target, due_ms)));
    }
    fn abandoned(&self, deliveries: &[Abandoned]) {
        self.hear(|heard| {
            let settlements = deliveries.iter().map(|d| d.settlement.clone());
            heard.settled.extend(settlements);
            heard.abandoned.extend_from_slice(deliveries);
        });
    }
    fn forgotten(&self, target: TargetId, count: u64) {
        self.hear(|heard| heard.forgotten.push((target, count)));
    }
}

/// Waits until a query gives nothing but this number.
fn wait_for(place: &Place, sql: &str, expected: i64) {
    let until = Instant::now() + PATIENCE;
    let shell = place.shell();
    while count(&shell, sql) != expected {
        assert!(Instant::now() < until, "{sql} never gives {expected}");
        std::thread::yield_now();
    }
}

/// Makes as if so many hours had passed since everything was settled. Only while the store is closed.
fn age(place: &Place, hours: u64) {
    let ms = hours * 3_600_000;
    let age = format!(
        "UPDATE settled SET settled_ms = settled_ms - {ms}; UPDATE replays SET settled_ms = settled_ms - {ms}"
    );
    place.shell().execute_batch(&age).expect("changed");
}

/// Waits until what [`age`] has made old is deleted.
fn wait_for_expiry(place: &Place) {
    let hour_ago_ms = crate::clock::unix_ms() - 3_600_000;
    let sql = format!("SELECT count(*) FROM settled WHERE settled_ms < {hour_ago_ms}");
    wait_for(place, &sql, 0);
}

/// The one number that a query gives.
fn count(shell: &rusqlite::Connection, sql: &str) -> i64 {
    shell.query_row(sql, [], |row| row.get(0)).expect(sql)
}

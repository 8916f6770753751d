//! Operators who replay what was delivered, one event and a page of them at a time, for as long as a run lasts: what
//! they are told is waiting again comes again, and nothing that nobody asked for.

use super::gate;
use super::oracle::Ledger;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Events of a page at most: the smaller it is, the more often a kill falls between two.
const PAGE_MAX: u64 = 60;

/// Ids that are remembered for operators to choose from.
const IDS_MAX: usize = 1_000;

/// One event's replays as the app took them: of each number the epoch of its last delivery.
#[derive(Debug)]
pub(super) struct Taken {
    id: String,
    epochs: BTreeMap<u64, u64>,
}

/// What operators have asked for, and what came.
#[derive(Debug, Default)]
pub(super) struct Replays {
    /// Ids of delivered events.
    ids: Vec<String>,
    /// Deliveries that an answer has promised, by event where one was named.
    promised: HashMap<String, u64>,
    promised_in_pages: u64,
    /// Deliveries that were asked for without an answer, at most.
    open: u64,
    /// Requests that were not granted, such as for what waits already.
    refused: u64,
    /// By the number of the event.
    taken: HashMap<u64, Taken>,
    /// Different replays of different events taken.
    pub(super) delivered: u64,
}

impl Replays {
    /// An event was delivered for the first time.
    pub(super) fn remember(&mut self, id: &str) {
        if self.ids.len() < IDS_MAX {
            self.ids.push(id.to_owned());
        } else {
            id.clone_into(&mut self.ids[fastrand::usize(..IDS_MAX)]);
        }
    }

    /// A replay was delivered in an epoch; the epoch before if it was delivered already.
    pub(super) fn take(
        &mut self,
        n: u64,
        id: &str,
        replay: u64,
        epoch: u64,
    ) -> Result<Option<u64>, String> {
        let taken = self.taken.entry(n).or_insert_with(|| Taken {
            id: id.to_owned(),
            epochs: BTreeMap::new(),
        });
        if taken.id != id {
            return Err(format!("a replay of {} came as {id}", taken.id));
        }
        let before = taken.epochs.insert(replay, epoch);
        self.delivered += u64::from(before.is_none());
        Ok(before)
    }

    fn promised(&self) -> u64 {
        self.promised_in_pages + self.promised.values().sum::<u64>()
    }

    /// Nothing waits any more. Every replay that was promised has come, and not one that nobody can have asked for.
    #[track_caller]
    pub(super) fn judge(&self) -> String {
        let by_id: HashMap<&str, &Taken> = self
            .taken
            .values()
            .map(|taken| (taken.id.as_str(), taken))
            .collect();
        for (id, promised) in &self.promised {
            let came = by_id.get(id.as_str()).map_or(0, |t| t.epochs.len() as u64);
            assert!(
                came >= *promised,
                "{promised} replays of {id} promised, {came} came"
            );
        }
        for taken in self.taken.values() {
            // They are counted from 1, and one is asked for only when the one before is through: a gap is a loss.
            let numbers: Vec<u64> = taken.epochs.keys().copied().collect();
            let all: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(numbers, all, "replays of {}", taken.id);
        }
        let (promised, open) = (self.promised(), self.open);
        assert!(
            (promised..=promised + open).contains(&self.delivered),
            "{promised} replays promised, {open} more asked for without an answer, {} came",
            self.delivered
        );
        format!(
            "{} replays of {} events ({promised} promised, {open} at most without an answer, {} requests refused)",
            self.delivered,
            self.taken.len(),
            self.refused
        )
    }

    /// Of the events that were replayed: their ids, and how often.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let taken = self.taken.values();
        taken.map(|taken| (taken.id.as_str(), taken.epochs.len() as u64))
    }
}

/// Threads that replay.
pub(crate) struct Operators {
    done: Arc<AtomicBool>,
    admin: Arc<Mutex<Option<SocketAddr>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Operators {
    /// One for single events, one for pages. They ask nothing until they are told whom.
    pub(super) fn new(ledger: &Arc<Ledger>, random: &mut fastrand::Rng) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let admin = Arc::new(Mutex::new(None));
        let threads = [one_event, one_page].map(|ask| {
            let (done, admin, ledger) = (Arc::clone(&done), Arc::clone(&admin), Arc::clone(ledger));
            let mut random = random.fork();
            std::thread::spawn(move || {
                let mut cursor = Value::Null;
                while !done.load(Ordering::SeqCst) {
                    let to = *admin.lock().expect("not poisoned");
                    let asked = to.is_some_and(|to| ask(to, &ledger, &mut random, &mut cursor));
                    if !asked {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        });
        Self {
            done,
            admin,
            threads: threads.into(),
        }
    }

    /// Asks there from now on; `None` for a pause.
    pub(crate) fn aim(&self, at: Option<SocketAddr>) {
        *self.admin.lock().expect("not poisoned") = at;
    }

    /// Ends the threads.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.done.store(true, Ordering::SeqCst);
        for thread in std::mem::take(&mut self.threads) {
            thread
                .join()
                .expect("an operator got nothing but 200, 409, 503 or a closed connection");
        }
    }
}

/// Also where the test has failed: the address of its gateway may be that of another one by then.
impl Drop for Operators {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
    }
}

/// Replays one event, if there is one; false if there is nothing to ask, or nobody.
fn one_event(
    admin: SocketAddr,
    ledger: &Ledger,
    random: &mut fastrand::Rng,
    _: &mut Value,
) -> bool {
    let Some(id) = random.choice(&ledger.replays().ids).cloned() else {
        return false;
    };
    let path = format!("/api/v1/events/{id}/replay");
    let answer = ask(admin, &mut || ledger.replays(), &path, &json!({}), 1);
    let promised = answer.as_ref().map_or(0, deliveries);
    if promised > 0 {
        *ledger.replays().promised.entry(id).or_default() += promised;
    }
    answer.is_some()
}

/// Replays a page of what is delivered, and goes on with the next.
fn one_page(
    admin: SocketAddr,
    ledger: &Ledger,
    random: &mut fastrand::Rng,
    cursor: &mut Value,
) -> bool {
    let limit = random.u64(1..=PAGE_MAX);
    let mut body = json!({ "filter": { "state": "delivered" }, "limit": limit });
    if cursor.is_string() {
        body["cursor"] = cursor.take();
    }
    let replays = &mut || ledger.replays();
    let answer = ask(admin, replays, "/api/v1/events/replay", &body, limit);
    if let Some(answer) = &answer {
        ledger.replays().promised_in_pages += deliveries(answer);
        *cursor = answer["cursor"].clone();
    }
    answer.is_some()
}

fn deliveries(answer: &Value) -> u64 {
    answer["deliveries"].as_u64().unwrap_or(0)
}

/// The answer, as far as there is one: `most` deliveries may wait again without one.
fn ask<'l>(
    admin: SocketAddr,
    replays: &mut dyn FnMut() -> MutexGuard<'l, Replays>,
    path: &str,
    body: &Value,
    most: u64,
) -> Option<Value> {
    let stream = TcpStream::connect(admin).ok()?;
    let Ok(reply) = gate::try_post(stream, path, body) else {
        replays().open += most;
        return None;
    };
    match reply.status {
        200 => Some(reply.json()),
        // The page may have been carried out in part.
        503 => {
            replays().open += most;
            None
        }
        409 => {
            replays().refused += 1;
            Some(Value::Null)
        }
        _ => panic!("{reply:?}"),
    }
}

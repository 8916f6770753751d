//! The oracle of every fault: the sender logs an id after its 2xx, the app logs what it takes, and in the end
//! acknowledged ⊆ delivered, bodies equal, nothing invented, no dead letter, repeats within promise 8.
//!
//! Each start of a gateway is an *epoch*, which its configuration names in the target's URL: so a delivery is known
//! to come from before or after a crash, and a repeat can only be excused by the crash that lies between the two.

use super::operators::{Operators, Replays};
use super::sender::Connection;
use super::{App, Gate, Request, app::Got, gate::Home, hmac_sha256_hex};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Of the source `shop`.
pub(crate) const SECRET: &str = "oracle-secret";

/// `concurrency` of the target `app`.
pub(crate) const CONCURRENCY: u64 = 8;

/// Promise 8: what a crash lets a target get again. The second part is one unsettled batch.
pub(crate) const AGAIN_MAX: u64 = CONCURRENCY + 256;

/// Without any progress for as long, a run has failed.
const STALLED: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Taken {
    /// The epoch of the last delivery of each event, by number.
    last: Vec<Option<u64>>,
    /// Events taken at least once.
    events: u64,
    /// Deliveries repeated after the crash that ended an epoch.
    again: HashMap<u64, u64>,
    /// Deliveries repeated without a crash between.
    again_within: u64,
    /// What never came from a sender as it arrived.
    wrong: Vec<String>,
}

/// What the two sides have seen.
#[derive(Debug)]
pub(super) struct Ledger {
    body_bytes: usize,
    next: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
    refused: AtomicU64,
    taken: Mutex<Taken>,
    replays: Mutex<Replays>,
}

impl Ledger {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().expect("no test thread panicked with it")
    }

    pub(super) fn replays(&self) -> MutexGuard<'_, Replays> {
        self.replays
            .lock()
            .expect("no test thread panicked with it")
    }

    fn acknowledged(&self) -> MutexGuard<'_, Vec<u64>> {
        self.acknowledged
            .lock()
            .expect("no test thread panicked with it")
    }

    /// The app has taken a request.
    fn note(&self, got: &Got) {
        if got.answered != 200 {
            return;
        }
        let epoch = got.target.rsplit('/').next().and_then(|e| e.parse().ok());
        let n = number_of(&got.body);
        let mut taken = self.taken();
        let (Some(epoch), Some(n)) = (epoch, n) else {
            return taken.wrong.push(format!("not an order: {got:?}"));
        };
        if n >= self.next.load(Ordering::SeqCst) {
            return taken.wrong.push(format!("nobody has sent {n}"));
        }
        if got.body != body(n, self.body_bytes) {
            return taken.wrong.push(format!("the body of {n} has changed"));
        }
        let id = got.header("hookgate-event-id");
        let before = if got.has("hookgate-replay") {
            let replay = got.header("hookgate-replay").parse();
            let replay = replay.expect("a replay is counted");
            match self.replays().take(n, id, replay, epoch) {
                Ok(before) => before,
                Err(lack) => return taken.wrong.push(lack),
            }
        } else {
            let index = usize::try_from(n).expect("fits");
            if taken.last.len() <= index {
                taken.last.resize(index + 1, None);
            }
            let before = taken.last[index].replace(epoch);
            if before.is_none() {
                taken.events += 1;
                self.replays().remember(id);
            }
            before
        };
        match before {
            None => {}
            Some(before) if before == epoch => taken.again_within += 1,
            Some(before) => *taken.again.entry(before).or_default() += 1,
        }
    }
}

fn number_of(body: &[u8]) -> Option<u64> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["id"].as_u64()
}

/// Its bytes follow from its number alone.
pub(crate) fn body(n: u64, bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(n);
    let length = random.usize(..=2 * bytes);
    let noise: String = (0..length).map(|_| random.alphanumeric()).collect();
    format!(r#"{{"event":"order.created","id":{n},"noise":"{noise}"}}"#).into_bytes()
}

/// A source, a target, and what both ends know.
pub(crate) struct Oracle {
    ledger: Arc<Ledger>,
    pub(crate) app: App,
    epoch: u64,
    store: String,
    /// More keys of the source `shop`.
    source: String,
    /// The URL of the target `lone`, which the source of that name feeds.
    lone: Option<String>,
}

impl Oracle {
    /// `body_bytes` is the mean of a body's length; `store` the configuration's section of that name.
    pub(crate) fn new(body_bytes: usize, store: &str) -> Self {
        let ledger = Arc::new(Ledger {
            body_bytes,
            next: AtomicU64::new(0),
            acknowledged: Mutex::new(Vec::new()),
            refused: AtomicU64::new(0),
            taken: Mutex::new(Taken::default()),
            replays: Mutex::new(Replays::default()),
        });
        let app = App::observed({
            let ledger = Arc::clone(&ledger);
            move |got| ledger.note(got)
        });
        Self {
            ledger,
            app,
            epoch: 0,
            store: store.to_owned(),
            source: String::new(),
            lone: None,
        }
    }

    /// With another source and target beside, both called `lone`.
    pub(crate) fn beside(mut self, url: String) -> Self {
        self.lone = Some(url);
        self
    }

    /// With another key of its source, such as `dedupe: { window: 1m }`.
    pub(crate) fn with(mut self, key: &str) -> Self {
        self.source += &format!("    {key}\n");
        self
    }

    /// A directory for its gateways.
    pub(crate) fn home(&self) -> Home {
        Home::new(&self.configuration())
    }

    fn configuration(&self) -> String {
        let Self {
            store,
            source,
            epoch,
            ..
        } = self;
        let url = self.app.url();
        let (lone_source, lone_target) = match &self.lone {
            None => (String::new(), String::new()),
            Some(url) => (
                "  lone: { verify: none, forward: lone }\n".to_owned(),
                format!("  lone: {{ url: {url} }}\n"),
            ),
        };
        format!(
            "store: {store}\nsources:\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {SECRET}\n    \
             event: {{ id: json:/id }}\n    forward: app\n{source}{lone_source}targets:\n  app: {{ url: {url}/{epoch}, \
             concurrency: {CONCURRENCY}, max_backlog: 100%, retry: {{ first: 20ms, max: 200ms }} }}\n{lone_target}"
        )
    }

    /// Before each start.
    pub(crate) fn new_epoch(&mut self, home: &Home) {
        self.epoch += 1;
        home.configure(&self.configuration());
    }

    /// The next event, which nobody has sent yet, and its number.
    pub(crate) fn next(&self) -> (u64, Request) {
        let n = self.ledger.next.fetch_add(1, Ordering::SeqCst);
        (n, self.order(n))
    }

    /// An event by its number.
    pub(crate) fn order(&self, n: u64) -> Request {
        order(n, self.ledger.body_bytes)
    }

    /// How many are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged().len() as u64
    }

    /// Which ones are.
    pub(crate) fn acknowledgements(&self) -> Vec<u64> {
        self.ledger.acknowledged().clone()
    }

    /// An event's 2xx has come.
    pub(crate) fn acknowledge(&self, n: u64) {
        self.ledger.acknowledged().push(n);
    }

    /// Events that the app has taken.
    pub(crate) fn delivered(&self) -> u64 {
        self.ledger.taken().events
    }

    /// Starts `senders` threads, each with `pipelined` requests on the way at a time. They send nothing until they
    /// are told where to.
    pub(crate) fn load(&self, senders: usize, pipelined: usize) -> Load {
        let done = Arc::new(AtomicBool::new(false));
        let gate = Arc::new(Mutex::new(None));
        let senders = (0..senders)
            .map(|_| {
                let (ledger, done, gate) = (
                    Arc::clone(&self.ledger),
                    Arc::clone(&done),
                    Arc::clone(&gate),
                );
                std::thread::spawn(move || send(&ledger, &done, &gate, pipelined))
            })
            .collect();
        Load {
            done,
            gate,
            senders,
        }
    }

    /// Starts operators who replay what is delivered, each a request at a time.
    pub(crate) fn operators(&self, random: &mut fastrand::Rng) -> Operators {
        Operators::new(&self.ledger, random)
    }

    /// Waits for `goal`, as long as there is progress in what is acknowledged or delivered.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, mut goal: impl FnMut() -> bool) {
        let progress = || {
            let replayed = self.ledger.replays().delivered;
            (self.acknowledged(), self.delivered() + replayed)
        };
        let (mut last, mut since) = (progress(), Instant::now());
        while !goal() {
            let now = progress();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            assert!(
                since.elapsed() < STALLED,
                "stalled at {last:?} (acknowledged, delivered): {what}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until nothing is left to deliver, and judges. `excused` is whether repeats may come without a crash,
    /// since the app cut connections.
    #[track_caller]
    pub(crate) fn judge(&self, gate: &Gate, excused: bool) -> Verdict {
        self.wait("nothing is left to deliver", || {
            gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
        });
        let dead = gate.metric(r#"hookgate_dead_letters{target="app"}"#);
        assert_eq!(dead, 0.0, "dead letters");
        let lost = self.missing();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let taken = self.ledger.taken();
        assert!(taken.wrong.is_empty(), "invented: {:?}", taken.wrong);
        let worst = taken.again.values().copied().max().unwrap_or(0);
        assert!(worst <= AGAIN_MAX, "{worst} repeated after one crash");
        assert!(
            excused || taken.again_within == 0,
            "{} repeated without a crash",
            taken.again_within
        );
        Verdict {
            acknowledged: self.acknowledged(),
            refused: self.ledger.refused.load(Ordering::SeqCst),
            delivered: taken.events,
            repeated: taken.again.values().sum(),
            repeated_worst: worst,
        }
    }

    /// The same of what operators asked for, once that is delivered too.
    #[track_caller]
    pub(crate) fn judge_replays(&self, gate: &Gate) -> String {
        /// Events that the gateway is asked about.
        const LOOKED_AT: usize = 300;
        let replays = self.ledger.replays();
        for (id, came) in replays.counts().take(LOOKED_AT) {
            let event = gate.admin_get(&format!("/api/v1/events/{id}")).json();
            assert_eq!(event["replays"], came, "{event}");
        }
        replays.judge()
    }

    /// What is acknowledged and was never delivered.
    pub(crate) fn missing(&self) -> Vec<u64> {
        let acknowledged = self.acknowledgements();
        let taken = self.ledger.taken();
        let is_taken = |n: &u64| {
            let index = usize::try_from(*n).expect("fits");
            taken.last.get(index).copied().flatten().is_some()
        };
        acknowledged.into_iter().filter(|n| !is_taken(n)).collect()
    }

    /// Fails if the app got anything that was never sent like that.
    #[track_caller]
    pub(crate) fn nothing_invented(&self) {
        let taken = self.ledger.taken();
        assert!(taken.wrong.is_empty(), "invented: {:?}", taken.wrong);
    }
}

/// The figures of a run that has passed.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) delivered: u64,
    pub(crate) repeated: u64,
    pub(crate) repeated_worst: u64,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} acknowledged, 0 lost, {} delivered, {} refused with 503, {} repeated (at most {} after one crash, {AGAIN_MAX} allowed)",
            self.acknowledged, self.delivered, self.refused, self.repeated, self.repeated_worst
        )
    }
}

/// An event by its number.
pub(crate) fn order(n: u64, body_bytes: usize) -> Request {
    let body = body(n, body_bytes);
    let signature = hmac_sha256_hex(SECRET, &[&body]);
    Request::new("/hooks/shop", body).header("X-Signature", &signature)
}

/// Threads that send.
pub(crate) struct Load {
    done: Arc<AtomicBool>,
    gate: Arc<Mutex<Option<SocketAddr>>>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends there from now on; `None` for a pause.
    pub(crate) fn aim(&self, at: Option<SocketAddr>) {
        *self.gate.lock().expect("not poisoned") = at;
    }

    /// Ends the threads.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.done.store(true, Ordering::SeqCst);
        for sender in std::mem::take(&mut self.senders) {
            sender
                .join()
                .expect("a sender got nothing but 200, 503 or a closed connection");
        }
    }
}

/// Also where the test has failed: the address of its gateway may be that of another test's app by then.
impl Drop for Load {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
    }
}

/// Sends until told to stop; an event without an answer is left behind (its fate is open).
fn send(ledger: &Ledger, done: &AtomicBool, gate: &Mutex<Option<SocketAddr>>, pipelined: usize) {
    while !done.load(Ordering::SeqCst) {
        let Some(to) = *gate.lock().expect("not poisoned") else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let Ok(stream) = TcpStream::connect(to) else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let mut connection = Connection::over(stream);
        let is_aimed = || *gate.lock().expect("not poisoned") == Some(to);
        while !done.load(Ordering::SeqCst) && is_aimed() {
            if converse(ledger, &mut connection, pipelined).is_err() {
                break;
            }
        }
    }
}

fn converse(ledger: &Ledger, connection: &mut Connection, pipelined: usize) -> std::io::Result<()> {
    let first = ledger.next.fetch_add(pipelined as u64, Ordering::SeqCst);
    let numbers = first..first + pipelined as u64;
    let requests: Vec<Vec<u8>> = numbers
        .clone()
        .map(|n| order(n, ledger.body_bytes).bytes())
        .collect();
    connection.try_write(&requests.concat())?;
    for n in numbers {
        let reply = connection
            .read_reply()?
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        match reply.status {
            200 => ledger.acknowledged().push(n),
            503 => {
                assert!(reply.header("retry-after").is_some(), "{reply:?}");
                ledger.refused.fetch_add(1, Ordering::SeqCst);
            }
            _ => panic!("{reply:?}"),
        }
    }
    Ok(())
}

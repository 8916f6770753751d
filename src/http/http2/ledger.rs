//! What has passed over one HTTP/2 connection, and until when it may go on so.
//!
//! The connection's task reads it after every step; its requests, which are tasks of their own, write into it.

use crate::config::tls::Http2Limits;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What one connection has done.
#[derive(Debug)]
pub(super) struct Ledger {
    counts: Mutex<Counts>,
    /// Frames that carried nothing, since the last answer.
    control_frames: AtomicU32,
    control_frames_max: u32,
    /// Heads of answers that have gone out, less the answers that requests were given, less what was told of the rest.
    surplus: AtomicI64,
    resets_max: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    /// Requests whose answer is not known.
    handling: u32,
    /// Requests whose answer is being sent.
    sending: u32,
    /// Requests since the start.
    requests: u64,
    /// Those that were taken back before their answers were whole.
    cancelled: u64,
    /// When the last request ended, or a piece of an answer went out.
    last: Instant,
}

impl Ledger {
    /// Of a connection that has done nothing.
    pub(super) fn new(limits: &Http2Limits) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::new(Counts {
                handling: 0,
                sending: 0,
                requests: 0,
                cancelled: 0,
                last: Instant::now(),
            }),
            control_frames: AtomicU32::new(0),
            control_frames_max: limits.control_frames,
            surplus: AtomicI64::new(0),
            resets_max: limits.resets.into(),
        })
    }

    /// A request has come.
    pub(super) fn began(self: &Arc<Self>) -> Handling {
        let mut counts = self.counts.lock();
        counts.handling += 1;
        counts.requests += 1;
        Handling(Some(Arc::clone(self)))
    }

    /// A frame came that carries nothing.
    pub(super) fn control_frame(&self) {
        self.control_frames.fetch_add(1, Relaxed);
    }

    /// The head of an answer goes out.
    pub(super) fn head_sent(&self) {
        self.surplus.fetch_add(1, Relaxed);
    }

    /// How many more heads have gone out than requests were given answers: what h2 has answered by itself. Each is told
    /// once. A request is given its answer before the head of that goes out, so there are never too many; there is one too
    /// few for each answer whose head has not gone out, since its stream was reset.
    pub(super) fn take_own_answers(&self) -> u64 {
        let surplus = self.surplus.load(Relaxed);
        if surplus <= 0 {
            return 0;
        }
        self.surplus.fetch_sub(surplus, Relaxed);
        surplus.unsigned_abs()
    }

    /// Whether a request has ever come.
    pub(super) fn has_begun(&self) -> bool {
        self.counts.lock().requests > 0
    }

    /// Whether the peer sends more frames that carry nothing than any peer has reason to.
    pub(super) fn is_flooded(&self) -> bool {
        self.control_frames.load(Relaxed) > self.control_frames_max
    }

    /// Whether the peer takes its requests back: rapid reset (CVE-2023-44487) has work begun for nobody.
    pub(super) fn is_taken_back(&self) -> bool {
        let counts = self.counts.lock();
        counts.cancelled > self.resets_max && counts.cancelled > counts.requests / 2
    }

    /// Until when the connection may go on as it is; none while a request is being handled, which keeps its own time.
    fn due(&self, times: &Times) -> Option<Instant> {
        let counts = *self.counts.lock();
        if counts.handling > 0 {
            None
        } else if counts.sending > 0 {
            Some(counts.last + times.idle)
        } else if let Some(leaving_since) = times.leaving_since {
            Some(counts.last.max(leaving_since) + times.parting)
        } else if counts.requests == 0 {
            Some(counts.last + times.first)
        } else {
            Some(counts.last + times.idle)
        }
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.lock();
        change(&mut counts);
        counts.last = Instant::now();
    }
}

/// A request that is being handled. Dropped, it was taken back.
#[derive(Debug)]
pub(super) struct Handling(Option<Arc<Ledger>>);

impl Handling {
    /// It has its answer.
    pub(super) fn answered(mut self) -> Sending {
        let ledger = self.0.take().expect("only taken here");
        ledger.change(|counts| {
            counts.handling -= 1;
            counts.sending += 1;
        });
        ledger.control_frames.store(0, Relaxed);
        ledger.surplus.fetch_sub(1, Relaxed);
        Sending {
            ledger,
            whole: false,
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if let Some(ledger) = &self.0 {
            ledger.change(|counts| {
                counts.handling -= 1;
                counts.cancelled += 1;
            });
        }
    }
}

/// An answer on its way. Dropped before it is whole, its request was taken back.
#[derive(Debug)]
pub(super) struct Sending {
    ledger: Arc<Ledger>,
    whole: bool,
}

impl Sending {
    /// A piece of it is wanted, and so the one before has gone out.
    pub(super) fn goes_on(&self) {
        self.ledger.change(|_| ());
    }

    /// Its last piece was taken.
    pub(super) fn is_whole(&mut self) {
        self.whole = true;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.ledger.change(|counts| {
            counts.sending -= 1;
            counts.cancelled += u64::from(!self.whole);
        });
    }
}

/// How long a connection may wait for its peer.
#[derive(Debug)]
struct Times {
    /// For its first request.
    first: Duration,
    /// For another, or for a peer that does not read.
    idle: Duration,
    /// For the peer's end, once ours has said goodbye.
    parting: Duration,
    leaving_since: Option<Instant>,
}

/// Ends a connection that waits for too long. Its one timer is set anew only when it has fired too early.
#[derive(Debug)]
pub(super) struct Deadline {
    times: Times,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// For a connection that begins now.
    pub(super) fn new(first: Duration, idle: Duration, parting: Duration) -> Self {
        Self {
            times: Times {
                first,
                idle,
                parting,
                leaving_since: None,
            },
            timer: Box::pin(tokio::time::sleep(first.min(idle))),
        }
    }

    /// Whether the connection was told to end.
    pub(super) fn is_leaving(&self) -> bool {
        self.times.leaving_since.is_some()
    }

    /// The peer was told that the connection ends once its requests are answered.
    pub(super) fn leave(&mut self) {
        let now = Instant::now();
        self.times.leaving_since.get_or_insert(now);
        self.timer.as_mut().reset(now);
    }

    /// To be polled after every step of the connection: ready when it has waited too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, ledger: &Ledger) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            // While a request is handled: that it is idle for too long can be so only this much later.
            let recheck = self.times.idle.min(self.times.parting);
            let due = ledger.due(&self.times).unwrap_or(now + recheck);
            if due <= now {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const FIRST: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);
    const PARTING: Duration = Duration::from_secs(2);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn connection() -> (Arc<Ledger>, Deadline) {
        let limits = Http2Limits {
            resets: 3,
            control_frames: 5,
            ..Http2Limits::default()
        };
        (Ledger::new(&limits), Deadline::new(FIRST, IDLE, PARTING))
    }

    /// A request and its whole answer.
    fn answer(ledger: &Arc<Ledger>) {
        let mut sending = ledger.began().answered();
        sending.is_whole();
    }

    /// Seconds until the deadline is over.
    async fn over(deadline: &mut Deadline, ledger: &Ledger) -> u64 {
        let began = Instant::now();
        poll_fn(|cx| deadline.poll(cx, ledger)).await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_request_has_its_time_and_the_next_another() {
        let (ledger, mut deadline) = connection();
        assert_eq!(over(&mut deadline, &ledger).await, 10);

        let (ledger, mut deadline) = connection();
        tokio::time::advance(seconds(4)).await;
        let sending = ledger.began().answered();
        tokio::time::advance(seconds(1)).await;
        drop(sending);
        assert_eq!(over(&mut deadline, &ledger).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_has_no_deadline_and_a_reader_has_one_from_its_last_piece() {
        let (ledger, mut deadline) = connection();
        let handling = ledger.began();
        let waited = tokio::time::timeout(seconds(1_000), over(&mut deadline, &ledger)).await;
        assert!(waited.is_err());
        let sending = handling.answered();
        tokio::time::advance(seconds(70)).await;
        sending.goes_on();
        assert_eq!(over(&mut deadline, &ledger).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_has_a_moment_after_the_last_answer() {
        let (ledger, mut deadline) = connection();
        let handling = ledger.began();
        deadline.leave();
        let waited = tokio::time::timeout(seconds(100), over(&mut deadline, &ledger)).await;
        assert!(waited.is_err());
        drop(handling.answered());
        assert_eq!(over(&mut deadline, &ledger).await, 2);

        let (ledger, mut deadline) = connection();
        deadline.leave();
        assert_eq!(over(&mut deadline, &ledger).await, 2);
    }

    #[tokio::test]
    async fn what_nobody_was_asked_for_is_told_once_and_never_too_often() {
        let (ledger, _) = connection();
        let sending = ledger.began().answered();
        assert_eq!(ledger.take_own_answers(), 0);
        // Either head may be that of the request: one of two is not.
        ledger.head_sent();
        assert_eq!(ledger.take_own_answers(), 0);
        ledger.head_sent();
        assert_eq!(ledger.take_own_answers(), 1);
        assert_eq!(ledger.take_own_answers(), 0, "once");
        drop(sending);
        // One that was taken back before it had an answer has no head either.
        drop(ledger.began());
        ledger.head_sent();
        ledger.head_sent();
        assert_eq!(ledger.take_own_answers(), 2);
        // An answer whose head does not go out hides one, and the rest is told.
        drop(ledger.began().answered());
        ledger.head_sent();
        assert_eq!(ledger.take_own_answers(), 0);
        ledger.head_sent();
        assert_eq!(ledger.take_own_answers(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_settles_control_frames_and_half_of_the_requests_may_be_taken_back() {
        let (ledger, _) = connection();
        for _ in 0..5 {
            ledger.control_frame();
        }
        assert!(!ledger.is_flooded());
        answer(&ledger);
        for _ in 0..6 {
            assert!(!ledger.is_flooded());
            ledger.control_frame();
        }
        assert!(ledger.is_flooded());

        let (ledger, _) = connection();
        for _ in 0..3 {
            drop(ledger.began());
        }
        assert!(!ledger.is_taken_back());
        for _ in 0..5 {
            answer(&ledger);
        }
        drop(ledger.began());
        // An answer that nobody has taken.
        drop(ledger.began().answered());
        assert!(!ledger.is_taken_back(), "5 of 10");
        drop(ledger.began());
        assert!(ledger.is_taken_back(), "6 of 11");
    }
}

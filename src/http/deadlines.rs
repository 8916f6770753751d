//! Deadlines around the socket that hyper lacks: whatever a connection waits for, except its own handler, it
//! waits for only so long.
//!
//! [`Watched`] stands between hyper and the socket and notes in [`Facts`] what passes; the service notes there
//! when a request is being handled. [`Deadline`] reads them after every step of hyper and keeps one timer,
//! which is set anew only when it fires too early or would fire too late: not once a request.

use super::gather::Gathered;
use super::stream::Stream;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The very first byte.
    FirstByte,
    /// The rest of a head.
    Head,
    /// Our own service, which keeps the time of bodies itself.
    Handler,
    /// The next request; whether a part of it is already in hyper's buffer is not known.
    NextRequest,
    /// A peer that does not read its answer.
    Reader,
}

impl Wait {
    /// Whether nothing is asked of us: the connection can be closed without a word.
    pub(super) fn is_quiet(self) -> bool {
        matches!(self, Self::FirstByte | Self::NextRequest)
    }
}

/// What has passed through one connection. All of it is read and written by the connection's own task, so that
/// the order of the atomics does not matter.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The service has a request and has not answered it.
    handling: AtomicBool,
    /// A byte was read since the last answer.
    stirred: AtomicBool,
    /// The last write found no room.
    stuck: AtomicBool,
    /// The peer has closed its side, or the socket is broken.
    ended: AtomicBool,
    /// Answers and writes so far.
    steps: AtomicU64,
}

impl Facts {
    /// The service was given a request.
    pub(super) fn called(&self) {
        self.handling.store(true, Relaxed);
    }

    /// The service has answered.
    pub(super) fn answered(&self) {
        self.handling.store(false, Relaxed);
        self.stirred.store(false, Relaxed);
        self.step();
    }

    /// Whether nothing more can come from the peer.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    fn step(&self) {
        self.steps.store(self.steps.load(Relaxed) + 1, Relaxed);
    }

    fn now(&self) -> (Wait, u64) {
        let steps = self.steps.load(Relaxed);
        let wait = if self.stuck.load(Relaxed) {
            Wait::Reader
        } else if self.handling.load(Relaxed) {
            Wait::Handler
        } else if self.stirred.load(Relaxed) {
            Wait::Head
        } else if steps == 0 {
            Wait::FirstByte
        } else {
            Wait::NextRequest
        };
        (wait, steps)
    }
}

/// How long a connection may wait, and since when it does.
#[derive(Debug)]
pub(super) struct Deadline {
    header_timeout: Duration,
    idle_timeout: Duration,
    seen: (Wait, u64),
    since: Instant,
    due: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// For a connection that begins, or began `since`.
    pub(super) fn new(since: Instant, header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            header_timeout,
            idle_timeout,
            seen: (Wait::FirstByte, 0),
            since,
            due: Some(since + header_timeout),
            timer: Box::pin(tokio::time::sleep_until(since + header_timeout)),
        }
    }

    /// To be polled after every step of the connection: ready with what it has waited for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, facts: &Facts) -> Poll<Wait> {
        self.follow(facts.now());
        let Some(due) = self.due else {
            return Poll::Pending;
        };
        loop {
            if self.timer.deadline() > due {
                self.timer.as_mut().reset(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= due {
                return Poll::Ready(self.seen.0);
            }
            self.timer.as_mut().reset(due);
        }
    }

    /// Nothing of a next request was found: it may take until the idle timeout. False when that is over too.
    pub(super) fn grant_idle_timeout(&mut self) -> bool {
        let due = self.since + self.idle_timeout;
        let later = self.due.is_none_or(|now| now < due);
        self.due = Some(due);
        later
    }

    /// Whether the connection was last seen waiting in quiet, and has done nothing since.
    pub(super) fn is_quiet(&self, facts: &Facts) -> bool {
        self.seen.0.is_quiet() && self.seen == facts.now()
    }

    fn follow(&mut self, now: (Wait, u64)) {
        if now == self.seen {
            return;
        }
        // The first head has its time from accept on.
        let goes_on = self.seen.0 == Wait::FirstByte && now.0 == Wait::Head;
        self.seen = now;
        if now.0 == Wait::Handler {
            self.due = None;
            return;
        }
        if !goes_on {
            self.since = Instant::now();
        }
        let timeout = match now.0 {
            Wait::FirstByte | Wait::Head => self.header_timeout,
            // The shorter of the two: half a head may have come together with the request before it.
            Wait::NextRequest => self.header_timeout.min(self.idle_timeout),
            Wait::Reader | Wait::Handler => self.idle_timeout,
        };
        self.due = Some(self.since + timeout);
    }
}

/// A socket that notes what passes through it.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    facts: Arc<Facts>,
    gathered: Gathered,
}

impl Watched {
    /// Notes into `facts` what passes through `stream`.
    pub(super) fn new(stream: Stream, facts: Arc<Facts>) -> Self {
        Self {
            stream,
            facts,
            gathered: Gathered::default(),
        }
    }

    /// The socket itself.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.facts.stuck.store(written.is_pending(), Relaxed);
        match &written {
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => self.facts.step(),
            Poll::Ready(Err(_)) => self.facts.ended.store(true, Relaxed),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if read.is_ok() && buf.filled().len() > before {
            self.facts.stirred.store(true, Relaxed);
        } else {
            self.facts.ended.store(true, Relaxed);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self {
            stream, gathered, ..
        } = &mut *self;
        let written = match gathered.of(bufs) {
            Some(whole) => Pin::new(stream).poll_write(cx, whole),
            None => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // TLS takes what is written into a buffer of its own.
        self.facts.stuck.store(flushed.is_pending(), Relaxed);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);

    /// Waits until the deadline is over; what was waited for, and for how many seconds.
    async fn over(deadline: &mut Deadline, facts: &Facts) -> (Wait, u64) {
        let began = Instant::now();
        let wait = poll_fn(|cx| deadline.poll(cx, facts)).await;
        (wait, began.elapsed().as_secs())
    }

    /// Looks at the facts as the connection does after a step.
    async fn step(deadline: &mut Deadline, facts: &Facts) {
        let polled = poll_fn(|cx| Poll::Ready(deadline.poll(cx, facts))).await;
        assert!(polled.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_sent_and_half_a_first_head_are_timed_from_accept() {
        let facts = Facts::default();
        let mut deadline = Deadline::new(Instant::now(), HEADER, IDLE);
        assert_eq!(over(&mut deadline, &facts).await, (Wait::FirstByte, 10));

        let mut deadline = Deadline::new(Instant::now(), HEADER, IDLE);
        step(&mut deadline, &facts).await;
        tokio::time::advance(Duration::from_secs(4)).await;
        facts.stirred.store(true, Relaxed);
        assert_eq!(over(&mut deadline, &facts).await, (Wait::Head, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_has_no_deadline_and_an_answer_starts_a_new_one() {
        let facts = Facts::default();
        let mut deadline = Deadline::new(Instant::now(), HEADER, IDLE);
        facts.stirred.store(true, Relaxed);
        facts.called();
        step(&mut deadline, &facts).await;
        tokio::time::advance(Duration::from_secs(1_000)).await;
        step(&mut deadline, &facts).await;
        facts.answered();
        assert_eq!(over(&mut deadline, &facts).await, (Wait::NextRequest, 10));
        assert!(deadline.grant_idle_timeout());
        assert_eq!(over(&mut deadline, &facts).await, (Wait::NextRequest, 65));
        assert!(!deadline.grant_idle_timeout());
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_is_timed_from_its_first_byte() {
        let facts = Facts::default();
        let mut deadline = Deadline::new(Instant::now(), HEADER, IDLE);
        facts.called();
        facts.answered();
        step(&mut deadline, &facts).await;
        tokio::time::advance(Duration::from_secs(9)).await;
        facts.stirred.store(true, Relaxed);
        assert_eq!(over(&mut deadline, &facts).await, (Wait::Head, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_between_two_looks_are_noticed_and_writes_renew_a_readers_time() {
        let facts = Facts::default();
        let mut deadline = Deadline::new(Instant::now(), HEADER, IDLE);
        facts.called();
        facts.answered();
        step(&mut deadline, &facts).await;
        tokio::time::advance(Duration::from_secs(9)).await;
        facts.called();
        facts.answered();
        assert_eq!(over(&mut deadline, &facts).await, (Wait::NextRequest, 10));

        facts.stuck.store(true, Relaxed);
        step(&mut deadline, &facts).await;
        tokio::time::advance(Duration::from_secs(70)).await;
        facts.step();
        assert_eq!(over(&mut deadline, &facts).await, (Wait::Reader, 75));
    }
}

//! The accept loop: a bound on connections, a deadline for every phase of each, lingering close.
//!
//! Every connection is a task of the loop's own set, so that none is left when [`serve`] returns.

use super::answering::Answering;
use super::connection;
use super::crowd::Crowd;
use super::listen::{Listening, Terms};
use super::socket::Socket;
use crate::config::tls::Http2Limits;
use crate::network::{Client, Networks};
use crate::quiet::Quiet;
use crate::shutdown::{Listener as Stop, Phase};
use http::StatusCode;
use hyper::server::conn::http1;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use std::{fmt, io};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Sleep;

/// Pause after an accept that failed for want of something (file descriptors, memory): trying at once again
/// would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// hyper's own bound of header lines. It keeps that many on the stack, and any number set on the heap.
const HYPER_HEADERS: usize = 100;
/// The smallest read buffer that hyper takes, in bytes.
const HYPER_BUFFER_BYTES: usize = 8 * 1024;

/// Bounds of connections.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Open at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// Bytes of a head; more is 431.
    pub header_bytes: usize,
    /// Header lines; more is 431.
    pub headers: usize,
    /// From accept, or from the first byte of a later request, to the end of its head: then 408 and close
    /// (just close where nothing was sent).
    pub header_timeout: Duration,
    /// Between two requests: then close. Also how long an answer may wait for a sender that does not read.
    pub idle_timeout: Duration,
    /// Of each HTTP/2 connection.
    pub http2: Http2Limits,
    /// Open at one time of one client, and who is exempt; a further one is 503. None: no bound.
    pub per_client: Option<(usize, Networks)>,
}

/// The other end of a connection, in every request's extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; nobody has one on a Unix socket.
    pub addr: Option<SocketAddr>,
}

impl Peer {
    /// Whom it counts as, whatever its port.
    pub fn client(self) -> Client {
        self.addr
            .map_or(Client::Unix, |addr| Client::from(addr.ip()))
    }
}

/// The address, or the word for those without one.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) => addr.fmt(f),
            None => self.client().fmt(f),
        }
    }
}

/// Why a connection was refused before the service was asked: no head came whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What came is not HTTP.
    Malformed,
    /// The head is over one of its limits.
    TooLarge,
    /// The head was not whole in time.
    Timeout,
    /// Its client has as many connections as it may: nothing of it was read.
    Crowded,
    /// The same where TLS is spoken: before its handshake a client understands no answer.
    CrowdedTls,
    /// What came is not the header that a proxy has to send, or its peer is not to be believed.
    ProxyHeader,
    /// That header was not whole in time.
    ProxyTimeout,
    /// A handshake of TLS was begun and has brought no session.
    Handshake,
}

impl Refusal {
    /// What the peer was answered over HTTP, if it was.
    pub fn status(self) -> Option<StatusCode> {
        self.answer().map(|(status, _)| status)
    }

    /// The status and the body of the answer. Who has not come as far as HTTP gets none.
    fn answer(self) -> Option<(StatusCode, &'static str)> {
        Some(match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, r#"{"error":"malformed request"}"#),
            Self::TooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                r#"{"error":"headers too large"}"#,
            ),
            Self::Timeout => (
                StatusCode::REQUEST_TIMEOUT,
                r#"{"error":"request timeout"}"#,
            ),
            Self::Crowded => (
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"error":"too many connections"}"#,
            ),
            Self::CrowdedTls | Self::ProxyHeader | Self::ProxyTimeout | Self::Handshake => {
                return None;
            }
        })
    }

    /// The whole answer to what is no whole head of HTTP/1, where hyper cannot send one; empty if there is none.
    pub(super) fn last_words(self) -> Vec<u8> {
        let Some((status, body)) = self.answer() else {
            return Vec::new();
        };
        let again = match self {
            // By then some of the others may have ended.
            Self::Crowded => "retry-after: 2\r\n",
            _ => "",
        };
        format!(
            "HTTP/1.1 {status}\r\n{again}content-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\ndate: {}\r\n\r\n{body}",
            body.len(),
            httpdate::fmt_http_date(SystemTime::now()),
        )
        .into_bytes()
    }
}

/// Hears of every [`Refusal`], from the task of its connection: keep it short.
pub trait Refusals: fmt::Debug + Send + Sync {
    /// A connection was refused and ends; over HTTP/2, only one of its requests.
    fn refused(&self, refusal: Refusal);
}

/// Nobody listens.
impl Refusals for () {
    fn refused(&self, _refusal: Refusal) {}
}

/// What all connections of one server share.
#[derive(Debug)]
pub(super) struct House {
    pub(super) http1: http1::Builder,
    pub(super) http2: Http2Limits,
    pub(super) header_bytes: usize,
    pub(super) headers: usize,
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) stage: Arc<Stage>,
    pub(super) refusals: Arc<dyn Refusals>,
    /// About connections that were refused before HTTP.
    pub(super) complaints: Quiet,
    pub(super) crowd: Option<Arc<Crowd>>,
}

impl House {
    fn new(
        settings: &Settings,
        stage: Arc<Stage>,
        refusals: Arc<dyn Refusals>,
        crowd: Option<Arc<Crowd>>,
    ) -> Self {
        let mut http = http1::Builder::new();
        // A sender may close its side and still wait for the answer.
        http.half_close(true)
            // Ours sits around the socket: it tells idle from slow, and answers the slow.
            .header_read_timeout(None)
            .max_header_size(settings.header_bytes)
            .max_buf_size(settings.header_bytes.max(HYPER_BUFFER_BYTES));
        if settings.headers != HYPER_HEADERS {
            http.max_headers(settings.headers);
        }
        Self {
            http1: http,
            http2: settings.http2,
            header_bytes: settings.header_bytes,
            headers: settings.headers,
            header_timeout: settings.header_timeout,
            idle_timeout: settings.idle_timeout,
            stage,
            refusals,
            complaints: Quiet::default(),
            crowd,
        }
    }
}

/// How far the server's stop has come, cheap enough to look at for every request.
#[derive(Debug, Default)]
pub(super) struct Stage {
    leaving: AtomicBool,
    draining: AtomicBool,
    drain: Notify,
}

impl Stage {
    /// Whether answers carry `Connection: close`.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Whether idle connections are closed.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Waits until idle connections are to be closed.
    pub(super) async fn drained(&self) {
        // Made before the look at the flag, it hears of everything after that.
        let drain = self.drain.notified();
        if !self.is_draining() {
            drain.await;
        }
    }

    fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    fn drain(&self) {
        self.leave();
        self.draining.store(true, Ordering::Release);
        self.drain.notify_waiters();
    }
}

/// Serves until the stop has reached [`Draining`](crate::shutdown::Phase::Draining) and every connection has
/// ended, or is [`Over`](crate::shutdown::Phase::Over). From [`Leaving`](crate::shutdown::Phase::Leaving) on
/// answers carry `Connection: close`; at `Draining` the listeners are closed and idle connections too.
///
/// An answer ends its request: `service` must not keep the body beyond it. What is unread then is dropped, and
/// the connection closed unless the rest had already come.
pub async fn serve(
    listeners: Vec<Listening>,
    service: impl Answering,
    settings: Settings,
    open: metrics::Gauge,
    refusals: Arc<dyn Refusals>,
    stop: Stop,
) {
    let (_constant, settings) = watch::channel(settings);
    serve_as_told(listeners, service, settings, open, refusals, stop).await;
}

/// As [`serve`], with settings that may change: a connection keeps to those that it was accepted under.
pub async fn serve_as_told(
    listeners: Vec<Listening>,
    service: impl Answering,
    mut told: watch::Receiver<Settings>,
    open: metrics::Gauge,
    refusals: Arc<dyn Refusals>,
    mut stop: Stop,
) {
    let stage = Arc::new(Stage::default());
    let mut settings = told.borrow_and_update().clone();
    let build = |settings: &Settings, crowd| {
        let (stage, refusals) = (Arc::clone(&stage), Arc::clone(&refusals));
        Arc::new(House::new(settings, stage, refusals, crowd))
    };
    let mut house = build(&settings, crowd(&settings));
    let mut told_on = true;
    let mut doors = Doors::new(listeners);
    let mut leaving = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.reached(Phase::Draining) => break,
            () = leaving.reached(Phase::Leaving), if !stage.is_leaving() => stage.leave(),
            changed = told.changed(), if told_on => match changed {
                Ok(()) => {
                    let next = told.borrow_and_update().clone();
                    // Under another bound everybody is counted from then on.
                    let crowd = if next.per_client == settings.per_client {
                        house.crowd.clone()
                    } else {
                        crowd(&next)
                    };
                    settings = next;
                    house = build(&settings, crowd);
                }
                Err(_) => told_on = false,
            },
            Some(ended) = connections.join_next() => report(ended),
            (stream, peer, terms) = doors.accept(), if connections.len() < settings.connections => {
                let counted = Counted::new(open.clone());
                let run = connection::run(stream, peer, terms, service.clone(), Arc::clone(&house));
                connections.spawn(async move {
                    run.await;
                    drop(counted);
                });
            }
        }
    }
    drop(doors);
    stage.drain();
    tokio::select! {
        () = stop.reached(Phase::Over) => {}
        () = all_ended(&mut connections) => {}
    }
    let cut_off = connections.len();
    if cut_off > 0 {
        tracing::warn!(
            cut_off,
            "connections were still open when the time for finishing was over"
        );
    }
    connections.shutdown().await;
}

/// Counts the connections of each client, where they have a bound.
fn crowd(settings: &Settings) -> Option<Arc<Crowd>> {
    let (most, exempt) = settings.per_client.as_ref()?;
    Some(Crowd::new(*most, exempt.clone()))
}

async fn all_ended(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

/// A connection ends by itself or by a defect.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "task of a connection panicked");
    }
}

/// One in the gauge of open connections for as long as it lives, however its task ends.
struct Counted(metrics::Gauge);

impl Counted {
    fn new(gauge: metrics::Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// All listeners, each asked in its turn: a busy one does not keep the others waiting.
struct Doors {
    doors: Vec<Door>,
    /// Asked first.
    next: usize,
}

impl Doors {
    fn new(listeners: Vec<Listening>) -> Self {
        let doors = listeners.into_iter().map(Door::new).collect();
        Self { doors, next: 0 }
    }

    /// The next connection. Whatever fails is told and tried again; may be dropped at any time.
    async fn accept(&mut self) -> (Socket, Peer, Arc<Terms>) {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(Socket, Peer, Arc<Terms>)> {
        let count = self.doors.len();
        for turn in 0..count {
            let at = (self.next + turn) % count;
            let door = &mut self.doors[at];
            if let Poll::Ready((socket, peer)) = door.poll_accept(cx) {
                let terms = Arc::clone(door.listening.terms());
                self.next = at + 1;
                return Poll::Ready((socket, peer, terms));
            }
        }
        Poll::Pending
    }
}

/// One listener, and its troubles.
struct Door {
    listening: Listening,
    complaints: Quiet,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Door {
    fn new(listening: Listening) -> Self {
        Self {
            listening,
            complaints: Quiet::default(),
            pause: None,
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(Socket, Peer)> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listening.poll_accept(cx)) {
                // An answer is one write: waiting for more to come would only delay it.
                Ok((socket, peer)) => match socket.send_at_once() {
                    Ok(()) => return Poll::Ready((socket, peer)),
                    Err(error) => tracing::debug!(%peer, %error, "connection is gone already"),
                },
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "connection was gone before it was accepted");
                }
                Err(error) => {
                    if let Some(suppressed) = self.complaints.pass() {
                        let listen = self.listening.place();
                        tracing::error!(listen, %error, suppressed, "cannot accept connections");
                    }
                    self.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}

/// Whether an error is about a connection that has already gone, not about the listener or our resources.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests;

//! One connection that speaks HTTP/2, from its preface to its close: hyper's server within bounds that it lacks.
//!
//! What hyper and h2 bound themselves: requests at one time, windows, the size of a head (also one in endless
//! CONTINUATIONs), requests that are taken back before anybody has looked at them. What is bounded here: how long a
//! connection is idle, frames that carry nothing (PING, SETTINGS, empty DATA ... without end), and requests that are taken
//! back once they run. Such a peer gets GOAWAY with `ENHANCE_YOUR_CALM`, and its running requests are dropped.
//!
//! A head over its limit is answered 431 by h2, which tells nobody: the heads of answers that go out are counted, and those
//! that no request was given are such.
//!
//! To the service a request looks as over HTTP/1: with a Host, which is made of `:authority`. Its answer is the same but
//! for `Connection`, which HTTP/2 does not have.

mod frames;
mod ledger;

pub(super) use frames::PREFACE;

use super::answering::Answering;
use super::connection::close;
use super::server::{House, Peer, Refusal};
use super::stream::Stream;
use bytes::Bytes;
use frames::{Frames, Reason};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ledger::{Deadline, Ledger, Sending};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;
use tower::BoxError;

/// Bytes that HTTP/2 counts for each header line beside its name and its value (RFC 9113 6.5.2).
const LINE_OVERHEAD: usize = 32;
/// How long a peer may take to end a connection after our goodbye.
const PARTING: Duration = Duration::from_secs(2);

/// Why the loop around hyper stops.
enum Event {
    /// hyper is done with the connection.
    Ended(hyper::Result<()>),
    /// The server has begun to drain, or leaves and has answered.
    Leave,
    /// The connection has waited too long, or the peer asks too much.
    Over(Reason),
}

/// An answer whose body's type is forgotten.
type Boxed = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// A service whose type is forgotten: hyper and h2 are large, and are compiled only once so.
pub(super) type Call =
    Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Boxed> + Send>> + Send + Sync>;

/// Forgets the type of a service.
pub(super) fn forget(service: impl Answering) -> Call {
    Arc::new(move |request| {
        let service = service.clone();
        Box::pin(async move {
            let Ok(answer) = service.answer(request).await;
            answer.map(|body| body.map_err(Into::into).boxed_unsync())
        })
    })
}

/// Serves one connection until it is closed.
pub(super) async fn run(stream: Stream, peer: Peer, service: Call, house: Arc<House>) {
    let ledger = Ledger::new(&house.http2);
    let mut watched = Watched::new(stream, Arc::clone(&ledger));
    let end = converse(&mut watched, peer, service, &house, ledger).await;
    if watched.ended {
        return;
    }
    let last_words = match end {
        Some(reason) => watched.goodbye(reason),
        None => Vec::new(),
    };
    close(watched.stream, &last_words).await;
}

/// Lets hyper serve until there is nothing more to do; what the peer has to be told, if hyper has not told it.
async fn converse(
    watched: &mut Watched,
    peer: Peer,
    service: Call,
    house: &Arc<House>,
    ledger: Arc<Ledger>,
) -> Option<Reason> {
    let handler = service_fn(|mut request: Request<Incoming>| {
        let handling = ledger.began();
        request.extensions_mut().insert(peer);
        let service = Arc::clone(&service);
        let house = Arc::clone(house);
        async move {
            let answer = answer(service, request, &house).await;
            let sending = handling.answered();
            Ok::<_, Infallible>(answer.map(|body| Noted::new(body, sending)))
        }
    });
    // Its tasks end with it, whether they are done or not.
    let streams = Arc::new(Mutex::new(JoinSet::new()));
    let http = builder(house, Streams(Arc::downgrade(&streams)));
    let mut connection = pin!(http.serve_connection(TokioIo::new(watched), handler));
    let mut deadline = Deadline::new(house.header_timeout, house.idle_timeout, PARTING);
    let mut drain = pin!(house.stage.drained());
    loop {
        let event = poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            // Only here does anything go out, so that the last ones are told as well.
            for _ in 0..ledger.take_own_answers() {
                house.refusals.refused(Refusal::TooLarge);
            }
            if let Poll::Ready(ended) = ended {
                return Poll::Ready(Event::Ended(ended));
            }
            if ledger.is_flooded() || ledger.is_taken_back() {
                return Poll::Ready(Event::Over(Reason::EnhanceYourCalm));
            }
            if !deadline.is_leaving() {
                let leaves = house.stage.is_leaving() && ledger.has_begun();
                if leaves || drain.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Leave);
                }
            }
            deadline
                .poll(cx, &ledger)
                .map(|()| Event::Over(Reason::NoError))
        })
        .await;
        match event {
            // Requests that run are finished, and those that were on their way are taken.
            Event::Leave => {
                connection.as_mut().graceful_shutdown();
                deadline.leave();
            }
            Event::Ended(ended) => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return None;
            }
            Event::Over(reason) => {
                tracing::debug!(%peer, ?reason, "connection was ended");
                return Some(reason);
            }
        }
    }
}

fn builder(house: &House, streams: Streams) -> http2::Builder<Streams> {
    let limits = &house.http2;
    let lines = LINE_OVERHEAD.saturating_mul(house.headers);
    let head = house.header_bytes.saturating_add(lines);
    let mut http = http2::Builder::new(streams);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_frame_size(limits.frame_bytes)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.resets as usize)
        .max_local_error_reset_streams(limits.resets as usize)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    http
}

/// The service's answer, or ours to a head with too many lines.
async fn answer(service: Call, mut request: Request<Incoming>, house: &House) -> Boxed {
    if request.headers().len() > house.headers {
        house.refusals.refused(Refusal::TooLarge);
        return too_large();
    }
    name_host(&mut request);
    let mut answer = service(request).await;
    // RFC 9113 8.2.2: the connection is not a request's.
    answer.headers_mut().remove(header::CONNECTION);
    answer
}

fn too_large() -> Boxed {
    // Without a body, as hyper's own over HTTP/1.
    let body = Full::default().map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    answer
}

/// Gives a request the Host that it has only as `:authority` (RFC 9113 8.3.1).
fn name_host<B>(request: &mut Request<B>) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let host = request.uri().authority();
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// The body of an answer, whose way is noted.
#[derive(Debug)]
struct Noted {
    body: UnsyncBoxBody<Bytes, BoxError>,
    sending: Sending,
}

impl Noted {
    fn new(body: UnsyncBoxBody<Bytes, BoxError>, mut sending: Sending) -> Self {
        if body.is_end_stream() {
            sending.is_whole();
        }
        Self { body, sending }
    }
}

impl Body for Noted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.sending.goes_on();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.sending.is_whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs the requests of one connection for as long as it lives. What it runs holds it, so it must not hold the set.
#[derive(Clone, Debug)]
struct Streams(Weak<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let Some(streams) = self.0.upgrade() else {
            return;
        };
        let mut streams = streams.lock();
        while let Some(ended) = streams.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "task of a request panicked");
            }
        }
        streams.spawn(future);
    }
}

/// A stream whose frames are counted.
#[derive(Debug)]
struct Watched {
    stream: Stream,
    incoming: Frames,
    outgoing: Frames,
    ledger: Arc<Ledger>,
    last_stream: u32,
    /// The peer has closed its side, or the socket is broken.
    ended: bool,
}

impl Watched {
    fn new(stream: Stream, ledger: Arc<Ledger>) -> Self {
        Self {
            stream,
            incoming: Frames::incoming(),
            outgoing: Frames::outgoing(),
            ledger,
            last_stream: 0,
            ended: false,
        }
    }

    /// The last frame, where it can be told from what was sent before.
    fn goodbye(&self, reason: Reason) -> Vec<u8> {
        if self.outgoing.is_between() {
            frames::goaway(self.last_stream, reason)
        } else {
            Vec::new()
        }
    }

    fn note_write(&mut self, bufs: &[IoSlice<'_>], written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => {}
            Poll::Ready(Err(_)) => self.ended = true,
            Poll::Ready(Ok(written)) => {
                let mut left = *written;
                for buf in bufs {
                    let length = left.min(buf.len());
                    self.outgoing.pass(&buf[..length], |frame| {
                        if frame.is_headers() {
                            self.ledger.head_sent();
                        }
                    });
                    left -= length;
                }
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ledger.is_flooded() {
            // The connection's task looks at this next, and reads no more.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        let bytes = &buf.filled()[before..];
        if read.is_err() || bytes.is_empty() {
            this.ended = true;
        }
        this.incoming.pass(bytes, |frame| {
            if frame.is_headers() {
                this.last_stream = this.last_stream.max(frame.stream);
            } else if frame.carries_nothing() {
                this.ledger.control_frame();
            }
        });
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
        self.note_write(&[IoSlice::new(buf)], &written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_write(bufs, &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_its_authority_unless_it_has_a_host() {
        let named = |uri: &str, host: Option<&str>| {
            let mut request = Request::post(uri);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let mut request = request.body(()).expect("a request");
            name_host(&mut request);
            let host = request.headers().get("host")?;
            Some(host.to_str().expect("text").to_owned())
        };
        let authority = "https://example.com:8443/a";
        assert_eq!(named(authority, None).as_deref(), Some("example.com:8443"));
        assert_eq!(named(authority, Some("b")).as_deref(), Some("b"));
        assert_eq!(named("/a", Some("b")).as_deref(), Some("b"));
        assert_eq!(named("/a", None), None);
    }
}

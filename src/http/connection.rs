//! One connection of the server, from accept to close: it ends in time, its last answer reaches the peer, and no
//! byte of a body is ever taken for a request. What is here speaks HTTP/1; `http2` does the same for HTTP/2.

use super::answering::Answering;
use super::begin::{self, Begun};
use super::deadlines::{Deadline, Facts, Wait, Watched};
use super::http2;
use super::listen::Terms;
use super::proxy;
use super::server::{House, Peer, Refusal};
use super::socket::Socket;
use super::stream::Stream;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// Bytes that a closing connection reads and drops, so that what the peer still sends does not reset the
/// connection before the peer has read its answer.
const LINGER_BYTES: usize = 64 * 1024;
/// How long it does so.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes dropped at a time.
const LINGER_CHUNK: usize = 8 * 1024;

/// Why the loop around hyper stops.
enum Event {
    /// hyper is done with the connection.
    Ended(hyper::Result<()>),
    /// The connection has waited too long.
    Due(Wait),
    /// The server has begun to drain.
    Drain,
}

/// Serves one connection until it is closed.
pub(super) async fn run(
    mut socket: Socket,
    mut peer: Peer,
    terms: Arc<Terms>,
    service: impl Answering,
    house: Arc<House>,
) {
    let accepted = Instant::now();
    if let Some(peers) = &terms.proxy_protocol {
        let due = accepted + house.header_timeout;
        // On the heap, since most connections have none of it.
        let client = Box::pin(proxy::client(&mut socket, peer, peers, due, &house));
        let Some(client) = client.await else { return };
        peer = client;
    }
    let entered = house.crowd.as_ref().map(|crowd| crowd.enter(peer.client()));
    // Held until the connection ends.
    let Ok(_member) = entered.transpose() else {
        if let Some(suppressed) = house.complaints.pass() {
            tracing::warn!(%peer, suppressed, "client has as many connections as it may");
        }
        if terms.tls.is_some() {
            house.refusals.refused(Refusal::CrowdedTls);
        } else {
            house.refusals.refused(Refusal::Crowded);
            close(Stream::plain(socket), &Refusal::Crowded.last_words()).await;
        }
        return;
    };
    let begun = if begin::is_needed(&terms) {
        // On the heap like what follows, since every connection's task would have to hold it otherwise.
        Box::pin(begin::begin(socket, peer, accepted, &terms, &house)).await
    } else {
        Some(Begun::Http1(Stream::plain(socket), accepted))
    };
    match begun {
        None => {}
        Some(Begun::Http1(stream, since)) => http1(stream, since, peer, service, house).await,
        Some(Begun::Http2(stream)) => {
            let service = http2::forget(service);
            Box::pin(http2::run(stream, peer, service, house)).await;
        }
    }
}

/// Serves HTTP/1. The first head has its time since `since`.
async fn http1(
    stream: Stream,
    since: Instant,
    peer: Peer,
    service: impl Answering,
    house: Arc<House>,
) {
    let facts = Arc::new(Facts::default());
    let mut deadline = Deadline::new(since, house.header_timeout, house.idle_timeout);
    let handler = service_fn(|mut request: Request<Incoming>| {
        facts.called();
        request.extensions_mut().insert(peer);
        let (facts, house) = (Arc::clone(&facts), Arc::clone(&house));
        answer(service.clone(), request, facts, house)
    });
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&facts)));
    let mut connection = house.http1.serve_connection(io, handler);
    let mut drain = pin!(house.stage.drained());
    let mut listening = false;
    let mut drained = false;
    let mut was_idle = false;
    loop {
        let event = poll_fn(|cx| {
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Event::Ended(ended));
            }
            // Polled once to leave this task's waker, which stays the same; then a look at the flag will do.
            if !drained && (!listening || house.stage.is_draining()) {
                listening = true;
                drained = drain.as_mut().poll(cx).is_ready();
                if drained {
                    return Poll::Ready(Event::Drain);
                }
            }
            deadline.poll(cx, &facts).map(Event::Due)
        })
        .await;
        match event {
            Event::Drain => {
                was_idle = deadline.is_quiet(&facts);
                Pin::new(&mut connection).graceful_shutdown();
            }
            Event::Ended(ended) => {
                if let Err(error) = &ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                // Only an idle connection that the server's stop has ended has surely nothing unread.
                let nothing_unread = was_idle && deadline.is_quiet(&facts);
                let refusal = ended.as_ref().err().and_then(refusal);
                if let Some(refusal) = refusal {
                    house.refusals.refused(refusal);
                }
                let last_words = match &ended {
                    // hyper leaves this one to whoever could speak HTTP/2.
                    Err(error) if error.is_parse_version_h2() => Refusal::Malformed.last_words(),
                    _ => Vec::new(),
                };
                if !last_words.is_empty() || (!facts.ended() && !nothing_unread) {
                    let stream = connection.into_parts().io.into_inner().into_stream();
                    close(stream, &last_words).await;
                }
                return;
            }
            Event::Due(wait @ (Wait::Head | Wait::NextRequest)) => {
                // hyper does not tell whether it holds a part of a head; taking it apart does.
                let parts = connection.into_parts();
                if holds_part_of_a_head(&parts.read_buf) {
                    tracing::debug!(%peer, "head was not whole in time");
                    house.refusals.refused(Refusal::Timeout);
                    let stream = parts.io.into_inner().into_stream();
                    close(stream, &Refusal::Timeout.last_words()).await;
                    return;
                }
                if wait == Wait::Head || !deadline.grant_idle_timeout() {
                    parts.io.into_inner().into_stream().hang_up();
                    return;
                }
                // It held nothing, so it can be put together again.
                connection = house.http1.serve_connection(parts.io, parts.service);
            }
            Event::Due(_) => {
                let stream = connection.into_parts().io.into_inner().into_stream();
                stream.hang_up();
                return;
            }
        }
    }
}

/// The service's answer to `request`, as the present stage of the server wants it sent.
async fn answer<S: Answering>(
    service: S,
    request: Request<Incoming>,
    facts: Arc<Facts>,
    house: Arc<House>,
) -> Result<Response<S::Body>, Infallible> {
    let mut answer = service.answer(request).await?;
    if house.stage.is_leaving() {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    facts.answered();
    Ok(answer)
}

/// Whether more than the line ends are left over that some clients send after a body.
fn holds_part_of_a_head(read: &[u8]) -> bool {
    read.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
}

/// What a head was answered that hyper could not parse. (hyper answers 414 to a target of 64 KiB, which counts as
/// too large as well.)
fn refusal(error: &hyper::Error) -> Option<Refusal> {
    if error.is_parse_too_large() {
        Some(Refusal::TooLarge)
    } else if error.is_parse() {
        Some(Refusal::Malformed)
    } else {
        None
    }
}

/// Writes `last_words`, ends our side, and lingers: reads and drops what the peer still sends.
pub(super) async fn close(stream: Stream, last_words: &[u8]) {
    match tokio::time::timeout(LINGER, linger(stream, last_words)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::trace!(%error, "peer was gone before the connection was closed"),
        Err(_) => tracing::trace!("peer did not close its side"),
    }
}

async fn linger(mut stream: Stream, last_words: &[u8]) -> io::Result<()> {
    stream.write_all(last_words).await?;
    stream.shutdown().await?;
    // On the heap, since every connection's task would have to hold it otherwise.
    let mut chunk = vec![0; LINGER_CHUNK];
    let mut dropped = 0;
    while dropped < LINGER_BYTES {
        match stream.read(&mut chunk).await? {
            0 => break,
            read => dropped += read,
        }
    }
    Ok(())
}

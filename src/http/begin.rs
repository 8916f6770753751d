//! The beginning of a connection: from a socket to the protocol that is spoken over it, within a time.

use super::connection::close;
use super::http2::PREFACE;
use super::listen::Terms;
use super::server::{House, Peer, Refusal};
use super::socket::Socket;
use super::stream::Stream;
use super::tls::{NoSession, Tls, speaks_http2};
use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

/// What is spoken over a connection.
#[derive(Debug)]
pub(super) enum Begun {
    /// HTTP/1, since this instant.
    Http1(Stream, Instant),
    /// HTTP/2; the preface is still to be read.
    Http2(Stream),
}

/// For a client that does not speak TLS where it is spoken.
const NOT_TLS: &str = "this port speaks TLS; begin the URL with https://\n";

/// Finds out what is spoken over a socket that was accepted at `accepted`. None: the connection is closed.
pub(super) async fn begin(
    socket: Socket,
    peer: Peer,
    accepted: Instant,
    terms: &Terms,
    house: &House,
) -> Option<Begun> {
    let drained = house.stage.drained();
    let begun = async {
        if let Some(tls) = &terms.tls {
            secure(tls, socket, peer, house).await
        } else {
            sniff(socket, accepted, house).await
        }
    };
    tokio::select! {
        biased;
        begun = begun => begun,
        // Nothing was asked yet.
        () = drained => None,
    }
}

/// Whether anything has to be found out.
pub(super) fn is_needed(terms: &Terms) -> bool {
    terms.tls.is_some() || terms.http2
}

async fn secure(tls: &Tls, socket: Socket, peer: Peer, house: &House) -> Option<Begun> {
    match tls.accept(socket).await {
        Ok(session) => {
            let http2 = speaks_http2(&session);
            let stream = Stream::secured(session);
            Some(if http2 {
                Begun::Http2(stream)
            } else {
                Begun::Http1(stream, Instant::now())
            })
        }
        Err(NoSession::Http(socket)) => {
            tracing::debug!(%peer, "request without TLS");
            house.refusals.refused(Refusal::Malformed);
            close(Stream::plain(socket), &not_tls()).await;
            None
        }
        Err(NoSession::Failed(socket, error)) => {
            tracing::debug!(%peer, %error, "no TLS session");
            house.refusals.refused(Refusal::Handshake);
            // So that the alert is not lost with what the peer has sent.
            if error.kind() == std::io::ErrorKind::InvalidData {
                close(Stream::plain(socket), &[]).await;
            }
            None
        }
        Err(NoSession::Lost(error)) => {
            tracing::debug!(%peer, %error, "no TLS session");
            house.refusals.refused(Refusal::Handshake);
            None
        }
        // A check of health that connects and leaves, or one that says nothing: as without TLS.
        Err(NoSession::Silent(error)) => {
            tracing::debug!(%peer, %error, "no TLS session");
            None
        }
    }
}

fn not_tls() -> Vec<u8> {
    format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{NOT_TLS}",
        NOT_TLS.len()
    )
    .into_bytes()
}

/// Reads as much as tells HTTP/2's preface from a request of HTTP/1.
async fn sniff(mut socket: Socket, since: Instant, house: &House) -> Option<Begun> {
    let deadline = since + house.header_timeout;
    let mut seen = BytesMut::with_capacity(PREFACE.len());
    while is_open(&seen) {
        let room = PREFACE.len() - seen.len();
        let mut rest = (&mut socket).take(room as u64);
        match timeout_at(deadline, rest.read_buf(&mut seen)).await {
            // Half a request and the peer's end, or a broken socket: HTTP/1 knows what to say.
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => {}
            Err(_) if seen.is_empty() => return None,
            Err(_) => {
                house.refusals.refused(Refusal::Timeout);
                close(Stream::plain(socket), &Refusal::Timeout.last_words()).await;
                return None;
            }
        }
    }
    let http2 = seen[..] == *PREFACE;
    let stream = Stream::after(seen.freeze(), socket);
    Some(if http2 {
        Begun::Http2(stream)
    } else {
        Begun::Http1(stream, since)
    })
}

/// Whether what was seen could still become the preface, and is not yet.
fn is_open(seen: &[u8]) -> bool {
    seen.len() < PREFACE.len() && PREFACE.starts_with(seen)
}

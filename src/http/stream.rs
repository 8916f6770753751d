//! The bytes of a connection of the server, secured or not.

use super::socket::Socket;
use bytes::{Buf, Bytes};
use futures_util::FutureExt as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

/// A connection that was accepted.
#[derive(Debug)]
pub(super) struct Stream {
    /// What was read to see which protocol the peer speaks; it is read again first.
    seen: Bytes,
    io: Io,
}

#[derive(Debug)]
enum Io {
    Plain(Socket),
    /// Boxed: a session is large.
    Tls(Box<TlsStream<Socket>>),
}

impl Stream {
    /// As it was accepted.
    pub(super) fn plain(socket: Socket) -> Self {
        Self::after(Bytes::new(), socket)
    }

    /// The same, of which `seen` was read already.
    pub(super) fn after(seen: Bytes, socket: Socket) -> Self {
        let io = Io::Plain(socket);
        Self { seen, io }
    }

    /// After a handshake.
    pub(super) fn secured(session: TlsStream<Socket>) -> Self {
        let io = Io::Tls(Box::new(session));
        Self {
            seen: Bytes::new(),
            io,
        }
    }

    /// Ends it at once, where nothing is owed. TLS says so (RFC 8446 6.1): into the socket's buffer, or not at all.
    pub(super) fn hang_up(mut self) {
        if let Io::Tls(session) = &mut self.io {
            // The peer may be gone, or never read.
            let _ = session.shutdown().now_or_never();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.has_remaining() {
            let length = self.seen.len().min(buf.remaining());
            buf.put_slice(&self.seen[..length]);
            self.seen.advance(length);
            return Poll::Ready(Ok(()));
        }
        match &mut self.io {
            Io::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Io::Tls(session) => Pin::new(session).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Io::Tls(session) => Pin::new(session).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Io::Tls(session) => Pin::new(session).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(socket) => socket.is_write_vectored(),
            Io::Tls(session) => session.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Io::Tls(session) => Pin::new(session).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Io::Tls(session) => Pin::new(session).poll_shutdown(cx),
        }
    }
}

//! One connection to an app: hyper's two halves, driven by whoever uses them.
//!
//! hyper wants its connection polled by a task of its own and hands answers over by channels. Here one future
//! polls the connection and then looks whether something was handed over, so nothing ever has to be woken by
//! the channels: they are polled without a waker.

use super::super::gather::Gathered;
use super::Reply;
use super::stream::Stream;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes of an answer's head. Apps that send more are broken; hyper's own bound is 400 KiB.
const HEAD_BYTES: usize = 64 * 1024;

/// When a connection was lost.
#[derive(Debug)]
pub(super) enum Lost {
    /// Not a byte of an answer had come.
    BeforeAnswer(hyper::Error),
    /// An answer had begun.
    WithinAnswer(hyper::Error),
}

impl From<Lost> for hyper::Error {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::BeforeAnswer(error) | Lost::WithinAnswer(error) => error,
        }
    }
}

/// A connection that can serve one request after the other. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// None once hyper is done with it: only its drop lets go of a request that it never began.
    connection: Option<Connection<TokioIo<Noted>, Full<Bytes>>>,
    /// A byte has come since the last request was given.
    answered: Arc<AtomicBool>,
    opened: Instant,
}

impl Link {
    /// Speaks HTTP/1.1 over `stream`.
    pub(super) async fn open(stream: Stream) -> hyper::Result<Self> {
        let answered = Arc::new(AtomicBool::new(false));
        let io = Noted {
            stream,
            answered: Arc::clone(&answered),
            gathered: Gathered::default(),
        };
        let (sender, connection) = http1::Builder::new()
            .max_header_size(HEAD_BYTES)
            .max_buf_size(HEAD_BYTES)
            .handshake(TokioIo::new(io))
            .await?;
        Ok(Self {
            sender,
            connection: Some(connection),
            answered,
            opened: Instant::now(),
        })
    }

    /// How long before `now` it was opened.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.opened)
    }

    /// Whether the idle connection, as far as can be told, is still open.
    pub(super) fn poll_alive(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        self.is_ready()
    }

    /// Whether it can take a request: the last exchange is over on both sides, and nobody has asked to close.
    pub(super) fn is_ready(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends `request` and reads at most `answer_bytes` of the answer. When there was more, or the answer was
    /// 101, the connection is closed.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        answer_bytes: usize,
    ) -> Result<Reply, Lost> {
        // Whoever else is about to send does so in the same turn: an app on this machine is woken for all of them, and not for
        // each.
        tokio::task::yield_now().await;
        self.answered.store(false, Relaxed);
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(error) if self.answered.load(Relaxed) => return Err(Lost::WithinAnswer(error)),
            Err(error) => return Err(Lost::BeforeAnswer(error)),
        };
        let (head, incoming) = response.into_parts();
        let (body, truncated) = self
            .receive(incoming, answer_bytes)
            .await
            .map_err(Lost::WithinAnswer)?;
        if truncated || head.status == StatusCode::SWITCHING_PROTOCOLS {
            self.connection = None;
        }
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body,
            truncated,
        })
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let mut response = pin!(self.sender.send_request(request));
        poll_fn(|cx| {
            self.drive(cx);
            response
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    /// The body up to `limit` bytes, and whether there was more.
    async fn receive(&mut self, mut body: Incoming, limit: usize) -> hyper::Result<(Bytes, bool)> {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| self.poll_frame(&mut body, cx)).await {
            let Ok(mut data) = frame?.into_data() else {
                continue;
            };
            let room = limit - first.len() - all.len();
            let truncated = data.len() > room;
            data.truncate(room);
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                // A second piece: the first is no longer worth keeping apart.
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }
            if truncated {
                return Ok((whole(first, all), true));
            }
        }
        Ok((whole(first, all), false))
    }

    fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let mut no_waker = Context::from_waker(Waker::noop());
        // What has come already makes room for what comes next.
        let frame = Pin::new(&mut *body).poll_frame(&mut no_waker);
        if frame.is_ready() {
            return frame;
        }
        self.drive(cx);
        Pin::new(body).poll_frame(&mut no_waker)
    }

    /// Lets hyper go on; what it has to say it says by its channels.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
        {
            if let Err(error) = ended {
                tracing::trace!(%error, "connection to the app ended");
            }
            self.connection = None;
        }
    }
}

fn whole(first: Bytes, all: BytesMut) -> Bytes {
    if all.is_empty() { first } else { all.freeze() }
}

/// A stream that notes the first byte that comes.
#[derive(Debug)]
struct Noted {
    stream: Stream,
    answered: Arc<AtomicBool>,
    gathered: Gathered,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.answered.store(true, Relaxed);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self {
            stream, gathered, ..
        } = self.get_mut();
        match gathered.of(bufs) {
            Some(whole) => Pin::new(stream).poll_write(cx, whole),
            None => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
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

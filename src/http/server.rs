//! The accept loop: a bound on connections, a deadline for every phase of each, lingering close.

use super::Answer;
use crate::shutdown::Listener as Stop;
use http::Request;
use hyper::body::Incoming;
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tower::Service;

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
}

/// The other end of a connection, in every request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Serves until the stop has reached [`Draining`](crate::shutdown::Phase::Draining) and every connection has
/// ended, or is [`Over`](crate::shutdown::Phase::Over). From [`Leaving`](crate::shutdown::Phase::Leaving) on
/// answers carry `Connection: close`; at `Draining` the listener is closed and idle connections too.
pub async fn serve<S>(
    _listener: TcpListener,
    _service: S,
    _settings: Settings,
    _open: metrics::Gauge,
    _stop: Stop,
) where
    S: Service<Request<Incoming>, Response = Answer, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    todo!()
}

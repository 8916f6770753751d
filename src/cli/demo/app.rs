//! The small app behind the gateway: takes every event, says which ones came, and can be switched off
//! (nobody listens at its address then) and on again at the same address.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

/// Arrivals that may wait to be looked at; then the app makes the gateway wait.
const WAITING_ARRIVALS: usize = 1024;

/// Between a failed accept (no file descriptor is free) and the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An event that reached the app, by what the gateway says of it.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// `Hookgate-Event-Id`
    pub(super) id: String,
    /// `Hookgate-Source`
    pub(super) source: String,
    /// `Hookgate-Event-Type`
    pub(super) event_type: String,
    /// `Hookgate-Attempt`
    pub(super) attempt: String,
    /// When its body was read.
    pub(super) at: Instant,
}

/// The app. Dropped, it stops listening.
#[derive(Debug)]
pub(super) struct App {
    address: SocketAddr,
    arrivals: mpsc::Sender<Arrival>,
    serving: Option<Serving>,
}

impl App {
    /// Starts on a free port of loopback. Every arrival goes to the receiver.
    pub(super) async fn start() -> io::Result<(Self, mpsc::Receiver<Arrival>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (arrivals, received) = mpsc::channel(WAITING_ARRIVALS);
        let app = Self {
            address: listener.local_addr()?,
            serving: Some(Serving::start(listener, arrivals.clone())),
            arrivals,
        };
        Ok((app, received))
    }

    /// Where it listens, or listened.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection. Returns when both are closed.
    pub(super) async fn switch_off(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.end().await;
        }
    }

    /// Listens again.
    pub(super) async fn switch_on(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.serving = Some(Serving::start(listener, self.arrivals.clone()));
        Ok(())
    }
}

/// The task that accepts. It owns the listener and all connections, so that its end closes them.
#[derive(Debug)]
struct Serving(JoinHandle<()>);

impl Serving {
    fn start(listener: TcpListener, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self(tokio::spawn(accept(listener, arrivals)))
    }

    async fn end(mut self) {
        self.0.abort();
        // An error says that it was aborted, which is what was asked for.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, arrivals: mpsc::Sender<Arrival>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, arrivals.clone()));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. How it ends does not matter: the gateway sends again what was not answered.
async fn serve(stream: TcpStream, arrivals: mpsc::Sender<Arrival>) {
    let service = service_fn(|request| take(request, &arrivals));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn take(
    request: Request<Incoming>,
    arrivals: &mpsc::Sender<Arrival>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    body.collect().await?;
    let told = arrivals.send(arrival(&head.headers)).await;
    let mut answer = Response::new(Empty::new());
    if told.is_err() {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

fn arrival(headers: &HeaderMap) -> Arrival {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Arrival {
        id: text("hookgate-event-id"),
        source: text("hookgate-source"),
        event_type: text("hookgate-event-type"),
        attempt: text("hookgate-attempt"),
        at: Instant::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const REQUEST: &[u8] = b"POST /webhooks HTTP/1.1\r\nHost: app\r\nHookgate-Event-Id: e1\r\n\
        Hookgate-Source: erp\r\nHookgate-Event-Type: a.b\r\nHookgate-Attempt: 2\r\nContent-Length: 2\r\n\r\n{}";

    async fn post(stream: &mut TcpStream) -> String {
        stream.write_all(REQUEST).await.expect("written");
        let mut answer = [0; 256];
        let read = stream.read(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    #[tokio::test]
    async fn arrivals_are_told_and_answered() {
        let (app, mut received) = App::start().await.expect("loopback");
        let mut stream = TcpStream::connect(app.address()).await.expect("connected");
        for _ in 0..2 {
            assert!(post(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
            let arrival = received.recv().await.expect("told");
            assert_eq!(
                [
                    &*arrival.id,
                    &*arrival.source,
                    &*arrival.event_type,
                    &*arrival.attempt
                ],
                ["e1", "erp", "a.b", "2"]
            );
        }
    }

    #[tokio::test]
    async fn switched_off_it_refuses_and_closes_then_comes_back() {
        let (mut app, mut received) = App::start().await.expect("loopback");
        let mut open = TcpStream::connect(app.address()).await.expect("connected");
        post(&mut open).await;
        received.recv().await.expect("told");
        app.switch_off().await;
        let refused = TcpStream::connect(app.address()).await;
        assert_eq!(
            refused.map(drop).map_err(|error| error.kind()),
            Err(io::ErrorKind::ConnectionRefused)
        );
        assert_eq!(open.read(&mut [0; 1]).await.expect("closed"), 0);
        app.switch_on().await.expect("the port is still free");
        let mut again = TcpStream::connect(app.address()).await.expect("connected");
        assert!(post(&mut again).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

//! A defect in one place: a panic in a request or in an attempt ends that alone, and everything goes on.
//! (One in a thread of the store poisons it; readers and upkeep begin anew.)

use super::*;
use crate::config::environment::Environment;
use crate::config::load::{Options, Origin, load};
use bytes::Bytes;
use http_body::Frame;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tracing::subscriber::set_default;
use tracing::{Event, Metadata, Subscriber, span};

const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration of one source that takes everything, with this app.
fn config(place: &std::path::Path, app: SocketAddr) -> Config {
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nstore: {{ path: {}, min_free: 1MiB }}\n\
         limits: {{ in_flight_bytes: 1MiB, body: 1MiB }}\nsources:\n  open: {{ verify: none, forward: app }}\n\
         targets:\n  app: {{ url: http://{app}/, concurrency: 1, retry: {{ first: 10ms, max: 20ms }} }}\n",
        place.display()
    );
    let origin = Origin::Text {
        name: "test".into(),
        text,
    };
    let loaded = load(&origin, &Environment::default(), Options::default());
    loaded.unwrap_or_else(|problems| panic!("{problems:?}")).0
}

/// A body in pieces; at one that is missing its reader meets a defect.
struct Pieces(VecDeque<Option<Bytes>>);

impl Pieces {
    fn new(pieces: impl IntoIterator<Item = Option<Bytes>>) -> Self {
        Self(pieces.into_iter().collect())
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.expect("on purpose")))))
    }
}

#[tokio::test]
async fn a_panic_in_a_request_is_503_and_frees_what_it_held() {
    let place = tempfile::tempdir().expect("a directory");
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let gateway = Gateway::open(config(place.path(), nobody)).await;
    let gateway = gateway.expect("opens");
    let request = || {
        Request::post("/hooks/open")
            .header("host", "gate.test")
            // Three quarters of what may be in flight.
            .header("content-length", 768 * 1024)
    };
    let present = gateway.running.present();
    let receive = || service::service(Arc::clone(&present.receive), stack(&present.config));
    for _ in 0..5 {
        let defective = Pieces::new([Some(Bytes::from_static(b"{")), None]);
        let request = request().body(defective).expect("a request");
        let answer = receive().oneshot(request).await;
        let answer = answer.unwrap_or_else(|never| match never {});
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
    let whole = Pieces::new([Some(Bytes::from(vec![b'x'; 768 * 1024]))]);
    let request = request().body(whole).expect("a request");
    let answer = receive().oneshot(request).await;
    let answer = answer.unwrap_or_else(|never| match never {});
    assert_eq!(answer.status(), 200, "its bytes in flight were given back");
    gateway.running.shared.store.close(PATIENCE).await;
}

/// Panics at the first line that a delivery writes.
struct Trap(AtomicBool);

impl Subscriber for Trap {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "hookgate::deliver::log"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {
        assert!(self.0.swap(true, Ordering::SeqCst), "on purpose");
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Takes each request; tells the attempt's number.
async fn app(listener: TcpListener, attempts: tokio::sync::mpsc::Sender<String>) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut head = Vec::new();
        while !head.ends_with(b"{\"n\":1}") {
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).await.expect("readable");
            assert!(read > 0, "a whole request");
            head.extend_from_slice(&chunk[..read]);
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        let attempt = head
            .lines()
            .find_map(|line| line.strip_prefix("hookgate-attempt: "))
            .expect("its number");
        attempts.send(attempt.to_owned()).await.expect("heard");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await
            .expect("writable");
    }
}

// On one thread, so that the trap lies where attempts are made.
#[tokio::test]
async fn a_panic_in_an_attempt_is_a_failed_attempt_and_its_worker_is_replaced() {
    let place = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (attempts, mut attempted) = tokio::sync::mpsc::channel(8);
    let app = tokio::spawn(app(listener, attempts));
    let config = config(place.path(), address);
    let gateway = Gateway::open(config.clone()).await.expect("opens");
    let public = gateway.public_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let _trap = set_default(Trap(AtomicBool::new(false)));
    let running = tokio::spawn(gateway.run(async {
        // Dropped counts as told.
        let _ = stopped.await;
    }));
    let mut sender = tokio::net::TcpStream::connect(public)
        .await
        .expect("listens");
    sender
        .write_all(b"POST /hooks/open HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{\"n\":1}")
        .await
        .expect("writable");
    // With `concurrency: 1` the second attempt needs the place of the worker that fell.
    for expected in ["1", "2"] {
        let attempt = timeout(PATIENCE, attempted.recv()).await;
        assert_eq!(attempt.expect("in time").as_deref(), Some(expected));
    }
    drop(stop);
    running.await.expect("no panic").expect("not poisoned");
    app.abort();
    let (opened, _, _) = open_store(config).await.expect("opens again");
    let waiting: u64 = opened
        .targets()
        .iter()
        .map(|(_, backlog)| backlog.deliveries)
        .sum();
    assert_eq!(waiting, 0, "the second attempt has settled it");
}

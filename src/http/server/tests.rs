//! The server as a peer sees it: raw bytes over real sockets.

use super::*;
use crate::budget::Budget;
use crate::http::Answer;
use crate::http::body::{self, BodyError, BodyLimits};
use crate::http::strict;
use crate::shutdown::Shutdown;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Long enough for anything that is meant to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// A timeout that a test wants to see.
const SHORT: Duration = Duration::from_millis(50);
/// Bytes of the answer that a slow reader does not read: more than the socket buffers hold.
const HUGE_ANSWER: usize = 64 * 1024 * 1024;

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing happened in time")
}

/// Nothing times out by itself.
fn settings() -> Settings {
    Settings {
        connections: 100,
        header_bytes: 1024,
        headers: 20,
        header_timeout: PATIENCE * 2,
        per_client: None,
        idle_timeout: PATIENCE * 2,
        http2: Http2Limits::default(),
    }
}

struct Server {
    address: SocketAddr,
    stop: Shutdown,
    served: JoinHandle<()>,
    /// Lets requests for `/wait` go on, one a permit.
    gate: Arc<Semaphore>,
    /// Has a permit for each request for `/wait` that has reached its handler.
    waiting: Arc<Semaphore>,
    refusals: Arc<Refused>,
}

/// What the connections have answered by themselves.
#[derive(Debug, Default)]
struct Refused(parking_lot::Mutex<Vec<Refusal>>);

impl Refusals for Refused {
    fn refused(&self, refusal: Refusal) {
        self.0.lock().push(refusal);
    }
}

impl Server {
    async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (gate, waiting) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let service = {
            let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
            tower::service_fn(move |request| {
                respond(request, Arc::clone(&gate), Arc::clone(&waiting))
            })
        };
        let stop = Shutdown::default();
        let open = metrics::Gauge::noop();
        let refusals = Arc::new(Refused::default());
        let served = tokio::spawn(serve(
            vec![listener.into()],
            service,
            settings,
            open,
            Arc::clone(&refusals) as _,
            stop.listen(),
        ));
        Self {
            address,
            stop,
            served,
            gate,
            waiting,
            refusals,
        }
    }

    async fn connect(&self) -> Raw {
        Raw(TcpStream::connect(self.address)
            .await
            .expect("a connection"))
    }
}

/// Says what came: method, path and body, after the checks that a real service makes.
async fn respond(
    request: Request<Incoming>,
    gate: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
) -> Result<Answer, Infallible> {
    if let Err(malformed) = strict::check(&request) {
        return Ok(last(StatusCode::BAD_REQUEST, &malformed.to_string()));
    }
    let (head, incoming) = request.into_parts();
    assert!(head.extensions.get::<Peer>().is_some());
    match head.uri.path() {
        "/early" => return Ok(text(StatusCode::UNAUTHORIZED, "early")),
        "/huge" => {
            return Ok(Response::new(Full::new(Bytes::from(vec![
                b'x';
                HUGE_ANSWER
            ]))));
        }
        "/wait" => {
            waiting.add_permits(1);
            gate.acquire().await.expect("an open gate").forget();
        }
        _ => {}
    }
    let limits = BodyLimits {
        bytes: 20_000_000,
        timeout: if head.uri.path() == "/short" {
            SHORT
        } else {
            PATIENCE
        },
    };
    let budget = Budget::new(u64::MAX);
    Ok(match body::read(incoming, limits, &budget, 0).await {
        Ok((body, _charge)) => {
            let body = String::from_utf8_lossy(&body);
            text(
                StatusCode::OK,
                &format!("{} {} [{body}]", head.method, head.uri.path()),
            )
        }
        Err(error @ BodyError::Timeout(_)) => last(StatusCode::REQUEST_TIMEOUT, &error.to_string()),
        Err(error) => last(StatusCode::BAD_REQUEST, &error.to_string()),
    })
}

fn text(status: StatusCode, body: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *answer.status_mut() = status;
    answer
}

fn last(status: StatusCode, body: &str) -> Answer {
    let mut answer = text(status, body);
    let close = http::HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// A peer that speaks bytes.
struct Raw(TcpStream);

impl Raw {
    async fn send(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.expect("written");
    }

    /// One answer: its status line, its header lines in lower case, its body.
    async fn answer(&mut self) -> (String, String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.0.read_u8()).await.expect("a whole head"));
        }
        let head = String::from_utf8(head).expect("text");
        let (status, headers) = head.split_once("\r\n").expect("a status line");
        let headers = headers.to_lowercase();
        let length = headers
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body))
            .await
            .expect("a whole body");
        let body = String::from_utf8(body).expect("text");
        (status.to_owned(), headers, body)
    }

    async fn expect(&mut self, status: &str, body: &str) {
        let (got_status, _, got_body) = self.answer().await;
        assert_eq!((got_status.as_str(), got_body.as_str()), (status, body));
    }

    /// Everything until the other side ends, cleanly.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        soon(self.0.read_to_end(&mut rest))
            .await
            .expect("a clean end");
        String::from_utf8(rest).expect("text")
    }
}

#[tokio::test]
async fn requests_on_one_connection() {
    let server = Server::start(settings()).await;
    let mut raw = server.connect().await;
    for (request, body) in [
        (GET, "GET /a []"),
        (
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            "POST /a [abc]",
        ),
        (
            b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;e=1\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n",
            "POST /a [abc]",
        ),
        // Java's client offers an upgrade with every request.
        (
            b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            "GET /a []",
        ),
        // Old clients send a line end after a body.
        (b"\r\nGET http://x/b HTTP/1.1\r\nHost: x\r\n\r\n", "GET /b []"),
        (
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "POST /a [a]",
        ),
    ] {
        raw.send(request).await;
        raw.expect("HTTP/1.1 200 OK", body).await;
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(settings()).await;
    let mut raw = server.connect().await;
    raw.send(
        b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\
          POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
          POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\n\
          GET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
          GET /5 HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    .await;
    for body in ["GET /1 []", "POST /2 [abc]", "POST /3 [d]", "GET /4 []"] {
        raw.expect("HTTP/1.1 200 OK", body).await;
    }
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn continue_is_sent_when_the_body_is_wanted_and_only_then() {
    let server = Server::start(settings()).await;
    let mut raw = server.connect().await;
    raw.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        .await;
    raw.expect("HTTP/1.1 100 Continue", "").await;
    raw.send(b"abc").await;
    raw.expect("HTTP/1.1 200 OK", "POST /a [abc]").await;

    raw.send(
        b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    )
    .await;
    raw.expect("HTTP/1.1 401 Unauthorized", "early").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn http_1_0_ends_after_its_answer_and_half_closed_peers_get_theirs() {
    let server = Server::start(settings()).await;
    let mut raw = server.connect().await;
    raw.send(b"GET /a HTTP/1.0\r\n\r\n").await;
    raw.expect("HTTP/1.0 200 OK", "GET /a []").await;
    assert_eq!(raw.rest().await, "");

    let mut raw = server.connect().await;
    raw.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.0.shutdown().await.expect("closed for writing");
    soon(server.waiting.acquire()).await.expect("open").forget();
    let waits = tokio::time::timeout(SHORT, raw.0.peek(&mut [0])).await;
    assert!(waits.is_err());
    server.gate.add_permits(1);
    raw.expect("HTTP/1.1 200 OK", "GET /wait []").await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn malformed_requests_are_refused_and_closed() {
    let server = Server::start(settings()).await;
    let long = format!(
        "GET /a HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n",
        "a".repeat(1100)
    );
    let many = format!(
        "GET /a HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "A: 1\r\n".repeat(20)
    );
    for (request, status) in [
        (&b"GARBAGE\r\n\r\n"[..], "400"),
        (b"GET /a HTTP/1.1\r\n\r\n", "400"),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "400"),
        (b"GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n", "400"),
        (b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n", "400"),
        (b"GET /a HTTP/3.0\r\nHost: x\r\n\r\n", "400"),
        (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA: 1\r\n folded\r\n\r\n", "400"),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA : 1\r\n\r\n", "400"),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", "400"),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", "400"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n", "400"),
        (b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", "400"),
        (b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: x\r\n\r\na", "400"),
        (long.as_bytes(), "431"),
        (many.as_bytes(), "431"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
    ] {
        let mut raw = server.connect().await;
        // What follows must never be answered.
        raw.send(&[request, GET].concat()).await;
        let rest = raw.rest().await;
        let shown = String::from_utf8_lossy(request);
        assert!(rest.starts_with(&format!("HTTP/1.1 {status} ")) || rest.starts_with(&format!("HTTP/1.0 {status} ")), "{shown} {rest}");
        assert_eq!(rest.matches("HTTP/1.").count(), 1, "{shown} {rest}");
    }
}

#[tokio::test]
async fn what_connections_answer_by_themselves_is_told() {
    let server = Server::start(Settings {
        header_timeout: SHORT,
        ..settings()
    })
    .await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9_000));
    for (request, refusal) in [
        (&b"GARBAGE\r\n\r\n"[..], Some(Refusal::Malformed)),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            Some(Refusal::Malformed),
        ),
        (long.as_bytes(), Some(Refusal::TooLarge)),
        (b"GET /a HT", Some(Refusal::Timeout)),
        (b"", None),
        // This one is the service's to answer.
        (b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", None),
    ] {
        let mut raw = server.connect().await;
        raw.send(request).await;
        let rest = raw.rest().await;
        let told = std::mem::take(&mut *server.refusals.0.lock());
        assert_eq!(told, Vec::from_iter(refusal), "{rest}");
        if let Some(refusal) = refusal {
            let status = refusal.status().expect("an answer");
            assert!(
                rest.starts_with(&format!("HTTP/1.1 {} ", status.as_u16())),
                "{rest}"
            );
        }
    }
}

#[tokio::test]
async fn a_length_beside_a_transfer_coding_gets_one_answer_and_the_end() {
    let server = Server::start(settings()).await;
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: nonsense",
    ] {
        let mut raw = server.connect().await;
        let request = format!("POST /a HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n");
        raw.send(&[request.as_bytes(), GET].concat()).await;
        let (status, headers, _) = raw.answer().await;
        assert!(status == "HTTP/1.1 200 OK" || status == "HTTP/1.1 400 Bad Request");
        assert!(headers.contains("connection: close"), "{headers}");
        assert_eq!(raw.rest().await, "");
    }
}

#[tokio::test]
async fn an_unread_body_is_never_a_second_request() {
    let server = Server::start(settings()).await;
    // All of it has come with the head: dropped, and the connection goes on.
    let mut raw = server.connect().await;
    let inner = String::from_utf8_lossy(GET);
    let whole = format!(
        "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    raw.send(&[whole.as_bytes(), GET].concat()).await;
    raw.expect("HTTP/1.1 401 Unauthorized", "early").await;
    raw.expect("HTTP/1.1 200 OK", "GET /a []").await;

    // A part of it is still to come: closed.
    let mut raw = server.connect().await;
    raw.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        .await;
    raw.expect("HTTP/1.1 401 Unauthorized", "early").await;
    raw.send(GET).await;
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn an_answer_to_an_unread_body_is_not_lost_to_a_reset() {
    let server = Server::start(settings()).await;
    let raw = server.connect().await;
    let (mut reading, mut writing) = raw.0.into_split();
    let written = tokio::spawn(async move {
        let head = b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n";
        writing.write_all(head).await?;
        writing.write_all(&vec![b'a'; 10 * 1024 * 1024]).await
    });
    // The server gives up on the body at some time; the answer has to be there however that ends.
    let _ = soon(written).await.expect("no panic");
    let mut answer = vec![0; 4096];
    let mut length = 0;
    while let Ok(read) = soon(reading.read(&mut answer[length..])).await
        && read > 0
    {
        length += read;
    }
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.ends_with("early"), "{answer}");
}

#[tokio::test]
async fn a_closing_connection_takes_what_still_comes() {
    let server = Server::start(settings()).await;
    let mut raw = server.connect().await;
    raw.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        .await;
    raw.expect("HTTP/1.1 401 Unauthorized", "early").await;
    assert_eq!(raw.rest().await, "");
    // A socket that is gone answers the first of these with a reset, and the others fail.
    for _ in 0..6 {
        raw.send(&[b'a'; 10_000]).await;
    }
}

#[tokio::test]
async fn silence_is_closed_silently_and_half_a_head_is_answered() {
    let server = Server::start(Settings {
        header_timeout: SHORT,
        ..settings()
    })
    .await;
    let timed_out = r#"{"error":"request timeout"}"#;

    assert_eq!(server.connect().await.rest().await, "");

    for half in [&b"POST"[..], b"GET /a HTTP/1.1\r\nHost: x\r\n"] {
        let mut raw = server.connect().await;
        raw.send(half).await;
        let (status, headers, body) = raw.answer().await;
        assert_eq!(status, "HTTP/1.1 408 Request Timeout");
        assert!(headers.contains("connection: close"));
        assert_eq!(body, timed_out);
        assert_eq!(raw.rest().await, "");
    }

    // Half a head behind a request, in the same packet and in a later one.
    for later in [false, true] {
        let mut raw = server.connect().await;
        if later {
            raw.send(GET).await;
            raw.expect("HTTP/1.1 200 OK", "GET /a []").await;
            raw.send(b"GET /b").await;
        } else {
            raw.send(&[GET, b"GET /b"].concat()).await;
            raw.expect("HTTP/1.1 200 OK", "GET /a []").await;
        }
        raw.expect("HTTP/1.1 408 Request Timeout", timed_out).await;
        assert_eq!(raw.rest().await, "");
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_but_not_its_own() {
    let server = Server::start(Settings {
        header_timeout: SHORT,
        idle_timeout: SHORT * 8,
        ..settings()
    })
    .await;
    let mut raw = server.connect().await;
    // The server's own begins once it has answered, which may be long before the answer is read here.
    let idle = Instant::now();
    raw.send(GET).await;
    raw.expect("HTTP/1.1 200 OK", "GET /a []").await;
    assert_eq!(raw.rest().await, "");
    assert!(idle.elapsed() >= SHORT * 8, "{:?}", idle.elapsed());
}

#[tokio::test]
async fn a_connection_that_was_looked_into_goes_on() {
    let server = Server::start(Settings {
        header_timeout: SHORT,
        ..settings()
    })
    .await;
    let mut raw = server.connect().await;
    for _ in 0..2 {
        raw.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            .await;
        raw.expect("HTTP/1.1 200 OK", "POST /a [abc]").await;
        // Nothing comes; the header timeout passes meanwhile.
        let silence = tokio::time::timeout(SHORT * 3, raw.0.peek(&mut [0])).await;
        assert!(silence.is_err());
    }
}

#[tokio::test]
async fn half_a_body_is_the_handlers_to_answer() {
    let server = Server::start(settings()).await;
    let mut raw = server.connect().await;
    raw.send(b"POST /short HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")
        .await;
    let (status, headers, _) = raw.answer().await;
    assert_eq!(status, "HTTP/1.1 408 Request Timeout");
    assert!(headers.contains("connection: close"));
    assert_eq!(raw.rest().await, "");

    let mut raw = server.connect().await;
    raw.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")
        .await;
    raw.0.shutdown().await.expect("closed for writing");
    raw.expect("HTTP/1.1 400 Bad Request", "body is malformed or cut off")
        .await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped() {
    let server = Server::start(Settings {
        connections: 1,
        idle_timeout: SHORT,
        ..settings()
    })
    .await;
    let mut slow = server.connect().await;
    slow.send(b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // The only place is free again once the slow one is gone.
    let mut raw = server.connect().await;
    raw.send(GET).await;
    raw.expect("HTTP/1.1 200 OK", "GET /a []").await;
}

#[tokio::test]
async fn a_peer_that_reads_late_gets_its_whole_answer() {
    let server = Server::start(Settings {
        header_timeout: SHORT,
        ..settings()
    })
    .await;
    let mut slow = server.connect().await;
    slow.send(b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // What waits is not a head: its timeout passes meanwhile.
    tokio::time::sleep(SHORT * 3).await;
    let (_, _, body) = slow.answer().await;
    assert_eq!(body.len(), HUGE_ANSWER);
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_place() {
    let server = Server::start(Settings {
        connections: 1,
        ..settings()
    })
    .await;
    let mut first = server.connect().await;
    first.send(GET).await;
    first.expect("HTTP/1.1 200 OK", "GET /a []").await;
    let mut second = server.connect().await;
    second.send(GET).await;
    let waits = tokio::time::timeout(SHORT, second.0.peek(&mut [0])).await;
    assert!(waits.is_err());
    drop(first);
    second.expect("HTTP/1.1 200 OK", "GET /a []").await;
}

#[tokio::test]
async fn a_stop_goes_through_its_phases() {
    let server = Server::start(settings()).await;
    let mut idle = server.connect().await;
    idle.send(GET).await;
    idle.expect("HTTP/1.1 200 OK", "GET /a []").await;
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon(server.waiting.acquire()).await.expect("open").forget();

    server.stop.enter(Phase::Leaving);
    // New connections are taken. The loop hears of the phase before it accepts.
    let mut new = server.connect().await;
    new.send(GET).await;
    let (_, headers, _) = new.answer().await;
    assert!(headers.contains("connection: close"), "{headers}");
    assert_eq!(new.rest().await, "");
    drop(new);

    server.stop.enter(Phase::Draining);
    assert_eq!(idle.rest().await, "");
    assert_eq!(silent.rest().await, "");
    let refused = soon(async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    refused.await;

    server.gate.add_permits(1);
    let (status, headers, _) = busy.answer().await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains("connection: close"), "{headers}");
    assert_eq!(busy.rest().await, "");
    drop(busy);
    soon(server.served).await.expect("served to the end");
}

#[tokio::test]
async fn whatever_runs_when_the_time_is_over_is_cut_off() {
    let server = Server::start(settings()).await;
    let mut busy = server.connect().await;
    busy.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    soon(server.waiting.acquire()).await.expect("open").forget();
    server.stop.enter(Phase::Over);
    soon(server.served).await.expect("served to the end");
    assert_eq!(busy.rest().await, "");
}

#[tokio::test]
async fn the_gauge_counts_open_connections() {
    use metrics::GaugeFn;
    use std::sync::atomic::AtomicI64;

    #[derive(Debug, Default)]
    struct Count(AtomicI64);
    impl GaugeFn for Count {
        fn increment(&self, by: f64) {
            assert!((by - 1.0).abs() < f64::EPSILON);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        fn decrement(&self, by: f64) {
            assert!((by - 1.0).abs() < f64::EPSILON);
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
        fn set(&self, _value: f64) {}
    }

    let count = Arc::new(Count::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let stop = Shutdown::default();
    let service = tower::service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(text(StatusCode::OK, "ok"))
    });
    let gauge = metrics::Gauge::from_arc(Arc::clone(&count));
    let served = tokio::spawn(serve(
        vec![listener.into()],
        service,
        settings(),
        gauge,
        Arc::new(()),
        stop.listen(),
    ));
    let mut raws = Vec::new();
    for open in 1..=2 {
        let mut raw = Raw(TcpStream::connect(address).await.expect("a connection"));
        raw.send(GET).await;
        raw.expect("HTTP/1.1 200 OK", "ok").await;
        assert_eq!(count.0.load(Ordering::SeqCst), open);
        raws.push(raw);
    }
    stop.enter(Phase::Over);
    soon(served).await.expect("served to the end");
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
}

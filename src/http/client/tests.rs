//! The client against a scripted app on real sockets.

mod connecting;

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::future::Future;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Long enough for anything that is meant to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate for `localhost`, valid until 2120, and its key: made for these tests, trusted by nothing else.
const CERTIFICATE: &str = "MIIBXTCCAQSgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKUkJL51E/fJLE28kqOZ/BdH02zQdVyUfvn9lNxB6ipkQAbldwaSmT4jTdhg6XsJ+P2Sk7XTfdUQuhmmYu00rUajRTBDMBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAMBgNVHRMBAf8EAjAAMB0GA1UdDgQWBBTNfqBGLyTX1D8iMYx4eFwNaAxa3DAKBggqhkjOPQQDAgNHADBEAiB1qZLgMuguTV3D2jL3WC7OgjAZwlWffAocOemsv84GJQIgPkMAbL/vQk7cKEGRlOPg/AXw+tD3Ote3qKYzPY0I79U=";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGbfYeGuC/mZxH/z4g3j7MExjbtlInpftjDzSK77YMjKhRANCAASlJCS+dRP3ySxNvJKjmfwXR9Ns0HVclH75/ZTcQeoqZEAG5XcGkpk+I03YYOl7Cfj9kpO1033VELoZpmLtNK1G";

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing happened in time")
}

struct App {
    listener: TcpListener,
    address: SocketAddr,
}

impl App {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    fn url(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address)
            .parse()
            .expect("a URL")
    }

    async fn accept(&self) -> Raw<TcpStream> {
        Raw(soon(self.listener.accept()).await.expect("a connection").0)
    }

    /// Whether nobody else wants to connect.
    async fn is_left_alone(&self) -> bool {
        let pause = Duration::from_millis(50);
        tokio::time::timeout(pause, self.listener.accept())
            .await
            .is_err()
    }
}

/// An address that refuses connections: bound, so that nobody else gets the port, and never listened on.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

/// A connection as the app sees it.
struct Raw<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.0.read_u8()).await.expect("a whole head"));
        }
        String::from_utf8(head).expect("text")
    }

    /// The next request: its head and its body.
    async fn request(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        soon(self.0.read_exact(&mut body))
            .await
            .expect("a whole body");
        (head, body)
    }

    async fn send(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.expect("written");
    }

    async fn answer(&mut self, bytes: &[u8]) {
        self.request().await;
        self.send(bytes).await;
    }

    /// Waits until the client has closed, by whatever means.
    async fn closed(&mut self) {
        let mut rest = [0; 1024];
        while let Ok(1..) = soon(self.0.read(&mut rest)).await {}
    }
}

/// Posts "body" and reads at most 100 bytes.
async fn post(client: &Client) -> Result<Reply, ClientError> {
    let body = Bytes::from_static(b"body");
    soon(client.post(HeaderMap::new, &body, 100)).await
}

async fn expect_ok(client: &Client) {
    let reply = post(client).await.expect("a reply");
    assert_eq!(
        (reply.status, &reply.body[..]),
        (StatusCode::OK, &b"ok"[..])
    );
}

const LIMITS: Limits = Limits {
    connect_timeout: PATIENCE,
    connection_max_age: Duration::MAX,
};

/// One that keeps connections for as long as anything may take.
fn client_of(url: &Uri) -> Client {
    Client::with(Origin::new(url), url, LIMITS, PATIENCE)
}

/// One that keeps no connection.
fn forgetful(url: &Uri) -> Client {
    Client::with(Origin::new(url), url, LIMITS, Duration::ZERO)
}

#[tokio::test]
async fn a_request_is_sent_as_given() {
    let app = App::start().await;
    for (path, target) in [("/in?a=b%20c", "/in?a=b%20c"), ("", "/"), ("?x", "/?x")] {
        let client = client_of(&app.url(path));
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        headers.append("host", HeaderValue::from_static("elsewhere"));
        let script = async {
            let mut raw = app.accept().await;
            let (head, body) = raw.request().await;
            raw.send(OK).await;
            (head, body)
        };
        let sent = Bytes::from_static(b"a\0b");
        let call = soon(client.post(|| headers.clone(), &sent, 100));
        let (reply, (head, body)) = tokio::join!(call, script);
        assert_eq!(reply.expect("a reply").body, "ok");
        assert_eq!(body, b"a\0b");
        let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
        assert_eq!(lines.remove(0), format!("POST {target} HTTP/1.1"));
        lines.sort_unstable();
        let host = format!("host: {}", app.address);
        assert_eq!(
            lines,
            ["content-length: 3", host.as_str(), "x-a: 1", "x-a: 2"]
        );
    }
}

#[tokio::test]
async fn a_question_has_its_own_method_and_query() {
    let app = App::start().await;
    for (method, target) in [
        (Method::GET, "/in?a=b%20c"),
        (Method::PUT, "/"),
        (Method::POST, "/in?"),
    ] {
        let client = client_of(&app.url("/in?own=query"));
        let target: Uri = target.parse().expect("a target");
        let script = async {
            let mut raw = app.accept().await;
            let head = raw.head().await;
            raw.send(OK).await;
            head
        };
        let call = async {
            let body = Bytes::new();
            soon(client.ask(&method, &target, HeaderMap::new, &body, 100)).await
        };
        let (head, reply) = tokio::join!(script, call);
        reply.expect("a reply");
        let line = format!("{method} {target} HTTP/1.1");
        assert_eq!(head.lines().next(), Some(line.as_str()));
    }
}

#[tokio::test]
async fn an_empty_body_has_a_length_and_default_ports_are_not_named() {
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async { app.accept().await.head().await };
    let empty = Bytes::new();
    let (_, head) = tokio::join!(client.post(HeaderMap::new, &empty, 1), script);
    assert!(head.contains("content-length: 0\r\n"), "{head}");

    for (url, host) in [
        ("http://example.com/", "example.com"),
        ("http://example.com:80/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("http://user:pass@[::1]:8080/", "[::1]:8080"),
    ] {
        let origin = Origin::new(&Uri::from_static(url));
        assert_eq!(origin.host_header(), host);
    }
}

#[tokio::test]
async fn a_connection_is_reused() {
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async {
        let mut raw = app.accept().await;
        raw.answer(OK).await;
        raw.answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        )
        .await;
        raw.answer(OK).await;
        raw
    };
    let calls = async {
        for _ in 0..3 {
            expect_ok(&client).await;
            assert_eq!(client.pool.len(), 1);
        }
    };
    let ((), _open) = tokio::join!(calls, script);
    assert!(app.is_left_alone().await);
}

#[tokio::test]
async fn calls_at_one_time_have_connections_of_their_own() {
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async {
        let (mut one, mut two) = (app.accept().await, app.accept().await);
        two.answer(OK).await;
        one.answer(OK).await;
        (one, two)
    };
    let ((), (), _open) = tokio::join!(expect_ok(&client), expect_ok(&client), script);
    assert_eq!(client.pool.len(), 2);
}

/// Whoever is ready first does not wake the app before the other is ready as well.
#[tokio::test]
async fn calls_at_one_time_are_sent_in_one_turn() {
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async {
        let (mut one, mut two) = (app.accept().await, app.accept().await);
        one.answer(OK).await;
        two.answer(OK).await;
        [one, two]
    };
    let ((), (), mut open) = tokio::join!(expect_ok(&client), expect_ok(&client), script);
    let seen = open.each_mut().map(|open| {
        let stream = rustix::io::dup(&open.0).expect("another handle");
        std::net::TcpStream::from(stream)
    });
    let second = || {
        for stream in &seen {
            let nothing = stream.peek(&mut [0]).expect_err("nothing was sent");
            assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
        }
        HeaderMap::new()
    };
    let body = Bytes::from_static(b"body");
    let script = async {
        for open in &mut open {
            open.answer(OK).await;
        }
    };
    let (first, second, ()) = tokio::join!(
        biased;
        post(&client),
        soon(client.post(second, &body, 100)),
        script
    );
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test]
async fn a_reused_connection_that_dies_unanswered_is_replaced_once() {
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async {
        // The second request is read and not answered, the third is not even read.
        let mut first = app.accept().await;
        first.answer(OK).await;
        first.request().await;
        drop(first);
        let mut second = app.accept().await;
        second.answer(OK).await;
        drop(second);
        app.accept().await.answer(OK).await;
    };
    let calls = async {
        for _ in 0..3 {
            expect_ok(&client).await;
        }
    };
    tokio::join!(calls, script);

    // The replacement dies as well: that is an answer about the app.
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async {
        let mut first = app.accept().await;
        first.answer(OK).await;
        first.request().await;
        drop(first);
        app.accept().await.request().await;
    };
    let calls = async {
        expect_ok(&client).await;
        assert!(matches!(post(&client).await, Err(ClientError::Closed(_))));
    };
    tokio::join!(calls, script);
    assert!(app.is_left_alone().await);
}

#[tokio::test]
async fn only_a_reused_connection_without_an_answer_is_replaced() {
    for begun in [
        &b""[..],
        b"H",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    ] {
        let app = App::start().await;
        // A fresh one is never replaced.
        let client = client_of(&app.url("/"));
        let script = async { app.accept().await.answer(begun).await };
        let (reply, ()) = tokio::join!(post(&client), script);
        assert!(matches!(reply, Err(ClientError::Closed(_))), "{reply:?}");
        assert!(app.is_left_alone().await);

        // A reused one is not, once an answer has begun.
        if !begun.is_empty() {
            let script = async {
                let mut raw = app.accept().await;
                raw.answer(OK).await;
                raw.answer(begun).await;
            };
            let calls = async {
                expect_ok(&client).await;
                post(&client).await
            };
            let (reply, ()) = tokio::join!(calls, script);
            assert!(matches!(reply, Err(ClientError::Closed(_))), "{reply:?}");
            assert!(app.is_left_alone().await);
        }
    }
}

#[tokio::test]
async fn an_old_connection_is_not_reused_and_is_closed_without_another_call() {
    let app = App::start().await;
    let client = forgetful(&app.url("/"));
    let script = async {
        let mut first = app.accept().await;
        first.answer(OK).await;
        let mut second = app.accept().await;
        second.answer(OK).await;
        first.closed().await;
        second.closed().await;
    };
    let calls = async {
        expect_ok(&client).await;
        expect_ok(&client).await;
    };
    tokio::join!(calls, script);
    assert_eq!(client.pool.len(), 0);
}

#[tokio::test]
async fn answers_that_end_a_connection_are_not_kept() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"[..],
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let app = App::start().await;
        let client = client_of(&app.url("/"));
        let script = async {
            let mut raw = app.accept().await;
            raw.answer(answer).await;
            raw.closed().await;
        };
        let (reply, ()) = tokio::join!(post(&client), script);
        assert!(reply.is_ok(), "{reply:?}");
        assert_eq!(client.pool.len(), 0);
    }
}

#[tokio::test]
async fn answers_are_taken_as_they_come() {
    for (answer, status, body) in [
        // Not followed.
        (
            &b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"[..],
            302,
            "",
        ),
        // Read although it is a failure.
        (
            b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
            500,
            "oops",
        ),
        // Skipped.
        (
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            204,
            "",
        ),
        // Ends with the connection.
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end"),
    ] {
        let app = App::start().await;
        let client = client_of(&app.url("/a"));
        let script = async { app.accept().await.answer(answer).await };
        let (reply, ()) = tokio::join!(post(&client), script);
        let reply = reply.expect("a reply");
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(reply.body, body);
        assert!(!reply.truncated);
        assert!(app.is_left_alone().await);
    }
}

#[tokio::test]
async fn an_answer_is_read_up_to_the_limit() {
    let exact = [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"[..],
        &[b'x'; 100],
    ]
    .concat();
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async { app.accept().await.answer(&exact).await };
    let (reply, ()) = tokio::join!(post(&client), script);
    let reply = reply.expect("a reply");
    assert_eq!((reply.body.len(), reply.truncated), (100, false));

    for head in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let app = App::start().await;
        let client = client_of(&app.url("/"));
        let script = async {
            let mut raw = app.accept().await;
            raw.answer(head).await;
            // For ever, until the client has had enough.
            while raw.0.write_all(b"a\r\nxxxxxxxxxx\r\n").await.is_ok() {}
        };
        let (reply, ()) = tokio::join!(post(&client), soon(script));
        let reply = reply.expect("a reply");
        assert_eq!((reply.body.len(), reply.truncated), (100, true));
        assert_eq!(client.pool.len(), 0);
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_is_taken() {
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let body = Bytes::from(vec![0; 64 * 1024 * 1024]);
    let call = soon(client.post(HeaderMap::new, &body, 100));
    let script = async {
        let mut raw = app.accept().await;
        raw.head().await;
        raw.send(OK).await;
        raw
    };
    let (reply, mut raw) = tokio::join!(call, script);
    assert_eq!(reply.expect("a reply").body, "ok");
    assert_eq!(client.pool.len(), 0);
    raw.closed().await;
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let endless_head = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(70_000));
    for answer in [
        &b"SSH-2.0-x\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        endless_head.as_bytes(),
    ] {
        let app = App::start().await;
        let client = client_of(&app.url("/"));
        let script = async {
            let mut raw = app.accept().await;
            raw.answer(answer).await;
            raw.closed().await;
        };
        let (reply, ()) = tokio::join!(post(&client), script);
        assert!(matches!(reply, Err(ClientError::Closed(_))), "{reply:?}");
    }
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection() {
    let app = App::start().await;
    let client = client_of(&app.url("/"));
    let script = async {
        let mut raw = app.accept().await;
        raw.request().await;
        raw
    };
    let mut raw = tokio::select! {
        reply = post(&client) => panic!("nobody has answered: {reply:?}"),
        raw = script => raw,
    };
    raw.closed().await;
}

#[tokio::test]
async fn failures_to_connect_are_told_apart() {
    // A label that is too long (RFC 1035 2.3.4): the system's resolver says so by itself, and asks no name server.
    let name = format!("{}.invalid", "a".repeat(64));
    let url = format!("http://{name}/").parse().expect("a URL");
    let unresolved = post(&client_of(&url)).await;
    assert!(
        matches!(&unresolved, Err(ClientError::Dns { host, .. }) if *host == name),
        "{unresolved:?}"
    );

    let (_bound, address) = refusing();
    let url = format!("http://{address}/").parse().expect("a URL");
    let refused = post(&client_of(&url)).await;
    assert!(
        matches!(&refused, Err(ClientError::Connect { address: at, .. }) if *at == address.to_string()),
        "{refused:?}"
    );

    // A plain port where TLS is expected.
    let app = App::start().await;
    let client = client_of(&https(&app));
    let script = async {
        app.accept()
            .await
            .send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await;
    };
    let (plain, ()) = tokio::join!(post(&client), script);
    assert!(
        matches!(&plain, Err(ClientError::Tls { host, .. }) if host == "localhost"),
        "{plain:?}"
    );
}

fn https(app: &App) -> Uri {
    format!("https://localhost:{}/in", app.address.port())
        .parse()
        .expect("a URL")
}

fn certificate() -> CertificateDer<'static> {
    STANDARD.decode(CERTIFICATE).expect("base64").into()
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(STANDARD.decode(KEY).expect("base64"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], PrivateKeyDer::Pkcs8(key))
        .expect("a certificate and its key");
    Arc::new(config).into()
}

#[tokio::test]
async fn https_goes_to_who_proves_the_name() {
    let app = App::start().await;
    let url = https(&app);
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).expect("a root");
    let trusting = Origin::with(&url, Some(Arc::new(origin::tls_with(roots))));
    let client = Client::with(trusting, &url, LIMITS, PATIENCE);
    let script = async {
        let session = soon(acceptor().accept(app.accept().await.0)).await;
        let mut raw = Raw(session.expect("a session"));
        assert_eq!(raw.0.get_ref().1.server_name(), Some("localhost"));
        for _ in 0..2 {
            let (head, _) = raw.request().await;
            assert!(head.starts_with("POST /in HTTP/1.1\r\n"), "{head}");
            raw.send(OK).await;
        }
    };
    let calls = async {
        expect_ok(&client).await;
        expect_ok(&client).await;
    };
    tokio::join!(calls, script);

    // The system's roots do not know it.
    let stranger = client_of(&url);
    let script = async { soon(acceptor().accept(app.accept().await.0)).await.is_err() };
    let (reply, refused) = tokio::join!(post(&stranger), script);
    assert!(matches!(reply, Err(ClientError::Tls { .. })), "{reply:?}");
    assert!(refused);
}

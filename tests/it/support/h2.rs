//! HTTP/2 from the client's side: by hyper where the answers count, and frame by frame where it does what no client
//! does.

use super::{PATIENCE, Reply};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// A body, or none that ever comes.
type Body = http_body_util::Either<Full<Bytes>, Never>;

/// A body that never comes.
#[derive(Clone, Copy)]
pub(crate) struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// A client with one connection.
pub(crate) struct Client {
    runtime: Runtime,
    sender: http2::SendRequest<Body>,
}

impl Client {
    /// Speaks HTTP/2 at once (prior knowledge), over plain TCP.
    #[track_caller]
    pub(crate) fn plain(to: SocketAddr) -> Self {
        Self::open(to, None).expect("a connection")
    }

    /// Over TLS, to `localhost`.
    pub(crate) fn open(to: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(to)
                .await
                .map_err(|error| error.to_string())?;
            match tls {
                None => handshake(stream).await,
                Some(tls) => {
                    let name = ServerName::try_from("localhost").expect("a name");
                    let session = tokio_rustls::TlsConnector::from(tls)
                        .connect(name, stream)
                        .await
                        .map_err(|error| error.to_string())?;
                    handshake(session).await
                }
            }
        })?;
        Ok(Self { runtime, sender })
    }

    /// Sends a request with a body, and reads its answer.
    #[track_caller]
    pub(crate) fn send(&mut self, request: http::Request<&str>) -> Reply {
        self.try_send(request).expect("an answer")
    }

    /// The same, where there may be no answer.
    pub(crate) fn try_send(&mut self, request: http::Request<&str>) -> Result<Reply, String> {
        let request = request.map(|body| Full::from(body.to_owned()));
        self.exchange(request.map(Body::Left))
    }

    /// Sends a request whose body never comes, and reads its answer.
    #[track_caller]
    pub(crate) fn send_without_body(&mut self, request: http::Request<()>) -> Reply {
        self.exchange(request.map(|()| Body::Right(Never)))
            .expect("an answer")
    }

    fn exchange(&mut self, request: http::Request<Body>) -> Result<Reply, String> {
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let exchange = async {
                sender.ready().await?;
                reply(sender.send_request(request).await?).await
            };
            let reply: hyper::Result<Reply> = tokio::time::timeout(PATIENCE, exchange)
                .await
                .expect("an answer in time");
            reply.map_err(|error| format!("{error:?}"))
        })
    }
}

async fn handshake<S>(stream: S) -> Result<http2::SendRequest<Body>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // How it ends is seen by its requests.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn reply(response: http::Response<Incoming>) -> hyper::Result<Reply> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut headers = std::collections::HashMap::<String, Vec<String>>::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.to_string()).or_default().push(value);
    }
    Ok(Reply {
        status: head.status.as_u16(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Kinds of frames (RFC 9113 6).
pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const PRIORITY: u8 = 0x2;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;
/// Flags of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
/// A flag of SETTINGS and PING.
pub(crate) const ACK: u8 = 0x1;
/// Codes (RFC 9113 7).
pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const PROTOCOL_ERROR: u32 = 0x1;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A frame as it goes over the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short frame");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(content);
    frame
}

/// Header fields, none of them indexed (RFC 7541 6.2.2): names and values of up to 126 bytes.
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "{text}");
            block.push(u8::try_from(text.len()).expect("below 127"));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The head of a POST of an event.
pub(crate) fn post(path: &str) -> Vec<u8> {
    fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gate.test"),
        (":path", path),
    ])
}

/// A frame that has come.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) content: Vec<u8>,
}

impl Frame {
    /// The code of a `RST_STREAM` or a GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.content[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(code)
    }

    /// The status of a HEADERS that begins with one of the few in HPACK's static table (RFC 7541 A).
    pub(crate) fn status(&self) -> Option<u16> {
        (self.kind == HEADERS).then_some(())?;
        let status = [200, 204, 206, 304, 400, 404, 500];
        let mut content = self.content.as_slice();
        // A change of the table's size may stand first.
        while let [0x20..=0x3f, rest @ ..] = content {
            content = rest;
        }
        let index = content.first()?.checked_sub(0x88)?;
        status.get(usize::from(index)).copied()
    }
}

/// A connection frame by frame.
pub(crate) struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Over plain TCP: the preface and empty settings are sent.
    #[track_caller]
    pub(crate) fn open(to: SocketAddr) -> Self {
        let mut wire = Self::silent(to);
        wire.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        wire.write(&frame(SETTINGS, 0, 0, &[]));
        wire
    }

    /// Over plain TCP; nothing is sent.
    #[track_caller]
    pub(crate) fn silent(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the gateway takes connections");
        stream.set_nodelay(true).expect("a TCP socket");
        let patience = Some(PATIENCE);
        stream.set_read_timeout(patience).expect("a TCP socket");
        stream.set_write_timeout(patience).expect("a TCP socket");
        Self { stream }
    }

    /// Writes bytes as they are.
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection stands");
    }

    /// The same, where the gateway may go away.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A second handle of the socket, to write from another thread.
    pub(crate) fn second(&self) -> Self {
        let stream = self.stream.try_clone().expect("a TCP socket");
        Self { stream }
    }

    /// The next frame; none when the connection is over.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.read_whole(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let mut content = vec![0; length];
        self.read_whole(&mut content)?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            content,
        })
    }

    fn read_whole(&mut self, into: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(into) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the gateway neither answers nor closes")
            }
            Err(_) => None,
        }
    }

    /// The next frame of this kind on this stream.
    #[track_caller]
    pub(crate) fn find(&mut self, kind: u8, stream: u32) -> Frame {
        loop {
            let frame = self.read().expect("the connection stands");
            if (frame.kind, frame.stream) == (kind, stream) {
                return frame;
            }
        }
    }

    /// Reads to the end: the code of the last GOAWAY.
    pub(crate) fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.read() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}

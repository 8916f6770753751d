//! TLS of a listener: the handshake, within its time and its number, and certificates that are swapped while it runs.
//!
//! A handshake goes by the certificates that are current when the client says hello. What is renewed meanwhile is for the
//! handshakes after it: connections that stand are not touched. A session is taken up again by a ticket (whose keys
//! change every few hours), never with data in the first flight (0-RTT), which could be sent twice. Where clients are
//! asked for certificates there are no tickets: each connection proves anew who it is.

use crate::config::tls as config;
use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::server::{
    Accepted, Acceptor, ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

/// The protocols that a client may choose (RFC 7301).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Bytes read at a time until a hello is whole; most are in one piece of 300 to 1,800.
const HELLO_CHUNK: usize = 2 * 1024;

/// What a listener needs to speak TLS.
pub struct Tls {
    current: RwLock<Arc<ServerConfig>>,
    tickets: Arc<dyn ProducesTickets>,
    http2: bool,
    handshake_timeout: Duration,
    handshakes: Semaphore,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum NoSession<S> {
    /// What came begins like a request of HTTP/1. Not a byte was answered.
    Http(S),
    /// The handshake failed; the client was told so where it could be. Nothing is left to do but to close.
    Failed(S, io::Error),
    /// It failed with a session that was half made, or was not over in time.
    Lost(io::Error),
    /// Not a byte came before the client has left, or in time.
    Silent(io::Error),
}

impl Tls {
    /// For a listener that offers HTTP/2 or does not.
    pub fn new(tls: &config::Tls, limits: config::TlsLimits, http2: bool) -> Self {
        let tickets = ring::Ticketer::new().expect("the system has random numbers");
        Self {
            current: RwLock::new(server(tls, &tickets, http2)),
            tickets,
            http2,
            handshake_timeout: limits.handshake_timeout,
            handshakes: Semaphore::new(limits.handshakes),
        }
    }

    /// From now on handshakes go by `tls`.
    pub fn renew(&self, tls: &config::Tls) {
        *self.current.write() = server(tls, &self.tickets, self.http2);
    }

    /// The server's side of a handshake over `socket`, which was accepted just now.
    pub(super) async fn accept<S>(&self, mut socket: S) -> Result<TlsStream<S>, NoSession<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = Instant::now() + self.handshake_timeout;
        let late = || {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the handshake was not over in time",
            )
        };
        let mut begun = false;
        let hello = timeout_at(deadline, hello(&mut socket, &mut begun)).await;
        let hello = match hello.unwrap_or_else(|_| Err(late())) {
            Ok(Hello::Tls(hello)) => hello,
            Ok(Hello::Http) => return Err(NoSession::Http(socket)),
            Err(error) if begun => return Err(NoSession::Failed(socket, error)),
            Err(error) => return Err(NoSession::Silent(error)),
        };
        let rest = async {
            // Only now, so that clients that say nothing take nobody's place.
            let _place = self.handshakes.acquire().await.expect("is never closed");
            let current = Arc::clone(&self.current.read());
            StartHandshake::from_parts(*hello, socket)
                .into_stream(current)
                .await
        };
        timeout_at(deadline, rest)
            .await
            .unwrap_or_else(|_| Err(late()))
            .map_err(NoSession::Lost)
    }
}

/// Whether the client has chosen HTTP/2.
pub(super) fn speaks_http2<S>(session: &TlsStream<S>) -> bool {
    session.get_ref().1.alpn_protocol() == Some(HTTP2)
}

enum Hello {
    /// Boxed, as it is large.
    Tls(Box<Accepted>),
    Http,
}

/// Reads until the client's hello is whole; rustls bounds it at 64 KiB. It is read by hand, since an alert would be in
/// the way of the words for a client that does not speak TLS. `begun` is whether any of it has come, also where this is
/// given up.
async fn hello<S>(socket: &mut S, begun: &mut bool) -> io::Result<Hello>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = Acceptor::default();
    let mut chunk = [0; HELLO_CHUNK];
    loop {
        let read = socket.read(&mut chunk).await?;
        let mut rest = &chunk[..read];
        match rest.first() {
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            // A method; a record of TLS begins with a number below 32.
            Some(b'A'..=b'Z') if !*begun => return Ok(Hello::Http),
            Some(_) => *begun = true,
        }
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Ok(Hello::Tls(Box::new(accepted))),
            Err((error, mut alert)) => {
                let mut words = Vec::new();
                alert.write_all(&mut words)?;
                socket.write_all(&words).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

fn server(tls: &config::Tls, tickets: &Arc<dyn ProducesTickets>, http2: bool) -> Arc<ServerConfig> {
    const SINCE_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    const SINCE_13: &[&SupportedProtocolVersion] = &[&TLS13];
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(match tls.min_version {
            config::Version::Tls12 => SINCE_12,
            config::Version::Tls13 => SINCE_13,
        })
        .expect("ring knows both versions");
    let builder = match &tls.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::clone(&clients.roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if clients.required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            // It fails for want of a root, and a configuration has at least one.
            builder.with_client_cert_verifier(verifier.build().expect("there is a root"))
        }
    };
    let mut server = builder.with_cert_resolver(Arc::new(ByName::new(&tls.certificates)));
    server.alpn_protocols = if http2 {
        vec![HTTP2.to_vec(), HTTP1.to_vec()]
    } else {
        vec![HTTP1.to_vec()]
    };
    // Ours are in the order of their strength.
    server.ignore_client_order = true;
    if tls.clients.is_none() {
        server.ticketer = Arc::clone(tickets);
    } else {
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    }
    Arc::new(server)
}

/// The certificates by the names that they are for.
#[derive(Debug)]
struct ByName {
    /// In the order of the file.
    all: Vec<Arc<CertifiedKey>>,
    /// Places in `all`; of a wildcard, what comes after its star.
    names: HashMap<String, Vec<usize>>,
}

impl ByName {
    fn new(certificates: &[config::Certificate]) -> Self {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                let name = name.strip_prefix('*').unwrap_or(name);
                names.entry(name.to_owned()).or_default().push(place);
            }
        }
        let all = certificates.iter();
        Self {
            all: all.map(|one| Arc::clone(&one.pair)).collect(),
            names,
        }
    }

    /// The places of those for a name: itself, or else a wildcard for its first label (RFC 9525 6.3).
    fn places(&self, name: &str) -> Option<&[usize]> {
        let name = name.to_ascii_lowercase();
        let places = self.names.get(&name).or_else(|| {
            let dot = name.find('.')?;
            self.names.get(&name[dot..])
        });
        places.map(Vec::as_slice)
    }
}

impl ResolvesServerCert for ByName {
    /// The first for the name whose key the client can make use of; for a name that none is for, the first of all.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let places = hello
            .server_name()
            .and_then(|name| self.places(name))
            .unwrap_or(&[0]);
        let usable = |place: &&usize| {
            let key = &self.all[**place].key;
            key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let place = places.iter().find(usable).or(places.first())?;
        self.all.get(*place).cloned()
    }
}

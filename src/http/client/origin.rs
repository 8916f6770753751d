//! Where a client connects to: names are resolved anew for every connection, addresses tried in their order.

use super::ClientError;
use http::{HeaderValue, Uri, uri::Scheme};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Scheme, host and port of a URL.
#[derive(Debug)]
pub(super) struct Origin {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    host_header: HeaderValue,
    /// Set for `https`.
    tls: Option<Arc<ClientConfig>>,
}

impl Origin {
    /// The origin of `url`. Without a host it is one that no name resolves to.
    pub(super) fn new(url: &Uri) -> Self {
        let secure = url.scheme() == Some(&Scheme::HTTPS);
        Self::with(url, secure.then(tls))
    }

    /// The same, with this TLS configuration or none.
    pub(super) fn with(url: &Uri, tls: Option<Arc<ClientConfig>>) -> Self {
        let default_port = if tls.is_some() { 443 } else { 80 };
        let host = url.host().unwrap_or_default();
        let port = url.port_u16().unwrap_or(default_port);
        let host_header = if port == default_port {
            HeaderValue::try_from(host)
        } else {
            HeaderValue::try_from(format!("{host}:{port}"))
        };
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            host_header: host_header.expect("the host of a URL is visible ASCII"),
            tls,
        }
    }

    /// The value of Host: with the port where it is not the scheme's own.
    pub(super) fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }

    /// A new connection, with its TLS session if there has to be one.
    pub(super) async fn connect(&self) -> Result<Stream, ClientError> {
        let stream = self.connect_tcp(self.resolve().await?).await?;
        let Some(config) = &self.tls else {
            return Ok(Stream::Plain(stream));
        };
        let failed = |source| ClientError::Tls {
            host: self.host.clone(),
            source,
        };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let session = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        Ok(Stream::Tls(Box::new(session.await.map_err(failed)?)))
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, ClientError> {
        let failed = |source| ClientError::Dns {
            host: self.host.clone(),
            source,
        };
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<_> = found.map_err(failed)?.collect();
        if addresses.is_empty() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        Ok(addresses)
    }

    async fn connect_tcp(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, ClientError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(ClientError::Connect {
            address: format!("{}:{}", self.host, self.port),
            source: last,
        })
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A request is written at once: waiting for more to come would only delay it.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The configuration of all clients: the system's roots, read once, when the first client needs them.
fn tls() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(CONFIG.get_or_init(|| Arc::new(tls_with(system_roots()))))
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "cannot read root certificates");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "root certificates of the system");
    if added == 0 {
        tracing::warn!("the system has no root certificates: no https target can be reached");
    }
    roots
}

/// TLS 1.2 and 1.3, HTTP/1.1 only, servers proven by `roots`.
pub(super) fn tls_with(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring knows the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// A connection, secured or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// Boxed: a session is large, and the rare case.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

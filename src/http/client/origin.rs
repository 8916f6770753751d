//! Where a client connects to: a name is resolved anew for every connection, and one time limit spans name, address
//! and TLS.

use super::ClientError;
use super::dial::{self, Name};
use super::stream::Stream;
use http::{HeaderValue, Uri, uri::Scheme};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// Scheme, host and port of a URL.
#[derive(Debug)]
pub(super) struct Origin {
    name: Name,
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
            name: Name::new(host.trim_matches(['[', ']']), port),
            host_header: host_header.expect("the host of a URL is visible ASCII"),
            tls,
        }
    }

    /// The value of Host: with the port where it is not the scheme's own.
    pub(super) fn host_header(&self) -> HeaderValue {
        self.host_header.clone()
    }

    /// The same, whose name is looked up by `ask`.
    #[cfg(test)]
    pub(super) fn asking(mut self, ask: impl dial::Ask) -> Self {
        self.name = self.name.asking(ask);
        self
    }

    /// A new connection, with its TLS session if there has to be one. What takes longer than `within` fails as the
    /// step that it did not get over, with [`io::ErrorKind::TimedOut`].
    pub(super) async fn connect(&self, within: Duration) -> Result<Stream, ClientError> {
        let host = || self.name.host().to_owned();
        let deadline = Instant::now() + within;
        let addresses = before(deadline, self.name.addresses()).await;
        let addresses = addresses.map_err(|source| ClientError::Dns {
            host: host(),
            source,
        })?;
        let stream = before(deadline, dial::first(&addresses, within)).await;
        let stream = stream.map_err(|source| ClientError::Connect {
            address: format!("{}:{}", self.name.host(), self.name.port()),
            source,
        })?;
        let Some(config) = &self.tls else {
            return Ok(Stream::Plain(stream));
        };
        let failed = |source| ClientError::Tls {
            host: host(),
            source,
        };
        let name = ServerName::try_from(host())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let session = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let session = before(deadline, session).await.map_err(failed)?;
        Ok(Stream::Tls(Box::new(session)))
    }
}

async fn before<T>(deadline: Instant, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "not within connect_timeout");
    timeout_at(deadline, step)
        .await
        .unwrap_or_else(|_| Err(late()))
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

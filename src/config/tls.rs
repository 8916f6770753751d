//! The certificates of a listener, as they were accepted: whatever can be wrong with one was found when it was read.

use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::sign::CertifiedKey;
use spki::der::{
    self, Decode as _, SliceReader, Tag, TagNumber, Tagged as _,
    asn1::{AnyRef, GeneralizedTime, UtcTime},
};
use std::{fmt, sync::Arc, time::Duration};
use webpki::EndEntityCert;

/// How a listener proves itself, and whom it asks to do the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// At least one. The client's SNI chooses among them by their names; the first is for everybody else.
    pub certificates: Vec<Certificate>,
    /// Asks clients for certificates; none: nobody is asked.
    pub clients: Option<Clients>,
    /// The oldest version that is spoken.
    pub min_version: Version,
}

/// For the summary: what is shown, and to whom.
impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = match self.min_version {
            Version::Tls12 => "1.2",
            Version::Tls13 => "1.3",
        };
        write!(f, "TLS {since} and later")?;
        for certificate in &self.certificates {
            let names = certificate.names.join(" ");
            let names = if names.is_empty() { "no name" } else { &names };
            write!(f, ", {} for {names}", certificate.file)?;
        }
        match &self.clients {
            None => Ok(()),
            Some(clients) if clients.required => f.write_str(", client certificates required"),
            Some(_) => f.write_str(", client certificates optional"),
        }
    }
}

/// Whose certificates clients may show.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Who may have signed them; at least one.
    pub roots: Arc<RootCertStore>,
    /// Whether a client without one is sent away.
    pub required: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// A certificate with its chain and its key, which belong together.
#[derive(Clone)]
pub struct Certificate {
    /// The file that it was read from, as it is written in the configuration.
    pub file: Arc<str>,
    /// The DNS names that it is for, in lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// From when it is valid, Unix seconds.
    pub not_before: u64,
    /// Until when it is valid, Unix seconds.
    pub not_after: u64,
    /// What the handshake needs of it.
    pub pair: Arc<CertifiedKey>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.file)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The same file with the same certificate in it.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.pair.cert == other.pair.cert
    }
}

impl PartialEq for Clients {
    fn eq(&self, other: &Self) -> bool {
        self.required == other.required && self.roots.roots == other.roots.roots
    }
}

/// Bounds of the handshakes of one listener.
#[derive(Clone, Copy, Debug)]
pub struct TlsLimits {
    /// From accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Clients that have said hello, and whose handshake is not over, at one time; more wait within their own time.
    pub handshakes: usize,
}

impl Default for TlsLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            handshakes: 1_000,
        }
    }
}

/// Bounds of one HTTP/2 connection.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Requests at one time.
    pub streams: u32,
    /// Bytes of a request's body that may come before they are read.
    pub stream_window_bytes: u32,
    /// The same over all requests of a connection: what each connection may keep in memory.
    pub connection_window_bytes: u32,
    /// Bytes of a frame's content.
    pub frame_bytes: u32,
    /// Requests that a client may take back, while they are no more than half of its requests.
    pub resets: u32,
    /// Frames without a request or a piece of a body that may come before the next answer.
    pub control_frames: u32,
    /// Time between two pings, which find peers that are gone.
    pub ping_interval: Duration,
    /// How long a ping's answer may take.
    pub ping_timeout: Duration,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window_bytes: 64 << 10,
            connection_window_bytes: 256 << 10,
            frame_bytes: 16 << 10,
            resets: 100,
            control_frames: 1_000,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

/// The certificates in a PEM file: the first proves the server, each other the one before it.
pub(crate) fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| format!("is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("holds no certificate; accepted: PEM, with the whole chain".to_owned());
    }
    for (index, certificate) in chain.iter().enumerate() {
        if let Err(error) = validity(certificate) {
            return Err(format!(
                "holds something else than an X.509 certificate in place {}: {error}",
                index + 1
            ));
        }
    }
    Ok(chain)
}

/// The private key in a PEM file.
pub(crate) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        "holds no private key; accepted: PEM that is not encrypted (PKCS #8, PKCS #1 or SEC 1)"
            .to_owned()
    })
}

/// Why a chain and a key make no certificate.
pub(crate) enum Unfit {
    /// The certificate's fault.
    Certificate(String),
    /// The key's.
    Key(String),
}

impl Certificate {
    /// Puts a chain of at least one certificate and a key together.
    pub(crate) fn new(
        file: &str,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<Self, Unfit> {
        let certificate = |why: String| Unfit::Certificate(why);
        let signing = any_supported_type(key).map_err(|_| {
            Unfit::Key(
                "holds a key of no known kind; accepted: RSA of 2048 bits and more, ECDSA with P-256 or P-384, Ed25519"
                    .to_owned(),
            )
        })?;
        let pair = CertifiedKey::new(chain, signing);
        let first = pair
            .end_entity_cert()
            .map_err(|error| certificate(error.to_string()))?;
        let (not_before, not_after) =
            validity(first).map_err(|error| certificate(error.to_string()))?;
        let parsed = EndEntityCert::try_from(first)
            .map_err(|error| certificate(format!("can't be used: {error}")))?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase);
        let names = names.collect();
        pair.keys_match().map_err(|_| {
            Unfit::Key("holds a key that is not that of the first certificate in cert".to_owned())
        })?;
        Ok(Self {
            file: file.into(),
            names,
            not_before,
            not_after,
            pair: Arc::new(pair),
        })
    }
}

/// From when to when a certificate is valid, Unix seconds (RFC 5280 4.1).
fn validity(certificate: &[u8]) -> der::Result<(u64, u64)> {
    let certificate = AnyRef::from_der(certificate)?;
    let signed = AnyRef::decode(&mut SliceReader::new(certificate.value())?)?;
    let mut fields = SliceReader::new(signed.value())?;
    let version = AnyRef::decode(&mut fields)?;
    if is_version(version.tag()) {
        AnyRef::decode(&mut fields)?; // the serial number, which stands first where the version is left out
    }
    AnyRef::decode(&mut fields)?; // the signature's algorithm
    AnyRef::decode(&mut fields)?; // who has signed
    let validity = AnyRef::decode(&mut fields)?;
    let mut times = SliceReader::new(validity.value())?;
    Ok((time(&mut times)?, time(&mut times)?))
}

fn is_version(tag: Tag) -> bool {
    tag == Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(0),
    }
}

fn time(times: &mut SliceReader<'_>) -> der::Result<u64> {
    let time = AnyRef::decode(times)?;
    let since_1970 = if time.tag() == Tag::UtcTime {
        time.decode_as::<UtcTime>()?.to_unix_duration()
    } else {
        time.decode_as::<GeneralizedTime>()?.to_unix_duration()
    };
    Ok(since_1970.as_secs())
}

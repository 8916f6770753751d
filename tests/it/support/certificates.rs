//! Certificates made by `openssl` for each run: an authority, and what it signs.

use super::tools;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// What `openssl` is told.
const OPENSSL: &str = "
[req]
distinguished_name = subject
prompt = no
[subject]
CN = made for a test
[ca]
default_ca = authority
[authority]
database = index.txt
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
[root]
basicConstraints = critical, CA:TRUE
keyUsage = keyCertSign
[localhost]
basicConstraints = critical, CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost
[listed]
basicConstraints = critical, CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost
crlDistributionPoints = URI:http://localhost/revoked.crl
[elsewhere]
subjectAltName = DNS:elsewhere.test
[wild]
subjectAltName = DNS:*.wild.test
[client]
extendedKeyUsage = clientAuth
";

/// How a new key is made.
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// An authority and what it has signed, in a directory.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// An authority (`ca.pem`) that has signed nothing.
    pub(crate) fn authority() -> Self {
        let made = Self(tempfile::tempdir().expect("a temporary directory"));
        let write = |name: &str, text: &str| {
            std::fs::write(made.path().join(name), text).expect("a writable directory");
        };
        write("openssl.cnf", OPENSSL);
        write("index.txt", "");
        made.openssl(&format!(
            "req -x509 {NEW_KEY} -extensions root -keyout ca.key -out ca.pem -days 2"
        ));
        made
    }

    /// What an app may show, all for one key (`app.key`).
    pub(crate) fn of_an_app() -> Self {
        let made = Self::authority();
        made.key("app");
        made.sign("app", "good", "-extensions localhost -days 2");
        made.sign("app", "wrong-host", "-extensions elsewhere -days 2");
        made.sign(
            "app",
            "expired",
            "-extensions localhost -startdate 20200101000000Z -enddate 20200102000000Z",
        );
        made.openssl("req -x509 -key app.key -subj /CN=itself -extensions localhost -out self-signed.pem -days 2");
        made
    }

    /// What a gateway may show (`server`, for localhost). None where there is no `openssl`, which is said.
    #[track_caller]
    pub(crate) fn of_a_gateway() -> Option<Self> {
        tools::has("openssl", &["version"]).then(|| {
            let made = Self::authority();
            made.pair("server", "localhost");
            made
        })
    }

    /// A listener's `certificates` with these pairs.
    pub(crate) fn listed(&self, names: &[&str]) -> String {
        let pairs: Vec<String> = names
            .iter()
            .map(|name| {
                let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
                format!("{{ cert: {}, key: {} }}", self.file(&cert), self.file(&key))
            })
            .collect();
        format!("certificates: [{}]", pairs.join(", "))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where a file is, as text.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path().join(name).to_string_lossy().into_owned()
    }

    /// A key (`NAME.key`) with a request for certificates (`NAME.csr`).
    pub(crate) fn key(&self, name: &str) {
        self.openssl(&format!("req {NEW_KEY} -keyout {name}.key -out {name}.csr"));
    }

    /// A certificate (`NAME.pem`) for a key, with these extensions and times.
    pub(crate) fn sign(&self, key: &str, name: &str, how: &str) {
        self.openssl(&format!(
            "ca -batch -notext -in {key}.csr -out {name}.pem {how}"
        ));
    }

    /// A key and its certificate, both of this name, for two days.
    pub(crate) fn pair(&self, name: &str, extensions: &str) {
        self.key(name);
        self.sign(name, name, &format!("-extensions {extensions} -days 2"));
    }

    #[track_caller]
    fn openssl(&self, args: &str) {
        let (command, rest) = args.split_once(' ').expect("a command and its arguments");
        let ran = Command::new("openssl")
            .args([command, "-config", "openssl.cnf"])
            .args(rest.split(' '))
            .current_dir(self.path())
            .output()
            .expect("openssl runs");
        assert!(
            ran.status.success(),
            "openssl {args}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    /// A certificate as it goes over the wire.
    pub(crate) fn der(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path().join(name)).expect("PEM")
    }

    fn private(&self, path: PathBuf) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path().join(path)).expect("PEM")
    }

    /// A server's side with the certificate of this name, for `app.key`.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.der(name)], self.private("app.key".into()))
            .expect("a certificate and its key");
        Arc::new(config)
    }

    /// A client's side that believes the authority, speaks these versions, offers these protocols, and shows this
    /// certificate if it is asked.
    pub(crate) fn client(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        protocols: &[&str],
        shows: Option<&str>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der("ca.pem")).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = vec![self.der(&format!("{name}.pem"))];
                let key = self.private(format!("{name}.key").into());
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("a certificate and its key")
            }
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }
}

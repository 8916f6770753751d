//! TLS to the app: whom the gateway believes, with certificates made by `openssl` for each run.

use crate::support::{Gate, Request, gate::Home, sender::Head, tools, wait_until};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What `openssl` is told: an authority, and what it signs.
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
subjectAltName = DNS:localhost
[elsewhere]
subjectAltName = DNS:elsewhere.test
";

/// An authority and certificates, all for one key.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Self(tempfile::tempdir().expect("a temporary directory"));
        let write = |name: &str, text: &str| {
            std::fs::write(made.path().join(name), text).expect("a writable directory");
        };
        write("openssl.cnf", OPENSSL);
        write("index.txt", "");
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        made.openssl(&format!(
            "req -x509 {new_key} -extensions root -keyout ca.key -out ca.pem -days 2"
        ));
        made.openssl(&format!("req {new_key} -keyout app.key -out app.csr"));
        let signed = |name: &str, how: &str| {
            made.openssl(&format!("ca -batch -notext -in app.csr -out {name} {how}"));
        };
        signed("good.pem", "-extensions localhost -days 2");
        signed("wrong-host.pem", "-extensions elsewhere -days 2");
        signed(
            "expired.pem",
            "-extensions localhost -startdate 20200101000000Z -enddate 20200102000000Z",
        );
        made.openssl("req -x509 -key app.key -extensions localhost -out self-signed.pem -days 2");
        made
    }

    fn path(&self) -> &Path {
        self.0.path()
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

    /// A server's side with the certificate of this name.
    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.path().join(name)).expect("PEM");
        let key = PrivateKeyDer::from_pem_file(self.path().join("app.key")).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate and its key");
        Arc::new(config)
    }
}

/// What the app has taken: bodies, and the attempts that brought them.
type Taken = Arc<Mutex<Vec<(String, u32)>>>;

/// An app that speaks TLS and answers 200.
struct App {
    address: SocketAddr,
    certificate: Arc<Mutex<Arc<ServerConfig>>>,
    taken: Taken,
}

impl App {
    fn start(certificate: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let app = Self {
            address: listener.local_addr().expect("an address"),
            certificate: Arc::new(Mutex::new(certificate)),
            taken: Arc::default(),
        };
        let (certificate, taken) = (Arc::clone(&app.certificate), Arc::clone(&app.taken));
        // Both end with the process of the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&certificate.lock().expect("nobody panicked with it"));
                let taken = Arc::clone(&taken);
                // A client that does not believe it goes away: no failure.
                std::thread::spawn(move || drop(serve(stream, config, &taken)));
            }
        });
        app
    }

    fn show(&self, certificate: Arc<ServerConfig>) {
        *self.certificate.lock().expect("nobody panicked with it") = certificate;
    }

    fn taken(&self) -> Vec<(String, u32)> {
        self.taken.lock().expect("nobody panicked with it").clone()
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, taken: &Taken) -> std::io::Result<()> {
    let session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(session, stream);
    let mut got = Vec::new();
    loop {
        if let Some((head, used)) = Head::parse(&got) {
            let length: usize = head.headers["content-length"][0].parse().expect("a length");
            if got.len() >= used + length {
                let body = String::from_utf8_lossy(&got[used..used + length]).into_owned();
                let attempt = head.headers["hookgate-attempt"][0]
                    .parse()
                    .expect("a number");
                let mut taken = taken.lock().expect("nobody panicked with it");
                taken.push((body, attempt));
                drop(taken);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
                got.drain(..used + length);
                continue;
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            read => got.extend_from_slice(&chunk[..read]),
        }
    }
}

fn home(app: &App, certificates: &Certificates) -> Home {
    let roots = certificates.path().join("ca.pem");
    Home::new(&format!(
        "sources:\n  open: {{ verify: none, forward: app }}\n  pass: {{ verify: none, ack: passthrough, forward: app }}\n\
         targets:\n  app: {{ url: \"https://localhost:{}/in\", retry: {{ first: 20ms, max: 100ms }} }}\n",
        app.address.port()
    ))
    .env("SSL_CERT_FILE", &roots.to_string_lossy())
}

fn failed(gate: &Gate) -> f64 {
    gate.metric(r#"hookgate_attempts_total{target="app",outcome="failed",reason="tls"}"#)
}

fn settled(gate: &Gate) -> bool {
    gate.metric(r#"hookgate_pending_deliveries{target="app"}"#) == 0.0
}

#[test]
fn an_app_that_proves_its_name_is_delivered_to() {
    if !tools::has("openssl", &["version"]) {
        return;
    }
    let certificates = Certificates::make();
    let app = App::start(certificates.server("good.pem"));
    let home = home(&app, &certificates);
    let gate = home.start();
    assert_eq!(
        gate.send(&Request::new("/hooks/open", "stored")).status,
        200
    );
    wait_until("it is delivered", || settled(&gate));
    assert_eq!(
        gate.send(&Request::new("/hooks/pass", "passed")).status,
        200
    );
    assert_eq!(
        app.taken(),
        [("stored".to_owned(), 1), ("passed".to_owned(), 1)]
    );
    assert_eq!(failed(&gate), 0.0);
}

#[test]
fn an_app_that_does_not_prove_its_name_gets_nothing_until_it_does() {
    if !tools::has("openssl", &["version"]) {
        return;
    }
    let certificates = Certificates::make();
    for (bad, why) in [
        ("wrong-host.pem", "not valid for name"),
        ("expired.pem", "expired"),
        ("self-signed.pem", "UnknownIssuer"),
    ] {
        let app = App::start(certificates.server(bad));
        let home = home(&app, &certificates);
        let gate = home.start();
        assert_eq!(
            gate.send(&Request::new("/hooks/open", bad)).status,
            200,
            "{bad}"
        );
        wait_until(&format!("{bad} is refused again and again"), || {
            failed(&gate) >= 2.0
        });
        wait_until(&format!("{bad} is refused because of {why}"), || {
            gate.log().contains(why)
        });
        let passed = gate.send(&Request::new("/hooks/pass", bad));
        assert_eq!(passed.status, 502, "{bad}: {passed:?}");
        assert_eq!(app.taken(), [], "{bad}");

        app.show(certificates.server("good.pem"));
        wait_until(&format!("{bad} is replaced"), || settled(&gate));
        let taken = app.taken();
        assert_eq!(taken.len(), 1, "{bad}: {taken:?}");
        assert!(taken[0].0 == bad && taken[0].1 >= 3, "{bad}: {taken:?}");
    }
}

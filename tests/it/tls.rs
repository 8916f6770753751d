//! TLS to the app: whom the gateway believes, with certificates made by `openssl` for each run.

use crate::support::{
    Gate, Request, certificates::Certificates, gate::Home, sender::Head, tools, wait_until,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

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
    let certificates = Certificates::of_an_app();
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
    let certificates = Certificates::of_an_app();
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

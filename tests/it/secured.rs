//! TLS on a public listener: what is spoken, which certificate is shown and to whom, and how it is renewed.

use crate::support::{
    App, Gate, Reply, Request,
    certificates::Certificates,
    eventually,
    gate::{Home, RELOADED, find_series},
    h2, tools, wait_until,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A gateway's home whose one listener has this `tls`, with `more` at the top of the file.
fn home(app: &App, tls: &str, more: &str) -> Home {
    Home::new(&format!(
        "listen: [{{ address: 127.0.0.1:0, tls: {{ {tls} }} }}]\n{more}\
         sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ))
}

/// A session with the gateway.
struct Session(StreamOwned<ClientConnection, TcpStream>);

impl Session {
    /// To this name; the handshake is made at once.
    fn open(to: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(crate::support::PATIENCE))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let session = ClientConnection::new(Arc::clone(config), name).expect("a client");
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    fn shown(&self) -> CertificateDer<'static> {
        let chain = self.0.conn.peer_certificates().expect("a handshake");
        chain[0].clone().into_owned()
    }

    /// Sends a request and reads the whole answer.
    fn send(&mut self, request: &Request) -> std::io::Result<Reply> {
        self.0.write_all(&request.bytes())?;
        let mut got = Vec::new();
        loop {
            if let Some((head, used)) = crate::support::sender::Head::parse(&got) {
                let length: usize = head.headers["content-length"][0].parse().expect("a length");
                if got.len() >= used + length {
                    return Ok(Reply {
                        status: head.target.parse().expect("a status"),
                        headers: head.headers,
                        body: String::from_utf8_lossy(&got[used..]).into_owned(),
                    });
                }
            }
            let mut chunk = [0; 4096];
            match self.0.read(&mut chunk)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => got.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// How the connection ends: in order (`close_notify`), or not.
    fn ends_in_order(mut self) -> bool {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).is_ok() && rest.is_empty()
    }
}

fn event(text: &str) -> Request {
    Request::new("/hooks/open", format!("{{\"text\":\"{text}\"}}"))
}

/// The status of an event over a session of its own; none where there is no session, or none that lasts.
fn status(gate: &Gate, config: &Arc<ClientConfig>) -> Option<u16> {
    let mut session = Session::open(gate.public, "localhost", config).ok()?;
    Some(session.send(&event("e")).ok()?.status)
}

#[test]
fn both_versions_and_both_protocols_are_spoken_and_the_client_chooses() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let app = App::start();
    let home = home(&app, &made.listed(&["server"]), "");
    let gate = home.start();
    for (version, number) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for (offered, chosen) in [
            (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
            (&["http/1.1", "h2"], Some(b"h2")),
            (&["http/1.1"], Some(b"http/1.1")),
            (&[], None),
        ] {
            let config = made.client(&[version], offered, None);
            let mut session = Session::open(gate.public, "localhost", &config).expect("a session");
            assert_eq!(session.0.conn.protocol_version(), Some(number));
            assert_eq!(session.0.conn.alpn_protocol(), chosen, "{offered:?}");
            if chosen != Some(b"h2") {
                let reply = session.send(&event("one")).expect("an answer");
                assert_eq!(reply.status, 200, "{number:?} {offered:?}");
            }
        }
        let config = made.client(&[version], &["h2"], None);
        let mut client = h2::Client::open(gate.public, Some(config)).expect("a session");
        let request = http::Request::post("https://localhost/hooks/open");
        let reply = client.send(request.body("{\"over\":2}").expect("a request"));
        assert_eq!(reply.status, 200, "{number:?}");
        let config = made.client(&[version], &["spdy/3"], None);
        let failed = Session::open(gate.public, "localhost", &config).err();
        let failed = failed.expect("no protocol in common").to_string();
        assert!(failed.contains("NoApplicationProtocol"), "{failed}");
    }
    app.wait_for(2);
}

#[test]
fn an_older_version_than_the_oldest_is_refused() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let app = App::start();
    let tls = format!("{}, min_version: \"1.3\"", made.listed(&["server"]));
    let home = home(&app, &tls, "");
    let gate = home.start();
    assert_eq!(status(&gate, &made.client(&[&TLS13], &[], None)), Some(200));
    assert_eq!(status(&gate, &made.client(&[&TLS12], &[], None)), None);
}

#[test]
fn the_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    made.pair("other", "elsewhere");
    made.pair("wild", "wild");
    let app = App::start();
    let home = home(&app, &made.listed(&["server", "other", "wild"]), "");
    let gate = home.start();
    let config = made.client(BOTH, &[], None);
    for (name, file) in [
        ("localhost", "server.pem"),
        ("elsewhere.test", "other.pem"),
        ("ELSEWHERE.test", "other.pem"),
        ("a.wild.test", "wild.pem"),
    ] {
        let session = Session::open(gate.public, name, &config).expect("a session");
        assert_eq!(session.shown(), made.der(file), "{name}");
    }
    // Nobody is for these: the first is shown, and the client goes away.
    for name in ["unknown.test", "a.b.wild.test", "wild.test"] {
        let failed = Session::open(gate.public, name, &config).err();
        let failed = failed.expect("another name").to_string();
        assert!(failed.contains("not valid for name"), "{name}: {failed}");
        assert!(failed.contains("localhost"), "{name}: {failed}");
    }
}

#[test]
fn clients_show_a_certificate_where_it_is_required_and_may_where_not() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    made.pair("client", "client");
    let strangers = Certificates::authority();
    strangers.pair("stranger", "client");
    for name in ["stranger.pem", "stranger.key"] {
        std::fs::copy(strangers.path().join(name), made.path().join(name)).expect("copied");
    }
    let app = App::start();
    for (mode, without) in [
        ("", None),
        (", client_certificate: required", None),
        (", client_certificate: optional", Some(200)),
    ] {
        let certificates = made.listed(&["server"]);
        let tls = format!("{certificates}, client_ca: {}{mode}", made.file("ca.pem"));
        let home = home(&app, &tls, "");
        let gate = home.start();
        for version in [&TLS12, &TLS13] {
            let with = |shows| status(&gate, &made.client(&[version], &[], shows));
            assert_eq!(with(Some("client")), Some(200), "{mode}");
            assert_eq!(with(None), without, "{mode}");
            assert_eq!(with(Some("stranger")), None, "{mode}");
        }
        // Each connection proves anew who it is.
        let config = made.client(&[&TLS13], &[], Some("client"));
        for _ in 0..2 {
            let mut session = Session::open(gate.public, "localhost", &config).expect("a session");
            assert_eq!(
                session.send(&event("again")).expect("an answer").status,
                200
            );
            assert_eq!(session.0.conn.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[test]
fn a_session_is_taken_up_again_and_ends_in_order() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let app = App::start();
    let shown = made.listed(&["server"]);
    let idle_home = home(&app, &shown, "limits: { idle_timeout: 600ms }\n");
    let gate = idle_home.start();
    for version in [&TLS12, &TLS13] {
        let config = made.client(&[version], &[], None);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut session = Session::open(gate.public, "localhost", &config).expect("a session");
            let request = event("bye").header("Connection", "close");
            assert_eq!(session.send(&request).expect("an answer").status, 200);
            kinds.push(session.0.conn.handshake_kind());
            assert!(session.ends_in_order(), "after Connection: close");
        }
        let expected = [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)];
        assert_eq!(kinds, expected);
        let mut idle = Session::open(gate.public, "localhost", &config).expect("a session");
        let since = Instant::now();
        assert_eq!(idle.send(&event("idle")).expect("an answer").status, 200);
        assert!(idle.ends_in_order(), "idle for too long");
        assert!(since.elapsed() >= Duration::from_millis(600));
    }
    let silent_home = home(&app, &shown, "limits: { header_timeout: 300ms }\n");
    let gate = silent_home.start();
    for version in [&TLS12, &TLS13] {
        let config = made.client(&[version], &[], None);
        let silent = Session::open(gate.public, "localhost", &config).expect("a session");
        assert!(silent.ends_in_order(), "no request");
    }
}

#[test]
fn who_does_not_speak_tls_is_told() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let app = App::start();
    let home = home(&app, &made.listed(&["server"]), "");
    let gate = home.start();
    let reply = gate.send(&event("plain"));
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type"), Some("text/plain"));
    assert!(reply.body.contains("https://"), "{reply:?}");
    // What is neither gets an alert and is closed.
    let mut stream = TcpStream::connect(gate.public).expect("a connection");
    stream
        .write_all(&[0x80, 0x2e, 1, 0, 2, 0, 0])
        .expect("written");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("closed in order");
    assert_eq!(got.first(), Some(&21), "an alert: {got:?}");
}

/// What is counted of what never came as far as a request: failed handshakes, requests without TLS, clients with too many
/// connections; and the answers 400 and 503 that were given to them.
fn counted(gate: &Gate) -> [f64; 5] {
    let text = gate.admin_get("/metrics").body;
    [
        r#"hookgate_requests_rejected_total{source="",reason="tls"}"#,
        r#"hookgate_requests_rejected_total{source="",reason="malformed"}"#,
        r#"hookgate_unavailable_total{source="",reason="connections"}"#,
        r#"hookgate_http_requests_total{source="",code="400"}"#,
        r#"hookgate_http_requests_total{source="",code="503"}"#,
    ]
    // Those by code are made when they are first answered.
    .map(|series| find_series(&text, series).unwrap_or(0.0))
}

/// Writes to the gateway, ends our side, and reads to the end.
fn say(gate: &Gate, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gate.public).expect("a connection");
    stream.write_all(bytes).expect("written");
    stream.shutdown(Shutdown::Write).expect("connected");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("closed in order");
    got
}

#[test]
fn a_handshake_that_was_begun_and_failed_is_counted_and_silence_is_not() {
    const HELLO_BEGINS: &[u8] = &[22, 3, 1, 1, 0];
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let app = App::start();
    let open_home = home(
        &app,
        &made.listed(&["server"]),
        "limits: { connections_per_client: 1 }\n",
    );
    let gate = open_home.start();
    // Each is over before the next one comes: more than one connection would be refused.
    let alone = || {
        wait_until("nobody is connected", || {
            gate.metric("hookgate_connections") == 0.0
        });
    };
    let good = made.client(&[&TLS13], &[], None);
    assert_eq!(status(&gate, &good), Some(200));
    alone();
    assert_eq!(say(&gate, b""), b"", "as a check of health does");
    alone();
    assert_eq!(counted(&gate), [0.0; 5]);
    assert_eq!(gate.send(&event("plain")).status, 400);
    alone();
    assert_eq!(counted(&gate), [0.0, 1.0, 0.0, 1.0, 0.0]);
    // What is no record of TLS, a hello that is cut off, and clients that end the handshake.
    assert_eq!(
        say(&gate, &[0x80, 0x2e, 1, 0, 2, 0, 0]).first(),
        Some(&21),
        "an alert"
    );
    alone();
    assert_eq!(counted(&gate), [1.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(say(&gate, HELLO_BEGINS), b"");
    alone();
    assert_eq!(counted(&gate), [2.0, 1.0, 0.0, 1.0, 0.0]);
    for (n, version) in [(3.0, &TLS12), (4.0, &TLS13)] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let suspicious = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        assert_eq!(status(&gate, &Arc::new(suspicious)), None);
        alone();
        assert_eq!(counted(&gate), [n, 1.0, 0.0, 1.0, 0.0], "{version:?}");
    }
    // One too many is closed without an answer, which no client of TLS would understand.
    let mut session = Session::open(gate.public, "localhost", &good).expect("a session");
    assert_eq!(status(&gate, &good), None);
    assert_eq!(counted(&gate), [4.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!(session.send(&event("good")).expect("an answer").status, 200);
    assert_eq!(counted(&gate), [4.0, 1.0, 1.0, 1.0, 0.0]);

    let hasty_home = home(
        &app,
        &made.listed(&["server"]),
        "limits: { tls: { handshake_timeout: 300ms } }\n",
    );
    let gate = hasty_home.start();
    let late = gate.while_stopped(|| {
        [b"", HELLO_BEGINS].map(|bytes| {
            let mut late = TcpStream::connect(gate.public).expect("a connection");
            late.write_all(bytes).expect("written");
            late
        })
    });
    for mut late in late {
        let mut got = Vec::new();
        late.read_to_end(&mut got).expect("closed in order");
        assert_eq!(got, b"");
    }
    wait_until("nobody is connected", || {
        gate.metric("hookgate_connections") == 0.0
    });
    assert_eq!(counted(&gate), [1.0, 0.0, 0.0, 0.0, 0.0], "silence is none");
}

/// A client that has said hello, and then nothing; it was not answered before the moment that comes with it.
fn half_a_handshake(to: SocketAddr, config: &Arc<ClientConfig>) -> (TcpStream, Instant) {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut hello = Vec::new();
    ClientConnection::new(Arc::clone(config), name)
        .expect("a client")
        .write_tls(&mut hello)
        .expect("a hello");
    let began = Instant::now();
    let mut half = TcpStream::connect(to).expect("a connection");
    half.write_all(&hello).expect("written");
    let mut first = [0; 1];
    half.read_exact(&mut first).expect("the server's hello");
    (half, began)
}

#[test]
fn who_has_said_hello_takes_a_place_and_who_says_nothing_does_not() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let app = App::start();
    // Longer than anything is waited for here.
    let limits = "limits: { tls: { handshake_timeout: 5m, handshakes: 1 } }\n";
    let home = home(&app, &made.listed(&["server"]), limits);
    let gate = home.start();
    let config = made.client(&[&TLS13], &[], None);
    let _silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(gate.public).expect("a connection"))
        .collect();
    assert_eq!(status(&gate, &config), Some(200));
    let (half, _) = half_a_handshake(gate.public, &config);
    std::thread::scope(|scope| {
        let another = scope.spawn(|| status(&gate, &config));
        wait_until("another one is there", || {
            gate.metric("hookgate_connections") == 22.0
        });
        assert!(!another.is_finished());
        drop(half);
        assert_eq!(another.join().expect("no panic"), Some(200));
    });
}

#[test]
fn a_handshake_has_its_time_and_leaves_its_place() {
    const LIMIT: Duration = Duration::from_secs(3);
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let app = App::start();
    let limits = "limits: { tls: { handshake_timeout: 3s, handshakes: 1 } }\n";
    let home = home(&app, &made.listed(&["server"]), limits);
    let gate = home.start();
    let config = made.client(&[&TLS13], &[], None);
    let mut silent = TcpStream::connect(gate.public).expect("a connection");
    // Another one has its own time, which goes on for longer, and comes through once the place is free: again where the
    // machine was so busy that this was over as well.
    eventually("another one comes through in its time", || {
        let (mut half, began) = half_a_handshake(gate.public, &config);
        std::thread::sleep(LIMIT / 3);
        std::thread::scope(|scope| {
            let another =
                scope.spawn(|| status(&gate, &config).map(|status| (status, began.elapsed())));
            let mut rest = Vec::new();
            half.read_to_end(&mut rest).expect("closed in order");
            assert!(began.elapsed() >= LIMIT);
            let (status, after) = another.join().expect("no panic")?;
            assert_eq!(status, 200);
            assert!(after >= LIMIT, "{after:?}");
            Some(())
        })
    });
    let mut got = Vec::new();
    silent.read_to_end(&mut got).expect("closed in order");
    assert_eq!(got, b"", "nobody answers who says nothing");
    wait_until("no connection is left", || {
        gate.metric("hookgate_connections") == 0.0
    });
}

#[test]
fn certificates_are_renewed_without_a_lost_connection_and_a_bad_pair_changes_nothing() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    let first = made.der("server.pem");
    made.pair("later", "localhost");
    made.sign(
        "later",
        "long",
        "-extensions localhost -enddate 20490101000000Z",
    );
    let long = made.der("long.pem");
    let app = App::start();
    let home = home(&app, &made.listed(&["server"]), "reload: { watch: 50ms }\n");
    let gate = home.start();
    let config = made.client(&[&TLS13], &[], None);
    let series = format!(
        "hookgate_tls_certificate_expiry_timestamp_seconds{{file=\"{}\"}}",
        made.file("server.pem")
    );
    let in_two_days = Duration::from_secs(crate::support::sender::now_seconds() + 2 * 86_400);
    assert!((gate.metric(&series) - in_two_days.as_secs_f64()).abs() < 3_600.0);
    let shown = || {
        let session = Session::open(gate.public, "localhost", &config).expect("a session");
        session.shown()
    };
    let replace = |from: &str, to: &str| {
        std::fs::copy(made.path().join(from), made.path().join(to)).expect("copied");
    };
    let mut kept = Session::open(gate.public, "localhost", &config).expect("a session");
    assert_eq!(kept.send(&event("1")).expect("an answer").status, 200);

    // The certificate without its key.
    replace("long.pem", "server.pem");
    gate.signal("HUP");
    wait_until("it is refused", || {
        gate.log().contains("not that of the first certificate")
    });
    wait_until("that is counted", || gate.metric(RELOADED) == 0.0);
    assert_eq!(shown(), first);

    // Nobody says so: the file is looked at.
    replace("later.key", "server.key");
    let renewed = eventually("it is shown", || {
        let now = shown();
        (now != first).then_some(now)
    });
    assert_eq!(renewed, long);
    // A little after it is shown.
    wait_until("it is counted", || gate.metric(RELOADED) == 1.0);
    assert_eq!(gate.metric(&series), 2_493_072_000.0);
    assert_eq!(kept.send(&event("2")).expect("an answer").status, 200);
    app.wait_for(2);
}

/// `testssl.sh` finds nothing above "info" in protocols, ciphers, certificates and known holes. Its look at the headers of
/// pages is left out: there are no pages, and no browser that would mind HSTS.
#[test]
fn testssl_finds_nothing() {
    if !tools::has("openssl", &["version"]) || !tools::has("testssl", &["--version"]) {
        return;
    }
    let made = Certificates::authority();
    made.key("server");
    made.sign("server", "server", "-extensions listed -days 90");
    let mut chain = std::fs::read(made.path().join("server.pem")).expect("readable");
    chain.extend(std::fs::read(made.path().join("ca.pem")).expect("readable"));
    std::fs::write(made.path().join("server.pem"), chain).expect("written");
    let app = App::start();
    let home = home(&app, &made.listed(&["server"]), "");
    let gate = home.start();
    let ran = Command::new("testssl")
        .args(["--add-ca", "ca.pem", "--warnings", "off", "--color", "0"])
        .args(["--nodns", "none", "--jsonfile", "found.json"])
        .args(["-p", "-s", "-f", "-P", "-S", "-U"])
        .arg(format!("localhost:{}", gate.public.port()))
        .current_dir(made.path())
        .stdin(Stdio::null())
        .output()
        .expect("testssl runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    let found = std::fs::read_to_string(made.path().join("found.json")).expect("readable");
    let found: Vec<serde_json::Value> = serde_json::from_str(&found).expect("JSON");
    let has = |id: &str, severity: &str| {
        let mut found = found.iter();
        found.any(|one| one["id"] == id && one["severity"] == severity)
    };
    assert!(
        has("TLS1_3", "OK") && has("cert_chain_of_trust", "OK"),
        "{said}"
    );
    let above: Vec<&serde_json::Value> = found
        .iter()
        .filter(|one| one["severity"] != "OK" && one["severity"] != "INFO")
        // About the openssl that it uses itself.
        .filter(|one| one["id"] != "engine_problem")
        // That openssl leaves as soon as its handshake is over, on a busy machine before the ticket of TLS 1.3 has come,
        // and has then no session to resume. `a_session_is_taken_up_again_and_ends_in_order` shows that it could.
        .filter(|one| one["id"] != "sessionresumption_ticket" || one["severity"] != "WARN")
        .collect();
    assert!(above.is_empty(), "{above:#?}\n{said}");
}

#[test]
fn check_finds_whatever_is_wrong_with_a_certificate_and_all_of_it_at_once() {
    let Some(made) = Certificates::of_a_gateway() else {
        return;
    };
    made.pair("other", "elsewhere");
    made.sign(
        "server",
        "expired",
        "-extensions localhost -startdate 20200101000000Z -enddate 20200102000000Z",
    );
    made.sign(
        "server",
        "future",
        "-extensions localhost -startdate 20480101000000Z -enddate 20490101000000Z",
    );
    made.pair("nameless", "client");
    std::fs::write(made.path().join("empty.pem"), "").expect("written");
    std::fs::write(
        made.path().join("broken.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .expect("written");
    let app = App::start();
    let pair =
        |cert: &str, key: &str| format!("{{ cert: {}, key: {} }}", made.file(cert), made.file(key));
    let good = pair("server.pem", "server.key");
    let pairs = |pairs: &[String]| format!("certificates: [{}]", pairs.join(", "));

    let wrong: &[(String, &[&str])] = &[
        (
            pairs(&[
                pair("missing.pem", "server.key"),
                pair("empty.pem", "server.key"),
                pair("broken.pem", "server.key"),
                pair("server.pem", "server.pem"),
                pair("server.pem", "other.key"),
                "{ cert: a.pem }".to_owned(),
                "{ cert: a.pem, key: b.pem, extra: c }".to_owned(),
            ]),
            &[
                "listen[0].tls.certificates[0].cert: the file",
                "missing.pem\" can't be read: No such file",
                "empty.pem\" holds no certificate",
                "broken.pem\" holds something else than an X.509 certificate in place 1",
                "server.pem\" holds no private key",
                "other.key\" holds a key that is not that of the first certificate in cert",
                "listen[0].tls.certificates[5].key: there is no key",
                "listen[0].tls.certificates[6].extra: unknown key",
            ],
        ),
        (
            "certificates: []".to_owned(),
            &["0 certificates; accepted: 1 to"],
        ),
        (
            "min_version: \"1.3\"".to_owned(),
            &["nothing to prove the server with"],
        ),
        (
            format!(
                "{}, min_version: \"1.1\"",
                pairs(std::slice::from_ref(&good))
            ),
            &["listen[0].tls.min_version: \"1.1\" is unknown; did you mean \"1.2\"?"],
        ),
        (
            format!(
                "{}, client_certificate: optional",
                pairs(std::slice::from_ref(&good))
            ),
            &["there is no client_ca"],
        ),
        (
            format!(
                "{}, client_ca: {}",
                pairs(std::slice::from_ref(&good)),
                made.file("empty.pem")
            ),
            &["listen[0].tls.client_ca: the file", "holds no certificate"],
        ),
    ];
    for (tls, messages) in wrong {
        let (code, said) = home(&app, tls, "").check();
        assert_eq!(code, Some(78), "{said}");
        for message in *messages {
            assert!(said.contains(message), "{message} is not in\n{said}");
        }
    }

    for (tls, message) in [
        (pairs(&[pair("expired.pem", "server.key")]), "has expired"),
        (
            pairs(&[pair("future.pem", "server.key")]),
            "is not valid yet",
        ),
        (
            pairs(&[good.clone(), pair("nameless.pem", "nameless.key")]),
            "has no DNS name",
        ),
        (
            pairs(&[good.clone(), pair("other.pem", "other.key")]),
            "other.pem for elsewhere.test\n",
        ),
    ] {
        let (code, said) = home(&app, &tls, "").check();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(message), "{message} is not in\n{said}");
    }
    let absent = home(&app, &pairs(&[pair("missing.pem", "missing.key")]), "");
    let (code, said) = absent.said(&["check", "--allow-unset", "-c", "hookgate.yaml"]);
    assert_eq!(code, Some(0), "{said}");
}

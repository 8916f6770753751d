//! Who may ask, what is not taken, and that nobody who asks holds a sender up.

use super::{config, event, raw, send};
use crate::support::{App, gate::Home, sender::Connection, wait_until};
use serde_json::json;

const TOKEN: &str = "open-sesame-7f3a";

fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        head += header;
        head += "\r\n";
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

#[test]
fn a_token_guards_the_api_and_nothing_else() {
    let app = App::start();
    let home = Home::new(&format!(
        "admin: {{ listen: \"0.0.0.0:0\", token: {TOKEN} }}\n{}",
        config(&app)
    ));
    let gate = home.start();
    wait_until("ready", || gate.admin_get("/readyz").status == 200);
    let status = |method: &str, path: &str, headers: &[&str]| {
        let headers = [&["Host: gate.example.com"], headers].concat();
        let reply = raw(&gate, &request(method, path, &headers, b"")).expect("an answer");
        assert!(!reply.body.contains(TOKEN), "{reply:?}");
        if reply.status == 401 {
            assert!(
                reply
                    .header("www-authenticate")
                    .expect("RFC 9110")
                    .starts_with("Bearer")
            );
            assert!(reply.json()["error"].is_string(), "{reply:?}");
        }
        reply.status
    };
    let right = format!("Authorization: Bearer {TOKEN}");
    let wrong = format!("Authorization: Bearer {TOKEN}x");
    for (method, path) in [
        ("GET", "/api/v1/events"),
        ("GET", "/api/v1/targets"),
        ("POST", "/api/v1/targets/app/pause"),
        ("GET", "/api/v1/openapi.yaml"),
        ("GET", "/api/v1/nothing"),
        ("DELETE", "/api"),
    ] {
        assert_eq!(status(method, path, &[]), 401, "{path}");
        assert_eq!(status(method, path, &[&wrong]), 401, "{path}");
    }
    assert_eq!(status("GET", "/api/v1/targets", &[&right]), 200);
    assert_eq!(
        status("GET", "/api/v1/targets", &[&right, &right]),
        401,
        "two of them"
    );
    assert_eq!(status("GET", "/api/v1/nothing", &[&right]), 404);
    assert_eq!(status("DELETE", "/api/v1/targets", &[&right]), 405);
    for open in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(status("GET", open, &[]), 200, "{open}");
    }
    assert_eq!(
        gate.metric("hookgate_target_state{target=\"app\",state=\"paused\"}"),
        0.0
    );
    // Who guesses is seen.
    let warned = gate.said("a wrong one");
    assert!(
        warned.contains("WARN") && warned.contains("127.0.0.1:"),
        "{warned}"
    );
    assert!(!gate.log().contains(TOKEN));
}

/// Half a dozen replays to something that never answers are no reason to answer nobody else.
#[test]
fn replays_to_a_url_that_hangs_hold_nobody_up() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let id = send(&gate, "erp", 1, "a");
    let hole = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", hole.local_addr().expect("an address"));
    let body = json!({ "to": url });
    let path = format!("/api/v1/events/{id}/replay");
    let json = ["Host: localhost", "Content-Type: application/json"];
    let post = request("POST", &path, &json, body.to_string().as_bytes());
    let hanging: Vec<_> = (0..2)
        .map(|_| {
            let mut connection = Connection::open(gate.admin);
            connection.write(&post);
            let (attempt, _) = hole.accept().expect("the gateway connects");
            (connection, attempt)
        })
        .collect();
    for _ in 0..8 {
        let refused = gate.admin_post(&path, &body);
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.body.contains("busy"), "{refused:?}");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    assert_eq!(super::get(&gate, &format!("/events/{id}"))["id"], id);
    wait_until("those that were begun are in the log", || {
        gate.log().matches("admin.replay").count() == 2
    });
    drop(hanging);
}

/// Whatever senders are given: as many connections as the admin side takes, which say nothing and need no token.
#[test]
fn connections_that_say_nothing_keep_readiness_away_only_for_seconds() {
    let app = App::start();
    let text = format!(
        "limits: {{ header_timeout: 1h, idle_timeout: 1h }}\n{}",
        config(&app)
    );
    let home = Home::new(&text);
    let gate = home.start();
    wait_until("ready", || gate.admin_get("/readyz").status == 200);
    let idle: Vec<Connection> = (0..64).map(|_| Connection::open(gate.admin)).collect();
    assert_eq!(gate.admin_get("/readyz").status, 200);
    drop(idle);
}

#[test]
fn without_a_token_only_this_machine_is_answered() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let status = |headers: &[&str]| {
        let reply = raw(
            &gate,
            &request("POST", "/api/v1/targets/app/pause", headers, b""),
        );
        reply.expect("an answer").status
    };
    assert_eq!(status(&["Host: evil.example.com"]), 403, "DNS rebinding");
    assert_eq!(
        status(&["Host: localhost", "Origin: http://evil.example.com"]),
        403,
        "a page"
    );
    assert_eq!(
        status(&["Host: localhost", "Sec-Fetch-Site: cross-site"]),
        403,
        "a form"
    );
    assert_eq!(
        gate.metric("hookgate_target_state{target=\"app\",state=\"paused\"}"),
        0.0
    );
    assert_eq!(status(&["Host: localhost:9444"]), 200);
    drop(gate);

    home.configure(&format!(
        "admin: {{ listen: \"0.0.0.0:0\" }}\n{}",
        config(&app)
    ));
    let gate = home.start();
    let refused = gate.admin_get("/api/v1/events");
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("admin.token"), "{refused:?}");
    assert_eq!(gate.admin_get("/metrics").status, 200);
}

/// Method, path, headers, body; status, and what the error says.
type Case<'a> = (&'a str, String, &'a [&'a str], &'a [u8], u16, &'a str);

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let id = send(&gate, "erp", 1, "a");
    let json = ["Host: localhost", "Content-Type: application/json"];
    let large = vec![b' '; 1 << 20];
    let replay = format!("/api/v1/events/{id}/replay");
    let cases: Vec<Case<'_>> = vec![
        (
            "GET",
            "/api/v1/events?limit=0".into(),
            &json,
            b"",
            400,
            "limit",
        ),
        (
            "GET",
            "/api/v1/events?limit=99999999999999999999".into(),
            &json,
            b"",
            400,
            "1 to 200",
        ),
        (
            "GET",
            "/api/v1/events?cursor=../x".into(),
            &json,
            b"",
            400,
            "cursor",
        ),
        (
            "GET",
            "/api/v1/events?cursor=999999999999999".into(),
            &json,
            b"",
            400,
            "cursor",
        ),
        (
            "GET",
            "/api/v1/events?state=gone".into(),
            &json,
            b"",
            400,
            "pending, delivered, dead",
        ),
        (
            "GET",
            "/api/v1/events?from=yesterday".into(),
            &json,
            b"",
            400,
            "RFC 3339",
        ),
        (
            "GET",
            "/api/v1/events?sorce=erp".into(),
            &json,
            b"",
            400,
            "unknown parameter",
        ),
        (
            "GET",
            "/api/v1/events?source=erp&source=erp".into(),
            &json,
            b"",
            400,
            "twice",
        ),
        (
            "GET",
            "/api/v1/events?key=abc".into(),
            &json,
            b"",
            400,
            "64 hex",
        ),
        (
            "GET",
            "/api/v1/events?type=%ff".into(),
            &json,
            b"",
            400,
            "UTF-8",
        ),
        (
            "GET",
            "/api/v1/events/..%2f..%2fetc%2fpasswd".into(),
            &json,
            b"",
            404,
            "no event",
        ),
        (
            "GET",
            "/api/v1/events/../../etc/passwd".into(),
            &json,
            b"",
            404,
            "openapi",
        ),
        (
            "GET",
            "/api/v1/events/%00".into(),
            &json,
            b"",
            404,
            "no event",
        ),
        (
            "GET",
            format!("/api/v1/events/{}", "a".repeat(8_000)),
            &json,
            b"",
            404,
            "no event",
        ),
        (
            "POST",
            "/api/v1/targets/nope/pause".into(),
            &json,
            b"",
            404,
            "known: app, other",
        ),
        (
            "POST",
            "/api/v1/targets/%F0%9F%92%A9/pause".into(),
            &json,
            b"",
            404,
            "no target",
        ),
        ("PUT", "/api/v1/events".into(), &json, b"", 405, "GET, HEAD"),
        (
            "GET",
            "/api/v1/events/replay".into(),
            &json,
            b"",
            405,
            "POST",
        ),
        ("POST", replay.clone(), &json, b"{", 400, "no JSON"),
        ("POST", replay.clone(), &json, b"\xff\xfe", 400, "no JSON"),
        ("POST", replay.clone(), &json, b"[]", 400, "no JSON object"),
        ("POST", replay.clone(), &json, b"{\"to\":1}", 400, "to is 1"),
        (
            "POST",
            replay.clone(),
            &json,
            b"{\"new_id\":\"yes\"}",
            400,
            "true or false",
        ),
        (
            "POST",
            replay.clone(),
            &json,
            b"{\"tp\":\"other\"}",
            400,
            "unknown parameter",
        ),
        (
            "POST",
            format!("{replay}?to=other"),
            &json,
            b"",
            400,
            "unknown parameter",
        ),
        (
            "POST",
            replay.clone(),
            &["Host: localhost", "Content-Type: text/plain"],
            b"{}",
            415,
            "application/json",
        ),
        (
            "POST",
            replay.clone(),
            &["Host: localhost"],
            b"{}",
            415,
            "application/json",
        ),
        ("POST", replay, &json, &large, 413, "65536"),
        (
            "POST",
            "/api/v1/events/replay".into(),
            &json,
            b"{\"filter\":{\"state\":[\"dead\"]}}",
            400,
            "filter.state",
        ),
        (
            "POST",
            "/api/v1/events/replay".into(),
            &json,
            b"",
            400,
            "which events?",
        ),
        (
            "POST",
            "/api/v1/events/replay".into(),
            &json,
            b"{}",
            400,
            "which events?",
        ),
        (
            "POST",
            "/api/v1/events/replay".into(),
            &json,
            b"{\"all\":false}",
            400,
            "which events?",
        ),
        (
            "POST",
            "/api/v1/events/replay".into(),
            &json,
            b"{\"filter\":{},\"all\":true}",
            400,
            "something in it",
        ),
        (
            "POST",
            "/api/v1/events/replay".into(),
            &json,
            b"{\"all\":true,\"dry_run\":true,\"dry_run\":false}",
            400,
            "dry_run is given twice",
        ),
        (
            "POST",
            "/api/v1/events/replay".into(),
            &json,
            b"{\"filter\":{\"state\":\"dead\",\"state\":\"pending\"}}",
            400,
            "filter.state is given twice",
        ),
        (
            "POST",
            "/api/v1/events/discard".into(),
            &json,
            b"",
            400,
            "which events?",
        ),
        (
            "POST",
            "/api/v1/events/discard".into(),
            &json,
            b"{}",
            400,
            "which events?",
        ),
        (
            "POST",
            "/api/v1/events/discard".into(),
            &json,
            b"{\"all\":false}",
            400,
            "which events?",
        ),
        (
            "POST",
            "/api/v1/events/discard".into(),
            &json,
            b"{\"filter\":{},\"all\":true}",
            400,
            "something in it",
        ),
        (
            "POST",
            "/api/v1/events/discard".into(),
            &json,
            b"{\"all\":true,\"dry_run\":true,\"dry_run\":false}",
            400,
            "dry_run is given twice",
        ),
        (
            "POST",
            "/api/v1/events/discard".into(),
            &json,
            b"{\"filter\":{\"state\":\"dead\",\"state\":\"pending\"}}",
            400,
            "filter.state is given twice",
        ),
    ];
    for (method, path, headers, body, status, says) in cases {
        let reply = raw(&gate, &request(method, &path, headers, body)).expect("an answer");
        assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
        let error = reply.json()["error"].as_str().expect("an error").to_owned();
        assert!(
            error.contains(says) || reply.header("allow") == Some(says),
            "{path}: {reply:?}"
        );
        assert!(reply.body.len() < 1_000, "not at any length");
    }
    let deep = [vec![b'['; 50_000], vec![b']'; 50_000]].concat();
    let reply = raw(
        &gate,
        &request("POST", "/api/v1/events/replay", &json, &deep),
    )
    .expect("an answer");
    assert!(matches!(reply.status, 400 | 413), "{reply:?}");
    // Nothing of it was done, and the gateway lives.
    assert_eq!(app.wait_for(1).len(), 1);
    assert_eq!(super::get(&gate, &format!("/events/{id}"))["replays"], 0);
}

/// By counts, not by the clock: with every connection of the admin side taken by somebody who asks for large pages and
/// never reads, each event is accepted and delivered.
#[test]
fn whoever_asks_holds_no_sender_up() {
    let app = App::start();
    let home = Home::new(&config(&app));
    let gate = home.start();
    let mut sender = Connection::open(gate.public);
    for n in 0..300 {
        sender.send(&event("erp", n, "a")).id();
    }
    let ask = "GET /api/v1/events?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    let mut deaf: Vec<Connection> = (0..60).map(|_| Connection::open(gate.admin)).collect();
    for connection in &mut deaf {
        connection.write(ask.as_bytes());
    }
    // And somebody who never finishes a body.
    let mut slow = Connection::open(gate.admin);
    slow.write(b"POST /api/v1/events/replay HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
    for n in 300..600 {
        sender.send(&event("erp", n, "a")).id();
    }
    app.wait_for(600);
    assert_eq!(
        gate.metric("hookgate_events_total{source=\"erp\",result=\"accepted\"}"),
        600.0
    );
    let unavailable = ["full", "store", "overloaded", "late"].map(|reason| {
        gate.metric(&format!(
            "hookgate_unavailable_total{{source=\"erp\",reason=\"{reason}\"}}"
        ))
    });
    assert_eq!(unavailable, [0.0; 4]);
    drop((deaf, slow));
    assert_eq!(
        super::post(
            &gate,
            "/events/replay",
            &json!({ "all": true, "dry_run": true, "limit": 1 })
        )["events"],
        1
    );
}

/// kubelet and Prometheus come by the pod's address: what they ask is answered under any name, wherever the listener is.
#[test]
fn probes_and_metrics_are_answered_under_any_name_and_the_api_is_not() {
    let app = App::start();
    let home = Home::new(&config(&app));
    for admin in ["127.0.0.1:0", "0.0.0.0:0"] {
        home.configure(&format!(
            "admin: {{ listen: \"{admin}\" }}\n{}",
            config(&app)
        ));
        let gate = home.start();
        wait_until("ready", || gate.admin_get("/readyz").status == 200);
        for host in ["10.1.2.3:9444", "gate.monitoring.svc", "evil.example.com"] {
            let host = format!("Host: {host}");
            let status = |path: &str| {
                let reply = raw(&gate, &request("GET", path, &[&host], b""));
                reply.expect("an answer").status
            };
            for open in ["/metrics", "/healthz", "/readyz"] {
                assert_eq!(status(open), 200, "{admin} {host} {open}");
            }
            for closed in ["/api", "/api/v1/events", "/api/v1/openapi.yaml"] {
                assert_eq!(status(closed), 403, "{admin} {host} {closed}");
            }
        }
    }
}

/// Who has done it is who was connected, whatever the request says, and whichever proxies are trusted with senders.
#[test]
fn what_is_done_is_logged_with_who_did_it_and_to_what() {
    let app = App::start();
    let home = Home::new(&format!("trusted_proxies: 127.0.0.1\n{}", config(&app)));
    let gate = home.start();
    let id = send(&gate, "erp", 1, "a");
    super::wait_for_state(&gate, &id, "app", "delivered");
    let lies = [
        "Host: localhost",
        "Content-Type: application/json",
        "X-Forwarded-For: 192.0.2.99",
        "Forwarded: for=192.0.2.99",
    ];
    let replay = format!("/api/v1/events/{id}/replay");
    for (path, action, what) in [
        ("/api/v1/targets/app/pause", "admin.pause", "app"),
        ("/api/v1/targets/app/resume", "admin.resume", "app"),
        (&*replay, "admin.replay", &*id),
    ] {
        let mut connection = Connection::open(gate.admin);
        let own = connection.stream().local_addr().expect("an address");
        connection.write(&request("POST", path, &lies, b"{}"));
        let reply = connection.reply();
        assert!((200..300).contains(&reply.status), "{reply:?}");
        let said = |line: &str| line.contains(action) && line.contains(what);
        wait_until("it is logged", || gate.log().lines().any(said));
        let log = gate.log();
        let line = log.lines().find(|line| said(line)).expect("found above");
        assert!(line.contains(&own.to_string()), "{line}");
        assert!(!line.contains("192.0.2.99"), "{line}");
    }
}

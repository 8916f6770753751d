//! Vendors that ask whether the URL is ours: each as its own documents say, against the presets, with an app that
//! must never hear of it.

use crate::support::{
    App, Reply, Request,
    gate::{Gate, Home},
    hmac_sha256_hex,
    sender::{Connection, now_seconds},
    wait_until,
};

const SECRET: &str = "a-secret-of-32-characters-or-more";

/// A gateway with one source of this preset, and an app behind it. The few seconds that some vendors wait may be too few
/// on a busy machine.
fn source(provider: &str, more: &str) -> (App, Home, Gate) {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  {provider}:\n    provider: {provider}\n    secret: {SECRET}\n    sender_timeout: 5m\n{more}    forward: app\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    (app, home, gate)
}

/// Sends a request without a body.
fn ask(gate: &Gate, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let mut connection = Connection::open(gate.public);
    connection.write(
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n")
            .as_bytes(),
    );
    connection
        .read_reply()
        .expect("an answer")
        .expect("an answer")
}

#[track_caller]
fn answers(reply: &Reply, status: u16, content_type: &str, body: &str) {
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (status, body),
        "{reply:?}"
    );
    let said = reply.header("content-type").unwrap_or_default();
    assert!(said.starts_with(content_type), "{reply:?}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
}

/// Nothing of a handshake is stored, counted as an event or forwarded; a real event still is.
#[track_caller]
fn nothing_came_of_it(app: &App, gate: &Gate, source: &str) {
    for result in ["accepted", "duplicate", "ignored"] {
        let series = format!("hookgate_events_total{{source=\"{source}\",result=\"{result}\"}}");
        assert_eq!(gate.metric(&series), 0.0, "{series}");
    }
    assert_eq!(app.count(), 0, "the app heard of it");
}

#[test]
fn meta_asks_with_a_token() {
    let (app, _home, gate) = source("meta", "    params: { verify_token: meatyhamhock }\n");
    let ask = |query: &str| ask(&gate, "GET", &format!("/hooks/meta?{query}"), &[]);
    let good = ask("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock");
    answers(&good, 200, "text/plain", "1158201444");
    for wrong in [
        "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=other",
        "hub.mode=subscribe&hub.challenge=1158201444",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=meatyhamhock",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock&hub.verify_token=other",
        "",
    ] {
        let reply = ask(wrong);
        assert_eq!(reply.status, 401, "{wrong}: {reply:?}");
        assert_eq!(reply.header("allow"), None, "{wrong}");
    }
    let reply = self::ask(&gate, "PUT", "/hooks/meta", &[]);
    let allow = reply.header("allow");
    assert_eq!((reply.status, allow), (405, Some("POST, GET")));
    let line = "a handshake was asked for that no rule answers: query:hub.verify_token is not as configured";
    wait_until("the log says where", || gate.log().contains(line));
    assert!(!gate.log().contains("meatyhamhock"), "{}", gate.log());
    let long = format!(
        "hub.mode=subscribe&hub.verify_token=meatyhamhock&hub.challenge={}",
        "1".repeat(5000)
    );
    assert_eq!(ask(&long).status, 401, "longer than an answer may be");
    nothing_came_of_it(&app, &gate, "meta");
}

/// A question that only a proven sender may ask is no reason to read the body of somebody who proves nothing.
#[test]
fn who_must_be_proven_is_refused_before_its_body() {
    let (app, _home, gate) = source("zoom", "");
    let mut connection = Connection::open(gate.public);
    connection.write(b"POST /hooks/zoom HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let reply = connection
        .read_reply()
        .expect("an answer")
        .expect("an answer");
    assert_eq!(
        (reply.status, reply.header("connection")),
        (401, Some("close"))
    );
    nothing_came_of_it(&app, &gate, "zoom");
}

#[test]
fn without_its_token_metas_question_is_off() {
    let (_app, _home, gate) = source("meta", "");
    let reply = ask(
        &gate,
        "GET",
        "/hooks/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        &[],
    );
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    assert!(
        gate.log().contains("off until params.verify_token is set"),
        "{}",
        gate.log()
    );
}

fn slack(body: &str) -> Request {
    let time = now_seconds().to_string();
    let mac = hmac_sha256_hex(SECRET, &[b"v0:", time.as_bytes(), b":", body.as_bytes()]);
    Request::new("/hooks/slack", body)
        .header("X-Slack-Request-Timestamp", &time)
        .header("X-Slack-Signature", &format!("v0={mac}"))
}

#[test]
fn slack_asks_with_a_signature() {
    let (app, _home, gate) = source("slack", "");
    let body = r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let reply = gate.send(&slack(body));
    answers(
        &reply,
        200,
        "text/plain",
        "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
    );
    let mut forged = slack(body);
    forged.body = body.replace("3eZ", "4eZ").into_bytes();
    assert_eq!(gate.send(&forged).status, 401);
    let unsigned = Request::new("/hooks/slack", body);
    assert_eq!(gate.send(&unsigned).status, 401);
    nothing_came_of_it(&app, &gate, "slack");

    let event = slack(
        r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message"},"challenge":"x"}"#,
    );
    assert_eq!(gate.send(&event).status, 200, "an event is one");
    app.wait_for(1);
}

#[test]
fn zoom_wants_its_token_signed() {
    let (app, _home, gate) = source("zoom", "");
    let body = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;
    let time = now_seconds().to_string();
    let mac = hmac_sha256_hex(SECRET, &[b"v0:", time.as_bytes(), b":", body.as_bytes()]);
    let request = Request::new("/hooks/zoom", body)
        .header("x-zm-request-timestamp", &time)
        .header("x-zm-signature", &format!("v0={mac}"));
    let encrypted = hmac_sha256_hex(SECRET, &[b"qgg8vlvZRS6UYooatFL8Aw"]);
    let expected =
        format!(r#"{{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"{encrypted}"}}"#);
    answers(&gate.send(&request), 200, "application/json", &expected);
    assert_eq!(
        gate.send(&Request::new("/hooks/zoom", body)).status,
        401,
        "nobody else gets an HMAC"
    );
    nothing_came_of_it(&app, &gate, "zoom");
}

/// X signs events with the same key as its question, and anybody may ask: what could be an event is not signed.
#[test]
fn x_gets_its_token_signed_and_nobody_an_event() {
    let (app, _home, gate) = source("x", "");
    let ask = |token: &str| ask(&gate, "GET", &format!("/hooks/x?crc_token={token}"), &[]);
    let good = ask("9b4507b3-9040-4669-9ca3-6b94edb50553");
    assert_eq!(good.status, 200, "{good:?}");
    let token = good.json()["response_token"]
        .as_str()
        .expect("a text")
        .to_owned();
    let expected = hmac_sha256_hex(SECRET, &[b"9b4507b3-9040-4669-9ca3-6b94edb50553"]);
    let bytes: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&expected[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    assert_eq!(token, format!("sha256={base64}"));
    for oracle in [
        "%7B%22for_user_id%22%3A%221%22%7D",
        "a%20b",
        "%0A",
        "",
        &"a".repeat(257),
    ] {
        let reply = ask(oracle);
        assert!([401, 405].contains(&reply.status), "{oracle}: {reply:?}");
        assert!(
            !reply.body.contains("response_token"),
            "{oracle}: {reply:?}"
        );
    }
    nothing_came_of_it(&app, &gate, "x");
}

#[test]
fn echoes_of_a_query_a_header_and_a_field() {
    let (app, _home, gate) = source("dropbox", "");
    let reply = ask(&gate, "GET", "/hooks/dropbox?challenge=a%20b%3C%3E", &[]);
    answers(&reply, 200, "text/plain", "a b<>");
    nothing_came_of_it(&app, &gate, "dropbox");

    let (app, _home, gate) = source("okta", "");
    let reply = ask(
        &gate,
        "GET",
        "/hooks/okta",
        &[
            ("x-okta-verification-challenge", "c-1"),
            ("Authorization", SECRET),
        ],
    );
    answers(&reply, 200, "application/json", r#"{"verification":"c-1"}"#);
    nothing_came_of_it(&app, &gate, "okta");

    let (app, _home, gate) = source(
        "monday",
        "    public_url: https://hooks.example.com/hooks/monday\n",
    );
    let reply = gate.send(&Request::new("/hooks/monday", r#"{"challenge":"3eZ\"b"}"#));
    answers(&reply, 200, "application/json", r#"{"challenge":"3eZ\"b"}"#);
    nothing_came_of_it(&app, &gate, "monday");

    let (app, _home, gate) = source("twitch", "");
    let id = "e76c6bd4-55c9-4987-8304-da1588d8988b";
    let time = jiff::Timestamp::now().to_string();
    let body = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"status":"webhook_callback_verification_pending"}}"#;
    let mac = hmac_sha256_hex(SECRET, &[id.as_bytes(), time.as_bytes(), body.as_bytes()]);
    let request = Request::new("/hooks/twitch", body)
        .header("Twitch-Eventsub-Message-Id", id)
        .header("Twitch-Eventsub-Message-Timestamp", &time)
        .header(
            "Twitch-Eventsub-Message-Type",
            "webhook_callback_verification",
        )
        .header(
            "Twitch-Eventsub-Message-Signature",
            &format!("sha256={mac}"),
        );
    answers(
        &gate.send(&request),
        200,
        "text/plain",
        "pogchamp-kappa-360noscope-vohiyo",
    );
    nothing_came_of_it(&app, &gate, "twitch");
}

/// Asana brings the secret: the first one is kept, used from then on, and survives a restart.
#[test]
fn a_secret_that_nothing_keeps_is_warned_about() {
    let (_app, _home, gate) = source("asana", "");
    let line = "brought a secret that is not the configured one";
    for (secret, warned) in [(SECRET, false), ("another-secret", true)] {
        let hello = Request::new("/hooks/asana", "{}").header("X-Hook-Secret", secret);
        assert!(!gate.log().contains(line), "{}", gate.log());
        assert_eq!(gate.send(&hello).status, 200, "{secret}");
        if warned {
            wait_until("it is said", || gate.log().contains(line));
        }
    }
    assert!(!gate.log().contains("another-secret"), "{}", gate.log());
}

#[test]
fn asana_brings_its_secret_once() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  asana:\n    provider: asana\n    secret: {{ file: asana-secret }}\n    forward: app\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    assert!(
        gate.log()
            .contains("until the vendor's handshake has brought the secret"),
        "{}",
        gate.log()
    );
    let event = |n: usize| {
        let request = Request::new("/hooks/asana", format!("{{\"events\":[{{\"n\":{n}}}]}}"));
        let mac = hmac_sha256_hex(SECRET, &[&request.body]);
        request.header("X-Hook-Signature", &mac)
    };
    assert_eq!(gate.send(&event(1)).status, 401);

    let hello = |secret: &str| Request::new("/hooks/asana", "{}").header("X-Hook-Secret", secret);
    let reply = gate.send(&hello(SECRET));
    assert_eq!(
        (reply.status, reply.header("x-hook-secret")),
        (200, Some(SECRET)),
        "{reply:?}"
    );
    wait_until("the secret is used", || {
        gate.log().contains("configuration was read anew")
    });
    assert_eq!(gate.send(&event(1)).status, 200);
    assert_eq!(gate.send(&hello(SECRET)).status, 200, "asked again");
    let reply = gate.send(&hello("another-one-from-a-stranger"));
    assert_eq!(
        (reply.status, reply.header("x-hook-secret")),
        (401, None),
        "{reply:?}"
    );
    let (_, log) = gate.stop();
    assert!(!log.contains(SECRET), "{log}");

    let gate = home.start();
    assert_eq!(gate.send(&event(2)).status, 200);
    app.wait_for(2);
}

/// Discord signs its question, sends wrong signatures to see them refused, and of webhook events it wants a Content-Type
/// on an answer without a body.
#[test]
fn discord_asks_with_a_signature() {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes");
    let public = hex::encode(key.public_key().as_ref());
    for (provider, body, status, answer) in [
        ("discord", r#"{"type":1,"id":"1"}"#, 200, r#"{"type":1}"#),
        ("discord-events", r#"{"version":1,"type":0}"#, 204, ""),
    ] {
        let app = App::start();
        let home = Home::new(&format!(
            "sources:\n  {provider}: {{ provider: {provider}, secret: {public}, forward: \"{}\" }}\n",
            app.url()
        ));
        let gate = home.start();
        let time = now_seconds().to_string();
        let ask = |signed: &str| {
            let signature = key.sign(format!("{time}{signed}").as_bytes());
            let request = Request::new(&format!("/hooks/{provider}"), body)
                .header("X-Signature-Timestamp", &time)
                .header("X-Signature-Ed25519", &hex::encode(signature));
            gate.send(&request)
        };
        answers(&ask(body), status, "application/json", answer);
        assert_eq!(ask("another body").status, 401, "{provider}");
        nothing_came_of_it(&app, &gate, provider);
    }
}

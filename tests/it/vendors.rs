//! Each vendor, end to end: what it really sends, what must be refused, what is one event and what is two.

use crate::support::{
    App, Gate, Request, gate::Home, hmac_sha256_hex, sender::now_seconds, wait_until,
};

const SECRET: &str = "first-secret-0123456789";
const SECOND: &str = "second-secret-9876543210";

/// One vendor as its guide describes it.
struct Vendor {
    name: &'static str,
    /// Lines of the source beside provider, secrets and forward.
    extra: &'static str,
    /// Where the signature (or token) is.
    header: &'static str,
    /// An event whose entity has this id, at this minute of the hour.
    body: fn(entity: u32, minute: u32) -> String,
    /// Adds what proves the sender.
    prove: fn(Request, secret: &str) -> Request,
}

fn vowchat(request: Request, secret: &str, timestamp: u64, delivery: &str) -> Request {
    let timestamp = timestamp.to_string();
    let mac = hmac_sha256_hex(secret, &[timestamp.as_bytes(), b".", &request.body]);
    request
        .header("X-Chatwoot-Timestamp", &timestamp)
        .header("X-Chatwoot-Delivery", delivery)
        .header("X-Chatwoot-Signature", &format!("sha256={mac}"))
}

/// A delivery id that follows from the body, as a retry keeps it.
fn delivery_of(body: &[u8]) -> String {
    format!("delivery-{}", &hmac_sha256_hex("delivery", &[body])[..16])
}

const VENDORS: [Vendor; 5] = [
    Vendor {
        name: "chatsvia",
        extra: "",
        header: "X-Chatsvia-Signature",
        body: |entity, minute| {
            format!(
                r#"{{"event":"order.updated","timestamp":"2026-01-31T10:{minute:02}:00Z","data":{{"orderId":"ORD-{entity}","orderNumber":"00123","status":"pending","items":[{{"productId":"prod_123","quantity":1,"price":199.00}}],"total":199.00,"currency":"USD"}}}}"#
            )
        },
        prove: |request, secret| {
            let mac = hmac_sha256_hex(secret, &[&request.body]);
            request.header("X-Chatsvia-Signature", &mac)
        },
    },
    Vendor {
        name: "vowchat",
        extra: "",
        header: "X-Chatwoot-Signature",
        body: |entity, minute| {
            format!(
                r#"{{"event":"conversation_status_changed","id":{entity},"status":"resolved","changed_at":"2024-01-15 11:{minute:02}:00 UTC","conversation":{{"id":{entity},"messages":[]}},"account":{{"id":11,"name":"My Company"}}}}"#
            )
        },
        prove: |request, secret| {
            let delivery = delivery_of(&request.body);
            vowchat(request, secret, now_seconds(), &delivery)
        },
    },
    Vendor {
        name: "chatplugify",
        extra: "    verify: { token: { header: X-Api-Token } }\n",
        header: "X-Api-Token",
        body: |entity, minute| {
            format!(
                r#"{{"event":"conversation.updated","timestamp":"2024-01-15T10:{minute:02}:00Z","data":{{"id":"conv_{entity}","workspaceId":"ws_456","status":"active"}},"webhookId":"webhook_abc"}}"#
            )
        },
        prove: |request, secret| request.header("X-Api-Token", secret),
    },
    Vendor {
        name: "live-chat",
        extra: "",
        header: "X-Webhook-Signature",
        body: |entity, minute| {
            format!(
                r#"{{"event":"message.received","timestamp":"2025-01-15T10:{minute:02}:00+00:00","data":{{"message_id":{entity},"content":"Hello","is_from_admin":false,"conversation_id":123}}}}"#
            )
        },
        prove: |request, secret| {
            let mac = hmac_sha256_hex(secret, &[&request.body]);
            request
                .header("X-Webhook-Event", "message.received")
                .header("X-Webhook-Timestamp", "2025-01-15T10:31:00+00:00")
                .header("X-Webhook-Signature", &mac)
        },
    },
    Vendor {
        name: "chatmefy",
        extra: "",
        header: "X-Chatmefy-Signature",
        body: |entity, minute| {
            format!(
                r#"{{"event":"lead.updated","timestamp":"2024-01-15T10:{minute:02}:00Z","data":{{"id":"lead_{entity}","email":"john@company.com","score":85}}}}"#
            )
        },
        prove: |request, secret| {
            let mac = hmac_sha256_hex(secret, &[&request.body]);
            request.header("X-Chatmefy-Signature", &format!("sha256={mac}"))
        },
    },
];

/// All of them. The few seconds that one waits may be too few on a busy machine.
fn configuration(app: &App) -> String {
    let mut text = String::from("sources:\n");
    for vendor in &VENDORS {
        let Vendor { name, extra, .. } = vendor;
        text += &format!(
            "  {name}:\n    provider: {name}\n{extra}    sender_timeout: 5m\n    secrets: [\"{SECRET}\", {{ name: next, value: \"{SECOND}\" }}]\n    forward: app\n"
        );
    }
    text + &format!("targets:\n  app: {{ url: {} }}\n", app.url())
}

impl Vendor {
    fn request(&self, entity: u32, minute: u32) -> Request {
        Request::new(
            &format!("/hooks/{}", self.name),
            (self.body)(entity, minute),
        )
    }

    fn proven(&self, entity: u32, minute: u32) -> Request {
        (self.prove)(self.request(entity, minute), SECRET)
    }

    fn counted(&self, gate: &Gate, result: &str) -> f64 {
        gate.metric(&format!(
            "hookgate_events_total{{source=\"{}\",result=\"{result}\"}}",
            self.name
        ))
    }
}

#[test]
fn each_vendor_is_taken_and_its_forgeries_are_not() {
    let app = App::start();
    let home = Home::new(&configuration(&app));
    let gate = home.start();
    for vendor in &VENDORS {
        let name = vendor.name;
        let good = vendor.proven(1, 1);
        let id = gate.send(&good).id();

        let refused = |what: &str, request: &Request| {
            let reply = gate.send(request);
            assert_eq!(
                (reply.status, reply.body.as_str()),
                (401, r#"{"error":"invalid signature"}"#),
                "{name}: {what}"
            );
        };
        let mut tampered = vendor.proven(2, 1);
        // A token says who sends, not what: only a signature covers the body.
        if name != "chatplugify" {
            let last = tampered.body.len() - 2;
            tampered.body[last] = b' ';
            refused("tampered body", &tampered);
        }
        let mut forged = vendor.proven(2, 2);
        let signature = forged
            .headers
            .iter_mut()
            .find(|(header, _)| header == vendor.header)
            .expect("it is signed");
        let last = signature.1.pop().expect("not empty");
        signature.1.push(if last == '0' { '1' } else { '0' });
        refused("tampered signature", &forged);
        refused(
            "other secret",
            &(vendor.prove)(vendor.request(2, 3), "another-secret"),
        );
        refused("missing header", &vendor.request(2, 4));
        let mut doubled = vendor.proven(2, 5);
        let signature = doubled
            .headers
            .iter()
            .find(|(header, _)| header == vendor.header)
            .expect("it is signed")
            .clone();
        doubled.headers.push(signature);
        refused("repeated header", &doubled);
        let mut empty = vendor.proven(2, 6);
        empty
            .headers
            .iter_mut()
            .find(|(header, _)| header == vendor.header)
            .expect("it is signed")
            .1
            .clear();
        refused("empty header", &empty);
        let mut long = vendor.proven(2, 7);
        long.headers
            .iter_mut()
            .find(|(header, _)| header == vendor.header)
            .expect("it is signed")
            .1 = "a".repeat(9_000);
        refused("over-long header", &long);

        let second = (vendor.prove)(vendor.request(3, 1), SECOND);
        assert_eq!(
            gate.send(&second).status,
            200,
            "{name}: second secret of two"
        );
        assert_eq!(
            gate.metric(&format!(
                "hookgate_secret_matches_total{{source=\"{name}\",secret=\"next\"}}"
            )),
            1.0
        );
        assert_eq!(
            gate.metric(&format!(
                "hookgate_secret_matches_total{{source=\"{name}\",secret=\"1\"}}"
            )),
            1.0
        );

        let again = gate.send(&good);
        assert!(again.is_duplicate(), "{name}: {again:?}");
        assert_eq!(again.id(), id, "{name}: a duplicate gets the original's id");
        assert_eq!(vendor.counted(&gate, "accepted"), 2.0, "{name}");
        assert_eq!(vendor.counted(&gate, "duplicate"), 1.0, "{name}");
    }
    let got = app.wait_for(2 * VENDORS.len());
    assert_eq!(
        got.len(),
        2 * VENDORS.len(),
        "nothing but the accepted events reached the app"
    );
    for vendor in &VENDORS {
        let bodies: Vec<&[u8]> = got
            .iter()
            .filter(|got| got.header("hookgate-source") == vendor.name)
            .map(|got| got.body.as_slice())
            .collect();
        for (entity, minute) in [(1, 1), (3, 1)] {
            assert!(
                bodies.contains(&(vendor.body)(entity, minute).as_bytes()),
                "{}: byte for byte",
                vendor.name
            );
        }
    }
}

#[test]
fn duplicates_are_known_after_a_restart() {
    let app = App::start();
    let home = Home::new(&configuration(&app));
    let gate = home.start();
    // A retry of VowChat's signs anew, with the same delivery id: its key is that id.
    let ids: Vec<String> = VENDORS
        .iter()
        .map(|vendor| gate.send(&vendor.proven(1, 1)).id())
        .collect();
    assert!(gate.stop().0.success());
    let gate = home.start();
    for (vendor, id) in VENDORS.iter().zip(&ids) {
        let again = gate.send(&vendor.proven(1, 1));
        assert!(again.is_duplicate(), "{}: {again:?}", vendor.name);
        assert_eq!(&again.id(), id, "{}", vendor.name);
    }
    gate.kill();
    let gate = home.start();
    for vendor in &VENDORS {
        assert!(
            gate.send(&vendor.proven(1, 1)).is_duplicate(),
            "{}: after a kill",
            vendor.name
        );
    }
    app.wait_for(VENDORS.len());
}

#[test]
fn events_that_share_an_entity_are_events_of_their_own() {
    let app = App::start();
    let home = Home::new(&configuration(&app));
    let gate = home.start();
    for vendor in &VENDORS {
        let ids: std::collections::HashSet<String> = (1..=5)
            .map(|minute| gate.send(&vendor.proven(7, minute)).id())
            .collect();
        assert_eq!(
            ids.len(),
            5,
            "{}: five events about one entity",
            vendor.name
        );
        assert_eq!(vendor.counted(&gate, "duplicate"), 0.0, "{}", vendor.name);
    }
    app.wait_for(5 * VENDORS.len());
}

#[test]
fn chatplugify_webhook_id_and_vowchat_id_swallow_nothing() {
    let app = App::start();
    let home = Home::new(&configuration(&app));
    let gate = home.start();
    // The same subscription, two orders.
    let order = |id: u32| {
        format!(
            r#"{{"event":"order.requested","timestamp":"2024-01-15T10:30:00Z","data":{{"id":"order_{id}"}},"webhookId":"webhook_abc"}}"#
        )
    };
    for id in 1..=3 {
        let request = Request::new("/hooks/chatplugify", order(id)).header("X-Api-Token", SECRET);
        assert!(!gate.send(&request).is_duplicate());
    }
    // The same conversation resolved, opened, resolved: same id, same event, byte-identical first and last.
    let status = |status: &str| {
        format!(
            r#"{{"event":"conversation_status_changed","id":789,"status":"{status}","account":{{"id":11}}}}"#
        )
    };
    // Signed at another second each, as things that a person does one after the other are.
    let now = now_seconds();
    for (n, text) in [(0, "resolved"), (1, "open"), (2, "resolved")] {
        let request = Request::new("/hooks/vowchat", status(text));
        let reply = gate.send(&vowchat(request, SECRET, now - n, &format!("delivery-{n}")));
        assert!(!reply.is_duplicate(), "{n}: {reply:?}");
    }
    let got = app.wait_for(6);
    let keys: std::collections::HashSet<&str> = got
        .iter()
        .map(|got| got.header("hookgate-dedupe-key"))
        .collect();
    assert_eq!(keys.len(), 6, "the app's idempotency key differs for each");
}

#[test]
fn a_captured_vowchat_request_is_caught_under_another_delivery_id() {
    let app = App::start();
    let home = Home::new(&configuration(&app));
    let gate = home.start();
    let body = r#"{"event":"message_created","id":"123","content":"Hi"}"#;
    let now = now_seconds();
    let captured = vowchat(Request::new("/hooks/vowchat", body), SECRET, now, "real");
    let id = gate.send(&captured).id();
    let mut replayed = captured;
    replayed
        .headers
        .iter_mut()
        .find(|(name, _)| name == "X-Chatwoot-Delivery")
        .expect("there")
        .1 = "forged".to_owned();
    let reply = gate.send(&replayed);
    assert!(reply.is_duplicate(), "{reply:?}");
    assert_eq!(reply.id(), id);
    // Hex digits have two cases, and the signature is the same in both.
    let spellings: [fn(&str) -> String; 2] = [
        |hex| hex.to_ascii_uppercase(),
        |hex| hex[..32].to_ascii_uppercase() + &hex[32..],
    ];
    for (n, spelt) in spellings.iter().enumerate() {
        let mut respelt = replayed.clone();
        for (name, value) in &mut respelt.headers {
            match name.as_str() {
                "X-Chatwoot-Delivery" => *value = format!("respelt-{n}"),
                "X-Chatwoot-Signature" => {
                    let hex = value.strip_prefix("sha256=").expect("the vendor's prefix");
                    *value = format!("sha256={}", spelt(hex));
                }
                _ => {}
            }
        }
        let reply = gate.send(&respelt);
        assert!(reply.is_duplicate(), "{respelt:?}: {reply:?}");
        assert_eq!(reply.id(), id);
    }
    // The same body signed at another second is another event (a person wrote "Hi" twice).
    let later = vowchat(
        Request::new("/hooks/vowchat", body),
        SECRET,
        now - 2,
        "later",
    );
    assert!(!gate.send(&later).is_duplicate());
    // A stale timestamp, rightly signed, is refused like a wrong signature.
    let stale = vowchat(
        Request::new("/hooks/vowchat", body),
        SECRET,
        now - 400,
        "stale",
    );
    let reply = gate.send(&stale);
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (401, r#"{"error":"invalid signature"}"#)
    );
    assert_eq!(
        gate.metric(r#"hookgate_requests_rejected_total{source="vowchat",reason="stale"}"#),
        1.0
    );
    app.wait_for(2);
}

#[test]
fn vowchat_typing_is_never_a_duplicate() {
    let app = App::start();
    let home = Home::new(&configuration(&app));
    let gate = home.start();
    let body = r#"{"event":"conversation_typing_on","account":{"id":11},"is_private":false}"#;
    let request = vowchat(
        Request::new("/hooks/vowchat", body),
        SECRET,
        now_seconds(),
        "same",
    );
    for _ in 0..15 {
        assert!(
            !gate.send(&request).is_duplicate(),
            "a signed exemption has no bound"
        );
    }
    let got = app.wait_for(15);
    let keys: std::collections::HashSet<&str> = got
        .iter()
        .map(|got| got.header("hookgate-dedupe-key"))
        .collect();
    assert_eq!(
        keys.len(),
        15,
        "the app's idempotency key must not drop them either"
    );
}

#[test]
fn live_chat_test_requests_are_seen_each_time_within_bounds() {
    let app = App::start();
    let home = Home::new(&configuration(&app));
    let gate = home.start();
    let live_chat = &VENDORS[3];
    let button = live_chat.proven(1, 1).header("X-Webhook-Test", "true");
    assert!(!gate.send(&button).is_duplicate());
    assert!(
        !gate.send(&button).is_duplicate(),
        "a person presses the button twice and sees two"
    );
    let got = app.wait_for(2);
    assert_eq!(
        got[1].header("x-webhook-test"),
        "true",
        "the mark goes on to the app"
    );

    // A captured order does not come in again by adding the mark.
    let order = live_chat.proven(2, 2);
    let id = gate.send(&order).id();
    let replayed = gate.send(&order.clone().header("X-Webhook-Test", "true"));
    assert!(replayed.is_duplicate(), "{replayed:?}");
    assert_eq!(replayed.id(), id);

    // And the exemption is for ten events a minute: two are used up.
    let fresh = (0..20)
        .filter(|_| !gate.send(&button).is_duplicate())
        .count();
    assert!(fresh <= 9, "{fresh} more exempted events");
    wait_until("the app has what was taken", || app.count() == 3 + fresh);
}

#[test]
fn chatplugify_secret_never_reaches_the_disk_and_is_put_back() {
    const CANARY: &str = "canary-7f3a9c-secret-token";
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  chatplugify:\n    provider: chatplugify\n    verify: {{ token: {{ header: X-Api-Token }} }}\n    secret: {CANARY}\n    forward: app\n  api:\n    verify: bearer\n    secret: {CANARY}\n    forward: app\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    let chatplugify = &VENDORS[2];
    assert_eq!(
        gate.send(&chatplugify.request(1, 1).header("X-Api-Token", CANARY))
            .status,
        200
    );
    let bearer = Request::new("/hooks/api", r#"{"a":1}"#)
        .header("Authorization", &format!("bEaReR {CANARY}"));
    assert_eq!(gate.send(&bearer).status, 200);
    let got = app.wait_for(2);
    let from = |source: &str| {
        got.iter()
            .find(|got| got.header("hookgate-source") == source)
            .expect("delivered")
    };
    assert_eq!(
        from("chatplugify").header("x-api-token"),
        CANARY,
        "the app sees what the sender sent"
    );
    assert_eq!(
        from("api").header("authorization"),
        format!("Bearer {CANARY}")
    );

    let metrics = gate.admin_get("/metrics").body;
    let (status, log) = gate.stop();
    assert!(status.success());
    assert!(
        !metrics.contains(CANARY) && !log.contains(CANARY),
        "neither metrics nor log show it"
    );
    for entry in std::fs::read_dir(home.path().join("data")).expect("the store") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
        assert!(
            !bytes
                .windows(CANARY.len())
                .any(|window| window == CANARY.as_bytes()),
            "the disk does not have it"
        );
    }
}

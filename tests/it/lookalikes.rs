//! Two requests of one vendor that look alike: both are events where the vendor means two, and the second is a
//! duplicate where it is a repetition, or a captured one in other clothes.

use crate::support::{
    App, Request,
    gate::Home,
    sender::{hmac_sha256_hex, now_seconds},
};

const SECRET: &str = "a-secret-of-32-characters-or-more";

/// A request of a vendor: its headers without the signature, and its body.
type Sent = (&'static [(&'static str, &'static str)], &'static str);

struct Case {
    what: &'static str,
    provider: &'static str,
    one: Sent,
    other: Sent,
    is_duplicate: bool,
}

const MEMBER: &str = r#"{"action":"added","member":{"id":1},"repository":{"id":2}}"#;
const ISSUE: &str = r#"{"action":"opened","issue":{"id":1}}"#;

const CASES: &[Case] = &[
    Case {
        what: "somebody is added to a repository, removed, and added again",
        provider: "github",
        one: (
            &[("X-GitHub-Event", "member"), ("X-GitHub-Delivery", "a")],
            MEMBER,
        ),
        other: (
            &[("X-GitHub-Event", "member"), ("X-GitHub-Delivery", "b")],
            MEMBER,
        ),
        is_duplicate: false,
    },
    Case {
        what: "a captured issue under a name that is never a duplicate",
        provider: "github",
        one: (
            &[("X-GitHub-Event", "issues"), ("X-GitHub-Delivery", "a")],
            ISSUE,
        ),
        other: (
            &[("X-GitHub-Event", "member"), ("X-GitHub-Delivery", "b")],
            ISSUE,
        ),
        is_duplicate: true,
    },
    Case {
        what: "a folder that changes twice",
        provider: "clickup",
        one: (
            &[],
            r#"{"event":"folderUpdated","folder_id":"1","webhook_id":"w"}"#,
        ),
        other: (
            &[],
            r#"{"event":"folderUpdated","folder_id":"1","webhook_id":"w"}"#,
        ),
        is_duplicate: false,
    },
    Case {
        what: "a task's change, sent again",
        provider: "clickup",
        one: (
            &[],
            r#"{"event":"taskMoved","history_items":[{"id":"1"}],"task_id":"t"}"#,
        ),
        other: (
            &[],
            r#"{"event":"taskMoved","history_items":[{"id":"1"}],"task_id":"t"}"#,
        ),
        is_duplicate: true,
    },
    Case {
        what: "a batch that was made anew for its second attempt",
        provider: "pandadoc",
        one: (
            &[("X-PandaDoc-Webhook-Event-Id", "e")],
            r#"[{"event":"x","at":1}]"#,
        ),
        other: (
            &[("X-PandaDoc-Webhook-Event-Id", "e")],
            r#"[{"event":"x","at":2}]"#,
        ),
        is_duplicate: true,
    },
    Case {
        what: "a captured batch with another id",
        provider: "pandadoc",
        one: (
            &[("X-PandaDoc-Webhook-Event-Id", "e")],
            r#"[{"event":"x"}]"#,
        ),
        other: (
            &[("X-PandaDoc-Webhook-Event-Id", "f")],
            r#"[{"event":"x"}]"#,
        ),
        is_duplicate: true,
    },
    Case {
        what: "two recipients of an envelope who finish at one moment",
        provider: "docusign",
        one: (
            &[],
            r#"{"event":"recipient-completed","generatedDateTime":"t","data":{"envelopeId":"e","recipientId":"1"}}"#,
        ),
        other: (
            &[],
            r#"{"event":"recipient-completed","generatedDateTime":"t","data":{"envelopeId":"e","recipientId":"2"}}"#,
        ),
        is_duplicate: false,
    },
    Case {
        what: "an envelope whose second attempt is counted in the body",
        provider: "docusign",
        one: (
            &[],
            r#"{"event":"envelope-sent","retryCount":0,"generatedDateTime":"t","data":{"envelopeId":"e"}}"#,
        ),
        other: (
            &[],
            r#"{"event":"envelope-sent","retryCount":1,"generatedDateTime":"t","data":{"envelopeId":"e"}}"#,
        ),
        is_duplicate: true,
    },
    Case {
        what: "two sessions that begin within a second",
        provider: "crisp-hugo",
        one: (
            &[("X-Crisp-Website-Id", "w")],
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#,
        ),
        other: (
            &[("X-Crisp-Website-Id", "w")],
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#,
        ),
        is_duplicate: false,
    },
    Case {
        what: "an event of Xero that is numbered zero",
        provider: "xero",
        one: (
            &[],
            r#"{"events":[{"resourceId":"1"}],"firstEventSequence":0,"lastEventSequence":0}"#,
        ),
        other: (
            &[],
            r#"{"events":[{"resourceId":"2"}],"firstEventSequence":0,"lastEventSequence":0}"#,
        ),
        is_duplicate: false,
    },
];

/// As this vendor signs.
fn signed(provider: &str, (headers, body): Sent, time: &str) -> Request {
    let hex = |parts: &[&[u8]]| hmac_sha256_hex(SECRET, parts);
    let base64 = || {
        let bytes = hex::decode(hex(&[body.as_bytes()])).expect("hex");
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
    };
    let mut request = Request::new(&format!("/hooks/{provider}"), body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    match provider {
        "github" => request.header(
            "X-Hub-Signature-256",
            &format!("sha256={}", hex(&[body.as_bytes()])),
        ),
        "clickup" => request.header("X-Signature", &hex(&[body.as_bytes()])),
        "docusign" => request.header("X-DocuSign-Signature-1", &base64()),
        "xero" => request.header("x-xero-signature", &base64()),
        "pandadoc" => {
            request.path += &format!("?signature={}", hex(&[body.as_bytes()]));
            request
        }
        "crisp-hugo" => {
            let mac = hex(&[time.as_bytes(), b".w.", body.as_bytes()]);
            request
                .header("X-Crisp-Timestamp", time)
                .header("X-Crisp-Signature", &format!("sha256={mac}"))
        }
        other => panic!("nobody knows how {other} signs"),
    }
}

#[test]
fn two_of_a_kind_are_what_the_vendor_means() {
    for case in CASES {
        let Case { what, provider, .. } = case;
        let app = App::start();
        // The few seconds that some of them wait may be too few on a busy machine.
        let home = Home::new(&format!(
            "sources:\n  {provider}:\n    provider: {provider}\n    secret: {SECRET}\n    sender_timeout: 5m\n    \
             respond: {{ status: 200, body: null }}\n    forward: app\ntargets:\n  app: {{ url: {} }}\n",
            app.url()
        ));
        let gate = home.start();
        let time = now_seconds().to_string();
        for (sent, is_duplicate) in [(case.one, false), (case.other, case.is_duplicate)] {
            let reply = gate.send(&signed(provider, sent, &time));
            assert_eq!(reply.status, 200, "{provider}, {what}: {reply:?}");
            assert!(
                reply.json()["id"].is_string(),
                "{provider}, {what}: {reply:?}"
            );
            assert_eq!(
                reply.is_duplicate(),
                is_duplicate,
                "{provider}, {what}: {reply:?}"
            );
        }
        app.wait_for(if case.is_duplicate { 1 } else { 2 });
    }
}

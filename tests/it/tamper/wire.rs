//! The same over sockets: whatever is wrong with a request, its sender sees the same bytes.

use super::attacks;
use super::changes::Change;
use super::meaning::meaning;
use super::played::{Played, yaml};
use crate::support::{
    Reply,
    gate::{Gate, Home},
    sender::Connection,
};
use hookgate::verify::Outgoing;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One of each kind.
const PRESETS: [&str; 10] = [
    "adyen",
    "chargebee",
    "gitlab",
    "github",
    "netlify",
    "sendgrid",
    "slack",
    "standard-webhooks-ed25519",
    "stripe",
    "twilio",
];

/// Later than any vendor's timestamp may be, milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// Longer heads are refused before anybody looks for a signature.
const HEAD_BYTES_MAX: usize = 200 << 10;

fn home(all: &[Played]) -> Home {
    let sources: Map<String, Value> = all
        .iter()
        .map(|played| {
            let secret = String::from_utf8(played.source.secrets[0].expose().to_vec());
            let secret = secret.expect("made of text");
            let mut source = yaml(played.name, &[(&secret, None)]);
            // The few seconds that some vendors wait may be too few on a busy machine.
            source["sender_timeout"] = "5m".into();
            (played.name.to_owned(), source)
        })
        .collect();
    Home::new(&format!(
        "limits: {{ header_bytes: 256KiB }}\nsources: {}\n",
        Value::Object(sources)
    ))
}

fn sent(gate: &Gate, name: &str, request: &Outgoing) -> Reply {
    let query = request.query.as_deref().unwrap_or_default();
    let mut bytes = format!(
        "{} /hooks/{name}?{query} HTTP/1.1\r\nHost: gate.test\r\nContent-Length: {}\r\n",
        request.method,
        request.body.len()
    )
    .into_bytes();
    for (header, value) in &request.headers {
        let line = [header.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
        bytes.extend(line.concat());
    }
    bytes.extend(b"\r\n");
    bytes.extend(&request.body);
    let mut connection = Connection::open(gate.public);
    connection.write(&bytes);
    let reply = connection.read_reply().expect("an answer");
    reply.expect("an answer")
}

/// What a sender can see, but for the time and the request's own number; and for whether its body was read, which a
/// request without the headers of a signature is refused before.
fn seen(reply: Reply) -> (u16, BTreeMap<String, Vec<String>>, String) {
    let mut headers: BTreeMap<_, _> = reply.headers.into_iter().collect();
    for changing in ["date", "x-request-id", "connection"] {
        headers.remove(changing);
    }
    (reply.status, headers, reply.body)
}

/// What is wrong with a request in as many ways as there are.
fn forged(played: &Played) -> Vec<Change> {
    let mut changes = attacks::on_the_signature(played);
    let words = ["body", "empty", "no header"];
    let few = |(what, _): &Change| words.iter().any(|word| what.starts_with(word));
    let said = meaning(played, &played.request);
    changes.extend(
        attacks::on_the_rest(played)
            .into_iter()
            .filter(few)
            .filter(|(_, request)| meaning(played, request) != said),
    );
    if ["slack", "stripe", "standard-webhooks-ed25519", "netlify"].contains(&played.name) {
        let late = played.signed_at(played.now_ms - HOUR_MS);
        changes.push(("signed an hour ago".to_owned(), late));
    }
    let head = |request: &Outgoing| -> usize {
        let headers = request.headers.iter();
        headers
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum()
    };
    changes.retain(|(_, request)| head(request) < HEAD_BYTES_MAX && request.body.len() < 1 << 20);
    changes
}

#[test]
fn every_cause_looks_the_same() {
    let all: Vec<Played> = PRESETS.into_iter().map(Played::new).collect();
    let home = home(&all);
    let gate = home.start();
    let mut answers: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for played in &all {
        let name = played.name;
        let forged = forged(played);
        for (what, request) in &forged {
            let answer = seen(sent(&gate, name, request));
            answers
                .entry(answer)
                .or_default()
                .push(format!("{name}: {what}"));
        }
        let count = |result: &str| {
            let labels = format!("source=\"{name}\",result=\"{result}\"");
            gate.metric(&format!("hookgate_events_total{{{labels}}}"))
        };
        let tried = u32::try_from(forged.len()).expect("a few");
        assert_eq!(count("rejected"), f64::from(tried), "{name}");
        let right = sent(&gate, name, &played.request);
        assert_eq!(
            (right.status, count("accepted")),
            (200, 1.0),
            "{name}: {right:?}"
        );
    }
    let [((status, _, body), _)] = answers.iter().collect::<Vec<_>>()[..] else {
        panic!("refusals that differ: {answers:#?}");
    };
    assert_eq!(
        (*status, body.as_str()),
        (401, r#"{"error":"invalid signature"}"#)
    );
}

//! Traces, against a collector that keeps what it got: one trace from the sender to the app, over restarts; and a
//! collector that is down, slow or unwilling, which costs its traces and nothing else.

use crate::support::{
    App, Behaviour, Gate, Request, app::Got, eventually, gate::Home, hmac_sha256_hex, tools,
    wait_until,
};
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SECRET: &str = "trace-s3cret";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn home(app: &App, collector: &str, traces: &str) -> Home {
    Home::new(&format!(
        "traces: {{ otlp: '{collector}', {traces} }}\nshutdown: {{ timeout: 1s }}\n\
         sources:\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    secret: {SECRET}\n    \
         event: {{ type: 'json:/event' }}\n    forward: app\n\
         targets:\n  app: {{ url: '{}?token=hunter2', retry: {{ first: 10ms, max: 20ms }} }}\n",
        app.url()
    ))
}

/// The collector's URL: an app of which only the root is named.
fn at(collector: &App) -> String {
    format!("http://{}", collector.address())
}

fn signed(body: &str) -> Request {
    Request::new("/hooks/shop?key=hunter2", body)
        .header("X-Signature", &hmac_sha256_hex(SECRET, &[body.as_bytes()]))
}

/// A span as the collector got it.
#[derive(Debug)]
struct Told {
    span: Value,
    attributes: HashMap<String, String>,
}

impl Told {
    fn get(&self, name: &str) -> &str {
        self.span[name].as_str().unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Every span in these requests.
fn spans(got: &[Got]) -> Vec<Told> {
    let mut spans = Vec::new();
    for got in got {
        assert_eq!(got.target, "/v1/traces");
        assert_eq!(got.header("content-type"), "application/json");
        let body: Value = serde_json::from_slice(&got.body).expect("JSON");
        let resource = &body["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["key"], "service.name");
        for span in resource["scopeSpans"][0]["spans"]
            .as_array()
            .expect("spans")
        {
            let attributes = span["attributes"].as_array().expect("attributes");
            let attributes = attributes.iter().map(|attribute| {
                let value = &attribute["value"];
                let text = value["stringValue"].as_str().or(value["intValue"].as_str());
                (
                    attribute["key"].as_str().expect("a name").to_owned(),
                    text.expect("text or a number").to_owned(),
                )
            });
            spans.push(Told {
                attributes: attributes.collect(),
                span: span.clone(),
            });
        }
    }
    spans
}

/// Waits until the collector has got so many spans in requests that it took.
#[track_caller]
fn collected(collector: &App, count: usize) -> Vec<Told> {
    wait_until(&format!("{count} spans"), || {
        spans(&collector.got()).len() >= count
    });
    let mut spans = spans(&collector.got());
    assert_eq!(spans.len(), count, "no more than that: {spans:?}");
    spans.sort_by_key(|told| told.get("startTimeUnixNano").to_owned());
    spans
}

/// Waits for a span: the collector may note it a little after the gateway has ended.
#[track_caller]
fn told(collector: &App, what: &str, is_it: impl Fn(&Told) -> bool) -> Told {
    eventually(what, || spans(&collector.got()).into_iter().find(&is_it))
}

fn dropped(gate: &Gate, reason: &str) -> f64 {
    gate.metric(&format!(
        r#"hookgate_trace_spans_dropped_total{{reason="{reason}"}}"#
    ))
}

/// The fields of a `traceparent`.
fn fields(got: &Got) -> Vec<&str> {
    got.header("traceparent").split('-').collect()
}

#[test]
fn one_trace_leads_from_the_sender_to_the_app() {
    let (app, collector) = (App::start(), App::start());
    let home = home(
        &app,
        &at(&collector),
        "sample: 0%, headers: { Api-Key: k-e-y }",
    );
    let gate = home.start();
    app.choose(|got| {
        Behaviour::Status(if got.header("hookgate-attempt") == "1" {
            500
        } else {
            200
        })
    });
    let id = gate
        .send(
            &signed(r#"{"event":"order.created","note":"private"}"#)
                .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
                .header("tracestate", "vendor=1"),
        )
        .id();
    // Nobody vouches for this one, so it cannot ask to be recorded; nor does one that is not recorded.
    let forged = Request::new("/hooks/shop", "{}")
        .header("X-Signature", "00")
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(gate.send(&forged).status, 401);
    let quiet =
        signed(r#"{"event":"quiet"}"#).header("traceparent", &format!("00-{TRACE}-{PARENT}-00"));
    assert_eq!(gate.send(&quiet).status, 200);
    let got = app.wait_for(4);

    let told = collected(&collector, 3);
    let [receipt, first, second] = &told[..] else {
        panic!("three spans")
    };
    let app_host = app.address().ip().to_string();
    for span in &told {
        assert_eq!(span.get("traceId"), TRACE);
        assert_eq!(span.attribute("hookgate.event.id"), id);
        assert_eq!(span.attribute("hookgate.source"), "shop");
    }
    assert_eq!(receipt.get("parentSpanId"), PARENT);
    assert_eq!(receipt.get("name"), "POST /hooks/shop");
    assert_eq!(receipt.span["kind"], 2);
    for (name, value) in [
        ("hookgate.result", "accepted"),
        ("http.request.method", "POST"),
        ("http.route", "/hooks/shop"),
        ("http.response.status_code", "200"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(receipt.attribute(name), value, "{name}");
    }
    for (span, attempt, status, outcome) in [
        (first, "1", "500", "failed"),
        (second, "2", "200", "delivered"),
    ] {
        assert_eq!(span.get("parentSpanId"), receipt.get("spanId"));
        assert_eq!(span.get("name"), "deliver app");
        assert_eq!(span.span["kind"], 3);
        for (name, value) in [
            ("hookgate.attempt", attempt),
            ("http.response.status_code", status),
            ("hookgate.outcome", outcome),
            ("hookgate.target", "app"),
            ("hookgate.event.type", "order.created"),
            ("server.address", &app_host),
        ] {
            assert_eq!(span.attribute(name), value, "{name}");
        }
        // The app's own spans are children of the attempt.
        let got = got
            .iter()
            .find(|got| {
                got.header("hookgate-event-id") == id && got.header("hookgate-attempt") == attempt
            })
            .expect("an attempt");
        assert_eq!(fields(got), ["00", TRACE, span.get("spanId"), "01"]);
        assert_eq!(got.header("tracestate"), "vendor=1");
    }
    assert_eq!(first.span["status"]["code"], 2);
    assert_eq!(first.attribute("error.type"), "5xx");
    assert_eq!(second.span["status"], serde_json::json!({}));
    // What is not recorded goes on as it came.
    let quiet = got
        .iter()
        .find(|got| got.header("hookgate-event-type") == "quiet");
    assert_eq!(
        quiet.expect("delivered").header("traceparent"),
        format!("00-{TRACE}-{PARENT}-00")
    );
    // Nothing of what is nobody's business.
    for got in collector.got() {
        assert_eq!(got.header("api-key"), "k-e-y");
        let text = String::from_utf8_lossy(&got.body).into_owned();
        for word in ["hunter2", "private", SECRET, &hmac_sha256_hex(SECRET, &[])] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    assert!(!gate.log().contains("k-e-y"));
    // Counted a little after the collector has answered.
    wait_until("the spans are counted", || {
        gate.metric("hookgate_trace_spans_exported_total") == 3.0
    });
}

#[test]
fn a_trace_goes_on_after_a_restart() {
    let (mut app, collector) = (App::start(), App::start());
    let home = home(&app, &at(&collector), "sample: 100%");
    let gate = home.start();
    app.go_down();
    let id = gate.send(&signed(r#"{"event":"late"}"#)).id();
    // What waits for the collector is sent before the end.
    gate.stop();
    let receipt = told(&collector, "flushed", |told| {
        told.get("name") == "POST /hooks/shop"
    });
    assert_eq!(receipt.get("parentSpanId"), "");
    app.come_back();
    let gate = home.start();
    let got = app.wait_for(1);
    gate.stop();
    let attempt = told(&collector, "delivered and told", |told| {
        told.attribute("hookgate.outcome") == "delivered"
    });
    assert_eq!(attempt.attribute("hookgate.event.id"), id);
    assert_eq!(attempt.get("traceId"), receipt.get("traceId"));
    assert_eq!(attempt.get("parentSpanId"), receipt.get("spanId"));
    assert_eq!(
        fields(&got[0]),
        ["00", receipt.get("traceId"), attempt.get("spanId"), "01"]
    );
}

#[test]
fn refusals_are_told_as_far_as_the_share_goes() {
    let (app, collector) = (App::start(), App::start());
    let home = home(&app, &at(&collector), "sample: 100%");
    let gate = home.start();
    assert_eq!(gate.send(&Request::new("/hooks/shop", "{}")).status, 401);
    let body = r#"{"event":"again"}"#;
    let id = gate.send(&signed(body)).id();
    app.wait_for(1);
    assert!(gate.send(&signed(body)).is_duplicate());
    let told = collected(&collector, 4);
    let receipts: Vec<_> = told
        .iter()
        .filter(|told| told.span["kind"] == 2)
        .map(|told| {
            let parts = ["hookgate.result", "error.type", "hookgate.event.id"];
            parts.map(|name| told.attribute(name))
        })
        .collect();
    assert_eq!(
        receipts,
        [
            ["rejected", "missing_signature", ""],
            ["accepted", "", &id],
            ["duplicate", "", &id],
        ]
    );
}

#[test]
fn a_collector_that_asks_for_time_gets_it_and_one_that_refuses_is_not_asked_again() {
    let (app, collector) = (App::start(), App::start());
    let home = home(&app, &at(&collector), "sample: 100%");
    let gate = home.start();
    for (n, status) in (1_u32..).zip([429, 502, 503, 504]) {
        let before = collector.count();
        let first = move |got: &Got, so_far: usize| {
            assert_eq!(got.target, "/v1/traces");
            if so_far == 0 {
                Behaviour::Raw(
                    format!("HTTP/1.1 {status} No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")
                        .into_bytes(),
                )
            } else {
                Behaviour::Status(200)
            }
        };
        let seen = std::sync::atomic::AtomicUsize::new(0);
        collector
            .choose(move |got| first(got, seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst)));
        assert_eq!(gate.send(&signed(&format!("{{\"n\":{n}}}"))).status, 200);
        collector.wait_for(before + 2);
        let got = collector.got();
        assert_eq!(
            got[before].body,
            got[before + 1].body,
            "the same batch again"
        );
        wait_until("taken", || {
            gate.metric("hookgate_trace_spans_exported_total") >= f64::from(2 * n)
        });
    }
    for reason in ["queue", "refused", "unreachable"] {
        assert_eq!(dropped(&gate, reason), 0.0, "{reason}");
    }
    // For good: no second try.
    collector.behave(Behaviour::Status(400));
    let before = collector.count();
    assert_eq!(gate.send(&signed(r#"{"n":"refused"}"#)).status, 200);
    wait_until("refused", || dropped(&gate, "refused") == 2.0);
    let told = spans(&collector.got()[before..]);
    assert_eq!(told.len(), 2, "each span once: {told:?}");
    collector.behave(Behaviour::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"2\"}} "
            .to_vec(),
    ));
    assert_eq!(gate.send(&signed(r#"{"n":"partly"}"#)).status, 200);
    wait_until("refused in part", || dropped(&gate, "refused") == 4.0);
}

/// Every event is taken and delivered, whatever the collector does, and the gateway stops.
#[track_caller]
fn costs_nothing_but_traces(collector: &str, behind: Option<&App>) {
    let app = App::start();
    let home = home(&app, collector, "sample: 100%, queue: 8, timeout: 1s");
    let gate = home.start();
    for n in 0..200 {
        assert_eq!(gate.send(&signed(&format!("{{\"n\":{n}}}"))).status, 200);
    }
    app.wait_for(200);
    // 512 are in one batch at most, and 8 wait: some of the 400 are dropped once a batch is out.
    for n in 200..600 {
        assert_eq!(gate.send(&signed(&format!("{{\"n\":{n}}}"))).status, 200);
    }
    app.wait_for(600);
    wait_until("some found no room", || dropped(&gate, "queue") > 0.0);
    assert_eq!(gate.metric("hookgate_trace_spans_exported_total"), 0.0);
    let (status, log) = gate.stop();
    assert!(status.success(), "{log}");
    if let Some(collector) = behind {
        assert!(collector.count() > 0, "it was asked");
    }
}

#[test]
fn a_collector_that_never_answers_costs_nothing_but_traces() {
    let collector = App::start();
    collector.behave(Behaviour::Hang);
    costs_nothing_but_traces(&at(&collector), Some(&collector));
}

#[test]
fn a_collector_that_is_not_there_costs_nothing_but_traces() {
    let mut collector = App::start();
    let url = at(&collector);
    collector.go_down();
    costs_nothing_but_traces(&url, None);
}

/// What the official library for the protocol makes of what the collector got.
#[test]
fn the_protocols_own_library_reads_what_the_collector_gets() {
    let Some(kit) = tools::folder("HOOKGATE_ORACLES") else {
        return;
    };
    let (app, collector) = (App::start(), App::start());
    let home = home(&app, &at(&collector), "sample: 100%, service: gate-1");
    let gate = home.start();
    assert_eq!(
        gate.send(&signed(r#"{"event":"order.created"}"#)).status,
        200
    );
    app.wait_for(1);
    gate.stop();
    collected(&collector, 2);
    let requests = collector.got();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/read_spans.py");
    for got in requests {
        let mut child = Command::new(kit.join("venv/bin/python"))
            .arg(&script)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(&got.body).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("a child of ours");
        assert!(output.status.success(), "it has said why");
        let read: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(read["service"], "gate-1");
        let told = spans(std::slice::from_ref(&got));
        let names: Vec<&str> = told.iter().map(|told| told.get("name")).collect();
        assert_eq!(read["names"], serde_json::json!(names));
        assert_eq!(read["spans"], told.len());
    }
}

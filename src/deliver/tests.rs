//! What operators see of targets and do to them, at the door of this room.

use super::{Deliver, Removed, SecretHeaders, Setup, TargetStatus};
use crate::config::load::{Options, Process, load_text};
use crate::event::TargetId;
use crate::metrics::Metrics;
use crate::store::Backlog;
use crate::trace::Tracer;
use std::sync::Arc;

const CONFIG: &str = "
sources: { open: { verify: none, forward: [app, busy] } }
targets:
  busy: { url: 'https://app.example:8443/in?token=hunter2' }
  app: { url: http://127.0.0.1:1/webhooks }
";

/// `app` (1) and `busy` (2), which is paused since before the start; `gone` (3) is not configured any more.
fn deliver(metrics: &Metrics) -> Arc<Deliver> {
    let process = Process {
        variable: &|_| None,
        open_files_max: None,
    };
    let (config, _) = load_text("f", CONFIG, Options::default(), &process).expect("valid");
    let named = |name: &str| {
        let mut targets = config.targets.iter();
        let found = targets.find(|target| &*target.name == name);
        found.expect("a target").clone()
    };
    let waits = |deliveries, paused| Backlog {
        deliveries,
        bytes: 100 * deliveries,
        paused,
        ..Backlog::default()
    };
    let setup = |id, name, backlog| Setup {
        id: TargetId(id),
        config: named(name),
        backlog,
        metrics: metrics.target(name),
        fed_by: Vec::new(),
    };
    let removed = Removed {
        id: TargetId(3),
        name: "gone".into(),
        backlog: waits(7, false),
        metrics: metrics.target("gone"),
    };
    let setups = vec![
        setup(2, "busy", waits(5, true)),
        setup(1, "app", waits(0, false)),
    ];
    Deliver::new(
        setups,
        vec![removed],
        SecretHeaders::new(),
        u64::MAX,
        Tracer::default(),
    )
}

#[test]
fn an_operator_sees_every_target() {
    let deliver = deliver(&Metrics::new());
    let status = deliver.status();
    let shown: Vec<_> = status
        .iter()
        .map(|target| (&*target.name, &*target.url, target.configured, target.state))
        .collect();
    assert_eq!(
        shown,
        [
            ("app", "http://127.0.0.1:1/webhooks", true, "closed"),
            ("busy", "https://app.example:8443/in", true, "paused"),
            ("gone", "", false, "paused"),
        ]
    );
    let counts = |target: &TargetStatus| (target.pending, target.pending_bytes, target.paused);
    let counts: Vec<_> = status.iter().map(counts).collect();
    assert_eq!(counts, [(0, 0, false), (5, 500, true), (7, 700, false)]);
    assert!(
        status
            .iter()
            .all(|t| t.in_flight == 0 && t.consecutive_failures == 0)
    );
}

#[test]
fn a_pause_shows_and_ends() {
    let metrics = Metrics::new();
    let deliver = deliver(&metrics);
    let state = |name: &str| {
        let status = deliver.status();
        let target = status.iter().find(|target| &*target.name == name);
        let state = target.expect("a target").state;
        let series = format!("hookgate_target_state{{target=\"{name}\",state=\"{state}\"}} 1");
        assert!(metrics.render().contains(&series), "{series}");
        state
    };
    // From before the start.
    assert_eq!((state("app"), state("busy")), ("closed", "paused"));
    for _ in 0..2 {
        deliver.resume(TargetId(2));
        deliver.pause(TargetId(1));
        assert_eq!((state("app"), state("busy")), ("paused", "closed"));
    }
    // What is not configured takes nothing anyway, and what is not there neither.
    for target in [TargetId(3), TargetId(4)] {
        deliver.pause(target);
        deliver.resume(target);
        deliver.retry_now(target);
    }
    assert_eq!((state("app"), state("busy")), ("paused", "closed"));
}

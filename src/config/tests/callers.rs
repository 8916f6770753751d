//! Who may send, and how much: `trusted_proxies`, `allow_from` and the limits that go with them.

use super::{load, shown};
use crate::config::Config;
use crate::rate::Rate;
use std::time::Duration;

fn text(top: &str, source: &str) -> String {
    format!(
        "{top}\nsources:\n  erp:\n    verify: bearer\n    secret: s3cr3t\n    forward: http://127.0.0.1/\n    {source}\n"
    )
}

fn config(top: &str, source: &str) -> Config {
    let loaded = load(&text(top, source));
    let loaded = loaded.unwrap_or_else(|problems| panic!("{top} {source}: {}", shown(&problems)));
    loaded.0
}

#[test]
fn nobody_is_trusted_and_everybody_may_send_unless_the_file_says_so() {
    for (top, source) in [
        ("", ""),
        ("trusted_proxies: []", "allow_from: null"),
        ("trusted_proxies: null", "limits: { rate: off }"),
        ("", "limits: { rate: null }"),
    ] {
        let config = config(top, source);
        assert!(config.trusted_proxies.is_empty());
        assert_eq!(config.sources[0].allow_from, None);
        assert_eq!(config.sources[0].rate, None);
        let per = Duration::from_secs(1);
        let default = Some(Rate { count: 100, per });
        assert_eq!(config.limits.failures_per_client, default);
        assert_eq!(config.limits.in_flight_per_source_percent, 50);
    }
}

#[test]
fn lists_and_rates_are_read() {
    let config = config(
        "trusted_proxies: [10.0.0.0/8, unix, \"::1\"]\n\
         limits: { failures_per_client: off, failing_clients: 8, in_flight_per_source: 80% }",
        "allow_from: 192.0.2.0/24\n    limits: { rate: 600/m }",
    );
    assert_eq!(
        config.trusted_proxies.to_string(),
        "10.0.0.0/8, ::1/128, unix"
    );
    let source = &config.sources[0];
    let allowed = source.allow_from.as_ref().expect("given");
    assert_eq!(allowed.to_string(), "192.0.2.0/24");
    let per = Duration::from_mins(1);
    assert_eq!(source.rate, Some(Rate { count: 600, per }));
    assert_eq!(config.limits.failures_per_client, None);
    assert_eq!(config.limits.failing_clients, 8);
    assert_eq!(config.limits.in_flight_per_source_percent, 80);
}

#[test]
fn to_trust_everybody_is_warned_of() {
    for (list, warned) in [
        ("0.0.0.0/0", true),
        ("[\"::/0\", unix]", true),
        ("10.0.0.0/8", false),
    ] {
        let loaded = load(&text(&format!("trusted_proxies: {list}"), ""));
        let (_, warnings) = loaded.expect("it is taken");
        let says = shown(&warnings).contains("whoever sends says itself who it is");
        assert_eq!(says, warned, "{list}");
    }
}

#[test]
fn mistakes_are_told_with_what_is_accepted() {
    for (top, source, says) in [
        (
            "trusted_proxies: [10.0.0.1/8]",
            "",
            "bits set behind its prefix",
        ),
        ("trusted_proxies: proxy.example.com", "", "is no address"),
        ("trusted_proxies: { a: 1 }", "", "networks or addresses"),
        ("", "allow_from: []", "nobody could send"),
        ("", "allow_from: [192.0.2.0/33]", "prefix length"),
        ("", "limits: { rate: 5 }", "50/s"),
        ("", "limits: { rate: 0/s }", "above zero"),
        ("limits: { failures_per_client: never }", "", "or off"),
        ("limits: { failing_clients: 0 }", "", "above zero"),
        ("limits: { in_flight_per_source: 0% }", "", "1% to 100%"),
    ] {
        let problems = load(&text(top, source)).expect_err(says);
        let problems = shown(&problems);
        assert!(problems.contains(says), "{top} {source}: {problems}");
    }
}

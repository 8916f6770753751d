//! `traces` that do not load, and those that are off.

use super::{compare, table};
use crate::config::tests::load;

/// A file with one source and these lines in `traces`.
fn traces(lines: &str) -> String {
    format!(
        "sources: {{ a: {{ verify: none, forward: http://a/ }} }}\ntraces:\n  {}\n",
        lines.trim().replace('\n', "\n  ")
    )
}

#[test]
fn bad_traces() {
    compare(
        "traces",
        &table(
            traces,
            &[
                ("no collector", "sample: 1%"),
                ("no URL", "otlp: collector:4317"),
                ("a password in the URL", "otlp: http://u:hunter2@a:4318"),
                ("a share that is none", "otlp: http://a:4318\nsample: 0.5"),
                ("more than all", "otlp: http://a:4318\nsample: 101%"),
                ("no room", "otlp: http://a:4318\nqueue: 0"),
                ("no time", "otlp: http://a:4318\ntimeout: 0s"),
                ("no name", "otlp: http://a:4318\nservice: ''"),
                (
                    "no name of a header",
                    "otlp: http://a:4318\nheaders: { 'a b': x }",
                ),
                (
                    "a header of ours",
                    "otlp: http://a:4318\nheaders: { Host: x }",
                ),
                (
                    "a header's value",
                    "otlp: http://a:4318\nheaders: { X-Key: \"hunter2\\n\" }",
                ),
                ("an unknown key", "otlp: http://a:4318\nsampler: 1%"),
            ],
        ),
    );
}

#[test]
fn nothing_as_a_collector_is_off() {
    for lines in ["otlp:", "otlp: ''", "otlp: ${UNSET_OF_ALL:-}\nsample: 1%"] {
        let config = load(&traces(lines)).map(|(config, _)| config);
        assert!(config.expect("valid").traces.is_none(), "{lines}");
    }
    let on = load(&traces("otlp: http://a:4318?key=hunter2\nsample: 0.7%"));
    let line = "traces   0.7% of requests to http://a:4318/v1/traces\n";
    assert!(crate::config::summary(&on.expect("valid").0).contains(line));
    let on = load(&traces("otlp: http://a:4318")).map(|(config, _)| config);
    let on = on.expect("valid").traces.expect("on");
    assert_eq!((on.share, on.queue, &*on.service), (1.0, 2048, "hookgate"));
}

//! Logs: to stderr, human on a terminal and JSON otherwise, level by `RUST_LOG`.
//!
//! A field named `target` is always the delivery target: the library's own is switched off.

use super::Failure;
use std::io::{self, IsTerminal as _};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt::MakeWriter, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How a log line is written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// One line of text, for people.
    Human,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts logging with `RUST_LOG`, or with `default_level` where it is unset or empty.
pub(super) fn start(format: Option<Format>, default_level: &str) -> Result<(), Failure> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = filter(&wanted, default_level)?;
    let on_terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if on_terminal {
        Format::Human
    } else {
        Format::Json
    });
    let colour = super::colour_wanted(&io::stderr());
    tracing_subscriber::registry()
        .with(layer(format, colour, io::stderr).with_filter(filter))
        .try_init()
        .map_err(|error| Failure::Failed(anyhow::Error::new(error)))
}

fn filter(wanted: &str, default_level: &str) -> Result<EnvFilter, Failure> {
    let directives = if wanted.is_empty() {
        default_level
    } else {
        wanted
    };
    EnvFilter::try_new(directives)
        .map_err(|error| Failure::Usage(format!("RUST_LOG is {wanted:?}: {error}")))
}

fn layer<W>(format: Format, colour: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false);
    match format {
        Format::Human => lines.with_ansi(colour).boxed(),
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::registry().with(layer(format, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).expect("logs are UTF-8")
    }

    #[test]
    fn json_lines_are_flat_and_keep_our_target() {
        let line = logged(Format::Json, || {
            tracing::info!(target = "orders", attempt = 2, "event.delivered");
        });
        let mut fields: serde_json::Map<_, _> = serde_json::from_str(&line).expect("one object");
        let timestamp = fields.remove("timestamp").expect("a timestamp");
        let timestamp: jiff::Timestamp = timestamp
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("RFC 3339");
        assert!(timestamp.as_second() > 1_700_000_000);
        assert!(line.contains("Z\""), "UTC: {line}");
        assert_eq!(
            serde_json::Value::Object(fields),
            serde_json::json!({
                "level": "INFO", "message": "event.delivered", "target": "orders", "attempt": 2
            })
        );
    }

    #[test]
    fn human_lines_are_plain_text() {
        let line = logged(Format::Human, || tracing::warn!(source = "erp", "slow"));
        assert!(line.ends_with(" WARN slow source=\"erp\"\n"), "{line}");
    }

    #[test]
    fn a_broken_level_is_a_usage_error() {
        assert!(matches!(
            filter("hookgate=loud", "info"),
            Err(Failure::Usage(_))
        ));
        assert_eq!(filter("", "off").expect("valid").to_string(), "off");
        assert_eq!(filter("debug", "info").expect("valid").to_string(), "debug");
    }
}

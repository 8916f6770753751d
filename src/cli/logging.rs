//! Logs: to stderr, human on a terminal and JSON otherwise, level by `RUST_LOG`.
//!
//! What comes from outside (an app's name for an error, a vendor's for an event) may hold anything. In neither format does it
//! begin a line of its own, or speak to the terminal that shows it: whatever [`speaks`] is escaped.
//!
//! A field named `target` is always the delivery target: the library's own is switched off.

use super::Failure;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use tracing_subscriber::{
    Layer, Registry,
    field::MakeExt as _,
    filter::Targets,
    fmt::{MakeWriter, format},
    layer::SubscriberExt as _,
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

fn filter(wanted: &str, default_level: &str) -> Result<Targets, Failure> {
    let directives = if wanted.is_empty() {
        default_level
    } else {
        wanted
    };
    directives
        .parse()
        .map_err(|error| Failure::Usage(format!("RUST_LOG is {wanted:?}: {error}")))
}

fn layer<W>(format: Format, colour: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_target(false);
    match format {
        Format::Human => {
            // The library's own escapes some, and no line ends.
            let fields = format::debug_fn(|writer, field, value| match field.name() {
                "message" => write!(writer, "{}", Escaped(value)),
                name if writer.has_ansi_escapes() => {
                    write!(
                        writer,
                        "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{}",
                        Escaped(value)
                    )
                }
                name => write!(writer, "{name}={}", Escaped(value)),
            });
            lines
                .with_writer(writer)
                .with_ansi(colour)
                .fmt_fields(fields.delimited(" "))
                .boxed()
        }
        Format::Json => lines
            .with_writer(Escaping(writer))
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    }
}

/// A value as it is shown, escaped.
struct Escaped<'a>(&'a dyn fmt::Debug);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Filter(f), "{:?}", self.0)
    }
}

struct Filter<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(speaks) {
            match part.char_indices().next_back() {
                Some((at, c)) if speaks(c) => {
                    self.0.write_str(&part[..at])?;
                    write!(self.0, "{}", c.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// Escapes what JSON may hold as it is. A line comes as a whole, and whatever speaks in it stands in a string, but for its end.
struct Escaping<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaping<W> {
    type Writer = Escaping<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping(self.0.make_writer())
    }
}

impl<W: io::Write> io::Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let body = text.trim_end_matches('\n');
        if !body.contains(speaks) {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut line = String::with_capacity(text.len() + 64);
        for c in body.chars() {
            if speaks(c) {
                // All of them are below U+10000.
                write!(line, "\\u{:04x}", u32::from(c)).map_err(io::Error::other)?;
            } else {
                line.push(c);
            }
        }
        line.push_str(&text[body.len()..]);
        self.0.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a character does something to what shows it: controls (Cc), line and paragraph separators, and those that turn
/// the direction of text.
fn speaks(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

    /// What comes from outside may hold anything: it must not begin a line of its own, or speak to a terminal.
    #[test]
    fn control_characters_are_escaped() {
        const HOSTILE: &str = "a\nb\rc\td\x1b[31me\0f\x7fg\u{9b}h\u{85}i\u{2028}j\u{202e}k";
        let said = std::io::Error::other(HOSTILE);
        for format in [Format::Human, Format::Json] {
            let lines = logged(format, || {
                tracing::info!(source = HOSTILE, "a text");
                tracing::info!(source = %HOSTILE, "displayed");
                tracing::info!(source = ?HOSTILE, "debugged");
                tracing::info!(error = &said as &dyn std::error::Error, "an error");
                tracing::info!("a message: {HOSTILE}");
            });
            let shown: Vec<&str> = lines.split_inclusive('\n').collect();
            assert_eq!(shown.len(), 5, "{format:?}: one line each: {lines:?}");
            for line in shown {
                let line = line.trim_end_matches('\n');
                let raw: Vec<char> = line.chars().filter(|c| speaks(*c)).collect();
                assert_eq!(raw, [], "{format:?}: {line}");
                if matches!(format, Format::Json) {
                    let read: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    let said = read["source"].as_str().or(read["error"].as_str());
                    let said = said.or(read["message"].as_str()).expect("said");
                    assert!(
                        said.ends_with(HOSTILE) || said == format!("{HOSTILE:?}"),
                        "whole: {said:?}"
                    );
                }
                for part in ["a", "b", "c", "d", "[31me", "f", "g", "h", "i", "j", "k"] {
                    assert!(line.contains(part), "{format:?}: {part} of {line}");
                }
            }
        }
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

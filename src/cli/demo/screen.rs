//! What the demo shows: aligned lines on stdout, colour only on a terminal.

use crate::cli::{Failure, colour_wanted, print};
use std::{io, time::Duration};

/// Widths of the columns for source, event and answer: the longest vendor, event type and answer fit.
const WIDTHS: (usize, usize, usize) = (13, 29, 16);

/// What a text says, as far as colour goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As promised.
    Good,
    /// Not as promised.
    Bad,
    /// A heading.
    Strong,
    /// Beside the point.
    Faint,
}

/// Prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    colour: bool,
}

impl Screen {
    /// Of stdout.
    pub(super) fn new() -> Self {
        Self {
            colour: colour_wanted(&io::stdout()),
        }
    }

    /// A heading, with space above it.
    pub(super) fn heading(self, text: &str) -> Result<(), Failure> {
        print(&format!("\n{}\n", self.paint(Tone::Strong, text)))
    }

    /// One line beside the point.
    pub(super) fn aside(self, text: &str) -> Result<(), Failure> {
        line(&self.paint(Tone::Faint, text))
    }

    /// One step: who sent what, what the gateway answered and what the app saw.
    pub(super) fn step(self, step: &Step<'_>) -> Result<(), Failure> {
        let (source, event, answer) = WIDTHS;
        // Padded before it is painted: escapes have no width.
        let answered = self.paint(step.tone, &format!("{:<answer$}", step.answer));
        let took = step.took.map(millis).unwrap_or_default();
        line(&format!(
            "{:<source$}{:<event$}{answered}{took:>9}   {}",
            step.source, step.event, step.app
        ))
    }

    /// One figure.
    pub(super) fn figure(self, name: &str, number: usize, tone: Tone) -> Result<(), Failure> {
        let number = self.paint(tone, &format!("{number:>6}"));
        line(&format!("{name:<22}{number}"))
    }

    fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour => return text.to_owned(),
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// One line, as plain as its text.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("  {text}\n"))
}

/// One line of a scene.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// Who sent it.
    pub(super) source: &'a str,
    /// What.
    pub(super) event: &'a str,
    /// The gateway's answer in short.
    pub(super) answer: &'a str,
    /// Whether that is as promised.
    pub(super) tone: Tone,
    /// How long the sender waited.
    pub(super) took: Option<Duration>,
    /// What the app saw.
    pub(super) app: &'a str,
}

/// `1.2 ms`, `2.4 s`.
pub(super) fn millis(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_where_wanted() {
        let plain = Screen { colour: false };
        assert_eq!(plain.paint(Tone::Bad, "lost"), "lost");
        let coloured = Screen { colour: true };
        assert_eq!(coloured.paint(Tone::Bad, "lost"), "\x1b[31mlost\x1b[0m");
    }

    #[test]
    fn durations_are_short() {
        for (ms, text) in [(0, "0.0 ms"), (999, "999.0 ms"), (2_449, "2.4 s")] {
            assert_eq!(millis(Duration::from_millis(ms)), text);
        }
    }
}

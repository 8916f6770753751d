//! The answer in words: whether the request passes and why not, what was looked at, and what would make it pass, most
//! likely first. Secrets do not come here, and of signatures only what the request itself says.

use super::At;
use super::capture::Capture;
use super::entry::Entry;
use super::hints;
use super::keys::Known;
use super::show::Screen;
use super::subject::Subject;
use crate::config::{Verify, summary};
use crate::verify::{Refused, Surroundings, Verifier};

/// What was found.
#[derive(Debug)]
pub(super) struct Report {
    /// Whether the gateway would take the request.
    pub(super) passes: bool,
    /// The page.
    pub(super) text: String,
}

/// A numbered paragraph.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Lines.
    pub(super) words: Vec<String>,
    /// Lines behind `fix:`.
    pub(super) fix: Vec<String>,
}

impl Finding {
    /// One sentence and one remedy.
    pub(super) fn new(words: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            words: vec![words.into()],
            fix: vec![fix.into()],
        }
    }
}

/// Holds a request against a source.
pub(super) fn report(subject: &Subject, capture: &Capture, at: At, now_ms: u64) -> Report {
    let source = &subject.source;
    let around = Surroundings::of(source, subject.signatures_max);
    let entries = |now_ms: u64| -> Vec<Entry> {
        let known = Known {
            own: &source.secrets,
            others: &subject.others,
            now_ms,
        };
        let schemes = source.verify.schemes().iter();
        schemes
            .map(|scheme| Entry::new(scheme, &around, capture, &source.secrets, known))
            .collect()
    };
    let now_ms = match at {
        At::Now => now_ms,
        At::Unix(unix_ms) => unix_ms,
        At::Signed => signed(&entries(now_ms)).unwrap_or(now_ms),
    };
    let entries = entries(now_ms);
    let secrets = source.secrets.iter();
    let others = subject.others.iter().map(|(_, secret)| secret);
    let params = source.params.iter().map(|(_, param)| param);
    let page = Page {
        subject,
        capture,
        around,
        screen: Screen::new(secrets.chain(others).chain(params)),
        now_ms,
        entries,
    };
    page.write()
}

/// The time that the request says it was signed at.
fn signed(entries: &[Entry]) -> Option<u64> {
    let right = entries.iter().filter(|entry| entry.right.is_some());
    let mut in_order = right.chain(entries);
    in_order.find_map(Entry::signed_ms)
}

pub(super) struct Page<'a> {
    pub(super) subject: &'a Subject,
    pub(super) capture: &'a Capture,
    pub(super) around: Surroundings,
    pub(super) screen: Screen,
    pub(super) now_ms: u64,
    pub(super) entries: Vec<Entry>,
}

impl Page<'_> {
    fn write(&self) -> Report {
        match self.handshake() {
            None => {}
            Some(Ok(())) => {
                let first =
                    "passes: it is the vendor's handshake, which is answered without a proof";
                return self.finish(true, first, &[]);
            }
            Some(Err(refusal)) => {
                return self.finish(false, &format!("fails: {}", refusal.words()), &[]);
            }
        }
        match self.answer() {
            Ok(secret) => {
                let first = match (&secret, &self.subject.source.verify) {
                    (_, Verify::None) => "passes: nothing is proven (verify: none)".to_owned(),
                    _ => "passes".to_owned(),
                };
                let entry = self.entries.iter().position(|entry| entry.answer.is_ok());
                let entry = entry.filter(|_| self.entries.len() > 1);
                let entry = entry.map_or_else(String::new, |place| {
                    format!(", by entry {} of verify", place + 1)
                });
                let rows = secret.map(|name| ("matched", format!("secret {name:?}{entry}")));
                self.finish(true, &first, rows.as_slice())
            }
            Err(refused) => {
                let first = format!("fails: {}", self.reason(refused));
                self.finish(false, &first, &[])
            }
        }
    }

    /// What the gateway says, and the secret that matches.
    fn answer(&self) -> Result<Option<String>, Refused> {
        let source = &self.subject.source;
        let verifier = Verifier::new(&source.verify, &source.secrets, &self.around);
        verifier
            .verify(
                &self.capture.method,
                self.capture.query.as_deref(),
                self.capture.headers.clone(),
                self.capture.body.clone(),
                self.now_ms,
            )
            .map(|verified| verified.secret().map(ToString::to_string))
    }

    fn finish(&self, passes: bool, first: &str, more: &[(&'static str, String)]) -> Report {
        let mut text = format!("{first}\n\n");
        for (label, value) in self.rows().iter().chain(more) {
            text.push_str(&format!("{label:<11}{value}\n"));
        }
        let (findings, last) = if passes {
            (hints::of_the_capture(self.capture, true), None)
        } else {
            self.findings()
        };
        for (place, finding) in findings.iter().enumerate() {
            text.push('\n');
            paragraph(place + 1, finding, &mut text);
        }
        if let Some(last) = last {
            text.push('\n');
            text.push_str(&last);
        }
        Report {
            passes,
            text: self.screen.page(&text),
        }
    }

    /// What was looked at.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let source = &self.subject.source;
        let mut rows = vec![("source", format!("{}, {}", source.name, self.subject.how))];
        let capture = self.capture;
        let path = self.screen.show(capture.path.as_bytes());
        let query = if capture.query.is_some() {
            " with a query"
        } else {
            ""
        };
        rows.push((
            "request",
            format!(
                "{} {path}{query}, {}, body of {} bytes",
                capture.method,
                crate::cli::count(capture.headers.len(), "header line"),
                capture.body.len()
            ),
        ));
        let some_tried = self.entries.iter().any(|entry| entry.unmet.is_empty());
        for entry in &self.entries {
            rows.push(("verify", summary::scheme(&entry.trial.scheme)));
            if some_tried && !entry.unmet.is_empty() {
                rows.push(("", format!("not tried: {}", entry.unmet_lines())));
                continue;
            }
            let mut more = entry.rows(&self.screen, self.now_ms);
            more.retain(|row| !rows.contains(row));
            rows.extend(more);
            if entry.answer.is_err()
                && let Some(name) = &entry.right
            {
                rows.push(("matched", format!("secret {name}")));
            }
        }
        rows
    }
}

/// A clause with a capital letter and a full stop.
pub(super) fn sentence(clause: &str) -> String {
    let mut characters = clause.chars();
    let first = characters.next().map(|c| c.to_ascii_uppercase());
    format!(
        "{}{}.",
        first.map_or_else(String::new, String::from),
        characters.as_str()
    )
}

fn paragraph(number: usize, finding: &Finding, text: &mut String) {
    for (place, line) in finding.words.iter().enumerate() {
        match place {
            0 => text.push_str(&format!("{number}. {line}\n")),
            _ => text.push_str(&format!("   - {line}\n")),
        }
    }
    for (place, line) in finding.fix.iter().enumerate() {
        let label = if place == 0 { "fix:" } else { "    " };
        text.push_str(&format!("   {label} {line}\n"));
    }
}

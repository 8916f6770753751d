//! The answer in words: whether the request passes and why not, what was looked at, and what would make it pass, most
//! likely first. Secrets do not come here, and of signatures only what the request itself says.

use super::At;
use super::capture::Capture;
use super::entry::Entry;
use super::hints;
use super::keys::Known;
use super::search::{Outcome, search};
use super::show::Screen;
use super::steps;
use super::subject::{Subject, public_url};
use super::times;
use super::vendors;
use crate::clock;
use crate::config::{
    Verify, summary,
    verify::{Proof, TimeFormat},
};
use crate::verify::{Handshakes, Refused, Request, Surroundings, Verifier};

/// What was found.
#[derive(Debug)]
pub(super) struct Report {
    /// Whether the gateway would take the request.
    pub(super) passes: bool,
    /// The page.
    pub(super) text: String,
}

/// A numbered paragraph.
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

struct Page<'a> {
    subject: &'a Subject,
    capture: &'a Capture,
    around: Surroundings,
    screen: Screen,
    now_ms: u64,
    entries: Vec<Entry>,
}

impl Page<'_> {
    fn write(&self) -> Report {
        if self.handshake() == Some(false) {
            let first = "passes: it is the vendor's handshake, which is answered without a proof";
            return self.finish(true, first, &[]);
        }
        match self.answer() {
            Ok(secret) => {
                let first = match (&secret, &self.subject.source.verify) {
                    (_, Verify::None) => "passes: nothing is proven (verify: none)".to_owned(),
                    _ => "passes".to_owned(),
                };
                let rows = secret.map(|name| ("matched", format!("secret {name:?}")));
                self.finish(true, &first, rows.as_slice())
            }
            Err(refused) => {
                let first = format!("fails: {}", self.reason(refused));
                self.finish(false, &first, &[])
            }
        }
    }

    /// Whether a rule of `handshake` answers, and if so whether only when the request is proven.
    fn handshake(&self) -> Option<bool> {
        let source = &self.subject.source;
        let rules = Handshakes::new(
            &source.handshakes,
            &source.verify,
            &source.secrets,
            &self.around,
        );
        let request = Request {
            method: &self.capture.method,
            query: self.capture.query.as_deref(),
            headers: &self.capture.headers,
            body: &self.capture.body,
        };
        rules.rule(request).map(|rule| rule.verified)
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

    /// One line that says why not.
    fn reason(&self, refused: Refused) -> String {
        let of = |wanted: Refused| {
            let mut entries = self.entries.iter();
            entries.find(|entry| entry.answer == Err(wanted))
        };
        match (refused, of(refused)) {
            (Refused::Missing, Some(entry)) => {
                let lacks = entry.lacks();
                match lacks.as_slice() {
                    [] => "there is no signature".to_owned(),
                    lacks => format!("the request has {}", lacks.join(" and ")),
                }
            }
            (Refused::Stale, Some(entry)) => self.staleness(entry),
            (Refused::Bad, Some(entry)) => self.badness(entry),
            (refused, None) => refused.to_string(),
        }
    }

    fn badness(&self, entry: &Entry) -> String {
        if let Some(name) = entry.repeated().first() {
            let times = entry.trial.headers.get_all(name).iter().count();
            return format!(
                "the header {name} stands there {times} times, and nobody can say which one counts"
            );
        }
        let unmet = steps::unmet(&entry.trial);
        if entry.trial.scheme.when.is_empty() || unmet.is_empty() {
            if let Some(why) = entry.malformed() {
                return format!("what the request has is no signature of this scheme: {why}");
            }
        } else {
            let lines: Vec<String> = unmet
                .iter()
                .map(|place| steps::line(&entry.trial.scheme.when[*place]))
                .collect();
            return format!("`when` does not hold: {}", lines.join("; "));
        }
        let what = match entry.trial.scheme.proof {
            Proof::Token(_) => "token",
            Proof::Signature(_) | Proof::Jwt(_) => "signature",
        };
        if matches!(entry.trial.scheme.proof, Proof::Jwt(_)) {
            return format!(
                "the token proves nothing with any secret of source {}",
                self.subject.source.name
            );
        }
        format!(
            "the {what} matches no secret of source {}",
            self.subject.source.name
        )
    }

    /// A right signature at a wrong time.
    fn staleness(&self, entry: &Entry) -> String {
        let Some(signature) = entry.signature() else {
            let times = entry.jwt_times(self.now_ms).unwrap_or_default();
            return format!(
                "the signature is right; the token is outside its time ({times}): normal for a capture, a fault if \
                 it was just sent"
            );
        };
        let text = entry.trial.timestamp(signature).unwrap_or_default();
        let (Some(config), Some((format, unix_ms))) = (&signature.timestamp, times::read(&text))
        else {
            return "the signature is right; its timestamp is no time that can be read".to_owned();
        };
        if format != config.format {
            return format!(
                "the signature is right; its timestamp is {}, but `format` is {}",
                in_words(format),
                times::format_name(config.format)
            );
        }
        let limit =
            |limit: Option<std::time::Duration>| times::span(limit.map_or(0, clock::millis));
        if unix_ms > self.now_ms {
            format!(
                "the signature is right; its timestamp is {}, the limit is {}: the sender's clock or the one here is \
                 off",
                times::age(unix_ms, self.now_ms),
                limit(config.future)
            )
        } else {
            format!(
                "the signature is right; its timestamp is {}, the limit is {}: normal for a capture, a fault if it \
                 was just sent",
                times::age(unix_ms, self.now_ms),
                limit(config.past)
            )
        }
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
        for entry in &self.entries {
            rows.push(("verify", summary::scheme(&entry.trial.scheme)));
            rows.extend(entry.rows(&self.screen, self.now_ms));
            if entry.answer.is_err()
                && let Some(name) = &entry.right
            {
                rows.push(("matched", format!("secret {name}")));
            }
        }
        rows
    }

    /// What would make it pass, then what is odd; and where nothing would, what was tried.
    fn findings(&self) -> (Vec<Finding>, Option<String>) {
        let mut proven = Vec::new();
        let mut tried = 0;
        let mut cut = false;
        let several = self.entries.len() > 1;
        for (place, entry) in self.entries.iter().enumerate() {
            if entry.answer == Err(Refused::Stale) {
                proven.extend(self.about_time(entry, several.then_some(place)));
                continue;
            }
            let steps = steps::all(&entry.trial, self.capture);
            let (candidates, configured) = &entry.candidates;
            let outcome: Outcome = search(&entry.trial, &steps, candidates, *configured);
            tried += outcome.tried * candidates.len().max(1);
            cut |= outcome.cut;
            for found in outcome.found {
                let fix = found
                    .fix
                    .lines(&entry.trial.scheme, several.then_some(place));
                let mut words: Vec<String> =
                    found.words.iter().map(|words| sentence(words)).collect();
                let named = words.iter().any(|words| words.contains(&found.secret));
                if self.subject.source.secrets.len() > 1 && !named {
                    words.push(format!("The secret is {}.", found.secret));
                }
                if let [_, _, ..] = words.as_slice() {
                    words.insert(0, "The signature is right if all of this is so:".to_owned());
                }
                proven.push(Finding { words, fix });
            }
        }
        let known = Known {
            own: &self.subject.source.secrets,
            others: &self.subject.others,
            now_ms: self.now_ms,
        };
        let url = self.around.public_url.as_deref().map(str::to_owned);
        let url = url
            .or_else(|| public_url(self.capture))
            .unwrap_or_else(|| super::NO_URL.to_owned());
        let (vendors, _) = vendors::all(&url);
        let own = self.subject.source.provider.as_deref();
        if proven.is_empty() {
            for (name, secret) in vendors::right_for(&vendors, own, self.capture, known)
                .into_iter()
                .take(3)
            {
                proven.push(Finding::new(
                    format!("The request is signed as {name} signs, with secret {secret}."),
                    format!("provider: {name}"),
                ));
            }
        }
        if proven.is_empty() {
            let inside = self
                .entries
                .iter()
                .find_map(|entry| hints::secret_inside(entry, &self.screen));
            proven.extend(inside);
        }
        let is_proven = !proven.is_empty();
        proven.extend(hints::all(
            self.subject,
            self.capture,
            &self.entries,
            &vendors,
            is_proven,
        ));
        let nothing_there = self.entries.iter().all(|entry| !entry.lacks().is_empty())
            && vendors::signed_headers(self.capture).is_empty();
        let last = (!is_proven && !nothing_there).then(|| nothing_helps(tried, cut));
        (proven, last)
    }

    /// What to do about a right signature at a wrong time.
    fn about_time(&self, entry: &Entry, place: Option<usize>) -> Vec<Finding> {
        let Some(signature) = entry.signature() else {
            return vec![only_old()];
        };
        let read = entry
            .trial
            .timestamp(signature)
            .and_then(|text| times::read(&text));
        let (Some(config), Some((format, unix_ms))) = (&signature.timestamp, read) else {
            return Vec::new();
        };
        if format != config.format {
            let value = format!("{{ format: {} }}", times::format_name(format));
            let fix = super::fix::Fix::raw_setting("timestamp", value);
            return vec![Finding {
                words: vec![format!("The timestamp is {}.", in_words(format))],
                fix: fix.lines(&entry.trial.scheme, place),
            }];
        }
        if unix_ms > self.now_ms {
            return vec![Finding::new(
                format!(
                    "The sender's clock is {} ahead of the one that this is held against.",
                    times::span(unix_ms - self.now_ms)
                ),
                "compare both clocks with NTP; `tolerance: { past: 5m, future: 15m }` lets a sender run ahead",
            )];
        }
        vec![only_old()]
    }
}

/// A finding about a capture that was right when it was made.
fn only_old() -> Finding {
    Finding::new(
        "Nothing is wrong but the age, and a capture only grows older.",
        "--at signed takes the signed time as now; a request that was really just sent comes from a clock that is \
         behind, or waited in a queue",
    )
}

fn in_words(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::Unix => "in Unix seconds",
        TimeFormat::UnixMs => "in Unix milliseconds",
        TimeFormat::Rfc3339 => "written as RFC 3339",
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

fn nothing_helps(tried: usize, cut: bool) -> String {
    let cut = if cut {
        " The body is large, so not all of them were tried; a smaller request of the same sender says more."
    } else {
        ""
    };
    format!(
        "Nothing that was tried makes it right ({tried} combinations): the secrets of this configuration in every form, \
         other places,\nprefixes, encodings and hashes, the body as JSON.stringify, Python, PHP and Go write it, line \
         ends, a byte order mark,\nescapes, other texts around the time, other URLs, and every preset.{cut}\n\
         At the vendor, check that the secret is that of this very endpoint (test and live mode have their own, and \
         so does\neach endpoint), that it was not renewed since, and what exactly is signed.\n"
    )
}

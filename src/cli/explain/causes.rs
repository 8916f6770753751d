//! What would make a refused request pass: the search over every scheme, then the presets, then what only hints at it.

use super::entry::Entry;
use super::hints;
use super::keys::Known;
use super::reason::in_words;
use super::report::{Finding, Page, sentence};
use super::search::{Outcome, search};
use super::subject::public_url;
use super::{steps, times, vendors};
use crate::verify::{Refused, Surroundings};

impl Page<'_> {
    /// What would make it pass, then what is odd; and where nothing would, what was tried.
    pub(super) fn findings(&self) -> (Vec<Finding>, Option<String>) {
        if let Some(Err(refusal)) = self.handshake() {
            return (vec![refusal.finding()], None);
        }
        if let Some(finding) = self.about_nearly() {
            return (vec![finding], None);
        }
        if self.awaited().is_some() {
            let finding = Finding::new(
                "The vendor's handshake brings the secret, and until then nothing can be proven.",
                "create the vendor's webhook while the gateway runs, or put the secret into the file",
            );
            return (vec![finding], None);
        }
        let mut tried = Tried::default();
        let url = self.around.public_url.as_deref().map(str::to_owned);
        let url = url
            .or_else(|| public_url(self.capture))
            .unwrap_or_else(|| super::NO_URL.to_owned());
        let (vendors, _) = vendors::all(&url);
        let mut findings: Vec<Finding> = self.of_another_source().into_iter().collect();
        if findings.is_empty() {
            findings = self.of_the_schemes(&mut tried);
            self.add_vendors(&vendors, &mut findings);
        }
        if findings.is_empty() {
            let own = self.subject.source.provider.as_deref();
            let mut entries = self.entries.iter();
            findings
                .extend(entries.find_map(|entry| hints::secret_inside(entry, &self.screen, own)));
        }
        let is_proven = !findings.is_empty();
        if !is_proven {
            findings = hints::causes(self.subject, self.capture, &self.entries, &vendors);
        }
        let is_named = !findings.is_empty() || hints::is_damaged(self.capture);
        findings.extend(hints::others(self.subject, self.capture, is_proven));
        let last = (!is_named).then(|| tried.in_words(self.subject.has_path));
        (findings, last)
    }

    /// The request is another source's, and right there.
    fn of_another_source(&self) -> Option<Finding> {
        if self.entries.iter().any(|entry| entry.right.is_some()) {
            return None;
        }
        let sources = self.subject.sources.iter();
        let found = sources.flat_map(|source| {
            let around = Surroundings::of(source, self.subject.signatures_max);
            let schemes = source.verify.schemes().iter();
            schemes.filter_map(move |scheme| {
                let known = Known {
                    own: &source.secrets,
                    others: &[],
                    now_ms: self.now_ms,
                };
                let entry = Entry::new(scheme, &around, self.capture, &source.secrets, known);
                Some((source, entry.right?))
            })
        });
        let (source, secret) = found.into_iter().next()?;
        let fix = if source.path == self.capture.path {
            format!("hold it against that source: --source {}", source.name)
        } else {
            format!("send it to {}, the path of that source", source.path)
        };
        Some(Finding::new(
            format!(
                "The request is right for source {} of this configuration, with its secret {secret}.",
                source.name
            ),
            fix,
        ))
    }

    /// What the schemes of the source would take with something changed. Those that are not tried come last.
    fn of_the_schemes(&self, tried: &mut Tried) -> Vec<Finding> {
        let several = self.entries.len() > 1;
        let mut entries: Vec<(usize, &Entry)> = self.entries.iter().enumerate().collect();
        entries.sort_by_key(|(_, entry)| !entry.unmet.is_empty());
        let mut findings = Vec::new();
        for (place, entry) in entries {
            if !entry.unmet.is_empty() && !findings.is_empty() {
                break;
            }
            let place = several.then_some(place);
            let more = if entry.answer == Err(Refused::Stale) {
                self.about_time(entry, place)
            } else {
                self.search(entry, place, tried)
            };
            for finding in more {
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
        findings
    }

    fn search(&self, entry: &Entry, place: Option<usize>, tried: &mut Tried) -> Vec<Finding> {
        let steps = steps::all(&entry.trial, self.capture);
        let (candidates, configured) = &entry.candidates;
        let outcome: Outcome = search(&entry.trial, &steps, candidates, *configured);
        tried.combinations += outcome.tried * candidates.len().max(1);
        tried.is_cut |= outcome.cut;
        let found = outcome.found.into_iter();
        found
            .map(|found| {
                let fix = found.fix.lines(&entry.trial.scheme, place);
                let mut words: Vec<String> =
                    found.words.iter().map(|words| sentence(words)).collect();
                let named = words.iter().any(|words| words.contains(&found.secret));
                if self.subject.source.secrets.len() > 1 && !named {
                    words.push(format!("The secret is {}.", found.secret));
                }
                if let [_, _, ..] = words.as_slice() {
                    words.insert(0, "The signature is right if all of this is so:".to_owned());
                }
                Finding { words, fix }
            })
            .collect()
    }

    /// Names the presets that take the request, where the source itself would not, or only with its signature elsewhere.
    fn add_vendors(&self, vendors: &[vendors::Vendor], findings: &mut Vec<Finding>) {
        if !findings.is_empty() && self.entries.iter().any(Entry::has_signature) {
            return;
        }
        let known = Known {
            own: &self.subject.source.secrets,
            others: &self.subject.others,
            now_ms: self.now_ms,
        };
        let own = self.subject.source.provider.as_deref();
        let right = vendors::right_for(vendors, own, self.capture, known);
        let Some(first) = right.first() else { return };
        let names: Vec<&str> = right.iter().take(4).map(|right| right.name).collect();
        let (sign, which) = match names.as_slice() {
            [_] => ("signs", ""),
            _ => ("sign", "     # whichever of them it is"),
        };
        let finding = Finding::new(
            format!(
                "This is how {} {sign}: the request is right so, with secret {}.",
                names.join(", "),
                first.secret
            ),
            format!("provider: {}{which}", first.name),
        );
        match (own, names.as_slice()) {
            // Nobody wants to turn a preset into another one, setting by setting.
            (Some(_), _) => *findings = vec![finding],
            (None, [_]) => findings.insert(0, finding),
            (None, _) => findings.push(finding),
        }
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

/// What was tried in vain.
#[derive(Debug, Default)]
struct Tried {
    combinations: usize,
    /// Whether the bound was reached.
    is_cut: bool,
}

impl Tried {
    fn in_words(&self, has_configuration: bool) -> String {
        let cut = if self.is_cut {
            " The body is large, so not all of them were tried; a smaller request of the same sender says more."
        } else {
            ""
        };
        let secrets = if has_configuration {
            "the secrets of this configuration"
        } else {
            "the secret"
        };
        format!(
            "Nothing that was tried makes it right ({} combinations): {secrets} in every form, \
             other places,\nprefixes, encodings and hashes, the body as JSON.stringify, Python, PHP and Go write it, line \
             ends, a byte order mark,\nescapes, other texts around the time, other URLs, and every preset.{cut}\n\
             At the vendor, check that the secret is that of this very endpoint (test and live mode have their own, and \
             so does\neach endpoint), that it was not renewed since, and what exactly is signed.\n",
            self.combinations
        )
    }
}

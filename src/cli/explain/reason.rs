//! The first line of a refusal: why the gateway says no.

use super::entry::Entry;
use super::report::Page;
use super::{forms, times};
use crate::clock;
use crate::config::verify::{Proof, TimeFormat};
use crate::verify::Refused;

impl Page<'_> {
    /// One line that says why not.
    pub(super) fn reason(&self, refused: Refused) -> String {
        if let Some(file) = self.awaited() {
            let name = &self.subject.source.name;
            return format!(
                "source {name} has no secret yet: {} is not there",
                file.display()
            );
        }
        if let Some((_, line)) = self.nearly() {
            return format!("it is nearly a handshake, but {line}");
        }
        let of = |wanted: Refused| {
            // What is not tried says little.
            let refused = self
                .entries
                .iter()
                .filter(|entry| entry.answer == Err(wanted));
            refused.min_by_key(|entry| !entry.unmet.is_empty())
        };
        match (refused, of(refused)) {
            (Refused::Missing, Some(entry)) => {
                let lacks = entry.lacks().join(" and ");
                match (entry.has_signature(), lacks.is_empty()) {
                    (true, false) if entry.lacks_time() => {
                        format!("the signed time is missing: the request has {lacks}")
                    }
                    (_, false) => format!("the request has {lacks}"),
                    (true, true) => self.badness(entry),
                    (false, true) => "there is no signature".to_owned(),
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
        if !entry.unmet.is_empty() {
            return format!("`when` does not hold: {}", entry.unmet_lines());
        }
        if let Some(why) = forms::sent_as_other(&entry.trial) {
            return why;
        }
        if let Some(why) = entry.malformed() {
            return format!("what the request has is no signature of this scheme: {why}");
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
}

pub(super) fn in_words(format: TimeFormat) -> &'static str {
    match format {
        TimeFormat::Unix => "in Unix seconds",
        TimeFormat::UnixMs => "in Unix milliseconds",
        TimeFormat::Rfc3339 => "written as RFC 3339",
    }
}

//! A request as the vendor's handshake: what the gateway answers without a proof, and what it refuses even so.

use super::entry::Entry;
use super::report::{Finding, Page};
use super::steps;
use crate::config::verify::{Condition, Expected, Subject};
use crate::verify::{Handshakes, Request};
use http::Method;
use std::path::{Path, PathBuf};

/// Why a handshake that needs no proof is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What is to be answered is missing, or too long.
    Unanswerable,
    /// What it brings is no secret.
    Unusable,
    /// It brings another secret than the one in this file.
    Another(PathBuf),
}

impl Refusal {
    /// A clause.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Unanswerable => {
                "it is the vendor's handshake, but lacks what is to be answered, or holds too much of it".to_owned()
            }
            Self::Unusable => "this handshake brings a secret that cannot be one".to_owned(),
            Self::Another(file) => format!(
                "this handshake brings another secret than the one in {}",
                file.display()
            ),
        }
    }

    /// What to do about it.
    pub(super) fn finding(&self) -> Finding {
        match self {
            Self::Unanswerable => Finding::new(
                "What the rule of `handshake` answers with is not in the request once, or is long.",
                "capture it again, whole; compare `handshake` with what the vendor documents",
            ),
            Self::Unusable => Finding::new(
                "A secret has 1 to 1,024 visible ASCII characters, and is one that `verify` can take.",
                "ask the vendor, if it was the vendor that sent this",
            ),
            Self::Another(file) => Finding::new(
                "Only the first secret that a handshake brings is believed, whoever sends it.",
                format!(
                    "remove {} to take the next one, if the vendor's webhook was created anew",
                    file.display()
                ),
            ),
        }
    }
}

impl Page<'_> {
    /// Whether it is a handshake that is answered without a proof; none if it is no such handshake. The error says why
    /// it is refused.
    pub(super) fn handshake(&self) -> Option<Result<(), Refusal>> {
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
        let rule = rules.rule(request).filter(|rule| !rule.verified)?;
        if rules.answer(rule, request, self.now_ms).is_none() {
            return Some(Err(Refusal::Unanswerable));
        }
        let (Some(file), Some(brought)) = (&source.learn_to, rules.brought(rule, request)) else {
            return Some(Ok(()));
        };
        Some(match brought.usable(&source.verify) {
            None => Err(Refusal::Unusable),
            Some(secret) if file.exists() && !rules.knows(&secret) => {
                Err(Refusal::Another(file.clone()))
            }
            Some(_) => Ok(()),
        })
    }

    /// The file that a handshake has not brought its secret to yet, where that is the only one.
    pub(super) fn awaited(&self) -> Option<&Path> {
        let source = &self.subject.source;
        source
            .learn_to
            .as_deref()
            .filter(|_| source.secrets.is_empty())
    }

    /// Where the request has no signature and one value more would make it a handshake that needs none: the place of
    /// the rule, from 1, and the line of `when` that the value differs from.
    pub(super) fn nearly(&self) -> Option<(usize, String)> {
        let trial = &self.entries.first()?.trial;
        if self.entries.iter().any(Entry::has_signature) {
            return None;
        }
        let rules = self.subject.source.handshakes.iter().enumerate();
        let mut open = rules.filter(|(_, rule)| !rule.verified && rule.when.len() > 1);
        open.find_map(|(place, rule)| {
            let is_method = |condition: &Condition| condition.subject == Subject::Method;
            if trial.method != Method::POST && !rule.when.iter().any(is_method) {
                return None;
            }
            let unmet = steps::unmet_of(&rule.when, trial);
            let [only] = unmet.as_slice() else {
                return None;
            };
            let condition = &rule.when[*only];
            match (&condition.subject, &condition.expected) {
                (Subject::Field(field), Expected::Is(_)) if trial.field(field).is_some() => {
                    Some((place + 1, steps::line(condition)))
                }
                _ => None,
            }
        })
    }

    /// What to do about that.
    pub(super) fn about_nearly(&self) -> Option<Finding> {
        let (place, line) = self.nearly()?;
        Some(Finding::new(
            format!("All of `handshake` {place} holds but one line: {line}."),
            "write the same text at the vendor's and here",
        ))
    }
}

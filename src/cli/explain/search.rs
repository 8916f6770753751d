//! The search: what is configured with other keys, one deviation with every key, then two deviations with the
//! configured keys. It is bounded by the bytes that are hashed, and stops at the simplest that is right.

use super::fix::Fix;
use super::keys::Candidate;
use super::trial::Trial;
use std::fmt;

/// Bytes that are hashed for one scheme; well below a second.
const WORK_BYTES_MAX: usize = 128 << 20;

/// Bytes that preparing one verifier counts for.
const PREPARE_BYTES: usize = 8 << 10;

/// Answers that are shown.
const FOUND_MAX: usize = 3;

/// What a deviation changes. Two of one group are never combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Where and how the signature is written.
    Written,
    /// The body.
    Body,
    /// What the body says it is.
    Form,
    /// Which of several lines of a header counts.
    Repeated,
    /// What is signed beside it, and the time.
    Text,
    /// The public URL.
    Url,
    /// The method.
    Method,
    /// The conditions.
    When,
}

type Change = Box<dyn Fn(&mut Trial)>;

/// One deviation.
pub(super) struct Step {
    group: Group,
    /// A clause: "the signature is ...".
    words: String,
    fix: Fix,
    change: Change,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Step {
    /// A deviation with its words, its remedy, and how it alters a trial.
    pub(super) fn new(
        group: Group,
        words: String,
        fix: Fix,
        change: impl Fn(&mut Trial) + 'static,
    ) -> Self {
        Self {
            group,
            words,
            fix,
            change: Box::new(change),
        }
    }
}

/// Deviations under which the signature is right.
#[derive(Debug)]
pub(super) struct Found {
    /// One or two clauses.
    pub(super) words: Vec<String>,
    /// What to do about all of them.
    pub(super) fix: Fix,
    /// Of the secret that matches.
    pub(super) secret: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The simplest first.
    pub(super) found: Vec<Found>,
    /// Combinations that were tried, not counting keys.
    pub(super) tried: usize,
    /// Whether the bound was reached.
    pub(super) cut: bool,
}

/// Looks for what makes the signature right. The first `configured` candidates are the source's own.
pub(super) fn search(
    trial: &Trial,
    steps: &[Step],
    candidates: &[Candidate],
    configured: usize,
) -> Outcome {
    let mut search = Search {
        trial,
        candidates,
        configured,
        work: 0,
        outcome: Outcome::default(),
    };
    search.run(steps);
    search.outcome
}

struct Search<'s> {
    trial: &'s Trial,
    candidates: &'s [Candidate],
    configured: usize,
    work: usize,
    outcome: Outcome,
}

impl Search<'_> {
    fn run(&mut self, steps: &[Step]) {
        self.attempt(&[], self.candidates);
        let own = &self.candidates[..self.configured];
        for step in steps {
            self.attempt(&[step], own);
        }
        if self.is_done() {
            return;
        }
        for step in steps {
            self.attempt(&[step], self.candidates);
        }
        if self.is_done() {
            return;
        }
        for (place, first) in steps.iter().enumerate() {
            for second in &steps[place + 1..] {
                if first.group != second.group {
                    self.attempt(&[first, second], own);
                }
                if self.is_done() || self.outcome.cut {
                    return;
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        !self.outcome.found.is_empty()
    }

    fn attempt(&mut self, steps: &[&Step], candidates: &[Candidate]) {
        if self.outcome.found.len() >= FOUND_MAX || candidates.is_empty() {
            return;
        }
        let mut trial = self.trial.clone();
        for step in steps {
            (step.change)(&mut trial);
        }
        let work = PREPARE_BYTES + trial.cost() * candidates.len();
        if self.work + work > WORK_BYTES_MAX {
            self.outcome.cut = true;
            return;
        }
        self.work += work;
        self.outcome.tried += 1;
        let Some(place) = trial.matching(candidates) else {
            return;
        };
        let Some(matched) = candidates.get(place) else {
            return;
        };
        let mut words: Vec<String> = steps.iter().map(|step| step.words.clone()).collect();
        let mut fix = steps
            .iter()
            .fold(Fix::default(), |fix, step| fix.and(&step.fix));
        if let Some((why, remedy)) = &matched.why {
            words.push(why.clone());
            fix = fix.and(remedy);
        }
        if words.is_empty() {
            return;
        }
        let known = self.outcome.found.iter().any(|found| found.words == words);
        if !known {
            self.outcome.found.push(Found {
                words,
                fix,
                secret: matched.secret.clone(),
            });
        }
    }
}

//! A header that stands in the request more than once, where the scheme wants one.

use super::entry::read_headers;
use super::fix::Fix;
use super::search::{Group, Step};
use super::trial::Trial;
use http::{HeaderName, HeaderValue};

/// Lines of one header that are tried.
const LINES_MAX: usize = 4;

/// What to do about it.
pub(super) const FIX: &str =
    "find what adds it: a proxy in front, or a test that sets it beside the vendor";

/// Whether all lines of a header are the same.
pub(super) fn are_equal(trial: &Trial, name: &HeaderName) -> bool {
    let mut lines = trial.headers.get_all(name).iter();
    let first = lines.next();
    lines.all(|line| Some(line) == first)
}

/// Each line of a repeated header alone.
pub(super) fn steps(trial: &Trial) -> Vec<Step> {
    let mut steps = Vec::new();
    for name in read_headers(&trial.scheme.proof) {
        let lines: Vec<HeaderValue> = trial.headers.get_all(&name).iter().cloned().collect();
        if lines.len() < 2 {
            continue;
        }
        let count = lines.len();
        if are_equal(trial, &name) {
            let words = format!(
                "the header {name} stands there {count} times with the same value, and either alone is right"
            );
            steps.extend(lines.first().map(|line| step(&name, line, words)));
            continue;
        }
        for (place, line) in lines.iter().enumerate().take(LINES_MAX) {
            let words = format!(
                "of the {count} lines of the header {name}, number {} alone is right",
                place + 1
            );
            steps.push(step(&name, line, words));
        }
    }
    steps
}

fn step(name: &HeaderName, line: &HeaderValue, words: String) -> Step {
    let (name, line) = (name.clone(), line.clone());
    Step::new(Group::Repeated, words, Fix::action(FIX), move |trial| {
        trial.headers.insert(&name, line.clone());
    })
}

//! What a user should know about a configuration that can be used: warnings.

use super::{
    Ack, Config, Source, Target, Verify,
    locate::KeyPath,
    report::Report,
    source::Replay,
    value::duration_text as duration,
    verify::{Proof, Scheme, Timestamp},
};
use crate::backoff::Schedule;
use crate::clock;
use crate::extract::{Field, KeyExpr};
use std::time::Duration;

/// Files that are open beside connections and attempts: the store and its log, listeners, the runtime's own.
const OTHER_FILES: u64 = 64;

/// Looks at the whole. `open_files_max` is what the process may raise its open-file limit to, if there is a limit.
pub(crate) fn warn(config: &Config, report: &Report, open_files_max: Option<u64>) {
    if let Some(max) = open_files_max {
        open_files(config, report, max);
    }
    for source in &config.sources {
        let at = KeyPath::default().key("sources").key(&source.name);
        nothing_proven(source, &at, report);
        undated(source, &at, report);
        out_of_time(source, &at, report);
        unsigned_id(source, &at, report);
        short_memory(source, &at, report);
        forgotten_retries(source, &at, report);
        patient_targets(config, source, &at, report);
    }
    for target in &config.targets {
        let at = KeyPath::default().key("targets").key(&target.name);
        short_patience(target, &at.key("retry").key("give_up_after"), report);
    }
}

/// Each connection and each attempt is an open file.
fn open_files(config: &Config, report: &Report, max: u64) {
    let attempts: usize = config.targets.iter().map(|target| target.concurrency).sum();
    let needed = (config.limits.connections + attempts) as u64 + OTHER_FILES;
    if needed > max {
        let at = KeyPath::default().key("limits").key("connections");
        report.warning(
            &at,
            format!(
                "{} connections, {attempts} attempts and {OTHER_FILES} other files may need {needed} open files, \
                 but the limit is {max}; lower it, or raise the limit (ulimit -n, LimitNOFILE)",
                config.limits.connections
            ),
        );
    }
}

fn nothing_proven(source: &Source, at: &KeyPath, report: &Report) {
    if matches!(source.verify, Verify::None) {
        report.warning(
            &at.key("verify"),
            "none: whoever reaches this path can send events to your app",
        );
    }
}

/// A captured request can leave its time out where the same secret counts without one.
fn undated(source: &Source, at: &KeyPath, report: &Report) {
    let schemes = source.verify.schemes();
    for (index, scheme) in schemes.iter().enumerate() {
        let dated = |other: &Scheme| checks_age(other) && share_secret(source, scheme, other);
        if !checks_age(scheme) && schemes.iter().any(dated) {
            report.warning(
                &at.key("verify").item(index),
                "another scheme with the same secret checks the age of a timestamp, and this one does not: a captured \
                 request can come back without its time, until this one is removed",
            );
        }
    }
}

fn checks_age(scheme: &Scheme) -> bool {
    match &scheme.proof {
        Proof::Signature(signature) => signature
            .timestamp
            .as_ref()
            .is_some_and(Timestamp::is_checked),
        Proof::Jwt(_) | Proof::Token(_) => false,
    }
}

/// Whether some secret of a source counts for both.
fn share_secret(source: &Source, one: &Scheme, other: &Scheme) -> bool {
    let counts = |scheme: &Scheme, name| {
        let names = scheme.secrets.as_ref();
        names.is_none_or(|names| names.contains(name))
    };
    let mut names = source.secrets.iter().map(|secret| &secret.name);
    names.any(|name| counts(one, name) && counts(other, name))
}

/// Secrets that do not count now: everything is refused until one does.
fn out_of_time(source: &Source, at: &KeyPath, report: &Report) {
    let now_ms = clock::wall_ms();
    let valid = source.secrets.iter().any(|secret| secret.is_valid(now_ms));
    if valid || source.secrets.is_empty() {
        return;
    }
    let next_ms = source
        .secrets
        .iter()
        .map(|secret| secret.not_before_ms)
        .filter(|begins_ms| *begins_ms > now_ms)
        .min();
    let until = match next_ms {
        Some(next_ms) => format!("until {}", clock::rfc3339(next_ms)),
        None => "from now on".to_owned(),
    };
    report.warning(
        &at.key("secrets"),
        format!("every secret is outside its time (not_before, not_after): all requests are refused {until}"),
    );
}

/// An event that comes again after its key was forgotten is a new one.
fn forgotten_retries(source: &Source, at: &KeyPath, report: &Report) {
    let window = source.dedupe.window;
    if let Some(retries) = source.sender_retries.filter(|retries| *retries > window) {
        report.warning(
            &at.key("dedupe").key("window"),
            format!(
                "{} is shorter than sender_retries, which is {}: what the sender sends again after that counts as a \
                 new event; raise it",
                duration(window),
                duration(retries)
            ),
        );
    }
}

/// An id that is not signed can be changed, which makes a captured request a new event.
fn unsigned_id(source: &Source, at: &KeyPath, report: &Report) {
    let body = KeyExpr(vec![vec![Field::Body]]);
    let id = match source.event_id.0.as_slice() {
        [] => &body,
        _ => &source.event_id,
    };
    let mut fields = id.0.iter().flatten();
    let signed = fields.all(|field| source.verify.covers(field));
    let proves = !matches!(source.verify, Verify::None);
    if !proves || signed {
        return;
    }
    let proven = |replay: &Replay| match replay {
        Replay::Signature => true,
        Replay::Field(field) => source.verify.covers(field),
    };
    if source.dedupe.replay.is_empty() {
        report.warning(
            &at.key("event").key("id"),
            if source.event_id.0.is_empty() {
                "the body, which is the id, is not signed byte for byte, so a captured request with another one can \
                 count as a new event; set dedupe: { replay: signature }"
            } else {
                "the id is not signed, so a captured request with another id counts as a new event; \
                 set dedupe: { replay: signature }"
            },
        );
    } else if !source.dedupe.replay.iter().any(proven) {
        report.warning(
            &at.key("dedupe").key("replay"),
            "neither event.id nor this is signed, so a captured request with others counts as a new event; \
             use replay: signature",
        );
    }
}

/// Between the window's end and `max_age` a captured request is neither a duplicate nor too old.
fn short_memory(source: &Source, at: &KeyPath, report: &Report) {
    let window = source.dedupe.window;
    if let Some(max_age) = source.max_age.filter(|max_age| *max_age > window) {
        report.warning(
            &at.key("max_age"),
            format!(
                "{} is longer than dedupe.window, which is {}: a captured request can come again in between; \
                 lower one or raise the other",
                duration(max_age),
                duration(window)
            ),
        );
    }
}

/// An age that comes before the schedule's delays. Zero is meant.
fn short_patience(target: &Target, at: &KeyPath, report: &Report) {
    let give_up_after = target.give_up_after;
    let (first, all) = match &target.retry {
        Schedule::Growing(backoff) => (backoff.first, backoff.first),
        Schedule::Listed(delays) => (delays[0], delays.iter().sum()),
    };
    let (what, longer) = match give_up_after {
        Duration::ZERO => return,
        age if age < first => ("the first delay", first),
        age if age < all => ("all the delays together", all),
        _ => return,
    };
    report.warning(
        at,
        format!(
            "{} is shorter than {what}, which is {}: the attempt at that age is the last",
            duration(give_up_after),
            duration(longer)
        ),
    );
}

/// An answer that waits for an app which may take longer than the answer may.
fn patient_targets(config: &Config, source: &Source, at: &KeyPath, report: &Report) {
    let mode = match source.ack {
        Ack::Stored => return,
        Ack::Delivered => "delivered",
        Ack::Passthrough => "passthrough",
    };
    for route in &source.routes {
        let target = config
            .targets
            .iter()
            .find(|target| target.name == route.target);
        let Some(target) = target.filter(|target| target.timeout > source.ack_deadline) else {
            continue;
        };
        report.warning(
            &at.key("ack"),
            format!(
                "{mode} answers the sender after {} (ack_deadline), but target {:?} may take {} (timeout)",
                duration(source.ack_deadline),
                target.name,
                duration(target.timeout)
            ),
        );
    }
}

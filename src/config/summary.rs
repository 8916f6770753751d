//! What would run, for `check`: a page of text without a secret on it.

use super::{
    Ack, Config, SkipRule, Source, Status, Target, Verify, WhenFull,
    handshake::{Handshake, HandshakeBody},
    source::Replay,
    target::{Breaker, Format},
    value::{duration_text as duration, size_text as size},
    verify::{
        Algorithm, Condition, Expected, Hash, Proof, Scheme, Signature, Subject, TimePlace,
        TokenForm,
    },
};
use crate::backoff::Schedule;
use crate::extract::{Field, KeyExpr};
use crate::rate::Rate;
use std::fmt::Write as _;

/// Listeners, store, every source and every target, each value as it was understood.
pub fn summary(config: &Config) -> String {
    let mut page = String::new();
    let mut line = |text: String| {
        page.push_str(&text);
        page.push('\n');
    };
    let token = if config.admin.token.is_some() {
        ", with a token"
    } else {
        ""
    };
    for listener in &config.listeners {
        line(format!("listen   {listener}"));
        if let Some(tls) = &listener.tls {
            line(format!("         {tls}"));
        }
    }
    if !config.trusted_proxies.is_empty() {
        let proxies = &config.trusted_proxies;
        line(format!(
            "proxies  {proxies}: who sends stands in X-Forwarded-For"
        ));
    }
    line(format!("admin    {}{token}", config.admin.listen));
    line(format!(
        "store    {}, up to {}",
        config.store.path.display(),
        size(config.store.max_size_bytes)
    ));
    if let Some(traces) = &config.traces {
        let mut at = traces.endpoint.to_string();
        at.truncate(at.find('?').unwrap_or(at.len()));
        // As it was written: a share is a quotient, which has its last digits from the division.
        let percent = (traces.share * 1e8).round() / 1e6;
        line(format!("traces   {percent}% of requests to {at}"));
    }
    for source in &config.sources {
        line(String::new());
        line(source_lines(source));
    }
    for target in &config.targets {
        line(String::new());
        line(target_lines(target));
    }
    page
}

fn source_lines(source: &Source) -> String {
    let mut rows = vec![("path", source.path.clone())];
    if let Some(provider) = &source.provider {
        rows.push(("preset", provider.clone()));
    }
    if source.status == Some(Status::Unverified) {
        rows.push((
            "status",
            "unverified: its facts rest on third parties or memory in part".to_owned(),
        ));
    }
    if let Some(public_url) = &source.public_url {
        rows.push(("public url", public_url.to_string()));
    }
    if let Some(allowed) = &source.allow_from {
        rows.push(("allowed", format!("from {allowed}")));
    }
    rows.push(("verify", verify(&source.verify)));
    if let Some(secrets) = secrets(source) {
        rows.push(("secrets", secrets));
    }
    rows.extend(
        source
            .handshakes
            .iter()
            .map(|rule| ("handshake", handshake(rule))),
    );
    if let Some(interval) = source.expect_every {
        rows.push(("expected", format!("at least every {}", duration(interval))));
    }
    rows.push((
        "event id",
        expression(&source.event_id).unwrap_or_else(|| "body".to_owned()),
    ));
    rows.push((
        "event type",
        expression(&source.event_type).unwrap_or_else(|| "not known".to_owned()),
    ));
    if let Some(max_age) = source.max_age {
        rows.push(("max age", format!("{} by event.time", duration(max_age))));
    }
    let retries = source.sender_retries.map(duration);
    rows.push((
        "remembered",
        match retries {
            Some(retries) => format!(
                "for {}; the sender retries for {retries}",
                duration(source.dedupe.window)
            ),
            None => format!("for {}", duration(source.dedupe.window)),
        },
    ));
    rows.extend(
        source
            .dedupe
            .skip
            .iter()
            .map(|rule| ("exempt", skip_rule(rule))),
    );
    if !source.dedupe.replay.is_empty() {
        let what = source.dedupe.replay.iter().map(|replay| match replay {
            Replay::Signature => "signature".to_owned(),
            Replay::Field(field) => place(field),
        });
        let what: Vec<String> = what.collect();
        let window = duration(source.replay_window());
        rows.push(("replay key", format!("{}, for {window}", what.join(" + "))));
    }
    rows.push(("ack", ack(source)));
    if let Some(rate) = source.rate {
        let unit = unit(rate);
        rows.push(("rate", format!("{} events a {unit}, then 503", rate.count)));
    }
    if let Some(rejects) = &source.rejects {
        let (keep, bytes) = (rejects.keep, size(rejects.max_size_bytes));
        rows.push((
            "rejects",
            format!("the last {keep} are kept, up to {bytes}"),
        ));
    }
    for route in &source.routes {
        let events = if route.events.wants_everything() {
            "everything".to_owned()
        } else {
            route.events.to_string()
        };
        rows.push(("forward", format!("{} <- {events}", route.target)));
    }
    block("source", &source.name, source.replaces.as_deref(), &rows)
}

/// The time in which so many are allowed.
fn unit(rate: Rate) -> &'static str {
    match rate.per.as_secs() {
        1 => "second",
        60 => "minute",
        _ => "hour",
    }
}

fn target_lines(target: &Target) -> String {
    let full = match target.when_full {
        WhenFull::Refuse => "then 503 to the senders",
        WhenFull::DeadLetter => "then dead letters",
    };
    let mut rows = vec![
        ("url", target.url.to_string()),
        (
            "attempts",
            format!(
                "up to {} at a time, {} for each",
                target.concurrency,
                duration(target.timeout)
            ),
        ),
        (
            "connect",
            format!(
                "within {}; anew after {}",
                duration(target.connect_timeout),
                duration(target.connection_max_age)
            ),
        ),
        (
            "retry",
            format!(
                "{}; dead letter {}",
                schedule(&target.retry),
                patience(target)
            ),
        ),
        ("breaker", breaker(target.breaker.as_ref())),
        (
            "backlog",
            format!("up to {}, {full}", size(target.max_backlog_bytes)),
        ),
    ];
    if let Some(key) = expression(&target.order_by) {
        rows.push(("order", format!("one after the other by {key}")));
    }
    if let Some(rate) = target.rate {
        let unit = unit(rate);
        rows.push(("rate", format!("{} attempts a {unit}", rate.count)));
    }
    match target.sign.len() {
        0 => {}
        1 => rows.push(("sign", "Standard Webhooks".to_owned())),
        secrets => rows.push(("sign", format!("Standard Webhooks, with {secrets} secrets"))),
    }
    if target.format == Format::CloudEvents {
        rows.push(("format", "CloudEvents 1.0, binary mode".to_owned()));
    }
    block("target", &target.name, target.replaces.as_deref(), &rows)
}

fn schedule(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Growing(backoff) => format!(
            "within {}, then {} times as long each time, {} at most",
            duration(backoff.first),
            backoff.factor,
            duration(backoff.max)
        ),
        Schedule::Listed(delays) => {
            let delays: Vec<String> = delays.iter().map(|delay| duration(*delay)).collect();
            format!("after {}", delays.join(", "))
        }
    }
}

fn patience(target: &Target) -> String {
    let age = duration(target.give_up_after);
    match target.max_attempts {
        Some(attempts) => format!("after {attempts} attempts, or {age}"),
        None => format!("after {age}"),
    }
}

fn breaker(breaker: Option<&Breaker>) -> String {
    match breaker {
        None => "off".to_owned(),
        Some(breaker) => format!(
            "after {} failures in a row, or {}% of {} first attempts or more within {}; then asks every {}",
            breaker.failures,
            breaker.rate_percent,
            breaker.min_attempts,
            duration(breaker.window),
            duration(breaker.hold)
        ),
    }
}

fn block(kind: &str, name: &str, replaces: Option<&str>, rows: &[(&str, String)]) -> String {
    let mut block = format!("{kind} {name}");
    if let Some(replaces) = replaces {
        let _ = write!(block, " (replaces {replaces})");
    }
    for (label, value) in rows {
        let _ = write!(block, "\n  {label:<11}{value}");
    }
    block
}

/// The names of those that are known, and the file of one that a handshake brings.
fn secrets(source: &Source) -> Option<String> {
    let names: Vec<String> = source
        .secrets
        .iter()
        .map(|secret| format!("{:?}", secret.name))
        .collect();
    let called = (!names.is_empty()).then(|| format!("called {}", names.join(", ")));
    let brought = source.learn_to.as_ref().map(|file| {
        let file = file.display();
        format!("{file} is brought by the handshake")
    });
    let all: Vec<String> = called.into_iter().chain(brought).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn verify(verify: &Verify) -> String {
    let schemes: Vec<String> = verify.schemes().iter().map(scheme).collect();
    match schemes.as_slice() {
        [] => "none: anyone may send".to_owned(),
        schemes => schemes.join(", or "),
    }
}

/// A token's algorithm as a configuration names it.
fn jwt_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "HS1",
        Hash::Sha256 => "HS256",
        Hash::Sha384 => "HS384",
        Hash::Sha512 => "HS512",
    }
}

/// One scheme in words.
pub(crate) fn scheme(scheme: &Scheme) -> String {
    let mut line = match &scheme.proof {
        Proof::Token(token) => match token.form {
            TokenForm::Plain => format!("token in {}", place(&token.field)),
            TokenForm::Scheme => "bearer token".to_owned(),
            TokenForm::Basic => "user and password (basic)".to_owned(),
        },
        Proof::Jwt(jwt) => format!("JWT ({}) in {}", jwt_name(jwt.hash), place(&jwt.field)),
        Proof::Signature(signature) => signature_line(signature),
    };
    if !scheme.covers_body() {
        line += ", which does not cover the body";
    }
    if !scheme.when.is_empty() {
        line += &format!(", if {}", conditions(&scheme.when));
    }
    if let Some(names) = &scheme.secrets {
        line += &format!(", with {}", names.join(" or "));
    }
    line
}

fn conditions(when: &[Condition]) -> String {
    let condition = |condition: &Condition| {
        let subject = match &condition.subject {
            Subject::Method => "method".to_owned(),
            Subject::Field(field) => place(field),
        };
        match &condition.expected {
            Expected::Is(is) => format!("{subject} is {is}"),
            Expected::Present => format!("{subject} is there"),
            Expected::Absent => format!("{subject} is not there"),
        }
    };
    let all: Vec<String> = when.iter().map(condition).collect();
    all.join(" and ")
}

fn handshake(rule: &Handshake) -> String {
    let headers: Vec<String> = rule
        .answer
        .headers
        .iter()
        .map(|(name, value)| format!("with {name}: {value}"))
        .collect();
    let body = match &rule.answer.body {
        HandshakeBody::Text(text) if text.0.is_empty() && headers.is_empty() => {
            "nothing".to_owned()
        }
        HandshakeBody::Text(text) => text.to_string(),
        HandshakeBody::Json(entries) => {
            let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
            format!("JSON with {}", names.join(", "))
        }
    };
    let proven = if rule.verified { "" } else { ", not verified" };
    let mut line = format!(
        "if {}{proven}: {}",
        conditions(&rule.when),
        rule.answer.status.as_u16()
    );
    let parts = std::iter::once(&body).chain(&headers);
    for part in parts.filter(|part| !part.is_empty()) {
        line += &format!(" {part}");
    }
    if let Some(field) = &rule.learn {
        line += &format!("; the secret is learned from {}", place(field));
    }
    line
}

/// A header by its name, anything else as it is written in a file.
fn place(field: &Field) -> String {
    match field {
        Field::Header(name) => name.to_string(),
        field => field.to_string(),
    }
}

fn signature_line(signature: &Signature) -> String {
    let algorithm = match signature.algorithm {
        Algorithm::Hmac(hash) => format!("HMAC {hash:?}"),
        Algorithm::Hash(hash) => format!("{hash:?}"),
        Algorithm::Ed25519 => "Ed25519".to_owned(),
        Algorithm::EcdsaP256 => "ECDSA P-256".to_owned(),
        Algorithm::Rsa(hash) => format!("RSA {hash:?}"),
    };
    let places: Vec<String> = signature.fields.iter().map(place).collect();
    let mut line = format!(
        "{} over {} in {}",
        algorithm.replace("Sha", "SHA-"),
        signature.signed,
        places.join(" or ")
    );
    if let Some(timestamp) = &signature.timestamp {
        let at = match &timestamp.place {
            TimePlace::Field(field) => place(field),
            TimePlace::Element(prefix) => prefix.clone(),
            TimePlace::FirstElement => "its first element".to_owned(),
        };
        line += &match (timestamp.past, timestamp.future) {
            (None, None) => format!(", {at} at any age"),
            (Some(past), Some(future)) if past == future => {
                format!(", {at} within {}", duration(past))
            }
            (past, future) => {
                let limit = |limit: Option<_>| limit.map_or_else(|| "any age".to_owned(), duration);
                format!(
                    ", {at} within {} past, {} future",
                    limit(past),
                    limit(future)
                )
            }
        };
    }
    line
}

/// Exemptions by what nothing signs are bounded, and said to be.
fn skip_rule(rule: &SkipRule) -> String {
    match rule {
        SkipRule::Event(events) => format!("events {events}"),
        SkipRule::UnsignedEvent(events) => {
            format!("events {events}, at most 10 a minute (not signed)")
        }
        SkipRule::Header(name, value) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            format!("{name}: {value}, at most 10 a minute (not signed)")
        }
    }
}

fn ack(source: &Source) -> String {
    let mode = match source.ack {
        Ack::Stored => "stored",
        Ack::Delivered => "delivered",
        Ack::Passthrough => "passthrough",
    };
    format!(
        "{mode}, answered within {} of the sender's {}",
        duration(source.ack_deadline),
        duration(source.sender_timeout)
    )
}

/// Alternatives with `|`, joined fields with `+`; None if there are none.
pub(crate) fn expression(expression: &KeyExpr) -> Option<String> {
    let alternative = |fields: &Vec<Field>| {
        let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
        fields.join(" + ")
    };
    let alternatives: Vec<String> = expression.0.iter().map(alternative).collect();
    (!alternatives.is_empty()).then(|| alternatives.join(" | "))
}

//! What a request is held against: a source of the configuration, a preset without one, or every preset.

use super::Args;
use super::capture::Capture;
use super::trial::{needs_url, templates};
use crate::cli::{
    Failure,
    one_source::{OneSource, SECRET_VARIABLE},
    origin,
};
use crate::config::{
    Config, Secret, Source, environment::Environment, load::Options, problem::Problem,
    verify::Scheme,
};
use anyhow::Context as _;
use http::header::HOST;
use std::sync::Arc;

/// A source, and what else may explain a signature.
pub(super) struct Subject {
    pub(super) source: Source,
    /// The other sources of the configuration.
    pub(super) sources: Vec<Source>,
    /// Their secrets, with their names.
    pub(super) others: Vec<(Arc<str>, Secret)>,
    pub(super) signatures_max: usize,
    /// How it was chosen.
    pub(super) how: String,
    /// Whether its path is one that the user chose.
    pub(super) has_path: bool,
}

/// What to do where there is no file.
const WITHOUT_A_FILE: &str = "\
Name a file with -c FILE, or go on without one, with the secret in HOOKGATE_SECRET or --secret-file FILE:
  HOOKGATE_SECRET=... hookgate explain request.txt --provider NAME    one preset
  HOOKGATE_SECRET=... hookgate explain request.txt --all              every preset";

/// The source that the arguments name, or that the request goes to.
pub(super) fn find(args: &Args, capture: &Capture) -> Result<Subject, Failure> {
    match &args.provider {
        Some(provider) => preset(args, provider, capture),
        None => of_file(args, capture),
    }
}

fn of_file(args: &Args, capture: &Capture) -> Result<Subject, Failure> {
    let origin = args.config.find().map_err(|failure| match failure {
        Failure::NoConfig(none, _) => Failure::NoConfig(none, WITHOUT_A_FILE),
        other => other,
    })?;
    let environment = args.config.environment()?;
    let (config, problems) = match origin::load(&origin, &environment, Options::default()) {
        Ok((config, _)) => (config, Vec::new()),
        // A secret that is not set matters only where it is this source's.
        Err(Failure::Config(problems)) => {
            let (config, _) = origin::load(&origin, &environment, Options { allow_unset: true })?;
            (config, problems)
        }
        Err(other) => return Err(other),
    };
    let (name, how) = choose(&config, args.source.as_deref(), capture)?;
    let needed: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| is_of(&problem.key, &config, &name))
        .collect();
    if !needed.is_empty() {
        return Err(Failure::Config(needed));
    }
    Ok(split(config, &name, how))
}

/// A source of this configuration.
#[cfg(test)]
pub(super) fn of_config(
    config: Config,
    named: Option<&str>,
    capture: &Capture,
) -> Result<Subject, Failure> {
    let (name, how) = choose(&config, named, capture)?;
    Ok(split(config, &name, how))
}

/// Whether the key is one of this source, or of the file's own preset that it starts from.
fn is_of(key: &str, config: &Config, name: &str) -> bool {
    let mut sources = config.sources.iter();
    let source = sources.find(|source| *source.name == *name);
    key.strip_prefix("sources.") == Some(name)
        || source.is_some_and(|source| origin::below(key, source).is_some())
}

/// The name of the source, and how it was found.
fn choose(
    config: &Config,
    named: Option<&str>,
    capture: &Capture,
) -> Result<(Arc<str>, String), Failure> {
    let names = || -> Vec<&str> { config.sources.iter().map(|source| &*source.name).collect() };
    let found = |source: &Source, how: &str| Ok((Arc::clone(&source.name), how.to_owned()));
    if let Some(named) = named {
        let source = config.sources.iter().find(|source| *source.name == *named);
        return match source {
            Some(source) => found(source, "as asked"),
            None => Err(Failure::Usage(format!(
                "no source {named:?} in the configuration; it has: {}",
                names().join(", ")
            ))),
        };
    }
    if let Some(source) = config
        .sources
        .iter()
        .find(|source| source.path == capture.path)
    {
        return found(source, "by the request's path");
    }
    match config.sources.as_slice() {
        [only] => found(only, "the only one"),
        _ => Err(Failure::Usage(format!(
            "no source has the request's path; name one with --source: {}",
            names().join(", ")
        ))),
    }
}

fn split(config: Config, name: &str, how: String) -> Subject {
    let mut source = None;
    let (mut sources, mut others) = (Vec::new(), Vec::new());
    for other in config.sources {
        if *other.name == *name {
            source = Some(other);
            continue;
        }
        for secret in &other.secrets {
            others.push((Arc::clone(&other.name), secret.clone()));
        }
        sources.push(other);
    }
    Subject {
        source: source.expect("the name is that of a source"),
        sources,
        others,
        signatures_max: config.limits.signatures,
        how,
        has_path: true,
    }
}

fn preset(args: &Args, provider: &str, capture: &Capture) -> Result<Subject, Failure> {
    let url = args.public_url.clone().or_else(|| public_url(capture));
    let one = OneSource {
        header: args.header.as_deref(),
        secret_file: args.secret_file.as_deref(),
        public_url: url.as_deref(),
        ..OneSource::new(provider, "http://127.0.0.1/")
    };
    let (config, _) = one.load(&args.config.environment()?)?;
    let mut subject = split(config, provider, "a preset".to_owned());
    subject.has_path = false;
    let schemes = subject.source.verify.schemes();
    if let (None, Some(url)) = (&args.public_url, &url)
        && schemes.iter().any(signs_url)
    {
        subject.how = format!("a preset; its public_url is taken to be {url}");
    }
    Ok(subject)
}

/// Whether the scheme is made of `public_url`.
fn signs_url(scheme: &Scheme) -> bool {
    templates(scheme).any(|template| template.values().any(|value| needs_url(&value.base)))
}

/// The URL that a vendor was probably given: that of the request, over TLS.
pub(super) fn public_url(capture: &Capture) -> Option<String> {
    let host = capture.headers.get(HOST)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/".contains(&byte);
    let url = format!("https://{host}{}", capture.path);
    (url.len() <= 1_000 && url.bytes().all(plain) && !host.is_empty()).then_some(url)
}

/// The secret of `--all`.
pub(super) fn secret(args: &Args, environment: &Environment) -> Result<Secret, Failure> {
    let value = match &args.secret_file {
        Some(path) => {
            let mut value = std::fs::read(path)
                .with_context(|| format!("cannot read the secret file {}", path.display()))?;
            if value.ends_with(b"\n") {
                value.pop();
            }
            value
        }
        None => environment
            .variable(SECRET_VARIABLE)
            .unwrap_or_default()
            .into_bytes(),
    };
    if value.is_empty() {
        return Err(Failure::Usage(format!(
            "--all needs the secret: set {SECRET_VARIABLE} or give --secret-file FILE"
        )));
    }
    Ok(Secret::new("1", value))
}

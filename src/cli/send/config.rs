//! What `send` plays: a source of a configuration file as far as its vendor needs it, or a preset without a file.

use super::{Args, post::with_path};
use crate::{
    cli::{
        Failure,
        healthcheck::reachable,
        one_source::{OneSource, SECRET_VARIABLE},
        origin,
    },
    config::{
        Config, Listener, Secret, Source,
        environment::Environment,
        load::{Options, Origin, find},
        problem::Problem,
    },
};
use anyhow::Context as _;
use http::Uri;
use std::{io::Write as _, path::Path};

/// What to do where there is no file.
const WITHOUT_A_FILE: &str = "\
Name a file with -c FILE, or play a preset without one, with the secret of the gateway that it goes to:
  HOOKGATE_SECRET=... hookgate send NAME --to http://127.0.0.1:8080/hooks/NAME";

/// The configuration file, or a preset where there is none.
pub(super) fn of(args: &Args, environment: &Environment) -> Result<Config, Failure> {
    // Warnings are `check`'s and `run`'s: they say nothing about sending.
    match (find(args.config.file.as_deref()), &args.to) {
        (Ok(origin), _) => {
            let config = of_file(&origin, args, environment)?;
            if let Origin::File(file) = &origin
                && let Some(note) =
                    unused_secret(&config, file, environment.variable(SECRET_VARIABLE))
            {
                // Nobody is left to be told that the terminal is gone.
                let _ = writeln!(std::io::stderr(), "{note}");
            }
            Ok(config)
        }
        (Err(_), Some(to)) if is_preset(&args.source) => of_preset(args, to, environment),
        (Err(none), _) => Err(Failure::NoConfig(none, WITHOUT_A_FILE)),
    }
}

/// The preset as a source whose vendor was given the URL that is sent to, unless the user knows better.
fn of_preset(args: &Args, to: &Uri, environment: &Environment) -> Result<Config, Failure> {
    let name = &args.source;
    let whole = with_path(to, &format!("/hooks/{name}"))?.to_string();
    let public_url = whole.split('?').next().unwrap_or_default();
    let source = OneSource {
        public_url: Some(args.public_url.as_deref().unwrap_or(public_url)),
        header: args.header.as_deref(),
        ..OneSource::new(name, &whole)
    };
    source.load(environment).map(|(config, _)| config)
}

/// The file, as far as the source that is played needs it: a secret of another source that is not set is
/// missed by the gateway, not here.
fn of_file(origin: &Origin, args: &Args, environment: &Environment) -> Result<Config, Failure> {
    let without_a_file = [
        (
            "--header",
            args.header.is_some(),
            "the header in it, under verify",
        ),
        (
            "--public-url",
            args.public_url.is_some(),
            "public_url in it",
        ),
    ];
    if let (Some((option, _, place)), Origin::File(file)) =
        (without_a_file.iter().find(|(_, given, _)| *given), origin)
    {
        return Err(Failure::Usage(format!(
            "{option} is for a preset without a file, but {} is there and says what {} sends; set {place}",
            file.display(),
            args.source
        )));
    }
    let problems = match origin::load(origin, environment, Options::default()) {
        Err(Failure::Config(problems)) => problems,
        other => return other.map(|(config, _)| config),
    };
    // What is wrong in any case comes first.
    let (config, _) = origin::load(origin, environment, Options { allow_unset: true })?;
    let source = source(&config, &args.source)?;
    let missed: Vec<Problem> = problems
        .into_iter()
        .filter(|problem| is_needed(&problem.key, source, args.to.is_some()))
        .collect();
    if missed.is_empty() {
        Ok(config)
    } else {
        Err(Failure::Config(missed))
    }
}

/// What to say where the user gives a secret that no source of the file has: nothing would tell that it is not used.
fn unused_secret(config: &Config, file: &Path, given: Option<String>) -> Option<String> {
    let given = given.filter(|given| !given.is_empty())?;
    let is_given = |secret: &Secret| secret.expose() == given.as_bytes();
    let mut known = config.sources.iter().flat_map(|source| &source.secrets);
    (!known.any(is_given)).then(|| {
        format!(
            "note: the secret is that of {}; {SECRET_VARIABLE} is not used where there is a configuration",
            file.display()
        )
    })
}

/// The parts of a source that make a request; it is signed with the first secret.
const PLAYED: [&str; 11] = [
    "provider",
    "path",
    "public_url",
    "params",
    "verify",
    "handshake",
    "sample",
    "secret",
    "secrets[0]",
    "event",
    "sender_timeout",
];

/// Whether what stands at this key takes part when `source` is played.
fn is_needed(key: &str, source: &Source, to_is_given: bool) -> bool {
    let below = origin::below(key, source);
    match below {
        Some(below) => PLAYED.contains(&below.split('.').next().unwrap_or_default()),
        None => key == "listen" && !to_is_given,
    }
}

fn is_preset(name: &str) -> bool {
    let mut presets = crate::config::presets().iter();
    presets.any(|(known, _)| *known == name)
}

/// The source of this name.
pub(super) fn source<'a>(config: &'a Config, name: &str) -> Result<&'a Source, Failure> {
    let found = config.sources.iter().find(|source| *source.name == *name);
    found.ok_or_else(|| {
        let known: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
        Failure::Usage(format!(
            "no source {name:?} in the configuration; it has: {}",
            known.join(", ")
        ))
    })
}

/// Where the gateway of this configuration takes the source's requests.
pub(super) fn address(config: &Config, source: &Source) -> Result<Uri, Failure> {
    let listeners = &config.listeners;
    let Some(listen) = listeners.iter().find_map(Listener::plain_address) else {
        let places: Vec<String> = listeners.iter().map(ToString::to_string).collect();
        return Err(Failure::Usage(format!(
            "listen is {}, and plain HTTP to an address of this machine is spoken nowhere; name the URL that senders \
             have by --to http://ADDRESS",
            places.join("; ")
        )));
    };
    if listen.port() == 0 {
        return Err(Failure::Usage(format!(
            "listen is {listen}, and port 0 is another free port at every start; name the one in use by \
             --to http://ADDRESS"
        )));
    }
    let text = format!("http://{}{}", reachable(listen), source.path);
    let uri = text.parse().with_context(|| text.clone())?;
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_played_is_needed() {
        let cases = [
            ("sources.erp.secret", true),
            ("sources.erp.secrets[0].value", true),
            ("sources.erp.secrets[1].value", false),
            ("sources.erp.verify.hmac.header", true),
            ("sources.erp.public_url", true),
            ("sources.erp.params.verify_token", true),
            ("sources.erp.forward[0].to", false),
            ("sources.erp-two.secret", false),
            ("sources.other.secret", false),
            ("admin.token", false),
            ("targets.erp.url", false),
            ("providers.own.secret", true),
            ("providers.own.forward", false),
            ("providers.other.secret", false),
        ];
        let text = "{ providers: { own: { verify: bearer } }, \
                    sources: { erp: { provider: own, secret: s, forward: \"http://a/\" } } }";
        let named = Origin::Text {
            name: "test".into(),
            text: text.into(),
        };
        let (config, _) =
            origin::load(&named, &Environment::default(), Options::default()).expect("valid");
        let erp = &config.sources[0];
        for (key, needed) in cases {
            assert_eq!(is_needed(key, erp, false), needed, "{key}");
        }
        assert!(is_needed("listen", erp, false));
        assert!(!is_needed("listen", erp, true));
    }

    #[test]
    fn a_secret_that_is_not_used_is_told() {
        let text = "sources: { a: { verify: bearer, secret: one, forward: \"http://a/\" }, \
                    b: { verify: bearer, secret: two, forward: \"http://a/\" } }";
        let named = Origin::Text {
            name: "test".into(),
            text: text.into(),
        };
        let (config, _) =
            origin::load(&named, &Environment::default(), Options::default()).expect("valid");
        let note = |given: Option<&str>| {
            unused_secret(
                &config,
                Path::new("hookgate.yaml"),
                given.map(str::to_owned),
            )
        };
        for used in [None, Some(""), Some("one"), Some("two")] {
            assert_eq!(note(used), None, "{used:?}");
        }
        let note = note(Some("three")).expect("a note");
        assert!(
            note.contains("hookgate.yaml") && note.contains("HOOKGATE_SECRET"),
            "{note}"
        );
        assert!(!note.contains("three"), "{note}");
    }
}

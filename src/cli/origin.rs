//! Where a command's configuration comes from, and how its options are read: as the keys of a file are.

use super::Failure;
use crate::config::{
    self, Config, Source,
    environment::Environment,
    load::{self, Options, Origin},
    misnamed,
    problem::Problem,
};
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use std::{ffi::OsStr, net::SocketAddr, path::PathBuf};

/// What to do where there is no file.
const WITHOUT_A_FILE: &str = "\
Name a file with -c FILE, or go on without one:
  hookgate run --provider NAME --forward-to URL    one source, its secret from HOOKGATE_SECRET
  hookgate demo                                    everything at work, with a configuration to look at";

/// Names the configuration file.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ConfigFile {
    /// Configuration file [default: hookgate.yaml, then /etc/hookgate/hookgate.yaml]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Take variables from this file (NAME=VALUE lines) where the environment lacks them
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Option<PathBuf>,
}

impl ConfigFile {
    /// The file named, or the first default that exists.
    pub(super) fn find(&self) -> Result<Origin, Failure> {
        load::find(self.file.as_deref()).map_err(|none| Failure::NoConfig(none, WITHOUT_A_FILE))
    }

    /// The variables of the process, and those of the file named.
    pub(super) fn environment(&self) -> Result<Environment, Failure> {
        Environment::read(self.env_file.as_deref()).map_err(Failure::Config)
    }
}

/// What of a source the path of a key names, be it in the source or in the file's own preset that it starts from.
pub(super) fn below<'a>(key: &'a str, source: &Source) -> Option<&'a str> {
    let under = |section: &str, name: &str| {
        let key = key.strip_prefix(section)?.strip_prefix(name)?;
        key.strip_prefix('.')
    };
    let provider = source.provider.as_deref();
    under("sources.", &source.name).or_else(|| under("providers.", provider?))
}

/// Loads a configuration with its warnings.
pub(super) fn load(
    origin: &Origin,
    environment: &Environment,
    options: Options,
) -> Result<(Config, Vec<Problem>), Failure> {
    load::load(origin, environment, options).map_err(Failure::Config)
}

/// Accepts the names of presets, and suggests what another one was meant to be, as a file's `provider` does. (clap's own
/// parser of possible values would print all of them first.)
#[derive(Clone)]
pub(super) struct ProviderName;

impl TypedValueParser for ProviderName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let known = |name: &str| {
            let mut known = config::presets().iter().map(|(name, _)| *name);
            if known.any(|known| known == name) {
                return Ok(name.to_owned());
            }
            let advice = misnamed::advice(name);
            Err(format!("{advice} (`hookgate providers` lists all)"))
        };
        known.parse_ref(command, arg, value)
    }

    /// For shells that complete them.
    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        let names = config::presets().iter();
        Some(Box::new(names.map(|(name, _)| PossibleValue::new(*name))))
    }
}

/// Any name, where a file may know it; those of the program are for shells that complete them.
#[derive(Clone)]
pub(super) struct AnyName;

impl TypedValueParser for AnyName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        ProviderName.possible_values()
    }
}

/// Reads the URL of an app as a file's `url` is read.
pub(super) fn app_url(text: &str) -> Result<String, String> {
    config::URL.option(text).map(|_| text.to_owned())
}

/// Reads the URL that a vendor was given as a file's `public_url` is read.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    config::PUBLIC_URL.option(text)
}

/// Reads `NAME=TEXT`.
pub(super) fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, text)) if !name.is_empty() && !text.is_empty() => {
            Ok((name.to_owned(), text.to_owned()))
        }
        _ => Err("accepted: NAME=TEXT, such as verify_token=my-text".to_owned()),
    }
}

/// Reads the name of a header as a file's `header` is read.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    config::HEADER.option(text).map(|_| text.to_owned())
}

/// Reads an address to listen on as a file's `listen` is read.
pub(super) fn listener(text: &str) -> Result<SocketAddr, String> {
    config::LISTEN.option(text)
}

/// `text` as a YAML scalar that means exactly this text: a JSON string is one, and `$$` is a dollar.
pub(super) fn scalar(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_their_keys_are() {
        assert_eq!(listener(":8080"), Ok(([0, 0, 0, 0], 8080).into()));
        for (wrong, why) in [
            (
                "8080",
                "it is only a port; write a colon before it; accepted: ",
            ),
            ("localhost:80", "it is a name; write 127.0.0.1"),
        ] {
            let error = listener(wrong).expect_err(wrong);
            assert!(error.starts_with(why), "{error}");
        }
        assert_eq!(
            app_url("http://a/?x=$y").as_deref(),
            Ok("http://a/?x=$y"),
            "kept as it is"
        );
        for wrong in ["notaurl", "127.0.0.1:3000", "http://a:b@c/"] {
            let error = app_url(wrong).expect_err(wrong);
            assert!(error.contains("accepted: http:// or https://"), "{error}");
        }
        header_name("X Token").expect_err("a space");
    }

    #[test]
    fn scalars_survive_yaml() {
        for text in [
            "plain",
            "a: b",
            "# no",
            "it's \"q\"",
            "*x",
            "line\nbreak",
            "é",
        ] {
            let back: String = serde_yaml::from_str(&scalar(text)).expect("YAML");
            assert_eq!(back, text);
        }
        assert_eq!(scalar("a$b"), "\"a$$b\"");
    }
}

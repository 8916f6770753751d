//! Where a command's configuration comes from: a file, or one source spelled out in options.
//! Either way the same loader reads it, so both are checked alike.

use super::Failure;
use crate::config::{
    self, Config,
    load::{self, Options, Origin},
    problem::Problem,
};
use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The variable that holds the secret of a source without a file.
pub(super) const SECRET_VARIABLE: &str = "HOOKGATE_SECRET";

/// What messages call a configuration made of options.
const COMMAND_LINE: &str = "command line";

/// What to do where there is no file.
const WITHOUT_A_FILE: &str = "\
Name a file with -c FILE, or go on without one:
  hookgate run --provider NAME --forward-to URL    one source, its secret from HOOKGATE_SECRET
  hookgate demo                                    everything at work, with a configuration to look at";

/// Names the configuration file.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigFile {
    /// Configuration file [default: hookgate.yaml, then /etc/hookgate/hookgate.yaml]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

impl ConfigFile {
    /// The file named, or the first default that exists.
    pub(super) fn find(&self) -> Result<Origin, Failure> {
        load::find(self.file.as_deref()).map_err(|none| Failure::NoConfig(none, WITHOUT_A_FILE))
    }
}

/// Loads a configuration with its warnings.
pub(super) fn load(origin: &Origin, options: Options) -> Result<(Config, Vec<Problem>), Failure> {
    load::load(origin, options).map_err(Failure::Config)
}

/// Accepts the names of presets, and suggests the nearest one.
pub(super) fn provider_names() -> PossibleValuesParser {
    PossibleValuesParser::new(config::presets().iter().map(|(name, _)| *name))
}

/// Reads the URL of an app as a file's `url` is read.
pub(super) fn app_url(text: &str) -> Result<String, String> {
    config::URL.option(text).map(|_| text.to_owned())
}

/// Reads the name of a header as a file's `header` is read.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    config::HEADER.option(text).map(|_| text.to_owned())
}

/// Reads an address to listen on as a file's `listen` is read.
pub(super) fn listener(text: &str) -> Result<SocketAddr, String> {
    config::LISTEN.option(text)
}

/// One source without a file.
#[derive(Debug)]
pub(super) struct OneSource<'a> {
    /// Name of a preset; also the source's name.
    pub(super) provider: &'a str,
    /// Where events go.
    pub(super) forward_to: &'a str,
    /// The header that carries signature or token, where it is not the preset's.
    pub(super) header: Option<&'a str>,
    /// Where senders connect, where it is not the default.
    pub(super) listen: Option<String>,
    /// Holds the secret; [`SECRET_VARIABLE`] otherwise.
    pub(super) secret_file: Option<&'a Path>,
}

impl OneSource<'_> {
    /// Loads it; problems and warnings are told in terms of the options, since there is no file to look into.
    pub(super) fn load(&self) -> Result<(Config, Vec<Problem>), Failure> {
        self.load_from(&self.origin()?)
    }

    /// Loads what [`Self::origin`] wrote.
    pub(super) fn load_from(&self, origin: &Origin) -> Result<(Config, Vec<Problem>), Failure> {
        let told = |problems: Vec<Problem>| -> Vec<Problem> {
            problems
                .into_iter()
                .map(|problem| self.in_options(problem))
                .collect()
        };
        match load::load(origin, Options::default()) {
            Ok((config, warnings)) => Ok((config, told(warnings))),
            Err(problems) => Err(Failure::Config(told(problems))),
        }
    }

    /// The same problem at the option that it comes from. `listen`, `header` and `forward` were checked when
    /// they were parsed.
    fn in_options(&self, problem: Problem) -> Problem {
        let of_the_secret = problem.key.contains(".secret");
        let (file, key) = match (of_the_secret, self.secret_file) {
            (true, Some(_)) => ("--secret-file", String::new()),
            (true, None) => (SECRET_VARIABLE, String::new()),
            (false, _) => (COMMAND_LINE, problem.key),
        };
        Problem {
            file: file.into(),
            place: None,
            key,
            ..problem
        }
    }

    /// Writes it as a configuration.
    pub(super) fn origin(&self) -> Result<Origin, Failure> {
        let secret_is_set =
            std::env::var_os(SECRET_VARIABLE).is_some_and(|value| !value.is_empty());
        if self.secret_file.is_none() && !secret_is_set {
            return Err(Failure::Usage(format!(
                "{} needs its secret: set {SECRET_VARIABLE} or give --secret-file FILE",
                self.provider
            )));
        }
        Ok(Origin::Text {
            name: COMMAND_LINE.into(),
            text: self.yaml()?,
        })
    }

    fn yaml(&self) -> Result<String, Failure> {
        use std::fmt::Write as _;

        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            writeln!(text, "{line}").expect("a String takes every write");
        };
        if let Some(listen) = &self.listen {
            line(format_args!("listen: {}", scalar(listen)));
        }
        line(format_args!("sources:"));
        line(format_args!("  {}:", self.provider));
        line(format_args!("    provider: {}", self.provider));
        if let Some((scheme, header)) = self.scheme_and_header()? {
            let header = scalar(header);
            line(format_args!(
                "    verify: {{ {scheme}: {{ header: {header} }} }}"
            ));
        }
        match self.secret_file {
            Some(path) => {
                let path = path
                    .to_str()
                    .context("the secret file's path is not UTF-8")?;
                line(format_args!("    secret: {{ file: {} }}", scalar(path)));
            }
            None => line(format_args!("    secret: ${{{SECRET_VARIABLE}}}")),
        }
        line(format_args!("    forward: {}", scalar(self.forward_to)));
        Ok(text)
    }

    /// What `--header` overrides: the preset's own scheme goes on, in another header.
    fn scheme_and_header(&self) -> Result<Option<(&'static str, &str)>, Failure> {
        let preset = Preset::read(self.provider)?;
        match self.header {
            Some(header) => Ok(Some((preset.scheme, header))),
            None if preset.header.is_some() => Ok(None),
            None => Err(Failure::Usage(format!(
                "{} sends its secret in a header that you choose at the vendor's: add --header NAME",
                self.provider
            ))),
        }
    }
}

/// What a preset says about verification.
#[derive(Debug)]
pub(super) struct Preset {
    /// `hmac` or `token`.
    pub(super) scheme: &'static str,
    /// Of the signature or the token; some vendors let the user choose it.
    pub(super) header: Option<String>,
    /// How long the vendor waits for an answer, as the file says it.
    pub(super) sender_timeout: Option<String>,
}

impl Preset {
    /// Reads the preset of that name; only names that [`provider_names`] accepts are asked for.
    pub(super) fn read(name: &str) -> Result<Self, Failure> {
        let (_, text) = config::presets()
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("no preset named {name:?}"))?;
        Self::parse(text)
            .with_context(|| format!("preset {name}"))
            .map_err(Failure::Failed)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let preset: serde_yaml::Value = serde_yaml::from_str(text)?;
        let verify = preset.get("verify");
        let scheme = match verify.and_then(|verify| verify.get("hmac")) {
            Some(_) => "hmac",
            None => "token",
        };
        let header = verify.and_then(|verify| verify.get(scheme)?.get("header")?.as_str());
        let sender_timeout = preset
            .get("sender_timeout")
            .and_then(|value| value.as_str());
        Ok(Self {
            scheme,
            header: header.map(str::to_owned),
            sender_timeout: sender_timeout.map(str::to_owned),
        })
    }
}

/// `text` as a YAML scalar that means exactly this text: a JSON string is one, and `$$` is a dollar.
pub(super) fn scalar(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOWCHAT: OneSource<'_> = OneSource {
        provider: "vowchat",
        forward_to: "http://127.0.0.1:3000/in?a=$b",
        header: None,
        listen: None,
        secret_file: None,
    };

    #[test]
    fn a_source_of_options_is_a_small_file() {
        insta::assert_snapshot!(VOWCHAT.yaml().expect("valid"), @r#"
        sources:
          vowchat:
            provider: vowchat
            secret: ${HOOKGATE_SECRET}
            forward: "http://127.0.0.1:3000/in?a=$$b"
        "#);
        let full = OneSource {
            provider: "chatplugify",
            header: Some("X-Token"),
            listen: Some("127.0.0.1:8081".into()),
            secret_file: Some(Path::new("/run/secrets/it's \"here\"")),
            ..VOWCHAT
        };
        insta::assert_snapshot!(full.yaml().expect("valid"), @r#"
        listen: "127.0.0.1:8081"
        sources:
          chatplugify:
            provider: chatplugify
            verify: { token: { header: "X-Token" } }
            secret: { file: "/run/secrets/it's \"here\"" }
            forward: "http://127.0.0.1:3000/in?a=$$b"
        "#);
    }

    #[test]
    fn a_header_keeps_the_scheme_of_the_preset() {
        let older = OneSource {
            header: Some("X-Old-Signature"),
            ..VOWCHAT
        };
        let text = older.yaml().expect("valid");
        assert!(
            text.contains(r#"verify: { hmac: { header: "X-Old-Signature" } }"#),
            "{text}"
        );
    }

    #[test]
    fn a_vendor_without_a_header_of_its_own_needs_one() {
        let nameless = OneSource {
            provider: "chatplugify",
            ..VOWCHAT
        };
        match nameless.yaml() {
            Err(Failure::Usage(message)) => assert!(message.contains("--header"), "{message}"),
            other => panic!("{other:?}"),
        }
    }

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
    fn problems_are_told_at_the_option_they_come_from() {
        let missing = OneSource {
            secret_file: Some(Path::new("/nowhere/at/all")),
            ..VOWCHAT
        };
        match missing.load() {
            Err(Failure::Config(problems)) => {
                let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
                assert_eq!(told.len(), 1, "{told:?}");
                let start = "--secret-file: the secret file \"/nowhere/at/all\" can't be read";
                assert!(told[0].starts_with(start), "{told:?}");
            }
            other => panic!("{other:?}"),
        }
        let problem = |key: &str| Problem {
            file: COMMAND_LINE.into(),
            place: Some((3, 7)),
            key: key.into(),
            message: "is wrong".into(),
        };
        for (key, told) in [
            ("sources.vowchat.secret", "HOOKGATE_SECRET: is wrong"),
            (
                "limits.connections",
                "command line: limits.connections: is wrong",
            ),
        ] {
            assert_eq!(VOWCHAT.in_options(problem(key)).to_string(), told);
        }
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

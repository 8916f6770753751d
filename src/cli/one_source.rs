//! One source spelled out in options: written as the small file that it stands for, and read by the same loader.

use super::{Failure, origin::scalar, preset::Preset};
use crate::config::{
    Config,
    environment::Environment,
    load::{self, Options, Origin},
    problem::Problem,
};
use anyhow::Context as _;
use std::path::Path;

/// The variable that holds the secret of a source without a file.
pub(super) const SECRET_VARIABLE: &str = "HOOKGATE_SECRET";

/// What messages call a configuration made of options.
const COMMAND_LINE: &str = "command line";

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
    /// The URL that the vendor was given.
    pub(super) public_url: Option<&'a str>,
    /// Texts for the preset's templates, by name.
    pub(super) params: &'a [(String, String)],
}

impl<'a> OneSource<'a> {
    /// With nothing but a preset and where its events go.
    pub(super) fn new(provider: &'a str, forward_to: &'a str) -> Self {
        Self {
            provider,
            forward_to,
            header: None,
            listen: None,
            secret_file: None,
            public_url: None,
            params: &[],
        }
    }

    /// Loads it; problems and warnings are told in terms of the options, since there is no file to look into.
    pub(super) fn load(
        &self,
        environment: &Environment,
    ) -> Result<(Config, Vec<Problem>), Failure> {
        let origin = self.origin(environment)?;
        self.in_its_words(load::load(&origin, environment, Options::default()))
    }

    /// What was read of what [`Self::origin`] wrote.
    pub(super) fn in_its_words(
        &self,
        read: Result<(Config, Vec<Problem>), Vec<Problem>>,
    ) -> Result<(Config, Vec<Problem>), Failure> {
        let told = |problems: Vec<Problem>| -> Vec<Problem> {
            problems
                .into_iter()
                .map(|problem| self.in_options(problem))
                .collect()
        };
        match read {
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
    pub(super) fn origin(&self, environment: &Environment) -> Result<Origin, Failure> {
        let secret = environment.variable(SECRET_VARIABLE);
        let secret_is_set = secret.is_some_and(|value| !value.is_empty());
        if self.secret_file.is_none() && !secret_is_set {
            return Err(Failure::Usage(format!(
                "{} needs its {}: set {SECRET_VARIABLE} or give --secret-file FILE",
                self.provider,
                Preset::read(self.provider)?.secret_words()
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
        let preset = Preset::read(self.provider)?;
        if let Some((kind, header)) = self.kind_and_header(&preset)? {
            let header = scalar(header);
            line(format_args!(
                "    verify: {{ {kind}: {{ header: {header} }} }}"
            ));
        }
        if let Some(url) = self.url(&preset)? {
            line(format_args!("    public_url: {}", scalar(url)));
        }
        for (index, (name, text)) in self.known_params(&preset)?.iter().enumerate() {
            if index == 0 {
                line(format_args!("    params:"));
            }
            line(format_args!("      {name}: {}", scalar(text)));
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
    fn kind_and_header(&self, preset: &Preset) -> Result<Option<(&'static str, &'a str)>, Failure> {
        let name = self.provider;
        match (self.header, preset.kind()) {
            (None, _) if !preset.header_is_open() => Ok(None),
            (Some(header), Some(kind)) => Ok(Some((kind, header))),
            (Some(_), None) => Err(Failure::Usage(format!(
                "{name} has no header that another could take the place of; to verify otherwise, write a \
                 configuration file: `hookgate providers {name}` shows what the preset says"
            ))),
            (None, _) => Err(Failure::Usage(format!(
                "{name} sends its secret in a header that you choose at the vendor's: add --header NAME"
            ))),
        }
    }

    /// The vendor's URL for this source, which has to be there if the vendor signs it.
    fn url(&self, preset: &Preset) -> Result<Option<&'a str>, Failure> {
        if self.public_url.is_none() && preset.signs_url() {
            return Err(Failure::Usage(format!(
                "{name} signs the URL that it sends to, of which a gateway behind a proxy sees another one: add \
                 --public-url URL with the one that you gave the vendor, such as \
                 https://hooks.example.com/hooks/{name}",
                name = self.provider
            )));
        }
        Ok(self.public_url)
    }

    /// The params, if the preset has all of them.
    fn known_params(&self, preset: &Preset) -> Result<&'a [(String, String)], Failure> {
        let known: Vec<&str> = preset.params().into_iter().map(|(name, _)| name).collect();
        match self
            .params
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            None => Ok(self.params),
            Some((unknown, _)) if known.is_empty() => Err(Failure::Usage(format!(
                "{} has no params, so --param {unknown}=... would say nothing",
                self.provider
            ))),
            Some((unknown, _)) => Err(Failure::Usage(format!(
                "{} has no param {unknown:?}; it has: {}",
                self.provider,
                known.join(", ")
            ))),
        }
    }

    /// Params of the preset that nobody has set: what needs them is off.
    pub(super) fn unset_params(&self) -> Result<Vec<String>, Failure> {
        let preset = Preset::read(self.provider)?;
        let unset = |(name, is_set): (&str, bool)| {
            let given = self.params.iter().any(|(given, _)| given == name);
            (!is_set && !given).then(|| name.to_owned())
        };
        Ok(preset.params().into_iter().filter_map(unset).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::origin::param;

    const VOWCHAT: OneSource<'_> = OneSource {
        provider: "vowchat",
        forward_to: "http://127.0.0.1:3000/in?a=$b",
        header: None,
        listen: None,
        secret_file: None,
        public_url: None,
        params: &[],
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
    fn what_a_preset_needs_beside_its_secret_is_asked_for() {
        let refused = |source: OneSource<'_>| match source.yaml() {
            Err(Failure::Usage(message)) => message,
            other => panic!("{other:?}"),
        };
        let twilio = OneSource {
            provider: "twilio",
            ..VOWCHAT
        };
        assert!(refused(twilio).contains("add --public-url URL"));
        let header = OneSource {
            provider: "twilio",
            header: Some("X-Other"),
            ..VOWCHAT
        };
        assert!(refused(header).contains("write a configuration file"));
        let params = [("tokne".to_owned(), "t".to_owned())];
        let meta = |params| OneSource {
            provider: "meta",
            params,
            ..VOWCHAT
        };
        assert!(refused(meta(&params)).contains("it has: verify_token"));
        assert_eq!(
            meta(&[]).unset_params().expect("a preset"),
            ["verify_token"]
        );
        let params = [("verify_token".to_owned(), "a: b".to_owned())];
        assert!(meta(&params).unset_params().expect("a preset").is_empty());
        insta::assert_snapshot!(meta(&params).yaml().expect("valid"), @r#"
        sources:
          meta:
            provider: meta
            params:
              verify_token: "a: b"
            secret: ${HOOKGATE_SECRET}
            forward: "http://127.0.0.1:3000/in?a=$$b"
        "#);
        let twilio = OneSource {
            provider: "twilio",
            public_url: Some("https://hooks.example.com/in"),
            ..VOWCHAT
        };
        let text = twilio.yaml().expect("valid");
        let line = "    public_url: \"https://hooks.example.com/in\"\n";
        assert!(text.contains(line), "{text}");
        for wrong in ["verify_token", "=a", "a="] {
            param(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn problems_are_told_at_the_option_they_come_from() {
        let missing = OneSource {
            secret_file: Some(Path::new("/nowhere/at/all")),
            ..VOWCHAT
        };
        match missing.load(&Environment::default()) {
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
}

//! A preset as commands see it: what its YAML says, and the source that it makes once the rest is filled in.

use super::Failure;
use crate::config::{
    self, Config, Source,
    load::{Options, Process, load_text},
    presets,
    template::{Base, Template},
    verify::{Expected, Proof, Scheme},
};
use anyhow::{Context as _, anyhow};
use serde_yaml::{Mapping, Value};

/// A preset.
#[derive(Debug)]
pub(super) struct Preset {
    /// As its file says it.
    yaml: Mapping,
    /// With stand-ins for what only a user knows.
    pub(super) source: Source,
}

impl Preset {
    /// Reads the preset of that name; only names of presets are asked for.
    pub(super) fn read(name: &str) -> Result<Self, Failure> {
        let yaml = presets::named(name).with_context(|| format!("no preset named {name:?}"))?;
        let Value::Mapping(yaml) = yaml else {
            return Err(anyhow!("preset {name} is no mapping").into());
        };
        let source = filled_in(name, &yaml, Mapping::new())?;
        Ok(Self { yaml, source })
    }

    /// A preset of a user's own file.
    pub(super) fn own(name: &str, yaml: &Mapping) -> Result<Self, Failure> {
        let mut own = Mapping::new();
        own.insert(name.into(), Value::Mapping(yaml.clone()));
        let source = filled_in(name, yaml, own)?;
        let yaml = yaml.clone();
        Ok(Self { yaml, source })
    }

    /// Whether the vendor lets its users choose the header, so that the preset names none.
    pub(super) fn header_is_open(&self) -> bool {
        is_open(&self.yaml)
    }

    /// The kind under which another header can be written; none where there are several ways to verify, where the kind
    /// has no header of its own, or where the value stands elsewhere.
    pub(super) fn kind(&self) -> Option<&'static str> {
        let verify = self.yaml.get("verify")?.as_mapping()?;
        let kind = presets::KINDS
            .into_iter()
            .find(|kind| verify.contains_key(*kind))?;
        let settings = verify.get(kind)?.as_mapping()?;
        let elsewhere = settings.contains_key("field");
        let lists = settings.get("header").is_some_and(Value::is_sequence);
        (!elsewhere && !lists).then_some(kind)
    }

    /// Whether the vendor signs the URL that it was given.
    pub(super) fn signs_url(&self) -> bool {
        let of_url = |base: &Base| {
            matches!(
                base,
                Base::Url | Base::PublicUrl | Base::Path | Base::AtlassianQsh
            )
        };
        let schemes = self.source.verify.schemes().iter();
        schemes
            .flat_map(templates)
            .flat_map(Template::values)
            .any(|value| of_url(&value.base))
    }

    /// The preset's params, each with whether it is set.
    pub(super) fn params(&self) -> Vec<(&str, bool)> {
        let params = self.yaml.get("params").and_then(Value::as_mapping);
        params
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.as_str()?, !value.is_null())))
            .collect()
    }

    /// What the user has to have as the secret, to go on from "its".
    pub(super) fn secret_words(&self) -> &'static str {
        use config::verify::{Algorithm, TokenForm};

        match self
            .source
            .verify
            .schemes()
            .first()
            .map(|scheme| &scheme.proof)
        {
            Some(Proof::Signature(signature)) => match signature.algorithm {
                Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa(_) => "public key",
                Algorithm::Hmac(_) | Algorithm::Hash(_) => "secret",
            },
            Some(Proof::Token(token)) if token.form == TokenForm::Basic => "user:password",
            _ => "secret",
        }
    }
}

/// Every template of a scheme.
fn templates(scheme: &Scheme) -> Vec<&Template> {
    let mut all: Vec<&Template> = match &scheme.proof {
        Proof::Signature(signature) => vec![&signature.signed],
        Proof::Jwt(jwt) => jwt.claims.iter().map(|(_, claim)| claim).collect(),
        Proof::Token(_) => Vec::new(),
    };
    all.extend(
        scheme
            .when
            .iter()
            .filter_map(|condition| match &condition.expected {
                Expected::Is(template) => Some(template),
                Expected::Present | Expected::Absent => None,
            }),
    );
    all
}

fn is_open(yaml: &Mapping) -> bool {
    let token = yaml.get("verify").and_then(|verify| verify.get("token"));
    let named = |token: &Value| token.get("header").is_some() || token.get("field").is_some();
    token.is_some_and(|token| !named(token))
}

/// The source that the preset makes, as `check --allow-unset` would read it.
fn filled_in(name: &str, yaml: &Mapping, own: Mapping) -> Result<Source, Failure> {
    let verify = if is_open(yaml) {
        "verify: { token: { header: X-Token } }, "
    } else {
        ""
    };
    let has = |key: &str| yaml.get(key).is_some_and(|value| !value.is_null());
    let bare = yaml.get("verify").and_then(Value::as_str) == Some("none");
    let secret = if bare || has("secret") || has("secrets") {
        ""
    } else {
        "secret: \"${SECRET}\", "
    };
    let own = serde_yaml::to_string(&Value::Mapping(own)).context("a preset is YAML")?;
    let text = format!(
        "sources: {{ {name}: {{ provider: {name}, {secret}{verify}\
         public_url: \"https://hooks.example.com/hooks/{name}\", forward: \"http://127.0.0.1/\" }} }}\n\
         providers:\n{}",
        own.replace('\n', "\n  ").replacen("", "  ", 1)
    );
    let nothing_is_set = Process {
        variable: &|_| None,
        open_files_max: None,
    };
    let options = Options { allow_unset: true };
    let (Config { sources, .. }, _) =
        load_text("preset", &text, options, &nothing_is_set).map_err(Failure::Config)?;
    let source = sources.into_iter().next();
    Ok(source.context("one source was written")?)
}

#[cfg(test)]
mod catalogue;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_makes_a_source() {
        for (name, _) in config::presets() {
            let preset = Preset::read(name).unwrap_or_else(|why| panic!("{name}: {why:?}"));
            assert_eq!(preset.source.provider.as_deref(), Some(*name));
        }
    }

    #[test]
    fn what_a_preset_leaves_to_the_user_is_known() {
        let plug = Preset::read("chatplugify").expect("a preset");
        assert!(plug.header_is_open());
        assert_eq!(
            (plug.kind(), plug.secret_words()),
            (Some("token"), "secret")
        );
        let vow = Preset::read("vowchat").expect("a preset");
        assert!(!vow.header_is_open() && !vow.signs_url());
        assert_eq!((vow.kind(), vow.params().len()), (Some("hmac"), 0));
    }
}

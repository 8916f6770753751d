//! `hookgate providers`: the presets are nothing but YAML, so they can be read and copied.

use super::{Failure, origin::AnyName, preset::Preset, print};
use crate::{
    config::{
        self, Status, Verify, duration_text,
        load::{self, Origin},
        misnamed,
        verify::{Algorithm, Hash, Proof, TokenForm},
    },
    extract::Field,
};
use anyhow::Context as _;
use serde_yaml::Mapping;
use std::path::PathBuf;

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Lists the presets, or prints one as YAML: how each verifies (+1: or in one more way), and how long its vendor waits \
for an answer. One that is marked unverified rests on third parties or memory in part: try it with the vendor before you rely \
on it. The head of each preset says where its facts are from.\n\n\
A preset is a piece of a source's configuration; every key of it can be overridden in the source.";

const EXAMPLES: &str = "\
Examples:
  hookgate providers
  hookgate providers vowchat
  hookgate providers -c hookgate.yaml        with your own, which stand under providers there";

/// Options of `providers`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The preset to print
    #[arg(value_name = "NAME", value_parser = AnyName, hide_possible_values = true)]
    name: Option<String>,
    /// Also know the presets under `providers` of this configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let own = match &args.file {
        Some(file) => load::own_presets(&Origin::File(file.clone())).map_err(Failure::Config)?,
        None => Vec::new(),
    };
    match &args.name {
        None => print(&list(&own)?),
        Some(name) => print(&text(name, &own)?),
    }
}

/// A preset as YAML.
fn text(name: &str, own: &[(String, Mapping)]) -> Result<String, Failure> {
    let known = config::presets().iter().find(|(known, _)| *known == name);
    if let Some((_, text)) = known {
        return Ok((*text).to_owned());
    }
    if let Some((_, yaml)) = own.iter().find(|(own, _)| own == name) {
        return Ok(serde_yaml::to_string(yaml).context("a preset is YAML")?);
    }
    Err(Failure::Usage(format!(
        "{name:?} is no preset; {} (`hookgate providers` lists all, with -c FILE those of a configuration, too)",
        misnamed::advice(name)
    )))
}

/// Columns of the widest name and of the longest words.
const COLUMNS: (usize, usize) = (26, 50);

fn list(own: &[(String, Mapping)]) -> Result<String, Failure> {
    let mut text = row("NAME", "VERIFIES", "WAITS", "");
    let own = own
        .iter()
        .map(|(name, yaml)| (name.as_str(), Preset::own(name, yaml)));
    let known = config::presets().iter();
    for (name, preset) in own.chain(known.map(|(name, _)| (*name, Preset::read(name)))) {
        let preset = preset?;
        let source = &preset.source;
        let words = if preset.header_is_open() {
            "token in a header that you choose".to_owned()
        } else {
            words(&source.verify)
        };
        let mark = match source.status {
            Some(Status::Unverified) => "unverified",
            Some(Status::Verified) | None => "",
        };
        let waits = duration_text(source.sender_timeout);
        text += &row(name, &words, &waits, mark);
    }
    Ok(text)
}

fn row(name: &str, words: &str, waits: &str, mark: &str) -> String {
    let (names, width) = COLUMNS;
    let row = format!("{name:<names$}  {words:<width$}  {waits:<5}  {mark}");
    format!("{}\n", row.trim_end())
}

/// How a source verifies, in one line.
fn words(verify: &Verify) -> String {
    let mut ways: Vec<String> = Vec::new();
    for way in verify.schemes().iter().map(|scheme| way(&scheme.proof)) {
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    match ways.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} (+{})", others.len()),
    }
}

fn way(proof: &Proof) -> String {
    match proof {
        Proof::Token(token) => match token.form {
            TokenForm::Plain => format!("token in {}", place(&token.field)),
            TokenForm::Scheme => "bearer token".to_owned(),
            TokenForm::Basic => "user and password".to_owned(),
        },
        Proof::Jwt(jwt) => format!("JWT in {}", place(&jwt.field)),
        Proof::Signature(signature) => {
            let algorithm = match signature.algorithm {
                Algorithm::Hmac(hash) => format!("HMAC {}", hash_name(hash)),
                Algorithm::Hash(hash) => hash_name(hash).to_owned(),
                Algorithm::Ed25519 => "Ed25519".to_owned(),
                Algorithm::EcdsaP256 => "ECDSA".to_owned(),
                Algorithm::Rsa(hash) => format!("RSA {}", hash_name(hash)),
            };
            let field = signature.fields.first();
            format!("{algorithm} in {}", field.map(place).unwrap_or_default())
        }
    }
}

fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SHA-1",
        Hash::Sha256 => "SHA-256",
        Hash::Sha384 => "SHA-384",
        Hash::Sha512 => "SHA-512",
    }
}

/// A header by its name, anything else by the part of the request: its way in there is long.
fn place(field: &Field) -> String {
    match field {
        Field::Header(name) => name.to_string(),
        Field::Query(_) => "the query".to_owned(),
        Field::Json(_) | Field::Form(_) | Field::Body => "the body".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_its_line_and_none_is_too_long() {
        let list = list(&[]).expect("presets are YAML");
        assert_eq!(list.lines().count(), config::presets().len() + 1);
        for (line, (name, _)) in list.lines().skip(1).zip(config::presets()) {
            let mut columns = line.split_whitespace();
            assert_eq!(columns.next(), Some(*name), "{line}");
            assert!(line.len() <= 100, "{line}");
            let words = words(&Preset::read(name).expect("a preset").source.verify);
            assert!(words.len() <= COLUMNS.1, "{name}: {words}");
            assert!(name.len() <= COLUMNS.0, "{name}");
        }
    }

    #[test]
    fn a_name_that_is_no_preset_is_told_what_it_may_be() {
        let own = vec![("my-shop".to_owned(), Mapping::new())];
        match text("githb", &own) {
            Err(Failure::Usage(said)) => assert!(said.contains("did you mean github?"), "{said}"),
            other => panic!("{other:?}"),
        }
        text("my-shop", &own).expect("one of the file");
        text("my-shop", &[]).expect_err("no file has it");
    }

    #[test]
    fn what_is_not_verified_is_marked() {
        let list = list(&[]).expect("presets are YAML");
        for (line, (name, text)) in list.lines().skip(1).zip(config::presets()) {
            let marked = line.ends_with("  unverified");
            assert_eq!(marked, text.contains("\nstatus: unverified"), "{name}");
        }
    }

    #[test]
    fn schemes_have_words() {
        let line = |name: &str| {
            let list = list(&[]).expect("presets are YAML");
            let mut lines = list.lines();
            let line = lines.find(|line| line.starts_with(name)).expect("listed");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line("chatmefy"),
            "chatmefy HMAC SHA-256 in x-chatmefy-signature 30s"
        );
        assert_eq!(
            line("chatplugify"),
            "chatplugify token in a header that you choose 10s"
        );
    }
}

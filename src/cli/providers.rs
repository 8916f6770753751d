//! `hookgate providers`: the presets are nothing but YAML, so they can be read and copied.

use super::{
    Failure,
    origin::{Preset, provider_names},
    print,
};
use crate::config;
use std::fmt::Write as _;

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Lists the presets, or prints one as YAML.\n\n\
A preset is a piece of a source's configuration; every key of it can be overridden in the source.";

const EXAMPLES: &str = "\
Examples:
  hookgate providers
  hookgate providers vowchat";

/// Options of `providers`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The preset to print
    #[arg(value_name = "NAME", value_parser = provider_names(), hide_possible_values = true)]
    name: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.name {
        None => print(&list()?),
        Some(name) => {
            let known = config::presets().iter().find(|(known, _)| known == name);
            print(known.map_or("", |(_, text)| text))
        }
    }
}

fn list() -> Result<String, Failure> {
    let mut text = String::new();
    for (name, _) in config::presets() {
        let line = describe(&Preset::read(name)?);
        writeln!(text, "{name:<14} {line}").expect("a String takes every write");
    }
    Ok(text)
}

fn describe(preset: &Preset) -> String {
    let proof = match (preset.scheme, &preset.header) {
        ("hmac", Some(header)) => format!("signature in {header}"),
        (_, Some(header)) => format!("token in {header}"),
        (_, None) => "token in a header that you choose".into(),
    };
    let patience = preset.sender_timeout.as_deref().unwrap_or("30s");
    format!("{proof:<36} waits {patience} for an answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_its_line() {
        let list = list().expect("presets are YAML");
        assert_eq!(list.lines().count(), config::presets().len());
        for (line, (name, _)) in list.lines().zip(config::presets()) {
            assert!(line.starts_with(name), "{line}");
        }
        let chosen = list.lines().find(|line| line.starts_with("chatplugify"));
        assert!(
            chosen.is_some_and(|line| line.contains("a header that you choose")),
            "{list}"
        );
    }
}

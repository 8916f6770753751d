//! Whole files: those that load, each value asserted, and those that do not, each message as a user sees it.

mod bad;
mod callers;
mod examples;
mod http2;
mod presets;
mod providers;
mod schema;
mod schemes;
mod shipped;
mod variants;
mod warnings;

use super::{
    Config, Source, Target,
    load::{Options, Process, load_text},
    problem::Problem,
    verify::{Proof, Signature, Token},
};
use crate::extract::Field;
use std::time::Duration;

/// The environment of these tests.
fn variable(name: &str) -> Option<String> {
    let value = match name {
        "SECRET" | "CHATMEFY_SECRET" => "s3cr3t-of-the-environment",
        "ERP_OLD" => "old-secret",
        "EMPTY" => "",
        "NUMBER" => "7",
        "WORD" => "word-of-the-environment",
        "URL" => "http://127.0.0.1:3000/from-environment",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Open files enough for every test that does not look at them.
const PLENTY: Option<u64> = Some(1 << 20);

fn load(text: &str) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let process = Process {
        variable: &variable,
        open_files_max: PLENTY,
    };
    load_text("hookgate.yaml", text, Options::default(), &process)
}

/// A configuration that loads, with its warnings.
fn accepted(text: &str) -> (Config, Vec<String>) {
    let (config, warnings) =
        load(text).unwrap_or_else(|problems| panic!("{}\n---\n{text}", shown(&problems)));
    (config, warnings.iter().map(Problem::to_string).collect())
}

fn shown(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn field(text: &str) -> Field {
    text.parse().expect("a field")
}

/// What proves a source that has one scheme.
fn proof(source: &Source) -> &Proof {
    match source.verify.schemes() {
        [scheme] => &scheme.proof,
        other => panic!("not one scheme: {other:?}"),
    }
}

fn signature(source: &Source) -> &Signature {
    match proof(source) {
        Proof::Signature(signature) => signature,
        other => panic!("no signature: {other:?}"),
    }
}

fn token(source: &Source) -> &Token {
    match proof(source) {
        Proof::Token(token) => token,
        other => panic!("no token: {other:?}"),
    }
}

fn target<'a>(config: &'a Config, name: &str) -> &'a Target {
    let found = config.targets.iter().find(|target| &*target.name == name);
    found.expect("a target")
}

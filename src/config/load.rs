//! From a file to a [`Config`], or to every problem in it.
//!
//! The text is parsed as YAML, merge keys are resolved, top-level `x-*` keys dropped, sources laid over their
//! presets, and the tree is walked once; variables are replaced scalar by scalar on that walk. Relative paths in
//! the file (`store.path`, a secret's `file`) start at the directory that hookgate is started in.

use super::{
    Config, check,
    environment::Environment,
    files::Files,
    problem::Problem,
    read,
    reader::{Context, Node},
    report::Report,
    yaml,
};
use serde_yaml::{Mapping, Value};
use sha2::{Digest as _, Sha256};
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Where the text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file that the user named, or one of the default places.
    File(PathBuf),
    /// Text made from command-line options, with the name that messages show.
    Text {
        /// Shown in messages.
        name: String,
        /// YAML.
        text: String,
    },
}

/// What was read on the way to a configuration, or to what is wrong with it.
#[derive(Default)]
pub struct Notes {
    /// The text as it was: loaded again later, it is the same configuration, and only the files that it names may hold
    /// something else. `None` if it could not be read.
    pub text: Option<Origin>,
    /// The file itself, and every file that it names. (Where the text is not YAML, nobody knows those.)
    pub files: Files,
}

/// How strict to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `check --allow-unset`: an unset variable and a missing secret file stand for a value that nobody will see.
    pub allow_unset: bool,
}

/// The default places, in order.
pub const DEFAULT_FILES: [&str; 2] = ["hookgate.yaml", "/etc/hookgate/hookgate.yaml"];

/// Bytes of a configuration: thousands of sources, and a bound on what a wrong file may cost.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// No file was named, and none of the default places has one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no configuration found: there is no {}", .looked_for.join(" and no "))]
pub struct NotFound {
    /// The places, in order.
    pub looked_for: Vec<String>,
}

/// The file to load: `named`, or the first default that exists.
pub fn find(named: Option<&Path>) -> Result<Origin, NotFound> {
    find_among(named, &DEFAULT_FILES)
}

fn find_among(named: Option<&Path>, defaults: &[&str]) -> Result<Origin, NotFound> {
    let found = match named {
        Some(named) => Some(named.to_owned()),
        // One that exists but can't be read is found too: reading it says why.
        None => defaults
            .iter()
            .map(PathBuf::from)
            .find(|path| path.try_exists().unwrap_or(true)),
    };
    found.map(Origin::File).ok_or_else(|| NotFound {
        looked_for: defaults.iter().map(|&place| place.to_owned()).collect(),
    })
}

/// Reads a configuration with all its warnings, or returns everything that is wrong with it.
pub fn load(
    origin: &Origin,
    environment: &Environment,
    options: Options,
) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    load_noting(origin, environment, options, &mut Notes::default())
}

/// As [`load`], with what was read.
pub fn load_noting(
    origin: &Origin,
    environment: &Environment,
    options: Options,
    notes: &mut Notes,
) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    if let Origin::File(path) = origin {
        notes.files.note(path);
    }
    let (file, text) = read_origin(origin).map_err(|problem| vec![problem])?;
    let process = Process {
        variable: &|name| environment.variable(name),
        open_files_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
    };
    let read = read_text(&file, &text, options, &process, &mut notes.files);
    notes.text = Some(Origin::Text { name: file, text });
    read
}

/// Where the store of a configuration is. Nothing else in it has to be right, or set: for those who look after the file.
pub fn store_path(origin: &Origin, environment: &Environment) -> Result<PathBuf, Vec<Problem>> {
    let (file, text) = read_origin(origin).map_err(|problem| vec![problem])?;
    let tree = yaml::parse(&text).map_err(|broken| vec![broken_text(&file, broken)])?;
    let report = Report::default();
    let context = Context {
        report: &report,
        variable: &|name| environment.variable(name),
        allow_unset: false,
    };
    let path = read::store_path(&Node::root(&tree, &context));
    let (problems, _) = report.finish(&file, &text);
    match path {
        Some(path) if problems.is_empty() => Ok(path),
        _ => Err(problems),
    }
}

/// The presets that a file brings itself, by name. Nothing else in it has to be right, or set.
pub fn own_presets(origin: &Origin) -> Result<Vec<(String, Mapping)>, Vec<Problem>> {
    let (file, text) = read_origin(origin).map_err(|problem| vec![problem])?;
    let tree = yaml::parse(&text).map_err(|broken| vec![broken_text(&file, broken)])?;
    let report = Report::default();
    let context = Context {
        report: &report,
        variable: &|_| None,
        allow_unset: true,
    };
    let presets = read::own_presets(&Node::root(&tree, &context));
    let (problems, _) = report.finish(&file, &text);
    if problems.is_empty() {
        Ok(presets)
    } else {
        Err(problems)
    }
}

fn broken_text(file: &str, broken: yaml::Broken) -> Problem {
    Problem {
        file: file.to_owned(),
        place: broken.place,
        key: String::new(),
        message: broken.message,
    }
}

/// What a configuration depends on beside its text.
pub(crate) struct Process<'a> {
    /// The environment; a variable that is not UTF-8 counts as unset.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The hard limit of open files, which `run` raises its own limit to.
    pub(crate) open_files_max: Option<u64>,
}

/// [`load`] with everything that it depends on.
pub(crate) fn load_text(
    file: &str,
    text: &str,
    options: Options,
    process: &Process<'_>,
) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    read_text(file, text, options, process, &mut Files::default())
}

fn read_text(
    file: &str,
    text: &str,
    options: Options,
    process: &Process<'_>,
    files: &mut Files,
) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    let mut tree = yaml::parse(text).map_err(|broken| vec![broken_text(file, broken)])?;
    if let Value::Mapping(top) = &mut tree {
        top.retain(|key, _| !key.as_str().is_some_and(|key| key.starts_with("x-")));
    }
    let report = Report::default();
    let context = Context {
        report: &report,
        variable: process.variable,
        allow_unset: options.allow_unset,
    };
    let hash = hex::encode(Sha256::digest(text));
    let config = read::config(&Node::root(&tree, &context), hash);
    if let Some(config) = &config {
        check::warn(config, &report, process.open_files_max);
    }
    files.extend(report.files());
    let (problems, warnings) = report.finish(file, text);
    match config {
        Some(config) if problems.is_empty() => Ok((config, warnings)),
        _ => {
            debug_assert!(!problems.is_empty(), "what is refused says why");
            Err(problems)
        }
    }
}

/// The name that messages show, and the text.
fn read_origin(origin: &Origin) -> Result<(String, String), Problem> {
    match origin {
        Origin::Text { name, text } => Ok((name.clone(), text.clone())),
        Origin::File(path) => {
            let file = path.display().to_string();
            match read_bounded(path) {
                Ok(text) => Ok((file, text)),
                Err(error) => Err(Problem {
                    file,
                    place: None,
                    key: String::new(),
                    message: format!("the configuration can't be read: {error}"),
                }),
            }
        }
    }
}

/// Reads a text of a user's, if it is not too large to be one.
pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 4MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_or_the_first_default_that_exists() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = |name: &str| dir.path().join(name).display().to_string();
        let (first, second) = (place("a.yaml"), place("b.yaml"));
        let defaults = [first.as_str(), second.as_str()];

        let none = find_among(None, &defaults).expect_err("nothing is there");
        assert_eq!(
            none.to_string(),
            format!("no configuration found: there is no {first} and no {second}")
        );

        std::fs::write(&second, "").expect("written");
        let found = find_among(None, &defaults).expect("the second");
        assert!(matches!(found, Origin::File(path) if path == Path::new(&second)));

        let named = find_among(Some(Path::new("c.yaml")), &defaults).expect("the named one");
        assert!(matches!(named, Origin::File(path) if path == Path::new("c.yaml")));
    }

    #[test]
    fn a_file_that_cant_be_read_is_one_problem() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("missing.yaml");
        let problems = load(
            &Origin::File(missing.clone()),
            &Environment::default(),
            Options::default(),
        )
        .expect_err("missing");
        let shown = problems[0].to_string();
        assert!(shown.starts_with(&missing.display().to_string()), "{shown}");
        assert!(shown.contains("No such file"), "{shown}");

        let binary = dir.path().join("binary.yaml");
        std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("written");
        let problems = load(
            &Origin::File(binary),
            &Environment::default(),
            Options::default(),
        )
        .expect_err("no text");
        assert!(problems[0].message.contains("UTF-8"), "{}", problems[0]);
    }

    #[test]
    fn the_hash_is_that_of_the_text() {
        let text = "sources: {a: {verify: none, forward: http://a/}}";
        let origin = Origin::Text {
            name: "t".to_owned(),
            text: text.to_owned(),
        };
        let (config, _) =
            load(&origin, &Environment::default(), Options::default()).expect("valid");
        assert_eq!(config.hash, hex::encode(Sha256::digest(text)));
    }
}

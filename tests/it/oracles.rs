//! hookgate beside the libraries that vendors publish: what one side signs the other accepts, and what is changed on
//! the way both refuse. Where they disagree on purpose, `differences` says why.
//!
//! The libraries are installed apart (`tests/oracles/README.md`). `HOOKGATE_TEST_SEED` and `HOOKGATE_TEST_BODIES`
//! choose other bodies and their number.

mod bodies;
mod comparison;
mod deliveries;
mod differences;
mod library;
mod ours;
mod request;
mod row;
mod rows;

use crate::support::tools;
use comparison::Comparison;
use differences::DIFFERENCES;
use fastrand::Rng;
use library::{Language, Libraries};
use row::Row;
use rows::ROWS;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Where `tests/oracles/install` put the libraries.
const KIT: &str = "HOOKGATE_ORACLES";

const SEED: u64 = 20_261_120;
const BODIES: usize = 200;

/// A number from the environment; `usual` without one.
fn chosen(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
        Err(_) => usual,
    }
}

/// The installed libraries of one language, and what each of them is.
fn start(language: Language) -> Option<(Libraries, Vec<library::Library>)> {
    let kit: PathBuf = tools::folder(KIT)?;
    let mut libraries = Libraries::start(language, &kit);
    let listed = libraries.list();
    Some((libraries, listed))
}

/// Compares every library of a language with its preset.
fn compare(language: Language) {
    let Some((mut libraries, listed)) = start(language) else {
        return;
    };
    let seed = chosen("HOOKGATE_TEST_SEED", SEED);
    let bodies =
        usize::try_from(chosen("HOOKGATE_TEST_BODIES", BODIES as u64)).expect("a number of bodies");
    eprintln!("HOOKGATE_TEST_SEED={seed} HOOKGATE_TEST_BODIES={bodies}");
    let mut findings = Vec::new();
    for (row, number) in ROWS
        .iter()
        .zip(0..)
        .filter(|(row, _)| row.language == language)
    {
        let library = listed.iter().find(|library| library.oracle == row.oracle);
        let library = library.unwrap_or_else(|| panic!("no library for {}", row.oracle));
        // Each row has a sequence of its own: one more body here changes none there.
        let rng = Rng::with_seed(seed + number);
        let (asked, found) = match Comparison::new(row, library, &mut libraries, rng) {
            Ok(comparison) => comparison.run(bodies * row.percent / 100),
            Err(why) => (0, vec![why]),
        };
        eprintln!("{:<26} {:<40} {asked} requests", row.oracle, library.name);
        findings.extend(found);
    }
    assert!(
        findings.is_empty(),
        "HOOKGATE_TEST_SEED={seed}\n{}",
        findings.join("\n")
    );
}

#[test]
fn python_libraries_agree() {
    compare(Language::Python);
}

#[test]
fn javascript_libraries_agree() {
    compare(Language::JavaScript);
}

#[test]
fn every_library_has_a_row() {
    for language in [Language::Python, Language::JavaScript] {
        let Some((_, listed)) = start(language) else {
            return;
        };
        let known: BTreeSet<_> = listed
            .iter()
            .map(|library| library.oracle.as_str())
            .collect();
        let of_language = |row: &&Row| row.language == language;
        let rows: BTreeSet<_> = ROWS
            .iter()
            .filter(of_language)
            .map(|row| row.oracle)
            .collect();
        assert_eq!(known, rows, "{language:?}");
    }
}

#[test]
fn they_differ_on_purpose_only_as_written_down() {
    let mut findings = Vec::new();
    for language in [Language::Python, Language::JavaScript] {
        let Some((mut libraries, listed)) = start(language) else {
            return;
        };
        for row in ROWS.iter().filter(|row| row.language == language) {
            let library = listed.iter().find(|library| library.oracle == row.oracle);
            let library = library.unwrap_or_else(|| panic!("no library for {}", row.oracle));
            for difference in DIFFERENCES
                .iter()
                .filter(|difference| difference.oracle == row.oracle)
            {
                let rng = Rng::with_seed(SEED);
                match Comparison::new(row, library, &mut libraries, rng) {
                    Ok(comparison) => findings.extend(difference.check(comparison)),
                    Err(why) => findings.push(why),
                }
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn every_difference_names_a_library_and_a_reason() {
    for difference in DIFFERENCES {
        assert!(
            ROWS.iter().any(|row| row.oracle == difference.oracle),
            "{difference:?}"
        );
        assert!(
            difference.ours == difference.theirs || !difference.why.is_empty(),
            "{difference:?}"
        );
    }
}

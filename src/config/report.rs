//! Keeps problems and warnings while a file is read, so that all of them are told at once, and gives each its
//! place at the end.

use super::{
    files::Files,
    locate::{self, KeyPath, Side},
    problem::Problem,
};
use std::{cell::RefCell, collections::HashSet, path::Path};

/// What was found so far. Shared by every part of one reading.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: RefCell<Vec<Found>>,
    warnings: RefCell<Vec<Found>>,
    /// Entries that lie over another: what does not stand in the one may stand in the other.
    over: RefCell<Vec<(KeyPath, KeyPath)>>,
    /// Files that were read.
    files: RefCell<Files>,
}

#[derive(Debug)]
struct Found {
    path: KeyPath,
    side: Side,
    message: String,
}

impl Report {
    /// Something that keeps the configuration from being used.
    pub(crate) fn problem(&self, path: &KeyPath, side: Side, message: impl Into<String>) {
        self.problems.borrow_mut().push(Found {
            path: path.clone(),
            side,
            message: message.into(),
        });
    }

    /// Something that the user should know and may want.
    pub(crate) fn warning(&self, path: &KeyPath, message: impl Into<String>) {
        self.warnings.borrow_mut().push(Found {
            path: path.clone(),
            side: Side::Key,
            message: message.into(),
        });
    }

    /// This file is going to be read: when it changes, the configuration does.
    pub(crate) fn reads(&self, path: &Path) {
        self.files.borrow_mut().note(path);
    }

    /// The files that were read.
    pub(crate) fn files(&self) -> Files {
        self.files.borrow().clone()
    }

    /// What is found at or below `path` and does not stand there may stand below `under`: a source over a preset of the
    /// same file.
    pub(crate) fn lies_over(&self, path: &KeyPath, under: &KeyPath) {
        self.over.borrow_mut().push((path.clone(), under.clone()));
    }

    /// Problems and warnings with their places in `text`, each in the order of the file.
    pub(crate) fn finish(self, file: &str, text: &str) -> (Vec<Problem>, Vec<Problem>) {
        let over = self.over.into_inner();
        let placed = |found: RefCell<Vec<Found>>| {
            let mut placed: Vec<Problem> = found
                .into_inner()
                .into_iter()
                .map(|found| {
                    let path = where_it_stands(text, &found, &over).unwrap_or(found.path);
                    Problem {
                        file: file.to_owned(),
                        place: locate::nearest(text, &path, found.side),
                        key: path.to_string(),
                        message: found.message,
                    }
                })
                .collect();
            // The sort is stable: at one place the order of discovery stays.
            placed.sort_by_key(|problem| problem.place);
            once(placed)
        };
        (placed(self.problems), placed(self.warnings))
    }
}

/// The path in what an entry lies over, if it is there and not in the entry itself.
fn where_it_stands(text: &str, found: &Found, over: &[(KeyPath, KeyPath)]) -> Option<KeyPath> {
    let stands = |path: &KeyPath| locate::exact(text, path, found.side).is_some();
    let mut under = over
        .iter()
        .filter_map(|(path, under)| found.path.rebased(path, under));
    under.find(|path| !stands(&found.path) && stands(path))
}

/// What several entries of a preset ask for is missing once, where the source stands.
fn once(problems: Vec<Problem>) -> Vec<Problem> {
    let mut said = HashSet::new();
    let mut is_new = |problem: &Problem| {
        problem.place.is_none() || said.insert((problem.place, problem.message.clone()))
    };
    problems
        .into_iter()
        .filter(|problem| is_new(problem))
        .collect()
}

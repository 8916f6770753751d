//! The files that a configuration was read from, and what they were at that moment: whoever looks again knows whether
//! reading it anew would say something else.
//!
//! A file is known by what the system says of the one that its path leads to, links followed: the swap of `..data` in a
//! volume of Kubernetes is another file, as is one that an editor has put in the place of the first.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What the system says of a file's contents without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    number: u64,
    bytes: u64,
    /// Seconds and nanoseconds of the last change of the contents, and of the last change of any kind: `cp -p` sets the
    /// first one back.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            number: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Paths, each once, and what was there; one that is missing is a state of it as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<(PathBuf, Option<Stamp>)>);

impl Files {
    /// This file is going to be read now. The first time counts: what was read then may have been another one.
    pub fn note(&mut self, path: &Path) {
        if !self.0.iter().any(|(known, _)| known == path) {
            self.0.push((path.to_owned(), Stamp::of(path)));
        }
    }

    /// These were read again.
    pub fn update(&mut self, read: Self) {
        for (path, stamp) in read.0 {
            match self.0.iter_mut().find(|(known, _)| *known == path) {
                Some((_, known)) => *known = stamp,
                None => self.0.push((path, stamp)),
            }
        }
    }

    /// And these; the first time counts.
    pub(super) fn extend(&mut self, more: Self) {
        for (path, stamp) in more.0 {
            if !self.0.iter().any(|(known, _)| *known == path) {
                self.0.push((path, stamp));
            }
        }
    }

    /// The same files as they are now.
    #[must_use]
    pub fn now(&self) -> Self {
        let look = |(path, _): &(PathBuf, Option<Stamp>)| (path.clone(), Stamp::of(path));
        Self(self.0.iter().map(look).collect())
    }

    /// Those that are not what they are in `other`, as messages show them.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        self.0
            .iter()
            .filter(|file| !other.0.contains(file))
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn whatever_changes_a_file_is_seen_and_nothing_else() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |name: &str| place.path().join(name);
        for name in ["edited", "replaced", "gone", "same", "read"] {
            fs::write(at(name), "text").expect("writable");
        }
        fs::create_dir(at("..1")).expect("writable");
        fs::create_dir(at("..2")).expect("writable");
        for version in ["..1", "..2"] {
            fs::write(at(version).join("key"), "text").expect("writable");
        }
        symlink("..1", at("..data")).expect("a link");
        symlink("..data/key", at("key")).expect("a link");

        let mut files = Files::default();
        for name in [
            "edited", "replaced", "gone", "same", "read", "key", "missing",
        ] {
            files.note(&at(name));
            files.note(&at(name));
        }
        assert_eq!(files, files.now());

        fs::write(at("edited"), "longer").expect("writable");
        fs::write(at("new"), "text").expect("writable");
        fs::rename(at("new"), at("replaced")).expect("movable");
        fs::remove_file(at("gone")).expect("there");
        fs::read(at("read")).expect("readable");
        fs::write(at("missing"), "").expect("writable");
        symlink("..2", at("..new")).expect("a link");
        fs::rename(at("..new"), at("..data")).expect("movable");
        let changed = files.now().differing(&files);
        let expected = ["edited", "replaced", "gone", "key", "missing"];
        assert_eq!(
            changed,
            expected.map(|name| at(name).display().to_string()),
            "{files:?}"
        );
    }

    #[test]
    fn contents_of_the_same_length_and_time_are_others() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("secret");
        fs::write(&path, "old").expect("writable");
        let mut files = Files::default();
        files.note(&path);
        let time = fs::metadata(&path).and_then(|found| found.modified());
        // Later by the file system's clock, which ticks only every few milliseconds.
        while files == files.now() {
            fs::write(&path, "new").expect("writable");
            let file = fs::File::options().write(true).open(&path);
            let set =
                file.and_then(|file| file.set_modified(time.as_ref().copied().expect("a time")));
            set.expect("settable");
        }
        assert_eq!(files.now().differing(&files).len(), 1);
    }
}

//! The place on disk: the directory, its lock, the modes of its files.
//!
//! Invariant: one gateway a directory, on a local filesystem, readable by its owner alone.

use super::OpenError;
use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Of the directory, whoever made it.
const DIRECTORY_MODE: u32 = 0o700;

/// Of every file in it. SQLite gives its `-wal` and `-shm` the mode of the database.
const FILE_MODE: u32 = 0o600;

/// Filesystems whose locks or syncs cannot be relied on, by `f_type` of statfs(2).
const NETWORK: [(u32, &str); 10] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xfe53_4d42, "smb2"),
    (0xff53_4d42, "cifs"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x00c3_6400, "ceph"),
    (0x7375_7245, "coda"),
    (0x0bd0_0bd0, "lustre"),
    (0x0102_1997, "9p"),
];

/// A directory that is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Held for its lock (flock(2)), which ends with it, also when the process is killed.
    _lock: File,
}

impl Directory {
    /// Makes what is missing, and takes the lock.
    pub(super) fn claim(path: &Path) -> Result<Self, OpenError> {
        make_directory(path)?;
        refuse_network(path)?;
        let lock = lock(path)?;
        let directory = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        // Only now: a directory without our lock may be anybody's.
        close_directory(path)?;
        directory.make_database()?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("hookgate.db")
    }

    /// The write-ahead log.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("hookgate.db-wal")
    }

    /// Makes the names of its files durable. SQLite syncs the directory for each log that it makes, but does not look
    /// at how that ends.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        sync_directory(&self.path)
    }

    /// The refused requests that are kept.
    pub(super) fn rejects(&self) -> PathBuf {
        self.path.join("rejects.db")
    }

    fn make_database(&self) -> Result<(), OpenError> {
        self.make_file(&self.database())
    }

    /// Makes a file before SQLite opens it, for its mode. Never later: closing a second descriptor of
    /// the file would drop the locks of every other one (POSIX).
    pub(super) fn make_file(&self, path: &Path) -> Result<(), OpenError> {
        let made = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(FILE_MODE)
            .open(path);
        match made {
            Ok(file) => {
                file.sync_all()
                    .map_err(OpenError::io(path, "sync the new file"))?;
                sync_directory(&self.path)
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                std::fs::set_permissions(path, Permissions::from_mode(FILE_MODE))
                    .map_err(OpenError::io(path, "set the file's mode"))
            }
            Err(e) => Err(OpenError::io(path, "make the file")(e)),
        }
    }
}

/// Where an entry stands.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    }
}

/// Keeps every gateway off a store that is there, until it is dropped. Nothing else of it is touched.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = path.join("hookgate.lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(&lock_path)
        .map_err(OpenError::io(&lock_path, "open the lock file"))?;
    take(&lock, &lock_path)?;
    Ok(lock)
}

fn take(lock: &File, path: &Path) -> Result<(), OpenError> {
    lock.try_lock().map_err(|e| match e {
        TryLockError::WouldBlock => OpenError::Locked {
            path: path.display().to_string(),
        },
        TryLockError::Error(e) => OpenError::io(path, "lock")(e),
    })
}

/// Makes the directory and those above it that are missing; each new entry is synced in its parent, or a
/// crash could lose the whole store with it. One that is there may be what a start left that was cut off before
/// it could sync.
pub(super) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let parent = parent(path);
    if path.is_dir() {
        return match sync_directory(parent) {
            // Where we may not look we have not made it.
            Err(OpenError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Ok(())
            }
            synced => synced,
        };
    }
    make_directory(parent)?;
    DirBuilder::new()
        .mode(DIRECTORY_MODE)
        .create(path)
        .map_err(OpenError::io(path, "make the directory"))?;
    sync_directory(parent)
}

/// Shuts the directory for everybody else. One of another user (a mounted volume) stays as that user wants it.
fn close_directory(path: &Path) -> Result<(), OpenError> {
    match std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE)) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            tracing::warn!(path = %path.display(), "store's directory is another user's: its mode stays");
            Ok(())
        }
        result => result.map_err(OpenError::io(path, "set the directory's mode")),
    }
}

pub(super) fn sync_directory(path: &Path) -> Result<(), OpenError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(OpenError::io(path, "sync the directory"))
}

#[cfg(target_os = "linux")]
fn refuse_network(path: &Path) -> Result<(), OpenError> {
    let status = rustix::fs::statfs(path)
        .map_err(|e| OpenError::io(path, "ask for the filesystem")(e.into()))?;
    match network_filesystem(status.f_type) {
        None => Ok(()),
        Some(kind) => Err(OpenError::Network {
            path: path.display().to_string(),
            kind,
        }),
    }
}

/// Only Linux numbers its filesystems.
#[cfg(not(target_os = "linux"))]
fn refuse_network(_path: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// The number is 32 bits wide, in a field that may be wider and signed.
#[cfg(target_os = "linux")]
fn network_filesystem(f_type: impl Into<i128>) -> Option<&'static str> {
    let number = f_type.into() & i128::from(u32::MAX);
    NETWORK
        .iter()
        .find(|(known, _)| i128::from(*known) == number)
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        let metadata = std::fs::metadata(path).expect("exists");
        metadata.permissions().mode() & 0o777
    }

    #[test]
    fn makes_what_is_missing_for_its_owner_alone() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("a/b");
        let directory = Directory::claim(&path).expect("claimed");
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&directory.database()), 0o600);
        assert_eq!(mode(&path.join("hookgate.lock")), 0o600);
    }

    #[test]
    fn tightens_the_mode_of_a_database_that_is_there() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("hookgate.db");
        std::fs::write(&path, b"").expect("written");
        let loose =
            |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        loose(&path, 0o644).expect("set");
        loose(temporary.path(), 0o755).expect("set");
        Directory::claim(temporary.path()).expect("claimed");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(temporary.path()), 0o700, "and of its directory");
    }

    #[test]
    fn is_claimed_by_one_at_a_time() {
        let temporary = tempfile::tempdir().expect("a directory");
        let first = Directory::claim(temporary.path()).expect("claimed");
        let second = Directory::claim(temporary.path()).expect_err("taken");
        assert!(
            second
                .to_string()
                .ends_with("hookgate.lock: in use by another hookgate"),
            "{second}"
        );
        drop(first);
        Directory::claim(temporary.path()).expect("free again");
    }

    #[test]
    fn knows_network_filesystems() {
        let cases = [
            (0x6969_i64, Some("nfs")),
            (0xff53_4d42, Some("cifs")),
            (-11_317_950, Some("cifs")),
            (0xfe53_4d42, Some("smb2")),
            (0x0102_1997, Some("9p")),
            (0xef53, None),
            (0x5846_5342, None),
        ];
        for (f_type, expected) in cases {
            assert_eq!(network_filesystem(f_type), expected, "{f_type:#x}");
        }
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_an_error() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("file");
        std::fs::write(&path, b"").expect("written");
        let error = Directory::claim(&path).expect_err("no directory");
        assert!(error.to_string().contains("make the directory"), "{error}");
    }
}

//! The secret that a vendor has chosen and brings in a handshake: the first one is written to the source's file, whole
//! or not at all, and is in use before the vendor gets its answer. No other one is believed after it.

use super::Receive;
use super::rejection::Rejection;
use super::source::Source;
use crate::event::EventId;
use crate::store::NotStored;
use crate::verify::Refused;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Handshakes that wait for their secret to be used; one more waits for its place.
const WAITING_MAX: usize = 16;

/// A handshake that waits for its secret to be used: it wants to be told in which sources that is so.
pub type Waiting = oneshot::Sender<Arc<Receive>>;

/// The bell between handshakes and what reads the files of secrets anew.
#[derive(Debug)]
pub struct Learned {
    ring: mpsc::Sender<Waiting>,
    rung: Mutex<mpsc::Receiver<Waiting>>,
}

impl Default for Learned {
    fn default() -> Self {
        let (ring, rung) = mpsc::channel(WAITING_MAX);
        let rung = Mutex::new(rung);
        Self { ring, rung }
    }
}

impl Learned {
    /// Waits until a handshake has written a secret. It wants to be told when the secret is in use; dropped, what is
    /// returned says that it will not be.
    pub async fn rung(&self) -> Waiting {
        match self.rung.lock().await.recv().await {
            Some(waiting) => waiting,
            // The other end is ours.
            None => std::future::pending().await,
        }
    }

    /// What is present once the files were read anew since this was called; `None` if their secrets are not used.
    async fn ring(&self) -> Option<Arc<Receive>> {
        let (used, is_used) = oneshot::channel();
        self.ring.send(used).await.ok()?;
        is_used.await.ok()
    }
}

/// Keeps the secret that a vendor brings, and uses it.
pub(super) async fn learn(
    receive: &Receive,
    source: &Source,
    file: PathBuf,
    secret: Zeroizing<Vec<u8>>,
) -> Result<(), Rejection> {
    let name = file.display().to_string();
    let writing = {
        let secret = secret.clone();
        tokio::task::spawn_blocking(move || write_once(&file, &secret))
    };
    match writing.await.map_err(io::Error::other).flatten() {
        Ok(Written::New) => {
            tracing::info!(source = %source.config.name, file = name, "secret learned from a handshake");
        }
        Ok(Written::Before) => {}
        Ok(Written::Another) => {
            if let Some(suppressed) = source.handshakes().another.pass() {
                tracing::warn!(
                    source = %source.config.name,
                    file = name,
                    suppressed,
                    "a handshake brought another secret than the one that is known; remove the file to take a new one"
                );
            }
            return Err(Refused::Bad.into());
        }
        Err(error) => {
            if let Some(suppressed) = source.handshakes().unwritten.pass() {
                tracing::error!(
                    source = %source.config.name,
                    file = name,
                    suppressed,
                    %error,
                    "cannot write the secret of a handshake"
                );
            }
            return Err(NotStored::Unavailable.into());
        }
    }
    if source.proof().handshakes.knows(&secret) {
        return Ok(());
    }
    // Whoever gets a 2xx may send its first event at once.
    let rung = timeout(source.config.ack_deadline, receive.learned.ring()).await;
    let present = rung.ok().flatten();
    let present = present
        .as_ref()
        .and_then(|present| present.sources.get(&source.config.path));
    if present.is_some_and(|source| source.proof().handshakes.knows(&secret)) {
        return Ok(());
    }
    tracing::error!(source = %source.config.name, file = name, "the secret of a handshake is written, but not in use");
    Err(NotStored::Unavailable.into())
}

/// What became of a secret that was brought.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    /// It is the first.
    New,
    /// It was known.
    Before,
    /// Another one is known.
    Another,
}

/// Writes a file that is not there, for its owner alone; whole before it has its name, so that nobody reads a part.
fn write_once(file: &Path, secret: &[u8]) -> io::Result<Written> {
    if file.try_exists()? {
        return same(file, secret);
    }
    let whole = Whole::write(file, secret)?;
    // Fails if another handshake was first.
    match std::fs::hard_link(&whole.0, file) {
        Ok(()) => {
            drop(whole);
            let parent = file
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(Written::New)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => same(file, secret),
        Err(error) => Err(error),
    }
}

/// A file beside the one that is to be, which goes when it is dropped. Each has a name of its own: two handshakes that
/// shared one would write into each other's secret.
struct Whole(PathBuf);

impl Whole {
    fn write(file: &Path, secret: &[u8]) -> io::Result<Self> {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{}.new", EventId::random(0)));
        let path = PathBuf::from(name);
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let whole = Self(path);
        new.write_all(secret)?;
        new.write_all(b"\n")?;
        new.sync_all()?;
        Ok(whole)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "cannot remove a file that holds a secret");
        }
    }
}

fn same(file: &Path, secret: &[u8]) -> io::Result<Written> {
    use subtle::ConstantTimeEq as _;

    let mut known = Zeroizing::new(Vec::new());
    // Two bytes more than it may hold are enough to tell that it is another.
    let most = secret.len() as u64 + 2;
    File::open(file)?.take(most).read_to_end(&mut known)?;
    let known = known.strip_suffix(b"\n").unwrap_or(&known);
    Ok(if known.ct_eq(secret).into() {
        Written::Before
    } else {
        Written::Another
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Barrier;

    fn files(dir: &Path) -> usize {
        std::fs::read_dir(dir).expect("a directory").count()
    }

    #[test]
    fn the_first_secret_is_kept_and_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("secret");
        assert_eq!(write_once(&file, b"first").expect("writable"), Written::New);
        assert_eq!(std::fs::read(&file).expect("written"), b"first\n");
        let mode = std::fs::metadata(&file)
            .expect("written")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            write_once(&file, b"first").expect("readable"),
            Written::Before
        );
        for other in [&b"second"[..], b"firs", b"first1", b""] {
            assert_eq!(
                write_once(&file, other).expect("readable"),
                Written::Another
            );
        }
        assert_eq!(std::fs::read(&file).expect("written"), b"first\n");
        assert_eq!(files(dir.path()), 1);
        assert!(write_once(&dir.path().join("no/such/place"), b"x").is_err());
    }

    /// Whoever is told that its secret is the one finds it in the file, and nobody else is told so.
    #[test]
    fn of_many_at_once_one_is_kept_whole() {
        const MANY: usize = 32;

        for _ in 0..20 {
            let dir = tempfile::tempdir().expect("a directory");
            let file = dir.path().join("secret");
            let secrets: Vec<String> = (0..MANY).map(|n| format!("{n}-").repeat(n + 1)).collect();
            let start = Barrier::new(MANY);
            let written: Vec<Written> = std::thread::scope(|scope| {
                let write = |secret: &String| {
                    let secret = secret.clone();
                    let (start, file) = (&start, &file);
                    scope.spawn(move || {
                        start.wait();
                        write_once(file, secret.as_bytes()).expect("writable")
                    })
                };
                let running: Vec<_> = secrets.iter().map(write).collect();
                let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
                ended.map(|ended| ended.expect("no panic")).collect()
            });
            let new: Vec<usize> = (0..MANY).filter(|n| written[*n] == Written::New).collect();
            assert_eq!(new.len(), 1, "{written:?}");
            let known = std::fs::read_to_string(&file).expect("written");
            assert_eq!(known, format!("{}\n", secrets[new[0]]));
            assert!(!written.contains(&Written::Before), "{written:?}");
            assert_eq!(files(dir.path()), 1, "nothing is left beside it");
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let elsewhere = dir.path().join("elsewhere");
        let file = dir.path().join("secret");
        symlink(&elsewhere, &file).expect("a link");
        assert!(write_once(&file, b"first").is_err());
        assert!(!elsewhere.exists());
        assert_eq!(files(dir.path()), 1, "the link alone");
    }
}

//! From places to listeners: binds addresses and Unix sockets, and takes over what the service manager has bound.
//!
//! A Unix socket's file is there for as long as its [`Listening`]; nobody can connect before its mode is set. What the
//! service manager has bound stays its own: it goes on listening while no process of ours does, so that a restart refuses
//! nobody.

use super::server::Peer;
use super::socket::Socket;
use crate::config::{Listener, Place};
use crate::network::Networks;
use listenfd::ListenFd;
use rustix::fs::Mode;
use rustix::net::sockopt::socket_acceptconn;
use rustix::process::umask;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Permissions that a new socket lacks until it has its own mode: all but the owner's.
const PRIVATE: u32 = 0o177;

/// Why a place cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system says so.
    #[error("cannot listen on {place}")]
    System {
        /// As configured.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Something else is there, or nothing of what is needed.
    #[error("cannot listen on {place}: {why}")]
    Place {
        /// As configured.
        place: String,
        /// What an operator can act on.
        why: String,
    },
}

/// What is spoken on a listener beneath HTTP.
#[derive(Debug, Default)]
pub struct Terms {
    /// Who may connect, and begins with a PROXY protocol header; anybody, without one, where it is `None`.
    pub proxy_protocol: Option<Networks>,
}

/// A listener that is bound.
#[derive(Debug)]
pub struct Listening {
    acceptor: Acceptor,
    terms: Arc<Terms>,
}

#[derive(Debug)]
enum Acceptor {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        place: String,
        /// Removed with it, if we have made it.
        _file: Option<SocketFile>,
    },
}

impl Listening {
    /// Binds an address, on which nothing but HTTP is spoken.
    pub async fn tcp(address: SocketAddr) -> Result<Self, BindError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| system(&address, source))?;
        Ok(listener.into())
    }

    /// The address, if it has one, with the port that was given for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.acceptor {
            Acceptor::Tcp(listener) => listener.local_addr().ok(),
            Acceptor::Unix { .. } => None,
        }
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match &self.acceptor {
            Acceptor::Tcp(_) => self
                .address()
                .map_or_else(|| "unknown".to_owned(), |address| address.to_string()),
            Acceptor::Unix { place, .. } => place.clone(),
        }
    }

    /// What is spoken on its connections.
    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The next connection.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        Poll::Ready(match &self.acceptor {
            Acceptor::Tcp(listener) => ready!(listener.poll_accept(cx)).map(|(stream, address)| {
                let addr = Some(address);
                (Socket::Tcp(stream), Peer { addr })
            }),
            Acceptor::Unix { listener, .. } => ready!(listener.poll_accept(cx))
                .map(|(stream, _)| (Socket::Unix(stream), Peer { addr: None })),
        })
    }
}

/// One on which nothing but HTTP is spoken.
impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Self {
        Self {
            acceptor: Acceptor::Tcp(listener),
            terms: Arc::default(),
        }
    }
}

/// Listens on every place, or on none.
pub async fn bind(
    listeners: &[Listener],
    handed: &mut Handed,
) -> Result<Vec<Listening>, BindError> {
    let named: Vec<&str> = listeners
        .iter()
        .filter_map(|listener| match &listener.place {
            Place::Systemd(name) => name.as_deref(),
            _ => None,
        })
        .collect();
    let mut bound = Vec::new();
    for listener in listeners {
        let acceptors = match &listener.place {
            Place::Tcp(address) => vec![Listening::tcp(*address).await?.acceptor],
            Place::Unix { path, mode } => vec![unix(&listener.place, path, *mode).await?],
            Place::Systemd(Some(name)) => handed.take(&listener.place, |of| of == name)?,
            Place::Systemd(None) => handed.take(&listener.place, |of| !named.contains(&of))?,
        };
        let terms = Arc::new(Terms {
            proxy_protocol: listener.proxy_protocol.clone(),
        });
        bound.extend(acceptors.into_iter().map(|acceptor| Listening {
            acceptor,
            terms: Arc::clone(&terms),
        }));
    }
    Ok(bound)
}

fn system(place: &impl ToString, source: io::Error) -> BindError {
    BindError::System {
        place: place.to_string(),
        source,
    }
}

fn place(place: &Place, why: impl Into<String>) -> BindError {
    BindError::Place {
        place: place.to_string(),
        why: why.into(),
    }
}

/// The file of a socket of ours, removed at the end unless another one has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same =
            fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.id);
        if same && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket's file");
        }
    }
}

/// Makes a Unix socket, in the place of one whose process is gone.
async fn unix(at: &Place, path: &Path, mode: u32) -> Result<Acceptor, BindError> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => remove_stale(at, path).await?,
        Ok(_) => {
            return Err(place(
                at,
                "the path is taken by what is no socket; remove it, or name another path",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
                let why = format!("there is no directory {}; make it first", parent.display());
                return Err(place(at, why));
            }
        }
        Err(error) => return Err(system(at, error)),
    }
    // The mask is the whole process's: for this moment a file that another thread makes is private as well.
    let mask = umask(Mode::from_raw_mode(PRIVATE));
    let listener = UnixListener::bind(path);
    umask(mask);
    let listener = listener.map_err(|source| system(at, source))?;
    let file = fs::symlink_metadata(path).map_err(|source| system(at, source))?;
    let file = SocketFile {
        path: path.to_owned(),
        id: (file.dev(), file.ino()),
    };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|source| system(at, source))?;
    Ok(Acceptor::Unix {
        listener,
        place: at.to_string(),
        _file: Some(file),
    })
}

/// Removes the file of a socket on which nobody listens any more.
async fn remove_stale(at: &Place, path: &Path) -> Result<(), BindError> {
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "removing a socket whose process is gone");
            fs::remove_file(path).map_err(|source| system(at, source))
        }
        // Its queue is full: somebody listens.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(system(at, error)),
        Ok(_) | Err(_) => Err(place(at, "another process listens there")),
    }
}

/// The sockets that the service manager has handed over (`sd_listen_fds(3)`).
pub struct Handed {
    sockets: ListenFd,
    /// Those not taken yet, by their places in `sockets`.
    left: Vec<(usize, String)>,
}

impl Handed {
    /// Those of this process. To be asked once.
    pub fn of_process() -> Self {
        let sockets = ListenFd::from_env();
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let left = names_of(&names, sockets.len());
        Self {
            sockets,
            left: left.into_iter().enumerate().collect(),
        }
    }

    /// The names of what nobody has taken.
    pub fn left(&self) -> Vec<&str> {
        self.left.iter().map(|(_, name)| &**name).collect()
    }

    /// Those whose names are `wanted`: at least one.
    fn take(
        &mut self,
        at: &Place,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Acceptor>, BindError> {
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.left)
            .into_iter()
            .partition(|(_, name)| wanted(name));
        self.left = left;
        if taken.is_empty() {
            return Err(place(at, self.missing()));
        }
        taken
            .into_iter()
            .map(|(index, name)| self.acceptor(at, index, &name))
            .collect()
    }

    fn missing(&self) -> String {
        match self.left().join(", ") {
            none if none.is_empty() => {
                "the service manager has handed over no socket (LISTEN_FDS); start hookgate by its .socket unit"
                    .to_owned()
            }
            names => format!("the service manager has handed over no such socket; there is: {names}"),
        }
    }

    fn acceptor(&mut self, at: &Place, index: usize, name: &str) -> Result<Acceptor, BindError> {
        let fail = |error: io::Error| system(at, error);
        let gone = || place(at, "a socket was handed over twice");
        let unusable = || {
            let why = format!(
                "the socket {name:?} is no listening stream socket of TCP or Unix (Accept= must be no)"
            );
            place(at, why)
        };
        if let Ok(socket) = self.sockets.take_tcp_listener(index) {
            let socket = socket.ok_or_else(gone)?;
            if !listens(&socket) {
                return Err(unusable());
            }
            socket.set_nonblocking(true).map_err(fail)?;
            return TcpListener::from_std(socket)
                .map(Acceptor::Tcp)
                .map_err(fail);
        }
        let socket = self.sockets.take_unix_listener(index);
        let Ok(Some(socket)) = socket else {
            return Err(unusable());
        };
        if !listens(&socket) {
            return Err(unusable());
        }
        socket.set_nonblocking(true).map_err(fail)?;
        let address = socket.local_addr().map_err(fail)?;
        let path = address.as_pathname();
        Ok(Acceptor::Unix {
            place: path.map_or_else(
                || format!("systemd:{name}"),
                |path| format!("unix:{}", path.display()),
            ),
            listener: UnixListener::from_std(socket).map_err(fail)?,
            _file: None,
        })
    }
}

fn listens(socket: impl AsFd) -> bool {
    socket_acceptconn(socket).unwrap_or(false)
}

/// The names of so many sockets. Where none are given, all are called as `sd_listen_fds_with_names(3)` calls them.
fn names_of(names: &str, count: usize) -> Vec<String> {
    let given: Vec<String> = names.split(':').map(str::to_owned).collect();
    if !names.is_empty() && given.len() == count {
        given
    } else {
        vec!["unknown".to_owned(); count]
    }
}

//! Where senders connect, and what is spoken there.

use crate::network::Networks;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One place where senders connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub place: Place,
    /// Each connection begins with a PROXY protocol header, and only these may connect; none is expected where this is
    /// `None`.
    pub proxy_protocol: Option<Networks>,
}

/// Something that connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system, made at start and removed at the end.
    Unix {
        /// The file; relative to the directory that hookgate is started in.
        path: PathBuf,
        /// Its permissions: who may write may connect.
        mode: u32,
    },
    /// Sockets that the service manager has handed over (`sd_listen_fds(3)`): those of this name, or all that no other
    /// listener names.
    Systemd(Option<String>),
}

impl Listener {
    /// A plain one.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            proxy_protocol: None,
        }
    }

    /// Where this machine's own senders can speak plain HTTP; an address may be that of every interface, a port 0.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Tcp(address) if self.proxy_protocol.is_none() => Some(address),
            _ => None,
        }
    }
}

/// As it is written in a file.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

/// The place, and what is particular about it.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        if let Place::Unix { mode, .. } = self.place {
            write!(f, ", mode {mode:04o}")?;
        }
        if let Some(peers) = &self.proxy_protocol {
            write!(f, ", PROXY protocol from {peers}")?;
        }
        Ok(())
    }
}

//! What every test stands on: a gateway in a process of its own, a scripted app, a sender that signs.

pub(crate) mod app;
pub(crate) mod certificates;
pub(crate) mod device;
pub(crate) mod gate;
pub(crate) mod h2;
pub(crate) mod hole;
pub(crate) mod mount;
pub(crate) mod operators;
pub(crate) mod oracle;
pub(crate) mod process;
pub(crate) mod sender;
pub(crate) mod strace;
pub(crate) mod tools;
pub(crate) mod torture;

pub(crate) use app::{App, Behaviour};
pub(crate) use gate::Gate;
pub(crate) use hole::Hole;
pub(crate) use sender::{Reply, Request, hmac_sha256_hex};

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The longest that a test waits for anything that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A host of this machine that each call has for itself: on the one that all others use, whoever binds or connects next may
/// get a port that is free for a moment.
pub(crate) fn own_host() -> Ipv4Addr {
    static CALLS: AtomicU16 = AtomicU16::new(1);
    let [high, low] = CALLS.fetch_add(1, Relaxed).to_be_bytes();
    let [.., process] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + process % 64, high, low)
}

/// An address that nobody listens on, to be named in a file.
pub(crate) fn free_address() -> SocketAddr {
    let free = TcpListener::bind((own_host(), 0)).expect("a port");
    free.local_addr().expect("an address")
}

/// Waits until `probe` yields something, and fails the test with `what` when that does not happen in time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "did not happen within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || condition().then_some(()));
}

//! From a name to a TCP connection. The system's resolver is asked for every new connection and nothing is remembered
//! here: whatever caches in between (a name server, systemd-resolved, nscd) honours the record's TTL, so a new address
//! is found as soon as a connection is made after it. A second cache could only be wrong for longer.

use parking_lot::Mutex;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// Lookups of one name at one time. The system's resolver cannot be interrupted: one that hangs holds a thread, also
/// after nobody waits for it any more, and must not hold one more for each attempt.
const LOOKUPS_MAX: usize = 4;

/// Addresses of a name that are tried, far more than are of use within one time limit.
const ADDRESSES_MAX: usize = 16;

/// How long an address is tried alone before the next is tried beside it (RFC 8305 5, "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);

/// What looks a name up; it may block.
pub(super) trait Ask:
    Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static
{
}

impl<F: Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static> Ask for F {}

/// Addresses, and when they were found.
type Found = (Instant, Vec<SocketAddr>);

/// A host and a port.
pub(super) struct Name {
    host: Arc<str>,
    port: u16,
    ask: Arc<dyn Ask>,
    lookups: Arc<Semaphore>,
    /// What was found last.
    found: Arc<Mutex<Option<Found>>>,
}

impl Name {
    /// `host` without the brackets of an IPv6 address.
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            ask: Arc::new(ask_the_system),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            found: Arc::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn asking(self, ask: impl Ask) -> Self {
        Self {
            ask: Arc::new(ask),
            ..self
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Its addresses, in the order in which they are to be tried; at least one.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![(ip, self.port).into()]);
        }
        let begun = Instant::now();
        let lookups = Arc::clone(&self.lookups).acquire_owned().await;
        let permit = lookups.expect("the semaphore is never closed");
        // Many ask at once after a pause: what was found while this one waited for its turn is as good as its own.
        if let Some((at, addresses)) = &*self.found.lock()
            && *at > begun
        {
            return Ok(addresses.clone());
        }
        let (ask, found) = (Arc::clone(&self.ask), Arc::clone(&self.found));
        let (host, port) = (Arc::clone(&self.host), self.port);
        let asked = tokio::task::spawn_blocking(move || {
            let mut addresses = ask(&host, port)?;
            addresses.truncate(ADDRESSES_MAX);
            if addresses.is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            *found.lock() = Some((Instant::now(), addresses.clone()));
            // Only now: who takes its place looks at what was found.
            drop(permit);
            Ok(addresses)
        });
        asked.await?
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Name({}:{})", self.host, self.port)
    }
}

fn ask_the_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// A connection to whichever address takes it first. They are begun in their order, the next as soon as one has
/// failed or after a while, so that one that answers nothing does not use up the time of all, which is `within`.
pub(super) async fn first(addresses: &[SocketAddr], within: Duration) -> io::Result<TcpStream> {
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let stagger = STAGGER.min(within / count);
    let mut waiting = addresses.iter();
    let mut running = Vec::with_capacity(addresses.len());
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(address) = waiting.next() {
            running.push(Box::pin(connect_to(*address)));
        }
        if running.is_empty() {
            return Err(last);
        }
        tokio::select! {
            biased;
            ended = any(&mut running) => match ended {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(stagger), if waiting.len() > 0 => {}
        }
    }
}

/// Waits for the end of any of them, and takes it out.
async fn any<F: Future>(running: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|cx| {
        for index in 0..running.len() {
            if let Poll::Ready(ended) = running[index].as_mut().poll(cx) {
                drop(running.swap_remove(index));
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A request is written at once: waiting for more to come would only delay it.
    stream.set_nodelay(true)?;
    Ok(stream)
}

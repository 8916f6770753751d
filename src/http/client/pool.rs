//! Connections that wait to be used again: few, young, the youngest first.

use super::link::Link;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Idle connections of one client: more than a target's usual concurrency; what comes above is closed.
const IDLE_MAX: usize = 256;

/// The idle connections of one client.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
    reuse_within: Duration,
    max_age: Duration,
}

#[derive(Debug, Default)]
struct Idle {
    /// In the order of the times at which they were put.
    links: Vec<(Instant, Box<Link>)>,
    /// A task is there that closes those that have become too old.
    swept: bool,
}

impl Pool {
    /// A pool whose connections may be taken out again for `reuse_within`, until they are `max_age` old.
    pub(super) fn new(reuse_within: Duration, max_age: Duration) -> Self {
        Self {
            idle: Mutex::default(),
            reuse_within,
            max_age,
        }
    }

    /// The connection that was used last, of those that are not too old and, as far as can be told, still open.
    pub(super) async fn take(&self) -> Option<Box<Link>> {
        let now = Instant::now();
        loop {
            let mut link = self.pop(now)?;
            if link.age(now) >= self.max_age {
                continue;
            }
            let alive = poll_fn(|cx| Poll::Ready(link.poll_alive(cx))).await;
            if alive {
                return Some(link);
            }
        }
    }

    fn pop(&self, now: Instant) -> Option<Box<Link>> {
        let (since, link) = self.idle.lock().links.pop()?;
        // The others are older still; the sweep closes them.
        (now.duration_since(since) <= self.reuse_within).then_some(link)
    }

    /// Keeps `link` for later.
    pub(super) fn put(self: &Arc<Self>, link: Box<Link>) {
        let now = Instant::now();
        if link.age(now) >= self.max_age {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.links.len() == IDLE_MAX {
            return;
        }
        idle.links.push((now, link));
        if !idle.swept {
            idle.swept = true;
            // Ends by itself when the pool is empty or gone. There is nothing to wait for at the end.
            tokio::spawn(sweep(Arc::downgrade(self), self.reuse_within));
        }
    }

    /// Takes out what is too old; none once there is nothing left to come back for.
    fn expired(&self) -> Option<Vec<(Instant, Box<Link>)>> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        let old = idle
            .links
            .partition_point(|(since, _)| now.duration_since(*since) >= self.reuse_within);
        let expired: Vec<_> = idle.links.drain(..old).collect();
        idle.swept = !(expired.is_empty() && idle.links.is_empty());
        idle.swept.then_some(expired)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle.lock().links.len()
    }
}

/// Without it the last connections of a burst would stay half open, closed by the app and not by us, until the
/// next call.
async fn sweep(pool: Weak<Pool>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(expired) = pool.upgrade().and_then(|pool| pool.expired()) else {
            return;
        };
        // Closing is a system call each: not under the lock.
        drop(expired);
    }
}

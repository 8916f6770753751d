//! How many connections each client has, where that is bounded: one alone is not to take all that there may be.
//!
//! Nobody is remembered who has none, so the table is no larger than the number of connections.

use crate::network::{Client, Networks};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The bound, and who is open.
#[derive(Debug)]
pub(super) struct Crowd {
    most: usize,
    /// Proxies have the connections of all their clients.
    exempt: Networks,
    open: Mutex<HashMap<Client, usize>>,
}

/// One connection among those of its client, for as long as it lives.
#[derive(Debug)]
pub(super) struct Member {
    crowd: Arc<Crowd>,
    client: Client,
}

impl Crowd {
    /// `most` of each client, a network of IPv6 as one, but of those in `exempt`.
    pub(super) fn new(most: usize, exempt: Networks) -> Arc<Self> {
        Arc::new(Self {
            most,
            exempt,
            open: Mutex::default(),
        })
    }

    /// Counts a connection; `Err` if its client has as many as it may. `Ok(None)` is not counted.
    pub(super) fn enter(self: &Arc<Self>, client: Client) -> Result<Option<Member>, Crowded> {
        if self.exempt.contains(client) {
            return Ok(None);
        }
        let client = client.neighbourhood();
        let mut open = self.open.lock();
        let count = open.entry(client).or_default();
        if *count >= self.most {
            return Err(Crowded);
        }
        *count += 1;
        drop(open);
        let crowd = Arc::clone(self);
        Ok(Some(Member { crowd, client }))
    }
}

/// A client has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

impl Drop for Member {
    fn drop(&mut self) {
        let mut open = self.crowd.open.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        text.parse().expect("a client")
    }

    #[test]
    fn each_client_has_its_share_and_leaves_nothing_behind() {
        let crowd = Crowd::new(2, "10.0.0.0/8".parse().expect("a network"));
        let enter = |text| crowd.enter(client(text));
        let held = [enter("2001:db8::1"), enter("2001:db8::2")];
        assert!(held.iter().all(Result::is_ok));
        assert!(enter("2001:db8::3").is_err(), "one network of IPv6");
        assert!(enter("2001:db8:0:1::1").is_ok());
        for _ in 0..10 {
            assert!(enter("10.0.0.1").expect("exempt").is_none());
        }
        drop(held);
        assert!(crowd.open.lock().is_empty());
        assert!(enter("2001:db8::3").is_ok());
    }
}

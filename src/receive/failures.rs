//! Clients whose requests were read and refused more often than `limits.failures_per_client`: until their bucket has a
//! token again, no body of theirs is read.
//!
//! Only clients with an address in the internet are counted: any other may be a proxy that is not in `trusted_proxies`, and
//! everybody's requests its own. A forger would have a limit of ours refuse the orders of all.
//!
//! It is kept for each client and source, so that the wrong secret of one source does not hold up the others that a
//! vendor's address sends to. What is proven takes no token, and what is refused by its head alone costs nothing and takes
//! none either. The table has a fixed size: whoever does not fit takes the place of the one that is nearest to full, who
//! begins anew. So a crowd of addresses forgets failures sooner, and never makes any of another's.

use crate::event::SourceId;
use crate::network::Client;
use crate::rate::{Pace, Rate};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Places that one client may have.
const WAYS: usize = 8;

/// Who has failed, and how often of late.
#[derive(Debug)]
pub struct Failures(Option<Table>);

#[derive(Debug)]
struct Table {
    pace: Pace,
    /// Keyed, so that nobody can choose addresses that take each other's places.
    hasher: RandomState,
    began: Instant,
    /// No bucket is empty from then on, milliseconds since `began`: nearly always in the past, so that nobody else is
    /// looked up.
    empty_until_ms: AtomicU64,
    places: Mutex<Box<[Place]>>,
}

/// One bucket, 24 bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    key: u64,
    full_at: Option<Instant>,
}

impl Failures {
    /// Lets each client fail at this rate, and knows `clients` of them, rounded up to a multiple of eight.
    pub fn new(rate: Option<Rate>, clients: usize) -> Self {
        Self(rate.map(|rate| Table {
            pace: Pace::new(rate),
            hasher: RandomState::new(),
            began: Instant::now(),
            empty_until_ms: AtomicU64::new(0),
            places: Mutex::new(vec![Place::default(); clients.div_ceil(WAYS) * WAYS].into()),
        }))
    }

    /// How long no body of this client is read; `None` if it may send.
    pub(super) fn wait(&self, source: SourceId, client: Client) -> Option<Duration> {
        let table = self.0.as_ref()?;
        let empty_until_ms = table.empty_until_ms.load(Ordering::Relaxed);
        if empty_until_ms == 0 {
            return None;
        }
        let now = Instant::now();
        if table.ms(now) > empty_until_ms {
            return None;
        }
        let key = table.key(source, client);
        let places = table.places.lock();
        let place = places[set(key, places.len())]
            .iter()
            .find(|place| place.key == key)?;
        table.pace.wait(place.full_at, now)
    }

    /// Counts a request of this client that was read in vain, if the client is one alone.
    pub(super) fn failed(&self, source: SourceId, client: Client) {
        let Some(table) = self.0.as_ref().filter(|_| client.is_public()) else {
            return;
        };
        let now = Instant::now();
        let key = table.key(source, client);
        let mut places = table.places.lock();
        let set = set(key, places.len());
        let places = &mut places[set];
        let known = places.iter().position(|place| place.key == key);
        let nearest_to_full = || (0..WAYS).min_by_key(|at| places[*at].full_at);
        let Some(at) = known.or_else(nearest_to_full) else {
            return;
        };
        let place = &mut places[at];
        if known.is_none() {
            *place = Place { key, full_at: None };
        }
        let full_at = table.pace.taken_at_most_all(place.full_at, now);
        place.full_at = Some(full_at);
        if let Some(wait) = table.pace.wait(Some(full_at), now) {
            let until_ms = table.ms(now + wait) + 1;
            table.empty_until_ms.fetch_max(until_ms, Ordering::Relaxed);
        }
    }
}

impl Table {
    fn key(&self, source: SourceId, client: Client) -> u64 {
        self.hasher.hash_one((source, client.neighbourhood()))
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Where a key may be.
fn set(key: u64, places: usize) -> Range<usize> {
    let sets = (places / WAYS) as u64;
    let first = usize::try_from(key % sets).unwrap_or(0) * WAYS;
    first..first + WAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const ERP: SourceId = SourceId(1);
    const CRM: SourceId = SourceId(2);

    fn failures(count: u32, clients: usize) -> Failures {
        let per = Duration::from_secs(1);
        Failures::new(Some(Rate { count, per }), clients)
    }

    fn client(text: &str) -> Client {
        text.parse().expect("a client")
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_too_often_waits_and_nobody_else_does() {
        let failures = failures(10, 64);
        let bad = client("192.0.2.1");
        for _ in 0..10 {
            assert_eq!(failures.wait(ERP, bad), None);
            failures.failed(ERP, bad);
        }
        let wait = failures.wait(ERP, bad).expect("its bucket is empty");
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(failures.wait(ERP, client("192.0.2.2")), None);
        assert_eq!(failures.wait(CRM, bad), None, "each source by itself");
        // What was on its way when the bucket became empty makes it no emptier.
        for _ in 0..1_000 {
            failures.failed(ERP, bad);
        }
        assert_eq!(failures.wait(ERP, bad), Some(wait));
        tokio::time::advance(wait).await;
        assert_eq!(failures.wait(ERP, bad), None);
        assert_eq!(
            failures.wait(ERP, bad),
            None,
            "what is proven takes nothing"
        );
        failures.failed(ERP, bad);
        assert!(failures.wait(ERP, bad).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_and_a_mapped_address_are_no_way_out() {
        let failures = failures(1, 64);
        for (fails, waits) in [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            failures.failed(ERP, client(fails));
            assert!(failures.wait(ERP, client(waits)).is_some(), "{fails}");
        }
        for everybody in ["unix", "10.1.2.3", "127.0.0.1"] {
            failures.failed(ERP, client(everybody));
            assert_eq!(failures.wait(ERP, client(everybody)), None, "{everybody}");
        }
        assert_eq!(failures.wait(ERP, client("2001:db8:0:2::1")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_takes_no_more_memory_and_locks_nobody_out() {
        let failures = failures(2, 60);
        let good = client("198.51.100.1");
        failures.failed(ERP, good);
        for n in 0..10_000u32 {
            let forger = Client::from(IpAddr::V4(Ipv4Addr::from(n)));
            for _ in 0..3 {
                failures.failed(ERP, forger);
            }
            assert!(failures.wait(ERP, forger).is_some());
            assert_eq!(failures.wait(ERP, good), None);
        }
        let table = failures.0.as_ref().expect("with a rate");
        assert_eq!(table.places.lock().len(), 64);
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let failures = Failures::new(None, 64);
        for _ in 0..1_000 {
            failures.failed(ERP, Client::Unix);
        }
        assert_eq!(failures.wait(ERP, Client::Unix), None);
    }
}

//! Who has had its share of a second. The table has a fixed size: more clients than it holds are not kept rather than
//! remembered.

use crate::network::Client;
use std::hash::{BuildHasher, RandomState};

/// Places of the table: with 24 bytes each, 96 KiB. Far fewer requests are written in a second.
const PLACES: usize = 4096;
/// Places that one client may have; it takes the one that was used least recently.
const WAYS: usize = 8;

/// Clients of the present second, among those of former ones.
#[derive(Debug)]
pub(super) struct Clients {
    most: u32,
    /// Keyed, so that nobody can choose addresses that take each other's places.
    hasher: RandomState,
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    client: u64,
    second: u64,
    kept: u32,
}

impl Clients {
    /// Lets pass `most` in a second of each.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            hasher: RandomState::new(),
            places: vec![Place::default(); PLACES].into(),
        }
    }

    /// Counts a request of this client in this second, which never goes back; whether it is one of the first ones.
    pub(super) fn may_keep(&mut self, client: Client, second: u64) -> bool {
        let client = self.hasher.hash_one(client.neighbourhood());
        // Second 0 is that of a place which nobody has had.
        let second = second + 1;
        let first = usize::try_from(client % (PLACES / WAYS) as u64).unwrap_or(0) * WAYS;
        let places = &mut self.places[first..first + WAYS];
        let known = places
            .iter()
            .position(|place| place.client == client && place.second > 0);
        let at = known.or_else(|| {
            let oldest = (0..WAYS).min_by_key(|at| places[*at].second)?;
            // All of them belong to others in this very second.
            (places[oldest].second < second).then_some(oldest)
        });
        let Some(at) = at else { return false };
        let place = &mut places[at];
        if place.client != client || place.second != second {
            *place = Place {
                client,
                second,
                kept: 0,
            };
        }
        let may = place.kept < self.most;
        place.kept += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(text: &str) -> Client {
        text.parse().expect("a client")
    }

    fn kept(clients: &mut Clients, client: &str, second: u64, times: usize) -> usize {
        let client = self::client(client);
        (0..times)
            .filter(|_| clients.may_keep(client, second))
            .count()
    }

    #[test]
    fn each_client_has_its_share_of_each_second() {
        let mut clients = Clients::new(3);
        for second in [0, 1, 2, 7] {
            assert_eq!(kept(&mut clients, "192.0.2.1", second, 10), 3, "{second}");
            assert_eq!(kept(&mut clients, "192.0.2.2", second, 2), 2, "{second}");
            assert_eq!(kept(&mut clients, "::ffff:192.0.2.1", second, 10), 0);
            assert_eq!(kept(&mut clients, "unix", second, 10), 3, "{second}");
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let mut clients = Clients::new(3);
        assert_eq!(kept(&mut clients, "2001:db8:0:1::1", 0, 2), 2);
        assert_eq!(kept(&mut clients, "2001:db8:0:1:ffff::2", 0, 10), 1);
        assert_eq!(kept(&mut clients, "2001:db8:0:2::1", 0, 10), 3);
    }

    /// However many there are, nobody gets more than its share, and they do not keep others out for longer than the
    /// second. The places of a set are all used when enough clients meet there: with 64 for each set of eight, fewer
    /// than eight come to one of the sets in one run of 10^16.
    #[test]
    fn more_clients_than_places_get_no_more_than_their_share() {
        let mut clients = Clients::new(2);
        let many = |clients: &mut Clients, second| {
            let mut kept = vec![0; 8 * PLACES];
            for _ in 0..4 {
                for (n, kept) in kept.iter_mut().enumerate() {
                    let address = u32::try_from(n).expect("small").to_be_bytes();
                    *kept += u32::from(clients.may_keep(IpAddr::from(address).into(), second));
                }
            }
            assert!(kept.iter().all(|kept| *kept <= 2), "{second}");
            kept.iter().sum::<u32>()
        };
        let places = u32::try_from(PLACES).expect("small");
        for second in [0, 1] {
            assert_eq!(
                many(&mut clients, second),
                2 * places,
                "every place is used"
            );
        }
        assert_eq!(kept(&mut clients, "192.0.2.1", 2, 5), 2);
    }
}

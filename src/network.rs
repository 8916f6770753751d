//! Who is connected, as far as an address says it, and the networks that an operator lists. An IPv4 address that came
//! over an IPv6 socket (`::ffff:192.0.2.1`) is that IPv4 address everywhere.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// What stands for a client without an address, in lists, headers and files.
const UNIX: &str = "unix";
/// Bits of an IPv6 address, and so of every address as it is compared here.
const BITS: u8 = 128;
/// Bits before an IPv4 address in its mapped form (RFC 4291 2.5.5.2).
const BITS_BEFORE_IPV4: u8 = 96;

/// One client: everything that comes from it counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// By its address, never in mapped form.
    Address(IpAddr),
    /// By way of a Unix socket, on which nobody has an address: all of them are one client.
    Unix,
}

impl Client {
    /// What counts together with it where what clients do is counted: its address, or its network of IPv6, of which one
    /// customer has all (RFC 6177).
    #[must_use]
    pub fn neighbourhood(self) -> Self {
        match self {
            Self::Address(IpAddr::V6(address)) => {
                let network = u128::from(address) >> 64 << 64;
                Self::Address(IpAddr::V6(network.into()))
            }
            client => client,
        }
    }

    /// Whether it has an address of its own in the internet. One that has none may stand for everybody: a proxy or a load
    /// balancer that is not listed, a cluster's NAT.
    pub fn is_public(self) -> bool {
        match self {
            Self::Address(IpAddr::V4(address)) => {
                // RFC 6598: carriers' own networks, and some clouds'.
                let is_shared = u32::from(address) >> 22 == 0b01_1001_0001;
                !(address.is_private()
                    || address.is_loopback()
                    || address.is_link_local()
                    || is_shared)
            }
            Self::Address(IpAddr::V6(address)) => {
                !(address.is_unique_local()
                    || address.is_loopback()
                    || address.is_unicast_link_local())
            }
            Self::Unix => false,
        }
    }

    /// The address, if it has one.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Unix => None,
        }
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix => f.write_str(UNIX),
        }
    }
}

impl FromStr for Client {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            UNIX => Ok(Self::Unix),
            address => address.parse::<IpAddr>().map(Self::from),
        }
    }
}

/// A network in CIDR notation (RFC 4632), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address; mapped if it is of IPv4.
    first: u128,
    /// Bits that its addresses have in common, those before a mapped address among them.
    prefix: u8,
}

impl Network {
    /// Whether the address is in it. `::/0` holds no address of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = bits(address);
        let is_ipv4 = prefixed(address, BITS_BEFORE_IPV4) == bits_before_ipv4();
        prefixed(address, self.prefix) == self.first && (self.is_ipv4() || !is_ipv4)
    }

    /// Whether every address of its kind is in it.
    pub fn is_everybody(&self) -> bool {
        self.prefix == if self.is_ipv4() { BITS_BEFORE_IPV4 } else { 0 }
    }

    fn is_ipv4(&self) -> bool {
        self.prefix >= BITS_BEFORE_IPV4
            && prefixed(self.first, BITS_BEFORE_IPV4) == bits_before_ipv4()
    }
}

/// An address as 128 bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn bits_before_ipv4() -> u128 {
    std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().to_bits()
}

/// The first `prefix` bits, and zeros.
fn prefixed(bits: u128, prefix: u8) -> u128 {
    match prefix {
        0 => 0,
        prefix => bits >> (BITS - prefix) << (BITS - prefix),
    }
}

/// The error continues a sentence that begins with the text, as those of configuration values do.
impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| "is no address and no network".to_owned())?;
        let before = if address.is_ipv4() {
            BITS_BEFORE_IPV4
        } else {
            0
        };
        let longest = BITS - before;
        let length = match length {
            None => longest,
            // Digits alone: `parse` takes a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse::<u8>()
                .ok()
                .filter(|length| *length <= longest)
                .ok_or_else(|| format!("has no prefix length between 0 and {longest}"))?,
            Some(_) => return Err(format!("has no prefix length between 0 and {longest}")),
        };
        let prefix = before + length;
        let first = prefixed(bits(address), prefix);
        if first != bits(address) {
            return Err("has bits set behind its prefix, so one of the two is wrong".to_owned());
        }
        Ok(Self { first, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from_bits(self.first);
        if self.is_ipv4() {
            let first = first.to_canonical();
            write!(f, "{first}/{}", self.prefix - BITS_BEFORE_IPV4)
        } else {
            write!(f, "{first}/{}", self.prefix)
        }
    }
}

/// A list of networks, and whether those without an address belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Addresses.
    pub networks: Vec<Network>,
    /// Clients on a Unix socket (`unix` in the list).
    pub unix: bool,
}

impl Networks {
    /// Whether nobody is in them.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether the client is in one of them.
    pub fn contains(&self, client: Client) -> bool {
        match client {
            Client::Address(address) => self.networks.iter().any(|net| net.contains(address)),
            Client::Unix => self.unix,
        }
    }
}

/// One entry of a list.
impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut networks = Self::default();
        if text == UNIX {
            networks.unix = true;
        } else {
            networks.networks.push(text.parse()?);
        }
        Ok(networks)
    }
}

/// Several lists are one.
impl FromIterator<Networks> for Networks {
    fn from_iter<I: IntoIterator<Item = Networks>>(lists: I) -> Self {
        let mut all = Self::default();
        for list in lists {
            all.networks.extend(list.networks);
            all.unix |= list.unix;
        }
        all
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks = self.networks.iter().map(ToString::to_string);
        let unix = self.unix.then(|| UNIX.to_owned());
        let entries: Vec<String> = networks.chain(unix).collect();
        f.write_str(&entries.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn networks_hold_what_they_say() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:9.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("::/0", "::1", "::ffff:192.0.2.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::1", "::1", "::"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
        ] {
            let read: Network = network.parse().expect(network);
            assert!(read.contains(address(inside)), "{network} {inside}");
            assert!(!read.contains(address(outside)), "{network} {outside}");
            let again: Network = read.to_string().parse().expect("its own text");
            assert_eq!(again, read);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in [
            "",
            "a",
            "localhost",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/33",
            "10.0.0.0/8/8",
            "10.0.0.1/8",
            "::1/64",
            "::/129",
            "::/256",
            "10.0.0.0/ 8",
            "[::1]",
        ] {
            wrong.parse::<Network>().expect_err(wrong);
        }
    }

    #[test]
    fn a_list_tells_who_has_an_address_from_who_has_none() {
        let list = |entries: &[&str]| -> Networks {
            let entries = entries.iter().map(|entry| entry.parse::<Networks>());
            entries.map(|entry| entry.expect("valid")).collect()
        };
        let both = list(&["10.0.0.0/8", "unix", "::1"]);
        assert_eq!(both.to_string(), "10.0.0.0/8, ::1/128, unix");
        assert!(both.contains(Client::Unix));
        assert!(both.contains(address("::ffff:10.0.0.1").into()));
        assert!(!list(&["0.0.0.0/0", "::/0"]).contains(Client::Unix));
        assert!(!Networks::default().contains(address("10.0.0.1").into()));
        assert!(!list(&["unix"]).contains(address("10.0.0.1").into()));
    }

    #[test]
    fn a_clients_text_is_read_again() {
        for (text, shown) in [
            ("unix", "unix"),
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::1", "::1"),
        ] {
            let client: Client = text.parse().expect(text);
            assert_eq!(client.to_string(), shown);
        }
        "".parse::<Client>().expect_err("nothing");
    }

    #[test]
    fn who_may_stand_for_everybody_is_not_public() {
        let public = |text: &str| text.parse::<Client>().expect(text).is_public();
        for one in [
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "2001:db8::1",
        ] {
            assert!(public(one), "{one}");
        }
        for many in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.0",
            "100.127.255.255",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "unix",
        ] {
            assert!(!public(many), "{many}");
        }
    }
}

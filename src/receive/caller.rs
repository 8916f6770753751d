//! Who sends a request: whoever is connected, or whom a trusted proxy names in `X-Forwarded-For`.
//!
//! Each proxy on the way adds at the end whom it was connected to, so the list is read from its end, and believed for as
//! long as the one who wrote the entry is trusted. `Forwarded` (RFC 7239) is not read: two lists that say different things
//! are a hole, and proxies pass on the one they do not write as the sender wrote it.

use crate::http::server::Peer;
use crate::network::{Client, Networks};
use http::{Extensions, HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sends a request, and by what way it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Who sends it.
    pub(super) client: Client,
    /// The trusted proxy that is connected, if one is: its word about the sender goes on to the app.
    pub(super) proxy: Option<Client>,
}

impl Caller {
    /// Whoever is connected sends it.
    pub(super) fn direct(client: Client) -> Self {
        Self {
            client,
            proxy: None,
        }
    }

    /// The caller of a request with these headers.
    pub(super) fn find(trusted: &Networks, extensions: &Extensions, headers: &HeaderMap) -> Self {
        let peer = extensions.get::<Peer>().copied().unwrap_or_default();
        let peer = peer.client();
        if trusted.is_empty() || !trusted.contains(peer) {
            return Self::direct(peer);
        }
        Self {
            client: sender(trusted, peer, headers),
            proxy: Some(peer),
        }
    }
}

/// The first from the end of the list that is no trusted proxy. Where the list ends before that, or with what is no address
/// (the empty entry of a proxy that knew none among it: what stands before that may be the sender's own), it is the last
/// trusted one.
fn sender(trusted: &Networks, peer: Client, headers: &HeaderMap) -> Client {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut known = peer;
    for entry in entries {
        let Some(address) = address(entry.trim_ascii()) else {
            break;
        };
        known = Client::from(address);
        if !trusted.contains(known) {
            break;
        }
    }
    known
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Some(bare) = bare {
        return bare.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.parse().ok().or_else(|| {
        // A scope (`fe80::1%2`) names an interface of another machine.
        let with_port = text.parse::<SocketAddr>().ok()?;
        (!text.contains('%')).then(|| with_port.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn networks(entries: &[&str]) -> Networks {
        let entries = entries.iter().map(|entry| entry.parse::<Networks>());
        entries.map(|entry| entry.expect("valid")).collect()
    }

    fn found(trusted: &[&str], peer: Peer, lines: &[&str]) -> Caller {
        let mut extensions = Extensions::new();
        extensions.insert(peer);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                X_FORWARDED_FOR,
                HeaderValue::from_str(line).expect("a value"),
            );
        }
        Caller::find(&networks(trusted), &extensions, &headers)
    }

    #[test]
    fn the_list_is_believed_from_its_end_and_only_as_far_as_proxies_wrote_it() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "10.0.0.1"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["198.51.100.9, 192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (
                &["198.51.100.9,192.0.2.1 ,10.0.0.3,\t10.0.0.2"],
                "192.0.2.1",
            ),
            (&["198.51.100.9", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            (&["192.0.2.1, 10.0.0.2", "198.51.100.9"], "198.51.100.9"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["192.0.2.1, 10.0.0.2:80"], "192.0.2.1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            // What is no address ends it at the proxy that wrote it.
            (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1, "], "10.0.0.1"),
            (&["192.0.2.1,,10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1", ""], "10.0.0.1"),
            (&["192.0.2.1, unix"], "10.0.0.1"),
            (&["192.0.2.1, unix:"], "10.0.0.1"),
            (&["_hidden"], "10.0.0.1"),
            (&["\"192.0.2.1\""], "10.0.0.1"),
            (&["[192.0.2.1]"], "10.0.0.1"),
            (&["192.0.2.1]"], "10.0.0.1"),
            (&["192.0.2.1:99999"], "10.0.0.1"),
            (&["192.0.2.01"], "10.0.0.1"),
            (&["3221225985"], "10.0.0.1"),
            (&["fe80::1%2"], "10.0.0.1"),
            (&["[fe80::1%2]:80"], "10.0.0.1"),
            (&["for=192.0.2.1"], "10.0.0.1"),
        ];
        for peer in ["10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            let peer = Peer {
                addr: Some(peer.parse().expect("an address")),
            };
            for (lines, expected) in cases {
                let caller = found(&["10.0.0.0/8", "unix"], peer, lines);
                assert_eq!(caller.client.to_string(), *expected, "{lines:?}");
                assert_eq!(caller.proxy, Some(peer.client()));
                let caller = found(&["172.16.0.0/12"], peer, lines);
                assert_eq!(caller, Caller::direct(peer.client()), "{lines:?}");
                assert_eq!(found(&[], peer, lines), caller, "{lines:?}");
            }
        }
    }

    #[test]
    fn a_unix_socket_may_be_trusted_too() {
        let lines = ["192.0.2.1"];
        let unix = Peer::default();
        let caller = found(&["unix"], unix, &lines);
        assert_eq!(caller.client.to_string(), "192.0.2.1");
        assert_eq!(caller.proxy, Some(Client::Unix));
        let caller = found(&["0.0.0.0/0", "::/0"], unix, &lines);
        assert_eq!(caller, Caller::direct(Client::Unix));
    }
}

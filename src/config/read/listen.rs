//! `listen`: one place, one mapping, or a list of them.

use crate::config::{
    listener::{Listener, Place},
    reader::{Map, Node, every},
    value::{LISTENER, MODE, NETWORKS},
};
use serde_yaml::Value;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where senders connect by default.
const DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 8080));

/// The keys of a listener. Each is read by [`listener`].
const KEYS: &[&str] = &["address", "mode", "proxy_protocol"];

/// What stands for `listen`.
const ACCEPTED: &str = "an address, a mapping with address, or a list of them";

/// Reads `listen`. At least one is returned, so that what depends on it can be checked as well.
pub(super) fn listeners(top: &Map<'_>) -> Vec<Listener> {
    let default = || vec![Listener::new(Place::Tcp(DEFAULT))];
    let Some(node) = top.get("listen") else {
        return default();
    };
    let items = match node.value() {
        Value::Sequence(items) if items.is_empty() => {
            node.problem(
                "an empty list, so nothing would be received; leave listen out for the default",
            );
            return default();
        }
        Value::Sequence(_) => node.list(ACCEPTED).unwrap_or_default(),
        Value::Null => {
            node.wrong(ACCEPTED);
            return default();
        }
        _ => vec![node.clone()],
    };
    let mut read: Vec<Listener> = Vec::new();
    for item in &items {
        let Some(listener) = listener(item) else {
            continue;
        };
        if let Some(other) = read
            .iter()
            .find(|other| collide(&other.place, &listener.place))
        {
            item.problem(format!(
                "{} collides with {}, which stands before it",
                listener.place, other.place
            ));
        }
        read.push(listener);
    }
    if read.is_empty() { default() } else { read }
}

/// Reads one; None where it has said why, or where a variable may be unset.
fn listener(node: &Node<'_>) -> Option<Listener> {
    if !matches!(node.value(), Value::Mapping(_)) {
        return node.read(&LISTENER).map(Listener::new);
    }
    let map = node.map(KEYS)?;
    let address = map.need(
        "address",
        "a listener needs its address, such as 0.0.0.0:8080 or unix:/run/hookgate/hookgate.sock",
    );
    let mode = map.get("mode");
    let given_mode = mode.as_ref().and_then(|node| node.read(&MODE));
    let proxy_protocol = map.get_some("proxy_protocol").and_then(|node| {
        let items = node.one_or_list(NETWORKS.accepts)?;
        if items.is_empty() {
            node.problem(
                "an empty list, so nobody could connect; name the peers that speak it, or leave it out",
            );
        }
        let read = items.iter().map(|item| item.read(&NETWORKS));
        every(read).map(|lists| lists.into_iter().collect())
    });
    let mut place = address?.read(&LISTENER)?;
    match (&mut place, &mode) {
        (Place::Unix { mode, .. }, _) => *mode = given_mode.unwrap_or(*mode),
        (_, Some(node)) => node.problem_at_key(format!(
            "{place} has no mode; only unix:PATH is a file that hookgate makes"
        )),
        (_, None) => {}
    }
    Some(Listener {
        place,
        proxy_protocol,
    })
}

/// Whether two places cannot both be listened on.
pub(super) fn collide(a: &Place, b: &Place) -> bool {
    match (a, b) {
        (Place::Tcp(a), Place::Tcp(b)) => {
            let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() == b.port() && a.port() != 0 && overlap
        }
        (Place::Unix { path: a, .. }, Place::Unix { path: b, .. }) => a == b,
        (Place::Systemd(a), Place::Systemd(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_collide_where_one_of_them_could_not_be_bound() {
        let place = |text: &str| (LISTENER.parse)(text).expect(text);
        for (a, b, expected) in [
            (":80", "127.0.0.1:80", true),
            (":80", "[::1]:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            (":0", ":0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/.//a", true),
            ("unix:/a", "unix:/b", false),
            ("systemd", "systemd", true),
            ("systemd", "systemd:a", false),
            ("systemd:a", "systemd:a", true),
            ("systemd:a", "unix:a", false),
        ] {
            assert_eq!(collide(&place(a), &place(b)), expected, "{a} {b}");
            assert_eq!(collide(&place(b), &place(a)), expected, "{b} {a}");
        }
    }
}

//! Which of the sender's headers go on to the app. What describes the connection, or what only a gateway may
//! say, does not.

use super::caller::{Caller, X_FORWARDED_FOR};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::net::IpAddr;

/// What a trusted proxy says about the request that it got, beside whom it got it from. Of what else begins with
/// `X-Forwarded-` a proxy passes on what it does not know, so that nobody knows who wrote it.
const SAID_BY_PROXIES: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
];

/// Makes `headers` those of an event, which may wait for long: what [`sift`] leaves of them, in memory of their own.
pub(super) fn prepare(headers: &mut HeaderMap, caller: Caller) {
    sift(headers, caller);
    move_out(headers);
}

/// Takes out of `headers` what must not go on, and adds who sent the request, if that has an address. What a trusted proxy
/// says goes on: its list with itself at the end.
pub(super) fn sift(headers: &mut HeaderMap, caller: Caller) {
    let forwarded_for = forwarded_for(headers, caller);
    // Headers that Connection names belong to the connection as well (RFC 9110 7.6.1).
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // What most of them say: it goes in any case.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    // What most requests have goes at once: there is nothing to gather then.
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
        headers.remove(name);
    }
    let said = |name: &HeaderName| caller.proxy.is_some() && SAID_BY_PROXIES.contains(name);
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            is_hop_by_hop(name.as_str())
                || named.contains(name)
                || (is_ours_to_say(name.as_str()) && !said(name))
        })
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
    if let Some(value) = forwarded_for {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

/// The list that goes on: where a trusted proxy is connected what it sent, all lines of it as one, and the proxy; else who
/// is connected.
fn forwarded_for(headers: &HeaderMap, caller: Caller) -> Option<HeaderValue> {
    let Some(proxy) = caller.proxy else {
        return caller.client.address().map(text);
    };
    let last = proxy.address().map(text);
    let received = headers.get_all(X_FORWARDED_FOR).iter();
    let entries: Vec<&[u8]> = received.chain(&last).map(HeaderValue::as_bytes).collect();
    if entries.is_empty() {
        return None;
    }
    let value = HeaderValue::from_bytes(&entries.join(b", ".as_slice()));
    Some(value.expect("what stood in headers, an address and commas"))
}

/// An address as `Display` writes it. The common kind is not formatted: every event has one, and that takes ten times as long.
fn text(address: IpAddr) -> HeaderValue {
    const ASCII: &str = "an address is ASCII";
    let IpAddr::V4(address) = address else {
        return HeaderValue::try_from(address.to_string()).expect(ASCII);
    };
    let mut text = [0; "255.255.255.255".len()];
    let mut length = 0;
    let mut push = |byte| {
        text[length] = byte;
        length += 1;
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            push(b'.');
        }
        if octet >= 100 {
            push(b'0' + octet / 100);
        }
        if octet >= 10 {
            push(b'0' + octet / 10 % 10);
        }
        push(b'0' + octet % 10);
    }
    HeaderValue::from_bytes(&text[..length]).expect(ASCII)
}

/// Copies all values into one block. They are parts of the connection's read buffer (8 KiB and more), which could not be
/// read into again for as long as one of them waits, or have each a block of its own.
fn move_out(headers: &mut HeaderMap) {
    let mut block = Vec::with_capacity(headers.values().map(HeaderValue::len).sum());
    for value in headers.values() {
        block.extend_from_slice(value.as_bytes());
    }
    let mut block = Bytes::from(block);
    for value in headers.values_mut() {
        let moved = HeaderValue::from_maybe_shared(block.split_to(value.len()));
        let mut moved = moved.expect("what stood in a header");
        moved.set_sensitive(value.is_sensitive());
        *value = moved;
    }
}

/// Headers that describe one connection (RFC 9110 7.6.1), or that the next connection sets anew. Also with underscores: an
/// app behind a CGI-like interface would look for a chunked body where `Transfer_Encoding` says so.
fn is_hop_by_hop(name: &str) -> bool {
    const HOP_BY_HOP: [&str; 10] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
    ];
    HOP_BY_HOP
        .iter()
        .any(|hop| name.len() == hop.len() && begins(name, hop))
}

/// Headers by which an app trusts its gateway.
fn is_ours_to_say(name: &str) -> bool {
    begins(name, "hookgate-")
        || begins(name, "x-forwarded-")
        || name == "forwarded"
        || name == "expect"
}

/// Whether `name` begins with `prefix`. Apps behind CGI-like interfaces read `_` as `-`, so both count.
fn begins(name: &str, prefix: &str) -> bool {
    name.len() >= prefix.len()
        && name
            .bytes()
            .zip(prefix.bytes())
            .all(|(n, p)| n == p || (n == b'_' && p == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Client;

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for octet in 0..=255 {
            for address in [[octet, 0, 10, 100], [99, 255, 1, octet]] {
                let address = IpAddr::from(address);
                assert_eq!(text(address), address.to_string());
            }
        }
        let address: IpAddr = "2001:db8::1".parse().expect("an address");
        assert_eq!(text(address), "2001:db8::1");
    }

    #[test]
    fn what_waits_shares_no_memory_with_what_it_came_in() {
        let read: Vec<u8> = b"POST a\xfc\xff\tb one two abc key".to_vec();
        let buffer = Bytes::from(read);
        let sent = [
            ("x-latin", 5..10),
            ("x-twice", 11..14),
            ("accept", 11..11),
            ("x-twice", 15..18),
            ("connection", 19..22),
            ("x-token", 23..26),
            ("x-twice", 11..11),
        ];
        let mut headers = HeaderMap::new();
        for (name, place) in sent {
            let value = HeaderValue::from_maybe_shared(buffer.slice(place));
            headers.append(name, value.expect("a value"));
        }
        let token = headers.get_mut("x-token").expect("there");
        token.set_sensitive(true);
        let mut passed = headers.clone();

        let caller = Caller::direct("192.0.2.7".parse().expect("an address"));
        prepare(&mut headers, caller);
        let all = |name| headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("x-latin"), [b"a\xfc\xff\tb".as_slice()]);
        assert_eq!(all("x-twice"), ["one", "two", ""]);
        assert_eq!(all("accept"), [""]);
        assert_eq!(all("x-token"), ["key"]);
        assert_eq!(all("x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(headers.len(), 7, "{headers:?}");
        for (name, value) in &headers {
            assert_eq!(value.is_sensitive(), name == "x-token", "{name}");
        }

        // The same as without the copy, which alone holds on to the buffer.
        sift(&mut passed, caller);
        assert_eq!(headers, passed);
        assert!(!buffer.is_unique());
        drop(passed);
        assert!(buffer.is_unique());
    }

    #[test]
    fn only_end_to_end_headers_go_on() {
        let gone = [
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil"),
            ("x_forwarded_proto", "https"),
            ("hookgate-event-id", "forged"),
            ("hookgate_dedupe_key", "forged"),
            ("host", "gate"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("transfer_encoding", "chunked"),
            ("content_length", "5"),
        ];
        let kept = [
            ("x-webhook-signature", "abc"),
            ("content-type", "application/json"),
            ("webhook-id", "msg_1"),
            ("te-x", "1"),
            ("x_underscored", "1"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in gone.iter().chain(&kept) {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        prepare(
            &mut headers,
            Caller::direct("::ffff:192.0.2.7".parse().expect("an address")),
        );
        for (name, value) in kept {
            assert_eq!(headers.get(name).expect(name), value);
        }
        assert_eq!(headers.get("x-forwarded-for").expect("added"), "192.0.2.7");
        assert_eq!(headers.len(), kept.len() + 1, "{headers:?}");
        prepare(&mut headers, Caller::direct(Client::Unix));
        assert_eq!(headers.len(), kept.len(), "{headers:?}");
    }

    #[test]
    fn what_a_trusted_proxy_says_goes_on_and_nothing_else_of_that_kind() {
        let sent = [
            ("x-forwarded-for", "198.51.100.9"),
            ("x-forwarded-for", "192.0.2.1, 10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "hooks.example.com"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-user", "admin"),
            ("x_forwarded_proto", "http"),
            ("forwarded", "for=192.0.2.1"),
        ];
        let client: Client = "192.0.2.1".parse().expect("an address");
        for (proxy, list) in [
            ("10.0.0.1", "198.51.100.9, 192.0.2.1, 10.0.0.2, 10.0.0.1"),
            ("unix", "198.51.100.9, 192.0.2.1, 10.0.0.2"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            let proxy = Some(proxy.parse().expect("a client"));
            prepare(&mut headers, Caller { client, proxy });
            assert_eq!(headers.len(), 4, "{headers:?}");
            assert_eq!(headers[X_FORWARDED_FOR], list);
            assert_eq!(headers["x-forwarded-proto"], "https");
            assert_eq!(headers["x-forwarded-host"], "hooks.example.com");
            assert_eq!(headers["x-forwarded-port"], "443");
        }
    }
}

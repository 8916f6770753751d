//! Which of the sender's headers go on to the app. What describes the connection, or what only a gateway may
//! say, does not.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Takes out of `headers` what must not go on, and adds who sent the request.
pub(super) fn prepare(headers: &mut HeaderMap, peer: IpAddr) {
    // Headers that Connection names belong to the connection as well (RFC 9110 7.6.1).
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    let gone: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            is_hop_by_hop(name.as_str()) || named.contains(name) || is_ours_to_say(name.as_str())
        })
        .cloned()
        .collect();
    for name in gone {
        headers.remove(name);
    }
    let peer = peer.to_canonical().to_string();
    headers.insert(
        X_FORWARDED_FOR,
        HeaderValue::try_from(peer).expect("an address is plain ASCII"),
    );
}

/// Headers that describe one connection (RFC 9110 7.6.1), or that the next connection sets anew. Also with underscores: an
/// app behind a CGI-like interface would look for a chunked body where `Transfer_Encoding` says so.
fn is_hop_by_hop(name: &str) -> bool {
    if name.contains('_') {
        return is_hop_by_hop(&name.replace('_', "-"));
    }
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "content-length"
    )
}

/// Headers by which an app trusts its gateway. Apps behind CGI-like interfaces read `_` as `-`, so both count.
fn is_ours_to_say(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.len() >= prefix.len()
            && name
                .bytes()
                .zip(prefix.bytes())
                .all(|(n, p)| n == p || (n == b'_' && p == b'-'))
    };
    starts("hookgate-") || starts("x-forwarded-") || name == "forwarded" || name == "expect"
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "::ffff:192.0.2.7".parse().expect("an address"),
        );
        for (name, value) in kept {
            assert_eq!(headers.get(name).expect(name), value);
        }
        assert_eq!(headers.get("x-forwarded-for").expect("added"), "192.0.2.7");
        assert_eq!(headers.len(), kept.len() + 1, "{headers:?}");
    }
}

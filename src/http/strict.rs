//! What hyper lets pass and a gateway must not: read from the parsed head, before the body.
//!
//! Two things are gone from the head when it gets here. hyper drops a Content-Length beside a
//! Transfer-Encoding, reads the body as chunks and closes after the answer (RFC 9112 6.3); and it merges
//! repeated Content-Lengths that are equal, as RFC 9110 8.6 allows. Tests at the server prove both.

use http::{HeaderMap, Method, Request, Version, header, uri::Scheme};

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// RFC 9112 3.2: exactly one valid Host in HTTP/1.1, at most one in HTTP/1.0.
    #[error("request needs exactly one Host header")]
    Host,
    /// RFC 9113 8.3.1: a Host beside another `:authority`.
    #[error("Host and :authority differ")]
    Authority,
    /// RFC 9112 6.1: only `chunked` is known, once, and not in HTTP/1.0.
    #[error("unknown transfer coding")]
    TransferCoding,
    /// RFC 9112 6.3: a length beside a transfer coding.
    #[error("Content-Length beside Transfer-Encoding")]
    Length,
    /// A target that is neither a path nor an absolute `http` or `https` URL (RFC 9112 3.2.2), or CONNECT.
    #[error("request target must be a path")]
    Target,
    /// An expectation other than 100-continue.
    #[error("unknown expectation")]
    Expectation,
}

/// Checks a head; the body is not looked at.
pub fn check<B>(head: &Request<B>) -> Result<(), Malformed> {
    check_target(head)?;
    check_host(head)?;
    check_framing(head)?;
    check_expectation(head.headers())
}

fn check_target<B>(head: &Request<B>) -> Result<(), Malformed> {
    let uri = &head.uri();
    let known = match (uri.scheme(), uri.authority()) {
        (None, None) => uri.path().starts_with('/'),
        (Some(scheme), Some(authority)) => {
            (*scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
                && is_host(authority.as_str().as_bytes())
        }
        _ => false,
    };
    if known && head.method() != Method::CONNECT {
        Ok(())
    } else {
        Err(Malformed::Target)
    }
}

fn check_host<B>(head: &Request<B>) -> Result<(), Malformed> {
    let mut hosts = head.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {
            // In HTTP/1 the target goes before the Host (RFC 9112 3.2.2).
            let authority = head.uri().authority();
            let differs = authority.is_some_and(|authority| {
                let authority = authority.as_str().as_bytes();
                !authority.eq_ignore_ascii_case(host.as_bytes())
            });
            if differs && head.version() == Version::HTTP_2 {
                Err(Malformed::Authority)
            } else {
                Ok(())
            }
        }
        (None, None) if head.version() < Version::HTTP_11 => Ok(()),
        _ => Err(Malformed::Host),
    }
}

fn check_framing<B>(head: &Request<B>) -> Result<(), Malformed> {
    let mut codings = head.headers().get_all(header::TRANSFER_ENCODING).iter();
    let mut lengths = head.headers().get_all(header::CONTENT_LENGTH).iter();
    let Some(coding) = codings.next() else {
        return match (lengths.next(), lengths.next()) {
            (_, None) => Ok(()),
            _ => Err(Malformed::Length),
        };
    };
    let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !chunked || codings.next().is_some() || head.version() < Version::HTTP_11 {
        return Err(Malformed::TransferCoding);
    }
    match lengths.next() {
        None => Ok(()),
        Some(_) => Err(Malformed::Length),
    }
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(Malformed::Expectation),
    }
}

/// Whether `value` is `uri-host [ ":" port ]` (RFC 9110 7.2) with a host that is not empty. By bytes, since
/// the parser of the `http` crate would copy every request's Host to the heap.
fn is_host(value: &[u8]) -> bool {
    let (host_is_valid, rest) = if let Some(literal) = value.strip_prefix(b"[") {
        let Some(end) = literal.iter().position(|byte| *byte == b']') else {
            return false;
        };
        (is_ip_literal(&literal[..end]), &literal[end + 1..])
    } else {
        let end = value.iter().position(|byte| *byte == b':');
        let (name, rest) = value.split_at(end.unwrap_or(value.len()));
        (is_name(name), rest)
    };
    let port_is_valid = match rest {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_is_valid && port_is_valid
}

/// What stands between the brackets: an IPv6 address, without the zone that RFC 9110 does not know.
fn is_ip_literal(literal: &[u8]) -> bool {
    literal.contains(&b':')
        && literal
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

/// RFC 3986 `reg-name`, which covers IPv4 addresses too.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, version: Version, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    #[test]
    fn targets() {
        for (method, target, expected) in [
            ("POST", "/", Ok(())),
            ("POST", "/hooks/a?b=c", Ok(())),
            ("POST", "http://example.com/hooks/a", Ok(())),
            ("POST", "https://[::1]:8080/hooks/a", Ok(())),
            ("POST", "ftp://example.com/", Err(Malformed::Target)),
            ("POST", "http://user@example.com/", Err(Malformed::Target)),
            ("POST", "example.com:80", Err(Malformed::Target)),
            ("OPTIONS", "*", Err(Malformed::Target)),
            ("CONNECT", "example.com:80", Err(Malformed::Target)),
            ("CONNECT", "/", Err(Malformed::Target)),
        ] {
            let head = head(method, target, Version::HTTP_11, &[("host", "x")]);
            assert_eq!(check(&head), expected, "{method} {target}");
        }
    }

    #[test]
    fn hosts() {
        for valid in [
            "x",
            "example.com",
            "example.com:8080",
            "example.com:",
            "127.0.0.1:80",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
            "a%20b",
        ] {
            assert!(is_host(valid.as_bytes()), "{valid}");
        }
        for invalid in [
            "",
            ":80",
            "user@example.com",
            "example.com:80:80",
            "example.com:http",
            "example.com:123456",
            "a b",
            "a/b",
            "a,b c",
            "[::1",
            "[]",
            "[::1]x",
            "[::1%25eth0]",
            "a\tb",
        ] {
            assert!(!is_host(invalid.as_bytes()), "{invalid}");
        }
    }

    #[test]
    fn a_host_beside_an_authority() {
        let target = "https://example.com/a";
        for (version, hosts, expected) in [
            (Version::HTTP_2, &["example.com"][..], Ok(())),
            (Version::HTTP_2, &["EXAMPLE.com"], Ok(())),
            (Version::HTTP_2, &["example.org"], Err(Malformed::Authority)),
            (
                Version::HTTP_2,
                &["example.com:443"],
                Err(Malformed::Authority),
            ),
            (Version::HTTP_2, &[], Err(Malformed::Host)),
            (
                Version::HTTP_2,
                &["example.com", "example.com"],
                Err(Malformed::Host),
            ),
            (Version::HTTP_11, &["example.org"], Ok(())),
        ] {
            let headers: Vec<(&str, &str)> = hosts.iter().map(|host| ("host", *host)).collect();
            let head = head("POST", target, version, &headers);
            assert_eq!(check(&head), expected, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn headers() {
        let host = ("host", "x");
        for (version, headers, expected) in [
            (Version::HTTP_11, &[host][..], Ok(())),
            (Version::HTTP_11, &[], Err(Malformed::Host)),
            (Version::HTTP_11, &[host, host], Err(Malformed::Host)),
            (Version::HTTP_11, &[("host", "")], Err(Malformed::Host)),
            (Version::HTTP_10, &[], Ok(())),
            (Version::HTTP_10, &[host], Ok(())),
            (Version::HTTP_10, &[host, host], Err(Malformed::Host)),
            (
                Version::HTTP_11,
                &[host, ("transfer-encoding", "Chunked")],
                Ok(()),
            ),
            (
                Version::HTTP_11,
                &[host, ("transfer-encoding", "gzip, chunked")],
                Err(Malformed::TransferCoding),
            ),
            (
                Version::HTTP_11,
                &[
                    host,
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                Err(Malformed::TransferCoding),
            ),
            (
                Version::HTTP_10,
                &[("transfer-encoding", "chunked")],
                Err(Malformed::TransferCoding),
            ),
            (
                Version::HTTP_11,
                &[
                    host,
                    ("transfer-encoding", "chunked"),
                    ("content-length", "1"),
                ],
                Err(Malformed::Length),
            ),
            (
                Version::HTTP_11,
                &[host, ("content-length", "1"), ("content-length", "1")],
                Err(Malformed::Length),
            ),
            (
                Version::HTTP_11,
                &[host, ("expect", "100-Continue")],
                Ok(()),
            ),
            (
                Version::HTTP_11,
                &[host, ("expect", "200-ok")],
                Err(Malformed::Expectation),
            ),
            (
                Version::HTTP_11,
                &[host, ("expect", "100-continue"), ("expect", "x")],
                Err(Malformed::Expectation),
            ),
        ] {
            let head = head("POST", "/", version, headers);
            assert_eq!(check(&head), expected, "{version:?} {headers:?}");
        }
    }
}

//! Who may ask the API: who has the token, or, where none is configured, who is on this machine and is no web page.
//!
//! Without a token the listener's address is the guard, and a browser on this machine stands inside it. So every
//! name of the host must be one of loopback's own (a page whose name was pointed at 127.0.0.1 sends its own:
//! DNS rebinding), and a request that says that it comes from another page's script is refused.

use super::refused::Refused;
use crate::config::Secret;
use http::{HeaderMap, HeaderValue, Uri, header, request::Parts, uri::Authority};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

/// What a request has to show.
#[derive(Debug)]
pub(super) enum Auth {
    /// The SHA-256 of the token: compared so, nothing of it is told by time, its length neither.
    Token([u8; 32]),
    /// There is none, and the listener is on loopback.
    Loopback,
    /// There is none, and anybody may reach the listener.
    Nobody,
}

impl Auth {
    /// `listen` is where operators connect.
    pub(super) fn new(token: Option<&Secret>, listen: SocketAddr) -> Self {
        match token {
            Some(token) => Self::Token(Sha256::digest(token.expose()).into()),
            None if listen.ip().to_canonical().is_loopback() => Self::Loopback,
            None => Self::Nobody,
        }
    }

    /// Whether this request may go on.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Refused> {
        match self {
            Self::Token(digest) => token(digest, &head.headers),
            Self::Loopback => {
                own_name(&head.uri, &head.headers)?;
                no_page(&head.headers)
            }
            Self::Nobody => Err(Refused::forbidden(
                "the API answers on a loopback address only, unless a token guards it: set admin.token, or listen on \
                 127.0.0.1 (admin.listen)",
            )),
        }
    }
}

fn token(digest: &[u8; 32], headers: &HeaderMap) -> Result<(), Refused> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return Err(Refused::unauthorised(
            "the API asks for its token: Authorization: Bearer TOKEN (admin.token)",
        ));
    };
    let shown: Option<[u8; 32]> = bearer(given).map(|token| Sha256::digest(token).into());
    // Compared in any case, and as long.
    let equal = shown.unwrap_or_default().ct_eq(digest);
    if shown.is_some() && bool::from(equal) {
        Ok(())
    } else {
        Err(Refused::unauthorised("the token is not admin.token"))
    }
}

/// What follows the scheme `Bearer`, which is written in any case (RFC 9110 11.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len())?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| token.trim_ascii())
}

/// Every name that the request has for this host is loopback's.
fn own_name(uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_own = |host: &HeaderValue| {
        let authority = Authority::try_from(host.as_bytes());
        authority.is_ok_and(|authority| is_loopback(authority.host()))
    };
    let one = hosts.next().is_some_and(is_own) && hosts.next().is_none();
    let absolute = uri.host().is_none_or(is_loopback);
    if one && absolute {
        Ok(())
    } else {
        Err(Refused::forbidden(
            "without admin.token the API answers to loopback's names only, such as http://127.0.0.1:9444 and \
             http://localhost:9444 (the Host header says another)",
        ))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Browsers say of their own accord where a request comes from.
fn no_page(headers: &HeaderMap) -> Result<(), Refused> {
    let own = |value: &HeaderValue| matches!(value.as_bytes(), b"same-origin" | b"none");
    let elsewhere = headers.get("sec-fetch-site").is_some_and(|site| !own(site));
    if elsewhere || headers.contains_key(header::ORIGIN) {
        return Err(Refused::forbidden(
            "without admin.token the API answers no web page (the request has an Origin or Sec-Fetch-Site header)",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, StatusCode};

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn verdict(auth: &Auth, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let checked = auth.check(&head(uri, headers));
        checked
            .map_or_else(|refused| refused.status(), |()| StatusCode::OK)
            .as_u16()
    }

    fn listen(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_token_is_all_that_counts_where_there_is_one() {
        let secret = Secret::new("admin", b"open sesame".to_vec());
        let auth = Auth::new(Some(&secret), listen("0.0.0.0:9444"));
        let cases: [(&[(&str, &str)], u16); 12] = [
            (&[], 401),
            (&[("authorization", "Bearer open sesame")], 200),
            (&[("authorization", "bearer open sesame")], 200),
            (&[("authorization", "BEARER   open sesame ")], 200),
            (&[("authorization", "Bearer open sesam")], 401),
            (&[("authorization", "Bearer open sesame1")], 401),
            (&[("authorization", "Bearer ")], 401),
            (&[("authorization", "Bearer")], 401),
            (&[("authorization", "open sesame")], 401),
            (&[("authorization", "Basic open sesame")], 401),
            (
                &[
                    ("authorization", "Bearer open sesame"),
                    ("authorization", "Bearer other"),
                ],
                401,
            ),
            (
                &[
                    ("authorization", "Bearer open sesame"),
                    ("host", "gate.example.com"),
                    ("origin", "https://console.example.com"),
                ],
                200,
            ),
        ];
        for (headers, expected) in cases {
            assert_eq!(
                verdict(&auth, "/api/v1/events", headers),
                expected,
                "{headers:?}"
            );
        }
    }

    #[test]
    fn without_a_token_only_this_machine_asks_and_no_page() {
        for address in ["0.0.0.0:9444", "[::]:9444", "10.1.2.3:9444"] {
            let auth = Auth::new(None, listen(address));
            let headers = [("host", "127.0.0.1:9444")];
            assert_eq!(verdict(&auth, "/api/v1/events", &headers), 403, "{address}");
        }
        for address in ["127.0.0.1:9444", "127.8.8.8:9444", "[::1]:9444"] {
            let auth = Auth::new(None, listen(address));
            let cases: [(&str, &[(&str, &str)], u16); 16] = [
                ("/api", &[("host", "127.0.0.1:9444")], 200),
                ("/api", &[("host", "127.9.9.9")], 200),
                ("/api", &[("host", "LocalHost:1")], 200),
                ("/api", &[("host", "[::1]:9444")], 200),
                ("/api", &[], 403),
                ("/api", &[("host", "")], 403),
                ("/api", &[("host", "evil.example.com")], 403),
                ("/api", &[("host", "127.0.0.1.evil.example.com:9444")], 403),
                ("/api", &[("host", "localhost.evil.example.com")], 403),
                ("/api", &[("host", "10.0.0.1")], 403),
                ("/api", &[("host", "127.0.0.1"), ("host", "127.0.0.1")], 403),
                ("http://evil.example.com/api", &[("host", "127.0.0.1")], 403),
                (
                    "/api",
                    &[("host", "127.0.0.1"), ("origin", "http://127.0.0.1:9444")],
                    403,
                ),
                (
                    "/api",
                    &[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")],
                    403,
                ),
                (
                    "/api",
                    &[("host", "127.0.0.1"), ("sec-fetch-site", "none")],
                    200,
                ),
                ("http://localhost/api", &[("host", "localhost")], 200),
            ];
            for (uri, headers, expected) in cases {
                assert_eq!(verdict(&auth, uri, headers), expected, "{uri} {headers:?}");
            }
        }
    }
}

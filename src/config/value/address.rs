//! Where something is, in the words of HTTP: listeners, URLs, paths, and headers.

use super::{Kind, kind, text_kind};
use crate::config::listener::Place;
use crate::network::Networks;
use http::{HeaderName, HeaderValue, Uri, uri::PathAndQuery};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

/// Where to listen.
pub(crate) const LISTEN: Kind<SocketAddr> = kind(
    "IP:port or :port, such as 127.0.0.1:8080, [::1]:8080 or :8080 for every IPv4 address",
    |text| {
        let every_ipv4 = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        if let Some(port) = text.strip_prefix(':') {
            return port
                .parse()
                .map(every_ipv4)
                .map_err(|_| "has no valid port".to_owned());
        }
        text.parse().map_err(|_| match text.rsplit_once(':') {
            Some(("localhost", _)) => "is a name; write 127.0.0.1 for localhost".to_owned(),
            None if text.parse::<u16>().is_ok() => {
                "is only a port; write a colon before it".to_owned()
            }
            _ => "is no address to listen on".to_owned(),
        })
    },
);

/// Bytes of a path that a socket's address holds, less the zero behind it (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Who may connect where nothing is said: the owner and the group, in which the proxy in front should be.
const SOCKET_MODE: u32 = 0o660;

/// Where senders connect.
pub(crate) const LISTENER: Kind<Place> = kind(
    "IP:port or :port, such as 127.0.0.1:8080, [::1]:8080 or :8080 for every IPv4 address; unix:PATH of a socket; \
     systemd:NAME or systemd for what the service manager hands over",
    |text| {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(|path| Place::Unix {
                path,
                mode: SOCKET_MODE,
            });
        }
        match text.strip_prefix("systemd") {
            Some("") => Ok(Place::Systemd(None)),
            Some(rest) if rest.starts_with(':') => socket_name(&rest[1..]),
            _ if text.starts_with('/') => Err("is only a path; write unix: before it".to_owned()),
            _ => (LISTEN.parse)(text).map(Place::Tcp),
        }
    },
);

/// The path with `.` and double slashes taken out, so that one file has one name.
fn socket_path(path: &str) -> Result<PathBuf, String> {
    if path.ends_with('/') || Path::new(path).file_name().is_none() {
        return Err("names no file".to_owned());
    }
    if path.starts_with('@') {
        return Err("is an abstract socket, which has no permissions; name a file".to_owned());
    }
    if path.len() > SOCKET_PATH_BYTES_MAX {
        return Err(format!(
            "is a path of {} bytes, and a socket's has {SOCKET_PATH_BYTES_MAX} at the most",
            path.len()
        ));
    }
    let kept = Path::new(path)
        .components()
        .filter(|component| !matches!(component, Component::CurDir));
    Ok(kept.collect())
}

/// `FileDescriptorName` of systemd.socket(5).
fn socket_name(name: &str) -> Result<Place, String> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(Place::Systemd(Some(name.to_owned())))
    } else {
        Err("has no name that a socket of systemd can have (FileDescriptorName)".to_owned())
    }
}

/// Permissions of a file.
pub(crate) const MODE: Kind<u32> = text_kind(
    "three or four octal digits in quotes, such as \"0660\": who may write may connect",
    None,
    |text| {
        let octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = u32::from_str_radix(text, 8).ok();
        mode.filter(|mode| (3..=4).contains(&text.len()) && octal && *mode <= 0o777)
            .ok_or_else(|| "is no mode of a file".to_owned())
    },
);

/// One entry of a list of networks.
pub(crate) const NETWORKS: Kind<Networks> = kind(
    "networks or addresses, such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7; unix for those on a Unix socket",
    str::parse,
);

/// Where an app is.
pub(crate) const URL: Kind<Uri> = text_kind(
    "http:// or https:// with a host, such as http://127.0.0.1:3000/webhooks",
    Some("http://unset.invalid/"),
    url,
);

fn url(text: &str) -> Result<Uri, String> {
    if text.contains('#') {
        return Err("has a fragment (#), which is never sent".to_owned());
    }
    if !text.is_ascii() {
        return Err("has characters outside ASCII; percent-encode them".to_owned());
    }
    let uri: Uri = text.parse().map_err(|_| "is not a URL".to_owned())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("is not an http or https URL".to_owned());
    }
    let authority = uri.authority().ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("carries a user or a password, which would be logged".to_owned());
    }
    if authority.host().is_empty() {
        return Err("has no host".to_owned());
    }
    let port = &authority.as_str()[authority.host().len()..];
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has no valid port".to_owned());
    }
    Ok(uri)
}

/// The URL that a sender was given. Its text is kept, since signatures are made over it.
pub(crate) const PUBLIC_URL: Kind<String> = text_kind(
    "http:// or https:// with a host and without a query, such as https://hooks.example.com/hooks/twilio",
    Some("https://unset.invalid/"),
    |text| {
        url(text)?;
        if text.contains('?') {
            return Err("has a query; each request has its own".to_owned());
        }
        Ok(text.to_owned())
    },
);

/// Path of a source's requests.
pub(crate) const PATH: Kind<String> = text_kind(
    "a path such as /hooks/orders, without a query",
    None,
    |text| {
        if !text.starts_with('/') {
            return Err("does not start with /".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err("has a query or a fragment, which take no part in the match".to_owned());
        }
        match text.parse::<PathAndQuery>() {
            Ok(path) if text.is_ascii() && path.as_str() == text => Ok(text.to_owned()),
            _ => Err("is no path as it stands in a request; percent-encode it".to_owned()),
        }
    },
);

/// Name of a header.
pub(crate) const HEADER: Kind<HeaderName> = text_kind(
    "the name of a header, such as X-Signature",
    Some("x-unset"),
    |text| HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is no name of a header".to_owned()),
);

/// Value of a header.
pub(crate) const HEADER_VALUE: Kind<HeaderValue> =
    text_kind("text that can stand in a header", Some("unset"), |text| {
        header_value(text.as_bytes()).ok_or_else(|| "can't stand in a header".to_owned())
    });

/// A header's value, if these bytes arrive as they are sent: spaces at either end would not (RFC 9110 5.5).
pub(crate) fn header_value(bytes: &[u8]) -> Option<HeaderValue> {
    let value = HeaderValue::from_bytes(bytes).ok()?;
    (bytes.trim_ascii() == bytes).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn addresses() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        check(
            &LISTEN,
            &[
                (":8080", address("0.0.0.0:8080")),
                ("127.0.0.1:0", address("127.0.0.1:0")),
                ("[::]:443", address("[::]:443")),
            ],
            &[
                "",
                ":",
                ":65536",
                "8080",
                "localhost:8080",
                "127.0.0.1",
                "1.2.3.4:x",
                "::1:80",
            ],
        );
        let unix = |path: &str| Place::Unix {
            path: path.into(),
            mode: 0o660,
        };
        check(
            &LISTENER,
            &[
                (":8080", Place::Tcp(address("0.0.0.0:8080"))),
                ("unix:/run/a.sock", unix("/run/a.sock")),
                ("unix:./a//b.sock", unix("a/b.sock")),
                ("systemd", Place::Systemd(None)),
                (
                    "systemd:a.socket",
                    Place::Systemd(Some("a.socket".to_owned())),
                ),
            ],
            &[
                "",
                "unix",
                "unix:",
                "unix:/",
                "unix:.",
                "unix:a/..",
                "unix:@a",
                "/run/a.sock",
                "systemd:",
                "systemd:a:b",
                "systemd:a b",
                "systemda",
                "localhost:80",
            ],
        );
        let longest = format!("unix:/{}", "a".repeat(106));
        assert!((LISTENER.parse)(&longest).is_ok());
        assert!((LISTENER.parse)(&format!("{longest}a")).is_err());
        check(
            &MODE,
            &[("0660", 0o660), ("600", 0o600), ("0777", 0o777)],
            &["", "66", "0o660", "1777", "0668", "rw", "00660", "+66"],
        );
        let uri = |text: &'static str| (text, Uri::from_static(text));
        check(
            &URL,
            &[
                uri("http://a"),
                uri("https://a.example/b?c=d"),
                uri("http://[::1]:3000/"),
            ],
            &[
                "",
                "a",
                "/a",
                "a:80/b",
                "ftp://a/",
                "http://",
                "http:///a",
                "http://u@a/",
                "http://u:p@a/",
                "http://a/#b",
                "http://a b/",
                "http://a:99999/",
                "http://a:/",
                "http://a:0/",
                "http://ä/",
            ],
        );
        check(
            &PUBLIC_URL,
            &[
                ("https://A.example", "https://A.example".to_owned()),
                ("http://a:80/b/", "http://a:80/b/".to_owned()),
            ],
            &[
                "",
                "/a",
                "https://",
                "https://a/?",
                "https://a/?b=c",
                "https://a/#b",
                "https://u@a/",
                "ftp://a/",
            ],
        );
        check(
            &PATH,
            &[("/", "/".to_owned()), ("/a/b%20c", "/a/b%20c".to_owned())],
            &["", "a", "/a?b", "/a#b", "/a b", "/ä", "*"],
        );
    }
}

//! The PROXY protocol, versions 1 and 2 (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>): a header before
//! the first byte of a connection, in which a proxy says who has connected to it.
//!
//! It is believed of listed peers only, and they have to send it: a connection has a header or is refused. What comes
//! behind it is left in the socket to the last byte. Lists of further facts (TLV) are passed over.

use super::server::{House, Peer, Refusal};
use crate::network::Networks;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// What a header of version 2 begins with.
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family, and the length of the rest.
const V2_HEAD_BYTES: usize = 16;
/// A whole header of version 2: the smallest IPv4 packet that everybody must take holds as much, and a proxy has to send it
/// in one.
const V2_BYTES_MAX: usize = 536;
/// A whole header of version 1, the line end counted: two longest IPv6 addresses.
const V1_BYTES_MAX: usize = 107;
const V1_BEGIN: &[u8] = b"PROXY ";

/// Bytes of both addresses, and of both ports where there are any.
const INET_BYTES: usize = 12;
const INET6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// Reads the header of a connection that was just accepted from `peer`: who has connected to the proxy, or `None` if the
/// connection is to be closed. It takes no longer than until `due`, when the head would be too late as well.
pub(super) async fn client(
    stream: &mut (impl AsyncRead + Unpin),
    peer: Peer,
    peers: &Networks,
    due: Instant,
    house: &House,
) -> Option<Peer> {
    let refuse = |why: &str| {
        house.refusals.refused(Refusal::ProxyHeader);
        if let Some(suppressed) = house.complaints.pass() {
            tracing::warn!(%peer, why, suppressed, "refused a connection to a listener with proxy_protocol");
        }
    };
    if !peers.contains(peer.client()) {
        refuse("the peer is not listed");
        return None;
    }
    let mut header = Vec::with_capacity(V1_BYTES_MAX);
    let read = tokio::select! {
        biased;
        () = house.stage.drained() => return None,
        read = timeout_at(due, read(stream, &mut header)) => read,
    };
    match read {
        Ok(Ok(Said::Own)) => return Some(peer),
        Ok(Ok(Said::Client(client))) => return Some(client),
        // A check of health that connects and leaves, or one that says nothing: as without the protocol.
        Ok(Err(HeaderError::Gone)) | Err(_) if header.is_empty() => {}
        Ok(Err(HeaderError::Gone)) => refuse("the header was cut off"),
        Ok(Err(HeaderError::Malformed(why))) => refuse(why),
        Err(_) => {
            tracing::debug!(%peer, "header of the PROXY protocol was not whole in time");
            house.refusals.refused(Refusal::ProxyTimeout);
        }
    }
    None
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Who has connected to the proxy.
    Client(Peer),
    /// The proxy speaks for itself, or does not know: the connection's own peer counts.
    Own,
}

#[derive(Debug)]
enum HeaderError {
    /// The connection ended within it.
    Gone,
    /// Why it is none.
    Malformed(&'static str),
}

/// Whatever has ended it: nothing can be done, and nobody is left to hear of it.
impl From<io::Error> for HeaderError {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

const fn malformed<T>(why: &'static str) -> Result<T, HeaderError> {
    Err(HeaderError::Malformed(why))
}

/// Reads one header into `header`, and nothing behind it.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
) -> Result<Said, HeaderError> {
    // Either version's shortest header is longer.
    fill(stream, header, V2_SIGNATURE.len()).await?;
    if *header == V2_SIGNATURE {
        fill(stream, header, V2_HEAD_BYTES).await?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if V2_HEAD_BYTES + rest > V2_BYTES_MAX {
            return malformed("the header is longer than 536 bytes");
        }
        fill(stream, header, V2_HEAD_BYTES + rest).await?;
        return v2(header);
    }
    if !header.starts_with(V1_BEGIN) {
        return malformed("it does not begin with a header of the PROXY protocol");
    }
    while !header.ends_with(b"\r\n") {
        // The line ends with two bytes, so that as many are still to come unless the first of them is here.
        let missing = if header.ends_with(b"\r") { 1 } else { 2 };
        if header.len() + missing > V1_BYTES_MAX {
            return malformed("the line is longer than 107 bytes");
        }
        fill(stream, header, header.len() + missing).await?;
    }
    v1(&header[..header.len() - 2])
}

/// Reads on until there are `bytes`.
async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
    bytes: usize,
) -> io::Result<()> {
    while header.len() < bytes {
        let missing = bytes - header.len();
        let mut missing = (&mut *stream).take(missing as u64);
        if missing.read_buf(header).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A header of version 1, without its line end.
fn v1(line: &[u8]) -> Result<Said, HeaderError> {
    let Ok(line) = std::str::from_utf8(line) else {
        return malformed("the line is not ASCII");
    };
    if line.contains(['\r', '\n']) {
        return malformed("the line has a line end within it");
    }
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words[..] {
        ["PROXY", "UNKNOWN", ..] => return Ok(Said::Own),
        ["PROXY", "TCP4", source, to, port, to_port] => ends::<Ipv4Addr>(source, to, port, to_port),
        ["PROXY", "TCP6", source, to, port, to_port] => ends::<Ipv6Addr>(source, to, port, to_port),
        _ => None,
    };
    match client {
        Some(client) => Ok(Said::Client(client)),
        None => malformed("the line is no header of version 1"),
    }
}

/// Who is at the sending end, if all of both ends is well written.
fn ends<A: FromStr + Into<IpAddr>>(
    source: &str,
    to: &str,
    port: &str,
    to_port: &str,
) -> Option<Peer> {
    let source: A = source.parse().ok()?;
    to.parse::<A>().ok()?;
    let port = number(port)?;
    number(to_port)?;
    let addr = Some(SocketAddr::new(source.into(), port));
    Some(Peer { addr })
}

/// A port in digits, without a zero before them.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// A header of version 2, all of it.
fn v2(header: &[u8]) -> Result<Said, HeaderError> {
    let (head, rest) = header.split_at(V2_HEAD_BYTES);
    match head[12] {
        0x20 => return Ok(Said::Own),
        0x21 => {}
        _ => return malformed("neither its version nor its command is known"),
    }
    let addr = match head[13] {
        // Unspecified: as the command LOCAL.
        0x00 => return Ok(Said::Own),
        0x11 if rest.len() >= INET_BYTES => {
            let ip: [u8; 4] = array(&rest[..4]);
            let port = u16::from_be_bytes(array(&rest[8..10]));
            Some(SocketAddr::from((ip, port)))
        }
        0x21 if rest.len() >= INET6_BYTES => {
            let ip: [u8; 16] = array(&rest[..16]);
            let port = u16::from_be_bytes(array(&rest[32..34]));
            Some(SocketAddr::from((ip, port)))
        }
        0x31 if rest.len() >= UNIX_BYTES => None,
        0x11 | 0x21 | 0x31 => return malformed("it is shorter than its addresses"),
        _ => return malformed("it tells of no stream over IPv4, IPv6 or a Unix socket"),
    };
    Ok(Said::Client(Peer { addr }))
}

/// Bytes whose number was just chosen.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many as were cut out")
}

#[cfg(test)]
mod tests;

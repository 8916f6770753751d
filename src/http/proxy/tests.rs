//! Headers byte by byte, whole and in pieces, and what is behind them.

use super::*;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

/// What comes behind a header.
const BEHIND: &[u8] = b"POST / HTTP/1.1\r\n\r\n";

fn client(text: &str) -> Said {
    Said::Client(Peer {
        addr: Some(text.parse().expect(text)),
    })
}

/// A header of version 2.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&V2_SIGNATURE[..], &[command, family], &length, rest].concat()
}

fn inet() -> Vec<u8> {
    // 192.0.2.1:50000 to 198.51.100.2:443.
    vec![192, 0, 2, 1, 198, 51, 100, 2, 0xc3, 0x50, 1, 0xbb]
}

fn inet6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::1".parse().expect("an address");
    let to: Ipv6Addr = "2001:db8::2".parse().expect("an address");
    let ports = [0xc3, 0x50, 1, 0xbb];
    [&source.octets()[..], &to.octets(), &ports].concat()
}

/// Writes `bytes` in pieces of `piece` bytes and what comes behind them: what the header says, after making sure that not
/// a byte behind it was taken.
async fn said(bytes: &[u8], piece: usize) -> Result<Said, HeaderError> {
    let (mut proxy, mut ours) = UnixStream::pair().expect("a pair");
    let sent = bytes.to_vec();
    let sending = tokio::spawn(async move {
        for piece in sent.chunks(piece) {
            proxy.write_all(piece).await?;
            tokio::task::yield_now().await;
        }
        proxy.write_all(BEHIND).await
        // Closed here.
    });
    let mut header = Vec::new();
    let said = read(&mut ours, &mut header).await?;
    sending.await.expect("no panic").expect("written");
    let mut left = Vec::new();
    ours.read_to_end(&mut left).await.expect("closed in order");
    assert_eq!(header, bytes);
    assert_eq!(left, BEHIND, "{}", bytes.escape_ascii());
    Ok(said)
}

#[tokio::test]
async fn headers_are_read_to_their_last_byte() {
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let v1_longest = format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n");
    assert_eq!(v1_longest.len(), 104);
    let unknown_longest = format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n");
    assert_eq!(unknown_longest.len(), V1_BYTES_MAX);
    let with_more = [inet(), vec![4, 0, 1, 0]].concat();
    let largest = [inet(), vec![b'x'; V2_BYTES_MAX - V2_HEAD_BYTES - 12]].concat();
    let cases: Vec<(Vec<u8>, Said)> = vec![
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.2 50000 443\r\n".into(),
            client("192.0.2.1:50000"),
        ),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1 0 0\r\n".into(),
            client("1.1.1.1:0"),
        ),
        (
            b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".into(),
            client("[2001:db8::1]:1"),
        ),
        (v1_longest.into(), client(&format!("[{longest}]:65535"))),
        (b"PROXY UNKNOWN\r\n".into(), Said::Own),
        (b"PROXY UNKNOWN a b  c\r\n".into(), Said::Own),
        (unknown_longest.into(), Said::Own),
        (header(0x21, 0x11, &inet()), client("192.0.2.1:50000")),
        (header(0x21, 0x21, &inet6()), client("[2001:db8::1]:50000")),
        (
            header(0x21, 0x31, &[b'a'; UNIX_BYTES]),
            Said::Client(Peer { addr: None }),
        ),
        (header(0x21, 0x11, &with_more), client("192.0.2.1:50000")),
        (header(0x21, 0x11, &largest), client("192.0.2.1:50000")),
        (header(0x21, 0x00, b""), Said::Own),
        (header(0x21, 0x00, b"more"), Said::Own),
        (header(0x20, 0x00, b""), Said::Own),
        (header(0x20, 0x11, &inet()), Said::Own),
    ];
    for (bytes, expected) in cases {
        for piece in [1, 2, 3, 11, 16, 1_000] {
            let said = said(&bytes, piece).await;
            let said = said.unwrap_or_else(|e| panic!("{e:?}: {}", bytes.escape_ascii()));
            assert_eq!(said, expected, "{}", bytes.escape_ascii());
        }
    }
}

#[tokio::test]
async fn what_is_no_header_is_refused() {
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(too_long.len(), V1_BYTES_MAX + 1);
    let too_large = header(
        0x21,
        0x11,
        &[inet(), vec![0; V2_BYTES_MAX - V2_HEAD_BYTES - 11]].concat(),
    );
    let v1 = |text: &str| text.as_bytes().to_vec();
    let cases: Vec<Vec<u8>> = vec![
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aa".into(),
        b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n".into(),
        v1("PROXY \r\n             "),
        v1("PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n"),
        v1("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n"),
        v1("PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n"),
        v1("PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n"),
        v1("PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n"),
        v1("PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n"),
        v1("PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n"),
        v1("PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n"),
        v1("PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n"),
        v1("PROXY TCP4 1.1.1.1 a 1 1\r\n"),
        v1("PROXY TCP4 ::1 ::1 1 1\r\n"),
        v1("PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n"),
        v1("PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n"),
        v1("PROXY UNKNOWNX\r\n"),
        v1("PROXY UNKNOWN a\rb\r\n"),
        v1("PROXY UNKNOWN a\nb\r\n"),
        b"PROXY UNKNOWN \xff\r\n".into(),
        v1(&too_long),
        v1(&"PROXY UNKNOWN ".repeat(20)),
        too_large,
        header(0x21, 0x11, &inet()[..11]),
        header(0x21, 0x21, &inet6()[..35]),
        header(0x21, 0x31, &[0; UNIX_BYTES - 1]),
        header(0x21, 0x12, &inet()),
        header(0x21, 0x10, &inet()),
        header(0x21, 0x01, &inet()),
        header(0x21, 0x41, &inet()),
        header(0x22, 0x11, &inet()),
        header(0x11, 0x11, &inet()),
        header(0x31, 0x11, &inet()),
    ];
    for bytes in cases {
        match said(&bytes, 1_000).await {
            Err(HeaderError::Malformed(_)) => {}
            other => panic!("{other:?}: {}", bytes.escape_ascii()),
        }
    }
}

#[tokio::test]
async fn a_header_that_is_cut_off_is_none() {
    for whole in [
        header(0x21, 0x11, &inet()),
        b"PROXY TCP4 192.0.2.1 198.51.100.2 50000 443\r\n".into(),
    ] {
        for cut in 0..whole.len() {
            let mut bytes = &whole[..cut];
            let mut header = Vec::new();
            let error = read(&mut bytes, &mut header).await.expect_err("cut off");
            assert!(matches!(error, HeaderError::Gone), "{cut}: {error:?}");
            assert_eq!(header, whole[..cut]);
        }
    }
}

/// What a stream that is there already says, and how much of it was taken.
fn of_bytes(bytes: &[u8]) -> (Result<Said, HeaderError>, usize) {
    let mut left = bytes;
    let mut header = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let said = runtime
        .expect("a runtime")
        .block_on(read(&mut left, &mut header));
    assert_eq!(header.len(), bytes.len() - left.len());
    (said, header.len())
}

proptest! {
    #[test]
    fn any_bytes_are_read_within_the_bounds(
        begin in prop_oneof![Just(V2_SIGNATURE.to_vec()), Just(V1_BEGIN.to_vec()), Just(Vec::new())],
        rest in proptest::collection::vec(any::<u8>(), 0..700),
    ) {
        let (_, taken) = of_bytes(&[begin, rest].concat());
        prop_assert!(taken <= V2_BYTES_MAX);
    }

    #[test]
    fn every_address_is_read_as_it_was_written(
        source: SocketAddr, to: SocketAddr, behind in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let to = match (source, to.ip()) {
            (SocketAddr::V4(_), IpAddr::V6(_)) => SocketAddr::from(([1, 2, 3, 4], to.port())),
            (SocketAddr::V6(_), IpAddr::V4(_)) => SocketAddr::from(([0; 16], to.port())),
            _ => to,
        };
        let expected = Said::Client(Peer { addr: Some(SocketAddr::new(source.ip(), source.port())) });
        let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let line = format!("PROXY {protocol} {} {} {} {}\r\n", source.ip(), to.ip(), source.port(), to.port());
        let ports = [source.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        let octets = |ip| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let addresses = [octets(source.ip()), octets(to.ip()), ports].concat();
        let family = if source.is_ipv4() { 0x11 } else { 0x21 };
        for header in [line.into_bytes(), header(0x21, family, &addresses)] {
            let (said, taken) = of_bytes(&[&header[..], &behind].concat());
            prop_assert_eq!(said.expect("well written"), match &expected {
                Said::Client(peer) => Said::Client(*peer),
                Said::Own => Said::Own,
            });
            prop_assert_eq!(taken, header.len());
        }
    }
}

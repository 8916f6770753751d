//! Request smuggling (RFC 9112 11.2): requests that two readers may cut differently. Whatever is answered to them, it is one
//! answer, and the request that is hidden in each, a good one, is never read as a second.

use crate::support::{App, gate::Home, hmac_sha256_hex, sender::Connection};
use std::io::{Read, Write};

const SECRET: &str = "smuggled-secret";
const BODY: &str = r#"{"event":"order.created","id":"hidden"}"#;

fn hidden() -> String {
    let mac = hmac_sha256_hex(SECRET, &[BODY.as_bytes()]);
    format!(
        "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nX-Signature: {mac}\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// A request for the open source with these header lines and this body.
fn open(lines: &str, body: &str) -> String {
    format!("POST /hooks/open HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")
}

/// Every case: what it is called, and its bytes.
fn cases() -> Vec<(String, String)> {
    let hidden = hidden();
    let mut cases = Vec::new();
    // By its length the hidden request is in the body, by its coding behind it (CL.TE); and the other way round (TE.CL).
    let ended = format!("0\r\n\r\n{hidden}");
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let size_line = format!("{:x}\r\n", hidden.len()).len();
    let codings = [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: \tchunked \t",
        " Transfer-Encoding: chunked",
        "\tTransfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding\r\n: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\r\rTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: CHUNKED",
        "TRANSFER-ENCODING: chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \x0cchunked",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: \u{a0}chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
        "Transfer_Encoding: chunked",
        "Transfer Encoding: chunked",
        "Transfer-Encoding\0: chunked",
        "Transfer-Encoding;: chunked",
        "Content-Encoding: chunked",
        "TE: chunked",
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
        "Connection: Content-Length\r\nTransfer-Encoding: chunked",
    ];
    for coding in codings {
        let whole = format!("Content-Length: {}", ended.len());
        for (order, lines) in [
            ("length first", format!("{whole}\r\n{coding}\r\n")),
            ("coding first", format!("{coding}\r\n{whole}\r\n")),
        ] {
            cases.push((format!("CL.TE, {order}: {coding:?}"), open(&lines, &ended)));
        }
        // Names of other fields: the length counts for everybody, and what stands behind it is a request of its own.
        let other = ["Transfer_Encoding:", "Content-Encoding:", "TE:"];
        if other.iter().any(|name| coding.starts_with(name)) {
            continue;
        }
        let part = format!("Content-Length: {size_line}");
        cases.push((
            format!("TE.CL: {coding:?}"),
            open(&format!("{coding}\r\n{part}\r\n"), &chunk),
        ));
    }
    // Two lengths: by one the hidden request is in the body, by the other behind it.
    let long = hidden.len() + 2;
    for lines in [
        format!("Content-Length: 2\r\nContent-Length: {long}"),
        format!("Content-Length: {long}\r\nContent-Length: 2"),
        format!("Content-Length: 2, {long}"),
        format!("Content-Length: {long}\r\nContent-Length : 2"),
        format!("Content-Length: {long}\r\nContent_Length: 2"),
        format!("Content-Length: {long}\r\n Content-Length: 2"),
        format!("Content-Length: {long}\r\nContent-Length: +2"),
        format!("Content-Length: {long}\r\nContent-Length: 02"),
        format!("Content-Length: {long}\r\nContent-Length:\x0b2"),
        format!("Content-Length: {long}\nContent-Length: 2"),
        format!("Content-Length: {long}\rContent-Length: 2"),
        format!("Content-Length: {long} 2"),
        format!("Content-Length: 0x{long:x}"),
        format!("Content-Length: {long}.0"),
        format!("Content-Length: \"{long}\""),
        format!("Content-Length: 18446744073709551616{long}"),
        format!("Content-Length: {long}\r\nContent-Length:"),
    ] {
        cases.push((
            format!("two lengths: {lines:?}"),
            open(&format!("{lines}\r\n"), &format!("{{}}{hidden}")),
        ));
    }
    // Chunks whose end is where the reader believes it to be.
    let coded = "Transfer-Encoding: chunked\r\n";
    let len = hidden.len();
    let wrapped = 1_u128 << 64;
    for (name, body) in [
        (
            "an extension with a line end",
            format!("0;\n\r\n\r\n{hidden}"),
        ),
        (
            "an extension that ends in LF alone",
            format!("2;x\n{{}}\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "an extension with a bare CR",
            format!("2;a\rb\r\n{{}}\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "an extension without an end",
            format!("2;{}\r\n{{}}\r\n0\r\n\r\n{hidden}", "x".repeat(100_000)),
        ),
        (
            "extensions without an end",
            format!(
                "{}0\r\n\r\n{hidden}",
                "1;xxxxxxxxxxxxxxxx\r\nx\r\n".repeat(5_000)
            ),
        ),
        (
            "a size that ends in LF alone",
            format!("2\n{{}}\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "a size that ends in CR alone",
            format!("2\r{{}}\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "data that ends in LF alone",
            format!("2\r\n{{}}\n0\r\n\r\n{hidden}"),
        ),
        (
            "data that ends in two other bytes",
            format!("2\r\n{{}}XX0\r\n\r\n{hidden}"),
        ),
        (
            "a last chunk that ends in LF alone",
            format!("0\n\n{hidden}"),
        ),
        (
            "a size of 2^64 and a bit",
            format!("{:x}\r\n{{}}\r\n0\r\n\r\n{hidden}", wrapped + 2),
        ),
        (
            "a size with many zeros",
            format!("{}2\r\n{{}}\r\n0x\r\n\r\n{hidden}", "0".repeat(100)),
        ),
        ("a size in 0x", format!("0x2\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        (
            "a size with a sign",
            format!("+2\r\n{{}}\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "a size with a space before it",
            format!(" 2\r\n{{}}\r\n0 0\r\n\r\n{hidden}"),
        ),
        (
            "a size with an underscore",
            format!("0_2\r\n{{}}\r\n0\r\n\r\n{hidden}"),
        ),
        ("no size", format!("\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        (
            "a size that is a little too small",
            format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", len - 1),
        ),
        (
            "a size that is a little too large",
            format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", len + 1),
        ),
        // Trailers are read and dropped; they end the body and change nothing of it.
        (
            "a trailer with a length",
            format!("2\r\n{{}}\r\n0\r\nContent-Length: {len}\r\n\r\n"),
        ),
        (
            "a trailer with a coding",
            "2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        ),
        (
            "a trailer with a signature",
            "2\r\n{}\r\n0\r\nX-Signature: 00\r\nHost: b\r\n\r\n".to_owned(),
        ),
        (
            "a trailer that never ends",
            format!("2\r\n{{}}\r\n0\r\n{}", "X: y\r\n".repeat(50_000)),
        ),
        (
            "a trailer that is a request",
            format!("2\r\n{{}}\r\n0\r\n{hidden}"),
        ),
    ] {
        cases.push((format!("chunks: {name}"), open(coded, &body)));
    }
    // Heads after which a body may or may not come.
    let length = format!("Content-Length: {len}\r\n");
    for (name, request) in [
        (
            "a GET with a body",
            format!("GET /hooks/open HTTP/1.1\r\nHost: a\r\n{length}\r\n{hidden}"),
        ),
        (
            "a HEAD with a body",
            format!("HEAD /hooks/open HTTP/1.1\r\nHost: a\r\n{length}\r\n{hidden}"),
        ),
        (
            "a TRACE with a body",
            format!("TRACE /hooks/open HTTP/1.1\r\nHost: a\r\n{length}\r\n{hidden}"),
        ),
        (
            "an expectation and its body at once",
            open(&format!("Expect: 100-continue\r\n{length}"), &hidden),
        ),
        (
            "an expectation that is none",
            open(&format!("Expect: 100-continued\r\n{length}"), &hidden),
        ),
        (
            "a path that nobody has",
            format!("POST /nowhere HTTP/1.1\r\nHost: a\r\n{length}\r\n{hidden}"),
        ),
        (
            "a signature that is wrong",
            format!(
                "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nX-Signature: 00\r\n{length}\r\n{hidden}"
            ),
        ),
        (
            "an upgrade to h2c",
            open(
                &format!(
                    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n{length}"
                ),
                &hidden,
            ),
        ),
        (
            "an upgrade to a WebSocket",
            open(
                &format!(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{length}"
                ),
                &hidden,
            ),
        ),
        (
            "HTTP/1.0, which ends its connection",
            format!(
                "POST /hooks/open HTTP/1.0\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}{hidden}"
            ),
        ),
        (
            "the end of the connection, said",
            open(
                "Connection: close\r\nContent-Length: 2\r\n",
                &format!("{{}}{hidden}"),
            ),
        ),
        (
            "a head in the first line",
            format!(
                "POST /hooks/open HTTP/1.1 X\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}{hidden}"
            ),
        ),
        (
            "a tab in the first line",
            format!(
                "POST\t/hooks/open\tHTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}{hidden}"
            ),
        ),
        ("HTTP/0.9", format!("POST /hooks/open\r\n{hidden}")),
    ] {
        cases.push((name.to_owned(), request));
    }
    cases
}

/// Sends the bytes, says that no more will come, and counts the answers until the gateway closes.
fn answers(gate: &crate::support::Gate, request: &str) -> Vec<String> {
    let connection = Connection::open(gate.public);
    let mut stream = connection.stream();
    // It may be refused on the way.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // Only where much more was sent than is ever read.
        Err(error) => assert!(request.len() > 60_000, "{error}: {}", &request[..200]),
    }
    let text = String::from_utf8_lossy(&bytes).replace("HTTP/1.0 ", "HTTP/1.1 ");
    let all = text.split("HTTP/1.1 ").skip(1);
    // An interim answer is none.
    all.filter(|answer| !answer.starts_with("100"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_second_request_is_never_read_out_of_a_body() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  open: {{ verify: none, dedupe: {{ skip: [] }}, forward: app }}\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    \
         secret: {SECRET}\n    forward: app\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    let taken = r#"hookgate_events_total{source="shop",result="accepted"}"#;
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 150, "{}", cases.len());
    for (name, request) in cases {
        let got = answers(&gate, &request);
        let may_be_lost = request.len() > 60_000;
        if got.len() > 1 || (got.is_empty() && !may_be_lost) || gate.metric(taken) > 0.0 {
            wrong.push(format!("{name}: {got:?}"));
        }
        if gate.metric(taken) > 0.0 {
            // Every later one would seem to have done it.
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        answers(&gate, &hidden()).len(),
        1,
        "by itself it is answered"
    );
    assert_eq!(gate.metric(taken), 1.0, "and taken");
}

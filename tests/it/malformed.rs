//! Malformed HTTP over raw sockets: each request with its answer, and the proof that nothing was stored and that
//! no second request was read out of a body.

use crate::support::{
    App, Gate,
    gate::{Home, find_series},
    hmac_sha256_hex,
    sender::Connection,
    wait_until,
};

const SECRET: &str = "strict-secret";
const BODY: &str = r#"{"event":"order.created","id":"smuggled"}"#;

/// What a request has to end in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expect {
    /// This status, then the connection is closed.
    Closed(u16),
    /// This status; the connection may go on.
    Status(u16),
    /// One of: this status, or one answer of any status; closed after it either way, and only one answer.
    OneAnswer(u16),
}
use Expect::{Closed, OneAnswer, Status};

struct Case {
    name: &'static str,
    request: Vec<u8>,
    expect: Expect,
}

fn case(name: &'static str, expect: Expect, request: impl Into<Vec<u8>>) -> Case {
    Case {
        name,
        request: request.into(),
        expect,
    }
}

/// A whole, rightly signed request: what an attacker would hide inside another.
fn hidden() -> String {
    let mac = hmac_sha256_hex(SECRET, &[BODY.as_bytes()]);
    format!(
        "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nX-Signature: {mac}\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// A request for the open source with these head lines and this body.
fn open(lines: &str, body: &str) -> String {
    format!("POST /hooks/open HTTP/1.1\r\n{lines}\r\n{body}")
}

/// A request for the source that asks for signatures, without a right one.
fn unsigned(lines: &str, body: &str) -> String {
    format!("POST /hooks/shop HTTP/1.1\r\nX-Signature: 00\r\n{lines}\r\n{body}")
}

fn cases() -> Vec<Case> {
    let hidden = hidden();
    let chunked = "Host: a\r\nTransfer-Encoding: chunked\r\n";
    let length = "Host: a\r\nContent-Length: 2\r\n";
    let many_headers: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    let large_header = format!("X-Large: {}\r\n", "a".repeat(33 * 1024));
    let mut cases = vec![
        case(
            "an HTTP/2 preface",
            Closed(400),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ),
        // Host (RFC 9112 3.2)
        case(
            "no Host in HTTP/1.1",
            Closed(400),
            open("Content-Length: 2\r\n", "{}"),
        ),
        case(
            "two Hosts",
            Closed(400),
            open("Host: a\r\nHost: b\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "two equal Hosts",
            Closed(400),
            open("Host: a\r\nHost: a\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "empty Host",
            Closed(400),
            open("Host:\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "Host with a path",
            Closed(400),
            open("Host: a/b\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "Host with a user",
            Closed(400),
            open("Host: u@a\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "Host with a space",
            Closed(400),
            open("Host: a b\r\nContent-Length: 2\r\n", "{}"),
        ),
        // Framing (RFC 9112 6)
        // hyper hides the length and closes after one answer (RFC 9112 6.3): to the unsigned request that it sees,
        // that answer is 401 here.
        case(
            "length beside chunked",
            OneAnswer(400),
            unsigned(
                &format!("{chunked}Content-Length: 5\r\n"),
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "chunked beside length",
            OneAnswer(400),
            unsigned(
                "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "unknown coding",
            Closed(400),
            open("Host: a\r\nTransfer-Encoding: x\r\n", &hidden),
        ),
        case(
            "unknown coding before chunked",
            Closed(400),
            open(
                "Host: a\r\nTransfer-Encoding: x, chunked\r\n",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "chunked before another coding",
            Closed(400),
            open(
                "Host: a\r\nTransfer-Encoding: chunked, gzip\r\n",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "chunked twice",
            Closed(400),
            open(
                "Host: a\r\nTransfer-Encoding: chunked, chunked\r\n",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "two Transfer-Encoding lines",
            Closed(400),
            open(
                &format!("{chunked}Transfer-Encoding: chunked\r\n"),
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "coding identity",
            Closed(400),
            open(
                "Host: a\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n",
                &format!("{{}}{hidden}"),
            ),
        ),
        case(
            "coding with a control character",
            Closed(400),
            open(
                "Host: a\r\nTransfer-Encoding: \x0bchunked\r\n",
                &format!("0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "chunked in HTTP/1.0",
            Closed(400),
            format!(
                "POST /hooks/open HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
            ),
        ),
        case(
            "two lengths that differ",
            Closed(400),
            open(
                "Host: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
                &format!("{{}}{hidden}"),
            ),
        ),
        case(
            "two lengths in one line",
            Closed(400),
            open(
                "Host: a\r\nContent-Length: 2, 3\r\n",
                &format!("{{}}{hidden}"),
            ),
        ),
        case(
            "negative length",
            Closed(400),
            open("Host: a\r\nContent-Length: -2\r\n", "{}"),
        ),
        case(
            "length with a sign",
            Closed(400),
            open(
                "Host: a\r\nContent-Length: +2\r\n",
                &format!("{{}}{hidden}"),
            ),
        ),
        case(
            "length in hex",
            Closed(400),
            open(
                "Host: a\r\nContent-Length: 0x2\r\n",
                &format!("{{}}{hidden}"),
            ),
        ),
        case(
            "length with a fraction",
            Closed(400),
            open("Host: a\r\nContent-Length: 2.0\r\n", "{}"),
        ),
        case(
            "empty length",
            Closed(400),
            open("Host: a\r\nContent-Length: \r\n", &hidden),
        ),
        case(
            "length over 64 bits",
            Closed(400),
            open("Host: a\r\nContent-Length: 99999999999999999999\r\n", "{}"),
        ),
        case(
            "length over the limit",
            Closed(413),
            open("Host: a\r\nContent-Length: 1048577\r\n", "{}"),
        ),
        case(
            "bad chunk size",
            Closed(400),
            open(chunked, &format!("zz\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        ),
        case(
            "negative chunk size",
            Closed(400),
            open(chunked, &format!("-2\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        ),
        case(
            "chunk size over 64 bits",
            Closed(400),
            open(
                chunked,
                &format!("fffffffffffffffff\r\n{{}}\r\n0\r\n\r\n{hidden}"),
            ),
        ),
        case(
            "chunk longer than it says",
            Closed(400),
            open(chunked, &format!("1\r\n{{}}\r\n0\r\n\r\n{hidden}")),
        ),
        case(
            "chunk without its line end",
            Closed(400),
            open(chunked, &format!("2\r\n{{}}0\r\n\r\n{hidden}")),
        ),
        case(
            "chunks over the limit",
            Closed(413),
            open(
                chunked,
                &format!("100001\r\n{}\r\n0\r\n\r\n", "x".repeat(0x10_0001)),
            ),
        ),
        // Heads
        case(
            "obs-fold",
            Closed(400),
            open(
                "Host: a\r\nX-Folded: a\r\n b\r\nContent-Length: 2\r\n",
                "{}",
            ),
        ),
        case(
            "space before the colon",
            Closed(400),
            open("Host: a\r\nX-Space : 1\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "header without a colon",
            Closed(400),
            open("Host: a\r\nX-Colonless\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "empty header name",
            Closed(400),
            open("Host: a\r\n: 1\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "NUL in a value",
            Closed(400),
            open("Host: a\r\nX-Nul: a\0b\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "bare CR in a value",
            Closed(400),
            open("Host: a\r\nX-Cr: a\rb\r\nContent-Length: 2\r\n", "{}"),
        ),
        case(
            "too many headers",
            Closed(431),
            open(&format!("{length}{many_headers}"), "{}"),
        ),
        case(
            "header too large",
            Closed(431),
            open(&format!("{length}{large_header}"), "{}"),
        ),
        // First lines
        case(
            "CONNECT",
            Closed(400),
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        ),
        case(
            "asterisk",
            Closed(400),
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        case(
            "no version",
            Closed(400),
            "POST /hooks/open\r\nHost: a\r\n\r\n",
        ),
        case(
            "HTTP/2.0 in text",
            Closed(400),
            "POST /hooks/open HTTP/2.0\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "HTTP/1.2",
            Closed(400),
            "POST /hooks/open HTTP/1.2\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "no method",
            Closed(400),
            " /hooks/open HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        case(
            "space in the path",
            Closed(400),
            "POST /hooks/ open HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "control in the path",
            Closed(400),
            "POST /hooks/\x01open HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        ),
        case(
            "TLS to a plain port",
            Closed(400),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        ),
        case("noise", Closed(400), "\r\n\r\nnoise\r\n\r\n"),
        case(
            "unknown expectation",
            Closed(400),
            open(&format!("{length}Expect: x\r\n"), "{}"),
        ),
        // Well-formed, and not for us
        case(
            "unknown path",
            Status(404),
            format!("POST /nowhere HTTP/1.1\r\n{length}\r\n{{}}"),
        ),
        case(
            "path with a slash more",
            Status(404),
            format!("POST /hooks/open/ HTTP/1.1\r\n{length}\r\n{{}}"),
        ),
        case(
            "encoded path",
            Status(404),
            format!("POST /hooks/%6fpen HTTP/1.1\r\n{length}\r\n{{}}"),
        ),
        case(
            "GET",
            Status(405),
            "GET /hooks/open HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        case(
            "PUT",
            Status(405),
            format!("PUT /hooks/open HTTP/1.1\r\n{length}\r\n{{}}"),
        ),
        case(
            "HEAD",
            Status(405),
            "HEAD /hooks/shop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ),
    ];
    // A body that is a request: it is one body, refused for its signature, and never a second request.
    let body_is_a_request = format!(
        "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nX-Signature: 00\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    cases.push(case(
        "a request inside a body",
        Status(401),
        body_is_a_request,
    ));
    let unread = format!(
        "POST /hooks/shop HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    cases.push(case("a request inside an unread body", Status(401), unread));
    cases
}

/// Sends the bytes, says that no more will come, and returns every answer until the gateway closes.
fn exchange(gate: &Gate, request: &[u8]) -> Vec<(u16, String)> {
    use std::io::{Read, Write};
    let connection = Connection::open(gate.public);
    let mut stream = connection.stream();
    // The gateway may answer and close before it has read everything: that is one of the right answers.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("the answer is not lost to a reset");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| (answer[..3].parse().expect("a status"), answer.to_owned()))
        .collect()
}

#[test]
fn malformed_requests_are_refused_and_nothing_is_stored() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  open:\n    verify: none\n    forward: app\n  shop:\n    verify: {{ hmac: {{ header: X-Signature }} }}\n    \
         secret: {SECRET}\n    forward: app\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for Case {
        name,
        request,
        expect,
    } in &cases
    {
        let answers = exchange(&gate, request);
        let fits = match (expect, answers.as_slice()) {
            // Errors that the parser raises by itself close without having to say so in a header.
            (Closed(status), [(got, text)]) => {
                got == status
                    && (text.to_ascii_lowercase().contains("connection: close")
                        || text.contains("content-length: 0"))
            }
            (Status(status), [(got, _)]) => got == status,
            (OneAnswer(status), [(got, text)]) => {
                got == status || text.to_ascii_lowercase().contains("connection: close")
            }
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name}: expected {expect:?}, got {answers:?}"));
        }
    }
    // Whatever the answers: nothing got in but what one answer may have taken.
    let taken: Vec<String> = app
        .got()
        .iter()
        .map(|got| String::from_utf8_lossy(&got.body).into_owned())
        .collect();
    assert!(
        !taken.iter().any(|body| body.contains("smuggled")),
        "a second request was read out of a body: {taken:?}"
    );
    assert_eq!(
        gate.metric(r#"hookgate_events_total{source="shop",result="accepted"}"#),
        0.0
    );
    assert_eq!(
        gate.metric(r#"hookgate_events_total{source="open",result="accepted"}"#),
        0.0,
        "nothing was stored"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        !exchange(&gate, hidden().as_bytes()).is_empty(),
        "and the hidden request by itself is a good one"
    );
    assert_eq!(
        gate.metric(r#"hookgate_events_total{source="shop",result="accepted"}"#),
        1.0
    );
}

#[test]
fn well_formed_bodies_in_every_framing_are_taken() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  open: {{ verify: none, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    let mut connection = Connection::open(gate.public);
    // Pipelined: three requests in one write, chunked and not, answered in order.
    let chunked = "POST /hooks/open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nX-Trailer: 1\r\n\r\n";
    let length = |body: &str| {
        format!(
            "POST /hooks/open HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    connection.write(format!("{chunked}{}{}", length(r#"{"a":2}"#), length("")).as_bytes());
    for _ in 0..3 {
        assert_eq!(connection.reply().status, 200);
    }
    // 100-continue: the sender waits for it before the body.
    connection.write(b"POST /hooks/open HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n");
    connection.wait_for_continue();
    connection.write(br#"{"a":3}"#);
    assert_eq!(connection.reply().status, 200);
    // HTTP/1.0 without Host.
    connection = Connection::open(gate.public);
    connection.write(b"POST /hooks/open HTTP/1.0\r\nContent-Length: 7\r\n\r\n{\"a\":4}");
    assert_eq!(connection.read_to_close().expect("readable")[0].status, 200);
    let mut bodies: Vec<String> = app
        .wait_for(5)
        .iter()
        .map(|got| String::from_utf8_lossy(&got.body).into_owned())
        .collect();
    bodies.sort();
    assert_eq!(
        bodies,
        ["", r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"a":4}"#]
    );
}

#[test]
fn an_answer_before_the_body_says_that_the_connection_ends() {
    let app = App::start();
    let home = Home::new(&format!(
        "sources:\n  shop: {{ verify: {{ hmac: {{ header: X-Signature }} }}, secret: s, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    for (method, path, status) in [
        ("POST", "/hooks/shop", 401),
        ("POST", "/nowhere", 404),
        ("PUT", "/hooks/shop", 405),
    ] {
        for body in [
            "Content-Length: 2\r\n\r\n{}",
            "Content-Length: 9\r\n\r\n{}",
            "Transfer-Encoding: chunked\r\n\r\n",
        ] {
            let mut connection = Connection::open(gate.public);
            connection.write(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
            let replies = connection.read_to_close().expect("closed in order");
            assert_eq!(replies.len(), 1, "{method} {path} {body}");
            assert_eq!(
                (replies[0].status, replies[0].header("connection")),
                (status, Some("close")),
                "{method} {path} {body}"
            );
        }
        // Without a body nothing is left to be read: the connection goes on.
        let mut connection = Connection::open(gate.public);
        for _ in 0..2 {
            connection.write(
                format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                    .as_bytes(),
            );
            let reply = connection.reply();
            assert_eq!((reply.status, reply.header("connection")), (status, None));
        }
    }
}

#[test]
fn requests_for_no_source_are_counted_and_have_no_other_series() {
    let app = App::start();
    let home = Home::new(&format!(
        "limits: {{ header_timeout: 300ms }}\nsources:\n  open: {{ verify: none, respond: {{ status: 202 }}, forward: app }}\ntargets:\n  app: {{ url: {} }}\n",
        app.url()
    ));
    let gate = home.start();
    for code in [202, 400, 401, 408, 413, 503] {
        let series = format!(r#"hookgate_http_requests_total{{source="open",code="{code}"}}"#);
        assert_eq!(gate.metric(&series), 0.0, "known from the start");
    }
    let handshakes = r#"hookgate_requests_rejected_total{source="",reason="tls"}"#;
    assert_eq!(gate.metric(handshakes), 0.0, "known from the start");
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(40_000)
    );
    for request in [
        "GARBAGE\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &large,
        "POST /hooks/op",
    ] {
        let mut connection = gate.while_stopped(|| {
            let mut connection = Connection::open(gate.public);
            connection.write(request.as_bytes());
            connection
        });
        let replies = connection.read_to_close().expect("closed in order");
        assert_eq!(replies.len(), 1);
    }
    for (code, reason, count) in [
        (400, "malformed", 2.0),
        (431, "too_large", 1.0),
        (408, "timeout", 1.0),
    ] {
        let code = format!(r#"hookgate_http_requests_total{{source="",code="{code}"}}"#);
        let reason = format!(r#"hookgate_requests_rejected_total{{source="",reason="{reason}"}}"#);
        // Counted a little after the connection is closed.
        wait_until("they are counted", || gate.metric(&code) >= count);
        assert_eq!(
            (gate.metric(&code), gate.metric(&reason)),
            (count, count),
            "{reason}"
        );
    }
    let text = gate.admin_get("/metrics").body;
    for line in text.lines().filter(|line| line.contains(r#"source="""#)) {
        assert!(
            line.starts_with("hookgate_http_requests_total{")
                || line.starts_with("hookgate_requests_rejected_total{")
                || (line.starts_with("hookgate_unavailable_total{")
                    && line.contains("reason=\"connections\"")),
            "{line}"
        );
    }
    let of_a_source = handshakes.replace(r#"source="""#, r#"source="open""#);
    assert_eq!(find_series(&text, &of_a_source), None);
    assert!(!text.contains(r#"outcome="failed",reason="2xx""#));
}

//! HTTP/2 frames without end: each kind ends in GOAWAY or in a closed connection, and costs no memory.

use crate::http2::home;
use crate::support::{
    App, Gate, Request,
    h2::{self, Wire, frame},
    process::resident_kib,
};
use std::time::Instant;

/// Bytes that a flood sends at most: far more than it may cost.
const FLOOD: usize = 64 << 20;
/// KiB that the gateway may grow by meanwhile.
const GROWTH_KIB: u64 = 12 << 10;

/// The bytes of the frames with a number.
type Piece = Box<dyn FnMut(u32) -> Vec<u8> + Send>;

/// Sends a piece again and again, after `first`: the code of the GOAWAY, and how many bytes were taken.
fn flood(gate: &Gate, first: &[u8], mut piece: Piece) -> (Option<u32>, usize) {
    let mut wire = Wire::open(gate.public);
    wire.write(first);
    let mut writing = wire.second();
    let writer = std::thread::spawn(move || {
        let mut sent = 0;
        let mut number = 0;
        while sent < FLOOD {
            let mut bytes = Vec::new();
            while bytes.len() < 16 << 10 {
                bytes.extend(piece(number));
                number += 1;
            }
            if writing.try_write(&bytes).is_err() {
                break;
            }
            sent += bytes.len();
        }
        sent
    });
    let code = wire.goaway();
    (code, writer.join().expect("no panic"))
}

#[test]
fn every_flood_ends_and_costs_no_memory() {
    let app = App::start();
    let home = home(
        &app,
        "limits: { header_timeout: 5s, idle_timeout: 5s, body_timeout: 5s }\n",
    );
    let gate = home.start();
    // What the gateway has anyhow.
    for n in 0..20 {
        let reply = gate.send(&Request::new("/hooks/open", format!("{{\"n\":{n}}}")));
        assert_eq!(reply.status, 200);
    }
    let open = |stream| {
        frame(
            h2::HEADERS,
            h2::END_HEADERS,
            stream,
            &h2::post("/hooks/open"),
        )
    };
    let odd = |number: u32| number * 2 + 1;
    let calm = Some(h2::ENHANCE_YOUR_CALM);
    let cases: Vec<(&str, Vec<u8>, Piece, Option<u32>)> = vec![
        (
            "PING",
            Vec::new(),
            Box::new(|_| frame(h2::PING, 0, 0, &[7; 8])),
            calm,
        ),
        (
            "SETTINGS",
            Vec::new(),
            Box::new(|_| frame(h2::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])),
            calm,
        ),
        (
            "empty DATA",
            open(1),
            Box::new(|_| frame(h2::DATA, 0, 1, &[])),
            calm,
        ),
        (
            "PRIORITY",
            Vec::new(),
            Box::new(move |number| frame(h2::PRIORITY, 0, odd(number), &[0, 0, 0, 0, 1])),
            calm,
        ),
        (
            "WINDOW_UPDATE",
            Vec::new(),
            Box::new(|_| frame(h2::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
            calm,
        ),
        (
            "CONTINUATION",
            frame(h2::HEADERS, 0, 1, &h2::post("/hooks/open")),
            Box::new(|number| {
                let name = format!("x-{number}");
                let block = h2::fields(&[(&name, "0123456789012345678901234567890123456789")]);
                frame(h2::CONTINUATION, 0, 1, &block)
            }),
            calm,
        ),
        (
            "empty CONTINUATION",
            frame(h2::HEADERS, 0, 1, &h2::post("/hooks/open")),
            Box::new(|_| frame(h2::CONTINUATION, 0, 1, &[])),
            calm,
        ),
        (
            "rapid reset",
            Vec::new(),
            Box::new(move |number| {
                let mut bytes = open(odd(number));
                bytes.extend(frame(h2::RST_STREAM, 0, odd(number), &[0, 0, 0, 8]));
                bytes
            }),
            calm,
        ),
        (
            "requests that are none",
            Vec::new(),
            Box::new(move |number| {
                let block = h2::fields(&[(":method", "POST"), ("connection", "close")]);
                frame(h2::HEADERS, h2::END_HEADERS, odd(number), &block)
            }),
            calm,
        ),
        (
            "DATA for nobody",
            Vec::new(),
            Box::new(|_| frame(h2::DATA, 0, 1, &[0; 1024])),
            Some(h2::PROTOCOL_ERROR),
        ),
    ];
    for (name, first, piece, expected) in cases {
        let before = resident_kib(gate.pid());
        let since = Instant::now();
        let (code, sent) = flood(&gate, &first, piece);
        let (took, after) = (since.elapsed(), resident_kib(gate.pid()));
        let grown = after.saturating_sub(before);
        eprintln!("{name}: GOAWAY {code:?} after {sent} bytes and {took:?}, {grown} KiB more");
        assert_eq!(code, expected, "{name}");
        assert!(sent < FLOOD, "{name}: all {sent} bytes were taken");
        assert!(grown < GROWTH_KIB, "{name}: {grown} KiB more");
    }
    let reply = gate.send(&Request::new("/hooks/open", "{\"after\":true}"));
    assert_eq!(reply.status, 200);
}

/// Requests that run are taken back one by one, each after it has surely begun: h2 itself does not count these.
#[test]
fn requests_that_are_taken_back_once_they_run_end_the_connection_too() {
    let app = App::start();
    let home = home(&app, "limits: { http2: { resets: 20 } }\n");
    let gate = home.start();
    let mut wire = Wire::open(gate.public);
    wire.find(h2::SETTINGS, 0);
    let block = h2::post("/hooks/open");
    let mut taken_back = 0_u32;
    'requests: while taken_back < 1_000 {
        let stream = taken_back * 2 + 1;
        let mut bytes = frame(h2::HEADERS, h2::END_HEADERS, stream, &block);
        bytes.extend(frame(h2::PING, 0, 0, &[7; 8]));
        if wire.try_write(&bytes).is_err() {
            break;
        }
        // Answered after the request was looked at.
        loop {
            match wire.read() {
                Some(frame) if frame.kind == h2::PING => break,
                Some(frame) if frame.kind == h2::GOAWAY => {
                    assert_eq!(frame.code(), h2::ENHANCE_YOUR_CALM);
                    break 'requests;
                }
                Some(_) => {}
                None => panic!("closed without a word after {taken_back}"),
            }
        }
        let reset = frame(h2::RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        if wire.try_write(&reset).is_err() {
            break;
        }
        taken_back += 1;
    }
    assert!((20..=40).contains(&taken_back), "{taken_back}");
}

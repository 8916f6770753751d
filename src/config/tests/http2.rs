//! Where HTTP/2 is spoken, and the bounds of handshakes and of HTTP/2 connections. (Certificates need files:
//! `tests/it/secured.rs`.)

use super::{accepted, load, secs, shown};

const SOURCE: &str = "\nsources: { a: { verify: none, forward: http://a/ } }";

#[test]
fn http2_is_spoken_where_it_is_asked_for() {
    for (listen, expected) in [
        (":80", false),
        ("{ address: ':80' }", false),
        ("{ address: ':80', http2: true }", true),
        ("{ address: ':80', http2: false }", false),
    ] {
        let (config, _) = accepted(&format!("listen: {listen}{SOURCE}"));
        assert_eq!(config.listeners[0].http2, expected, "{listen}");
        assert!(config.listeners[0].tls.is_none(), "{listen}");
    }
}

#[test]
fn bounds_are_read() {
    let (config, _) = accepted(&format!(
        "limits: {{ tls: {{ handshake_timeout: 3s, handshakes: 7 }}, http2: {{ streams: 1, stream_window: 1KiB, \
         connection_window: 64KiB, frame_size: 1MiB, resets: 2, control_frames: 3, ping_interval: 4s, ping_timeout: 5s \
         }} }}{SOURCE}"
    ));
    let (tls, http2) = (config.limits.tls, config.limits.http2);
    assert_eq!((tls.handshake_timeout, tls.handshakes), (secs(3), 7));
    assert_eq!(
        (http2.streams, http2.resets, http2.control_frames),
        (1, 2, 3)
    );
    assert_eq!(http2.stream_window_bytes, 1 << 10);
    assert_eq!(http2.connection_window_bytes, 64 << 10);
    assert_eq!(http2.frame_bytes, 1 << 20);
    assert_eq!(
        (http2.ping_interval, http2.ping_timeout),
        (secs(4), secs(5))
    );
}

#[test]
fn bounds_out_of_range_are_refused() {
    for (limit, said) in [
        ("tls: { handshakes: 0 }", "limits.tls.handshakes: "),
        (
            "http2: { stream_window: 512 }",
            "limits.http2.stream_window: 512B is out of range; accepted: 1KiB to 16MiB",
        ),
        (
            "http2: { connection_window: 1GiB }",
            "limits.http2.connection_window: 1GiB is out of range; accepted: 64KiB to 64MiB",
        ),
        (
            "http2: { frame_size: 1KiB }",
            "limits.http2.frame_size: 1KiB is out of range; accepted: 16KiB to 1MiB",
        ),
        ("http2: { streams: 0 }", "limits.http2.streams: "),
        (
            "http2: { ping_interval: 0s }",
            "limits.http2.ping_interval: ",
        ),
    ] {
        let problems = load(&format!("limits: {{ {limit} }}{SOURCE}")).expect_err(limit);
        let problems = shown(&problems);
        assert!(problems.contains(said), "{problems}");
    }
}

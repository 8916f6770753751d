//! `limits.tls` and `limits.http2`: bounds of handshakes, and of what one HTTP/2 connection may do.

use crate::config::{
    reader::{Map, Node},
    tls::{Http2Limits, TlsLimits},
    value::{DURATION, SIZE, count_kind, size_text},
};

/// Handshakes at one time, each of which costs a key's work.
const HANDSHAKES_MAX: usize = 1_000_000;
/// Requests at one time: more than any sender has.
const STREAMS_MAX: usize = 10_000;
/// Frames or requests that are let pass.
const COUNT_MAX: usize = 1_000_000;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Reads `limits.tls`.
pub(super) fn tls_limits(section: Option<&Node<'_>>) -> TlsLimits {
    let mut limits = TlsLimits::default();
    let map = section.and_then(|node| node.map(&["handshake_timeout", "handshakes"]));
    if let Some(map) = map {
        limits.handshake_timeout =
            map.read_or("handshake_timeout", &DURATION, limits.handshake_timeout);
        limits.handshakes = map.read_or(
            "handshakes",
            &count_kind::<HANDSHAKES_MAX>(),
            limits.handshakes,
        );
    }
    limits
}

/// Reads `limits.http2`.
pub(super) fn http2_limits(section: Option<&Node<'_>>) -> Http2Limits {
    let mut limits = Http2Limits::default();
    let keys = &[
        "streams",
        "stream_window",
        "connection_window",
        "frame_size",
        "resets",
        "control_frames",
        "ping_interval",
        "ping_timeout",
    ];
    let Some(map) = section.and_then(|node| node.map(keys)) else {
        return limits;
    };
    limits.streams = count::<STREAMS_MAX>(&map, "streams", limits.streams);
    limits.resets = count::<COUNT_MAX>(&map, "resets", limits.resets);
    limits.control_frames = count::<COUNT_MAX>(&map, "control_frames", limits.control_frames);
    // The ranges are those of RFC 9113 (6.5.2, 6.9.1), cut where more would be no bound.
    limits.stream_window_bytes = size(
        &map,
        "stream_window",
        (KIB, 16 * MIB),
        limits.stream_window_bytes,
    );
    limits.connection_window_bytes = size(
        &map,
        "connection_window",
        (64 * KIB, 64 * MIB),
        limits.connection_window_bytes,
    );
    limits.frame_bytes = size(&map, "frame_size", (16 * KIB, MIB), limits.frame_bytes);
    limits.ping_interval = map.read_or("ping_interval", &DURATION, limits.ping_interval);
    limits.ping_timeout = map.read_or("ping_timeout", &DURATION, limits.ping_timeout);
    limits
}

fn count<const MAX: usize>(map: &Map<'_>, key: &str, default: u32) -> u32 {
    map.read(key, &count_kind::<MAX>())
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(default)
}

fn size(map: &Map<'_>, key: &str, (least, most): (u64, u64), default: u32) -> u32 {
    let Some(node) = map.get(key) else {
        return default;
    };
    let Some(bytes) = node.read(&SIZE) else {
        return default;
    };
    if !(least..=most).contains(&bytes) {
        node.problem(format!(
            "{} is out of range; accepted: {} to {}",
            size_text(bytes),
            size_text(least),
            size_text(most)
        ));
    }
    u32::try_from(bytes).unwrap_or(default)
}

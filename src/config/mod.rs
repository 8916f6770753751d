//! The configuration as it was accepted: every value checked, every default filled in, every name resolved.
//! Nothing here is looked at twice per request; rooms prepare what they need from it once.
//!
//! [`load`] reads it, [`problem`] says what is wrong with it.

pub mod environment;
pub mod files;
pub mod handshake;
pub mod key;
pub mod listener;
pub mod load;
pub mod pattern;
pub mod presets;
pub mod problem;
pub mod secret;
pub mod source;
pub mod summary;
pub mod target;
pub mod template;
pub mod tls;
pub mod verify;

// From text to values, in the order in which it happens.
mod check;
mod locate;
pub(crate) mod misnamed;
mod read;
mod reader;
mod report;
mod substitute;
mod suggest;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

pub use listener::{Listener, Place};
pub use pattern::Patterns;
pub use presets::presets;
pub use read::takes;
pub use secret::Secret;
pub use source::{Ack, Dedupe, Rejects, Respond, Route, Sample, SkipRule, Source, Status};
pub(crate) use suggest::nearest;
pub use summary::summary;
pub use target::{Target, WhenFull};
pub(crate) use value::{
    DURATION, HEADER, HEADER_VALUE, LISTEN, PUBLIC_URL, SIZE, URL, duration_text, size_text,
};
pub use verify::Verify;

use crate::network::Networks;
use crate::rate::Rate;
use http::{HeaderMap, Uri};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The JSON Schema of a configuration file, for editors. It is written by hand, since a file is read by hand; tests hold
/// its keys and words against those that are read.
pub fn schema() -> &'static str {
    include_str!("../../config/schema.json")
}

/// A whole configuration that passed every check.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where senders connect: at least one place, and no two that collide.
    pub listeners: Vec<Listener>,
    /// Peers that say in `X-Forwarded-For` who sends.
    pub trusted_proxies: Networks,
    /// The operator's side.
    pub admin: Admin,
    /// Where events are kept, and how many.
    pub store: Store,
    /// Bounds of the public side.
    pub limits: Limits,
    /// How a stop goes.
    pub shutdown: Shutdown,
    /// How a change of the files is noticed.
    pub reload: Reload,
    /// Where traces go; none by default.
    pub traces: Option<Traces>,
    /// Who sends; paths and names are unique.
    pub sources: Vec<Source>,
    /// Where events go; names are unique. Made from `targets` and from the URLs in `forward`.
    pub targets: Vec<Target>,
    /// Hex SHA-256 of the file's text, for `config_info`.
    pub hash: String,
}

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where operators and Prometheus connect.
    pub listen: SocketAddr,
    /// Bearer token of the API; none when empty.
    pub token: Option<Secret>,
}

/// Where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// The directory; made if missing.
    pub path: PathBuf,
    /// Bound on live bytes: used pages plus the write-ahead log.
    pub max_size_bytes: u64,
    /// Bytes that stay free on the filesystem.
    pub min_free_bytes: u64,
    /// How long delivered payloads are kept.
    pub retention: Duration,
    /// How long dead letters are kept.
    pub dead_retention: Duration,
    /// In this time every payload is read once and its checksum compared; zero: not at all.
    pub scrub: Duration,
    /// How long the structure is looked at before anything is received; zero: not at all.
    pub start_check: Duration,
    /// Attempts that are kept for each delivery.
    pub attempts: u32,
    /// How long it is kept what came and where it went, without bodies; zero: not at all.
    pub history: Duration,
}

/// Bounds of the public side.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a body; a source may have its own.
    pub body_bytes: u64,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub headers: usize,
    /// Connections open at one time.
    pub connections: usize,
    /// Bytes of bodies being received or awaiting their commit; as many again may wait in memory for delivery.
    pub in_flight_bytes: u64,
    /// From accept, or from the first byte of a later request, to the end of its head.
    pub header_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// Remembered keys over all sources.
    pub dedupe_keys: usize,
    /// Elements of a list that are looked at for signatures in one request; one with more is refused.
    pub signatures: usize,
    /// Refused requests that are kept in a second of one client's, where a source keeps them.
    pub rejects_per_client: u32,
    /// Of TLS handshakes.
    pub tls: tls::TlsLimits,
    /// Of one HTTP/2 connection.
    pub http2: tls::Http2Limits,
    /// Requests of one client to one source whose body was read in vain; beyond it none is read. None: no limit.
    pub failures_per_client: Option<Rate>,
    /// Connections of one client open at one time, those in `trusted_proxies` excepted; none is no bound.
    pub connections_per_client: Option<usize>,
    /// Clients whose failures are known at one time, over all sources.
    pub failing_clients: usize,
    /// Of `in_flight_bytes`, what one source of several may have: percent, 1 to 100.
    pub in_flight_per_source_percent: u32,
}

/// How a change of the files is noticed while the gateway runs.
#[derive(Clone, Debug)]
pub struct Reload {
    /// Between two looks at the configuration file and every file that it names; zero: they are not looked at. A change
    /// is used once two looks have found the same, so that no file is read while it is being written.
    pub watch: Duration,
}

/// Where traces go (OTLP over HTTP, in JSON).
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Where spans are sent: the collector's URL, ending in `/v1/traces`.
    pub endpoint: Uri,
    /// The share of requests that are recorded, 0.0 to 1.0, beside those whose proven sender records them.
    pub share: f64,
    /// The `service.name` of every span.
    pub service: String,
    /// Sent along, such as a key; all marked as sensitive.
    pub headers: HeaderMap,
    /// Spans that wait to be sent; what finds no room is dropped.
    pub queue: usize,
    /// Of one try to send.
    pub timeout: Duration,
}

/// How a stop goes.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// How long events are still taken after the signal.
    pub delay: Duration,
    /// How long running commits and attempts may take to finish.
    pub timeout: Duration,
}

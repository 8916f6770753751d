//! The sections about the gateway itself: where it listens, what it keeps, its bounds, its end.

use super::http2;
use super::listen::collide;
use crate::config::{
    Admin, Limits, Reload, Secret, Shutdown, Store,
    listener::{Listener, Place},
    reader::{Map, Node, every},
    tls::{Http2Limits, TlsLimits},
    value::{
        self, ATTEMPTS, DURATION, DURATION_OR_ZERO, NETWORKS, PERCENT, RATE_OR_OFF, SIZE,
        SIZE_OR_ZERO, count_kind, size_text,
    },
};
use crate::network::{Network, Networks};
use crate::rate::Rate;
use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

/// Where operators connect by default: from this machine only.
const ADMIN_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9444));

/// The store's directory by default.
const STORE_PATH: &str = "./data";

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bytes of a head: fewer hold the headers of hardly any sender.
const HEADER_BYTES_MIN: usize = 1 << 10;
/// Bytes of a head; each connection may hold as much.
const HEADER_BYTES_MAX: usize = 1 << 20;
/// Header lines that `http::HeaderMap` surely holds.
const HEADERS_MAX: usize = 10_000;
/// Connections, far above what one process can open files for.
const CONNECTIONS_MAX: usize = 1_000_000;
/// Elements of a signature's list; each is compared with what every secret makes.
const SIGNATURES_MAX: usize = 1_000;
/// Remembered keys: 8 GB at 80 bytes each.
const DEDUPE_KEYS_MAX: usize = 100_000_000;
/// Refused requests of one client that are kept in a second: more than are written in one.
const REJECTS_PER_CLIENT_MAX: usize = 1_000_000;
/// Failures of one client at one source. Generous, since a vendor's address may be that of many of its customers, or of
/// a proxy that is not in `trusted_proxies`, and among them the good share the bad one's fate while it lasts: reading and
/// verifying as many costs well under a hundredth of a core.
const FAILURES_PER_CLIENT: Rate = Rate {
    count: 100,
    per: Duration::from_secs(1),
};
/// Clients whose failures are known: 24 MB.
const FAILING_CLIENTS_MAX: usize = 1_000_000;

/// Reads `admin`.
pub(super) fn admin(top: &Map<'_>, public: &[Listener]) -> Admin {
    let section = top.get("admin");
    let map = below(section.as_ref(), &["listen", "token"]);
    let given = map.as_ref().and_then(|map| map.get("listen"));
    let listen = given
        .as_ref()
        .and_then(|node| node.read(&value::LISTEN))
        .unwrap_or(ADMIN_LISTEN);
    let taken = public
        .iter()
        .find(|public| collide(&public.place, &Place::Tcp(listen)));
    if let Some(public) = taken {
        let message = format!(
            "{listen} is taken by the public side, which listens on {}",
            public.place
        );
        match &given {
            Some(node) => node.problem(message),
            None => top.node().problem_below(&["admin", "listen"], message),
        }
    }
    let token = map
        .and_then(|map| map.get_some("token"))
        .and_then(|node| token(&node));
    Admin { listen, token }
}

/// Reads the token, which goes into a header as it is. An empty one is none, so that its variable may be unset.
fn token(node: &Node<'_>) -> Option<Secret> {
    let text = node.text("text", true)?.value;
    if !text.is_empty() && value::header_value(text.as_bytes()).is_none() {
        node.problem("this token can't stand in a header; use printable ASCII");
    }
    (!text.is_empty()).then(|| Secret::new("admin", text.into_bytes()))
}

/// Reads `store`. Its path is relative to the directory that hookgate is started in.
pub(super) fn store(section: Option<&Node<'_>>) -> Store {
    let mut store = Store {
        path: PathBuf::from(STORE_PATH),
        max_size_bytes: 10 * GIB,
        min_free_bytes: 256 * MIB,
        retention: Duration::from_hours(24),
        dead_retention: Duration::from_hours(720),
        scrub: Duration::from_hours(24),
        start_check: Duration::from_secs(1),
        attempts: 16,
        history: Duration::ZERO,
    };
    let keys = &[
        "path",
        "max_size",
        "min_free",
        "retention",
        "dead_retention",
        "attempts",
        "history",
        "scrub",
        "start_check",
    ];
    let Some(map) = below(section, keys) else {
        return store;
    };
    if let Some(path) = map.read("path", &value::NONEMPTY) {
        store.path = PathBuf::from(path);
    }
    store.max_size_bytes = map.read_or("max_size", &SIZE, store.max_size_bytes);
    store.min_free_bytes = map.read_or("min_free", &SIZE_OR_ZERO, store.min_free_bytes);
    store.retention = map.read_or("retention", &DURATION_OR_ZERO, store.retention);
    store.dead_retention = map.read_or("dead_retention", &DURATION, store.dead_retention);
    store.attempts = map.read_or("attempts", &ATTEMPTS, store.attempts);
    store.history = map.read_or("history", &DURATION_OR_ZERO, store.history);
    store.scrub = map.read_or("scrub", &DURATION_OR_ZERO, store.scrub);
    store.start_check = map.read_or("start_check", &DURATION_OR_ZERO, store.start_check);
    store
}

/// Where the store of a file is, whatever else the file says.
pub(super) fn store_path(root: &Node<'_>) -> Option<PathBuf> {
    match root.child("store").and_then(|store| store.child("path")) {
        Some(path) => path.read(&value::NONEMPTY).map(PathBuf::from),
        None => Some(PathBuf::from(STORE_PATH)),
    }
}

/// Reads `trusted_proxies`.
pub(super) fn trusted_proxies(top: &Map<'_>) -> Networks {
    let Some(node) = top.get_some("trusted_proxies") else {
        return Networks::default();
    };
    // An empty list is the default.
    let networks = networks(&node).unwrap_or_default();
    if networks.networks.iter().any(Network::is_everybody) {
        let warning = "trusts everybody, so whoever sends says itself who it is";
        node.context().report.warning(node.path(), warning);
    }
    networks
}

/// A list of networks, or one.
pub(super) fn networks(node: &Node<'_>) -> Option<Networks> {
    let items = node.one_or_list(NETWORKS.accepts)?;
    let read = every(items.iter().map(|item| item.read(&NETWORKS)));
    read.map(|lists| lists.into_iter().collect())
}

/// Reads `limits`.
pub(super) fn limits(section: Option<&Node<'_>>) -> Limits {
    let mut limits = Limits {
        body_bytes: MIB,
        header_bytes: 32 << 10,
        headers: 100,
        connections: 10_000,
        in_flight_bytes: 64 * MIB,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(75),
        dedupe_keys: 1_000_000,
        signatures: 16,
        rejects_per_client: 10,
        tls: TlsLimits::default(),
        http2: Http2Limits::default(),
        failures_per_client: Some(FAILURES_PER_CLIENT),
        failing_clients: 16_384,
        // Off, since whoever stands before it without being in `trusted_proxies` has the connections of all senders.
        connections_per_client: None,
        in_flight_per_source_percent: 50,
    };
    let keys = &[
        "body",
        "header_bytes",
        "headers",
        "connections",
        "in_flight_bytes",
        "header_timeout",
        "body_timeout",
        "idle_timeout",
        "dedupe_keys",
        "signatures",
        "rejects_per_client",
        "tls",
        "http2",
        "failures_per_client",
        "failing_clients",
        "connections_per_client",
        "in_flight_per_source",
    ];
    let Some(map) = below(section, keys) else {
        return limits;
    };
    limits.header_bytes = header_bytes(&map).unwrap_or(limits.header_bytes);
    limits.headers = map.read_or("headers", &count_kind::<HEADERS_MAX>(), limits.headers);
    limits.connections = map.read_or(
        "connections",
        &count_kind::<CONNECTIONS_MAX>(),
        limits.connections,
    );
    limits.in_flight_bytes = map.read_or("in_flight_bytes", &SIZE, limits.in_flight_bytes);
    limits.body_bytes = body_limit(&map, limits.in_flight_bytes).unwrap_or(limits.body_bytes);
    limits.header_timeout = map.read_or("header_timeout", &DURATION, limits.header_timeout);
    limits.body_timeout = map.read_or("body_timeout", &DURATION, limits.body_timeout);
    limits.idle_timeout = map.read_or("idle_timeout", &DURATION, limits.idle_timeout);
    limits.dedupe_keys = map.read_or(
        "dedupe_keys",
        &count_kind::<DEDUPE_KEYS_MAX>(),
        limits.dedupe_keys,
    );
    limits.signatures = map.read_or(
        "signatures",
        &count_kind::<SIGNATURES_MAX>(),
        limits.signatures,
    );
    let per_client = map.read(
        "rejects_per_client",
        &count_kind::<REJECTS_PER_CLIENT_MAX>(),
    );
    if let Some(per_client) = per_client.and_then(|count| u32::try_from(count).ok()) {
        limits.rejects_per_client = per_client;
    }
    limits.tls = http2::tls_limits(map.get("tls").as_ref());
    limits.http2 = http2::http2_limits(map.get("http2").as_ref());
    limits.failures_per_client = map.read_or(
        "failures_per_client",
        &RATE_OR_OFF,
        limits.failures_per_client,
    );
    limits.failing_clients = map.read_or(
        "failing_clients",
        &count_kind::<FAILING_CLIENTS_MAX>(),
        limits.failing_clients,
    );
    limits.connections_per_client = map
        .get_some("connections_per_client")
        .and_then(|node| node.read(&count_kind::<CONNECTIONS_MAX>()));
    limits.in_flight_per_source_percent = map.read_or(
        "in_flight_per_source",
        &PERCENT,
        limits.in_flight_per_source_percent,
    );
    if map.get("body").is_none() && limits.in_flight_bytes < limits.body_bytes {
        map.node().problem_at_key(format!(
            "in_flight_bytes is {}, less than one body, which may have {}; raise it or lower body",
            size_text(limits.in_flight_bytes),
            size_text(limits.body_bytes)
        ));
    }
    limits
}

fn header_bytes(map: &Map<'_>) -> Option<usize> {
    let node = map.get("header_bytes")?;
    let bytes = node.read(&SIZE)?;
    match usize::try_from(bytes) {
        Ok(bytes) if (HEADER_BYTES_MIN..=HEADER_BYTES_MAX).contains(&bytes) => Some(bytes),
        _ => {
            node.problem(format!(
                "{} is out of range; accepted: 1KiB to 1MiB",
                size_text(bytes)
            ));
            None
        }
    }
}

/// Reads `body`, here or in a source's own limits. A body that exceeds all that may be in flight would be
/// refused with 503 for ever.
pub(super) fn body_limit(map: &Map<'_>, in_flight_bytes: u64) -> Option<u64> {
    let node = map.get("body")?;
    let bytes = node.read(&SIZE)?;
    if bytes > in_flight_bytes {
        node.problem(format!(
            "{} is more than limits.in_flight_bytes, which is {}; raise that too",
            size_text(bytes),
            size_text(in_flight_bytes)
        ));
    }
    Some(bytes)
}

/// Reads `shutdown`.
pub(super) fn shutdown(section: Option<&Node<'_>>) -> Shutdown {
    let mut shutdown = Shutdown {
        delay: Duration::ZERO,
        timeout: Duration::from_secs(20),
    };
    if let Some(map) = below(section, &["delay", "timeout"]) {
        shutdown.delay = map.read_or("delay", &DURATION_OR_ZERO, shutdown.delay);
        shutdown.timeout = map.read_or("timeout", &DURATION, shutdown.timeout);
    }
    shutdown
}

/// Reads `reload`.
pub(super) fn reload(section: Option<&Node<'_>>) -> Reload {
    let watch = below(section, &["watch"]).and_then(|map| map.read("watch", &DURATION_OR_ZERO));
    Reload {
        watch: watch.unwrap_or(Duration::from_secs(5)),
    }
}

fn below<'a>(section: Option<&Node<'a>>, keys: &'static [&'static str]) -> Option<Map<'a>> {
    section?.map(keys)
}

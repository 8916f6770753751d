//! A source: the user's mapping over its preset, read part by part. What can be told about a source that is
//! wrong in places (its path, whom it feeds) is kept, so that checks across sources still see it.

use super::{
    dedupe, event, general, handshake, params,
    providers::{self, OwnPreset},
    rejects, replaced, respond,
    route::{self, Forward},
    sample, scheme, secrets, target,
};
use crate::config::{
    Ack, Limits, Source, Status, Target, Verify,
    locate::KeyPath,
    misnamed, presets,
    reader::{Map, Node},
    value::{self, DURATION, DURATION_OR_OFF, RATE_OR_OFF, duration_text},
};
use std::time::Duration;

/// The first three are of one source alone: what it starts from, what it is called and where it is.
const KEYS: [&str; 24] = [
    "provider",
    "replaces",
    "path",
    "public_url",
    "allow_from",
    "verify",
    "secret",
    "secrets",
    "params",
    "handshake",
    "event",
    "max_age",
    "dedupe",
    "sender_timeout",
    "sender_retries",
    "expect_every",
    "ack",
    "ack_deadline",
    "respond",
    "forward",
    "limits",
    "rejects",
    "status",
    "sample",
];

/// What a preset may say: everything of a source but that.
pub(super) const KEYS_OF_A_PRESET: &[&str] = KEYS.split_at(3).1;

/// How long a sender waits by default; what most vendors do at least.
const SENDER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a source is read against.
pub(super) struct Surroundings<'a> {
    /// The file's own presets.
    pub(super) presets: &'a [OwnPreset<'a>],
    /// Names under `targets`.
    pub(super) targets: &'a [&'a str],
    /// Bounds that hold where the source has none of its own.
    pub(super) limits: &'a Limits,
    /// Bytes of the store, which a made target's backlog is a share of.
    pub(super) store_max_bytes: u64,
}

/// A source and what checks across sources need of it.
pub(super) struct Reading {
    pub(super) name: String,
    /// Its path; the default one where another can't be read.
    pub(super) path: String,
    /// Where problems with its path are shown.
    pub(super) path_at: KeyPath,
    /// Names of the targets that it forwards to.
    pub(super) feeds: Vec<String>,
    /// The target that a URL in `forward` makes.
    pub(super) made_target: Option<Target>,
    /// None if anything in it is wrong.
    pub(super) source: Option<Source>,
}

/// Reads one entry of `sources`.
pub(super) fn read(name: &str, node: &Node<'_>, around: &Surroundings<'_>) -> Reading {
    let mut reading = Reading {
        name: name.to_owned(),
        path: format!("/hooks/{name}"),
        path_at: node.path().key("path"),
        feeds: named_targets(node),
        made_target: None,
        source: None,
    };
    let provider = provider(node, around.presets);
    let merged = match &provider {
        Provider::Known(provider) => {
            let own = around.presets.iter().find(|own| own.name == *provider);
            if let Some(own) = own {
                let report = node.context().report;
                report.lies_over(node.path(), own.node.path());
            }
            let preset =
                own.map_or_else(|| presets::named(provider), |own| Some(own.value.clone()));
            presets::lay_over(node.value(), preset.unwrap_or_default())
        }
        Provider::None | Provider::Unknown => node.value().clone(),
    };
    let node = node.with_value(&merged);
    let Some(map) = node.map(&KEYS) else {
        return reading;
    };
    reading.path = map.read_or("path", &value::PATH, reading.path);
    let parts = Parts {
        name,
        path: reading.path.clone(),
        provider,
    };
    let Some((source, made)) = whole(parts, &map, around) else {
        return reading;
    };
    reading.feeds = source
        .routes
        .iter()
        .map(|route| route.target.to_string())
        .collect();
    reading.source = Some(source);
    reading.made_target = made;
    reading
}

/// What was read of a source before its parts.
struct Parts<'a> {
    name: &'a str,
    path: String,
    provider: Provider,
}

/// Reads every part, and only then gives up if one of them is missing.
fn whole(
    parts: Parts<'_>,
    map: &Map<'_>,
    around: &Surroundings<'_>,
) -> Option<(Source, Option<Target>)> {
    let texts = params::read(map);
    let verify = verify(map, &parts.provider, &texts);
    let rules = map.get_some("handshake");
    let learns = handshake::learns(rules.as_ref());
    let secrets = secrets::read(map, verify.as_ref(), learns);
    // Where they could not be read, an answer that needs them is no second problem.
    let has_secrets = secrets
        .as_ref()
        .is_none_or(|secrets| !secrets.known.is_empty());
    let handshakes = handshake::read(rules.as_ref(), &texts, has_secrets);
    let sample = map.get_some("sample").map(|node| sample::read(&node));
    let statuses = [
        ("verified", Status::Verified),
        ("unverified", Status::Unverified),
    ];
    let status = map
        .get_some("status")
        .and_then(|node| node.choose(&statuses));
    let event = event::read(map.get("event").as_ref());
    let sender_retries = map
        .get_some("sender_retries")
        .and_then(|node| node.read(&DURATION));
    let expect_every = map
        .get_some("expect_every")
        .and_then(|node| node.read(&DURATION));
    let no_type = event::Expressions::default();
    let event_type = &event.as_ref().unwrap_or(&no_type).event_type;
    let dedupe = dedupe::read(
        map.get("dedupe").as_ref(),
        verify.as_ref(),
        event_type,
        sender_retries,
        parts.provider.name(),
    );
    let max_age = map
        .get_some("max_age")
        .and_then(|node| node.read(&DURATION_OR_OFF))
        .flatten();
    let (sender_timeout, ack_deadline) = deadlines(map);
    let acks = [
        ("stored", Ack::Stored),
        ("delivered", Ack::Delivered),
        ("passthrough", Ack::Passthrough),
    ];
    let ack = map.choose_or("ack", &acks, Ack::Stored);
    let respond = respond::read(map.get("respond").as_ref());
    let limits = map
        .get("limits")
        .and_then(|node| node.map(&["body", "rate"]));
    let body_limit_bytes = limits
        .as_ref()
        .and_then(|map| general::body_limit(map, around.limits.in_flight_bytes))
        .unwrap_or(around.limits.body_bytes);
    let rate = limits
        .and_then(|map| map.get_some("rate"))
        .and_then(|node| node.read(&RATE_OR_OFF))
        .flatten();
    let allow_from = map.get_some("allow_from").and_then(|node| {
        let networks = general::networks(&node)?;
        if networks.is_empty() {
            node.problem("an empty list, so nobody could send; name who may, or leave it out");
        }
        Some(networks)
    });
    let rejects = map
        .get_some("rejects")
        .and_then(|node| rejects::read(&node));
    let forward = map
        .need(
            "forward",
            "nowhere to forward to; accepted: forward: URL, or the name of a target",
        )
        .and_then(|node| route::read(&node, parts.name, around.targets));
    let replaces = replaced(map);

    let (verify, secrets, event, forward) = (verify?, secrets?, event?, forward?);
    let sample = match sample {
        Some(sample) => Some(sample?),
        None => None,
    };
    let (routes, made) = match forward {
        Forward::Routes(routes) => (routes, None),
        Forward::Url(url) => {
            let mut made = target::from_url(parts.name, url, around.store_max_bytes);
            if ack == Ack::Passthrough {
                // Its answer counts for nothing once the sender has been answered.
                made.timeout = made.timeout.min(ack_deadline);
                made.connect_timeout = made.connect_timeout.min(ack_deadline);
            }
            (vec![route::to_all(&made.name)], Some(made))
        }
    };
    let source = Source {
        name: parts.name.into(),
        replaces,
        provider: parts.provider.into_name(),
        path: parts.path,
        verify,
        secrets: secrets.known,
        learn_to: secrets.learn_to,
        public_url: texts.public_url,
        params: texts.params,
        handshakes: handshakes?,
        status,
        sender_retries,
        expect_every,
        sample,
        event_id: event.id,
        event_type: event.event_type,
        event_time: event.time,
        max_age,
        dedupe: dedupe?,
        sender_timeout,
        ack,
        ack_deadline,
        respond,
        routes,
        body_limit_bytes,
        rate,
        allow_from,
        rejects,
    };
    check_together(&source, map);
    Some((source, made))
}

/// What a source says about its preset.
enum Provider {
    None,
    Known(String),
    /// Named, but not known; what it would have brought is not missed.
    Unknown,
}

impl Provider {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Known(name) => Some(name),
            Self::None | Self::Unknown => None,
        }
    }

    fn into_name(self) -> Option<String> {
        match self {
            Self::Known(name) => Some(name),
            Self::None | Self::Unknown => None,
        }
    }
}

fn provider(source: &Node<'_>, own: &[OwnPreset<'_>]) -> Provider {
    let Some(node) = source.child("provider").filter(|node| !node.is_null()) else {
        return Provider::None;
    };
    let Some(text) = node.text(
        "the name of a preset; `hookgate providers` lists all",
        false,
    ) else {
        return Provider::Unknown;
    };
    let mut names = presets::presets().iter().map(|(name, _)| *name);
    let mut own_names = own.iter().map(|own| own.name.as_str());
    if names.any(|name| name == text.value) || own_names.any(|name| name == text.value) {
        return Provider::Known(text.value);
    }
    if text.unset {
        node.problem(format!(
            "{} can't be checked while its variable is unset; give a default",
            text.shown
        ));
        return Provider::Unknown;
    }
    node.problem(format!(
        "{} is no provider; {} (`hookgate providers` lists all; or leave it out and spell out verify)",
        text.shown,
        providers::advice(&text.value, own).unwrap_or_else(|| misnamed::advice(&text.value))
    ));
    Provider::Unknown
}

fn verify(map: &Map<'_>, provider: &Provider, texts: &params::Texts) -> Option<Verify> {
    if matches!(provider, Provider::Unknown) && map.get("verify").is_none() {
        return None;
    }
    let why = "no way to verify who sends; accepted: provider: NAME, or verify with hmac, token, bearer or none";
    let around = scheme::Around {
        provider: provider.name(),
        texts,
    };
    scheme::read(&map.need("verify", why)?, &around)
}

/// The sender's patience, and when an answer leaves in any case: by default after 80 % of it, so that the
/// answer is there before the sender has gone.
fn deadlines(map: &Map<'_>) -> (Duration, Duration) {
    let sender_timeout = map.read_or("sender_timeout", &DURATION, SENDER_TIMEOUT);
    let Some(node) = map.get("ack_deadline") else {
        return (sender_timeout, sender_timeout * 4 / 5);
    };
    let ack_deadline = node.read(&DURATION).unwrap_or(sender_timeout);
    if ack_deadline > sender_timeout {
        node.problem(format!(
            "{} is longer than sender_timeout, which is {}: the sender would be gone",
            duration_text(ack_deadline),
            duration_text(sender_timeout)
        ));
    }
    (sender_timeout, ack_deadline)
}

/// What only several parts together make wrong.
fn check_together(source: &Source, map: &Map<'_>) {
    if source.ack == Ack::Passthrough && source.routes.len() != 1 {
        let at = map.get("forward");
        at.as_ref().unwrap_or(map.node()).problem_at_key(format!(
            "passthrough returns the answer of one app, but {} routes are given; keep one",
            source.routes.len()
        ));
    }
    if let (Some(_), Some(node)) = (source.max_age, map.get("max_age")) {
        check_max_age(source, &node);
    }
    let picky = source.routes.iter().any(|route| !route.events.want(None));
    if picky
        && source.event_type.0.is_empty()
        && let Some(node) = map.get("forward")
    {
        node.problem_at_key(
            "events picks by the type of an event, which is not known without event.type; set it, such as json:/event",
        );
    }
}

/// An age needs a time, and a time that nothing signs proves no age.
fn check_max_age(source: &Source, node: &Node<'_>) {
    let mut times = source.event_time.0.iter().flatten().peekable();
    if times.peek().is_none() {
        node.problem_at_key(
            "max_age looks at the time of an event; set event.time, such as json:/timestamp",
        );
        return;
    }
    let proves = !matches!(source.verify, Verify::None);
    if proves && !times.all(|field| source.verify.covers(field)) {
        node.problem_at_key(
            "max_age on a time that nothing signs is no protection; take event.time from the body, \
             or from a header that signed covers",
        );
    }
}

/// The targets that `forward` seems to name, whatever else is wrong with the source.
fn named_targets(source: &Node<'_>) -> Vec<String> {
    let Some(forward) = source.value().get("forward") else {
        return Vec::new();
    };
    let single = std::slice::from_ref(forward);
    let routes = forward.as_sequence().map_or(single, Vec::as_slice);
    routes
        .iter()
        .filter_map(|route| route.get("to").unwrap_or(route).as_str())
        .map(str::to_owned)
        .collect()
}

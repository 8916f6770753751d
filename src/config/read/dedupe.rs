//! What is remembered of an event, and which events never count as duplicates.

use crate::{
    config::{
        Dedupe, Patterns, SkipRule, Verify, presets,
        reader::{Node, every},
        source::Replay,
        value::{DURATION, HEADER, HEADER_VALUE, PATTERN, REPLAY},
        verify::Proof,
    },
    extract::{Field, KeyExpr},
};
use std::time::Duration;

/// How long a key is remembered by default: longer than most vendors retry.
const WINDOW: Duration = Duration::from_hours(24);

/// Reads `dedupe`. Whether an exempted type is signed depends on how the source verifies, which is None where
/// that could not be read.
pub(super) fn read(
    node: Option<&Node<'_>>,
    verify: Option<&Verify>,
    event_type: &KeyExpr,
    sender_retries: Option<Duration>,
    provider: Option<&str>,
) -> Option<Dedupe> {
    let window = sender_retries.map_or(WINDOW, |retries| WINDOW.max(retries));
    let mut dedupe = Dedupe {
        window,
        skip: Vec::new(),
        replay: Vec::new(),
    };
    let Some(node) = node else {
        return Some(dedupe);
    };
    let map = node.map(&["window", "skip", "replay"])?;
    dedupe.window = map.read_or("window", &DURATION, window);
    let skip = map.get_some("skip").map(|node| {
        let rules = node.list(SKIP_ACCEPTED)?;
        every(rules.iter().map(|rule| skip_rule(rule, verify, event_type)))
    });
    let replay = map
        .get_some("replay")
        .map(|node| replays(&node, verify, provider));
    if let Some(skip) = skip {
        dedupe.skip = skip?;
    }
    if let Some(replay) = replay {
        dedupe.replay = replay?;
    }
    Some(dedupe)
}

/// One part of the request, or a list in a list: parts that are joined.
fn replays(
    node: &Node<'_>,
    verify: Option<&Verify>,
    provider: Option<&str>,
) -> Option<Vec<Replay>> {
    const ACCEPTED: &str = "signature, a part of the request, or parts that are joined, such as [[signature, header:X-Topic]]";
    let replay = |part: &Node<'_>| replay(part, verify, provider);
    if !node.value().is_sequence() {
        return replay(node).map(|replay| vec![replay]);
    }
    let alternatives = node.list(ACCEPTED)?;
    let [joined] = alternatives.as_slice() else {
        node.wrong(ACCEPTED);
        return None;
    };
    if !joined.value().is_sequence() {
        return replay(joined).map(|replay| vec![replay]);
    }
    let parts = joined.list(ACCEPTED)?;
    if parts.is_empty() {
        joined.problem("an empty join names nothing");
        return None;
    }
    every(parts.iter().map(replay))
}

/// The signature is taken as what it says, not as it is written: hex digits have two cases, base64url may be padded,
/// and each spelling would be another key.
fn replay(node: &Node<'_>, verify: Option<&Verify>, provider: Option<&str>) -> Option<Replay> {
    match (node.read(&REPLAY)?, verify) {
        (Replay::Signature, Some(verify)) if !verify.signs() => {
            let by_preset = provider.filter(|provider| presets::replays_by_signature(provider));
            let by_preset = by_preset.map_or_else(String::new, |provider| {
                format!(" (the preset {provider} has dedupe: {{ replay: signature }})")
            });
            node.problem(format!(
                "there is no signature where a token or nothing is verified{by_preset}; name a part of the request, or \
                 write dedupe: {{ replay: null }}"
            ));
            None
        }
        (Replay::Field(field), Some(verify)) if verify.signs() && is_signature(verify, &field) => {
            Some(Replay::Signature)
        }
        (replay, _) => Some(replay),
    }
}

/// Whether this field is where some signature stands.
fn is_signature(verify: &Verify, field: &Field) -> bool {
    verify.schemes().iter().any(|scheme| match &scheme.proof {
        Proof::Signature(signature) => signature.fields.contains(field),
        Proof::Jwt(jwt) => jwt.field == *field,
        Proof::Token(_) => false,
    })
}

const SKIP_ACCEPTED: &str = "a list of { event: PATTERN } and { header: NAME, value: TEXT }, such as [{ event: \"typing_*\" }]";

fn skip_rule(node: &Node<'_>, verify: Option<&Verify>, event_type: &KeyExpr) -> Option<SkipRule> {
    if !node.value().is_mapping() {
        node.wrong("{ event: PATTERN } or { header: NAME, value: TEXT }");
        return None;
    }
    let map = node.map(&["event", "header", "value"])?;
    match (map.get("event"), map.get("header"), map.get("value")) {
        (Some(event), None, None) => event_rule(&event, verify, event_type),
        (None, Some(header), Some(value)) => {
            let (header, value) = (header.read(&HEADER), value.read(&HEADER_VALUE));
            Some(SkipRule::Header(header?, value?))
        }
        _ => {
            node.problem("a rule is { event: PATTERN } or { header: NAME, value: TEXT }, not a mixture or a part");
            None
        }
    }
}

fn event_rule(node: &Node<'_>, verify: Option<&Verify>, event_type: &KeyExpr) -> Option<SkipRule> {
    let patterns = patterns(node)?;
    if !patterns.has_inclusions() {
        node.problem("only exclusions would exempt everything else; name the events to exempt");
        return None;
    }
    if event_type.0.is_empty() {
        node.problem(
            "the type of an event is not known without event.type; set it, such as json:/event",
        );
        return None;
    }
    let signed = event_type
        .0
        .iter()
        .flatten()
        .all(|field| verify.is_some_and(|verify| verify.covers(field)));
    let rule = if signed {
        SkipRule::Event
    } else {
        SkipRule::UnsignedEvent
    };
    Some(rule(patterns))
}

/// Reads a list of patterns, or a single one.
pub(super) fn patterns(node: &Node<'_>) -> Option<Patterns> {
    let items = node.one_or_list("a list of patterns, such as [\"order.*\", \"!order.draft\"]")?;
    if items.is_empty() {
        node.problem("an empty list of events; leave it out for every event");
        return None;
    }
    let texts = every(items.iter().map(|item| item.read(&PATTERN)))?;
    Some(Patterns::new(texts.iter().map(String::as_str)))
}

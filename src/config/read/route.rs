//! Where a source's events go: a target's name, a URL, or a list of routes. A URL is accepted only where it is
//! the whole of `forward`: in a list, several would want the one name that the source can give.

use super::dedupe;
use crate::config::{
    Patterns, Route,
    reader::{Node, did_you_mean, every},
    value,
};
use http::Uri;

/// What `forward` says.
pub(super) enum Forward {
    /// A URL: a target is to be made that is named after the source.
    Url(Uri),
    /// Routes to targets of the file.
    Routes(Vec<Route>),
}

const ACCEPTED: &str = "a target's name, a URL, or a list of { to: TARGET, events: [PATTERN] }";

/// Reads `forward`. `targets` are the names under `targets`.
pub(super) fn read(node: &Node<'_>, source: &str, targets: &[&str]) -> Option<Forward> {
    if node.value().is_string() {
        let text = node.text(ACCEPTED, true)?;
        if is_url(&text.value) || text.unset {
            return url(node, &text.shown, source, targets);
        }
    }
    let nodes = node.one_or_list(ACCEPTED)?;
    if nodes.is_empty() {
        node.problem("an empty list forwards nothing; name a target, or write a URL");
        return None;
    }
    let routes = every(nodes.iter().map(|node| route(node, targets)))?;
    for (index, route) in routes.iter().enumerate() {
        if routes[..index]
            .iter()
            .any(|other| other.target == route.target)
        {
            nodes[index].problem(format!(
                "{:?} stands in this list twice, and an event goes to a target once; put all patterns into one events",
                route.target
            ));
        }
    }
    Some(Forward::Routes(routes))
}

fn url(node: &Node<'_>, shown: &str, source: &str, targets: &[&str]) -> Option<Forward> {
    if targets.contains(&source) {
        node.problem(format!(
            "{shown} would make a target named after its source, but targets has a {source:?} already; \
             forward to that by name, or rename one"
        ));
        return None;
    }
    node.read(&value::URL).map(Forward::Url)
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn route(node: &Node<'_>, targets: &[&str]) -> Option<Route> {
    if !node.value().is_mapping() {
        let target = target(node, targets)?;
        return Some(Route {
            target: target.into(),
            events: Patterns::default(),
        });
    }
    let map = node.map(&["to", "events"])?;
    let to = map
        .need("to", "a route needs to: the name of a target")
        .and_then(|node| target(&node, targets));
    let events = match map.get_some("events") {
        Some(node) => dedupe::patterns(&node),
        None => Some(Patterns::default()),
    };
    Some(Route {
        target: to?.into(),
        events: events?,
    })
}

/// The name of a target that is there.
fn target(node: &Node<'_>, targets: &[&str]) -> Option<String> {
    let text = node.text("the name of a target", true)?;
    if targets.contains(&text.value.as_str()) {
        return Some(text.value);
    }
    let why = if text.unset {
        "can't be checked while its variable is unset; give a default".to_owned()
    } else if is_url(&text.value) {
        "is a URL, which can stand only alone, as forward: URL; put it under targets and name it here".to_owned()
    } else if text.value.contains([':', '/']) {
        "is neither a target nor a URL, which begins with http:// or https://".to_owned()
    } else if targets.is_empty() {
        "is no target, since there are none; put it under targets, or write forward: URL".to_owned()
    } else {
        format!("is no target; {}", did_you_mean(&text.value, targets))
    };
    node.problem(format!("{} {why}", text.shown));
    None
}

/// The route of a source that forwards everything to one target.
pub(super) fn to_all(target: &std::sync::Arc<str>) -> Route {
    Route {
        target: std::sync::Arc::clone(target),
        events: Patterns::default(),
    }
}

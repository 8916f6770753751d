//! From the tree of a file to a [`Config`]: each section is read where its grammar is; here they are put
//! together, and here is checked what spans sections: paths, names, and who forwards to whom.

mod breaker;
mod dedupe;
mod event;
mod fit;
mod general;
mod handshake;
mod http2;
mod listen;
mod params;
mod providers;
mod rejects;
mod respond;
mod retry;
mod route;
mod sample;
mod scheme;
mod secrets;
mod sign;
mod source;
mod target;
mod tls;
mod traces;

pub use fit::takes;

use self::source::Reading;
use super::{
    Config, Target,
    locate::{KeyPath, Side},
    reader::{Node, every},
    value,
};
use std::{collections::HashMap, sync::Arc};

const KEYS: &[&str] = &[
    "listen",
    "trusted_proxies",
    "admin",
    "store",
    "limits",
    "shutdown",
    "reload",
    "traces",
    "providers",
    "sources",
    "targets",
];

/// Reads the whole file. None means that it can't be used; the report says why.
pub(crate) fn config(root: &Node<'_>, hash: String) -> Option<Config> {
    let top = root.map(KEYS)?;
    let listeners = listen::listeners(&top);
    let trusted_proxies = general::trusted_proxies(&top);
    let admin = general::admin(&top, &listeners);
    let store = general::store(top.get("store").as_ref());
    let limits = general::limits(top.get("limits").as_ref());
    let shutdown = general::shutdown(top.get("shutdown").as_ref());
    let reload = general::reload(top.get("reload").as_ref());
    let traces = traces::read(top.get("traces").as_ref());

    let own_presets = providers::read(top.get("providers").as_ref());
    let target_nodes = entries(top.get("targets"));
    let target_names: Vec<&str> = target_nodes.iter().map(|(name, _)| name.as_str()).collect();
    let targets = every(
        target_nodes
            .iter()
            .map(|(name, node)| target::read(name, node, store.max_size_bytes)),
    );

    let source_nodes = entries(top.get("sources"));
    if source_nodes.is_empty() && top.get("sources").is_none_or(|node| is_empty(&node)) {
        root.problem_below(
            &["sources"],
            "no sources, so nothing would be received; a source is: sources: { NAME: { provider, secret, forward } }",
        );
    }
    let surroundings = source::Surroundings {
        presets: &own_presets,
        targets: &target_names,
        limits: &limits,
        store_max_bytes: store.max_size_bytes,
    };
    let sources: Vec<Reading> = source_nodes
        .iter()
        .map(|(name, node)| source::read(name, node, &surroundings))
        .collect();

    check_paths(root, &sources);
    check_replaced(&source_nodes);
    check_replaced(&target_nodes);
    warn_of_unfed(&target_nodes, &sources);
    providers::warn_of_unused(&own_presets, &source_nodes);

    let mut targets: Vec<Target> = targets?;
    let mut accepted = Vec::new();
    for reading in every(sources.into_iter().map(Some))? {
        targets.extend(reading.made_target);
        accepted.push(reading.source);
    }
    Some(Config {
        listeners,
        trusted_proxies,
        admin,
        store,
        limits,
        shutdown,
        reload,
        traces,
        sources: every(accepted.into_iter())?,
        targets,
        hash,
    })
}

/// Where the store is; nothing else of the file is read. None means that the report says why not.
pub(crate) fn store_path(root: &Node<'_>) -> Option<std::path::PathBuf> {
    general::store_path(root)
}

/// The file's own presets; nothing else of the file is read.
pub(crate) fn own_presets(root: &Node<'_>) -> Vec<(String, serde_yaml::Mapping)> {
    let section = root.child("providers");
    let own = providers::read(section.as_ref()).into_iter();
    own.map(|own| match own.value {
        serde_yaml::Value::Mapping(yaml) => (own.name, yaml),
        // `name:` with nothing below it.
        _ => (own.name, serde_yaml::Mapping::new()),
    })
    .collect()
}

/// The entries of `sources` or `targets`, their names checked.
fn entries(section: Option<Node<'_>>) -> Vec<(String, Node<'_>)> {
    let entries = section.and_then(|node| node.named()).unwrap_or_default();
    for (name, node) in &entries {
        if !value::is_name(name) {
            node.problem_at_key(format!(
                "{name:?} is no name; accepted: {}",
                value::NAME_ACCEPTS
            ));
        }
    }
    entries
}

/// Whether a section is there but holds nothing. Something else than a mapping was reported already.
fn is_empty(section: &Node<'_>) -> bool {
    section.is_null()
        || section
            .value()
            .as_mapping()
            .is_some_and(serde_yaml::Mapping::is_empty)
}

/// Two sources on one path could not be told apart.
fn check_paths(root: &Node<'_>, sources: &[Reading]) {
    let mut taken: HashMap<&str, &str> = HashMap::new();
    for reading in sources {
        let path = &reading.path;
        if let Some(other) = taken.insert(path, &reading.name) {
            root.context().report.problem(
                &reading.path_at,
                Side::Value,
                format!(
                    "the path {path:?} is that of source {other:?} too; {:?} needs another one",
                    reading.name
                ),
            );
        }
    }
}

/// What is replaced must be gone, and can go to one heir only.
fn check_replaced(entries: &[(String, Node<'_>)]) {
    let mut heirs: HashMap<String, &str> = HashMap::new();
    for (name, node) in entries {
        let Some(replaces) = node.value().get("replaces").and_then(|old| old.as_str()) else {
            continue;
        };
        let at = KeyPath::key(node.path(), "replaces");
        let problem = |message: String| node.context().report.problem(&at, Side::Value, message);
        if replaces == name {
            problem(format!(
                "{replaces:?} is its own name; give the name it had before"
            ));
        } else if entries.iter().any(|(other, _)| other == replaces) {
            problem(format!(
                "{replaces:?} still stands in this file; only what is gone can be replaced"
            ));
        } else if let Some(heir) = heirs.insert(replaces.to_owned(), name) {
            problem(format!("{replaces:?} is replaced by {heir:?} already"));
        }
    }
}

/// A target that no source forwards to is most likely a slip in a `forward`.
fn warn_of_unfed(targets: &[(String, Node<'_>)], sources: &[Reading]) {
    for (name, node) in targets {
        let fed = sources
            .iter()
            .any(|reading| reading.feeds.iter().any(|fed| fed == name));
        if !fed {
            node.context()
                .report
                .warning(node.path(), "no source forwards to this target");
        }
    }
}

/// Reads `replaces`, the name that a source or a target had before.
fn replaced(map: &super::reader::Map<'_>) -> Option<Arc<str>> {
    map.get_some("replaces")?.read(&value::NAME).map(Arc::from)
}

//! `providers`: a user's own presets, in the language of those that come with the program.

use super::{source::KEYS_OF_A_PRESET, value};
use crate::config::{
    presets,
    reader::{Node, did_you_mean},
};
use serde_yaml::Value;

/// A preset of the file.
pub(super) struct OwnPreset<'a> {
    pub(super) name: String,
    pub(super) node: Node<'a>,
    /// What it says, without keys that were refused.
    pub(super) value: Value,
}

/// Reads the names and the keys; what the keys say is read with the sources that start from them, and told where it stands.
pub(super) fn read<'a>(section: Option<&Node<'a>>) -> Vec<OwnPreset<'a>> {
    let entries = section.and_then(Node::named).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(name, node)| {
            check_name(&name, &node);
            node.map(KEYS_OF_A_PRESET)?;
            let mut value = node.value().clone();
            if let Value::Mapping(entries) = &mut value {
                entries.retain(|key, _| {
                    key.as_str()
                        .is_some_and(|key| KEYS_OF_A_PRESET.contains(&key))
                });
            }
            Some(OwnPreset { name, node, value })
        })
        .collect()
}

/// A name means one preset, whatever later versions bring: one that a file takes from a preset of the program would change
/// sources that were meant to start from that.
fn check_name(name: &str, node: &Node<'_>) {
    if !value::is_name(name) {
        node.problem_at_key(format!(
            "{name:?} is no name; accepted: {}",
            value::NAME_ACCEPTS
        ));
    } else if presets::named(name).is_some() {
        node.problem_at_key(format!(
            "{name:?} is a preset of hookgate itself; give this one another name, such as my-{name} (to change some keys of \
             {name}, write them in the source)"
        ));
    }
}

/// A preset that no source starts from is most likely a slip in a `provider`.
pub(super) fn warn_of_unused(presets: &[OwnPreset<'_>], sources: &[(String, Node<'_>)]) {
    for preset in presets {
        let starts = |source: &Node<'_>| {
            let provider = source.child("provider");
            provider.is_some_and(|node| {
                // A variable may name it.
                let text = node.value().as_str().unwrap_or_default();
                text == preset.name || text.contains("${")
            })
        };
        if !sources.iter().any(|(_, source)| starts(source)) {
            let report = preset.node.context().report;
            report.warning(preset.node.path(), "no source starts from this preset");
        }
    }
}

/// What a name that is no preset's was meant to be, if it is like one of these.
pub(super) fn advice(name: &str, presets: &[OwnPreset<'_>]) -> Option<String> {
    let names = presets.iter().map(|preset| preset.name.as_str());
    let names: Vec<&str> = names.filter(|name| value::is_name(name)).collect();
    let meant = crate::config::suggest::nearest(name, &names)?;
    Some(did_you_mean(meant, &names))
}

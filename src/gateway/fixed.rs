//! What a gateway cannot change while it runs.
//!
//! A change of any of it keeps the whole of the new configuration from being used: a file is a whole, and what its other
//! parts mean may hang on this one (a source without a proof, written together with a listener that only a proxy
//! reaches). So what runs is at any time one file as it was written, whose hash `config_info` shows; and whoever changes
//! a secret finds out at once, and not at the next rotation, that the file waits for a restart.

use super::present::Names;
use crate::config::{Config, duration_text};
use std::sync::Arc;

/// What of `next` only a restart applies, each in words.
pub(super) fn changed(present: &Config, next: &Config, names: &Names) -> Vec<String> {
    let mut changed = Vec::new();
    let mut differs = |key: &str, is: String, would_be: String| {
        if is != would_be {
            changed.push(format!(
                "{key}: is {is} and would be {would_be}; only a restart applies it"
            ));
        }
    };
    differs("listen", places(present), places(next));
    differs(
        "admin.listen",
        present.admin.listen.to_string(),
        next.admin.listen.to_string(),
    );
    differs(
        "store.path",
        present.store.path.display().to_string(),
        next.store.path.display().to_string(),
    );
    differs(
        "store.scrub",
        duration_text(present.store.scrub),
        duration_text(next.store.scrub),
    );
    differs("limits.tls", handshakes(present), handshakes(next));
    if present.traces != next.traces {
        // Its headers are secrets.
        changed.push("traces: has changed; only a restart applies it".to_owned());
    }
    let sources = next.sources.iter();
    let sources = sources.map(|source| ("sources", &source.name, source.replaces.as_ref()));
    let targets = next.targets.iter();
    let targets = targets.map(|target| ("targets", &target.name, target.replaces.as_ref()));
    for (section, name, replaces) in sources.chain(targets) {
        if let Some(old) = replaces.filter(|old| names.knows(section == "sources", old)) {
            changed.push(format!(
                "{section}.{name}.replaces: takes over what {old} has left; only a restart applies it"
            ));
        }
    }
    changed
}

fn handshakes(config: &Config) -> String {
    let limits = config.limits.tls;
    format!(
        "{} handshakes within {}",
        limits.handshakes,
        duration_text(limits.handshake_timeout)
    )
}

/// Every listener, with what is particular about it.
fn places(config: &Config) -> String {
    let places: Vec<String> = config.listeners.iter().map(ToString::to_string).collect();
    places.join(", ")
}

impl Names {
    fn knows(&self, source: bool, name: &Arc<str>) -> bool {
        if source {
            self.sources.iter().any(|known| known.known.name == *name)
        } else {
            self.targets.iter().any(|known| known.known.name == *name)
        }
    }
}

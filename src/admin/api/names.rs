//! Sources and targets by the names that operators know: one that is not there is answered with those that are.

use super::params::shown;
use super::{Refused, Rooms};
use crate::config::nearest;
use crate::event::{SourceId, TargetId};
use crate::store::Known;

/// Names of a list that are told.
const NAMES_TOLD: usize = 20;

impl Rooms {
    /// The number of a source, configured or not.
    pub(super) fn source(&self, name: &str) -> Result<SourceId, Refused> {
        let known = &self.known_sources;
        find(known, name)
            .map(|known| known.id)
            .ok_or_else(|| Refused::not_found(no_such("source", name, known)))
    }

    /// A target, configured or not.
    pub(super) fn target(&self, name: &str) -> Result<&Known<TargetId>, Refused> {
        find(&self.known_targets, name).ok_or_else(|| self.no_target(name))
    }

    /// A target that is configured: others take nothing.
    pub(super) fn configured_target(&self, name: &str) -> Result<&Known<TargetId>, Refused> {
        let target = self.target(name)?;
        if target.configured {
            return Ok(target);
        }
        Err(Refused::conflict(format!(
            "target {name} is no longer configured"
        )))
    }

    /// There is none of this name.
    pub(super) fn no_target(&self, name: &str) -> Refused {
        Refused::not_found(no_such("target", name, &self.known_targets))
    }
}

fn find<'a, Id>(known: &'a [Known<Id>], name: &str) -> Option<&'a Known<Id>> {
    let mut named = known.iter().filter(|known| *known.name == *name);
    let first = named.next()?;
    // A name that was given away and taken again: the one in use is meant.
    Some(named.find(|known| known.configured).unwrap_or(first))
}

fn no_such<Id>(what: &str, name: &str, known: &[Known<Id>]) -> String {
    let mut names: Vec<&str> = known.iter().map(|known| &*known.name).collect();
    names.sort_unstable();
    let meant = nearest(name, &names);
    let meant = meant.map_or_else(String::new, |meant| format!("did you mean {meant}? "));
    let more = if names.len() > NAMES_TOLD {
        ", ..."
    } else {
        ""
    };
    names.truncate(NAMES_TOLD);
    let (name, names) = (shown(name), names.join(", "));
    format!("no {what} {name}; {meant}known: {names}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_answered_with_those_that_are() {
        let known = |name: &str, id, configured| Known {
            id: TargetId(id),
            name: name.into(),
            configured,
        };
        let all = [
            known("orders", 1, true),
            known("audit", 2, true),
            known("old", 3, false),
        ];
        assert_eq!(find(&all, "old").map(|found| found.id), Some(TargetId(3)));
        assert!(find(&all, "ordesr").is_none());
        assert_eq!(
            no_such("target", "ordesr", &all),
            "no target \"ordesr\"; did you mean orders? known: audit, old, orders"
        );
        assert_eq!(
            no_such("target", "zzz", &all),
            "no target \"zzz\"; known: audit, old, orders"
        );
    }
}

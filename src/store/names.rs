//! Names of sources and targets, and the numbers that rows know them by.
//!
//! Invariant: a name keeps its number as long as the store lives. `replaces` moves the number to a new name; a name
//! that has a number of its own becomes the heir of the old one, which then has no name.

use super::Known;
use crate::event::SourceId;
use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The name of each number that a source is or was known by, as it is at present. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceNames(Arc<RwLock<HashMap<SourceId, Arc<str>>>>);

impl SourceNames {
    pub(super) fn new(names: HashMap<SourceId, Arc<str>>) -> Self {
        Self(Arc::new(RwLock::new(names)))
    }

    pub(super) fn get(&self, source: SourceId) -> Option<Arc<str>> {
        self.0.read().get(&source).cloned()
    }

    /// Events of this source may be stored from now on.
    pub(super) fn insert(&self, source: SourceId, name: Arc<str>) {
        self.0.write().insert(source, name);
    }
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameOf {
    Source = 0,
    Target = 1,
}

/// A name that the configuration has, and the one it replaces.
pub(super) type Configured = (Arc<str>, Option<Arc<str>>);

/// A row of `names` that has a name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) known: Known<u32>,
    /// When a source's last event was received, Unix milliseconds; about a second late.
    pub(super) last_received_ms: Option<u64>,
    /// A target's `give_up_after`, as it was last configured.
    pub(super) give_up_after_ms: Option<u64>,
    /// Whether an operator has paused a target.
    pub(super) paused: bool,
}

/// Gives every configured name a number, and returns all names, in order of their numbers.
pub(super) fn settle_names(
    connection: &Connection,
    of: NameOf,
    configured: Vec<Configured>,
) -> rusqlite::Result<Vec<Named>> {
    let (names, replaces): (Vec<_>, Vec<_>) = configured.into_iter().unzip();
    let configured: HashSet<&str> = names.iter().map(|name| &**name).collect();
    for (name, replaces) in names.iter().zip(&replaces) {
        // A name that is still configured is not given away.
        let old = replaces.as_deref().filter(|old| !configured.contains(old));
        give_number(connection, of, name, old)?;
    }
    connection
        .prepare(
            "SELECT id, name, last_received_ms, give_up_after_ms, ifnull(paused, 0) FROM names \
             WHERE kind = ?1 AND name IS NOT NULL ORDER BY id",
        )?
        .query_map([of as u8], |row| {
            let name: Arc<str> = row.get(1)?;
            Ok(Named {
                known: Known {
                    id: row.get(0)?,
                    configured: configured.contains(&*name),
                    name,
                },
                last_received_ms: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
                give_up_after_ms: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
                paused: row.get(4)?,
            })
        })?
        .collect()
}

/// Numbers without a name, and the number that took each of them over.
pub(super) fn heirs(connection: &Connection, of: NameOf) -> rusqlite::Result<HashMap<u32, u32>> {
    connection
        .prepare("SELECT id, heir FROM names WHERE kind = ?1 AND heir IS NOT NULL")?
        .query_map([of as u8], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Notes a target's `give_up_after`, for the time when the configuration does not name it any more.
pub(super) fn keep_give_up_after(
    connection: &Connection,
    name: &str,
    give_up_after_ms: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE names SET give_up_after_ms = ?3 WHERE kind = ?1 AND name = ?2 AND give_up_after_ms IS NOT ?3",
        )?
        .execute(params![
            NameOf::Target as u8,
            name,
            give_up_after_ms.min(i64::MAX as u64).cast_signed()
        ])?;
    Ok(())
}

fn give_number(
    connection: &Connection,
    of: NameOf,
    name: &str,
    replaces: Option<&str>,
) -> rusqlite::Result<()> {
    let number = |name: &str| -> rusqlite::Result<Option<u32>> {
        connection
            .prepare_cached("SELECT id FROM names WHERE kind = ?1 AND name = ?2")?
            .query_row(params![of as u8, name], |row| row.get(0))
            .optional()
    };
    let own = number(name)?;
    let old = match replaces {
        Some(replaces) => number(replaces)?,
        None => None,
    };
    match (own, old) {
        (None, Some(old)) => {
            connection.execute(
                "UPDATE names SET name = ?2 WHERE id = ?1",
                params![old, name],
            )?;
        }
        (None, None) => {
            connection.execute(
                "INSERT INTO names (kind, name) VALUES (?1, ?2)",
                params![of as u8, name],
            )?;
        }
        (Some(own), Some(old)) => {
            inherit(connection, own, old)?;
            if of == NameOf::Target {
                take_over(connection, own, old)?;
            }
            tracing::info!(name, replaces, "takes over what the old name has left");
        }
        (Some(_), None) => {}
    }
    Ok(())
}

/// The number `old` gives up its name: it stays as another one for `own`, since payloads are never rewritten.
fn inherit(connection: &Connection, own: u32, old: u32) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE names SET last_received_ms = nullif(max(ifnull(last_received_ms, 0), \
         (SELECT ifnull(last_received_ms, 0) FROM names WHERE id = ?2)), 0) WHERE id = ?1",
        [own, old],
    )?;
    connection.execute(
        "UPDATE names SET heir = ?1, name = iif(id = ?2, NULL, name) WHERE id = ?2 OR heir = ?2",
        [own, old],
    )?;
    Ok(())
}

/// What waits for the target `old`, or died there, is of `own` from now on. An event that waits for both waits once.
fn take_over(connection: &Connection, own: u32, old: u32) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM due WHERE target = ?2 AND seq IN (SELECT seq FROM deliveries WHERE target = ?1)",
        "UPDATE due SET target = ?1 WHERE target = ?2",
        "UPDATE OR IGNORE deliveries SET target = ?1 WHERE target = ?2",
        "DELETE FROM deliveries WHERE target = ?2 AND ?1 <> ?2",
        "UPDATE OR IGNORE dead SET target = ?1 WHERE target = ?2",
        "DELETE FROM dead WHERE target = ?2 AND ?1 <> ?2",
        // What waits is not dead.
        "DELETE FROM dead WHERE target = ?1 AND ?1 <> ?2 AND seq IN (SELECT seq FROM deliveries WHERE target = ?1)",
    ] {
        connection.execute(sql, [own, old])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens the store once for each list of configured names (`new<old` replaces), and returns what is known
    /// at the end.
    fn check(openings: &[&str], expected: &str) {
        let connection = Connection::open_in_memory().expect("opened");
        connection
            .execute_batch(
                "CREATE TABLE names (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, last_received_ms INTEGER, \
                 give_up_after_ms INTEGER, heir INTEGER, paused INTEGER)",
            )
            .expect("made");
        let mut last = Vec::new();
        for names in openings {
            let configured = names
                .split_whitespace()
                .map(|word| match word.split_once('<') {
                    Some((new, old)) => (new.into(), Some(old.into())),
                    None => (word.into(), None),
                })
                .collect();
            last = settle_names(&connection, NameOf::Source, configured).expect("settled");
        }
        let mut shown: Vec<String> = last
            .iter()
            .map(|Named { known, .. }| {
                let mark = if known.configured { "" } else { "!" };
                format!("{}{mark}{}", known.id, known.name)
            })
            .collect();
        let mut heirs: Vec<_> = heirs(&connection, NameOf::Source)
            .expect("read")
            .into_iter()
            .collect();
        heirs.sort_unstable();
        shown.extend(heirs.iter().map(|(old, heir)| format!("{old}>{heir}")));
        assert_eq!(shown.join(" "), expected, "{openings:?}");
    }

    #[test]
    fn names_keep_their_numbers() {
        check(&["a b", "b a"], "1a 2b");
        check(&["a b", "b"], "1!a 2b");
        check(&["a b", "b", "a b"], "1a 2b");
        check(&["a", "b<a"], "1b");
        check(&["a", "b<a", "b<a"], "1b");
        check(&["a", "b<a", "c<b"], "1c");
        check(&["a", "a b<a"], "1a 2b");
        check(&["b<a"], "1b");
    }

    #[test]
    fn a_name_with_a_number_inherits_another() {
        check(&["a", "b", "b<a"], "2b 1>2");
        check(&["a b", "b<a", "b<a"], "2b 1>2");
        check(&["a b c", "b<a c", "c<b"], "3c 1>3 2>3");
        check(&["a b", "b<a", "c<b"], "2c 1>2");
        check(&["a b", "b<a", "a b"], "2b 3a 1>2");
    }
}

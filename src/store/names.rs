//! Names of sources and targets, and the numbers that rows know them by.
//!
//! Invariant: a name keeps its number as long as the store lives; `replaces` moves the number to the new name.

use super::Known;
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::HashSet, sync::Arc};

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameOf {
    Source = 0,
    Target = 1,
}

/// A name that the configuration has, and the one it replaces.
pub(super) type Configured<'a> = (&'a Arc<str>, Option<&'a Arc<str>>);

/// A row of `names`.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) known: Known<u32>,
    /// When a source's last event was received, Unix milliseconds; about a second late.
    pub(super) last_received_ms: Option<u64>,
}

/// Gives every configured name a number, and returns all names, in order of their numbers.
pub(super) fn settle_names(
    connection: &Connection,
    of: NameOf,
    configured: &[Configured<'_>],
) -> rusqlite::Result<Vec<Named>> {
    let names: HashSet<&str> = configured.iter().map(|(name, _)| &***name).collect();
    for (name, replaces) in configured {
        // A name that is still configured is not given away.
        let old = replaces.filter(|old| !names.contains(&***old));
        give_number(connection, of, name, old.map(|old| &**old))?;
    }
    connection
        .prepare("SELECT id, name, last_received_ms FROM names WHERE kind = ?1 ORDER BY id")?
        .query_map([of as u8], |row| {
            let name: Arc<str> = row.get(1)?;
            Ok(Named {
                known: Known {
                    id: row.get(0)?,
                    configured: names.contains(&*name),
                    name,
                },
                last_received_ms: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            })
        })?
        .collect()
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
        (Some(_), Some(_)) => tracing::warn!(
            name,
            replaces,
            "both names have left something in the store: each keeps its own"
        ),
        (Some(_), None) => {}
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
                "CREATE TABLE names (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, last_received_ms INTEGER)",
            )
            .expect("made");
        let mut last = Vec::new();
        for names in openings {
            let configured: Vec<(Arc<str>, Option<Arc<str>>)> = names
                .split_whitespace()
                .map(|word| match word.split_once('<') {
                    Some((new, old)) => (new.into(), Some(old.into())),
                    None => (word.into(), None),
                })
                .collect();
            let configured: Vec<_> = configured.iter().map(|(n, r)| (n, r.as_ref())).collect();
            last = settle_names(&connection, NameOf::Target, &configured).expect("settled");
        }
        let shown: Vec<String> = last
            .iter()
            .map(|Named { known, .. }| {
                let mark = if known.configured { "" } else { "!" };
                format!("{}{mark}{}", known.id, known.name)
            })
            .collect();
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
        check(&["a", "b", "b<a"], "1!a 2b");
        check(&["a", "a b<a"], "1a 2b");
        check(&["b<a"], "1b");
    }
}

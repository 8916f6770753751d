//! The small tables of a store as a whole, as far as they can be read: what waits, what is due, what is dead, what is
//! settled, and who is who. For those who look after the file; the gateway never holds them like this.

use super::walk::{Gap, walk};
use super::{probe, row};
use crate::event::{Seq, SourceId, TargetId};
use rusqlite::{Connection, Row};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// A row of `deliveries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) seq: Seq,
    pub(super) target: TargetId,
    pub(super) attempts: u32,
    pub(super) due_ms: Option<i64>,
    pub(super) bytes: i64,
    pub(super) fan: i64,
    /// 0 in a store of an earlier release.
    pub(super) replay: u32,
    pub(super) lane: Option<i64>,
    pub(super) since_ms: Option<i64>,
}

/// A row of `replays`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) seq: Seq,
    pub(super) targets: Vec<TargetId>,
    /// Of the one row of `settled` that counts.
    pub(super) class: Option<i64>,
    pub(super) settled_ms: Option<i64>,
    pub(super) count: u32,
}

/// What a row of `attempts` or `handed` belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    pub(super) seq: Seq,
    pub(super) target: TargetId,
    pub(super) replay: u32,
}

/// A row of `due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "as the column is called")]
pub(super) struct Due {
    pub(super) seq: Seq,
    pub(super) target: TargetId,
    pub(super) due_ms: i64,
}

/// A row of `dead`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "as the column is called")]
pub(super) struct Dead {
    pub(super) seq: Seq,
    pub(super) target: TargetId,
    pub(super) reason: String,
    pub(super) attempts: u32,
    pub(super) dead_ms: i64,
    pub(super) bytes: i64,
}

/// A row of `settled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "as the column is called")]
pub(super) struct Settled {
    pub(super) seq: Seq,
    pub(super) class: i64,
    pub(super) settled_ms: i64,
}

/// Who is who.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Names of every number that a source or target is or was known by.
    pub(super) sources: HashMap<SourceId, Arc<str>>,
    pub(super) targets: HashMap<TargetId, Arc<str>>,
    /// Targets that another has taken over: events still name them.
    pub(super) heirs: HashMap<TargetId, TargetId>,
}

/// Rows of a table that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) table: &'static str,
    /// In words: whose rows.
    pub(super) of: String,
    pub(super) gap: Gap,
}

/// All of them, each in order of `seq`.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) names: Names,
    pub(super) waiting: Vec<Waiting>,
    pub(super) due: Vec<Due>,
    pub(super) dead: Vec<Dead>,
    pub(super) settled: Vec<Settled>,
    pub(super) replayed: Vec<Replayed>,
    /// Of `attempts` and `handed`, each once.
    pub(super) told: Vec<Told>,
    /// Deliveries in the order in which they stand in the file, if all of them can be read.
    order: Vec<(TargetId, Seq)>,
    pub(super) unread: Vec<Unread>,
}

impl Rows {
    /// Reads them. In one transaction of the caller they fit each other.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut rows = Self::default();
        rows.read_names(connection)?;
        let is_of_1 = !has_table(connection, "replays")?;
        rows.read_waiting(connection, is_of_1)?;
        rows.read_dead(connection)?;
        rows.read_due(connection)?;
        rows.read_settled(connection)?;
        if !is_of_1 {
            rows.read_replayed(connection)?;
            rows.read_told(connection, "attempts")?;
            rows.read_told(connection, "handed")?;
        }
        rows.told.sort_unstable();
        rows.told.dedup();
        rows.waiting.sort_by_key(|row| (row.seq, row.target));
        rows.due.sort_by_key(|row| (row.seq, row.target));
        rows.dead.sort_by_key(|row| (row.seq, row.target));
        rows.settled.sort_by_key(|row| (row.seq, row.class));
        Ok(rows)
    }

    fn read_names(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut named: HashMap<u32, (i64, Arc<str>)> = HashMap::new();
        let mut taken_over: Vec<(u32, i64, u32)> = Vec::new();
        let sql = "SELECT id, kind, name, heir FROM names WHERE id >= ?1 ORDER BY id";
        let gaps = walk(connection, sql, &[], |row| {
            let (id, kind) = (row.get(0)?, row.get(1)?);
            if let Some(name) = row.get::<_, Option<String>>(2)? {
                named.insert(id, (kind, name.into()));
            }
            if let Some(heir) = row.get(3)? {
                taken_over.push((id, kind, heir));
            }
            Ok(())
        })?;
        self.unread("names", 0, gaps);
        for (id, kind, heir) in taken_over {
            if kind == 1 {
                self.names.heirs.insert(TargetId(id), TargetId(heir));
            }
            if let Some((_, name)) = named.get(&heir).cloned() {
                named.insert(id, (kind, name));
            }
        }
        for (id, (kind, name)) in named {
            if kind == 0 {
                self.names.sources.insert(SourceId(id), name);
            } else {
                self.names.targets.insert(TargetId(id), name);
            }
        }
        Ok(())
    }

    fn read_waiting(&mut self, connection: &Connection, is_of_1: bool) -> rusqlite::Result<()> {
        let later = if is_of_1 {
            "0, NULL, NULL"
        } else {
            "replay, lane, since_ms"
        };
        let columns = format!("seq, target, attempts, due_ms, bytes, fan, {later}");
        let read = |row: &Row<'_>| {
            Ok(Waiting {
                seq: seq(row)?,
                target: TargetId(row.get(1)?),
                attempts: row.get(2)?,
                due_ms: row.get(3)?,
                bytes: row.get(4)?,
                fan: row.get(5)?,
                replay: row.get(6)?,
                lane: row.get(7)?,
                since_ms: row.get(8)?,
            })
        };
        let all = format!("SELECT {columns} FROM deliveries NOT INDEXED");
        if let Some(rows) = scan(connection, &all, read)? {
            self.order = rows.iter().map(|row| (row.target, row.seq)).collect();
            self.waiting = rows;
            return Ok(());
        }
        let sql = format!(
            "SELECT {columns} FROM deliveries WHERE target = ?1 AND seq >= ?2 ORDER BY seq"
        );
        for target in self.targets(connection, "deliveries")? {
            let waiting = &mut self.waiting;
            let gaps = walk(connection, &sql, &[target], |row| {
                waiting.push(read(row)?);
                Ok(())
            })?;
            self.unread("deliveries", target, gaps);
        }
        Ok(())
    }

    fn read_dead(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let columns = "seq, target, reason, attempts, dead_ms, bytes";
        let read = |row: &Row<'_>| {
            Ok(Dead {
                seq: seq(row)?,
                target: TargetId(row.get(1)?),
                reason: row.get(2)?,
                attempts: row.get(3)?,
                dead_ms: row.get(4)?,
                bytes: row.get(5)?,
            })
        };
        if let Some(rows) = scan(connection, &format!("SELECT {columns} FROM dead"), read)? {
            self.dead = rows;
            return Ok(());
        }
        let sql =
            format!("SELECT {columns} FROM dead WHERE target = ?1 AND seq >= ?2 ORDER BY seq");
        for target in self.targets(connection, "dead")? {
            let dead = &mut self.dead;
            let gaps = walk(connection, &sql, &[target], |row| {
                dead.push(read(row)?);
                Ok(())
            })?;
            self.unread("dead", target, gaps);
        }
        Ok(())
    }

    fn read_due(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let read = |row: &Row<'_>| {
            Ok(Due {
                seq: seq(row)?,
                target: TargetId(row.get(1)?),
                due_ms: row.get(2)?,
            })
        };
        if let Some(rows) = scan(connection, "SELECT seq, target, due_ms FROM due", read)? {
            self.due = rows;
            return Ok(());
        }
        // A time may be that of several: they are read together, at the first of them.
        let sql =
            "SELECT DISTINCT due_ms FROM due WHERE target = ?1 AND due_ms >= ?2 ORDER BY due_ms";
        let mut at = connection
            .prepare("SELECT seq, target, due_ms FROM due WHERE target = ?1 AND due_ms = ?2")?;
        for target in self.targets(connection, "due")? {
            let due = &mut self.due;
            let gaps = walk(connection, sql, &[target], |row| {
                let mut rows = at.query([target, row.get(0)?])?;
                while let Some(row) = rows.next()? {
                    due.push(read(row)?);
                }
                Ok(())
            })?;
            self.unread("due", target, gaps);
        }
        Ok(())
    }

    fn read_settled(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let read = |row: &Row<'_>| {
            Ok(Settled {
                seq: seq(row)?,
                class: row.get(1)?,
                settled_ms: row.get(2)?,
            })
        };
        let all = "SELECT seq, class, settled_ms FROM settled";
        if let Some(rows) = scan(connection, all, read)? {
            self.settled = rows;
            return Ok(());
        }
        let mut at = connection.prepare(
            "SELECT seq, class, settled_ms FROM settled WHERE class = ?1 AND settled_ms = ?2",
        )?;
        for class in Self::firsts(connection, "settled", "class", [0, 1])? {
            let sql = "SELECT DISTINCT settled_ms FROM settled \
                       WHERE class = ?1 AND settled_ms >= ?2 ORDER BY settled_ms";
            let settled = &mut self.settled;
            let gaps = walk(connection, sql, &[class], |row| {
                let mut rows = at.query([class, row.get(0)?])?;
                while let Some(row) = rows.next()? {
                    settled.push(read(row)?);
                }
                Ok(())
            })?;
            self.unread("settled", class, gaps);
        }
        Ok(())
    }

    fn read_replayed(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "SELECT seq, targets, class, settled_ms, count FROM replays \
                   WHERE seq >= ?1 ORDER BY seq";
        let replayed = &mut self.replayed;
        let gaps = walk(connection, sql, &[], |row| {
            replayed.push(Replayed {
                seq: seq(row)?,
                targets: row::decode_targets(row.get_ref(1)?.as_blob().unwrap_or_default())
                    .collect(),
                class: row.get(2)?,
                settled_ms: row.get(3)?,
                count: row.get(4)?,
            });
            Ok(())
        })?;
        self.unread("replays", 0, gaps);
        Ok(())
    }

    /// Of `table`, which begins with `seq`, `target` and `replay`.
    fn read_told(&mut self, connection: &Connection, table: &'static str) -> rusqlite::Result<()> {
        let sql = format!("SELECT DISTINCT seq FROM {table} WHERE seq >= ?1 ORDER BY seq");
        let of = format!("SELECT DISTINCT seq, target, replay FROM {table} WHERE seq = ?1");
        let mut of = connection.prepare(&of)?;
        let told = &mut self.told;
        let gaps = walk(connection, &sql, &[], |row| {
            let mut rows = of.query([row.get::<_, i64>(0)?])?;
            while let Some(row) = rows.next()? {
                told.push(Told {
                    seq: seq(row)?,
                    target: TargetId(row.get(1)?),
                    replay: row.get(2)?,
                });
            }
            Ok(())
        })?;
        self.unread(table, 0, gaps);
        Ok(())
    }

    /// Targets that may have rows in `table`: those with a name, and others that rows speak of.
    fn targets(&self, connection: &Connection, table: &str) -> rusqlite::Result<Vec<i64>> {
        let named = self.names.targets.keys().map(|target| i64::from(target.0));
        Self::firsts(connection, table, "target", named)
    }

    /// Values of the first column of a table's key: those that are known, and others that can be found.
    fn firsts(
        connection: &Connection,
        table: &str,
        column: &str,
        known: impl IntoIterator<Item = i64>,
    ) -> rusqlite::Result<Vec<i64>> {
        let mut firsts: BTreeSet<i64> = known.into_iter().collect();
        // Each is looked for behind the one before, so that many rows of one cost nothing.
        let sql = format!(
            "WITH RECURSIVE f (v) AS (SELECT min({column}) FROM {table} UNION ALL \
             SELECT (SELECT min({column}) FROM {table} WHERE {column} > f.v) FROM f WHERE f.v IS NOT NULL) \
             SELECT v FROM f WHERE v >= ?1"
        );
        // What can't be found here is among the gaps of those that are known.
        walk(connection, &sql, &[], |row| {
            firsts.insert(row.get(0)?);
            Ok(())
        })?;
        Ok(firsts.into_iter().collect())
    }

    fn unread(&mut self, table: &'static str, of: i64, gaps: Vec<Gap>) {
        let of = match table {
            "names" | "replays" | "attempts" | "handed" => String::new(),
            "settled" => format!("class {of}"),
            _ => match u32::try_from(of)
                .ok()
                .and_then(|of| self.names.targets.get(&TargetId(of)))
            {
                Some(name) => format!("target {name}"),
                None => format!("target number {of}"),
            },
        };
        self.unread.extend(gaps.into_iter().map(|gap| Unread {
            table,
            of: of.clone(),
            gap,
        }));
    }

    /// Whether a row of `table` may be among those that can't be read.
    pub(super) fn is_unread(&self, table: &str, target: TargetId, seq: Seq) -> bool {
        let of = format!("target {}", self.names.target(target));
        let seq = seq.0.cast_signed();
        self.unread.iter().any(|unread| {
            unread.table == table
                && unread.of == of
                && (unread.gap.from..=unread.gap.to).contains(&seq)
        })
    }

    /// Between which places there was a delivery that is now called otherwise: around those out of order, and around
    /// those that are `strange`.
    pub(super) fn doubtful(
        &self,
        strange: impl Fn(Seq, TargetId) -> bool,
    ) -> Vec<((TargetId, Seq), (TargetId, Seq))> {
        let order = &self.order;
        let place = |at: Option<usize>| at.and_then(|at| order.get(at).copied());
        let first = (TargetId(0), Seq(0));
        let last = (TargetId(u32::MAX), Seq(u64::MAX));
        let mut doubtful = Vec::new();
        for (at, (target, seq)) in order.iter().enumerate() {
            let before = at.checked_sub(1);
            let is_behind = place(before).is_none_or(|before| before < (*target, *seq));
            let from = if is_behind { before } else { at.checked_sub(2) };
            if !is_behind || strange(*seq, *target) {
                let from = place(from).unwrap_or(first);
                doubtful.push((from, place(Some(at + 1)).unwrap_or(last)));
            }
        }
        doubtful
    }

    /// Whether every row of `table` could be read.
    pub(super) fn is_whole(&self, table: &str) -> bool {
        self.unread.iter().all(|unread| unread.table != table)
    }
}

impl Names {
    /// Reads them alone, as far as they can be read.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut rows = Rows::default();
        rows.read_names(connection)?;
        Ok(rows.names)
    }

    /// Names of targets, each once.
    pub(super) fn own_targets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.targets
            .iter()
            .filter(|(target, _)| !self.heirs.contains_key(target))
            .map(|(_, name)| name)
    }

    /// The one that `target`'s deliveries are filed under.
    pub(super) fn present(&self, target: TargetId) -> TargetId {
        self.heirs.get(&target).copied().unwrap_or(target)
    }

    /// What a person calls it.
    pub(super) fn target(&self, target: TargetId) -> Arc<str> {
        match self.targets.get(&target) {
            Some(name) => Arc::clone(name),
            None => format!("number {}", target.0).into(),
        }
    }
}

/// All rows as they stand in the file, those out of order too; `None` if they can't all be read.
fn scan<T>(
    connection: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<Vec<T>>> {
    let all = connection
        .prepare(sql)
        .and_then(|mut all| all.query_map([], read)?.collect());
    match all {
        Ok(all) => Ok(Some(all)),
        Err(e) if probe::is_damage(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether the store has this table.
pub(super) fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?
        .exists([table])
}

fn seq(row: &Row<'_>) -> rusqlite::Result<Seq> {
    Ok(Seq(row.get::<_, i64>(0)?.cast_unsigned()))
}

/// Rows of one event among rows that are in order of `seq`; `from` goes on to the next one's.
pub(super) fn of_seq<'r, T>(
    rows: &'r [T],
    from: &mut usize,
    seq: Seq,
    of: impl Fn(&T) -> Seq,
) -> &'r [T] {
    let begin = *from;
    let end = begin
        + rows[begin..]
            .iter()
            .take_while(|row| of(row) <= seq)
            .count();
    *from = end;
    &rows[begin..end]
}

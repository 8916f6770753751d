//! One statement for many rows: what a statement costs by itself is several times what a small row does.
//!
//! Whoever inserts here rolls back the whole transaction when a row does not go in. Statements can say so
//! (`INSERT OR FAIL`): for the usual `ABORT`, which undoes the rows before it and nothing else, SQLite copies every page
//! that a statement of several rows is about to change. With a table whose key is the rowid it does so anyway.

use super::lasting;
use rusqlite::types::ToSql;
use rusqlite::{Connection, Statement};

/// An `INSERT` that takes any number of rows.
#[derive(Debug)]
pub(super) struct InsertMany<'c, const COLUMNS: usize> {
    /// With how many rows each takes, the largest first: each has half as many as the one before it, down to one.
    statements: Vec<(usize, Statement<'c>)>,
}

/// How the rows of an [`InsertMany`] are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wording<'a> {
    /// The statement up to its `VALUES`.
    pub(super) insert: &'a str,
    /// The values of one row: first `?1` and so on for what all rows share, then a `?` for each that is its own.
    pub(super) row: &'a str,
    /// What follows the rows.
    pub(super) then: &'a str,
    /// Rows of the largest statement, a power of two. Every value that is no number has its place in memory until the
    /// next one is bound there.
    pub(super) most: usize,
}

impl<'c, const COLUMNS: usize> InsertMany<'c, COLUMNS> {
    /// `COLUMNS` is what each row has of its own.
    pub(super) fn prepare(
        connection: &'c Connection,
        wording: Wording<'_>,
    ) -> rusqlite::Result<Self> {
        let Wording {
            insert,
            row,
            then,
            most,
        } = wording;
        let sizes = std::iter::successors(Some(most), |rows| Some(rows / 2));
        let prepare = |rows| {
            let values = vec![row; rows].join(", ");
            let statement =
                lasting::prepare(connection, &format!("{insert} VALUES {values} {then}"))?;
            Ok((rows, statement))
        };
        let statements = sizes.take_while(|rows| *rows > 0).map(prepare);
        Ok(Self {
            statements: statements.collect::<rusqlite::Result<_>>()?,
        })
    }

    /// Inserts a row for each of `items`, in order.
    pub(super) fn insert<'a, T>(
        &mut self,
        items: &'a [T],
        values: impl FnMut(
            &'a T,
            &mut dyn FnMut([&dyn ToSql; COLUMNS]) -> rusqlite::Result<()>,
        ) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.insert_sharing(&[], items, values)
    }

    /// The same, with values that all of them share.
    pub(super) fn insert_sharing<'a, T>(
        &mut self,
        shared: &[&dyn ToSql],
        mut items: &'a [T],
        mut values: impl FnMut(
            &'a T,
            &mut dyn FnMut([&dyn ToSql; COLUMNS]) -> rusqlite::Result<()>,
        ) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        for (rows, statement) in &mut self.statements {
            while let Some((now, later)) = items.split_at_checked(*rows) {
                for (value, at) in shared.iter().zip(1..) {
                    statement.raw_bind_parameter(at, value)?;
                }
                let mut next = shared.len();
                for item in now {
                    values(item, &mut |row| {
                        row.iter().try_for_each(|value| {
                            next += 1;
                            statement.raw_bind_parameter(next, value)
                        })
                    })?;
                }
                statement.raw_execute()?;
                items = later;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wording<'a>(insert: &'a str, row: &'a str) -> Wording<'a> {
        Wording {
            insert,
            row,
            then: "",
            most: 16,
        }
    }

    #[test]
    fn any_number_of_rows_goes_in_in_order() {
        let connection = Connection::open_in_memory().expect("opened");
        connection
            .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY AUTOINCREMENT, a, b, c)")
            .expect("made");
        let wording = wording("INSERT OR FAIL INTO t (c, a, b)", "(?1, ?, ?)");
        let mut insert = InsertMany::<2>::prepare(&connection, wording).expect("prepared");
        for count in [0, 1, 3, 4, 5, 16, 17, 31, 63] {
            connection.execute_batch("DELETE FROM t").expect("emptied");
            let items: Vec<i64> = (0..count).collect();
            insert
                .insert_sharing(&[&count], &items, |item, row| {
                    row([item, &(item % 2 == 0).then_some(-item)])
                })
                .expect("inserted");
            let mut rows = connection
                .prepare("SELECT a, b, c FROM t ORDER BY n")
                .expect("prepared");
            let rows: Vec<(i64, Option<i64>, i64)> = rows
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .expect("read")
                .collect::<rusqlite::Result<_>>()
                .expect("read");
            let expected: Vec<_> = items
                .iter()
                .map(|item| (*item, (item % 2 == 0).then_some(-item), count))
                .collect();
            assert_eq!(rows, expected, "{count}");
        }
    }

    #[test]
    fn a_row_that_does_not_go_in_is_an_error() {
        let connection = Connection::open_in_memory().expect("opened");
        connection
            .execute_batch("CREATE TABLE t (a PRIMARY KEY NOT NULL)")
            .expect("made");
        let wording = wording("INSERT OR FAIL INTO t (a)", "(?)");
        let mut insert = InsertMany::<1>::prepare(&connection, wording).expect("prepared");
        let twice = [1, 2, 3, 1];
        assert!(insert.insert(&twice, |item, row| row([item])).is_err());
        insert
            .insert(&[4], |item, row| row([item]))
            .expect("it goes on");
    }
}

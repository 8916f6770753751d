//! One statement for many rows: what a statement costs by itself is several times what a small row does.
//!
//! Whoever inserts here rolls back the whole transaction when a row does not go in. Statements can say so
//! (`INSERT OR FAIL`): for the usual `ABORT`, which undoes the rows before it and nothing else, SQLite copies every page
//! that a statement of several rows is about to change. With a table whose key is the rowid it does so anyway.

use super::lasting;
use rusqlite::types::ToSql;
use rusqlite::{Connection, Statement};

/// Rows of the statements, the largest first; what is left over goes one by one.
const ROWS: [usize; 3] = [16, 4, 1];

/// An `INSERT` that takes any number of rows.
#[derive(Debug)]
pub(super) struct InsertMany<'c, const COLUMNS: usize> {
    statements: [Statement<'c>; ROWS.len()],
}

impl<'c, const COLUMNS: usize> InsertMany<'c, COLUMNS> {
    /// `insert` is the statement up to its `VALUES`, `then` what follows them.
    pub(super) fn prepare(
        connection: &'c Connection,
        insert: &str,
        then: &str,
    ) -> rusqlite::Result<Self> {
        let row = format!("({})", vec!["?"; COLUMNS].join(", "));
        let prepare = |rows: usize| {
            let values = vec![&*row; rows].join(", ");
            lasting::prepare(connection, &format!("{insert} VALUES {values} {then}"))
        };
        let [most, some, one] = ROWS.map(prepare);
        Ok(Self {
            statements: [most?, some?, one?],
        })
    }

    /// Inserts a row for each of `items`, in order.
    pub(super) fn insert<T>(
        &mut self,
        mut items: &[T],
        values: impl for<'a> Fn(
            &'a T,
            &mut dyn FnMut([&dyn ToSql; COLUMNS]) -> rusqlite::Result<()>,
        ) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        for (statement, rows) in self.statements.iter_mut().zip(ROWS) {
            while let Some((now, later)) = items.split_at_checked(rows) {
                if now.is_empty() {
                    break;
                }
                for (index, item) in now.iter().enumerate() {
                    let first = index * COLUMNS + 1;
                    values(item, &mut |row| {
                        row.iter()
                            .zip(first..)
                            .try_for_each(|(value, at)| statement.raw_bind_parameter(at, value))
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

    #[test]
    fn any_number_of_rows_goes_in_in_order() {
        let connection = Connection::open_in_memory().expect("opened");
        connection
            .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY AUTOINCREMENT, a, b)")
            .expect("made");
        let mut insert = InsertMany::<2>::prepare(&connection, "INSERT OR FAIL INTO t (a, b)", "")
            .expect("prepared");
        for count in [0, 1, 3, 4, 5, 16, 17, 21, 63] {
            connection.execute_batch("DELETE FROM t").expect("emptied");
            let items: Vec<i64> = (0..count).collect();
            insert
                .insert(&items, |item, row| {
                    row([item, &(item % 2 == 0).then_some(-item)])
                })
                .expect("inserted");
            let mut rows = connection
                .prepare("SELECT a, b FROM t ORDER BY n")
                .expect("prepared");
            let rows: Vec<(i64, Option<i64>)> = rows
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .expect("read")
                .collect::<rusqlite::Result<_>>()
                .expect("read");
            let expected: Vec<_> = items
                .iter()
                .map(|item| (*item, (item % 2 == 0).then_some(-item)))
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
        let mut insert = InsertMany::<1>::prepare(&connection, "INSERT OR FAIL INTO t (a)", "")
            .expect("prepared");
        let twice = [1, 2, 3, 1];
        assert!(insert.insert(&twice, |item, row| row([item])).is_err());
        insert
            .insert(&[4], |item, row| row([item]))
            .expect("it goes on");
    }
}

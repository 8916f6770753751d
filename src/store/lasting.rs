//! Statements that are prepared once and live as long as their connection.

use rusqlite::{Connection, PrepFlags, Statement};

/// Prepares a statement that is kept. SQLite has a pool of some hundred small pieces of memory for what a statement needs
/// while it runs; unless told that they are to last, the first few statements take all of it, and every value that is bound
/// later asks the system's allocator.
pub(super) fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
) -> rusqlite::Result<Statement<'c>> {
    connection.prepare_with_flags(sql, PrepFlags::SQLITE_PREPARE_PERSISTENT)
}

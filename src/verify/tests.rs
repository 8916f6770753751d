//! The room through its door.

use std::cell::Cell;

thread_local! {
    /// How many comparisons this thread has made with what secrets make.
    pub(super) static COMPARED: Cell<usize> = const { Cell::new(0) };
}

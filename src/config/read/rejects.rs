//! How many refused requests a source keeps.

use crate::config::{
    Rejects,
    reader::Node,
    value::{SIZE, count_kind},
};

/// Requests in one ring: an operator's tool, not an archive.
const KEEP_MAX: usize = 1_000_000;

/// Reads `rejects`.
pub(super) fn read(node: &Node<'_>) -> Option<Rejects> {
    let map = node.map(&["keep", "max_size"])?;
    Some(Rejects {
        keep: map.read_or("keep", &count_kind::<KEEP_MAX>(), 1_000),
        max_size_bytes: map.read_or("max_size", &SIZE, 10 << 20),
    })
}

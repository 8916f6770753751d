//! The commands for a running gateway, through its admin API: `events`, `targets`, `sources`, `rejects` and
//! `history`.
//!
//! `ask` finds the gateway and talks to it, `table` shows what it says; `--json` shows it as it came.

mod ask;
mod bulk;
pub(super) mod events;
pub(super) mod history;
mod page;
pub(super) mod rejects;
mod show;
pub(super) mod sources;
mod table;
pub(super) mod targets;
mod when;

use super::{print, runtime};
use ask::{Ask, Gateway};

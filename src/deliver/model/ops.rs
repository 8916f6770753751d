//! What can happen in the model, one thing after the other, and any order of it.
//!
//! Invariant: each of these may come at any time; the world says whether it is possible then.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A sender's event reaches the writer.
    Admit,
    /// The writer commits what it has.
    Commit,
    /// The writer announces one thing that it has committed.
    Announce,
    /// The reader plans, if something made it.
    Plan,
    /// The page that is being read arrives.
    Arrive,
    /// The page cannot be read.
    Unreadable,
    /// The reader panics, and begins anew.
    Forget,
    /// A worker that was summoned or is done looks for a job.
    Look(usize),
    /// A worker's attempt ends.
    End(usize, End),
    /// Time passes, milliseconds.
    Pass(u64),
    /// The wall clock is set, milliseconds.
    Jump(i64),
    /// An operator gives up the nth delivery that waits.
    Discard(usize),
    /// An operator pauses the target.
    Pause,
    /// And ends that.
    Resume,
    /// And has every retry made now.
    Hasten,
    /// The configuration does not name the target any more.
    Retire,
    /// It does (again), with so many attempts at a time.
    Reform {
        concurrency: usize,
        /// Elsewhere.
        moved: bool,
        /// Without order from now on. (Not the other way round: what was attempted without order has no lane in a store.)
        unordered: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Delivered,
    Refused(u64),
    Failing,
    Unclear,
    /// The worker panics.
    Fell,
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    let any_end = prop_oneof![
        4 => Just(End::Delivered),
        2 => (0u64..5_000).prop_map(End::Refused),
        4 => Just(End::Failing),
        1 => Just(End::Unclear),
        1 => Just(End::Fell),
    ];
    prop_oneof![
        6 => Just(Op::Admit),
        6 => Just(Op::Commit),
        10 => Just(Op::Announce),
        8 => Just(Op::Plan),
        6 => Just(Op::Arrive),
        1 => Just(Op::Unreadable),
        1 => Just(Op::Forget),
        12 => (0usize..8).prop_map(Op::Look),
        10 => (0usize..8, any_end).prop_map(|(nth, end)| Op::End(nth, end)),
        4 => (0u64..3_000).prop_map(Op::Pass),
        1 => (-500_000i64..500_000).prop_map(Op::Jump),
        1 => (0usize..300).prop_map(Op::Discard),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        1 => Just(Op::Hasten),
        1 => Just(Op::Retire),
        2 => (1usize..6, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(|(concurrency, moved, unordered)| {
            Op::Reform { concurrency, moved, unordered }
        }),
    ]
}

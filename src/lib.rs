//! hookgate receives webhooks in front of an app: it proves who sent each one, lets each event through
//! once, answers the sender in time, never loses what it has answered for, and forwards it to the app
//! until the app has taken it.
//!
//! The rooms below stand in reading order, top floor first; a room imports only from floors below its own.
//! `ARCHITECTURE.md` tells the way of one event through them.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        clippy::large_stack_arrays,
        clippy::type_complexity,
        reason = "tests count small numbers, and compare what must be equal"
    )
)]

// F7: the command line
pub mod cli;
// F6: the wiring
pub mod gateway;
// F5: the two listeners
pub mod admin;
pub mod receive;
// F4: towards the app
pub mod deliver;
// F3: what is durable
pub mod store;
// F2: proofs, memory of keys, and HTTP without webhook words
pub mod dedupe;
pub mod http;
pub mod verify;
// F1: the configuration
pub mod config;
// F0: the ground floor
pub mod backoff;
pub mod budget;
pub mod clock;
pub mod event;
pub mod extract;
pub mod metrics;
pub mod network;
pub mod quiet;
pub mod rate;
pub mod shutdown;
pub mod trace;

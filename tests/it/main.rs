//! hookgate from outside: the real binary, real sockets, real files.
#![expect(
    clippy::float_cmp,
    reason = "metrics are counts: whole numbers, told apart exactly"
)]
#![expect(
    clippy::disallowed_types,
    reason = "a test whose helper thread panicked has failed: poisoning says so"
)]

mod answers;
mod api;
mod attempts;
mod canary;
mod clock;
mod commandline;
mod connecting;
mod crash;
mod dedupe;
mod delivery;
mod disk;
mod durability;
mod environment;
mod files;
mod full;
mod handshakes;
mod hostile;
mod io_errors;
mod keeping;
mod learning;
mod lookalikes;
mod malformed;
mod operate;
mod oracles;
mod order;
mod own_presets;
mod passthrough;
mod pending;
mod power;
mod rejects;
mod schema;
mod secrets;
mod send;
mod sick;
mod slow;
mod smuggling;
mod soak;
mod stop;
mod stringify;
mod support;
mod tamper;
mod targets;
mod tidy;
mod tls;
mod traces;
mod vectors;
mod vendors;

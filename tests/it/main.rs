//! hookgate from outside: the real binary, real sockets, real files.
#![expect(
    clippy::float_cmp,
    reason = "metrics are counts: whole numbers, told apart exactly"
)]
#![expect(
    clippy::disallowed_types,
    reason = "a test whose helper thread panicked has failed: poisoning says so"
)]

mod activation;
mod answers;
mod api;
mod attempts;
mod callers;
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
mod floods;
mod full;
mod handshakes;
mod hostile;
mod http2;
mod io_errors;
mod keeping;
mod learning;
mod listeners;
mod lookalikes;
mod malformed;
mod operate;
mod oracles;
mod order;
mod own_presets;
mod passthrough;
mod pending;
mod power;
mod proxy;
mod rejects;
mod reload;
mod restart;
mod schema;
mod secrets;
mod secured;
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

//! hookgate from outside: the real binary, real sockets, real files.

mod crash;
mod dedupe;
mod delivery;
mod durability;
mod full;
mod malformed;
mod operate;
mod slow;
mod stop;
mod support;
mod tidy;
mod vendors;

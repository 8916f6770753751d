//! HTTP/1.1 on both sides, without any webhook word in it: a server with a deadline for every phase of a
//! connection, a strict reading of requests, bodies within a budget, and a client for one origin.

pub mod body;
pub mod client;
mod connection;
mod deadlines;
pub mod listen;
mod proxy;
pub mod server;
mod socket;
pub mod strict;

use bytes::Bytes;
use http_body_util::Full;

/// Every answer of ours is whole before it is sent.
pub type Answer = http::Response<Full<Bytes>>;

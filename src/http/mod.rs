//! HTTP on both sides, without any webhook word in it: a server (HTTP/1.1, and HTTP/2 where it is asked for, with TLS or
//! without) with a deadline for every phase of a connection, a strict reading of requests, bodies within a budget, and a
//! client for one origin.

mod answering;
mod begin;
pub mod body;
pub mod client;
mod connection;
mod crowd;
mod deadlines;
mod gather;
mod http2;
pub mod listen;
mod proxy;
pub mod server;
mod socket;
mod stream;
pub mod strict;
mod tls;

pub use answering::Answering;
pub use tls::Tls;

use bytes::Bytes;
use http_body_util::Full;

/// Every answer of ours is whole before it is sent.
pub type Answer = http::Response<Full<Bytes>>;

//! Reading a request's body: within its limit, its deadline and the budget of bytes in flight.

use crate::budget::{Budget, Charge};
use bytes::Bytes;
use std::time::Duration;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes.
    pub bytes: u64,
    /// From now to its last byte.
    pub timeout: Duration,
}

/// Why a body was not read. After any of these the connection has to be closed.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than the limit, by its Content-Length or by its bytes.
    #[error("body is over the limit of {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// Not whole at the deadline.
    #[error("body was not whole after {0:?}")]
    Timeout(Duration),
    /// No room in the budget.
    #[error("no room for the body among those in flight")]
    Overloaded,
    /// Malformed chunks, or the connection ended within the body.
    #[error("body is malformed or cut off")]
    Malformed,
}

/// Reads `body` to its end. The charge is held for its bytes (a declared length is charged at once) and for
/// `overhead` bytes more, until dropped.
pub async fn read<B>(
    _body: B,
    _limits: BodyLimits,
    _budget: &Budget,
    _overhead: u64,
) -> Result<(Bytes, Charge), BodyError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    todo!()
}

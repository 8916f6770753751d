//! What answers requests, under one name: its bounds are long, and everything on the way of a request has them.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use std::convert::Infallible;
use tower::{BoxError, Service, ServiceExt as _};

/// A tower service that never fails, and that any number of connections may have a clone of.
pub trait Answering: Clone + Send + Sync + 'static {
    /// Of its answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers one request.
    fn answer(
        self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Infallible>> + Send;
}

impl<S, B> Answering for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;

    fn answer(
        self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<B>, Infallible>> + Send {
        self.oneshot(request)
    }
}

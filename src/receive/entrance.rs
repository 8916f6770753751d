//! The way in for requests while configurations come and go: each is served by what is present when it begins, from its
//! first layer to its answer, and never by half of one and half of another.
//!
//! A request costs one read of a lock that nobody holds for longer than it takes to put one value in another's place.

use super::Receive;
use super::service::{Settings, service};
use crate::http::Answering;
use http::Request;
use hyper::body::Incoming;
use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::util::Oneshot;
use tower::{Service, ServiceExt as _};

/// A service whose inner one may be another from request to request.
#[derive(Debug)]
struct Entrance<S>(Arc<RwLock<S>>);

impl<S> Clone for Entrance<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, B> Service<Request<B>> for Entrance<S>
where
    S: Service<Request<B>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Oneshot<S, Request<B>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Each request asks the one that serves it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let present = self.0.read().clone();
        present.oneshot(request)
    }
}

/// Puts another configuration in the place of the present one.
pub struct Turn(Box<dyn Fn(Arc<Receive>, Settings) + Send + Sync>);

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl Turn {
    /// Requests that begin from now on are served by this.
    pub fn to(&self, receive: Arc<Receive>, settings: Settings) {
        (self.0)(receive, settings);
    }
}

/// The service of the public listener, and what turns it to another configuration.
pub fn entrance(receive: Arc<Receive>, settings: Settings) -> (Turn, impl Answering) {
    let present = Arc::new(RwLock::new(service::<Incoming>(receive, settings)));
    let place = Arc::clone(&present);
    let turn = move |receive, settings| {
        let next = service::<Incoming>(receive, settings);
        let former = std::mem::replace(&mut *place.write(), next);
        // Not under the lock: it may be the last to hold all of a configuration.
        drop(former);
    };
    (Turn(Box::new(turn)), Entrance(present))
}

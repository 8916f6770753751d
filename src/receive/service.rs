//! The layers around a request, outermost first.

use super::caller::Caller;
use super::rejection::Rejection;
use super::{Receive, handler};
use crate::http::body::BodyError;
use crate::http::{Answer, strict};
use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::{Either, MapOk, Ready, ready};
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either as EitherBody, Full};
use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::layer::layer_fn;
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestId, RequestId, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

/// Names a request in traces. It begins like every header of ours, so it never goes on to the app.
const REQUEST_ID: HeaderName = HeaderName::from_static("hookgate-request-id");

/// Bounds of the whole stack.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of the largest body that any source takes; each source has its own limit below it.
    pub body_bytes: usize,
    /// The longest that any source may take, its body included: a safety net under the deadlines of each step.
    pub timeout: Duration,
}

/// The service of the public listener.
pub fn service<B>(
    receive: Arc<Receive>,
    settings: Settings,
) -> impl Service<
    Request<B>,
    Response = Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + use<B>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let gate = Arc::clone(&receive);
    let panics = Arc::clone(&receive);
    let late = Arc::clone(&receive);
    let handler = service_fn(move |request: Request<_>| {
        let receive = Arc::clone(&receive);
        async move {
            let answer = handler::handle(&receive, request).await;
            Ok::<Response<Option<_>>, Infallible>(answer.map(Some))
        }
    });
    ServiceBuilder::new()
        // A defect in one request must not end the connection unanswered, nor count as the sender's fault.
        .layer(CatchPanicLayer::custom(
            move |panic: Box<dyn Any + Send + 'static>| panicked(&panics, panic.as_ref()),
        ))
        // Before the trace, which shows it.
        .layer(SetRequestIdLayer::new(REQUEST_ID, Numbered::default()))
        // Costs next to nothing unless `RUST_LOG` asks for `debug`. A 503 of ours is said by its source, with its reason.
        .layer(TraceLayer::new_for_http().on_failure(()))
        // Before anything trusts the head.
        .layer(layer_fn(move |inner| Strict {
            inner,
            receive: Arc::clone(&gate),
            body_bytes: settings.body_bytes as u64,
        }))
        // Bounds bodies without a declared length, whatever their source takes.
        .layer(RequestBodyLimitLayer::new(settings.body_bytes))
        // The safety net below has no words of its own: its answer is the only one without a body.
        .map_response(move |response: Response<Option<_>>| {
            or_late(response, || late.refused(None, &Rejection::Late))
        })
        // No request lasts for ever, whatever its steps do.
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            settings.timeout,
        ))
        .service(handler)
}

/// The handler's answer, or that of nobody: the timeout's, which is a status alone.
fn or_late(response: Response<Option<Full<Bytes>>>, late: impl FnOnce() -> Answer) -> Answer {
    let (head, body) = response.into_parts();
    body.map_or_else(late, |body| Response::from_parts(head, body))
}

/// Refuses heads that hyper lets pass and a gateway must not, and declared lengths that no source takes.
#[derive(Clone)]
struct Strict<S> {
    inner: S,
    receive: Arc<Receive>,
    body_bytes: u64,
}

impl<S> Strict<S> {
    fn refuse<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        strict::check(request)?;
        let declared = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match declared {
            Some(bytes) if bytes > self.body_bytes => Err(BodyError::TooLarge {
                limit: self.body_bytes,
            }
            .into()),
            _ => Ok(()),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Strict<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<EitherBody<Full<Bytes>, R>>;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Self::Response, Infallible>>,
        MapOk<S::Future, fn(Response<R>) -> Self::Response>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Err(rejection) = self.refuse(&request) {
            let trusted = &self.receive.trusted_proxies;
            let caller = Caller::find(trusted, request.extensions(), request.headers());
            let request = (request.uri().path(), caller.client);
            let answer = self.receive.refused(Some(request), &rejection);
            return Either::Left(ready(Ok(answer.map(EitherBody::Left))));
        }
        Either::Right(
            self.inner
                .call(request)
                .map_ok(|response| response.map(EitherBody::Right)),
        )
    }
}

/// Says that a request met a defect of ours; the sender is asked to come again.
fn panicked(receive: &Receive, panic: &(dyn Any + Send)) -> Answer {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = text.unwrap_or("(no text)"),
        "request failed by a defect in hookgate; please report it"
    );
    receive.refused(None, &Rejection::Panicked)
}

/// Requests by number: 1, 2, 3 ... since the start. They are named only where a trace is written that shows it.
#[derive(Clone, Default)]
struct Numbered(Arc<AtomicU64>);

impl MakeRequestId for Numbered {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return None;
        }
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Some(RequestId::new(HeaderValue::from(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::ServiceExt;

    /// Answers through the safety net.
    async fn bounded(takes: Duration) -> Answer {
        let handler = service_fn(move |_: Request<()>| async move {
            tokio::time::sleep(takes).await;
            let answer = Response::new(Some(Full::new(Bytes::from_static(b"taken"))));
            Ok::<_, Infallible>(answer)
        });
        let service = ServiceBuilder::new()
            .map_response(|response| or_late(response, || Rejection::Late.answer()))
            .layer(TimeoutLayer::with_status_code(
                StatusCode::SERVICE_UNAVAILABLE,
                Duration::from_secs(1),
            ))
            .service(handler);
        let answered = service.oneshot(Request::new(())).await;
        answered.unwrap_or_else(|never| match never {})
    }

    #[tokio::test(start_paused = true)]
    async fn the_safety_nets_answer_is_that_of_a_late_commit() {
        assert_eq!(bounded(Duration::from_millis(999)).await.status(), 200);
        let late = bounded(Duration::from_millis(1001)).await;
        let expected = Rejection::Late.answer();
        assert_eq!(late.status(), expected.status());
        assert_eq!(late.headers(), expected.headers());
        assert!(late.headers().contains_key("retry-after"));
    }
}

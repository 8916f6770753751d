//! The operator's side, on a listener of its own, loopback by default.
//!
//! | endpoint | answers |
//! | --- | --- |
//! | `GET /metrics` | Prometheus text format |
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 while events are taken; 503 while starting, shutting down or poisoned |
//! | `POST /-/reload` | whether the configuration was read anew: see `reload.rs` |
//! | `/api/v1/...` | what `api/table.rs` lists, as `config/openapi.yaml` describes it |
//!
//! The first three are open to whoever reaches the listener; `api/auth.rs` says who may ask for the others.
//!
//! `/readyz` stays 200 when the store is full or an app is down: taking the gateway out of rotation would turn
//! our 503 into refused connections.

pub mod api;
mod health;
mod reload;

pub use api::Api;
pub use health::{Readiness, State};
pub use reload::{Asked, NotReloaded, Reloaded, Reloads};

use crate::http::Answer;
use crate::metrics::Metrics;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use std::sync::Arc;
use tower::BoxError;

/// What the admin side shows.
#[derive(Clone)]
pub struct Admin {
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Whether events are taken.
    pub readiness: Readiness,
    /// The API.
    pub api: Arc<Api>,
    /// Who asks for a reload.
    pub reloads: Arc<Reloads>,
}

impl Admin {
    /// Answers one request. Only the API looks at its body.
    pub async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let endpoint: fn(&Self) -> Answer = match request.uri().path() {
            "/metrics" => Self::metrics,
            "/healthz" => |_| text(StatusCode::OK, "ok\n"),
            "/readyz" => Self::ready,
            path if path == "/api" || path.starts_with("/api/") => {
                return api::answer(&self.api, request).await;
            }
            "/-/reload" => return self.reload(&request.into_parts().0).await,
            _ => {
                return text(
                    StatusCode::NOT_FOUND,
                    "not found; here are /metrics, /healthz, /readyz, /-/reload and /api/v1/\n",
                );
            }
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            answer
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        endpoint(self)
    }

    fn metrics(&self) -> Answer {
        let mut answer = Response::new(Full::new(Bytes::from(self.metrics.render())));
        let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, format);
        answer
    }

    fn ready(&self) -> Answer {
        let state = self.readiness.get();
        let status = if state == State::Ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        text(status, state.says())
    }
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    async fn status(admin: &Admin, method: Method, path: &str) -> u16 {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::<Bytes>::default())
            .expect("a request");
        admin.answer(request).await.status().as_u16()
    }

    #[tokio::test]
    async fn endpoints_answer_and_readiness_follows_its_state() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 9444));
        let admin = Admin {
            metrics: Metrics::new(),
            readiness: Readiness::default(),
            api: Arc::new(Api::new(None, listen)),
            reloads: Arc::default(),
        };
        assert_eq!(status(&admin, Method::GET, "/metrics").await, 200);
        assert_eq!(status(&admin, Method::POST, "/metrics").await, 405);
        assert_eq!(status(&admin, Method::GET, "/").await, 404);
        for (state, expected) in [
            (State::Starting, 503),
            (State::Ready, 200),
            (State::Stopping, 503),
            (State::Poisoned, 503),
        ] {
            admin.readiness.set(state);
            assert_eq!(
                status(&admin, Method::GET, "/readyz").await,
                expected,
                "{state:?}"
            );
            assert_eq!(status(&admin, Method::GET, "/healthz").await, 200);
        }
    }
}

//! The operator's side, on a listener of its own, loopback by default.
//!
//! | endpoint | answers |
//! | --- | --- |
//! | `GET /metrics` | Prometheus text format |
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 while events are taken; 503 while starting, shutting down or poisoned |
//!
//! `/readyz` stays 200 when the store is full or an app is down: taking the gateway out of rotation would turn
//! our 503 into refused connections.

mod health;

pub use health::{Readiness, State};

use crate::http::Answer;
use crate::metrics::Metrics;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use std::sync::Arc;

/// What the admin side shows.
#[derive(Clone)]
pub struct Admin {
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Whether events are taken.
    pub readiness: Readiness,
}

impl Admin {
    /// Answers one request; its body is not looked at.
    pub fn answer<B>(&self, request: &Request<B>) -> Answer {
        let endpoint: fn(&Self) -> Answer = match request.uri().path() {
            "/metrics" => Self::metrics,
            "/healthz" => |_| text(StatusCode::OK, "ok\n"),
            "/readyz" => Self::ready,
            _ => {
                return text(
                    StatusCode::NOT_FOUND,
                    "not found; here are /metrics, /healthz and /readyz\n",
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

    fn status(admin: &Admin, method: Method, path: &str) -> u16 {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .expect("a request");
        admin.answer(&request).status().as_u16()
    }

    #[test]
    fn endpoints_answer_and_readiness_follows_its_state() {
        let admin = Admin {
            metrics: Metrics::new(),
            readiness: Readiness::default(),
        };
        assert_eq!(status(&admin, Method::GET, "/metrics"), 200);
        assert_eq!(status(&admin, Method::POST, "/metrics"), 405);
        assert_eq!(status(&admin, Method::GET, "/"), 404);
        for (state, expected) in [
            (State::Starting, 503),
            (State::Ready, 200),
            (State::Stopping, 503),
            (State::Poisoned, 503),
        ] {
            admin.readiness.set(state);
            assert_eq!(
                status(&admin, Method::GET, "/readyz"),
                expected,
                "{state:?}"
            );
            assert_eq!(status(&admin, Method::GET, "/healthz"), 200);
        }
    }
}

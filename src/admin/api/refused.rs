//! Every answer of the API: JSON, and `{"error":"..."}` where it is not what was asked for.

use crate::http::Answer;
use crate::store::NotStored;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

/// Why something was not done.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    error: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            status,
            error,
            header: None,
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// 400: the error names what was given and what is accepted.
    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 401
    pub fn unauthorised(error: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error).with(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"hookgate\""),
        )
    }

    /// 403
    pub fn forbidden(error: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// 404
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 405, with the methods that there are.
    pub fn method(allowed: &str) -> Self {
        let error = format!("the method is not allowed here; accepted: {allowed}");
        let refused = Self::new(StatusCode::METHOD_NOT_ALLOWED, error);
        // Methods are tokens, and so is their list.
        match HeaderValue::from_str(allowed) {
            Ok(allowed) => refused.with(header::ALLOW, allowed),
            Err(_) => refused,
        }
    }

    /// 409: it makes sense, but not for what is there now.
    pub fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// 408
    pub fn too_slow(error: impl Into<String>) -> Self {
        Self::closing(Self::new(StatusCode::REQUEST_TIMEOUT, error))
    }

    /// 413
    pub fn too_large(error: impl Into<String>) -> Self {
        Self::closing(Self::new(StatusCode::PAYLOAD_TOO_LARGE, error))
    }

    /// 415
    pub fn media_type(error: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
    }

    /// 503: the same may be asked again in a second.
    pub fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The rest of the body is not read.
    fn closing(refused: Self) -> Self {
        refused.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// As it is sent.
    pub(in crate::admin) fn answer(self) -> Answer {
        let body = serde_json::json!({ "error": self.error });
        let mut answer = json(self.status, &body);
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<NotStored> for Refused {
    fn from(error: NotStored) -> Self {
        Self::unavailable(error.to_string())
    }
}

/// 200 with this.
pub(super) fn ok(body: &Value) -> Answer {
    json(StatusCode::OK, body)
}

fn json(status: StatusCode, body: &Value) -> Answer {
    text(status, "application/json", body.to_string())
}

/// Any text.
pub(super) fn text(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What an event holds is nobody's to keep, and no page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

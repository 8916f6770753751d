//! How a source answers a vendor that asks whether the URL is its own.

use super::{template::Template, verify::Condition};
use crate::extract::Field;
use http::{HeaderName, HeaderValue, StatusCode};

/// One rule: the first whose conditions hold answers, and nothing is forwarded.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// What must hold.
    pub when: Vec<Condition>,
    /// Whether `verify` must prove the request first.
    pub verified: bool,
    /// Where the request carries the secret that its vendor has chosen for this source: it is written to the source's
    /// file of it, once.
    pub learn: Option<Field>,
    /// What is answered.
    pub answer: HandshakeAnswer,
}

/// The answer to a handshake.
#[derive(Clone, Debug)]
pub struct HandshakeAnswer {
    /// 200 to 299.
    pub status: StatusCode,
    /// Of the body. An empty one has a type where the vendor wants that.
    pub content_type: Option<HeaderValue>,
    /// Beside it.
    pub headers: Vec<(HeaderName, Template)>,
    /// What it says.
    pub body: HandshakeBody,
}

/// The body of an answer to a handshake.
#[derive(Clone, Debug)]
pub enum HandshakeBody {
    /// This text; empty for none.
    Text(Template),
    /// A JSON object, in this order.
    Json(Vec<(String, HandshakeValue)>),
}

/// A value in the answer to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeValue {
    /// A text.
    Text(Template),
    /// A number, `true` or `false`, as it is.
    Fixed(serde_json::Value),
}

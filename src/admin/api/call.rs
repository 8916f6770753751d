//! One call of the API as its endpoint gets it: who asks, and what.

use super::params::{Params, shown};
use super::refused::Refused;
use crate::budget::Budget;
use crate::http::body::{self, BodyError, BodyLimits};
use crate::http::server::Peer;
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body::Body;
use std::time::Duration;
use tower::BoxError;

/// What a body may take: a filter is some hundred bytes.
const BODY: BodyLimits = BodyLimits {
    bytes: 64 * 1024,
    timeout: Duration::from_secs(10),
};

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Who asks, for the audit log.
    pub peer: Option<Peer>,
    /// What stands in the place of the braces of the endpoint's path.
    pub segments: Vec<String>,
    /// What is asked: the query of a GET, the body of a POST.
    pub params: Params,
}

impl Call {
    /// Reads what is left of a request.
    pub(super) async fn read<B>(
        head: &Parts,
        body: B,
        segments: Vec<String>,
        budget: &Budget,
    ) -> Result<Self, Refused>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let query = Params::of_query(head.uri.query().unwrap_or_default())?;
        let (body, _charge) = body::read(body, BODY, budget, 0)
            .await
            .map_err(|error| unread(&error))?;
        let params = if head.method == http::Method::POST {
            // A POST says all in its body, so that nothing of it stands in the log of a proxy.
            query.finish()?;
            json(&head.headers, &body)?;
            Params::of_body(&body)?
        } else {
            query
        };
        Ok(Self {
            peer: head.extensions.get::<Peer>().copied(),
            segments,
            params,
        })
    }
}

/// A page's form can send any text to anybody, but nothing that says that it is JSON.
fn json(headers: &HeaderMap, body: &Bytes) -> Result<(), Refused> {
    if body.is_empty() {
        return Ok(());
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let shown = shown(kind);
    Err(Refused::media_type(&format!(
        "Content-Type is {shown}; accepted: application/json"
    )))
}

fn unread(error: &BodyError) -> Refused {
    let said = error.to_string();
    match error {
        BodyError::TooLarge { .. } => Refused::too_large(said),
        BodyError::Timeout(_) => Refused::too_slow(said),
        BodyError::Overloaded => Refused::unavailable(said),
        BodyError::Malformed => Refused::bad(said),
    }
}

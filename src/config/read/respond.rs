//! What a success looks like to the sender.

use crate::config::{
    Respond,
    reader::Node,
    value::{HEADER_VALUE, SUCCESS, TEXT},
};
use http::{HeaderValue, StatusCode};

/// Reads `respond`.
pub(super) fn read(node: Option<&Node<'_>>) -> Respond {
    let mut respond = Respond {
        status: StatusCode::OK,
        body: None,
        content_type: HeaderValue::from_static("application/json"),
    };
    let Some(map) = node.and_then(|node| node.map(&["status", "body", "content_type"])) else {
        return respond;
    };
    respond.status = map.read_or("status", &SUCCESS, respond.status);
    respond.content_type = map.read_or("content_type", &HEADER_VALUE, respond.content_type);
    if let Some(node) = map.get_some("body") {
        respond.body = node.read(&TEXT).map(Into::into);
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT];
        if bodiless.contains(&respond.status)
            && respond.body.as_ref().is_some_and(|body| !body.is_empty())
        {
            node.problem(format!(
                "an answer with status {} has no body; leave it out, or choose another status",
                respond.status.as_u16()
            ));
        }
    }
    respond
}

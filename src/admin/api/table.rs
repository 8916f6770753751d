//! Every endpoint of the API, a line each, and which of them a request is for.

use super::{
    Handling, Refused, Rooms, bulk, call::Call, events, history, openapi, rejects, sources, targets,
};
use http::Method;
use percent_encoding::percent_decode_str;

/// One endpoint.
pub(super) struct Endpoint {
    pub(super) method: Method,
    /// Its path; a segment in braces stands for any one.
    pub(super) path: &'static str,
    pub(super) handle: fn(Rooms, Call) -> Handling,
}

macro_rules! endpoint {
    ($method:ident $path:literal => $handle:path) => {
        Endpoint {
            method: Method::$method,
            path: $path,
            handle: |rooms, call| Box::pin($handle(rooms, call)),
        }
    };
}

/// All of them. A path that is all written out wins over one with a segment in braces.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    endpoint!(GET "/api/v1/events" => events::list),
    endpoint!(POST "/api/v1/events/replay" => bulk::replay),
    endpoint!(POST "/api/v1/events/discard" => bulk::discard),
    endpoint!(GET "/api/v1/events/{id}" => events::show),
    endpoint!(POST "/api/v1/events/{id}/replay" => events::replay),
    endpoint!(POST "/api/v1/events/{id}/discard" => events::discard),
    endpoint!(GET "/api/v1/targets" => targets::list),
    endpoint!(POST "/api/v1/targets/{name}/pause" => targets::pause),
    endpoint!(POST "/api/v1/targets/{name}/resume" => targets::resume),
    endpoint!(POST "/api/v1/targets/{name}/retry" => targets::retry),
    endpoint!(GET "/api/v1/sources" => sources::list),
    endpoint!(GET "/api/v1/rejects" => rejects::list),
    endpoint!(POST "/api/v1/rejects/release" => rejects::release_many),
    endpoint!(GET "/api/v1/rejects/{id}" => rejects::show),
    endpoint!(POST "/api/v1/rejects/{id}/release" => rejects::release_one),
    endpoint!(GET "/api/v1/history" => history::list),
    endpoint!(GET "/api/v1/openapi.yaml" => openapi::yaml),
    endpoint!(GET "/api/v1/openapi.json" => openapi::json),
];

/// The endpoint for this method and path, and what stands in the place of its braces.
pub(super) fn find(
    method: &Method,
    path: &str,
) -> Result<(&'static Endpoint, Vec<String>), Refused> {
    let fits: Vec<(&Endpoint, Vec<String>)> = ENDPOINTS
        .iter()
        .filter_map(|endpoint| Some((endpoint, segments(endpoint.path, path)?)))
        .collect();
    let Some(fewest) = fits.iter().map(|(_, segments)| segments.len()).min() else {
        return Err(Refused::not_found(
            "there is no such endpoint; /api/v1/openapi.yaml describes all of them",
        ));
    };
    let fits: Vec<(&Endpoint, Vec<String>)> = fits
        .into_iter()
        .filter(|(_, segments)| segments.len() == fewest)
        .collect();
    // HEAD is GET without its body, which the connection leaves out.
    let asked = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let allowed = allowed(&fits);
    fits.into_iter()
        .find(|(endpoint, _)| endpoint.method == asked)
        .ok_or_else(|| Refused::method(&allowed))
}

fn allowed(fits: &[(&Endpoint, Vec<String>)]) -> String {
    let mut words = Vec::new();
    for (endpoint, _) in fits {
        words.push(endpoint.method.as_str());
        if endpoint.method == Method::GET {
            words.push("HEAD");
        }
    }
    words.join(", ")
}

/// What of `path` stands in the place of the braces of `template`, if it fits.
fn segments(template: &str, path: &str) -> Option<Vec<String>> {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    let mut segments = Vec::new();
    loop {
        match (template.next(), path.next()) {
            (None, None) => return Some(segments),
            (Some(open), Some(text)) if open.starts_with('{') => {
                let text = percent_decode_str(text).decode_utf8().ok()?;
                segments.push(text.into_owned());
            }
            (Some(expected), Some(text)) if expected == text => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::openapi;
    use std::collections::BTreeSet;

    /// What is described is served, and the other way round.
    #[test]
    fn the_description_lists_what_is_served() {
        let description: serde_json::Value = serde_yaml::from_str(openapi::YAML).expect("YAML");
        let mut described = BTreeSet::new();
        for (path, item) in description["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("a path").keys() {
                if method != "parameters" {
                    described.insert((method.to_uppercase(), path.clone()));
                }
            }
        }
        let served: BTreeSet<(String, String)> = ENDPOINTS
            .iter()
            .map(|endpoint| (endpoint.method.to_string(), endpoint.path.to_owned()))
            .collect();
        assert_eq!(served.len(), ENDPOINTS.len(), "none is there twice");
        assert_eq!(described, served);
    }

    #[test]
    fn the_most_exact_path_is_found() {
        let found = |method: Method, path: &str| match find(&method, path) {
            Ok((endpoint, segments)) => format!("{} {}", endpoint.path, segments.join(",")),
            Err(refused) => format!("{:?}", refused.answer()),
        };
        for (method, path, expected) in [
            (Method::GET, "/api/v1/events", "/api/v1/events "),
            (Method::HEAD, "/api/v1/events", "/api/v1/events "),
            (
                Method::GET,
                "/api/v1/events/a%2Fb",
                "/api/v1/events/{id} a/b",
            ),
            (
                Method::POST,
                "/api/v1/events/replay",
                "/api/v1/events/replay ",
            ),
            (
                Method::POST,
                "/api/v1/events/x/replay",
                "/api/v1/events/{id}/replay x",
            ),
        ] {
            assert_eq!(found(method, path), expected);
        }
        for (method, path, status, allow) in [
            (Method::GET, "/api/v1/events/replay", 405, Some("POST")),
            (Method::DELETE, "/api/v1/events/x", 405, Some("GET, HEAD")),
            (Method::GET, "/api/v1", 404, None),
            (Method::GET, "/api/v1/events/", 404, None),
            (Method::GET, "/api/v1/events//replay/x", 404, None),
            (Method::GET, "/api/v1/events/%ff", 404, None),
        ] {
            let Err(refused) = find(&method, path) else {
                // An empty id is an event that is not there.
                assert_eq!(path, "/api/v1/events/");
                continue;
            };
            let answer = refused.answer();
            assert_eq!(answer.status(), status, "{path}");
            let header = answer.headers().get(http::header::ALLOW);
            assert_eq!(
                header.map(|value| value.to_str().expect("text")),
                allow,
                "{path}"
            );
        }
    }
}

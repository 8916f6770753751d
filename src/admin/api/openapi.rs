//! The description of the API, as it stands in `config/openapi.yaml`.

use super::{Refused, Rooms, call::Call, refused};
use crate::http::Answer;
use http::StatusCode;
use std::sync::LazyLock;

/// The file.
pub(super) const YAML: &str = include_str!("../../../config/openapi.yaml");

/// The same as JSON.
static JSON: LazyLock<String> = LazyLock::new(|| {
    let description: serde_json::Value =
        serde_yaml::from_str(YAML).expect("a test reads the file too");
    description.to_string()
});

pub(super) async fn yaml(_: Rooms, call: Call) -> Result<Answer, Refused> {
    call.params.finish()?;
    Ok(refused::text(
        StatusCode::OK,
        "application/yaml",
        YAML.to_owned(),
    ))
}

pub(super) async fn json(_: Rooms, call: Call) -> Result<Answer, Refused> {
    call.params.finish()?;
    Ok(refused::text(
        StatusCode::OK,
        "application/json",
        JSON.clone(),
    ))
}

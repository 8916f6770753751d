//! A source's own texts: `params` and `public_url`, which templates take values from.

use crate::config::{
    Secret,
    reader::Map,
    value::{PARAM, PUBLIC_URL, is_secret_name},
};
use std::sync::Arc;

/// What the templates of a source can name.
pub(super) struct Texts {
    /// The URL that the sender was given.
    pub(super) public_url: Option<Arc<str>>,
    /// Whether `public_url` is given, be it a wrong one.
    pub(super) has_public_url: bool,
    /// Those of `params` that are set.
    pub(super) params: Vec<(Arc<str>, Secret)>,
    /// Every name in `params`, set or not.
    names: Vec<String>,
}

/// What a template gets for the name of a param.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// A text.
    Set,
    /// It is null.
    Null,
    /// `params` does not have it.
    Unknown,
}

impl Texts {
    /// Whether `params` has this name.
    pub(super) fn param(&self, name: &str) -> Param {
        let is_set = self.params.iter().any(|(param, _)| &**param == name);
        match self.names.iter().any(|param| param == name) {
            true if is_set => Param::Set,
            true => Param::Null,
            false => Param::Unknown,
        }
    }

    /// Every name in `params`.
    pub(super) fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

/// Reads `public_url` and `params`. A text that is wrong counts as null here, and is a problem anyway.
pub(super) fn read(source: &Map<'_>) -> Texts {
    let given = source.get_some("public_url");
    let has_public_url = given.is_some();
    let public_url = given.and_then(|node| node.read(&PUBLIC_URL)).map(Arc::from);
    let entries = source
        .get_some("params")
        .and_then(|node| node.named())
        .unwrap_or_default();
    let mut texts = Texts {
        public_url,
        has_public_url,
        params: Vec::new(),
        names: Vec::new(),
    };
    for (name, node) in entries {
        if !is_secret_name(&name) {
            node.problem_at_key(
                "this is no name for a param; accepted: 1 to 63 letters, digits, -, _ and .",
            );
        } else if !node.is_null() {
            // What is wrong is said once, not again in every template that names it.
            let text = node.read(&PARAM).unwrap_or_default();
            let secret = Secret::new(&name, text.into_bytes());
            texts.params.push((name.as_str().into(), secret));
        }
        texts.names.push(name);
    }
    texts
}

//! Event patterns: `*` matches any run of characters, anywhere; `!x` excludes.

/// A list of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    include: Vec<String>,
    exclude: Vec<String>,
}

impl Patterns {
    /// Reads a list as it stands in the file. An empty list (or one of exclusions only) wants everything else.
    pub fn new<'a>(_patterns: impl IntoIterator<Item = &'a str>) -> Self {
        todo!()
    }

    /// Whether an event of this type is wanted. An unknown type is wanted by a list without inclusions and by `*`.
    pub fn want(&self, _event_type: Option<&str>) -> bool {
        todo!()
    }
}

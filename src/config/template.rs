//! What a signature covers: `{body}`, `{timestamp}`, `{header:NAME}` and literal text.

use http::HeaderName;

/// A template, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// One piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it stands.
    Literal(String),
    /// The body's bytes.
    Body,
    /// The timestamp header's value as sent.
    Timestamp,
    /// A header's value as sent.
    Header(HeaderName),
}

/// Why a text is no template.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadTemplate {
    /// A name in braces that means nothing.
    #[error("unknown placeholder {{{0}}}; accepted: {{body}}, {{timestamp}}, {{header:NAME}}")]
    Unknown(String),
    /// A brace without its partner.
    #[error("unclosed {{ in template")]
    Unclosed,
}

impl std::str::FromStr for Template {
    type Err = BadTemplate;

    fn from_str(_text: &str) -> Result<Self, BadTemplate> {
        todo!()
    }
}

impl Template {
    /// Whether the signature covers this piece.
    pub fn covers(&self, piece: &Piece) -> bool {
        self.0.contains(piece)
    }
}

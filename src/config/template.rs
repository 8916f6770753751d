//! What a signature covers: `{body}`, `{timestamp}`, `{header:NAME}` and literal text. A literal `{` can't be
//! written, since no known scheme signs one; a `}` outside a placeholder is itself.

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
    #[error("unknown placeholder {{{0}}}")]
    Unknown(String),
    /// A brace without its partner.
    #[error("unclosed {{ in template")]
    Unclosed,
}

impl std::str::FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            push_literal(&mut pieces, literal);
            let (placeholder, after) = after.split_once('}').ok_or(BadTemplate::Unclosed)?;
            pieces.push(piece(placeholder)?);
            rest = after;
        }
        push_literal(&mut pieces, rest);
        Ok(Self(pieces))
    }
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.to_owned()));
    }
}

fn piece(placeholder: &str) -> Result<Piece, BadTemplate> {
    let unknown = || BadTemplate::Unknown(placeholder.to_owned());
    match placeholder.split_once(':') {
        None if placeholder == "body" => Ok(Piece::Body),
        None if placeholder == "timestamp" => Ok(Piece::Timestamp),
        Some(("header", name)) => name.parse().map(Piece::Header).map_err(|_| unknown()),
        _ => Err(unknown()),
    }
}

impl Template {
    /// Whether the signature covers this piece.
    pub fn covers(&self, piece: &Piece) -> bool {
        self.0.contains(piece)
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => f.write_str(text)?,
                Piece::Body => f.write_str("{body}")?,
                Piece::Timestamp => f.write_str("{timestamp}")?,
                Piece::Header(name) => write!(f, "{{header:{name}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_in_order_and_written_back() {
        let text = "v0:{timestamp}:{header:webhook-id}.{body}}";
        let template: Template = text.parse().expect("valid");
        let literal = |text: &str| Piece::Literal(text.to_owned());
        let expected = [
            literal("v0:"),
            Piece::Timestamp,
            literal(":"),
            Piece::Header(HeaderName::from_static("webhook-id")),
            literal("."),
            Piece::Body,
            literal("}"),
        ];
        assert_eq!(template.0, expected);
        assert_eq!(template.to_string(), text);
        assert!(template.covers(&Piece::Body));
        assert!(!template.covers(&Piece::Header(HeaderName::from_static("x-other"))));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let unknown = |name: &str| BadTemplate::Unknown(name.to_owned());
        let cases = [
            ("{", BadTemplate::Unclosed),
            ("{body", BadTemplate::Unclosed),
            ("{}", unknown("")),
            ("{Body}", unknown("Body")),
            ("{header}", unknown("header")),
            ("{header:}", unknown("header:")),
            ("{header:a b}", unknown("header:a b")),
            ("{json_stringify}", unknown("json_stringify")),
            ("{{body}}", unknown("{body")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Template>(), Err(expected), "{text}");
        }
    }
}

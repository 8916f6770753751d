//! A value that equals a secret, in a place of its own or as HTTP's own authentication.

use super::signature::{FIELD_OR_HEADER, place};
use crate::config::{
    reader::Node,
    value::PREFIX,
    verify::{Token, TokenForm},
};
use crate::extract::Field;
use http::header::AUTHORIZATION;

/// What a single word stands for: `bearer` (RFC 6750 2.1) and `basic` (RFC 7617 2), each with the space behind it.
pub(super) fn by_word(word: &str) -> Option<Token> {
    let (prefix, form) = match word {
        "bearer" => ("Bearer ", TokenForm::Scheme),
        "basic" => ("Basic ", TokenForm::Basic),
        _ => return None,
    };
    Some(Token {
        field: Field::Header(AUTHORIZATION),
        prefix: prefix.to_owned(),
        form,
    })
}

/// `token: { header: X-Token, prefix: "" }`.
pub(super) fn read(node: &Node<'_>, provider: Option<&str>) -> Option<Token> {
    let map = node.map(&["header", "field", "prefix"])?;
    let why = match provider {
        None => {
            format!("token needs header: the name of the header with the token, {FIELD_OR_HEADER}")
        }
        Some(provider) => format!(
            "{provider} sends its token in a header that you name in its dashboard; name the same one here: \
             verify: {{ token: {{ header: X-Your-Header }} }}"
        ),
    };
    let field = place(&map, &why);
    let prefix = map.read_or("prefix", &PREFIX, String::new());
    Some(Token {
        field: field?,
        prefix,
        form: TokenForm::Plain,
    })
}

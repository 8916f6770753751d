//! A JSON Web Token, whose claims say what it was made for.

use super::{
    Around, Place,
    key::{self, Keys},
    signature::{FIELD_OR_HEADER, place},
    template,
};
use crate::config::{
    reader::{Node, every},
    value::{DURATION_OR_ZERO, PREFIX},
    verify::{Hash, Jwt},
};
use std::time::Duration;

/// How far the clocks may be apart by default.
const TOLERANCE: Duration = Duration::from_mins(1);

/// Reads `jwt`.
pub(super) fn read(node: &Node<'_>, around: &Around<'_>) -> Option<Jwt> {
    let map = node.map(&[
        "header",
        "field",
        "prefix",
        "algorithm",
        "key",
        "claims",
        "tolerance",
        "covers_body",
    ])?;
    let hashes = [
        ("HS256", Hash::Sha256),
        ("HS384", Hash::Sha384),
        ("HS512", Hash::Sha512),
    ];
    let field = place(
        &map,
        &format!("jwt needs header: the name of the header with the token, {FIELD_OR_HEADER}"),
    );
    let prefix = map.read_or("prefix", &PREFIX, String::new());
    let hash = map.choose_or("algorithm", &hashes, Hash::Sha256);
    let key = key::read(&map, Keys::Shared);
    let tolerance = map.read_or("tolerance", &DURATION_OR_ZERO, TOLERANCE);
    let claims = match map.get_some("claims") {
        Some(node) => every(node.named()?.iter().map(|(name, node)| {
            let expected = template(node, Place::Claim, around.texts)?;
            Some((name.clone(), expected))
        })),
        None => Some(Vec::new()),
    };
    Some(Jwt {
        field: field?,
        prefix,
        hash,
        key: key?,
        claims: claims?,
        tolerance,
    })
}

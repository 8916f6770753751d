//! Where the request may carry a token, and how it may be written there.

use super::capture::Capture;
use super::fix::{Fix, scalar};
use super::readings::{hash_name, place, prefixes};
use super::search::{Group, Step};
use super::trial::Trial;
use crate::config::verify::{Hash, Proof, Token, TokenForm};
use crate::extract::{Field, pairs};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_PAD_INDIFFERENT;
use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

/// Pairs of a query that are tried.
const QUERY_PAIRS_MAX: usize = 16;

/// JSON Web Tokens in a header: what stands before one, and its algorithm.
pub(super) fn jwts(header: &HeaderName, capture: &Capture) -> Vec<(HeaderName, String, Hash)> {
    let values = capture.headers.get_all(header).iter();
    values
        .flat_map(|value| {
            prefixes(value.as_bytes())
                .into_iter()
                .filter_map(|prefix| {
                    let hash = jwt_hash(&value.as_bytes()[prefix.len()..])?;
                    Some((header.clone(), prefix, hash))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The algorithm of a JWT; none if it is none, or signed in another way.
fn jwt_hash(text: &[u8]) -> Option<Hash> {
    let mut parts = text.split(|byte| *byte == b'.');
    let head = URL_SAFE_PAD_INDIFFERENT.decode(parts.next()?).ok()?;
    let head: serde_json::Value = serde_json::from_slice(&head).ok()?;
    let hash = match head.get("alg")?.as_str()? {
        "HS256" => Hash::Sha256,
        "HS384" => Hash::Sha384,
        "HS512" => Hash::Sha512,
        _ => return None,
    };
    (parts.count() == 2).then_some(hash)
}

pub(super) fn jwt_step(
    trial: &Trial,
    header: &HeaderName,
    prefix: String,
    hash: Hash,
) -> Option<Step> {
    let Proof::Jwt(jwt) = &trial.scheme.proof else {
        return None;
    };
    let mut words = Vec::new();
    let mut fix = Fix::default();
    let field = Field::Header(header.clone());
    if field != jwt.field {
        words.push(format!("is in {header}, not in {}", place(&jwt.field)));
        fix = fix.and(&Fix::setting("header", header.as_str()));
    }
    if prefix != jwt.prefix {
        words.push(format!(
            "has {} before it, but `prefix` is {}",
            scalar(&prefix),
            scalar(&jwt.prefix)
        ));
        fix = fix.and(&Fix::setting("prefix", &prefix));
    }
    if hash != jwt.hash {
        let name = |hash| hash_name(hash).replace("sha", "HS");
        words.push(format!(
            "is signed with {}, but `algorithm` is {}",
            name(hash),
            name(jwt.hash)
        ));
        fix = fix.and(&Fix::setting("algorithm", &name(hash)));
    }
    (!words.is_empty()).then(|| {
        let words = format!("the token {}", words.join(", and "));
        Step::new(Group::Written, words, fix, move |trial| {
            if let Proof::Jwt(jwt) = &mut trial.scheme.proof {
                jwt.field = field.clone();
                jwt.prefix.clone_from(&prefix);
                jwt.hash = hash;
            }
        })
    })
}

/// A token in the query under another name.
pub(super) fn in_query(token: &Token, capture: &Capture) -> Vec<Step> {
    let query = capture.query.as_deref().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let mut steps = Vec::new();
    for (name, _) in pairs(query.as_bytes()).take(QUERY_PAIRS_MAX) {
        let Ok(name) = std::str::from_utf8(&name) else {
            continue;
        };
        let Ok(field) = format!("query:{name}").parse::<Field>() else {
            continue;
        };
        if field == token.field || !name.bytes().all(is_plain) {
            continue;
        }
        let words = format!("the token is in {field}, not in {}", place(&token.field));
        let fix = Fix::line(format!("verify: {{ token: {{ field: \"{field}\" }} }}"));
        let new = Token {
            field,
            prefix: String::new(),
            form: TokenForm::Plain,
        };
        steps.push(Step::new(Group::Written, words, fix, move |trial| {
            trial.scheme.proof = Proof::Token(new.clone());
        }));
    }
    steps
}

/// The same header without the quotes around what follows the prefix.
fn unquoted(header: &HeaderName, value: &[u8], prefix: &str) -> Option<Step> {
    let token = value.get(prefix.len()..)?;
    let bare = [b'"', b'\'', b'`']
        .iter()
        .find_map(|quote| token.strip_prefix(&[*quote])?.strip_suffix(&[*quote]))?;
    let mut bare = HeaderValue::from_bytes(&[prefix.as_bytes(), bare].concat()).ok()?;
    bare.set_sensitive(true);
    let header = header.clone();
    let words = format!("the token in {header} comes in quotes");
    let fix = Fix::action("take the quotes out where the sender keeps its token");
    Some(Step::new(Group::Written, words, fix, move |trial| {
        trial.headers.insert(&header, bare.clone());
    }))
}

/// A token in a header, with each prefix that may stand before it.
pub(super) fn tokens(token: &Token, header: &HeaderName, capture: &Capture) -> Vec<Step> {
    let Some(value) = capture.headers.get(header) else {
        return Vec::new();
    };
    let field = Field::Header(header.clone());
    let is_authorization = *header == AUTHORIZATION;
    let mut steps = Vec::new();
    for prefix in prefixes(value.as_bytes()) {
        steps.extend(unquoted(header, value.as_bytes(), &prefix));
        let form = match prefix.to_ascii_lowercase().as_str() {
            "basic " => TokenForm::Basic,
            "bearer " if is_authorization => TokenForm::Scheme,
            _ => TokenForm::Plain,
        };
        if (&field, &prefix, form) == (&token.field, &token.prefix, token.form) {
            continue;
        }
        let mut words = Vec::new();
        if field != token.field {
            words.push(format!("is in {header}, not in {}", place(&token.field)));
        }
        if prefix != token.prefix {
            words.push(format!(
                "has {} before it, but `prefix` is {}",
                scalar(&prefix),
                scalar(&token.prefix)
            ));
        }
        let written = match form {
            TokenForm::Basic => "verify: basic".to_owned(),
            TokenForm::Scheme => "verify: bearer".to_owned(),
            TokenForm::Plain => {
                let prefix = scalar(&prefix);
                format!("verify: {{ token: {{ header: {header}, prefix: {prefix} }} }}")
            }
        };
        let new = Token {
            field: field.clone(),
            prefix: prefix.clone(),
            form,
        };
        let words = match words.as_slice() {
            [] => "the token is written in another form".to_owned(),
            words => format!("the token {}", words.join(", and ")),
        };
        steps.push(Step::new(
            Group::Written,
            words,
            Fix::line(written),
            move |trial| {
                trial.scheme.proof = Proof::Token(new.clone());
            },
        ));
    }
    steps
}

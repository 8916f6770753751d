//! Which placeholders may stand where: each is refused where it would prove nothing or could never have a value.

use super::super::params::{Param, Texts};
use crate::config::{
    reader::{Node, did_you_mean, show},
    suggest,
    template::{self, BadTemplate, Base, Filter, Template, Value, Word},
    value::TEMPLATE,
};

/// Where a template stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config::read) enum Place {
    /// `signed` of a signature.
    Signed,
    /// `signed` of a plain hash.
    Hashed,
    /// A claim of a JSON Web Token.
    Claim,
    /// `when` of a scheme.
    Condition,
    /// `when` of a handshake.
    Question,
    /// The answer to a handshake.
    Answer,
}

/// Reads a template and tells what can't stand in it.
pub(in crate::config::read) fn template(
    node: &Node<'_>,
    place: Place,
    texts: &Texts,
) -> Option<Template> {
    if let Some(problem) = unknown_word(node) {
        node.problem(problem);
        return None;
    }
    let template = node.read(&TEMPLATE)?;
    let mut problems: Vec<String> = template
        .values()
        .filter_map(|value| refusal(value, place, texts))
        .collect();
    if template.uses(&Base::Body) && template.uses(&Base::JsonStringify) {
        problems.push(
            "{body} and {json_stringify} are two texts, and only one of them can be forwarded; keep one".to_owned(),
        );
    }
    if place == Place::Hashed && !template.uses(&Base::Secret) && is_written_out(node) {
        problems.push(
            "a hash without {secret} proves nothing, since anyone can make it; put {secret} into signed".to_owned(),
        );
    }
    problems.dedup();
    for problem in &problems {
        node.problem(problem);
    }
    problems.is_empty().then_some(template)
}

/// Which word of a template means nothing, and what it was meant to be. Only of a text that stands in the file as it is:
/// what comes from the environment is not shown.
fn unknown_word(node: &Node<'_>) -> Option<String> {
    let text = node.value().as_str().filter(|text| !text.contains('$'))?;
    match text.parse::<Template>() {
        Err(BadTemplate::Unknown(placeholder)) => {
            let word = placeholder.split('|').next().unwrap_or_default();
            let known = template::words(Word::Placeholder);
            Some(match suggest::nearest(word, &known) {
                Some(meant) => format!(
                    "{} is no placeholder; did you mean {{{meant}}}?",
                    show_in_braces(word)
                ),
                None => format!(
                    "{} is no placeholder; accepted: {{{}}}",
                    show_in_braces(word),
                    known.join("}, {")
                ),
            })
        }
        Err(BadTemplate::UnknownFilter(filter)) => Some(format!(
            "{} is no filter; {}",
            show(&filter),
            did_you_mean(&filter, &template::words(Word::Filter))
        )),
        _ => None,
    }
}

/// A placeholder as it stands in a template.
fn show_in_braces(word: &str) -> String {
    show(&format!("{{{word}}}"))
}

/// Whether the text stands there, and not a variable in its place, which may be unset.
fn is_written_out(node: &Node<'_>) -> bool {
    !node.context().allow_unset
        || node
            .value()
            .as_str()
            .is_some_and(|text| !text.contains("${"))
}

fn refusal(value: &Value, place: Place, texts: &Texts) -> Option<String> {
    let in_handshake = matches!(place, Place::Question | Place::Answer);
    let keyed = |filter: &Filter| matches!(filter, Filter::HmacSha1 | Filter::HmacSha256);
    if !in_handshake && value.filters.iter().any(keyed) {
        return Some("hmac_sha1 and hmac_sha256 are for the answer of a handshake only".to_owned());
    }
    match &value.base {
        Base::Secret if place != Place::Hashed => Some(
            "{secret} is for signed of hash only: elsewhere a secret is never written out"
                .to_owned(),
        ),
        Base::Timestamp if !matches!(place, Place::Signed | Place::Hashed) => {
            Some("{timestamp} is for signed only".to_owned())
        }
        Base::NamedHeaders | Base::NamedHeadersList
            if !matches!(place, Place::Signed | Place::Hashed) =>
        {
            Some("{named_headers} and {named_headers_list} are for signed only".to_owned())
        }
        Base::JsonStringify if !matches!(place, Place::Signed | Place::Hashed | Place::Claim) => {
            Some("{json_stringify} is for signed and claims only".to_owned())
        }
        base @ (Base::Url | Base::PublicUrl | Base::Path | Base::AtlassianQsh)
            if !texts.has_public_url =>
        {
            let name = match base {
                Base::Url => "url",
                Base::Path => "path",
                Base::AtlassianQsh => "atlassian_qsh",
                _ => "public_url",
            };
            Some(format!(
                "{{{name}}} needs the source's public_url; set it to the URL that you gave the vendor, such as \
                 https://hooks.example.com/hooks/erp"
            ))
        }
        Base::Param(name) => param(name, in_handshake, texts),
        _ => None,
    }
}

/// A param that is null switches a handshake off; a signature without it could not be checked.
fn param(name: &str, in_handshake: bool, texts: &Texts) -> Option<String> {
    match texts.param(name) {
        Param::Null if !in_handshake => Some(format!(
            "params.{name} is not set; set it beside verify: params: {{ {name}: TEXT }}"
        )),
        Param::Set | Param::Null => None,
        // Neither the name, which may come from the environment.
        Param::Unknown if texts.names().is_empty() => {
            Some("a {param:NAME} that is not in params; set it: params: { NAME: TEXT }".to_owned())
        }
        Param::Unknown => Some(format!(
            "a {{param:NAME}} that is not in params; {}",
            did_you_mean(name, &texts.names())
        )),
    }
}

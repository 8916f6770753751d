//! What a source answers to a vendor that asks whether the URL is its own.

use super::{
    params::{Param, Texts},
    scheme::{Place, conditions, template},
};
use crate::config::{
    handshake::{Handshake, HandshakeAnswer, HandshakeBody, HandshakeValue},
    reader::{Map, Node, every},
    template::{Base, Filter, Template},
    value::{FIELD, HEADER, HEADER_VALUE, SUCCESS},
    verify::Expected,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// Rules of one source; vendors have one or two questions.
const RULES_MAX: usize = 16;

/// Reads `handshake`, without the rules that are off. `has_secrets` says whether an answer can be keyed.
pub(super) fn read(
    node: Option<&Node<'_>>,
    texts: &Texts,
    has_secrets: bool,
) -> Option<Vec<Handshake>> {
    let Some(node) = node else {
        return Some(Vec::new());
    };
    let rules =
        node.list("a list of rules, such as [{ when: { method: GET }, respond: { body: ok } }]")?;
    if rules.len() > RULES_MAX {
        node.problem(format!(
            "{} rules; at most {RULES_MAX} are looked at",
            rules.len()
        ));
        return None;
    }
    let mut on = Vec::new();
    let read = every(rules.iter().map(|node| rule(node, texts, has_secrets)))?;
    for (index, (rule, node)) in read.into_iter().zip(&rules).enumerate() {
        match missing(&rule, texts) {
            None => on.push(rule),
            Some(name) => node.context().report.warning(
                node.path(),
                format!("handshake {} is off until params.{name} is set", index + 1),
            ),
        }
    }
    Some(on)
}

fn rule(node: &Node<'_>, texts: &Texts, has_secrets: bool) -> Option<Handshake> {
    let map = node.map(&["when", "verified", "learn", "respond"])?;
    let when = map
        .need(
            "when",
            "a handshake needs when: without a condition it would answer every event, and none would be forwarded",
        )
        .and_then(|node| conditions(&node, Place::Question, texts));
    let verified = map.choose_or("verified", &[("true", true), ("false", false)], true);
    let learn = map.get_some("learn").map(|node| node.read(&FIELD));
    let answer = answer(map.get_some("respond").as_ref(), texts);
    let rule = Handshake {
        when: when?,
        verified,
        learn: match learn {
            Some(field) => Some(field?),
            None => None,
        },
        answer: answer?,
    };
    if rule.learn.is_some() && verified {
        node.problem_at_key(
            "a secret that is still to be learned can prove nothing; write verified: false beside learn",
        );
        return None;
    }
    if !has_secrets && templates(&rule).any(is_keyed) {
        node.problem_at_key("hmac_sha1 and hmac_sha256 need a secret, and this source has none");
        return None;
    }
    Some(rule)
}

/// Whether some rule brings the secret.
pub(super) fn learns(node: Option<&Node<'_>>) -> bool {
    let rules = node.and_then(|node| node.value().as_sequence());
    rules.is_some_and(|rules| {
        let brings = |rule: &serde_yaml::Value| rule.get("learn").is_some_and(|at| !at.is_null());
        rules.iter().any(brings)
    })
}

/// The first param of a rule that is null.
fn missing(rule: &Handshake, texts: &Texts) -> Option<String> {
    let mut bases = templates(rule)
        .flat_map(Template::values)
        .map(|value| &value.base);
    bases.find_map(|base| match base {
        Base::Param(name) if texts.param(name) == Param::Null => Some(name.to_string()),
        _ => None,
    })
}

fn is_keyed(template: &Template) -> bool {
    let mut filters = template.values().flat_map(|value| &value.filters);
    filters.any(|filter| matches!(filter, Filter::HmacSha1 | Filter::HmacSha256))
}

/// Every template of a rule, in the order of the file.
fn templates(rule: &Handshake) -> impl Iterator<Item = &Template> {
    let when = rule
        .when
        .iter()
        .filter_map(|condition| match &condition.expected {
            Expected::Is(is) => Some(is),
            Expected::Present | Expected::Absent => None,
        });
    let headers = rule.answer.headers.iter().map(|(_, template)| template);
    let body = match &rule.answer.body {
        HandshakeBody::Text(text) => vec![text],
        HandshakeBody::Json(entries) => entries
            .iter()
            .filter_map(|(_, value)| match value {
                HandshakeValue::Text(text) => Some(text),
                HandshakeValue::Fixed(_) => None,
            })
            .collect(),
    };
    when.chain(body).chain(headers)
}

/// Reads `respond` of a rule; without it the answer is an empty 200.
fn answer(node: Option<&Node<'_>>, texts: &Texts) -> Option<HandshakeAnswer> {
    let mut answer = HandshakeAnswer {
        status: StatusCode::OK,
        content_type: None,
        headers: Vec::new(),
        body: HandshakeBody::Text(Template(Vec::new())),
    };
    let Some(node) = node else {
        return Some(answer);
    };
    let map = node.map(&["status", "content_type", "body", "json", "headers"])?;
    answer.status = map.read_or("status", &SUCCESS, answer.status);
    let body = body(&map, texts);
    let default = body.as_ref().and_then(type_of);
    answer.content_type = match map.get_some("content_type") {
        Some(node) => node.read(&HEADER_VALUE).or(default),
        None => default,
    };
    let headers = map.get_some("headers").map(|node| headers(&node, texts));
    if let Some(headers) = headers {
        answer.headers = headers?;
    }
    answer.body = body?;
    check_body(&map, &answer).then_some(answer)
}

/// The type of a body where none is given; an empty body has none, unless the vendor wants one.
fn type_of(body: &HandshakeBody) -> Option<HeaderValue> {
    match body {
        HandshakeBody::Json(_) => Some(HeaderValue::from_static("application/json")),
        HandshakeBody::Text(text) if text.0.is_empty() => None,
        HandshakeBody::Text(_) => Some(HeaderValue::from_static("text/plain; charset=utf-8")),
    }
}

fn body(map: &Map<'_>, texts: &Texts) -> Option<HandshakeBody> {
    match (map.get_some("body"), map.get_some("json")) {
        (None, None) => Some(HandshakeBody::Text(Template(Vec::new()))),
        (Some(body), None) => template(&body, Place::Answer, texts).map(HandshakeBody::Text),
        (None, Some(json)) => every(
            json.named()?
                .iter()
                .map(|(name, node)| Some((name.clone(), json_value(node, texts)?))),
        )
        .map(HandshakeBody::Json),
        (Some(_), Some(_)) => {
            map.node()
                .problem_at_key("body and json stand side by side; keep one");
            None
        }
    }
}

/// A number or a truth value stays one; any other text is a template.
fn json_value(node: &Node<'_>, texts: &Texts) -> Option<HandshakeValue> {
    let value = node.value();
    let fixed = match (value.as_bool(), value.as_i64()) {
        (Some(truth), _) => Some(truth.into()),
        (None, Some(number)) => Some(number.into()),
        (None, None) => None,
    };
    match fixed {
        Some(fixed) => Some(HandshakeValue::Fixed(fixed)),
        None => template(node, Place::Answer, texts).map(HandshakeValue::Text),
    }
}

/// What the gateway itself says about an answer.
const OWN_HEADERS: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::X_CONTENT_TYPE_OPTIONS,
];

fn headers(node: &Node<'_>, texts: &Texts) -> Option<Vec<(HeaderName, Template)>> {
    every(node.named()?.iter().map(|(name, node)| {
        let value = template(node, Place::Answer, texts);
        let name = match (HEADER.parse)(name) {
            Ok(name) if OWN_HEADERS.contains(&name) => {
                node.problem_at_key(
                    "hookgate sets this itself; for the type of the body there is content_type",
                );
                return None;
            }
            Ok(name) => name,
            Err(why) => {
                node.problem_at_key(format!("this {why}; accepted: {}", HEADER.accepts));
                return None;
            }
        };
        Some((name, value?))
    }))
}

/// A body that can't be there, and one that would run as a page what anybody wrote into a link.
fn check_body(map: &Map<'_>, answer: &HandshakeAnswer) -> bool {
    let (is_empty, is_fixed) = match &answer.body {
        HandshakeBody::Text(text) => (text.0.is_empty(), text.values().next().is_none()),
        HandshakeBody::Json(_) => (false, false),
    };
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT];
    if bodiless.contains(&answer.status) && !is_empty {
        map.node().problem_at_key(format!(
            "an answer with status {} has no body; leave it out, or choose another status",
            answer.status.as_u16()
        ));
        return false;
    }
    let content_type = answer
        .content_type
        .as_ref()
        .and_then(|content_type| content_type.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    let runs = ["html", "xml", "svg", "script"]
        .iter()
        .any(|kind| content_type.contains(kind));
    if runs
        && !is_fixed
        && let Some(node) = map.get("content_type")
    {
        node.problem(
            "a browser would run what a stranger wrote into a link to this answer; accepted with values of the \
             request: text/plain or application/json",
        );
        return false;
    }
    true
}

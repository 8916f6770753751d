//! A form that does not say it is one: the gateway reads the fields of a form body only under its own `Content-Type`.

use super::fix::Fix;
use super::search::{Group, Step};
use super::trial::Trial;
use crate::config::{
    template::Base,
    verify::{Proof, Subject},
};
use crate::extract::Field;
use http::{HeaderValue, header::CONTENT_TYPE};

/// What a form says that it is.
const FORM: &str = "application/x-www-form-urlencoded";

/// Characters of a content type that are shown.
const SHOWN_MAX: usize = 60;

/// What to do about it.
pub(super) const FIX: &str = "send it with Content-Type: application/x-www-form-urlencoded, as the vendor does; \
                              something on the way, or the tool that repeats the request, has set another one";

/// Where a form is needed and the body looks like one: what its `Content-Type` says instead.
pub(super) fn sent_as_other(trial: &Trial) -> Option<String> {
    let declared = trial.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_form = |declared: &[u8]| declared.to_ascii_lowercase().starts_with(FORM.as_bytes());
    if !needs_form(trial) || !is_like_form(&trial.body) || declared.is_some_and(is_form) {
        return None;
    }
    let words = match declared {
        Some(declared) => {
            let plain = declared.iter().filter(|byte| byte.is_ascii_graphic());
            let shown: String = plain
                .take(SHOWN_MAX)
                .map(|byte| char::from(*byte))
                .collect();
            format!("Content-Type says {shown}")
        }
        None => "there is no Content-Type".to_owned(),
    };
    Some(format!("the body looks like a form, but {words}"))
}

/// The request as the form that it looks like.
pub(super) fn step(trial: &Trial) -> Option<Step> {
    let words = sent_as_other(trial)?;
    Some(Step::new(Group::Form, words, Fix::action(FIX), |trial| {
        trial
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
    }))
}

fn needs_form(trial: &Trial) -> bool {
    let is_form = |field: &Field| matches!(field, Field::Form(_));
    let scheme = &trial.scheme;
    let asked = scheme
        .when
        .iter()
        .any(|condition| match &condition.subject {
            Subject::Field(field) => is_form(field),
            Subject::Method => false,
        });
    asked
        || match &scheme.proof {
            Proof::Token(token) => is_form(&token.field),
            Proof::Jwt(jwt) => is_form(&jwt.field),
            Proof::Signature(signature) => {
                signature.fields.iter().any(is_form)
                    || signature.signed.values().any(|value| match &value.base {
                        Base::Form => true,
                        Base::Field(field) => is_form(field),
                        _ => false,
                    })
            }
        }
}

fn is_like_form(body: &[u8]) -> bool {
    body.contains(&b'=')
        && body.first().is_some_and(u8::is_ascii_alphanumeric)
        && body.iter().all(u8::is_ascii_graphic)
}

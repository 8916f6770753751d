//! What a request has to hold before it can be signed: places in its body that the signature, the token or the time
//! goes to, and values that are signed beside the body. The first scheme decides, since it is the first that is tried.

use crate::{
    config::{
        Source,
        template::{Base, Filter, Template},
        verify::{Expected, Proof, Scheme, Signature, Subject, TimePlace},
    },
    extract::Field,
};

/// What has to stand in a field before signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Only a place: signing fills it.
    Place,
    /// Some value, which is then signed.
    Value,
}

/// The fields in which the source's first scheme needs something, in the order of places, then of values.
pub(super) fn of(source: &Source) -> Vec<(&Field, Need)> {
    let Some(scheme) = source.verify.schemes().first() else {
        return Vec::new();
    };
    let places = places(scheme).into_iter().map(|field| (field, Need::Place));
    let values = values(scheme).into_iter().map(|field| (field, Need::Value));
    places.chain(values).collect()
}

/// Whether the source looks into a form, so that it needs a form for a body.
pub(super) fn a_form(source: &Source) -> bool {
    let whole = |template: &Template| template.uses(&Base::Form);
    let signed = source.verify.schemes().first().is_some_and(|scheme| {
        templates(scheme).into_iter().any(whole)
            || places(scheme)
                .iter()
                .chain(&values(scheme))
                .any(|field| is_form(field))
    });
    let keys = [&source.event_id, &source.event_type];
    let first = |expression: &&crate::extract::KeyExpr| {
        let first = expression.0.first();
        first.is_some_and(|fields| fields.iter().any(is_form))
    };
    signed || keys.iter().any(first)
}

fn is_form(field: &Field) -> bool {
    matches!(field, Field::Form(_))
}

/// Where signing puts something.
fn places(scheme: &Scheme) -> Vec<&Field> {
    let mut places = match &scheme.proof {
        Proof::Signature(signature) => signature_places(signature),
        Proof::Jwt(jwt) => vec![&jwt.field],
        Proof::Token(token) => vec![&token.field],
    };
    places.extend(scheme.when.iter().filter_map(|condition| {
        match (&condition.subject, &condition.expected) {
            (Subject::Field(field), Expected::Is(_)) => Some(field),
            _ => None,
        }
    }));
    places
}

fn signature_places(signature: &Signature) -> Vec<&Field> {
    let time = signature.timestamp.as_ref().map(|time| &time.place);
    let time = match time {
        Some(TimePlace::Field(field)) => Some(field),
        _ => None,
    };
    let first = signature.fields.first();
    first
        .into_iter()
        .chain(&signature.key_id)
        .chain(time)
        .collect()
}

/// What is signed from there, and what has to be there for the scheme to be tried.
fn values(scheme: &Scheme) -> Vec<&Field> {
    let mut values: Vec<&Field> = templates(scheme)
        .into_iter()
        .flat_map(Template::values)
        .filter(|value| !value.filters.contains(&Filter::Optional))
        .filter_map(|value| match &value.base {
            Base::Field(field) => Some(field),
            _ => None,
        })
        .collect();
    values.extend(scheme.when.iter().filter_map(|condition| {
        match (&condition.subject, &condition.expected) {
            (Subject::Field(field), Expected::Present) => Some(field),
            _ => None,
        }
    }));
    let places = places(scheme);
    values.retain(|field| !places.contains(field));
    values
}

fn templates(scheme: &Scheme) -> Vec<&Template> {
    match &scheme.proof {
        Proof::Signature(signature) => vec![&signature.signed],
        Proof::Jwt(jwt) => jwt.claims.iter().map(|(_, claim)| claim).collect(),
        Proof::Token(_) => Vec::new(),
    }
}

//! What else may be signed beside the body: another text around it, another time, the same time in another unit.

use super::fix::{Fix, scalar};
use super::readings;
use super::search::{Group, Step};
use super::times;
use super::trial::Trial;
use crate::config::{
    template::{Base, Template},
    verify::{Algorithm, Proof, Signature, TimeFormat, TimePlace, Timestamp},
};
use crate::extract::Field;
use http::{HeaderName, HeaderValue};
use std::time::Duration;

/// Headers with a time that are tried.
const TIMES_MAX: usize = 4;

/// What vendors put between a time and a body.
const SEPARATORS: [&str; 8] = [".", ":", "", "|", "\n", "-", ",", "+"];

/// Other templates and times.
pub(super) fn texts(trial: &Trial, signature: &Signature) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |signed: &str, timestamp: Option<&Timestamp>, moved: bool| {
        let Ok(template) = signed.parse::<Template>() else {
            return;
        };
        let same_time = match (timestamp, &signature.timestamp) {
            (Some(new), Some(old)) => new.place == old.place,
            (None, None) => true,
            _ => false,
        };
        if template == signature.signed && same_time {
            return;
        }
        let (words, fix) = text_words(signed, timestamp.filter(|_| moved), signature);
        let timestamp = timestamp.cloned();
        steps.push(Step::new(Group::Text, words, fix, move |trial| {
            if let Proof::Signature(signature) = &mut trial.scheme.proof {
                signature.signed = template.clone();
                signature.timestamp.clone_from(&timestamp);
            }
        }));
    };
    if matches!(signature.algorithm, Algorithm::Hash(_)) {
        for signed in hash_texts(signature) {
            let own = signature.timestamp.as_ref();
            add(
                &signed,
                own.filter(|_| signed.contains("{timestamp}")),
                false,
            );
        }
        return steps;
    }
    let body = if signature.signed.uses(&Base::JsonStringify) {
        "{json_stringify}"
    } else {
        "{body}"
    };
    let configured = signature.signed.to_string();
    let own = signature.timestamp.as_ref();
    let others = other_times(trial, signature);
    if own.is_some() {
        for time in &others {
            add(&configured, Some(time), true);
        }
    }
    add(body, None, false);
    let ids = ids(trial);
    for (time, moved) in own
        .map(|time| (time, false))
        .into_iter()
        .chain(others.iter().map(|time| (time, true)))
    {
        for separator in SEPARATORS {
            add(
                &format!("{{timestamp}}{separator}{body}"),
                Some(time),
                moved,
            );
            add(
                &format!("{body}{separator}{{timestamp}}"),
                Some(time),
                moved,
            );
        }
        for id in &ids {
            add(
                &format!("{{header:{id}}}.{{timestamp}}.{body}"),
                Some(time),
                moved,
            );
        }
    }
    for id in &ids {
        add(&format!("{{header:{id}}}.{body}"), None, false);
    }
    steps
}

/// The secret, the time if there is one, and the body, in every order. Without the secret a hash proves nothing.
fn hash_texts(signature: &Signature) -> Vec<String> {
    let (secret, time, body) = ("{secret}", "{timestamp}", "{body}");
    let mut orders = vec![vec![secret, body], vec![body, secret]];
    if signature.timestamp.is_some() {
        for order in [
            [secret, time, body],
            [secret, body, time],
            [time, secret, body],
            [time, body, secret],
            [body, secret, time],
            [body, time, secret],
        ] {
            orders.push(order.to_vec());
        }
    }
    let separated = |order: &Vec<&str>| SEPARATORS.map(|separator| order.join(separator));
    orders.iter().flat_map(separated).collect()
}

fn text_words(signed: &str, moved: Option<&Timestamp>, signature: &Signature) -> (String, Fix) {
    let mut fix = Fix::default();
    let mut words = Vec::new();
    if signed != signature.signed.to_string() {
        words.push(format!(
            "what is signed is {}, not {}",
            scalar(signed),
            scalar(&signature.signed.to_string())
        ));
        fix = fix.and(&Fix::setting("signed", signed));
    }
    match (moved, &signature.timestamp) {
        (Some(time), configured) => {
            let place = time_place(time);
            words.push(match configured {
                Some(configured) => format!(
                    "the signed time is in {place}, not in {}",
                    time_place(configured)
                ),
                None => format!("the time in {place} is signed"),
            });
            let format = match time.format {
                TimeFormat::Unix => String::new(),
                format => format!(", format: {}", times::format_name(format)),
            };
            let place = match &time.place {
                TimePlace::Field(Field::Header(name)) => format!("header: {name}"),
                TimePlace::Field(field) => format!("field: {field}"),
                TimePlace::Element(prefix) => format!("element: {}", scalar(prefix)),
                TimePlace::FirstElement => "element: first".to_owned(),
            };
            fix = fix.and(&Fix::raw_setting(
                "timestamp",
                format!("{{ {place}{format} }}"),
            ));
        }
        (None, Some(_)) if !signed.contains("{timestamp}") => {
            words.push("no time is signed".to_owned());
            fix = fix.and(&Fix::raw_setting("timestamp", "null".to_owned()));
        }
        _ => {}
    }
    (words.join(", and "), fix)
}

/// Where a time is, in words.
fn time_place(time: &Timestamp) -> String {
    match &time.place {
        TimePlace::Field(field) => readings::place(field),
        TimePlace::Element(prefix) => format!("the element {prefix:?}"),
        TimePlace::FirstElement => "the first element".to_owned(),
    }
}

/// Headers and elements that hold a time and are not the configured one.
fn other_times(trial: &Trial, signature: &Signature) -> Vec<Timestamp> {
    let known = signature.timestamp.as_ref().map(|time| &time.place);
    let mut found = Vec::new();
    let mut add = |place: TimePlace, text: &[u8]| {
        if let Some((format, _)) = times::read(text)
            && known != Some(&place)
            && found.len() < TIMES_MAX
        {
            found.push(Timestamp {
                place,
                format,
                past: Some(Duration::from_mins(5)),
                future: Some(Duration::from_mins(5)),
            });
        }
    };
    for (name, value) in &trial.headers {
        add(
            TimePlace::Field(Field::Header(name.clone())),
            value.as_bytes(),
        );
    }
    if signature.split.is_some() {
        for element in trial.elements(signature) {
            if let Some(at) = element.iter().position(|byte| *byte == b'=')
                && let Ok(prefix) = std::str::from_utf8(&element[..=at])
            {
                add(TimePlace::Element(prefix.to_owned()), &element[at + 1..]);
            }
        }
    }
    found
}

/// Headers that name the event or its delivery.
fn ids(trial: &Trial) -> Vec<HeaderName> {
    let is_id = |name: &&HeaderName| name.as_str().ends_with("-id");
    trial
        .headers
        .keys()
        .filter(is_id)
        .take(3)
        .cloned()
        .collect()
}

/// The time of a header in seconds where it has milliseconds, and the other way.
pub(super) fn units(trial: &Trial, signature: &Signature) -> Vec<Step> {
    let Some(TimePlace::Field(Field::Header(name))) =
        signature.timestamp.as_ref().map(|time| &time.place)
    else {
        return Vec::new();
    };
    let read = trial
        .timestamp(signature)
        .and_then(|text| times::read(&text));
    let (text, words) = match read {
        Some((TimeFormat::UnixMs, ms)) => (
            (ms / 1_000).to_string(),
            "the signed time is in seconds, the one sent in milliseconds",
        ),
        Some((TimeFormat::Unix, ms)) => (
            ms.to_string(),
            "the signed time is in milliseconds, the one sent in seconds",
        ),
        _ => return Vec::new(),
    };
    let Ok(value) = HeaderValue::try_from(text) else {
        return Vec::new();
    };
    let name = name.clone();
    let fix = Fix::action(format!(
        "have the sender put into {name} the very text that it signs, since no setting converts it"
    ));
    vec![Step::new(
        Group::Text,
        words.to_owned(),
        fix,
        move |trial| {
            trial.headers.insert(&name, value.clone());
        },
    )]
}

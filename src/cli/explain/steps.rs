//! The deviations that are tried, beside how the signature is written and what the body was: what else is signed, the
//! time, the public URL, the method and the conditions.

use super::bodies;
use super::capture::Capture;
use super::fix::{Fix, scalar};
use super::readings;
use super::search::{Group, Step};
use super::times;
use super::trial::{Trial, needs_url};
use crate::config::{
    Secret, Verify,
    template::{Base, Template},
    verify::{
        Condition, Expected, Proof, Scheme, Signature, Subject, TimeFormat, TimePlace, Timestamp,
        Token, TokenForm,
    },
};
use crate::extract::Field;
use crate::verify::Verifier;
use http::{HeaderName, HeaderValue, Method, header::HOST};
use std::time::Duration;

/// Headers with a time that are tried.
const TIMES_MAX: usize = 4;

/// What vendors put between a time and a body.
const SEPARATORS: [&str; 8] = [".", ":", "", "|", "\n", "-", ",", "+"];

/// All of them, most likely first.
pub(super) fn all(trial: &Trial, capture: &Capture) -> Vec<Step> {
    let mut steps = readings::steps(trial, capture);
    steps.extend(when(trial));
    steps.extend(bodies::altered(capture).into_iter().map(|altered| {
        let words = format!("the signature is right for the body {}", altered.words);
        let body = altered.body;
        Step::new(Group::Body, words, altered.fix, move |trial| {
            trial.body = body.clone();
        })
    }));
    if let Proof::Signature(signature) = &trial.scheme.proof {
        steps.extend(texts(trial, signature));
        steps.extend(units(trial, signature));
    }
    steps.extend(urls(trial, capture));
    steps.extend(methods(trial));
    steps.extend(claims(trial));
    steps
}

/// Other templates and times.
fn texts(trial: &Trial, signature: &Signature) -> Vec<Step> {
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
pub(super) fn time_place(time: &Timestamp) -> String {
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
fn units(trial: &Trial, signature: &Signature) -> Vec<Step> {
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

/// Other public URLs, where one takes part.
fn urls(trial: &Trial, capture: &Capture) -> Vec<Step> {
    let templates: Vec<&Template> = match &trial.scheme.proof {
        Proof::Signature(signature) => vec![&signature.signed],
        Proof::Jwt(jwt) => jwt.claims.iter().map(|(_, claim)| claim).collect(),
        Proof::Token(_) => Vec::new(),
    };
    let uses = |wanted: fn(&Base) -> bool| {
        let mut values = templates.iter().flat_map(|template| template.values());
        values.any(|value| wanted(&value.base))
    };
    let mut steps = Vec::new();
    if uses(needs_url) {
        let configured = trial.around.public_url.as_deref();
        for url in public_urls(configured, capture) {
            let words = match configured {
                Some(configured) => {
                    format!("the vendor signs for the URL {url}, but `public_url` is {configured}")
                }
                None => format!("the vendor signs for the URL {url}"),
            };
            let fix = Fix::line(format!("public_url: {url}"));
            steps.push(Step::new(Group::Url, words, fix, move |trial| {
                trial.around.public_url = Some(url.as_str().into());
            }));
        }
    }
    if capture.query.is_some() && uses(|base| matches!(base, Base::Url | Base::Query)) {
        let fix = Fix::action(
            "something adds a query to the URL on its way; the vendor was given one without it",
        );
        let words = "the vendor signs the URL without the query".to_owned();
        steps.push(Step::new(Group::Url, words, fix, |trial| {
            trial.query = None;
        }));
    }
    steps
}

/// Every URL that a vendor may have been given, as far as the request and the configuration say, but the configured.
fn public_urls(configured: Option<&str>, capture: &Capture) -> Vec<String> {
    let mut hosts = Vec::new();
    let mut paths = vec![capture.path.clone()];
    if let Some((_, rest)) = configured.and_then(|url| url.split_once("://")) {
        let at = rest.find('/').unwrap_or(rest.len());
        hosts.push(rest[..at].to_owned());
        paths.insert(0, rest[at..].to_owned());
    }
    for name in [HOST, HeaderName::from_static("x-forwarded-host")] {
        let host = capture
            .headers
            .get(name)
            .and_then(|host| host.to_str().ok());
        hosts.extend(host.filter(|host| is_host(host)).map(str::to_owned));
    }
    for host in hosts.clone() {
        let bare = host
            .rsplit_once(':')
            .map_or(host.as_str(), |(bare, _)| bare);
        hosts.push(bare.to_owned());
        hosts.extend([443, 80, 8080, 8443].map(|port| format!("{bare}:{port}")));
    }
    for path in paths.clone() {
        paths.push(match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        });
    }
    let mut urls = Vec::new();
    for scheme in ["https", "http"] {
        for host in &hosts {
            for path in &paths {
                let url = format!("{scheme}://{host}{path}");
                if configured != Some(url.as_str()) && is_url(path) && !urls.contains(&url) {
                    urls.push(url);
                }
            }
        }
    }
    urls
}

fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    !host.is_empty() && host.len() <= 255 && host.bytes().all(plain)
}

fn is_url(path: &str) -> bool {
    path.len() <= 1_000 && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Other methods, where the method is signed.
fn methods(trial: &Trial) -> Vec<Step> {
    let is_signed = match &trial.scheme.proof {
        Proof::Signature(signature) => signature.signed.uses(&Base::Method),
        Proof::Jwt(jwt) => jwt
            .claims
            .iter()
            .any(|(_, claim)| claim.uses(&Base::Method) || claim.uses(&Base::AtlassianQsh)),
        Proof::Token(_) => false,
    };
    if !is_signed {
        return Vec::new();
    }
    [
        Method::POST,
        Method::GET,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ]
    .into_iter()
    .filter(|method| *method != trial.method)
    .map(|method| {
        let words = format!("the vendor signs for {method}, not {}", trial.method);
        let fix = Fix::action(format!(
            "look at what stands before hookgate: it makes another method of the vendor's {method}"
        ));
        Step::new(Group::Method, words, fix, move |trial| {
            trial.method = method.clone();
        })
    })
    .collect()
}

/// Each claim of a token left out.
fn claims(trial: &Trial) -> Vec<Step> {
    let Proof::Jwt(jwt) = &trial.scheme.proof else {
        return Vec::new();
    };
    jwt.claims
        .iter()
        .enumerate()
        .map(|(place, (name, claim))| {
            let words = format!("the token's claim {name:?} is not {}", scalar(&claim.to_string()));
            let fix = Fix::action(format!(
                "compare `claims.{name}` with what the vendor documents; a claim of the body's hash says that the \
                 body was changed"
            ));
            Step::new(Group::Text, words, fix, move |trial| {
                if let Proof::Jwt(jwt) = &mut trial.scheme.proof
                    && place < jwt.claims.len()
                {
                    jwt.claims.remove(place);
                }
            })
        })
        .collect()
}

/// Without the conditions that do not hold.
fn when(trial: &Trial) -> Option<Step> {
    let unmet = unmet(trial);
    if unmet.is_empty() {
        return None;
    }
    let lines: Vec<String> = unmet
        .iter()
        .map(|place| line(&trial.scheme.when[*place]))
        .collect();
    let words = format!("`when` does not hold: {}", lines.join("; "));
    let fix = Fix::action(
        "change these lines of `when`, or add an entry to `verify` for requests like this one",
    );
    Some(Step::new(Group::When, words, fix, move |trial| {
        let mut place = 0;
        trial.scheme.when.retain(|_| {
            place += 1;
            !unmet.contains(&(place - 1))
        });
    }))
}

/// Places of the conditions that do not hold. The gateway's verifier says so: a scheme that always passes is given each.
pub(super) fn unmet(trial: &Trial) -> Vec<usize> {
    let name = HeaderName::from_static("hookgate-explain");
    let mut headers = trial.headers.clone();
    headers.insert(&name, HeaderValue::from_static("1"));
    let holds = |condition: &Condition| {
        let scheme = Scheme {
            when: vec![condition.clone()],
            secrets: None,
            proof: Proof::Token(Token {
                field: Field::Header(name.clone()),
                prefix: String::new(),
                form: TokenForm::Plain,
            }),
        };
        if !super::trial::is_sound(&scheme, &trial.around) {
            return false;
        }
        let secrets = [Secret::new("1", b"1".to_vec())];
        Verifier::new(&Verify::Schemes(vec![scheme]), &secrets, &trial.around)
            .verify(
                &trial.method,
                trial.query.as_deref(),
                headers.clone(),
                trial.body.clone(),
                0,
            )
            .is_ok()
    };
    let conditions = trial.scheme.when.iter().enumerate();
    conditions
        .filter(|(_, condition)| !holds(condition))
        .map(|(place, _)| place)
        .collect()
}

/// A condition as it is written in a configuration. What a request has there is not shown: it may be confidential.
pub(super) fn line(condition: &Condition) -> String {
    let subject = match &condition.subject {
        Subject::Method => "method".to_owned(),
        Subject::Field(field) => field.to_string(),
    };
    match &condition.expected {
        Expected::Is(template) => format!("{subject} is not {}", scalar(&template.to_string())),
        Expected::Present => format!("{subject} is absent"),
        Expected::Absent => format!("{subject} is there, and must not be"),
    }
}

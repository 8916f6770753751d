//! The deviations that are tried, beside how the signature is written, what the body was and what else is signed: the
//! public URL, the method, claims and the conditions.

use super::bodies;
use super::capture::Capture;
use super::fix::{Fix, scalar};
use super::readings;
use super::search::{Group, Step};
use super::texts;
use super::trial::{Trial, needs_url};
use super::{forms, repeated};
use crate::config::{
    Secret, Verify,
    template::{Base, Template},
    verify::{Condition, Expected, Proof, Scheme, Subject, Token, TokenForm},
};
use crate::extract::Field;
use crate::verify::Verifier;
use http::{HeaderName, HeaderValue, Method, header::HOST};

/// All of them, most likely first.
pub(super) fn all(trial: &Trial, capture: &Capture) -> Vec<Step> {
    let mut steps = repeated::steps(trial);
    steps.extend(readings::steps(trial, capture));
    steps.extend(when(trial));
    steps.extend(forms::step(trial));
    steps.extend(bodies::altered(capture).into_iter().map(|altered| {
        let words = format!("the signature is right for the body {}", altered.words);
        let body = altered.body;
        Step::new(Group::Body, words, altered.fix, move |trial| {
            trial.body = body.clone();
        })
    }));
    if let Proof::Signature(signature) = &trial.scheme.proof {
        steps.extend(texts::texts(trial, signature));
        steps.extend(texts::units(trial, signature));
    }
    steps.extend(urls(trial, capture));
    steps.extend(methods(trial));
    steps.extend(claims(trial));
    steps
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

/// Places of the scheme's conditions that do not hold.
pub(super) fn unmet(trial: &Trial) -> Vec<usize> {
    unmet_of(&trial.scheme.when, trial)
}

/// Places of the conditions that do not hold for this request. The gateway's verifier says so: a scheme that always passes is given each.
pub(super) fn unmet_of(conditions: &[Condition], trial: &Trial) -> Vec<usize> {
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
    let conditions = conditions.iter().enumerate();
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

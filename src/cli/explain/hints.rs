//! Findings that prove nothing by themselves: a request that was changed on its way to the file, a header that is not
//! there, a value that is cut, another vendor's header.

use super::capture::{Capture, Oddity};
use super::entry::Entry;
use super::forms;
use super::repeated::{self, are_equal};
use super::report::{Finding, sentence};
use super::show::Screen;
use super::subject::Subject;
use super::vendors::{self, Vendor};
use crate::config::verify::Proof;
use http::{
    Method,
    header::{AUTHORIZATION, CONTENT_ENCODING},
};

/// What may well be the cause, most likely first.
pub(super) fn causes(
    subject: &Subject,
    capture: &Capture,
    entries: &[Entry],
    vendors: &[Vendor],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if entries.iter().any(Entry::has_signature) {
        findings.extend(entries.iter().find_map(unsigned_parts));
    } else {
        findings.extend(other_headers(subject, capture, entries, vendors));
    }
    for entry in entries {
        let form = forms::sent_as_other(&entry.trial).filter(|_| entry.unmet.is_empty());
        let form = form.map(|why| Finding::new(sentence(&why), forms::FIX));
        for finding in form
            .into_iter()
            .chain(repeated_headers(entry))
            .chain(length(entry))
        {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// What is odd beside the cause.
pub(super) fn others(subject: &Subject, capture: &Capture, is_proven: bool) -> Vec<Finding> {
    let mut findings = of_the_capture(capture, is_proven);
    if !is_proven {
        findings.extend(looks_of_secrets(subject));
    }
    findings.extend(address(subject, capture));
    findings
}

/// Whether what happened to the request on its way to the file may be the cause.
pub(super) fn is_damaged(capture: &Capture) -> bool {
    let is_cut = |oddity: &Oddity| matches!(oddity, Oddity::Cut { .. });
    capture.oddities.iter().any(is_cut)
        || capture.body.is_empty() && capture.method == Method::POST
        || capture.headers.contains_key(CONTENT_ENCODING)
}

/// The signature is there, and something that is signed with it is not.
fn unsigned_parts(entry: &Entry) -> Option<Finding> {
    let lacks = entry.lacks();
    if !entry.has_signature() || !entry.unmet.is_empty() || lacks.is_empty() {
        return None;
    }
    let what = if entry.lacks_time() {
        "The signed time is missing"
    } else {
        "A part of what is signed is missing"
    };
    Some(Finding::new(
        format!(
            "{what}: the signature is there, but the request has {}.",
            lacks.join(" and ")
        ),
        "look at what stands before hookgate, and at how the request was captured: something dropped it on the way",
    ))
}

/// A sender that puts the secret itself where a signature should be.
pub(super) fn secret_inside(
    entry: &Entry,
    screen: &Screen,
    provider: Option<&str>,
) -> Option<Finding> {
    let Proof::Signature(_) = entry.trial.scheme.proof else {
        return None;
    };
    let mut headers = entry.trial.headers.iter();
    let (name, value) = headers.find(|(_, value)| screen.hides(value.as_bytes()))?;
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
    let scheme = scheme.unwrap_or_default().to_ascii_lowercase();
    let (what, fix) = match scheme.as_slice() {
        b"bearer" if name == AUTHORIZATION => ("bearer token", "verify: bearer".to_owned()),
        b"basic" if name == AUTHORIZATION => ("password", "verify: basic".to_owned()),
        _ => (
            "token",
            format!(
                "verify: {{ token: {{ header: {name} }} }}     # with `prefix` if something stands before it"
            ),
        ),
    };
    let words = format!(
        "The header {name} holds the secret itself: the sender proves itself with a {what}, not a signature."
    );
    let mut finding = Finding::new(words, fix);
    if let Some(provider) = provider {
        finding.fix.push(format!(
            "without `provider: {provider}`, whose requests are signed"
        ));
    }
    Some(finding)
}

/// Nothing stands where the signature should, but something stands elsewhere.
fn other_headers(
    subject: &Subject,
    capture: &Capture,
    entries: &[Entry],
    vendors: &[Vendor],
) -> Vec<Finding> {
    let missing: Vec<String> = entries.iter().flat_map(Entry::lacks).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let own = subject.source.provider.as_deref();
    let alike = vendors::looks_like(vendors, own, capture);
    if !alike.is_empty() {
        let names: Vec<&str> = alike.iter().take(4).map(|(name, _)| *name).collect();
        let header = &alike[0].1;
        return vec![Finding::new(
            format!(
                "This looks like {}: the header {header} is there.",
                names.join(" or ")
            ),
            format!(
                "provider: {}     # or send this vendor's requests to the source that is made for it",
                names[0]
            ),
        )];
    }
    let signed = vendors::signed_headers(capture);
    match signed.as_slice() {
        [] => vec![Finding::new(
            format!(
                "The request has {}, and no other header looks like a signature.",
                missing.join(" and ")
            ),
            "look at what stands before hookgate: proxies drop headers they do not know, and tools leave them out; \
             or the vendor signs nothing until a secret is set there",
        )],
        names => vec![Finding::new(
            format!(
                "The request has {}, but {} looks like a signature.",
                missing.join(" and "),
                names.join(" and ")
            ),
            format!(
                "ask the vendor what signs it; `header: {}` alone does not make it right with these secrets",
                names[0]
            ),
        )],
    }
}

fn repeated_headers(entry: &Entry) -> Vec<Finding> {
    let named = entry.repeated().into_iter();
    named
        .map(|name| {
            let values = if are_equal(&entry.trial, &name) {
                " with the same value"
            } else {
                ""
            };
            Finding::new(
                format!(
                    "The header {name} stands there more than once{values}, and such a request is refused."
                ),
                repeated::FIX,
            )
        })
        .collect()
}

fn length(entry: &Entry) -> Option<Finding> {
    let why = entry.malformed()?;
    Some(Finding::new(
        format!("What stands where the signature should be is none: {why}."),
        "copy the request again, whole; terminals and log viewers cut long lines",
    ))
}

/// What happened to the request on its way to the file.
pub(super) fn of_the_capture(capture: &Capture, short: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for oddity in &capture.oddities {
        findings.extend(match oddity {
            Oddity::NoRequestLine => None,
            Oddity::Cut { announced, there } => Some(Finding::new(
                format!("The capture was cut: Content-Length says {announced} bytes, and {there} are there."),
                "capture it again, whole; an editor that turns CRLF into LF shortens it, too",
            )),
            Oddity::Longer { announced, whole } => {
                let more = &whole[*announced..];
                let what = match more {
                    b"\n" | b"\r\n" => "an editor added a line end".to_owned(),
                    _ => format!("{} bytes stand behind it", more.len()),
                };
                Some(Finding::new(
                    format!("Content-Length says {announced} bytes, but {what}; only those that it says were looked at."),
                    "nothing, if that is how the file was made; otherwise capture it again",
                ))
            }
            Oddity::NoChunks => Some(Finding::new(
                "Transfer-Encoding says chunked, but the body is not: the tool that captured it has joined the chunks.",
                "nothing; the body was taken as it is",
            )),
        });
    }
    if capture.body.is_empty() && capture.method == Method::POST && !short {
        findings.push(Finding::new(
            "The body is empty.",
            "capture the request with its body; a middleware that has read the body before leaves nothing of it",
        ));
    }
    if let Some(coding) = capture.headers.get(CONTENT_ENCODING)
        && !short
    {
        let zipped = capture.body.starts_with(&[0x1f, 0x8b]);
        let (there, fix) = if zipped {
            (
                "and the body is",
                "the signature may be that of the text inside, which no setting unpacks; ask the vendor \
                                 for requests without compression",
            )
        } else {
            (
                "but the body is not: the capture was unpacked",
                "capture the bytes as they arrive; the signature may be \
                                                                that of the packed ones",
            )
        };
        let coding = String::from_utf8_lossy(coding.as_bytes());
        let coding: String = coding
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(20)
            .collect();
        findings.push(Finding::new(
            format!("Content-Encoding says {coding}, {there}."),
            fix,
        ));
    }
    findings
}

/// Secrets that look as if they were copied with something around them.
fn looks_of_secrets(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    for secret in &subject.source.secrets {
        let value = secret.expose();
        let quoted = value.len() > 1
            && matches!(value.first(), Some(b'"' | b'\'' | b'`'))
            && value.first() == value.last();
        let why = if value != value.trim_ascii() {
            "a line end or spaces around it"
        } else if quoted {
            "quotes around it"
        } else {
            continue;
        };
        findings.push(Finding::new(
            format!(
                "Secret {:?} has {why}; without them it is not right either.",
                secret.name
            ),
            "compare it with the vendor's page",
        ));
    }
    findings
}

/// What the gateway answers before it looks at a signature.
fn address(subject: &Subject, capture: &Capture) -> Vec<Finding> {
    let mut findings = Vec::new();
    let no_line = capture.oddities.contains(&Oddity::NoRequestLine);
    let source = &subject.source;
    if subject.has_path && capture.path != source.path && !no_line {
        findings.push(Finding::new(
            format!(
                "The path is not that of the source, {}: the gateway answers 404 unless a proxy rewrites it.",
                source.path
            ),
            "set `path`, or the URL at the vendor",
        ));
    }
    if capture.method != Method::POST && source.handshakes.is_empty() {
        findings.push(Finding::new(
            format!(
                "The method is {}, which is answered with 405.",
                capture.method
            ),
            if capture.method == Method::GET {
                "where a vendor asks so whether the URL is its own, a `handshake` answers; one that needs `params` is off \
                 until they are set"
            } else {
                "events come as POST; look at what made another method of it"
            },
        ));
    }
    if capture.body.len() as u64 > source.body_limit_bytes {
        findings.push(Finding::new(
            format!(
                "The body has {} bytes, and more than {} are answered with 413.",
                capture.body.len(),
                source.body_limit_bytes
            ),
            "limits: { body: 10MiB }",
        ));
    }
    findings
}

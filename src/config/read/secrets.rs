//! What a source is proven with: `secret` or `secrets`, as text or from a file. No message shows a value.

use crate::config::{
    Secret, Verify,
    reader::{Map, Node, show},
    substitute::STAND_IN,
    value::SECRET_NAME,
    verify::{Proof, Token, TokenForm},
};
use crate::extract::Field;
use std::{
    fs::File,
    io::{self, Read as _},
};

/// Secrets of one source: each is tried for every request, and rotation needs two or three.
const SECRETS_MAX: usize = 16;

/// Bytes of a secret: room for any key that is in use, and a bound on what a wrong file may cost.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Reads the secrets of a source. `verify` is None where it could not be read.
pub(super) fn read(source: &Map<'_>, verify: Option<&Verify>) -> Option<Vec<Secret>> {
    let (single, list) = (source.get("secret"), source.get("secrets"));
    if let (Some(single), Some(_)) = (&single, &list) {
        single
            .problem_at_key("secret and secrets stand side by side; put all of them into secrets");
        return None;
    }
    let given = single.as_ref().or(list.as_ref());
    if matches!(verify, Some(Verify::None)) {
        if let Some(given) = given {
            given
                .problem_at_key("verify: none looks at no secret; leave it out, or verify with it");
        }
        return Some(Vec::new());
    }
    let Some(given) = given else {
        if verify.is_some() {
            let why = "nothing to verify with; accepted: secret: ${NAME}, secret: { file: PATH }, or a list in secrets";
            source.need("secret", why);
        }
        return None;
    };
    let nodes = match (&single, &list) {
        (Some(single), _) => vec![single.clone()],
        (None, Some(list)) => list.list("a list of secrets; for a single one write secret")?,
        (None, None) => return None,
    };
    if nodes.is_empty() {
        given
            .problem("no secrets, so nothing could be verified; put one in, or write verify: none");
        return None;
    }
    if nodes.len() > SECRETS_MAX {
        given.problem(format!(
            "{} secrets; at most {SECRETS_MAX} are tried",
            nodes.len()
        ));
        return None;
    }
    let secrets = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| secret(node, &(index + 1).to_string()));
    let secrets = crate::config::reader::every(secrets)?;
    check_names(&nodes, &secrets);
    for scheme in verify.into_iter().flat_map(Verify::schemes) {
        if let Proof::Token(token) = &scheme.proof
            && matches!(token.field, Field::Header(_))
        {
            check_sendable(&nodes, &secrets, token);
        }
    }
    Some(secrets)
}

const ACCEPTED: &str = "text such as ${NAME}, { file: PATH }, or { name: NAME, value: TEXT }";

/// One secret: text, or a mapping with an optional name.
fn secret(node: &Node<'_>, place: &str) -> Option<Secret> {
    if !node.value().is_mapping() {
        return Some(Secret::new(place, text(node)?));
    }
    let map = node.map(&["name", "value", "file"])?;
    let name = map.read_or("name", &SECRET_NAME, place.to_owned());
    let value = match (map.get("value"), map.get("file")) {
        (Some(value), None) => text(&value)?,
        (None, Some(file)) => file_contents(&file)?,
        (Some(_), Some(_)) => {
            node.problem("value and file stand side by side; keep one");
            return None;
        }
        (None, None) => {
            node.problem(format!(
                "neither value nor file is given; accepted: {ACCEPTED}"
            ));
            return None;
        }
    };
    Some(Secret::new(&name, value))
}

fn text(node: &Node<'_>) -> Option<Vec<u8>> {
    if node.value().is_number() || node.value().is_bool() {
        // Not `Node::text`, which would show it.
        node.problem("the secret is not text for YAML; put it in quotes");
        return None;
    }
    let text = node.text(ACCEPTED, true)?;
    if text.value.is_empty() {
        node.problem(format!(
            "{} is an empty secret, which proves nothing",
            text.shown
        ));
        return None;
    }
    Some(text.value.into_bytes())
}

/// The contents of a file without one newline at the end, which editors and `echo` add. A relative path starts
/// at the directory that hookgate is started in.
fn file_contents(node: &Node<'_>) -> Option<Vec<u8>> {
    let path = node.text("the path of a file", true)?;
    let contents = match read_bounded(&path.value) {
        Ok(contents) => contents,
        Err(_) if node.context().allow_unset => return Some(STAND_IN.into()),
        Err(error) => {
            node.problem(format!(
                "the secret file {} can't be read: {error}",
                path.shown
            ));
            return None;
        }
    };
    let secret = contents
        .strip_suffix(b"\r\n")
        .or_else(|| contents.strip_suffix(b"\n"))
        .unwrap_or(&contents);
    if secret.is_empty() {
        node.problem(format!("the secret file {} is empty", path.shown));
        return None;
    }
    Some(secret.to_vec())
}

fn read_bounded(path: &str) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut contents = zeroize::Zeroizing::new(Vec::new());
    File::open(path)?
        .take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut contents)?;
    if contents.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other("it is larger than 64KiB"));
    }
    Ok(contents)
}

/// Names tell secrets apart in metrics and in the store.
fn check_names(nodes: &[Node<'_>], secrets: &[Secret]) {
    for (index, secret) in secrets.iter().enumerate() {
        if secrets[..index]
            .iter()
            .any(|other| other.name == secret.name)
        {
            nodes[index].problem(format!(
                "the name {} is given twice (a secret without a name is called by its place in the list)",
                show(&secret.name)
            ));
        }
    }
}

/// A token is sent as it is, so it must survive being a header.
fn check_sendable(nodes: &[Node<'_>], secrets: &[Secret], token: &Token) {
    for (node, secret) in nodes.iter().zip(secrets) {
        let spaced = secret.expose().trim_ascii() != secret.expose();
        if token.carry(secret.expose()).is_none() || (spaced && token.form != TokenForm::Basic) {
            node.problem(
                "this token can never arrive in a header: it has a line break, a control character, \
                 or spaces at an end",
            );
        }
    }
}

//! What a source is proven with: `secret` or `secrets`, as text or from a file. No message shows a value.

use super::fit::{self, Given};
use crate::config::{
    Secret, Verify,
    reader::{Map, Node, every, show},
    substitute::STAND_IN,
    value::{INSTANT, SECRET_ID, SECRET_NAME},
};
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Secrets of one source: each is tried for every request, and rotation needs two or three.
const SECRETS_MAX: usize = 16;

/// Bytes of a secret: room for any key that is in use, and a bound on what a wrong file may cost.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// What was read of a source's secrets.
pub(super) struct Secrets {
    pub(super) known: Vec<Secret>,
    /// The file of one that a handshake brings.
    pub(super) learn_to: Option<PathBuf>,
}

/// Reads the secrets of a source. `verify` is None where it could not be read. With `learns` a handshake brings one: its
/// file may still be missing.
pub(super) fn read(source: &Map<'_>, verify: Option<&Verify>, learns: bool) -> Option<Secrets> {
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
        return Some(Secrets {
            known: Vec::new(),
            learn_to: None,
        });
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
    let learn_to = learns.then(|| nodes.iter().find_map(file)).flatten();
    if learns && learn_to.is_none() {
        given.context().report.warning(
            given.path(),
            "the vendor's handshake brings a secret of its own, and there is no file to keep it in: unless it is this \
             one, every event is refused; write secret: { file: PATH }",
        );
    }
    let secrets = every(
        nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| learn_to.is_none() || !is_awaited(node))
            .map(|(index, node)| secret(node, &(index + 1).to_string())),
    )?;
    check_names(&secrets);
    if let Some(verify) = verify {
        fit::check(source, given, verify, &secrets);
    }
    Some(Secrets {
        known: secrets.into_iter().map(|given| given.secret).collect(),
        learn_to,
    })
}

/// The file of a secret, if it is in one.
fn file(node: &Node<'_>) -> Option<PathBuf> {
    let file = node.child("file").filter(|file| !file.is_null())?;
    Some(file.text("the path of a file", true)?.value.into())
}

/// Whether the secret's file is not there yet, which is said.
fn is_awaited(node: &Node<'_>) -> bool {
    let path = file(node);
    if let Some(path) = &path {
        node.context().report.reads(path);
    }
    let awaited = path.is_some_and(|path| matches!(path.try_exists(), Ok(false)));
    if awaited && !node.context().allow_unset {
        node.context().report.warning(
            node.path(),
            "this file is not there yet: until the vendor's handshake has brought the secret, every event is refused",
        );
        if let Some(why) = file(node).and_then(|path| unwritable(&path)) {
            node.problem_at_key(why);
        }
    }
    awaited && !node.context().allow_unset
}

/// Why a handshake can't make this file, as far as can be seen before.
fn unwritable(path: &Path) -> Option<String> {
    let shown = path.display();
    if path.is_symlink() {
        return Some(format!(
            "{shown} is a link to a file that is not there, and a handshake writes through none"
        ));
    }
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())?;
    (!directory.is_dir()).then(|| {
        format!(
            "the secret of a handshake is written to {shown}, but {} is no directory",
            directory.display()
        )
    })
}

const ACCEPTED: &str = "text such as ${NAME}, { file: PATH }, or { name: NAME, value: TEXT }";

/// One secret: text, or a mapping with what is known about it.
fn secret<'a>(node: &Node<'a>, place: &str) -> Option<Given<'a>> {
    if !node.value().is_mapping() {
        let (value, stands_in) = text(node)?;
        return Some(Given {
            node: node.clone(),
            secret: Secret::new(place, value),
            stands_in,
        });
    }
    let map = node.map(&["name", "id", "value", "file", "not_before", "not_after"])?;
    let name = map.read_or("name", &SECRET_NAME, place.to_owned());
    let id = map.get_some("id").map(|node| node.read(&SECRET_ID));
    let times = times(&map);
    let value = match (map.get("value"), map.get("file")) {
        (Some(value), None) => text(&value),
        (None, Some(file)) => file_contents(&file),
        (Some(_), Some(_)) => {
            node.problem("value and file stand side by side; keep one");
            None
        }
        (None, None) => {
            node.problem(format!(
                "neither value nor file is given; accepted: {ACCEPTED}"
            ));
            None
        }
    };
    let (value, stands_in) = value?;
    let mut secret = Secret::new(&name, value);
    secret.id = match id {
        Some(id) => Some(id?.into()),
        None => None,
    };
    (secret.not_before_ms, secret.not_after_ms) = times?;
    Some(Given {
        node: node.clone(),
        secret,
        stands_in,
    })
}

/// From when to when it counts, both in Unix milliseconds and included.
fn times(map: &Map<'_>) -> Option<(u64, u64)> {
    let read = |key: &str, default: u64| match map.get_some(key) {
        Some(node) if node.context().allow_unset => Some(node.read(&INSTANT).unwrap_or(default)),
        Some(node) => node.read(&INSTANT),
        None => Some(default),
    };
    let (not_before, not_after) = (read("not_before", 0), read("not_after", u64::MAX));
    let (not_before, not_after) = (not_before?, not_after?);
    if not_before > not_after {
        map.get("not_after")
            .as_ref()
            .unwrap_or(map.node())
            .problem("not_after lies before not_before, so this secret never counts");
        return None;
    }
    Some((not_before, not_after))
}

/// The bytes, and whether they stand in for an unset variable.
fn text(node: &Node<'_>) -> Option<(Vec<u8>, bool)> {
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
    Some((text.value.into_bytes(), text.unset))
}

/// The contents of a file without one newline at the end, which editors and `echo` add. A relative path starts
/// at the directory that hookgate is started in. The second value is that of [`text`].
fn file_contents(node: &Node<'_>) -> Option<(Vec<u8>, bool)> {
    let path = node.text("the path of a file", true)?;
    node.context().report.reads(Path::new(&path.value));
    let contents = match read_bounded(&path.value) {
        Ok(contents) => contents,
        Err(_) if node.context().allow_unset => return Some((STAND_IN.into(), true)),
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
    Some((secret.to_vec(), false))
}

/// Reads a file of secrets or keys, if it is not too large to be one.
pub(super) fn read_bounded(path: &str) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
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
fn check_names(secrets: &[Given<'_>]) {
    for (index, given) in secrets.iter().enumerate() {
        let name = &given.secret.name;
        if secrets[..index]
            .iter()
            .any(|other| other.secret.name == *name)
        {
            given.node.problem(format!(
                "the name {} is given twice (a secret without a name is called by its place in the list)",
                show(name)
            ));
        }
    }
}

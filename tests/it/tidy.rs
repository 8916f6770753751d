//! The house keeps its order: a room imports only from floors below its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of each floor, ground floor first. Rooms of one floor do not import each other, except that the
/// ground floor's are read in the order given here.
const FLOORS: [&[&str]; 8] = [
    &[
        "clock", "backoff", "budget", "shutdown", "quiet", "rate", "metrics", "network", "trace",
        "event", "extract",
    ],
    &["config"],
    &["verify", "dedupe", "http"],
    &["store"],
    &["deliver"],
    &["receive", "admin"],
    &["gateway"],
    &["cli"],
];

fn floor_of(room: &str) -> Option<(usize, usize)> {
    FLOORS
        .iter()
        .enumerate()
        .find_map(|(floor, rooms)| Some((floor, rooms.iter().position(|name| *name == room)?)))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the source directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every room that `text` names after `crate::`, also inside braces.
fn imports(text: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (index, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && c.is_alphabetic() => {
                        rooms.push(word(&list[index..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            rooms.push(word(rest));
        }
    }
    rooms
}

#[test]
fn rooms_import_only_from_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut seen = BTreeMap::new();
    for file in &files {
        let relative = file.strip_prefix(&root).expect("below src");
        let first = relative
            .components()
            .next()
            .expect("a component")
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        let room = first.trim_end_matches(".rs").to_owned();
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let own = floor_of(&room)
            .unwrap_or_else(|| panic!("{room} stands on no floor: add it to FLOORS"));
        let text = fs::read_to_string(file).expect("readable");
        for import in imports(&text) {
            let Some(floor) = floor_of(&import) else {
                panic!("{}: crate::{import} stands on no floor", file.display())
            };
            let allowed = import == room
                || floor.0 < own.0
                || (own.0 == 0 && floor.0 == 0 && floor.1 < own.1);
            assert!(
                allowed,
                "{}: {room} imports {import}, which is not below it",
                file.display()
            );
        }
        *seen.entry(room).or_insert(0) += 1;
    }
    let rooms: usize = FLOORS.iter().map(|floor| floor.len()).sum();
    assert_eq!(
        seen.len(),
        rooms,
        "every room of FLOORS has files: {seen:?}"
    );
}

#[test]
fn every_file_says_its_job() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 30, "the walk finds the sources");
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        assert!(
            text.starts_with("//! "),
            "{} does not begin with its job",
            file.display()
        );
    }
}

//! What the sources themselves must show: one place compares what secrets make, and it does so in constant time.

use std::{fs, path::Path};

/// Names that hold bytes of a secret, or of what one makes.
const SECRET_BYTES: [&str; 9] = [
    "secret",
    "signature",
    "digest",
    "tag",
    "mac",
    "expected",
    "claimed",
    "token",
    "expose()",
];

/// Comparisons of such names that are none of bytes: lengths, names and kinds.
const ALLOWED: [&str; 4] = [
    "bytes == length(hash)",
    ".len()",
    "TokenForm::",
    "Expected::",
];

/// Whether this line compares bytes of a secret otherwise than in constant time.
fn compares(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let operator = [
        " == ",
        " != ",
        ".eq(",
        ".ne(",
        ".starts_with(",
        ".ends_with(",
    ];
    let Some(at) = operator.iter().find_map(|operator| code.find(operator)) else {
        return false;
    };
    if ALLOWED.iter().any(|allowed| code.contains(allowed)) {
        return false;
    }
    // Both sides, as far as their names go.
    let side = |text: &str| {
        let text = text.to_ascii_lowercase();
        SECRET_BYTES.iter().any(|name| text.contains(name))
    };
    let left: String = code[..at]
        .chars()
        .rev()
        .take_while(|c| !" {[!&|,".contains(*c))
        .collect();
    let left: String = left.chars().rev().collect();
    let right = code[at..].trim_start_matches(|c: char| !c.is_alphanumeric() || c == '_');
    let right = match right.split_once('(') {
        Some(("eq" | "ne" | "starts_with" | "ends_with", argument)) => argument,
        _ => right,
    };
    let right: String = right
        .chars()
        .take_while(|c| !" ){]|,;".contains(*c))
        .collect();
    side(&left) || side(&right)
}

#[test]
fn one_place_alone_compares_what_secrets_make() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/verify");
    let mut files = 0;
    for entry in fs::read_dir(room).expect("the room") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(&path).expect("readable");
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for (line, text) in (1..).zip(code.lines()) {
            assert!(!compares(text), "{}:{line}: {text}", path.display());
        }
        let constant = code.contains("ct_eq") || code.contains("ConstantTimeEq");
        assert_eq!(constant, path.ends_with("mac.rs"), "{}", path.display());
    }
    assert!(files > 12, "the walk finds the room");
}

/// The check finds what it is for.
#[test]
fn comparisons_are_noticed() {
    let cases = [
        ("if claim.signature == tag.as_bytes() {", true),
        ("key.secret.expose() == value", true),
        ("let same = *digest != claimed;", true),
        ("value.starts_with(secret)", true),
        ("secret.starts_with(value)", true),
        ("expected == &value[..]", true),
        ("value == expected", true),
        ("if names.len() == 3 && signature.is_empty() {", false),
        ("// the secret == the value", false),
        ("bytes == length(hash)", false),
        ("remember == true", false),
    ];
    for (line, expected) in cases {
        assert_eq!(compares(line), expected, "{line}");
    }
}

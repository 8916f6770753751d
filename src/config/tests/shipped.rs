//! The files under `config/` at the top of the repository: all of them load as they are, without their secrets.

use super::{PLENTY, shown};
use crate::config::load::{Options, Process, load_text};
use std::path::Path;

#[test]
fn every_shipped_file_passes_check_without_secrets_and_warnings() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).expect("config/ is there") {
        let path = entry.expect("an entry").path();
        let is_description = path.ends_with("openapi.yaml");
        if is_description || path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let process = Process {
            variable: &|_| None,
            open_files_max: PLENTY,
        };
        let name = path.display().to_string();
        let (_, warnings) = load_text(&name, &text, Options { allow_unset: true }, &process)
            .unwrap_or_else(|problems| panic!("{}", shown(&problems)));
        assert!(warnings.is_empty(), "{}", shown(&warnings));
        seen += 1;
    }
    assert_eq!(seen, 8, "five vendors, fan-out, tls and the reference");
}

/// Every example in the pages that a user copies from.
#[test]
fn every_example_in_the_pages_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for page in ["config/SCHEMES.md", "README.md"] {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().expect("a block ends");
            let whole = whole(block);
            let process = Process {
                variable: &|_| None,
                open_files_max: PLENTY,
            };
            let loaded = load_text(page, &whole, Options { allow_unset: true }, &process);
            loaded.unwrap_or_else(|problems| panic!("{whole}\n{}", shown(&problems)));
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen} examples");
}

/// An example that is part of a source, put into one.
fn whole(block: &str) -> String {
    if block.contains("sources:") {
        return block.to_owned();
    }
    let indent = if block.starts_with("    ") {
        ""
    } else {
        "    "
    };
    let lines: String = block
        .lines()
        .map(|line| format!("{indent}{line}\n"))
        .collect();
    let mut source = format!("sources:\n  erp:\n{lines}    forward: http://127.0.0.1:3000/\n");
    if !block.contains("verify:") {
        source.push_str("    verify: { hmac: { header: X-Signature } }\n");
    }
    if !block.contains("secrets:") {
        source.push_str("    secret: a-secret\n");
    }
    source
}

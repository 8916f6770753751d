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
        if path.extension().is_none_or(|extension| extension != "yaml") {
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
    assert_eq!(seen, 7, "five vendors, fan-out and the reference");
}

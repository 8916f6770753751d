//! What comes from the definition of the command line beside `--help`: completions and manual pages, used as their readers
//! use them.

use crate::support::{gate::HOOKGATE, tools};
use std::process::{Command, Output, Stdio};

fn hookgate(args: &[&str]) -> Output {
    let output = Command::new(HOOKGATE)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Asks as bash does: the function that the script registers, with the words so far.
const ASK: &str = r#"
source "$1" || exit 1
shift
registered=$(complete -p hookgate) || exit 1
function=$(grep -o -e '-F [^ ]*' <<<"$registered")
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"${function#-F }" hookgate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

#[test]
fn bash_completes_commands_options_values_and_presets() {
    if !tools::has("bash", &["--version"]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("hookgate");
    std::fs::write(&script, hookgate(&["completions", "bash"]).stdout).expect("written");
    let ask = |words: &str| {
        let output = Command::new("bash")
            .args(["--norc", "-c", ASK, "bash"])
            .arg(&script)
            .args(words.split(' '))
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{words}: {said}"
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for (words, expected) in [
        ("hookgate chec", &["check"][..]),
        ("hookgate run --env", &["--env-file"]),
        ("hookgate run --provider chatm", &["chatmefy"]),
        ("hookgate explain --provider svi", &["svix", "svix-ed25519"]),
        ("hookgate targets p", &["pause"]),
        ("hookgate events list --state d", &["delivered", "dead"]),
        ("hookgate --log-format ", &["human", "json"]),
        ("hookgate completions f", &["fish"]),
        ("hookgate nonsense-", &[]),
    ] {
        assert_eq!(ask(words), expected, "{words}");
    }
}

#[test]
fn every_command_has_a_manual_page_that_man_shows_without_complaint() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("share/man1");
    hookgate(&["man", "--to", place.to_str().expect("UTF-8")]);
    let mut pages: Vec<String> = std::fs::read_dir(&place)
        .expect("made")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    pages.sort();
    for page in ["hookgate.1", "hookgate-run.1", "hookgate-events-replay.1"] {
        assert!(pages.iter().any(|there| there == page), "{page}: {pages:?}");
    }
    // What is printed is what is written.
    let written = std::fs::read(place.join("hookgate-events-replay.1")).expect("there");
    assert_eq!(hookgate(&["man", "events", "replay"]).stdout, written);
    let written = std::fs::read(place.join("hookgate.1")).expect("there");
    assert_eq!(hookgate(&["man"]).stdout, written);

    if !tools::has("man", &["--version"]) || !tools::has("groff", &["--version"]) {
        return;
    }
    for page in &pages {
        let shown = Command::new("man")
            .args(["--warnings", "-l"])
            .arg(place.join(page))
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("man runs");
        let text = String::from_utf8_lossy(&shown.stdout);
        let said = String::from_utf8_lossy(&shown.stderr);
        assert!(shown.status.success() && said.is_empty(), "{page}: {said}");
        let name = page.trim_end_matches(".1");
        for part in [
            &format!("{name}(1)"),
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "hookgate 0.",
        ] {
            assert!(text.contains(part), "{page}: {part} in\n{text}");
        }
    }
    let run = Command::new("man")
        .arg("-l")
        .arg(place.join("hookgate-run.1"))
        .env("MANWIDTH", "120")
        .output()
        .expect("man runs");
    let text = String::from_utf8_lossy(&run.stdout);
    for line in [
        "--env-file <FILE>",
        "hookgate run -c /etc/hookgate/hookgate.yaml\n",
        "SIGTERM and SIGINT start an orderly stop",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn pages_of_no_command_are_refused() {
    for (args, part) in [
        (
            &["man", "rnu"][..],
            "no command \"rnu\" here; there are: run, check",
        ),
        (&["man", "run", "now"], "run has no commands below it"),
    ] {
        let output = Command::new(HOOKGATE).args(args).output().expect("runs");
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(part), "{said}");
    }
}

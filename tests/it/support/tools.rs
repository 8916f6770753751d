//! Tools from outside: a test that needs a missing one says so and returns, unless `HOOKGATE_TEST_ALL_TOOLS` is
//! set (as `.ci/run` does): then its absence is a failure.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Whether `program args` runs and succeeds. Says so when it does not.
#[track_caller]
pub(crate) fn has(program: &str, args: &[&str]) -> bool {
    let ran = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = ran.is_ok_and(|status| status.success());
    assert!(
        found || !all_tools(),
        "{program} {args:?} is missing, and HOOKGATE_TEST_ALL_TOOLS asks for every tool"
    );
    if !found {
        eprintln!("skipped: {program} {args:?} is not installed");
    }
    found
}

/// The folder of tools that this variable names. Says so when it is not set.
#[track_caller]
pub(crate) fn folder(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    assert!(
        folder.is_some() || !all_tools(),
        "{variable} is not set, and HOOKGATE_TEST_ALL_TOOLS asks for every tool"
    );
    if folder.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    folder
}

/// Whether this system allows a thing, shown by a `program` that is there. A right cannot be installed, so its absence is
/// no failure: it is said.
pub(crate) fn allows(thing: &str, program: &str, args: &[&str]) -> bool {
    let ran = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let allowed = ran.is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("skipped: this system does not allow {thing}");
    }
    allowed
}

fn all_tools() -> bool {
    std::env::var_os("HOOKGATE_TEST_ALL_TOOLS").is_some()
}

//! Tools from outside: a test that needs a missing one says so and returns, unless `HOOKGATE_TEST_ALL_TOOLS` is
//! set (as `.ci/run` does): then its absence is a failure.

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
    let required = std::env::var_os("HOOKGATE_TEST_ALL_TOOLS").is_some();
    assert!(
        found || !required,
        "{program} {args:?} is missing, and HOOKGATE_TEST_ALL_TOOLS asks for every tool"
    );
    if !found {
        eprintln!("skipped: {program} {args:?} is not installed");
    }
    found
}

//! Runs that are short by default and long on request: `tests/torture/run` sets the length and the seed, and shows
//! the one line that each run ends with.

/// How long a run is asked to be, in its own unit; `short` without a request.
pub(crate) fn length(short: u64) -> u64 {
    number("HOOKGATE_TORTURE_LENGTH").unwrap_or(short)
}

/// Whether a long run is asked for.
pub(crate) fn is_long() -> bool {
    number("HOOKGATE_TORTURE_LENGTH").is_some()
}

/// What decides every choice of a run: the one asked for, or another each time.
pub(crate) fn seed() -> u64 {
    number("HOOKGATE_TORTURE_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000))
}

/// The line that a run ends with.
pub(crate) fn summary(name: &str, seed: u64, text: &str) {
    eprintln!("torture: {name} seed={seed}: {text}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let parsed = text.parse();
    Some(parsed.unwrap_or_else(|_| panic!("{variable} is {text:?}, not a number")))
}
